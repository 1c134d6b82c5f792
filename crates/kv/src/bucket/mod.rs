//! A bucket: one map of keys to values under a name (Redis's hash), or a single value (Redis's string).
//!
//! A bucket is one [`Block`] of its shard's memory: the length of its name, the name, its kind, its expiry
//! (if it has one), and its contents. Each [`Kind`] has a file with its operations: `map` and `string`.

mod expiry;
pub(crate) mod map;
mod string;
pub(crate) mod transfer;

use crate::{
    error::CommandError,
    memory::{
        Memory,
        arena::{Arena, ArenaFull, Handle},
        entry::{Entry, Value, read_time, read_varint, varint_size, write_varint},
        table::Table,
    },
};
use serde::{Deserialize, Serialize};
use std::{ops::Range, sync::Arc};

/// The handle of a bucket's block. A change may move the bucket to another block.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Bucket(pub(crate) Handle);

/// The type of a bucket's value.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Kind {
    /// A map of keys to values: Redis's hash.
    Map,
    /// A single value: Redis's string.
    Str,
}

/// The bucket is of another kind.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct WrongType;

impl From<WrongType> for CommandError {
    fn from(_: WrongType) -> CommandError {
        CommandError::WrongType
    }
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
    fn create(memory: &mut Memory, block: Block<'_>) -> Result<Bucket, ArenaFull> {
        let handle = memory.arena.allocate(block.size())?;
        block.write(memory.arena.bytes_mut(handle));
        memory.expiring.replace(None, block.head.expires_at_ms);
        memory.expiring.replace_inline(false, block.body.has_inline_expiry());
        Ok(Bucket(handle))
    }

    /// Frees the bucket's block. Returns its table, if it has one, whose entries are not freed yet.
    pub(crate) fn destroy(self, memory: &mut Memory) -> Option<Arc<Table>> {
        let block = self.block(memory);
        let table = match block.body {
            Body::Map(Entries::Table(id)) => Some(id),
            Body::Map(Entries::Inline(_)) | Body::Str(..) => None,
        };
        let large = match block.body {
            Body::Str(value, _) => value.large(),
            Body::Map(_) => None,
        };
        let (size, expires_at_ms) = (block.size(), block.head.expires_at_ms);
        let had_inline_expiry = self.has_inline_expiry(memory);
        memory.expiring.replace(expires_at_ms, None);
        memory.expiring.replace_inline(had_inline_expiry, false);
        memory.arena.free(self.0, size);
        if let Some(at) = large {
            memory.arena.free_value(Value::Large(at));
        }
        table.map(|id| memory.take_table(id))
    }

    /// The type of its value.
    pub(crate) fn kind(self, memory: &Memory) -> Kind {
        match self.body(memory) {
            Body::Map(_) => Kind::Map,
            Body::Str(..) => Kind::Str,
        }
    }

    /// Bytes of its block.
    pub(crate) fn size(self, memory: &Memory) -> usize {
        self.block(memory).size()
    }

    /// Bytes of memory of its block, its table and a large string, without those of the table's entries.
    pub(crate) fn own_bytes(self, memory: &Memory) -> usize {
        let outside = match self.body(memory) {
            Body::Map(Entries::Table(id)) => memory.bytes_of_table(id),
            Body::Map(Entries::Inline(_)) => 0,
            Body::Str(value, _) => value.outside_bytes(),
        };
        Arena::block_bytes(self.size(memory)) + outside
    }

    /// Its name.
    #[inline]
    pub(crate) fn name(self, memory: &Memory) -> &[u8] {
        read_name(memory.arena.bytes(self.0))
    }

    /// When it expires, in milliseconds since 1970.
    pub(crate) fn expires_at_ms(self, memory: &Memory) -> Option<u64> {
        read_expiry(memory.arena.bytes(self.0))
    }

    /// Whether it stays when its last entry goes.
    pub(crate) fn keeps_when_empty(self, memory: &Memory) -> bool {
        self.block(memory).head.keep_when_empty
    }

    /// Sets its name, whether it stays when its last entry goes, and when it expires.
    pub(crate) fn set_head(
        &mut self,
        memory: &mut Memory,
        name: &[u8],
        keep_when_empty: bool,
        expires_at_ms: Option<u64>,
    ) -> Result<(), ArenaFull> {
        let head = Head { name, keep_when_empty, expires_at_ms };
        let block = self.block(memory);
        let (kind, size, before) = (block.body.kind(), block.size(), block.head.size());
        let expired_at_ms = block.head.expires_at_ms;
        self.0 = memory.arena.resize_gap(self.0, size, 0..before, head.size())?;
        memory.expiring.replace(expired_at_ms, expires_at_ms);
        head.write(memory.arena.bytes_mut(self.0), kind);
        Ok(())
    }

