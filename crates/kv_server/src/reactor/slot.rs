//! A connection's slot in its reactor: its socket, and its mail, which is what has come and what is to go through it.

use crate::spare::Spare;
use std::{
    io,
    net::TcpStream,
    sync::{Mutex, MutexGuard, PoisonError},
};

thread_local! {
    /// Storage of mail. A slot holds some while there is mail in it.
    static SPARE: Spare = const { Spare::new() };
}

/// What a connection's stream and the driver know of it together.
pub(super) struct Slot {
    pub(super) number: usize,
    pub(super) socket: TcpStream,
    mail: Mutex<Mail>,
}

/// What passes between a connection and the driver.
#[derive(Default)]
pub(super) struct Mail {
    arrived: Vec<u8>,
    /// How much of that the connection has read.
    read: usize,
    /// What is to go; the driver takes it away before more may be left.
    outgoing: Vec<u8>,
    /// The connection waits for something to arrive.
    wants: bool,
    /// The connection waits until all has gone.
    waits: bool,
    is_receiving: bool,
    is_sending: bool,
    /// Nothing more will come.
    has_ended: bool,
    failure: Option<io::ErrorKind>,
}

impl Slot {
    /// The slot of a new connection.
    pub(super) fn new(number: usize, socket: TcpStream) -> Slot {
        Slot { number, socket, mail: Mutex::default() }
    }

    pub(super) fn mail(&self) -> MutexGuard<'_, Mail> {
        self.mail.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The connection's side.
impl Mail {
    /// Reads what has arrived: 0 bytes at the end of the stream. `None`: nothing has, and the connection waits for it.
    pub(super) fn read(&mut self, buffer: &mut [u8]) -> Option<io::Result<usize>> {
        let left = &self.arrived[self.read..];
        if !left.is_empty() {
            let count = left.len().min(buffer.len());
            buffer[..count].copy_from_slice(&left[..count]);
            self.read += count;
            if self.read == self.arrived.len() {
                self.read = 0;
                put_away(std::mem::take(&mut self.arrived));
            }
            return Some(Ok(count));
        }
        self.wants = !self.has_ended;
        match self.failure {
            Some(failure) => Some(Err(failure.into())),
            None => self.has_ended.then_some(Ok(0)),
        }
    }

    /// Leaves bytes that are to go. `None`: not all that was left before has gone, and the connection waits for that.
    pub(super) fn leave(&mut self, bytes: &[u8]) -> Option<io::Result<()>> {
        let gone = self.has_gone()?;
        if gone.is_ok() {
            self.outgoing = SPARE.with(Spare::take);
            self.outgoing.extend_from_slice(bytes);
        }
        Some(gone)
    }

    /// Whether all has gone. `None`: it has not, and the connection waits for that.
    pub(super) fn has_gone(&mut self) -> Option<io::Result<()>> {
        if let Some(failure) = self.failure {
            return Some(Err(failure.into()));
        }
        self.waits = self.is_sending || !self.outgoing.is_empty();
        (!self.waits).then_some(Ok(()))
    }
}

/// The driver's side.
impl Mail {
    /// What is to be sent now, if anything.
    pub(super) fn take_outgoing(&mut self) -> Option<Vec<u8>> {
        if self.is_sending || self.outgoing.is_empty() {
            return None;
        }
        self.is_sending = true;
        Some(std::mem::take(&mut self.outgoing))
    }

    /// Notes that it was sent. Returns whether the connection waits for that.
    pub(super) fn is_sent(&mut self, storage: Vec<u8>) -> bool {
        self.is_sending = false;
        put_away(storage);
        std::mem::take(&mut self.waits)
    }

    /// Whether to receive something from now on.
    pub(super) fn is_to_receive(&mut self) -> bool {
        let starts = self.wants && !self.is_receiving;
        self.is_receiving |= starts;
        starts
    }

    /// Notes what has arrived: no bytes at the end of the stream.
    pub(super) fn has_arrived(&mut self, bytes: &[u8]) {
        (self.is_receiving, self.wants) = (false, false);
        self.has_ended = bytes.is_empty();
        if self.arrived.capacity() == 0 {
            self.arrived = SPARE.with(Spare::take);
        }
        self.arrived.extend_from_slice(bytes);
    }

    /// Notes that the socket has failed.
    pub(super) fn has_failed(&mut self, failure: &io::Error) {
        self.has_ended = true;
        self.failure = Some(failure.kind());
    }
}

fn put_away(mut storage: Vec<u8>) {
    storage.clear();
    SPARE.with(|spare| spare.give(storage));
}
