//! The split of a store: from one name on, all buckets become those of another store, which begins with a
//! frozen copy of them. Here nothing is executed on them any more; they are not listed, nor in frozen copies,
//! and are removed step by step.

use super::FrozenStore;
use crate::{
    limits::EXPIRY_LINES,
    memory::freeze::FreezeBudget,
    pubsub::bucket_changes::EndReason,
    shard::{bucket_ref::BucketMut, registry::Lookup},
    store::Store,
};
use parking_lot::MutexGuard;
use std::sync::{
    Arc,
    atomic::Ordering::{Acquire, Release},
};

/// How far the buckets that were split off are removed.
#[derive(Debug, Default)]
pub struct Removal {
    shard: usize,
    cursor: u64,
}

impl Store {
    /// Splits off all names from `at` on, and returns a copy of their buckets as they are now. What is
    /// watched and subscribed of them ends.
    pub fn split_off(self: &Arc<Self>, at: &[u8]) -> FrozenStore {
        let mut frozen = loop {
            // A backup that is being taken can wait.
            self.end_freeze();
            // Nobody can try the split again, so it takes what it needs.
            if let Ok(frozen) = self.freeze(&Arc::<FreezeBudget>::default()) {
                break frozen;
            }
        };
        frozen.names.start = at.into();
        self.set_split(at);
        for index in 0..self.shards.len() {
            let mut shard = self.lock(index);
            shard.watches.end_from(at);
            shard.subscribers.notify_ended_from(at, EndReason::Restarted);
        }
        frozen
    }

    /// From which name on all were split off; `None` if none were.
    pub fn split_at(&self) -> Option<Arc<[u8]>> {
        if self.is_split.load(Acquire) { self.split_at.lock().clone() } else { None }
    }

    pub(in crate::store) fn set_split(&self, at: &[u8]) {
        let mut split_at = self.split_at.lock();
        if split_at.as_ref().is_none_or(|before| *at < **before) {
            *split_at = Some(at.into());
            self.is_split.store(true, Release);
        }
    }

    pub(in crate::store) fn forget_split(&self) {
        self.is_split.store(false, Release);
        *self.split_at.lock() = None;
    }

    /// Removes some of the buckets that were split off; `false` when there are no more.
    pub fn remove_split_off(&self, removal: &mut Removal) -> bool {
        let Some(split_at) = self.split_at().filter(|_| removal.shard < self.shards.len()) else {
            return false;
        };
        let mut shard = self.lock(removal.shard);
        for _ in 0..EXPIRY_LINES {
            let (buckets, next) = shard.registry.scan_step(&shard.memory, removal.cursor);
            let names = buckets.map(|bucket| bucket.name(&shard.memory));
            let names: Vec<Box<[u8]>> = names.filter(|name| **name >= *split_at).map(Box::from).collect();
            for name in names {
                let lookup = Lookup::new(shard.memory.hash(&name));
                BucketMut::new(&mut shard, &name, lookup, 0).end(EndReason::Restarted);
            }
            removal.cursor = next;
            if next == 0 {
                removal.shard += 1;
                break;
            }
        }
        shard.account(&self.budget);
        MutexGuard::unlock_fair(shard);
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        database::Database,
        pubsub::{backlog::Backlog, bucket_changes::Change},
        request::{Op, Request},
        shard::watch::{StateRecord, Watcher},
        store::{keyspace::ScanFilter, load::Loader},
    };
    use std::ops::ControlFlow::Continue;
    use tokio_stream::StreamExt;

    const NOW_MS: u64 = 1_700_000_000_000;

    fn run(store: &Store, database: usize, bucket: &str, op: Op<'_>) -> String {
        let database = Database::new(database).expect("a database");
        let (mut replies, request) = (String::new(), Request { database, bucket: bucket.as_bytes(), op });
        store.execute(&[request], NOW_MS, |reply| {
            replies = format!("{reply:?}");
            Continue(())
        });
        replies
    }

    fn put(store: &Store, database: usize, bucket: &str, value: &[u8]) {
        run(store, database, bucket, Op::Create);
        run(store, database, bucket, Op::Put { key: b"key", value });
    }

    /// The buckets of all databases that a scan lists.
    fn listed(store: &Store) -> Vec<String> {
        let mut names = Vec::new();
        for database in Database::all() {
            let filter = ScanFilter { database, count: usize::MAX, ..ScanFilter::default() };
            let mut cursor = 0;
            loop {
                let page = store.scan(cursor, &filter, NOW_MS);
                names.extend(page.names.iter().map(|name| String::from_utf8_lossy(name).into_owned()));
                cursor = page.next;
                if cursor == 0 {
                    break;
                }
            }
        }
        names.sort();
        names
    }

