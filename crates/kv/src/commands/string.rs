//! Commands on strings: buckets that hold a single value.

use super::{
    expiry_options::{ExpiryOption, TimeUnit},
    spec::{Command, CommandSpec, Cost, Group, KeySpec},
};
use crate::{
    args::Args,
    error::CommandError,
    pubsub::bucket_changes::EndReason,
    reply::{CommandResult, Reply},
    shard::{bucket_ref::BucketMut, multi::MultiBucket},
};

pub(super) const GET: Command = CommandSpec::read("get", Group::String)
    .arity(2)
    .fast()
    .cost(Cost::String)
    .since("1.0.0")
    .syntax("key")
    .summary("Returns the string of a key")
    .run(get);
fn get<'s>(bucket: BucketMut<'s>, _: Args) -> CommandResult<'s> {
    bucket.into_view().string_reply()
}

pub(super) const MGET: Command = CommandSpec::read("mget", Group::String)
    .arity(-2)
    .keys(KeySpec::EachListed)
    .fast()
    .cost(Cost::String)
    .since("1.0.0")
    .syntax("key [key ...]")
    .summary("Returns the strings of keys; nil where a key holds none")
    .run(mget);
fn mget<'s>(bucket: BucketMut<'s>, _: Args) -> CommandResult<'s> {
    Ok(bucket.into_view().string_reply().unwrap_or(Reply::NoBucket))
}

pub(super) const SET: Command = CommandSpec::write("set", Group::String)
    .arity(-3)
    .denyoom()
    .cost(Cost::String)
    .takes_values()
    .since("1.0.0")
    .syntax(
        "key value [NX|XX] [GET] [EX seconds|PX milliseconds|EXAT unix-time-seconds|PXAT \
            unix-time-milliseconds|KEEPTTL]",
    )
    .summary("Sets a string, whatever the key held before")
    .run(set);
fn set(mut bucket: BucketMut, mut args: Args) -> CommandResult<'static> {
    let value = args.required()?;
    if args.is_empty() {
        bucket.set_string(value, None)?;
        return Ok(Reply::Done);
    }
    let (mut expiry, mut nx, mut xx, mut get) = (ExpiryOption::default(), false, false, false);
    while let Some(word) = args.next() {
        if expiry.try_set(word, &mut args)? {
            continue;
        }
        match word.to_ascii_lowercase().as_slice() {
            b"nx" => nx = true,
            b"xx" => xx = true,
            b"get" => get = true,
            _ => return Err(CommandError::Syntax),
        }
    }
    if nx && xx || expiry == ExpiryOption::Persist {
        return Err(CommandError::Syntax);
    }
    let expires_at_ms = expiry.key_expiry(bucket.view().expires_at_ms(), "set", bucket.now_ms())?;
    let before = if get { Some(copied(&bucket)?) } else { None };
    let allowed = if bucket.exists() { !nx } else { !xx };
    if allowed {
        bucket.set_string(value, expires_at_ms)?;
    }
    Ok(before.unwrap_or(if allowed { Reply::Done } else { Reply::NoBucket }))
}

pub(super) const SETNX: Command = CommandSpec::write("setnx", Group::String)
    .arity(3)
    .denyoom()
    .fast()
    .since("1.0.0")
    .syntax("key value")
    .summary("Sets a string if the key does not exist")
    .run(setnx);
fn setnx(mut bucket: BucketMut, mut args: Args) -> CommandResult<'static> {
    let value = args.required()?;
    if bucket.exists() {
        return Ok(Reply::Number(0));
    }
    bucket.set_string(value, None)?;
    Ok(Reply::Number(1))
}

pub(super) const SETEX: Command = CommandSpec::write("setex", Group::String)
    .arity(4)
    .denyoom()
    .since("2.0.0")
    .syntax("key seconds value")
    .summary("Sets a string and its time to live in seconds")
    .run(setex);
fn setex(bucket: BucketMut, args: Args) -> CommandResult<'static> {
    set_with_ttl(bucket, args, TimeUnit::Seconds, "setex")
}

pub(super) const PSETEX: Command = CommandSpec::write("psetex", Group::String)
    .arity(4)
    .denyoom()
    .since("2.6.0")
    .syntax("key milliseconds value")
    .summary("Sets a string and its time to live in milliseconds")
    .run(psetex);
fn psetex(bucket: BucketMut, args: Args) -> CommandResult<'static> {
    set_with_ttl(bucket, args, TimeUnit::Milliseconds, "psetex")
}

