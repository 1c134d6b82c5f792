//! One client: sends a batch, and the next one when all replies have arrived.

use super::{Plan, replies::Replies, ring::Ring};
use crate::{
    error::{Context, Error},
    etcd::Streams,
    workload::Protocol,
};
use mio::{Interest, Registry, Token, net::TcpStream};
use std::{
    io::{ErrorKind, Read, Write},
    ops::Range,
    time::Instant,
};

/// A connection and the batch in flight on it.
#[derive(Debug)]
pub(crate) struct Connection {
    stream: TcpStream,
    /// The unsent part of the batch, as a range of the ring.
    unsent: Range<usize>,
    /// Bytes of its replies that have arrived.
    received: usize,
    /// With etcd, what is unsent and has arrived instead.
    streams: Option<Streams>,
    /// The intended start of the batch; `None` between batches.
    pub(crate) intended: Option<Instant>,
    /// Batches started so far.
    pub(crate) started: u64,
}

impl Connection {
    /// Connects and registers for both directions, edge-triggered.
    pub(crate) fn open(plan: &Plan, registry: &Registry, token: Token) -> Result<Connection, Error> {
        let address = plan.address;
        let mut stream =
            std::net::TcpStream::connect(address).context(format!("cannot connect to {address}"))?;
        let streams = match plan.workload.protocol {
            Protocol::Etcd => Some(Streams::open(&mut stream, plan.workload.etcd_call())?),
            _ => None,
        };
        let prepared = stream.set_nodelay(true).and_then(|()| stream.set_nonblocking(true));
        prepared.context("cannot configure a socket")?;
        let mut stream = TcpStream::from_std(stream);
        let both = Interest::READABLE | Interest::WRITABLE;
        registry.register(&mut stream, token, both).context("cannot register a socket")?;
        Ok(Connection { stream, unsent: 0..0, received: 0, streams, intended: None, started: 0 })
    }

    /// Starts to send the next batch of the ring.
    pub(crate) fn start(&mut self, ring: &mut Ring, intended: Instant) -> Result<(), Error> {
        let batch = ring.next_batch();
        match &mut self.streams {
            Some(streams) => streams.begin(ring.bytes(batch)),
            None => (self.unsent, self.received) = (batch, 0),
        }
        self.intended = Some(intended);
        self.started += 1;
        self.send(ring)
    }

    /// Sends as much of the batch as the socket accepts.
    pub(crate) fn send(&mut self, ring: &Ring) -> Result<(), Error> {
        loop {
            let unsent = match &self.streams {
                Some(streams) => streams.unsent(),
                None => ring.bytes(self.unsent.clone()),
            };
            if unsent.is_empty() {
                break;
            }
            match (self.stream.write(unsent), &mut self.streams) {
                (Ok(sent), Some(streams)) => streams.sent(sent),
                (Ok(sent), None) => self.unsent.start += sent,
                (Err(error), _) if error.kind() == ErrorKind::WouldBlock => break,
                (Err(error), _) if error.kind() == ErrorKind::Interrupted => {}
                (Err(error), _) => return Err(error).context("cannot send"),
            }
        }
        Ok(())
    }

    /// Reads what has arrived; returns the intended start of the batch once its last reply is here.
    pub(crate) fn receive(&mut self, replies: &Replies, buffer: &mut [u8]) -> Result<Option<Instant>, Error> {
        loop {
            let got = match self.stream.read(buffer) {
                Ok(0) => return Err(Error::Closed),
                Ok(got) => got,
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(None),
                Err(error) if error.kind() == ErrorKind::Interrupted => continue,
                Err(error) => return Err(error).context("cannot receive"),
            };
            let is_answered = match &mut self.streams {
                Some(streams) => streams.receive(&buffer[..got])?,
                None => {
                    replies.check(self.received, &buffer[..got])?;
                    self.received += got;
                    self.received == replies.len()
                }
            };
            if is_answered {
                return Ok(self.intended.take());
            }
            // A short read has emptied the socket; later bytes are a new edge.
            if got < buffer.len() {
                return Ok(None);
            }
        }
    }
}
