//! Consensus about the log of a range: its files are the only ones that name the library for it, openraft. It
//! gives the library our log and our machine (`storage`) and the way to other replicas (`network`), and its
//! errors our names.
//!
//! If a range has one voter, this replica, that is a majority: it leads as soon as it has asked itself.

mod answer;
mod confirm;
mod contact;
pub(crate) mod frame;
pub(crate) mod lease;
mod network;
mod storage;
pub(crate) mod transport;
mod types;

use crate::{
    limits::{CATCH_UP_WAIT, HEARTBEAT, KEPT_ENTRIES, LEASE_CHECK_PAUSE, TAKE_OVER_WAIT},
    log::Log,
    machine::{InFlight, Machine},
    proposals::ClosedGroup,
    snapshot::taking::Snapshots,
};
use answer::CallHandler;
use frame::Call;
use lease::Lease;
use network::Network;
use openraft::{
    AnyError, BasicNode, ChangeMembers, Config, Raft, RaftMetrics, ServerState, SnapshotPolicy,
    error::{ClientWriteError, Fatal, InitializeError, RaftError},
    metrics::RaftServerMetrics,
};
use otp::LogLimiter;
use parking_lot::Mutex;
use std::{
    collections::{BTreeMap, BTreeSet},
    error::Error,
    iter::successors,
    sync::Arc,
    time::{Duration, Instant},
};
use storage::{LogStore, StateMachine};
use tokio::{
    sync::watch,
    time::{sleep, timeout},
};
use transport::{OtherReplica, ReplicaStatus, Transport};
use types::{Kinds, Proposal, vote_to};

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

/// A group was not executed.
#[derive(Debug, Clone, thiserror::Error)]
pub(crate) enum ProposeError {
    #[error("another replica leads")]
    NotLeader,
    #[error(transparent)]
    Broken(#[from] Broken),
}

/// When a replica calls an election.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct ElectionTimes {
    /// How long it votes for no other one after it has received something of its leader.
    pub(crate) lease: Duration,
    /// How much longer it waits at most, so that one of several is mostly the first.
    pub(crate) longest_delay: Duration,
    /// How long a sync takes on its disk.
    pub(crate) sync: Duration,
}

/// What a replica does for its range.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Role {
    /// It leads, since it was elected in this term.
    Leader { term: u64 },
    /// It takes the entries of a leader, if there is one that it knows.
    Follower { leader: Option<u64> },
}

/// The replica of a range on this node.
pub(crate) struct Consensus {
    raft: Raft<Kinds>,
    replica: u64,
    /// The way to the others, if the range has several replicas.
    transport: Option<Arc<Transport>>,
    lease: Arc<Lease>,
    in_flight: InFlight,
    /// The replicas that are members, or were since this one began.
    known_members: Mutex<BTreeSet<u64>>,
}

impl Consensus {
    /// Takes part in the consensus about what is in the log behind that which the machine has executed.
    pub(crate) async fn start(
        replica: u64,
        log: Arc<Mutex<Log>>,
        machine: Machine,
        snapshots: Arc<Snapshots>,
        lease: Arc<Lease>,
        transport: Option<Arc<Transport>>,
        election: ElectionTimes,
    ) -> Result<Consensus, Broken> {
        let milliseconds = |duration: Duration| duration.as_millis() as u64;
        let config = Config {
            heartbeat_interval: milliseconds(HEARTBEAT),
            // For as long a vote is awaited.
            election_timeout_min: milliseconds(election.lease) - 1,
            election_timeout_max: milliseconds(election.lease),
            // It would count entries alone. The log goes with the snapshot that has it.
            snapshot_policy: SnapshotPolicy::Never,
            max_in_snapshot_log_to_keep: transport.as_ref().map_or(0, |_| KEPT_ENTRIES),
            ..Config::default()
        };
        let in_flight = machine.in_flight.clone();
        let network = Network { transport: transport.clone(), snapshots: snapshots.clone() };
        let machine = StateMachine {
            machine,
            snapshots: snapshots.clone(),
            log: Arc::downgrade(&log),
            lease: lease.clone(),
        };
        let log = LogStore { log, in_flight: in_flight.clone() };
        let raft = Raft::new(replica, Arc::new(config), network, log, machine).await?;
        // Replicas among others call elections themselves.
        raft.runtime_config().elect(transport.is_none());
        if let Some(transport) = &transport {
            let (raft, lease, contact) = (raft.clone(), lease.clone(), transport.contact.clone());
            let malformed = LogLimiter::new("malformed calls of other replicas were dropped", 1);
            let incoming = tokio::sync::Mutex::default();
            let handler = CallHandler { raft, lease, contact, snapshots, malformed, incoming };
            transport.set_answer(Some(Arc::new(handler)));
        }
        Ok(Consensus { raft, replica, transport, lease, in_flight, known_members: Mutex::default() })
    }

