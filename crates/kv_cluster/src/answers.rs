//! What this node answers to a peer. A request for a bucket that is not ours is refused, never forwarded again.

use crate::{
    limits::BATCH_BYTES,
    local::Local,
    wire::{Answer, Frame, Message},
};
use kv::Request;
use serde_bytes::Bytes;
use std::ops::ControlFlow::{self, Break, Continue};

/// Executes a call, and writes the answers to as many of its requests as one frame takes.
pub(crate) fn call(local: &Local, id: u32, requests: &[Request<'_>], out: &mut Vec<u8>) {
    let mut answers = Answers { frame: Frame::begin(out, &Message::Answers { id }), count: 0 };
    let mut rest = requests;
    while let Some(first) = rest.first() {
        let ours = local.owns(first.bucket);
        let run = rest.iter().take_while(|request| local.owns(request.bucket) == ours).count();
        let mut flow = Continue(());
        let mut answer = |answer: Answer<'_>| {
            flow = answers.add(&answer);
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
    /// Breaks off when the frame has taken enough. An answer that no longer fits is left out and asked for again,
    /// which does no harm: only those to reads are large.
    fn add(&mut self, answer: &Answer<'_>) -> ControlFlow<()> {
        if !self.frame.item(answer) {
            if self.count > 0 {
                return Break(());
            }
            self.frame.item(&Answer::TooLarge);
        }
        self.count += 1;
        if self.frame.bytes() < BATCH_BYTES { Continue(()) } else { Break(()) }
    }
}

/// Writes one page of the names of our buckets.
pub(crate) fn list(local: &Local, id: u32, cursor: u64, out: &mut Vec<u8>) {
    let page = local.store.buckets(cursor, &kv::Wanted::default(), kv::now());
    let message = Message::Names { id, next: page.next, complete: true };
    let mut frame = Frame::begin(out, &message);
    if page.names.iter().all(|name| frame.item(&Bytes::new(name))) {
        frame.finish();
    } else {
        frame.abandon();
        Frame::begin(out, &Message::Names { id, next: 0, complete: false }).finish();
    }
}
