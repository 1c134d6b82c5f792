//! HRANDFIELD: fields chosen at random, each as likely as any other.

use super::{fields::error, hash_list::items, number::integer};
use crate::{
    Args, CommandError, CommandResult, Projection, Reply, bucket::WrongType, limits::RANDOM_ENTRIES,
    memory::entry::Entry, shard::bucket_mut::BucketMut, shard::bucket_ref::BucketRef,
};
use std::collections::HashSet;

/// One field; or `count` different ones, or all; or so many that may repeat when the count is negative.
pub(super) fn hrandfield<'s>(target: BucketMut<'s>, mut args: Args<'_>) -> CommandResult<'s> {
    let Some(count) = args.next() else {
        let entry = target.into_view().random()?;
        return Ok(entry.map_or(Reply::NoKey, |entry| Reply::Value(entry.key)));
    };
    let count = integer(count).ok_or(CommandError::NotInteger)?;
    if count == i64::MIN {
        let most = i64::MAX;
        return Err(error(&format!("value is out of range, value must between -{most} and {most}")));
    }
    let with_values = match (args.next(), args.next()) {
        (None, None) => false,
        (Some(word), None) if word.eq_ignore_ascii_case(b"withvalues") => true,
        _ => return Err(CommandError::Syntax),
    };
    if with_values && count.unsigned_abs() > i64::MAX as u64 / 2 {
        return Err(error("value is out of range"));
    }
    let view = target.into_view();
    let chosen = match view.len()? {
        0 => Vec::new(),
        len if count >= 0 => choose_different(view, bounded(count.unsigned_abs().min(len as u64))?, len)?,
        _ => choose(view, bounded(count.unsigned_abs())?)?,
    };
    Ok(match with_values {
        true => Reply::PairList(items(&chosen, Projection::Both)),
        false => Reply::List(items(&chosen, Projection::Keys)),
    })
}

fn bounded(count: u64) -> Result<usize, CommandError> {
    let count = usize::try_from(count).ok().filter(|count| *count <= RANDOM_ENTRIES);
    count.ok_or_else(|| error("value is out of range"))
}

/// So many entries, some perhaps several times.
fn choose(view: BucketRef<'_>, count: usize) -> Result<Vec<Entry<'_>>, WrongType> {
    (0..count).map_while(|_| view.random().transpose()).collect()
}

/// So many different entries of `len`.
fn choose_different(view: BucketRef<'_>, count: usize, len: usize) -> Result<Vec<Entry<'_>>, WrongType> {
    if count > len / 2 {
        let mut all = all(view)?;
        if count < all.len() {
            fastrand::shuffle(&mut all);
            all.truncate(count);
        }
        return Ok(all);
    }
    let (mut chosen, mut seen) = (Vec::with_capacity(count), HashSet::with_capacity(count));
    while chosen.len() < count {
        let Some(entry) = view.random()? else { break };
        if seen.insert(entry.key) {
            chosen.push(entry);
        }
    }
    Ok(chosen)
}

fn all(view: BucketRef<'_>) -> Result<Vec<Entry<'_>>, WrongType> {
    let (mut all, mut cursor) = (Vec::new(), 0);
    loop {
        let (entries, next) = view.entries(cursor)?;
        all.extend(entries);
        if next == 0 {
            return Ok(all);
        }
        cursor = next;
    }
}
