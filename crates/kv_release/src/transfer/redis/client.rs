//! A connection to a Redis server: commands in pipelines, replies in RESP2.

use crate::{
    error::Error,
    limits::{REDIS_BULK_BYTES, REDIS_CONNECT_TIMEOUT, REDIS_HEADER_BYTES, REDIS_NESTING, REDIS_TIMEOUT},
    transfer::source::RedisAddress,
};
use kv::args;
use std::{
    io::{self, BufRead, BufReader, Read, Write},
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

    /// Sends the pipeline, and reads the reply to each command.
    pub(super) fn replies(&mut self) -> Result<Vec<RedisReply>, Error> {
        let sent = self.stream.get_mut().write_all(&self.commands);
        self.commands.clear();
        let count = std::mem::take(&mut self.count);
        let replies = sent.and_then(|()| (0..count).map(|_| read(&mut self.stream, REDIS_NESTING)).collect());
        replies.map_err(|error: io::Error| self.failed(&error.to_string()))
    }

    /// The reply to one command, which is not an error.
    pub(super) fn call(&mut self, words: &[&[u8]]) -> Result<RedisReply, Error> {
        self.push(words);
        match self.replies()?.pop() {
            Some(RedisReply::Error(error)) => Err(self.failed(&error)),
            Some(reply) => Ok(reply),
            None => Err(self.unexpected()),
        }
    }

    /// Whether the server has a command, which is called with these arguments.
    pub(super) fn has(&mut self, words: &[&[u8]]) -> Result<bool, Error> {
        self.push(words);
        match self.replies()?.pop() {
            Some(RedisReply::Error(error)) if error.contains("unknown command") => Ok(false),
            Some(RedisReply::Error(error)) => Err(self.failed(&error)),
            _ => Ok(true),
        }
    }

    /// The error of the server, or of the connection to it.
    pub(super) fn failed(&self, reason: &str) -> Error {
        let hint = match reason.split(' ').next() {
            Some("NOAUTH") => "; write redis://user:password@host, or redis://:password@host",
            _ => "",
        };
        Error::Source { address: self.address.clone(), reason: format!("{reason}{hint}") }
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

/// Reads one reply. Lists may be nested up to `nesting` deep.
fn read(input: &mut impl BufRead, nesting: u32) -> io::Result<RedisReply> {
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
            let mut bytes = Vec::new();
            input.take(length + 2).read_to_end(&mut bytes)?;
            if bytes.len() as u64 != length + 2 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            bytes.truncate(length as usize);
            Ok(RedisReply::Bytes(bytes))
        }
        // The list grows with what arrives, whatever its announced length.
        b'*' if nesting > 0 => {
            (0..number()?).map(|_| read(input, nesting - 1)).collect::<io::Result<_>>().map(RedisReply::List)
        }
        _ => Err(invalid("not a reply of Redis")),
    }
}

fn invalid(what: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, format!("{what}; is this a Redis server?"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(bytes: &[u8]) -> Result<RedisReply, String> {
        read(&mut &bytes[..], 2).map_err(|error| error.to_string())
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
