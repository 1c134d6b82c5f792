//! The arguments of a command as RESP bulk strings: `$4\r\nmilk\r\n$1\r\n1\r\n`. They stay in the buffer that
//! they were read into, cross a link unchanged, and are parsed where the command is executed.

use crate::error::CommandError;
use serde::{Deserialize, Serialize};

/// An iterator over arguments. It ends at the first malformed one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Args<'a> {
    #[serde(with = "serde_bytes")]
    bulks: &'a [u8],
}

/// Bytes of the longest integer.
const INTEGER_BYTES: usize = "-9223372036854775808".len();

/// The COUNT of SCAN and HSCAN if none is given.
pub const SCAN_COUNT: usize = 10;

impl<'a> Args<'a> {
    /// No arguments.
    pub const NONE: Args<'static> = Args { bulks: &[] };

    /// The arguments in `bulks`, a sequence of bulk strings.
    pub fn new(bulks: &'a [u8]) -> Args<'a> {
        Args { bulks }
    }

    /// The remaining arguments as bulk strings.
    pub fn bulks(&self) -> &'a [u8] {
        self.bulks
    }

    /// The next argument, which is required. Inlined, because its large result would otherwise go through
    /// memory.
    #[inline(always)]
    pub fn required(&mut self) -> Result<&'a [u8], CommandError> {
        self.next().ok_or(CommandError::Syntax)
    }

    /// The next argument, which is required and an integer.
    pub fn integer(&mut self) -> Result<i64, CommandError> {
        parse_integer(self.required()?).ok_or(CommandError::NotInteger)
    }

    /// The next argument, if `accept` returns true for it; otherwise it remains.
    pub fn next_if(&mut self, accept: impl FnOnce(&'a [u8]) -> bool) -> Option<&'a [u8]> {
        let before = *self;
        let accepted = self.next().filter(|argument| accept(argument));
        if accepted.is_none() {
            *self = before;
        }
        accepted
    }

    /// The next argument, which is the required cursor of a scan. As in Redis, `-0` is 0.
    pub fn cursor(&mut self) -> Result<u64, CommandError> {
        let cursor = self.next().map(|cursor| if cursor == b"-0" { b"0" } else { cursor });
        let cursor = cursor.and_then(|cursor| std::str::from_utf8(cursor).ok()?.parse().ok());
        cursor.ok_or(CommandError::InvalidCursor)
    }

    /// The next argument, which is the required COUNT of a scan.
    pub fn scan_count(&mut self) -> Result<usize, CommandError> {
        let count = usize::try_from(self.integer()?).ok().filter(|count| *count > 0);
        count.ok_or(CommandError::Syntax)
    }

    #[cold]
    fn next_long(&mut self) -> Option<&'a [u8]> {
        let (length, start) = parse_header(self.bulks)?;
        self.split_off(length, start)
    }

    /// Splits off the argument of `length` bytes that begins at `start`.
    #[inline]
    fn split_off(&mut self, length: usize, start: usize) -> Option<&'a [u8]> {
        let (argument, rest) = self.bulks[start..].split_at_checked(length)?;
        self.bulks = rest.strip_prefix(b"\r\n")?;
        Some(argument)
    }

    /// The number of remaining arguments.
    pub fn count(mut self) -> usize {
        std::iter::from_fn(|| self.next()).count()
    }

    /// Whether no argument remains.
    pub fn is_empty(&self) -> bool {
        self.bulks.is_empty()
    }
}

impl<'a> Iterator for Args<'a> {
    type Item = &'a [u8];

    #[inline]
    fn next(&mut self) -> Option<&'a [u8]> {
        match parse_short_header(self.bulks, b'$') {
            Some((length, start)) => self.split_off(length, start),
            None => self.next_long(),
        }
    }
}

/// Parses a line that consists of `mark` and a number of one or two digits, the most frequent case. Returns
/// the number and the length of the line.
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

/// Parses the header of a bulk string. Returns its length, and the offset of its bytes.
fn parse_header(bulks: &[u8]) -> Option<(usize, usize)> {
    let after_mark = bulks.strip_prefix(b"$")?;
    let (mut length, mut at) = (0_usize, 0);
    while let Some(digit) = after_mark.get(at).filter(|byte| byte.is_ascii_digit()) {
        length = length.checked_mul(10)?.checked_add(usize::from(digit - b'0'))?;
        at += 1;
    }
    after_mark[at..].starts_with(b"\r\n").then_some((length, at + 3))
}

/// Parses an integer as Redis does: no blanks, no plus sign, no leading zeros.
pub fn parse_integer(bytes: &[u8]) -> Option<i64> {
    // A long string is no integer, and is not read to its end.
    let bytes = Some(bytes).filter(|bytes| bytes.len() <= INTEGER_BYTES)?;
    let digits = bytes.strip_prefix(b"-").unwrap_or(bytes);
    let canonical = match digits {
        [b'0'] => bytes == b"0",
        [b'1'..=b'9', ..] => true,
        _ => false,
    };
    std::str::from_utf8(bytes).ok().filter(|_| canonical)?.parse().ok()
}

/// Appends `argument` as a bulk string.
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
    fn iteration_ends_at_a_malformed_argument() {
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
        fn pushed_arguments_read_back(arguments: Vec<Vec<u8>>) {
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
