//! A connection's input and output: received bytes that are not parsed yet, and replies that are not written
//! yet.

use crate::{
    limits::{INPUT_BYTES, OUTPUT_BYTES},
    reactor::{BufferPool, Stream},
};
use std::{io, task::Poll};

thread_local! {
    /// Input buffers: their length is their capacity.
    static INPUTS: BufferPool = const { BufferPool::new() };
    static OUTPUTS: BufferPool = const { BufferPool::new() };
}

/// The bytes read from one connection and not yet consumed.
#[derive(Debug, Default)]
pub(crate) struct Input {
    buffer: Vec<u8>,
    start: usize,
    end: usize,
}

impl Input {
    /// An input that has already read these bytes.
    #[cfg(test)]
    pub(crate) fn holding(bytes: &[u8]) -> Input {
        Input { buffer: bytes.to_vec(), start: 0, end: bytes.len() }
    }

    /// Reads what has arrived: 0 bytes at the end of the stream. While it waits, it holds a buffer only if
    /// there are unparsed bytes.
    pub(crate) fn poll_read(&mut self, stream: &Stream) -> Poll<io::Result<usize>> {
        self.reserve();
        let read = stream.poll_read(&mut self.buffer[self.end..]);
        match &read {
            Poll::Ready(count) => self.end += count.as_ref().copied().unwrap_or_default(),
            Poll::Pending => self.release(),
        }
        read
    }

    /// The bytes that are not parsed yet.
    pub(crate) fn unparsed(&mut self) -> &mut [u8] {
        &mut self.buffer[self.start..self.end]
    }

    /// Drops the first `count` unparsed bytes.
    pub(crate) fn consume(&mut self, count: usize) {
        self.start += count;
    }

    /// Returns the buffer to the thread's pool if it is empty.
    fn release(&mut self) {
        if self.start < self.end {
            return;
        }
        (self.start, self.end) = (0, 0);
        INPUTS.with(|pool| pool.put(std::mem::take(&mut self.buffer)));
    }

    /// Makes room for more bytes.
    fn reserve(&mut self) {
        if self.buffer.is_empty() {
            self.buffer = INPUTS.with(BufferPool::take);
            if self.buffer.is_empty() {
                self.buffer = vec![0; INPUT_BYTES];
            }
        } else if self.start > 0 {
            self.buffer.copy_within(self.start..self.end, 0);
            self.end -= self.start;
            self.start = 0;
        }
        if self.end == self.buffer.len() {
            self.buffer.resize(self.buffer.len() * 2, 0);
        }
    }
}

/// Replies that are rendered but not yet written.
pub(crate) struct Output<'s> {
    stream: &'s Stream,
    pub(crate) bytes: Vec<u8>,
    suppressed: bool,
    /// Bytes that have been written.
    pub(crate) sent_bytes: u64,
    /// How often some were written.
    pub(crate) writes: u64,
}

impl<'s> Output<'s> {
    /// Replies to `stream`.
    pub(crate) fn new(stream: &'s Stream) -> Output<'s> {
        Output { stream, bytes: Vec::new(), suppressed: false, sent_bytes: 0, writes: 0 }
    }

    /// Takes a buffer for the next replies.
    pub(crate) fn acquire_buffer(&mut self) {
        if self.bytes.capacity() == 0 {
            self.bytes = OUTPUTS.with(BufferPool::take);
        }
    }

    /// Returns the buffer, which is empty, to the thread's pool.
    pub(crate) fn release_buffer(&mut self) {
        OUTPUTS.with(|pool| pool.put(std::mem::take(&mut self.bytes)));
    }

    /// Sets whether replies are discarded instead of written.
    pub(crate) fn suppress(&mut self, suppressed: bool) {
        self.suppressed = suppressed;
    }

    /// Whether the replies must be written before more are rendered.
    pub(crate) fn is_full(&self) -> bool {
        self.bytes.len() >= OUTPUT_BYTES
    }

    /// Writes all replies; waits for a client that does not read.
    pub(crate) async fn flush(&mut self) -> io::Result<()> {
        if !self.suppressed && !self.bytes.is_empty() {
            write_all(self.stream, &self.bytes).await?;
            self.sent_bytes += self.bytes.len() as u64;
            self.writes += 1;
        }
        self.bytes.clear();
        Ok(())
    }

    /// Writes `bytes` past the buffer, which is empty.
    pub(crate) async fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        if self.suppressed {
            return Ok(());
        }
        self.sent_bytes += bytes.len() as u64;
        self.writes += 1;
        write_all(self.stream, bytes).await
    }
}

/// Writes large replies in pieces, so that other connections run in between.
async fn write_all(stream: &Stream, bytes: &[u8]) -> io::Result<()> {
    for piece in bytes.chunks(OUTPUT_BYTES) {
        stream.write(piece).await?;
    }
    Ok(())
}
