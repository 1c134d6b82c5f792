//! Runs one batch: parses the requests, executes them through the router, and then runs the command that
//! follows. A batch that waits, for another node or for the disk, takes along what has arrived behind it.

use super::{
    Batch, Next, Protocol, Tail,
    buffers::{Input, Output},
    clock::BatchClock,
    router::{self, Executed, execute_local},
};
use crate::{
    context::ServerContext,
    limits::{BATCH_BYTES, BATCH_REQUESTS, WAITING_REQUESTS},
    reactor::is_grouped,
};
use arrayvec::ArrayVec;
use kv::{LargeValue, Request};
use kv_cluster::Cluster;
use std::{future::poll_fn, io, pin::pin};

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
    let (next, consumed, waited) = {
        let received = P::unparsed(input.unparsed());
        let Parsed { is_empty, mut consumed, mut tail, left } =
            parse_and_execute(cluster, protocol, clock.unix_ms(), received, output);
        let mut waited = false;
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
            if let Some(first) = requests.first() {
                waited = router::waits(cluster, first);
                let rest = Waiting { requests, consumed, tail };
                (consumed, tail) = Box::pin(execute_rest(cluster, protocol, rest, waited, output)).await?;
            }
        }
        if !is_empty {
            protocol.record(metrics, clock.lap());
        }
        match tail {
            Tail::More | Tail::Full(_) => (Next::Continue, consumed, waited),
            Tail::Incomplete => (Next::NeedInput, consumed, waited),
            Tail::Command(command) => {
                let next = protocol.execute(command, output).await?;
                protocol.record(metrics, clock.lap());
                (next, consumed, waited)
            }
        }
    };
    input.consume(consumed, waited);
    Ok(next)
}

/// A batch, as far as it has been executed. It is held across awaits, so it must not contain the whole batch.
struct Parsed<'a, P: Protocol> {
    /// The batch has no requests.
    is_empty: bool,
    consumed: usize,
    tail: Tail<'a, P>,
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
    input: P::Unparsed<'a>,
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

/// Executes one batch of commands that the session has made of its input, and renders their replies. Returns
/// how many bytes of `received` they were. Unlike [`run`], which it leaves small, it takes along what follows
/// without having tried to do without.
pub(crate) async fn run_encoded<'a, P: Protocol>(
    context: &ServerContext,
    protocol: &mut P,
    received: P::Unparsed<'a>,
    output: &mut Output<'_>,
) -> io::Result<(Next, usize)> {
    let ServerContext { cluster, metrics, .. } = context;
    let mut clock = BatchClock::read();
    let mut batch = Waiting { requests: Vec::new(), consumed: 0, tail: Tail::Full(received) };
    batch.parse_next(protocol);
    let waits = batch.requests.first().is_some_and(|first| router::waits(cluster, first));
    let (consumed, tail) = execute_rest(cluster, protocol, batch, waits, output).await?;
    protocol.record(metrics, clock.lap());
    let next = match tail {
        Tail::More | Tail::Full(_) => Next::Continue,
        Tail::Incomplete => Next::NeedInput,
        Tail::Command(command) => {
            let next = protocol.execute(command, output).await?;
            protocol.record(metrics, clock.lap());
            next
        }
    };
    Ok((next, consumed))
}

/// Requests that have to wait, and what follows them.
struct Waiting<'a, P: Protocol> {
    requests: Vec<Request<'a>>,
    consumed: usize,
    tail: Tail<'a, P>,
}

/// Executes what is left of the requests of a batch. If the first of them waits for another owner, those that
/// follow the batch are sent along, and what arrives meanwhile is received. Returns the end of the last one.
async fn execute_rest<'a, P: Protocol>(
    cluster: &Cluster,
    protocol: &mut P,
    mut rest: Waiting<'a, P>,
    waits: bool,
    output: &mut Output<'_>,
) -> io::Result<(usize, Tail<'a, P>)> {
    if waits {
        rest.extend(cluster, protocol);
    }
    let stream = output.stream();
    let mut executed = pin!(router::execute(cluster, protocol, &rest.requests, output));
    poll_fn(|context| {
        let polled = executed.as_mut().poll(context);
        if waits && polled.is_pending() {
            stream.read_ahead(BATCH_BYTES);
        }
        polled
    })
    .await?;
    Ok((rest.consumed, rest.tail))
}

impl<'a, P: Protocol> Waiting<'a, P> {
    /// Adds the requests that follow, as long as they wait as well, and the owners have room for more than a
    /// batch. Nothing follows a batch with requests whose replies may be large.
    fn extend(&mut self, cluster: &Cluster, protocol: &mut P) {
        let mut added = 0;
        loop {
            let Tail::Full(_) = self.tail else { return };
            let new = &self.requests[added..];
            added = self.requests.len();
            if new.iter().any(|request| request.op.may_return_values())
                || added + BATCH_REQUESTS > WAITING_REQUESTS
                || self.consumed >= BATCH_BYTES
                || !router::has_room(cluster, new)
            {
                return;
            }
            self.parse_next(protocol);
        }
    }

    /// Adds the next batch, if there may be one.
    fn parse_next(&mut self, protocol: &mut P) {
        let Tail::Full(input) = &mut self.tail else { return };
        let mut batch = Batch { requests: ArrayVec::new(), consumed: 0, tail: Tail::More };
        protocol.parse(std::mem::take(input), &mut batch);
        self.requests.extend_from_slice(&batch.requests);
        self.consumed += batch.consumed;
        self.tail = batch.tail;
    }
}
