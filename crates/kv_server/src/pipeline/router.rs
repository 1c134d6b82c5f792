//! The only way from a client to a bucket by name: executes requests on the nodes that own their buckets.
//! Requests of a batch pass [`execute_local`] and [`execute`]; what a command executes by itself passes
//! [`execute_one`], [`transact`] or [`subscribe`]. Commands on all keys at once (KEYS, FLUSHALL, BUCKETS)
//! name no bucket and call the [`Cluster`] themselves.

use super::{Protocol, Rendered, RequestResult, buffers::Output};
use crate::{
    limits::{LOOK_AHEAD_REQUESTS, PREPARATIONS},
    reactor::yield_to_group,
};
use kv::{Backlog, CommandError, FullName, LargeValue, Reply, Request, Subscription};
use kv_cluster::{Cluster, Error, LocalNode, Owner, Range, Target};
use std::{io, ops::ControlFlow, sync::Arc};
use tokio::task::yield_now;

/// How many of the given requests have been executed.
pub(super) struct Executed<F> {
    pub(super) count: usize,
    /// The last of them, if its reply is not rendered yet.
    pub(super) paused: Option<F>,
}

/// Requests of a batch, and the rendering of their replies in order.
struct Execution<'e, 'a, 's, P: Protocol> {
    protocol: &'e mut P,
    requests: &'e [Request<'a>],
    output: &'e mut Output<'s>,
    executed: Executed<P::FollowUp<'a>>,
}

impl<'e, 'a, 's, P: Protocol> Execution<'e, 'a, 's, P> {
    fn new(protocol: &'e mut P, requests: &'e [Request<'a>], output: &'e mut Output<'s>) -> Self {
        Execution { protocol, requests, output, executed: Executed { count: 0, paused: None } }
    }

    /// The requests that are not executed yet.
    #[inline]
    fn left(&self) -> &'e [Request<'a>] {
        &self.requests[self.executed.count..]
    }

    /// Renders the result of the next request.
    #[inline]
    fn render(&mut self, result: RequestResult<'_>) {
        let request = &self.requests[self.executed.count];
        self.executed.count += 1;
        if let Rendered::Paused(follow_up) = self.protocol.render(&mut self.output.bytes, request, result) {
            self.executed.paused = Some(follow_up);
        }
    }

    /// Renders the reply to the next request. Breaks off when the output is full or the reply pauses the
    /// batch.
    #[inline]
    fn on_reply(&mut self, reply: &Reply<'_>) -> ControlFlow<()> {
        self.render(Ok(reply));
        if self.is_interrupted() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    }

    #[inline]
    fn is_interrupted(&self) -> bool {
        self.output.is_full() || self.executed.paused.is_some()
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
    let mut execution = Execution::new(protocol, requests, output);
    while !execution.is_interrupted()
        && let left @ [next, ..] = execution.left()
    {
        match cluster.owner(next.bucket) {
            Owner::Local(node) => {
                let local = &left[..local_prefix_len(cluster, left)];
                node.execute(local, now_ms, |reply| execution.on_reply(&reply));
            }
            Owner::Refused(refusal) => execution.render(Err(&refusal.error(next.bucket))),
            Owner::Later(Target::Range(range)) => {
                if !read_range(cluster, range, &mut execution, now_ms) {
                    break;
                }
            }
            Owner::Later(Target::Peer(_)) => break,
        }
    }
    execution.executed
}

/// Executes the leading requests that only read a durable range, the first of which is for it; `false` if one
/// of all these requests writes to it. Not part of [`execute_local`], which volatile buckets keep small.
#[inline(never)]
fn read_range<P: Protocol>(
    cluster: &Cluster,
    range: &Range,
    execution: &mut Execution<'_, '_, '_, P>,
    now_ms: u64,
) -> bool {
    let left = execution.left();
    let count = cluster.immediate_prefix_len(range, left);
    if count == 0 {
        return false;
    }
    let read = cluster.local().read(range, &left[..count], now_ms, |reply| execution.on_reply(&reply));
    if let Err(failure) = read {
        execution.render(Err(&failure.into()));
    }
    true
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

/// Executes requests whatever their owners, and renders the results in order. All requests to other nodes and
/// to the logs of durable ranges are sent before the first reply is awaited, so that they work in parallel.
pub(crate) async fn execute<P: Protocol>(
    cluster: &Cluster,
    protocol: &mut P,
    requests: &[Request<'_>],
    output: &mut Output<'_>,
) -> io::Result<()> {
    let mut forwarded = cluster.forward(requests);
    let target = |request: &Request<'_>| cluster.owner(request.bucket).target();
    let mut left = requests;
    while let Some(request) = left.first() {
        let batch = target(request).and_then(|to| forwarded.iter_mut().find(|batch| batch.goes_to(to)));
        let executed = match batch {
            Some(batch) => {
                let result = batch.resolve_next().await;
                let large = match &result {
                    Ok(Reply::Value(value)) if LargeValue::holds(value.len()) => {
                        let copied = copy_in_pieces(value).await;
                        Some(copied.map_or_else(Reply::Error, Reply::from))
                    }
                    _ => None,
                };
                let mut execution = Execution::new(protocol, &left[..1], output);
                execution.render(large.as_ref().map_or(result.as_ref(), Ok));
                execution.executed
            }
            None if is_large(request)
                && let Owner::Local(node) = cluster.owner(request.bucket) =>
            {
                execute_large(node, Execution::new(protocol, &left[..1], output)).await
            }
            None => {
                let is_apart = |request: &Request<'_>| {
                    let is_forwarded = |to| forwarded.iter().any(|batch| batch.goes_to(to));
                    is_large(request) || target(request).is_some_and(is_forwarded)
                };
                let end = left.iter().skip(1).position(is_apart).map_or(left.len(), |last| last + 1);
                execute_local(cluster, protocol, &left[..end], kv::time::now_ms(), output)
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
    mut execution: Execution<'_, 'a, '_, P>,
) -> Executed<P::FollowUp<'a>> {
    let mut attempts = 0;
    while let [request, ..] = execution.left() {
        attempts += 1;
        let mut preparation = node.prepare(request, kv::time::now_ms());
        loop {
            match preparation.step() {
                Ok(true) => yield_now().await,
                Ok(false) => break,
                Err(error) => {
                    execution.render(Ok(&Reply::Error(error)));
                    return execution.executed;
                }
            }
        }
        node.execute_prepared(request, preparation, kv::time::now_ms(), |reply| {
            if reply != Reply::Error(CommandError::Outdated) || attempts == PREPARATIONS {
                execution.render(Ok(&reply));
            }
            ControlFlow::Continue(())
        });
    }
    execution.executed
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
    match cluster.owner(request.bucket) {
        Owner::Local(node) => {
            let mut prefetch = node.prefetch(request);
            while node.prefetch_step(request, &mut prefetch) {
                yield_to_group().await;
            }
        }
        Owner::Later(Target::Range(range)) => {
            let store = range.store();
            let mut prefetch = store.prefetch(request);
            while store.prefetch_step(request, &mut prefetch) {
                yield_to_group().await;
            }
        }
        Owner::Later(Target::Peer(_)) | Owner::Refused(_) => {}
    }
}
