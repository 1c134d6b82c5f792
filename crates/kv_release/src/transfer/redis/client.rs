//! A connection to a Redis server: commands in pipelines, replies in RESP2.

use crate::{
    error::Error,
    limits::{
        REDIS_BULK_BYTES, REDIS_CONNECT_TIMEOUT, REDIS_HEADER_BYTES, REDIS_LARGE_BYTES, REDIS_NESTING,
        REDIS_TIMEOUT,
    },
    transfer::source::RedisAddress,
};
use kv::args;
use std::{
    io::{self, BufRead, BufReader, Read, Write},
    mem,
    net::{TcpStream, ToSocketAddrs},
};

/// A reply.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum RedisReply {
    Nil,
    Number(i64),
    Bytes(Vec<u8>),
    Error(String),
    List(Vec<RedisReply>),
    /// It was more than the caller reads, and has been skipped.
    TooLarge,
}

/// The connection.
pub(super) struct RedisClient {
    address: String,
    stream: BufReader<TcpStream>,
    /// Commands that have not been sent.
    commands: Vec<u8>,
    /// Their number.
    count: usize,
}

impl RedisClient {
    /// Connects, and authenticates if the address says how.
    pub(super) fn connect(address: &RedisAddress) -> Result<RedisClient, Error> {
        let stream = open(address).map_err(|error| Error::SourceUnavailable {
            address: address.to_string(),
            reason: error.to_string(),
        })?;
        let (address_text, stream) = (address.to_string(), BufReader::new(stream));
        let mut client = RedisClient { address: address_text, stream, commands: Vec::new(), count: 0 };
        if let Some(password) = &address.password {
            match &address.user {
                Some(user) => client.call(&[b"AUTH", user, password])?,
                None => client.call(&[b"AUTH", password])?,
            };
        }
        Ok(client)
    }

    /// Adds a command to the pipeline.
    pub(super) fn push(&mut self, words: &[&[u8]]) {
        self.commands.extend_from_slice(format!("*{}\r\n", words.len()).as_bytes());
        words.iter().for_each(|word| args::push(&mut self.commands, word));
        self.count += 1;
    }

    /// Sends the pipeline, and reads the reply to each command. Replies that would make them larger than
    /// `limit` bytes, all together, are skipped.
    pub(super) fn replies(&mut self, limit: u64) -> Result<Vec<RedisReply>, Error> {
        let sent = self.stream.get_mut().write_all(&self.commands);
        self.commands.clear();
        let count = mem::take(&mut self.count);
        let mut room = limit;
        let replies = sent
            .and_then(|()| (0..count).map(|_| read(&mut self.stream, &mut room, REDIS_NESTING)).collect());
        replies.map_err(|error: io::Error| self.failed(&error.to_string()))
    }

    /// The reply to one command, which is not an error.
    pub(super) fn call(&mut self, words: &[&[u8]]) -> Result<RedisReply, Error> {
        self.push(words);
        match self.replies(REDIS_LARGE_BYTES)?.pop() {
            Some(RedisReply::Error(error)) => Err(self.failed(&error)),
            Some(reply) => Ok(reply),
            None => Err(self.unexpected()),
        }
    }

    /// Whether the server has a command that needs arguments. It is called without them, so no key is
    /// touched.
    pub(super) fn has(&mut self, command: &[u8]) -> Result<bool, Error> {
        match self.call(&[command]) {
            Err(Error::Source { reason, .. }) if reason.contains("unknown command") => Ok(false),
            Err(Error::Source { reason, .. }) if reason.contains("wrong number of arguments") => Ok(true),
            Err(error) => Err(error),
            Ok(_) => Err(self.unexpected()),
        }
    }

    /// The error of the server, or of the connection to it.
    pub(super) fn failed(&self, reason: &str) -> Error {
        let reason = match reason.split(' ').next() {
            Some("NOAUTH") => {
                let reason = reason.trim_end_matches('.');
                format!("{reason}; write redis://user:password@host, or redis://:password@host")
            }
            _ => reason.to_owned(),
        };
        Error::Source { address: self.address.clone(), reason }
    }

    /// The error of a reply that the command cannot have.
    pub(super) fn unexpected(&self) -> Error {
        self.failed("unexpected reply")
    }
}

fn open(address: &RedisAddress) -> io::Result<TcpStream> {
    let mut last = io::Error::other("the host has no address");
    for candidate in (address.host.as_str(), address.port).to_socket_addrs()? {
        match TcpStream::connect_timeout(&candidate, REDIS_CONNECT_TIMEOUT) {
            Ok(stream) => {
                stream.set_nodelay(true)?;
                stream.set_read_timeout(Some(REDIS_TIMEOUT))?;
                stream.set_write_timeout(Some(REDIS_TIMEOUT))?;
                return Ok(stream);
            }
            Err(error) => last = error,
        }
    }
    Err(last)
}

