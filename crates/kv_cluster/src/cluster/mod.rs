//! The cluster as one node sees it: a handle that finds the owner of each bucket and passes requests to it.

mod channels;
mod differences;
mod fan_out;
mod join;
mod keyspace;
mod metrics;
mod nodes;
mod placement;
mod readiness;
mod subscription;
mod transaction;

pub use {differences::differences, join::ask_to_join, keyspace::BucketPages};

use crate::{
    cookie::Cookie,
    error::{Error, escape_name},
    events::NodeEvent,
    forward::{ForwardedBatch, Target},
    limits::{ADDED_NODES, HANDSHAKES, NODE_EVENTS},
    local::{
        LinkSettings, LocalNode, MemoryBudgets, StoreSettings, configured::Configured,
        membership::Membership, rows::ReplicatedRow,
    },
    node_name::NodeName,
    peer::{Peer, list::PeerList, listener},
    replicas::{Carrier, Replicas, ReplicasList},
    routing::{
        Routes,
        placement::PlacementTable,
        table::{Destination, RoutingTable},
        whole::WholeRoutes,
    },
};
use kv::{Backlog, Reply, Request, Subscription};
use kv_raft::{LogOptions, Range, Ranges, RangesSettings, is_immediate};
use otp::{ChildSpec, DynamicChildren, Stop, Strategy, Supervisor, TaskSupervisor};
use std::{
    net::SocketAddr,
    ops::ControlFlow::Continue,
    path::PathBuf,
    ptr,
    sync::{Arc, OnceLock},
};
use tokio::{
    net::TcpListener,
    sync::{Mutex, broadcast},
};

/// The settings of a node.
#[derive(Debug, Clone)]
pub struct Settings {
    /// This node.
    pub name: NodeName,
    /// The address where this node accepts links, as `host:port`; required if there are peers.
    pub link: Option<String>,
    /// The other nodes, and the addresses where they accept links.
    pub peers: Vec<(NodeName, String)>,
    /// Who owns which buckets.
    pub routes: Routes,
    /// The secret shared by all nodes.
    pub cookie: Cookie,
    /// When a peer counts as dead, and a call as lost.
    pub links: LinkSettings,
    /// The settings of this node's store.
    pub store: StoreSettings,
    /// Where the files of durable ranges are; without it, there are none.
    pub data_dir: Option<PathBuf>,
    /// What this node has learned of its cluster, if its configuration has no routes: then these hold.
    pub joined: Option<Membership>,
    /// How the logs of durable ranges are kept.
    pub logs: LogOptions,
}

/// Who owns a bucket.
#[derive(Debug, Clone, Copy)]
pub enum Owner<'a> {
    /// This node, and it is volatile. It replies at once.
    Local(&'a LocalNode),
    /// Who replies later, to a [`ForwardedBatch`].
    Later(Target<'a>),
    /// No node: the request is refused.
    Refused(Refusal<'a>),
}

impl<'a> Owner<'a> {
    /// Who replies later, if anyone does.
    #[inline]
    pub fn target(self) -> Option<Target<'a>> {
        if let Owner::Later(target) = self { Some(target) } else { None }
    }

    /// Whether both are the same, and serve the bucket.
    fn is_same(&self, other: &Owner<'_>) -> bool {
        match (self, other) {
            (Owner::Local(_), Owner::Local(_)) => true,
            (Owner::Later(one), Owner::Later(other)) => one.is_same(*other),
            _ => false,
        }
    }
}

/// Why no node serves a bucket.
#[derive(Debug, Clone, Copy)]
pub enum Refusal<'a> {
    /// No route covers it.
    NoRoute,
    /// By the routes of the two nodes it has different owners.
    RoutesDiffer(&'a LocalNode, &'a Peer),
}

impl Refusal<'_> {
    /// The error of a request for the bucket.
    pub fn error(&self, bucket: &[u8]) -> Error {
        match self {
            Refusal::NoRoute => Error::no_route(bucket),
            Refusal::RoutesDiffer(local, peer) => Error::RoutesDiffer {
                one: local.name.shared(),
                other: peer.name().shared(),
                bucket: escape_name(bucket),
            },
        }
    }
}

