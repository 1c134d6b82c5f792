//! Versions of watched buckets, for optimistic locking (Redis's WATCH).

use crate::limits::WATCHED_NAMES;
use std::collections::HashMap;

/// A version for each watched bucket. A change removes the version, and no version is used again.
#[derive(Debug)]
pub(crate) struct WatchVersions {
    versions: HashMap<Box<[u8]>, u64>,
    last: u64,
}

impl Default for WatchVersions {
    /// Nothing is watched. Versions begin at a random number, so that those from before a restart do not
    /// match.
    fn default() -> WatchVersions {
        WatchVersions { versions: HashMap::new(), last: fastrand::u64(..) }
    }
}

impl WatchVersions {
    /// The version that a bucket has until it changes.
    pub(crate) fn version_of(&mut self, name: &[u8]) -> u64 {
        if let Some(version) = self.versions.get(name) {
            return *version;
        }
        if self.versions.len() >= WATCHED_NAMES {
            // Transactions that watch these buckets fail as if they had changed; clients retry them.
            self.versions.clear();
        }
        self.last = self.last.wrapping_add(1);
        self.versions.insert(name.into(), self.last);
        self.last
    }

    /// Whether a bucket still has this version.
    pub(crate) fn matches(&self, name: &[u8], version: u64) -> bool {
        self.versions.get(name) == Some(&version)
    }

    /// Notes that a bucket has changed.
    pub(crate) fn invalidate(&mut self, name: &[u8]) {
        if !self.versions.is_empty() {
            self.versions.remove(name);
        }
    }

    /// Notes that all buckets whose names `changed` accepts have changed.
    pub(crate) fn invalidate_where(&mut self, changed: impl Fn(&[u8]) -> bool) {
        self.versions.retain(|name, _| !changed(name));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_version_from_before_a_restart_does_not_come_back() {
        let (mut before, mut after) = (WatchVersions::default(), WatchVersions::default());
        let version = before.version_of(b"shopping");
        assert_ne!(after.version_of(b"shopping"), version);
        assert!(!after.matches(b"shopping", version));
    }
}
