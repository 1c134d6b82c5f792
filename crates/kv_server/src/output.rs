//! The replies that wait to be written to one client.

use crate::{
    limits::OUTPUT_BYTES,
    reactor::{BufferPool, Stream},
};
use std::io;

thread_local! {
    static POOL: BufferPool = const { BufferPool::new() };
}

/// Replies on their way to one client.
pub(crate) struct Output<'s> {
    stream: &'s Stream,
    /// What is rendered and not yet written.
    pub(crate) bytes: Vec<u8>,
    muted: bool,
}

impl<'s> Output<'s> {
    /// Replies to `stream`.
    pub(crate) fn new(stream: &'s Stream) -> Output<'s> {
        Output { stream, bytes: Vec::new(), muted: false }
    }

    /// Takes storage for the replies to come.
    pub(crate) fn wake(&mut self) {
        if self.bytes.capacity() == 0 {
            self.bytes = POOL.with(BufferPool::take);
        }
    }

    /// Lends the storage to the thread's next connection.
    pub(crate) fn rest(&mut self) {
        POOL.with(|pool| pool.put(std::mem::take(&mut self.bytes)));
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

    /// Writes all that waits; a client that does not read is waited for.
    pub(crate) async fn flush(&mut self) -> io::Result<()> {
        if !self.muted {
            write_all(self.stream, &self.bytes).await?;
        }
        self.bytes.clear();
        Ok(())
    }

    /// Writes `bytes`, after all that waits has been written.
    pub(crate) async fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        if self.muted {
            return Ok(());
        }
        write_all(self.stream, bytes).await
    }
}

/// Large answers leave in parts, so that others have their turn between two of them.
async fn write_all(stream: &Stream, bytes: &[u8]) -> io::Result<()> {
    for part in bytes.chunks(OUTPUT_BYTES) {
        stream.write(part).await?;
    }
    Ok(())
}
