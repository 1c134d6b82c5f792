//! Answers the calls of other replicas.

use super::{
    contact::{Contact, LeaderCall},
    frame::{self, Body, Call, Reply, has_voters},
    lease::Lease,
    transport::{AnswerCalls, BoxedReply},
    types::{Kinds, RaftVote, from_log, id_from, id_to, meta_of, vote_from, vote_to},
};
use crate::{
    group::process,
    limits::{TAKE_OVER_ATTEMPTS, TAKE_OVER_PAUSE},
    log::encoding::{LogId, Position},
    snapshot::{
        receive::{IncomingSnapshot, Received, SnapshotId},
        taking::Snapshots,
    },
};
use openraft::{
    Raft, Snapshot,
    raft::{AppendEntriesRequest, AppendEntriesResponse, VoteRequest, VoteResponse},
};
use otp::LogLimiter;
use std::sync::Arc;
use tokio::{sync::Mutex, task::block_in_place, time::interval};

/// Answers the calls of other replicas.
pub(super) struct CallHandler {
    pub(super) raft: Raft<Kinds>,
    pub(super) lease: Arc<Lease>,
    pub(super) contact: Arc<Contact>,
    pub(super) snapshots: Arc<Snapshots>,
    /// Calls that no replica makes.
    pub(super) malformed: LogLimiter,
    pub(super) incoming: Mutex<Incoming>,
}

/// The snapshots of other replicas.
#[derive(Default)]
pub(super) struct Incoming {
    /// The one that arrives.
    arriving: Option<IncomingSnapshot>,
    /// The last entry of the one that was loaded last.
    loaded: Option<LogId>,
}

impl AnswerCalls for CallHandler {
    fn answer(self: Arc<Self>, from: u64, body: Vec<u8>) -> BoxedReply {
        Box::pin(async move {
            match process(body.len(), || Asked::decode(&body)) {
                Some(Asked::Append { number, request }) => {
                    drop(body);
                    self.append(number, request).await
                }
                Some(Asked::Vote(request)) => self.vote(request).await,
                Some(Asked::TakeOver(handed_over)) => {
                    self.take_over(handed_over).await;
                    None
                }
                Some(Asked::Snapshot { vote, position }) => {
                    let Ok(Body::Call { call: Call::Snapshot { bytes, offset, part, .. }, .. }) =
                        frame::decode_body(&body)
                    else {
                        return None;
                    };
                    self.receive_part(from, vote, position, (bytes, offset, part)).await
                }
                None => {
                    if self.malformed.admit() {
                        tracing::warn!(from, "a call of another replica is malformed; it is dropped");
                    }
                    None
                }
            }
        })
    }
}

/// A call that was decoded.
enum Asked {
    Append { number: u64, request: AppendEntriesRequest<Kinds> },
    Vote(VoteRequest<u64>),
    TakeOver(LeaderCall),
    Snapshot { vote: RaftVote, position: Position },
}

impl Asked {
    /// Returns `None` if no replica would ask that. The library relies on it.
    fn decode(body: &[u8]) -> Option<Asked> {
        let Ok(Body::Call { id: number, call }) = frame::decode_body(body) else { return None };
        match call {
            Call::Append { vote, previous, committed, entries } => {
                let ids = entries.iter().map(|(id, _)| *id);
                let are_valid =
                    are_consecutive(previous, ids) && entries.iter().all(|(_, sent)| sent.is_valid());
                let entries = entries.into_iter().map(|(id, payload)| from_log(id, payload.into()));
                are_valid.then(|| {
                    let request = AppendEntriesRequest {
                        vote: vote_from(vote),
                        prev_log_id: previous.map(id_from),
                        leader_commit: committed.map(id_from),
                        entries: entries.collect(),
                    };
                    Asked::Append { number, request }
                })
            }
            Call::Vote { vote, last } => {
                Some(Asked::Vote(VoteRequest { vote: vote_from(vote), last_log_id: last.map(id_from) }))
            }
            Call::TakeOver { vote } => Some(Asked::TakeOver(LeaderCall { vote, number })),
            Call::Snapshot { vote, position, .. } => {
                let (position, _) = Position::from_bytes(position)?;
                let is_valid = has_voters(&position.voters) && position.last.index < u64::MAX;
                is_valid.then(|| Asked::Snapshot { vote: vote_from(vote), position })
            }
        }
    }
}

/// Whether entries with these ids follow each other in a log, behind `previous`, and another one may follow.
fn are_consecutive(previous: Option<LogId>, mut ids: impl Iterator<Item = LogId>) -> bool {
    let (mut leader, mut next) = match previous {
        Some(previous) => ((previous.term, previous.leader), previous.index.checked_add(1)),
        None => ((0, 0), Some(0)),
    };
    let follow = ids.all(|id| {
        let follows = Some(id.index) == next && (id.term, id.leader) >= leader;
        (leader, next) = ((id.term, id.leader), id.index.checked_add(1));
        follows
    });
    follow && next.is_some()
}

impl CallHandler {
    async fn append(&self, number: u64, request: AppendEntriesRequest<Kinds>) -> Option<Reply> {
        let call = LeaderCall { vote: vote_to(request.vote), number };
        let answering = self.contact.begin_answer(call).await;
        let response = self.raft.append_entries(request).await.ok()?;
        let follows = !matches!(response, AppendEntriesResponse::HigherVote(_));
        if follows && !answering.end().await {
            return None;
        }
        Some(match response {
            AppendEntriesResponse::Success => Reply::Appended,
            AppendEntriesResponse::PartialSuccess(last) => Reply::AppendedTo(last.map(id_to)),
            AppendEntriesResponse::Conflict => Reply::Conflict,
            AppendEntriesResponse::HigherVote(vote) => Reply::HigherVote(vote_to(vote)),
        })
    }

