//! Commands on parts of strings.

use super::number::integer_argument;
use crate::{Args, CommandError, CommandResult, Reply, limits::VALUE_BYTES, shard::bucket_mut::BucketMut};

/// Adds to the end of the value; its length then.
pub(super) fn append<'s>(target: BucketMut<'s>, mut args: Args<'_>) -> CommandResult<'s> {
    let bytes = args.next().ok_or(CommandError::Syntax)?;
    let length = length(&target)?;
    write(target, length, bytes)
}

/// The length of the value.
pub(super) fn strlen<'s>(target: BucketMut<'s>, _: Args<'_>) -> CommandResult<'s> {
    Ok(Reply::Number(length(&target)? as i64))
}

/// The value from one position to another, both included; negative ones count from the end.
pub(super) fn getrange<'s>(target: BucketMut<'s>, mut args: Args<'_>) -> CommandResult<'s> {
    let (start, end) = (integer_argument(args.next())?, integer_argument(args.next())?);
    let value = target.into_view().string()?.unwrap_or_default();
    let length = value.len() as i64;
    if start < 0 && end < 0 && start > end {
        return Ok(Reply::Value(b""));
    }
    // What lies before the first byte stands for the first byte.
    let position = |at: i64| if at < 0 { length.saturating_add(at).max(0) } else { at.min(length) };
    let (start, end) = (position(start), position(end).min(length - 1));
    let range = start.min(length) as usize..(end + 1).max(start) as usize;
    Ok(Reply::Value(&value[range]))
}

/// Writes into the value from a position on; its length then.
pub(super) fn setrange<'s>(target: BucketMut<'s>, mut args: Args<'_>) -> CommandResult<'s> {
    let offset = integer_argument(args.next())?;
    let bytes = args.next().ok_or(CommandError::Syntax)?;
    let offset = usize::try_from(offset).map_err(|_| CommandError::Offset)?;
    if bytes.is_empty() {
        return strlen(target, args);
    }
    write(target, offset, bytes)
}

fn length(target: &BucketMut<'_>) -> Result<usize, CommandError> {
    Ok(target.view().string()?.map_or(0, <[u8]>::len))
}

fn write<'s>(mut target: BucketMut<'s>, offset: usize, bytes: &[u8]) -> CommandResult<'s> {
    let before = length(&target)?;
    let after = offset.saturating_add(bytes.len());
    if after > VALUE_BYTES {
        return Err(CommandError::TooLong);
    }
    target.write_string(offset, bytes)?;
    Ok(Reply::Number(before.max(after) as i64))
}
