//! Commands on hashes that list fields: all, in pages, or at random.

use super::spec::{Command, CommandSpec, Group};
use crate::{
    args::{Args, SCAN_COUNT},
    bucket::WrongType,
    error::CommandError,
    limits::{RANDOM_ENTRIES, SCAN_ENTRIES},
    memory::entry::Entry,
    reply::{CommandResult, Projection, Reply},
    shard::bucket_ref::{BucketMut, BucketRef},
    syntax::glob,
};
use std::collections::HashSet;

pub(super) const HGETALL: Command = CommandSpec::read("hgetall", Group::Hash)
    .arity(2)
    .since("2.0.0")
    .syntax("key")
    .summary("Returns all fields and their values")
    .run(hgetall);
fn hgetall<'s>(bucket: BucketMut<'s>, _: Args) -> CommandResult<'s> {
    list_all(bucket.into_view(), Projection::Both)
}

pub(super) const HKEYS: Command = CommandSpec::read("hkeys", Group::Hash)
    .arity(2)
    .since("2.0.0")
    .syntax("key")
    .summary("Returns all fields")
    .run(hkeys);
fn hkeys<'s>(bucket: BucketMut<'s>, _: Args) -> CommandResult<'s> {
    list_all(bucket.into_view(), Projection::Keys)
}

pub(super) const HVALS: Command = CommandSpec::read("hvals", Group::Hash)
    .arity(2)
    .since("2.0.0")
    .syntax("key")
    .summary("Returns all values")
    .run(hvals);
fn hvals<'s>(bucket: BucketMut<'s>, _: Args) -> CommandResult<'s> {
    list_all(bucket.into_view(), Projection::Values)
}

pub(super) const HSCAN: Command = CommandSpec::read("hscan", Group::Hash)
    .arity(-3)
    .since("2.8.0")
    .syntax("key cursor [MATCH pattern] [COUNT count] [NOVALUES]")
    .summary("Iterates over fields and values")
    .run(hscan);
fn hscan<'s>(bucket: BucketMut<'s>, mut args: Args) -> CommandResult<'s> {
    let cursor = args.cursor()?;
    let bucket = bucket.into_view();
    if bucket.map()?.is_none() {
        return Ok(Reply::Page { items: Vec::new(), next: 0 });
    }
    let (mut pattern, mut count, mut projection) = (None, SCAN_COUNT, Projection::Both);
    while let Some(option) = args.next() {
        match option.to_ascii_lowercase().as_slice() {
            b"match" => pattern = Some(args.required()?),
            b"count" => count = args.scan_count()?.min(SCAN_ENTRIES),
            b"novalues" => projection = Projection::Keys,
            _ => return Err(CommandError::Syntax),
        }
    }
    let (mut entries, next) = bucket.entries_up_to(cursor, count)?;
    if let Some(pattern) = pattern {
        entries.retain(|entry| glob::matches(pattern, entry.key));
    }
    Ok(Reply::Page { items: items(&entries, projection), next })
}

pub(super) const HRANDFIELD: Command = CommandSpec::read("hrandfield", Group::Hash)
    .arity(-2)
    .since("6.2.0")
    .syntax("key [count [WITHVALUES]]")
    .summary("One or more random fields")
    .run(hrandfield);
fn hrandfield<'s>(bucket: BucketMut<'s>, mut args: Args) -> CommandResult<'s> {
    let bucket = bucket.into_view();
    if args.is_empty() {
        return Ok(bucket.random()?.map_or(Reply::NoKey, |entry| Reply::Value(entry.key)));
    }
    let count = args.integer()?;
    if count == i64::MIN {
        return Err(CommandError::OutOfBounds { min: -i64::MAX, max: i64::MAX });
    }
    let with_values = match (args.next(), args.next()) {
        (None, None) => false,
        (Some(word), None) if word.eq_ignore_ascii_case(b"withvalues") => true,
        _ => return Err(CommandError::Syntax),
    };
    if with_values && count.unsigned_abs() > i64::MAX as u64 / 2 {
        return Err(CommandError::CountOutOfRange);
    }
    let entries = match bucket.len()? {
        0 => Vec::new(),
        len if count >= 0 => sample_distinct(bucket, bounded(count.unsigned_abs().min(len as u64))?, len)?,
        // A negative count allows duplicates.
        _ => sample(bucket, bounded(count.unsigned_abs())?)?,
    };
    Ok(match with_values {
        true => Reply::PairList(items(&entries, Projection::Both)),
        false => Reply::List(items(&entries, Projection::Keys)),
    })
}

/// One page of entries.
pub(crate) fn page(bucket: BucketRef, projection: Projection, cursor: u64) -> CommandResult {
    let (entries, next) = bucket.entries(cursor)?;
    Ok(Reply::Page { items: items(&entries, projection), next })
}

/// All entries, if they fit on one page.
fn list_all(bucket: BucketRef, projection: Projection) -> CommandResult {
    let (entries, next) = bucket.entries(0)?;
    let items = items(&entries, projection);
    Ok(match projection {
        _ if next != 0 => Reply::TooLarge(projection),
        Projection::Both => Reply::Map(items),
        Projection::Keys | Projection::Values => Reply::List(items),
    })
}

fn items<'s>(entries: &[Entry<'s>], projection: Projection) -> Vec<Reply<'s>> {
    let key = |entry: &Entry<'s>| Reply::Value(entry.key);
    let value = |entry: &Entry<'s>| Reply::Value(entry.value);
    match projection {
        Projection::Keys => entries.iter().map(key).collect(),
        Projection::Values => entries.iter().map(value).collect(),
        Projection::Both => entries.iter().flat_map(|entry| [key(entry), value(entry)]).collect(),
    }
}

fn bounded(count: u64) -> Result<usize, CommandError> {
    let count = usize::try_from(count).ok().filter(|count| *count <= RANDOM_ENTRIES);
    count.ok_or(CommandError::CountOutOfRange)
}

/// `count` random entries, with duplicates.
fn sample(bucket: BucketRef, count: usize) -> Result<Vec<Entry>, WrongType> {
    (0..count).map_while(|_| bucket.random().transpose()).collect()
}

/// `count` distinct random entries out of `len`.
fn sample_distinct(bucket: BucketRef, count: usize, len: usize) -> Result<Vec<Entry>, WrongType> {
    if count > len / 2 {
        let mut entries = all_entries(bucket)?;
        if count < entries.len() {
            fastrand::shuffle(&mut entries);
            entries.truncate(count);
        }
        return Ok(entries);
    }
    let (mut entries, mut seen) = (Vec::with_capacity(count), HashSet::with_capacity(count));
    while entries.len() < count {
        let Some(entry) = bucket.random()? else { break };
        if seen.insert(entry.key) {
            entries.push(entry);
        }
    }
    Ok(entries)
}

fn all_entries(bucket: BucketRef) -> Result<Vec<Entry>, WrongType> {
    let (mut all, mut cursor) = (Vec::new(), 0);
    loop {
        let (entries, next) = bucket.entries(cursor)?;
        all.extend(entries);
        if next == 0 {
            return Ok(all);
        }
        cursor = next;
    }
}
