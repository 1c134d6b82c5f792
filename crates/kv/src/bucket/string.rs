//! A single value: Redis's string. It is stored in the bucket's block, unless it is large.

use super::{Block, Body, Bucket, Head, Origin, WrongType, plain_string, write_origin};
use crate::{
    error::CommandError,
    limits::LARGE_VALUE_BYTES,
    memory::{
        Memory,
        arena::{Arena, ArenaFull},
        entry::{Value, read_varint, varint_size, write_varint},
        large::LargeValue,
    },
};

impl Bucket {
    /// Creates a string.
    pub(crate) fn create_string(
        memory: &mut Memory,
        name: &[u8],
        value: Value<'_>,
        expires_at_ms: Option<u64>,
    ) -> Result<Bucket, ArenaFull> {
        let head = Head { name, keep_when_empty: false, expires_at_ms };
        Bucket::create(memory, Block { head, body: Body::Str(value, Origin::Set) })
    }

    /// The string.
    #[inline]
    pub(crate) fn string(self, memory: &Memory) -> Result<Value<'_>, WrongType> {
        match self.body(memory) {
            Body::Str(value, _) => Ok(value),
            _ => Err(WrongType),
        }
    }

    /// Replaces the string by one that is not large, in place. `false`: the block has another size, or the
    /// string expires, or was not set as a whole.
    #[inline]
    pub(crate) fn overwrite_string(self, memory: &mut Memory, value: &[u8]) -> bool {
        let Some((body_offset, body)) = plain_string(memory.arena.bytes_mut(self.0)) else {
            return false;
        };
        let (before, width) = read_varint(body);
        let (size, new_size) = (width + before, varint_size(value.len()) + value.len());
        let fits = Arena::same_size_class(body_offset + size, body_offset + new_size);
        if fits {
            let offset = write_varint(body, value.len());
            body[offset..offset + value.len()].copy_from_slice(value);
        }
        fits
    }

    /// Replaces the string, and sets when the bucket expires. If it fails, a large value still is the
    /// caller's.
    pub(crate) fn set_string(
        &mut self,
        memory: &mut Memory,
        name: &[u8],
        value: Value<'_>,
        expires_at_ms: Option<u64>,
    ) -> Result<(), CommandError> {
        let block = self.block(memory);
        let Body::Str(old, origin) = block.body else { return Err(CommandError::WrongType) };
        let (offset, body, old) = (block.head.size(), Body::Str(value, Origin::Set), old.large());
        if origin == Origin::Set
            && block.head.expires_at_ms == expires_at_ms
            && Arena::same_size_class(block.size(), offset + body.size())
        {
            body.write(&mut memory.arena.bytes_mut(self.0)[offset..]);
        } else {
            let head = Head { name, keep_when_empty: false, expires_at_ms };
            self.rewrite(memory, Block { head, body })?;
        }
        if let Some(at) = old {
            memory.arena.free_value(Value::Large(at));
        }
        Ok(())
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
    /// `aligned`: see [`LargeValue::write`].
    pub(crate) fn write_string(
        &mut self,
        memory: &mut Memory,
        offset: usize,
        bytes: &[u8],
        aligned: Option<&LargeValue>,
    ) -> Result<(), CommandError> {
        let block = self.block(memory);
        let Body::Str(value, _) = block.body else { return Err(CommandError::WrongType) };
        let (body_offset, before) = (block.head.size(), value.len());
        let after = before.max(offset + bytes.len());
        let value = match value {
            Value::Large(at) => {
                let written = memory.arena.write_value(at, offset, bytes, aligned)?;
                let body = &mut memory.arena.bytes_mut(self.0)[body_offset..];
                Body::Str(Value::Large(written), Origin::Edited).write(body);
                self.set_string_origin(memory, Origin::Edited);
                return Ok(());
            }
            Value::Bytes(value) => value,
        };
        if after > LARGE_VALUE_BYTES {
            let mut large = LargeValue::copy_of(value)?;
            large.write(offset, bytes, aligned)?;
            return self.become_large(memory, large);
        }
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

    /// Replaces a string in the block by a large one.
    fn become_large(&mut self, memory: &mut Memory, value: LargeValue) -> Result<(), CommandError> {
        let Head { name, expires_at_ms, .. } = self.block(memory).head;
        let name = name.to_vec();
        let value = Value::Large(memory.arena.add_value(value));
        let result = self.set_string(memory, &name, value, expires_at_ms);
        match result {
            Ok(()) => self.set_string_origin(memory, Origin::Edited),
            Err(_) => memory.arena.free_value(value),
        }
        result
    }
}
