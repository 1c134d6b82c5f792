//! Commands on hashes: fields by their names.

use super::fields::fields;
use crate::{
    Args, CommandError, CommandResult, Reply, shard::bucket_mut::BucketMut, shard::bucket_ref::BucketRef,
};

/// The value of a field.
pub(super) fn hget<'s>(target: BucketMut<'s>, mut args: Args<'_>) -> CommandResult<'s> {
    value(target.into_view(), args.next().ok_or(CommandError::Syntax)?)
}

/// The values of fields.
pub(super) fn hmget<'s>(target: BucketMut<'s>, args: Args<'_>) -> CommandResult<'s> {
    let view = target.into_view();
    view.map()?;
    Ok(Reply::List(args.map(|field| value(view, field)).collect::<Result<_, _>>()?))
}

/// Sets fields; how many are new.
pub(super) fn hset<'s>(target: BucketMut<'s>, args: Args<'_>) -> CommandResult<'s> {
    Ok(Reply::Number(set_all("hset", target, args)?))
}

/// Sets fields.
pub(super) fn hmset<'s>(target: BucketMut<'s>, args: Args<'_>) -> CommandResult<'s> {
    set_all("hmset", target, args)?;
    Ok(Reply::Done)
}

/// Sets a field that is not there; whether it was set.
pub(super) fn hsetnx<'s>(mut target: BucketMut<'s>, mut args: Args<'_>) -> CommandResult<'s> {
    let (Some(field), Some(value)) = (args.next(), args.next()) else { return Err(CommandError::Syntax) };
    let is_there = target.view().field(field)?.is_some();
    if !is_there {
        target.set_field(field, value, None)?;
    }
    Ok(Reply::Number(i64::from(!is_there)))
}

/// Forgets fields; how many were there.
pub(super) fn hdel<'s>(mut target: BucketMut<'s>, args: Args<'_>) -> CommandResult<'s> {
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
pub(super) fn hgetdel<'s>(mut target: BucketMut<'s>, args: Args<'_>) -> CommandResult<'s> {
    target.view().map()?;
    let mut values = Vec::new();
    for field in fields(args)? {
        values.push(match target.view().field(field)? {
            Some(entry) => Reply::OwnedValue(entry.value.to_vec()),
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
pub(super) fn hlen<'s>(target: BucketMut<'s>, _: Args<'_>) -> CommandResult<'s> {
    Ok(Reply::Number(target.view().len()? as i64))
}

/// Whether a field is there.
pub(super) fn hexists<'s>(target: BucketMut<'s>, mut args: Args<'_>) -> CommandResult<'s> {
    let is_there = target.view().field(args.next().ok_or(CommandError::Syntax)?)?.is_some();
    Ok(Reply::Number(i64::from(is_there)))
}

/// How many bytes a field's value has.
pub(super) fn hstrlen<'s>(target: BucketMut<'s>, mut args: Args<'_>) -> CommandResult<'s> {
    let entry = target.view().field(args.next().ok_or(CommandError::Syntax)?)?;
    Ok(Reply::Number(entry.map_or(0, |entry| entry.value.len() as i64)))
}

/// The value of a field of the bucket.
pub(crate) fn value<'s>(view: BucketRef<'s>, field: &[u8]) -> CommandResult<'s> {
    Ok(match view.field(field)? {
        Some(entry) => Reply::Value(entry.value),
        None => Reply::NoKey,
    })
}

fn set_all(command: &str, mut target: BucketMut<'_>, mut args: Args<'_>) -> Result<i64, CommandError> {
    let mut pair = (args.next(), args.next());
    // As a rule that was all.
    if pair.1.is_none() || !(args.is_empty() || args.count().is_multiple_of(2)) {
        return Err(CommandError::Arity(command.into()));
    }
    let mut added = 0;
    while let (Some(field), Some(value)) = pair {
        added += i64::from(target.set_field(field, value, None)?);
        pair = (args.next(), args.next());
    }
    Ok(added)
}
