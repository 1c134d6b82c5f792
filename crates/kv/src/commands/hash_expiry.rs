//! Commands on the expiry of hash fields. They reply with a code for each field.

use super::{
    expiry_options::{ExpireCondition, NEVER, NOT_FOUND, TimeUnit},
    hash_fields::{expire_field, field_expiry, parse_fields},
    spec::{Command, CommandSpec, Cost, Group},
};
use crate::{
    args::Args,
    error::CommandError,
    reply::{CommandResult, Reply},
    shard::bucket_ref::BucketMut,
};

const UNCHANGED: i64 = 0;
const CHANGED: i64 = 1;
const DELETED: i64 = 2;

/// Redis rounds the TTL of a field up to the next second.
const ROUNDING_MS: u64 = 999;

pub(super) const HEXPIRE: Command = CommandSpec::write("hexpire", Group::Hash)
    .arity(-6)
    .denyoom()
    .fast()
    .cost(Cost::Fields)
    .since("7.4.0")
    .syntax("key seconds [NX|XX|GT|LT] FIELDS numfields field [field ...]")
    .summary("Sets the time to live of fields in seconds")
    .run(hexpire);
fn hexpire(bucket: BucketMut, args: Args) -> CommandResult<'static> {
    expire(bucket, args, TimeUnit::Seconds, "hexpire")
}

pub(super) const HPEXPIRE: Command = CommandSpec::write("hpexpire", Group::Hash)
    .arity(-6)
    .denyoom()
    .fast()
    .cost(Cost::Fields)
    .since("7.4.0")
    .syntax("key milliseconds [NX|XX|GT|LT] FIELDS numfields field [field ...]")
    .summary("Sets the time to live of fields in milliseconds")
    .run(hpexpire);
fn hpexpire(bucket: BucketMut, args: Args) -> CommandResult<'static> {
    expire(bucket, args, TimeUnit::Milliseconds, "hpexpire")
}

pub(super) const HEXPIREAT: Command = CommandSpec::write("hexpireat", Group::Hash)
    .arity(-6)
    .denyoom()
    .fast()
    .cost(Cost::Fields)
    .since("7.4.0")
    .syntax("key unix-time-seconds [NX|XX|GT|LT] FIELDS numfields field [field ...]")
    .summary("Sets the expiry of fields as a Unix time in seconds")
    .run(hexpireat);
fn hexpireat(bucket: BucketMut, args: Args) -> CommandResult<'static> {
    expire(bucket, args, TimeUnit::UnixSeconds, "hexpireat")
}

pub(super) const HPEXPIREAT: Command = CommandSpec::write("hpexpireat", Group::Hash)
    .arity(-6)
    .denyoom()
    .fast()
    .cost(Cost::Fields)
    .since("7.4.0")
    .syntax("key unix-time-milliseconds [NX|XX|GT|LT] FIELDS numfields field [field ...]")
    .summary("Sets the expiry of fields as a Unix time in milliseconds")
    .run(hpexpireat);
fn hpexpireat(bucket: BucketMut, args: Args) -> CommandResult<'static> {
    expire(bucket, args, TimeUnit::UnixMilliseconds, "hpexpireat")
}

pub(super) const HTTL: Command = CommandSpec::read("httl", Group::Hash)
    .arity(-5)
    .fast()
    .since("7.4.0")
    .syntax("key FIELDS numfields field [field ...]")
    .summary("Remaining time to live of fields in seconds")
    .run(httl);
fn httl(bucket: BucketMut, args: Args) -> CommandResult<'static> {
    report(bucket, args, TimeUnit::Seconds, "httl")
}

pub(super) const HPTTL: Command = CommandSpec::read("hpttl", Group::Hash)
    .arity(-5)
    .fast()
    .since("7.4.0")
    .syntax("key FIELDS numfields field [field ...]")
    .summary("Remaining time to live of fields in milliseconds")
    .run(hpttl);