    /// Begins to take a snapshot, unless one is being taken. The log before it goes when it is on disk.
    pub(crate) async fn begin_snapshot(&self) -> Result<(), Broken> {
        Ok(self.raft.trigger().snapshot().await?)
    }

    /// Whether the log, or the snapshot before it, names the members of the range.
    pub(crate) async fn has_members(&self) -> Result<bool, Broken> {
        let voters =
            self.raft.with_raft_state(|state| state.membership_state.effective().voter_ids().count());
        Ok(voters.await? > 0)
    }

    /// Names the first members of a range, unless a leader has done so, or asked for a vote. No other replica
    /// may name them.
    pub(crate) async fn name_members(&self, replicas: &BTreeSet<u64>) -> Result<(), Broken> {
        let members: BTreeMap<_, _> =
            replicas.iter().map(|replica| (*replica, BasicNode::default())).collect();
        match self.raft.initialize(members).await {
            Ok(()) | Err(RaftError::APIError(InitializeError::NotAllowed(_))) => Ok(()),
            Err(error) => Err(Broken::new(&error)),
        }
    }

    /// Makes this replica the leader, as the only voter of its range.
    pub(crate) async fn lead_alone(&self) -> Result<(), Broken> {
        // It has members since it first started.
        if !self.has_members().await? {
            self.name_members(&BTreeSet::from([self.replica])).await?;
        }
        if self.raft.current_leader().await != Some(self.replica) {
            self.raft.trigger().elect().await?;
        }
        let leads = self.raft.wait(None).current_leader(self.replica, "the only voter leads").await;
        leads.map(drop).map_err(|error| Broken::new(&error))
    }

