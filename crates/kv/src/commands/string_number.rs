//! Commands on strings that hold a number.

use super::{
    long_double::LongDouble,
    spec::{Command, CommandSpec, Group},
};
use crate::{
    args::{Args, parse_integer},
    bucket::Origin,
    error::CommandError,
    memory::entry::Value,
    reply::{CommandResult, OwnedValue, Reply},
    shard::bucket_ref::BucketMut,
};
use arrayvec::ArrayString;
use std::fmt::Write;

/// The longest integer with its sign, in bytes.
const I64_DIGITS: usize = 20;

pub(super) const INCR: Command = CommandSpec::write("incr", Group::String)
    .arity(2)
    .denyoom()
    .fast()
    .since("1.0.0")
    .syntax("key")
    .summary("Increments an integer by 1 (missing = 0)")
    .run(incr);
fn incr(bucket: BucketMut, _: Args) -> CommandResult<'static> {
    add(bucket, 1)
}

pub(super) const DECR: Command = CommandSpec::write("decr", Group::String)
    .arity(2)
    .denyoom()
    .fast()
    .since("1.0.0")
    .syntax("key")
    .summary("Decrements an integer by 1 (missing = 0)")
    .run(decr);
fn decr(bucket: BucketMut, _: Args) -> CommandResult<'static> {
    add(bucket, -1)
}

pub(super) const INCRBY: Command = CommandSpec::write("incrby", Group::String)
    .arity(3)
    .denyoom()
    .fast()
    .since("1.0.0")
    .syntax("key increment")
    .summary("Increments an integer (missing = 0)")
    .run(incrby);
fn incrby(bucket: BucketMut, mut args: Args) -> CommandResult<'static> {
    add(bucket, args.integer()?)
}

pub(super) const DECRBY: Command = CommandSpec::write("decrby", Group::String)
    .arity(3)
    .denyoom()
    .fast()
    .since("1.0.0")
    .syntax("key decrement")
    .summary("Decrements an integer (missing = 0)")
    .run(decrby);
fn decrby(bucket: BucketMut, mut args: Args) -> CommandResult<'static> {
    add(bucket, args.integer()?.checked_neg().ok_or(CommandError::DecrementOverflow)?)
}

pub(super) const INCRBYFLOAT: Command = CommandSpec::write("incrbyfloat", Group::String)
    .arity(3)
    .denyoom()
    .fast()
    .since("2.6.0")
    .syntax("key increment")
    .summary("Increments a number by a decimal number (missing = 0)")
    .run(incrbyfloat);
fn incrbyfloat(mut bucket: BucketMut, mut args: Args) -> CommandResult<'static> {
    let before = bucket.view().string()?.unwrap_or(Value::Bytes(b"0"));
    let before = before.small().and_then(LongDouble::parse).ok_or(CommandError::NotFloat)?;
    let increment = LongDouble::parse(args.required()?).ok_or(CommandError::NotFloat)?;
    let sum = before.plus(increment).ok_or(CommandError::NotFinite)?.to_string();
    bucket.set_string(sum.as_bytes(), bucket.view().expires_at_ms())?;
    bucket.set_string_origin(Origin::Fraction);
    Ok(Reply::OwnedValue(OwnedValue::Bytes(sum.into_bytes())))
}

fn add(mut bucket: BucketMut, increment: i64) -> CommandResult<'static> {
    let before = match bucket.view().string()? {
        Some(value) => value.small().and_then(parse_integer).ok_or(CommandError::NotInteger)?,
        None => 0,
    };
    let sum = before.checked_add(increment).ok_or(CommandError::Overflow)?;
    let mut digits = ArrayString::<I64_DIGITS>::new();
    write!(digits, "{sum}").expect("room for any integer");
    bucket.set_string(digits.as_bytes(), bucket.view().expires_at_ms())?;
    Ok(Reply::Number(sum))
}
