//! The replies to a group, encoded while it is executed, and decoded by those who wait for them. They never
//! leave the process.

use crate::limits::{REPLY_BYTES, SMALL_REPLY_BYTES};
use bincode::{
    config::standard,
    serde::{borrow_decode_from_slice, encode_into_std_write},
};
use kv::{CommandError, LargeValue, OwnedValue, Reply, free_buffer};
use serde::{Deserialize, Serialize};
use std::sync::Arc;

/// The reply to one request.
#[derive(Debug, PartialEq, Eq)]
pub enum RangeReply<'a> {
    /// The reply of the store.
    Reply(Reply<'a>),
    /// The request was executed, but the replies of its group are too large together.
    TooLarge,
}

/// A reply as it is encoded.
#[derive(Serialize, Deserialize)]
enum Encoded<'a> {
    Reply(#[serde(borrow)] Reply<'a>),
    /// The next of the large values.
    Large,
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
    /// Those that are large values of the store, which they share.
    large: Vec<LargeValue>,
    large_bytes: usize,
    steps: Vec<Step>,
}

#[derive(Debug)]
struct Step {
    start: usize,
    /// The large values before its own.
    large: usize,
    replies: usize,
    outcome: ProposalOutcome,
    /// Whether nothing was done, because one of the buckets had been split off.
    is_split_off: bool,
}

impl GroupReplies {
    /// Begins the replies to the next step.
    pub(crate) fn begin_step(&mut self) {
        let (start, large, outcome) = (self.bytes.len(), self.large.len(), ProposalOutcome::Executed);
        self.steps.push(Step { start, large, replies: 0, outcome, is_split_off: false });
    }

    /// Sets the outcome of the step, if nothing was done.
    pub(crate) fn set_outcome(&mut self, outcome: ProposalOutcome) {
        self.steps.last_mut().expect("begun").outcome = outcome;
    }

    /// Nothing was done of the step, because one of its buckets had been split off.
    pub(crate) fn set_split_off(&mut self) {
        self.steps.last_mut().expect("begun").is_split_off = true;
    }

    /// Whether nothing was done of a step, because one of its buckets had been split off.
    pub(super) fn is_split_off(&self, step: usize) -> bool {
        self.steps[step].is_split_off
    }

    /// Adds the reply to the next request of the step.
    pub(crate) fn push(&mut self, reply: Reply<'_>) {
        let start = self.bytes.len();
        let is_full = start + self.large_bytes >= REPLY_BYTES;
        let has_room = |bytes| !is_full || bytes <= SMALL_REPLY_BYTES;
        let encoded = match reply {
            // It is not copied to be left out.
            Reply::Value(value) if !has_room(value.len()) => Encoded::TooLarge,
            Reply::OwnedValue(OwnedValue::Large(_)) if is_full => Encoded::TooLarge,
            Reply::OwnedValue(OwnedValue::Large(value)) => {
                self.large_bytes += value.len();
                self.large.push(*value);
                Encoded::Large
            }
            reply => Encoded::Reply(reply),
        };
        self.encode(&encoded);
        if !has_room(self.bytes.len() - start) {
            self.bytes.truncate(start);
            self.encode(&Encoded::TooLarge);
        }
        self.steps.last_mut().expect("begun").replies += 1;
    }

    fn encode(&mut self, reply: &Encoded<'_>) {
        encode_into_std_write(reply, &mut self.bytes, standard()).expect("writing to memory does not fail");
    }

    /// A single transaction that was refused.
    pub(crate) fn refused(error: CommandError) -> GroupReplies {
        let mut replies = GroupReplies::default();
        replies.begin_step();
        replies.set_outcome(ProposalOutcome::Refused(error));
        replies
    }

    /// Bytes of memory that they hold.
    pub(crate) fn bytes(&self) -> usize {
        self.bytes.len() + self.large_bytes
    }

    /// The replies to the only step.
    pub(crate) fn into_step(self) -> Replies {
        Replies::new(Arc::new(self), 0)
    }

    /// A single step with a single reply.
    pub(crate) fn single(reply: Reply<'_>) -> GroupReplies {
        let mut replies = GroupReplies::default();
        replies.begin_step();
        replies.push(reply);
        replies
    }
}

impl Drop for GroupReplies {
    fn drop(&mut self) {
        free_buffer(std::mem::take(&mut self.bytes));
    }
}

/// The replies to the requests of one step, in order.
#[derive(Debug)]
pub struct Replies {
    group: Arc<GroupReplies>,
    step: usize,
    position: usize,
    /// The place of the next large value.
    large: usize,
    remaining: usize,
}

impl Replies {
    pub(super) fn new(group: Arc<GroupReplies>, step: usize) -> Replies {
        let Step { start, large, replies, .. } = group.steps[step];
        Replies { group, step, position: start, large, remaining: replies }
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

    /// Bytes of memory that it holds: its part of those of the group, which are kept for the last one.
    pub fn held_bytes(&self) -> usize {
        (self.group.bytes.capacity() + self.group.large_bytes) / Arc::strong_count(&self.group)
    }

    /// Takes the next reply.
    pub fn next_reply(&mut self) -> Option<RangeReply<'_>> {
        self.remaining = self.remaining.checked_sub(1)?;
        let (encoded, read) = borrow_decode_from_slice(&self.group.bytes[self.position..], standard())
            .expect("as it was encoded");
        self.position += read;
        Some(match encoded {
            Encoded::Reply(reply) => RangeReply::Reply(reply),
            Encoded::Large => {
                self.large += 1;
                RangeReply::Reply(self.group.large[self.large - 1].clone().into())
            }
            Encoded::TooLarge => RangeReply::TooLarge,
        })
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
        assert_eq!(first.next_reply(), Some(RangeReply::Reply(Reply::Done)));
        assert_eq!(first.next_reply(), Some(RangeReply::Reply(Reply::Value(b"1"))));
        assert_eq!(first.next_reply(), None);
        let second = Replies::new(group, 1);
        assert_eq!((second.is_empty(), second.outcome()), (true, &ProposalOutcome::Aborted));
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

    #[test]
    fn large_values_of_the_store_are_shared_and_counted() {
        let large = LargeValue::copy_of(&vec![b'x'; REPLY_BYTES / 2 + 1]).expect("memory");
        let mut group = GroupReplies::default();
        group.begin_step();
        group.push(Reply::from(large.clone()));
        group.begin_step();
        for reply in [Reply::Done, large.clone().into(), large.clone().into(), Reply::Done] {
            group.push(reply);
        }
        assert!(group.bytes.capacity() < SMALL_REPLY_BYTES);
        let group = Arc::new(group);
        let is_shared =
            |reply: Option<RangeReply<'_>>| reply == Some(RangeReply::Reply(large.clone().into()));
        assert!(is_shared(Replies::new(group.clone(), 0).next_reply()));
        let mut replies = Replies::new(group, 1);
        assert_eq!(replies.next_reply(), Some(RangeReply::Reply(Reply::Done)));
        assert!(is_shared(replies.next_reply()));
        assert_eq!(replies.next_reply(), Some(RangeReply::TooLarge));
        assert_eq!(replies.next_reply(), Some(RangeReply::Reply(Reply::Done)));
    }
}
