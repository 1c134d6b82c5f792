//! Commands on strings that hold a number.

use super::{
    long_double::LongDouble,
    number::{integer, integer_argument},
};
use crate::{Args, Outcome, Refusal, Reply, target::Target};
use arrayvec::ArrayString;
use std::fmt::Write;

/// Adds one; the sum.
pub(super) fn incr<'s>(target: Target<'s>, _: Args<'_>) -> Outcome<'s> {
    add(target, 1)
}

/// Takes one away; the difference.
pub(super) fn decr<'s>(target: Target<'s>, _: Args<'_>) -> Outcome<'s> {
    add(target, -1)
}

/// Adds an integer; the sum.
pub(super) fn incrby<'s>(target: Target<'s>, mut args: Args<'_>) -> Outcome<'s> {
    add(target, integer_argument(args.next())?)
}

/// Takes an integer away; the difference.
pub(super) fn decrby<'s>(target: Target<'s>, mut args: Args<'_>) -> Outcome<'s> {
    let number = integer_argument(args.next())?.checked_neg();
    add(target, number.ok_or_else(|| Refusal::Other("ERR decrement would overflow".into()))?)
}

/// Adds a number that may have a fraction; the sum.
pub(super) fn incrbyfloat<'s>(mut target: Target<'s>, mut args: Args<'_>) -> Outcome<'s> {
    let before = target.view().text()?.unwrap_or(b"0");
    let before = LongDouble::parse(before).ok_or(Refusal::NotFloat)?;
    let number = LongDouble::parse(args.next().ok_or(Refusal::Syntax)?).ok_or(Refusal::NotFloat)?;
    let sum = before.plus(number).ok_or(Refusal::NotFinite)?.to_string();
    target.set_text(sum.as_bytes(), target.view().expires())?;
    Ok(Reply::Made(sum.into_bytes()))
}

fn add<'s>(mut target: Target<'s>, number: i64) -> Outcome<'s> {
    let before = match target.view().text()? {
        Some(value) => integer(value).ok_or(Refusal::NotInteger)?,
        None => 0,
    };
    let sum = before.checked_add(number).ok_or(Refusal::Overflow)?;
    let mut digits = ArrayString::<I64_DIGITS>::new();
    write!(digits, "{sum}").expect("room for any integer");
    target.set_text(digits.as_bytes(), target.view().expires())?;
    Ok(Reply::Number(sum))
}

/// Bytes that an integer takes at most, with its sign.
const I64_DIGITS: usize = 20;
