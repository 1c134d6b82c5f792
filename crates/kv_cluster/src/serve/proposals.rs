//! What a peer has sent that a durable range has to write to its log: it keeps its id until the replies are
//! there. All is proposed in the order in which it arrived.

use crate::{
    error::RangeFailure,
    limits::{CALL_REQUESTS, CALLS_IN_FLIGHT, COPY_BYTES, MESSAGE_BYTES, TRANSACTION_REQUESTS},
    link::{
        codec::{self, ForwardedReply, Message, TransactionResult},
        node_query::NodeReply,
        send_queue::{MessageWriter, SendQueue},
    },
    local::LocalNode,
    serve::node_queries,
};
use kv::{Database, FullName, Reply, Request};
use kv_raft::{ProposalOutcome, Range, RangeError, RangeReply, Replies, Ticket};
use std::future::pending;
use tokio::task::{JoinSet, yield_now};

/// The proposals of one link. They are executed even if the link ends before.
#[derive(Debug, Default)]
pub(super) struct Proposals {
    tasks: JoinSet<Finished>,
}

/// What has been executed, or has failed.
#[derive(Debug)]
pub(super) enum Finished {
    /// The first requests of a call.
    Call {
        id: u32,
        count: usize,
        replies: Result<Replies, RangeError>,
    },
    Transaction {
        id: u32,
        is_read: bool,
        replies: Result<Replies, RangeError>,
    },
    Flush {
        id: u32,
        result: Result<(), RangeFailure>,
    },
}

impl Proposals {
    /// Whether the peer has sent more than the protocol allows.
    pub(super) fn are_too_many(&self) -> bool {
        self.tasks.len() >= CALLS_IN_FLIGHT
    }

