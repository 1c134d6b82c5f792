//! Commands on hashes: fields that hold numbers.

use super::{
    fields::error,
    long_double::LongDouble,
    number::{integer, integer_argument},
};
use crate::{Args, CommandError, CommandResult, Reply, shard::bucket_mut::BucketMut};

/// Adds an integer to a field; the sum.
pub(super) fn hincrby<'s>(mut target: BucketMut<'s>, mut args: Args<'_>) -> CommandResult<'s> {
    let field = args.next().ok_or(CommandError::Syntax)?;
    let number = integer_argument(args.next())?;
    let (before, expires) = match target.view().field(field)? {
        Some(entry) => (integer(entry.value).ok_or(CommandError::FieldNotInteger)?, entry.expires_at_ms),
        None => (0, None),
    };
    let sum = before.checked_add(number).ok_or(CommandError::Overflow)?;
    target.set_field(field, sum.to_string().as_bytes(), expires)?;
    Ok(Reply::Number(sum))
}

/// Adds a number that may have a fraction to a field; the sum.
pub(super) fn hincrbyfloat<'s>(mut target: BucketMut<'s>, mut args: Args<'_>) -> CommandResult<'s> {
    let field = args.next().ok_or(CommandError::Syntax)?;
    let number = LongDouble::parse(args.next().ok_or(CommandError::Syntax)?).ok_or(CommandError::NotFloat)?;
    if number.is_infinite() {
        return Err(error("value is NaN or Infinity"));
    }
    let (before, expires) = match target.view().field(field)? {
        Some(entry) => (entry.value, entry.expires_at_ms),
        None => (b"0".as_slice(), None),
    };
    let before = LongDouble::parse(before).ok_or(CommandError::FieldNotFloat)?;
    let sum = before.plus(number).ok_or(CommandError::NotFinite)?.to_string();
    target.set_field(field, sum.as_bytes(), expires)?;
    Ok(Reply::OwnedValue(sum.into_bytes()))
}
