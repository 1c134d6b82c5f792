//! Lines as people and telnet send them, for the text protocol and for the inline commands of RESP: where a
//! line ends, and which lines are HTTP.

/// Where the first line of some input ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct LineEnd {
    /// Bytes of the line without its ending.
    pub(super) length: usize,
    /// Bytes of the line with its ending.
    pub(super) size: usize,
}

/// Whether a byte separates words.
pub(super) fn is_separator(byte: u8) -> bool {
    // One comparison decides for all but control characters.
    byte <= b' ' && (byte == b' ' || byte == b'\t')
}

/// The end of the first line of `input`: `\n`, `\r\n`, or the `\r\0` that telnet sends for the return key
/// while it passes on every key. A zero byte anywhere else is part of the line.
#[inline]
pub(super) fn line_end(input: &[u8]) -> Option<LineEnd> {
    let at = memchr::memchr2(b'\n', b'\0', input)?;
    if input[at] == b'\n' { Some(line_feed(input, at)) } else { line_end_from(input, at) }
}

/// [`line_end`] in a line whose first zero byte is at `start`. It looks at every byte, since a line of zero
/// bytes would stop a search at each of them.
#[cold]
fn line_end_from(input: &[u8], start: usize) -> Option<LineEnd> {
    (start..input.len()).find_map(|at| match input[at] {
        b'\n' => Some(line_feed(input, at)),
        b'\0' if input[..at].ends_with(b"\r") => Some(LineEnd { length: at - 1, size: at + 1 }),
        _ => None,
    })
}

/// The end of a line whose line feed is at `at`.
fn line_feed(input: &[u8], at: usize) -> LineEnd {
    LineEnd { length: at - usize::from(input[..at].ends_with(b"\r")), size: at + 1 }
}

/// Whether a line is the first line of an HTTP request, or its `Host` header: a web page may have made a
/// browser send it.
pub(super) fn is_http(line: &[u8]) -> bool {
    let mut words = line.split(|byte| is_separator(*byte)).filter(|word| !word.is_empty());
    let words: [Option<&[u8]>; 4] = std::array::from_fn(|_| words.next());
    match words {
        [Some(first), ..] if first.eq_ignore_ascii_case(b"host:") => true,
        [Some(_), Some(target), Some(version), None] => is_http_request(target, version),
        _ => false,
    }
}

/// Whether the second and the last word of a line of three words make it the first line of an HTTP request.
#[inline]
pub(super) fn is_http_request(target: &[u8], version: &[u8]) -> bool {
    matches!(version, [b'H', b'T', b'T', b'P', b'/', b'0'..=b'9', b'.', b'0'..=b'9'])
        && match target {
            [b'/' | b'*', ..] => true,
            _ => target.get(..4).is_some_and(|scheme| scheme.eq_ignore_ascii_case(b"http")),
        }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_line_ends_with_lf_or_crlf_or_cr_nul() {
        for (input, end) in [
            ("PING\nrest", Some((4, 5))),
            ("PING\r\nrest", Some((4, 6))),
            ("PING\r\0rest\n", Some((4, 6))),
            ("a\0b\r\0", Some((3, 5))),
            ("a\0b\n", Some((3, 4))),
            ("\0\r\n", Some((1, 3))),
            ("a\r\r\n", Some((2, 4))),
            ("\r\0", Some((0, 2))),
            ("\n", Some((0, 1))),
            ("PING\r", None),
            ("a\rb\0c", None),
            ("", None),
        ] {
            let found = line_end(input.as_bytes()).map(|LineEnd { length, size }| (length, size));
            assert_eq!(found, end, "{input:?}");
        }
    }

    #[test]
    fn http_is_a_request_line_or_a_host() {
        for line in [
            "POST / HTTP/1.1",
            "GET /shopping/milk HTTP/1.0",
            "DELETE http://127.0.0.1:4040/ HTTP/1.1",
            "OPTIONS * HTTP/1.1",
            "PRI * HTTP/2.0",
            "Host: localhost",
            "HOST:",
        ] {
            assert!(is_http(line.as_bytes()), "{line}");
        }
        for line in [
            "",
            "POST",
            "POST /",
            "GET shopping HTTP/1.1",
            "GET / HTTP/1",
            "GET / http/1.1",
            "GET / HTTP/1.1 x",
            "GET Host: x",
            "PUT / HTTP/1.1 1",
        ] {
            assert!(!is_http(line.as_bytes()), "{line}");
        }
    }

    proptest! {
        #[test]
        fn a_search_finds_the_first_end_however_many_zeros_there_are(
            line in proptest::collection::vec(prop_oneof![Just(b'\0'), Just(b'\r'), Just(b'x')], 0..40),
        ) {
            let input = [&line[..], b"\n"].concat();
            let end = input.windows(2).position(|pair| pair == b"\r\0").map(|at| (at, at + 2));
            let end = end.unwrap_or((line.len() - usize::from(line.ends_with(b"\r")), input.len()));
            prop_assert_eq!(line_end(&input), Some(LineEnd { length: end.0, size: end.1 }));
        }
    }
}
