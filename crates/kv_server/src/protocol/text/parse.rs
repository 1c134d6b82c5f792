//! A line's bytes -> a command.

use super::quote::{self, Quoted, separates};
use kv::{Op, Request};

/// What one line asks for.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Command<'a> {
    /// An operation on a bucket, for the node that owns it.
    Request(Request<'a>),
    /// All keys of a bucket.
    Keys(&'a [u8]),
    /// The changes of a bucket as they happen.
    Subscribe(&'a [u8]),
    /// The names of all buckets.
    Buckets,
    /// The list of commands.
    Help,
    /// A sign of life.
    Ping,
    /// The end of the connection.
    Quit,
    /// A line of HTTP: a browser was talked into speaking to this port.
    Http,
    /// Anything else.
    Unknown,
}

/// Words that the longest command has.
const WORDS: usize = 4;

/// Parses one line without its ending. Commands are upper case, as in the guide.
pub(super) fn parse(line: &mut [u8]) -> Command<'_> {
    let mut words: [&[u8]; WORDS] = [&[]; WORDS];
    let Some(count) = split(line, &mut words) else { return Command::Unknown };
    let request = |bucket, op| Command::Request(Request { bucket, op });
    match words[..count] {
        [b"GET", bucket, key] => request(bucket, Op::Get { key }),
        [b"PUT", bucket, key, value] => request(bucket, Op::Put { key, value }),
        [b"DELETE", bucket, key] => request(bucket, Op::Delete { key }),
        [b"CREATE", bucket] => request(bucket, Op::Create),
        [b"DROP", bucket] => request(bucket, Op::Drop),
        [b"KEYS", bucket] => Command::Keys(bucket),
        [b"SUBSCRIBE", bucket] => Command::Subscribe(bucket),
        [b"BUCKETS"] => Command::Buckets,
        [b"HELP"] => Command::Help,
        [b"PING"] => Command::Ping,
        [b"QUIT"] => Command::Quit,
        [b"POST" | b"Host:", ..] => Command::Http,
        _ => Command::Unknown,
    }
}

/// Splits a line into words; `None` when there are more than any command has.
fn split<'a>(line: &'a mut [u8], words: &mut [&'a [u8]; WORDS]) -> Option<usize> {
    let mut count = 0;
    let mut rest = line;
    loop {
        let Some(start) = rest.iter().position(|byte| !separates(*byte)) else { return Some(count) };
        let slot = words.get_mut(count)?;
        rest = &mut rest[start..];
        if rest[0] == b'"' {
            match quote::take(rest) {
                Quoted::Argument(argument, after) => {
                    *slot = argument;
                    rest = after;
                    count += 1;
                    continue;
                }
                Quoted::Word(same) => rest = same,
            }
        }
        let end = rest.iter().position(|byte| separates(*byte)).unwrap_or(rest.len());
        let (word, after) = rest.split_at_mut(end);
        *slot = word;
        rest = after;
        count += 1;
    }
}

#[cfg(test)]
mod tests;
