//! A single value: Redis's string. It is stored in the bucket's block.

use super::{
    Bucket, WrongType,
    layout::{Block, Body, Head, Origin, write_origin},
};
use crate::{
    error::CommandError,
    memory::{
        Memory,
        arena::{Arena, ArenaFull},
        entry::{varint_size, write_varint},
    },
};

impl Bucket {
    /// Creates a string.
    pub(crate) fn create_string(
        memory: &mut Memory,
        name: &[u8],
        value: &[u8],
        expires_at_ms: Option<u64>,
    ) -> Result<Bucket, ArenaFull> {
        let head = Head { name, keep_when_empty: false, expires_at_ms };
        Bucket::create(memory, Block { head, body: Body::Str(value, Origin::Set) })
    }

    /// The string.
    #[inline]
    pub(crate) fn string(self, memory: &Memory) -> Result<&[u8], WrongType> {
        match self.body(memory) {
            Body::Str(value, _) => Ok(value),
            _ => Err(WrongType),
        }
    }

    /// Replaces the string, and sets when the bucket expires.
    pub(crate) fn set_string(
        &mut self,
        memory: &mut Memory,
        name: &[u8],
        value: &[u8],
        expires_at_ms: Option<u64>,
    ) -> Result<(), CommandError> {
        let block = self.block(memory);
        let Body::Str(_, origin) = block.body else { return Err(CommandError::WrongType) };
        let (offset, body) = (block.head.size(), Body::Str(value, Origin::Set));
        if origin == Origin::Set
            && block.head.expires_at_ms == expires_at_ms
            && Arena::same_size_class(block.size(), offset + body.size())
        {
            body.write(&mut memory.arena.bytes_mut(self.0)[offset..]);
            return Ok(());
        }
        Ok(self.rewrite(memory, Block { head: Head { name, keep_when_empty: false, expires_at_ms }, body })?)
    }

    /// How the string came to be.
    pub(crate) fn string_origin(self, memory: &Memory) -> Result<Origin, WrongType> {
        match self.body(memory) {
            Body::Str(_, origin) => Ok(origin),
            Body::Map(_) => Err(WrongType),
        }
    }

    /// Sets how the string came to be.
    pub(crate) fn set_string_origin(self, memory: &mut Memory, origin: Origin) {
        write_origin(memory.arena.bytes_mut(self.0), origin);
    }

    /// Writes into the string, from `offset` on. It grows as needed, with zeros up to `offset`.
    pub(crate) fn write_string(
        &mut self,
        memory: &mut Memory,
        offset: usize,
        bytes: &[u8],
    ) -> Result<(), CommandError> {
        let block = self.block(memory);
        let Body::Str(value, _) = block.body else { return Err(CommandError::WrongType) };
        let (body_offset, before) = (block.head.size(), value.len());
        let after = before.max(offset + bytes.len());
        let (width, new_width) = (varint_size(before), varint_size(after));
        let size = block.size();
        self.0 = memory.arena.resize_gap(self.0, size, size..size, new_width + after - width - before)?;
        let body = &mut memory.arena.bytes_mut(self.0)[body_offset..];
        if new_width != width {
            body.copy_within(width..width + before, new_width);
        }
        write_varint(body, after);
        let value = &mut body[new_width..new_width + after];
        value[before.min(offset)..offset].fill(0);
        value[offset..offset + bytes.len()].copy_from_slice(bytes);
        self.set_string_origin(memory, Origin::Edited);
        Ok(())
    }
}
