//! What replicas of a range send each other, and its encoding. The order of variants and fields is the
//! protocol: another one needs another version of links.

use crate::{
    group::GroupBytes,
    limits::LISTED_REPLICAS,
    log::encoding::{LogId, Payload, Vote},
};
use bincode::{
    config::standard,
    error::DecodeError,
    serde::{borrow_decode_from_slice, encode_into_std_write},
};
use serde::{Deserialize, Serialize};
use std::sync::Arc;

/// The first of a frame: whom it is for, and whom it is from. Ids of replicas are never used twice.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Envelope {
    /// The replica; [`ANY`] is that of the range which the body names.
    pub(crate) to: u64,
    pub(crate) from: u64,
}

/// The replica of a range on a node that is not known yet.
pub(crate) const ANY: u64 = 0;

/// What follows the envelope.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Body<'a> {
    /// The sender is the replica of a range on its node.
    Hello {
        #[serde(with = "serde_bytes")]
        start: &'a [u8],
        end: Option<Box<[u8]>>,
        /// Whether its log names the members of the range.
        has_members: bool,
        /// Whether the receiver is to say so as well.
        wants_reply: bool,
    },
    Call {
        id: u64,
        #[serde(borrow)]
        call: Call<'a>,
    },
    Reply {
        id: u64,
        reply: Reply,
    },
}

/// A call of one replica to another.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Call<'a> {
    /// Entries of the leader's log; none are a heartbeat.
    Append {
        vote: Vote,
        previous: Option<LogId>,
        committed: Option<LogId>,
        #[serde(borrow)]
        entries: Vec<(LogId, SentPayload<'a>)>,
    },
    /// A candidate asks for a vote.
    Vote { vote: Vote, last: Option<LogId> },
    /// Bytes of the leader's snapshot, from `offset` on.
    Snapshot {
        vote: Vote,
        /// Where in the log it is, encoded.
        #[serde(with = "serde_bytes")]
        position: &'a [u8],
        bytes: u64,
        offset: u64,
        #[serde(with = "serde_bytes")]
        part: &'a [u8],
    },
    /// The leader by this vote leads no more: the replica, which has all its entries, is to lead. There is no
    /// reply.
    TakeOver { vote: Vote },
}

/// What an entry says, on its way to another replica.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum SentPayload<'a> {
    Blank,
    Group(#[serde(with = "serde_bytes")] &'a [u8]),
    Members { voters: Vec<Vec<u64>>, learners: Vec<u64> },
}

impl SentPayload<'_> {
    /// Whether a leader may send it.
    pub(crate) fn is_valid(&self) -> bool {
        match self {
            SentPayload::Blank | SentPayload::Group(_) => true,
            SentPayload::Members { voters, learners } => {
                has_voters(voters) && learners.len() <= LISTED_REPLICAS
            }
        }
    }
}

/// Whether these are the voters of a range: those of today, or before and after while they change.
pub(crate) fn has_voters(voters: &[Vec<u64>]) -> bool {
    let is_valid = |voters: &Vec<u64>| (1..=LISTED_REPLICAS).contains(&voters.len());
    (1..=2).contains(&voters.len()) && voters.iter().all(is_valid)
}

/// The reply to a call.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Reply {
    /// The entries are on disk.
    Appended,
    /// Those up to this one are.
    AppendedTo(Option<LogId>),
    /// The log of the replica has no such entry before them.
    Conflict,
    /// The replica has seen this vote, which is higher.
    HigherVote(Vote),
    Vote {
        vote: Vote,
        is_granted: bool,
        last: Option<LogId>,
    },
    /// The replica has the bytes of the snapshot before this one.
    SnapshotNext(u64),
    /// The snapshot is loaded.
    SnapshotLoaded(Vote),
}

impl Reply {
    /// Whether it is that of a follower to its leader.
    pub(crate) fn is_of_follower(&self) -> bool {
        matches!(self, Reply::Appended | Reply::AppendedTo(_) | Reply::Conflict)
    }
}

impl<'a> From<&'a Payload> for SentPayload<'a> {
    fn from(payload: &'a Payload) -> SentPayload<'a> {
        match payload {
            Payload::Blank => SentPayload::Blank,
            Payload::Group(group) => SentPayload::Group(group),
            Payload::Members { voters, learners } => {
                SentPayload::Members { voters: voters.clone(), learners: learners.clone() }
            }
        }
    }
}

impl From<SentPayload<'_>> for Payload {
    fn from(payload: SentPayload<'_>) -> Payload {
        match payload {
            SentPayload::Blank => Payload::Blank,
            SentPayload::Group(group) => Payload::Group(Arc::new(GroupBytes(group.to_vec()))),
            SentPayload::Members { voters, learners } => Payload::Members { voters, learners },
        }
    }
}

/// A frame.
pub(crate) fn encode(envelope: Envelope, body: &Body<'_>) -> Vec<u8> {
    let mut bytes = Vec::new();
    encode_into_std_write((envelope, body), &mut bytes, standard()).expect("writing to memory does not fail");
    bytes
}

/// The envelope of a frame, and its other bytes.
pub(crate) fn decode_envelope(frame: &[u8]) -> Result<(Envelope, &[u8]), DecodeError> {
    let (envelope, read) = borrow_decode_from_slice(frame, standard())?;
    Ok((envelope, &frame[read..]))
}

/// The body of a frame.
pub(crate) fn decode_body(bytes: &[u8]) -> Result<Body<'_>, DecodeError> {
    borrow_decode_from_slice(bytes, standard()).map(|(body, _)| body)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Another encoding is another protocol.
    #[test]
    fn frames_have_the_encoding_of_their_version() {
        let id = LogId { term: 1, leader: 2, index: 3 };
        let vote = Vote { term: 1, replica: 2, is_committed: true };
        let append = Call::Append {
            vote,
            previous: Some(id),
            committed: None,
            entries: vec![(id, SentPayload::Group(b"ab")), (id, SentPayload::Blank)],
        };
        let snapshot = Call::Snapshot { vote, position: b"p", bytes: 9, offset: 8, part: b"x" };
        let hello = Body::Hello { start: b"a", end: None, has_members: true, wants_reply: false };
        let envelope = Envelope { to: 7, from: 8 };
        for (body, expected) in [
            (hello, &[0, 1, b'a', 0, 1, 0][..]),
            (
                Body::Call { id: 5, call: append },
                &[1, 5, 0, 1, 2, 1, 1, 1, 2, 3, 0, 2, 1, 2, 3, 1, 2, b'a', b'b', 1, 2, 3, 0],
            ),
            (Body::Call { id: 5, call: snapshot }, &[1, 5, 2, 1, 2, 1, 1, b'p', 9, 8, 1, b'x']),
            (Body::Call { id: 5, call: Call::TakeOver { vote } }, &[1, 5, 3, 1, 2, 1]),
            (Body::Reply { id: 5, reply: Reply::SnapshotNext(6) }, &[2, 5, 5, 6]),
        ] {
            let frame = encode(envelope, &body);
            assert_eq!(frame, [&[7, 8][..], expected].concat(), "{body:?}");
            let (found, rest) = decode_envelope(&frame).expect("an envelope");
            assert_eq!((found, decode_body(rest).expect("a body")), (envelope, body));
        }
    }
}
