//! Cuts the input into commands: `*2\r\n$3\r\nGET\r\n$4\r\nmilk\r\n`. A command that has not arrived whole is gone on with at
//! the word where it was left, so that no word is read twice however it arrives.

use crate::limits::{ARGUMENTS, CACHED_HEADER_BYTES, HEADER_BYTES};
use arrayvec::ArrayVec;
use kv::Args;

/// The words of one command; they stay where they were read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Words<'a> {
    /// How many there are, with the name.
    pub(super) count: usize,
    /// The command's name.
    pub(super) name: &'a [u8],
    /// The words after the name, as bulk strings.
    pub(super) bulks: &'a [u8],
}

impl<'a> Words<'a> {
    /// The words after the name.
    pub(super) fn args(&self) -> Args<'a> {
        Args::new(self.bulks)
    }
}

/// What the start of the input holds.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Cut<'a> {
    /// A command.
    Words {
        words: Words<'a>,
        /// The bytes that it takes.
        size: usize,
        /// It has the name of the command before it, and as many words.
        repeats: bool,
    },
    /// A command of no words, which is not answered, and the bytes that it takes.
    Nothing(usize),
    /// Less than a command.
    Partial,
}

/// Bytes that are not what the protocol allows; in Redis's words where it has any.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Broken {
    /// The first line of a command is none.
    #[error("expected '*', got '{}'", .0.escape_ascii())]
    NoCommand(u8),
    /// A word is announced otherwise than by `$`.
    #[error("expected '$', got '{}'", shown(*.0))]
    NoBulk(u8),
    /// How many words follow is no number, or too large.
    #[error("invalid multibulk length")]
    Count,
    /// How many bytes follow is no number, or too large.
    #[error("invalid bulk length")]
    Length,
    /// The end of the line that announces words does not come.
    #[error("too big mbulk count string")]
    LongCount,
    /// The end of the line that announces bytes does not come.
    #[error("too big bulk count string")]
    LongLength,
    /// More or fewer bytes came than were announced.
    #[error("expected CRLF after a bulk string")]
    NoEnd,
    /// The whole command is too large.
    #[error("request of more than {0} bytes")]
    TooLarge(usize),
}

/// A byte as Redis shows it within an error line: as it is, unless it would break the line.
fn shown(byte: u8) -> char {
    match byte {
        b'\r' | b'\n' => ' ',
        byte => char::from(byte),
    }
}

/// How much of one command may be taken into memory.
#[derive(Debug, Clone, Copy)]
pub(super) struct Allowed {
    /// Bytes of one word.
    pub(super) bulk_bytes: usize,
    /// Bytes of the whole command.
    pub(super) request_bytes: usize,
}

/// Cuts one command after the other off the input.
#[derive(Debug, Default)]
pub(super) struct Parser {
    read: Read,
    last: Opening,
}

/// How far the command at the start of the input has been read.
#[derive(Debug, Clone, Copy, Default)]
struct Read {
    /// Bytes of it that are understood: those of the words that have arrived whole.
    at: usize,
    /// Words that it has; 0 as long as that is not known.
    count: usize,
    /// Words of it that have arrived.
    arrived: usize,
    /// Where its name starts and ends.
    name: (usize, usize),
}

/// How the last command began, up to the end of its name. The next one most often begins with the same bytes.
#[derive(Debug, Default)]
struct Opening {
    bytes: ArrayVec<u8, CACHED_HEADER_BYTES>,
    /// How far a command is read of which only these bytes are.
    read: Read,
}

