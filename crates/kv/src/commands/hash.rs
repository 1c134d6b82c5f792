//! Commands on hashes: fields by their names.

use super::fields::fields;
use crate::{Args, Outcome, Refusal, Reply, target::Target, view::View};

/// The value of a field.
pub(super) fn hget<'s>(target: Target<'s>, mut args: Args<'_>) -> Outcome<'s> {
    value(target.into_view(), args.next().ok_or(Refusal::Syntax)?)
}

/// The values of fields.
pub(super) fn hmget<'s>(target: Target<'s>, args: Args<'_>) -> Outcome<'s> {
    let view = target.into_view();
    view.map()?;
    Ok(Reply::List(args.map(|field| value(view, field)).collect::<Result<_, _>>()?))
}

/// Sets fields; how many are new.
pub(super) fn hset<'s>(target: Target<'s>, args: Args<'_>) -> Outcome<'s> {
    Ok(Reply::Number(set_all("hset", target, args)?))
}

/// Sets fields.
pub(super) fn hmset<'s>(target: Target<'s>, args: Args<'_>) -> Outcome<'s> {
    set_all("hmset", target, args)?;
    Ok(Reply::Done)
}

/// Sets a field that is not there; whether it was set.
pub(super) fn hsetnx<'s>(mut target: Target<'s>, mut args: Args<'_>) -> Outcome<'s> {
    let (Some(field), Some(value)) = (args.next(), args.next()) else { return Err(Refusal::Syntax) };
    let is_there = target.view().field(field)?.is_some();
    if !is_there {
        target.set_field(field, value, None)?;
    }
    Ok(Reply::Number(i64::from(!is_there)))
}

/// Forgets fields; how many were there.
pub(super) fn hdel<'s>(mut target: Target<'s>, args: Args<'_>) -> Outcome<'s> {
    let mut deleted = 0;
    for field in args {
        deleted += i64::from(target.delete_field(field)?);
    }
    if deleted > 0 {
        target.end_if_empty();
    }
    Ok(Reply::Number(deleted))
}

/// Forgets fields; the values they had.
pub(super) fn hgetdel<'s>(mut target: Target<'s>, args: Args<'_>) -> Outcome<'s> {
    target.view().map()?;
    let mut values = Vec::new();
    for field in fields(args)? {
        values.push(match target.view().field(field)? {
            Some(entry) => Reply::Made(entry.value.to_vec()),
            None => Reply::NoKey,
        });
        target.delete_field(field)?;
    }
    if values.iter().any(|value| *value != Reply::NoKey) {
        target.end_if_empty();
    }
    Ok(Reply::List(values))
}

/// How many fields there are.
pub(super) fn hlen<'s>(target: Target<'s>, _: Args<'_>) -> Outcome<'s> {
    Ok(Reply::Number(target.view().len()? as i64))
}

/// Whether a field is there.
pub(super) fn hexists<'s>(target: Target<'s>, mut args: Args<'_>) -> Outcome<'s> {
    let is_there = target.view().field(args.next().ok_or(Refusal::Syntax)?)?.is_some();
    Ok(Reply::Number(i64::from(is_there)))
}

/// How many bytes a field's value has.
pub(super) fn hstrlen<'s>(target: Target<'s>, mut args: Args<'_>) -> Outcome<'s> {
    let entry = target.view().field(args.next().ok_or(Refusal::Syntax)?)?;
    Ok(Reply::Number(entry.map_or(0, |entry| entry.value.len() as i64)))
}

/// The value of a field of the bucket.
pub(crate) fn value<'s>(view: View<'s>, field: &[u8]) -> Outcome<'s> {
    Ok(match view.field(field)? {
        Some(entry) => Reply::Value(entry.value),
        None => Reply::NoKey,
    })
}

fn set_all(command: &str, mut target: Target<'_>, mut args: Args<'_>) -> Result<i64, Refusal> {
    let mut pair = (args.next(), args.next());
    // As a rule that was all.
    if pair.1.is_none() || !(args.is_empty() || args.count().is_multiple_of(2)) {
        return Err(Refusal::Arity(command.into()));
    }
    let mut added = 0;
    while let (Some(field), Some(value)) = pair {
        added += i64::from(target.set_field(field, value, None)?);
        pair = (args.next(), args.next());
    }
    Ok(added)
}
