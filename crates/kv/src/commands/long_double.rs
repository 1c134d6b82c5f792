//! The arithmetic of INCRBYFLOAT: x86's long double, as in Redis, so that the same digits are printed (0.1 +
//! 0.2 is 0.3 and not 0.30000000000000004).

use num_bigint::BigUint;
use std::fmt;

/// The longest number that is parsed, in bytes; printed numbers are shorter.
const TEXT_BYTES: usize = 5 * 1024 - 1;
/// Digits printed after the point.
const DECIMALS: u32 = 17;
/// Bits of the mantissa.
const MANTISSA_BITS: i64 = 64;
/// The exponent of the lowest bit that can be set.
const LOWEST_EXPONENT: i64 = -16_445;
/// The exponent of the highest bit that can be set.
const HIGHEST_EXPONENT: i64 = 16_383;
/// A power of ten that exceeds the range, as its inverse does, whatever the digits.
const BEYOND: i64 = 12_000;

/// `mantissa * 2^exponent`, or infinite.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct LongDouble {
    negative: bool,
    /// `None` if the number is infinite.
    mantissa: Option<BigUint>,
    exponent: i64,
}

impl LongDouble {
    /// Parses a decimal number with an optional fraction and exponent, or infinity. `None` if it is too
    /// large, or rounds to zero.
    pub(super) fn parse(text: &[u8]) -> Option<LongDouble> {
        let text = std::str::from_utf8(Some(text).filter(|text| text.len() <= TEXT_BYTES)?).ok()?;
        let (negative, rest) = match text.as_bytes().first()? {
            b'-' => (true, &text[1..]),
            b'+' => (false, &text[1..]),
            _ => (false, text),
        };
        if rest.eq_ignore_ascii_case("inf") || rest.eq_ignore_ascii_case("infinity") {
            return Some(LongDouble { negative, mantissa: None, exponent: 0 });
        }
        let (number, power) = rest.split_once(['e', 'E']).unwrap_or((rest, "0"));
        let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
        let digits = [whole, fraction].concat();
        let unsigned = power.strip_prefix(['+', '-']).unwrap_or(power);
        if [digits.as_str(), unsigned].iter().any(|text| !is_digits(text)) {
            return None;
        }
        let digits = BigUint::parse_bytes(digits.as_bytes(), 10)?;
        // A power that exceeds 64 bits exceeds the range.
        let beyond = if power.starts_with('-') { -BEYOND } else { BEYOND };
        let power = power.parse().unwrap_or(beyond).clamp(-BEYOND, BEYOND) - fraction.len() as i64;
        let number = scaled(negative, digits.clone(), power);
        let vanished = number.is_zero() && digits != BigUint::ZERO;
        (number.mantissa.is_some() && !vanished).then_some(number)
    }

    /// The sum; `None` when it is not finite.
    pub(super) fn plus(self, other: LongDouble) -> Option<LongDouble> {
        let lowest = self.exponent.min(other.exponent);
        let (one, two) =
            (self.mantissa? << (self.exponent - lowest), other.mantissa? << (other.exponent - lowest));
        let (negative, sum) = match (self.negative == other.negative, one >= two) {
            (true, _) => (self.negative, one + two),
            (false, true) => (self.negative, one - two),
            (false, false) => (other.negative, two - one),
        };
        Some(rounded(negative, sum, lowest)).filter(|sum| sum.mantissa.is_some())
    }

    /// Whether it is infinite.
    pub(super) fn is_infinite(&self) -> bool {
        self.mantissa.is_none()
    }

    fn is_zero(&self) -> bool {
        self.mantissa == Some(BigUint::ZERO)
    }
}

impl fmt::Display for LongDouble {
    /// Prints up to 17 digits after the point, without trailing zeros.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Some(mantissa) = &self.mantissa else { return f.write_str("inf") };
        let tens = mantissa * BigUint::from(10_u8).pow(DECIMALS);
        let tens = if self.exponent < 0 { halved(tens, -self.exponent) } else { tens << self.exponent };
        let digits = format!("{tens:0>width$}", width = DECIMALS as usize + 1);
        let (whole, fraction) = digits.split_at(digits.len() - DECIMALS as usize);
        let text = [whole, ".", fraction].concat();
        let text = text.trim_end_matches('0').trim_end_matches('.');
        if self.negative && text != "0" { write!(f, "-{text}") } else { f.write_str(text) }
    }
}

