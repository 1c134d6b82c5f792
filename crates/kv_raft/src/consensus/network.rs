//! The calls of the library to other replicas, and theirs to it.

use super::{
    frame::{self, Body, Call, Reply, SentPayload, has_voters},
    lease::{self, Lease},
    transport::{AnswerCalls, BoxedReply, Contact, PendingCall, Transport},
    types::{
        Kinds, RaftLogId, RaftVote, entry_bytes, from_log, id_from, id_to, members_to, meta_of, position_of,
        vote_from, vote_to,
    },
};
use crate::{
    group::process,
    limits::{CALL_RATE, CALL_WAIT, HEARTBEAT, SNAPSHOT_PART_BYTES, TAKE_OVER_ATTEMPTS, TAKE_OVER_PAUSE},
    log::encoding::{LogId, Position},
    snapshot::{
        receive::{IncomingSnapshot, Received, SnapshotId},
        taking::Snapshots,
    },
};
use openraft::{
    BasicNode, EntryPayload, OptionalSend, Raft, RaftNetwork, RaftNetworkFactory, Snapshot, StorageError,
    StorageIOError,
    error::{Fatal, RPCError, RaftError, ReplicationClosed, StreamingError, Unreachable},
    network::{Backoff, RPCOption},
    raft::{AppendEntriesRequest, AppendEntriesResponse, SnapshotResponse, VoteRequest, VoteResponse},
};
use otp::LogLimiter;
use std::{
    fs::File,
    future::pending,
    io::{self, ErrorKind},
    os::unix::fs::FileExt,
    sync::Arc,
    time::{Duration, Instant},
};
use tokio::{
    sync::Mutex,
    task::block_in_place,
    time::{interval, timeout},
};

type RpcError = RPCError<u64, BasicNode, RaftError<u64>>;
type SnapshotError = StreamingError<Kinds, Fatal<u64>>;

/// How the library reaches other replicas.
pub(super) struct Network {
    /// `None` if there are none.
    pub(super) transport: Option<Arc<Transport>>,
    pub(super) lease: Arc<Lease>,
    pub(super) snapshots: Arc<Snapshots>,
}

impl RaftNetworkFactory<Kinds> for Network {
    type Network = RemoteReplica;

    async fn new_client(&mut self, replica: u64, _: &BasicNode) -> RemoteReplica {
        let Network { transport, lease, snapshots } = self;
        let (transport, lease, snapshots) = (transport.clone(), lease.clone(), snapshots.clone());
        RemoteReplica { replica, transport, lease, snapshots, in_flight: None }
    }
}

/// Another replica, of which this one is the leader, or a candidate.
pub(super) struct RemoteReplica {
    replica: u64,
    transport: Option<Arc<Transport>>,
    lease: Arc<Lease>,
    snapshots: Arc<Snapshots>,
    /// The entries that it was sent last, if it has not answered.
    in_flight: Option<InFlightEntries>,
}

/// Entries that were sent. The library ends its wait for the reply after the time between two heartbeats, and
/// large ones take longer: the next wait is for the same reply then.
struct InFlightEntries {
    entries: SentEntries,
    sent: Duration,
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
    fn call(&self, call: Call<'_>) -> Result<PendingCall, Unreachable> {
        let transport = self.transport.as_ref();
        let transport = transport.filter(|transport| transport.node_of(self.replica).is_some());
        match transport {
            Some(transport) => Ok(transport.call(self.replica, call)),
            None => Err(Unreachable::new(&io::Error::from(ErrorKind::NotConnected))),
        }
    }

    fn send(&self, request: &AppendEntriesRequest<Kinds>) -> Result<PendingCall, Unreachable> {
        let entries = request.entries.iter().map(|entry| (id_to(entry.log_id), to_sent(&entry.payload)));
        self.call(Call::Append {
            vote: vote_to(request.vote),
            previous: request.prev_log_id.map(id_to),
            committed: request.leader_commit.map(id_to),
            entries: entries.collect(),
        })
    }

