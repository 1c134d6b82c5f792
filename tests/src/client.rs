//! A client of the text protocol, as telnet is.

use crate::wait::TIMEOUT;
use std::{
    io::{BufRead, BufReader, ErrorKind, Read, Write},
    net::{SocketAddr, TcpStream},
};

/// One connection. Every method panics on failure, as tests want it.
#[derive(Debug)]
pub struct Client {
    input: BufReader<TcpStream>,
}

impl Client {
    /// Connects to a node's client port.
    pub fn connect(address: SocketAddr) -> Client {
        Client::connect_if_open(address).expect("the node accepts clients")
    }

    /// As [`Client::connect`]; `None` if the node has gone.
    pub fn connect_if_open(address: SocketAddr) -> Option<Client> {
        let stream = TcpStream::connect(address).ok()?;
        stream.set_nodelay(true).expect("socket options can be set");
        stream.set_read_timeout(Some(TIMEOUT)).expect("socket options can be set");
        stream.set_write_timeout(Some(TIMEOUT)).expect("socket options can be set");
        Some(Client { input: BufReader::new(stream) })
    }

    /// Sends bytes as they are.
    pub fn send(&mut self, bytes: impl AsRef<[u8]>) {
        self.input.get_ref().write_all(bytes.as_ref()).expect("the node reads");
    }

    /// As [`Client::send`]; `false` if the node has gone.
    pub fn send_if_open(&mut self, bytes: impl AsRef<[u8]>) -> bool {
        self.input.get_ref().write_all(bytes.as_ref()).is_ok()
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
        if !line.ends_with(b"\n") {
            return None;
        }
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

    /// Sends one line and returns the first line of the reply.
    pub fn ask(&mut self, request: &str) -> String {
        self.send(format!("{request}\r\n"));
        self.line()
    }

    /// As [`Client::ask`]; `None` if the node has refused or closed the connection.
    pub fn ask_if_open(&mut self, request: &str) -> Option<String> {
        self.send_if_open(format!("{request}\r\n")).then_some(())?;
        let line = String::from_utf8(self.next_line()?).expect("a line of text");
        Some(line).filter(|line| !line.starts_with("-ERR max number of clients"))
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

    /// The next `count` bytes.
    pub fn bytes(&mut self, count: usize) -> Vec<u8> {
        let mut bytes = vec![0; count];
        self.input.read_exact(&mut bytes).expect("the node answers in time");
        bytes
    }

    /// Checks that no unexpected replies are pending.
    pub fn assert_in_sync(&mut self) {
        assert_eq!(self.ask("PING"), "+PONG", "an unexpected reply");
    }

    /// Waits until the node closes the connection and returns what it sent until then.
    pub fn read_until_closed(&mut self) -> Vec<u8> {
        let mut rest = Vec::new();
        match self.input.read_to_end(&mut rest) {
            Err(error) if error.kind() != ErrorKind::ConnectionReset => panic!("it stays open: {error}"),
            _ => rest,
        }
    }
}
