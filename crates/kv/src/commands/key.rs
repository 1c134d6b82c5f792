//! Commands on buckets of any kind.

use super::number;
use crate::{
    Args, CommandError, CommandResult, Reply, bucket::Kind, pubsub::bucket_changes::EndReason,
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
    Ok(Reply::Status(target.view().kind().map_or("none", Kind::name)))
}

/// How Redis would keep what the bucket holds: our ways are others, but clients know these names.
pub(super) fn object_encoding<'s>(target: BucketMut<'s>, _: Args<'_>) -> CommandResult<'s> {
    let view = target.view();
    let encoding = match view.kind() {
        None => return Ok(Reply::NoBucket),
        Some(Kind::Map) if view.has_table() => "hashtable",
        Some(Kind::Map) => "listpack",
        Some(Kind::Str) => string_encoding(view.string()?.unwrap_or_default()),
    };
    Ok(Reply::Value(encoding.as_bytes()))
}

fn string_encoding(value: &[u8]) -> &'static str {
    match value {
        _ if number::integer(value).is_some() => "int",
        _ if value.len() <= EMBEDDED_BYTES => "embstr",
        _ => "raw",
    }
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
