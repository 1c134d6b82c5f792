//! The other nodes of the cluster. Some may join it, and some may be removed from it, while this node runs.

use crate::{events::NodeEvent, node_name::NodeName, peer::Peer};
use std::{
    ops::Index,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
};
use tokio::sync::broadcast;

/// The other nodes. Requests in flight refer to them, by index as well, so those that were removed stay.
#[derive(Debug, Clone)]
pub(crate) struct PeerList {
    all: Arc<boxcar::Vec<Arc<Peer>>>,
    local: NodeName,
    events: broadcast::Sender<NodeEvent>,
    /// Whether the cluster has this node no more.
    is_removed: Arc<AtomicBool>,
}

impl PeerList {
    /// The list of a node, without any other yet.
    pub(crate) fn new(local: NodeName, events: broadcast::Sender<NodeEvent>) -> PeerList {
        PeerList { all: Arc::default(), local, events, is_removed: Arc::default() }
    }

    /// Adds a node, or has one that was removed back, at an address. Only one task does so at a time.
    pub(crate) fn add(&self, name: NodeName, address: &str) -> &Arc<Peer> {
        if let Some((_, peer)) = self.all.iter().find(|(_, peer)| *peer.name() == name) {
            peer.admit(address);
            return peer;
        }
        let (local, events) = (&self.local, self.events.clone());
        let peer = |index| Arc::new(Peer::new(index, name, address, local, events));
        let index = self.all.push_with(peer);
        &self.all[index]
    }

    /// Those that are nodes of the cluster.
    pub(crate) fn iter(&self) -> impl Iterator<Item = &Arc<Peer>> {
        self.all.iter().map(|(_, peer)| peer).filter(|peer| !peer.is_removed())
    }

    /// Notes whether the cluster has this node no more. Returns whether that is something new.
    pub(crate) fn set_removed(&self, is_removed: bool) -> bool {
        self.is_removed.swap(is_removed, Relaxed) != is_removed
    }

    /// Whether the cluster has this node no more, which none of the others serves then.
    pub(crate) fn is_local_removed(&self) -> bool {
        self.is_removed.load(Relaxed)
    }

    /// Whether there is none.
    pub(crate) fn is_empty(&self) -> bool {
        self.iter().next().is_none()
    }

    /// All indices, in turn from one of them on: also those of nodes that were removed.
    pub(crate) fn indices_from(&self, first: usize) -> impl Iterator<Item = usize> + use<> {
        (first..self.all.count()).chain(0..first)
    }

    /// The index after this one, in turn.
    pub(crate) fn index_after(&self, index: usize) -> usize {
        (index + 1) % self.all.count()
    }

    /// The node of this name.
    pub(crate) fn find(&self, name: &str) -> Option<&Arc<Peer>> {
        self.iter().find(|peer| peer.name().as_str() == name)
    }
}

impl Index<usize> for PeerList {
    type Output = Arc<Peer>;

    #[inline]
    fn index(&self, index: usize) -> &Arc<Peer> {
        &self.all[index]
    }
}
