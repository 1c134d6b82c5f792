//! Splits the input into lines, and parses a line into a request or a command.

use super::quote::{self, Word, is_separator};
use kv::{Op, Request};

/// What the input begins with.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum NextLine<'a> {
    Line {
        /// The line without its ending.
        line: &'a mut [u8],
        /// Its bytes with the ending.
        size: usize,
        /// The input after it.
        rest: &'a mut [u8],
    },
    /// A line without an ending so far.
    Incomplete,
    /// A line longer than the limit.
    TooLong,
}

/// Splits the first line off `input`. Its ending is `\n` or `\r\n`.
pub(super) fn next_line(input: &mut [u8], limit: usize) -> NextLine<'_> {
    // The ending of a line at the limit may take two bytes.
    let within = &input[..input.len().min(limit + 2)];
    let Some(end) = memchr::memchr(b'\n', within) else {
        return if within.len() == limit + 2 { NextLine::TooLong } else { NextLine::Incomplete };
    };
    let length = if within[..end].ends_with(b"\r") { end - 1 } else { end };
    if length > limit {
        return NextLine::TooLong;
    }
    let (line, rest) = input.split_at_mut(end + 1);
    NextLine::Line { line: &mut line[..length], size: end + 1, rest }
}

/// What one line means.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum ParsedLine<'a> {
    /// A request to the node that owns the bucket.
    Request(Request<'a>),
    Command(Command<'a>),
}

/// A command that is not a request to one bucket, or whose reply is written page by page.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Command<'a> {
    /// Lists all keys of a bucket.
    Keys(&'a [u8]),
    /// Subscribes to the changes of a bucket.
    Subscribe(&'a [u8]),
    /// Lists the names of all buckets.
    Buckets,
    Help,
    Ping,
    Quit,
    /// A line of HTTP: a browser was tricked into connecting to this port.
    Http,
    /// A line longer than the limit.
    TooLong,
    /// Anything else.
    Unknown,
}

/// Words of the longest command.
const WORDS: usize = 4;

/// Parses one line without its ending. Commands are upper case, as in the guide.
pub(super) fn parse(line: &mut [u8]) -> ParsedLine<'_> {
    let mut words: [&[u8]; WORDS] = [&[]; WORDS];
    let Some(count) = split_words(line, &mut words) else { return ParsedLine::Command(Command::Unknown) };
    let request = |bucket, op| ParsedLine::Request(Request { bucket, op });
    ParsedLine::Command(match words[..count] {
        [b"GET", bucket, key] => return request(bucket, Op::Get { key }),
        [b"PUT", bucket, key, value] => return request(bucket, Op::Put { key, value }),
        [b"DELETE", bucket, key] => return request(bucket, Op::Delete { key }),
        [b"CREATE", bucket] => return request(bucket, Op::Create),
        [b"DROP", bucket] => return request(bucket, Op::Drop),
        [b"KEYS", bucket] => Command::Keys(bucket),
        [b"SUBSCRIBE", bucket] => Command::Subscribe(bucket),
        [b"BUCKETS"] => Command::Buckets,
        [b"HELP"] => Command::Help,
        [b"PING"] => Command::Ping,
        [b"QUIT"] => Command::Quit,
        [b"POST" | b"Host:", ..] => Command::Http,
        _ => Command::Unknown,
    })
}

/// Splits a line into words; `None` if there are more than any command has.
fn split_words<'a>(line: &'a mut [u8], words: &mut [&'a [u8]; WORDS]) -> Option<usize> {
    let mut count = 0;
    let mut rest = line;
    loop {
        let Some(start) = rest.iter().position(|byte| !is_separator(*byte)) else { return Some(count) };
        let slot = words.get_mut(count)?;
        rest = &mut rest[start..];
        if rest[0] == b'"' {
            match quote::parse(rest) {
                Word::Quoted(word, after) => {
                    *slot = word;
                    rest = after;
                    count += 1;
                    continue;
                }
                Word::Plain(same) => rest = same,
            }
        }
        let end = rest.iter().position(|byte| is_separator(*byte)).unwrap_or(rest.len());
        let (word, after) = rest.split_at_mut(end);
        *slot = word;
        rest = after;
        count += 1;
    }
}

#[cfg(test)]
mod tests;
