//! Runs one batch: parses the requests, executes them through the router, and then runs the command that
//! follows.

use super::{
    Batch, Next, Protocol, Tail,
    buffers::{Input, Output},
    clock::BatchClock,
    router::{self, execute_local},
};
use crate::{context::ServerContext, reactor::is_grouped};
use arrayvec::ArrayVec;
use kv::{LargeValue, Request};
use kv_cluster::Cluster;
use std::io;

/// Executes one batch of what `input` holds, and renders its replies. `clock` was read just before; it is
/// read again after the requests of the batch, and after the command that follows them.
pub(crate) async fn run<P: Protocol>(
    context: &ServerContext,
    protocol: &mut P,
    clock: &mut BatchClock,
    input: &mut Input,
    output: &mut Output<'_>,
) -> io::Result<Next> {
    let ServerContext { cluster, metrics, .. } = context;
    // The rest of the batch borrows the input, which therefore is consumed last.
    let (next, consumed) = {
        let Rest { single, mut paused, mut requests, is_empty, consumed, tail } =
            parse_and_execute(cluster, protocol, clock.unix_ms(), input.unparsed(), output);
        if let Some(single) = single {
            router::prefetch(cluster, &single).await;
            // Other connections ran in the meantime.
            *clock = BatchClock::read();
            let executed = execute_local(cluster, protocol, &[single], clock.unix_ms(), output);
            (requests, paused) = (Vec::from(&[single][executed.count..]), executed.paused);
        }
        if let Some(follow_up) = paused {
            protocol.follow_up(follow_up, output).await?;
        }
        if !requests.is_empty() {
            Box::pin(router::execute(cluster, protocol, &requests, output)).await?;
        }
        if !is_empty {
            protocol.record(metrics, clock.lap());
        }
        match tail {
            Tail::More => (Next::Continue, consumed),
            Tail::Incomplete => (Next::NeedInput, consumed),
            Tail::Command(command) => {
                let next = protocol.execute(command, output).await?;
                protocol.record(metrics, clock.lap());
                (next, consumed)
            }
        }
    };
    input.consume(consumed);
    Ok(next)
}

/// What is left to do of a batch. It is held across awaits, so it must not contain the whole batch.
struct Rest<'a, P: Protocol> {
    /// The only request of the batch, if it is to be prefetched while other connections run.
    single: Option<Request<'a>>,
    paused: Option<P::FollowUp<'a>>,
    /// Requests to execute once `paused` is rendered. Usually there are none, which allocates nothing.
    requests: Vec<Request<'a>>,
    /// The batch has no requests.
    is_empty: bool,
    consumed: usize,
    tail: Tail<P::Command<'a>>,
}

/// Parses a batch and executes as much of it as needs no waiting.
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
    let (consumed, tail) = (batch.consumed, batch.tail);
    // Large arguments take a while: the router executes them.
    let ready = if LargeValue::holds(consumed) { &[] } else { &batch.requests[..] };
    if let [single] = *ready
        && is_grouped()
    {
        let requests = Vec::new();
        return Rest { single: Some(single), paused: None, requests, is_empty: false, consumed, tail };
    }
    let executed = execute_local(cluster, protocol, ready, now_ms, output);
    let requests = Vec::from(&batch.requests[executed.count..]);
    let is_empty = batch.requests.is_empty();
    Rest { single: None, paused: executed.paused, requests, is_empty, consumed, tail }
}
