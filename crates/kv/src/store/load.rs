//! Loads records, such as those of a frozen copy, into a store.

use super::Store;
use crate::{
    database::{Database, FullName},
    error::CommandError,
    limits::VALUE_BYTES,
    shard::{
        bucket_ref::{BucketMut, check_name},
        frozen::{Record, RecordValue},
        registry::Lookup,
        watch::StateRecord,
    },
};
use parking_lot::MutexGuard;
use std::hash::BuildHasher;

/// Why a record was not loaded.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum LoadError {
    /// The store has a bucket of this name.
    #[error("there is a bucket of this name already")]
    Exists,
    /// An entry does not follow a map.
    #[error("an entry without a map")]
    NoMap,
    /// The store refused it.
    #[error(transparent)]
    Refused(#[from] CommandError),
}

/// What was loaded.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct LoadCounts {
    /// Maps.
    pub maps: u64,
    /// Entries of maps.
    pub entries: u64,
    /// Strings.
    pub strings: u64,
    /// Buckets and entries that had expired and were left out.
    pub expired: u64,
}

/// Loads records, one after the other. The memory limit is not looked at.
#[derive(Debug)]
pub struct Loader<'s> {
    store: &'s Store,
    now_ms: u64,
    counts: LoadCounts,
    open: Option<OpenMap>,
}

/// The map whose entries are being loaded.
#[derive(Debug)]
struct OpenMap {
    database: Database,
    name: Box<[u8]>,
    hash: u64,
    has_expired: bool,
}

impl<'s> Loader<'s> {
    /// A loader that leaves out what has expired by `now_ms`, in milliseconds since 1970.
    pub fn new(store: &'s Store, now_ms: u64) -> Loader<'s> {
        Loader { store, now_ms, counts: LoadCounts::default(), open: None }
    }

    /// Loads one record.
    pub fn load(&mut self, record: Record<'_>) -> Result<(), LoadError> {
        let now_ms = self.now_ms;
        let is_expired = |expires_at_ms: Option<u64>| expires_at_ms.is_some_and(|at_ms| at_ms <= now_ms);
        match record {
            Record::Entry { key, value, expires_at_ms } => {
                let open = self.open.as_ref().ok_or(LoadError::NoMap)?;
                if open.has_expired || is_expired(expires_at_ms) {
                    self.counts.expired += u64::from(!open.has_expired);
                    return Ok(());
                }
                check_value(value)?;
                let value = &*value.to_bytes();
                let lookup = Lookup::new(open.hash);
                self.store.with_bucket(open.database, &open.name, lookup, now_ms, |mut bucket| {
                    bucket.set_field(key, value, expires_at_ms)
                })?;
                self.counts.entries += 1;
            }
            Record::Map { full, keep_when_empty, expires_at_ms } => {
                self.close_map();
                let (hash, has_expired) = (self.store.hasher.hash_one(full.name), is_expired(expires_at_ms));
                let FullName { database, name } = full;
                self.open = Some(OpenMap { database, name: name.into(), hash, has_expired });
                if has_expired {
                    self.counts.expired += 1;
                    return Ok(());
                }
                self.add(full, hash, |bucket| bucket.load_map(keep_when_empty, expires_at_ms))?;
                self.counts.maps += 1;
            }
            Record::Str { full, value, origin, expires_at_ms } => {
                self.close_map();
                if is_expired(expires_at_ms) {
                    self.counts.expired += 1;
                    return Ok(());
                }
                check_value(value)?;
                let hash = self.store.hasher.hash_one(full.name);
                self.add(full, hash, |bucket| {
                    bucket.set_string(&value.to_bytes(), expires_at_ms)?;
                    bucket.set_string_origin(origin);
                    Ok(())
                })?;
                self.counts.strings += 1;
            }
        }
        Ok(())
    }

    /// Ends, and returns what was loaded.
    pub fn finish(mut self) -> LoadCounts {
        self.close_map();
        self.counts
    }

    /// Adds a bucket that does not exist.
    fn add(
        &self,
        FullName { database, name }: FullName<'_>,
        hash: u64,
        add: impl FnOnce(&mut BucketMut<'_>) -> Result<(), CommandError>,
    ) -> Result<(), LoadError> {
        check_name(name)?;
        self.store.with_bucket(database, name, Lookup::new(hash), self.now_ms, |mut bucket| {
            if bucket.exists() { Err(LoadError::Exists) } else { Ok(add(&mut bucket)?) }
        })
    }

    /// A map all of whose entries had expired is not kept.
    fn close_map(&mut self) {
        if let Some(OpenMap { database, name, hash, has_expired: false }) = self.open.take() {
            let is_gone =
                self.store.with_bucket(database, &name, Lookup::new(hash), self.now_ms, |mut bucket| {
                    bucket.end_if_empty();
                    !bucket.exists()
                });
            self.counts.maps -= u64::from(is_gone);
        }
    }
}

impl Store {
    /// Loads what [`Self::read_state`] has read, after all buckets.
    pub fn load_state(&self, record: StateRecord<'_>) -> Result<(), LoadError> {
        match record {
            StateRecord::SplitAt(at) => {
                self.set_split(at);
                Ok(())
            }
            StateRecord::LastVersion(last_version) => {
                self.watch_budget.set_last_version(last_version.max(self.watch_budget.last_version()));
                Ok(())
            }
            StateRecord::Bucket { full: FullName { database, name }, version, bucket, watchers } => {
                let index = self.shard_index(database, self.hasher.hash_one(name));
                Ok(self.lock(index).watches.load(name, version, bucket, watchers)?)
            }
        }
    }

    fn with_bucket<T>(
        &self,
        database: Database,
        name: &[u8],
        lookup: Lookup<'_>,
        now_ms: u64,
        work: impl FnOnce(BucketMut<'_>) -> T,
    ) -> T {
        let mut shard = self.lock(self.shard_index(database, lookup.name_hash));
        let result = work(BucketMut::new(&mut shard, name, lookup, now_ms));
        shard.account(&self.budget);
        MutexGuard::unlock_fair(shard);
        result
    }
}

fn check_value(value: RecordValue<'_>) -> Result<(), CommandError> {
    if value.len() > VALUE_BYTES { Err(CommandError::StringTooLong) } else { Ok(()) }
}

#[cfg(test)]
mod tests;
