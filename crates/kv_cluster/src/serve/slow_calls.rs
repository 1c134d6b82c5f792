//! What takes long: calls and transactions with large arguments, large replies, and what only reads a durable
//! range whose lead has to be confirmed before. Each is a task, beside which others run, and which keeps the
//! id of its call until the reply is there.

use crate::{
    limits::{CALL_REQUESTS, COPY_BYTES, MESSAGE_BYTES, TRANSACTION_REQUESTS},
    link::{
        codec::{self, ForwardedReply, Message, TransactionResult},
        node_query::{NodeQuery, NodeReply},
        send_queue::{MessageWriter, SendQueue},
    },
    local::{LocalNode, Place, Scope},
    serve::{
        large_reply::LargeReply,
        node_queries, proposals,
        requests::{self, Run},
    },
};
use kv::{FullName, LargeValue, OwnedValue, Reply, Request, free_buffer};
use kv_raft::{Range, is_immediate, only_reads};
use std::{future::pending, sync::Arc};
use tokio::task::JoinSet;

/// The calls of one link that are tasks.
#[derive(Debug, Default)]
pub(super) struct SlowCalls {
    tasks: JoinSet<ExecutedCall>,
    /// Bytes of the replies that are being copied.
    reply_bytes: usize,
}

/// A call that has been executed.
#[derive(Debug)]
pub(super) struct ExecutedCall {
    /// Bytes of the call, while it is executed.
    pub(super) bytes: usize,
    /// Bytes of the reply, if only that was copied.
    reply_bytes: usize,
    /// The message with its reply.
    pub(super) reply: SendQueue,
}

