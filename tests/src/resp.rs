//! A client of the Redis protocol that returns replies as raw bytes.

use crate::{golden::unescape, wait::TIMEOUT};
use std::{
    fmt,
    io::{self, BufRead, BufReader, ErrorKind, Read, Write},
    net::{SocketAddr, TcpStream},
    os::unix::net::UnixStream,
    path::Path,
};

/// One connection. Every method panics on failure, as tests want it.
pub struct RespClient {
    input: BufReader<Box<dyn Socket>>,
}

trait Socket: Read + Write + Send {}
impl Socket for TcpStream {}
impl Socket for UnixStream {}

impl fmt::Debug for RespClient {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RespClient").finish_non_exhaustive()
    }
}

impl RespClient {
    /// Connects to a node's client port.
    pub fn connect(address: SocketAddr) -> RespClient {
        RespClient::connect_if_open(address).expect("the node accepts clients")
    }

    /// As [`RespClient::connect`]; `None` if the node has gone.
    pub fn connect_if_open(address: SocketAddr) -> Option<RespClient> {
        let stream = TcpStream::connect(address).ok()?;
        stream.set_nodelay(true).expect("socket options can be set");
        stream.set_read_timeout(Some(TIMEOUT)).expect("socket options can be set");
        stream.set_write_timeout(Some(TIMEOUT)).expect("socket options can be set");
        Some(RespClient { input: BufReader::new(Box::new(stream)) })
    }

    /// Connects to a server's Unix socket.
    pub(crate) fn connect_unix(path: &Path) -> io::Result<RespClient> {
        let stream = UnixStream::connect(path)?;
        stream.set_read_timeout(Some(TIMEOUT))?;
        Ok(RespClient { input: BufReader::new(Box::new(stream)) })
    }

    /// Sends bytes as they are.
    pub fn send(&mut self, bytes: impl AsRef<[u8]>) {
        self.input.get_mut().write_all(bytes.as_ref()).expect("the server reads");
    }

    /// Sends a command.
    pub fn command<Word: AsRef<[u8]>>(&mut self, words: &[Word]) {
        self.send(command(words));
    }

    /// Sends a line with the quoting of redis-cli and returns the first reply, escaped.
    pub fn ask(&mut self, line: &str) -> String {
        self.command(&words(line));
        self.reply().escape_ascii().to_string()
    }

    /// As [`RespClient::send`]; `false` if the node has gone.
    pub fn send_if_open(&mut self, bytes: impl AsRef<[u8]>) -> bool {
        self.input.get_mut().write_all(bytes.as_ref()).is_ok()
    }

    /// The bytes of the next reply.
    pub fn reply(&mut self) -> Vec<u8> {
        self.reply_if_open().expect("the connection stays open")
    }

    /// As [`RespClient::reply`]; `None` if the node has gone.
    pub fn reply_if_open(&mut self) -> Option<Vec<u8>> {
        let mut bytes = Vec::new();
        match self.read_reply(&mut bytes) {
            Ok(()) => Some(bytes),
            Err(error) if matches!(error.kind(), ErrorKind::UnexpectedEof | ErrorKind::ConnectionReset) => {
                None
            }
            Err(error) => panic!("the server answers in time: {error}"),
        }
    }

    /// Waits until the server closes the connection and returns what it sent until then.
    pub fn read_until_closed(&mut self) -> String {
        let mut rest = Vec::new();
        match self.input.read_to_end(&mut rest) {
            Err(error) if error.kind() != ErrorKind::ConnectionReset => panic!("it stays open: {error}"),
            _ => rest.escape_ascii().to_string(),
        }
    }

    fn read_reply(&mut self, bytes: &mut Vec<u8>) -> io::Result<()> {
        let start = bytes.len();
        self.input.read_until(b'\n', bytes)?;
        let line = bytes[start..].strip_suffix(b"\r\n").ok_or(ErrorKind::UnexpectedEof)?;
        let (kind, rest) = line.split_first().expect("a reply begins with its type");
        let number = || std::str::from_utf8(rest).ok().and_then(|text| text.parse::<i64>().ok());
        let count = match kind {
            b'+' | b'-' | b':' | b'_' | b',' | b'#' | b'(' => return Ok(()),
            _ => number().unwrap_or_else(|| panic!("no length: {}", line.escape_ascii())),
        };
        match (kind, u64::try_from(count)) {
            (_, Err(_)) => Ok(()),
            (b'$' | b'=' | b'!', Ok(length)) => {
                let read = (&mut self.input).take(length + 2).read_to_end(bytes)?;
                if read as u64 == length + 2 { Ok(()) } else { Err(ErrorKind::UnexpectedEof.into()) }
            }
            (b'*' | b'~' | b'>', Ok(items)) => (0..items).try_for_each(|_| self.read_reply(bytes)),
            (b'%', Ok(pairs)) => (0..pairs * 2).try_for_each(|_| self.read_reply(bytes)),
            _ => panic!("not a reply: {}", line.escape_ascii()),
        }
    }
}

/// A command in RESP.
pub fn command<Word: AsRef<[u8]>>(words: &[Word]) -> Vec<u8> {
    let mut bytes = format!("*{}\r\n", words.len()).into_bytes();
    for word in words.iter().map(AsRef::as_ref) {
        bytes.extend_from_slice(format!("${}\r\n", word.len()).as_bytes());
        bytes.extend_from_slice(word);
        bytes.extend_from_slice(b"\r\n");
    }
    bytes
}

/// Splits a line as redis-cli does: `"..."` has the escapes `\r \n \t \\ \" \xNN`, `'...'` has none.
pub fn words(line: &str) -> Vec<Vec<u8>> {
    let mut words = Vec::new();
    let mut rest = line.trim_start().as_bytes();
    while let Some(first) = rest.first() {
        let (word, after) = match first {
            b'"' => double_quoted(&rest[1..]),
            b'\'' => {
                let end = rest[1..].iter().position(|byte| *byte == b'\'').expect("a closing quote");
                (rest[1..=end].to_vec(), &rest[end + 2..])
            }
            _ => {
                let end = rest.iter().position(u8::is_ascii_whitespace).unwrap_or(rest.len());
                (rest[..end].to_vec(), &rest[end..])
            }
        };
        words.push(word);
        rest = after.trim_ascii_start();
    }
    words
}

/// The word after an opening quote, and what follows the closing one.
fn double_quoted(text: &[u8]) -> (Vec<u8>, &[u8]) {
    let mut end = 0;
    while text[end] != b'"' {
        end += if text[end] == b'\\' { 2 } else { 1 };
    }
    (unescape(&text[..end]), &text[end + 1..])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_split_as_redis_cli_does() {
        let line = r#" SET  "a \"b\x00\\" 'c"d' "" e"f "#;
        assert_eq!(words(line), [&b"SET"[..], b"a \"b\0\\", b"c\"d", b"", b"e\"f"]);
        assert_eq!(command(&words("GET milk")), b"*2\r\n$3\r\nGET\r\n$4\r\nmilk\r\n");
    }
}
