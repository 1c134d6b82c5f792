//! Executes the requests of a peer. A request for a bucket that this node does not own is refused, and not
//! forwarded to a third node.

use crate::{
    limits::{BATCH_BYTES, FRAME_BYTES, MESSAGE_BYTES, PREPARATIONS, TRANSACTION_REQUESTS},
    link::{
        codec::{ForwardedReply, Message, TransactionResult},
        send_queue::{MessageWriter, SendQueue},
    },
    local::LocalNode,
};
use kv::{CommandError, FullName, LargeValue, OwnedValue, Reply, Request};
use std::ops::ControlFlow::{self, Break, Continue};

/// Executes the requests of a call in order until one reply message is full, and queues that message.
pub(crate) fn execute(local: &LocalNode, id: u32, requests: &[Request<'_>], queue: &mut SendQueue) {
    let now_ms = kv::time::now_ms();
    let mut replies = ReplyWriter { frame: MessageWriter::begin(queue, &Message::Replies { id }), count: 0 };
    let mut rest = requests;
    while let Some(first) = rest.first() {
        let is_ours = local.owns_buckets_of(first);
        let run = rest.iter().take_while(|request| local.owns_buckets_of(request) == is_ours).count();
        let mut flow = Continue(());
        let mut run_requests = rest[..run].iter();
        let mut large = None;
        let mut push = |reply: ForwardedReply<'_>| {
            let is_read = run_requests.next().is_none_or(|request| request.op.is_read());
            if let ForwardedReply::Reply(Reply::OwnedValue(OwnedValue::Large(value))) = reply {
                // Its bytes are copied once the bucket is unlocked.
                large = Some((value, is_read));
                return Break(());
            }
            flow = replies.push(&reply, is_read);
            flow
        };
        let done = match is_ours {
            true => execute_ours(local, &rest[..run], now_ms, |reply| push(ForwardedReply::Reply(reply))),
            false => rest[..run].iter().take_while(|_| push(ForwardedReply::NotOwner).is_continue()).count(),
        };
        if let Some((value, is_read)) = large {
            flow = replies.push(&ForwardedReply::Reply(Reply::Value(&value.to_vec())), is_read);
        }
        if flow.is_break() {
            break;
        }
        rest = &rest[done..];
    }
    replies.frame.finish();
}

/// Executes the requests, or only the first if its arguments are large: those are copied before its bucket is
/// locked. Returns how many were executed.
fn execute_ours(
    local: &LocalNode,
    requests: &[Request<'_>],
    now_ms: u64,
    on_reply: impl FnMut(Reply<'_>) -> ControlFlow<()>,
) -> usize {
    let is_large = |request: &Request<'_>| LargeValue::holds(request.op.payload_bytes());
    match requests.iter().position(is_large) {
        Some(0) => {
            execute_large(local, &requests[0], now_ms, on_reply);
            1
        }
        small => local.execute(&requests[..small.unwrap_or(requests.len())], now_ms, on_reply),
    }
}

fn execute_large(
    local: &LocalNode,
    request: &Request<'_>,
    now_ms: u64,
    mut on_reply: impl FnMut(Reply<'_>) -> ControlFlow<()>,
) {
    for attempt in 1..=PREPARATIONS {
        let mut preparation = local.prepare(request, now_ms);
        let prepared = loop {
            match preparation.step() {
                Ok(true) => {}
                Ok(false) => break Ok(preparation),
                Err(error) => break Err(error),
            }
        };
        let mut is_outdated = false;
        let reply = |reply: Reply<'_>| {
            is_outdated = reply == Reply::Error(CommandError::Outdated) && attempt < PREPARATIONS;
            if is_outdated { Continue(()) } else { on_reply(reply) }
        };
        match prepared {
            Ok(preparation) => local.execute_prepared(request, preparation, now_ms, reply),
            Err(error) => drop(on_reply(Reply::Error(error))),
        }
        if !is_outdated {
            return;
        }
    }
}

/// The reply message to one call.
struct ReplyWriter<'a> {
    frame: MessageWriter<'a>,
    count: usize,
}

impl ReplyWriter<'_> {
    /// Breaks off when the message is full. A read whose reply does not fit is left out, and the peer sends
    /// it again. A write must not be executed twice, since what GETDEL returns is gone: if its reply does
    /// not fit, or that of the first request, a mark replaces the reply.
    fn push(&mut self, reply: &ForwardedReply<'_>, is_read: bool) -> ControlFlow<()> {
        let can_wait = is_read && self.count > 0;
        let limit = if can_wait { FRAME_BYTES } else { MESSAGE_BYTES };
        if !self.frame.push_item_within(limit, reply) {
            if can_wait {
                return Break(());
            }
            self.frame.push_item_within(MESSAGE_BYTES, &ForwardedReply::TooLarge);
        }
        self.count += 1;
        if self.frame.size() < BATCH_BYTES { Continue(()) } else { Break(()) }
    }
}

/// Executes a transaction, and queues the replies to all its requests, or why nothing was done.
pub(crate) fn transact(
    local: &LocalNode,
    id: u32,
    watched: &[(FullName<'_>, u64)],
    requests: &[Request<'_>],
    queue: &mut SendQueue,
) {
    let executed = Message::Transacted { id, result: TransactionResult::Executed };
    let mut frame = MessageWriter::begin(queue, &executed);
    let is_ours = watched.iter().all(|(full, _)| local.owns(full.name))
        && requests.iter().all(|request| local.owns_buckets_of(request));
    let executed = is_ours.then(|| {
        local.transact(watched, requests, kv::time::now_ms(), |reply| {
            // The request has been executed. A reply that does not fit becomes one byte, which always does.
            let limit = MESSAGE_BYTES - TRANSACTION_REQUESTS;
            if !frame.push_item_within(limit, &ForwardedReply::Reply(reply)) {
                frame.push_item_within(MESSAGE_BYTES, &ForwardedReply::TooLarge);
            }
        })
    });
    let result = match executed {
        Some(Ok(true)) => {
            frame.finish();
            return;
        }
        Some(Ok(false)) => TransactionResult::Aborted,
        Some(Err(error)) => TransactionResult::Refused(error),
        None => TransactionResult::NotOwner,
    };
    frame.rollback();
    MessageWriter::begin(queue, &Message::Transacted { id, result }).finish();
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reply_that_exceeds_a_message_is_marked_unless_the_read_can_be_sent_again() {
        // The kernel provides zeroed pages when they are first read, and nothing reads these.
        let huge = vec![0; MESSAGE_BYTES];
        let (done, huge) = (ForwardedReply::Reply(Reply::Done), ForwardedReply::Reply(Reply::Value(&huge)));
        let mut queue = SendQueue::default();
        for (before, is_read, count) in [(0, true, 1), (1, true, 1), (0, false, 1), (1, false, 2)] {
            let frame = MessageWriter::begin(&mut queue, &Message::Replies { id: 0 });
            let mut replies = ReplyWriter { frame, count: 0 };
            (0..before).for_each(|_| assert!(replies.push(&done, true).is_continue()));
            let flow = replies.push(&huge, is_read);
            assert_eq!((replies.count, flow.is_continue()), (count, count > before), "{before} {is_read}");
            assert!(replies.frame.size() < 10);
        }
    }
}
