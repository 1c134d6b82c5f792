//! Serves many connections on each of a few threads: one thread waits for all of its sockets together and
//! polls the connections that are ready, in groups of a few.
//!
//! A connection is a future, as in tokio, but only its reactor polls it: when its socket has progressed, and
//! when its waker was called. Between the connection and the kernel stand two buffers ([`socket`]): the
//! connection reads one and fills the other, and a [`backend`], io_uring or epoll, does the reverse.
//!
//! Read in this order: pool (starts the threads) -> `event_loop` (one thread) -> inbox (what other threads
//! send it) -> backend (`uring` or `epoll`) -> socket.

mod backend;
mod buffer_pool;
mod epoll;
mod event_loop;
mod inbox;
mod pool;
mod socket;
#[cfg(target_os = "linux")]
mod uring;

pub(crate) use buffer_pool::BufferPool;
pub(crate) use event_loop::{is_grouped, yield_to_group};
pub(crate) use pool::ReactorPool;
pub(crate) use socket::Stream;

#[cfg(test)]
mod tests;
