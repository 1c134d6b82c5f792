//! The only way from a client to a bucket by name: executes requests on the nodes that own their buckets.
//! Requests of a batch pass [`execute_local`] and [`execute`]; what a command executes by itself passes
//! [`execute_one`], [`transact`] or [`subscribe`]. Commands on all keys at once (KEYS, FLUSHALL, BUCKETS)
//! name no bucket and call the [`Cluster`] themselves.

use super::{Protocol, Rendered, buffers::Output};
use crate::{
    limits::{LOOK_AHEAD_REQUESTS, PREPARATIONS},
    reactor::yield_to_group,
};
use kv::{Backlog, CommandError, FullName, LargeValue, Reply, Request, Subscription};
use kv_cluster::{Cluster, Error, LocalNode, Owner};
use std::{io, ops::ControlFlow, sync::Arc};
use tokio::task::yield_now;

/// How many of the given requests have been executed.
pub(super) struct Executed<F> {
    pub(super) count: usize,
    /// The last of them, if its reply is not rendered yet.
    pub(super) paused: Option<F>,
}

impl<F> Executed<F> {
    pub(super) fn none() -> Executed<F> {
        Executed { count: 0, paused: None }
    }

    /// Counts one more request.
    fn add(&mut self, rendered: Rendered<F>) {
        self.count += 1;
        if let Rendered::Paused(follow_up) = rendered {
            self.paused = Some(follow_up);
        }
    }
}

/// Executes the leading requests that need no other node, on this thread and without waiting, until the
/// output is full or a reply pauses the batch.
pub(super) fn execute_local<'a, P: Protocol>(
    cluster: &Cluster,
    protocol: &mut P,
    requests: &[Request<'a>],
    now_ms: u64,
    output: &mut Output<'_>,
) -> Executed<P::FollowUp<'a>> {
    let mut executed = Executed::none();
    while executed.count < requests.len() && executed.paused.is_none() && !output.is_full() {
        let left = &requests[executed.count..];
        match cluster.owner(left[0].bucket) {
            Owner::Local(node) => {
                node.execute(&left[..local_prefix_len(cluster, left)], now_ms, |reply| {
                    let request = &requests[executed.count];
                    executed.add(protocol.render(&mut output.bytes, request, Ok(&reply)));
                    if output.is_full() || executed.paused.is_some() {
                        return ControlFlow::Break(());
                    }
                    ControlFlow::Continue(())
                });
            }
            Owner::Refused(refusal) => {
                let error = refusal.error(left[0].bucket);
                executed.add(protocol.render(&mut output.bytes, &left[0], Err(&error)));
            }
            Owner::Remote(_) => break,
        }
    }
    executed
}

