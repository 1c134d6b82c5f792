//! A bucket: one map of keys to values under a name, or a single value (what Redis calls a string).
//!
//! A small map is compact: one block holds its name and its entries, one after the other. A larger one has a block
//! with its name and the number of a table.

mod expiry;
mod layout;
mod transfer;

pub(crate) use transfer::Packed;

use crate::{
    CommandError,
    limits::{COMPACT_BYTES, PAGE_BYTES, PAGE_LINES, RANDOM_TRIES},
    memory::Memory,
    memory::arena::{Arena, Full, Handle},
    memory::entry::{Entry, varint_size, write_varint},
    memory::table::{Place, Table},
};
use layout::{Block, Body, Head, walk};
use serde::{Deserialize, Serialize};
use std::ops::Range;

/// A bucket, by the block that it is. A change may move it to another block.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Bucket(pub(crate) Handle);

/// A map is wanted, and the bucket holds a single value; or the other way round.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct WrongType;

impl From<WrongType> for CommandError {
    fn from(_: WrongType) -> CommandError {
        CommandError::WrongType
    }
}

/// What a bucket holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Kind {
    /// A map of keys to values: Redis's hash.
    Map,
    /// A single value: Redis's string.
    Str,
}

impl Kind {
    /// Every kind.
    pub const ALL: [Kind; 2] = [Kind::Map, Kind::Str];

    /// Its name in Redis.
    pub fn name(self) -> &'static str {
        match self {
            Kind::Map => "hash",
            Kind::Str => "string",
        }
    }
}

impl Bucket {
    /// Starts an empty map. `kept`: it stays when its last entry goes.
    pub(crate) fn start(memory: &mut Memory, name: &[u8], kept: bool) -> Result<Bucket, Full> {
        let head = Head { name, kept, expires_at_ms: None };
        let body = if fits(&head, 0) { Body::Compact(&[]) } else { Body::Table(memory.add_table()) };
        add_block(memory, Block { head, body })
    }

