//! Quoted words: parses those that need their quotes, and prints what could not be read back without them.

use crate::protocol::lines::is_separator;

/// A word that starts with a quote.
pub(super) enum Word<'a> {
    /// The word without its quotes and escapes, and the text after it.
    Quoted(&'a [u8], &'a mut [u8]),
    /// The text unchanged: the quotes belong to a plain word.
    Plain(&'a mut [u8]),
}

/// Parses the first word of `text`, which starts with a quote. Escapes are decoded in place, since decoding
/// only shrinks them.
pub(super) fn parse(text: &mut [u8]) -> Word<'_> {
    let Some(close) = quoted_end(text) else { return Word::Plain(text) };
    let (quoted, rest) = text.split_at_mut(close + 1);
    let length = unescape(&mut quoted[1..close]);
    Word::Quoted(&quoted[1..1 + length], rest)
}

/// Where the quote closes, if the first word of `text`, which starts with a quote, is read as quoted: a
/// separator follows it, and it encloses nothing, a blank, a tab, a carriage return or a backslash. In the
/// guide, any other word keeps its quotes.
fn quoted_end(text: &[u8]) -> Option<usize> {
    let close = closing_quote(text)?;
    let ends_word = text.get(close + 1).is_none_or(|after| is_separator(*after));
    (ends_word && (close == 1 || text[1..close].iter().any(|byte| needs_quotes(*byte)))).then_some(close)
}

fn closing_quote(text: &[u8]) -> Option<usize> {
    let mut at = 1;
    while at < text.len() {
        match text[at] {
            b'\\' => at += 2,
            b'"' => return Some(at),
            _ => at += 1,
        }
    }
    None
}

fn unescape(quoted: &mut [u8]) -> usize {
    let (mut from, mut to) = (0, 0);
    while from < quoted.len() {
        let (byte, taken) = unescape_one(&quoted[from..]);
        quoted[to] = byte;
        from += taken;
        to += 1;
    }
    to
}

/// The first byte that `text` encodes, and the number of bytes that encode it. An unknown escape is kept.
fn unescape_one(text: &[u8]) -> (u8, usize) {
    match text {
        [b'\\', ..] => kv::syntax::escape::unescape(text).unwrap_or((b'\\', 1)),
        [byte, ..] => (*byte, 1),
        [] => (0, 0),
    }
}

/// Prints a name, key or value as a whole line: as it is, or quoted if it is empty, contains a line break, or
/// would itself be read as quoted. So no two of them print alike.
#[inline]
pub(super) fn print(output: &mut Vec<u8>, bytes: &[u8]) {
    let is_special = match bytes.first() {
        Some(b'"') => quoted_end(bytes).is_some(),
        first => first.is_none(),
    };
    if is_special || memchr::memchr2(b'\r', b'\n', bytes).is_some() {
        return print_quoted(output, bytes);
    }
    output.extend_from_slice(bytes);
}

/// Prints a key before other words of its line: as [`print`] does, or quoted if it contains a separator.
pub(super) fn print_word(output: &mut Vec<u8>, bytes: &[u8]) {
    match bytes.iter().any(|byte| is_separator(*byte)) {
        true => print_quoted(output, bytes),
        false => print(output, bytes),
    }
}

/// Finds out, piece by piece, whether [`print`] quotes a long value.
#[derive(Debug, Default)]
pub(super) struct QuoteScan {
    state: ScanState,
    /// Bytes before the next piece.
    scanned: usize,
    /// Something that is read as quoted has been in the word so far.
    needs_quotes: bool,
    breaks: bool,
}

/// Where the end of a piece is.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
enum ScanState {
    #[default]
    Start,
    InQuotes,
    Escaped,
    /// The quote has just closed.
    Closed,
    ReadAsQuoted,
    Plain,
}

impl QuoteScan {
    /// Scans the next piece.
    pub(super) fn push(&mut self, piece: &[u8]) {
        self.breaks = self.breaks || memchr::memchr2(b'\r', b'\n', piece).is_some();
        for (at, byte) in (self.scanned..).zip(piece) {
            if matches!(self.state, ScanState::ReadAsQuoted | ScanState::Plain) {
                break;
            }
            self.step(at, *byte);
        }
        self.scanned += piece.len();
    }

    /// Whether the whole value must be quoted.
    pub(super) fn must_quote(&self) -> bool {
        let closed = self.state == ScanState::Closed && self.needs_quotes;
        self.breaks || self.scanned == 0 || closed || self.state == ScanState::ReadAsQuoted
    }

