//! A map of keys to values: Redis's hash. Few entries are stored inline, one after the other in the bucket's
//! block; many are stored in a table.

use super::{Block, Body, Bucket, Entries, Head, WrongType, inline_entries};
use crate::{
    error::CommandError,
    limits::{INLINE_BYTES, PAGE_BYTES, PAGE_LINES},
    memory::{
        Memory,
        arena::{Arena, ArenaFull, Handle},
        entry::{Entry, Value},
        table::{SlotRef, Table},
    },
};
use std::ops::Range;

/// A read-only view of a map.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Map<'m> {
    pub(super) memory: &'m Memory,
    pub(super) entries: Entries<'m>,
}

impl<'m> Map<'m> {
    /// The entry of a key, whose hash is `hash`.
    #[inline]
    pub(crate) fn get(self, hash: u64, key: &[u8]) -> Option<Entry<'m>> {
        match self.entries {
            Entries::Inline(entries) => {
                inline_entries(entries).map(|(_, entry)| entry).find(|entry| entry.key == key)
            }
            Entries::Table(id) => {
                search(self.memory, id, hash, key, |_, entry| entry).map(|(_, entry)| entry)
            }
        }
    }

    /// One page of about `wanted` entries, from `cursor` on, and the cursor of the next page; 0 at the end.
    pub(crate) fn entries(self, cursor: u64, wanted: usize) -> (Vec<Entry<'m>>, u64) {
        match self.entries {
            Entries::Inline(entries) => (inline_entries(entries).map(|(_, entry)| entry).collect(), 0),
            Entries::Table(id) => scan_page(self.memory, id, cursor, wanted),
        }
    }

    /// A random entry, each equally likely. `None` when there is none, or when the chosen slot of a table is
    /// vacant or its entry has expired.
    pub(crate) fn random(self, now_ms: u64) -> Option<Entry<'m>> {
        match self.entries {
            Entries::Inline(entries) => {
                let live = || {
                    inline_entries(entries).map(|(_, entry)| entry).filter(|entry| !entry.is_expired(now_ms))
                };
                live().nth(fastrand::usize(..live().count().max(1)))
            }
            Entries::Table(id) => {
                let entry = self.memory.entry(self.memory.table(id).random()?);
                (!entry.is_expired(now_ms)).then_some(entry)
            }
        }
    }

    /// Its table, if it has outgrown its bucket's block.
    pub(crate) fn table(self) -> Option<&'m Table> {
        match self.entries {
            Entries::Inline(_) => None,
            Entries::Table(id) => Some(self.memory.table(id)),
        }
    }
}

impl Bucket {
    /// Creates an empty map. `keep_when_empty`: it stays when its last entry goes.
    pub(crate) fn create_map(
        memory: &mut Memory,
        name: &[u8],
        keep_when_empty: bool,
        expires_at_ms: Option<u64>,
    ) -> Result<Bucket, ArenaFull> {
        let head = Head { name, keep_when_empty, expires_at_ms };
        let entries =
            if fits_inline(&head, 0) { Entries::Inline(&[]) } else { Entries::Table(memory.add_table()) };
        Bucket::create(memory, Block { head, body: Body::Map(entries) })
    }

