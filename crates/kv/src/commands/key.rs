//! Commands on buckets of any kind.

use crate::{Args, Outcome, Reply, bucket::Contents, subscription::End, target::Target};

/// Ends a bucket; how many were ended.
pub(super) fn del<'s>(mut target: Target<'s>, _: Args<'_>) -> Outcome<'s> {
    Ok(Reply::Number(i64::from(target.end(End::Dropped))))
}

/// What a bucket holds.
pub(super) fn r#type<'s>(target: Target<'s>, _: Args<'_>) -> Outcome<'s> {
    Ok(Reply::Word(match target.view().contents() {
        None => "none",
        Some(Contents::Map { .. }) => "hash",
        Some(Contents::Text(_)) => "string",
    }))
}
