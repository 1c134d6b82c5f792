//! Commands on strings: buckets that hold a single value.

use super::lifetime::{Clock, Lifetime};
use crate::{Args, Outcome, Refusal, Reply, several::Several, subscription::End, target::Target};

/// The value.
pub(super) fn get<'s>(target: Target<'s>, _: Args<'_>) -> Outcome<'s> {
    Ok(match target.into_view().text()? {
        Some(value) => Reply::Value(value),
        None => Reply::NoBucket,
    })
}

/// The value, as one of many: what is no string counts as missing.
pub(super) fn mget<'s>(target: Target<'s>, _: Args<'_>) -> Outcome<'s> {
    Ok(target.into_view().text().ok().flatten().map_or(Reply::NoBucket, Reply::Value))
}

/// Sets the value: `value [NX | XX] [GET] [EX s | PX ms | EXAT s | PXAT ms | KEEPTTL]`.
pub(super) fn set<'s>(mut target: Target<'s>, mut args: Args<'_>) -> Outcome<'s> {
    let value = args.next().ok_or(Refusal::Syntax)?;
    if args.is_empty() {
        target.set_text(value, None)?;
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
            _ => return Err(Refusal::Syntax),
        }
    }
    if nx && xx || lifetime == Lifetime::Persist {
        return Err(Refusal::Syntax);
    }
    let expires = lifetime.expires(target.view().expires(), "set", target.now())?;
    let before = if get { Some(copied(&target)?) } else { None };
    let allowed = if target.exists() { !nx } else { !xx };
    if allowed {
        target.set_text(value, expires)?;
    }
    Ok(before.unwrap_or(if allowed { Reply::Done } else { Reply::NoBucket }))
}

/// Sets the value if there is no bucket.
pub(super) fn setnx<'s>(mut target: Target<'s>, mut args: Args<'_>) -> Outcome<'s> {
    let value = args.next().ok_or(Refusal::Syntax)?;
    if target.exists() {
        return Ok(Reply::Number(0));
    }
    target.set_text(value, None)?;
    Ok(Reply::Number(1))
}

/// Sets the value for so many seconds.
pub(super) fn setex<'s>(target: Target<'s>, args: Args<'_>) -> Outcome<'s> {
    set_for(target, args, Clock::Seconds, "setex")
}

/// Sets the value for so many milliseconds.
pub(super) fn psetex<'s>(target: Target<'s>, args: Args<'_>) -> Outcome<'s> {
    set_for(target, args, Clock::Milliseconds, "psetex")
}

/// Sets the value; the one before.
pub(super) fn getset<'s>(mut target: Target<'s>, mut args: Args<'_>) -> Outcome<'s> {
    let value = args.next().ok_or(Refusal::Syntax)?;
    let before = copied(&target)?;
    target.set_text(value, None)?;
    Ok(before)
}

/// Ends the bucket; the value that it had.
pub(super) fn getdel<'s>(mut target: Target<'s>, _: Args<'_>) -> Outcome<'s> {
    let before = copied(&target)?;
    target.end(End::Dropped);
    Ok(before)
}

/// The value, and from now on: `EX s | PX ms | EXAT s | PXAT ms | PERSIST`.
pub(super) fn getex<'s>(mut target: Target<'s>, mut args: Args<'_>) -> Outcome<'s> {
    let mut lifetime = Lifetime::default();
    while let Some(word) = args.next() {
        if !lifetime.accept(word, &mut args)? {
            return Err(Refusal::Syntax);
        }
    }
    if lifetime == Lifetime::Keep {
        return Err(Refusal::Syntax);
    }
    if target.view().text()?.is_none() {
        return Ok(Reply::NoBucket);
    }
    if lifetime != Lifetime::Unsaid {
        let expires = lifetime.expires(None, "getex", target.now())?;
        if expires.is_some_and(|expires| expires <= target.now()) {
            return getdel(target, Args::NONE);
        }
        target.set_expires(expires)?;
    }
    get(target, Args::NONE)
}

/// Sets the value, as one of many.
pub(super) fn mset<'s>(mut target: Target<'s>, mut args: Args<'_>) -> Outcome<'s> {
    let value = args.next().ok_or_else(|| Refusal::Arity("mset".into()))?;
    target.set_text(value, None)?;
    Ok(Reply::Done)
}

/// Sets the values of buckets if none of them is there.
pub(super) fn msetnx(several: &mut Several<'_, '_>, first: &[u8], mut args: Args<'_>) -> Outcome<'static> {
    if args.count().is_multiple_of(2) {
        return Err(Refusal::Arity("msetnx".into()));
    }
    let mut others = args.skip(1).step_by(2);
    if several.target(first).exists() || others.any(|name| several.target(name).exists()) {
        return Ok(Reply::Number(0));
    }
    let mut name = first;
    while let Some(value) = args.next() {
        several.target(name).set_text(value, None)?;
        name = args.next().unwrap_or_default();
    }
    Ok(Reply::Number(1))
}

fn set_for<'s>(mut target: Target<'s>, mut args: Args<'_>, clock: Clock, command: &str) -> Outcome<'s> {
    let (Some(time), Some(value)) = (args.next(), args.next()) else { return Err(Refusal::Syntax) };
    let expires = clock.expires(time, command, target.now())?;
    target.set_text(value, Some(expires))?;
    Ok(Reply::Done)
}

/// The value, before it is changed.
fn copied(target: &Target<'_>) -> Outcome<'static> {
    Ok(target.view().text()?.map_or(Reply::NoBucket, |value| Reply::Made(value.to_vec())))
}