fn hpttl(bucket: BucketMut, args: Args) -> CommandResult<'static> {
    report(bucket, args, TimeUnit::Milliseconds, "hpttl")
}

pub(super) const HEXPIRETIME: Command = CommandSpec::read("hexpiretime", Group::Hash)
    .arity(-5)
    .fast()
    .since("7.4.0")
    .syntax("key FIELDS numfields field [field ...]")
    .summary("Expiry of fields, as a Unix time in seconds")
    .run(hexpiretime);
fn hexpiretime(bucket: BucketMut, args: Args) -> CommandResult<'static> {
    report(bucket, args, TimeUnit::UnixSeconds, "hexpiretime")
}

pub(super) const HPEXPIRETIME: Command = CommandSpec::read("hpexpiretime", Group::Hash)
    .arity(-5)
    .fast()
    .since("7.4.0")
    .syntax("key FIELDS numfields field [field ...]")
    .summary("Expiry of fields, as a Unix time in milliseconds")
    .run(hpexpiretime);
fn hpexpiretime(bucket: BucketMut, args: Args) -> CommandResult<'static> {
    report(bucket, args, TimeUnit::UnixMilliseconds, "hpexpiretime")
}

pub(super) const HPERSIST: Command = CommandSpec::write("hpersist", Group::Hash)
    .arity(-5)
    .fast()
    .cost(Cost::Fields)
    .since("7.4.0")
    .syntax("key FIELDS numfields field [field ...]")
    .summary("Removes the expiry of fields")
    .run(hpersist);
fn hpersist(mut bucket: BucketMut, args: Args) -> CommandResult<'static> {
    bucket.view().map()?;
    let mut codes = Vec::new();
    for field in parse_fields(args, "hpersist")? {
        let code = field_code(&bucket, field, |_| CHANGED)?;
        if code == CHANGED {
            bucket.set_field_expiry(field, None)?;
        }
        codes.push(Reply::Number(code));
    }
    Ok(Reply::List(codes))
}

/// `time [NX | XX | GT | LT] FIELDS n field [field ...]`
fn expire(mut bucket: BucketMut, mut args: Args, unit: TimeUnit, command: &str) -> CommandResult<'static> {
    bucket.view().map()?;
    let expires_at_ms = field_expiry(args.next(), unit, bucket.now_ms(), command)?;
    let mut condition = ExpireCondition::default();
    args.next_if(|word| condition.try_set(word));
    let mut codes = Vec::new();
    for field in parse_fields(args, command)? {
        let before = bucket.view().field(field)?.map(|entry| entry.expires_at_ms);
        codes.push(match before {
            None => NOT_FOUND,
            Some(before) if !condition.allows(before, expires_at_ms as i64) => UNCHANGED,
            Some(_) if expire_field(&mut bucket, field, expires_at_ms)? => DELETED,
            Some(_) => CHANGED,
        });
    }
    if codes.contains(&DELETED) {
        bucket.end_if_empty();
    }
    Ok(Reply::List(codes.into_iter().map(Reply::Number).collect()))
}

/// `FIELDS n field [field ...]`
fn report(bucket: BucketMut, args: Args, unit: TimeUnit, command: &str) -> CommandResult<'static> {
    bucket.view().map()?;
    let time = |expires_at_ms| unit.time_of(expires_at_ms, bucket.now_ms(), ROUNDING_MS);
    let codes = parse_fields(args, command)?.map(|field| field_code(&bucket, field, time).map(Reply::Number));
    Ok(Reply::List(codes.collect::<Result<_, _>>()?))
}

fn field_code(bucket: &BucketMut, field: &[u8], code: impl Fn(u64) -> i64) -> Result<i64, CommandError> {
    let entry = bucket.view().field(field)?;
    Ok(entry.map_or(NOT_FOUND, |entry| entry.expires_at_ms.map_or(NEVER, code)))
}
