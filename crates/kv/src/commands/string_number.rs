//! Commands on strings that hold a number.

use super::{
    long_double::LongDouble,
    number::{integer, integer_argument},
};
use crate::{Args, CommandError, CommandResult, Reply, shard::bucket_mut::BucketMut};
use arrayvec::ArrayString;
use std::fmt::Write;

/// Adds one; the sum.
pub(super) fn incr<'s>(target: BucketMut<'s>, _: Args<'_>) -> CommandResult<'s> {
    add(target, 1)
}

/// Takes one away; the difference.
pub(super) fn decr<'s>(target: BucketMut<'s>, _: Args<'_>) -> CommandResult<'s> {
    add(target, -1)
}

/// Adds an integer; the sum.
pub(super) fn incrby<'s>(target: BucketMut<'s>, mut args: Args<'_>) -> CommandResult<'s> {
    add(target, integer_argument(args.next())?)
}

/// Takes an integer away; the difference.
pub(super) fn decrby<'s>(target: BucketMut<'s>, mut args: Args<'_>) -> CommandResult<'s> {
    let number = integer_argument(args.next())?.checked_neg();
    add(target, number.ok_or_else(|| CommandError::Other("ERR decrement would overflow".into()))?)
}

/// Adds a number that may have a fraction; the sum.
pub(super) fn incrbyfloat<'s>(mut target: BucketMut<'s>, mut args: Args<'_>) -> CommandResult<'s> {
    let before = target.view().string()?.unwrap_or(b"0");
    let before = LongDouble::parse(before).ok_or(CommandError::NotFloat)?;
    let number = LongDouble::parse(args.next().ok_or(CommandError::Syntax)?).ok_or(CommandError::NotFloat)?;
    let sum = before.plus(number).ok_or(CommandError::NotFinite)?.to_string();
    target.set_string(sum.as_bytes(), target.view().expires_at_ms())?;
    Ok(Reply::OwnedValue(sum.into_bytes()))
}

fn add<'s>(mut target: BucketMut<'s>, number: i64) -> CommandResult<'s> {
    let before = match target.view().string()? {
        Some(value) => integer(value).ok_or(CommandError::NotInteger)?,
        None => 0,
    };
    let sum = before.checked_add(number).ok_or(CommandError::Overflow)?;
    let mut digits = ArrayString::<I64_DIGITS>::new();
    write!(digits, "{sum}").expect("room for any integer");
    target.set_string(digits.as_bytes(), target.view().expires_at_ms())?;
    Ok(Reply::Number(sum))
}

/// Bytes that an integer takes at most, with its sign.
const I64_DIGITS: usize = 20;