    /// Starts a bucket that holds a single value.
    pub(crate) fn create_string(
        memory: &mut Memory,
        name: &[u8],
        value: &[u8],
        expires_at_ms: Option<u64>,
    ) -> Result<Bucket, Full> {
        add_block(memory, Block { head: Head { name, kept: false, expires_at_ms }, body: Body::Str(value) })
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
    #[inline]
    pub(crate) fn name(self, memory: &Memory) -> &[u8] {
        layout::name(memory.arena.bytes(self.0))
    }

    /// When it expires, in milliseconds since 1970.
    pub(crate) fn expires_at_ms(self, memory: &Memory) -> Option<u64> {
        layout::expires_at_ms(memory.arena.bytes(self.0))
    }

    /// Whether it stays when its last entry goes.
    pub(crate) fn keeps_when_empty(self, memory: &Memory) -> bool {
        self.block(memory).head.kept
    }

    /// The single value.
    #[inline]
    pub(crate) fn string(self, memory: &Memory) -> Result<&[u8], WrongType> {
        match self.body(memory) {
            Body::Str(value) => Ok(value),
            Body::Compact(_) | Body::Table(_) => Err(WrongType),
        }
    }

    /// What it holds.
    pub(crate) fn kind(self, memory: &Memory) -> Kind {
        match self.body(memory) {
            Body::Compact(_) | Body::Table(_) => Kind::Map,
            Body::Str(_) => Kind::Str,
        }
    }

    /// The table of its entries, if it has outgrown its block.
    pub(crate) fn table(self, memory: &Memory) -> Option<&Table> {
        match self.body(memory) {
            Body::Table(number) => Some(memory.table(number)),
            Body::Compact(_) | Body::Str(_) => None,
        }
    }

    /// Sets its name, whether it stays when its last entry goes, and when it expires.
    pub(crate) fn set_head(
        &mut self,
        memory: &mut Memory,
        name: &[u8],
        kept: bool,
        expires_at_ms: Option<u64>,
    ) -> Result<(), Full> {
        let head = Head { name, kept, expires_at_ms };
        if matches!(self.body(memory), Body::Compact(entries) if !fits(&head, entries.len())) {
            self.outgrow(memory)?;
        }
        let block = self.block(memory);
        let (kind, size, before) = (block.body.kind(), block.size(), block.head.size());
        self.0 = memory.arena.stretch(self.0, size, 0..before, head.size())?;
        head.write(memory.arena.bytes_mut(self.0), kind);
        Ok(())
    }

    /// Replaces a single value, which must be there, by another, and sets when the bucket expires.
    pub(crate) fn set_string(
        &mut self,
        memory: &mut Memory,
        name: &[u8],
        value: &[u8],
        expires_at_ms: Option<u64>,
    ) -> Result<(), CommandError> {
        let block = self.block(memory);
        if !matches!(block.body, Body::Str(_)) {
            return Err(CommandError::WrongType);
        }
        let (at, body) = (block.head.size(), Body::Str(value));
        if block.head.expires_at_ms == expires_at_ms && Arena::same_size(block.size(), at + body.size()) {
            body.write(&mut memory.arena.bytes_mut(self.0)[at..]);
            return Ok(());
        }
        Ok(self.rewrite(memory, Block { head: Head { name, kept: false, expires_at_ms }, body })?)
    }

    /// Writes into a single value, from `offset` on. It grows as it must, with zeros up to `offset`.
    pub(crate) fn write_string(
        &mut self,
        memory: &mut Memory,
        offset: usize,
        bytes: &[u8],
    ) -> Result<(), Full> {
        let block = self.block(memory);
        let Body::Str(value) = block.body else { unreachable!("only a single value is written into") };
        let (at, before, after) = (block.head.size(), value.len(), value.len().max(offset + bytes.len()));
        let (width, new_width) = (varint_size(before), varint_size(after));
        let size = block.size();
        self.0 = memory.arena.stretch(self.0, size, size..size, new_width + after - width - before)?;
        let text = &mut memory.arena.bytes_mut(self.0)[at..];
        if new_width != width {
            text.copy_within(width..width + before, new_width);
        }
        write_varint(text, after);
        let value = &mut text[new_width..new_width + after];
        value[before.min(offset)..offset].fill(0);
        value[offset..offset + bytes.len()].copy_from_slice(bytes);
        Ok(())
    }

    /// The entry of a key of the map, whose hash is `hash`.
    #[inline]
    pub(crate) fn get<'m>(
        self,
        memory: &'m Memory,
        hash: u64,
        key: &[u8],
    ) -> Result<Option<Entry<'m>>, WrongType> {
        match self.body(memory) {
            Body::Compact(entries) => {
                Ok(walk(entries).map(|(_, entry)| entry).find(|entry| entry.key == key))
            }
            Body::Table(number) => Ok(search(memory, number, hash, key).map(|(_, entry)| entry)),
            Body::Str(_) => Err(WrongType),
        }
    }

    /// Sets a key, whose hash is `hash`, to a value. Returns whether it is new: there was none, or it had expired by `now`.
    pub(crate) fn put(
        &mut self,
        memory: &mut Memory,
        hash: u64,
        entry: Entry<'_>,
        now_ms: u64,
    ) -> Result<bool, CommandError> {
        let number = match self.body(memory) {
            Body::Table(number) => number,
            Body::Compact(entries) => {
                let old = walk(entries).find(|(_, old)| old.key == entry.key);
                let is_new = old.as_ref().is_none_or(|(_, old)| old.is_expired(now_ms));
                let at = old.map_or(entries.len()..entries.len(), |(at, _)| at);
                if fits(&self.block(memory).head, entries.len() - at.len() + entry.size()) {
                    let at = self.splice(memory, at, entry.size())?;
                    entry.write(&mut memory.arena.bytes_mut(self.0)[at..]);
                    return Ok(is_new);
                }
                self.outgrow(memory)?
            }
            Body::Str(_) => return Err(CommandError::WrongType),
        };
        Ok(put_in_table(memory, number, hash, entry, now_ms)?)
    }

    /// Forgets a key, whose hash is `hash`. Returns whether it was there, and had not expired by `now`.
    pub(crate) fn delete(
        &mut self,
        memory: &mut Memory,
        hash: u64,
        key: &[u8],
        now_ms: u64,
    ) -> Result<bool, CommandError> {
        match self.body(memory) {
            Body::Compact(entries) => {
                let Some((at, entry)) = walk(entries).find(|(_, entry)| entry.key == key) else {
                    return Ok(false);
                };
                let was_there = !entry.is_expired(now_ms);
                self.splice(memory, at, 0)?;
                Ok(was_there)
            }
            Body::Table(number) => {
                let Some((place, entry)) = search(memory, number, hash, key) else { return Ok(false) };
                let was_there = !entry.is_expired(now_ms);
                remove_from_table(memory, number, place);
                Ok(was_there)
            }
            Body::Str(_) => Err(CommandError::WrongType),
        }
    }

    /// One page of about `wanted` entries, from `cursor` on, and the cursor of the next; 0 at the end.
    pub(crate) fn entries(self, memory: &Memory, cursor: u64, wanted: usize) -> (Vec<Entry<'_>>, u64) {
        match self.body(memory) {
            Body::Compact(entries) => (walk(entries).map(|(_, entry)| entry).collect(), 0),
            Body::Table(number) => {
                let size = |entry: &Entry<'_>| entry.key.len() + entry.value.len();
                page(memory.table(number), cursor, wanted, |handle| memory.entry(handle), size)
            }
            Body::Str(_) => (Vec::new(), 0),
        }
    }

    /// An entry chosen at random, all alike; `None` when hardly any is left, or none.
    pub(crate) fn random(self, memory: &Memory, now_ms: u64) -> Option<Entry<'_>> {
        match self.body(memory) {
            Body::Compact(entries) => {
                let alive =
                    || walk(entries).map(|(_, entry)| entry).filter(|entry| !entry.is_expired(now_ms));
                alive().nth(fastrand::usize(..alive().count().max(1)))
            }
            Body::Table(number) => (0..RANDOM_TRIES).find_map(|_| {
                let entry = memory.entry(memory.table(number).random()?);
                (!entry.is_expired(now_ms)).then_some(entry)
            }),
            Body::Str(_) => None,
        }
    }

    #[inline]
    fn body(self, memory: &Memory) -> Body<'_> {
        Body::read(memory.arena.bytes(self.0))
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

    /// Gives a range of a compact bucket's entries the room of `room` bytes, and returns where in the block it is.
    fn splice(&mut self, memory: &mut Memory, range: Range<usize>, room: usize) -> Result<usize, Full> {
        let block = self.block(memory);
        let Body::Compact(entries) = block.body else { unreachable!("only compact buckets are spliced") };
        let (size, length_at) = (block.size(), block.head.size());
        let length = (entries.len() - range.len() + room) as u16;
        let at = length_at + 2 + range.start;
        self.0 = memory.arena.stretch(self.0, size, at..at + range.len(), room)?;
        memory.arena.bytes_mut(self.0)[length_at..length_at + 2].copy_from_slice(&length.to_le_bytes());
        Ok(at)
    }

    /// Moves a compact bucket's entries to a table, and returns its number.
    fn outgrow(&mut self, memory: &mut Memory) -> Result<u32, Full> {
        let copy = memory.arena.bytes(self.0)[..self.block(memory).size()].to_vec();
        let Block { head, body: Body::Compact(entries) } = Block::read(&copy) else {
            unreachable!("only compact buckets outgrow their block");
        };
        let number = memory.add_table();
        for (_, entry) in walk(entries) {
            put_in_table(memory, number, memory.hash(entry.key), entry, 0)?;
        }
        self.rewrite(memory, Block { head, body: Body::Table(number) })?;
        Ok(number)
    }
}

