//! Gives large amounts of memory back to the system, on a thread of its own and a bounded piece at a time, so
//! that whoever has used it does not wait, nor anyone who asks the system for memory meanwhile.

use crate::limits::{PIECE_BYTES, UNMAPPED_BYTES};
use std::{
    sync::{
        LazyLock,
        mpsc::{Sender, channel},
    },
    thread,
};

/// Frees something, piece by piece.
type Job = Box<dyn FnOnce() + Send>;

/// The queue of the thread. It holds nothing but what is about to be freed. `None` if there is no thread.
static REAPER: LazyLock<Option<Sender<Job>>> = LazyLock::new(|| {
    let (sender, receiver) = channel::<Job>();
    let run = move || receiver.into_iter().for_each(|job| job());
    thread::Builder::new().name("kv-reaper".into()).spawn(run).is_ok().then_some(sender)
});

/// Frees a buffer: on another thread if it is large.
pub fn free_buffer(mut buffer: Vec<u8>) {
    if buffer.capacity() > PIECE_BYTES {
        buffer.clear();
        free_later(move || {
            while buffer.capacity() > PIECE_BYTES {
                buffer.shrink_to(buffer.capacity() - PIECE_BYTES);
            }
            // Of memory that it maps for one buffer, the system's allocator would keep as much for others as
            // the largest that it has freed.
            buffer.shrink_to(UNMAPPED_BYTES);
        });
    }
}

/// Has another thread do what frees something. If there is none, it is dropped here.
pub(super) fn free_later(job: impl FnOnce() + Send + 'static) {
    if let Some(reaper) = &*REAPER {
        drop(reaper.send(Box::new(job)));
    }
}
