//! A shard as a frozen copy reads it: its buckets as they were at the freeze, in bounded steps.

use crate::{
    bucket::{Block, Body, Bucket, Entries, Head, Origin, inline_entries},
    database::{Database, FullName},
    limits::{FROZEN_STEP, PAGE_BYTES},
    memory::{
        Kept,
        entry::{Entry, Value},
        freeze::{Freeze, FreezeBudget},
        large::LargeValue,
        table::lines::KeptLines,
    },
    shard::Shard,
};
use parking_lot::Mutex;
use std::{borrow::Cow, collections::BTreeMap, sync::Arc};

/// A part of a frozen copy, in the order in which it can be loaded.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Record<'a> {
    /// A map. Its entries follow.
    Map {
        /// The name of the bucket.
        full: FullName<'a>,
        /// Whether it stays when its last entry goes.
        keep_when_empty: bool,
        /// When it expires, in milliseconds since 1970.
        expires_at_ms: Option<u64>,
    },
    /// An entry of the map before it.
    Entry {
        /// The key.
        key: &'a [u8],
        /// The value.
        value: RecordValue<'a>,
        /// When it expires, in milliseconds since 1970.
        expires_at_ms: Option<u64>,
    },
    /// A string.
    Str {
        /// The name of the bucket.
        full: FullName<'a>,
        /// The string.
        value: RecordValue<'a>,
        /// How it came to be.
        origin: Origin,
        /// When it expires, in milliseconds since 1970.
        expires_at_ms: Option<u64>,
    },
}

impl<'a> Record<'a> {
    /// The name of the bucket that begins with it; `None` for an entry of one that has begun.
    pub fn full(&self) -> Option<FullName<'a>> {
        match *self {
            Record::Map { full, .. } | Record::Str { full, .. } => Some(full),
            Record::Entry { .. } => None,
        }
    }
}

/// The names from one on, and below another one.
#[derive(Debug, Clone, Default)]
pub(crate) struct Names {
    pub(crate) start: Box<[u8]>,
    /// `None` if there is no end.
    pub(crate) end: Option<Arc<[u8]>>,
}

impl Names {
    fn contain(&self, name: &[u8]) -> bool {
        *self.start <= *name && self.end.as_ref().is_none_or(|end| *name < **end)
    }

    /// Whether a record is of one of these names. An entry is of the bucket before it: `is_open` says whether
    /// that is.
    pub(crate) fn has(&self, record: &Record<'_>, is_open: &mut bool) -> bool {
        if let Some(full) = record.full() {
            *is_open = self.contain(full.name);
        }
        *is_open
    }
}

/// The value of an entry or a string.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum RecordValue<'a> {
    /// Its bytes.
    Bytes(&'a [u8]),
    /// Its pieces.
    Large(&'a LargeValue),
}

impl<'a> RecordValue<'a> {
    /// Length in bytes.
    pub fn len(&self) -> usize {
        match self {
            RecordValue::Bytes(bytes) => bytes.len(),
            RecordValue::Large(large) => large.len(),
        }
    }

    /// Whether it has no bytes.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The bytes in one buffer.
    pub fn to_bytes(self) -> Cow<'a, [u8]> {
        match self {
            RecordValue::Bytes(bytes) => Cow::Borrowed(bytes),
            RecordValue::Large(large) => Cow::Owned(large.to_vec()),
        }
    }
}

/// A record with a large value, which is read when its shard is no longer locked.
#[derive(Debug)]
pub(crate) struct LargeRecord {
    /// The name of a string, or the key of an entry.
    name: Box<[u8]>,
    /// How a string came to be; `None` for an entry.
    origin: Option<Origin>,
    value: LargeValue,
    expires_at_ms: Option<u64>,
}

impl LargeRecord {
    /// The record, of a bucket of this database.
    pub(crate) fn record(&self, database: Database) -> Record<'_> {
        let (value, expires_at_ms) = (RecordValue::Large(&self.value), self.expires_at_ms);
        match self.origin {
            Some(origin) => {
                let full = FullName { database, name: &self.name };
                Record::Str { full, value, origin, expires_at_ms }
            }
            None => Record::Entry { key: &self.name, value, expires_at_ms },
        }
    }
}

/// What one step of reading a shard ended with.
#[derive(Debug)]
pub(crate) enum FrozenStep {
    /// There may be more.
    More,
    /// This is the next record, and there may be more.
    Large(LargeRecord),
    /// There is no more.
    End,
}

/// The freeze of all shards, and those that were flushed since, by index.
#[derive(Debug)]
pub(crate) struct Freezing {
    pub(crate) freeze: Arc<Freeze>,
    pub(crate) flushed: Mutex<BTreeMap<usize, Shard>>,
}

impl Freezing {
    /// A freeze for which nothing is kept yet.
    pub(crate) fn new(budget: &Arc<FreezeBudget>) -> Freezing {
        Freezing { freeze: Arc::new(Freeze::new(budget.clone())), flushed: Mutex::default() }
    }