    /// What this replica does for its range, from now on.
    pub(crate) fn roles(&self) -> Roles<'_> {
        Roles { consensus: self, metrics: self.raft.server_metrics() }
    }

    /// Writes a group to the log, and executes it.
    pub(crate) async fn propose(&self, group: Arc<ClosedGroup>) -> Result<(), ProposeError> {
        let proposal = Proposal { logged: group.logged.clone(), group: Some(group) };
        match self.raft.client_write(proposal).await {
            Ok(_) => Ok(()),
            Err(RaftError::APIError(ClientWriteError::ForwardToLeader(_))) => Err(ProposeError::NotLeader),
            Err(error) => Err(ProposeError::Broken(Broken::new(&error))),
        }
    }

    /// Whether the log was given this group, which may be executed yet. It is not in flight any more.
    pub(crate) fn abandon(&self, group: &Arc<ClosedGroup>) -> bool {
        self.in_flight.abandon(group)
    }

    /// The term, and what is known of the replicas on the nodes that have said hello.
    pub(crate) fn replicas(&self) -> (u64, Vec<ReplicaStatus>) {
        let metrics = self.raft.metrics();
        let metrics = metrics.borrow();
        let members = metrics.membership_config.membership();
        let last = metrics.last_log_index.unwrap_or_default();
        let others = self.transport.as_ref().map(|transport| transport.others()).unwrap_or_default();
        let status = |(node, replica): (Arc<str>, Option<OtherReplica>)| {
            let id = replica.map(|replica| replica.id);
            let matched = id.and_then(|id| metrics.replication.as_ref()?.get(&id).copied()?);
            ReplicaStatus {
                node,
                is_voter: id.is_some_and(|id| members.voter_ids().any(|voter| voter == id)),
                lag: matched.map(|matched| last.saturating_sub(matched.index)),
            }
        };
        (metrics.current_term, others.into_iter().map(status).collect())
    }

    /// How many voters the range has, as far as this replica knows; none if it is no voter itself.
    pub(crate) fn voter_count(&self) -> usize {
        let voters = self.voters();
        if voters.contains(&self.replica) { voters.len() } else { 0 }
    }

    /// The voters of the range, as far as this replica knows.
    pub(crate) fn voters(&self) -> BTreeSet<u64> {
        self.raft.server_metrics().borrow().membership_config.membership().voter_ids().collect()
    }

    /// Whether one of these replicas is a voter, as far as this one knows.
    pub(crate) fn has_voter_among(&self, replicas: &BTreeSet<u64>) -> bool {
        !self.voters().is_disjoint(replicas)
    }

    /// Calls an election, unless that is not due any more by when a leader has sent something last. Returns
    /// whether it has.
    pub(crate) async fn elect(&self, is_due: impl FnOnce(Instant) -> bool) -> Result<bool, Broken> {
        let Some(transport) = &self.transport else { return Ok(false) };
        let called = transport.contact.elect(is_due, self.raft.trigger().elect()).await.transpose()?;
        Ok(called.is_some())
    }

    /// Waits until the vote of this replica is on disk, if it has called an election.
    pub(crate) async fn wait_until_voted(&self) -> Result<(), Broken> {
        // Nothing else is done before that.
        Ok(self.raft.with_raft_state(|_| ()).await?)
    }

    /// Whether the replica takes the entries of this range, or did since this one began.
    pub(crate) fn was_member(&self, replica: u64) -> bool {
        self.known_members.lock().contains(&replica)
    }

    /// As the leader, makes these replicas the voters of the range, and no others its members, if all of them
    /// have its log. Returns whether they are.
    pub(crate) async fn change_members(&self, replicas: &BTreeSet<u64>) -> Result<bool, Broken> {
        let members = self.raft.server_metrics().borrow().membership_config.membership().clone();
        let voters: Vec<BTreeSet<u64>> = members.get_joint_config().clone();
        let changed = |error: RaftError<u64, ClientWriteError<u64, BasicNode>>| Broken::new(&error);
        if voters == [replicas.clone()] {
            // Those of a move that was called off.
            let left: BTreeSet<u64> = members.learner_ids().collect();
            if !left.is_empty() {
                let remove = ChangeMembers::RemoveNodes(left);
                self.raft.change_membership(remove, false).await.map_err(changed)?;
            }
            return Ok(true);
        }
        for replica in replicas.iter().filter(|replica| members.get_node(replica).is_none()) {
            self.raft.add_learner(*replica, BasicNode::default(), false).await.map_err(changed)?;
        }
        for replica in replicas.iter().filter(|replica| !members.voter_ids().any(|voter| voter == **replica))
        {
            if !self.keeps_up(*replica).await {
                return Ok(false);
            }
        }
        // Until it is known what they are, a majority of all of them is needed to read.
        let sets = voters.iter().chain([replicas]).map(|set| set.iter().copied().collect());
        self.lease.set_voters(sets.collect());
        self.raft.change_membership(replicas.clone(), false).await.map_err(changed)?;
        Ok(true)
    }

    /// Whether another replica has within a moment what this one has now, which leads: then it takes entries
    /// as fast as they come. See section 4.2.1 of Ongaro's dissertation.
    async fn keeps_up(&self, replica: u64) -> bool {
        let last = self.raft.metrics().borrow().last_log_index;
        let has_all = |metrics: &RaftMetrics<u64, BasicNode>| {
            let matched = metrics.replication.as_ref().and_then(|replication| replication.get(&replica));
            matched.is_some_and(|matched| matched.map(|id| id.index) >= last)
        };
        self.raft.wait(Some(CATCH_UP_WAIT)).metrics(has_all, "it has all").await.is_ok()
    }

    /// Sends heartbeats while this replica leads, which [`Self::hand_over`] ends.
    pub(crate) fn begin_to_lead(&self) {
        self.raft.runtime_config().heartbeat(true);
    }

    /// Leads no more, and has another replica lead which has all entries, on a node that `accept` takes.
    /// Returns whether it does.
    pub(crate) async fn hand_over(&self, accept: impl Fn(&str) -> bool) -> bool {
        let Some(transport) = &self.transport else { return false };
        let others = || {
            let others = transport.others().into_iter().filter(|(node, _)| accept(node));
            others.filter_map(|(_, other)| other).collect::<Vec<_>>()
        };
        let next = async {
            loop {
                let metrics = self.raft.metrics().borrow().clone();
                let replication = metrics.replication.unwrap_or_default();
                let members = metrics.membership_config.membership();
                let has_all = |other: &OtherReplica| {
                    let matched = replication.get(&other.id);
                    members.voter_ids().any(|voter| voter == other.id)
                        && matched.is_some_and(|matched| matched.map(|id| id.index) == metrics.last_log_index)
                };
                if let Some(next) = others().into_iter().find(has_all) {
                    return next;
                }
                sleep(LEASE_CHECK_PAUSE).await;
            }
        };
        let Ok(next) = timeout(TAKE_OVER_WAIT, next).await else { return false };
        self.lease.resign();
        self.raft.runtime_config().heartbeat(false);
        let vote = vote_to(self.raft.server_metrics().borrow().vote);
        let _call = transport.call(next.id, Call::TakeOver { vote });
        let wait = self.raft.wait(Some(TAKE_OVER_WAIT));
        let is_led = wait.current_leader(next.id, "another one leads").await.is_ok();
        if !is_led {
            // It may read again when a majority has answered what it sends from now on.
            self.lease.end();
        }
        is_led
    }

    /// Ends the replica. Its log can be opened again after that.
    pub(crate) async fn stop(self) {
        self.lease.end();
        if let Some(transport) = &self.transport {
            transport.set_answer(None);
        }
        drop(self.raft.shutdown().await);
    }
}

