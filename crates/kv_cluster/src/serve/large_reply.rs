//! A large value at the end of a reply message.

use crate::{
    limits::{COPY_BYTES, MESSAGE_BYTES},
    link::{
        codec::{self, ForwardedReply},
        send_queue::SendQueue,
    },
};
use kv::LargeValue;
use tokio::task::yield_now;

/// A reply message of which only the last value is missing.
#[derive(Debug)]
pub(super) struct LargeReply {
    pub(super) message: Vec<u8>,
    pub(super) value: LargeValue,
}

impl LargeReply {
    /// Copies the value, piece by piece, and queues the message. If the value exceeds it, a mark replaces it.
    pub(super) async fn write(self, queue: &mut SendQueue) {
        let LargeReply { mut message, value } = self;
        let start = message.len();
        codec::encode_value_head(&mut message, value.len());
        if message.len() + value.len() > MESSAGE_BYTES {
            message.truncate(start);
            codec::encode(&mut message, &ForwardedReply::TooLarge);
            return queue.push_message(message);
        }
        message.reserve_exact(value.len());
        for piece in value.slices().flat_map(|slice| slice.chunks(COPY_BYTES)) {
            message.extend_from_slice(piece);
            yield_now().await;
        }
        queue.push_message(message);
    }
}