    /// Whether a shard keeps something for this freeze.
    pub(crate) fn has(&self, shard: &Shard) -> bool {
        shard.memory.frozen_by().is_some_and(|freeze| Arc::ptr_eq(freeze, &self.freeze))
    }
}

/// How far a shard has been read.
#[derive(Debug, Default)]
pub(crate) struct FrozenPosition {
    /// The line of the registry.
    line: usize,
    /// How many buckets of it have been read.
    buckets: usize,
    /// The table of the map whose entries are being read, its line, and how many entries of that have been
    /// read.
    open: Option<(u32, usize, usize)>,
}

/// What was kept of a shard for a frozen copy. Dropping it takes a while.
#[derive(Debug)]
pub(crate) struct KeptOfShard {
    _names: [Option<Box<KeptLines>>; 2],
    _memory: Kept,
}

impl Shard {
    /// From now on, keeps what a frozen copy reads as it is before it changes.
    pub(crate) fn freeze(&mut self, freeze: &Arc<Freeze>) {
        self.registry.freeze(freeze);
        self.memory.freeze(freeze);
    }

    /// Keeps some of that no longer. After the last step there is nothing more.
    pub(crate) fn thaw_some(&mut self) -> Option<KeptOfShard> {
        let _memory = self.memory.thaw_some()?;
        Some(KeptOfShard { _names: self.registry.thaw(), _memory })
    }

    /// As [`Self::thaw_some`], if the frozen copy was given up.
    pub(crate) fn thaw_if_ended(&mut self) -> Option<KeptOfShard> {
        let has_ended = self.memory.frozen_by().is_some_and(|freeze| freeze.has_ended());
        if has_ended { self.thaw_some() } else { None }
    }

    /// Reads a bounded part of the buckets of a database from `at` on.
    pub(crate) fn read_frozen(
        &self,
        at: &mut FrozenPosition,
        database: Database,
        mut visit: impl FnMut(Record<'_>),
    ) -> FrozenStep {
        let (mut work, mut bytes) = (0, 0);
        while work < FROZEN_STEP && bytes < PAGE_BYTES {
            work += 1;
            if at.open.is_some() {
                if let Some(large) = self.read_frozen_line(at, &mut work, &mut bytes, &mut visit) {
                    return FrozenStep::Large(large);
                }
                continue;
            }
            let Some(mut buckets) = self.registry.frozen_buckets(at.line) else { return FrozenStep::End };
            let Some(Bucket(handle)) = buckets.nth(at.buckets) else {
                (at.line, at.buckets) = (at.line + 1, 0);
                continue;
            };
            at.buckets += 1;
            let block = Block::read(self.memory.arena.frozen_bytes(handle));
            bytes += block.size();
            let Head { name, keep_when_empty, expires_at_ms } = block.head;
            let full = FullName { database, name };
            match block.body {
                Body::Str(Value::Bytes(value), origin) => {
                    visit(Record::Str { full, value: RecordValue::Bytes(value), origin, expires_at_ms });
                }
                Body::Str(Value::Large(value), origin) => {
                    let value = self.memory.arena.frozen_value(value).clone();
                    let (name, origin) = (name.into(), Some(origin));
                    return FrozenStep::Large(LargeRecord { name, origin, value, expires_at_ms });
                }
                Body::Map(entries) => {
                    visit(Record::Map { full, keep_when_empty, expires_at_ms });
                    match entries {
                        Entries::Table(id) => at.open = Some((id, 0, 0)),
                        Entries::Inline(entries) => inline_entries(entries)
                            .filter_map(|(_, entry)| small_record(entry))
                            .for_each(&mut visit),
                    }
                }
            }
        }
        FrozenStep::More
    }

    /// Reads the entries of one line, up to the first with a large value, which is returned.
    fn read_frozen_line(
        &self,
        at: &mut FrozenPosition,
        work: &mut usize,
        bytes: &mut usize,
        mut visit: impl FnMut(Record<'_>),
    ) -> Option<LargeRecord> {
        let (id, line, read) = at.open.take()?;
        let table = self.memory.frozen_table(id);
        if line == table.frozen_lines() {
            return None;
        }
        for (index, handle) in table.frozen_chain(line).enumerate().skip(read) {
            let entry = Entry::read(self.memory.arena.frozen_bytes(handle));
            *work += 1;
            *bytes += entry.size();
            let Some(large) = entry.value.large() else {
                small_record(entry).into_iter().for_each(&mut visit);
                continue;
            };
            at.open = Some((id, line, index + 1));
            let (name, value) = (entry.key.into(), self.memory.arena.frozen_value(large).clone());
            return Some(LargeRecord { name, origin: None, value, expires_at_ms: entry.expires_at_ms });
        }
        at.open = Some((id, line + 1, 0));
        None
    }
}

/// The record of an entry whose value is not large.
fn small_record(Entry { key, value, expires_at_ms }: Entry<'_>) -> Option<Record<'_>> {
    Some(Record::Entry { key, value: RecordValue::Bytes(value.small()?), expires_at_ms })
}
