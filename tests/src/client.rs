//! A client of the text protocol: what telnet is to a person.

use crate::PATIENCE;
use std::{
    io::{BufRead, BufReader, ErrorKind, Read, Write},
    net::{SocketAddr, TcpStream},
};

/// One connection. Everything panics with what was wrong, for a test is what calls it.
#[derive(Debug)]
pub struct Client {
    input: BufReader<TcpStream>,
}

impl Client {
    /// Connects to a node's port for clients.
    pub fn connect(address: SocketAddr) -> Client {
        let stream = TcpStream::connect(address).expect("the node takes clients");
        stream.set_nodelay(true).expect("an open socket takes options");
        stream.set_read_timeout(Some(PATIENCE)).expect("an open socket takes options");
        stream.set_write_timeout(Some(PATIENCE)).expect("an open socket takes options");
        Client { input: BufReader::new(stream) }
    }

    /// Sends bytes just as they are.
    pub fn send(&mut self, bytes: impl AsRef<[u8]>) {
        self.input.get_ref().write_all(bytes.as_ref()).expect("the node reads what it is sent");
    }

    /// The next line, as bytes, without its ending.
    pub fn line_bytes(&mut self) -> Vec<u8> {
        self.next_line().expect("the connection stays open")
    }

    /// The next line without its ending; `None` when the node has closed the connection.
    pub fn next_line(&mut self) -> Option<Vec<u8>> {
        let mut line = Vec::new();
        match self.input.read_until(b'\n', &mut line) {
            Ok(0) => return None,
            Err(error) if error.kind() == ErrorKind::ConnectionReset => return None,
            other => other.expect("the node answers in time"),
        };
        assert!(line.ends_with(b"\r\n"), "a line ends with CRLF: {:?}", String::from_utf8_lossy(&line));
        line.truncate(line.len() - 2);
        Some(line)
    }

    /// The next line, without its ending.
    pub fn line(&mut self) -> String {
        String::from_utf8(self.line_bytes()).expect("a line of text")
    }

    /// The next `count` lines.
    pub fn lines(&mut self, count: usize) -> Vec<String> {
        (0..count).map(|_| self.line()).collect()
    }

    /// Sends one line and returns the first line of the answer.
    pub fn ask(&mut self, request: &str) -> String {
        self.send(format!("{request}\r\n"));
        self.line()
    }

    /// Sends `PUT` and expects `OK`.
    pub fn put(&mut self, bucket: &str, key: &str, value: &str) {
        assert_eq!(self.ask(&format!("PUT {bucket} {key} {value}")), "OK");
    }

    /// The value that `GET` prints before its `OK`.
    pub fn get(&mut self, bucket: &str, key: &str) -> String {
        let value = self.ask(&format!("GET {bucket} {key}"));
        assert_eq!(self.line(), "OK", "after {value:?}");
        value
    }

    /// Exactly the next `count` bytes.
    pub fn bytes(&mut self, count: usize) -> Vec<u8> {
        let mut bytes = vec![0; count];
        self.input.read_exact(&mut bytes).expect("the node answers in time");
        bytes
    }

    /// Shows that nothing is on its way but the answer to this very question.
    pub fn in_step(&mut self) {
        assert_eq!(self.ask("PING"), "+PONG", "something came that nobody asked for");
    }

    /// Waits until the node closes the connection, and returns what it still said.
    pub fn until_closed(&mut self) -> Vec<u8> {
        let mut rest = Vec::new();
        match self.input.read_to_end(&mut rest) {
            Err(error) if error.kind() != ErrorKind::ConnectionReset => panic!("it stays open: {error}"),
            _ => rest,
        }
    }
}
