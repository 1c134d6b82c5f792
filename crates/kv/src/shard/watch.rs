//! Who watches which buckets, for optimistic locking (Redis's WATCH).

use crate::{
    bucket::Bucket,
    database::{Database, FullName},
    error::CommandError,
    limits::{UNWATCHED_NAMES, WATCH_BYTES, WATCHED_NAME_BYTES},
    memory::{Memory, budget::WatchBudget},
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
/// used again, in any shard.
///
/// The tables of a replica depend on the log alone, and not on which buckets share a shard, which differs
/// between replicas. When something that has expired is removed does not, so that changes nothing here: the
/// watches of what will expire end by time.
#[derive(Debug)]
pub(crate) struct WatchTable {
    watched: BTreeMap<Box<[u8]>, Watched>,
    is_replica: bool,
    /// Bytes that the budget has been charged for.
    bytes: usize,
    budget: Arc<WatchBudget>,
}

#[derive(Debug)]
struct Watched {
    version: u64,
    bucket: WatchedBucket,
    /// Sorted; never empty.
    watchers: Vec<Watcher>,
}

/// What a bucket is as long as it does not change.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct WatchedBucket {
    /// Whether it exists.
    pub exists: bool,
    /// When it expires, or the next of its entries, in milliseconds since 1970.
    pub expires_at_ms: Option<u64>,
}

impl WatchedBucket {
    /// What a bucket is now, if there is one.
    pub(crate) fn new(bucket: Option<Bucket>, memory: &Memory, now_ms: u64) -> WatchedBucket {
        let expires_at_ms = bucket.and_then(|bucket| bucket.next_expiry(memory, now_ms));
        WatchedBucket { exists: bucket.is_some(), expires_at_ms }
    }

    fn has_expired(self, now_ms: u64) -> bool {
        self.expires_at_ms.is_some_and(|expires_at_ms| expires_at_ms <= now_ms)
    }
}

