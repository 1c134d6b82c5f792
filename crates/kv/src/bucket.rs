//! A bucket: one map of keys to values under a name, or a single value (what Redis calls a string).
//!
//! A small map is compact: one block holds its name and its entries, one after the other. A larger one has a block
//! with its name and the number of a table.

mod block;

use crate::{
    arena::{Arena, Full, Handle},
    entry::Entry,
    limits::{COMPACT_BYTES, PAGE_BYTES, PAGE_NAMES},
    memory::Memory,
    table::{Place, Table},
};
use arrayvec::ArrayVec;
use block::{Block, Body, Head, walk};
use std::{hash::BuildHasher, ops::Range};

/// A bucket, by the block that it is. A change may move it to another block.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Bucket(pub(crate) Handle);

/// What a bucket holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Contents<'m> {
    /// A map of so many entries, kept in one block or in a table.
    Map { len: usize, compact: bool },
    /// A single value.
    Text(&'m [u8]),
}

impl Bucket {
    /// Starts an empty map. `kept`: it stays when its last entry goes.
    pub(crate) fn start(memory: &mut Memory, name: &[u8], kept: bool) -> Result<Bucket, Full> {
        let head = Head { name, kept, expires: None };
        let fits = head.size() + 2 <= COMPACT_BYTES;
        let body = if fits { Body::Compact(&[]) } else { Body::Table(memory.add_table()) };
        add_block(memory, Block { head, body })
    }

    /// Starts a bucket that holds a single value.
    pub(crate) fn start_text(
        memory: &mut Memory,
        name: &[u8],
        value: &[u8],
        expires: Option<u64>,
    ) -> Result<Bucket, Full> {
        add_block(memory, Block { head: Head { name, kept: false, expires }, body: Body::Text(value) })
    }

    /// Takes the bucket apart. Its table, if it has one, is handed over with all its entries.
    pub(crate) fn end(self, memory: &mut Memory) -> Option<Table> {
        let block = self.block(memory);
        let table = if let Body::Table(number) = block.body { Some(number) } else { None };
        let size = block.size();
        memory.arena.free(self.0, size);
        table.map(|number| memory.take_table(number))
    }

    /// Its name.
    pub(crate) fn name(self, memory: &Memory) -> &[u8] {
        self.block(memory).head.name
    }

    /// When it expires, in milliseconds since 1970.
    pub(crate) fn expires(self, memory: &Memory) -> Option<u64> {
        self.block(memory).head.expires
    }

    /// Whether it stays when its last entry goes.
    pub(crate) fn is_kept(self, memory: &Memory) -> bool {
        self.block(memory).head.kept
    }

    /// Whether it holds a map.
    pub(crate) fn is_map(self, memory: &Memory) -> bool {
        !matches!(self.block(memory).body, Body::Text(_))
    }

    /// The table of its entries, if it has outgrown its block.
    pub(crate) fn table(self, memory: &Memory) -> Option<&Table> {
        match self.block(memory).body {
            Body::Table(number) => Some(memory.table(number)),
            Body::Compact(_) | Body::Text(_) => None,
        }
    }

