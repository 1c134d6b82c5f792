//! What this node answers to a peer. A request for a bucket that is not ours is refused, never forwarded again.

use crate::{
    limits::{BATCH_BYTES, FRAME_BYTES, MESSAGE_BYTES, TRANSACTION_REQUESTS},
    link::codec::{Answer, Message, Verdict},
    link::node_query::{self, Question, Told},
    link::send_queue::{Frame, Outgoing},
    local::LocalNode,
};
use kv::Request;
use serde_bytes::Bytes;
use std::ops::ControlFlow::{self, Break, Continue};

/// Executes a call, and writes the answers to as many of its requests as one message takes.
pub(crate) fn call(local: &LocalNode, id: u32, requests: &[Request<'_>], out: &mut Outgoing) {
    let mut answers = Answers { frame: Frame::begin(out, &Message::Answers { id }), count: 0 };
    let mut rest = requests;
    while let Some(first) = rest.first() {
        let ours = local.owns_all(first);
        let run = rest.iter().take_while(|request| local.owns_all(request) == ours).count();
        let mut flow = Continue(());
        let mut asked = rest[..run].iter();
        let mut answer = |answer: Answer<'_>| {
            let is_read = asked.next().is_none_or(|request| request.op.is_read());
            flow = answers.add(&answer, is_read);
            flow
        };
        let done = match ours {
            true => local.execute(&rest[..run], kv::time::now_ms(), |reply| answer(Answer::Reply(reply))),
            false => rest[..run].iter().take_while(|_| answer(Answer::NotOwner).is_continue()).count(),
        };
        if flow.is_break() {
            break;
        }
        rest = &rest[done..];
    }
    answers.frame.finish();
}

/// The answers of one call, written as they come.
struct Answers<'a> {
    frame: Frame<'a>,
    count: usize,
}

impl Answers<'_> {
    /// Breaks off when the frame has taken enough. The answer to a read that exceeds it is left out and asked for
    /// again, unless it comes first. A write must not be done twice: what GETDEL answers is gone.
    fn add(&mut self, answer: &Answer<'_>, is_read: bool) -> ControlFlow<()> {
        let may_wait = is_read && self.count > 0;
        let limit = if may_wait { FRAME_BYTES } else { MESSAGE_BYTES };
        if !self.frame.item_within(limit, answer) {
            if may_wait {
                return Break(());
            }
            self.frame.item_within(MESSAGE_BYTES, &Answer::TooLarge);
        }
        self.count += 1;
        if self.frame.bytes() < BATCH_BYTES { Continue(()) } else { Break(()) }
    }
}

/// Executes a transaction whole, and writes the answers to all its requests, or that nothing was done.
pub(crate) fn transact(
    local: &LocalNode,
    id: u32,
    watched: &[(&Bytes, u64)],
    requests: &[Request<'_>],
    out: &mut Outgoing,
) {
    let watched: Vec<(&[u8], u64)> = watched.iter().map(|(name, version)| (&name[..], *version)).collect();
    let mut frame = Frame::begin(out, &Message::Transacted { id, verdict: Verdict::Done });
    let ours = watched.iter().all(|(name, _)| local.owns(name))
        && requests.iter().all(|request| local.owns_all(request));
    let done = ours
        && local.transact(&watched, requests, kv::time::now_ms(), |reply| {
            // Too late to refuse: what does not fit leaves a byte that says so, for which there is always room.
            if !frame.item_within(MESSAGE_BYTES - TRANSACTION_REQUESTS, &Answer::Reply(reply)) {
                frame.item_within(MESSAGE_BYTES, &Answer::TooLarge);
            }
        });
    if done {
        frame.finish();
        return;
    }
    frame.abandon();
    let verdict = if ours { Verdict::Aborted } else { Verdict::NotOwner };
    Frame::begin(out, &Message::Transacted { id, verdict }).finish();
}

/// Answers a question to this node as a whole.
pub(crate) fn tell(local: &LocalNode, id: u32, question: &Question<'_>, out: &mut Outgoing) {
    let frame = Frame::begin(out, &Message::Told { id, told: node_query::answer(local, question) });
    if frame.bytes() <= FRAME_BYTES {
        frame.finish();
        return;
    }
    frame.abandon();
    Frame::begin(out, &Message::Told { id, told: Told::TooLarge }).finish();
}

#[cfg(test)]
mod tests {
    use super::*;
    use kv::Reply;

    #[test]
    fn an_answer_that_exceeds_a_message_is_told_as_such_unless_it_can_be_asked_for_again() {
        // The system gives zeros their memory when they are read, which nobody does.
        let huge = vec![0; MESSAGE_BYTES];
        let (done, huge) = (Answer::Reply(Reply::Done), Answer::Reply(Reply::Value(&huge)));
        let mut out = Outgoing::default();
        for (before, is_read, count) in [(0, true, 1), (1, true, 1), (0, false, 1), (1, false, 2)] {
            let mut answers =
                Answers { frame: Frame::begin(&mut out, &Message::Answers { id: 0 }), count: 0 };
            (0..before).for_each(|_| assert!(answers.add(&done, true).is_continue()));
            let flow = answers.add(&huge, is_read);
            assert_eq!((answers.count, flow.is_continue()), (count, count > before), "{before} {is_read}");
            assert!(answers.frame.bytes() < 10);
        }
    }
}
