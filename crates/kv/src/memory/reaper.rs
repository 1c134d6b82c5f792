//! Gives large amounts of memory back to the system, on a thread of its own and a bounded piece at a time, so
//! that whoever has used it does not wait, nor anyone who asks the system for memory meanwhile.

use crate::{limits::PIECE_BYTES, memory::large::Piece};
use std::{
    sync::{
        Arc, LazyLock,
        mpsc::{Sender, channel},
    },
    thread,
};

/// What is given back.
enum Garbage {
    Pieces(Vec<Arc<Piece>>),
    Buffer(Vec<u8>),
}

/// Holds nothing that is not freed as fast as the system takes it. `None` if there is no thread.
static REAPER: LazyLock<Option<Sender<Garbage>>> = LazyLock::new(|| {
    let (sender, receiver) = channel();
    let run = move || receiver.into_iter().for_each(free_in_pieces);
    thread::Builder::new().name("kv-reaper".into()).spawn(run).is_ok().then_some(sender)
});

/// Frees a buffer: on another thread if it is large.
pub fn free_buffer(buffer: Vec<u8>) {
    if buffer.capacity() > PIECE_BYTES {
        free(Garbage::Buffer(buffer));
    }
}

/// Frees those of the pieces that nobody else holds.
pub(super) fn free_pieces(pieces: Vec<Arc<Piece>>) {
    free(Garbage::Pieces(pieces));
}

/// What cannot be sent is dropped here.
fn free(garbage: Garbage) {
    if let Some(reaper) = &*REAPER {
        drop(reaper.send(garbage));
    }
}

fn free_in_pieces(garbage: Garbage) {
    match garbage {
        Garbage::Pieces(pieces) => drop(pieces),
        Garbage::Buffer(mut buffer) => {
            buffer.clear();
            while buffer.capacity() > PIECE_BYTES {
                buffer.shrink_to(buffer.capacity() - PIECE_BYTES);
            }
        }
    }
}