/// What a replica does, as it changes.
pub(crate) struct Roles<'c> {
    consensus: &'c Consensus,
    metrics: watch::Receiver<RaftServerMetrics<u64, BasicNode>>,
}

impl Roles<'_> {
    /// Takes note of what it does now, and returns it. If it leads, its lease begins when a majority has
    /// answered it.
    pub(crate) fn update(&mut self) -> Role {
        let metrics = self.metrics.borrow_and_update();
        let Consensus { lease, transport, replica, known_members, .. } = self.consensus;
        let members = metrics.membership_config.membership();
        known_members.lock().extend(members.nodes().map(|(replica, _)| *replica));
        let voters: Vec<Vec<u64>> =
            members.get_joint_config().iter().map(|set| set.iter().copied().collect()).collect();
        if !voters.is_empty()
            && let Some(transport) = transport
        {
            transport.set_has_members();
        }
        if metrics.state == ServerState::Leader {
            lease.begin(*replica, vote_to(metrics.vote), voters);
            return Role::Leader { term: metrics.vote.leader_id.term };
        }
        lease.end();
        Role::Follower { leader: metrics.current_leader.filter(|leader| leader != replica) }
    }

    /// Waits until it may have changed; an error if the consensus has failed.
    pub(crate) async fn changed(&mut self) -> Result<(), Broken> {
        if self.metrics.changed().await.is_ok() {
            return Ok(());
        }
        let state = self.consensus.raft.metrics().borrow().running_state.clone();
        Err(state.err().map_or_else(|| Broken("the consensus has ended".into()), Broken::from))
    }
}

#[cfg(test)]
mod tests {
    use super::{types::Failed, *};
    use openraft::StorageIOError;
    use std::io;

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