fn is_digits(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit())
}

/// `digits * 10^power`.
fn scaled(negative: bool, digits: BigUint, power: i64) -> LongDouble {
    let tens = BigUint::from(10_u8).pow(power.unsigned_abs() as u32);
    if power >= 0 {
        return rounded(negative, digits * tens, 0);
    }
    // With this many bits, the remainder only decides ties.
    let shift = (MANTISSA_BITS + 2 + tens.bits() as i64 - digits.bits() as i64).max(0);
    let shifted = digits << shift;
    let (quotient, rest) = (&shifted / &tens, shifted % tens);
    let rest = BigUint::from(u8::from(rest != BigUint::ZERO));
    rounded(negative, (quotient << 1_u8) + rest, -shift - 1)
}

/// The number nearest to `mantissa * 2^exponent`.
fn rounded(negative: bool, mantissa: BigUint, exponent: i64) -> LongDouble {
    let excess = (mantissa.bits() as i64 - MANTISSA_BITS).max(LOWEST_EXPONENT - exponent).max(0);
    let (mantissa, exponent) = (halved(mantissa, excess), exponent + excess);
    let finite = mantissa.bits() as i64 + exponent <= HIGHEST_EXPONENT + 1;
    LongDouble { negative, mantissa: finite.then_some(mantissa), exponent }
}

/// `number / 2^times`, rounded half to even.
fn halved(number: BigUint, times: i64) -> BigUint {
    if times == 0 {
        return number;
    }
    let half = BigUint::from(1_u8) << (times - 1);
    let floor = &number >> times;
    let rest = number - (&floor << times);
    let up = rest > half || rest == half && floor.bit(0);
    if up { floor + 1_u8 } else { floor }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sum(one: &str, other: &str) -> Option<String> {
        let (one, other) = (LongDouble::parse(one.as_bytes())?, LongDouble::parse(other.as_bytes())?);
        one.plus(other).map(|sum| sum.to_string())
    }

    #[test]
    fn sums_as_redis_prints_them() {
        for (one, other, expected) in [
            ("3000", ".1", "3000.10000000000000009"),
            ("10.5", "0.1", "10.6"),
            ("1", "-1.1", "-0.1"),
            ("5.0e3", "2.0e2", "5200"),
            ("1.", "5E-1", "1.5"),
            ("-0.1", "1e30", "1000000000000000000024696061952"),
            ("123456789012345678901234567890", "1", "123456789012345678899921813504"),
            ("0.000000000000000015", "0", "0.00000000000000002"),
            ("0.000000000000000025", "0", "0.00000000000000002"),
            ("-0.000000000000000001", "0", "0"),
            ("9999999999999999999", "0.3", "9999999999999999999"),
            ("18446744073709551616.5", "0.25", "18446744073709551616"),
            ("1e-4940", "1", "1"),
        ] {
            assert_eq!(sum(one, other).as_deref(), Some(expected), "{one} + {other}");
        }
        assert_eq!((sum("1e4932", "1e4932"), sum("1", "inf")), (None, None));
    }

    #[test]
    fn the_longest_printed_number_parses() {
        let longest = sum("1e4932", "0").expect("a number");
        assert_eq!((longest.len(), sum(&longest, "0")), (4933, Some(longest.clone())));
    }

    #[test]
    fn rejects_what_is_not_a_number() {
        for text in [
            "",
            " 1",
            "1 ",
            "x",
            "nan",
            ".",
            "1e",
            "e1",
            "1e5000",
            "-1e99999999999999999999",
            "1e-5000",
            "1e+",
        ] {
            assert_eq!(LongDouble::parse(text.as_bytes()), None, "{text:?}");
        }
        assert_eq!(LongDouble::parse(&[b'0'; TEXT_BYTES + 1]), None);
    }
}
