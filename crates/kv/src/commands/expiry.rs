//! Commands on the expiry of keys.

use super::{
    expiry_options::{ExpireCondition, NEVER, NOT_FOUND, TimeUnit},
    spec::{Command, CommandSpec, Cost, Group},
};
use crate::{
    args::{Args, parse_integer},
    error::CommandError,
    reply::{CommandResult, Reply},
    shard::bucket_ref::BucketMut,
    syntax::excerpt::Excerpt,
};

/// Redis rounds the TTL of a key to the nearest second.
const ROUNDING_MS: u64 = 500;

pub(super) const EXPIRE: Command = CommandSpec::write("expire", Group::Generic)
    .arity(-3)
    .fast()
    .cost(Cost::String)
    .since("1.0.0")
    .syntax("key seconds [NX|XX|GT|LT]")
    .summary("Sets a key's time to live in seconds")
    .run(expire);
fn expire(bucket: BucketMut, args: Args) -> CommandResult<'static> {
    set_expiry(bucket, args, TimeUnit::Seconds, "expire")
}

pub(super) const PEXPIRE: Command = CommandSpec::write("pexpire", Group::Generic)
    .arity(-3)
    .fast()
    .cost(Cost::String)
    .since("2.6.0")
    .syntax("key milliseconds [NX|XX|GT|LT]")
    .summary("Sets a key's time to live in milliseconds")
    .run(pexpire);
fn pexpire(bucket: BucketMut, args: Args) -> CommandResult<'static> {
    set_expiry(bucket, args, TimeUnit::Milliseconds, "pexpire")
}

pub(super) const EXPIREAT: Command = CommandSpec::write("expireat", Group::Generic)
    .arity(-3)
    .fast()
    .cost(Cost::String)
    .since("1.2.0")
    .syntax("key unix-time-seconds [NX|XX|GT|LT]")
    .summary("Sets a key's expiry as a Unix time in seconds")
    .run(expireat);
fn expireat(bucket: BucketMut, args: Args) -> CommandResult<'static> {
    set_expiry(bucket, args, TimeUnit::UnixSeconds, "expireat")
}

pub(super) const PEXPIREAT: Command = CommandSpec::write("pexpireat", Group::Generic)
    .arity(-3)
    .fast()
    .cost(Cost::String)
    .since("2.6.0")
    .syntax("key unix-time-milliseconds [NX|XX|GT|LT]")
    .summary("Sets a key's expiry as a Unix time in milliseconds")
    .run(pexpireat);
fn pexpireat(bucket: BucketMut, args: Args) -> CommandResult<'static> {
    set_expiry(bucket, args, TimeUnit::UnixMilliseconds, "pexpireat")
}

pub(super) const TTL: Command = CommandSpec::read("ttl", Group::Generic)
    .arity(2)
    .fast()
    .since("1.0.0")
    .syntax("key")
    .summary("Remaining time to live of a key in seconds")
    .run(ttl);
fn ttl(bucket: BucketMut, _: Args) -> CommandResult<'static> {
    report(&bucket, TimeUnit::Seconds)
}

pub(super) const PTTL: Command = CommandSpec::read("pttl", Group::Generic)
    .arity(2)
    .fast()
    .since("2.6.0")
    .syntax("key")
    .summary("Remaining time to live of a key in milliseconds")
    .run(pttl);
fn pttl(bucket: BucketMut, _: Args) -> CommandResult<'static> {
    report(&bucket, TimeUnit::Milliseconds)
}

pub(super) const EXPIRETIME: Command = CommandSpec::read("expiretime", Group::Generic)
    .arity(2)
    .fast()
    .since("7.0.0")
    .syntax("key")
    .summary("Expiry of a key, as a Unix time in seconds")
    .run(expiretime);
fn expiretime(bucket: BucketMut, _: Args) -> CommandResult<'static> {
    report(&bucket, TimeUnit::UnixSeconds)
}

pub(super) const PEXPIRETIME: Command = CommandSpec::read("pexpiretime", Group::Generic)
    .arity(2)
    .fast()
    .since("7.0.0")
    .syntax("key")
    .summary("Expiry of a key, as a Unix time in milliseconds")
    .run(pexpiretime);
fn pexpiretime(bucket: BucketMut, _: Args) -> CommandResult<'static> {
    report(&bucket, TimeUnit::UnixMilliseconds)
}

pub(super) const PERSIST: Command = CommandSpec::write("persist", Group::Generic)
    .arity(2)
    .fast()
    .cost(Cost::String)
    .since("2.2.0")
    .syntax("key")
    .summary("Removes a key's expiry")
    .run(persist);
fn persist(mut bucket: BucketMut, _: Args) -> CommandResult<'static> {
    if bucket.view().expires_at_ms().is_none() {
        return Ok(Reply::Number(0));
    }
    bucket.set_expiry(None)?;
    Ok(Reply::Number(1))
}

/// `time [NX | XX | GT | LT]`. A time in the past ends the bucket at once.
fn set_expiry(
    mut bucket: BucketMut,
    mut args: Args,
    unit: TimeUnit,
    command: &str,
) -> CommandResult<'static> {
    let time = args.next();
    let mut condition = ExpireCondition::default();
    for word in args {
        if !condition.try_set(word) {
            return Err(CommandError::UnknownOption(Excerpt::new(word)));
        }
    }
    condition.check()?;
    let time = parse_integer(time.ok_or(CommandError::Syntax)?).ok_or(CommandError::NotInteger)?;
    let expires_at_ms = unit.to_unix_ms(time, bucket.now_ms());
    let expires_at_ms = expires_at_ms.ok_or_else(|| CommandError::InvalidExpireTime(command.into()))?;
    if !bucket.exists() || !condition.allows(bucket.view().expires_at_ms(), expires_at_ms) {
        return Ok(Reply::Number(0));
    }
    bucket.set_expiry(Some(u64::try_from(expires_at_ms).unwrap_or(0)))?;
    Ok(Reply::Number(1))
}

fn report(bucket: &BucketMut, unit: TimeUnit) -> CommandResult<'static> {
    Ok(Reply::Number(match bucket.view().expires_at_ms() {
        Some(expires_at_ms) => unit.time_of(expires_at_ms, bucket.now_ms(), ROUNDING_MS),
        None if bucket.exists() => NEVER,
        None => NOT_FOUND,
    }))
}
