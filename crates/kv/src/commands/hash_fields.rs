//! Commands on hashes that name their fields as `FIELDS n field [field ...]`: HGETDEL, HGETEX and HSETEX; and
//! the arguments and the setting of a field's expiry, also for `hash_expiry`.

use super::{
    expiry_options::TimeUnit,
    hash::check_values,
    spec::{Command, CommandSpec, Cost, Group},
};
use crate::{
    args::{Args, parse_integer},
    error::CommandError,
    limits::FIELD_EXPIRY_MS,
    reply::{CommandResult, Reply},
    shard::bucket_ref::BucketMut,
    syntax::excerpt::Excerpt,
};

pub(super) const HGETDEL: Command = CommandSpec::write("hgetdel", Group::Hash)
    .arity(-5)
    .fast()
    .cost(Cost::Fields)
    .takes_values()
    .since("8.0.0")
    .syntax("key FIELDS numfields field [field ...]")
    .summary("Returns the values of fields and removes the fields")
    .run(hgetdel);
fn hgetdel(mut bucket: BucketMut, args: Args) -> CommandResult<'static> {
    bucket.view().map()?;
    let mut values = Vec::new();
    let fields = parse_fields(args, "hgetdel")?;
    check_values(bucket.view(), fields)?;
    for field in fields {
        let view = bucket.view();
        values.push(match view.field(field)? {
            Some(entry) => Reply::OwnedValue(view.owned_value(entry.value)),
            None => Reply::NoKey,
        });
        bucket.delete_field(field)?;
    }
    if values.iter().any(|value| *value != Reply::NoKey) {
        bucket.end_if_empty();
    }
    Ok(Reply::List(values))
}

pub(super) const HGETEX: Command = CommandSpec::write("hgetex", Group::Hash)
    .arity(-5)
    .fast()
    .cost(Cost::Fields)
    .takes_values()
    .since("8.0.0")
    .syntax(
        "key [EX seconds|PX milliseconds|EXAT unix-time-seconds|PXAT \
            unix-time-milliseconds|PERSIST] FIELDS numfields field [field ...]",
    )
    .summary("Returns the values of fields and optionally sets their expiry")
    .run(hgetex);
fn hgetex(mut bucket: BucketMut, mut args: Args) -> CommandResult<'static> {
    bucket.view().map()?;
    let (mut unit, mut persist) = (None, false);
    args.next_if(|option| {
        unit = TimeUnit::parse(option);
        persist = option.eq_ignore_ascii_case(b"persist");
        unit.is_some() || persist
    });
    let expires_at_ms =
        unit.map(|unit| field_expiry(args.next(), unit, bucket.now_ms(), "hgetex")).transpose()?;
    if args.count() < 2 {
        return Err(CommandError::Arity("hgetex".into()));
    }
    let mut values = Vec::new();
    let fields = parse_fields(args, "hgetex")?;
    check_values(bucket.view(), fields)?;
    for field in fields {
        let view = bucket.view();
        let Some(entry) = view.field(field)? else {
            values.push(Reply::NoKey);
            continue;
        };
        let expires = entry.expires_at_ms.is_some();
        values.push(Reply::OwnedValue(view.owned_value(entry.value)));
        if let Some(expires_at_ms) = expires_at_ms {
            expire_field(&mut bucket, field, expires_at_ms)?;
        } else if persist && expires {
            bucket.set_field_expiry(field, None)?;
        }
    }
    if expires_at_ms.is_some() {
        bucket.end_if_empty();
    }
    Ok(Reply::List(values))
}

pub(super) const HSETEX: Command = CommandSpec::write("hsetex", Group::Hash)
    .arity(-6)
    .denyoom()
    .fast()
    .since("8.0.0")
    .syntax(
        "key [FNX|FXX] [EX seconds|PX milliseconds|EXAT unix-time-seconds|PXAT \
            unix-time-milliseconds|KEEPTTL] FIELDS numfields field value [field value ...]",
    )
    .summary("Sets fields and optionally their expiry")
    .run(hsetex);
fn hsetex(mut bucket: BucketMut, args: Args) -> CommandResult<'static> {
    let HsetexArgs { only_if, expiry, mut pairs } = HsetexArgs::parse(args, bucket.now_ms())?;
    bucket.view().map()?;
    if let Some(exist) = only_if {
        for field in pairs.step_by(2) {
            if bucket.view().field(field)?.is_some() != exist {
                return Ok(Reply::Number(0));
            }
        }
    }
    while let (Some(field), Some(value)) = (pairs.next(), pairs.next()) {
        let expires_at_ms = match expiry {
            FieldExpiry::Never => None,
            FieldExpiry::Keep => bucket.view().field(field)?.and_then(|entry| entry.expires_at_ms),
            FieldExpiry::At(expires_at_ms) => Some(expires_at_ms),
        };
        bucket.set_field(
            field,
            value,
            expires_at_ms.filter(|expires_at_ms| *expires_at_ms > bucket.now_ms()),
        )?;
        if expires_at_ms.is_some_and(|expires_at_ms| expires_at_ms <= bucket.now_ms()) {
            bucket.delete_field(field)?;
        }
    }
    bucket.end_if_empty();
    Ok(Reply::Number(1))
}

