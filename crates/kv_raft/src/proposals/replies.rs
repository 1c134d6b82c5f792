//! The replies to a group, encoded while it is executed, and decoded by those who wait for them. They never
//! leave the process.

use crate::limits::{REPLY_BYTES, SMALL_REPLY_BYTES};
use bincode::{
    config::standard,
    serde::{borrow_decode_from_slice, encode_into_std_write},
};
use kv::{CommandError, LargeValue, OwnedValue, Reply};
use serde::{Deserialize, Serialize};
use std::sync::Arc;

/// The reply to one request.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum RangeReply<'a> {
    /// The reply of the store.
    Reply(#[serde(borrow)] Reply<'a>),
    /// The request was executed, but the replies of its group are too large together.
    TooLarge,
}

/// What became of a batch, a transaction or a flush.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ProposalOutcome {
    /// It was executed: there is a reply to each request.
    Executed,
    /// A watched bucket has changed. Nothing was done.
    Aborted,
    /// The transaction was refused. Nothing was done.
    Refused(CommandError),
}

/// The replies to all steps of a group.
#[derive(Debug, Default)]
pub(crate) struct GroupReplies {
    bytes: Vec<u8>,
    steps: Vec<Step>,
}

#[derive(Debug)]
struct Step {
    start: usize,
    replies: usize,
    outcome: ProposalOutcome,
}

impl GroupReplies {
    /// Begins the replies to the next step.
    pub(crate) fn begin_step(&mut self) {
        self.steps.push(Step { start: self.bytes.len(), replies: 0, outcome: ProposalOutcome::Executed });
    }

    /// Sets the outcome of the step, if nothing was done.
    pub(crate) fn set_outcome(&mut self, outcome: ProposalOutcome) {
        self.steps.last_mut().expect("begun").outcome = outcome;
    }

    /// Adds the reply to the next request of the step.
    pub(crate) fn push(&mut self, reply: Reply<'_>) {
        let start = self.bytes.len();
        let has_room = |bytes| start < REPLY_BYTES || bytes <= SMALL_REPLY_BYTES;
        // What is large is not copied to be left out.
        let size = match &reply {
            Reply::Value(value) => value.len(),
            Reply::OwnedValue(OwnedValue::Large(value)) => value.len(),
            _ => 0,
        };
        match reply {
            _ if !has_room(size) => self.encode(&RangeReply::TooLarge),
            Reply::OwnedValue(OwnedValue::Large(value)) => self.push_large(&value),
            reply => self.encode(&RangeReply::Reply(reply)),
        }
        if !has_room(self.bytes.len() - start) {
            self.bytes.truncate(start);
            self.encode(&RangeReply::TooLarge);
        }
        self.steps.last_mut().expect("begun").replies += 1;
    }

    /// Adds a large value, from which the one who waits for it borrows.
    fn push_large(&mut self, value: &LargeValue) {
        self.encode(&RangeReply::Reply(Reply::Value(b"")));
        // The last byte is the length.
        self.bytes.pop();
        encode_into_std_write(value.len(), &mut self.bytes, standard()).expect("as below");
        value.slices().for_each(|slice| self.bytes.extend_from_slice(slice));
    }

    fn encode(&mut self, reply: &RangeReply<'_>) {
        encode_into_std_write(reply, &mut self.bytes, standard()).expect("writing to memory does not fail");
    }

    /// A single transaction that was refused.
    pub(crate) fn refused(error: CommandError) -> GroupReplies {
        let mut replies = GroupReplies::default();
        replies.begin_step();
        replies.set_outcome(ProposalOutcome::Refused(error));
        replies
    }

    /// A single step with a single reply.
    pub(crate) fn single(reply: Reply<'_>) -> GroupReplies {
        let mut replies = GroupReplies::default();
        replies.begin_step();
        replies.push(reply);
        replies
    }
}

/// The replies to the requests of one step, in order.
#[derive(Debug)]
pub struct Replies {
    group: Arc<GroupReplies>,
    step: usize,
    position: usize,
    remaining: usize,
}

impl Replies {
    pub(super) fn new(group: Arc<GroupReplies>, step: usize) -> Replies {
        let Step { start, replies, .. } = group.steps[step];
        Replies { group, step, position: start, remaining: replies }
    }

    /// What became of the step.
    pub fn outcome(&self) -> &ProposalOutcome {
        &self.group.steps[self.step].outcome
    }

    /// The number of replies that have not been taken.
    pub fn len(&self) -> usize {
        self.remaining
    }

    /// Whether all have been taken.
    pub fn is_empty(&self) -> bool {
        self.remaining == 0
    }

    /// Bytes of those that have not been taken.
    pub fn bytes(&self) -> usize {
        let next = self.group.steps.get(self.step + 1);
        next.map_or(self.group.bytes.len(), |next| next.start) - self.position
    }

    /// Takes the next reply.
    pub fn next_reply(&mut self) -> Option<RangeReply<'_>> {
        self.remaining = self.remaining.checked_sub(1)?;
        let (reply, read) = borrow_decode_from_slice(&self.group.bytes[self.position..], standard())
            .expect("as it was encoded");
        self.position += read;
        Some(reply)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_step_has_its_replies_and_its_outcome() {
        let mut group = GroupReplies::default();
        group.begin_step();
        group.push(Reply::Done);
        group.push(Reply::Value(b"1"));
        group.begin_step();
        group.set_outcome(ProposalOutcome::Aborted);
        let group = Arc::new(group);
        let mut first = Replies::new(group.clone(), 0);
        assert_eq!((first.len(), first.outcome()), (2, &ProposalOutcome::Executed));
        assert!(first.bytes() > 0);
        assert_eq!(first.next_reply(), Some(RangeReply::Reply(Reply::Done)));
        assert_eq!(first.next_reply(), Some(RangeReply::Reply(Reply::Value(b"1"))));
        assert_eq!(first.next_reply(), None);
        assert_eq!(first.bytes(), 0);
        let second = Replies::new(group, 1);
        assert_eq!((second.is_empty(), second.outcome()), (true, &ProposalOutcome::Aborted));
        assert_eq!(second.bytes(), 0);
    }

    #[test]
    fn large_values_are_borrowed_from_the_replies() {
        let (mut group, value) = (GroupReplies::default(), vec![b'x'; 3_000_000]);
        group.begin_step();
        group.push(LargeValue::copy_of(&value).expect("memory").into());
        group.push(Reply::Done);
        let mut replies = Replies::new(Arc::new(group), 0);
        assert!(replies.next_reply() == Some(RangeReply::Reply(Reply::Value(&value))));
        assert_eq!(replies.next_reply(), Some(RangeReply::Reply(Reply::Done)));
    }

    #[test]
    fn the_replies_of_a_group_are_bounded_by_leaving_out_large_ones() {
        let (mut group, half) = (GroupReplies::default(), vec![0; REPLY_BYTES / 2]);
        let (small, list) = (&half[..SMALL_REPLY_BYTES / 2], Reply::List(vec![Reply::Number(1); 2_000]));
        group.begin_step();
        for value in [&half, &half, &half, small] {
            group.push(Reply::Value(value));
        }
        group.push(list);
        group.push(Reply::Done);
        assert!(group.bytes.len() < REPLY_BYTES + 2 * SMALL_REPLY_BYTES, "{}", group.bytes.len());
        let mut replies = Replies::new(Arc::new(group), 0);
        let kept: Vec<_> =
            (0..6).map(|_| replies.next_reply().expect("a reply") != RangeReply::TooLarge).collect();
        assert_eq!(kept, [true, true, false, true, false, true]);
    }
}
