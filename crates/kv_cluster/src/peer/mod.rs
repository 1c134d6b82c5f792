//! Another node, and the one link to it.

mod backoff;
pub(crate) mod dialer;
pub(crate) mod handshake;
mod link_task;
pub(crate) mod listener;

use crate::{
    error::{Error, LinkEnd},
    events::{NodeEvent, NodeStatus},
    limits::{CONNECT_WAIT, FRAME_BYTES},
    link::Link,
    link::codec::{Outcome, Verdict},
    link::node_query::{Question, Told},
    link::replies::Replies,
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

/// Another node of the cluster.
#[derive(Debug)]
pub struct Peer {
    name: NodeName,
    address: String,
    dialled_by_us: bool,
    state: watch::Sender<State>,
    /// The newest socket over which the peer has proved itself to our listener.
    arrived: Mutex<Option<TcpStream>>,
    arrival: Notify,
    dial_now: Notify,
    events: broadcast::Sender<NodeEvent>,
}

#[derive(Debug)]
struct State {
    link: Option<Arc<Link>>,
    /// Why there is no link.
    reason: Arc<str>,
    /// How many times the peer has been dialled.
    dials: u64,
    /// Which of these times was the last that failed.
    failed: u64,
}

impl Peer {
    /// Of two nodes, the one with the lower name dials, so that there is never more than one link between them.
    pub(crate) fn new(
        name: NodeName,
        address: String,
        me: &NodeName,
        events: broadcast::Sender<NodeEvent>,
    ) -> Peer {
        let dialled_by_us = *me < name;
        let reason = if dialled_by_us { "not reached yet" } else { "it has not come yet" }.into();
        Peer {
            name,
            address,
            dialled_by_us,
            state: watch::Sender::new(State { link: None, reason, dials: 0, failed: 0 }),
            arrived: Mutex::default(),
            arrival: Notify::new(),
            dial_now: Notify::new(),
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

    /// What is known of it now.
    pub fn status(&self) -> NodeStatus {
        let state = self.state.borrow();
        let up = state.link.is_some();
        let reason = (!up).then(|| state.reason.clone());
        NodeStatus { name: self.name.clone(), address: self.address.clone(), up, reason }
    }

    /// Sends the first so many of the requests as one call; [`Call::taken`] says how many. Fails at once when nothing
    /// could be sent.
    pub(crate) fn call(&self, requests: &[Request<'_>]) -> Result<Call, Error> {
        let (taken, answer) = self.over_link(|link| link.call(requests))?;
        Ok(Call { node: self.name.clone(), taken, answer })
    }

    /// Subscribes to a bucket of the peer; `None` when there is no such bucket.
    pub(crate) async fn subscribe(&self, bucket: &[u8]) -> Result<Option<Subscription>, Error> {
        let (changes, answer) = self.over_link(|link| link.subscribe(bucket))?;
        let node = self.name.shared();
        match answer.await {
            Ok(Outcome::Subscribed) => Ok(Some(changes)),
            Ok(Outcome::NoBucket) => Ok(None),
            Ok(Outcome::NotOwner) => Err(Error::NotOwner { node }),
            Ok(Outcome::TooMany) => Err(Error::Busy { node }),
            Err(_) => Err(Error::LinkLost { node }),
        }
    }

    /// Executes all requests as one step, or none.
    pub(crate) async fn transact(
        &self,
        watched: &[(&[u8], u64)],
        requests: &[Request<'_>],
    ) -> Result<(Verdict, Replies), Error> {
        let answer = self.over_link(|link| link.transact(watched, requests))?;
        let is_read = requests.iter().all(|request| request.op.is_read());
        answer.await.map_err(|_| self.lost(is_read))
    }

    /// Asks something of the peer as a whole.
    pub(crate) fn question(self: &Arc<Self>, question: &Question<'_>) -> Result<Telling, Error> {
        let answer = self.over_link(|link| link.question(question))?;
        Ok(Telling { peer: self.clone(), is_read: question.is_read(), answer })
    }

    /// Why the peer cannot be asked now, if so.
    pub(crate) fn down(&self) -> Option<Error> {
        self.over_link(|_| Ok(())).err()
    }

    /// What has become of a question whose link was lost. A read did no harm, whether or not it was executed.
    pub(crate) fn lost(&self, is_read: bool) -> Error {
        let node = self.name.shared();
        match is_read {
            true => Error::NodeDown { node, reason: "its link was lost".into() },
            false => Error::LinkLost { node },
        }
    }

    fn over_link<T>(&self, ask: impl FnOnce(&Link) -> Result<T, Error>) -> Result<T, Error> {
        let state = self.state.borrow();
        match &state.link {
            Some(link) => ask(link),
            None => Err(Error::NodeDown { node: self.name.shared(), reason: state.reason.clone() }),
        }
    }

    /// Whether this node is the one that dials.
    pub(crate) fn is_dialled_by_us(&self) -> bool {
        self.dialled_by_us
    }

    pub(crate) fn address(&self) -> &str {
        &self.address
    }

    /// Sees to it that the peer is dialled now, and waits until it is up, or cannot be reached.
    pub(crate) async fn connect(&self) -> bool {
        let mut state = self.state.subscribe();
        let dials = state.borrow().dials;
        self.dial_now.notify_one();
        let decided = state.wait_for(|state| state.link.is_some() || state.failed > dials);
        drop(timeout(CONNECT_WAIT, decided).await);
        self.is_up()
    }

    /// Ready when somebody wants the peer to be dialled without delay.
    pub(crate) async fn dial_wanted(&self) {
        self.dial_now.notified().await;
    }

    /// The peer is dialled.
    pub(crate) fn dialling(&self) {
        self.state.send_modify(|state| state.dials += 1);
    }

    /// It could not be reached. Returns whether the reason is a new one.
    pub(crate) fn not_reached(&self, reason: String) -> bool {
        let mut is_new = false;
        self.state.send_modify(|state| {
            is_new = *state.reason != *reason;
            state.reason = reason.into();
            state.failed = state.dials;
        });
        is_new
    }

    /// The peer has come over this socket, which replaces any that came before.
    pub(crate) fn arrive(&self, stream: TcpStream) {
        *self.arrived.lock().unwrap_or_else(PoisonError::into_inner) = Some(stream);
        self.arrival.notify_one();
    }

    /// The socket over which the peer comes.
    pub(crate) async fn arrival(&self) -> TcpStream {
        loop {
            let arrived = self.arrived.lock().unwrap_or_else(PoisonError::into_inner).take();
            match arrived {
                Some(stream) => return stream,
                None => self.arrival.notified().await,
            }
        }
    }

    /// The link is up until what is returned is dropped, whatever the reason.
    pub(crate) fn up(&self, link: Arc<Link>) -> Up<'_> {
        self.state.send_modify(|state| state.link = Some(link.clone()));
        info!(node = %self.name, "node up");
        // Nobody needs to listen.
        drop(self.events.send(NodeEvent::Up(self.name.clone())));
        Up { peer: self, link, reason: None, expected: false }
    }
}

/// A link that is up.
#[must_use]
pub(crate) struct Up<'a> {
    peer: &'a Peer,
    link: Arc<Link>,
    reason: Option<Arc<str>>,
    expected: bool,
}

impl Up<'_> {
    /// The link has ended.
    pub(crate) fn end(mut self, end: &LinkEnd) {
        self.reason = Some(end.to_string().into());
        self.expected = matches!(end, LinkEnd::Stopped);
    }
}

impl Drop for Up<'_> {
    fn drop(&mut self) {
        let node = &self.peer.name;
        let reason = self.reason.take().unwrap_or_else(|| match std::thread::panicking() {
            true => "its link crashed".into(),
            false => "its link was replaced".into(),
        });
        self.peer.state.send_modify(|state| {
            state.link = None;
            state.reason = reason.clone();
        });
        self.link.close();
        if self.expected {
            info!(%node, %reason, "node down");
        } else {
            warn!(%node, %reason, "node down");
        }
        drop(self.peer.events.send(NodeEvent::Down { node: node.clone(), reason }));
    }
}

/// A call that is on its way; ready when its answers are there, or its link is lost.
#[derive(Debug)]
pub(crate) struct Call {
    node: NodeName,
    taken: usize,
    answer: oneshot::Receiver<Replies>,
}

impl Call {
    /// How many of the requests it carries: the first so many, at least one.
    pub(crate) fn taken(&self) -> usize {
        self.taken
    }
}

impl Future for Call {
    type Output = Result<Replies, Error>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        Pin::new(&mut self.answer)
            .poll(context)
            .map(|answer| answer.map_err(|_| Error::LinkLost { node: self.node.shared() }))
    }
}

