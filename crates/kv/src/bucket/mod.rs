//! A bucket: one map of keys to values under a name (Redis's hash), or a single value (Redis's string).
//!
//! A bucket is one block of its shard's memory, with its name, its expiry and its contents (`layout`). Each
//! [`Kind`] has a file with its operations: `map` and `string`.

mod expiry;
pub(crate) mod layout;
pub(crate) mod map;
mod string;
pub(crate) mod transfer;

use crate::{
    error::CommandError,
    memory::{
        Memory,
        arena::{Arena, ArenaFull, Handle},
        table::Table,
        value::Value,
    },
};
use layout::{Block, Body, Entries, Head};
use serde::{Deserialize, Serialize};
use std::sync::Arc;

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
        layout::name(memory.arena.bytes(self.0))
    }

    /// When it expires, in milliseconds since 1970.
    pub(crate) fn expires_at_ms(self, memory: &Memory) -> Option<u64> {
        layout::expires_at_ms(memory.arena.bytes(self.0))
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

#[cfg(test)]
mod tests;
