//! Commands on hashes that list fields: all, in pages, or at random.

use super::spec::{Command, CommandSpec, Cost, Group};
use crate::{
    args::{Args, SCAN_COUNT},
    bucket::WrongType,
    error::CommandError,
    limits::{EXPIRY_ENDS, RANDOM_ENTRIES, SCAN_ENTRIES},
    memory::entry::Entry,
    reply::{CommandResult, Projection, Reply},
    shard::bucket_ref::{BucketMut, BucketRef},
    syntax::glob::{self, Pattern},
};
use std::collections::HashSet;

pub(super) const HGETALL: Command = CommandSpec::read("hgetall", Group::Hash)
    .arity(2)
    .cost(Cost::Listing)
    .since("2.0.0")
    .syntax("key")
    .summary("Returns all fields and their values")
    .run(hgetall);
fn hgetall<'s>(bucket: BucketMut<'s>, _: Args) -> CommandResult<'s> {
    list_all(bucket.into_view(), Projection::Both)
}

pub(super) const HKEYS: Command = CommandSpec::read("hkeys", Group::Hash)
    .arity(2)
    .cost(Cost::Listing)
    .since("2.0.0")
    .syntax("key")
    .summary("Returns all fields")
    .run(hkeys);
fn hkeys<'s>(bucket: BucketMut<'s>, _: Args) -> CommandResult<'s> {
    list_all(bucket.into_view(), Projection::Keys)
}

pub(super) const HVALS: Command = CommandSpec::read("hvals", Group::Hash)
    .arity(2)
    .cost(Cost::Listing)
    .since("2.0.0")
    .syntax("key")
    .summary("Returns all values")
    .run(hvals);
fn hvals<'s>(bucket: BucketMut<'s>, _: Args) -> CommandResult<'s> {
    list_all(bucket.into_view(), Projection::Values)
}

pub(super) const HSCAN: Command = CommandSpec::read("hscan", Group::Hash)
    .arity(-3)
    .cost(Cost::Listing)
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
            b"match" => pattern = Some(glob::checked(args.required()?)?),
            b"count" => count = args.scan_count()?.min(SCAN_ENTRIES),
            b"novalues" => projection = Projection::Keys,
            _ => return Err(CommandError::Syntax),
        }
    }
    let (mut entries, next) = bucket.entries_up_to(cursor, count)?;
    if let Some(pattern) = pattern {
        let pattern = Pattern::new(pattern);
        entries.retain(|entry| pattern.matches(entry.key));
    }
    Ok(Reply::Page { items: items(bucket, &entries, projection), next })
}

pub(super) const HRANDFIELD: Command = CommandSpec::read("hrandfield", Group::Hash)
    .arity(-2)
    .cost(Cost::Sample)
    .since("6.2.0")
    .syntax("key [count [WITHVALUES]]")
    .summary("One or more random fields")
    .run(hrandfield);
fn hrandfield<'s>(mut bucket: BucketMut<'s>, args: Args) -> CommandResult<'s> {
    let choice = RandomFields::parse(args)?;
    // A hash of many expired fields becomes one of few, however often it is asked.
    bucket.delete_expired(EXPIRY_ENDS);
    let bucket = bucket.into_view();
    let len = bucket.len()?;
    let Some(count) = choice.count else {
        return Ok(match bucket.random_entries(choice.projection, 1)?.first() {
            Some(entry) => Reply::Value(entry.key),
            None if len == 0 => Reply::NoKey,
            None => Reply::LargeSample,
        });
    };
    let wanted = count.unsigned_abs();
    let entries = match wanted {
        _ if len == 0 => Some(Vec::new()),
        _ if count >= 0 => sample_distinct(bucket, choice.projection, wanted.min(len as u64) as usize)?,
        // A negative count allows duplicates.
        _ if wanted <= RANDOM_ENTRIES as u64 => {
            let entries = bucket.random_entries(choice.projection, wanted as usize)?;
            Some(entries).filter(|entries| entries.len() as u64 == wanted)
        }
        _ => None,
    };
    let Some(entries) = entries else { return Ok(Reply::LargeSample) };
    Ok(match choice.projection {
        Projection::Both => Reply::PairList(items(bucket, &entries, Projection::Both)),
        projection => Reply::List(items(bucket, &entries, projection)),
    })
}

/// One page of entries, for a reply that is to have each entry once.
pub(crate) fn page(bucket: BucketRef, projection: Projection, cursor: u64) -> CommandResult {
    check_cursor(bucket, cursor)?;
    let (entries, next) = bucket.entries(cursor)?;
    Ok(Reply::Page { items: items(bucket, &entries, projection), next })
}

