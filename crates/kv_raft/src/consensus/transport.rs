//! How a replica reaches the other replicas of its range: frames out, frames in. It knows nothing of what
//! carries them, which may lose them.
//!
//! Which replica a node has is not configured: each says so to the nodes of its range when it begins. A node
//! whose disk was wiped has another replica then, which has no part in what the one before it has promised.

use super::frame::{self, ANY, Body, Call, Envelope, Reply};
use crate::{
    identity::Span,
    limits::{CALLS_AT_ONCE, HELLO_PAUSE},
};
use parking_lot::Mutex;
use std::{
    collections::{BTreeSet, HashMap},
    fmt::{self, Debug, Formatter},
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering::Relaxed},
    },
    time::Instant,
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
    carrier: Arc<dyn SendFrame>,
    /// The other nodes, in the order of the row.
    others: Box<[OtherNode]>,
    /// Whether this node has the least name of the row.
    pub(crate) is_first: bool,
    /// Whether the log of the replica names members. It says nothing of itself before that is known.
    has_members: Mutex<Option<bool>>,
    /// Something was learned of another replica.
    changed: Notify,
    pub(crate) contact: Arc<Contact>,
    calls: Mutex<HashMap<u64, oneshot::Sender<Reply>>>,
    next_call: AtomicU64,
    /// Who answers calls, while the replica takes part.
    answer: Mutex<Option<Arc<dyn AnswerCalls>>>,
    /// Calls that are being answered.
    answering: Arc<Semaphore>,
    runtime: Handle,
}

/// What a replica knows of its leader, so that it calls elections in time.
#[derive(Debug)]
pub(crate) struct Contact {
    /// When it has received something of one.
    last: Mutex<Instant>,
    /// Whether another replica has refused its vote as it has more entries.
    is_behind: AtomicBool,
}

impl Default for Contact {
    fn default() -> Contact {
        Contact { last: Mutex::new(Instant::now()), is_behind: AtomicBool::new(false) }
    }
}

impl Contact {
    /// The leader has sent something.
    pub(crate) fn note(&self) {
        *self.last.lock() = Instant::now();
    }

    /// When the leader has sent something last, or when the replica began.
    pub(crate) fn last(&self) -> Instant {
        *self.last.lock()
    }

    /// Another replica has more entries.
    pub(crate) fn note_behind(&self) {
        self.is_behind.store(true, Relaxed);
    }

    /// Whether another one had more entries at the last election.
    pub(crate) fn take_behind(&self) -> bool {
        self.is_behind.swap(false, Relaxed)
    }
}

