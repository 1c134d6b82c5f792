//! Mail by readiness: a socket is read and written when the system says that it can be.

use super::slot::Slot;
use crate::limits::{EVENTS, INPUT_BYTES};
use foldhash::fast::RandomState;
use mio::{Events, Interest, Poll, Token, unix::SourceFd};
use std::{
    collections::HashMap,
    io::{self, ErrorKind, Read, Write},
    os::fd::AsRawFd,
    sync::Arc,
    time::Duration,
};

/// The token of the alarm; connections are numbered from 0.
const ALARM: Token = Token(usize::MAX);

/// The sockets that are watched.
pub(super) struct Epoll {
    poll: Poll,
    events: Events,
    watched: HashMap<usize, Watched, RandomState>,
    buffer: Box<[u8]>,
}

/// A socket, and what it was said to be ready for, once: from then on it is so until it says that it is not.
struct Watched {
    slot: Arc<Slot>,
    is_readable: bool,
    is_writable: bool,
    /// Nothing more will come after what is there: that is said once, and so what is there is read to its end.
    is_ending: bool,
    is_receiving: bool,
    /// What is on its way, and how much of it the socket has taken.
    sending: Option<(Vec<u8>, usize)>,
}

impl Epoll {
    /// Watches no sockets yet. What is returned beside it wakes it.
    pub(super) fn open() -> io::Result<(Epoll, mio::Waker)> {
        let poll = Poll::new()?;
        let waker = mio::Waker::new(poll.registry(), ALARM)?;
        let events = Events::with_capacity(EVENTS);
        let buffer = vec![0; INPUT_BYTES].into();
        Ok((Epoll { poll, events, watched: HashMap::default(), buffer }, waker))
    }

    /// Watches a connection's socket.
    pub(super) fn welcome(&mut self, slot: &Arc<Slot>) -> io::Result<()> {
        let both = Interest::READABLE | Interest::WRITABLE;
        let descriptor = slot.socket.as_raw_fd();
        self.poll.registry().register(&mut SourceFd(&descriptor), Token(slot.number), both)?;
        let watched = Watched {
            slot: slot.clone(),
            is_readable: false,
            is_writable: false,
            is_ending: false,
            is_receiving: false,
            sending: None,
        };
        self.watched.insert(slot.number, watched);
        Ok(())
    }

    /// Watches it no longer.
    pub(super) fn forget(&mut self, number: usize) {
        if let Some(watched) = self.watched.remove(&number) {
            // Closed, it is forgotten by the system anyway.
            self.poll.registry().deregister(&mut SourceFd(&watched.slot.socket.as_raw_fd())).ok();
        }
    }

    /// See [`super::driver::Driver::carry`].
    pub(super) fn carry(&mut self, number: usize) -> bool {
        self.watched.get_mut(&number).is_some_and(|watched| watched.carry(&mut self.buffer))
    }

    /// See [`super::driver::Driver::turn`].
    pub(super) fn turn(&mut self, may_wait: bool, due: &mut Vec<usize>) -> io::Result<()> {
        let patience = if may_wait { None } else { Some(Duration::ZERO) };
        match self.poll.poll(&mut self.events, patience) {
            Err(error) if error.kind() == ErrorKind::Interrupted => return Ok(()),
            polled => polled?,
        }
        for event in &self.events {
            let number = event.token().0;
            if let Some(watched) = self.watched.get_mut(&number) {
                watched.is_ending |= event.is_read_closed() || event.is_error();
                watched.is_readable |= event.is_readable() || watched.is_ending;
                watched.is_writable |= event.is_writable() || event.is_write_closed() || event.is_error();
                if watched.carry(&mut self.buffer) {
                    due.push(number);
                }
            }
        }
        Ok(())
    }
}

impl Watched {
    fn carry(&mut self, buffer: &mut [u8]) -> bool {
        let mut mail = self.slot.mail();
        let mut is_due = false;
        if self.sending.is_none() {
            self.sending = mail.take_outgoing().map(|bytes| (bytes, 0));
        }
        while self.is_writable
            && let Some((bytes, sent)) = &mut self.sending
        {
            match (&self.slot.socket).write(&bytes[*sent..]) {
                Ok(count) => *sent += count,
                Err(error) if error.kind() == ErrorKind::WouldBlock => self.is_writable = false,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => {
                    // The mail is still being sent, as far as it knows, so that nothing is tried again.
                    self.sending = None;
                    mail.has_failed(&error);
                    return true;
                }
            }
            if *sent == bytes.len() {
                is_due |= mail.is_sent(std::mem::take(bytes));
                self.sending = None;
            }
        }
        self.is_receiving |= mail.is_to_receive();
        if self.is_receiving && self.is_readable {
            match (&self.slot.socket).read(buffer) {
                Ok(count) => {
                    // A short read emptied the socket: what comes later is said again.
                    self.is_readable = self.is_ending || count == buffer.len();
                    self.is_receiving = false;
                    mail.has_arrived(&buffer[..count]);
                    is_due = true;
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => self.is_readable = false,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => {
                    self.is_receiving = false;
                    mail.has_failed(&error);
                    is_due = true;
                }
            }
        }
        is_due
    }
}