/// A part of what a store has besides its buckets, for its snapshot.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StateRecord<'a> {
    /// From this name on, all were split off.
    SplitAt(&'a [u8]),
    /// The last version that was given.
    LastVersion(u64),
    /// A bucket that is watched.
    Bucket {
        /// Its name.
        full: FullName<'a>,
        /// Its version.
        version: u64,
        /// What it is.
        bucket: WatchedBucket,
        /// Who watches it.
        watchers: &'a [Watcher],
    },
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
    /// Nothing is watched.
    pub(crate) fn new(budget: Arc<WatchBudget>, is_replica: bool) -> WatchTable {
        WatchTable { watched: BTreeMap::new(), is_replica, bytes: 0, budget }
    }

    /// Adds a watcher of a bucket, unless the budget is used up. Returns the version that the bucket has
    /// until it changes.
    pub(crate) fn watch(
        &mut self,
        name: &[u8],
        watcher: Watcher,
        bucket: WatchedBucket,
        now_ms: u64,
    ) -> Result<u64, CommandError> {
        if self.watched.get(name).is_some_and(|watched| watched.bucket.has_expired(now_ms)) {
            self.invalidate(name);
        }
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
                let (version, watchers) = (self.budget.next_version(), Vec::with_capacity(1));
                let watched = Watched { version, bucket, watchers };
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
    pub(crate) fn matches(&self, name: &[u8], version: u64, now_ms: u64) -> bool {
        let is_unchanged =
            |watched: &Watched| watched.version == version && !watched.bucket.has_expired(now_ms);
        self.watched.get(name).is_some_and(is_unchanged)
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

    /// Notes that a bucket that has expired was removed, or entries of it.
    pub(crate) fn expired(&mut self, name: &[u8]) {
        if !self.is_replica {
            self.invalidate(name);
        }
    }

    /// Takes over the table of a shard that was flushed, without the buckets that existed.
    pub(crate) fn take_over(&mut self, flushed: &mut WatchTable) {
        swap(self, flushed);
        let mut released = 0;
        self.watched.retain(|name, watched| {
            released += if watched.bucket.exists { watched.bytes(name) } else { 0 };
            !watched.bucket.exists
        });
        self.release(released);
    }

    /// Ends the watches of all names from `start` on.
    pub(crate) fn end_from(&mut self, start: &[u8]) {
        let ended = self.watched.split_off(start);
        self.release(ended.iter().map(|(name, watched)| watched.bytes(name)).sum());
    }

    /// Ends all watches. No version is used again.
    pub(crate) fn clear(&mut self) {
        self.watched.clear();
        self.release(self.bytes);
    }

    /// Passes all of it to `visit`.
    pub(crate) fn read(&self, database: Database, mut visit: impl FnMut(StateRecord<'_>)) {
        for (name, Watched { version, bucket, watchers }) in &self.watched {
            let full = FullName { database, name };
            visit(StateRecord::Bucket { full, version: *version, bucket: *bucket, watchers });
        }
    }

    /// Adds a bucket of a snapshot.
    pub(crate) fn load(
        &mut self,
        name: &[u8],
        version: u64,
        bucket: WatchedBucket,
        watchers: &[Watcher],
    ) -> Result<(), CommandError> {
        self.invalidate(name);
        let watched = Watched { version, bucket, watchers: watchers.into() };
        let bytes = watched.bytes(name);
        if !self.budget.charge(bytes) {
            return Err(CommandError::WatchesFull);
        }
        self.bytes += bytes;
        self.watched.insert(name.into(), watched);
        Ok(())
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
    const BUCKET: WatchedBucket = WatchedBucket { exists: true, expires_at_ms: None };
    const NOW_MS: u64 = 1_000;

    fn table() -> WatchTable {
        WatchTable::new(Arc::default(), false)
    }

    #[test]
    fn a_version_from_before_a_restart_does_not_come_back() {
        let (mut before, mut after) = (table(), table());
        let version = before.watch(b"shopping", HERE, BUCKET, NOW_MS).expect("room");
        assert_ne!(after.watch(b"shopping", HERE, BUCKET, NOW_MS), Ok(version));
        assert!(!after.matches(b"shopping", version, NOW_MS));
    }

    #[test]
    fn a_name_is_watched_until_its_last_watcher_has_gone() {
        let mut table = table();
        let version = table.watch(b"shopping", HERE, BUCKET, NOW_MS).expect("room");
        for watcher in [HERE, THERE] {
            assert_eq!(table.watch(b"shopping", watcher, BUCKET, NOW_MS), Ok(version));
        }
        table.unwatch(b"shopping", HERE);
        table.unwatch(b"shopping", HERE);
        assert!(table.matches(b"shopping", version, NOW_MS));
        assert_eq!(table.unwatch_link(THERE.link, None), None);
        assert!(!table.matches(b"shopping", version, NOW_MS));
        assert_eq!((table.bytes, table.budget.used()), (0, 0));
    }

    #[test]
    fn a_change_ends_all_watches_of_a_name_and_a_late_unwatch_ends_no_other() {
        let mut table = table();
        let before = table.watch(b"shopping", HERE, BUCKET, NOW_MS).expect("room");
        table.invalidate(b"shopping");
        let after = table.watch(b"shopping", THERE, BUCKET, NOW_MS).expect("room");
        table.unwatch(b"shopping", HERE);
        assert_eq!([before, after].map(|version| table.matches(b"shopping", version, NOW_MS)), [false, true]);
    }

    #[test]
    fn a_full_table_refuses_a_watch_and_keeps_the_others() {
        let budget = Arc::new(WatchBudget::default());
        budget.set_memory_limit(Some(16 * 1_000));
        let mut table = WatchTable::new(budget.clone(), true);
        let version = table.watch(b"shopping", HERE, BUCKET, NOW_MS).expect("room");
        let more: Vec<_> =
            (0..100_u32).map(|name| table.watch(&name.to_le_bytes(), HERE, BUCKET, NOW_MS)).collect();
        assert_eq!(more.last(), Some(&Err(CommandError::WatchesFull)));
        assert!(table.matches(b"shopping", version, NOW_MS));
        assert!(budget.used() <= 1_000);
        table.unwatch(b"shopping", HERE);
        assert!(table.watch(b"work", HERE, BUCKET, NOW_MS).is_ok(), "there is room again");
        drop(table);
        assert_eq!(budget.used(), 0);
    }

    #[test]
    fn a_table_that_is_cleared_is_empty_and_repeats_no_version() {
        let mut table = table();
        let version = table.watch(b"shopping", HERE, BUCKET, NOW_MS).expect("room");
        table.clear();
        assert!(!table.matches(b"shopping", version, NOW_MS));
        assert_eq!((table.bytes, table.budget.used()), (0, 0));
        assert_ne!(table.watch(b"shopping", HERE, BUCKET, NOW_MS), Ok(version));
    }

    #[test]
    fn the_watches_of_a_link_end_in_pages() {
        let mut table = table();
        let names = 2 * UNWATCHED_NAMES as u32 + 1;
        for name in 0..names {
            table
                .watch(&name.to_be_bytes(), if name % 2 == 0 { THERE } else { HERE }, BUCKET, NOW_MS)
                .expect("room");
        }
        let (mut pages, mut after) = (1, None);
        while let Some(last) = table.unwatch_link(THERE.link, after.as_deref()) {
            after = Some(last);
            pages += 1;
        }
        assert_eq!((pages, table.watched.len()), (3, names as usize / 2));
    }
}
