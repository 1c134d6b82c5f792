//! The cluster as one node sees it: who owns a bucket, and how to ask.

mod channels;
pub(crate) mod fan_out;
mod keyspace;
mod transaction;

use crate::{
    cookie::Cookie,
    error::Error,
    events::{NodeEvent, NodeStatus},
    forward::{ForwardedBatch, Owner},
    limits::{HANDSHAKES, NODE_EVENTS},
    local::{Heartbeat, LocalNode, StorageSettings},
    node_name::NodeName,
    peer::Peer,
    peer::dialer,
    peer::listener::{self, Peers},
    routing::Routes,
};
use kv::{Reply, Request, Subscription};
use otp::{ChildSpec, PassiveChildren, Stop, Strategy, Supervisor, TaskSupervisor, Tree};
use std::{
    net::SocketAddr,
    ops::ControlFlow::Continue,
    sync::{Arc, OnceLock},
};
use tokio::{net::TcpListener, sync::broadcast};

/// What a node must know to be one of a cluster.
#[derive(Debug, Clone)]
pub struct Settings {
    /// This node.
    pub name: NodeName,
    /// Where this node takes links, as `host:port`; needed when there are peers.
    pub link: Option<String>,
    /// The other nodes, and where they take links.
    pub peers: Vec<(NodeName, String)>,
    /// Who owns which buckets.
    pub routes: Routes,
    /// The secret that all nodes share.
    pub cookie: Cookie,
    /// How a silent node is noticed.
    pub heartbeat: Heartbeat,
    /// How this node holds its buckets.
    pub storage: StorageSettings,
}

/// A handle to this node's view of the cluster. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Cluster {
    pub(crate) local: Arc<LocalNode>,
    pub(crate) peers: Peers,
    /// All nodes in the order of their names, by their places among the peers; `None`: this node.
    pub(crate) by_name: Arc<[Option<usize>]>,
    /// For each row of the routes, the place of its owner among the peers; `None`: this node.
    owners: Arc<[Option<usize>]>,
    /// Every bucket is this node's.
    owns_all: bool,
    link: Option<Arc<str>>,
    listener: Arc<OnceLock<TcpListener>>,
    events: broadcast::Sender<NodeEvent>,
}

impl Cluster {
    /// The cluster of these settings; nothing is opened yet.
    pub fn new(settings: Settings) -> Result<Cluster, Error> {
        let Settings { name: me, link, peers, routes, cookie, heartbeat, storage } = settings;
        let (events, _) = broadcast::channel(NODE_EVENTS);
        let others = peers.into_iter().filter(|(name, _)| *name != me);
        let peers: Peers =
            others.map(|(name, address)| Arc::new(Peer::new(name, address, &me, events.clone()))).collect();
        let owner = |row: &crate::routing::Route| {
            if *row.owner() == me {
                return Ok(None);
            }
            let place = peers.iter().position(|peer| peer.name() == row.owner());
            let known = || peers.iter().map(|peer| peer.name().as_str()).collect::<Vec<_>>().join(", ");
            place.map(Some).ok_or_else(|| Error::UnknownNode { node: row.owner().shared(), known: known() })
        };
        let owners: Arc<[_]> = routes.rows().iter().map(owner).collect::<Result<_, _>>()?;
        let owns_all = owners.iter().all(Option::is_none) && routes.uncovered().is_empty();
        let name = |node: &Option<usize>| node.map_or(&me, |peer| peers[peer].name());
        let mut by_name: Vec<_> = (0..peers.len()).map(Some).chain([None]).collect();
        by_name.sort_by(|one, other| name(one).cmp(name(other)));
        let local = Arc::new(LocalNode::new(me, cookie, heartbeat, routes, storage));
        let (by_name, link) = (by_name.into(), link.map(Arc::from));
        Ok(Cluster { local, peers, by_name, owners, owns_all, link, listener: Arc::default(), events })
    }

    /// Starts to listen for links, so that an address in use is found out at once. Needed once, before the supervisor
    /// is started; a node without peers listens for none.
    pub async fn bind(&self) -> Result<(), Error> {
        if self.peers.is_empty() {
            return Ok(());
        }
        let Some(address) = self.link.as_deref() else {
            return Err(Error::NoLinkAddress { node: self.local.name.shared() });
        };
        let bound = TcpListener::bind(address).await;
        let listener =
            bound.map_err(|error| Error::Bind { address: address.into(), reason: error.to_string() })?;
        // A second listener would only take the place of the first.
        drop(self.listener.set(listener));
        Ok(())
    }

    /// Where links are taken, once bound.
    pub fn link_address(&self) -> Option<SocketAddr> {
        self.listener.get()?.local_addr().ok()
    }

    /// The plan of `kv_cluster`: the listener, and one child for the link to each peer.
    pub fn supervisor(&self) -> Supervisor {
        let handshakes = TaskSupervisor::new("handshakes", HANDSHAKES);
        let cluster = self.clone();
        let accepting = handshakes.clone();
        let listener =
            ChildSpec::worker("listener", move |stop| cluster.clone().take_links(accepting.clone(), stop));
        let supervisor = Supervisor::new("kv_cluster", Strategy::OneForOne)
            .child(ChildSpec::tasks(handshakes))
            .child(listener);
        self.peers.iter().fold(supervisor, |supervisor, peer| supervisor.child(link(&self.local, peer)))
    }

