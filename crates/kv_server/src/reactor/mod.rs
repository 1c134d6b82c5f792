//! Serves many connections on a few threads: each thread waits for all its sockets together and polls the
//! connections that are ready, in small groups.
//!
//! A connection is a future, as in tokio, but only its reactor polls it: when its socket has progressed, or
//! when its waker was called. Between the connection and the kernel are two buffers ([`socket`]): the
//! connection reads one and fills the other, and a backend, `uring` or `epoll`, does the reverse.
//!
//! Read in this order: pool (starts the threads) -> `event_loop` (of one thread) -> inbox (commands from
//! other threads) -> `uring` or `epoll` (as `backend` has chosen) -> socket. Connections are on as few of the
//! threads as the load needs: `load` measures, balancer decides, and `event_loop` hands them over.

mod backend;
mod balancer;
mod buffer_pool;
mod epoll;
mod event_loop;
mod inbox;
mod load;
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
