//! Another node: whether the one link to it is up, and how it comes up.

mod backoff;
pub(crate) mod calls;
pub(crate) mod dialer;
pub(crate) mod handshake;
mod link_task;
pub(crate) mod list;
pub(crate) mod listener;
pub(crate) mod versions;

use crate::{
    error::{Error, LinkClosed},
    events::{NodeEvent, NodeStatus},
    limits::{CONNECT_WAIT, LINK_VERSION},
    link::{Link, pending::LinkLoad},
    node_name::NodeName,
    peer::handshake::{AnnouncedRoutes, HandshakeError},
};
use std::{
    net::SocketAddr,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
};
use tokio::{
    net::TcpStream,
    sync::{Notify, broadcast, watch},
    time::timeout,
};
use tracing::{info, warn};

/// Why there is no link to a node before the first one, and after the last one.
const NOT_CONNECTED: &str = "not connected yet";
const REMOVED: &str = "it was removed from the cluster";

/// Another node of the cluster.
#[derive(Debug)]
pub struct Peer {
    /// Its place in the list.
    index: usize,
    name: NodeName,
    is_dialed: bool,
    /// Whether it is a node of the cluster no more.
    is_removed: AtomicBool,
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
    address: Arc<str>,
    link: Option<Arc<Link>>,
    /// The version of the link protocol on that link.
    version: u8,
    /// How often there was a new link.
    ups: u64,
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
        index: usize,
        name: NodeName,
        address: &str,
        local_name: &NodeName,
        events: broadcast::Sender<NodeEvent>,
    ) -> Peer {
        let (address, down_reason) = (address.into(), NOT_CONNECTED.into());
        Peer {
            index,
            is_dialed: *local_name < name,
            is_removed: AtomicBool::new(false),
            name,
            state: watch::Sender::new(State {
                address,
                link: None,
                version: LINK_VERSION,
                ups: 0,
                down_reason,
                dials: 0,
                failed_dial: 0,
            }),
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

    /// How often its link has been set up.
    pub(crate) fn ups(&self) -> u64 {
        self.state.borrow().ups
    }

    /// How much is in flight on its link.
    pub(crate) fn link_load(&self) -> LinkLoad {
        self.state.borrow().link.as_ref().map_or_else(LinkLoad::default, |link| link.load())
    }

    /// Its status now.
    pub fn status(&self) -> NodeStatus {
        let state = self.state.borrow();
        let up = state.link.is_some();
        let reason = (!up).then(|| state.down_reason.clone());
        NodeStatus {
            name: self.name.clone(),
            address: state.address.to_string(),
            up,
            reason,
            disputed_names: None,
        }
    }

    /// Whether this node dials the peer.
    pub(crate) fn is_dialed(&self) -> bool {
        self.is_dialed
    }

    /// Its place in the list of all peers.
    pub(crate) fn index(&self) -> usize {
        self.index
    }

    /// Fails if it is of a release that does not know what came with this version of the link protocol.
    pub(crate) fn check_version(&self, version: u8) -> Result<(), Error> {
        match self.state.borrow().version < version {
            true => Err(Error::OlderRelease { node: self.name.shared() }),
            false => Ok(()),
        }
    }

    /// Where it accepts links.
    pub(crate) fn address(&self) -> Arc<str> {
        self.state.borrow().address.clone()
    }

    /// Whether it is a node of the cluster no more.
    pub(crate) fn is_removed(&self) -> bool {
        self.is_removed.load(Relaxed)
    }

    /// It is a node of the cluster, at this address.
    pub(crate) fn admit(&self, address: &str) {
        let was_removed = self.is_removed.swap(false, Relaxed);
        self.state.send_modify(|state| {
            state.address = address.into();
            if was_removed {
                state.down_reason = NOT_CONNECTED.into();
            }
        });
        self.redial.notify_one();
    }

    /// It is a node of the cluster no more.
    pub(crate) fn remove(&self) {
        self.is_removed.swap(true, Relaxed);
        self.state.send_modify(|state| state.down_reason = REMOVED.into());
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
        self.state.send_modify(|state| {
            (state.link, state.version) = (Some(link.clone()), version);
            state.ups += 1;
        });
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
            (state.link, state.version) = (None, LINK_VERSION);
            if !self.peer.is_removed() {
                state.down_reason = reason.clone();
            }
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
    use kv::{Op, Request};

    #[tokio::test]
    async fn a_crash_of_a_link_ends_its_calls_and_is_the_reason_of_the_event() {
        let (bar, foo): (NodeName, NodeName) = ("bar@host".parse().unwrap(), "foo@host".parse().unwrap());
        let (sender, mut events) = broadcast::channel(2);
        let peer = Arc::new(Peer::new(0, bar.clone(), "nowhere", &foo, sender));
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
