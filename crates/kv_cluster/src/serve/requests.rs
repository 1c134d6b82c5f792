//! Executes the requests of a peer. A request for a bucket that this node does not own is refused, and not
//! forwarded to a third node.

use crate::{
    error::RangeFailure,
    limits::{
        BATCH_BYTES, COPY_BYTES, FRAME_BYTES, MESSAGE_BYTES, STEP_REQUESTS, TRANSACTION_REQUESTS, TURN_MS,
    },
    link::{
        codec::{ForwardedReply, Message, TransactionResult},
        send_queue::{MessageWriter, SendQueue},
    },
    local::{LocalNode, Place},
    serve::{large_reply::LargeReply, proposals::Proposals},
};
use kv::{FullName, OwnedValue, Reply, Request, TransactionPreparation};
use kv_raft::is_immediate;
use std::ops::ControlFlow::{self, Break, Continue};

/// Executes the requests of a call in order until one reply message is full, or the turn is over, and queues
/// that message. If the first is for the log of a durable range, it is proposed, with those after it for that
/// range, and the message is queued when they are executed. The peer sends again what has no reply.
///
/// If the last reply of the message takes long to copy, that is left to the caller.
pub(crate) fn execute(
    local: &LocalNode,
    id: u32,
    requests: &[Request<'_>],
    proposals: &mut Proposals,
    queue: &mut SendQueue,
) -> Option<LargeReply> {
    if let Some(Run { place: Some(Ok(Place::Range(range))), requests, is_immediate: false }) =
        Run::first_of(local, requests)
    {
        proposals.call(range, id, requests, queue);
        return None;
    }
    let now_ms = kv::time::now_ms();
    let mut replies = ReplyWriter { frame: MessageWriter::begin(queue, &Message::Replies { id }), count: 0 };
    let mut rest = requests;
    while let Some(run) = Run::first_of(local, &rest[..rest.len().min(STEP_REQUESTS)]) {
        let mut flow = Continue(());
        let mut run_requests = run.requests.iter();
        let mut large = None;
        let mut push = |reply: ForwardedReply<'_>| {
            let is_read = run_requests.next().is_none_or(|request| request.op.is_read());
            if let ForwardedReply::Reply(Reply::OwnedValue(OwnedValue::Large(value))) = reply {
                // Its bytes are copied once the bucket is unlocked.
                large = Some((*value, is_read));
                return Break(());
            }
            flow = replies.push(&reply, is_read);
            flow
        };
        let done = match &run.place {
            Some(Ok(Place::Volatile)) => {
                local.execute(run.requests, now_ms, |reply| push(ForwardedReply::Reply(reply)))
            }
            Some(Ok(Place::Range(range))) if !run.is_immediate || range.confirms_reads() => break,
            Some(Ok(Place::Range(range))) => {
                let read =
                    local.read(range, run.requests, now_ms, |reply| push(ForwardedReply::Reply(reply)));
                match read {
                    Ok(done) => done,
                    // Those after it are not executed, even if this node leads again.
                    Err(failure) if failure.is_misdirected() => {
                        let _ = replies.push(&ForwardedReply::Failed(failure), true);
                        break;
                    }
                    Err(failure) => run.refuse(|| ForwardedReply::Failed(failure.clone()), push),
                }
            }
            Some(Err(several)) => run.refuse(|| ForwardedReply::Failed(several.clone()), push),
            None => run.refuse(|| ForwardedReply::NotOwner, push),
        };
        if let Some((value, is_read)) = large {
            if value.len() > COPY_BYTES {
                if replies.count > 0 && is_read {
                    // It is the first one when the peer sends it again.
                    break;
                }
                return Some(LargeReply { message: replies.frame.take(), value });
            }
            flow = replies.push(&ForwardedReply::Reply(Reply::Value(&value.to_vec())), is_read);
        }
        rest = &rest[done..];
        let is_late = || !rest.is_empty() && kv::time::now_ms().abs_diff(now_ms) >= TURN_MS;
        if flow.is_break() || is_late() {
            break;
        }
    }
    replies.frame.finish();
    None
}

/// Requests in a row for the same place of this node.
pub(super) struct Run<'r, 'q, 'l> {
    /// `None` if this node does not own the buckets.
    pub(super) place: Option<Result<Place<'l>, RangeFailure>>,
    pub(super) requests: &'r [Request<'q>],
    /// Whether a durable range executes them without its log.
    pub(super) is_immediate: bool,
}

impl<'r, 'q, 'l> Run<'r, 'q, 'l> {
    pub(super) fn first_of(local: &'l LocalNode, requests: &'r [Request<'q>]) -> Option<Run<'r, 'q, 'l>> {
        let place = local.place_of(requests.first()?);
        let is_same = |request: &&Request<'_>| match (&place, local.place_of(request)) {
            (None, None) => true,
            (Some(Ok(place)), Some(Ok(other))) => place.is_same(&other),
            _ => false,
        };
        let count = requests.iter().take_while(is_same).count().max(1);
        let requests = &requests[..count];
        let is_immediate = requests.iter().all(|request| is_immediate(&request.op));
        Some(Run { place, requests, is_immediate })
    }

    /// Pushes the same reply for each request, until the message is full. Returns for how many it did.
    fn refuse<'f>(
        &self,
        reply: impl Fn() -> ForwardedReply<'f>,
        mut push: impl FnMut(ForwardedReply<'_>) -> ControlFlow<()>,
    ) -> usize {
        self.requests.iter().take_while(|_| push(reply()).is_continue()).count()
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
        if !can_wait {
            self.frame.push_executed(MESSAGE_BYTES, reply);
        } else if !self.frame.push_item_within(FRAME_BYTES, reply) {
            return Break(());
        }
        self.count += 1;
        if self.frame.size() < BATCH_BYTES { Continue(()) } else { Break(()) }
    }
}

/// Executes a transaction, and queues the replies to all its requests, or why nothing was done. One for a
/// durable range is proposed.
pub(crate) fn transact(
    local: &LocalNode,
    id: u32,
    watched: &[(FullName<'_>, u64)],
    requests: &[Request<'_>],
    proposals: &mut Proposals,
    queue: &mut SendQueue,
) {
    let names = watched.iter().map(|(full, _)| full.name).chain(requests.iter().flat_map(Request::names));
    let result = match local.common_place(names) {
        Some(Ok(Place::Range(range))) => return proposals.transact(range, id, watched, requests, queue),
        Some(Ok(Place::Volatile)) => {
            let unprepared = TransactionPreparation::default();
            return transact_volatile(local, id, watched, requests, unprepared, queue);
        }
        Some(Err(several)) => TransactionResult::Failed(several),
        None => TransactionResult::NotOwner,
    };
    MessageWriter::begin(queue, &Message::Transacted { id, result }).finish();
}

/// Executes a transaction on volatile buckets, and queues the replies, or why nothing was done.
pub(super) fn transact_volatile(
    local: &LocalNode,
    id: u32,
    watched: &[(FullName<'_>, u64)],
    requests: &[Request<'_>],
    preparation: TransactionPreparation<'_>,
    queue: &mut SendQueue,
) {
    let executed = Message::Transacted { id, result: TransactionResult::Executed };
    let mut frame = MessageWriter::begin(queue, &executed);
    let executed = local.transact(watched, requests, preparation, |reply| {
        frame.push_executed(MESSAGE_BYTES - TRANSACTION_REQUESTS, &ForwardedReply::Reply(reply));
    });
    let result = match executed {
        Ok(true) => {
            frame.finish();
            return;
        }
        Ok(false) => TransactionResult::Aborted,
        Err(error) => TransactionResult::Refused(error),
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
