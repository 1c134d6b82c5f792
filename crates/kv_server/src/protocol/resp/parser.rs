//! Splits the input into commands such as `*2\r\n$3\r\nGET\r\n$4\r\nmilk\r\n`. Parsing of an incomplete
//! command resumes at the first incomplete argument, so complete ones are not parsed again.

use crate::{
    limits::{ARGUMENTS, BATCH_BYTES, CACHED_HEADER_BYTES, HEADER_BYTES, INLINE_BYTES},
    protocol::lines::{LineEnd, line_end},
};
use arrayvec::ArrayVec;
use kv::{
    Args,
    args::{parse_integer, parse_short_header},
};

/// A command as the client sent it; name and arguments stay in the input buffer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct RawCommand<'a> {
    /// Number of arguments, including the name.
    pub(super) count: usize,
    pub(super) name: &'a [u8],
    /// The arguments after the name, as bulk strings.
    pub(super) bulks: &'a [u8],
}

impl<'a> RawCommand<'a> {
    /// The arguments after the name.
    pub(super) fn args(&self) -> Args<'a> {
        Args::new(self.bulks)
    }

    /// The command without its first argument.
    pub(super) fn skip_argument(&self) -> RawCommand<'a> {
        let mut args = self.args();
        match args.next() {
            Some(_) => RawCommand { count: self.count - 1, bulks: args.bulks(), ..*self },
            None => *self,
        }
    }
}

/// The start of the input.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Parsed<'a> {
    Command {
        command: RawCommand<'a>,
        /// Its size in bytes.
        size: usize,
        /// It has the same name and number of arguments as the command before it.
        same_as_last: bool,
    },
    /// An empty command, which gets no reply, and its size in bytes.
    Empty(usize),
    /// Lines of words with their endings, and the bytes of the last of them.
    Inline { lines: &'a [u8], last: usize },
    /// Nothing, or the beginning of a command.
    Incomplete,
}

/// A violation of the protocol, in Redis's words where Redis has any.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum ProtocolError {
    /// An argument does not begin with `$`.
    #[error("expected '$', got '{}'", printable(*.0))]
    NoBulk(u8),
    /// The number of arguments is malformed or too large.
    #[error("invalid multibulk length")]
    Count,
    /// The length of an argument is malformed or too large.
    #[error("invalid bulk length")]
    Length,
    /// The line with the number of arguments is too long.
    #[error("too big mbulk count string")]
    LongCount,
    /// The line with the length of an argument is too long.
    #[error("too big bulk count string")]
    LongLength,
    /// An argument does not end where its header says.
    #[error("expected CRLF after a bulk string")]
    NoEnd,
    /// An inline command is too long.
    #[error("too big inline request")]
    LongInline,
    /// A quote of an inline command is never closed, or closes within a word.
    #[error("unbalanced quotes in request")]
    UnbalancedQuotes,
    /// The whole command is too large.
    #[error("request of more than {0} bytes")]
    TooLarge(usize),
}

/// A byte as Redis prints it in an error; line breaks become spaces.
fn printable(byte: u8) -> char {
    match byte {
        b'\r' | b'\n' => ' ',
        byte => char::from(byte),
    }
}

/// Limits on the size of a command.
#[derive(Debug, Clone, Copy)]
pub(super) struct ParseLimits {
    /// Bytes of one argument.
    pub(super) bulk_bytes: usize,
    /// Bytes of the whole command.
    pub(super) request_bytes: usize,
}

/// Parses the commands of a connection, one after the other.
#[derive(Debug, Default)]
pub(super) struct CommandParser {
    progress: ParseProgress,
    last: CachedHeader,
}

/// How far the command at the start of the input has been parsed.
#[derive(Debug, Clone, Copy, Default)]
struct ParseProgress {
    /// Bytes up to the end of the last complete argument.
    at: usize,
    /// Number of arguments; 0 until it is known.
    count: usize,
    /// Complete arguments.
    arrived: usize,
    /// Start and end of the name.
    name: (usize, usize),
}

/// The last command up to the end of its name. Usually the next one begins with the same bytes.
#[derive(Debug, Default)]
struct CachedHeader {
    bytes: ArrayVec<u8, CACHED_HEADER_BYTES>,
    /// The progress once these bytes are parsed.
    progress: ParseProgress,
}

