//! The calls of the library to other replicas.

use super::{
    frame::{Call, Reply, SentPayload},
    transport::{PendingCall, Transport},
    types::{
        Kinds, RaftLogId, RaftVote, entry_bytes, id_from, id_to, members_to, position_of, vote_from, vote_to,
    },
};
use crate::{
    limits::{CALL_RATE, CALL_WAIT, HEARTBEAT, SNAPSHOT_PART_BYTES},
    snapshot::taking::Snapshots,
};
use openraft::{
    BasicNode, EntryPayload, OptionalSend, RaftNetwork, RaftNetworkFactory, Snapshot, StorageError,
    StorageIOError,
    error::{Fatal, RPCError, RaftError, ReplicationClosed, StreamingError, Unreachable},
    network::{Backoff, RPCOption},
    raft::{AppendEntriesRequest, AppendEntriesResponse, SnapshotResponse, VoteRequest, VoteResponse},
};
use std::{
    fs::File,
    future::pending,
    io::{self, ErrorKind},
    os::unix::fs::FileExt,
    sync::Arc,
    time::{Duration, Instant},
};
use tokio::{
    task::block_in_place,
    time::{sleep, timeout},
};

type RpcError = RPCError<u64, BasicNode, RaftError<u64>>;
type SnapshotError = StreamingError<Kinds, Fatal<u64>>;

/// How the library reaches other replicas.
pub(super) struct Network {
    /// `None` if there are none.
    pub(super) transport: Option<Arc<Transport>>,
    pub(super) snapshots: Arc<Snapshots>,
}

impl RaftNetworkFactory<Kinds> for Network {
    type Network = RemoteReplica;

    async fn new_client(&mut self, replica: u64, _: &BasicNode) -> RemoteReplica {
        let (transport, snapshots) = (self.transport.clone(), self.snapshots.clone());
        RemoteReplica { replica, transport, snapshots, in_flight: None }
    }
}

/// Another replica, of which this one is the leader, or a candidate.
pub(super) struct RemoteReplica {
    replica: u64,
    transport: Option<Arc<Transport>>,
    snapshots: Arc<Snapshots>,
    /// The entries that it was sent last, if it has not answered.
    in_flight: Option<InFlightEntries>,
}

/// Entries that were sent. The library ends its wait for the reply after the time between two heartbeats, and
/// large ones take longer: the next wait is for the same reply then.
struct InFlightEntries {
    entries: SentEntries,
    call: PendingCall,
    /// When the call, or its reply, is taken to be lost.
    end: Instant,
}

/// Which entries were sent: those behind `previous`, up to `last`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct SentEntries {
    vote: RaftVote,
    previous: Option<RaftLogId>,
    last: Option<RaftLogId>,
}

impl SentEntries {
    fn of(request: &AppendEntriesRequest<Kinds>) -> SentEntries {
        let (vote, previous) = (request.vote, request.prev_log_id);
        let last = request.entries.last().map(|entry| entry.log_id).or(previous);
        SentEntries { vote, previous, last }
    }

    /// What a reply to them says; `None` if it cannot be one to them.
    fn response(&self, reply: &Reply) -> Option<AppendEntriesResponse<u64>> {
        match reply {
            Reply::Appended => Some(AppendEntriesResponse::Success),
            Reply::AppendedTo(last) => {
                let last = last.map(id_from);
                let is_sent = self.previous <= last && last <= self.last;
                is_sent.then_some(AppendEntriesResponse::PartialSuccess(last))
            }
            Reply::Conflict => self.previous.map(|_| AppendEntriesResponse::Conflict),
            Reply::HigherVote(higher) => {
                let higher = vote_from(*higher);
                (higher > self.vote).then_some(AppendEntriesResponse::HigherVote(higher))
            }
            Reply::Vote { .. } | Reply::SnapshotNext(_) | Reply::SnapshotLoaded(_) => None,
        }
    }
}

impl RemoteReplica {
    /// The way to the replica, if it is known where that is.
    fn transport(&self) -> Result<&Arc<Transport>, Unreachable> {
        let transport = self.transport.as_ref();
        let transport = transport.filter(|transport| transport.node_of(self.replica).is_some());
        transport.ok_or_else(|| Unreachable::new(&io::Error::from(ErrorKind::NotConnected)))
    }

