//! Commands on strings: buckets that hold a single value.

use super::lifetime::{Clock, Lifetime};
use crate::{
    Args, CommandError, CommandResult, Reply, pubsub::bucket_changes::EndReason,
    shard::bucket_mut::BucketMut, shard::multi::MultiBucket,
};

/// The value.
pub(super) fn get<'s>(target: BucketMut<'s>, _: Args<'_>) -> CommandResult<'s> {
    Ok(match target.into_view().string()? {
        Some(value) => Reply::Value(value),
        None => Reply::NoBucket,
    })
}

/// The value, as one of many: what is no string counts as missing.
pub(super) fn mget<'s>(target: BucketMut<'s>, _: Args<'_>) -> CommandResult<'s> {
    Ok(target.into_view().string().ok().flatten().map_or(Reply::NoBucket, Reply::Value))
}

/// Sets the value: `value [NX | XX] [GET] [EX s | PX ms | EXAT s | PXAT ms | KEEPTTL]`.
pub(super) fn set<'s>(mut target: BucketMut<'s>, mut args: Args<'_>) -> CommandResult<'s> {
    let value = args.next().ok_or(CommandError::Syntax)?;
    if args.is_empty() {
        target.set_string(value, None)?;
        return Ok(Reply::Done);
    }
    let (mut lifetime, mut nx, mut xx, mut get) = (Lifetime::default(), false, false, false);
    while let Some(word) = args.next() {
        if lifetime.accept(word, &mut args)? {
            continue;
        }
        match word.to_ascii_lowercase().as_slice() {
            b"nx" => nx = true,
            b"xx" => xx = true,
            b"get" => get = true,
            _ => return Err(CommandError::Syntax),
        }
    }
    if nx && xx || lifetime == Lifetime::Persist {
        return Err(CommandError::Syntax);
    }
    let expires = lifetime.expires(target.view().expires_at_ms(), "set", target.now_ms())?;
    let before = if get { Some(copied(&target)?) } else { None };
    let allowed = if target.exists() { !nx } else { !xx };
    if allowed {
        target.set_string(value, expires)?;
    }
    Ok(before.unwrap_or(if allowed { Reply::Done } else { Reply::NoBucket }))
}

/// Sets the value if there is no bucket.
pub(super) fn setnx<'s>(mut target: BucketMut<'s>, mut args: Args<'_>) -> CommandResult<'s> {
    let value = args.next().ok_or(CommandError::Syntax)?;
    if target.exists() {
        return Ok(Reply::Number(0));
    }
    target.set_string(value, None)?;
    Ok(Reply::Number(1))
}

/// Sets the value for so many seconds.
pub(super) fn setex<'s>(target: BucketMut<'s>, args: Args<'_>) -> CommandResult<'s> {
    set_for(target, args, Clock::Seconds, "setex")
}

/// Sets the value for so many milliseconds.
pub(super) fn psetex<'s>(target: BucketMut<'s>, args: Args<'_>) -> CommandResult<'s> {
    set_for(target, args, Clock::Milliseconds, "psetex")
}

/// Sets the value; the one before.
pub(super) fn getset<'s>(mut target: BucketMut<'s>, mut args: Args<'_>) -> CommandResult<'s> {
    let value = args.next().ok_or(CommandError::Syntax)?;
    let before = copied(&target)?;
    target.set_string(value, None)?;
    Ok(before)
}

/// Ends the bucket; the value that it had.
pub(super) fn getdel<'s>(mut target: BucketMut<'s>, _: Args<'_>) -> CommandResult<'s> {
    let before = copied(&target)?;
    target.end(EndReason::Dropped);
    Ok(before)
}

/// The value, and from now on: `EX s | PX ms | EXAT s | PXAT ms | PERSIST`.
pub(super) fn getex<'s>(mut target: BucketMut<'s>, mut args: Args<'_>) -> CommandResult<'s> {
    let mut lifetime = Lifetime::default();
    while let Some(word) = args.next() {
        if !lifetime.accept(word, &mut args)? {
            return Err(CommandError::Syntax);
        }
    }
    if lifetime == Lifetime::Keep {
        return Err(CommandError::Syntax);
    }
    if target.view().string()?.is_none() {
        return Ok(Reply::NoBucket);
    }
    if lifetime != Lifetime::Unsaid {
        let expires = lifetime.expires(None, "getex", target.now_ms())?;
        if expires.is_some_and(|expires| expires <= target.now_ms()) {
            return getdel(target, Args::NONE);
        }
        target.set_expiry(expires)?;
    }
    get(target, Args::NONE)
}

/// Sets the value, as one of many.
pub(super) fn mset<'s>(mut target: BucketMut<'s>, mut args: Args<'_>) -> CommandResult<'s> {
    let value = args.next().ok_or_else(|| CommandError::Arity("mset".into()))?;
    target.set_string(value, None)?;
    Ok(Reply::Done)
}

/// Sets the values of buckets if none of them is there.
pub(super) fn msetnx(
    several: &mut MultiBucket<'_, '_>,
    first: &[u8],
    mut args: Args<'_>,
) -> CommandResult<'static> {
    if args.count().is_multiple_of(2) {
        return Err(CommandError::Arity("msetnx".into()));
    }
    let mut others = args.skip(1).step_by(2);
    if several.bucket(first).exists() || others.any(|name| several.bucket(name).exists()) {
        return Ok(Reply::Number(0));
    }
    let mut name = first;
    while let Some(value) = args.next() {
        several.bucket(name).set_string(value, None)?;
        name = args.next().unwrap_or_default();
    }
    Ok(Reply::Number(1))
}

fn set_for<'s>(
    mut target: BucketMut<'s>,
    mut args: Args<'_>,
    clock: Clock,
    command: &str,
) -> CommandResult<'s> {
    let (Some(time), Some(value)) = (args.next(), args.next()) else { return Err(CommandError::Syntax) };
    let expires = clock.expires(time, command, target.now_ms())?;
    target.set_string(value, Some(expires))?;
    Ok(Reply::Done)
}

/// The value, before it is changed.
fn copied(target: &BucketMut<'_>) -> CommandResult<'static> {
    Ok(target.view().string()?.map_or(Reply::NoBucket, |value| Reply::OwnedValue(value.to_vec())))
}
