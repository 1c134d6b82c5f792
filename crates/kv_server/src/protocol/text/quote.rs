//! Quoted words: parses those that contain blanks, and prints values that contain line breaks.

use crate::protocol::lines::is_separator;

/// A word that starts with a quote.
pub(super) enum Word<'a> {
    /// The word without its quotes and escapes, and the text after it.
    Quoted(&'a [u8], &'a mut [u8]),
    /// The text unchanged: the quotes belong to a plain word.
    Plain(&'a mut [u8]),
}

/// Parses the first word of `text`, which starts with a quote. Quotes are removed only if a separator follows
/// them and they enclose a blank, a tab or a line break, literal or escaped: in the guide, a single word
/// keeps its quotes. Escapes are decoded in place, since decoding only shrinks them.
pub(super) fn parse(text: &mut [u8]) -> Word<'_> {
    let Some(close) = closing_quote(text) else { return Word::Plain(text) };
    if text.get(close + 1).is_some_and(|after| !is_separator(*after)) {
        return Word::Plain(text);
    }
    if !has_white_space(&text[1..close]) {
        return Word::Plain(text);
    }
    let (quoted, rest) = text.split_at_mut(close + 1);
    let length = unescape(&mut quoted[1..close]);
    Word::Quoted(&quoted[1..1 + length], rest)
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

fn has_white_space(quoted: &[u8]) -> bool {
    let mut at = 0;
    while at < quoted.len() {
        let (byte, taken) = unescape_one(&quoted[at..]);
        if matches!(byte, b' ' | b'\t' | b'\r' | b'\n') {
            return true;
        }
        at += taken;
    }
    false
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

/// Prints a name, key or value on one line: as it is, or quoted if it contains a line break.
pub(super) fn print(output: &mut Vec<u8>, bytes: &[u8]) {
    if memchr::memchr2(b'\r', b'\n', bytes).is_none() {
        return output.extend_from_slice(bytes);
    }
    print_quoted(output, bytes);
}

/// Prints bytes in quotes, with control characters escaped.
fn print_quoted(output: &mut Vec<u8>, bytes: &[u8]) {
    output.push(b'"');
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
    output.push(b'"');
}
