//! Splits the input into lines, and parses a line into a request or a command.

use super::{
    quote::{self, Word},
    telnet,
};
use crate::protocol::lines::{LineEnd, is_http_request, is_separator, line_end};
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
    /// Possibly a command of telnet, which has no ending.
    Telnet,
    /// A line longer than the limit.
    TooLong,
}

/// Splits the first line off `input`.
pub(super) fn next_line(input: &mut [u8], limit: usize) -> NextLine<'_> {
    // The ending of a line at the limit may take two bytes.
    let within = &input[..input.len().min(limit + 2)];
    let Some(LineEnd { length, size }) = line_end(within) else {
        return match within {
            _ if within.len() == limit + 2 => NextLine::TooLong,
            [telnet::IAC, ..] => NextLine::Telnet,
            _ => NextLine::Incomplete,
        };
    };
    if length > limit {
        return NextLine::TooLong;
    }
    let (line, rest) = input.split_at_mut(size);
    NextLine::Line { line: &mut line[..length], size, rest }
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
    /// A command of telnet, and the reply to it.
    Telnet(telnet::Reply),
    /// A line that begins with none of the words above; it may be a command of Redis. The session takes whole
    /// lines instead, with what else is executed along with it.
    Other(&'a [u8]),
    /// The input continues with RESP.
    Resp,
    /// Anything else.
    Unknown,
}

/// The arguments of the longest command.
const ARGUMENTS: usize = 3;

/// The first word of a line.
#[derive(Debug, Clone, Copy)]
enum Verb {
    Get,
    Put,
    Delete,
    Create,
    Drop,
    Keys,
    Show,
    Subscribe,
    Buckets,
    Help,
    Ping,
    Quit,
}

impl Verb {
    /// Commands are upper case, as in the guide.
    #[inline]
    fn parse(word: &[u8]) -> Option<Verb> {
        Some(match word {
            b"GET" => Verb::Get,
            b"PUT" => Verb::Put,
            b"DELETE" => Verb::Delete,
            b"CREATE" => Verb::Create,
            b"DROP" => Verb::Drop,
            b"KEYS" => Verb::Keys,
            b"SHOW" => Verb::Show,
            b"SUBSCRIBE" => Verb::Subscribe,
            b"BUCKETS" => Verb::Buckets,
            b"HELP" => Verb::Help,
            b"PING" => Verb::Ping,
            b"QUIT" => Verb::Quit,
            _ => return None,
        })
    }
}

/// Parses one line without its ending.
pub(super) fn parse(line: &mut [u8]) -> ParsedLine<'_> {
    let start = line.iter().position(|byte| !is_separator(*byte)).unwrap_or(line.len());
    let end = line[start..].iter().position(|byte| is_separator(*byte)).map_or(line.len(), |end| start + end);
    // The words of another protocol are not touched: it has other quotes.
    let Some(verb) = Verb::parse(&line[start..end]) else { return ParsedLine::Command(Command::Other(line)) };
    let mut words: [&[u8]; ARGUMENTS] = [&[]; ARGUMENTS];
    let Some(count) = split_words(&mut line[end..], &mut words) else {
        return ParsedLine::Command(Command::Unknown);
    };
    let request = |bucket, op| ParsedLine::Request(Request::new(bucket, op));
    ParsedLine::Command(match (verb, &words[..count]) {
        (_, [target, version]) if is_http_request(target, version) => Command::Http,
        (Verb::Get, [bucket, key]) => return request(bucket, Op::Get { key }),
        (Verb::Put, [bucket, key, value]) => return request(bucket, Op::Put { key, value }),
        (Verb::Delete, [bucket, key]) => return request(bucket, Op::Delete { key }),
        (Verb::Create, [bucket]) => return request(bucket, Op::Create),
        (Verb::Drop, [bucket]) => return request(bucket, Op::Drop),
        (Verb::Show, [bucket]) => return request(bucket, Op::Show),
        (Verb::Keys, [bucket]) => Command::Keys(bucket),
        (Verb::Subscribe, [bucket]) => Command::Subscribe(bucket),
        (Verb::Buckets, []) => Command::Buckets,
        (Verb::Help, []) => Command::Help,
        (Verb::Ping, []) => Command::Ping,
        (Verb::Quit, []) => Command::Quit,
        _ => Command::Unknown,
    })
}

/// Splits the rest of a line into words; `None` if there are more than any command has.
fn split_words<'a>(line: &'a mut [u8], words: &mut [&'a [u8]; ARGUMENTS]) -> Option<usize> {
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
