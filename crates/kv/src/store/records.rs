//! Whole buckets: reads one page by page, with all that belongs to it, and loads it again.

use super::Store;
use crate::{
    args::{Args, parse_integer},
    bucket::{Kind, Origin, WrongType},
    bucket_supervisor::BucketSupervisor,
    database::FullName,
    error::CommandError,
    limits::VALUE_BYTES,
    pubsub::bucket_changes::EndReason,
    reply::{CommandResult, Reply},
    request::LoadMode,
    shard::{
        bucket_ref::{BucketMut, BucketRef, check_name},
        registry::Lookup,
    },
    time::Clock,
};
use parking_lot::MutexGuard;
use std::hash::BuildHasher;

/// What a bucket is besides its contents.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BucketHead {
    /// The type of its value.
    pub kind: Kind,
    /// Whether a map stays when its last entry goes.
    pub keep_when_empty: bool,
    /// When it expires, in milliseconds since 1970.
    pub expires_at_ms: Option<u64>,
}

/// One bounded page of a bucket.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BucketPage {
    /// The bucket, as it is now.
    pub head: BucketHead,
    /// How a string came to be.
    pub origin: Origin,
    /// Entries of a map, or the string as one entry without a key.
    pub entries: Vec<OwnedEntry>,
    /// The cursor of the next page; 0 after the last one.
    pub next: u64,
}

/// An entry of a map.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OwnedEntry {
    /// The key.
    pub key: Box<[u8]>,
    /// The value.
    pub value: Box<[u8]>,
    /// When it expires, in milliseconds since 1970.
    pub expires_at_ms: Option<u64>,
}

impl Store {
    /// One page of a bucket, from `cursor` on (0: from the start); `None` if there is no such bucket. Each
    /// entry has the value and the expiry that it had at one moment; entries that stay are listed once.
    pub fn bucket_page(&self, full: FullName<'_>, cursor: u64, now_ms: u64) -> Option<BucketPage> {
        let hash = self.hasher.hash_one(full.name);
        let mut shard = self.lock(self.shard_index(full.database, hash));
        let supervisor = BucketSupervisor::new(&self.crash_reports);
        let page = supervisor.run(|| {
            let bucket = supervisor.open(&mut shard, full.name, Lookup::new(hash), Clock::at(now_ms));
            page(bucket.into_view(), cursor).ok().flatten()
        });
        let page = page.unwrap_or_else(|panic| {
            supervisor.recover(panic, |reason| supervisor.end_crashed(&mut shard, full.name, hash, reason));
            None
        });
        // Another page usually follows at once. Threads that wait for the lock go first.
        MutexGuard::unlock_fair(shard);
        page
    }
}

fn page(bucket: BucketRef<'_>, cursor: u64) -> Result<Option<BucketPage>, WrongType> {
    let Some(kind) = bucket.kind() else { return Ok(None) };
    let (keep_when_empty, expires_at_ms) = (bucket.keeps_when_empty(), bucket.expires_at_ms());
    let head = BucketHead { kind, keep_when_empty, expires_at_ms };
    if kind == Kind::Str {
        let value = bucket.owned_string()?.map(Box::from).unwrap_or_default();
        let entry = OwnedEntry { key: Box::default(), value, expires_at_ms: None };
        let origin = bucket.string_origin()?.unwrap_or(Origin::Set);
        return Ok(Some(BucketPage { head, origin, entries: vec![entry], next: 0 }));
    }
    let (entries, next) = bucket.entries(cursor)?;
    let entries = entries.iter().map(|entry| OwnedEntry {
        key: entry.key.into(),
        value: bucket.owned_value(entry.value).into(),
        expires_at_ms: entry.expires_at_ms,
    });
    Ok(Some(BucketPage { head, origin: Origin::Set, entries: entries.collect(), next }))
}

/// Executes [`Op::Load`](crate::request::Op::Load). What is invalid is refused before anything is changed.
pub(super) fn load(
    mut bucket: BucketMut<'_>,
    mode: LoadMode,
    head: BucketHead,
    contents: Args<'_>,
) -> CommandResult<'static> {
    match mode {
        LoadMode::New if bucket.exists() => return Ok(Reply::Number(0)),
        LoadMode::Append if bucket.view().kind() != Some(Kind::Map) => return Ok(Reply::NoBucket),
        LoadMode::New | LoadMode::Replace | LoadMode::Append => check(&bucket, head.kind, contents)?,
    }
    if mode == LoadMode::Replace {
        bucket.end(EndReason::Dropped);
    }
    let mut rest = contents;
    if head.kind == Kind::Str {
        bucket.set_string(rest.required()?, head.expires_at_ms)?;
        bucket.set_string_origin(parse_origin(rest)?);
        return Ok(Reply::Number(1));
    }
    if head.keep_when_empty {
        bucket.create()?;
    }
    while let Some(key) = rest.next() {
        let (value, expiry) = (rest.required()?, rest.required()?);
        bucket.set_field(key, value, parse_expiry(expiry)?)?;
    }
    if mode != LoadMode::Append && head.expires_at_ms.is_some() {
        bucket.set_expiry(head.expires_at_ms)?;
    }
    Ok(Reply::Number(1))
}

fn check(bucket: &BucketMut<'_>, kind: Kind, mut contents: Args<'_>) -> Result<(), CommandError> {
    check_name(bucket.name())?;
    let check_value = |value: &[u8]| match value.len() {
        0..=VALUE_BYTES => Ok(()),
        _ => Err(CommandError::StringTooLong),
    };
    if kind == Kind::Str {
        check_value(contents.required()?)?;
        return parse_origin(contents).map(drop);
    }
    while let Some(key) = contents.next() {
        check_name(key)?;
        check_value(contents.required()?)?;
        parse_expiry(contents.required()?)?;
    }
    Ok(())
}

/// How a string came to be, which follows it if it was not set as a whole.
fn parse_origin(mut rest: Args<'_>) -> Result<Origin, CommandError> {
    let Some(name) = rest.next() else { return Ok(Origin::Set) };
    str::from_utf8(name).ok().and_then(Origin::from_name).ok_or(CommandError::Syntax)
}

fn parse_expiry(text: &[u8]) -> Result<Option<u64>, CommandError> {
    if text.is_empty() {
        return Ok(None);
    }
    let expiry = parse_integer(text).and_then(|expiry| u64::try_from(expiry).ok());
    expiry.map(Some).ok_or(CommandError::NotInteger)
}

#[cfg(test)]
mod tests;
