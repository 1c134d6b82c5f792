//! Commands on buckets of any kind.

use super::number;
use crate::{
    Args, CommandError, CommandResult, Reply, bucket::Contents, pubsub::bucket_changes::EndReason,
    shard::bucket_mut::BucketMut,
};

/// Ends a bucket; how many were ended.
pub(super) fn del<'s>(mut target: BucketMut<'s>, _: Args<'_>) -> CommandResult<'s> {
    Ok(Reply::Number(i64::from(target.end(EndReason::Dropped))))
}

/// How many of the buckets are there.
pub(super) fn exists<'s>(target: BucketMut<'s>, _: Args<'_>) -> CommandResult<'s> {
    Ok(Reply::Number(i64::from(target.exists())))
}

/// What a bucket holds.
pub(super) fn r#type<'s>(target: BucketMut<'s>, _: Args<'_>) -> CommandResult<'s> {
    Ok(Reply::Status(match target.view().contents() {
        None => "none",
        Some(Contents::Map { .. }) => "hash",
        Some(Contents::Text(_)) => "string",
    }))
}

/// How Redis would keep what the bucket holds: our ways are others, but clients know these names.
pub(super) fn object_encoding<'s>(target: BucketMut<'s>, _: Args<'_>) -> CommandResult<'s> {
    Ok(match target.view().contents() {
        None => Reply::NoBucket,
        Some(Contents::Map { compact: true, .. }) => Reply::Value(b"listpack"),
        Some(Contents::Map { compact: false, .. }) => Reply::Value(b"hashtable"),
        Some(Contents::Text(value)) if number::integer(value).is_some() => Reply::Value(b"int"),
        Some(Contents::Text(value)) if value.len() <= EMBEDDED_BYTES => Reply::Value(b"embstr"),
        Some(Contents::Text(_)) => Reply::Value(b"raw"),
    })
}

/// How many names a value has: one.
pub(super) fn object_refcount<'s>(target: BucketMut<'s>, _: Args<'_>) -> CommandResult<'s> {
    Ok(if target.exists() { Reply::Number(1) } else { Reply::NoBucket })
}

/// For how long nobody has asked for the bucket. That is not kept, since nothing is ever evicted.
pub(super) fn object_idletime<'s>(target: BucketMut<'s>, _: Args<'_>) -> CommandResult<'s> {
    Ok(if target.exists() { Reply::Number(0) } else { Reply::NoBucket })
}

/// How often the bucket is asked for. That is not kept either.
pub(super) fn object_freq<'s>(target: BucketMut<'s>, _: Args<'_>) -> CommandResult<'s> {
    let text = "ERR An LFU maxmemory policy is not selected, access frequency not tracked. Please note that when \
                switching between policies at runtime LRU and LFU data will take some time to adjust.";
    if target.exists() { Err(CommandError::Other(text.into())) } else { Ok(Reply::NoBucket) }
}

/// Bytes of the longest string that Redis keeps in one piece with its head.
const EMBEDDED_BYTES: usize = 44;
