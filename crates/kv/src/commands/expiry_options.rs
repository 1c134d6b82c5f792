//! The options that set an expiry: `EX 10`, `PXAT 1700000000000`, `KEEPTTL`, and their conditions, such as
//! `NX`.

use crate::{
    args::{Args, parse_integer},
    error::CommandError,
};

/// The reply for a key or field that exists and does not expire.
pub(super) const NEVER: i64 = -1;
/// The reply for a key or field that does not exist.
pub(super) const NOT_FOUND: i64 = -2;

/// The unit of a time, and its epoch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum TimeUnit {
    /// Seconds from now.
    Seconds,
    /// Milliseconds from now.
    Milliseconds,
    /// Seconds since 1970.
    UnixSeconds,
    /// Milliseconds since 1970.
    UnixMilliseconds,
}

impl TimeUnit {
    /// The unit of an option.
    pub(super) fn parse(word: &[u8]) -> Option<TimeUnit> {
        match word.to_ascii_lowercase().as_slice() {
            b"ex" => Some(TimeUnit::Seconds),
            b"px" => Some(TimeUnit::Milliseconds),
            b"exat" => Some(TimeUnit::UnixSeconds),
            b"pxat" => Some(TimeUnit::UnixMilliseconds),
            _ => None,
        }
    }

    /// A time in milliseconds since 1970; `None` beyond 64 bits.
    pub(super) fn to_unix_ms(self, time: i64, now_ms: u64) -> Option<i64> {
        let now_ms = i64::try_from(now_ms).ok()?;
        match self {
            TimeUnit::Seconds => time.checked_mul(1_000)?.checked_add(now_ms),
            TimeUnit::Milliseconds => time.checked_add(now_ms),
            TimeUnit::UnixSeconds => time.checked_mul(1_000),
            TimeUnit::UnixMilliseconds => Some(time),
        }
    }

    /// Converts a time that is not in the past from milliseconds since 1970 to this unit. `rounding_ms` is
    /// added before division to seconds.
    pub(super) fn time_of(self, unix_ms: u64, now_ms: u64, rounding_ms: u64) -> i64 {
        let ms = match self {
            TimeUnit::Seconds | TimeUnit::Milliseconds => unix_ms - now_ms,
            TimeUnit::UnixSeconds | TimeUnit::UnixMilliseconds => unix_ms,
        };
        let time = match self {
            TimeUnit::Seconds | TimeUnit::UnixSeconds => ms.saturating_add(rounding_ms) / 1_000,
            TimeUnit::Milliseconds | TimeUnit::UnixMilliseconds => ms,
        };
        i64::try_from(time).unwrap_or(i64::MAX)
    }

    /// Parses the expiry of a key, in milliseconds since 1970. The time must be positive.
    pub(super) fn key_expiry(self, argument: &[u8], command: &str, now_ms: u64) -> Result<u64, CommandError> {
        let time = parse_integer(argument).ok_or(CommandError::NotInteger)?;
        let expires_at_ms = self.to_unix_ms(time, now_ms).filter(|_| time > 0);
        expires_at_ms.map(i64::unsigned_abs).ok_or_else(|| CommandError::InvalidExpireTime(command.into()))
    }
}

/// The option of a command that sets an expiry.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) enum ExpiryOption<'a> {
    /// No option is given.
    #[default]
    Unspecified,
    /// KEEPTTL.
    Keep,
    /// PERSIST.
    Persist,
    /// EX, PX, EXAT or PXAT with its argument.
    At(TimeUnit, &'a [u8]),
}

impl<'a> ExpiryOption<'a> {
    /// Sets the option that `word` names, with its argument; `false` when it names none. It may be repeated,
    /// but not combined with another.
    pub(super) fn try_set(&mut self, word: &[u8], args: &mut Args<'a>) -> Result<bool, CommandError> {
        let option = if word.eq_ignore_ascii_case(b"keepttl") {
            ExpiryOption::Keep
        } else if word.eq_ignore_ascii_case(b"persist") {
            ExpiryOption::Persist
        } else if let Some(unit) = TimeUnit::parse(word) {
            ExpiryOption::At(unit, args.required()?)
        } else {
            return Ok(false);
        };
        let agrees = match (*self, option) {
            (ExpiryOption::Unspecified, _) => true,
            (ExpiryOption::At(before, _), ExpiryOption::At(unit, _)) => before == unit,
            (before, option) => before == option,
        };
        *self = option;
        if agrees { Ok(true) } else { Err(CommandError::Syntax) }
    }

    /// The expiry in milliseconds since 1970 of a key that now expires at `current`.
    pub(super) fn key_expiry(
        self,
        current: Option<u64>,
        command: &str,
        now_ms: u64,
    ) -> Result<Option<u64>, CommandError> {
        match self {
            ExpiryOption::Unspecified | ExpiryOption::Persist => Ok(None),
            ExpiryOption::Keep => Ok(current),
            ExpiryOption::At(unit, argument) => unit.key_expiry(argument, command, now_ms).map(Some),
        }
    }
}

/// The conditions under which EXPIRE and its relatives set an expiry. No expiry counts as later than any
/// other.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct ExpireCondition {
    /// Only if there is none.
    nx: bool,
    /// Only if there is one.
    xx: bool,
    /// Only if the new one is later.
    gt: bool,
    /// Only if the new one is earlier.
    lt: bool,
}

impl ExpireCondition {
    /// Sets the condition that `word` names; `false` when it names none.
    pub(super) fn try_set(&mut self, word: &[u8]) -> bool {
        let condition = match word.to_ascii_lowercase().as_slice() {
            b"nx" => &mut self.nx,
            b"xx" => &mut self.xx,
            b"gt" => &mut self.gt,
            b"lt" => &mut self.lt,
            _ => return false,
        };
        *condition = true;
        true
    }

    /// Rejects conditions that exclude each other.
    pub(super) fn check(self) -> Result<(), CommandError> {
        if self.nx && (self.xx || self.gt || self.lt) {
            return Err(CommandError::NxConflict);
        }
        if self.gt && self.lt {
            return Err(CommandError::GtLtConflict);
        }
        Ok(())
    }

    /// Whether the conditions allow `new` to replace the expiry `current`.
    pub(super) fn allows(self, current: Option<u64>, new: i64) -> bool {
        let current = current.map(|current| i64::try_from(current).unwrap_or(i64::MAX));
        !(self.nx && current.is_some()
            || self.xx && current.is_none()
            || self.gt && current.is_none_or(|current| new <= current)
            || self.lt && current.is_some_and(|current| new >= current))
    }
}