    #[inline]
    fn body(self, memory: &Memory) -> Body<'_> {
        Body::read(memory.arena.bytes(self.0))
    }

    fn block(self, memory: &Memory) -> Block<'_> {
        Block::read(memory.arena.bytes(self.0))
    }

    /// Replaces the block with `block`, which borrows nothing from it.
    fn rewrite(&mut self, memory: &mut Memory, block: Block<'_>) -> Result<(), ArenaFull> {
        let before = self.block(memory);
        let (size, expires_at_ms) = (before.size(), before.head.expires_at_ms);
        if !Arena::same_size_class(size, block.size()) {
            let handle = memory.arena.allocate(block.size())?;
            memory.arena.free(self.0, size);
            self.0 = handle;
        }
        memory.expiring.replace(expires_at_ms, block.head.expires_at_ms);
        block.write(memory.arena.bytes_mut(self.0));
        Ok(())
    }
}

/// A bucket's block, decoded.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Block<'m> {
    pub(crate) head: Head<'m>,
    pub(crate) body: Body<'m>,
}

/// The part that every bucket has.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Head<'m> {
    pub(crate) name: &'m [u8],
    /// Whether the bucket stays when its last entry goes.
    pub(crate) keep_when_empty: bool,
    /// When it expires, in milliseconds since 1970.
    pub(crate) expires_at_ms: Option<u64>,
}

/// A bucket's contents, or where they are.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Body<'m> {
    Map(Entries<'m>),
    /// The value of a string, and how it came to be.
    Str(Value<'m>, Origin),
}

/// How a string came to be, which OBJECT ENCODING shows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Origin {
    /// As a whole.
    Set,
    /// Part by part.
    Edited,
    /// As a sum of fractions.
    Fraction,
}

/// Where a map's entries are.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Entries<'m> {
    /// In the block itself, one after the other: few of them, and no large values.
    Inline(&'m [u8]),
    /// In the table with this id.
    Table(u32),
}

const INLINE_MAP: u8 = 0;
const TABLE_MAP: u8 = 1;
const STR: u8 = 2;
const EDITED_STR: u8 = 3;
const FRACTION_STR: u8 = 4;
const KIND: u8 = 0x0f;
const KEEP_WHEN_EMPTY: u8 = 0x10;
const EXPIRES: u8 = 0x20;

/// The name in the block at the start of `bytes`.
#[inline]
fn read_name(bytes: &[u8]) -> &[u8] {
    split(bytes).0
}

/// When the bucket of the block at the start of `bytes` expires.
fn read_expiry(bytes: &[u8]) -> Option<u64> {
    let (_, kind, rest) = split(bytes);
    (kind & EXPIRES != 0).then(|| read_time(rest))
}

/// The name, the kind byte, and the bytes after it.
#[inline]
fn split(bytes: &[u8]) -> (&[u8], u8, &[u8]) {
    let (length, offset) = read_varint(bytes);
    let (name, rest) = bytes[offset..].split_at(length);
    (name, rest[0], &rest[1..])
}

/// The body of the block at the start of `bytes`, and its offset, if it is a string that was set as a whole,
/// without an expiry.
#[inline]
fn plain_string(bytes: &mut [u8]) -> Option<(usize, &mut [u8])> {
    let (length, offset) = read_varint(bytes);
    let kind = offset + length;
    (bytes[kind] == STR).then(|| (kind + 1, &mut bytes[kind + 1..]))
}

/// Sets how the string in the block at the start of `bytes` came to be.
fn write_origin(bytes: &mut [u8], origin: Origin) {
    let (length, offset) = read_varint(bytes);
    let kind = &mut bytes[offset + length];
    *kind = *kind & !KIND | origin.kind();
}

impl<'m> Block<'m> {
    /// Reads the block at the start of `bytes`.
    pub(crate) fn read(bytes: &'m [u8]) -> Block<'m> {
        let (name, kind, rest) = split(bytes);
        let expires_at_ms = (kind & EXPIRES != 0).then(|| read_time(rest));
        let head = Head { name, keep_when_empty: kind & KEEP_WHEN_EMPTY != 0, expires_at_ms };
        Block { head, body: Body::read(bytes) }
    }

    /// Size in bytes.
    pub(crate) fn size(&self) -> usize {
        self.head.size() + self.body.size()
    }

    /// Writes the block at the start of `bytes`.
    fn write(&self, bytes: &mut [u8]) {
        let offset = self.head.write(bytes, self.body.kind());
        self.body.write(&mut bytes[offset..]);
    }
}

impl Head<'_> {
    /// Writes the head with the kind of the body; returns its size.
    fn write(&self, bytes: &mut [u8], kind: u8) -> usize {
        let mut offset = write_varint(bytes, self.name.len());
        bytes[offset..offset + self.name.len()].copy_from_slice(self.name);
        offset += self.name.len();
        let keep = if self.keep_when_empty { KEEP_WHEN_EMPTY } else { 0 };
        bytes[offset] = kind | keep | self.expires_at_ms.map_or(0, |_| EXPIRES);
        offset += 1;
        if let Some(expires_at_ms) = self.expires_at_ms {
            bytes[offset..offset + 8].copy_from_slice(&expires_at_ms.to_le_bytes());
            offset += 8;
        }
        offset
    }