/// A handle to this node's view of the cluster. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Cluster {
    local: Arc<LocalNode>,
    peers: PeerList,
    /// The rows with replicas.
    replicas: ReplicasList,
    /// The group that keeps where these replicas are.
    meta: Option<Arc<Replicas>>,
    /// Held while this node follows the table of placements.
    following: Arc<Mutex<()>>,
    /// The nodes that own something alone, in the order of their names: peers by their index, and this one.
    owners_alone: Arc<[Option<usize>]>,
    link: Option<Arc<str>>,
    configured: Arc<Configured>,
    listener: Arc<OnceLock<TcpListener>>,
    /// The links to nodes that are added or removed while this one runs.
    links: DynamicChildren,
    events: broadcast::Sender<NodeEvent>,
}

impl Cluster {
    /// A cluster with these settings; nothing is opened yet.
    pub fn new(settings: Settings) -> Result<Cluster, Error> {
        let Settings { name, link, peers, routes, cookie, links, store, data_dir, joined, logs } = settings;
        let configured =
            Configured::new(&name, link.as_deref(), &peers, Some(&routes).filter(|_| joined.is_none()));
        let (events, _) = broadcast::channel(NODE_EVENTS);
        let has_joined = joined.is_some();
        let known = joined.map_or_else(|| Membership::load(data_dir.as_deref()), Ok)?;
        let routes = known.routes.as_ref().filter(|_| has_joined).map_or(routes, WholeRoutes::routes);
        let known = Membership { routes: has_joined.then(|| WholeRoutes::of(&routes)), ..known };
        let known = known.with_configured(configured.nodes().clone(), &routes)?;
        let peers = PeerList::new(name.clone(), events.clone());
        for node in known.nodes.nodes.iter().filter(|node| node.name != name) {
            peers.add(node.name.clone(), &node.link);
        }
        let budgets = MemoryBudgets::new(&store);
        check_placements(&known.placements, &name, data_dir.is_some())?;
        let open = |data_dir| {
            open_ranges(data_dir, logs, &name, (&routes, &known.placements), store, &budgets, peers.clone())
        };
        let ranges = data_dir.map(open).transpose()?;
        let others = peers.iter().map(|peer| peer.name().clone());
        let table = RoutingTable::new(routes, &name, others, ranges.is_some(), &known.placements);
        let table = table.map_err(|error| known.nodes.explain(error))?;
        let owners_alone = table.owners_alone(&name).into();
        let local = LocalNode::new(name, cookie, links, (table, known), store, budgets, ranges);
        if has_joined {
            local.save_membership()?;
        }
        let meta_replicas = |row: &Arc<ReplicatedRow>| Arc::new(Replicas::new(row.clone(), peers.clone()));
        let meta = local.replicated.meta.as_ref().map(meta_replicas);
        let rows = local.replicated.rows.iter().map(|(_, row)| row);
        let replicas = ReplicasList::new(rows, peers.clone());
        let (local, link, configured) = (Arc::new(local), link.map(Arc::from), Arc::new(configured));
        let (listener, following, links) = Default::default();
        Ok(Cluster {
            local,
            peers,
            replicas,
            meta,
            following,
            owners_alone,
            link,
            configured,
            listener,
            links,
            events,
        })
    }

    /// Binds the link address, so that an address in use is reported at startup. Called once, before the
    /// supervisor is started; a node without peers does not listen.
    pub async fn bind(&self) -> Result<(), Error> {
        // Others may be added to a cluster.
        if self.peers.is_empty() && self.meta.is_none() {
            return Ok(());
        }
        let Some(address) = self.link.as_deref() else {
            return Err(Error::NoLinkAddress { node: self.local.name.shared() });
        };
        let bound = TcpListener::bind(address).await;
        let listener =
            bound.map_err(|error| Error::Bind { address: address.into(), reason: error.to_string() })?;
        drop(self.listener.set(listener));
        Ok(())
    }

    /// The address where links are accepted, once bound.
    pub fn link_address(&self) -> Option<SocketAddr> {
        self.listener.get()?.local_addr().ok()
    }

    /// The most file descriptors that links take at once: of handshakes, and an old and a new socket for each
    /// peer, and for some that are added.
    pub fn link_descriptors(&self) -> usize {
        let added = if self.meta.is_some() { ADDED_NODES } else { 0 };
        match self.peers.iter().count() + added {
            0 => 0,
            peers => HANDSHAKES + 2 * peers,
        }
    }

