//! The arguments of a command, as RESP writes them: `$4\r\nmilk\r\n$1\r\n1\r\n`. They stay in the buffer they were
//! read into, cross a link as they are, and are taken apart only where the command is executed.

use crate::CommandError;
use serde::{Deserialize, Serialize};

/// Arguments, each a bulk string. A malformed one ends them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Args<'a> {
    #[serde(with = "serde_bytes")]
    bulks: &'a [u8],
}

impl<'a> Args<'a> {
    /// No arguments.
    pub const NONE: Args<'static> = Args { bulks: &[] };

    /// The arguments in `bulks`, which holds bulk strings and nothing else.
    pub fn new(bulks: &'a [u8]) -> Args<'a> {
        Args { bulks }
    }

    /// Those that are left, as bulk strings.
    pub fn bulks(&self) -> &'a [u8] {
        self.bulks
    }

    /// The next argument, which is required.
    #[inline]
    pub fn required(&mut self) -> Result<&'a [u8], CommandError> {
        self.next().ok_or(CommandError::Syntax)
    }

    /// The next argument, which is required and an integer.
    pub fn integer(&mut self) -> Result<i64, CommandError> {
        parse_integer(self.required()?).ok_or(CommandError::NotInteger)
    }

    #[cold]
    fn next_long(&mut self) -> Option<&'a [u8]> {
        let (length, start) = announced(self.bulks)?;
        self.take(length, start)
    }

    /// Takes the argument of so many bytes that begins at `start`.
    #[inline]
    fn take(&mut self, length: usize, start: usize) -> Option<&'a [u8]> {
        let (argument, rest) = self.bulks[start..].split_at_checked(length)?;
        self.bulks = rest.strip_prefix(b"\r\n")?;
        Some(argument)
    }

    /// How many are left.
    pub fn count(mut self) -> usize {
        std::iter::from_fn(|| self.next()).count()
    }

    /// Whether none is left.
    pub fn is_empty(&self) -> bool {
        self.bulks.is_empty()
    }
}

impl<'a> Iterator for Args<'a> {
    type Item = &'a [u8];

    #[inline]
    fn next(&mut self) -> Option<&'a [u8]> {
        match parse_short_header(self.bulks, b'$') {
            Some((length, start)) => self.take(length, start),
            None => self.next_long(),
        }
    }
}

/// Reads a line of a mark and a number of one digit or two, as most are: the number, and the bytes of the line.
#[inline]
pub fn parse_short_header(bytes: &[u8], mark: u8) -> Option<(usize, usize)> {
    match *bytes {
        [first, ones @ b'0'..=b'9', b'\r', b'\n', ..] if first == mark => Some((usize::from(ones - b'0'), 4)),
        [first, tens @ b'1'..=b'9', ones @ b'0'..=b'9', b'\r', b'\n', ..] if first == mark => {
            Some((usize::from(tens - b'0') * 10 + usize::from(ones - b'0'), 5))
        }
        _ => None,
    }
}

/// The length that a bulk string announces, and where its bytes start.
fn announced(bulks: &[u8]) -> Option<(usize, usize)> {
    let after_mark = bulks.strip_prefix(b"$")?;
    let (mut length, mut at) = (0_usize, 0);
    while let Some(digit) = after_mark.get(at).filter(|byte| byte.is_ascii_digit()) {
        length = length.checked_mul(10)?.checked_add(usize::from(digit - b'0'))?;
        at += 1;
    }
    after_mark[at..].starts_with(b"\r\n").then_some((length, at + 3))
}

/// Reads an integer as Redis does: no blanks, no plus, no needless zeros.
pub fn parse_integer(bytes: &[u8]) -> Option<i64> {
    let digits = bytes.strip_prefix(b"-").unwrap_or(bytes);
    let canonical = match digits {
        [b'0'] => bytes == b"0",
        [b'1'..=b'9', ..] => true,
        _ => false,
    };
    std::str::from_utf8(bytes).ok().filter(|_| canonical)?.parse().ok()
}

/// Writes `argument` as a bulk string.
pub fn push(bulks: &mut Vec<u8>, argument: &[u8]) {
    bulks.extend_from_slice(format!("${}\r\n", argument.len()).as_bytes());
    bulks.extend_from_slice(argument);
    bulks.extend_from_slice(b"\r\n");
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_malformed_argument_ends_them() {
        for bulks in ["x", "$", "$1", "$1\r\n", "$1\r\na", "$2\r\na\r\n", "$99999999999999999999\r\na\r\n"] {
            assert_eq!(Args::new(bulks.as_bytes()).next(), None, "{bulks:?}");
        }
    }

    #[test]
    fn integers_are_canonical() {
        for (text, number) in [("0", 0), ("-1", -1), ("9223372036854775807", i64::MAX)] {
            assert_eq!(parse_integer(text.as_bytes()), Some(number));
        }
        for text in ["", "-", "+1", "01", "-0", " 1", "1 ", "1.0", "9223372036854775808", "\u{664}"] {
            assert_eq!(parse_integer(text.as_bytes()), None, "{text:?}");
        }
    }

    proptest! {
        #[test]
        fn what_is_pushed_reads_back(arguments: Vec<Vec<u8>>) {
            let mut bulks = Vec::new();
            arguments.iter().for_each(|argument| push(&mut bulks, argument));
            prop_assert_eq!(Args::new(&bulks).map(<[u8]>::to_vec).collect::<Vec<_>>(), arguments);
        }

        #[test]
        fn no_bytes_make_it_panic(bulks: Vec<u8>) {
            Args::new(&bulks).count();
        }
    }
}