    fn load(mut frozen: FrozenStore) -> Arc<Store> {
        let store = Arc::new(Store::new());
        let mut loader = Loader::new(&store, NOW_MS);
        while frozen.read(|record| loader.load(record).expect("loaded")).expect("not given up") {}
        loader.finish();
        store
    }

    fn remove_all(store: &Store) {
        let mut removal = Removal::default();
        while store.remove_split_off(&mut removal) {}
    }

    #[test]
    fn each_part_has_its_names_and_the_other_ones_are_removed() {
        let store = Arc::new(Store::new());
        for number in 0..5_000 {
            put(&store, number % 2, &format!("{number:04}"), b"value");
        }
        put(&store, 15, "4998", &[b'v'; 100_000]);
        let upper = store.split_off(b"3000");
        assert_eq!(listed(&store).last().map(String::as_str), Some("2999"));
        put(&store, 0, "0000", b"other");
        // Of what is left a part is split off again, before the first one is removed.
        let middle = store.split_off(b"1000");
        store.freeze(&Arc::default()).expect_err("one at a time");
        let middle = load(middle);
        let lower = load(store.freeze(&Arc::default()).expect("frozen"));
        drop(upper);
        remove_all(&store);
        for (store, first, last, count) in [
            (&lower, "0000", "0999", 1_000),
            (&middle, "1000", "2999", 2_000),
            (&store, "0000", "0999", 1_000),
        ] {
            let names = listed(store);
            assert_eq!(
                (names[0].as_str(), names[names.len() - 1].as_str(), names.len()),
                (first, last, count)
            );
            assert_eq!(store.bucket_counts().iter().sum::<usize>(), count);
        }
    }

    #[test]
    fn a_part_has_large_values_and_those_alone_that_are_its_own() {
        let store = Arc::new(Store::new());
        for name in ["a", "b", "c", "d"] {
            for key in [b"1", b"2"] {
                run(&store, 0, name, Op::Create);
                run(&store, 0, name, Op::Put { key, value: &[b'v'; 100_000] });
            }
        }
        let part = load(store.split_off(b"c"));
        let rest = load(store.freeze(&Arc::default()).expect("frozen"));
        for (store, names) in [(&part, ["c", "d"]), (&rest, ["a", "b"])] {
            assert_eq!(listed(store), names);
            for (name, key) in names.iter().flat_map(|name| [(name, b"1"), (name, b"2")]) {
                let value = run(store, 0, name, Op::Get { key });
                assert!(value.len() > 100_000, "{name}: {value:.100}");
            }
            assert!(store.stats().bytes < 500_000, "it has values of others");
        }
    }

    #[tokio::test]
    async fn watches_and_subscriptions_of_what_is_split_off_end() {
        let (store, backlog) = (Arc::new(Store::new()), Backlog::new(1 << 20, |_, _| {}));
        let watcher = Watcher { link: 0, connection: 1 };
        for name in ["a", "m"] {
            put(&store, 0, name, b"value");
            run(&store, 0, name, Op::Watch { watcher });
        }
        let [mut kept, mut ended] =
            ["a", "m"].map(|name| store.subscribe(name.as_bytes(), &backlog).expect("a bucket"));
        drop(store.split_off(b"g"));
        let mut state = Vec::new();
        store.read_state(|record| match record {
            StateRecord::SplitAt(at) => state.push(at.to_vec()),
            StateRecord::Bucket { full, .. } => state.push(full.name.to_vec()),
            StateRecord::LastVersion(_) => {}
        });
        assert_eq!(state, [b"g", b"a"]);
        assert_eq!(ended.next().await.expect("an event").change, Change::Ended(EndReason::Restarted));
        remove_all(&store);
        put(&store, 0, "a", b"other");
        let change = &kept.next().await.expect("an event").change;
        assert!(matches!(change, Change::Set { .. }), "{change:?}");
    }

    #[test]
    fn a_store_that_begins_again_has_all_names() {
        let store = Arc::new(Store::new());
        drop(store.split_off(b"g"));
        store.restart();
        put(&store, 0, "m", b"value");
        assert_eq!(listed(&store), ["m"]);
        assert_eq!(store.split_at(), None);
    }
}
