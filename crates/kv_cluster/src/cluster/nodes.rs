//! The other nodes: which are up, and the links to them.

use crate::{
    cluster::Cluster,
    error::Error,
    events::{NodeEvent, NodeStatus},
    link::node_query::NodeQuery,
    node_name::NodeName,
    peer::{Peer, dialer, listener},
};
use otp::{ChildSpec, PassiveChildren, Tree};
use std::sync::Arc;
use tokio::sync::broadcast;

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

    /// The index of a peer; `None` if it is this node.
    pub(super) fn peer_index(&self, node: &NodeName) -> Result<Option<usize>, Error> {
        match self.peers.find(node.as_str()).map(|peer| peer.index()) {
            None if *node != self.local.name => {
                let known = self.peers.iter().map(|peer| peer.name().as_str()).collect::<Vec<_>>().join(", ");
                Err(Error::UnknownNode { node: node.shared(), known })
            }
            peer => Ok(peer),
        }
    }

    /// The other nodes as they are now.
    pub fn nodes(&self) -> Vec<NodeStatus> {
        let status = |peer: &Arc<Peer>| {
            let disputed_names = self.local.table.disputed_names(peer.index());
            NodeStatus { disputed_names, ..peer.status() }
        };
        self.peers.iter().map(status).collect()
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
