//! The batch loop: every request of every protocol passes here, between parsing and rendering.

use super::{
    Batch, Next, Protocol, Rendered, Tail,
    buffers::{Input, Output},
    router::{Forwarded, local_prefix_len},
};
use crate::reactor::{is_grouped, yield_to_group};
use arrayvec::ArrayVec;
use kv::Request;
use kv_cluster::{Cluster, Error, Owner};
use std::{io, ops::ControlFlow};

/// Answers one batch of what `input` holds, as of `now_ms` (Unix time).
pub(crate) async fn answer<P: Protocol>(
    cluster: &Cluster,
    protocol: &mut P,
    now_ms: u64,
    input: &mut Input,
    output: &mut Output<'_>,
) -> io::Result<Next> {
    // What is left of the batch borrows the input, which is consumed after it.
    let (next, consumed) = {
        let Rest { single, mut paused, mut requests, consumed, tail } =
            parse_and_execute(cluster, protocol, now_ms, input.unparsed(), output);
        if let Some(single) = single {
            prefetch_single(cluster, &single).await;
            let executed = execute_local(cluster, protocol, &[single], now_ms, output);
            (requests, paused) = (Vec::from(&[single][executed.count..]), executed.paused);
        }
        if let Some(follow_up) = paused {
            protocol.follow_up(follow_up, output).await?;
        }
        if !requests.is_empty() {
            Box::pin(execute(cluster, protocol, &requests, output)).await?;
        }
        match tail {
            Tail::More => (Next::Continue, consumed),
            Tail::Incomplete => (Next::NeedInput, consumed),
            Tail::Command(command) => (protocol.execute(command, output).await?, consumed),
        }
    };
    input.consume(consumed);
    Ok(next)
}

/// What is left to do for a batch. It is kept while something is awaited, and so does not hold the whole batch.
struct Rest<'a, P: Protocol> {
    /// The only request of the batch, not executed yet because others can run while it is prefetched.
    single: Option<Request<'a>>,
    paused: Option<P::FollowUp<'a>>,
    /// Requests to execute once `paused` is rendered. As a rule there are none, and so no allocation.
    requests: Vec<Request<'a>>,
    consumed: usize,
    tail: Tail<P::Command<'a>>,
}

/// Parses a batch and executes as much of it as can be done at once.
#[inline]
fn parse_and_execute<'a, P: Protocol>(
    cluster: &Cluster,
    protocol: &mut P,
    now_ms: u64,
    input: &'a mut [u8],
    output: &mut Output<'_>,
) -> Rest<'a, P> {
    let mut batch = Batch { requests: ArrayVec::new(), consumed: 0, tail: Tail::More };
    protocol.parse(input, &mut batch);
    let (single, executed) = match batch.requests[..] {
        [single] if is_grouped() => (Some(single), Executed { count: 1, paused: None }),
        _ => (None, execute_local(cluster, protocol, &batch.requests, now_ms, output)),
    };
    Rest {
        single,
        paused: executed.paused,
        requests: Vec::from(&batch.requests[executed.count..]),
        consumed: batch.consumed,
        tail: batch.tail,
    }
}

/// Prefetches the memory that a request will look up, if this node executes it, step by step; between two steps the other
/// connections of the group run. A batch of several requests is prefetched by the store.
async fn prefetch_single(cluster: &Cluster, request: &Request<'_>) {
    if matches!(cluster.owner(request.bucket), Owner::Local) {
        let mut prefetch = cluster.store().approach(request);
        while cluster.store().advance(request, &mut prefetch) {
            yield_to_group().await;
        }
    }
}

/// How many of the given requests have been executed.
struct Executed<F> {
    count: usize,
    /// The reply to the last of them is still to be rendered.
    paused: Option<F>,
}

impl<F> Executed<F> {
    /// Counts one more request.
    fn add(&mut self, rendered: Rendered<F>) {
        self.count += 1;
        if let Rendered::Paused(follow_up) = rendered {
            self.paused = Some(follow_up);
        }
    }
}

/// Executes the leading requests that need no other node, at once and on this thread, until the output is full or a reply
/// pauses.
fn execute_local<'a, P: Protocol>(
    cluster: &Cluster,
    protocol: &mut P,
    requests: &[Request<'a>],
    now_ms: u64,
    output: &mut Output<'_>,
) -> Executed<P::FollowUp<'a>> {
    let mut executed = Executed { count: 0, paused: None };
    while executed.count < requests.len() && executed.paused.is_none() && !output.is_full() {
        let next = &requests[executed.count..];
        match cluster.owner(next[0].bucket) {
            Owner::Local => {
                let local = &next[..local_prefix_len(cluster, next)];
                cluster.store().execute(local, now_ms, |reply| {
                    let request = &requests[executed.count];
                    executed.add(protocol.render(&mut output.bytes, request, Ok(&reply)));
                    if output.is_full() || executed.paused.is_some() {
                        return ControlFlow::Break(());
                    }
                    ControlFlow::Continue(())
                });
            }
            Owner::Unrouted => {
                let error = Error::no_route(next[0].bucket);
                executed.add(protocol.render(&mut output.bytes, &next[0], Err(&error)));
            }
            Owner::Remote(_) => break,
        }
    }
    executed
}

/// Executes requests whose buckets live on any nodes. Each node's share is sent before the first reply is awaited, so the
/// nodes work side by side; replies are rendered in the order of the requests.
pub(crate) async fn execute<P: Protocol>(
    cluster: &Cluster,
    protocol: &mut P,
    requests: &[Request<'_>],
    output: &mut Output<'_>,
) -> io::Result<()> {
    let mut forwarded = Forwarded::send(cluster, requests);
    let mut left = requests;
    while let Some(request) = left.first() {
        let executed = match cluster.owner(request.bucket) {
            Owner::Remote(peer) => {
                let result = forwarded.next_reply(peer).await;
                let mut executed = Executed { count: 0, paused: None };
                executed.add(protocol.render(&mut output.bytes, request, result.as_ref()));
                executed
            }
            Owner::Local | Owner::Unrouted => {
                execute_local(cluster, protocol, left, kv::time::now_ms(), output)
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
