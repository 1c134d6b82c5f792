//! A pool of buffers for the connections of one thread, so that idle connections hold none.

use crate::limits::POOLED_BYTES;
use std::cell::RefCell;

/// Empty buffers that are not in use.
pub(crate) struct BufferPool(RefCell<Buffers>);

struct Buffers {
    free: Vec<Vec<u8>>,
    bytes: usize,
}

impl BufferPool {
    /// An empty pool.
    pub(crate) const fn new() -> BufferPool {
        BufferPool(RefCell::new(Buffers { free: Vec::new(), bytes: 0 }))
    }

    /// Takes the buffer that was put back last; a new one, without capacity, if there is none.
    pub(crate) fn take(&self) -> Vec<u8> {
        let mut buffers = self.0.borrow_mut();
        let buffer = buffers.free.pop().unwrap_or_default();
        buffers.bytes -= buffer.capacity();
        buffer
    }

    /// Puts a buffer back; it is freed when the pool is full.
    pub(crate) fn put(&self, buffer: Vec<u8>) {
        let mut buffers = self.0.borrow_mut();
        let bytes = buffers.bytes + buffer.capacity();
        if buffer.capacity() > 0 && bytes <= POOLED_BYTES {
            buffers.bytes = bytes;
            buffers.free.push(buffer);
        } else {
            kv::free_buffer(buffer);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn buffers_are_reused_up_to_a_limit() {
        let pool = BufferPool::new();
        pool.put(Vec::with_capacity(POOLED_BYTES - 1));
        pool.put(Vec::with_capacity(2));
        pool.put(Vec::with_capacity(1));
        assert_eq!(pool.take().capacity(), 1, "the one of 2 bytes was too much");
        assert_eq!(pool.take().capacity(), POOLED_BYTES - 1);
        assert_eq!(pool.take().capacity(), 0);
        pool.put(Vec::with_capacity(POOLED_BYTES));
        assert_eq!(pool.take().capacity(), POOLED_BYTES);
    }
}
