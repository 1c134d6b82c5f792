//! Questions to this node and to others, alike: all are sent before the first answer is awaited.

use crate::{
    cluster::Cluster,
    error::Error,
    link::node_query::{self, Question, Told},
    node_name::NodeName,
    peer::Telling,
};
use kv::NamePage;

/// A question on its way.
#[derive(Debug)]
pub(crate) struct Asked {
    pub(crate) node: NodeName,
    state: State,
}

#[derive(Debug)]
enum State {
    Told(Told),
    Asked(Telling),
    Failed(Error),
}

impl Cluster {
    /// Asks this node.
    pub(crate) fn ask_here(&self, question: &Question<'_>) -> Asked {
        let told = node_query::answer(&self.local, question);
        Asked { node: self.node_name().clone(), state: State::Told(told) }
    }

    /// Asks each of the peers.
    pub(crate) fn ask_peers(&self, question: &Question<'_>) -> Vec<Asked> {
        (0..self.peers.len()).map(|peer| self.ask_node(Some(peer), question)).collect()
    }

    /// Asks all nodes; the answer of this one comes first.
    pub(crate) fn ask_all(&self, question: &Question<'_>) -> impl Iterator<Item = Asked> + use<> {
        let peers = self.ask_peers(question);
        std::iter::once(self.ask_here(question)).chain(peers)
    }

    /// Asks the peer at a place among the peers; `None`: this node.
    pub(crate) fn ask_node(&self, peer: Option<usize>, question: &Question<'_>) -> Asked {
        let Some(peer) = peer else { return self.ask_here(question) };
        let peer = &self.peers[peer];
        let state = peer.question(question).map_or_else(State::Failed, State::Asked);
        Asked { node: peer.name().clone(), state }
    }
}

impl Asked {
    /// Why it could not be asked, if so.
    pub(crate) fn failure(&self) -> Option<&Error> {
        if let State::Failed(error) = &self.state { Some(error) } else { None }
    }

    /// What the node says.
    pub(crate) async fn told(self) -> Result<Told, Error> {
        match self.state {
            State::Told(told) => Ok(told),
            State::Asked(telling) => telling.told().await,
            State::Failed(error) => Err(error),
        }
    }

    /// The names that the node tells, and the number that goes with them.
    pub(crate) async fn page(self) -> Result<NamePage, Error> {
        let node = self.node.shared();
        match self.told().await? {
            Told::Names { names, number } => Ok(NamePage { names, next: number }),
            _ => Err(Error::OtherAnswer { node }),
        }
    }

    /// The numbers that the node tells, which are so many.
    pub(crate) async fn numbers(self, count: usize) -> Result<Vec<u64>, Error> {
        let node = self.node.shared();
        match self.told().await? {
            Told::Numbers(numbers) if numbers.len() == count => Ok(numbers),
            _ => Err(Error::OtherAnswer { node }),
        }
    }
}
