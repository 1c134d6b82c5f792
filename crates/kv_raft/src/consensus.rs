//! Consensus about the log of a range: the only file that names the library for it, openraft. It gives the
//! library our log and our machine, and its errors our names.
//!
//! A range has one voter today, this replica: it is a majority, so it leads as soon as it has asked itself.

use crate::{
    group::{GroupBytes, process},
    limits::{ELECTION, HEARTBEAT},
    log::{
        self, Log,
        encoding::{self, Done, Payload, Position},
    },
    machine::{InFlight, Machine},
    proposals::ClosedGroup,
    snapshot::taking::{Snapshots, Taking},
};
use openraft::{
    AnyError, BasicNode, CommittedLeaderId, Config, Entry, EntryPayload, LogState, Membership, OptionalSend,
    Raft, RaftLogReader, RaftNetwork, RaftNetworkFactory, RaftSnapshotBuilder, Snapshot, SnapshotMeta,
    SnapshotPolicy, StorageError, StorageIOError, StoredMembership,
    error::{Fatal, RPCError, RaftError, ReplicationClosed, StreamingError, Unreachable},
    network::RPCOption,
    raft::{AppendEntriesRequest, AppendEntriesResponse, SnapshotResponse, VoteRequest, VoteResponse},
    storage::{LogFlushed, RaftLogStorage, RaftStateMachine},
};
use parking_lot::Mutex;
use std::{
    collections::{BTreeMap, BTreeSet},
    error::Error,
    fmt::{self, Debug, Formatter},
    io,
    iter::successors,
    ops::{Bound, RangeBounds},
    sync::{Arc, Weak},
    time::Duration,
};

openraft::declare_raft_types!(
    /// The types of our replicas.
    Kinds: D = Proposal, R = (), NodeId = u64, Node = BasicNode, SnapshotData = (), Entry = Entry<Kinds>,
);

type LogId = openraft::LogId<u64>;
type Vote = openraft::Vote<u64>;
type Members = StoredMembership<u64, BasicNode>;
type Failed = StorageError<u64>;

/// A group that is proposed, or one that was read from the log.
#[derive(Clone)]
pub(crate) struct Proposal {
    logged: Arc<GroupBytes>,
    /// The group, if this node has proposed it.
    group: Option<Arc<ClosedGroup>>,
}

impl Debug for Proposal {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        write!(f, "a group of {} bytes", self.logged.len())
    }
}

/// The replica cannot go on: the log has failed, or an entry could not be executed.
#[derive(Debug, Clone, thiserror::Error)]
#[error("{0}")]
pub(crate) struct Broken(String);

impl Broken {
    /// The error that was passed to the library, without its words.
    fn new(error: &(dyn Error + 'static)) -> Broken {
        let mut causes = successors(Some(error), |error| <dyn Error>::source(*error));
        Broken(match causes.find_map(|cause| cause.downcast_ref::<AnyError>()) {
            Some(passed) => passed.clone().with_type(None::<String>).to_string(),
            None => format!("the consensus has ended: {error}"),
        })
    }
}

impl From<Fatal<u64>> for Broken {
    fn from(error: Fatal<u64>) -> Broken {
        Broken::new(&error)
    }
}

/// The replica of a range on this node.
pub(crate) struct Consensus(Raft<Kinds>);

impl Consensus {
    /// Takes part in the consensus about what is in the log behind that which the machine has executed.
    pub(crate) async fn start(
        replica: u64,
        log: Arc<Mutex<Log>>,
        machine: Machine,
        snapshots: Arc<Snapshots>,
    ) -> Result<Consensus, Broken> {
        let milliseconds = |duration: Duration| duration.as_millis() as u64;
        let config = Config {
            heartbeat_interval: milliseconds(HEARTBEAT),
            election_timeout_min: milliseconds(ELECTION.0),
            election_timeout_max: milliseconds(ELECTION.1),
            // It would count entries alone. The log goes with the snapshot that has it.
            snapshot_policy: SnapshotPolicy::Never,
            max_in_snapshot_log_to_keep: 0,
            ..Config::default()
        };
        let machine = StateMachine { machine, snapshots, log: Arc::downgrade(&log) };
        let log = LogStore { log, in_flight: machine.machine.in_flight.clone() };
        Ok(Consensus(Raft::new(replica, Arc::new(config), NoPeers, log, machine).await?))
    }

