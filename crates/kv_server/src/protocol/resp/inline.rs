//! Inline commands: a command as one line of words, as a person or a health check sends it.

use super::{
    commands::{command_table, dispatch::dispatch},
    encoder::RespEncoder,
    parser::{ProtocolError, RawCommand},
    session::RespSession,
};
use crate::{
    limits::INLINE_BYTES,
    pipeline::{BoxFuture, Next, buffers::Output},
    protocol::lines::is_http,
};
use kv::Args;
use std::io;

impl RespSession {
    /// Executes the command of one line. HTTP closes the connection without a reply.
    pub(crate) fn execute_inline<'o, 'a: 'o>(
        &'o mut self,
        line: &'a [u8],
        output: &'o mut Output<'_>,
    ) -> BoxFuture<'o, io::Result<Next>> {
        Box::pin(async move {
            if is_http(line) {
                return Ok(Next::Close);
            }
            let mut words = Vec::new();
            let count = match split_words(line, &mut words) {
                Ok(count) => count,
                Err(error) => return Ok(write_protocol_error(&mut self.encoder(output), &error)),
            };
            let mut args = Args::new(&words);
            // An empty line gets no reply.
            if let Some(name) = args.next() {
                let raw = RawCommand { count, name, bulks: args.bulks() };
                dispatch(command_table(), self, raw, output).await?;
            }
            Ok(if self.closing { Next::Close } else { Next::Continue })
        })
    }
}

/// Writes the error after which the connection closes.
pub(super) fn write_protocol_error(encoder: &mut RespEncoder<'_>, error: &ProtocolError) -> Next {
    encoder.error(format!("ERR Protocol error: {error}"));
    Next::Close
}

/// Appends the words of a line to `bulks` as bulk strings, and returns their number. The quotes are those of
/// redis-cli: `"..."` has escapes, in `'...'` only `\'` is one, and both may be a part of a word.
fn split_words(line: &[u8], bulks: &mut Vec<u8>) -> Result<usize, ProtocolError> {
    if line.len() > INLINE_BYTES {
        return Err(ProtocolError::LongInline);
    }
    let (mut rest, mut count, mut word) = (line, 0, Vec::new());
    while let Some(start) = rest.iter().position(|byte| !is_blank(*byte)) {
        word.clear();
        rest = split_word(&rest[start..], &mut word)?;
        kv::args::push(bulks, &word);
        count += 1;
    }
    Ok(count)
}

/// Whether a byte separates words, as in C.
fn is_blank(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t'..=b'\r')
}

/// Appends the first word of `text` to `word`, and returns what follows it.
fn split_word<'a>(text: &'a [u8], word: &mut Vec<u8>) -> Result<&'a [u8], ProtocolError> {
    let mut rest = text;
    while let Some((byte, after)) = rest.split_first().filter(|(byte, _)| !is_blank(**byte)) {
        if matches!(byte, b'"' | b'\'') {
            let after = quoted_part(*byte, after, word)?;
            let ends_word = after.first().is_none_or(|byte| is_blank(*byte));
            return ends_word.then_some(after).ok_or(ProtocolError::UnbalancedQuotes);
        }
        word.push(*byte);
        rest = after;
    }
    Ok(rest)
}

/// Appends the text up to the closing `quote` to `word`, and returns what follows the quote.
fn quoted_part<'a>(quote: u8, text: &'a [u8], word: &mut Vec<u8>) -> Result<&'a [u8], ProtocolError> {
    let mut rest = text;
    loop {
        let (byte, after) = match *rest {
            [] => return Err(ProtocolError::UnbalancedQuotes),
            [byte, ref after @ ..] if byte == quote => return Ok(after),
            [b'\\', b'\'', ref after @ ..] if quote == b'\'' => (b'\'', after),
            [b'\\', _, ..] if quote == b'"' => unescape(rest),
            [byte, ref after @ ..] => (byte, after),
        };
        word.push(byte);
        rest = after;
    }
}

/// The byte that an escape within double quotes stands for, and what follows it. A backslash before any other
/// byte is left out.
fn unescape(text: &[u8]) -> (u8, &[u8]) {
    let hex = |digit: u8| char::from(digit).to_digit(16).map(|value| value as u8);
    if let [_, b'x', high, low, after @ ..] = text
        && let Some((high, low)) = hex(*high).zip(hex(*low))
    {
        return (high << 4 | low, after);
    }
    let byte = match text[1] {
        b'n' => b'\n',
        b'r' => b'\r',
        b't' => b'\t',
        b'b' => 0x08,
        b'a' => 0x07,
        byte => byte,
    };
    (byte, &text[2..])
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn words(line: &[u8]) -> Result<Vec<Vec<u8>>, ProtocolError> {
        let mut bulks = Vec::new();
        let count = split_words(line, &mut bulks)?;
        let words: Vec<Vec<u8>> = Args::new(&bulks).map(<[u8]>::to_vec).collect();
        assert_eq!(words.len(), count);
        Ok(words)
    }

    #[test]
    fn words_are_split_as_redis_splits_them() {
        for (line, expected) in [
            ("", &[][..]),
            (" \t ", &[]),
            ("info replication", &[b"info".as_slice(), b"replication"]),
            ("SET  a\t\x0b1 ", &[b"SET", b"a", b"1"]),
            (r#"SET a "two words""#, &[b"SET", b"a", b"two words"]),
            (r#"SET a "\x41\xfF\n\r\t\b\a\"\\\q\xg0""#, &[b"SET", b"a", b"A\xff\n\r\t\x08\x07\"\\qxg0"]),
            (r#"SET a '\x41 \' "b"'"#, &[b"SET", b"a", br#"\x41 ' "b""#]),
            (r#"SET pre"fix ed" ''"#, &[b"SET", b"prefix ed", b""]),
            (r"SET a\n b\", &[b"SET", br"a\n", br"b\"]),
        ] {
            assert_eq!(words(line.as_bytes()).unwrap(), expected, "{line}");
        }
        for line in [r#"SET "a"#, r#"SET "a"b"#, "SET 'a", "SET 'a'b", r#"SET "a\"#, r#"SET a'b'"c""#] {
            assert_eq!(words(line.as_bytes()), Err(ProtocolError::UnbalancedQuotes), "{line}");
        }
        assert_eq!(words(&[b'x'; INLINE_BYTES]).unwrap().len(), 1);
        assert_eq!(words(&[b'x'; INLINE_BYTES + 1]), Err(ProtocolError::LongInline));
    }

    proptest! {
        #[test]
        fn no_bytes_make_it_panic(
            line in proptest::collection::vec(
                prop_oneof![any::<u8>(), Just(b'"'), Just(b'\''), Just(b'\\'), Just(b' '), Just(b'x')], 0..60),
        ) {
            drop(words(&line));
        }
    }
}
