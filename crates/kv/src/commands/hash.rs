//! Commands on hashes: a bucket's own fields.

use crate::{Args, Outcome, Refusal, Reply, target::Target};

/// The value of a field.
pub(super) fn hget<'s>(target: Target<'s>, mut args: Args<'_>) -> Outcome<'s> {
    let field = args.next().ok_or(Refusal::Syntax)?;
    let entry = target.into_view().field(field)?;
    Ok(entry.map_or(Reply::NoKey, |entry| Reply::Value(entry.value)))
}

/// Sets fields; how many are new.
pub(super) fn hset<'s>(mut target: Target<'s>, mut args: Args<'_>) -> Outcome<'s> {
    if !args.count().is_multiple_of(2) {
        return Err(Refusal::Arity("hset".into()));
    }
    let mut added = 0;
    while let (Some(field), Some(value)) = (args.next(), args.next()) {
        added += i64::from(target.set_field(field, value, None)?);
    }
    Ok(Reply::Number(added))
}