/// Reads one reply, or skips it if it has no `room`, in bytes. Lists may be nested up to `nesting` deep.
fn read(input: &mut impl BufRead, room: &mut u64, nesting: u32) -> io::Result<RedisReply> {
    let mut line = Vec::new();
    input.take(REDIS_HEADER_BYTES).read_until(b'\n', &mut line)?;
    let line = line.strip_suffix(b"\r\n").ok_or_else(|| match line.len() {
        0 => io::Error::from(io::ErrorKind::UnexpectedEof),
        _ => invalid("a line without an end"),
    })?;
    let (kind, rest) = line.split_first().ok_or_else(|| invalid("an empty line"))?;
    let number = || args::parse_integer(rest).ok_or_else(|| invalid("a length that is no number"));
    match kind {
        b'+' => Ok(RedisReply::Bytes(rest.to_vec())),
        b'-' => Ok(RedisReply::Error(String::from_utf8_lossy(rest).into_owned())),
        b':' => Ok(RedisReply::Number(number()?)),
        b'$' | b'*' if number()? == -1 => Ok(RedisReply::Nil),
        b'$' => {
            let length = u64::try_from(number()?).ok().filter(|length| *length <= REDIS_BULK_BYTES);
            let length = length.ok_or_else(|| invalid("a string of an invalid length"))?;
            read_bytes(input, room, length)
        }
        b'*' if nesting > 0 => read_list(input, room, nesting - 1, number()?),
        _ => Err(invalid("not a reply of Redis")),
    }
}

fn read_bytes(input: &mut impl BufRead, room: &mut u64, length: u64) -> io::Result<RedisReply> {
    let (mut bytes, mut input) = (Vec::new(), input.take(length + 2));
    let is_kept = take_room(room, length);
    let read = match is_kept {
        true => input.read_to_end(&mut bytes)? as u64,
        false => io::copy(&mut input, &mut io::sink())?,
    };
    if read != length + 2 {
        return Err(io::ErrorKind::UnexpectedEof.into());
    }
    bytes.truncate(length as usize);
    Ok(if is_kept { RedisReply::Bytes(bytes) } else { RedisReply::TooLarge })
}

/// The list grows with what arrives, whatever its announced length; one that lacks a part is skipped whole.
fn read_list(input: &mut impl BufRead, room: &mut u64, nesting: u32, length: i64) -> io::Result<RedisReply> {
    let (before, mut list, mut is_whole) = (*room, Vec::new(), true);
    for _ in 0..length {
        is_whole &= take_room(room, size_of::<RedisReply>() as u64);
        match read(input, room, nesting)? {
            RedisReply::TooLarge => is_whole = false,
            reply if is_whole => list.push(reply),
            _ => {}
        }
        if !is_whole {
            list = Vec::new();
            *room = 0;
        }
    }
    if !is_whole {
        *room = before;
    }
    Ok(if is_whole { RedisReply::List(list) } else { RedisReply::TooLarge })
}

/// Takes these bytes of the room, if it has as many.
fn take_room(room: &mut u64, bytes: u64) -> bool {
    let left = room.checked_sub(bytes);
    *room = left.unwrap_or(*room);
    left.is_some()
}

fn invalid(what: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, format!("{what}; is this a Redis server?"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(bytes: &[u8]) -> Result<RedisReply, String> {
        read(&mut &bytes[..], &mut 1_000, 2).map_err(|error| error.to_string())
    }

    #[test]
    fn replies_that_have_no_room_are_skipped() {
        let page = "*2\r\n$1\r\n0\r\n*2\r\n$3\r\nabc\r\n$0\r\n\r\n";
        let whole = 4 * size_of::<RedisReply>() as u64 + 4;
        for room in 0..=whole {
            let bytes = format!("{page}:1\r\n");
            let (mut input, mut left) = (bytes.as_bytes(), room);
            let is_skipped = read(&mut input, &mut left, 2).unwrap() == RedisReply::TooLarge;
            assert_eq!((is_skipped, left), if room < whole { (true, room) } else { (false, 0) });
            assert_eq!(read(&mut input, &mut left, 2).unwrap(), RedisReply::Number(1));
        }
    }

    #[test]
    fn replies_are_read() {
        let text = |text: &str| RedisReply::Bytes(text.into());
        for (bytes, reply) in [
            ("+OK\r\n", text("OK")),
            ("-ERR no\r\n", RedisReply::Error("ERR no".into())),
            (":-2\r\n", RedisReply::Number(-2)),
            ("$-1\r\n", RedisReply::Nil),
            ("*-1\r\n", RedisReply::Nil),
            ("$0\r\n\r\n", text("")),
            (
                "*2\r\n$1\r\n0\r\n*1\r\n$4\r\na\r\nb\r\n",
                RedisReply::List(vec![text("0"), RedisReply::List(vec![text("a\r\nb")])]),
            ),
        ] {
            assert_eq!(parsed(bytes.as_bytes()), Ok(reply), "{bytes:?}");
        }
    }

    #[test]
    fn what_is_no_reply_is_an_error() {
        for bytes in
            ["", "+OK", "x\r\n", "$x\r\n", "$-2\r\n", "$999999999999\r\n", "$3\r\nab", "*1\r\n*1\r\n*1\r\n"]
        {
            assert!(parsed(bytes.as_bytes()).is_err(), "{bytes:?}");
        }
        assert!(parsed(b"HTTP/1.1 400 Bad Request\r\n").unwrap_err().contains("is this a Redis server?"));
        assert!(
            parsed(b"*9223372036854775807\r\n:1\r\n").is_err(),
            "no memory is taken for what does not arrive"
        );
    }
}
