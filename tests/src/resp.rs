//! A client of the Redis protocol that keeps replies just as they came.

use crate::{PATIENCE, golden::unescape};
use std::{
    fmt,
    io::{BufRead, BufReader, ErrorKind, Read, Write},
    net::{SocketAddr, TcpStream},
    os::unix::net::UnixStream,
    path::Path,
};

/// One connection. Everything panics with what was wrong, for a test is what calls it.
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
    /// Connects to a node's port for clients.
    pub fn connect(address: SocketAddr) -> RespClient {
        let stream = TcpStream::connect(address).expect("the node takes clients");
        stream.set_nodelay(true).expect("an open socket takes options");
        stream.set_read_timeout(Some(PATIENCE)).expect("an open socket takes options");
        stream.set_write_timeout(Some(PATIENCE)).expect("an open socket takes options");
        RespClient { input: BufReader::new(Box::new(stream)) }
    }

    /// Connects to a server's Unix socket.
    pub(crate) fn connect_unix(path: &Path) -> std::io::Result<RespClient> {
        let stream = UnixStream::connect(path)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        Ok(RespClient { input: BufReader::new(Box::new(stream)) })
    }

    /// Sends bytes just as they are.
    pub fn send(&mut self, bytes: impl AsRef<[u8]>) {
        self.input.get_mut().write_all(bytes.as_ref()).expect("the server reads what it is sent");
    }

    /// Sends a command.
    pub fn command<Word: AsRef<[u8]>>(&mut self, words: &[Word]) {
        self.send(command(words));
    }

    /// Sends a line as redis-cli takes it, and returns the first reply, its escapes written out.
    pub fn ask(&mut self, line: &str) -> String {
        self.command(&words(line));
        self.reply().escape_ascii().to_string()
    }

    /// The bytes of the next reply.
    pub fn reply(&mut self) -> Vec<u8> {
        let mut bytes = Vec::new();
        self.read_reply(&mut bytes);
        bytes
    }

    /// Waits until the server closes the connection, and returns what it still said.
    pub fn until_closed(&mut self) -> String {
        let mut rest = Vec::new();
        match self.input.read_to_end(&mut rest) {
            Err(error) if error.kind() != ErrorKind::ConnectionReset => panic!("it stays open: {error}"),
            _ => rest.escape_ascii().to_string(),
        }
    }

    fn read_reply(&mut self, bytes: &mut Vec<u8>) {
        let start = bytes.len();
        self.input.read_until(b'\n', bytes).expect("the server answers in time");
        let line = bytes[start..].strip_suffix(b"\r\n");
        let line = line.unwrap_or_else(|| panic!("no whole line: {}", bytes[start..].escape_ascii()));
        let (kind, rest) = line.split_first().expect("a reply says what it is");
        let number = || std::str::from_utf8(rest).ok().and_then(|text| text.parse::<i64>().ok());
        let count = match kind {
            b'+' | b'-' | b':' | b'_' | b',' | b'#' | b'(' => return,
            _ => number().unwrap_or_else(|| panic!("no length: {}", line.escape_ascii())),
        };
        match (kind, u64::try_from(count)) {
            (_, Err(_)) => {}
            (b'$' | b'=' | b'!', Ok(length)) => {
                let taken = (&mut self.input).take(length + 2).read_to_end(bytes);
                assert_eq!(taken.expect("the server answers in time") as u64, length + 2, "a whole string");
            }
            (b'*' | b'~' | b'>', Ok(items)) => (0..items).for_each(|_| self.read_reply(bytes)),
            (b'%', Ok(pairs)) => (0..pairs * 2).for_each(|_| self.read_reply(bytes)),
            _ => panic!("no reply starts so: {}", line.escape_ascii()),
        }
    }
}

/// A command as it is on the wire.
pub fn command<Word: AsRef<[u8]>>(words: &[Word]) -> Vec<u8> {
    let mut bytes = format!("*{}\r\n", words.len()).into_bytes();
    for word in words.iter().map(AsRef::as_ref) {
        bytes.extend_from_slice(format!("${}\r\n", word.len()).as_bytes());
        bytes.extend_from_slice(word);
        bytes.extend_from_slice(b"\r\n");
    }
    bytes
}

/// The words of a line as redis-cli takes it: `"..."` knows `\r \n \t \\ \" \xNN`, `'...'` knows nothing.
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

/// The word after an opening quote, and what follows its closing one.
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
    fn lines_are_taken_as_redis_cli_takes_them() {
        let line = r#" SET  "a \"b\x00\\" 'c"d' "" e"f "#;
        assert_eq!(words(line), [&b"SET"[..], b"a \"b\0\\", b"c\"d", b"", b"e\"f"]);
        assert_eq!(command(&words("GET milk")), b"*2\r\n$3\r\nGET\r\n$4\r\nmilk\r\n");
    }
}
