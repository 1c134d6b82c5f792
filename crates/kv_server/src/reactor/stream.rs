//! The socket of one connection, as the connection sees it.

use super::slot::Slot;
use std::{future::poll_fn, io, net::Shutdown, sync::Arc, task::Poll};

/// The connection's end of its mail. Who waits here is polled by the reactor, and by nobody else. The socket is shut
/// down when this is dropped.
pub(crate) struct Stream(Arc<Slot>);

impl Stream {
    /// The stream of the connection in this slot.
    pub(super) fn new(slot: Arc<Slot>) -> Stream {
        Stream(slot)
    }

    /// A stream whose mail nobody carries.
    #[cfg(test)]
    pub(crate) fn unattended(socket: std::net::TcpStream) -> Stream {
        Stream(Arc::new(Slot::new(0, socket)))
    }

    /// Reads what has arrived: 0 bytes at the end of the stream.
    pub(crate) fn poll_read(&self, buffer: &mut [u8]) -> Poll<io::Result<usize>> {
        self.0.mail().read(buffer).map_or(Poll::Pending, Poll::Ready)
    }

    /// Leaves bytes to be sent, as soon as those before have been.
    pub(crate) async fn write(&self, bytes: &[u8]) -> io::Result<()> {
        poll_fn(|_| self.0.mail().leave(bytes).map_or(Poll::Pending, Poll::Ready)).await
    }

    /// Waits until all is sent.
    pub(crate) async fn finish(&self) -> io::Result<()> {
        poll_fn(|_| self.0.mail().has_gone().map_or(Poll::Pending, Poll::Ready)).await
    }
}

impl Drop for Stream {
    fn drop(&mut self) {
        // It may be closed already.
        self.0.socket.shutdown(Shutdown::Both).ok();
    }
}
