//! The epoll backend: a socket is read and written when the system reports it ready.

use super::{event_loop::Backend, socket::SharedSocket};
use crate::limits::{EPOLL_EVENTS, INPUT_BYTES};
use foldhash::fast::RandomState;
use mio::{Events, Interest, Poll, Token, unix::SourceFd};
use std::{
    collections::HashMap,
    io::{self, ErrorKind, Read, Write},
    os::fd::AsRawFd,
    sync::Arc,
    time::Duration,
};

/// The token of the waker; those of connections are their ids, which start at 0.
const WAKER: Token = Token(usize::MAX);

/// The registered sockets, and the one buffer that all of them receive into.
pub(super) struct Epoll {
    poll: Poll,
    events: Events,
    registered: HashMap<usize, Registered, RandomState>,
    buffer: Box<[u8]>,
}

/// A registered socket. It is reported ready once (edge-triggered), and is ready until an operation would
/// block.
struct Registered {
    socket: Arc<SharedSocket>,
    readable: bool,
    writable: bool,
    /// The end of the stream or an error was reported, which happens once: everything before it must be read.
    closing: bool,
    receiving: bool,
    /// The bytes of the send in flight, and how many of them the socket has taken.
    sending: Option<(Vec<u8>, usize)>,
}

impl Epoll {
    /// An epoll instance without sockets, and its waker.
    pub(super) fn open() -> io::Result<(Epoll, mio::Waker)> {
        let poll = Poll::new()?;
        let waker = mio::Waker::new(poll.registry(), WAKER)?;
        let events = Events::with_capacity(EPOLL_EVENTS);
        let buffer = vec![0; INPUT_BYTES].into();
        Ok((Epoll { poll, events, registered: HashMap::default(), buffer }, waker))
    }
}

impl Backend for Epoll {
    fn register(&mut self, socket: &Arc<SharedSocket>) -> io::Result<()> {
        let both = Interest::READABLE | Interest::WRITABLE;
        let descriptor = socket.tcp.as_raw_fd();
        self.poll.registry().register(&mut SourceFd(&descriptor), Token(socket.id), both)?;
        let registered = Registered {
            socket: socket.clone(),
            readable: false,
            writable: false,
            closing: false,
            receiving: false,
            sending: None,
        };
        self.registered.insert(socket.id, registered);
        Ok(())
    }

    fn start_io(&mut self, socket: &Arc<SharedSocket>) -> bool {
        let registered = self.registered.get_mut(&socket.id);
        registered.is_some_and(|registered| registered.transfer(&mut self.buffer))
    }

    /// Does nothing: operations are tried at once.
    fn submit(&mut self) -> io::Result<()> {
        Ok(())
    }

    fn poll_io(&mut self, may_wait: bool, ready: &mut Vec<usize>) -> io::Result<()> {
        let timeout = if may_wait { None } else { Some(Duration::ZERO) };
        match self.poll.poll(&mut self.events, timeout) {
            Err(error) if error.kind() == ErrorKind::Interrupted => return Ok(()),
            polled => polled?,
        }
        for event in &self.events {
            let id = event.token().0;
            if let Some(registered) = self.registered.get_mut(&id) {
                registered.closing |= event.is_read_closed() || event.is_error();
                registered.readable |= event.is_readable() || registered.closing;
                registered.writable |= event.is_writable() || event.is_write_closed() || event.is_error();
                if registered.transfer(&mut self.buffer) {
                    ready.push(id);
                }
            }
        }
        Ok(())
    }

    fn cancel_receive(&mut self, socket: &Arc<SharedSocket>) -> bool {
        self.registered.get_mut(&socket.id).is_some_and(|registered| {
            registered.receiving = false;
            let mut io = socket.lock_io();
            io.cancel_receive();
            io.is_idle()
        })
    }

    fn deregister(&mut self, id: usize) {
        if let Some(registered) = self.registered.remove(&id) {
            // A closed socket is deregistered already.
            self.poll.registry().deregister(&mut SourceFd(&registered.socket.tcp.as_raw_fd())).ok();
        }
    }
}

impl Registered {
    /// Sends and receives what the socket allows. Returns whether the connection is ready to be polled.
    fn transfer(&mut self, buffer: &mut [u8]) -> bool {
        let mut io = self.socket.lock_io();
        let mut ready = false;
        if self.sending.is_none() {
            self.sending = io.begin_send().map(|bytes| (bytes, 0));
        }
        while self.writable
            && let Some((bytes, sent)) = &mut self.sending
        {
            match (&*self.socket.tcp).write(&bytes[*sent..]) {
                Ok(count) => {
                    *sent += count;
                    io.count_progress();
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => self.writable = false,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => {
                    self.sending = None;
                    io.fail(&error);
                    return true;
                }
            }
            if *sent == bytes.len() {
                ready |= io.complete_send(std::mem::take(bytes));
                self.sending = None;
            }
        }
        self.receiving |= io.begin_receive();
        if self.receiving && self.readable {
            match (&*self.socket.tcp).read(buffer) {
                Ok(count) => {
                    // A short read emptied the socket: what arrives later is reported again.
                    self.readable = self.closing || count == buffer.len();
                    self.receiving = false;
                    io.complete_receive(&buffer[..count]);
                    ready = true;
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => self.readable = false,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => {
                    self.receiving = false;
                    io.fail(&error);
                    ready = true;
                }
            }
        }
        ready
    }
}