    /// Begins to take a snapshot, unless one is being taken. The log before it goes when it is on disk.
    pub(crate) async fn begin_snapshot(&self) -> Result<(), Broken> {
        Ok(self.0.trigger().snapshot().await?)
    }

    /// Makes this replica the leader, as the only voter of its range.
    pub(crate) async fn lead_alone(&self, replica: u64) -> Result<(), Broken> {
        // It has members since it first started.
        if !self.0.is_initialized().await? {
            let members = BTreeMap::from([(replica, BasicNode::default())]);
            self.0.initialize(members).await.map_err(|error| Broken::new(&error))?;
        }
        if self.0.current_leader().await != Some(replica) {
            self.0.trigger().elect().await?;
        }
        let leads = self.0.wait(None).current_leader(replica, "the only voter leads").await;
        leads.map(drop).map_err(|error| Broken::new(&error))
    }

    /// Writes a group to the log, and executes it.
    pub(crate) async fn propose(&self, group: Arc<ClosedGroup>) -> Result<(), Broken> {
        let proposal = Proposal { logged: group.logged.clone(), group: Some(group) };
        self.0.client_write(proposal).await.map(drop).map_err(|error| Broken::new(&error))
    }

    /// Ends the replica. Its log can be opened again after that.
    pub(crate) async fn stop(self) {
        drop(self.0.shutdown().await);
    }
}

/// Our log, as the library sees it.
#[derive(Clone)]
struct LogStore {
    log: Arc<Mutex<Log>>,
    in_flight: InFlight,
}

impl LogStore {
    /// An entry for our log. A group of this node is in flight from now on.
    fn to_log(&self, entry: Entry<Kinds>) -> (encoding::LogId, Payload) {
        let id = id_to(entry.log_id);
        let payload = match entry.payload {
            EntryPayload::Blank => Payload::Blank,
            EntryPayload::Normal(Proposal { logged, group }) => {
                if let Some(group) = group {
                    self.in_flight.set(id, group);
                }
                Payload::Group(logged)
            }
            EntryPayload::Membership(members) => {
                let (voters, learners) = members_to(&members);
                Payload::Members { voters, learners }
            }
        };
        (id, payload)
    }
}

impl RaftLogReader<Kinds> for LogStore {
    async fn try_get_log_entries<RB: RangeBounds<u64> + Clone + Debug + OptionalSend>(
        &mut self,
        range: RB,
    ) -> Result<Vec<Entry<Kinds>>, Failed> {
        let start = match range.start_bound() {
            Bound::Included(start) => *start,
            Bound::Excluded(start) => start + 1,
            Bound::Unbounded => 0,
        };
        let end = match range.end_bound() {
            Bound::Included(end) => end + 1,
            Bound::Excluded(end) => *end,
            Bound::Unbounded => u64::MAX,
        };
        let entries = self.log.lock().read(start..end).map_err(|error| StorageIOError::read_logs(&error))?;
        Ok(entries.into_iter().map(|(id, payload)| from_log(id, payload)).collect())
    }
}

impl RaftLogStorage<Kinds> for LogStore {
    type LogReader = LogStore;

    async fn get_log_state(&mut self) -> Result<LogState<Kinds>, Failed> {
        let log = self.log.lock();
        Ok(LogState { last_purged_log_id: log.purged().map(id_from), last_log_id: log.last().map(id_from) })
    }

    async fn get_log_reader(&mut self) -> LogStore {
        self.clone()
    }

    async fn save_vote(&mut self, vote: &Vote) -> Result<(), Failed> {
        let vote = encoding::Vote {
            term: vote.leader_id.term,
            replica: vote.leader_id.node_id,
            is_committed: vote.committed,
        };
        let saved = log::write(&self.log, |log, done| log.save_vote(vote, done)).await;
        Ok(saved.map_err(|error| StorageIOError::write_vote(&error))?)
    }

    async fn read_vote(&mut self) -> Result<Option<Vote>, Failed> {
        let vote = self.log.lock().vote();
        Ok(vote.map(|encoding::Vote { term, replica, is_committed }| match is_committed {
            true => Vote::new_committed(term, replica),
            false => Vote::new(term, replica),
        }))
    }

    async fn save_committed(&mut self, committed: Option<LogId>) -> Result<(), Failed> {
        let Some(committed) = committed else { return Ok(()) };
        let saved = self.log.lock().save_committed(id_to(committed));
        Ok(saved.map_err(|error| StorageIOError::write_logs(&error))?)
    }

