//! How a replica reaches the other replicas of its range: frames out, frames in. It knows nothing of what
//! carries them, which may lose them.
//!
//! Which replica a node has is not configured: each says so to the nodes of its range when it begins. A node
//! whose disk was wiped has another replica then, which has no part in what the one before it has promised.

use super::{
    contact::Contact,
    frame::{self, ANY, Body, Call, Envelope, Reply},
    lease::{self, Lease},
};
use crate::{
    identity::{Placement, ReplicaSpan, Span},
    limits::{CALLS_AT_ONCE, HELLO_PAUSE, HELLO_ROUNDS, LEASE},
    log::encoding::Vote,
};
use parking_lot::{Mutex, RwLock};
use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    fmt::{self, Debug, Formatter},
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering::Relaxed},
    },
    time::Duration,
};
use tokio::{
    runtime::Handle,
    sync::{Notify, Semaphore, oneshot},
    time::sleep,
};

/// What carries frames to other nodes.
pub trait SendFrame: Send + Sync + Debug {
    /// Sends a frame to a node, without waiting. It may be lost.
    fn send(&self, node: &str, frame: Vec<u8>);
}

/// Nothing carries them: all are lost.
impl SendFrame for () {
    fn send(&self, _: &str, _: Vec<u8>) {}
}

/// The door of a replica to the others of its range.
pub(crate) struct Transport {
    span: Span,
    pub(crate) replica: u64,
    node: Arc<str>,
    carrier: Arc<dyn SendFrame>,
    /// The other nodes of the range.
    others: RwLock<Vec<Arc<OtherNode>>>,
    /// Whether this node names the members of the range, if that has none.
    names_members: AtomicBool,
    /// Whether the log of the replica names members. It says nothing of itself before that is known.
    has_members: Mutex<Option<bool>>,
    /// Something was learned of another replica.
    changed: Notify,
    pub(crate) contact: Arc<Contact>,
    lease: Arc<Lease>,
    calls: Mutex<HashMap<u64, oneshot::Sender<Reply>>>,
    /// What was sent as the leader and is not answered, as long as the reply could extend the lease.
    appends: Mutex<BTreeMap<u64, SentAppend>>,
    next_call: AtomicU64,
    /// Who answers calls, while the replica takes part.
    answer: Mutex<Option<Arc<dyn AnswerCalls>>>,
    /// Calls that are being answered.
    answering: Arc<Semaphore>,
    runtime: Handle,
}

/// Another node of the range.
#[derive(Debug)]
struct OtherNode {
    node: Arc<str>,
    replica: Mutex<Option<OtherReplica>>,
}

/// What a node has said of its replica.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct OtherReplica {
    pub(crate) id: u64,
    /// Whether its log names the members of the range.
    pub(crate) has_members: bool,
}

/// The replica of a range on another node.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReplicaStatus {
    /// The node.
    pub node: Arc<str>,
    /// Whether it counts for a majority. One that is new does when it has caught up.
    pub is_voter: bool,
    /// The entries of the log that it is not known to have; `None` unless this node leads the range, and the
    /// other has answered.
    pub lag: Option<u64>,
}

/// Answers the calls of other replicas.
pub(crate) trait AnswerCalls: Send + Sync {
    /// Answers a call of this replica, unless it is to be repeated.
    fn answer(self: Arc<Self>, from: u64, call: Vec<u8>) -> BoxedReply;
}

/// The reply to a call; `None` if there is none yet.
pub(crate) type BoxedReply = std::pin::Pin<Box<dyn Future<Output = Option<Reply>> + Send>>;

/// Entries, or a heartbeat, that were sent.
struct SentAppend {
    to: u64,
    vote: Vote,
    sent: Duration,
}

/// A call without a reply. It is forgotten when this is dropped.
pub(crate) struct PendingCall {
    transport: Arc<Transport>,
    id: u64,
    reply: oneshot::Receiver<Reply>,
}

impl Debug for Transport {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.debug_struct("Transport").field("replica", &self.replica).finish_non_exhaustive()
    }
}

impl PendingCall {
    /// Whether there is no reply yet.
    pub(crate) fn is_waiting(&self) -> bool {
        self.transport.calls.lock().contains_key(&self.id)
    }

    /// Waits for the reply; forever if it is lost.
    pub(crate) async fn reply(&mut self) -> Reply {
        match (&mut self.reply).await {
            Ok(reply) => reply,
            Err(_) => std::future::pending().await,
        }
    }
}

impl Drop for PendingCall {
    fn drop(&mut self) {
        self.transport.calls.lock().remove(&self.id);
    }
}

