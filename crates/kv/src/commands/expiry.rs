//! Commands on when a bucket expires.

use super::{
    lifetime::{Clock, Only},
    number::integer_argument,
};
use crate::{Args, CommandError, CommandResult, Reply, shard::bucket_mut::BucketMut};

/// Lets a bucket expire so many seconds from now.
pub(super) fn expire<'s>(target: BucketMut<'s>, args: Args<'_>) -> CommandResult<'s> {
    expire_at(target, args, Clock::Seconds, "expire")
}

/// Lets a bucket expire so many milliseconds from now.
pub(super) fn pexpire<'s>(target: BucketMut<'s>, args: Args<'_>) -> CommandResult<'s> {
    expire_at(target, args, Clock::Milliseconds, "pexpire")
}

/// Lets a bucket expire at a moment, in seconds since 1970.
pub(super) fn expireat<'s>(target: BucketMut<'s>, args: Args<'_>) -> CommandResult<'s> {
    expire_at(target, args, Clock::SecondsSince1970, "expireat")
}

/// Lets a bucket expire at a moment, in milliseconds since 1970.
pub(super) fn pexpireat<'s>(target: BucketMut<'s>, args: Args<'_>) -> CommandResult<'s> {
    expire_at(target, args, Clock::MillisecondsSince1970, "pexpireat")
}

/// How many seconds a bucket has left.
pub(super) fn ttl<'s>(target: BucketMut<'s>, _: Args<'_>) -> CommandResult<'s> {
    let now = target.now_ms();
    tell(&target, |expires| to_seconds(expires - now))
}

/// How many milliseconds a bucket has left.
pub(super) fn pttl<'s>(target: BucketMut<'s>, _: Args<'_>) -> CommandResult<'s> {
    let now = target.now_ms();
    tell(&target, |expires| expires - now)
}

/// When a bucket expires, in seconds since 1970.
pub(super) fn expiretime<'s>(target: BucketMut<'s>, _: Args<'_>) -> CommandResult<'s> {
    tell(&target, to_seconds)
}

/// When a bucket expires, in milliseconds since 1970.
pub(super) fn pexpiretime<'s>(target: BucketMut<'s>, _: Args<'_>) -> CommandResult<'s> {
    tell(&target, |expires| expires)
}

/// Lets a bucket live on; how many had a time set.
pub(super) fn persist<'s>(mut target: BucketMut<'s>, _: Args<'_>) -> CommandResult<'s> {
    if target.view().expires_at_ms().is_none() {
        return Ok(Reply::Number(0));
    }
    target.set_expiry(None)?;
    Ok(Reply::Number(1))
}

/// Sets when a bucket expires: `time [NX | XX | GT | LT]`. A moment that is over ends the bucket at once.
fn expire_at<'s>(
    mut target: BucketMut<'s>,
    mut args: Args<'_>,
    clock: Clock,
    command: &str,
) -> CommandResult<'s> {
    let time = args.next();
    let mut only = Only::default();
    for word in args {
        if !only.accept(word) {
            let word = String::from_utf8_lossy(word).replace(['\r', '\n'], " ");
            return Err(CommandError::Other(format!("ERR Unsupported option {word}")));
        }
    }
    let only = only.check()?;
    let moment = clock.moment(integer_argument(time)?, target.now_ms());
    let moment = moment.ok_or_else(|| CommandError::ExpireTime(command.into()))?;
    if !target.exists() || !only.allows(target.view().expires_at_ms(), moment) {
        return Ok(Reply::Number(0));
    }
    target.set_expiry(Some(u64::try_from(moment).unwrap_or(0)))?;
    Ok(Reply::Number(1))
}

/// What there is to say of when a bucket expires; -1: never, -2: there is no such bucket.
fn tell<'s>(target: &BucketMut<'_>, say: impl FnOnce(u64) -> u64) -> CommandResult<'s> {
    Ok(Reply::Number(match target.view().expires_at_ms() {
        Some(expires) => i64::try_from(say(expires)).unwrap_or(i64::MAX),
        None if target.exists() => -1,
        None => -2,
    }))
}

/// Milliseconds in seconds, to the nearest.
fn to_seconds(milliseconds: u64) -> u64 {
    milliseconds.saturating_add(500) / 1_000
}
