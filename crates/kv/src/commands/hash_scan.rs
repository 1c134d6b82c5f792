//! HSCAN: a walk through a hash, a few fields at a time.

use super::{hash_list::items, number::integer_argument, pattern};
use crate::{Args, Outcome, Part, Refusal, Reply, limits::SCAN_ENTRIES, target::Target};

/// Fields that are looked at when nothing else is said.
const COUNT: usize = 10;

/// The next few fields and their values, and where the walk goes on.
pub(super) fn hscan<'s>(target: Target<'s>, mut args: Args<'_>) -> Outcome<'s> {
    let cursor = args.next().and_then(|cursor| std::str::from_utf8(cursor).ok()?.parse().ok());
    let cursor = cursor.ok_or(Refusal::Cursor)?;
    let view = target.into_view();
    if view.map()?.is_none() {
        return Ok(Reply::Page { items: Vec::new(), next: 0 });
    }
    let (mut wanted, mut count, mut part) = (None, COUNT, Part::Both);
    while let Some(option) = args.next() {
        match option.to_ascii_lowercase().as_slice() {
            b"match" => wanted = Some(args.next().ok_or(Refusal::Syntax)?),
            b"count" => {
                let number = integer_argument(args.next())?;
                let number = usize::try_from(number).ok().filter(|number| *number > 0);
                count = number.ok_or(Refusal::Syntax)?.min(SCAN_ENTRIES);
            }
            b"novalues" => part = Part::Keys,
            _ => return Err(Refusal::Syntax),
        }
    }
    let (mut entries, next) = view.few_entries(cursor, count)?;
    if let Some(wanted) = wanted {
        entries.retain(|entry| pattern::matches(wanted, entry.key));
    }
    Ok(Reply::Page { items: items(&entries, part), next })
}
