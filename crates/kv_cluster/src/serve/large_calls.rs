//! Calls with large arguments, and large replies. Each is a task, which copies them piece by piece while
//! others run, and keeps the id of its call until the reply is there.

use crate::{
    limits::{CALL_REQUESTS, COPY_BYTES, MESSAGE_BYTES},
    link::{
        codec::{self, ForwardedReply, Message},
        send_queue::{MessageWriter, SendQueue},
    },
    local::{LocalNode, Place},
};
use kv::{LargeValue, OwnedValue, Reply, Request};
use std::{future::pending, sync::Arc};
use tokio::task::{JoinSet, yield_now};

/// The large calls of one link that are being executed.
#[derive(Debug, Default)]
pub(super) struct LargeCalls {
    tasks: JoinSet<ExecutedCall>,
    /// Bytes of the replies that are being copied.
    reply_bytes: usize,
}

/// A reply message of which only the last value is missing.
#[derive(Debug)]
pub(super) struct LargeReply {
    pub(super) message: Vec<u8>,
    pub(super) value: LargeValue,
}

impl LargeReply {
    /// Copies the value, piece by piece, and queues the message. If the value exceeds it, a mark replaces it.
    async fn write(self, queue: &mut SendQueue) {
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

/// A large call that has been executed.
#[derive(Debug)]
pub(super) struct ExecutedCall {
    /// Bytes of the call, while it is executed.
    pub(super) bytes: usize,
    /// Bytes of the reply, if only that was copied.
    reply_bytes: usize,
    /// The message with its reply.
    pub(super) reply: SendQueue,
}

/// Whether the requests of a call are one with large arguments, for a volatile bucket of this node.
pub(super) fn is_large(local: &LocalNode, requests: &[Request<'_>]) -> bool {
    matches!(requests, [request] if LargeValue::holds(request.op.payload_bytes())
        && matches!(local.place_of(request), Some(Ok(Place::Volatile))))
}

impl LargeCalls {
    /// Executes the call in this message.
    pub(super) fn start(&mut self, local: Arc<LocalNode>, message: Vec<u8>) {
        self.tasks.spawn(async move {
            let mut reply = SendQueue::default();
            if let Ok((Message::Call { id }, items)) = codec::decode_frame(&message)
                && let Ok(requests) = codec::decode_requests(items, CALL_REQUESTS)
            {
                let frame = MessageWriter::begin(&mut reply, &Message::Replies { id });
                if let Some(large) = execute(&local, &requests[0], frame).await {
                    large.write(&mut reply).await;
                }
            }
            ExecutedCall { bytes: message.len(), reply_bytes: 0, reply }
        });
    }

    /// Copies a large reply.
    pub(super) fn reply(&mut self, large: LargeReply) {
        self.copy(large.value.len(), async move {
            let mut reply = SendQueue::default();
            large.write(&mut reply).await;
            reply
        });
    }

    /// Has a reply message copied, of about this many bytes.
    pub(super) fn copy(
        &mut self,
        reply_bytes: usize,
        copied: impl Future<Output = SendQueue> + Send + 'static,
    ) {
        self.reply_bytes += reply_bytes;
        self.tasks.spawn(async move { ExecutedCall { bytes: 0, reply_bytes, reply: copied.await } });
    }

    /// Bytes of the replies that are being copied.
    pub(super) fn reply_bytes(&self) -> usize {
        self.reply_bytes
    }

    /// The next that is finished; pending until one is.
    pub(super) async fn next(&mut self) -> ExecutedCall {
        loop {
            match self.tasks.join_next().await {
                None => pending().await,
                Some(Ok(finished)) => {
                    self.reply_bytes -= finished.reply_bytes;
                    return finished;
                }
                // A task that panicked has no reply: its call times out.
                Some(Err(_)) => {}
            }
        }
    }
}

/// Executes a call, and completes the message with its reply, unless that is large.
async fn execute(
    local: &LocalNode,
    request: &Request<'_>,
    mut frame: MessageWriter<'_>,
) -> Option<LargeReply> {
    let mut large = None;
    let on_reply = |reply: Reply<'_>| match reply {
        Reply::OwnedValue(OwnedValue::Large(value)) => large = Some(*value),
        reply => frame.push_executed(MESSAGE_BYTES, &ForwardedReply::Reply(reply)),
    };
    local.execute_large(request, on_reply).await;
    match large {
        Some(value) => Some(LargeReply { message: frame.take(), value }),
        None => {
            frame.finish();
            None
        }
    }
}
