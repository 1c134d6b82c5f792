//! A shard as a frozen copy reads it: its buckets as they were at the freeze, in bounded steps.

use crate::{
    bucket::{
        Bucket,
        layout::{Block, Body, Entries, Head, Origin, inline_entries},
    },
    database::{Database, FullName},
    limits::{FROZEN_STEP, PAGE_BYTES},
    memory::{
        Kept,
        entry::Entry,
        freeze::{Freeze, FreezeBudget},
        table::lines::KeptLines,
    },
    shard::Shard,
};
use parking_lot::Mutex;
use std::{collections::BTreeMap, sync::Arc};

/// A part of a frozen copy, in the order in which it can be loaded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
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
        value: &'a [u8],
        /// When it expires, in milliseconds since 1970.
        expires_at_ms: Option<u64>,
    },
    /// A string.
    Str {
        /// The name of the bucket.
        full: FullName<'a>,
        /// The string.
        value: &'a [u8],
        /// How it came to be.
        origin: Origin,
        /// When it expires, in milliseconds since 1970.
        expires_at_ms: Option<u64>,
    },
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
    /// The table of the map whose entries are being read, and its next line.
    open: Option<(u32, usize)>,
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

    /// Reads a bounded part of the buckets of a database from `at` on; `false` at the end.
    pub(crate) fn read_frozen(
        &self,
        at: &mut FrozenPosition,
        database: Database,
        mut visit: impl FnMut(Record<'_>),
    ) -> bool {
        let (mut work, mut bytes) = (0, 0);
        while work < FROZEN_STEP && bytes < PAGE_BYTES {
            work += 1;
            if let Some((id, line)) = at.open {
                let table = self.memory.frozen_table(id);
                at.open = (line < table.frozen_lines()).then_some((id, line + 1));
                if at.open.is_some() {
                    for handle in table.frozen_chain(line) {
                        let entry = Entry::read(self.memory.arena.frozen_bytes(handle));
                        work += 1;
                        bytes += entry.size();
                        visit(Record::from(entry));
                    }
                }
                continue;
            }
            let Some(mut buckets) = self.registry.frozen_buckets(at.line) else { return false };
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
                Body::Str(value, origin) => visit(Record::Str { full, value, origin, expires_at_ms }),
                Body::Map(entries) => {
                    visit(Record::Map { full, keep_when_empty, expires_at_ms });
                    match entries {
                        Entries::Table(id) => at.open = Some((id, 0)),
                        Entries::Inline(entries) => {
                            inline_entries(entries).for_each(|(_, entry)| visit(Record::from(entry)));
                        }
                    }
                }
            }
        }
        true
    }
}

impl<'a> From<Entry<'a>> for Record<'a> {
    fn from(Entry { key, value, expires_at_ms }: Entry<'a>) -> Record<'a> {
        Record::Entry { key, value, expires_at_ms }
    }
}