/// Whether a map with so many bytes of entries is kept in one block.
fn fits(head: &Head<'_>, entries: usize) -> bool {
    head.size() + 2 + entries <= COMPACT_BYTES
}

fn add_block(memory: &mut Memory, block: Block<'_>) -> Result<Bucket, Full> {
    let handle = memory.arena.allocate(block.size())?;
    block.write(memory.arena.bytes_mut(handle));
    Ok(Bucket(handle))
}

/// Finds the entry of a key in a table.
#[inline(always)]
fn search<'m>(memory: &'m Memory, number: u32, hash: u64, key: &[u8]) -> Option<(Place, Entry<'m>)> {
    memory.table(number).search(hash, |handle| {
        // Its second line arrives with the first.
        memory.arena.prefetch(handle);
        let entry = memory.entry(handle);
        (entry.key == key).then_some(entry)
    })
}

/// Sets a key of a table, and returns whether it is new, as [`Bucket::put`] does.
fn put_in_table(
    memory: &mut Memory,
    number: u32,
    hash: u64,
    entry: Entry<'_>,
    now_ms: u64,
) -> Result<bool, Full> {
    let Some((place, old)) = search(memory, number, hash, entry.key) else {
        add_to_table(memory, number, hash, entry)?;
        return Ok(true);
    };
    let (size, is_new, expires_at_ms) = (old.size(), old.is_expired(now_ms), old.expires_at_ms);
    let before = memory.table(number).get(place);
    if old.value.len() == entry.value.len() && expires_at_ms == entry.expires_at_ms {
        memory.arena.bytes_mut(before)[size - entry.value.len()..size].copy_from_slice(entry.value);
        return Ok(is_new);
    }
    let mut after = before;
    if Arena::same_size(size, entry.size()) {
        entry.write(memory.arena.bytes_mut(before));
    } else {
        after = memory.add_entry(entry)?;
        memory.table_mut(number).set(place, after);
        memory.free_entry(before);
    }
    memory.expiries.remove(number, before, expires_at_ms);
    memory.expiries.add(number, after, entry.expires_at_ms);
    Ok(is_new)
}

