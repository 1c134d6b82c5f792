//! Who watches which buckets, for optimistic locking (Redis's WATCH).

use crate::{
    error::CommandError,
    limits::{UNWATCHED_NAMES, WATCH_BYTES, WATCHED_NAME_BYTES},
    memory::budget::WatchBudget,
};
use serde::{Deserialize, Serialize};
use std::{collections::BTreeMap, mem::swap, ops::Bound, sync::Arc};

/// A connection that watches buckets.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Watcher {
    /// The link to the node of the connection: the node that executes the request sets it. 0: this node.
    pub link: u64,
    /// The connection, by a number that its node does not use again.
    pub connection: u64,
}

/// The watched buckets of one shard, each with a version. A change of a bucket removes it, and no version is
/// used again.
#[derive(Debug)]
pub(crate) struct WatchTable {
    watched: BTreeMap<Box<[u8]>, Watched>,
    last_version: u64,
    /// Bytes that the budget has been charged for.
    bytes: usize,
    budget: Arc<WatchBudget>,
}

#[derive(Debug)]
struct Watched {
    version: u64,
    /// Sorted; never empty.
    watchers: Vec<Watcher>,
}

impl Watched {
    fn bytes(&self, name: &[u8]) -> usize {
        name_bytes(name) + self.watchers.len() * WATCH_BYTES
    }
}

/// The connection keeps the name as well.
fn name_bytes(name: &[u8]) -> usize {
    2 * name.len() + WATCHED_NAME_BYTES
}

impl WatchTable {
    /// Nothing is watched. Versions begin after `last_version`.
    pub(crate) fn new(budget: Arc<WatchBudget>, last_version: u64) -> WatchTable {
        WatchTable { watched: BTreeMap::new(), last_version, bytes: 0, budget }
    }

    /// Adds a watcher of a bucket, unless the budget is used up. Returns the version that the bucket has
    /// until it changes.
    pub(crate) fn watch(&mut self, name: &[u8], watcher: Watcher) -> Result<u64, CommandError> {
        let watched = self.watched.get_mut(name);
        let position = watched.as_ref().map_or(Err(0), |watched| watched.watchers.binary_search(&watcher));
        let added = WATCH_BYTES + if watched.is_some() { 0 } else { name_bytes(name) };
        let position = match (position, watched) {
            (Ok(_), Some(watched)) => return Ok(watched.version),
            (Ok(position) | Err(position), _) => position,
        };
        if !self.budget.charge(added) {
            return Err(CommandError::WatchesFull);
        }
        self.bytes += added;
        let watched = match self.watched.get_mut(name) {
            Some(watched) => watched,
            None => {
                self.last_version = self.last_version.wrapping_add(1);
                let watched = Watched { version: self.last_version, watchers: Vec::with_capacity(1) };
                self.watched.entry(name.into()).or_insert(watched)
            }
        };
        watched.watchers.insert(position, watcher);
        Ok(watched.version)
    }

    /// Removes a watcher of a bucket.
    pub(crate) fn unwatch(&mut self, name: &[u8], watcher: Watcher) {
        let Some(watched) = self.watched.get_mut(name) else { return };
        let Ok(position) = watched.watchers.binary_search(&watcher) else { return };
        if watched.watchers.len() == 1 {
            self.invalidate(name);
            return;
        }
        watched.watchers.remove(position);
        self.release(WATCH_BYTES);
    }

    /// Removes the watchers of a link from some buckets: those after `after` in order of their names. Returns
    /// the last of them, unless all have been visited.
    pub(crate) fn unwatch_link(&mut self, link: u64, after: Option<&[u8]>) -> Option<Box<[u8]>> {
        let from = after.map_or(Bound::Unbounded, Bound::Excluded);
        let page = self.watched.range_mut::<[u8], _>((from, Bound::Unbounded)).take(UNWATCHED_NAMES);
        let (mut visited, mut last, mut ended, mut released) = (0, None, Vec::new(), 0);
        for (name, watched) in page {
            visited += 1;
            last = Some(name);
            let before = watched.watchers.len();
            watched.watchers.retain(|watcher| watcher.link != link);
            released += (before - watched.watchers.len()) * WATCH_BYTES;
            if watched.watchers.is_empty() {
                ended.push(name.clone());
            }
        }
        let next = last.filter(|_| visited == UNWATCHED_NAMES).cloned();
        self.release(released);
        ended.iter().for_each(|name| self.invalidate(name));
        next
    }

    /// Whether a bucket still has this version.
    pub(crate) fn matches(&self, name: &[u8], version: u64) -> bool {
        self.watched.get(name).is_some_and(|watched| watched.version == version)
    }