    async fn take_links(self, handshakes: TaskSupervisor, stop: Stop) -> Result<(), String> {
        match self.listener.get() {
            Some(listener) => {
                let accepting = listener::run(listener, &self.local, &self.peers, &handshakes);
                stop.run_until_cancelled(accepting).await;
            }
            None => stop.cancelled().await,
        }
        Ok(())
    }

    /// This node.
    pub fn node_name(&self) -> &NodeName {
        &self.local.name
    }

    /// Who owns which buckets.
    pub fn routes(&self) -> &Routes {
        &self.local.routes
    }

    /// This node: the one door to its data.
    pub fn local(&self) -> &LocalNode {
        &self.local
    }

    /// Whether every bucket is this node's.
    pub fn owns_all(&self) -> bool {
        self.owns_all
    }

    /// Who owns the bucket.
    #[inline]
    pub fn owner(&self, bucket: &[u8]) -> Owner<'_> {
        if self.owns_all { Owner::Local(&self.local) } else { self.owner_by_routes(bucket) }
    }

    fn owner_by_routes(&self, bucket: &[u8]) -> Owner<'_> {
        match self.local.routes.row(bucket).map(|row| self.owners[row]) {
            Some(None) => Owner::Local(&self.local),
            Some(Some(peer)) => Owner::Remote(&self.peers[peer]),
            None => Owner::Unrouted,
        }
    }

    /// Asks the owner of the bucket, wherever it is, and hands its reply to `read`.
    pub async fn execute<T>(
        &self,
        request: Request<'_>,
        read: impl FnOnce(Reply<'_>) -> T,
    ) -> Result<T, Error> {
        match self.single_owner(request.names())? {
            Owner::Unrouted => Err(Error::no_route(request.bucket)),
            Owner::Local(node) => {
                let (mut read, mut result) = (Some(read), None);
                node.execute(&[request], kv::time::now_ms(), |reply| {
                    result = read.take().map(|read| read(reply));
                    Continue(())
                });
                Ok(result.expect("one request has one reply"))
            }
            Owner::Remote(peer) => ForwardedBatch::new(peer, request).resolve_next().await.map(read),
        }
    }

    /// Sends the requests that this node does not answer at once to their owners, one batch each.
    pub fn dispatch<'a>(&'a self, requests: &[Request<'a>]) -> Vec<ForwardedBatch<'a>> {
        let mut batches: Vec<ForwardedBatch<'a>> = Vec::new();
        for request in requests {
            let owner = self.owner(request.bucket);
            let Owner::Remote(peer) = owner else { continue };
            match batches.iter_mut().find(|batch| batch.goes_to(&owner)) {
                Some(batch) => batch.push(*request),
                None => batches.push(ForwardedBatch::new(peer, *request)),
            }
        }
        batches.iter_mut().for_each(ForwardedBatch::dispatch);
        batches
    }

    /// Subscribes to a bucket, wherever it is; `None` when there is no such bucket.
    pub async fn subscribe(&self, bucket: &[u8]) -> Result<Option<Subscription>, Error> {
        match self.owner(bucket) {
            Owner::Local(node) => Ok(node.subscribe(bucket)),
            Owner::Remote(peer) => peer.subscribe(bucket).await,
            Owner::Unrouted => Err(Error::no_route(bucket)),
        }
    }

    /// Brings up the link to a node, if that can be done now; this node is always connected to itself.
    pub async fn connect(&self, node: &NodeName) -> bool {
        match self.peers.iter().find(|peer| peer.name() == node) {
            Some(peer) => peer.connect().await,
            None => *node == self.local.name,
        }
    }

    /// The other nodes as they are now.
    pub fn nodes(&self) -> Vec<NodeStatus> {
        self.peers.iter().map(|peer| peer.status()).collect()
    }

    /// Nodes that come up and go down, from now on.
    pub fn events(&self) -> broadcast::Receiver<NodeEvent> {
        self.events.subscribe()
    }
}

/// The plan of the one link to a peer.
fn link(local: &Arc<LocalNode>, peer: &Arc<Peer>) -> ChildSpec {
    let shown = peer.clone();
    let passive_children = move |_| {
        let status = shown.status();
        let state = status.reason.map_or("link up".into(), |reason| format!("link down: {reason}"));
        PassiveChildren { total: 1, shown: vec![Tree::passive(state)], ..PassiveChildren::default() }
    };
    let (name, local, peer) = (peer.name().to_string(), local.clone(), peer.clone());
    let child = if peer.is_dialled_by_us() {
        ChildSpec::worker(name, move |stop| dialer::run(local.clone(), peer.clone(), stop))
    } else {
        ChildSpec::worker(name, move |stop| listener::keep(local.clone(), peer.clone(), stop))
    };
    child.passive_children(passive_children)
}