    fn send(&self, request: &AppendEntriesRequest<Kinds>) -> Result<PendingCall, Unreachable> {
        let entries = request.entries.iter().map(|entry| (id_to(entry.log_id), to_sent(&entry.payload)));
        let vote = vote_to(request.vote);
        let call = Call::Append {
            vote,
            previous: request.prev_log_id.map(id_to),
            committed: request.leader_commit.map(id_to),
            entries: entries.collect(),
        };
        Ok(self.transport()?.append(self.replica, vote, call))
    }

    /// Sends entries, and waits for the reply. If they are in flight already it sends a heartbeat, so that
    /// the replica does not take its leader for dead meanwhile. A reply that cannot be one to them is lost.
    async fn append(
        &mut self,
        request: &AppendEntriesRequest<Kinds>,
    ) -> Result<AppendEntriesResponse<u64>, Unreachable> {
        let entries = SentEntries::of(request);
        if request.entries.is_empty() {
            let reply = self.send(request)?.reply().await;
            return entries.response(&reply).ok_or_else(unexpected);
        }
        let is_same =
            |in_flight: &InFlightEntries| in_flight.entries == entries && Instant::now() < in_flight.end;
        let mut heartbeat = None;
        if self.in_flight.as_ref().is_some_and(is_same) {
            heartbeat = Some(self.send(&AppendEntriesRequest { entries: Vec::new(), ..*request })?);
        } else {
            let bytes: usize = request.entries.iter().map(entry_bytes).sum();
            let wait = CALL_WAIT + Duration::from_secs((bytes / CALL_RATE) as u64);
            let (call, end) = (self.send(request)?, Instant::now() + wait);
            self.in_flight = Some(InFlightEntries { entries, call, end });
        }
        let in_flight = self.in_flight.as_mut().expect("sent");
        loop {
            let heartbeat_reply = async {
                match &mut heartbeat {
                    Some(heartbeat) => heartbeat.reply().await,
                    None => pending().await,
                }
            };
            tokio::select! {
                reply = in_flight.call.reply() => {
                    self.in_flight = None;
                    return entries.response(&reply).ok_or_else(unexpected);
                }
                () = sleep(HEARTBEAT / 4), if cfg!(kv_fault = "answer_before_majority") => {
                    return Ok(AppendEntriesResponse::Success);
                }
                reply = heartbeat_reply => {
                    heartbeat = None;
                    let response = SentEntries { last: entries.previous, ..entries }.response(&reply);
                    if let Some(higher @ AppendEntriesResponse::HigherVote(_)) = response {
                        return Ok(higher);
                    }
                }
            }
        }
    }

    /// Sends a snapshot in parts, from where the replica has it on. A part that is lost is asked for again.
    async fn send_snapshot(
        &self,
        vote: RaftVote,
        position: &[u8],
        file: &File,
        bytes: u64,
    ) -> Result<SnapshotResponse<u64>, SnapshotError> {
        let failed = |error| StorageError::from(StorageIOError::read_snapshot(None, &error));
        let (vote, mut offset, mut part) = (vote_to(vote), 0, Vec::new());
        loop {
            let call = Call::Snapshot { vote, position, bytes, offset, part: &part };
            let mut call = self.transport()?.call(self.replica, call);
            let reply = timeout(CALL_WAIT, call.reply()).await;
            part.clear();
            match reply {
                // It may be loading it. An empty part asks how far it is.
                Err(_) => {}
                Ok(Reply::SnapshotNext(next)) => {
                    offset = next.min(bytes);
                    part.resize((bytes - offset).min(SNAPSHOT_PART_BYTES as u64) as usize, 0);
                    block_in_place(|| file.read_exact_at(&mut part, offset)).map_err(failed)?;
                }
                Ok(Reply::SnapshotLoaded(vote) | Reply::HigherVote(vote)) => {
                    return Ok(SnapshotResponse::new(vote_from(vote)));
                }
                Ok(_) => return Err(unexpected().into()),
            }
        }
    }
}

/// A reply that cannot be one to its call.
fn unexpected() -> Unreachable {
    Unreachable::new(&io::Error::from(ErrorKind::InvalidData))
}