/// The expiry of the fields that HSETEX sets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum FieldExpiry {
    Never,
    Keep,
    At(u64),
}

/// The arguments of HSETEX.
#[derive(Debug)]
struct HsetexArgs<'a> {
    /// Set only if all of the fields exist (`true`), or none of them does (`false`).
    only_if: Option<bool>,
    expiry: FieldExpiry,
    pairs: Args<'a>,
}

impl<'a> HsetexArgs<'a> {
    fn parse(mut args: Args<'a>, now_ms: u64) -> Result<HsetexArgs<'a>, CommandError> {
        let mut parsed = HsetexArgs { only_if: None, expiry: FieldExpiry::Never, pairs: Args::NONE };
        while let Some(option) = args.next() {
            let word = option.to_ascii_lowercase();
            match word.as_slice() {
                b"fields" => {
                    parsed.pairs = parse_pairs(args)?;
                    return Ok(parsed);
                }
                b"fnx" | b"fxx" => {
                    if parsed.only_if.replace(word == b"fxx").is_some() {
                        return Err(CommandError::FnxFxxConflict);
                    }
                }
                b"keepttl" => parsed.set_expiry(|| Ok(FieldExpiry::Keep))?,
                _ => {
                    let Some(unit) = TimeUnit::parse(option) else {
                        return Err(CommandError::UnknownArgument(Excerpt::new(option)));
                    };
                    parsed.set_expiry(|| {
                        Ok(FieldExpiry::At(field_expiry(args.next(), unit, now_ms, "hsetex")?))
                    })?;
                }
            }
        }
        Err(CommandError::Arity("hsetex".into()))
    }

    fn set_expiry(
        &mut self,
        expiry: impl FnOnce() -> Result<FieldExpiry, CommandError>,
    ) -> Result<(), CommandError> {
        if self.expiry != FieldExpiry::Never {
            return Err(CommandError::ExpiryConflict);
        }
        self.expiry = expiry()?;
        Ok(())
    }
}

/// Parses `n field value [field value ...]`.
fn parse_pairs(mut args: Args) -> Result<Args, CommandError> {
    let arity = || CommandError::Arity("hsetex".into());
    if args.count() < 3 {
        return Err(arity());
    }
    let number = args.next().and_then(parse_integer).and_then(|number| i32::try_from(number).ok());
    let number =
        number.filter(|number| *number > 0).ok_or_else(|| CommandError::FieldCount("hsetex".into()))?;
    if args.count() == number as usize * 2 { Ok(args) } else { Err(arity()) }
}

/// Parses `FIELDS n field [field ...]`.
pub(super) fn parse_fields<'a>(mut args: Args<'a>, command: &str) -> Result<Args<'a>, CommandError> {
    if !args.next().is_some_and(|word| word.eq_ignore_ascii_case(b"fields")) {
        return Err(CommandError::FieldsMissing);
    }
    let number = args.next().and_then(parse_integer).filter(|number| *number > 0);
    match number {
        None => Err(CommandError::FieldCount(command.into())),
        Some(number) if number as usize != args.count() => Err(CommandError::FieldCountMismatch),
        Some(_) => Ok(args),
    }
}

/// Parses the expiry of a field, in milliseconds since 1970. It may be in the past.
pub(super) fn field_expiry(
    argument: Option<&[u8]>,
    unit: TimeUnit,
    now_ms: u64,
    command: &str,
) -> Result<u64, CommandError> {
    let time = argument.and_then(parse_integer).ok_or(CommandError::NotInteger)?;
    if time < 0 {
        return Err(CommandError::NegativeExpireTime);
    }
    let expires_at_ms = unit.to_unix_ms(time, now_ms).map(i64::unsigned_abs);
    let expires_at_ms = expires_at_ms.filter(|expires_at_ms| *expires_at_ms <= FIELD_EXPIRY_MS);
    expires_at_ms.ok_or_else(|| CommandError::InvalidExpireTime(command.into()))
}

/// Sets the expiry of an existing field, or deletes the field if that is in the past. Returns whether it was
/// deleted.
pub(super) fn expire_field(
    bucket: &mut BucketMut,
    field: &[u8],
    expires_at_ms: u64,
) -> Result<bool, CommandError> {
    let is_past = expires_at_ms <= bucket.now_ms();
    if is_past {
        bucket.delete_field(field)?;
    } else {
        bucket.set_field_expiry(field, Some(expires_at_ms))?;
    }
    Ok(is_past)
}
