//! Commands on hashes: when fields expire. They answer with a code for each field.

use super::{
    fields::{error, fields, fields_or},
    lifetime::{Clock, Only},
    number::integer,
};
use crate::{Args, CommandError, CommandResult, Reply, shard::bucket_mut::BucketMut};

/// The last moment at which a field can expire, in milliseconds since 1970.
const LAST_MOMENT: i64 = (1 << 46) - 1;

const NO_FIELD: i64 = -2;
const NEVER: i64 = -1;
const UNCHANGED: i64 = 0;
const CHANGED: i64 = 1;
const DELETED: i64 = 2;

/// Lets fields expire so many seconds from now.
pub(super) fn hexpire<'s>(target: BucketMut<'s>, args: Args<'_>) -> CommandResult<'s> {
    expire(target, args, Clock::Seconds, "hexpire")
}

/// Lets fields expire so many milliseconds from now.
pub(super) fn hpexpire<'s>(target: BucketMut<'s>, args: Args<'_>) -> CommandResult<'s> {
    expire(target, args, Clock::Milliseconds, "hpexpire")
}

/// Lets fields expire at a moment, in seconds since 1970.
pub(super) fn hexpireat<'s>(target: BucketMut<'s>, args: Args<'_>) -> CommandResult<'s> {
    expire(target, args, Clock::SecondsSince1970, "hexpireat")
}

/// Lets fields expire at a moment, in milliseconds since 1970.
pub(super) fn hpexpireat<'s>(target: BucketMut<'s>, args: Args<'_>) -> CommandResult<'s> {
    expire(target, args, Clock::MillisecondsSince1970, "hpexpireat")
}

/// How many seconds fields have left.
pub(super) fn httl<'s>(target: BucketMut<'s>, args: Args<'_>) -> CommandResult<'s> {
    let now = target.now_ms();
    tell(target, args, |expires| (expires - now).div_ceil(1_000))
}

/// How many milliseconds fields have left.
pub(super) fn hpttl<'s>(target: BucketMut<'s>, args: Args<'_>) -> CommandResult<'s> {
    let now = target.now_ms();
    tell(target, args, |expires| expires - now)
}

/// When fields expire, in seconds since 1970.
pub(super) fn hexpiretime<'s>(target: BucketMut<'s>, args: Args<'_>) -> CommandResult<'s> {
    tell(target, args, |expires| expires.div_ceil(1_000))
}

/// When fields expire, in milliseconds since 1970.
pub(super) fn hpexpiretime<'s>(target: BucketMut<'s>, args: Args<'_>) -> CommandResult<'s> {
    tell(target, args, |expires| expires)
}

/// Lets fields expire no more.
pub(super) fn hpersist<'s>(mut target: BucketMut<'s>, args: Args<'_>) -> CommandResult<'s> {
    target.view().map()?;
    let mut codes = Vec::new();
    for field in fields(args)? {
        let code = code(&target, field, |_| CHANGED)?;
        if code == CHANGED {
            target.set_field_expiry(field, None)?;
        }
        codes.push(Reply::Number(code));
    }
    Ok(Reply::List(codes))
}

/// The moment that an argument names, in milliseconds since 1970. It may be over.
pub(super) fn moment(
    argument: Option<&[u8]>,
    clock: Clock,
    now: u64,
    command: &str,
) -> Result<u64, CommandError> {
    let number = argument.and_then(integer).ok_or(CommandError::NotInteger)?;
    if number < 0 {
        return Err(error("invalid expire time, must be >= 0"));
    }
    let moment = clock.moment(number, now).filter(|moment| *moment <= LAST_MOMENT);
    moment.map(i64::unsigned_abs).ok_or_else(|| CommandError::ExpireTime(command.into()))
}

/// Sets when a field, which is there, expires. One whose time has come goes at once.
pub(super) fn set_expires(
    target: &mut BucketMut<'_>,
    field: &[u8],
    moment: u64,
) -> Result<i64, CommandError> {
    if moment <= target.now_ms() {
        target.delete_field(field)?;
        return Ok(DELETED);
    }
    target.set_field_expiry(field, Some(moment))?;
    Ok(CHANGED)
}

fn expire<'s>(
    mut target: BucketMut<'s>,
    mut args: Args<'_>,
    clock: Clock,
    command: &str,
) -> CommandResult<'s> {
    target.view().map()?;
    let moment = moment(args.next(), clock, target.now_ms(), command)?;
    let mut only = Only::default();
    let rest = args;
    if !args.next().is_some_and(|word| only.accept(word)) {
        args = rest;
    }
    let mut codes = Vec::new();
    for field in fields_or(args, "Parameter `numFields` should be greater than 0")? {
        let before = target.view().field(field)?.map(|entry| entry.expires_at_ms);
        codes.push(match before {
            None => NO_FIELD,
            Some(before) if !only.allows(before, moment as i64) => UNCHANGED,
            Some(_) => set_expires(&mut target, field, moment)?,
        });
    }
    if codes.contains(&DELETED) {
        target.end_if_empty();
    }
    Ok(Reply::List(codes.into_iter().map(Reply::Number).collect()))
}

fn tell<'s>(target: BucketMut<'s>, args: Args<'_>, time: impl Fn(u64) -> u64) -> CommandResult<'s> {
    target.view().map()?;
    let codes =
        fields(args)?.map(|field| code(&target, field, |expires| time(expires) as i64).map(Reply::Number));
    Ok(Reply::List(codes.collect::<Result<_, _>>()?))
}

/// What is to be said of the time at which a field expires.
fn code(target: &BucketMut<'_>, field: &[u8], say: impl Fn(u64) -> i64) -> Result<i64, CommandError> {
    let entry = target.view().field(field)?;
    Ok(entry.map_or(NO_FIELD, |entry| entry.expires_at_ms.map_or(NEVER, say)))
}
