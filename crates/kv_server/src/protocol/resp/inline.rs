//! Inline commands: a command as one line of words, as a person or a health check sends it. All lines that
//! have arrived become commands in RESP, which are executed together.

use super::{
    parser::ProtocolError,
    session::{ReplyMode, RespSession},
};
use crate::{
    limits::INLINE_BYTES,
    memory::{Charge, Use},
    pipeline::{BoxFuture, Next, batch, buffers::Output},
    protocol::lines::{LineEnd, is_http, line_end},
};
use std::io::{self, Write};
use tokio::task::yield_now;

impl RespSession {
    /// Executes the commands of whole lines, in batches between which other connections run. HTTP closes the
    /// connection without a reply.
    pub(crate) fn execute_inline<'o, 'a: 'o>(
        &'o mut self,
        lines: &'a [u8],
        output: &'o mut Output<'_>,
    ) -> BoxFuture<'o, io::Result<Next>> {
        Box::pin(async move {
            let context = self.context.clone();
            let (commands, end) = encode_lines(lines);
            let mut charge = Charge::new(&self.client.account, Use::Input);
            charge.set(commands.len());
            // All of them have arrived with what is around the lines.
            let around = self.pipeline;
            self.pipeline.follows_others = around.has_several;
            let mut unparsed = &commands[..];
            while !unparsed.is_empty() {
                let (next, consumed) = batch::run_encoded(&context, self, unparsed, output).await?;
                if next == Next::Close {
                    return Ok(Next::Close);
                }
                unparsed = &unparsed[consumed..];
                if !unparsed.is_empty() {
                    yield_now().await;
                }
            }
            self.pipeline.follows_others = around.follows_others;
            Ok(end.unwrap_or_else(|error| self.close_for(&error, output)))
        })
    }

    /// Writes the error after which the connection closes, if the client wants replies.
    pub(super) fn close_for(&self, error: &ProtocolError, output: &mut Output<'_>) -> Next {
        if self.reply_mode == ReplyMode::On {
            self.encoder(output).error(format!("ERR Protocol error: {error}"));
        }
        Next::Close
    }
}

/// Encodes the commands of lines as RESP, and says how the connection goes on behind them. Lines that follow
/// one after which it closes are left out, as are empty ones, which get no reply.
fn encode_lines(mut lines: &[u8]) -> (Vec<u8>, Result<Next, ProtocolError>) {
    let (mut commands, mut bulks) = (Vec::new(), Vec::new());
    while let Some(LineEnd { length, size }) = line_end(lines) {
        let line = &lines[..length];
        if is_http(line) {
            return (commands, Ok(Next::Close));
        }
        bulks.clear();
        match split_words(line, &mut bulks) {
            Ok(0) => {}
            Ok(count) => {
                write!(commands, "*{count}\r\n").expect("writing to memory does not fail");
                commands.extend_from_slice(&bulks);
            }
            Err(error) => return (commands, Err(error)),
        }
        lines = &lines[size..];
    }
    (commands, Ok(Next::Continue))
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
    use kv::Args;
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