/// Refuses a cursor of another replica: the pages of a reply would list entries twice.
pub(crate) fn check_cursor(bucket: BucketRef, cursor: u64) -> Result<(), CommandError> {
    if bucket.has_cursor(cursor) { Ok(()) } else { Err(CommandError::InvalidCursor) }
}

/// Up to `count` random entries, with duplicates. If chance finds none, those of the lines from `cursor` on:
/// without items the page's `next` is where to look on, 0 if there are none at all.
pub(crate) fn random_page<'s>(
    mut bucket: BucketMut<'s>,
    projection: Projection,
    cursor: u64,
    count: u32,
) -> CommandResult<'s> {
    bucket.delete_expired(EXPIRY_ENDS);
    let bucket = bucket.into_view();
    let count = (count as usize).min(RANDOM_ENTRIES);
    let (mut entries, mut next) = (bucket.random_entries(projection, count)?, 0);
    if entries.is_empty() {
        (entries, next) = bucket.entries_up_to(cursor, 1)?;
        fastrand::shuffle(&mut entries);
        entries.truncate(count);
    }
    Ok(Reply::Page { items: items(bucket, &entries, projection), next })
}

/// All entries, if they fit on one page.
fn list_all(bucket: BucketRef, projection: Projection) -> CommandResult {
    let (entries, next) = bucket.entries(0)?;
    let items = items(bucket, &entries, projection);
    Ok(match projection {
        _ if next != 0 => Reply::TooLarge(projection),
        Projection::Both => Reply::Map(items),
        Projection::Keys | Projection::Values => Reply::List(items),
    })
}

fn items<'s>(bucket: BucketRef<'s>, entries: &[Entry<'s>], projection: Projection) -> Vec<Reply<'s>> {
    let key = |entry: &Entry<'s>| Reply::Value(entry.key);
    let value = |entry: &Entry<'s>| bucket.reply(entry.value).unwrap_or_else(Reply::Error);
    match projection {
        Projection::Keys => entries.iter().map(key).collect(),
        Projection::Values => entries.iter().map(value).collect(),
        Projection::Both => entries.iter().flat_map(|entry| [key(entry), value(entry)]).collect(),
    }
}

/// `count` distinct random entries. `None` if it takes more than one bounded step.
fn sample_distinct(
    bucket: BucketRef,
    projection: Projection,
    count: usize,
) -> Result<Option<Vec<Entry>>, WrongType> {
    if count > bucket.len()? / 2 {
        let (mut entries, next) = bucket.entries_up_to(0, RANDOM_ENTRIES)?;
        fastrand::shuffle(&mut entries);
        entries.truncate(count);
        return Ok(Some(entries).filter(|_| next == 0));
    }
    if count > RANDOM_ENTRIES {
        return Ok(None);
    }
    let (mut entries, mut seen) = (Vec::with_capacity(count), HashSet::with_capacity(count));
    while entries.len() < count {
        let wanted = count - entries.len();
        let picked = bucket.random_entries(projection, wanted)?;
        let is_short = picked.len() < wanted;
        entries.extend(picked.into_iter().filter(|entry| seen.insert(entry.key)));
        if is_short {
            return Ok(None);
        }
    }
    Ok(Some(entries))
}

/// What HRANDFIELD is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RandomFields {
    /// `None`: one field. Negative: duplicates are allowed.
    pub count: Option<i64>,
    /// The part of each entry that is returned.
    pub projection: Projection,
}

impl RandomFields {
    /// Parses the arguments after the key.
    pub fn parse(mut args: Args<'_>) -> Result<RandomFields, CommandError> {
        if args.is_empty() {
            return Ok(RandomFields { count: None, projection: Projection::Keys });
        }
        let count = args.integer()?;
        if count == i64::MIN {
            return Err(CommandError::OutOfBounds { min: -i64::MAX, max: i64::MAX });
        }
        let projection = match (args.next(), args.next()) {
            (None, None) => Projection::Keys,
            (Some(word), None) if word.eq_ignore_ascii_case(b"withvalues") => Projection::Both,
            _ => return Err(CommandError::Syntax),
        };
        if projection == Projection::Both && count.unsigned_abs() > i64::MAX as u64 / 2 {
            return Err(CommandError::CountOutOfRange);
        }
        Ok(RandomFields { count: Some(count), projection })
    }
}