impl RaftNetwork<Kinds> for RemoteReplica {
    async fn append_entries(
        &mut self,
        request: AppendEntriesRequest<Kinds>,
        _: RPCOption,
    ) -> Result<AppendEntriesResponse<u64>, RpcError> {
        Ok(self.append(&request).await?)
    }

    async fn vote(&mut self, request: VoteRequest<u64>, _: RPCOption) -> Result<VoteResponse<u64>, RpcError> {
        let call = Call::Vote { vote: vote_to(request.vote), last: request.last_log_id.map(id_to) };
        let transport = self.transport()?;
        match transport.call(self.replica, call).reply().await {
            Reply::Vote { vote, is_granted, last } => {
                if last.map(id_from) > request.last_log_id {
                    transport.contact.note_behind();
                }
                Ok(VoteResponse::new(vote_from(vote), last.map(id_from), is_granted))
            }
            _ => Err(unexpected().into()),
        }
    }

    async fn full_snapshot(
        &mut self,
        vote: RaftVote,
        snapshot: Snapshot<Kinds>,
        cancelled: impl Future<Output = ReplicationClosed> + OptionalSend + 'static,
        _: RPCOption,
    ) -> Result<SnapshotResponse<u64>, SnapshotError> {
        let failed = |error| StorageError::from(StorageIOError::read_snapshot(None, &error));
        let Some(position) = position_of(&snapshot.meta) else {
            return Err(failed(io::Error::from(ErrorKind::NotFound)).into());
        };
        // It is there to its end, even if the next one takes its place.
        let file = File::open(self.snapshots.path(position.last.index)).map_err(failed)?;
        let bytes = file.metadata().map_err(failed)?.len();
        let position = position.to_bytes();
        tokio::select! {
            sent = self.send_snapshot(vote, &position, &file, bytes) => sent,
            closed = cancelled => Err(closed.into()),
        }
    }

    fn backoff(&self) -> Backoff {
        Backoff::new(std::iter::repeat(HEARTBEAT))
    }
}

/// What an entry says, for another replica.
fn to_sent(payload: &EntryPayload<Kinds>) -> SentPayload<'_> {
    match payload {
        EntryPayload::Blank => SentPayload::Blank,
        EntryPayload::Normal(proposal) => SentPayload::Group(&proposal.logged),
        EntryPayload::Membership(members) => {
            let (voters, learners) = members_to(members);
            SentPayload::Members { voters, learners }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::log::encoding::{LogId, Vote};

    const VOTE: Vote = Vote { term: 3, replica: 7, is_committed: true };

    fn id(term: u64, index: u64) -> LogId {
        LogId { term, leader: 7, index }
    }

    #[test]
    fn only_a_reply_to_entries_acknowledges_them() {
        let previous = Some(id_from(id(2, 4)));
        let entries = SentEntries { vote: vote_from(VOTE), previous, last: Some(id_from(id(3, 6))) };
        assert_eq!(entries.response(&Reply::Appended), Some(AppendEntriesResponse::Success));
        assert_eq!(entries.response(&Reply::Conflict), Some(AppendEntriesResponse::Conflict));
        for last in [Some(id(2, 4)), Some(id(3, 5)), Some(id(3, 6))] {
            let response = AppendEntriesResponse::PartialSuccess(last.map(id_from));
            assert_eq!(entries.response(&Reply::AppendedTo(last)), Some(response));
        }
        let vote = Vote { term: 4, ..VOTE };
        let higher = AppendEntriesResponse::HigherVote(vote_from(vote));
        assert_eq!(entries.response(&Reply::HigherVote(vote)), Some(higher));
        for lost in [
            Reply::AppendedTo(None),
            Reply::AppendedTo(Some(id(1, 4))),
            Reply::AppendedTo(Some(id(3, 7))),
            Reply::HigherVote(VOTE),
            Reply::Vote { vote, is_granted: true, last: None },
            Reply::SnapshotNext(0),
            Reply::SnapshotLoaded(VOTE),
        ] {
            assert_eq!(entries.response(&lost), None, "{lost:?}");
        }
        let first = SentEntries { previous: None, ..entries };
        assert_eq!(first.response(&Reply::Conflict), None, "nothing is before the first entry");
    }
}
