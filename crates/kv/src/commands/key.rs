//! Commands on keys of any type.

use super::spec::{Command, CommandSpec, Cost, Group, KeySpec};
use crate::{
    args::{Args, parse_integer},
    bucket::Kind,
    error::CommandError,
    pubsub::bucket_changes::EndReason,
    reply::{CommandResult, Reply},
    shard::{bucket_ref::BucketMut, multi::MultiBucket},
};

/// The longest string that Redis stores as `embstr`, in bytes.
const EMBSTR_BYTES: usize = 44;

pub(super) const DEL: Command = CommandSpec::write("del", Group::Generic)
    .arity(-2)
    .keys(KeySpec::EachSummed)
    .since("1.0.0")
    .syntax("key [key ...]")
    .summary("Removes keys and returns the number removed")
    .run(del);

pub(super) const UNLINK: Command = CommandSpec::write("unlink", Group::Generic)
    .arity(-2)
    .keys(KeySpec::EachSummed)
    .fast()
    .since("4.0.0")
    .syntax("key [key ...]")
    .summary("Removes keys, as DEL does")
    .run(del);
fn del(mut bucket: BucketMut, _: Args) -> CommandResult<'static> {
    Ok(Reply::Number(i64::from(bucket.end(EndReason::Dropped))))
}

pub(super) const EXISTS: Command = CommandSpec::read("exists", Group::Generic)
    .arity(-2)
    .keys(KeySpec::EachSummed)
    .fast()
    .since("1.0.0")
    .syntax("key [key ...]")
    .summary("Number of keys that exist")
    .run(exists);

pub(super) const TOUCH: Command = CommandSpec::read("touch", Group::Generic)
    .arity(-2)
    .keys(KeySpec::EachSummed)
    .fast()
    .since("3.2.1")
    .syntax("key [key ...]")
    .summary("Number of keys that exist")
    .run(exists);
fn exists(bucket: BucketMut, _: Args) -> CommandResult<'static> {
    Ok(Reply::Number(i64::from(bucket.exists())))
}

pub(super) const TYPE: Command = CommandSpec::read("type", Group::Generic)
    .arity(2)
    .fast()
    .since("1.0.0")
    .syntax("key")
    .summary("Type of a key: hash, string or none")
    .run(r#type);
fn r#type(bucket: BucketMut, _: Args) -> CommandResult<'static> {
    Ok(Reply::Status(bucket.view().kind().map_or("none", Kind::name)))
}

pub(super) const RENAME: Command = CommandSpec::write("rename", Group::Generic)
    .arity(3)
    .keys(KeySpec::TwoTogether)
    .cost(Cost::Rename)
    .since("1.0.0")
    .syntax("key newkey")
    .summary("Renames a key, replacing the new name")
    .run_multi(rename);
fn rename(buckets: &mut MultiBucket, from: &[u8], mut args: Args) -> CommandResult<'static> {
    let to = args.required()?;
    if buckets.rename(from, to)? { Ok(Reply::Done) } else { Err(CommandError::NoSuchKey) }
}

pub(super) const RENAMENX: Command = CommandSpec::write("renamenx", Group::Generic)
    .arity(3)
    .keys(KeySpec::TwoTogether)
    .fast()
    .cost(Cost::Rename)
    .since("1.0.0")
    .syntax("key newkey")
    .summary("Renames a key if the new name is free")
    .run_multi(renamenx);
fn renamenx(buckets: &mut MultiBucket, from: &[u8], mut args: Args) -> CommandResult<'static> {
    let to = args.required()?;
    if !buckets.bucket(from).exists() {
        return Err(CommandError::NoSuchKey);
    }
    if buckets.bucket(to).exists() {
        return Ok(Reply::Number(0));
    }
    buckets.rename(from, to)?;
    Ok(Reply::Number(1))
}

pub(super) const COPY: Command = CommandSpec::write("copy", Group::Generic)
    .arity(-3)
    .keys(KeySpec::TwoTogether)
    .denyoom()
    .cost(Cost::Copy)
    .since("6.2.0")
    .syntax("source destination [DB destination-db] [REPLACE]")
    .summary("Copies a key to another name")
    .run_multi(copy);
fn copy(buckets: &mut MultiBucket, from: &[u8], mut args: Args) -> CommandResult<'static> {
    let to = args.required()?;
    let mut replace = false;
    while let Some(word) = args.next() {
        match word.to_ascii_lowercase().as_slice() {
            b"replace" => replace = true,
            b"db" => check_database(args.integer()?)?,
            _ => return Err(CommandError::Syntax),
        }
    }
    if from == to {
        return Err(CommandError::SameKey);
    }
    let allowed = buckets.bucket(from).exists() && (replace || !buckets.bucket(to).exists());
    Ok(Reply::Number(i64::from(allowed && buckets.copy(from, to)?)))
}

pub(super) const OBJECT_ENCODING: Command = CommandSpec::read("object|encoding", Group::Generic)
    .arity(3)
    .since("2.2.3")
    .syntax("key")
    .summary("How Redis would encode the value of a key")
    .run(object_encoding);
fn object_encoding(bucket: BucketMut, _: Args) -> CommandResult<'static> {
    let bucket = bucket.view();
    Ok(match bucket.kind() {
        None => Reply::NoBucket,
        Some(Kind::Map) if bucket.has_table() => Reply::Value(b"hashtable"),
        Some(Kind::Map) => Reply::Value(b"listpack"),
        Some(Kind::Str) => Reply::Value(string_encoding(bucket.string()?.unwrap_or_default())),
    })
}

pub(super) const OBJECT_REFCOUNT: Command = CommandSpec::read("object|refcount", Group::Generic)
    .arity(3)
    .since("2.2.3")
    .syntax("key")
    .summary("Always 1: values are not shared")
    .run(object_refcount);
fn object_refcount(bucket: BucketMut, _: Args) -> CommandResult<'static> {
    Ok(if bucket.exists() { Reply::Number(1) } else { Reply::NoBucket })
}

pub(super) const OBJECT_IDLETIME: Command = CommandSpec::read("object|idletime", Group::Generic)
    .arity(3)
    .since("2.2.3")
    .syntax("key")
    .summary("Always 0: accesses are not recorded")
    .run(object_idletime);
fn object_idletime(bucket: BucketMut, _: Args) -> CommandResult<'static> {
    Ok(if bucket.exists() { Reply::Number(0) } else { Reply::NoBucket })
}

pub(super) const OBJECT_FREQ: Command = CommandSpec::read("object|freq", Group::Generic)
    .arity(3)
    .since("4.0.0")
    .syntax("key")
    .summary("Always an error: accesses are not counted")
    .run(object_freq);
fn object_freq(bucket: BucketMut, _: Args) -> CommandResult<'static> {
    if bucket.exists() { Err(CommandError::AccessesNotCounted) } else { Ok(Reply::NoBucket) }
}

fn string_encoding(value: &[u8]) -> &'static [u8] {
    match value {
        _ if parse_integer(value).is_some() => b"int",
        _ if value.len() <= EMBSTR_BYTES => b"embstr",
        _ => b"raw",
    }
}

/// The only database is 0.
fn check_database(index: i64) -> Result<(), CommandError> {
    match i32::try_from(index) {
        Ok(0) => Ok(()),
        Ok(_) => Err(CommandError::DatabaseIndex),
        Err(_) => Err(CommandError::OutOfBounds { min: i32::MIN.into(), max: i32::MAX.into() }),
    }
}
