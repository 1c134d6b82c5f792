//! Commands on parts of strings.

use super::spec::{Command, CommandSpec, Cost, Group};
use crate::{
    args::Args,
    error::CommandError,
    limits::VALUE_BYTES,
    memory::{entry::Value, large::LargeValue},
    reply::{CommandResult, OwnedValue, Reply},
    shard::bucket_ref::{BucketMut, BucketRef},
};
use std::ops::Range;

pub(super) const APPEND: Command = CommandSpec::write("append", Group::String)
    .arity(3)
    .denyoom()
    .fast()
    .cost(Cost::Append)
    .since("2.0.0")
    .syntax("key value")
    .summary("Appends to a string; creates a missing one")
    .run(append);
fn append(mut bucket: BucketMut, mut args: Args) -> CommandResult<'static> {
    let bytes = args.required()?;
    let length = length(&bucket)?;
    if !bucket.exists() && bytes.len() <= VALUE_BYTES {
        bucket.set_string(bytes, None)?;
        return Ok(Reply::Number(bytes.len() as i64));
    }
    write(bucket, length, bytes)
}

pub(super) const STRLEN: Command = CommandSpec::read("strlen", Group::String)
    .arity(2)
    .fast()
    .since("2.2.0")
    .syntax("key")
    .summary("Length of a string in bytes")
    .run(strlen);
fn strlen(bucket: BucketMut, _: Args) -> CommandResult<'static> {
    Ok(Reply::Number(length(&bucket)? as i64))
}

pub(super) const GETRANGE: Command = CommandSpec::read("getrange", Group::String)
    .arity(4)
    .cost(Cost::Range)
    .since("2.4.0")
    .syntax("key start end")
    .summary("Returns a range of bytes of a string")
    .run(getrange);

pub(super) const SUBSTR: Command = CommandSpec::read("substr", Group::String)
    .arity(4)
    .cost(Cost::Range)
    .since("1.0.0")
    .syntax("key start end")
    .summary("The old name of GETRANGE")
    .run(getrange);
fn getrange<'s>(bucket: BucketMut<'s>, args: Args) -> CommandResult<'s> {
    let view = bucket.into_view();
    let value = view.string();
    let range = parse_range(args, value.as_ref().ok().copied().flatten().map_or(0, Value::len))?;
    Ok(match value?.unwrap_or(Value::Bytes(b"")) {
        Value::Bytes(bytes) => Reply::Value(&bytes[range]),
        Value::Large(at) => {
            let part = view.memory.arena.value(at).part(range);
            match LargeValue::holds(part.len()) {
                true => part.into(),
                false => Reply::OwnedValue(OwnedValue::Bytes(part.to_vec())),
            }
        }
    })
}

/// The range of a string of `length` bytes that `start end` mean.
pub(crate) fn parse_range(mut args: Args, length: usize) -> Result<Range<usize>, CommandError> {
    let (start, end) = (args.integer()?, args.integer()?);
    let length = length as i64;
    if start < 0 && end < 0 && start > end {
        return Ok(0..0);
    }
    // A negative index counts from the end, and one before the first byte means the first byte.
    let position =
        |index: i64| if index < 0 { length.saturating_add(index).max(0) } else { index.min(length) };
    let (start, end) = (position(start), position(end).min(length - 1));
    Ok(start.min(length) as usize..(end + 1).max(start) as usize)
}

pub(super) const SETRANGE: Command = CommandSpec::write("setrange", Group::String)
    .arity(4)
    .denyoom()
    .cost(Cost::SetRange)
    .since("2.2.0")
    .syntax("key offset value")
    .summary("Overwrites part of a string; gaps are filled with zeros")
    .run_growing(setrange, growth);
fn setrange(bucket: BucketMut, mut args: Args) -> CommandResult<'static> {
    let (offset, bytes) = (args.integer()?, args.required()?);
    let offset = usize::try_from(offset).map_err(|_| CommandError::NegativeOffset)?;
    if bytes.is_empty() {
        return strlen(bucket, args);
    }
    write(bucket, offset, bytes)
}

/// By how much SETRANGE makes the string longer.
fn growth(bucket: BucketRef, mut args: Args) -> usize {
    let (Ok(offset), Ok(bytes)) = (args.integer(), args.required()) else { return 0 };
    let after = usize::try_from(offset).unwrap_or(0).saturating_add(bytes.len());
    if bytes.is_empty() || after > VALUE_BYTES {
        return 0;
    }
    after.saturating_sub(bucket.string().unwrap_or(None).map_or(0, Value::len))
}

fn length(bucket: &BucketMut) -> Result<usize, CommandError> {
    Ok(bucket.view().string()?.map_or(0, Value::len))
}

/// Writes into the string and returns its new length.
fn write(mut bucket: BucketMut, offset: usize, bytes: &[u8]) -> CommandResult<'static> {
    let before = length(&bucket)?;
    let after = offset.saturating_add(bytes.len());
    if after > VALUE_BYTES {
        return Err(CommandError::StringTooLong);
    }
    bucket.write_string(offset, bytes)?;
    Ok(Reply::Number(before.max(after) as i64))
}
