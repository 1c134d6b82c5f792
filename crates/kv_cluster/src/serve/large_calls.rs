//! Calls with large arguments. Each is a task, which copies them piece by piece while others run, and keeps
//! the id of its call until the reply is there.

use crate::{
    limits::{CALL_REQUESTS, MESSAGE_BYTES},
    link::{
        codec::{self, ForwardedReply, Message},
        send_queue::{MessageWriter, SendQueue},
    },
    local::{LocalNode, Place},
};
use kv::{LargeValue, OwnedValue, Reply, Request};
use std::{future::pending, sync::Arc};
use tokio::task::JoinSet;

/// The large calls of one link that are being executed.
#[derive(Debug, Default)]
pub(super) struct LargeCalls {
    tasks: JoinSet<ExecutedCall>,
}

/// A large call that has been executed.
#[derive(Debug)]
pub(super) struct ExecutedCall {
    /// Bytes of the call.
    pub(super) bytes: usize,
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
                execute(&local, &requests[0], frame).await;
            }
            ExecutedCall { bytes: message.len(), reply }
        });
    }

    /// The next that is finished; pending until one is.
    pub(super) async fn next(&mut self) -> ExecutedCall {
        loop {
            match self.tasks.join_next().await {
                None => pending().await,
                Some(Ok(finished)) => return finished,
                // A task that panicked has no reply: its call times out.
                Some(Err(_)) => {}
            }
        }
    }
}

async fn execute(local: &LocalNode, request: &Request<'_>, mut frame: MessageWriter<'_>) {
    let mut large = None;
    let on_reply = |reply: Reply<'_>| match reply {
        // Its bytes are copied once the bucket is unlocked.
        Reply::OwnedValue(OwnedValue::Large(value)) => large = Some(value),
        reply => frame.push_executed(MESSAGE_BYTES, &ForwardedReply::Reply(reply)),
    };
    local.execute_large(request, on_reply).await;
    if let Some(value) = large {
        frame.push_executed(MESSAGE_BYTES, &ForwardedReply::Reply(Reply::Value(&value.to_vec())));
    }
    frame.finish();
}
