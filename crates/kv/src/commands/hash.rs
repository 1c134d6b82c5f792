//! Commands on hashes that read and change fields by name.

use super::{
    long_double::LongDouble,
    spec::{Command, CommandSpec, Cost, Group},
};
use crate::{
    args::{Args, parse_integer},
    error::CommandError,
    limits::{LARGE_VALUE_BYTES, STEP_BYTES},
    reply::{CommandResult, OwnedValue, Reply},
    shard::bucket_ref::{BucketMut, BucketRef},
};

pub(super) const HGET: Command = CommandSpec::read("hget", Group::Hash)
    .arity(3)
    .field_first()
    .fast()
    .cost(Cost::Fields)
    .since("2.0.0")
    .syntax("key field")
    .summary("Returns the value of a field")
    .run(hget);
fn hget<'s>(bucket: BucketMut<'s>, mut args: Args) -> CommandResult<'s> {
    bucket.into_view().field_reply(args.required()?)
}

pub(super) const HMGET: Command = CommandSpec::read("hmget", Group::Hash)
    .arity(-3)
    .field_first()
    .fast()
    .cost(Cost::Fields)
    .since("2.0.0")
    .syntax("key field [field ...]")
    .summary("Returns the values of fields, in the order asked for")
    .run(hmget);
fn hmget<'s>(bucket: BucketMut<'s>, args: Args) -> CommandResult<'s> {
    let bucket = bucket.into_view();
    bucket.map()?;
    check_values(bucket, args)?;
    Ok(Reply::List(args.map(|field| bucket.field_reply(field)).collect::<Result<_, _>>()?))
}

pub(super) const HSET: Command = CommandSpec::write("hset", Group::Hash)
    .arity(-4)
    .field_first()
    .denyoom()
    .fast()
    .since("2.0.0")
    .syntax("key field value [field value ...]")
    .summary("Sets fields and returns the number of new ones; creates a missing hash")
    .run(hset);
fn hset(bucket: BucketMut, args: Args) -> CommandResult<'static> {
    Ok(Reply::Number(set_all("hset", bucket, args)?))
}

pub(super) const HMSET: Command = CommandSpec::write("hmset", Group::Hash)
    .arity(-4)
    .field_first()
    .denyoom()
    .fast()
    .since("2.0.0")
    .syntax("key field value [field value ...]")
    .summary("Sets fields, as HSET does without counting")
    .run(hmset);
fn hmset(bucket: BucketMut, args: Args) -> CommandResult<'static> {
    set_all("hmset", bucket, args)?;
    Ok(Reply::Done)
}

pub(super) const HSETNX: Command = CommandSpec::write("hsetnx", Group::Hash)
    .arity(4)
    .field_first()
    .denyoom()
    .fast()
    .since("2.0.0")
    .syntax("key field value")
    .summary("Sets a field that does not exist yet")
    .run(hsetnx);
fn hsetnx(mut bucket: BucketMut, mut args: Args) -> CommandResult<'static> {
    let (field, value) = (args.required()?, args.required()?);
    let exists = bucket.view().field(field)?.is_some();
    if !exists {
        bucket.set_field(field, value, None)?;
    }
    Ok(Reply::Number(i64::from(!exists)))
}

pub(super) const HDEL: Command = CommandSpec::write("hdel", Group::Hash)
    .arity(-3)
    .field_first()
    .fast()
    .since("2.0.0")
    .syntax("key field [field ...]")
    .summary("Removes fields, and the hash with its last field")
    .run(hdel);
fn hdel(mut bucket: BucketMut, args: Args) -> CommandResult<'static> {
    let mut deleted = 0;
    for field in args {
        deleted += i64::from(bucket.delete_field(field)?);
    }
    if deleted > 0 {
        bucket.end_if_empty();
    }
    Ok(Reply::Number(deleted))
}

pub(super) const HLEN: Command = CommandSpec::read("hlen", Group::Hash)
    .arity(2)
    .fast()
    .since("2.0.0")
    .syntax("key")
    .summary("Number of fields")
    .run(hlen);
fn hlen(bucket: BucketMut, _: Args) -> CommandResult<'static> {
    Ok(Reply::Number(bucket.view().len()? as i64))
}

pub(super) const HEXISTS: Command = CommandSpec::read("hexists", Group::Hash)
    .arity(3)
    .field_first()
    .fast()
    .since("2.0.0")
    .syntax("key field")
    .summary("Whether a field exists")
    .run(hexists);