pub(super) const GETSET: Command = CommandSpec::write("getset", Group::String)
    .arity(3)
    .denyoom()
    .fast()
    .cost(Cost::String)
    .takes_values()
    .since("1.0.0")
    .syntax("key value")
    .summary("Sets a string and returns the previous one")
    .run(getset);
fn getset(mut bucket: BucketMut, mut args: Args) -> CommandResult<'static> {
    let value = args.required()?;
    let before = copied(&bucket)?;
    bucket.set_string(value, None)?;
    Ok(before)
}

pub(super) const GETDEL: Command = CommandSpec::write("getdel", Group::String)
    .arity(2)
    .fast()
    .cost(Cost::String)
    .takes_values()
    .since("6.2.0")
    .syntax("key")
    .summary("Returns the string of a key and removes the key")
    .run(getdel);
fn getdel(mut bucket: BucketMut, _: Args) -> CommandResult<'static> {
    let before = copied(&bucket)?;
    bucket.end(EndReason::Dropped);
    Ok(before)
}

pub(super) const GETEX: Command = CommandSpec::write("getex", Group::String)
    .arity(-2)
    .fast()
    .cost(Cost::String)
    .takes_values()
    .since("6.2.0")
    .syntax(
        "key [EX seconds|PX milliseconds|EXAT unix-time-seconds|PXAT \
            unix-time-milliseconds|PERSIST]",
    )
    .summary("Returns the string of a key and optionally sets its expiry")
    .run(getex);
fn getex<'s>(mut bucket: BucketMut<'s>, mut args: Args) -> CommandResult<'s> {
    let mut expiry = ExpiryOption::default();
    while let Some(word) = args.next() {
        if !expiry.try_set(word, &mut args)? {
            return Err(CommandError::Syntax);
        }
    }
    if expiry == ExpiryOption::Keep {
        return Err(CommandError::Syntax);
    }
    if bucket.view().string()?.is_none() {
        return Ok(Reply::NoBucket);
    }
    if expiry != ExpiryOption::Unspecified {
        let expires_at_ms = expiry.key_expiry(None, "getex", bucket.now_ms())?;
        if expires_at_ms.is_some_and(|expires_at_ms| expires_at_ms <= bucket.now_ms()) {
            return getdel(bucket, Args::NONE);
        }
        bucket.set_expiry(expires_at_ms)?;
    }
    get(bucket, Args::NONE)
}

pub(super) const MSET: Command = CommandSpec::write("mset", Group::String)
    .arity(-3)
    .keys(KeySpec::PairsEach)
    .denyoom()
    .since("1.0.1")
    .syntax("key value [key value ...]")
    .summary("Sets strings")
    .run(mset);
fn mset(mut bucket: BucketMut, mut args: Args) -> CommandResult<'static> {
    let value = args.next().ok_or_else(|| CommandError::Arity("mset".into()))?;
    bucket.set_string(value, None)?;
    Ok(Reply::Done)
}

pub(super) const MSETNX: Command = CommandSpec::write("msetnx", Group::String)
    .arity(-3)
    .keys(KeySpec::PairsTogether)
    .denyoom()
    .since("1.0.1")
    .syntax("key value [key value ...]")
    .summary("Sets strings unless one of the keys exists")
    .run_multi(msetnx);
fn msetnx(buckets: &mut MultiBucket, first: &[u8], mut args: Args) -> CommandResult<'static> {
    if args.count().is_multiple_of(2) {
        return Err(CommandError::Arity("msetnx".into()));
    }
    let mut others = args.skip(1).step_by(2);
    if buckets.bucket(first).exists() || others.any(|name| buckets.bucket(name).exists()) {
        return Ok(Reply::Number(0));
    }
    let mut name = first;
    while let Some(value) = args.next() {
        buckets.bucket(name).set_string(value, None)?;
        name = args.next().unwrap_or_default();
    }
    Ok(Reply::Number(1))
}

/// `time value`
fn set_with_ttl(
    mut bucket: BucketMut,
    mut args: Args,
    unit: TimeUnit,
    command: &str,
) -> CommandResult<'static> {
    let (time, value) = (args.required()?, args.required()?);
    let expires_at_ms = unit.key_expiry(time, command, bucket.now_ms())?;
    bucket.set_string(value, Some(expires_at_ms))?;
    Ok(Reply::Done)
}

/// A copy of the string, to reply with after the bucket has changed.
fn copied(bucket: &BucketMut) -> CommandResult<'static> {
    Ok(bucket.view().owned_string()?.map_or(Reply::NoBucket, Reply::OwnedValue))
}
