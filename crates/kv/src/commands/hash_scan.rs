//! HSCAN: a walk through a hash, a few fields at a time.

use super::{hash_list::items, number::integer_argument};
use crate::{
    Args, CommandError, CommandResult, Projection, Reply, glob, limits::SCAN_ENTRIES,
    shard::bucket_mut::BucketMut,
};

/// Fields that are looked at when nothing else is said.
const COUNT: usize = 10;

/// The next few fields and their values, and where the walk goes on.
pub(super) fn hscan<'s>(target: BucketMut<'s>, mut args: Args<'_>) -> CommandResult<'s> {
    let cursor = args.next().and_then(|cursor| std::str::from_utf8(cursor).ok()?.parse().ok());
    let cursor = cursor.ok_or(CommandError::Cursor)?;
    let view = target.into_view();
    if view.map()?.is_none() {
        return Ok(Reply::Page { items: Vec::new(), next: 0 });
    }
    let (mut wanted, mut count, mut projection) = (None, COUNT, Projection::Both);
    while let Some(option) = args.next() {
        match option.to_ascii_lowercase().as_slice() {
            b"match" => wanted = Some(args.next().ok_or(CommandError::Syntax)?),
            b"count" => {
                let number = integer_argument(args.next())?;
                let number = usize::try_from(number).ok().filter(|number| *number > 0);
                count = number.ok_or(CommandError::Syntax)?.min(SCAN_ENTRIES);
            }
            b"novalues" => projection = Projection::Keys,
            _ => return Err(CommandError::Syntax),
        }
    }
    let (mut entries, next) = view.entries_up_to(cursor, count)?;
    if let Some(wanted) = wanted {
        entries.retain(|entry| glob::matches(wanted, entry.key));
    }
    Ok(Reply::Page { items: items(&entries, projection), next })
}
