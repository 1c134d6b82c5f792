//! Who carries the mail between connections and their sockets.

#[cfg(target_os = "linux")]
use super::ring::Ring;
use super::{epoll::Epoll, queue::Alarm, slot::Slot};
use std::{io, sync::Arc};

/// How mail is carried.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Way {
    /// io_uring: what is received and sent for many connections takes one system call.
    #[cfg(target_os = "linux")]
    Ring,
    /// epoll, or what the system has in its place: a system call each.
    Epoll,
}

/// A driver that will work on another thread than the one that makes it.
pub(super) enum Prepared {
    #[cfg(target_os = "linux")]
    Ring(std::os::fd::OwnedFd),
    Epoll(Epoll),
}

/// A driver at work.
pub(super) enum Driver {
    #[cfg(target_os = "linux")]
    Ring(Box<Ring>),
    Epoll(Epoll),
}

impl Way {
    /// The best way that is allowed. The kernel may forbid io_uring, or have one that is too old.
    pub(super) fn best(may_use_io_uring: bool) -> Way {
        #[cfg(target_os = "linux")]
        if may_use_io_uring {
            match Ring::new_alarm().and_then(Ring::open) {
                Ok(_) => return Way::Ring,
                Err(error) => tracing::info!(%error, "no io_uring here: clients are served by epoll"),
            }
        }
        Way::Epoll
    }

    /// Whether sockets are to refuse rather than to wait.
    pub(super) fn is_nonblocking(self) -> bool {
        self == Way::Epoll
    }

    /// Prepares a driver, and what wakes it.
    pub(super) fn prepare(self) -> io::Result<(Prepared, Alarm)> {
        match self {
            #[cfg(target_os = "linux")]
            Way::Ring => {
                let alarm = Ring::new_alarm()?;
                Ok((Prepared::Ring(alarm.try_clone()?), Alarm::Event(alarm)))
            }
            Way::Epoll => Epoll::open().map(|(epoll, waker)| (Prepared::Epoll(epoll), Alarm::Poll(waker))),
        }
    }
}

impl Prepared {
    /// The driver, for this thread.
    pub(super) fn start(self) -> io::Result<Driver> {
        match self {
            #[cfg(target_os = "linux")]
            Prepared::Ring(alarm) => Ok(Driver::Ring(Box::new(Ring::open(alarm)?))),
            Prepared::Epoll(epoll) => Ok(Driver::Epoll(epoll)),
        }
    }
}

impl Driver {
    /// Takes a connection's mail over.
    pub(super) fn welcome(&mut self, slot: &Arc<Slot>) -> io::Result<()> {
        match self {
            #[cfg(target_os = "linux")]
            Driver::Ring(_) => Ok(()),
            Driver::Epoll(epoll) => epoll.welcome(slot),
        }
    }

    /// Carries what the connection has left or wants. Returns whether it has something to do at once.
    pub(super) fn carry(&mut self, slot: &Arc<Slot>) -> bool {
        match self {
            #[cfg(target_os = "linux")]
            Driver::Ring(ring) => {
                ring.carry(slot);
                false
            }
            Driver::Epoll(epoll) => epoll.carry(slot.number),
        }
    }

    /// Sees to it that what was given to it before now is carried.
    pub(super) fn submit(&mut self) -> io::Result<()> {
        match self {
            #[cfg(target_os = "linux")]
            Driver::Ring(ring) => ring.submit_all(false),
            Driver::Epoll(_) => Ok(()),
        }
    }

    /// Carries what it can, having waited for something to carry if it may, and adds the numbers of the connections that
    /// have something to do.
    pub(super) fn turn(&mut self, may_wait: bool, due: &mut Vec<usize>) -> io::Result<()> {
        match self {
            #[cfg(target_os = "linux")]
            Driver::Ring(ring) => ring.turn(may_wait, due),
            Driver::Epoll(epoll) => epoll.turn(may_wait, due),
        }
    }

    /// A connection has ended.
    pub(super) fn forget(&mut self, number: usize) {
        match self {
            #[cfg(target_os = "linux")]
            Driver::Ring(_) => {}
            Driver::Epoll(epoll) => epoll.forget(number),
        }
    }
}
