//! Which backend reactors use: io_uring if the kernel has and allows it, otherwise epoll (or the system's
//! equivalent).

#[cfg(target_os = "linux")]
use super::uring::Uring;
use super::{epoll::Epoll, inbox::ReactorWaker};
use std::io;

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

impl BackendKind {
    /// The best kind that is allowed and that all `reactors` can use. The kernel may forbid io_uring, be too
    /// old for it, or allow this user less locked memory than their rings need.
    pub(super) fn detect(may_use_io_uring: bool, reactors: usize) -> BackendKind {
        #[cfg(target_os = "linux")]
        if may_use_io_uring {
            match Uring::probe(reactors) {
                Ok(()) => return BackendKind::Uring,
                Err(error) if error.kind() == io::ErrorKind::OutOfMemory => {
                    tracing::warn!(
                        reactors,
                        "too little locked memory for io_uring (ulimit -l, LimitMEMLOCK= of systemd); using epoll"
                    );
                }
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
    pub(super) fn prepare(self) -> io::Result<(BackendSeed, ReactorWaker)> {
        match self {
            #[cfg(target_os = "linux")]
            BackendKind::Uring => {
                let eventfd = Uring::new_eventfd()?;
                Ok((BackendSeed::Uring(eventfd.try_clone()?), ReactorWaker::EventFd(eventfd)))
            }
            BackendKind::Epoll => {
                Epoll::open().map(|(epoll, waker)| (BackendSeed::Epoll(epoll), ReactorWaker::Epoll(waker)))
            }
        }
    }
}
