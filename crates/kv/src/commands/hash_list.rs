//! Commands on hashes: all fields.

use crate::{Args, Outcome, Part, Reply, entry::Entry, target::Target, view::View};

/// All fields and their values.
pub(super) fn hgetall<'s>(target: Target<'s>, _: Args<'_>) -> Outcome<'s> {
    list_at_once(target.into_view(), Part::Both)
}

/// All fields.
pub(super) fn hkeys<'s>(target: Target<'s>, _: Args<'_>) -> Outcome<'s> {
    list_at_once(target.into_view(), Part::Keys)
}

/// The values of all fields.
pub(super) fn hvals<'s>(target: Target<'s>, _: Args<'_>) -> Outcome<'s> {
    list_at_once(target.into_view(), Part::Values)
}

/// One page of a map's entries.
pub(crate) fn list(view: View<'_>, part: Part, cursor: u64) -> Outcome<'_> {
    let (entries, next) = view.entries(cursor)?;
    Ok(Reply::Page { items: items(&entries, part), next })
}

/// What of the entries is listed.
pub(super) fn items<'s>(entries: &[Entry<'s>], part: Part) -> Vec<Reply<'s>> {
    let key = |entry: &Entry<'s>| Reply::Value(entry.key);
    let value = |entry: &Entry<'s>| Reply::Value(entry.value);
    match part {
        Part::Keys => entries.iter().map(key).collect(),
        Part::Values => entries.iter().map(value).collect(),
        Part::Both => entries.iter().flat_map(|entry| [key(entry), value(entry)]).collect(),
    }
}

/// The whole answer when a page holds it.
fn list_at_once(view: View<'_>, part: Part) -> Outcome<'_> {
    let (entries, next) = view.entries(0)?;
    let items = items(&entries, part);
    Ok(match part {
        _ if next != 0 => Reply::Long(part),
        Part::Both => Reply::Map(items),
        Part::Keys | Part::Values => Reply::List(items),
    })
}
