//! A row of the routes with several nodes: which of them leads it, and how a request finds the leader.
//!
//! A node with a replica knows the leader from that. Others ask the leader that they have found last, or
//! any node with a replica, which says who leads. What was certainly not done is asked again for a moment.

use crate::{
    error::{Error, RangeFailure, RangeFailureKind},
    limits::{FOLLOWER_WAIT, LEADER_PAUSE, LEADER_WAIT},
    local::rows::ReplicatedRow,
    peer::{Peer, list::PeerList},
    routing::placement::PlacedRow,
};
use kv_raft::{Leader, Range, SendFrame};
use std::{
    ops::Index,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::Relaxed},
    },
};
use tokio::time::{Instant, sleep};

/// What a node says that is none of its cluster any more.
pub(crate) const THIS_NODE_IS_REMOVED: &str =
    "this node was removed from the cluster: connect to another one, or add this one again with `add-node`";

/// The replicas of one row, and how to reach them.
#[derive(Debug)]
pub struct Replicas {
    row: Arc<ReplicatedRow>,
    /// All other nodes.
    peers: PeerList,
    /// The index of the peer that has led last, for as long as no replica of this node knows better.
    last_leader: AtomicUsize,
}

/// The replicas of all rows, in the order of the table. Requests in flight refer to them, by index as well.
#[derive(Debug, Clone)]
pub(crate) struct ReplicasList {
    all: Arc<boxcar::Vec<Replicas>>,
    peers: PeerList,
}

impl ReplicasList {
    /// Those of these rows.
    pub(crate) fn new<'r>(
        rows: impl Iterator<Item = &'r Arc<ReplicatedRow>>,
        peers: PeerList,
    ) -> ReplicasList {
        let list = ReplicasList { all: Arc::default(), peers };
        rows.for_each(|row| list.add(row));
        list
    }

    /// Adds those of a row. Only one task does so.
    pub(crate) fn add(&self, row: &Arc<ReplicatedRow>) {
        self.all.push(Replicas::new(row.clone(), self.peers.clone()));
    }

    /// All.
    pub(crate) fn iter(&self) -> impl Iterator<Item = &Replicas> {
        self.all.iter().map(|(_, replicas)| replicas)
    }

    /// Those of the row that has a name.
    pub(crate) fn of_name(&self, name: &[u8]) -> Option<&Replicas> {
        self.iter().find(|replicas| replicas.row().has_name(name))
    }
}

impl Index<usize> for ReplicasList {
    type Output = Replicas;

    #[inline]
    fn index(&self, index: usize) -> &Replicas {
        &self.all[index]
    }
}

/// Who serves the requests of a row for now.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Server<'a> {
    /// The replica of this node.
    Here(&'a Range),
    /// Another node.
    Peer(&'a Peer),
}

impl Replicas {
    /// The replicas of a row, on this node and on some of the others.
    pub(crate) fn new(row: Arc<ReplicatedRow>, peers: PeerList) -> Replicas {
        Replicas { row, peers, last_leader: AtomicUsize::new(0) }
    }

    /// The row, and where they are now.
    pub(crate) fn row(&self) -> &PlacedRow {
        &self.row.placed().row
    }

    /// The row, as errors call it.
    pub(crate) fn text(&self) -> &str {
        self.row().buckets()
    }

    /// The first of its names, by which nodes distinguish its range.
    pub(crate) fn first_name(&self) -> &[u8] {
        self.row().first_name()
    }

    /// The replica of this node, if it has one.
    pub(crate) fn here(&self) -> Option<&Range> {
        self.row.here()
    }

    /// The replica of this node, if it serves requests.
    #[inline]
    pub(crate) fn served_here(&self) -> Option<&Range> {
        self.row.here().filter(|range| range.is_leader())
    }

    /// The replica of this node, if it executes at once what only reads.
    #[inline]
    pub(crate) fn read_here(&self) -> Option<&Range> {
        self.row.here().filter(|range| range.reads_at_once())
    }

    /// The other nodes with a replica.
    pub(crate) fn peers(&self) -> impl Iterator<Item = &Arc<Peer>> {
        let row = self.row();
        self.peers.iter().filter(move |peer| row.has(peer.name()))
    }

    /// Who serves requests now, as far as this node knows.
    pub(crate) fn server(&self) -> Option<Server<'_>> {
        let Some(range) = self.row.here() else { return self.likely_leader().map(Server::Peer) };
        match range.leader() {
            Leader::Here => Some(Server::Here(range)),
            Leader::Node(node) => self.peer(&node).map(Server::Peer),
            Leader::Unknown if self.follower().is_some() => None,
            Leader::Unknown => self.likely_leader().map(Server::Peer),
        }
    }

    /// The replica of this node, if it takes part. One that loads or has stopped does not know the leader.
    fn follower(&self) -> Option<&Range> {
        self.row.here().filter(|range| range.takes_part())
    }

    /// The peer that has led last, or else any that is up.
    fn likely_leader(&self) -> Option<&Peer> {
        let row = self.row();
        let all = self.peers.indices_from(self.last_leader.load(Relaxed)).map(|index| &*self.peers[index]);
        all.filter(|peer| row.has(peer.name())).find(|peer| peer.is_up())
    }

    fn peer(&self, node: &str) -> Option<&Peer> {
        self.peers.find(node).map(|peer| &**peer)
    }

    /// Notes who leads, or that this peer does not.
    fn note(&self, leader: Option<&Peer>, asked: Option<&Peer>) {
        let next = match (leader, asked) {
            (Some(leader), _) => leader.index(),
            (None, Some(asked)) => self.peers.index_after(asked.index()),
            (None, None) => return,
        };
        self.last_leader.swap(next, Relaxed);
    }

    /// The error of a request when no node leads.
    pub(crate) fn no_leader(&self) -> Error {
        if self.peers.is_local_removed() {
            return RangeFailure::new(RangeFailureKind::NoLeader, THIS_NODE_IS_REMOVED).into();
        }
        let row = self.row();
        let (needs, nodes) = (row.nodes.len() / 2 + 1, row.node_names());
        let message = format!("range {} has no leader (needs {needs} of {nodes})", row.buckets());
        RangeFailure::new(RangeFailureKind::NoLeader, message).into()
    }
}

