//! The memory of one shard: blocks of bytes for buckets and entries, and tables for buckets that have
//! outgrown their block. The entries of a destroyed table are freed a few lines at a time, so that no request
//! waits for all of them.

pub(crate) mod arena;
pub(crate) mod budget;
pub(crate) mod entry;
pub(crate) mod expiring;
pub(crate) mod expiry_index;
pub(crate) mod freeze;
pub(crate) mod large;
pub(crate) mod prefetch_line;
pub(crate) mod reaper;
pub(crate) mod table;

use crate::{
    cursor::Order,
    limits::{RECLAIM_LINES, THAWED_TABLES},
    memory::{
        arena::{Arena, ArenaFull, Handle},
        entry::{Entry, Value},
        expiring::Expiring,
        expiry_index::ExpiryIndex,
        freeze::{Freeze, KeptBlocks},
        table::{
            SlotRef, Table,
            frozen::FrozenTables,
            lines::{KeptLines, shrink},
        },
    },
};
use foldhash::fast::SeedableRandomState;
use std::{collections::BTreeSet, hash::BuildHasher, sync::Arc};

/// The blocks and tables of one shard.
#[derive(Debug)]
pub(crate) struct Memory {
    pub(crate) arena: Arena,
    pub(crate) expiries: ExpiryIndex,
    pub(crate) expiring: Expiring,
    tables: Vec<Table>,
    tables_free: BTreeSet<u32>,
    /// Bytes of all tables, with those that are free.
    table_bytes: usize,
    /// Destroyed tables, each with the first line that still holds entries.
    garbage: Vec<(Arc<Table>, usize)>,
    garbage_bytes: usize,
    /// Whether [`Self::reclaim_some`] may find anything to free.
    has_garbage: bool,
    /// The tables of a frozen copy.
    frozen: Option<Box<FrozenTables>>,
    hasher: SeedableRandomState,
}

/// What was kept for a frozen copy. Dropping it takes a while.
#[derive(Debug)]
pub(crate) struct Kept {
    _tables: Option<Box<FrozenTables>>,
    _blocks: Option<Box<KeptBlocks>>,
    _lines: Vec<Option<Box<KeptLines>>>,
}

impl Memory {
    /// Empty memory.
    pub(crate) fn new(hasher: SeedableRandomState) -> Memory {
        Memory {
            arena: Arena::new(),
            expiries: ExpiryIndex::default(),
            expiring: Expiring::default(),
            tables: Vec::new(),
            tables_free: BTreeSet::new(),
            table_bytes: 0,
            garbage: Vec::new(),
            garbage_bytes: 0,
            has_garbage: false,
            frozen: None,
            hasher,
        }
    }

    /// Bytes of memory that are in use.
    pub(crate) fn used_bytes(&self) -> usize {
        self.arena.used_bytes() + self.table_bytes + self.expiries.bytes()
    }

    /// Bytes of memory that it takes up, those of free blocks included.
    pub(crate) fn held_bytes(&self) -> usize {
        let spare = (self.tables.capacity() - self.tables.len()) * size_of::<Table>();
        let tables = self.table_bytes + spare + self.expiries.bytes();
        self.arena.held_bytes() + tables + self.garbage_bytes
    }

    /// The part of [`Self::used_bytes`] that belongs to no bucket.
    pub(crate) fn overhead_bytes(&self) -> usize {
        self.tables_free.len() * size_of::<Table>()
    }

    /// How many destroyed tables have entries left to free.
    pub(crate) fn garbage_count(&self) -> usize {
        self.garbage.len()
    }

    /// Bytes of memory of one table and its part of the index, without the blocks of its entries.
    pub(crate) fn bytes_of_table(&self, id: u32) -> usize {
        size_of::<Table>() + self.table(id).bytes() + self.expiries.table_bytes(id)
    }

    /// How many tables there are; their ids are below that.
    pub(crate) fn table_count(&self) -> usize {
        self.tables.len()
    }

    /// Moves the entries of one line out of the pages that are being emptied. Returns their bytes, and the
    /// cursor of the next line; 0 after the last one.
    pub(crate) fn move_entries(&mut self, table: u32, cursor: u32) -> (usize, u32) {
        self.before_change(table);
        let Memory { tables, arena, expiries, .. } = self;
        let mut bytes = 0;
        let next = tables[table as usize].replace_in_line(cursor, |handle| {
            if !arena.is_to_move(handle) {
                return None;
            }
            let entry = Entry::read(arena.bytes(handle));
            let (size, expires_at_ms) = (entry.size(), entry.expires_at_ms);
            let moved = arena.relocate(handle, size).ok()?;
            expiries.remove(table, handle, expires_at_ms);
            expiries.add(table, moved, expires_at_ms);
            bytes += size;
            Some(moved)
        });
        (bytes, next)
    }

    /// The order in which scans list names and keys.
    pub(crate) fn order(&self) -> Order {
        Order::of(&self.hasher)
    }

    /// The hash of a name or a key.
    #[inline]
    pub(crate) fn hash(&self, bytes: &[u8]) -> u64 {
        self.hasher.hash_one(bytes)
    }

    /// The hash of an entry's key.
    pub(crate) fn key_hash(&self, handle: Handle) -> u64 {
        self.hash(self.entry(handle).key)
    }

