//! Another node: whether the one link to it is up, and how it comes up.

mod backoff;
pub(crate) mod calls;
pub(crate) mod dialer;
pub(crate) mod handshake;
mod link_task;
pub(crate) mod listener;
pub(crate) mod versions;

use crate::{
    error::LinkClosed,
    events::{NodeEvent, NodeStatus},
    limits::CONNECT_WAIT,
    link::Link,
    node_name::NodeName,
    peer::handshake::{AnnouncedRoutes, HandshakeError},
};
use std::{
    net::SocketAddr,
    sync::{Arc, Mutex, PoisonError},
};
use tokio::{
    net::TcpStream,
    sync::{Notify, broadcast, watch},
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
    accepted: Mutex<Option<AuthenticatedSocket>>,
    accepted_notify: Notify,
    redial: Notify,
    events: broadcast::Sender<NodeEvent>,
}

/// A socket on which a peer has proved that it knows the cookie.
#[derive(Debug)]
pub(crate) struct AuthenticatedSocket {
    pub(crate) stream: TcpStream,
    pub(crate) routes: AnnouncedRoutes,
    /// The version of the link protocol that both speak on it.
    pub(crate) version: u8,
}

#[derive(Debug)]
struct State {
    link: Option<Arc<Link>>,
    /// Why there is no link.
    down_reason: Arc<str>,
    /// The number of dials so far.
    dials: u64,
    /// The number of the last dial that failed.
    failed_dial: u64,
}

impl Peer {
    /// A peer without a link. Of two nodes the one with the lower name dials, so there is never more than one
    /// link between them.
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
        NodeStatus {
            name: self.name.clone(),
            address: self.address.clone(),
            up,
            reason,
            disputed_names: None,
        }
    }

    /// Whether this node dials the peer.
    pub(crate) fn is_dialed(&self) -> bool {
        self.is_dialed
    }

    pub(crate) fn address(&self) -> &str {
        &self.address
    }

    /// Requests a dial without delay, and waits until the peer is up or the dial has failed.
    pub(crate) async fn connect(&self) -> bool {
        let mut state = self.state.subscribe();
        let dials = state.borrow().dials;
        self.redial.notify_one();
        let decided = state.wait_for(|state| state.link.is_some() || state.failed_dial > dials);
        drop(timeout(CONNECT_WAIT, decided).await);
        self.is_up()
    }

    /// Ready when a dial without delay has been requested.
    pub(crate) async fn redial_requested(&self) {
        self.redial.notified().await;
    }

    /// Counts a dial that begins now.
    pub(crate) fn record_dial(&self) {
        self.state.send_modify(|state| state.dials += 1);
    }

    /// Records why the last dial failed. Returns whether the reason differs from the one before.
    pub(crate) fn record_dial_failure(&self, reason: String) -> bool {
        let mut is_new = false;
        self.state.send_modify(|state| {
            is_new = *state.down_reason != *reason;
            state.down_reason = reason.into();
            state.failed_dial = state.dials;
        });
        is_new
    }

    /// Records why a socket was refused on which someone claimed to be this peer. That may have been anyone,
    /// so it changes nothing while there is a link.
    pub(crate) fn record_refusal(&self, from: SocketAddr, error: &HandshakeError) {
        self.state.send_modify(|state| {
            if state.link.is_none() {
                state.down_reason = format!("link from {}: {error}", from.ip()).into();
            }
        });
    }

    /// Hands over a socket on which the peer has authenticated. It replaces one that has not been taken.
    pub(crate) fn offer_socket(&self, socket: AuthenticatedSocket) {
        *self.accepted.lock().unwrap_or_else(PoisonError::into_inner) = Some(socket);
        self.accepted_notify.notify_one();
    }

    /// Waits for the next socket on which the peer has authenticated, and takes it.
    pub(crate) async fn take_socket(&self) -> AuthenticatedSocket {
        loop {
            let accepted = self.accepted.lock().unwrap_or_else(PoisonError::into_inner).take();
            match accepted {
                Some(socket) => return socket,
                None => self.accepted_notify.notified().await,
            }
        }
    }

    /// Marks the peer as up until the guard is dropped.
    pub(crate) fn mark_up(&self, link: Arc<Link>, version: u8) -> LinkUpGuard<'_> {
        self.state.send_modify(|state| state.link = Some(link.clone()));
        info!(node = %self.name, link_version = version, "node up");
        // Fails if there is no receiver, which is fine.
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
    /// Marks the peer as down for this reason.
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{error::Error, limits::LINK_VERSION};
    use kv::{Op, Request};

    #[tokio::test]
    async fn a_crash_of_a_link_ends_its_calls_and_is_the_reason_of_the_event() {
        let (bar, foo): (NodeName, NodeName) = ("bar@host".parse().unwrap(), "foo@host".parse().unwrap());
        let (sender, mut events) = broadcast::channel(2);
        let peer = Arc::new(Peer::new(bar.clone(), "nowhere".into(), &foo, sender));
        let (crashing, crash) = (peer.clone(), Arc::new(Notify::new()));
        let requested = crash.clone();
        let task = tokio::spawn(async move {
            let _guard = crashing.mark_up(Arc::new(Link::new(crashing.name().clone())), LINK_VERSION);
            requested.notified().await;
            panic!("requested by the test");
        });
        assert_eq!(events.recv().await, Ok(NodeEvent::Up(bar.clone())));
        let call = peer.call(&[Request::new(b"shopping", Op::Create)]).unwrap();
        crash.notify_one();
        assert_eq!(call.await.unwrap_err(), Error::LinkLost { node: bar.shared() });
        assert!(task.await.unwrap_err().is_panic());
        let reason: Arc<str> = "its link crashed".into();
        assert_eq!(events.recv().await, Ok(NodeEvent::Down { node: bar, reason }));
        assert!(!peer.is_up());
    }
}
