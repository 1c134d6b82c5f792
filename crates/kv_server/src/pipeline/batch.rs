//! Runs one batch: parses the requests, executes them through the router, and then runs the command that
//! follows.

use super::{
    Batch, Next, Protocol, Tail,
    buffers::{Input, Output},
    clock::BatchClock,
    router::{self, Executed, execute_local},
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
        let Parsed { is_empty, consumed, tail, left } =
            parse_and_execute(cluster, protocol, clock.unix_ms(), input.unparsed(), output);
        let rest = match left {
            Left::Nothing => None,
            Left::Single(single) => {
                router::prefetch(cluster, &single).await;
                // Other connections ran in the meantime.
                *clock = BatchClock::read();
                let executed = execute_local(cluster, protocol, &[single], clock.unix_ms(), output);
                Rest::of(executed, &[single])
            }
            Left::Rest(rest) => Some(rest),
        };
        if let Some(Rest { paused, requests }) = rest {
            if let Some(follow_up) = paused {
                protocol.follow_up(follow_up, output).await?;
            }
            if !requests.is_empty() {
                Box::pin(router::execute(cluster, protocol, &requests, output)).await?;
            }
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

/// A batch, as far as it has been executed. It is held across awaits, so it must not contain the whole batch.
struct Parsed<'a, P: Protocol> {
    /// The batch has no requests.
    is_empty: bool,
    consumed: usize,
    tail: Tail<P::Command<'a>>,
    left: Left<'a, P>,
}

/// What is left to do of the requests of a batch: usually nothing.
enum Left<'a, P: Protocol> {
    Nothing,
    /// The only request of the batch, which is to be prefetched while other connections run.
    Single(Request<'a>),
    Rest(Rest<'a, P>),
}

/// What is left to do of requests that needs waiting.
struct Rest<'a, P: Protocol> {
    paused: Option<P::FollowUp<'a>>,
    /// Requests to execute once `paused` is rendered.
    requests: Vec<Request<'a>>,
}

impl<'a, P: Protocol> Rest<'a, P> {
    /// What is left of `requests`, if anything is.
    #[inline]
    fn of(executed: Executed<P::FollowUp<'a>>, requests: &[Request<'a>]) -> Option<Rest<'a, P>> {
        if executed.count == requests.len() && executed.paused.is_none() {
            return None;
        }
        Some(Rest { paused: executed.paused, requests: Vec::from(&requests[executed.count..]) })
    }
}

/// Parses a batch and executes as much of it as needs no waiting.
#[inline]
fn parse_and_execute<'a, P: Protocol>(
    cluster: &Cluster,
    protocol: &mut P,
    now_ms: u64,
    input: &'a mut [u8],
    output: &mut Output<'_>,
) -> Parsed<'a, P> {
    let mut batch = Batch { requests: ArrayVec::new(), consumed: 0, tail: Tail::More };
    protocol.parse(input, &mut batch);
    let (consumed, tail) = (batch.consumed, batch.tail);
    // Large arguments take a while: the router executes them.
    let ready = if LargeValue::holds(consumed) { &[] } else { &batch.requests[..] };
    let is_empty = batch.requests.is_empty();
    let left = match *ready {
        [single] if is_grouped() => Left::Single(single),
        _ => {
            let executed = execute_local(cluster, protocol, ready, now_ms, output);
            Rest::of(executed, &batch.requests).map_or(Left::Nothing, Left::Rest)
        }
    };
    Parsed { is_empty, consumed, tail, left }
}
