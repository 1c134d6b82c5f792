//! The replies that wait to be written to one client.

use crate::limits::{OUTPUT_BYTES, SPARE_BYTES};
use std::{cell::Cell, io};
use tokio::{net::tcp::WriteHalf, task::yield_now};

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
    muted: bool,
}

impl<'s> Output<'s> {
    /// Replies to `stream`.
    pub(crate) fn new(stream: WriteHalf<'s>) -> Output<'s> {
        Output { stream, bytes: Vec::new(), muted: false }
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

    /// From now on, replies are thrown away rather than written.
    pub(crate) fn mute(&mut self) {
        self.muted = true;
    }

    /// From now on, replies are written again.
    pub(crate) fn unmute(&mut self) {
        self.muted = false;
    }

    /// Whether so much waits that it is to be written before more is rendered.
    pub(crate) fn is_full(&self) -> bool {
        self.bytes.len() >= OUTPUT_BYTES
    }

    /// Writes all that waits, as a rule with one system call; a client that does not read is waited for.
    pub(crate) async fn flush(&mut self) -> io::Result<()> {
        if !self.muted {
            write_all(&self.stream, &self.bytes).await?;
        }
        self.bytes.clear();
        Ok(())
    }

    /// Writes `bytes`, after all that waits has been written.
    pub(crate) async fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        if self.muted {
            return Ok(());
        }
        write_all(&self.stream, bytes).await
    }
}

/// A client that reads as fast as it is written to could keep the thread for itself: between two parts, others have
/// their turn.
async fn write_all(stream: &WriteHalf<'_>, bytes: &[u8]) -> io::Result<()> {
    for part in bytes.chunks(OUTPUT_BYTES) {
        let mut written = 0;
        while written < part.len() {
            match stream.try_write(&part[written..]) {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(count) => written += count,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => stream.writable().await?,
                Err(error) => return Err(error),
            }
        }
        if part.len() == OUTPUT_BYTES {
            yield_now().await;
        }
    }
    Ok(())
}