/// A question that is on its way.
#[derive(Debug)]
pub(crate) struct Telling {
    peer: Arc<Peer>,
    is_read: bool,
    answer: oneshot::Receiver<Told>,
}

impl Telling {
    /// What the peer says.
    pub(crate) async fn told(self) -> Result<Told, Error> {
        match self.answer.await {
            Ok(Told::TooLarge) => Err(Error::TooLarge { node: self.peer.name.shared(), limit: FRAME_BYTES }),
            Ok(told) => Ok(told),
            Err(_) => Err(self.peer.lost(self.is_read)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use kv::Op;

    #[tokio::test]
    async fn a_crash_of_a_link_ends_its_calls_and_is_told_as_such() {
        let (bar, foo): (NodeName, NodeName) = ("bar@host".parse().unwrap(), "foo@host".parse().unwrap());
        let (events, mut heard) = broadcast::channel(2);
        let peer = Arc::new(Peer::new(bar.clone(), "nowhere".into(), &foo, events));
        let (crashing, crash) = (peer.clone(), Arc::new(Notify::new()));
        let ordered = crash.clone();
        let connection = tokio::spawn(async move {
            let _up = crashing.up(Arc::new(Link::new(crashing.name().clone())));
            ordered.notified().await;
            panic!("as this test wants it");
        });
        assert_eq!(heard.recv().await, Ok(NodeEvent::Up(bar.clone())));
        let call = peer.call(&[Request { bucket: b"shopping", op: Op::Create }]).unwrap();
        crash.notify_one();
        assert_eq!(call.await.unwrap_err(), Error::LinkLost { node: bar.shared() });
        assert!(connection.await.unwrap_err().is_panic());
        let reason: Arc<str> = "its link crashed".into();
        assert_eq!(heard.recv().await, Ok(NodeEvent::Down { node: bar, reason }));
        assert!(!peer.is_up());
    }
}
