//! Another node, and the one link to it.

mod backoff;
pub(crate) mod dialer;
pub(crate) mod handshake;
mod link_task;
pub(crate) mod listener;

use crate::{
    error::{Error, LinkClosed},
    events::{NodeEvent, NodeStatus},
    limits::{CONNECT_WAIT, FRAME_BYTES},
    link::{
        Link,
        codec::{SubscribeResult, TransactionResult},
        node_query::{NodeQuery, NodeReply},
        replies::Replies,
    },
    node_name::NodeName,
};
use kv::{Request, Subscription};
use std::{
    pin::Pin,
    sync::{Arc, Mutex, PoisonError},
    task::{Context, Poll},
};
use tokio::{
    net::TcpStream,
    sync::{Notify, broadcast, oneshot, watch},
    time::timeout,
};
use tracing::{info, warn};

/// The other nodes.
pub(crate) type PeerList = Arc<[Arc<Peer>]>;

/// Another node of the cluster.
#[derive(Debug)]
pub struct Peer {
    name: NodeName,
    address: String,
    is_dialed: bool,
    state: watch::Sender<State>,
    /// The newest socket on which the peer has authenticated to our listener.
    accepted: Mutex<Option<TcpStream>>,
    accepted_notify: Notify,
    redial: Notify,
    events: broadcast::Sender<NodeEvent>,
}

#[derive(Debug)]
struct State {
    link: Option<Arc<Link>>,
    /// Why there is no link.
    down_reason: Arc<str>,
    /// How many times the peer has been dialed.
    dials: u64,
    /// The number of the last dial that failed.
    failed_dial: u64,
}

impl Peer {
    /// Of two nodes the one with the lower name dials, so there is never more than one link between them.
    pub(crate) fn new(
        name: NodeName,
        address: String,
        local_name: &NodeName,
        events: broadcast::Sender<NodeEvent>,
    ) -> Peer {
        let down_reason = "not connected yet".into();
        Peer {
            is_dialed: *local_name < name,
            name,
            address,
            state: watch::Sender::new(State { link: None, down_reason, dials: 0, failed_dial: 0 }),
            accepted: Mutex::default(),
            accepted_notify: Notify::new(),
            redial: Notify::new(),
            events,
        }
    }

    /// Its name.
    pub fn name(&self) -> &NodeName {
        &self.name
    }

    /// Whether there is a link to it now.
    pub fn is_up(&self) -> bool {
        self.state.borrow().link.is_some()
    }

    /// Its status now.
    pub fn status(&self) -> NodeStatus {
        let state = self.state.borrow();
        let up = state.link.is_some();
        let reason = (!up).then(|| state.down_reason.clone());
        NodeStatus { name: self.name.clone(), address: self.address.clone(), up, reason }
    }

    /// Sends the leading requests as one call: [`PendingCall::request_count`] of them, at least one.
    pub(crate) fn call(&self, requests: &[Request<'_>]) -> Result<PendingCall, Error> {
        let (request_count, reply) = self.with_link(|link| link.call(requests))?;
        Ok(PendingCall { node: self.name.clone(), request_count, reply })
    }

    /// Subscribes to a bucket of the peer; `None` when there is no such bucket.
    pub(crate) async fn subscribe(&self, bucket: &[u8]) -> Result<Option<Subscription>, Error> {
        let (changes, reply) = self.with_link(|link| link.subscribe(bucket))?;
        let node = self.name.shared();
        match reply.await {
            Ok(SubscribeResult::Subscribed) => Ok(Some(changes)),
            Ok(SubscribeResult::NoBucket) => Ok(None),
            Ok(SubscribeResult::NotOwner) => Err(Error::NotOwner { node }),
            Ok(SubscribeResult::TooMany) => Err(Error::Busy { node }),
            Err(_) => Err(Error::LinkLost { node }),
        }
    }

    /// Executes all requests as one step, or none.
    pub(crate) async fn transact(
        &self,
        watched: &[(&[u8], u64)],
        requests: &[Request<'_>],
    ) -> Result<(TransactionResult, Replies), Error> {
        let reply = self.with_link(|link| link.transact(watched, requests))?;
        let is_read = requests.iter().all(|request| request.op.is_read());
        reply.await.map_err(|_| self.lost_error(is_read))
    }

    /// Sends a query to the peer as a whole.
    pub(crate) fn query(self: &Arc<Self>, query: &NodeQuery<'_>) -> Result<PendingNodeReply, Error> {
        let reply = self.with_link(|link| link.query(query))?;
        Ok(PendingNodeReply { peer: self.clone(), is_read: query.is_read(), reply })
    }

    /// Why the peer is down, if it is.
    pub(crate) fn down_error(&self) -> Option<Error> {
        self.with_link(|_| Ok(())).err()
    }

    /// The error of a request whose link was lost. A read did no harm, whether or not it was executed.
    pub(crate) fn lost_error(&self, is_read: bool) -> Error {
        let node = self.name.shared();
        match is_read {
            true => Error::NodeDown { node, reason: "its link was lost".into() },
            false => Error::LinkLost { node },
        }
    }

    fn with_link<T>(&self, send: impl FnOnce(&Link) -> Result<T, Error>) -> Result<T, Error> {
        let state = self.state.borrow();
        match &state.link {
            Some(link) => send(link),
            None => Err(Error::NodeDown { node: self.name.shared(), reason: state.down_reason.clone() }),
        }
    }

    /// Whether this node dials the peer.
    pub(crate) fn is_dialed(&self) -> bool {
        self.is_dialed
    }

    pub(crate) fn address(&self) -> &str {
        &self.address
    }

    /// Has the peer dialed now, and waits until it is up or that has failed.
    pub(crate) async fn connect(&self) -> bool {
        let mut state = self.state.subscribe();
        let dials = state.borrow().dials;
        self.redial.notify_one();
        let decided = state.wait_for(|state| state.link.is_some() || state.failed_dial > dials);
        drop(timeout(CONNECT_WAIT, decided).await);
        self.is_up()
    }

    /// Ready when the peer is to be dialed without delay.
    pub(crate) async fn redial_requested(&self) {
        self.redial.notified().await;
    }

    pub(crate) fn dial_started(&self) {
        self.state.send_modify(|state| state.dials += 1);
    }

    /// Returns whether the reason is a new one.
    pub(crate) fn dial_failed(&self, reason: String) -> bool {
        let mut is_new = false;
        self.state.send_modify(|state| {
            is_new = *state.down_reason != *reason;
            state.down_reason = reason.into();
            state.failed_dial = state.dials;
        });
        is_new
    }

    /// Hands over a socket on which the peer has authenticated. It replaces one that was not taken yet.
    pub(crate) fn offer_socket(&self, stream: TcpStream) {
        *self.accepted.lock().unwrap_or_else(PoisonError::into_inner) = Some(stream);
        self.accepted_notify.notify_one();
    }

    /// The next socket on which the peer has authenticated.
    pub(crate) async fn accepted_socket(&self) -> TcpStream {
        loop {
            let accepted = self.accepted.lock().unwrap_or_else(PoisonError::into_inner).take();
            match accepted {
                Some(stream) => return stream,
                None => self.accepted_notify.notified().await,
            }
        }
    }

    /// Marks the peer as up until the guard is dropped.
    pub(crate) fn link_up(&self, link: Arc<Link>) -> LinkUpGuard<'_> {
        self.state.send_modify(|state| state.link = Some(link.clone()));
        info!(node = %self.name, "node up");
        // There may be no receiver.
        drop(self.events.send(NodeEvent::Up(self.name.clone())));
        LinkUpGuard { peer: self, link, reason: None, is_expected: false }
    }
}

/// Marks its peer as down when it is dropped.
#[must_use]
pub(crate) struct LinkUpGuard<'a> {
    peer: &'a Peer,
    link: Arc<Link>,
    reason: Option<Arc<str>>,
    is_expected: bool,
}