impl CommandParser {
    /// Parses the first command. After `Incomplete`, `input` must start with the same bytes again.
    pub(super) fn parse<'a>(
        &mut self,
        input: &'a [u8],
        limits: ParseLimits,
    ) -> Result<Parsed<'a>, ProtocolError> {
        // The copy stays in registers; it is rarely written back.
        let mut progress = self.progress;
        let same_as_last =
            progress.count == 0 && self.last.progress.count > 0 && input.starts_with(&self.last.bytes);
        if same_as_last {
            progress = self.last.progress;
        } else if progress.count == 0 {
            if !matches!(input, [b'*', ..] | []) {
                return inline(input);
            }
            let Some((count, after)) = header(input, b'*')? else { return Ok(Parsed::Incomplete) };
            if count <= 0 {
                return Ok(Parsed::Empty(after));
            }
            let count = usize::try_from(count).ok().filter(|count| *count <= ARGUMENTS);
            progress.count = count.ok_or(ProtocolError::Count)?;
            progress.at = after;
        }
        while progress.arrived < progress.count {
            let Some((start, end)) = argument(input, progress.at, limits)? else {
                self.progress = progress;
                return Ok(Parsed::Incomplete);
            };
            if progress.arrived == 0 {
                progress.name = (start, end);
            }
            progress.at = end + 2;
            progress.arrived += 1;
        }
        if !same_as_last {
            self.progress = ParseProgress::default();
            self.last = CachedHeader::new(input, progress);
        }
        let ParseProgress { at, count, name: (start, end), .. } = progress;
        let command = RawCommand { count, name: &input[start..end], bulks: &input[end + 2..at] };
        Ok(Parsed::Command { command, size: at, same_as_last })
    }
}

impl CachedHeader {
    /// The header of a parsed command; empty if it is too long to be cached.
    fn new(input: &[u8], progress: ParseProgress) -> CachedHeader {
        let at = progress.name.1 + 2;
        match ArrayVec::try_from(&input[..at]) {
            Ok(bytes) => CachedHeader { bytes, progress: ParseProgress { at, arrived: 1, ..progress } },
            Err(_) => CachedHeader::default(),
        }
    }
}

/// Splits off inline commands: all that have arrived, up to one of another kind.
#[cold]
fn inline(input: &[u8]) -> Result<Parsed<'_>, ProtocolError> {
    let Some(mut last) = inline_size(input)? else { return Ok(Parsed::Incomplete) };
    let mut size = last;
    while size < BATCH_BYTES
        && !input[size..].starts_with(b"*")
        && let Ok(Some(next)) = inline_size(&input[size..])
    {
        (size, last) = (size + next, next);
    }
    Ok(Parsed::Inline { lines: &input[..size], last })
}

/// Bytes of the first line with its ending; `None` if it is incomplete.
fn inline_size(input: &[u8]) -> Result<Option<usize>, ProtocolError> {
    let longest = input.len().min(INLINE_BYTES + 2);
    match line_end(&input[..longest]) {
        Some(LineEnd { size, .. }) => Ok(Some(size)),
        None if longest < INLINE_BYTES + 2 => Ok(None),
        None => Err(ProtocolError::LongInline),
    }
}

/// Start and end of the argument whose header is at `at`; `None` if it is incomplete.
#[inline]
fn argument(input: &[u8], at: usize, limits: ParseLimits) -> Result<Option<(usize, usize)>, ProtocolError> {
    let (length, size) = match parse_short_header(&input[at..], b'$') {
        Some(header) => header,
        None => {
            let Some((length, size)) = header(&input[at..], b'$')? else { return Ok(None) };
            (usize::try_from(length).map_err(|_| ProtocolError::Length)?, size)
        }
    };
    if length > limits.bulk_bytes {
        return Err(ProtocolError::Length);
    }
    let (start, end) = (at + size, at + size + length);
    if end > limits.request_bytes {
        return Err(ProtocolError::TooLarge(limits.request_bytes));
    }
    match input.get(end..end + 2) {
        None => Ok(None),
        Some(b"\r\n") => Ok(Some((start, end))),
        Some(_) => Err(ProtocolError::NoEnd),
    }
}

/// Parses a line of a mark and a number: returns the number and the size of the line, or `None` if it is
/// incomplete.
#[cold]
fn header(input: &[u8], mark: u8) -> Result<Option<(i64, usize)>, ProtocolError> {
    let Some((first, line)) = input.split_first() else { return Ok(None) };
    let (malformed, endless) = match mark {
        b'*' => (ProtocolError::Count, ProtocolError::LongCount),
        _ => (ProtocolError::Length, ProtocolError::LongLength),
    };
    if *first != mark {
        return Err(ProtocolError::NoBulk(*first));
    }
    let within = &line[..line.len().min(HEADER_BYTES)];
    let Some(end) = memchr::memchr(b'\r', within) else {
        return if within.len() == HEADER_BYTES { Err(endless) } else { Ok(None) };
    };
    match line.get(end + 1) {
        None => Ok(None),
        Some(b'\n') => {
            let number = parse_integer(&line[..end]).ok_or(malformed)?;
            Ok(Some((number, 1 + end + 2)))
        }
        Some(_) => Err(malformed),
    }
}

#[cfg(test)]
mod tests;
