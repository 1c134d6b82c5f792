//! Cuts the input into lines: `\n` ends one, and a `\r` before it belongs to the ending.

/// What the start of the input holds.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Cut<'a> {
    /// A line without its ending, the bytes it took with it, and the rest of the input.
    Line(&'a mut [u8], usize, &'a mut [u8]),
    /// No line ending yet.
    Partial,
    /// A line above the limit: its start is to be thrown away, and the rest up to its ending.
    TooLong,
}

/// Cuts the first line off `input`.
pub(super) fn cut_line(input: &mut [u8], limit: usize) -> Cut<'_> {
    // The ending of a line at the limit may take two bytes.
    let within = &input[..input.len().min(limit + 2)];
    let Some(end) = memchr::memchr(b'\n', within) else {
        return if within.len() == limit + 2 { Cut::TooLong } else { Cut::Partial };
    };
    let length = if within[..end].ends_with(b"\r") { end - 1 } else { end };
    if length > limit {
        return Cut::TooLong;
    }
    let (line, rest) = input.split_at_mut(end + 1);
    Cut::Line(&mut line[..length], end + 1, rest)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line_of(input: &[u8]) -> Option<(Vec<u8>, Vec<u8>)> {
        match cut_line(&mut input.to_vec(), 4) {
            Cut::Line(line, _, rest) => Some((line.to_vec(), rest.to_vec())),
            _ => None,
        }
    }

    #[test]
    fn a_line_ends_with_lf_or_crlf() {
        for input in [b"PING\nrest".as_slice(), b"PING\r\nrest"] {
            assert_eq!(line_of(input), Some((b"PING".to_vec(), b"rest".to_vec())));
        }
        assert_eq!(line_of(b"\n"), Some((vec![], vec![])));
        assert_eq!(line_of(b"a\r\r\n"), Some((b"a\r".to_vec(), vec![])));
    }

    #[test]
    fn half_a_line_waits_for_the_rest() {
        assert_eq!(cut_line(&mut [], 4), Cut::Partial);
        assert_eq!(cut_line(&mut b"PIN".to_vec(), 4), Cut::Partial);
        assert_eq!(cut_line(&mut b"PING\r".to_vec(), 4), Cut::Partial);
    }

    #[test]
    fn a_line_above_the_limit_is_too_long() {
        assert_eq!(cut_line(&mut b"PING2\n".to_vec(), 4), Cut::TooLong);
        assert_eq!(cut_line(&mut b"PING22".to_vec(), 4), Cut::TooLong);
    }
}
