//! Runs one batch: parses the requests, executes them through the router, and then runs the command that
//! follows.

use super::{
    Batch, Next, Protocol, Tail,
    buffers::{Input, Output},
    router::{self, execute_local},
};
use crate::reactor::is_grouped;
use arrayvec::ArrayVec;
use kv::Request;
use kv_cluster::Cluster;
use std::io;

/// Executes one batch of what `input` holds, as of `now_ms` (Unix time), and renders its replies.
pub(crate) async fn run<P: Protocol>(
    cluster: &Cluster,
    protocol: &mut P,
    now_ms: u64,
    input: &mut Input,
    output: &mut Output<'_>,
) -> io::Result<Next> {
    // The rest of the batch borrows the input, which therefore is consumed last.
    let (next, consumed) = {
        let Rest { single, mut paused, mut requests, consumed, tail } =
            parse_and_execute(cluster, protocol, now_ms, input.unparsed(), output);
        if let Some(single) = single {
            router::prefetch(cluster, &single).await;
            let executed = execute_local(cluster, protocol, &[single], now_ms, output);
            (requests, paused) = (Vec::from(&[single][executed.count..]), executed.paused);
        }
        if let Some(follow_up) = paused {
            protocol.follow_up(follow_up, output).await?;
        }
        if !requests.is_empty() {
            Box::pin(router::execute(cluster, protocol, &requests, output)).await?;
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

/// What is left to do of a batch. It is held across awaits, so it must not contain the whole batch.
struct Rest<'a, P: Protocol> {
    /// The only request of the batch, if it is to be prefetched while other connections run.
    single: Option<Request<'a>>,
    paused: Option<P::FollowUp<'a>>,
    /// Requests to execute once `paused` is rendered. Usually there are none, which allocates nothing.
    requests: Vec<Request<'a>>,
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
    if let [single] = batch.requests[..]
        && is_grouped()
    {
        return Rest { single: Some(single), paused: None, requests: Vec::new(), consumed, tail };
    }
    let executed = execute_local(cluster, protocol, &batch.requests, now_ms, output);
    let requests = Vec::from(&batch.requests[executed.count..]);
    Rest { single: None, paused: executed.paused, requests, consumed, tail }
}
