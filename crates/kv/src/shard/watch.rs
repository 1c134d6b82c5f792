//! Buckets that somebody watches: the memory of optimistic locking (Redis's WATCH).

use crate::limits::WATCHED_NAMES;
use std::collections::HashMap;

/// A number for each watched bucket. A change forgets the bucket, so that the number it had never comes back.
#[derive(Debug)]
pub(crate) struct Watched {
    versions: HashMap<Box<[u8]>, u64>,
    last: u64,
}

impl Default for Watched {
    /// Nothing is watched. The numbers begin anywhere: those that were given before a restart must not come back.
    fn default() -> Watched {
        Watched { versions: HashMap::new(), last: fastrand::u64(..) }
    }
}

impl Watched {
    /// The number of a bucket until it changes.
    pub(crate) fn watch(&mut self, name: &[u8]) -> u64 {
        if let Some(version) = self.versions.get(name) {
            return *version;
        }
        if self.versions.len() >= WATCHED_NAMES {
            // Watchers then find their buckets changed, and try again.
            self.versions.clear();
        }
        self.last = self.last.wrapping_add(1);
        self.versions.insert(name.into(), self.last);
        self.last
    }

    /// Whether a bucket still has the number.
    pub(crate) fn is_unchanged(&self, name: &[u8], version: u64) -> bool {
        self.versions.get(name) == Some(&version)
    }

    /// Notes that all buckets have changed of which `changed` says so.
    pub(crate) fn forget_all(&mut self, changed: impl Fn(&[u8]) -> bool) {
        self.versions.retain(|name, _| !changed(name));
    }

    /// Notes that a bucket has changed.
    pub(crate) fn forget(&mut self, name: &[u8]) {
        if !self.versions.is_empty() {
            self.versions.remove(name);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_from_before_a_restart_does_not_come_back() {
        let (mut before, mut after) = (Watched::default(), Watched::default());
        let version = before.watch(b"shopping");
        assert_ne!(after.watch(b"shopping"), version);
        assert!(!after.is_unchanged(b"shopping", version));
    }
}