    /// Proposes the first requests of a call.
    pub(super) fn call(&mut self, range: &Range, id: u32, requests: &[Request<'_>], queue: &mut SendQueue) {
        match range.propose(requests) {
            Ok((count, ticket)) => self.wait(ticket, move |replies| Finished::Call { id, count, replies }),
            Err(error) => write_call(id, requests.len(), Err(error), queue),
        }
    }

    /// Proposes a transaction.
    pub(super) fn transact(
        &mut self,
        range: &Range,
        id: u32,
        watched: &[(FullName<'_>, u64)],
        requests: &[Request<'_>],
        queue: &mut SendQueue,
    ) {
        let is_read = requests.iter().all(|request| request.op.is_read());
        match range.transact(watched, requests) {
            Ok(ticket) => self.wait(ticket, move |replies| Finished::Transaction { id, is_read, replies }),
            Err(error) => write_transaction(id, is_read, Err(error), queue),
        }
    }

    /// Ends all buckets of a database, or of all of them.
    pub(super) fn flush(
        &mut self,
        local: &LocalNode,
        id: u32,
        database: Option<Database>,
        queue: &mut SendQueue,
    ) {
        match local.flush(database) {
            Ok(flushing) if !flushing.is_done() => {
                self.tasks.spawn(async move { Finished::Flush { id, result: flushing.done().await } });
            }
            result => write_flushed(id, result.map(drop), queue),
        }
    }

    fn wait(
        &mut self,
        ticket: Ticket,
        finished: impl FnOnce(Result<Replies, RangeError>) -> Finished + Send + 'static,
    ) {
        self.tasks.spawn(async move { finished(ticket.await) });
    }

    /// The next that is finished; pending until one is.
    pub(super) async fn next(&mut self) -> Finished {
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

impl Finished {
    /// Bytes of the replies, if they take long to copy.
    pub(super) fn large_bytes(&self) -> Option<usize> {
        match self {
            Finished::Call { replies: Ok(replies), .. }
            | Finished::Transaction { replies: Ok(replies), .. } => {
                Some(replies.bytes()).filter(|bytes| *bytes > COPY_BYTES)
            }
            _ => None,
        }
    }
}

/// Queues replies that take long to copy. Other tasks run between two pieces.
pub(super) async fn write_large(finished: Finished) -> SendQueue {
    let mut queue = SendQueue::default();
    let (message, limit, mut replies) = match finished {
        Finished::Call { id, replies: Ok(replies), .. } => (Message::Replies { id }, CALL_REQUESTS, replies),
        Finished::Transaction { id, replies: Ok(replies), .. } => {
            (Message::Transacted { id, result: result_of(&replies) }, TRANSACTION_REQUESTS, replies)
        }
        small => {
            write(small, &mut queue);
            return queue;
        }
    };
    let (mut bytes, end) = (Vec::with_capacity(replies.bytes()), MESSAGE_BYTES - limit);
    codec::encode(&mut bytes, &message);
    while let Some(reply) = replies.next_reply() {
        let start = bytes.len();
        let fits = match forwarded(reply) {
            ForwardedReply::Reply(Reply::Value(value)) if start + value.len() < end => {
                codec::encode_value_head(&mut bytes, value.len());
                for piece in value.chunks(COPY_BYTES) {
                    bytes.extend_from_slice(piece);
                    yield_now().await;
                }
                true
            }
            reply => codec::encode_within(&mut bytes, end, &reply),
        };
        if !fits {
            codec::encode(&mut bytes, &ForwardedReply::TooLarge);
        }
    }
    queue.push_message(bytes);
    queue
}

/// Queues the replies.
pub(super) fn write(finished: Finished, queue: &mut SendQueue) {
    match finished {
        Finished::Call { id, count, replies } => write_call(id, count, replies, queue),
        Finished::Transaction { id, is_read, replies } => write_transaction(id, is_read, replies, queue),
        Finished::Flush { id, result } => write_flushed(id, result, queue),
    }
}

fn write_call(id: u32, count: usize, replies: Result<Replies, RangeError>, queue: &mut SendQueue) {
    let mut frame = MessageWriter::begin(queue, &Message::Replies { id });
    match replies {
        Ok(mut replies) => push_replies(&mut frame, &mut replies, CALL_REQUESTS),
        Err(error) => {
            let failed = ForwardedReply::Failed(error.into());
            for _ in 0..count {
                frame.push_item_within(MESSAGE_BYTES, &failed);
            }
        }
    }
    frame.finish();
}

/// Pushes all replies, of which there are up to `limit`.
fn push_replies(frame: &mut MessageWriter<'_>, replies: &mut Replies, limit: usize) {
    while let Some(reply) = replies.next_reply() {
        frame.push_executed(MESSAGE_BYTES - limit, &forwarded(reply));
    }
}

/// The reply as it crosses the link.
fn forwarded(reply: RangeReply<'_>) -> ForwardedReply<'_> {
    match reply {
        RangeReply::Reply(reply) => ForwardedReply::Reply(reply),
        RangeReply::TooLarge => ForwardedReply::TooLarge,
    }
}

/// What became of a transaction.
fn result_of(replies: &Replies) -> TransactionResult {
    match replies.outcome() {
        ProposalOutcome::Executed => TransactionResult::Executed,
        ProposalOutcome::Aborted => TransactionResult::Aborted,
        ProposalOutcome::Refused(error) => TransactionResult::Refused(error.clone()),
    }
}

fn write_transaction(id: u32, is_read: bool, replies: Result<Replies, RangeError>, queue: &mut SendQueue) {
    let result = match &replies {
        Ok(replies) => result_of(replies),
        Err(error) => {
            let failure = RangeFailure::from(error.clone());
            TransactionResult::Failed(if is_read { failure.of_read() } else { failure })
        }
    };
    let mut frame = MessageWriter::begin(queue, &Message::Transacted { id, result });
    if let Ok(mut replies) = replies {
        push_replies(&mut frame, &mut replies, TRANSACTION_REQUESTS);
    }
    frame.finish();
}

fn write_flushed(id: u32, result: Result<(), RangeFailure>, queue: &mut SendQueue) {
    let reply = result.map_or_else(NodeReply::Failed, |()| NodeReply::Done);
    node_queries::write(id, reply, queue);
}