    /// What it holds.
    pub(crate) fn contents(self, memory: &Memory) -> Contents<'_> {
        match self.block(memory).body {
            Body::Compact(entries) => Contents::Map { len: walk(entries).count(), compact: true },
            Body::Table(number) => Contents::Map { len: memory.table(number).len(), compact: false },
            Body::Text(value) => Contents::Text(value),
        }
    }

    /// Sets when it expires, and whether it stays when its last entry goes.
    pub(crate) fn set_head(
        &mut self,
        memory: &mut Memory,
        kept: bool,
        expires: Option<u64>,
    ) -> Result<(), Full> {
        let bytes = memory.arena.bytes(self.0)[..self.block(memory).size()].to_vec();
        let Block { head, body } = Block::read(&bytes);
        let head = Head { kept, expires, ..head };
        if matches!(body, Body::Compact(entries) if head.size() + 2 + entries.len() > COMPACT_BYTES) {
            let number = self.outgrow(memory)?;
            return self.rewrite(memory, Block { head, body: Body::Table(number) });
        }
        self.rewrite(memory, Block { head, body })
    }

    /// Replaces a single value by another, and sets when the bucket expires.
    pub(crate) fn set_text(
        &mut self,
        memory: &mut Memory,
        name: &[u8],
        value: &[u8],
        expires: Option<u64>,
    ) -> Result<(), Full> {
        self.rewrite(memory, Block { head: Head { name, kept: false, expires }, body: Body::Text(value) })
    }

    /// The entry of a key.
    pub(crate) fn get<'m>(self, memory: &'m Memory, key: &[u8]) -> Option<Entry<'m>> {
        match self.block(memory).body {
            Body::Compact(entries) => walk(entries).map(|(_, entry)| entry).find(|entry| entry.key == key),
            Body::Table(number) => {
                let place = find(memory, number, key)?;
                Some(memory.entry(memory.table(number).get(place)))
            }
            Body::Text(_) => None,
        }
    }

    /// Sets a key to a value.
    pub(crate) fn put(&mut self, memory: &mut Memory, entry: Entry<'_>) -> Result<(), Full> {
        let Block { head, body } = self.block(memory);
        let number = match body {
            Body::Table(number) => number,
            Body::Compact(entries) => {
                let end = entries.len()..entries.len();
                let old = walk(entries).find(|(_, old)| old.key == entry.key).map_or(end, |(at, _)| at);
                if head.size() + 2 + entries.len() - old.len() + entry.size() <= COMPACT_BYTES {
                    let mut bytes = [0; COMPACT_BYTES];
                    entry.write(&mut bytes);
                    return self.splice(memory, old, &bytes[..entry.size()]);
                }
                self.outgrow(memory)?
            }
            Body::Text(_) => unreachable!("a single value has no keys"),
        };
        put_in_table(memory, number, entry)
    }

    /// Forgets a key; `false` when it was not there.
    pub(crate) fn delete(&mut self, memory: &mut Memory, key: &[u8]) -> Result<bool, Full> {
        match self.block(memory).body {
            Body::Compact(entries) => {
                let Some((at, _)) = walk(entries).find(|(_, entry)| entry.key == key) else {
                    return Ok(false);
                };
                self.splice(memory, at, &[])?;
            }
            Body::Table(number) => {
                let Some(place) = find(memory, number, key) else { return Ok(false) };
                let handle = memory.table_mut(number).0.remove(place);
                memory.free_entry(handle);
            }
            Body::Text(_) => return Ok(false),
        }
        Ok(true)
    }

    /// One page of entries, from `cursor` on, and the cursor of the next; 0 at the end.
    pub(crate) fn entries(self, memory: &Memory, cursor: u64) -> (Vec<Entry<'_>>, u64) {
        match self.block(memory).body {
            Body::Compact(entries) => (walk(entries).map(|(_, entry)| entry).collect(), 0),
            Body::Table(number) => {
                let size = |entry: &Entry<'_>| entry.key.len() + entry.value.len();
                page(memory.table(number), cursor, |handle| memory.entry(handle), size)
            }
            Body::Text(_) => (Vec::new(), 0),
        }
    }

    fn block(self, memory: &Memory) -> Block<'_> {
        Block::read(memory.arena.bytes(self.0))
    }

    /// Replaces the block by another, which borrows nothing from it.
    fn rewrite(&mut self, memory: &mut Memory, block: Block<'_>) -> Result<(), Full> {
        let before = self.block(memory).size();
        if !Arena::same_size(before, block.size()) {
            let handle = memory.arena.allocate(block.size())?;
            memory.arena.free(self.0, before);
            self.0 = handle;
        }
        block.write(memory.arena.bytes_mut(self.0));
        Ok(())
    }

    /// Replaces a range of a compact bucket's entries.
    fn splice(&mut self, memory: &mut Memory, range: Range<usize>, with: &[u8]) -> Result<(), Full> {
        let Block { head, body: Body::Compact(entries) } = self.block(memory) else {
            unreachable!("only compact buckets are spliced");
        };
        let mut copy = ArrayVec::<u8, COMPACT_BYTES>::new();
        for part in [head.name, &entries[..range.start], with, &entries[range.end..]] {
            copy.try_extend_from_slice(part).expect("a compact bucket fits its limit");
        }
        let (kept, expires) = (head.kept, head.expires);
        let (name, entries) = copy.split_at(head.name.len());
        self.rewrite(memory, Block { head: Head { name, kept, expires }, body: Body::Compact(entries) })
    }

    /// Moves a compact bucket's entries to a table, and returns its number.
    fn outgrow(&mut self, memory: &mut Memory) -> Result<u32, Full> {
        let copy = memory.arena.bytes(self.0)[..self.block(memory).size()].to_vec();
        let Block { head, body: Body::Compact(entries) } = Block::read(&copy) else {
            unreachable!("only compact buckets outgrow their block");
        };
        let number = memory.add_table();
        for (_, entry) in walk(entries) {
            put_in_table(memory, number, entry)?;
        }
        self.rewrite(memory, Block { head, body: Body::Table(number) })?;
        Ok(number)
    }
}

fn add_block(memory: &mut Memory, block: Block<'_>) -> Result<Bucket, Full> {
    let handle = memory.arena.allocate(block.size())?;
    block.write(memory.arena.bytes_mut(handle));
    Ok(Bucket(handle))
}

fn find(memory: &Memory, number: u32, key: &[u8]) -> Option<Place> {
    memory.table(number).find(memory.hash(key), |handle| memory.entry(handle).key == key)
}

fn put_in_table(memory: &mut Memory, number: u32, entry: Entry<'_>) -> Result<(), Full> {
    let Some(place) = find(memory, number, entry.key) else {
        let handle = memory.add_entry(entry)?;
        let hash = memory.hash(entry.key);
        let (table, arena, hasher) = memory.table_mut(number);
        table.insert(hash, handle, |handle| hasher.hash_one(Entry::read(arena.bytes(handle)).key));
        return Ok(());
    };
    let old = memory.table(number).get(place);
    if Arena::same_size(memory.entry(old).size(), entry.size()) {
        entry.write(memory.arena.bytes_mut(old));
        return Ok(());
    }
    let new = memory.add_entry(entry)?;
    memory.table_mut(number).0.set(place, new);
    memory.free_entry(old);
    Ok(())
}

/// One page of what a table's handles name, from a line on, and the line where the next page starts; 0 at the end.
pub(crate) fn page<T>(
    table: &Table,
    cursor: u64,
    item: impl Fn(Handle) -> T,
    size: impl Fn(&T) -> usize,
) -> (Vec<T>, u64) {
    let (mut items, mut bytes) = (Vec::new(), 0);
    let mut line = usize::try_from(cursor).unwrap_or(usize::MAX);
    while line < table.lines() {
        if items.len() >= PAGE_NAMES || bytes >= PAGE_BYTES {
            return (items, line as u64);
        }
        items.extend(table.line(line).map(&item).inspect(|item| bytes += size(item)));
        line += 1;
    }
    (items, 0)
}

#[cfg(test)]
mod tests;
