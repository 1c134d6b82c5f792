//! A client of the HTTP port, as bytes: it also sends what no browser would.

use crate::wait::TIMEOUT;
use std::{
    io::{Read, Write},
    net::{SocketAddr, TcpStream},
};

/// One connection for one request.
#[derive(Debug)]
pub struct HttpClient {
    stream: TcpStream,
}

/// A response.
#[derive(Debug, Clone)]
pub struct HttpResponse {
    /// Such as 200.
    pub status: u16,
    /// The header lines, names in lower case.
    pub headers: Vec<(String, String)>,
    /// What follows them.
    pub body: String,
}

impl HttpClient {
    /// Connects to the port.
    pub fn connect(address: SocketAddr) -> HttpClient {
        let stream = TcpStream::connect(address).expect("the node accepts connections");
        stream.set_read_timeout(Some(TIMEOUT)).expect("socket options can be set");
        HttpClient { stream }
    }

    /// Sends bytes as they are.
    pub fn send(&mut self, bytes: impl AsRef<[u8]>) {
        // The node may have refused the connection already.
        let _ = self.stream.write_all(bytes.as_ref());
    }

    /// The head of a response whose body does not end.
    pub fn head(&mut self) -> Option<HttpResponse> {
        let (mut head, mut byte) = (Vec::new(), [0]);
        while !head.ends_with(b"\r\n\r\n") {
            self.stream.read_exact(&mut byte).ok()?;
            head.push(byte[0]);
        }
        HttpResponse::parse(&String::from_utf8_lossy(&head))
    }

    /// All that comes until the node closes the connection; `None` if that is nothing.
    pub fn response(mut self) -> Option<HttpResponse> {
        let mut bytes = Vec::new();
        // A connection that is refused may be reset once its response was read.
        let _ = self.stream.read_to_end(&mut bytes);
        HttpResponse::parse(&String::from_utf8_lossy(&bytes))
    }
}

impl HttpResponse {
    fn parse(text: &str) -> Option<HttpResponse> {
        let (head, body) = text.split_once("\r\n\r\n")?;
        let mut lines = head.lines();
        let status = lines.next()?.split(' ').nth(1)?.parse().ok()?;
        let header = |line: &str| {
            let (name, value) = line.split_once(": ").expect("a header");
            (name.to_ascii_lowercase(), value.to_owned())
        };
        Some(HttpResponse { status, headers: lines.map(header).collect(), body: body.to_owned() })
    }

    /// The value of a header; empty without it.
    pub fn header(&self, name: &str) -> &str {
        self.headers.iter().find(|(known, _)| known == name).map_or("", |(_, value)| value)
    }

    /// The body as JSON.
    pub fn json(&self) -> serde_json::Value {
        serde_json::from_str(&self.body).unwrap_or_else(|_| panic!("no JSON: {self:?}"))
    }
}

/// Sends a request with this method and path, and the usual headers.
pub(crate) fn request(address: SocketAddr, method: &str, path: &str) -> HttpResponse {
    let mut client = HttpClient::connect(address);
    client.send(format!("{method} {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n"));
    client.response().expect("a response")
}