    /// The supervisor `kv_cluster`: the listener, and one child for the link to each peer.
    pub fn supervisor(&self) -> Supervisor {
        let handshakes = TaskSupervisor::new("handshakes", HANDSHAKES);
        let cluster = self.clone();
        let accepting = handshakes.clone();
        let listener =
            ChildSpec::worker("listener", move |stop| cluster.clone().accept_links(accepting.clone(), stop));
        let cluster = self.clone();
        let placements = ChildSpec::worker("placements", move |stop| cluster.clone().follow_placements(stop));
        let supervisor = Supervisor::new("kv_cluster", Strategy::OneForOne)
            .child(ChildSpec::tasks(handshakes))
            .child(listener);
        let supervisor = match self.meta {
            Some(_) => supervisor.child(placements),
            None => supervisor,
        };
        let links = self.peers.iter().map(|peer| self.link_child(peer));
        links.fold(supervisor, Supervisor::child).dynamic_children(self.links.clone())
    }

    async fn accept_links(self, handshakes: TaskSupervisor, stop: Stop) -> Result<(), String> {
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

    /// The routing table.
    pub fn routes(&self) -> &Routes {
        self.local.table.routes()
    }

    /// This node: the one door to its data.
    pub fn local(&self) -> &Arc<LocalNode> {
        &self.local
    }

    /// Whether every bucket is a volatile one of this node.
    #[inline]
    pub fn owns_every_bucket(&self) -> bool {
        self.local.table.is_all_local()
    }

    /// The owner of the bucket.
    #[inline]
    pub fn owner(&self, bucket: &[u8]) -> Owner<'_> {
        if self.owns_every_bucket() { Owner::Local(&self.local) } else { self.routed_owner(bucket) }
    }