    /// A leader votes for no other one as long as it has its lease, since it reads without asking.
    async fn vote(&self, request: VoteRequest<u64>) -> Option<Reply> {
        if !self.lease.suspend() {
            return None;
        }
        self.contact.begin_vote().await;
        let voted = self.raft.vote(request).await;
        let is_granted = voted.as_ref().is_ok_and(|response| response.vote_granted);
        self.contact.end_vote(is_granted).await;
        let VoteResponse { vote, last_log_id, .. } = voted.ok()?;
        if !is_granted {
            self.lease.resume();
        }
        Some(Reply::Vote { vote: vote_to(vote), is_granted, last: last_log_id.map(id_to) })
    }

    /// Calls elections until there is another leader than the one that hands over. The others do not vote for
    /// this replica before they have received nothing of that one for some time.
    async fn take_over(&self, handed_over: LeaderCall) {
        let is_decided = || {
            let vote = vote_to(self.raft.server_metrics().borrow().vote);
            vote.is_committed && vote != handed_over.vote
        };
        // An election that is called while one is being won undoes that.
        let mut ticks = interval(TAKE_OVER_PAUSE);
        for _ in 0..TAKE_OVER_ATTEMPTS {
            ticks.tick().await;
            if is_decided() {
                return;
            }
            let called = self.contact.take_over(handed_over, self.raft.trigger().elect()).await;
            if !matches!(called, Some(Ok(()))) {
                return;
            }
        }
    }

    /// Takes a part of a snapshot. When it is whole it is loaded, which takes long: meanwhile there is no
    /// reply to who asks again, and one at once when it is.
    async fn receive_part(
        &self,
        from: u64,
        vote: RaftVote,
        position: Position,
        (bytes, offset, part): (u64, u64, &[u8]),
    ) -> Option<Reply> {
        let own_vote = self.raft.server_metrics().borrow().vote;
        if own_vote > vote {
            return Some(Reply::HigherVote(vote_to(own_vote)));
        }
        let mut incoming = self.incoming.try_lock().ok()?;
        let mut snapshot = Snapshot { meta: meta_of(&position), snapshot: Box::default() };
        // The library does not load again what it has.
        if incoming.loaded < Some(position.last) {
            let id = SnapshotId { replica: from, last: position.last, bytes };
            let received =
                block_in_place(|| self.snapshots.receive(&mut incoming.arriving, id, offset, part));
            match received {
                Ok(Received::Next(next)) => return Some(Reply::SnapshotNext(next)),
                Ok(Received::Whole(path)) => *snapshot.snapshot = Some(path),
                Err(error) => {
                    tracing::warn!(%error, "a snapshot of another replica cannot be written");
                    return None;
                }
            }
        }
        let loaded = self.raft.install_full_snapshot(vote, snapshot).await.ok()?;
        incoming.arriving = None;
        if loaded.vote <= vote {
            incoming.loaded = incoming.loaded.max(Some(position.last));
        }
        Some(Reply::SnapshotLoaded(vote_to(loaded.vote)))
    }
}

#[cfg(test)]
mod tests {
    use super::{
        super::frame::{Envelope, SentPayload},
        *,
    };
    use crate::log::encoding::Vote;

    const VOTE: Vote = Vote { term: 3, replica: 7, is_committed: true };

    fn id(term: u64, index: u64) -> LogId {
        LogId { term, leader: 7, index }
    }

    /// Whether a call is answered.
    fn is_accepted(call: Call<'_>) -> bool {
        let frame = frame::encode(Envelope { to: 1, from: 7 }, &Body::Call { id: 5, call });
        let (_, body) = frame::decode_envelope(&frame).expect("an envelope");
        Asked::decode(body).is_some()
    }

    #[test]
    fn entries_that_do_not_follow_each_other_never_reach_the_library() {
        for (previous, ids, is_valid) in [
            (None, &[][..], true),
            (None, &[id(0, 0), id(1, 1)], true),
            (Some(id(2, 4)), &[id(2, 5), id(3, 6)], true),
            (None, &[id(1, 1)], false),
            (Some(id(2, 4)), &[id(2, 6)], false),
            (Some(id(2, 4)), &[id(2, 5), id(2, 5)], false),
            (Some(id(2, 4)), &[id(2, 5), id(2, 4)], false),
            (Some(id(2, 4)), &[id(1, 5)], false),
            (Some(id(2, 4)), &[id(3, 5), id(2, 6)], false),
            (Some(id(2, u64::MAX)), &[], false),
            (Some(id(2, u64::MAX)), &[id(2, 0)], false),
            (Some(id(2, u64::MAX - 1)), &[id(2, u64::MAX)], false),
        ] {
            let entries = ids.iter().map(|id| (*id, SentPayload::Blank)).collect();
            let append = Call::Append { vote: VOTE, previous, committed: None, entries };
            assert_eq!(is_accepted(append), is_valid, "{previous:?} {ids:?}");
        }
    }

    #[test]
    fn members_without_voters_never_reach_the_library() {
        let too_many: Vec<u64> = (0..256).collect();
        for (voters, learners, is_valid) in [
            (vec![vec![1], vec![1, 2, 3]], vec![2], true),
            (vec![], vec![1], false),
            (vec![vec![1], vec![]], vec![], false),
            (vec![vec![1]; 3], vec![], false),
            (vec![too_many.clone()], vec![], false),
            (vec![vec![1]], too_many, false),
        ] {
            let entries = vec![(id(0, 0), SentPayload::Members { voters: voters.clone(), learners })];
            let append = Call::Append { vote: VOTE, previous: None, committed: None, entries };
            assert_eq!(is_accepted(append), is_valid, "{voters:?}");
        }
    }
}
