//! Commands on keys of any type.

use super::spec::{Command, CommandSpec, Cost, Group, KeySpec};
use crate::{
    args::{Args, parse_integer},
    bucket::{Kind, Origin},
    database::{Database, FullName},
    error::CommandError,
    memory::entry::Value,
    pubsub::bucket_changes::EndReason,
    reply::{CommandResult, Reply},
    shard::{
        bucket_ref::{BucketMut, BucketRef},
        multi::MultiBucket,
    },
};

/// Fields of the largest hash that Redis stores as `listpack`.
pub const LISTPACK_ENTRIES: usize = 512;

/// Bytes of the longest field or value in it.
pub const LISTPACK_BYTES: usize = 64;

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
    let (from, to) = (buckets.full_name(from), buckets.full_name(to));
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
    let (from, to) = (buckets.full_name(from), buckets.full_name(to));
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
    let (from, mut to) = (buckets.full_name(from), buckets.full_name(args.required()?));
    let mut replace = false;
    while let Some(word) = args.next() {
        match word.to_ascii_lowercase().as_slice() {
            b"replace" => replace = true,
            b"db" => to.database = parse_database(args.required()?)?,
            _ => return Err(CommandError::Syntax),
        }
    }
    if from == to {
        return Err(CommandError::SameKey);
    }
    let allowed = buckets.bucket_at(from).exists() && (replace || !buckets.bucket_at(to).exists());
    Ok(Reply::Number(i64::from(allowed && buckets.copy(from, to)?)))
}

pub(super) const MOVE: Command = CommandSpec::write("move", Group::Generic)
    .arity(3)
    .fast()
    .since("1.0.0")
    .syntax("key db")
    .summary("Moves a key to another database")
    .cost(Cost::Copy)
    .run_multi(r#move);
fn r#move(buckets: &mut MultiBucket, name: &[u8], mut args: Args) -> CommandResult<'static> {
    let from = buckets.full_name(name);
    let to = FullName { database: parse_database(args.required()?)?, name };
    if from == to {
        return Err(CommandError::SameKey);
    }
    let allowed = buckets.bucket_at(from).exists() && !buckets.bucket_at(to).exists();
    Ok(Reply::Number(i64::from(allowed && buckets.rename(from, to)?)))
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
        Some(Kind::Map) => Reply::Value(map_encoding(bucket)?),
        Some(Kind::Str) => {
            let origin = bucket.string_origin()?.unwrap_or(Origin::Set);
            Reply::Value(string_encoding(bucket.string()?.and_then(Value::small), origin))
        }
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

fn map_encoding(bucket: BucketRef<'_>) -> Result<&'static [u8], CommandError> {
    if bucket.len()? > LISTPACK_ENTRIES {
        return Ok(b"hashtable");
    }
    let (mut cursor, mut expires) = (0, false);
    loop {
        let (entries, next) = bucket.entries(cursor)?;
        if entries.iter().any(|entry| entry.key.len().max(entry.value.len()) > LISTPACK_BYTES) {
            return Ok(b"hashtable");
        }
        expires |= entries.iter().any(|entry| entry.expires_at_ms.is_some());
        match next {
            0 => return Ok(if expires { b"listpackex" } else { b"listpack" }),
            next => cursor = next,
        }
    }
}

/// The encoding of a string; `None` stands for a large one.
fn string_encoding(value: Option<&[u8]>, origin: Origin) -> &'static [u8] {
    match (origin, value) {
        (Origin::Edited, _) | (_, None) => b"raw",
        (Origin::Set, Some(value)) if parse_integer(value).is_some() => b"int",
        (Origin::Set | Origin::Fraction, Some(value)) if value.len() <= EMBSTR_BYTES => b"embstr",
        (Origin::Set | Origin::Fraction, Some(_)) => b"raw",
    }
}

/// The database with this index.
fn parse_database(index: &[u8]) -> Result<Database, CommandError> {
    let index = parse_integer(index).ok_or(CommandError::NotInteger)?;
    let bounds = CommandError::OutOfBounds { min: i32::MIN.into(), max: i32::MAX.into() };
    i32::try_from(index).map_err(|_| bounds)?;
    usize::try_from(index).ok().and_then(Database::new).ok_or(CommandError::DatabaseIndex)
}

/// The other database that a command on several buckets names, if it names one that exists.
pub(crate) fn target_database(command: &Command, mut args: Args) -> Option<Database> {
    let index = match command.spec.keys {
        KeySpec::One => args.next(),
        KeySpec::TwoTogether => {
            // The last one counts, and the word after DB is never an option.
            let mut index = None;
            args.next();
            while let Some(word) = args.next() {
                if word.eq_ignore_ascii_case(b"db") {
                    index = args.next();
                }
            }
            index
        }
        _ => None,
    };
    parse_database(index?).ok()
}