    /// The owner by the routing table. Not part of [`Self::owner`], which is inlined where all buckets are
    /// volatile and here.
    #[inline(never)]
    fn routed_owner(&self, bucket: &[u8]) -> Owner<'_> {
        match self.local.table.look_up(bucket) {
            Destination::Local => Owner::Local(&self.local),
            Destination::Range(range) => Owner::Later(Target::Range(self.local.range_alone(range))),
            Destination::Replicated(row) => Owner::Later(Target::Replicas(&self.replicas[row])),
            Destination::Peer(peer) => Owner::Later(Target::Peer(&self.peers[peer])),
            Destination::Nowhere => Owner::Refused(Refusal::NoRoute),
            Destination::Disputed(peer) => {
                Owner::Refused(Refusal::RoutesDiffer(&self.local, &self.peers[peer]))
            }
        }
    }

    /// The replicas of the row of a bucket, if it has some.
    fn replicas_of(&self, bucket: &[u8]) -> Option<&Replicas> {
        match self.owner(bucket) {
            Owner::Later(Target::Replicas(replicas)) => Some(replicas),
            _ => None,
        }
    }

    /// Executes a request on its owner, wherever that is, and passes the reply to `read`.
    pub async fn execute<T>(
        &self,
        request: Request<'_>,
        read: impl FnOnce(Reply<'_>) -> T,
    ) -> Result<T, Error> {
        let owner = self.single_owner(request.names())?;
        let (now_ms, mut read, mut result) = (kv::time::now_ms(), Some(read), None);
        let mut on_reply = |reply: Reply<'_>| {
            result = read.take().map(|read| read(reply));
            Continue(())
        };
        match owner {
            Owner::Refused(refusal) => return Err(refusal.error(request.bucket)),
            Owner::Local(node) => {
                node.execute(&[request], now_ms, on_reply);
            }
            Owner::Later(target) => {
                let range = target.range_to_read().filter(|_| is_immediate(&request.op));
                let read = range.map(|range| self.local.read(range, &[request], now_ms, &mut on_reply));
                match read.transpose() {
                    Ok(Some(_)) => {}
                    Err(failure) if !target.is_retried_after(&failure) => return Err(failure.into()),
                    // This node has just ceased to lead.
                    Ok(None) | Err(_) => {
                        let mut batch = ForwardedBatch::new(target, &self.replicas, request);
                        let _ = on_reply(batch.resolve_next().await?);
                    }
                }
            }
        }
        Ok(result.expect("one request has one reply"))
    }

    /// Executes requests, each on its owner, and passes each result to `read` with the request's index. Those
    /// of one owner are executed in order; those of several run side by side.
    pub async fn execute_all(
        &self,
        requests: &[Request<'_>],
        mut read: impl FnMut(usize, Result<Reply<'_>, Error>),
    ) {
        let mut batches: Vec<(ForwardedBatch<'_>, Vec<usize>)> = Vec::new();
        let mut at_once: Vec<(usize, Option<&Range>)> = Vec::new();
        for (index, request) in requests.iter().enumerate() {
            match self.owner(request.bucket) {
                Owner::Local(_) => at_once.push((index, None)),
                Owner::Refused(refusal) => read(index, Err(refusal.error(request.bucket))),
                Owner::Later(target) => match batches.iter_mut().find(|(batch, _)| batch.goes_to(target)) {
                    Some((batch, indices)) => {
                        batch.push(*request);
                        indices.push(index);
                    }
                    None => {
                        batches.push((ForwardedBatch::new(target, &self.replicas, *request), vec![index]))
                    }
                },
            }
        }
        batches.retain_mut(|(batch, indices)| match batch.immediate_range() {
            Some(range) => {
                at_once.extend(indices.iter().map(|index| (*index, Some(range))));
                false
            }
            None => {
                batch.send();
                true
            }
        });
        for (index, range) in at_once {
            let target = self.owner(requests[index].bucket).target();
            let mut on_reply = |reply: Reply<'_>| {
                read(index, Ok(reply));
                Continue(())
            };
            let (request, now_ms) = (&requests[index..=index], kv::time::now_ms());
            match range {
                None => drop(self.local.execute(request, now_ms, &mut on_reply)),
                Some(range) => {
                    let Err(failure) = self.local.read(range, request, now_ms, on_reply) else { continue };
                    match target.filter(|target| target.is_retried_after(&failure)) {
                        // This node has just ceased to lead.
                        Some(target) => {
                            batches.push((
                                ForwardedBatch::new(target, &self.replicas, requests[index]),
                                vec![index],
                            ));
                        }
                        None => read(index, Err(failure.into())),
                    }
                }
            }
        }
        for (mut batch, indices) in batches {
            for index in indices {
                read(index, batch.resolve_next().await);
            }
        }
    }

    /// Checks what can be known before any of the requests is executed: that each has an owner, whose link is
    /// up and can carry it.
    pub fn look_ahead<'r>(&self, requests: impl IntoIterator<Item = Request<'r>>) -> Result<(), Error> {
        if self.owns_every_bucket() {
            return Ok(());
        }
        let mut checked: Option<&Peer> = None;
        for request in requests {
            let peer = match self.owner(request.bucket) {
                // A leader is waited for.
                Owner::Local(_) | Owner::Later(Target::Replicas(_)) => continue,
                Owner::Later(Target::Range(range)) => {
                    range.may_read()?;
                    continue;
                }
                Owner::Later(Target::Peer(peer)) => peer,
                Owner::Refused(refusal) => return Err(refusal.error(request.bucket)),
            };
            if !checked.is_some_and(|checked| ptr::eq(checked, peer)) {
                peer.down_error().map_or(Ok(()), Err)?;
                checked = Some(peer);
            }
            peer.check_size(&request)?;
        }
        Ok(())
    }

    /// Forwards the requests to which other nodes, or durable ranges, reply later: one batch for each owner.
    pub fn forward<'a>(&'a self, requests: &[Request<'a>]) -> Vec<ForwardedBatch<'a>> {
        let mut batches: Vec<ForwardedBatch<'a>> = Vec::new();
        for request in requests {
            let Some(target) = self.owner(request.bucket).target() else { continue };
            match batches.iter_mut().find(|batch| batch.goes_to(target)) {
                Some(batch) => batch.push(*request),
                None => batches.push(ForwardedBatch::new(target, &self.replicas, *request)),
            }
        }
        batches.retain(|batch| batch.immediate_range().is_none());
        batches.iter_mut().for_each(ForwardedBatch::send);
        batches
    }

    /// Forwards those of the requests that are for this owner.
    pub fn forward_to<'a>(&'a self, target: Target<'a>, requests: &[Request<'a>]) -> ForwardedBatch<'a> {
        let is_its = |request: &&Request<'a>| {
            self.owner(request.bucket).target().is_some_and(|other| other.is_same(target))
        };
        let mut its = requests.iter().filter(is_its);
        let mut batch = ForwardedBatch::new(target, &self.replicas, *its.next().expect("there is one"));
        its.for_each(|request| batch.push(*request));
        batch.send();
        batch
    }

    /// How many of the first requests a durable range executes at once, the first of which is for it: none if
    /// one of all these requests writes to it.
    pub fn immediate_prefix_len(&self, target: Target<'_>, requests: &[Request<'_>]) -> usize {
        let is_its = |request: &Request<'_>| {
            self.owner(request.bucket).target().is_some_and(|other| other.is_same(target))
        };
        if requests.iter().any(|request| !is_immediate(&request.op) && is_its(request)) {
            return 0;
        }
        requests.iter().position(|request| !is_its(request)).unwrap_or(requests.len())
    }

    /// Subscribes to a bucket on its owner; `None` if there is no such bucket. Changes are queued in
    /// `backlog`.
    pub async fn subscribe(
        &self,
        bucket: &[u8],
        backlog: &Arc<Backlog>,
    ) -> Result<Option<Subscription>, Error> {
        match self.owner(bucket) {
            Owner::Local(_) | Owner::Later(Target::Range(_)) => Ok(self.local.subscribe(bucket, backlog)?),
            Owner::Later(Target::Peer(peer)) => peer.subscribe(bucket, backlog).await,
            Owner::Later(Target::Replicas(replicas)) => self.follow(replicas, bucket, backlog).await,
            Owner::Refused(refusal) => Err(refusal.error(bucket)),
        }
    }

    /// How many other nodes are certain to have all that was acknowledged.
    pub fn acknowledging_replicas(&self) -> usize {
        let alone = self.owners_alone.iter().map(|_| 0);
        let others = |replicas: &Replicas| replicas.row().nodes.len() / 2;
        alone.chain(self.replicas.iter().map(others)).min().unwrap_or(0)
    }

    /// How many other nodes that are up have replicas of rows that this node leads.
    pub fn connected_replicas(&self) -> usize {
        let led = || self.replicas.iter().filter(|replicas| replicas.served_here().is_some());
        let has_replica =
            |peer: &&Arc<Peer>| led().any(|replicas| replicas.peers().any(|other| Arc::ptr_eq(other, peer)));
        self.peers.iter().filter(|peer| peer.is_up()).filter(has_replica).count()
    }
}

