//! Numbers as Redis reads and prints them.

use crate::CommandError;

/// Reads an integer as Redis does: no blanks, no plus, no needless zeros.
pub(super) fn integer(bytes: &[u8]) -> Option<i64> {
    let digits = bytes.strip_prefix(b"-").unwrap_or(bytes);
    let canonical = match digits {
        [b'0'] => bytes == b"0",
        [b'1'..=b'9', ..] => true,
        _ => false,
    };
    std::str::from_utf8(bytes).ok().filter(|_| canonical)?.parse().ok()
}

/// Reads an argument that must be an integer.
pub(super) fn integer_argument(bytes: Option<&[u8]>) -> Result<i64, CommandError> {
    integer(bytes.ok_or(CommandError::Syntax)?).ok_or(CommandError::NotInteger)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn integers_are_canonical() {
        for (text, number) in [("0", 0), ("-1", -1), ("9223372036854775807", i64::MAX)] {
            assert_eq!(integer(text.as_bytes()), Some(number));
        }
        for text in ["", "-", "+1", "01", "-0", " 1", "1 ", "1.0", "9223372036854775808", "\u{664}"] {
            assert_eq!(integer(text.as_bytes()), None, "{text:?}");
        }
    }
}
