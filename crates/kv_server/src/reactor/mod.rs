//! Serves many connections on a thread of its own: waits for all their sockets together, and has those for which something
//! has come take turns, a few at a time.
//!
//! A connection is a future, as anywhere in tokio, and is polled by its reactor alone: when bytes have come or gone, and when
//! its waker was called. Between it and the socket stands its [mail](slot): the connection reads what has arrived and leaves
//! what is to go. Who carries it is a driver's business: io_uring where the kernel has it, epoll (or what takes its
//! place) elsewhere.

mod driver;
mod epoll;
mod pool;
mod queue;
#[cfg(target_os = "linux")]
mod ring;
mod run;
mod slot;
mod stream;
mod turn;

pub(crate) use pool::Pool;
pub(crate) use stream::Stream;
pub(crate) use turn::{has_company, pause};

#[cfg(test)]
mod tests;