    /// The map.
    #[inline]
    pub(crate) fn map(self, memory: &Memory) -> Result<Map<'_>, WrongType> {
        match self.body(memory) {
            Body::Map(entries) => Ok(Map { memory, entries }),
            _ => Err(WrongType),
        }
    }

    /// Sets a key of the map, whose hash is `hash`. Returns whether it is new: it did not exist, or had
    /// expired by `now_ms`. If it fails, a large value still is the caller's.
    pub(crate) fn put(
        &mut self,
        memory: &mut Memory,
        hash: u64,
        entry: Entry<'_>,
        now_ms: u64,
    ) -> Result<bool, CommandError> {
        let id = match self.map(memory)?.entries {
            Entries::Table(id) => id,
            Entries::Inline(entries) => {
                let old = inline_entries(entries).find(|(_, old)| old.key == entry.key);
                let is_new = old.as_ref().is_none_or(|(_, old)| old.is_expired(now_ms));
                let range = old.map_or(entries.len()..entries.len(), |(range, _)| range);
                if entry.value.small().is_some()
                    && fits_inline(&self.block(memory).head, entries.len() - range.len() + entry.size())
                {
                    let had_expiry = self.has_inline_expiry(memory);
                    let offset = self.splice(memory, range, entry.size())?;
                    entry.write(&mut memory.arena.bytes_mut(self.0)[offset..]);
                    if had_expiry || entry.expires_at_ms.is_some() {
                        memory.expiring.replace_inline(had_expiry, self.body(memory).has_inline_expiry());
                    }
                    return Ok(is_new);
                }
                self.promote_to_table(memory)?
            }
        };
        Ok(put_in_table(memory, id, hash, entry, now_ms)?)
    }

    /// Removes a key of the map, whose hash is `hash`. Returns whether it existed and had not expired by
    /// `now_ms`.
    pub(crate) fn delete(
        &mut self,
        memory: &mut Memory,
        hash: u64,
        key: &[u8],
        now_ms: u64,
    ) -> Result<bool, CommandError> {
        match self.map(memory)?.entries {
            Entries::Inline(entries) => {
                let Some((range, entry)) = inline_entries(entries).find(|(_, entry)| entry.key == key) else {
                    return Ok(false);
                };
                let was_live = !entry.is_expired(now_ms);
                let had_expiry = self.has_inline_expiry(memory);
                self.splice(memory, range, 0)?;
                if had_expiry {
                    memory.expiring.replace_inline(true, self.body(memory).has_inline_expiry());
                }
                Ok(was_live)
            }
            Entries::Table(id) => {
                let Some((slot, entry)) = search(memory, id, hash, key, |_, entry| entry) else {
                    return Ok(false);
                };
                let was_live = !entry.is_expired(now_ms);
                remove_from_table(memory, id, slot);
                Ok(was_live)
            }
        }
    }

    /// Whether one of the inline entries expires. Usually none does in the whole shard.
    pub(super) fn has_inline_expiry(self, memory: &Memory) -> bool {
        memory.expiring.inline_maps > 0 && self.body(memory).has_inline_expiry()
    }

    /// Resizes a range of the inline entries to `room` bytes, and returns its offset in the block.
    fn splice(&mut self, memory: &mut Memory, range: Range<usize>, room: usize) -> Result<usize, ArenaFull> {
        let block = self.block(memory);
        let Body::Map(Entries::Inline(entries)) = block.body else { unreachable!("the entries are inline") };
        let (size, length_offset) = (block.size(), block.head.size());
        let length = (entries.len() - range.len() + room) as u16;
        let offset = length_offset + 2 + range.start;
        if range.len() == room {
            return Ok(offset);
        }
        self.0 = memory.arena.resize_gap(self.0, size, offset..offset + range.len(), room)?;
        let length_bytes = &mut memory.arena.bytes_mut(self.0)[length_offset..length_offset + 2];
        length_bytes.copy_from_slice(&length.to_le_bytes());
        Ok(offset)
    }

    /// Moves the inline entries to a table, and returns its id.
    fn promote_to_table(&mut self, memory: &mut Memory) -> Result<u32, ArenaFull> {
        let copy = memory.arena.bytes(self.0)[..self.block(memory).size()].to_vec();
        let Block { head, body: Body::Map(Entries::Inline(entries)) } = Block::read(&copy) else {
            unreachable!("the entries are inline");
        };
        let id = memory.add_table();
        for (_, entry) in inline_entries(entries) {
            put_in_table(memory, id, memory.hash(entry.key), entry, 0)?;
        }
        let had_expiry = self.has_inline_expiry(memory);
        self.rewrite(memory, Block { head, body: Body::Map(Entries::Table(id)) })?;
        memory.expiring.replace_inline(had_expiry, false);
        Ok(id)
    }
}

/// Whether `entries` bytes of entries are stored inline.
fn fits_inline(head: &Head<'_>, entries: usize) -> bool {
    head.size() + 2 + entries <= INLINE_BYTES
}