/// Opens the durable ranges of this node.
fn open_ranges(
    data_dir: PathBuf,
    logs: LogOptions,
    name: &NodeName,
    (routes, placements): (&Routes, &PlacementTable),
    StoreSettings { threads, transactions, .. }: StoreSettings,
    budgets: &MemoryBudgets,
    peers: PeerList,
) -> Result<Ranges, Error> {
    let (here, elsewhere): (Vec<_>, Vec<_>) = placements.rows.iter().partition(|row| row.has(name));
    // One that has left this node may have been kept by a process that ended before it was removed.
    let left = elsewhere.iter().filter(|row| !row.is_new).map(|row| row.span()).collect();
    let replicas = here.iter().map(|row| row.replica(routes));
    let settings = RangesSettings {
        data_dir,
        node: name.to_string(),
        spans: routes.ranges_alone(name).into_iter().chain(replicas).collect(),
        left,
        carrier: Arc::new(Carrier { peers }),
        volatile: routes.volatile_spans(name),
        threads,
        budget: budgets.buckets.clone(),
        freeze_budget: budgets.frozen.clone(),
        transactions,
        logs,
    };
    Ranges::open(&settings).map_err(|error| Error::DataDir(error.to_string()))
}

/// Checks that this node can have the replicas that it is to have.
fn check_placements(placements: &PlacementTable, name: &NodeName, has_data_dir: bool) -> Result<(), Error> {
    if let Some(row) = placements.rows.iter().rev().find(|row| row.has(name)).filter(|_| !has_data_dir) {
        return Err(Error::NoDataDir { node: name.shared(), row: row.buckets().into() });
    }
    Ok(())
}