/// How many leading requests are for buckets of this node; the first one is.
#[inline]
fn local_prefix_len(cluster: &Cluster, requests: &[Request<'_>]) -> usize {
    if requests.len() == 1 || cluster.owns_every_bucket() {
        return requests.len();
    }
    let is_other = |pair: &[Request<'_>]| {
        pair[1].bucket != pair[0].bucket && !matches!(cluster.owner(pair[1].bucket), Owner::Local(_))
    };
    requests.windows(2).position(is_other).map_or(requests.len(), |last| last + 1)
}

/// Executes requests whatever their owners, and renders the results in order. All requests to other nodes are
/// sent before the first reply is awaited, so the nodes work in parallel.
pub(crate) async fn execute<P: Protocol>(
    cluster: &Cluster,
    protocol: &mut P,
    requests: &[Request<'_>],
    output: &mut Output<'_>,
) -> io::Result<()> {
    let mut forwarded = cluster.forward(requests);
    let mut left = requests;
    while let Some(request) = left.first() {
        let owner = cluster.owner(request.bucket);
        let executed = match forwarded.iter_mut().find(|batch| batch.goes_to(&owner)) {
            Some(batch) => {
                let result = batch.resolve_next().await;
                let mut executed = Executed::none();
                let large = match &result {
                    Ok(Reply::Value(value)) if LargeValue::holds(value.len()) => {
                        let copied = copy_in_pieces(value).await;
                        Some(copied.map_or_else(Reply::Error, Reply::from))
                    }
                    _ => None,
                };
                let result = large.as_ref().map_or(result.as_ref(), Ok);
                executed.add(protocol.render(&mut output.bytes, request, result));
                executed
            }
            None if let Owner::Local(node) = owner
                && is_large(request) =>
            {
                execute_large(node, protocol, request, output).await
            }
            None => {
                let run = left.iter().position(is_large).unwrap_or(left.len());
                execute_local(cluster, protocol, &left[..run], kv::time::now_ms(), output)
            }
        };
        left = &left[executed.count..];
        if let Some(follow_up) = executed.paused {
            protocol.follow_up(follow_up, output).await?;
        }
        if output.is_full() {
            output.flush().await?;
        }
    }
    Ok(())
}

/// Copies many bytes. Other connections of this thread run between two pieces.
pub(crate) async fn copy_in_pieces(bytes: &[u8]) -> Result<LargeValue, CommandError> {
    let mut copy = LargeValue::aligned_to(0);
    while copy.copy_next(bytes)? {
        yield_now().await;
    }
    Ok(copy)
}

/// Whether the arguments of a request take so long to copy that other connections run meanwhile.
fn is_large(request: &Request<'_>) -> bool {
    LargeValue::holds(request.op.payload_bytes())
}

/// Executes a request with large arguments, which are copied before its bucket is locked. Other connections
/// of this thread run between their pieces.
async fn execute_large<'a, P: Protocol>(
    node: &LocalNode,
    protocol: &mut P,
    request: &Request<'a>,
    output: &mut Output<'_>,
) -> Executed<P::FollowUp<'a>> {
    let (mut executed, mut attempts) = (Executed::none(), 0);
    while executed.count == 0 {
        attempts += 1;
        let mut preparation = node.prepare(request, kv::time::now_ms());
        loop {
            match preparation.step() {
                Ok(true) => yield_now().await,
                Ok(false) => break,
                Err(error) => {
                    let reply = Reply::Error(error);
                    executed.add(protocol.render(&mut output.bytes, request, Ok(&reply)));
                    return executed;
                }
            }
        }
        node.execute_prepared(request, preparation, kv::time::now_ms(), |reply| {
            if reply != Reply::Error(CommandError::Outdated) || attempts == PREPARATIONS {
                executed.add(protocol.render(&mut output.bytes, request, Ok(&reply)));
            }
            ControlFlow::Continue(())
        });
    }
    executed
}

/// Checks, before any of the requests is executed, that nothing is known to be in the way of one. Other
/// connections of this thread run between many of them.
pub(crate) async fn look_ahead<'r>(
    cluster: &Cluster,
    requests: impl Iterator<Item = Request<'r>>,
) -> Result<(), Error> {
    let mut requests = requests.peekable();
    while !cluster.owns_every_bucket() && requests.peek().is_some() {
        cluster.look_ahead(requests.by_ref().take(LOOK_AHEAD_REQUESTS))?;
        yield_now().await;
    }
    Ok(())
}

/// Executes one request and passes the reply to `read`.
pub(crate) async fn execute_one<T>(
    cluster: &Cluster,
    request: Request<'_>,
    read: impl FnOnce(Reply<'_>) -> T,
) -> Result<T, Error> {
    cluster.execute(request, read).await
}

/// Executes requests of one node as one step; see [`Cluster::transact`].
pub(crate) async fn transact(
    cluster: &Cluster,
    watched: &[(FullName<'_>, u64)],
    requests: &[Request<'_>],
    on_reply: impl FnMut(Result<Reply<'_>, Error>),
) -> Result<bool, Error> {
    cluster.transact(watched, requests, on_reply).await
}

/// Subscribes to the changes of a bucket, which are queued in `backlog`; `None` if there is no such bucket.
pub(crate) async fn subscribe(
    cluster: &Cluster,
    bucket: &[u8],
    backlog: &Arc<Backlog>,
) -> Result<Option<Subscription>, Error> {
    cluster.subscribe(bucket, backlog).await
}

/// Prefetches the memory that a request will access, if this node owns its bucket. It takes several steps;
/// the other connections of the group run between them. A larger batch is prefetched as a whole while it is
/// executed.
pub(super) async fn prefetch(cluster: &Cluster, request: &Request<'_>) {
    if let Owner::Local(node) = cluster.owner(request.bucket) {
        let mut prefetch = node.prefetch(request);
        while node.prefetch_step(request, &mut prefetch) {
            yield_to_group().await;
        }
    }
}
