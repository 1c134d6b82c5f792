//! When something is to expire, as the options of commands say it: `EX 10`, `PXAT 1700000000000`, `KEEPTTL`, `NX`.

use super::number;
use crate::{Args, CommandError};

/// How a time is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Clock {
    /// Seconds from now.
    Seconds,
    /// Milliseconds from now.
    Milliseconds,
    /// Seconds since 1970.
    SecondsSince1970,
    /// Milliseconds since 1970.
    MillisecondsSince1970,
}

impl Clock {
    /// The option of this name.
    pub(super) fn option(word: &[u8]) -> Option<Clock> {
        match word.to_ascii_lowercase().as_slice() {
            b"ex" => Some(Clock::Seconds),
            b"px" => Some(Clock::Milliseconds),
            b"exat" => Some(Clock::SecondsSince1970),
            b"pxat" => Some(Clock::MillisecondsSince1970),
            _ => None,
        }
    }

    /// The moment that `number` names, in milliseconds since 1970; `None` beyond 64 bits. It may be over.
    pub(super) fn moment(self, number: i64, now: u64) -> Option<i64> {
        let now = i64::try_from(now).ok()?;
        match self {
            Clock::Seconds => number.checked_mul(1_000)?.checked_add(now),
            Clock::Milliseconds => number.checked_add(now),
            Clock::SecondsSince1970 => number.checked_mul(1_000),
            Clock::MillisecondsSince1970 => Some(number),
        }
    }

    /// The moment that an argument names, which must be a positive number.
    pub(super) fn expires(self, argument: &[u8], command: &str, now: u64) -> Result<u64, CommandError> {
        let number = number::integer(argument).ok_or(CommandError::NotInteger)?;
        let moment = self.moment(number, now).filter(|_| number > 0);
        moment.map(i64::unsigned_abs).ok_or_else(|| CommandError::ExpireTime(command.into()))
    }
}

/// What a command's options say about expiry.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) enum Lifetime<'a> {
    /// Nothing.
    #[default]
    Unsaid,
    /// It expires when it did.
    Keep,
    /// It does not expire.
    Persist,
    /// It expires at the moment that the argument names.
    Until(Clock, &'a [u8]),
}

impl<'a> Lifetime<'a> {
    /// Takes an option in, with its argument. `false`: it is not about expiry. Two that contradict each other are refused.
    pub(super) fn accept(&mut self, word: &[u8], args: &mut Args<'a>) -> Result<bool, CommandError> {
        let said = if word.eq_ignore_ascii_case(b"keepttl") {
            Lifetime::Keep
        } else if word.eq_ignore_ascii_case(b"persist") {
            Lifetime::Persist
        } else if let Some(clock) = Clock::option(word) {
            Lifetime::Until(clock, args.next().ok_or(CommandError::Syntax)?)
        } else {
            return Ok(false);
        };
        let agrees = match (*self, said) {
            (Lifetime::Unsaid, _) => true,
            (Lifetime::Until(one, _), Lifetime::Until(other, _)) => one == other,
            (before, said) => before == said,
        };
        *self = said;
        if agrees { Ok(true) } else { Err(CommandError::Syntax) }
    }

    /// When that is, in milliseconds since 1970, for something that now expires at `kept`.
    pub(super) fn expires(
        self,
        kept: Option<u64>,
        command: &str,
        now: u64,
    ) -> Result<Option<u64>, CommandError> {
        match self {
            Lifetime::Unsaid | Lifetime::Persist => Ok(None),
            Lifetime::Keep => Ok(kept),
            Lifetime::Until(clock, argument) => clock.expires(argument, command, now).map(Some),
        }
    }
}

/// On what condition EXPIRE and its like set a time. What never expires counts as later than any.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Only {
    /// If there is no time.
    never: bool,
    /// If there is one.
    ever: bool,
    /// If the new one is later.
    later: bool,
    /// If the new one is earlier.
    earlier: bool,
}

impl Only {
    /// Takes an option in; `false`: it is no condition.
    pub(super) fn accept(&mut self, word: &[u8]) -> bool {
        let said = match word.to_ascii_lowercase().as_slice() {
            b"nx" => &mut self.never,
            b"xx" => &mut self.ever,
            b"gt" => &mut self.later,
            b"lt" => &mut self.earlier,
            _ => return false,
        };
        *said = true;
        true
    }

    /// Refuses conditions that contradict each other.
    pub(super) fn check(self) -> Result<Only, CommandError> {
        if self.never && (self.ever || self.later || self.earlier) {
            let text = "ERR NX and XX, GT or LT options at the same time are not compatible";
            return Err(CommandError::Other(text.into()));
        }
        if self.later && self.earlier {
            let text = "ERR GT and LT options at the same time are not compatible";
            return Err(CommandError::Other(text.into()));
        }
        Ok(self)
    }

    /// Whether a time may be replaced by another.
    pub(super) fn allows(self, before: Option<u64>, moment: i64) -> bool {
        let before = before.map(|before| i64::try_from(before).unwrap_or(i64::MAX));
        !(self.never && before.is_some()
            || self.ever && before.is_none()
            || self.later && before.is_none_or(|before| moment <= before)
            || self.earlier && before.is_some_and(|before| moment >= before))
    }
}