    async fn read_committed(&mut self) -> Result<Option<LogId>, Failed> {
        Ok(self.log.lock().committed().map(id_from))
    }

    async fn append<I>(&mut self, entries: I, callback: LogFlushed<Kinds>) -> Result<(), Failed>
    where
        I: IntoIterator<Item = Entry<Kinds>> + OptionalSend,
        I::IntoIter: OptionalSend,
    {
        // A large group comes alone.
        let mut entries = entries.into_iter().peekable();
        let bytes = entries.peek().map_or(0, |entry| match &entry.payload {
            EntryPayload::Normal(proposal) => proposal.logged.len(),
            EntryPayload::Blank | EntryPayload::Membership(_) => 0,
        });
        let entries = entries.map(|entry| self.to_log(entry));
        let done = Done(Box::new(move |result| callback.log_io_completed(result)));
        let append = || self.log.lock().append(entries, done);
        let appended = process(bytes, append);
        Ok(appended.map_err(|error| StorageIOError::write_logs(&error))?)
    }

    async fn truncate(&mut self, from: LogId) -> Result<(), Failed> {
        let truncated = log::write(&self.log, |log, done| log.truncate(from.index, done)).await;
        Ok(truncated.map_err(|error| StorageIOError::write_logs(&error))?)
    }

    async fn purge(&mut self, up_to: LogId) -> Result<(), Failed> {
        let purged = log::write(&self.log, |log, done| log.purge(id_to(up_to), done)).await;
        Ok(purged.map_err(|error| StorageIOError::write_logs(&error))?)
    }
}

fn from_log(id: encoding::LogId, payload: Payload) -> Entry<Kinds> {
    let payload = match payload {
        Payload::Blank => EntryPayload::Blank,
        Payload::Group(logged) => EntryPayload::Normal(Proposal { logged, group: None }),
        Payload::Members { voters, learners } => EntryPayload::Membership(members_from(&voters, &learners)),
    };
    Entry { log_id: id_from(id), payload }
}

fn members_from(voters: &[Vec<u64>], learners: &[u64]) -> Membership<u64, BasicNode> {
    let all: BTreeSet<u64> = voters.iter().flatten().chain(learners).copied().collect();
    Membership::new(voters.iter().map(|set| set.iter().copied().collect()).collect(), all)
}

fn members_to(members: &Membership<u64, BasicNode>) -> (Vec<Vec<u64>>, Vec<u64>) {
    let voters = members.get_joint_config().iter().map(|set| set.iter().copied().collect()).collect();
    (voters, members.learner_ids().collect())
}

/// What the library knows of a snapshot.
fn meta_of(position: &Position) -> SnapshotMeta<u64, BasicNode> {
    let Position { last, members_since, voters, learners } = position;
    SnapshotMeta {
        last_log_id: Some(id_from(*last)),
        last_membership: Members::new(Some(id_from(*members_since)), members_from(voters, learners)),
        snapshot_id: last.index.to_string(),
    }
}

fn id_from(encoding::LogId { term, leader, index }: encoding::LogId) -> LogId {
    LogId::new(CommittedLeaderId::new(term, leader), index)
}

fn id_to(id: LogId) -> encoding::LogId {
    encoding::LogId { term: id.leader_id.term, leader: id.leader_id.node_id, index: id.index }
}

/// Our machine, as the library sees it.
struct StateMachine {
    machine: Machine,
    snapshots: Arc<Snapshots>,
    log: Weak<Mutex<Log>>,
}

impl RaftStateMachine<Kinds> for StateMachine {
    type SnapshotBuilder = SnapshotBuilder;

    async fn applied_state(&mut self) -> Result<(Option<LogId>, Members), Failed> {
        let meta = self.machine.progress.position().map(|position| meta_of(&position)).unwrap_or_default();
        Ok((meta.last_log_id, meta.last_membership))
    }

    async fn apply<I>(&mut self, entries: I) -> Result<Vec<()>, Failed>
    where
        I: IntoIterator<Item = Entry<Kinds>> + OptionalSend,
        I::IntoIter: OptionalSend,
    {
        let mut results = Vec::new();
        for entry in entries {
            let id = id_to(entry.log_id);
            match entry.payload {
                EntryPayload::Blank => self.machine.applied(id),
                EntryPayload::Normal(proposal) => {
                    let apply = || self.machine.apply(id, &proposal.logged);
                    process(proposal.logged.len(), apply)
                        .map_err(|error| StorageIOError::apply(entry.log_id, &error))?;
                }
                EntryPayload::Membership(members) => {
                    let (voters, learners) = members_to(&members);
                    self.machine.apply_members(id, voters, learners);
                }
            }
            results.push(());
        }
        Ok(results)
    }