    /// Size in bytes: where the body starts.
    pub(crate) fn size(&self) -> usize {
        varint_size(self.name.len()) + self.name.len() + 1 + self.expires_at_ms.map_or(0, |_| 8)
    }
}

impl Origin {
    /// Its name in loads and exports; `None` as a whole.
    pub fn name(self) -> Option<&'static str> {
        match self {
            Origin::Set => None,
            Origin::Edited => Some("edited"),
            Origin::Fraction => Some("fraction"),
        }
    }

    /// Finds it by its name.
    pub fn from_name(name: &str) -> Option<Origin> {
        [Origin::Edited, Origin::Fraction].into_iter().find(|origin| origin.name() == Some(name))
    }

    fn kind(self) -> u8 {
        match self {
            Origin::Set => STR,
            Origin::Edited => EDITED_STR,
            Origin::Fraction => FRACTION_STR,
        }
    }
}

impl<'m> Body<'m> {
    /// Reads the body of the block at the start of `bytes`.
    #[inline(always)]
    pub(crate) fn read(bytes: &'m [u8]) -> Body<'m> {
        let (_, kind, rest) = split(bytes);
        let rest = if kind & EXPIRES == 0 { rest } else { &rest[8..] };
        match kind & KIND {
            INLINE_MAP => {
                let length = u16::from_le_bytes([rest[0], rest[1]]);
                Body::Map(Entries::Inline(&rest[2..2 + usize::from(length)]))
            }
            kind @ (STR | EDITED_STR | FRACTION_STR) => {
                let origin = match kind {
                    EDITED_STR => Origin::Edited,
                    FRACTION_STR => Origin::Fraction,
                    _ => Origin::Set,
                };
                let (mark, offset) = read_varint(rest);
                Body::Str(Value::read(mark, &rest[offset..]), origin)
            }
            TABLE_MAP => Body::Map(Entries::Table(u32::from_le_bytes([rest[0], rest[1], rest[2], rest[3]]))),
            kind => unreachable!("no body has kind {kind}"),
        }
    }

    /// Writes the body at the start of `bytes`.
    #[inline(always)]
    fn write(&self, bytes: &mut [u8]) {
        match self {
            Body::Map(Entries::Inline(entries)) => {
                bytes[..2].copy_from_slice(&(entries.len() as u16).to_le_bytes());
                bytes[2..2 + entries.len()].copy_from_slice(entries);
            }
            Body::Map(Entries::Table(id)) => bytes[..4].copy_from_slice(&id.to_le_bytes()),
            Body::Str(value, _) => {
                let offset = write_varint(bytes, value.mark());
                value.write(&mut bytes[offset..]);
            }
        }
    }

    /// Whether one of its inline entries expires.
    fn has_inline_expiry(&self) -> bool {
        matches!(self, Body::Map(Entries::Inline(entries))
            if inline_entries(entries).any(|(_, entry)| entry.expires_at_ms.is_some()))
    }

    /// Its kind, as the head stores it.
    fn kind(&self) -> u8 {
        match self {
            Body::Map(Entries::Inline(_)) => INLINE_MAP,
            Body::Map(Entries::Table(_)) => TABLE_MAP,
            Body::Str(_, origin) => origin.kind(),
        }
    }

    /// Size in bytes.
    #[inline(always)]
    pub(crate) fn size(&self) -> usize {
        match self {
            Body::Map(Entries::Inline(entries)) => 2 + entries.len(),
            Body::Map(Entries::Table(_)) => 4,
            Body::Str(value, _) => varint_size(value.mark()) + value.stored_len(),
        }
    }
}

/// The inline entries, each with its range of bytes.
pub(crate) fn inline_entries(entries: &[u8]) -> impl Iterator<Item = (Range<usize>, Entry<'_>)> {
    let mut offset = 0;
    std::iter::from_fn(move || {
        let rest = entries.get(offset..).filter(|rest| !rest.is_empty())?;
        let entry = Entry::read(rest);
        let start = offset;
        offset += entry.size();
        Some((start..offset, entry))
    })
}

#[cfg(test)]
mod tests;
