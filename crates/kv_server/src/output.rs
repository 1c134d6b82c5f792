//! The replies that wait to be written to one client.

use crate::limits::{OUTPUT_BYTES, SPARE_BYTES};
use std::{cell::Cell, io};
use tokio::net::tcp::WriteHalf;

thread_local! {
    /// The storage of the connection that was served last on this thread: connections that wait hold none.
    static SPARE: Cell<Vec<u8>> = const { Cell::new(Vec::new()) };
}

/// Replies on their way to one client.
#[derive(Debug)]
pub(crate) struct Output<'s> {
    stream: WriteHalf<'s>,
    /// What is rendered and not yet written.
    pub(crate) bytes: Vec<u8>,
}

impl<'s> Output<'s> {
    /// Replies to `stream`.
    pub(crate) fn new(stream: WriteHalf<'s>) -> Output<'s> {
        Output { stream, bytes: Vec::new() }
    }

    /// Takes storage for the replies to come.
    pub(crate) fn wake(&mut self) {
        if self.bytes.capacity() == 0 {
            self.bytes = SPARE.take();
        }
    }

    /// Lends the storage to the thread's next connection.
    pub(crate) fn rest(&mut self) {
        let storage = std::mem::take(&mut self.bytes);
        if storage.capacity() <= SPARE_BYTES {
            SPARE.set(storage);
        }
    }

    /// Whether so much waits that it is to be written before more is rendered.
    pub(crate) fn is_full(&self) -> bool {
        self.bytes.len() >= OUTPUT_BYTES
    }

    /// Writes all that waits, as a rule with one system call; a client that does not read is waited for.
    pub(crate) async fn flush(&mut self) -> io::Result<()> {
        let mut written = 0;
        while written < self.bytes.len() {
            match self.stream.try_write(&self.bytes[written..]) {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(count) => written += count,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => self.stream.writable().await?,
                Err(error) => return Err(error),
            }
        }
        self.bytes.clear();
        Ok(())
    }
}
