//! Queries to several nodes, this one included: all are sent before the first reply is awaited.

use crate::{
    cluster::Cluster,
    error::Error,
    link::node_query::{NodeQuery, NodeReply, RandomName},
    local::{Flushing, meta},
    node_name::NodeName,
    peer::calls::PendingNodeReply,
    replicas::{Replicas, Search, Server},
    routing::{nodes::NodeTable, placement::PlacementTable},
    serve::node_queries,
};
use kv::{NamePage, StoreStats, TopicPage};
use std::{
    fmt::{self, Debug, Formatter},
    pin::Pin,
};

/// The reply of one node to a query, or why the query was not sent.
#[derive(Debug)]
pub(crate) struct PendingReply {
    pub(crate) node: NodeName,
    state: State,
}

#[derive(Debug)]
enum State {
    Ready(NodeReply),
    InFlight(PendingNodeReply),
    Flushing(Flushing),
    Running(RunningQuery),
    Failed(Error),
}

/// A query that this node executes.
struct RunningQuery(Pin<Box<dyn Future<Output = NodeReply> + Send>>);

impl Debug for RunningQuery {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.write_str("RunningQuery")
    }
}

impl Cluster {
    pub(crate) fn query_local(&self, query: &NodeQuery<'_>) -> PendingReply {
        let state = match query {
            NodeQuery::Flush { range, database } => {
                match self.local.scope(*range).and_then(|scope| self.local.flush(scope, *database)) {
                    Ok(flushing) => State::Flushing(flushing),
                    Err(failure) => State::Failed(failure.into()),
                }
            }
            query => match meta::reply_later(&self.local, query) {
                Some(reply) => State::Running(RunningQuery(Box::pin(reply))),
                None => State::Ready(node_queries::reply(&self.local, query)),
            },
        };
        PendingReply { node: self.node_name().clone(), state }
    }

    /// Queries each of the peers.
    pub(crate) fn query_peers(&self, query: &NodeQuery<'_>) -> Vec<PendingReply> {
        self.peers.iter().map(|peer| self.query_node(Some(peer.index()), query)).collect()
    }

    /// Queries all nodes; the reply of this one comes first.
    pub(crate) fn query_all(&self, query: &NodeQuery<'_>) -> impl Iterator<Item = PendingReply> + use<> {
        let peers = self.query_peers(query);
        std::iter::once(self.query_local(query)).chain(peers)
    }

    /// Queries the leader of a row, once that is found.
    pub(crate) async fn query_leader(
        &self,
        replicas: &Replicas,
        query: &NodeQuery<'_>,
    ) -> Result<PendingReply, Error> {
        let mut search = Search::default();
        loop {
            let server = search.find(replicas).await?;
            let (peer, confirmed) = match server {
                Server::Here(range) => (None, range.confirm().await),
                Server::Peer(peer) => (Some(peer.index()), Ok(())),
            };
            let (node, reply) = match confirmed {
                Ok(()) => {
                    let pending = self.query_node(peer, query);
                    (pending.node.clone(), pending.reply().await)
                }
                Err(error) => (self.node_name().clone(), Err(error.into())),
            };
            match reply {
                Ok(reply) => return Ok(PendingReply { node, state: State::Ready(reply) }),
                Err(failure) if failure.is_misdirected() => {
                    search.go_on(replicas, Some(server), failure).await?;
                }
                Err(error) => return Err(error),
            }
        }
    }

    /// Queries a peer by its index, or this node if that is `None`.
    pub(crate) fn query_node(&self, peer: Option<usize>, query: &NodeQuery<'_>) -> PendingReply {
        let Some(peer) = peer else { return self.query_local(query) };
        let peer = &self.peers[peer];
        let state = peer.query(query).map_or_else(State::Failed, State::InFlight);
        PendingReply { node: peer.name().clone(), state }
    }
}

impl PendingReply {
    /// Why the query was not sent, if so.
    pub(crate) fn send_error(&self) -> Option<&Error> {
        if let State::Failed(error) = &self.state { Some(error) } else { None }
    }

    /// The page of names that was queried.
    pub(crate) async fn page(self) -> Result<NamePage, Error> {
        self.expect(NodeReply::into_page).await
    }

    /// The random name that was queried.
    pub(crate) async fn random_name(self) -> Result<RandomName, Error> {
        self.expect(NodeReply::into_random_name).await
    }

    /// The list of names that was queried.
    pub(crate) async fn names(self) -> Result<Vec<Box<[u8]>>, Error> {
        self.expect(NodeReply::into_names).await
    }

    /// The page of channels or patterns that was queried.
    pub(crate) async fn topics(self) -> Result<TopicPage, Error> {
        self.expect(NodeReply::into_topics).await
    }

    /// The table of placements, if there is a newer one.
    pub(crate) async fn placements(self) -> Result<Option<PlacementTable>, Error> {
        self.expect(NodeReply::into_placements).await
    }

    /// The nodes of the cluster, if there is a newer table of them.
    pub(crate) async fn nodes(self) -> Result<Option<NodeTable>, Error> {
        self.expect(NodeReply::into_nodes).await
    }

    /// The `len` counts that were queried.
    pub(crate) async fn counts(self, len: usize) -> Result<Vec<u64>, Error> {
        self.expect(|reply| reply.into_counts(len)).await
    }

    /// The stats that were queried.
    pub(crate) async fn stats(self) -> Result<StoreStats, Error> {
        self.expect(NodeReply::into_stats).await
    }

    /// Waits until the node has executed the query.
    pub(crate) async fn done(self) -> Result<(), Error> {
        self.reply().await.map(drop)
    }

    async fn expect<T>(self, read: impl FnOnce(NodeReply) -> Option<T>) -> Result<T, Error> {
        let node = self.node.shared();
        read(self.reply().await?).ok_or(Error::UnexpectedNodeReply { node })
    }

    async fn reply(self) -> Result<NodeReply, Error> {
        match self.state {
            State::Ready(reply) => of_this_node(reply),
            State::Running(running) => of_this_node(running.0.await),
            State::InFlight(reply) => match reply.reply().await? {
                NodeReply::Failed(failure) => Err(failure.on_node(self.node.as_str()).into()),
                reply => Ok(reply),
            },
            State::Flushing(flushing) => Ok(flushing.done().await.map(|()| NodeReply::Done)?),
            State::Failed(error) => Err(error),
        }
    }
}

fn of_this_node(reply: NodeReply) -> Result<NodeReply, Error> {
    match reply {
        NodeReply::Failed(failure) => Err(failure.into()),
        reply => Ok(reply),
    }
}