fn hexists(bucket: BucketMut, mut args: Args) -> CommandResult<'static> {
    let exists = bucket.view().field(args.required()?)?.is_some();
    Ok(Reply::Number(i64::from(exists)))
}

pub(super) const HSTRLEN: Command = CommandSpec::read("hstrlen", Group::Hash)
    .arity(3)
    .field_first()
    .fast()
    .since("3.2.0")
    .syntax("key field")
    .summary("Length of a field's value in bytes")
    .run(hstrlen);
fn hstrlen(bucket: BucketMut, mut args: Args) -> CommandResult<'static> {
    let entry = bucket.view().field(args.required()?)?;
    Ok(Reply::Number(entry.map_or(0, |entry| entry.value.len() as i64)))
}

pub(super) const HINCRBY: Command = CommandSpec::write("hincrby", Group::Hash)
    .arity(4)
    .field_first()
    .denyoom()
    .fast()
    .since("2.0.0")
    .syntax("key field increment")
    .summary("Increments the integer of a field (missing = 0)")
    .run(hincrby);
fn hincrby(mut bucket: BucketMut, mut args: Args) -> CommandResult<'static> {
    let (field, increment) = (args.required()?, args.integer()?);
    let (before, expires_at_ms) = match bucket.view().field(field)? {
        Some(entry) => (
            entry.value.small().and_then(parse_integer).ok_or(CommandError::FieldNotInteger)?,
            entry.expires_at_ms,
        ),
        None => (0, None),
    };
    let sum = before.checked_add(increment).ok_or(CommandError::Overflow)?;
    bucket.set_field(field, sum.to_string().as_bytes(), expires_at_ms)?;
    Ok(Reply::Number(sum))
}

pub(super) const HINCRBYFLOAT: Command = CommandSpec::write("hincrbyfloat", Group::Hash)
    .arity(4)
    .field_first()
    .denyoom()
    .fast()
    .since("2.6.0")
    .syntax("key field increment")
    .summary("Increments the number of a field by a decimal number (missing = 0)")
    .run(hincrbyfloat);
fn hincrbyfloat(mut bucket: BucketMut, mut args: Args) -> CommandResult<'static> {
    let field = args.required()?;
    let increment = LongDouble::parse(args.required()?).ok_or(CommandError::NotFloat)?;
    if increment.is_infinite() {
        return Err(CommandError::IncrementNotFinite);
    }
    let (before, expires_at_ms) = match bucket.view().field(field)? {
        Some(entry) => (entry.value.small(), entry.expires_at_ms),
        None => (Some(b"0".as_slice()), None),
    };
    let before = before.and_then(LongDouble::parse).ok_or(CommandError::FieldNotFloat)?;
    let sum = before.plus(increment).ok_or(CommandError::NotFinite)?.to_string();
    bucket.set_field(field, sum.as_bytes(), expires_at_ms)?;
    Ok(Reply::OwnedValue(OwnedValue::Bytes(sum.into_bytes())))
}

/// Checks that the values of these fields, which are copied in one step, do not have too many bytes. Large
/// ones are not copied.
pub(super) fn check_values(bucket: BucketRef<'_>, fields: Args<'_>) -> Result<(), CommandError> {
    // As many as fit, however long they are.
    if fields.take(STEP_BYTES / LARGE_VALUE_BYTES + 1).count() <= STEP_BYTES / LARGE_VALUE_BYTES {
        return Ok(());
    }
    let mut bytes = 0;
    for field in fields {
        let value = bucket.field(field)?.and_then(|entry| entry.value.small());
        bytes += value.map_or(0, <[u8]>::len);
        if bytes > STEP_BYTES {
            return Err(CommandError::StepTooLarge);
        }
    }
    Ok(())
}

/// Sets fields to the values that follow them. Returns the number of new ones.
fn set_all(command: &str, mut bucket: BucketMut, mut args: Args) -> Result<i64, CommandError> {
    let mut pair = (args.next(), args.next());
    // A single pair is the common case.
    if pair.1.is_none() || !(args.is_empty() || args.count().is_multiple_of(2)) {
        return Err(CommandError::Arity(command.into()));
    }
    let mut added = 0;
    while let (Some(field), Some(value)) = pair {
        added += i64::from(bucket.set_field(field, value, None)?);
        pair = (args.next(), args.next());
    }
    Ok(added)
}
