//! Commands on strings: buckets that hold a single value.

use crate::{Args, Outcome, Reply, target::Target};

/// The value.
pub(super) fn get<'s>(target: Target<'s>, _: Args<'_>) -> Outcome<'s> {
    Ok(target.into_view().text()?.map_or(Reply::NoBucket, Reply::Value))
}
