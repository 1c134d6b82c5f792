//! The other nodes: which are up, the links to them, and how nodes are added to the cluster and removed from
//! it.

use crate::{
    cluster::{Cluster, placement::invalid},
    error::Error,
    events::{NodeEvent, NodeStatus},
    limits::{NODES_VERSION, REMOVAL_WAIT},
    link::node_query::NodeQuery,
    node_name::NodeName,
    peer::{Peer, dialer, listener},
    replicas::THIS_NODE_IS_REMOVED,
    routing::nodes::{ClusterNode, NodeChange, NodeTable, is_address},
};
use otp::{ChildSpec, PassiveChildren, Tree};
use std::{
    sync::Arc,
    time::{Duration, Instant},
};
use tokio::{sync::broadcast, time::timeout};

impl Cluster {
    /// Tries to bring up the link to a node now; this node is always connected to itself.
    pub async fn connect(&self, node: &NodeName) -> bool {
        match self.peers.find(node.as_str()) {
            Some(peer) => peer.connect().await,
            None => *node == self.local.name,
        }
    }

    /// The supervision tree of a node, as its release makes it text; `None` while it is starting.
    pub async fn tree(&self, node: &NodeName, children: usize) -> Result<Option<Vec<u8>>, Error> {
        let peer = self.peer_index(node)?;
        let query = NodeQuery::Tree { children: children as u64 };
        let texts = self.query_node(peer, &query).names().await?;
        Ok(texts.into_iter().next().map(Vec::from))
    }

    /// What a node shows of itself, as text ([`crate::LocalNode::set_report`]); `None` if that is nothing.
    pub async fn report(&self, node: &NodeName, since: u64) -> Result<Option<Vec<u8>>, Error> {
        let peer = self.peer_index(node)?;
        let texts = self.query_node(peer, &NodeQuery::Report { since }).names().await?;
        Ok(texts.into_iter().next().map(Vec::from))
    }

    /// How long a node takes to answer a query for which it does nothing.
    pub async fn round_trip(&self, node: &NodeName) -> Result<Duration, Error> {
        let (peer, began) = (self.peer_index(node)?, Instant::now());
        let query = NodeQuery::SubscriberCounts { channels: Vec::new() };
        self.query_node(peer, &query).counts(0).await?;
        Ok(began.elapsed())
    }

    /// The index of a peer; `None` if it is this node.
    pub(super) fn peer_index(&self, node: &NodeName) -> Result<Option<usize>, Error> {
        match self.peers.find(node.as_str()).map(|peer| peer.index()) {
            None if *node != self.local.name => {
                let known = self.peers.iter().map(|peer| peer.name().as_str()).collect::<Vec<_>>().join(", ");
                let unknown = Error::UnknownNode { node: node.shared(), known };
                Err(self.local.nodes.borrow().explain(unknown))
            }
            peer => Ok(peer),
        }
    }

    /// All nodes, this one included, and where others reach them, as far as that is known.
    pub fn known_nodes(&self) -> Vec<ClusterNode> {
        self.local.nodes.borrow().nodes.clone()
    }

    /// Whether this node was removed from its cluster.
    pub fn is_removed(&self) -> bool {
        self.local.is_removed()
    }

    /// Has a node be one of the cluster, with its links at this address; returns whether it was already. One
    /// that is down gets another address.
    pub async fn add_node(&self, name: &NodeName, link: &str) -> Result<bool, Error> {
        self.check_meta()?;
        if !is_address(link) || link.ends_with(":0") {
            return Err(invalid(format!(
                "{link:?} is no address: write that of its links, as in 10.0.0.4:4051"
            )));
        }
        self.learn_nodes().await?;
        let known = self.local.nodes.borrow().find(name).cloned();
        if let Some(known) = known {
            if *known.link == *link {
                return Ok(true);
            }
            if *name == self.local.name || self.peers.find(name.as_str()).is_some_and(|peer| peer.is_up()) {
                return Err(invalid(format!(
                    "node {name} is up, at {}: stop it before it gets another address",
                    known.link
                )));
            }
        }
        self.change_nodes(NodeChange::Add(ClusterNode { name: name.clone(), link: link.into() })).await?;
        self.learn_nodes().await.map(|()| false)
    }

    /// Has a node be none of the cluster any more. It is to have no data.
    pub async fn remove_node(&self, name: &NodeName) -> Result<(), Error> {
        self.check_meta()?;
        self.learn_nodes().await?;
        let known = self.local.nodes.borrow().clone();
        if !known.has(name) {
            return Err(Error::NotInCluster { node: name.shared(), nodes: known.names().into() });
        }
        let removed = self.peers.find(name.as_str()).cloned();
        // Until it has been notified, its link stays.
        let following = self.following.lock().await;
        self.change_nodes(NodeChange::Remove(name.clone())).await?;
        let learned = self.newest_nodes().await?;
        if let (Some(removed), Some(table)) = (removed, &learned) {
            let notified =
                self.query_node(Some(removed.index()), &NodeQuery::LearnNodes { table: table.clone() });
            // It may be down. If it comes back, it is refused.
            drop(timeout(REMOVAL_WAIT, notified.done()).await);
        }
        drop(following);
        self.follow_nodes(learned).await
    }