    /// Notes that a bucket has changed.
    pub(crate) fn invalidate(&mut self, name: &[u8]) {
        if self.watched.is_empty() {
            return;
        }
        if let Some(watched) = self.watched.remove(name) {
            self.release(watched.bytes(name));
        }
    }

    /// Takes over the table of a shard that was flushed, with only the buckets that `stays` accepts.
    pub(crate) fn take_over(&mut self, flushed: &mut WatchTable, stays: impl Fn(&[u8]) -> bool) {
        swap(self, flushed);
        let mut released = 0;
        self.watched.retain(|name, watched| {
            let stays = stays(name);
            released += if stays { 0 } else { watched.bytes(name) };
            stays
        });
        self.release(released);
    }

    /// Ends all watches. No version is used again.
    pub(crate) fn clear(&mut self) {
        self.watched.clear();
        self.release(self.bytes);
    }

    fn release(&mut self, bytes: usize) {
        self.bytes -= bytes;
        self.budget.release(bytes);
    }
}

impl Drop for WatchTable {
    fn drop(&mut self) {
        self.budget.release(self.bytes);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HERE: Watcher = Watcher { link: 0, connection: 1 };
    const THERE: Watcher = Watcher { link: 7, connection: 1 };

    fn table() -> WatchTable {
        WatchTable::new(Arc::default(), fastrand::u64(..))
    }

    #[test]
    fn a_version_from_before_a_restart_does_not_come_back() {
        let (mut before, mut after) = (table(), table());
        let version = before.watch(b"shopping", HERE).expect("room");
        assert_ne!(after.watch(b"shopping", HERE), Ok(version));
        assert!(!after.matches(b"shopping", version));
    }

    #[test]
    fn a_name_is_watched_until_its_last_watcher_has_gone() {
        let mut table = table();
        let version = table.watch(b"shopping", HERE).expect("room");
        for watcher in [HERE, THERE] {
            assert_eq!(table.watch(b"shopping", watcher), Ok(version));
        }
        table.unwatch(b"shopping", HERE);
        table.unwatch(b"shopping", HERE);
        assert!(table.matches(b"shopping", version));
        assert_eq!(table.unwatch_link(THERE.link, None), None);
        assert!(!table.matches(b"shopping", version));
        assert_eq!((table.bytes, table.budget.used()), (0, 0));
    }

    #[test]
    fn a_change_ends_all_watches_of_a_name_and_a_late_unwatch_ends_no_other() {
        let mut table = table();
        let before = table.watch(b"shopping", HERE).expect("room");
        table.invalidate(b"shopping");
        let after = table.watch(b"shopping", THERE).expect("room");
        table.unwatch(b"shopping", HERE);
        assert_eq!([before, after].map(|version| table.matches(b"shopping", version)), [false, true]);
    }

    #[test]
    fn a_full_table_refuses_a_watch_and_keeps_the_others() {
        let budget = Arc::new(WatchBudget::default());
        budget.set_memory_limit(Some(16 * 1_000));
        let mut table = WatchTable::new(budget.clone(), 0);
        let version = table.watch(b"shopping", HERE).expect("room");
        let more: Vec<_> = (0..100_u32).map(|name| table.watch(&name.to_le_bytes(), HERE)).collect();
        assert_eq!(more.last(), Some(&Err(CommandError::WatchesFull)));
        assert!(table.matches(b"shopping", version));
        assert!(budget.used() <= 1_000);
        table.unwatch(b"shopping", HERE);
        assert!(table.watch(b"work", HERE).is_ok(), "there is room again");
        drop(table);
        assert_eq!(budget.used(), 0);
    }

    #[test]
    fn a_table_that_is_cleared_is_empty_and_repeats_no_version() {
        let mut table = table();
        let version = table.watch(b"shopping", HERE).expect("room");
        table.clear();
        assert!(!table.matches(b"shopping", version));
        assert_eq!((table.bytes, table.budget.used()), (0, 0));
        assert_ne!(table.watch(b"shopping", HERE), Ok(version));
    }

    #[test]
    fn the_watches_of_a_link_end_in_pages() {
        let mut table = table();
        let names = 2 * UNWATCHED_NAMES as u32 + 1;
        for name in 0..names {
            table.watch(&name.to_be_bytes(), if name % 2 == 0 { THERE } else { HERE }).expect("room");
        }
        let (mut pages, mut after) = (1, None);
        while let Some(last) = table.unwatch_link(THERE.link, after.as_deref()) {
            after = Some(last);
            pages += 1;
        }
        assert_eq!((pages, table.watched.len()), (3, names as usize / 2));
    }
}
