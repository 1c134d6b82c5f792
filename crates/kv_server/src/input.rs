//! What a client has sent and what of it is still to be answered.

use crate::{
    limits::INPUT_BYTES,
    reactor::{BufferPool, Stream},
};
use std::{io, task::Poll};

thread_local! {
    /// As long as it was made, and filled.
    static POOL: BufferPool = const { BufferPool::new() };
}

/// The bytes read from one connection and not yet consumed.
#[derive(Debug, Default)]
pub(crate) struct Input {
    storage: Vec<u8>,
    start: usize,
    end: usize,
}

impl Input {
    /// What has been read already.
    #[cfg(test)]
    pub(crate) fn holding(bytes: &[u8]) -> Input {
        Input { storage: bytes.to_vec(), start: 0, end: bytes.len() }
    }

    /// Reads what has arrived: 0 bytes at the end of the stream. As long as nothing has, it holds no storage for it.
    pub(crate) fn poll_read(&mut self, stream: &Stream) -> Poll<io::Result<usize>> {
        self.make_room();
        let read = stream.poll_read(&mut self.storage[self.end..]);
        match &read {
            Poll::Ready(count) => self.end += count.as_ref().copied().unwrap_or_default(),
            Poll::Pending => self.rest(),
        }
        read
    }

    /// What is still to be answered.
    pub(crate) fn unread(&mut self) -> &mut [u8] {
        &mut self.storage[self.start..self.end]
    }

    /// Forgets the first `count` unread bytes.
    pub(crate) fn consume(&mut self, count: usize) {
        self.start += count;
    }

    /// Lends the storage to the thread's next connection when nothing is left in it.
    fn rest(&mut self) {
        if self.start < self.end {
            return;
        }
        (self.start, self.end) = (0, 0);
        POOL.with(|pool| pool.put(std::mem::take(&mut self.storage)));
    }

    fn make_room(&mut self) {
        if self.storage.is_empty() {
            self.storage = POOL.with(BufferPool::take);
            if self.storage.is_empty() {
                self.storage = vec![0; INPUT_BYTES];
            }
        } else if self.start > 0 {
            self.storage.copy_within(self.start..self.end, 0);
            self.end -= self.start;
            self.start = 0;
        }
        if self.end == self.storage.len() {
            self.storage.resize(self.storage.len() * 2, 0);
        }
    }
}
