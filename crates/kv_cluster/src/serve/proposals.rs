//! What a peer has sent that a durable range has to write to its log: it keeps its id until the replies are
//! there. All is proposed in the order in which it arrived.

use crate::{
    error::RangeFailure,
    limits::{CALL_REQUESTS, CALLS_IN_FLIGHT, COPY_BYTES, MESSAGE_BYTES, TRANSACTION_REQUESTS},
    link::{
        codec::{ForwardedReply, Message, TransactionResult},
        node_query::{NodeQuery, NodeReply},
        send_queue::{MessageWriter, SendQueue},
    },
    local::{LocalNode, meta},
    serve::{large_reply::LargeReply, node_queries},
};
use kv::{Database, FullName, LargeValue, OwnedValue, Reply, Request};
use kv_raft::{ProposalOutcome, Range, RangeError, RangeReply, Replies, Ticket};
use std::{future::pending, sync::Arc};
use tokio::task::JoinSet;

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
    Query {
        id: u32,
        reply: NodeReply,
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
            Err(error) => drop(write_call(id, requests.len(), Err(error), queue)),
        }
    }

    /// Proposes a transaction that is not large.
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
            Err(error) => drop(write_transaction(id, is_read, Err(error), queue)),
        }
    }

    /// Ends all buckets of a range with replicas, or all that this node owns alone, of a database or of all.
    pub(super) fn flush(
        &mut self,
        local: &LocalNode,
        id: u32,
        (range, database): (Option<&[u8]>, Option<Database>),
        queue: &mut SendQueue,
    ) {
        match local.scope(range).and_then(|scope| local.flush(scope, database)) {
            Ok(flushing) if !flushing.is_done() => {
                self.tasks.spawn(async move { Finished::Flush { id, result: flushing.done().await } });
            }
            result => write_flushed(id, result.map(drop), queue),
        }
    }

    /// Begins to execute a query that takes a while; `false` if it does not.
    pub(super) fn query(&mut self, local: &Arc<LocalNode>, id: u32, query: &NodeQuery<'_>) -> bool {
        let Some(reply) = meta::reply_later(local, query) else { return false };
        self.tasks.spawn(async move { Finished::Query { id, reply: reply.await } });
        true
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

/// Executes the first requests of a call, which only read, when the lead of the range is confirmed, and
/// queues the replies. A large one at their end is left to the caller.
pub(super) async fn read(
    range: &Range,
    id: u32,
    requests: &[Request<'_>],
    queue: &mut SendQueue,
) -> Option<LargeReply> {
    let replies = range.confirm().await.and_then(|()| range.read_confirmed(requests));
    write_call(id, requests.len(), replies, queue)
}

/// Executes a call with one large request, and queues the reply, unless that is large.
pub(super) async fn call_large(
    range: &Range,
    id: u32,
    request: &Request<'_>,
    queue: &mut SendQueue,
) -> Option<LargeReply> {
    let replies = match range.propose_large(request).await {
        Ok(ticket) => ticket.await,
        Err(error) => Err(error),
    };
    write_call(id, 1, replies, queue)
}

/// Executes a large transaction, and queues the replies. A large one at their end is left to the caller.
pub(super) async fn transact_large(
    range: &Range,
    id: u32,
    watched: &[(FullName<'_>, u64)],
    requests: &[Request<'_>],
    queue: &mut SendQueue,
) -> Option<LargeReply> {
    let is_read = requests.iter().all(|request| request.op.is_read());
    let replies = match range.transact_large(watched, requests).await {
        Ok(ticket) => ticket.await,
        Err(error) => Err(error),
    };
    write_transaction(id, is_read, replies, queue)
}

/// Queues the replies. If the last one takes long to copy, that is left to the caller.
pub(super) fn write(finished: Finished, queue: &mut SendQueue) -> Option<LargeReply> {
    match finished {
        Finished::Call { id, count, replies } => write_call(id, count, replies, queue),
        Finished::Transaction { id, is_read, replies } => write_transaction(id, is_read, replies, queue),
        Finished::Flush { id, result } => {
            write_flushed(id, result, queue);
            None
        }
        Finished::Query { id, reply } => {
            node_queries::write(id, reply, queue);
            None
        }
    }
}

fn write_call(
    id: u32,
    count: usize,
    replies: Result<Replies, RangeError>,
    queue: &mut SendQueue,
) -> Option<LargeReply> {
    let mut frame = MessageWriter::begin(queue, &Message::Replies { id });
    match replies {
        Ok(mut replies) => {
            if let Some(value) = push_replies(&mut frame, &mut replies, CALL_REQUESTS) {
                return Some(LargeReply { message: frame.take(), value });
            }
        }
        Err(error) => {
            let failed = ForwardedReply::Failed(error.into());
            for _ in 0..count {
                frame.push_item_within(MESSAGE_BYTES, &failed);
            }
        }
    }
    frame.finish();
    None
}

/// Pushes all replies, of which there are up to `limit`, but for a large value at their end.
fn push_replies(frame: &mut MessageWriter<'_>, replies: &mut Replies, limit: usize) -> Option<LargeValue> {
    for left in (0..replies.len()).rev() {
        let reply = match replies.next_reply()? {
            RangeReply::Reply(Reply::OwnedValue(OwnedValue::Large(value)))
                if left == 0 && value.len() > COPY_BYTES =>
            {
                return Some(*value);
            }
            RangeReply::Reply(reply) => ForwardedReply::Reply(reply),
            RangeReply::TooLarge => ForwardedReply::TooLarge,
        };
        frame.push_executed(MESSAGE_BYTES - limit, &reply);
    }
    None
}

fn write_transaction(
    id: u32,
    is_read: bool,
    replies: Result<Replies, RangeError>,
    queue: &mut SendQueue,
) -> Option<LargeReply> {
    let result = match &replies {
        Ok(replies) => match replies.outcome() {
            ProposalOutcome::Executed => TransactionResult::Executed,
            ProposalOutcome::Aborted => TransactionResult::Aborted,
            ProposalOutcome::Refused(error) => TransactionResult::Refused(error.clone()),
        },
        Err(error) => {
            let failure = RangeFailure::from(error.clone());
            TransactionResult::Failed(if is_read { failure.of_read() } else { failure })
        }
    };
    let mut frame = MessageWriter::begin(queue, &Message::Transacted { id, result });
    if let Ok(mut replies) = replies
        && let Some(value) = push_replies(&mut frame, &mut replies, TRANSACTION_REQUESTS)
    {
        return Some(LargeReply { message: frame.take(), value });
    }
    frame.finish();
    None
}

fn write_flushed(id: u32, result: Result<(), RangeFailure>, queue: &mut SendQueue) {
    let reply = result.map_or_else(NodeReply::Failed, |()| NodeReply::Done);
    node_queries::write(id, reply, queue);
}