/// Finds the entry of a key in a table, and what `found` makes of it and its handle.
#[inline(always)]
fn search<'m, T>(
    memory: &'m Memory,
    id: u32,
    hash: u64,
    key: &[u8],
    found: impl Fn(Handle, Entry<'m>) -> T,
) -> Option<(SlotRef, T)> {
    memory.table(id).search(hash, |handle| {
        // Long entries span two cache lines; fetch both at once.
        memory.arena.prefetch(handle);
        let entry = memory.entry(handle);
        (entry.key == key).then(|| found(handle, entry))
    })
}

/// Sets a key of a table. Returns whether it is new, as [`Bucket::put`] does.
fn put_in_table(
    memory: &mut Memory,
    id: u32,
    hash: u64,
    entry: Entry<'_>,
    now_ms: u64,
) -> Result<bool, ArenaFull> {
    let Some((slot, (handle, old))) = search(memory, id, hash, entry.key, |handle, old| (handle, old)) else {
        add_to_table(memory, id, hash, entry)?;
        return Ok(true);
    };
    if let (Value::Bytes(value), Value::Bytes(old_value)) = (entry.value, old.value)
        && old_value.len() == value.len()
        && old.expires_at_ms == entry.expires_at_ms
    {
        let (is_new, size) = (old.is_expired(now_ms), old.size());
        memory.arena.bytes_mut(handle)[size - value.len()..size].copy_from_slice(value);
        return Ok(is_new);
    }
    replace_in_table(memory, id, slot, entry, now_ms)
}

/// Replaces the entry in a slot of a table. Returns whether the old one had expired.
#[inline(never)]
fn replace_in_table(
    memory: &mut Memory,
    id: u32,
    slot: SlotRef,
    entry: Entry<'_>,
    now_ms: u64,
) -> Result<bool, ArenaFull> {
    let before = memory.table(id).get(slot);
    let old = memory.entry(before);
    let (size, is_new, expires_at_ms) = (old.size(), old.is_expired(now_ms), old.expires_at_ms);
    let (mut after, old_large) = (before, old.value.large());
    if Arena::same_size_class(size, entry.size()) {
        entry.write(memory.arena.bytes_mut(before));
    } else {
        after = memory.add_entry(entry)?;
        memory.table_mut(id).set(slot, after);
        memory.arena.free(before, size);
    }
    // A change of the expiry keeps a large value.
    if let Some(at) = old_large.filter(|at| entry.value.large() != Some(*at)) {
        memory.arena.free_value(Value::Large(at));
    }
    memory.expiries.remove(id, before, expires_at_ms);
    memory.expiries.add(id, after, entry.expires_at_ms);
    Ok(is_new)
}

/// Removes the entry in a slot of a table.
pub(super) fn remove_from_table(memory: &mut Memory, id: u32, slot: SlotRef) {
    let handle = memory.remove_from_table(id, slot);
    let expires_at_ms = memory.entry(handle).expires_at_ms;
    memory.expiries.remove(id, handle, expires_at_ms);
    memory.free_entry(handle);
}

/// Adds an entry, whose key is new, to a table.
pub(super) fn add_to_table(
    memory: &mut Memory,
    id: u32,
    hash: u64,
    entry: Entry<'_>,
) -> Result<(), ArenaFull> {
    let handle = memory.add_entry(entry)?;
    memory.add_to_table(id, hash, handle);
    memory.expiries.add(id, handle, entry.expires_at_ms);
    Ok(())
}

/// One page of a table's entries, as [`Map::entries`] returns it.
fn scan_page(memory: &Memory, id: u32, mut cursor: u64, wanted: usize) -> (Vec<Entry<'_>>, u64) {
    let (mut entries, mut bytes) = (Vec::new(), 0);
    for _ in 0..PAGE_LINES {
        let (handles, next) = memory.table(id).scan_step(cursor, |handle| memory.key_hash(handle));
        #[cfg(test)]
        let handles = handles.inspect(|_| crate::tests::work::touch(1));
        let step = handles.map(|handle: Handle| memory.entry(handle));
        entries.extend(step.inspect(|entry| bytes += entry.key.len() + entry.value.len()));
        cursor = next;
        if cursor == 0 || entries.len() >= wanted || bytes >= PAGE_BYTES {
            break;
        }
    }
    (entries, cursor)
}
