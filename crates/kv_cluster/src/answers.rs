//! What this node answers to a peer. A request for a bucket that is not ours is refused, never forwarded again.

use crate::{
    limits::{ANSWERS_BYTES, BATCH_BYTES, FRAME_BYTES, TRANSACTION_REQUESTS},
    local::Local,
    question::{self, Question, Told},
    wire::{Answer, Frame, Message, Verdict},
};
use kv::Request;
use serde_bytes::Bytes;
use std::ops::ControlFlow::{self, Break, Continue};

/// Executes a call, and writes the answers to as many of its requests as one frame takes.
pub(crate) fn call(local: &Local, id: u32, requests: &[Request<'_>], out: &mut Vec<u8>) {
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
            true => local.store.execute(&rest[..run], kv::now(), |reply| answer(Answer::Reply(reply))),
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
    /// Breaks off when the frame has taken enough. The answer to a read that no longer fits is left out and asked for
    /// again. A write must not be done twice: what GETDEL answers is gone.
    fn add(&mut self, answer: &Answer<'_>, is_read: bool) -> ControlFlow<()> {
        let limit = if is_read { FRAME_BYTES } else { self.frame.bytes() + FRAME_BYTES };
        if !self.frame.item_within(limit, answer) {
            if is_read && self.count > 0 {
                return Break(());
            }
            self.frame.item_within(ANSWERS_BYTES, &Answer::TooLarge);
        }
        self.count += 1;
        if self.frame.bytes() < BATCH_BYTES { Continue(()) } else { Break(()) }
    }
}

/// Executes a transaction whole, and writes the answers to all its requests, or that nothing was done.
pub(crate) fn transact(
    local: &Local,
    id: u32,
    watched: &[(&Bytes, u64)],
    requests: &[Request<'_>],
    out: &mut Vec<u8>,
) {
    let watched: Vec<(&[u8], u64)> = watched.iter().map(|(name, version)| (&name[..], *version)).collect();
    let mut frame = Frame::begin(out, &Message::Transacted { id, verdict: Verdict::Done });
    let ours = watched.iter().all(|(name, _)| local.owns(name))
        && requests.iter().all(|request| local.owns_all(request));
    let done = ours
        && local.store.transact(&watched, requests, kv::now(), |reply| {
            // Too late to refuse: what does not fit leaves a byte that says so, for which there is always room.
            if !frame.item_within(FRAME_BYTES - TRANSACTION_REQUESTS, &Answer::Reply(reply)) {
                frame.item(&Answer::TooLarge);
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
pub(crate) fn tell(local: &Local, id: u32, question: &Question<'_>, out: &mut Vec<u8>) {
    let frame = Frame::begin(out, &Message::Told { id, told: question::answer(local, question) });
    if frame.bytes() <= FRAME_BYTES {
        frame.finish();
        return;
    }
    frame.abandon();
    Frame::begin(out, &Message::Told { id, told: Told::TooLarge }).finish();
}
