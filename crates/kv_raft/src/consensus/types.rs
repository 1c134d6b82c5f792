//! The types of the library, and ours as those.

use crate::{
    group::GroupBytes,
    log::encoding::{self, Payload, Position},
    proposals::ClosedGroup,
};
use openraft::{
    BasicNode, CommittedLeaderId, Entry, EntryPayload, Membership, SnapshotMeta, StorageError,
    StoredMembership,
};
use std::{
    collections::BTreeSet,
    fmt::{self, Debug, Formatter},
    path::PathBuf,
    sync::Arc,
};

openraft::declare_raft_types!(
    /// The types of our replicas. What comes with a snapshot is the file of one of another replica.
    pub(super) Kinds: D = Proposal, R = (), NodeId = u64, Node = BasicNode, SnapshotData = Option<PathBuf>,
        Entry = Entry<Kinds>,
);

pub(super) type RaftLogId = openraft::LogId<u64>;
pub(super) type RaftVote = openraft::Vote<u64>;
pub(super) type Members = StoredMembership<u64, BasicNode>;
pub(super) type Failed = StorageError<u64>;

/// A group that is proposed, or one that was read from the log.
#[derive(Clone)]
pub(crate) struct Proposal {
    pub(super) logged: Arc<GroupBytes>,
    /// The group, if this node has proposed it.
    pub(super) group: Option<Arc<ClosedGroup>>,
}

impl Debug for Proposal {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        write!(f, "a group of {} bytes", self.logged.len())
    }
}

pub(super) fn from_log(id: encoding::LogId, payload: Payload) -> Entry<Kinds> {
    let payload = match payload {
        Payload::Blank => EntryPayload::Blank,
        Payload::Group(logged) => EntryPayload::Normal(Proposal { logged, group: None }),
        Payload::Members { voters, learners } => EntryPayload::Membership(members_from(&voters, &learners)),
    };
    Entry { log_id: id_from(id), payload }
}

pub(super) fn members_from(voters: &[Vec<u64>], learners: &[u64]) -> Membership<u64, BasicNode> {
    let all: BTreeSet<u64> = voters.iter().flatten().chain(learners).copied().collect();
    Membership::new(voters.iter().map(|set| set.iter().copied().collect()).collect(), all)
}

pub(super) fn members_to(members: &Membership<u64, BasicNode>) -> (Vec<Vec<u64>>, Vec<u64>) {
    let voters = members.get_joint_config().iter().map(|set| set.iter().copied().collect()).collect();
    (voters, members.learner_ids().collect())
}

/// Bytes of the group of an entry.
pub(super) fn entry_bytes(entry: &Entry<Kinds>) -> usize {
    match &entry.payload {
        EntryPayload::Normal(proposal) => proposal.logged.len(),
        EntryPayload::Blank | EntryPayload::Membership(_) => 0,
    }
}

/// Where in the log a snapshot is; `None` if there is none.
pub(super) fn position_of(meta: &SnapshotMeta<u64, BasicNode>) -> Option<Position> {
    let (voters, learners) = members_to(meta.last_membership.membership());
    let (last, since) = (meta.last_log_id?, (*meta.last_membership.log_id())?);
    Some(Position { last: id_to(last), members_since: id_to(since), voters, learners })
}

/// What the library knows of a snapshot.
pub(super) fn meta_of(position: &Position) -> SnapshotMeta<u64, BasicNode> {
    let Position { last, members_since, voters, learners } = position;
    SnapshotMeta {
        last_log_id: Some(id_from(*last)),
        last_membership: Members::new(Some(id_from(*members_since)), members_from(voters, learners)),
        snapshot_id: last.index.to_string(),
    }
}

pub(super) fn id_from(encoding::LogId { term, leader, index }: encoding::LogId) -> RaftLogId {
    RaftLogId::new(CommittedLeaderId::new(term, leader), index)
}

pub(super) fn id_to(id: RaftLogId) -> encoding::LogId {
    encoding::LogId { term: id.leader_id.term, leader: id.leader_id.node_id, index: id.index }
}

pub(super) fn vote_from(encoding::Vote { term, replica, is_committed }: encoding::Vote) -> RaftVote {
    match is_committed {
        true => RaftVote::new_committed(term, replica),
        false => RaftVote::new(term, replica),
    }
}

pub(super) fn vote_to(vote: RaftVote) -> encoding::Vote {
    let openraft::LeaderId { term, node_id } = vote.leader_id;
    encoding::Vote { term, replica: node_id, is_committed: vote.committed }
}