/// Whether a call is a task: it has large arguments, or reads a range that is to be confirmed.
pub(super) fn is_slow_call(local: &LocalNode, requests: &[Request<'_>]) -> bool {
    let Some(first) = requests.first() else { return false };
    let is_large = requests.len() == 1 && LargeValue::holds(first.op.payload_bytes());
    match local.place_of(first) {
        Some(Ok(Place::Volatile)) => is_large,
        Some(Ok(Place::Range(range))) if is_immediate(&first.op) => {
            !range.reads_at_once() && first_reads(local, requests).is_some()
        }
        Some(Ok(Place::Range(_))) => is_large && kv_raft::is_large(first),
        Some(Err(_)) | None => false,
    }
}

/// The first requests of a call, if they only read a durable range.
fn first_reads<'r, 'q, 'l>(
    local: &'l LocalNode,
    requests: &'r [Request<'q>],
) -> Option<(&'l Range, &'r [Request<'q>])> {
    match Run::first_of(local, requests)? {
        Run { place: Some(Ok(Place::Range(range))), requests, is_immediate: true } => Some((range, requests)),
        _ => None,
    }
}

/// Whether a transaction is a task: it has large arguments, or reads a range that is to be confirmed.
pub(super) fn is_slow_transaction(
    local: &LocalNode,
    watched: &[(FullName<'_>, u64)],
    requests: &[Request<'_>],
) -> bool {
    let bytes: usize = requests.iter().map(|request| request.op.payload_bytes()).sum();
    let (is_large, reads) = (bytes > COPY_BYTES, only_reads(watched, requests));
    (is_large || reads)
        && transaction_place(local, watched, requests)
            .is_some_and(|place| is_large || matches!(place, Place::Range(range) if !range.reads_at_once()))
}

/// Where a transaction is executed, if this node owns all its buckets.
fn transaction_place<'l>(
    local: &'l LocalNode,
    watched: &[(FullName<'_>, u64)],
    requests: &[Request<'_>],
) -> Option<Place<'l>> {
    let names = watched.iter().map(|(full, _)| full.name).chain(requests.iter().flat_map(Request::names));
    local.common_place(names).and_then(Result::ok)
}

/// The range that a query reads, if that does not do so at once.
pub(super) fn queried_range<'l>(local: &'l LocalNode, query: &NodeQuery<'_>) -> Option<&'l Range> {
    match local.scope(Some(query.range_to_read()?)) {
        Ok(Scope::Replica(range)) if !range.reads_at_once() => Some(range),
        _ => None,
    }
}

impl SlowCalls {
    /// Executes the call or transaction in this message.
    pub(super) fn start(&mut self, local: Arc<LocalNode>, message: Vec<u8>) {
        self.tasks.spawn(async move {
            let mut reply = SendQueue::default();
            execute(&local, &message, &mut reply).await;
            let bytes = message.len();
            free_buffer(message);
            ExecutedCall { bytes, reply_bytes: 0, reply }
        });
    }

    /// Copies a large reply.
    pub(super) fn reply(&mut self, large: LargeReply) {
        let reply_bytes = large.value.len();
        self.reply_bytes += reply_bytes;
        self.tasks.spawn(async move {
            let mut reply = SendQueue::default();
            large.write(&mut reply).await;
            ExecutedCall { bytes: 0, reply_bytes, reply }
        });
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

/// Executes the call or transaction in a message, and queues the reply.
async fn execute(local: &LocalNode, message: &[u8], queue: &mut SendQueue) {
    let large = match codec::decode_frame(message) {
        Ok((Message::Call { id }, items)) => match codec::decode_requests(items, CALL_REQUESTS) {
            Ok(requests) => match first_reads(local, &requests) {
                Some((range, requests)) => proposals::read(range, id, requests, queue).await,
                None => call(local, id, &requests[0], queue).await,
            },
            Err(_) => None,
        },
        Ok((Message::Transact { id, watched }, items)) => {
            match codec::decode_requests(items, TRANSACTION_REQUESTS) {
                Ok(requests) => match transaction_place(local, &watched, &requests) {
                    Some(Place::Range(range)) => {
                        proposals::transact_large(range, id, &watched, &requests, queue).await
                    }
                    Some(Place::Volatile) => transact_volatile(local, id, &watched, &requests, queue).await,
                    None => reply_to_transaction(id, TransactionResult::NotOwner, queue),
                },
                Err(_) => None,
            }
        }
        Ok((Message::NodeQuery { id, query }, _)) => {
            query_range(local, id, &query, queue).await;
            None
        }
        _ => None,
    };
    if let Some(large) = large {
        large.write(queue).await;
    }
}

/// Executes a transaction on volatile buckets, and queues the replies.
async fn transact_volatile(
    local: &LocalNode,
    id: u32,
    watched: &[(FullName<'_>, u64)],
    requests: &[Request<'_>],
    queue: &mut SendQueue,
) -> Option<LargeReply> {
    match local.prepare_transaction(requests).await {
        Ok(preparation) => {
            requests::transact_volatile(local, id, watched, requests, preparation, queue);
            None
        }
        Err(error) => reply_to_transaction(id, TransactionResult::Refused(error), queue),
    }
}

/// Replies to a query that reads a durable range.
async fn query_range(local: &LocalNode, id: u32, query: &NodeQuery<'_>, queue: &mut SendQueue) {
    let confirmed = match queried_range(local, query) {
        Some(range) => range.confirm().await,
        None => Ok(()),
    };
    match confirmed {
        Ok(()) => node_queries::write_reply(local, id, query, queue),
        Err(error) => node_queries::write(id, NodeReply::Failed(error.into()), queue),
    }
}

/// Queues why nothing was done.
fn reply_to_transaction(id: u32, result: TransactionResult, queue: &mut SendQueue) -> Option<LargeReply> {
    MessageWriter::begin(queue, &Message::Transacted { id, result }).finish();
    None
}

/// Executes a call, and queues the reply, unless that is large.
async fn call(
    local: &LocalNode,
    id: u32,
    request: &Request<'_>,
    queue: &mut SendQueue,
) -> Option<LargeReply> {
    let place = local.place_of(request);
    if let Some(Ok(Place::Range(range))) = place {
        return proposals::call_large(range, id, request, queue).await;
    }
    let (mut frame, mut large) = (MessageWriter::begin(queue, &Message::Replies { id }), None);
    if !matches!(place, Some(Ok(Place::Volatile))) {
        // The routes of the two nodes have turned out to differ.
        frame.push_executed(MESSAGE_BYTES, &ForwardedReply::NotOwner);
        frame.finish();
        return None;
    }
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