    /// The entry in a block.
    #[inline]
    pub(crate) fn entry(&self, handle: Handle) -> Entry<'_> {
        Entry::read(self.arena.bytes(handle))
    }

    /// A new block that holds `entry`.
    pub(crate) fn add_entry(&mut self, entry: Entry<'_>) -> Result<Handle, ArenaFull> {
        let handle = self.arena.allocate(entry.size())?;
        entry.write(self.arena.bytes_mut(handle));
        Ok(handle)
    }

    /// Frees the block of an entry.
    pub(crate) fn free_entry(&mut self, handle: Handle) {
        let entry = self.entry(handle);
        let (size, large) = (entry.size(), entry.value.large());
        self.arena.free(handle, size);
        if let Some(at) = large {
            self.arena.free_value(Value::Large(at));
        }
    }

    /// Adds an empty table; returns its id.
    pub(crate) fn add_table(&mut self) -> u32 {
        // The lowest, so that the last ones can be given back.
        let id = self.tables_free.pop_first().unwrap_or_else(|| {
            self.tables.push(Table::default());
            self.table_bytes += size_of::<Table>();
            self.tables.len() as u32 - 1
        });
        if let Some(frozen) = &mut self.frozen {
            frozen.forget(id);
        }
        id
    }

    /// Removes a table and returns it; its id is reused.
    pub(crate) fn take_table(&mut self, id: u32) -> Arc<Table> {
        self.tables_free.insert(id);
        self.expiries.remove_table(id);
        self.has_garbage = true;
        let table = Arc::new(std::mem::take(&mut self.tables[id as usize]));
        self.table_bytes -= table.bytes();
        if let Some(frozen) = &mut self.frozen {
            frozen.after_removal(id, &table);
        }
        table
    }

    /// A table.
    pub(crate) fn table(&self, id: u32) -> &Table {
        &self.tables[id as usize]
    }

    /// A table, to replace handles.
    pub(crate) fn table_mut(&mut self, id: u32) -> &mut Table {
        self.before_change(id);
        &mut self.tables[id as usize]
    }

    /// Adds the handle of a new entry to a table; `hash` is that of its key.
    pub(crate) fn add_to_table(&mut self, id: u32, hash: u64, handle: Handle) {
        self.before_change(id);
        let Memory { tables, arena, hasher, .. } = self;
        let table = &mut tables[id as usize];
        let before = table.bytes();
        table.insert(hash, handle, |other| hasher.hash_one(Entry::read(arena.bytes(other)).key));
        // A split may free overflow lines.
        self.table_bytes = self.table_bytes + table.bytes() - before;
    }

    /// Removes the handle in a slot of a table.
    pub(crate) fn remove_from_table(&mut self, id: u32, slot: SlotRef) -> Handle {
        self.before_change(id);
        let table = &mut self.tables[id as usize];
        self.table_bytes -= table.bytes();
        let handle = table.remove(slot);
        self.table_bytes += table.bytes();
        handle
    }

    /// Takes a destroyed table, whose entries [`Self::reclaim_some`] frees.
    pub(crate) fn free_later(&mut self, table: Arc<Table>) {
        self.garbage_bytes += table.bytes();
        self.garbage.push((table, 0));
        self.has_garbage = true;
    }

    /// Frees a bounded part of the entries of destroyed tables.
    pub(crate) fn reclaim_some(&mut self) {
        self.expiries.reclaim_some();
        self.drop_free_tables();
        if let Some((table, line)) = self.garbage.pop() {
            let end = table.home_lines().min(line + RECLAIM_LINES);
            for index in line..end {
                table.line_chain(index).for_each(|handle| self.free_entry(handle));
            }
            if end < table.home_lines() {
                self.garbage.push((table, end));
            } else {
                self.garbage_bytes -= table.bytes();
            }
        }
        self.has_garbage =
            !self.garbage.is_empty() || self.expiries.has_detached() || self.last_table_is_free();
    }

    /// Whether anything may be left to free.
    pub(crate) fn has_garbage(&self) -> bool {
        self.has_garbage
    }

    /// Drops a bounded number of tables without an owner, as far as they are the last ones.
    fn drop_free_tables(&mut self) {
        for _ in 0..RECLAIM_LINES {
            if !self.last_table_is_free() {
                break;
            }
            self.tables.pop();
            self.table_bytes -= size_of::<Table>();
            self.tables_free.remove(&(self.tables.len() as u32));
        }
        shrink(&mut self.tables);
    }

    fn last_table_is_free(&self) -> bool {
        self.tables.len().checked_sub(1).is_some_and(|last| self.tables_free.contains(&(last as u32)))
    }

    /// From now on, keeps what a frozen copy reads as it is before it changes.
    pub(crate) fn freeze(&mut self, freeze: &Arc<Freeze>) {
        self.arena.freeze(freeze);
        self.frozen = Some(Box::new(FrozenTables::new(freeze.clone(), self.tables.len())));
    }

    /// The freeze for which it keeps what changes.
    pub(crate) fn frozen_by(&self) -> Option<&Arc<Freeze>> {
        self.frozen.as_ref().map(|frozen| &frozen.freeze)
    }

    /// Keeps some of what a frozen copy reads no longer; the last step returns nothing.
    pub(crate) fn thaw_some(&mut self) -> Option<Kept> {
        let changed = self.frozen.as_mut()?.take_changed(THAWED_TABLES);
        let is_last = changed.is_empty();
        let tables = changed.into_iter().filter_map(|id| self.tables.get_mut(id as usize).map(Table::thaw));
        let _lines = tables.flatten().collect();
        let (_tables, _blocks) = if is_last { (self.frozen.take(), self.arena.thaw()) } else { (None, None) };
        Some(Kept { _tables, _blocks, _lines })
    }

    /// A table as a frozen copy reads it.
    pub(crate) fn frozen_table(&self, id: u32) -> &Table {
        let removed = self.frozen.as_ref().and_then(|frozen| frozen.removed(id));
        removed.unwrap_or_else(|| self.table(id))
    }

    /// A table is about to be changed.
    #[inline]
    fn before_change(&mut self, id: u32) {
        if let Some(frozen) = &mut self.frozen {
            frozen.before_change(id, &mut self.tables[id as usize]);
        }
    }
}
