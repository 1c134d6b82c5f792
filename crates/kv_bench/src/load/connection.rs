//! One client: a batch leaves, its replies come back, and only then the next one leaves.

use super::{replies::Replies, ring::Ring};
use crate::error::{Context, Error};
use mio::{Interest, Registry, Token, net::TcpStream};
use std::{
    io::{ErrorKind, Read, Write},
    net::SocketAddr,
    ops::Range,
    time::Instant,
};

/// A connection and the batch that is under way on it.
#[derive(Debug)]
pub(crate) struct Connection {
    stream: TcpStream,
    /// What of the batch has not left yet.
    unsent: Range<usize>,
    /// Bytes of its replies that have come.
    seen: usize,
    /// When the batch was meant to leave; `None` between batches.
    pub(crate) intended: Option<Instant>,
    /// Batches that were started.
    pub(crate) started: u64,
}

impl Connection {
    /// Connects, and asks for the readiness of both directions once: events come at edges.
    pub(crate) fn open(address: SocketAddr, registry: &Registry, token: Token) -> Result<Connection, Error> {
        let stream = std::net::TcpStream::connect(address).context(format!("cannot connect to {address}"))?;
        let prepared = stream.set_nodelay(true).and_then(|()| stream.set_nonblocking(true));
        prepared.context("cannot prepare a socket")?;
        let mut stream = TcpStream::from_std(stream);
        let both = Interest::READABLE | Interest::WRITABLE;
        registry.register(&mut stream, token, both).context("cannot watch a socket")?;
        Ok(Connection { stream, unsent: 0..0, seen: 0, intended: None, started: 0 })
    }

    /// Sends the next batch of the ring, as far as the socket takes it.
    pub(crate) fn start(&mut self, ring: &mut Ring, intended: Instant) -> Result<(), Error> {
        self.unsent = ring.take();
        self.seen = 0;
        self.intended = Some(intended);
        self.started += 1;
        self.send(ring)
    }

    /// Sends what is left of the batch.
    pub(crate) fn send(&mut self, ring: &Ring) -> Result<(), Error> {
        while !self.unsent.is_empty() {
            match self.stream.write(ring.bytes(self.unsent.clone())) {
                Ok(sent) => self.unsent.start += sent,
                Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(error).context("cannot send"),
            }
        }
        Ok(())
    }

    /// Reads what has come; hands back when the batch was meant to leave once its last reply is here.
    pub(crate) fn receive(&mut self, replies: &Replies, buffer: &mut [u8]) -> Result<Option<Instant>, Error> {
        loop {
            let got = match self.stream.read(buffer) {
                Ok(0) => return Err(Error::Closed),
                Ok(got) => got,
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(None),
                Err(error) if error.kind() == ErrorKind::Interrupted => continue,
                Err(error) => return Err(error).context("cannot receive"),
            };
            replies.check(self.seen, &buffer[..got])?;
            self.seen += got;
            if self.seen == replies.len() {
                return Ok(self.intended.take());
            }
            // A short read emptied the socket; what comes later is a new edge.
            if got < buffer.len() {
                return Ok(None);
            }
        }
    }
}