/// The search of a request for the leader.
#[derive(Debug, Default)]
pub(crate) struct Search<'a> {
    /// When it ends, once it has begun.
    deadline: Option<Instant>,
    /// The leader, as the node says that was asked last.
    leader: Option<&'a Peer>,
}

impl<'a> Search<'a> {
    /// Begins, if it has not begun: the request may wait here.
    pub(crate) fn begin(&mut self) {
        self.deadline();
    }

    /// Who serves requests now, as far as is known without waiting.
    pub(crate) fn server(&self, replicas: &'a Replicas) -> Option<Server<'a>> {
        self.leader.map(Server::Peer).or_else(|| replicas.server())
    }

    /// Waits until there is someone to ask; an error if that takes too long.
    pub(crate) async fn find(&mut self, replicas: &'a Replicas) -> Result<Server<'a>, Error> {
        loop {
            if let Some(server) = self.server(replicas) {
                return Ok(server);
            }
            if replicas.peers.is_local_removed() {
                return Err(replicas.no_leader());
            }
            let left = self.deadline().saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Err(replicas.no_leader());
            }
            match replicas.follower() {
                Some(range) => {
                    let leader = range.wait_for_leader(left.min(FOLLOWER_WAIT)).await;
                    // The replica may have been replaced by those of other nodes.
                    if leader == Leader::Unknown
                        && let Some(peer) = replicas.likely_leader()
                    {
                        return Ok(Server::Peer(peer));
                    }
                }
                None => sleep(LEADER_PAUSE).await,
            }
        }
    }

    /// The one that was asked has not served the request, and has done nothing. Waits until it may be asked
    /// again, or another one may; an error if the time is over.
    pub(crate) async fn go_on(
        &mut self,
        replicas: &'a Replicas,
        asked: Option<Server<'a>>,
        failure: Error,
    ) -> Result<(), Error> {
        let asked = match asked {
            Some(Server::Peer(peer)) => Some(peer),
            Some(Server::Here(_)) | None => None,
        };
        let leader = match &failure {
            Error::Range(RangeFailure { leader: Some(leader), .. }) => replicas.peer(leader),
            _ => None,
        };
        replicas.note(leader, asked);
        let deadline = self.deadline();
        if Instant::now() >= deadline {
            return Err(match failure {
                Error::Range(RangeFailure { kind: RangeFailureKind::NotLeader, .. })
                | Error::NodeDown { .. }
                | Error::NotOwner { .. } => replicas.no_leader(),
                failure => failure,
            });
        }
        let is_new = leader.is_some_and(|leader| !asked.is_some_and(|asked| std::ptr::eq(asked, leader)));
        // Two nodes that each take the other for the leader are asked in turn until one of them knows.
        self.leader = leader.filter(|_| is_new && self.leader.is_none());
        if self.leader.is_none() {
            sleep(LEADER_PAUSE).await;
        }
        Ok(())
    }

    /// The one that was asked has served a request: the time for a next search is not over.
    pub(crate) fn found(&mut self) {
        self.deadline = None;
    }

    fn deadline(&mut self) -> Instant {
        *self.deadline.get_or_insert_with(|| Instant::now() + LEADER_WAIT)
    }
}

/// Carries what replicas say over the links.
#[derive(Debug)]
pub(crate) struct Carrier {
    pub(crate) peers: PeerList,
}

impl SendFrame for Carrier {
    fn send(&self, node: &str, frame: Vec<u8>) {
        if let Some(peer) = self.peers.find(node) {
            peer.send_of_replica(&frame);
        }
    }
}