fn remove_from_table(memory: &mut Memory, number: u32, place: Place) {
    let handle = memory.table_mut(number).remove(place);
    let expires_at_ms = memory.entry(handle).expires_at_ms;
    memory.expiries.remove(number, handle, expires_at_ms);
    memory.free_entry(handle);
}

/// Puts an entry, whose key is not there yet, in a table.
fn add_to_table(memory: &mut Memory, number: u32, hash: u64, entry: Entry<'_>) -> Result<(), Full> {
    let handle = memory.add_entry(entry)?;
    memory.add_to_table(number, hash, handle);
    memory.expiries.add(number, handle, entry.expires_at_ms);
    Ok(())
}

/// One page of what a table's handles name, of about `wanted`, and the cursor of the next page; 0 at the end.
pub(crate) fn page<T>(
    table: &Table,
    mut cursor: u64,
    wanted: usize,
    item: impl Fn(Handle) -> T,
    size: impl Fn(&T) -> usize,
) -> (Vec<T>, u64) {
    let (mut items, mut bytes) = (Vec::new(), 0);
    for _ in 0..PAGE_LINES {
        let (handles, next) = table.step(cursor);
        items.extend(handles.map(&item).inspect(|item| bytes += size(item)));
        cursor = next;
        if cursor == 0 || items.len() >= wanted || bytes >= PAGE_BYTES {
            break;
        }
    }
    (items, cursor)
}

#[cfg(test)]
mod tests;
