//! Cuts the input into commands: `*2\r\n$3\r\nGET\r\n$4\r\nmilk\r\n`. A command that has not arrived whole is gone on with where it
//! was left, so that a byte is looked at once however it arrives.

use crate::limits::{ARGUMENTS, HEADER_BYTES};
use kv::Args;

/// The words of one command; they stay where they were read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Words<'a> {
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
    /// A command, and the bytes that it takes.
    Words(Words<'a>, usize),
    /// A command of no words, which is not answered, and the bytes that it takes.
    Nothing(usize),
    /// Less than a command.
    Partial,
}

/// Bytes that are not what the protocol allows; in Redis's words where it has any.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum Broken {
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

/// How far the command at the start of the input has been read.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Parser {
    /// Bytes of it that are understood.
    at: usize,
    /// Words that it has; 0 as long as that is not known.
    count: usize,
    /// Words of it that have arrived.
    arrived: usize,
    /// Bytes of the word that is arriving.
    length: Option<usize>,
    /// Where its name starts and ends, and where the word after it is announced.
    name: (usize, usize),
}

impl Parser {
    /// Cuts the first command off `input`, which starts with what it started with when this was last asked.
    pub(super) fn cut<'a>(&mut self, input: &'a [u8], allowed: Allowed) -> Result<Cut<'a>, Broken> {
        // A copy stays in registers; as a rule nothing of it has to be kept.
        let mut read = *self;
        if read.count == 0 {
            let Some((count, after)) = announced(input, 0, b'*')? else { return Ok(Cut::Partial) };
            if count <= 0 {
                return Ok(Cut::Nothing(after));
            }
            read.count =
                usize::try_from(count).ok().filter(|count| *count <= ARGUMENTS).ok_or(Broken::Count)?;
            read.at = after;
        }
        while read.arrived < read.count {
            if !read.take_word(input, allowed)? {
                *self = read;
                return Ok(Cut::Partial);
            }
        }
        if self.count > 0 {
            *self = Parser::default();
        }
        let Parser { at, count, name: (start, end), .. } = read;
        Ok(Cut::Words(Words { count, name: &input[start..end], bulks: &input[end + 2..at] }, at))
    }

    /// Reads the next word; `false` when it has not arrived whole.
    #[inline]
    fn take_word(&mut self, input: &[u8], allowed: Allowed) -> Result<bool, Broken> {
        let length = match self.length {
            Some(length) => length,
            None => {
                let Some((length, after)) = announced(input, self.at, b'$')? else { return Ok(false) };
                let length = usize::try_from(length).ok().filter(|length| *length <= allowed.bulk_bytes);
                let length = length.ok_or(Broken::Length)?;
                if after + length > allowed.request_bytes {
                    return Err(Broken::TooLarge(allowed.request_bytes));
                }
                self.at = after;
                *self.length.insert(length)
            }
        };
        let end = self.at + length;
        match input.get(end..end + 2) {
            None => return Ok(false),
            Some(b"\r\n") => {}
            Some(_) => return Err(Broken::NoEnd),
        }
        if self.arrived == 0 {
            self.name = (self.at, end);
        }
        (self.at, self.length) = (end + 2, None);
        self.arrived += 1;
        Ok(true)
    }
}

/// Reads the line at `at` that announces how much follows: the number, and where the line ends. As a rule the number
/// has one digit or two.
#[inline]
fn announced(input: &[u8], at: usize, mark: u8) -> Result<Option<(i64, usize)>, Broken> {
    match input[at..] {
        [first, ones @ b'0'..=b'9', b'\r', b'\n', ..] if first == mark => {
            Ok(Some((i64::from(ones - b'0'), at + 4)))
        }
        [first, tens @ b'1'..=b'9', ones @ b'0'..=b'9', b'\r', b'\n', ..] if first == mark => {
            Ok(Some((i64::from(tens - b'0') * 10 + i64::from(ones - b'0'), at + 5)))
        }
        _ => announced_otherwise(input, at, mark),
    }
}

#[cold]
fn announced_otherwise(input: &[u8], at: usize, mark: u8) -> Result<Option<(i64, usize)>, Broken> {
    let Some((first, line)) = input[at..].split_first() else { return Ok(None) };
    let (wrong, long) = match mark {
        b'*' => (Broken::Count, Broken::LongCount),
        _ => (Broken::Length, Broken::LongLength),
    };
    if *first != mark {
        return Err(if mark == b'*' { Broken::NoCommand(*first) } else { Broken::NoBulk(*first) });
    }
    Ok(other_number(line, wrong, long)?.map(|(number, taken)| (number, at + 1 + taken)))
}

/// Reads a line that is not plain: negative, of many digits, no number at all, or not all there.
fn other_number(line: &[u8], wrong: Broken, long: Broken) -> Result<Option<(i64, usize)>, Broken> {
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
