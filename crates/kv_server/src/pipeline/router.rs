//! Which node executes a request: splits a batch by the owners of its buckets.

use kv::{Reply, Request};
use kv_cluster::{Cluster, Error, ForwardedBatch, Owner, Peer};

/// How many of the requests, of which this node owns the first one's bucket, precede the first that it does not own.
pub(super) fn local_prefix_len(cluster: &Cluster, requests: &[Request<'_>]) -> usize {
    if cluster.owns_all() {
        return requests.len();
    }
    let is_other = |pair: &[Request<'_>]| {
        pair[1].bucket != pair[0].bucket && !matches!(cluster.owner(pair[1].bucket), Owner::Local)
    };
    requests.windows(2).position(is_other).map_or(requests.len(), |last| last + 1)
}

/// The share of a batch that each other node executes.
pub(super) struct Forwarded<'c>(Vec<ForwardedBatch<'c>>);

impl<'c> Forwarded<'c> {
    /// Sends each node its share.
    pub(super) fn send(cluster: &'c Cluster, requests: &[Request<'c>]) -> Forwarded<'c> {
        let mut batches: Vec<ForwardedBatch<'c>> = Vec::new();
        for request in requests {
            let Owner::Remote(peer) = cluster.owner(request.bucket) else { continue };
            match batches.iter_mut().find(|batch| batch.peer().name() == peer.name()) {
                Some(batch) => batch.add(*request),
                None => batches.push(ForwardedBatch::new(peer, *request)),
            }
        }
        batches.iter_mut().for_each(ForwardedBatch::send);
        Forwarded(batches)
    }

    /// The result of the next request of those that were sent to `peer`.
    pub(super) async fn next_reply(&mut self, peer: &Peer) -> Result<Reply<'_>, Error> {
        let batch = self.0.iter_mut().find(|batch| batch.peer().name() == peer.name());
        batch.expect("every remote owner was sent its share").next().await
    }
}