    fn step(&mut self, at: usize, byte: u8) {
        let in_quotes = matches!(self.state, ScanState::InQuotes | ScanState::Escaped);
        let closes = self.state == ScanState::InQuotes && byte == b'"';
        self.needs_quotes |= in_quotes && needs_quotes(byte) || closes && at == 1;
        self.state = match (self.state, byte) {
            (ScanState::Start, b'"') | (ScanState::Escaped, _) => ScanState::InQuotes,
            (ScanState::InQuotes, b'\\') => ScanState::Escaped,
            (ScanState::InQuotes, b'"') => ScanState::Closed,
            (ScanState::InQuotes, _) => ScanState::InQuotes,
            (ScanState::Closed, byte) if self.needs_quotes && is_separator(byte) => ScanState::ReadAsQuoted,
            _ => ScanState::Plain,
        };
    }
}

/// Whether a word in quotes that holds this is read as quoted.
fn needs_quotes(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t' | b'\r' | b'\\')
}

/// Prints bytes in quotes, with control characters escaped.
fn print_quoted(output: &mut Vec<u8>, bytes: &[u8]) {
    output.push(b'"');
    escape(output, bytes);
    output.push(b'"');
}

/// Prints bytes as they are within quotes.
pub(super) fn escape(output: &mut Vec<u8>, bytes: &[u8]) {
    for &byte in bytes {
        match byte {
            b'\n' => output.extend_from_slice(b"\\n"),
            b'\r' => output.extend_from_slice(b"\\r"),
            b'\t' => output.extend_from_slice(b"\\t"),
            b'"' | b'\\' => output.extend_from_slice(&[b'\\', byte]),
            0..b' ' | 0x7f => {
                const DIGITS: &[u8; 16] = b"0123456789abcdef";
                let (high, low) = (DIGITS[usize::from(byte >> 4)], DIGITS[usize::from(byte & 15)]);
                output.extend_from_slice(&[b'\\', b'x', high, low]);
            }
            _ => output.push(byte),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// The bytes that a line of a reply stands for.
    fn read_line(line: &[u8]) -> Vec<u8> {
        let mut line = line.to_vec();
        if let Some(b'"') = line.first()
            && let Word::Quoted(word, []) = parse(&mut line)
        {
            return word.to_vec();
        }
        line
    }

    fn printed(value: &[u8]) -> Vec<u8> {
        let mut line = Vec::new();
        print(&mut line, value);
        line
    }

    /// Values of the bytes that matter to quoting.
    fn value() -> impl Strategy<Value = Vec<u8>> {
        let byte = prop_oneof![
            4 => Just(b'"'),
            3 => Just(b'\\'),
            6 => prop::sample::select(b" \t\r\nxn4\0".to_vec()),
            1 => any::<u8>(),
        ];
        prop::collection::vec(byte, 0..12)
    }

    #[test]
    fn values_print_as_they_are_unless_they_could_not_be_read_back() {
        for (value, line) in [
            ("hello world", "hello world"),
            ("", r#""""#),
            (r#""""#, r#""\"\"""#),
            (r#""1""#, r#""1""#),
            (r#""a b""#, r#""\"a b\"""#),
            (r#""a b" c"#, r#""\"a b\" c""#),
            (r#""a b"c"#, r#""a b"c"#),
            (r#""\x41""#, r#""\"\\x41\"""#),
            (r"back\slash", r"back\slash"),
            ("a\nb", r#""a\nb""#),
            (r#""open"#, r#""open"#),
        ] {
            assert_eq!(String::from_utf8(printed(value.as_bytes())).unwrap(), line, "{value}");
        }
    }

    proptest! {
        #[test]
        fn a_line_gives_the_bytes_back(value in value()) {
            let line = printed(&value);
            prop_assert!(!line.is_empty() && memchr::memchr2(b'\r', b'\n', &line).is_none());
            prop_assert_eq!(read_line(&line), value);
        }

        #[test]
        fn a_long_value_is_quoted_as_a_short_one_is(value in value(), cuts in 1..4_usize) {
            let mut scan = QuoteScan::default();
            value.chunks(cuts).for_each(|piece| scan.push(piece));
            prop_assert_eq!(scan.must_quote(), printed(&value) != value);
        }

        #[test]
        fn distinct_values_print_differently(one in value(), other in value()) {
            prop_assert_eq!(printed(&one) == printed(&other), one == other);
        }

        #[test]
        fn a_key_is_followed_by_other_words(key in value()) {
            let mut line = Vec::new();
            print_word(&mut line, &key);
            let end = line.len();
            line.extend_from_slice(b" SET TO 1");
            let read = match (line[0], quoted_end(&line)) {
                (b'"', Some(_)) => read_line(&line[..end]),
                _ => line.split(|byte| is_separator(*byte)).next().unwrap().to_vec(),
            };
            prop_assert_eq!(read, key);
        }
    }
}
