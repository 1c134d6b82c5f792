//! A bucket: one map of keys to values, under a name.
//!
//! A small bucket is compact: one block holds its name and its entries, one after the other. A larger one has a
//! block with its name and the number of a table.

pub(crate) mod block;

use crate::{
    arena::{Arena, Full, Handle},
    entry::Entry,
    limits::{COMPACT_BYTES, PAGE_BYTES, PAGE_NAMES},
    memory::Memory,
    table::{Place, Table},
};
use block::{Block, Body, compact_size, table_size, walk, write_compact, write_table};
use serde_bytes::Bytes;
use std::{hash::BuildHasher, ops::Range};

/// A bucket, by the block that it is. A change may move it to another block.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Bucket(pub(crate) Handle);

impl Bucket {
    /// Starts an empty bucket.
    pub(crate) fn start(memory: &mut Memory, name: &[u8]) -> Result<Bucket, Full> {
        if compact_size(name, 0) > COMPACT_BYTES {
            let (handle, _) = start_table(memory, name)?;
            return Ok(Bucket(handle));
        }
        let handle = memory.arena.allocate(compact_size(name, 0))?;
        write_compact(memory.arena.bytes_mut(handle), name, [&[]; 3]);
        Ok(Bucket(handle))
    }

    /// Takes the bucket apart. Its table, if it has one, is handed over with all its entries.
    pub(crate) fn end(self, memory: &mut Memory) -> Option<Table> {
        let Block { name, body } = self.block(memory);
        let (size, table) = match body {
            Body::Compact(entries) => (compact_size(name, entries.len()), None),
            Body::Table(number) => (table_size(name), Some(number)),
        };
        memory.arena.free(self.0, size);
        table.map(|number| memory.take_table(number))
    }

    /// Its name.
    pub(crate) fn name(self, memory: &Memory) -> &[u8] {
        self.block(memory).name
    }

    /// The value of a key.
    pub(crate) fn get<'m>(self, memory: &'m Memory, key: &[u8]) -> Option<&'m [u8]> {
        match self.block(memory).body {
            Body::Compact(entries) => {
                walk(entries).find(|(_, entry)| entry.key == key).map(|(_, entry)| entry.value)
            }
            Body::Table(number) => {
                let place = find(memory, number, key)?;
                Some(memory.entry(memory.table(number).get(place)).value)
            }
        }
    }

    /// Sets a key to a value.
    pub(crate) fn put(&mut self, memory: &mut Memory, key: &[u8], value: &[u8]) -> Result<(), Full> {
        let entry = Entry { key, value };
        let Block { name, body } = self.block(memory);
        let number = match body {
            Body::Table(number) => number,
            Body::Compact(entries) => {
                let end = entries.len()..entries.len();
                let old = walk(entries).find(|(_, old)| old.key == key).map_or(end, |(at, _)| at);
                if compact_size(name, entries.len() - old.len() + entry.size()) <= COMPACT_BYTES {
                    let mut bytes = [0; COMPACT_BYTES];
                    entry.write(&mut bytes);
                    return self.splice(memory, old, &bytes[..entry.size()]);
                }
                self.outgrow(memory)?
            }
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
        }
        Ok(true)
    }

    /// One page of keys, from `cursor` on, and the cursor of the next; 0 at the end.
    pub(crate) fn keys(self, memory: &Memory, cursor: u64) -> (Vec<&Bytes>, u64) {
        match self.block(memory).body {
            Body::Compact(entries) => (walk(entries).map(|(_, entry)| Bytes::new(entry.key)).collect(), 0),
            Body::Table(number) => page(memory.table(number), cursor, |handle| memory.entry(handle).key),
        }
    }

    fn block(self, memory: &Memory) -> Block<'_> {
        Block::read(memory.arena.bytes(self.0))
    }

    /// Replaces a range of a compact bucket's entries.
    fn splice(&mut self, memory: &mut Memory, range: Range<usize>, with: &[u8]) -> Result<(), Full> {
        let Block { name, body: Body::Compact(entries) } = self.block(memory) else {
            unreachable!("only compact buckets are spliced");
        };
        let before = compact_size(name, entries.len());
        let after = compact_size(name, entries.len() - range.len() + with.len());
        let mut block = [0; COMPACT_BYTES];
        write_compact(&mut block, name, [&entries[..range.start], with, &entries[range.end..]]);
        if !Arena::same_size(before, after) {
            let handle = memory.arena.allocate(after)?;
            memory.arena.free(self.0, before);
            self.0 = handle;
        }
        memory.arena.bytes_mut(self.0)[..after].copy_from_slice(&block[..after]);
        Ok(())
    }

    /// Moves a compact bucket's entries to a table, and returns its number.
    fn outgrow(&mut self, memory: &mut Memory) -> Result<u32, Full> {
        let mut copy = [0; COMPACT_BYTES];
        let bytes = memory.arena.bytes(self.0);
        let length = bytes.len().min(COMPACT_BYTES);
        copy[..length].copy_from_slice(&bytes[..length]);
        let Block { name, body: Body::Compact(entries) } = Block::read(&copy) else {
            unreachable!("only compact buckets outgrow their block");
        };
        let (handle, number) = start_table(memory, name)?;
        for (_, entry) in walk(entries) {
            put_in_table(memory, number, entry)?;
        }
        memory.arena.free(self.0, compact_size(name, entries.len()));
        self.0 = handle;
        Ok(number)
    }
}

/// A block for a bucket with a table, and the table's number.
fn start_table(memory: &mut Memory, name: &[u8]) -> Result<(Handle, u32), Full> {
    let handle = memory.arena.allocate(table_size(name))?;
    let number = memory.add_table();
    write_table(memory.arena.bytes_mut(handle), name, number);
    Ok((handle, number))
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

/// One page of a table's names from a line on, and the line where the next page starts; 0 at the end.
pub(crate) fn page<'m>(
    table: &Table,
    cursor: u64,
    name: impl Fn(Handle) -> &'m [u8],
) -> (Vec<&'m Bytes>, u64) {
    let (mut names, mut bytes) = (Vec::new(), 0);
    let mut line = usize::try_from(cursor).unwrap_or(usize::MAX);
    while line < table.lines() {
        if names.len() >= PAGE_NAMES || bytes >= PAGE_BYTES {
            return (names, line as u64);
        }
        names.extend(
            table.line(line).map(|handle| Bytes::new(name(handle))).inspect(|name| bytes += name.len()),
        );
        line += 1;
    }
    (names, 0)
}

#[cfg(test)]
mod tests;