    /// Sends entries, and waits for the reply. If they are in flight already it sends a heartbeat, so that
    /// the replica does not take its leader for dead meanwhile.
    async fn append(
        &mut self,
        request: &AppendEntriesRequest<Kinds>,
    ) -> Result<AppendEntriesResponse<u64>, Unreachable> {
        let (entries, sent) = (SentEntries::of(request), lease::now());
        if request.entries.is_empty() {
            let reply = self.send(request)?.reply().await;
            return self.accept(&entries, sent, &reply);
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
            self.in_flight = Some(InFlightEntries { entries, sent, call, end });
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
                    let sent = in_flight.sent;
                    self.in_flight = None;
                    return self.accept(&entries, sent, &reply);
                }
                reply = heartbeat_reply => {
                    heartbeat = None;
                    match (SentEntries { last: entries.previous, ..entries }).response(&reply) {
                        Some(higher @ AppendEntriesResponse::HigherVote(_)) => return Ok(higher),
                        Some(_) => self.lease.extend(vote_to(entries.vote), self.replica, sent),
                        None => {}
                    }
                }
            }
        }
    }

    /// What a reply to entries says. If it is that of a follower, it extends the lease. One that cannot be a
    /// reply to them is lost.
    fn accept(
        &self,
        entries: &SentEntries,
        sent: Duration,
        reply: &Reply,
    ) -> Result<AppendEntriesResponse<u64>, Unreachable> {
        let response = entries.response(reply).ok_or_else(unexpected)?;
        if !matches!(response, AppendEntriesResponse::HigherVote(_)) {
            self.lease.extend(vote_to(entries.vote), self.replica, sent);
        }
        Ok(response)
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
            let call = self.call(Call::Snapshot { vote, position, bytes, offset, part: &part });
            let reply = timeout(CALL_WAIT, call?.reply()).await;
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
        match self.call(call)?.reply().await {
            Reply::Vote { vote, is_granted, last } => {
                if let Some(transport) = &self.transport
                    && last.map(id_from) > request.last_log_id
                {
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

/// Answers the calls of other replicas.
pub(super) struct CallHandler {
    pub(super) raft: Raft<Kinds>,
    pub(super) lease: Arc<Lease>,
    pub(super) contact: Arc<Contact>,
    pub(super) snapshots: Arc<Snapshots>,
    /// Calls that no replica makes.
    pub(super) malformed: LogLimiter,
    /// The snapshot that arrives.
    pub(super) incoming: Mutex<Option<IncomingSnapshot>>,
}

impl AnswerCalls for CallHandler {
    fn answer(self: Arc<Self>, from: u64, body: Vec<u8>) -> BoxedReply {
        Box::pin(async move {
            match process(body.len(), || Asked::decode(&body)) {
                Some(Asked::Append(request)) => {
                    drop(body);
                    self.append(request).await
                }
                Some(Asked::Vote(request)) => self.vote(request).await,
                Some(Asked::TakeOver) => {
                    self.take_over().await;
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
    Append(AppendEntriesRequest<Kinds>),
    Vote(VoteRequest<u64>),
    TakeOver,
    Snapshot { vote: RaftVote, position: Position },
}

impl Asked {
    /// Returns `None` if no replica would ask that. The library relies on it.
    fn decode(body: &[u8]) -> Option<Asked> {
        let Ok(Body::Call { call, .. }) = frame::decode_body(body) else { return None };
        match call {
            Call::Append { vote, previous, committed, entries } => {
                let ids = entries.iter().map(|(id, _)| *id);
                let are_valid =
                    are_consecutive(previous, ids) && entries.iter().all(|(_, sent)| sent.is_valid());
                let entries = entries.into_iter().map(|(id, payload)| from_log(id, payload.into()));
                are_valid.then(|| {
                    Asked::Append(AppendEntriesRequest {
                        vote: vote_from(vote),
                        prev_log_id: previous.map(id_from),
                        leader_commit: committed.map(id_from),
                        entries: entries.collect(),
                    })
                })
            }
            Call::Vote { vote, last } => {
                Some(Asked::Vote(VoteRequest { vote: vote_from(vote), last_log_id: last.map(id_from) }))
            }
            Call::TakeOver => Some(Asked::TakeOver),
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
    async fn append(&self, request: AppendEntriesRequest<Kinds>) -> Option<Reply> {
        // No election is called while entries wait for the disk.
        self.contact.note();
        let response = self.raft.append_entries(request).await.ok()?;
        if !matches!(response, AppendEntriesResponse::HigherVote(_)) {
            self.contact.note();
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
        let VoteResponse { vote, vote_granted, last_log_id } = self.raft.vote(request).await.ok()?;
        if !vote_granted {
            self.lease.resume();
        }
        Some(Reply::Vote { vote: vote_to(vote), is_granted: vote_granted, last: last_log_id.map(id_to) })
    }

    /// Calls elections until another replica leads than before, or this one. The others do not vote for it
    /// before they have received nothing of the leader before for some time.
    async fn take_over(&self) {
        let leader = || self.raft.server_metrics().borrow().current_leader;
        let before = leader();
        // An election that is called while one is being won undoes that.
        let mut ticks = interval(TAKE_OVER_PAUSE);
        for _ in 0..TAKE_OVER_ATTEMPTS {
            ticks.tick().await;
            let is_decided = leader().is_some_and(|leader| Some(leader) != before);
            if is_decided || self.raft.trigger().elect().await.is_err() {
                return;
            }
        }
    }

    /// Takes a part of a snapshot. When it is whole it is loaded, which takes long: meanwhile there is no
    /// reply to who asks again.
    async fn receive_part(
        &self,
        from: u64,
        vote: RaftVote,
        position: Position,
        (bytes, offset, part): (u64, u64, &[u8]),
    ) -> Option<Reply> {
        let mut incoming = self.incoming.try_lock().ok()?;
        let id = SnapshotId { replica: from, last: position.last, bytes };
        let received = block_in_place(|| self.snapshots.receive(&mut incoming, id, offset, part));
        match received {
            Ok(Received::Next(next)) => Some(Reply::SnapshotNext(next)),
            Ok(Received::Whole(path)) => {
                let snapshot = Snapshot { meta: meta_of(&position), snapshot: Box::new(Some(path)) };
                let loaded = self.raft.install_full_snapshot(vote, snapshot).await.ok()?;
                *incoming = None;
                Some(Reply::SnapshotLoaded(vote_to(loaded.vote)))
            }
            Err(error) => {
                tracing::warn!(%error, "a snapshot of another replica cannot be written");
                None
            }
        }
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
    use super::{super::frame::Envelope, *};
    use crate::log::encoding::Vote;

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
