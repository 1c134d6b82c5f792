//! The calls of the library to other replicas, and theirs to it.

use super::{
    frame::{self, Body, Call, Reply, SentPayload},
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
    log::encoding::Position,
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
    vote: RaftVote,
    last: RaftLogId,
    sent: Duration,
    call: PendingCall,
    /// When the call, or its reply, is taken to be lost.
    end: Instant,
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
        let (sent, vote) = (lease::now(), request.vote);
        let Some(last) = request.entries.last().map(|entry| entry.log_id) else {
            let reply = self.send(request)?.reply().await;
            return Ok(self.accept(vote, sent, reply));
        };
        let is_same = |in_flight: &InFlightEntries| {
            in_flight.vote == vote && in_flight.last == last && Instant::now() < in_flight.end
        };
        let mut heartbeat = None;
        if self.in_flight.as_ref().is_some_and(is_same) {
            heartbeat = Some(self.send(&AppendEntriesRequest { entries: Vec::new(), ..*request })?);
        } else {
            let bytes: usize = request.entries.iter().map(entry_bytes).sum();
            let wait = CALL_WAIT + Duration::from_secs((bytes / CALL_RATE) as u64);
            let (call, end) = (self.send(request)?, Instant::now() + wait);
            self.in_flight = Some(InFlightEntries { vote, last, sent, call, end });
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
                    return Ok(self.accept(vote, sent, reply));
                }
                reply = heartbeat_reply => {
                    heartbeat = None;
                    if !matches!(reply, Reply::HigherVote(_)) {
                        self.lease.extend(vote_to(vote), self.replica, sent);
                    }
                }
            }
        }
    }

    /// What a reply to entries says. If it is that of a follower, it extends the lease.
    fn accept(&self, vote: RaftVote, sent: Duration, reply: Reply) -> AppendEntriesResponse<u64> {
        let response = match reply {
            Reply::HigherVote(higher) => return AppendEntriesResponse::HigherVote(vote_from(higher)),
            Reply::AppendedTo(last) => AppendEntriesResponse::PartialSuccess(last.map(id_from)),
            Reply::Conflict => AppendEntriesResponse::Conflict,
            _ => AppendEntriesResponse::Success,
        };
        self.lease.extend(vote_to(vote), self.replica, sent);
        response
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
                Ok(_) => return Err(Unreachable::new(&io::Error::from(ErrorKind::InvalidData)).into()),
            }
        }
    }
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
            _ => Err(Unreachable::new(&io::Error::from(ErrorKind::InvalidData)).into()),
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
                None => None,
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
    fn decode(body: &[u8]) -> Option<Asked> {
        let Ok(Body::Call { call, .. }) = frame::decode_body(body) else { return None };
        Some(match call {
            Call::Append { vote, previous, committed, entries } => {
                let entries = entries.into_iter().map(|(id, payload)| from_log(id, payload.into()));
                Asked::Append(AppendEntriesRequest {
                    vote: vote_from(vote),
                    prev_log_id: previous.map(id_from),
                    leader_commit: committed.map(id_from),
                    entries: entries.collect(),
                })
            }
            Call::Vote { vote, last } => {
                Asked::Vote(VoteRequest { vote: vote_from(vote), last_log_id: last.map(id_from) })
            }
            Call::TakeOver => Asked::TakeOver,
            Call::Snapshot { vote, position, .. } => {
                Asked::Snapshot { vote: vote_from(vote), position: Position::from_bytes(position)?.0 }
            }
        })
    }
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