impl LinkUpGuard<'_> {
    /// Drops the guard with a reason.
    pub(crate) fn close(mut self, reason: &LinkClosed) {
        self.reason = Some(reason.to_string().into());
        self.is_expected = matches!(reason, LinkClosed::Stopped);
    }
}

impl Drop for LinkUpGuard<'_> {
    fn drop(&mut self) {
        let node = &self.peer.name;
        let reason = self.reason.take().unwrap_or_else(|| match std::thread::panicking() {
            true => "its link crashed".into(),
            false => "its link was replaced".into(),
        });
        self.peer.state.send_modify(|state| {
            state.link = None;
            state.down_reason = reason.clone();
        });
        self.link.close();
        if self.is_expected {
            info!(%node, %reason, "node down");
        } else {
            warn!(%node, %reason, "node down");
        }
        drop(self.peer.events.send(NodeEvent::Down { node: node.clone(), reason }));
    }
}

/// A call in flight: ready when its replies have arrived or its link is lost.
#[derive(Debug)]
pub(crate) struct PendingCall {
    node: NodeName,
    request_count: usize,
    reply: oneshot::Receiver<Replies>,
}

impl PendingCall {
    /// How many of the leading requests it carries; at least one.
    pub(crate) fn request_count(&self) -> usize {
        self.request_count
    }
}

impl Future for PendingCall {
    type Output = Result<Replies, Error>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        Pin::new(&mut self.reply)
            .poll(context)
            .map(|replies| replies.map_err(|_| Error::LinkLost { node: self.node.shared() }))
    }
}

/// A node query in flight.
#[derive(Debug)]
pub(crate) struct PendingNodeReply {
    peer: Arc<Peer>,
    is_read: bool,
    reply: oneshot::Receiver<NodeReply>,
}

impl PendingNodeReply {
    /// Waits for the reply.
    pub(crate) async fn reply(self) -> Result<NodeReply, Error> {
        match self.reply.await {
            Ok(NodeReply::TooLarge) => {
                Err(Error::ReplyTooLarge { node: self.peer.name.shared(), limit: FRAME_BYTES })
            }
            Ok(reply) => Ok(reply),
            Err(_) => Err(self.peer.lost_error(self.is_read)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use kv::Op;

    #[tokio::test]
    async fn a_crash_of_a_link_ends_its_calls_and_is_the_reason_of_the_event() {
        let (bar, foo): (NodeName, NodeName) = ("bar@host".parse().unwrap(), "foo@host".parse().unwrap());
        let (sender, mut events) = broadcast::channel(2);
        let peer = Arc::new(Peer::new(bar.clone(), "nowhere".into(), &foo, sender));
        let (crashing, crash) = (peer.clone(), Arc::new(Notify::new()));
        let requested = crash.clone();
        let task = tokio::spawn(async move {
            let _guard = crashing.link_up(Arc::new(Link::new(crashing.name().clone())));
            requested.notified().await;
            panic!("requested by the test");
        });
        assert_eq!(events.recv().await, Ok(NodeEvent::Up(bar.clone())));
        let call = peer.call(&[Request { bucket: b"shopping", op: Op::Create }]).unwrap();
        crash.notify_one();
        assert_eq!(call.await.unwrap_err(), Error::LinkLost { node: bar.shared() });
        assert!(task.await.unwrap_err().is_panic());
        let reason: Arc<str> = "its link crashed".into();
        assert_eq!(events.recv().await, Ok(NodeEvent::Down { node: bar, reason }));
        assert!(!peer.is_up());
    }
}