/// Another node of the row.
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
    /// The door of a replica of `nodes`, one of which is this node.
    pub(crate) fn new(
        span: Span,
        replica: u64,
        node: &str,
        nodes: &[Arc<str>],
        carrier: Arc<dyn SendFrame>,
        runtime: Handle,
    ) -> Transport {
        let others = nodes.iter().filter(|other| ***other != *node);
        let others = others.map(|other| OtherNode { node: other.clone(), replica: Mutex::default() });
        Transport {
            span,
            replica,
            carrier,
            others: others.collect(),
            is_first: nodes.iter().min().is_some_and(|first| **first == *node),
            has_members: Mutex::default(),
            changed: Notify::new(),
            contact: Arc::default(),
            calls: Mutex::default(),
            // A late reply to a call from before a restart is none to another call.
            next_call: AtomicU64::new(fastrand::u64(..)),
            answer: Mutex::default(),
            answering: Arc::new(Semaphore::new(CALLS_AT_ONCE)),
            runtime,
        }
    }

    /// Has calls answered from now on, or not any more.
    pub(crate) fn set_answer(&self, answer: Option<Arc<dyn AnswerCalls>>) {
        *self.answer.lock() = answer;
    }

    /// The log of the replica names members. The others are notified.
    pub(crate) fn set_has_members(&self) {
        if self.has_members.lock().replace(true) != Some(true) {
            self.others.iter().for_each(|other| self.send_hello(other));
        }
    }

    /// The replica has loaded its log, and takes part from now on.
    pub(crate) fn begin(&self, has_members: bool) {
        *self.has_members.lock() = Some(has_members);
    }

    /// The node of a replica, if it has said so.
    pub(crate) fn node_of(&self, replica: u64) -> Option<Arc<str>> {
        let is_its = |other: &&OtherNode| other.replica.lock().is_some_and(|known| known.id == replica);
        self.others.iter().find(is_its).map(|other| other.node.clone())
    }

    /// The other nodes, and their replicas as far as they have said so.
    pub(crate) fn others(&self) -> impl Iterator<Item = (Arc<str>, Option<OtherReplica>)> {
        self.others.iter().map(|other| (other.node.clone(), *other.replica.lock()))
    }

    /// The replicas of all nodes, this one among them, if each has one that `accept` takes.
    pub(crate) fn all_replicas(&self, accept: impl Fn(&OtherReplica) -> bool) -> Option<BTreeSet<u64>> {
        let others = self.others().map(|(_, other)| other.filter(&accept).map(|other| other.id));
        others.chain([Some(self.replica)]).collect()
    }

    /// Waits until something was learned of another replica, since this was called last.
    pub(crate) async fn changed(&self) {
        self.changed.notified().await;
    }

    /// Says hello from time to time to those that have not said so, forever.
    pub(crate) async fn introduce(&self) {
        loop {
            let unknown = self.others.iter().filter(|other| other.replica.lock().is_none());
            unknown.for_each(|other| self.send_hello(other));
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
        let (sender, reply) = oneshot::channel();
        let id = self.next_call.fetch_add(1, Relaxed);
        self.calls.lock().insert(id, sender);
        if let Some(node) = self.node_of(to) {
            self.send(&node, to, &Body::Call { id, call });
        }
        PendingCall { transport: self.clone(), id, reply }
    }

    /// Takes the body of a frame that a node has sent for this replica.
    fn receive(self: &Arc<Self>, node: &str, from: u64, body: Vec<u8>) {
        match frame::decode_body(&body) {
            Ok(Body::Hello { has_members, wants_reply, .. }) => {
                self.receive_hello(node, OtherReplica { id: from, has_members }, wants_reply);
            }
            Ok(Body::Reply { id, reply }) => {
                if let Some(sender) = self.calls.lock().remove(&id) {
                    // Nobody waits any more.
                    drop(sender.send(reply));
                }
            }
            Ok(Body::Call { id, .. }) => self.answer(node, from, id, body),
            Err(error) => tracing::warn!(node, %error, "a frame of another replica is not understood"),
        }
    }

    /// Whether this names the range.
    fn is_named(&self, body: &[u8]) -> bool {
        match frame::decode_body(body) {
            Ok(Body::Hello { start, end, .. }) => *start == *self.span.start && end == self.span.end,
            _ => false,
        }
    }

    fn receive_hello(&self, node: &str, replica: OtherReplica, wants_reply: bool) {
        let Some(other) = self.others.iter().find(|other| *other.node == *node) else { return };
        let before = other.replica.lock().replace(replica);
        if wants_reply {
            self.send_hello(other);
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
        if transport.node_of(from).is_none() {
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

/// Takes a frame of a node, for one of these replicas.
pub(crate) fn receive_frame(transports: &[Arc<Transport>], node: &str, mut frame: Vec<u8>) {
    let Ok((Envelope { to, from }, body)) = frame::decode_envelope(&frame) else {
        tracing::warn!(node, "a frame for a replica is not understood");
        return;
    };
    let is_receiver = |transport: &&Arc<Transport>| match to {
        ANY => transport.is_named(body),
        to => transport.replica == to,
    };
    // One of a replica that was, or of a range that is not here.
    let Some(transport) = transports.iter().find(is_receiver) else { return };
    let start = frame.len() - body.len();
    drop(frame.drain(..start));
    transport.receive(node, from, frame);
}
