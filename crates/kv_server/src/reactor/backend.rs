//! The I/O of a reactor: by io_uring if the kernel has and allows it, otherwise by epoll (or the system's
//! equivalent).

#[cfg(target_os = "linux")]
use super::uring::Uring;
use super::{epoll::Epoll, socket::SharedSocket};
use std::{io, sync::Arc};

/// The kinds of backends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum BackendKind {
    /// One system call serves many receives and sends.
    #[cfg(target_os = "linux")]
    Uring,
    /// One system call for each receive and send.
    Epoll,
}

/// What a backend is made of on the thread that will use it.
pub(super) enum BackendSeed {
    #[cfg(target_os = "linux")]
    Uring(std::os::fd::OwnedFd),
    Epoll(Epoll),
}

/// A backend in use, bound to its thread.
pub(super) enum Backend {
    #[cfg(target_os = "linux")]
    Uring(Box<Uring>),
    Epoll(Epoll),
}

/// Wakes a backend that waits for its sockets, from any thread.
pub(super) enum BackendWaker {
    #[cfg(target_os = "linux")]
    EventFd(std::os::fd::OwnedFd),
    Epoll(mio::Waker),
}

impl BackendKind {
    /// The best kind that is allowed. The kernel may forbid io_uring, or be too old for it.
    pub(super) fn detect(may_use_io_uring: bool) -> BackendKind {
        #[cfg(target_os = "linux")]
        if may_use_io_uring {
            match Uring::new_eventfd().and_then(Uring::open) {
                Ok(_) => return BackendKind::Uring,
                Err(error) => tracing::info!(%error, "io_uring is not available; using epoll"),
            }
        }
        BackendKind::Epoll
    }

    /// Whether its sockets must be nonblocking.
    pub(super) fn is_nonblocking(self) -> bool {
        self == BackendKind::Epoll
    }

    /// Prepares a backend and its waker.
    pub(super) fn prepare(self) -> io::Result<(BackendSeed, BackendWaker)> {
        match self {
            #[cfg(target_os = "linux")]
            BackendKind::Uring => {
                let eventfd = Uring::new_eventfd()?;
                Ok((BackendSeed::Uring(eventfd.try_clone()?), BackendWaker::EventFd(eventfd)))
            }
            BackendKind::Epoll => {
                Epoll::open().map(|(epoll, waker)| (BackendSeed::Epoll(epoll), BackendWaker::Epoll(waker)))
            }
        }
    }
}

impl BackendSeed {
    /// The backend, bound to this thread.
    pub(super) fn start(self) -> io::Result<Backend> {
        match self {
            #[cfg(target_os = "linux")]
            BackendSeed::Uring(eventfd) => Ok(Backend::Uring(Box::new(Uring::open(eventfd)?))),
            BackendSeed::Epoll(epoll) => Ok(Backend::Epoll(epoll)),
        }
    }
}

impl BackendWaker {
    pub(super) fn wake(&self) -> io::Result<()> {
        match self {
            #[cfg(target_os = "linux")]
            BackendWaker::EventFd(eventfd) => Ok(rustix::io::write(eventfd, &1_u64.to_ne_bytes()).map(drop)?),
            BackendWaker::Epoll(waker) => waker.wake(),
        }
    }
}

impl Backend {
    /// Adds a connection's socket.
    pub(super) fn register(&mut self, socket: &Arc<SharedSocket>) -> io::Result<()> {
        match self {
            #[cfg(target_os = "linux")]
            Backend::Uring(_) => Ok(()),
            Backend::Epoll(epoll) => epoll.register(socket),
        }
    }

    /// Starts the send and the receive that the connection awaits. Returns whether it is ready again at once.
    pub(super) fn start_io(&mut self, socket: &Arc<SharedSocket>) -> bool {
        match self {
            #[cfg(target_os = "linux")]
            Backend::Uring(uring) => {
                uring.start_io(socket);
                false
            }
            Backend::Epoll(epoll) => epoll.start_io(socket.id),
        }
    }

    /// Submits to the kernel what has been started.
    pub(super) fn submit(&mut self) -> io::Result<()> {
        match self {
            #[cfg(target_os = "linux")]
            Backend::Uring(uring) => uring.submit(false),
            Backend::Epoll(_) => Ok(()),
        }
    }

    /// Handles completed I/O, waiting for some if `may_wait`, and adds the ids of the connections that are
    /// ready to `ready`.
    pub(super) fn poll_io(&mut self, may_wait: bool, ready: &mut Vec<usize>) -> io::Result<()> {
        match self {
            #[cfg(target_os = "linux")]
            Backend::Uring(uring) => uring.poll_io(may_wait, ready),
            Backend::Epoll(epoll) => epoll.poll_io(may_wait, ready),
        }
    }

    /// Frees a socket for another backend, which takes time if a receive is in flight. Returns whether it is
    /// free already; if not, the connection becomes ready once the receive has been cancelled.
    pub(super) fn release(&mut self, socket: &Arc<SharedSocket>) -> bool {
        if socket.lock_io().is_idle() {
            return true;
        }
        match self {
            #[cfg(target_os = "linux")]
            Backend::Uring(uring) => {
                uring.cancel_receive(socket);
                false
            }
            Backend::Epoll(epoll) => epoll.cancel_receive(socket.id),
        }
    }

    /// Removes the socket of a connection that has ended, or that another backend is to serve.
    pub(super) fn deregister(&mut self, id: usize) {
        match self {
            #[cfg(target_os = "linux")]
            Backend::Uring(_) => {}
            Backend::Epoll(epoll) => epoll.deregister(id),
        }
    }
}
