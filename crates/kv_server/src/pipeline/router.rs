//! The only way from a client to a bucket by name: executes requests on the nodes that own their buckets.
//! Requests of a batch pass [`execute_local`] and [`execute`]; what a command executes by itself passes
//! [`execute_one`], [`transact`] or [`subscribe`]. Commands on all keys at once (KEYS, FLUSHALL, BUCKETS)
//! name no bucket and call the [`Cluster`] themselves.

use super::{Protocol, Rendered, RequestResult, buffers::Output};
use crate::{limits::LOOK_AHEAD_REQUESTS, reactor::yield_to_group};
use kv::{Backlog, CommandError, FullName, LargeValue, Reply, Request, Subscription};
use kv_cluster::{Cluster, Error, ForwardedBatch, Owner, Target};
use std::{io, ops::ControlFlow, sync::Arc};
use tokio::task::yield_now;

/// How many of the given requests have been executed.
pub(super) struct Executed<F> {
    pub(super) count: usize,
    /// The last of them, if its reply is not rendered yet.
    pub(super) paused: Option<F>,
}

impl<F> Executed<F> {
    fn none() -> Executed<F> {
        Executed { count: 0, paused: None }
    }

    /// Counts the next of the requests, and renders its result. Breaks off when the output is full or the
    /// reply pauses the batch.
    #[inline(always)]
    fn render<'a, P: Protocol<FollowUp<'a> = F>>(
        &mut self,
        protocol: &mut P,
        requests: &[Request<'a>],
        result: RequestResult<'_>,
        output: &mut Output<'_>,
    ) -> ControlFlow<()> {
        let rendered = protocol.render(&mut output.bytes, &requests[self.count], result);
        self.count += 1;
        if let Rendered::Paused(follow_up) = rendered {
            self.paused = Some(follow_up);
        }
        if output.is_full() || self.paused.is_some() {
            ControlFlow::Break(())
        } else {
            ControlFlow::Continue(())
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
                    executed.render(protocol, requests, Ok(&reply), output)
                });
            }
            Owner::Refused(refusal) => {
                let error = refusal.error(left[0].bucket);
                let _ = executed.render(protocol, requests, Err(&error), output);
            }
            Owner::Later(target) => match read_range(cluster, protocol, target, left, now_ms, output) {
                Some(read) => {
                    executed.count += read.count;
                    executed.paused = read.paused;
                }
                None => break,
            },
        }
    }
    executed
}

/// Executes the leading requests that only read a durable range of this node, the first of which is for it;
/// `None` if that is on another node, or if one of all these requests writes to it. Not part of
/// [`execute_local`], which volatile buckets keep small.
#[inline(never)]
fn read_range<'a, P: Protocol>(
    cluster: &Cluster,
    protocol: &mut P,
    target: Target<'_>,
    requests: &[Request<'a>],
    now_ms: u64,
    output: &mut Output<'_>,
) -> Option<Executed<P::FollowUp<'a>>> {
    let range = target.range_to_read()?;
    let count = cluster.immediate_prefix_len(target, requests);
    if count == 0 {
        return None;
    }
    let mut executed = Executed::none();
    let read = cluster.local().read(range, &requests[..count], now_ms, |reply| {
        executed.render(protocol, requests, Ok(&reply), output)
    });
    if let Err(failure) = read {
        if target.is_retried_after(&failure) {
            return None;
        }
        let _ = executed.render(protocol, requests, Err(&failure.into()), output);
    }
    Some(executed)
}

/// How many leading requests are for buckets of this node; the first one is.
#[inline(always)]
fn local_prefix_len(cluster: &Cluster, requests: &[Request<'_>]) -> usize {
    match requests.len() == 1 || cluster.owns_every_bucket() {
        true => requests.len(),
        false => owned_prefix_len(cluster, requests),
    }
}

/// The same, by the owner of each.
fn owned_prefix_len(cluster: &Cluster, requests: &[Request<'_>]) -> usize {
    let is_other = |pair: &[Request<'_>]| {
        pair[1].bucket != pair[0].bucket && !matches!(cluster.owner(pair[1].bucket), Owner::Local(_))
    };
    requests.windows(2).position(is_other).map_or(requests.len(), |last| last + 1)
}

/// Whether the reply to a request comes later.
pub(super) fn waits(cluster: &Cluster, request: &Request<'_>) -> bool {
    matches!(cluster.owner(request.bucket), Owner::Later(_))
}

/// Whether all requests are for owners who reply later, and who have room for many more.
pub(crate) fn has_room(cluster: &Cluster, requests: &[Request<'_>]) -> bool {
    let mut last: Option<Target<'_>> = None;
    requests.iter().all(|request| match cluster.owner(request.bucket) {
        Owner::Later(target) => {
            let is_known = last.is_some_and(|last| last.is_same(target));
            last = Some(target);
            is_known || target.has_ample_room()
        }
        Owner::Local(_) | Owner::Refused(_) => false,
    })
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
                let mut executed = Executed::none();
                let result = large.as_ref().map_or(result.as_ref(), Ok);
                let _ = executed.render(protocol, left, result, output);
                executed
            }
            None if is_large(request)
                && let Owner::Local(node) = cluster.owner(request.bucket) =>
            {
                let mut executed = Executed::none();
                let on_reply = |reply: Reply<'_>| {
                    let _ = executed.render(protocol, left, Ok(&reply), output);
                };
                node.execute_large(request, on_reply).await;
                executed
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
        if executed.count == 0
            && let Some(target) = left.first().and_then(target)
        {
            // This node has just ceased to lead.
            forwarded.push(cluster.forward_to(target, left));
        }
        if executed.paused.is_some() || output.is_full() {
            output.set_unrendered(arrived_bytes(&mut forwarded).await);
        }
        if let Some(follow_up) = executed.paused {
            protocol.follow_up(follow_up, output).await?;
        }
        if output.is_full() {
            output.flush().await?;
        }
    }
    output.set_unrendered(0);
    Ok(())
}

/// Waits for the next results of all batches, and returns how many bytes they hold while the client does not
/// read. What arrives later would not count.
async fn arrived_bytes(forwarded: &mut [ForwardedBatch<'_>]) -> usize {
    let mut bytes = 0;
    for batch in forwarded {
        bytes += batch.arrived_bytes().await;
    }
    bytes
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
        // What a write accesses is prefetched when it is executed, by another thread.
        Owner::Later(target) if request.op.is_read() => {
            let Some(range) = target.range_to_read() else { return };
            let store = range.store();
            let mut prefetch = store.prefetch(request);
            while store.prefetch_step(request, &mut prefetch) {
                yield_to_group().await;
            }
        }
        Owner::Later(_) | Owner::Refused(_) => {}
    }
}
