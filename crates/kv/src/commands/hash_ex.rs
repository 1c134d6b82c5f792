//! HGETEX and HSETEX: fields and when they expire, in one command.

use super::{
    fields::{error, fields},
    hash_expiry::{moment, set_expires},
    lifetime::Clock,
    number::integer,
};
use crate::{Args, CommandError, CommandResult, Reply, shard::bucket_mut::BucketMut};

/// The values of fields, which then expire at another time, or no more.
pub(super) fn hgetex<'s>(mut target: BucketMut<'s>, mut args: Args<'_>) -> CommandResult<'s> {
    target.view().map()?;
    let mut until = None;
    let rest = args;
    let option = args.next().unwrap_or_default();
    let persist = option.eq_ignore_ascii_case(b"persist");
    if let Some(clock) = Clock::option(option) {
        until = Some(moment(args.next(), clock, target.now_ms(), "hgetex")?);
    } else if !persist {
        args = rest;
    }
    let mut values = Vec::new();
    for field in fields(args)? {
        let Some(entry) = target.view().field(field)? else {
            values.push(Reply::NoKey);
            continue;
        };
        values.push(Reply::OwnedValue(entry.value.to_vec()));
        if let Some(moment) = until {
            set_expires(&mut target, field, moment)?;
        } else if persist && entry.expires_at_ms.is_some() {
            target.set_field_expiry(field, None)?;
        }
    }
    if until.is_some() {
        target.end_if_empty();
    }
    Ok(Reply::List(values))
}

/// Sets fields and when they expire; whether the condition allowed it.
pub(super) fn hsetex<'s>(mut target: BucketMut<'s>, args: Args<'_>) -> CommandResult<'s> {
    let setting = Setting::parse(args, target.now_ms())?;
    target.view().map()?;
    if let Some(are_there) = setting.only_if {
        for field in setting.pairs.step_by(2) {
            if target.view().field(field)?.is_some() != are_there {
                return Ok(Reply::Number(0));
            }
        }
    }
    let mut pairs = setting.pairs;
    while let (Some(field), Some(value)) = (pairs.next(), pairs.next()) {
        let expires = match setting.expires {
            Expires::Never => None,
            Expires::Keep => target.view().field(field)?.and_then(|entry| entry.expires_at_ms),
            Expires::At(moment) => Some(moment),
        };
        target.set_field(field, value, expires.filter(|moment| *moment > target.now_ms()))?;
        if expires.is_some_and(|moment| moment <= target.now_ms()) {
            target.delete_field(field)?;
        }
    }
    target.end_if_empty();
    Ok(Reply::Number(1))
}

/// When the fields that HSETEX sets expire.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Expires {
    Never,
    Keep,
    At(u64),
}

/// The arguments of HSETEX.
#[derive(Debug)]
struct Setting<'a> {
    /// Only if all of the fields are there, or none.
    only_if: Option<bool>,
    expires: Expires,
    pairs: Args<'a>,
}

impl<'a> Setting<'a> {
    fn parse(mut args: Args<'a>, now: u64) -> Result<Setting<'a>, CommandError> {
        let mut setting = Setting { only_if: None, expires: Expires::Never, pairs: Args::NONE };
        while let Some(option) = args.next() {
            let word = option.to_ascii_lowercase();
            match word.as_slice() {
                b"fields" => {
                    setting.pairs = pairs(args)?;
                    return Ok(setting);
                }
                b"fnx" | b"fxx" => {
                    if setting.only_if.replace(word == b"fxx").is_some() {
                        return Err(error("Only one of FXX or FNX arguments can be specified"));
                    }
                }
                b"keepttl" => setting.set_expires(|| Ok(Expires::Keep))?,
                _ => {
                    let Some(clock) = Clock::option(option) else {
                        let option = String::from_utf8_lossy(option);
                        return Err(error(&format!("unknown argument: {option}")));
                    };
                    setting.set_expires(|| Ok(Expires::At(moment(args.next(), clock, now, "hsetex")?)))?;
                }
            }
        }
        Err(CommandError::Arity("hsetex".into()))
    }

    fn set_expires(
        &mut self,
        expires: impl FnOnce() -> Result<Expires, CommandError>,
    ) -> Result<(), CommandError> {
        if self.expires != Expires::Never {
            let text = "Only one of EX, PX, EXAT, PXAT or KEEPTTL arguments can be specified";
            return Err(error(text));
        }
        self.expires = expires()?;
        Ok(())
    }
}

/// So many fields and values by turns, after their number.
fn pairs(mut args: Args<'_>) -> Result<Args<'_>, CommandError> {
    let arity = || CommandError::Arity("hsetex".into());
    if args.count() < 3 {
        return Err(arity());
    }
    let number = args.next().and_then(integer).and_then(|number| i32::try_from(number).ok());
    let number = number.filter(|number| *number > 0).ok_or_else(|| error("invalid number of fields"))?;
    if args.count() == number as usize * 2 { Ok(args) } else { Err(arity()) }
}