    /// Checks that all nodes follow what the meta group keeps.
    fn check_meta(&self) -> Result<(), Error> {
        match self.meta {
            // One that does not follow the change would not link with a node that is added.
            Some(_) => self.peers.iter().try_for_each(|peer| peer.check_version(NODES_VERSION)),
            None => Err(invalid(
                "no row has replicas, so the nodes are those of the configuration: name three nodes in one of \
                 [[routes]], or write the node into the configuration of each node, and restart",
            )),
        }
    }

    async fn change_nodes(&self, change: NodeChange) -> Result<(), Error> {
        let Some(meta) = &self.meta else { return Ok(()) };
        self.query_leader(meta, &NodeQuery::ChangeNodes { change }).await?.done().await
    }

    /// Asks for the newest table of nodes, and follows it.
    pub(super) async fn learn_nodes(&self) -> Result<(), Error> {
        let learned = self.newest_nodes().await?;
        self.follow_nodes(learned).await
    }

    /// The newest table of nodes, if this node does not have it.
    async fn newest_nodes(&self) -> Result<Option<NodeTable>, Error> {
        let epoch = self.local.nodes.borrow().epoch;
        let mut learned = None;
        let asked = match self.query_meta(&NodeQuery::Nodes { epoch }).await {
            // It does not keep them yet.
            Err(Error::OlderRelease { .. }) => return Ok(None),
            asked => asked?,
        };
        for pending in asked {
            learned = learned.or(pending.nodes().await.unwrap_or_default());
        }
        Ok(learned)
    }

    /// Has the peers of this node be the nodes of the newest table, each with a link.
    pub(super) async fn follow_nodes(&self, learned: Option<NodeTable>) -> Result<(), Error> {
        let _following = self.following.lock().await;
        learned.map_or(Ok(()), |table| self.local.learn_nodes(table))?;
        let table = self.local.nodes.borrow().clone();
        if table.epoch == 0 {
            return Ok(());
        }
        let is_removed = !table.has(&self.local.name);
        if self.peers.set_removed(is_removed) {
            match is_removed {
                true => tracing::error!("{THIS_NODE_IS_REMOVED}"),
                false => tracing::info!("this node is one of the cluster again"),
            }
        }
        for ClusterNode { name, link } in table.nodes.iter().filter(|node| node.name != self.local.name) {
            match self.peers.find(name.as_str()) {
                Some(peer) if *peer.address() == **link => {}
                Some(peer) => peer.admit(link),
                None => {
                    let peer = self.peers.add(name.clone(), link);
                    self.links.add(self.link_child(peer));
                    tracing::info!(node = %name, %link, "the node was added to the cluster");
                }
            }
        }
        for peer in self.peers.iter().filter(|peer| !table.has(peer.name())) {
            peer.remove();
            self.links.remove(peer.name().as_str());
            tracing::info!(node = %peer.name(), "the node was removed from the cluster");
        }
        Ok(())
    }

    /// The other nodes as they are now.
    pub fn nodes(&self) -> Vec<NodeStatus> {
        let status = |peer: &Arc<Peer>| {
            let disputed_names = self.local.table.disputed_names(peer.index());
            NodeStatus { disputed_names, ..peer.status() }
        };
        let mut nodes: Vec<_> = self.peers.iter().map(status).collect();
        nodes.sort_by(|one, other| one.name.cmp(&other.name));
        nodes
    }

    /// Nodes that go up and down, from now on.
    pub fn events(&self) -> broadcast::Receiver<NodeEvent> {
        self.events.subscribe()
    }

    /// The child that keeps up the link to a peer.
    pub(super) fn link_child(&self, peer: &Arc<Peer>) -> ChildSpec {
        let observed = peer.clone();
        let passive_children = move |_| {
            let status = observed.status();
            let state = status.reason.map_or("link up".into(), |reason| format!("link down: {reason}"));
            PassiveChildren { total: 1, shown: vec![Tree::passive(state)], ..PassiveChildren::default() }
        };
        let (name, local, peer) = (peer.name().to_string(), self.local.clone(), peer.clone());
        let child = if peer.is_dialed() {
            ChildSpec::worker(name, move |stop| dialer::run(local.clone(), peer.clone(), stop))
        } else {
            ChildSpec::worker(name, move |stop| listener::serve_inbound(local.clone(), peer.clone(), stop))
        };
        child.passive_children(passive_children)
    }
}
