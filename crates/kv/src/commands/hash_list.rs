//! Commands on hashes: all fields.

use crate::{
    Args, CommandResult, Projection, Reply, memory::entry::Entry, shard::bucket_mut::BucketMut,
    shard::bucket_ref::BucketRef,
};

/// All fields and their values.
pub(super) fn hgetall<'s>(target: BucketMut<'s>, _: Args<'_>) -> CommandResult<'s> {
    list_at_once(target.into_view(), Projection::Both)
}

/// All fields.
pub(super) fn hkeys<'s>(target: BucketMut<'s>, _: Args<'_>) -> CommandResult<'s> {
    list_at_once(target.into_view(), Projection::Keys)
}

/// The values of all fields.
pub(super) fn hvals<'s>(target: BucketMut<'s>, _: Args<'_>) -> CommandResult<'s> {
    list_at_once(target.into_view(), Projection::Values)
}

/// One page of a map's entries.
pub(crate) fn list(view: BucketRef<'_>, projection: Projection, cursor: u64) -> CommandResult<'_> {
    let (entries, next) = view.entries(cursor)?;
    Ok(Reply::Page { items: items(&entries, projection), next })
}

/// What of the entries is listed.
pub(super) fn items<'s>(entries: &[Entry<'s>], projection: Projection) -> Vec<Reply<'s>> {
    let key = |entry: &Entry<'s>| Reply::Value(entry.key);
    let value = |entry: &Entry<'s>| Reply::Value(entry.value);
    match projection {
        Projection::Keys => entries.iter().map(key).collect(),
        Projection::Values => entries.iter().map(value).collect(),
        Projection::Both => entries.iter().flat_map(|entry| [key(entry), value(entry)]).collect(),
    }
}

/// The whole answer when a page holds it.
fn list_at_once(view: BucketRef<'_>, projection: Projection) -> CommandResult<'_> {
    let (entries, next) = view.entries(0)?;
    let items = items(&entries, projection);
    Ok(match projection {
        _ if next != 0 => Reply::TooLarge(projection),
        Projection::Both => Reply::Map(items),
        Projection::Keys | Projection::Values => Reply::List(items),
    })
}