impl Parser {
    /// Cuts the first command off `input`, which starts with what it started with when this was last asked.
    pub(super) fn cut<'a>(&mut self, input: &'a [u8], allowed: Allowed) -> Result<Cut<'a>, Broken> {
        // A copy stays in registers; as a rule nothing of it has to be kept.
        let mut read = self.read;
        let repeats = read.count == 0 && self.last.read.count > 0 && input.starts_with(&self.last.bytes);
        if repeats {
            read = self.last.read;
        } else if read.count == 0 {
            let Some((count, after)) = announced(input, b'*')? else { return Ok(Cut::Partial) };
            if count <= 0 {
                return Ok(Cut::Nothing(after));
            }
            read.count =
                usize::try_from(count).ok().filter(|count| *count <= ARGUMENTS).ok_or(Broken::Count)?;
            read.at = after;
        }
        while read.arrived < read.count {
            let Some((start, end)) = word(input, read.at, allowed)? else {
                self.read = read;
                return Ok(Cut::Partial);
            };
            if read.arrived == 0 {
                read.name = (start, end);
            }
            read.at = end + 2;
            read.arrived += 1;
        }
        if !repeats {
            self.read = Read::default();
            self.last = Opening::of(input, read);
        }
        let Read { at, count, name: (start, end), .. } = read;
        let words = Words { count, name: &input[start..end], bulks: &input[end + 2..at] };
        Ok(Cut::Words { words, size: at, repeats })
    }
}

impl Opening {
    /// That of a command which has been read; none if it is too long to be remembered.
    fn of(input: &[u8], read: Read) -> Opening {
        let at = read.name.1 + 2;
        match ArrayVec::try_from(&input[..at]) {
            Ok(bytes) => Opening { bytes, read: Read { at, arrived: 1, ..read } },
            Err(_) => Opening::default(),
        }
    }
}

/// Where the word that is announced at `at` starts and ends; `None` when it has not arrived whole.
#[inline]
fn word(input: &[u8], at: usize, allowed: Allowed) -> Result<Option<(usize, usize)>, Broken> {
    let (length, size) = match kv::args::parse_short_header(&input[at..], b'$') {
        Some(announced) => announced,
        None => {
            let Some((length, size)) = announced(&input[at..], b'$')? else { return Ok(None) };
            (usize::try_from(length).map_err(|_| Broken::Length)?, size)
        }
    };
    if length > allowed.bulk_bytes {
        return Err(Broken::Length);
    }
    let (start, end) = (at + size, at + size + length);
    if end > allowed.request_bytes {
        return Err(Broken::TooLarge(allowed.request_bytes));
    }
    match input.get(end..end + 2) {
        None => Ok(None),
        Some(b"\r\n") => Ok(Some((start, end))),
        Some(_) => Err(Broken::NoEnd),
    }
}

/// Reads the line that announces how much follows: the number, and the bytes of the line.
#[cold]
fn announced(input: &[u8], mark: u8) -> Result<Option<(i64, usize)>, Broken> {
    let Some((first, line)) = input.split_first() else { return Ok(None) };
    let (wrong, long) = match mark {
        b'*' => (Broken::Count, Broken::LongCount),
        _ => (Broken::Length, Broken::LongLength),
    };
    if *first != mark {
        return Err(if mark == b'*' { Broken::NoCommand(*first) } else { Broken::NoBulk(*first) });
    }
    Ok(number(line, wrong, long)?.map(|(number, taken)| (number, 1 + taken)))
}

/// Reads a line that holds a number.
fn number(line: &[u8], wrong: Broken, long: Broken) -> Result<Option<(i64, usize)>, Broken> {
    let within = &line[..line.len().min(HEADER_BYTES)];
    let Some(end) = memchr::memchr(b'\r', within) else {
        return if within.len() == HEADER_BYTES { Err(long) } else { Ok(None) };
    };
    let after = match line.get(end + 1) {
        None => return Ok(None),
        Some(b'\n') => end + 2,
        Some(_) => return Err(wrong),
    };
    let digits = line[..end].strip_prefix(b"-").unwrap_or(&line[..end]);
    let canonical = match digits {
        [b'0'] => end == 1,
        [b'1'..=b'9', rest @ ..] => rest.iter().all(u8::is_ascii_digit),
        _ => false,
    };
    let number =
        std::str::from_utf8(&line[..end]).ok().filter(|_| canonical).and_then(|text| text.parse().ok());
    number.map(|number| Some((number, after))).ok_or(wrong)
}

#[cfg(test)]
mod tests;