    /// Freezes the store, between two entries.
    async fn get_snapshot_builder(&mut self) -> SnapshotBuilder {
        let Machine { store, progress, .. } = &self.machine;
        let taking = Mutex::new(self.snapshots.begin(store, progress));
        SnapshotBuilder { taking, log: self.log.clone() }
    }

    async fn begin_receiving_snapshot(&mut self) -> Result<Box<()>, Failed> {
        Err(no_peers())
    }

    async fn install_snapshot(&mut self, _: &SnapshotMeta<u64, BasicNode>, _: Box<()>) -> Result<(), Failed> {
        Err(no_peers())
    }

    async fn get_current_snapshot(&mut self) -> Result<Option<Snapshot<Kinds>>, Failed> {
        let newest = self.snapshots.status().newest;
        Ok(newest.map(|newest| Snapshot { meta: meta_of(&newest.position), snapshot: Box::new(()) }))
    }
}

/// Writes a frozen copy. If that fails, the snapshot before it stays the newest, which is no error to the
/// library: it would end the replica.
struct SnapshotBuilder {
    taking: Mutex<Option<Taking>>,
    log: Weak<Mutex<Log>>,
}

impl RaftSnapshotBuilder<Kinds> for SnapshotBuilder {
    async fn build_snapshot(&mut self) -> Result<Snapshot<Kinds>, Failed> {
        let taking = self.taking.get_mut().take();
        let newest = match taking {
            Some(taking) => match self.sync_log().await {
                Ok(()) => taking.finish().await,
                Err(error) => taking.give_up(&error),
            },
            None => None,
        };
        let meta = newest.map(|newest| meta_of(&newest.position)).unwrap_or_default();
        Ok(Snapshot { meta, snapshot: Box::new(()) })
    }
}

impl SnapshotBuilder {
    /// A log that ends before its snapshot would be refused. It is not held while the snapshot is written.
    async fn sync_log(&self) -> io::Result<()> {
        match self.log.upgrade() {
            Some(log) => log::sync(&log).await,
            None => Err(io::Error::other("the log has been closed")),
        }
    }
}

/// No snapshot comes from another replica.
fn no_peers() -> Failed {
    StorageIOError::write_snapshot(None, &io::Error::from(io::ErrorKind::Unsupported)).into()
}

/// The network of a range of one voter: there is nobody to talk to.
struct NoPeers;

impl RaftNetworkFactory<Kinds> for NoPeers {
    type Network = NoPeers;

    async fn new_client(&mut self, _: u64, _: &BasicNode) -> NoPeers {
        NoPeers
    }
}

fn unreachable() -> Unreachable {
    Unreachable::new(&io::Error::from(io::ErrorKind::NotConnected))
}

type NetworkError = RPCError<u64, BasicNode, RaftError<u64>>;

impl RaftNetwork<Kinds> for NoPeers {
    async fn append_entries(
        &mut self,
        _: AppendEntriesRequest<Kinds>,
        _: RPCOption,
    ) -> Result<AppendEntriesResponse<u64>, NetworkError> {
        Err(unreachable().into())
    }

    async fn vote(&mut self, _: VoteRequest<u64>, _: RPCOption) -> Result<VoteResponse<u64>, NetworkError> {
        Err(unreachable().into())
    }

    async fn full_snapshot(
        &mut self,
        _: Vote,
        _: Snapshot<Kinds>,
        _: impl Future<Output = ReplicationClosed> + OptionalSend + 'static,
        _: RPCOption,
    ) -> Result<SnapshotResponse<u64>, StreamingError<Kinds, Fatal<u64>>> {
        Err(unreachable().into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use openraft::error::ClientWriteError;

    #[test]
    fn an_error_of_the_log_is_passed_on_without_words_of_the_library() {
        let disk = io::Error::other("/data/log: No space left on device (os error 28); free some space");
        let failed = Fatal::from(Failed::from(StorageIOError::write_logs(&disk)));
        let refused: RaftError<u64, ClientWriteError<u64, BasicNode>> = failed.clone().into();
        for broken in [Broken::from(failed), Broken::new(&refused)] {
            assert_eq!(broken.to_string(), disk.to_string());
        }
    }
}