impl Transport {
    /// The door of a replica of this node.
    pub(crate) fn new(
        row: &ReplicaSpan,
        placement: &Placement,
        replica: u64,
        node: &str,
        carrier: Arc<dyn SendFrame>,
        lease: Arc<Lease>,
        runtime: Handle,
    ) -> Transport {
        let is_first = placement.nodes.iter().min().is_some_and(|first| **first == *node);
        let transport = Transport {
            span: row.span.clone(),
            replica,
            node: node.into(),
            carrier,
            others: RwLock::default(),
            names_members: AtomicBool::new(is_first && row.may_be_new),
            has_members: Mutex::default(),
            changed: Notify::new(),
            contact: Arc::default(),
            lease,
            calls: Mutex::default(),
            appends: Mutex::default(),
            // A late reply to a call from before a restart is none to another call.
            next_call: AtomicU64::new(fastrand::u64(..)),
            answer: Mutex::default(),
            answering: Arc::new(Semaphore::new(CALLS_AT_ONCE)),
            runtime,
        };
        transport.set_placement(placement);
        transport
    }

    /// Whether this node names the members of the range, if that has none.
    pub(crate) fn names_members(&self) -> bool {
        self.names_members.load(Relaxed)
    }

    /// It does not, as others have done so.
    pub(crate) fn name_no_members(&self) {
        self.names_members.swap(false, Relaxed);
    }

    /// Changes which nodes have replicas. What is known of those that stay is kept.
    pub(crate) fn set_placement(&self, placement: &Placement) {
        let mut others = self.others.write();
        let other = |node: &Arc<str>| match others.iter().find(|other| other.node == *node) {
            Some(known) => known.clone(),
            None => Arc::new(OtherNode { node: node.clone(), replica: Mutex::default() }),
        };
        *others = placement.all().filter(|node| **node != self.node).map(other).collect();
    }

    /// Has calls answered from now on, or not any more.
    pub(crate) fn set_answer(&self, answer: Option<Arc<dyn AnswerCalls>>) {
        *self.answer.lock() = answer;
    }

    /// The log of the replica names members. The others are notified.
    pub(crate) fn set_has_members(&self) {
        if self.has_members.lock().replace(true) != Some(true) {
            self.other_nodes().iter().for_each(|other| self.send_hello(other));
        }
    }

    /// The replica has loaded its log, and takes part from now on.
    pub(crate) fn begin(&self, has_members: bool) {
        *self.has_members.lock() = Some(has_members);
    }

    /// The node of a replica, if it has said so.
    pub(crate) fn node_of(&self, replica: u64) -> Option<Arc<str>> {
        let is_its = |other: &OtherNode| other.replica.lock().is_some_and(|known| known.id == replica);
        self.others.read().iter().find(|other| is_its(other)).map(|other| other.node.clone())
    }

    /// The other nodes, and their replicas as far as they have said so.
    pub(crate) fn others(&self) -> Vec<(Arc<str>, Option<OtherReplica>)> {
        self.others.read().iter().map(|other| (other.node.clone(), *other.replica.lock())).collect()
    }

    /// The nodes are not locked while something is sent, which may be answered at once.
    fn other_nodes(&self) -> Vec<Arc<OtherNode>> {
        self.others.read().clone()
    }

    /// The replicas of these nodes, if each has one that `accept` takes. That of this node is taken.
    pub(crate) fn replicas_of<'n>(
        &self,
        nodes: impl IntoIterator<Item = &'n Arc<str>>,
        accept: impl Fn(&OtherReplica) -> bool,
    ) -> Option<BTreeSet<u64>> {
        let others = self.others.read();
        let replica_of = |node: &Arc<str>| {
            if *node == self.node {
                return Some(self.replica);
            }
            let other = others.iter().find(|other| other.node == *node)?;
            let replica = other.replica.lock().filter(&accept)?;
            Some(replica.id)
        };
        nodes.into_iter().map(replica_of).collect()
    }

    /// Waits until something was learned of another replica, since this was called last.
    pub(crate) async fn changed(&self) {
        self.changed.notified().await;
    }

    /// Says hello from time to time, forever: often to those that have not said so, and to all since frames
    /// may be lost, or late ones of a replica that was may have taken the place of this one's.
    pub(crate) async fn introduce(&self) {
        for round in 0_u64.. {
            for other in self.other_nodes() {
                if round.is_multiple_of(HELLO_ROUNDS) || other.replica.lock().is_none() {
                    self.send_hello(&other);
                }
            }
            sleep(HELLO_PAUSE).await;
        }
    }

    /// Says hello, and has the other do so if it has not.
    fn send_hello(&self, other: &OtherNode) {
        let wants_reply = other.replica.lock().is_none();
        let Span { start, end, .. } = &self.span;
        let Some(has_members) = *self.has_members.lock() else { return };
        let hello = Body::Hello { start, end: end.clone(), has_members, wants_reply };
        self.send(&other.node, ANY, &hello);
    }

    fn send(&self, node: &str, to: u64, body: &Body<'_>) {
        self.carrier.send(node, frame::encode(Envelope { to, from: self.replica }, body));
    }

    /// Calls another replica. The call, or its reply, may be lost.
    pub(crate) fn call(self: &Arc<Self>, to: u64, call: Call<'_>) -> PendingCall {
        let id = self.next_call.fetch_add(1, Relaxed);
        self.call_as(id, to, call)
    }

    /// Sends another replica entries, or a heartbeat, as the leader by this vote. The reply of a follower
    /// extends the lease whenever it comes, also if nobody waits for it.
    pub(crate) fn append(self: &Arc<Self>, to: u64, vote: Vote, call: Call<'_>) -> PendingCall {
        let (id, sent) = (self.next_call.fetch_add(1, Relaxed), lease::now());
        let mut appends = self.appends.lock();
        appends.retain(|_, append| append.sent + LEASE > sent);
        appends.insert(id, SentAppend { to, vote, sent });
        drop(appends);
        self.call_as(id, to, call)
    }

    fn call_as(self: &Arc<Self>, id: u64, to: u64, call: Call<'_>) -> PendingCall {
        let (sender, reply) = oneshot::channel();
        self.calls.lock().insert(id, sender);
        if let Some(node) = self.node_of(to) {
            self.send(&node, to, &Body::Call { id, call });
        }
        PendingCall { transport: self.clone(), id, reply }
    }

    /// Takes a frame that a node has sent for this replica.
    pub(crate) fn receive_frame(self: &Arc<Self>, node: &str, mut frame: Vec<u8>) {
        let Ok((Envelope { from, .. }, body)) = frame::decode_envelope(&frame) else { return };
        let start = frame.len() - body.len();
        drop(frame.drain(..start));
        self.receive(node, from, frame);
    }

    fn receive_reply(&self, from: u64, id: u64, reply: Reply) {
        let append = self.appends.lock().remove(&id).filter(|append| append.to == from);
        let append = append.filter(|_| reply.is_of_follower());
        if let Some(sender) = self.calls.lock().remove(&id) {
            // Nobody waits any more.
            drop(sender.send(reply));
        }
        if let Some(SentAppend { to, vote, sent }) = append {
            self.lease.extend(vote, to, sent);
        }
    }

    fn receive(self: &Arc<Self>, node: &str, from: u64, body: Vec<u8>) {
        match frame::decode_body(&body) {
            Ok(Body::Hello { has_members, wants_reply, .. }) => {
                self.receive_hello(node, OtherReplica { id: from, has_members }, wants_reply);
            }
            Ok(Body::Reply { id, reply }) => self.receive_reply(from, id, reply),
            Ok(Body::Call { id, .. }) => self.answer(node, from, id, body),
            Err(error) => tracing::warn!(node, %error, "a frame of another replica is not understood"),
        }
    }

    /// Whether this names the range.
    fn is_named(&self, body: &[u8]) -> bool {
        match frame::decode_body(body) {
            // Nodes may not yet have executed that it was split.
            Ok(Body::Hello { start, end, .. }) => {
                let has_names = end.is_none_or(|end| *start < *end);
                *start == *self.span.start && has_names == self.span.has_names()
            }
            _ => false,
        }
    }

    fn receive_hello(&self, node: &str, replica: OtherReplica, wants_reply: bool) {
        let other = self.others.read().iter().find(|other| *other.node == *node).cloned();
        let Some(other) = other else { return };
        let before = other.replica.lock().replace(replica);
        if wants_reply {
            self.send_hello(&other);
        }
        if before != Some(replica) {
            self.changed.notify_one();
        }
    }

    fn answer(self: &Arc<Self>, node: &str, from: u64, id: u64, body: Vec<u8>) {
        let Some(answer) = self.answer.lock().clone() else { return };
        // More than a replica sends: it calls again.
        let Ok(permit) = self.answering.clone().try_acquire_owned() else { return };
        let (transport, node) = (self.clone(), Arc::<str>::from(node));
        let is_silent = |other: &Arc<OtherNode>| other.node == node && other.replica.lock().is_none();
        let has_not_said_so = transport.others.read().iter().any(is_silent);
        if has_not_said_so {
            transport.receive_hello(&node, OtherReplica { id: from, has_members: true }, false);
        }
        drop(self.runtime.spawn(async move {
            if let Some(reply) = answer.answer(from, body).await {
                transport.send(&node, from, &Body::Reply { id, reply });
            }
            drop(permit);
        }));
    }
}

/// The one of these replicas that a frame of a node is for; `None` if it is for one that was, or for a range
/// that is not here.
pub(crate) fn find_receiver<'t>(
    mut transports: impl Iterator<Item = &'t Arc<Transport>>,
    node: &str,
    frame: &[u8],
) -> Option<Arc<Transport>> {
    let Ok((Envelope { to, .. }, body)) = frame::decode_envelope(frame) else {
        tracing::warn!(node, "a frame for a replica is not understood");
        return None;
    };
    let is_receiver = |transport: &&Arc<Transport>| match to {
        ANY => transport.is_named(body),
        to => transport.replica == to,
    };
    transports.find(is_receiver).cloned()
}
