//! One person's conversation: cuts the input into a batch of requests, and knows the commands that are not
//! requests to one bucket.

use super::{
    help::HELP,
    lines::{Cut, cut_line},
    parse::{Command, parse},
    render,
};
use crate::{
    input::Input,
    limits::{BATCH_REQUESTS, EVENTS_AT_ONCE, Limits, SORTED_BYTES, SUBSCRIPTIONS},
    output::Output,
    protocol::progress::Progress,
    reactor::is_grouped,
    router,
};
use arrayvec::ArrayVec;
use kv::{Change, EndReason, Op, Reply, Request, Subscription};
use kv_cluster::Cluster;
use std::{future::pending, io, ops::ControlFlow};
use tokio::task::yield_now;
use tokio_stream::StreamMap;

/// What a session holds between two batches.
pub(crate) struct Session {
    cluster: Cluster,
    limits: Limits,
    subscriptions: StreamMap<Box<[u8]>, Subscription>,
    /// The rest of an over-long line is still to come, and to be thrown away.
    skipping: bool,
}

/// What follows the requests of a batch.
enum Next<'a> {
    More,
    Starved,
    TooLong,
    Command(Command<'a>),
}

/// Requests of one batch. Large: it is filled where it stands.
type Requests<'a> = ArrayVec<Request<'a>, BATCH_REQUESTS>;

impl Session {
    /// A conversation that has not begun.
    pub(crate) fn new(cluster: Cluster, limits: Limits) -> Session {
        Session { cluster, limits, subscriptions: StreamMap::new(), skipping: false }
    }

    /// Answers one batch of what the input holds, as of `now` in milliseconds since 1970.
    pub(crate) async fn answer(
        &mut self,
        now: u64,
        input: &mut Input,
        output: &mut Output<'_>,
    ) -> io::Result<Progress> {
        if self.skipping && !self.skip(input) {
            return Ok(Progress::Starved);
        }
        let (lone, mut left, taken, next) = {
            let mut requests = Requests::new();
            let (taken, next) = gather(input.unread(), self.limits.line_bytes, &mut requests);
            match requests[..] {
                [lone] if is_grouped() => (Some(lone), Vec::new(), taken, next),
                _ => (None, self.answer_here(&requests, now, output), taken, next),
            }
        };
        if let Some(lone) = lone {
            router::approach(&self.cluster, &lone).await;
            left = self.answer_here(&[lone], now, output);
        }
        if !left.is_empty() {
            Box::pin(router::answer_anywhere(&self.cluster, &left, output, render_outcome)).await?;
        }
        let progress = match next {
            Next::More => Progress::More,
            Next::Starved => Progress::Starved,
            Next::TooLong => {
                self.skipping = true;
                let limit = self.limits.line_bytes;
                render::error(
                    &mut output.bytes,
                    &format!("line too long: the limit is {limit} bytes; the line was ignored"),
                );
                Progress::More
            }
            Next::Command(command) => Box::pin(self.obey(command, output)).await?,
        };
        input.consume(taken);
        Ok(progress)
    }

    /// Answers what needs no other node. Returns the rest: empty, and so without an allocation, when that was all.
    fn answer_here<'a>(
        &self,
        requests: &[Request<'a>],
        now: u64,
        output: &mut Output<'_>,
    ) -> Vec<Request<'a>> {
        let done = router::answer_here(&self.cluster, requests, now, output, render_outcome);
        Vec::from(&requests[done..])
    }

    /// Waits for changes of subscribed buckets and renders all that have come. `false`: this client did not keep
    /// up, and the conversation is over. Without a subscription it waits for ever.
    pub(crate) async fn next_events(&mut self, output: &mut Vec<u8>) -> bool {
        let mut events = Vec::new();
        if self.subscriptions.next_many(&mut events, EVENTS_AT_ONCE).await == 0 {
            return pending().await;
        }
        events.iter().for_each(|(_, event)| render::event(output, event));
        !events.iter().any(|(_, event)| event.change == Change::Ended(EndReason::FellBehind))
    }

    /// Whether the client waits for changes.
    pub(crate) fn is_subscribed(&self) -> bool {
        !self.subscriptions.is_empty()
    }

    /// Drops the rest of an over-long line; `true` when its end was found.
    fn skip(&mut self, input: &mut Input) -> bool {
        let unread = input.unread();
        let end = memchr::memchr(b'\n', unread);
        let skipped = end.map_or(unread.len(), |end| end + 1);
        input.consume(skipped);
        self.skipping = end.is_none();
        !self.skipping
    }

    async fn obey(&mut self, command: Command<'_>, output: &mut Output<'_>) -> io::Result<Progress> {
        match command {
            Command::Request(_) => unreachable!("requests are gathered into the batch"),
            Command::Keys(bucket) => self.keys(bucket, output).await?,
            Command::Buckets => self.buckets(output).await?,
            Command::Subscribe(bucket) => self.subscribe(bucket, output).await,
            Command::Help => output.bytes.extend_from_slice(HELP.as_bytes()),
            Command::Ping => output.bytes.extend_from_slice(b"+PONG\r\n"),
            Command::Unknown => output.bytes.extend_from_slice(b"UNKNOWN COMMAND\r\n"),
            Command::Http => return Ok(Progress::Close),
            Command::Quit => {
                output.bytes.extend_from_slice(b"OK\r\n");
                return Ok(Progress::Close);
            }
        }
        Ok(Progress::More)
    }

    /// Lists a bucket's keys page by page: each page is sorted, and written before the next one is asked for.
    async fn keys(&self, bucket: &[u8], output: &mut Output<'_>) -> io::Result<()> {
        let mut cursor = 0;
        loop {
            let request = Request { bucket, op: Op::Keys { cursor } };
            let bytes = &mut output.bytes;
            let rendered = self.cluster.execute(request, |reply| match reply {
                Reply::Keys { keys, next } => {
                    render::names(bytes, keys.iter().map(|key| key.as_ref()));
                    Some(next)
                }
                other => {
                    render::reply(bytes, bucket, &other);
                    None
                }
            });
            match rendered.await {
                Ok(Some(0)) => {
                    output.bytes.extend_from_slice(b"OK\r\n");
                    return Ok(());
                }
                Ok(Some(next)) => cursor = next,
                Ok(None) => return Ok(()),
                Err(error) => {
                    render::error(&mut output.bytes, &error.to_string());
                    return Ok(());
                }
            }
            output.flush().await?;
            // Other clients of this thread come before the next page.
            yield_now().await;
        }
    }

    /// Lists the buckets of all nodes page by page; nodes that cannot be asked are named at the end.
    async fn buckets(&self, output: &mut Output<'_>) -> io::Result<()> {
        let (mut pages, mut missing) = (self.cluster.buckets(), Vec::new());
        let (mut names, mut bytes) = (Vec::new(), 0);
        while let Some(page) = pages.next().await {
            match page {
                Ok(page) => {
                    bytes += page.iter().map(|name| name.len()).sum::<usize>();
                    names.extend(page);
                }
                Err(error) => missing.push(error.to_string()),
            }
            yield_now().await;
            if bytes >= SORTED_BYTES {
                render::names(&mut output.bytes, names.iter().map(|name| name.as_ref()));
                (names, bytes) = (Vec::new(), 0);
                output.flush().await?;
            }
        }
        render::names(&mut output.bytes, names.iter().map(|name| name.as_ref()));
        if missing.is_empty() {
            output.bytes.extend_from_slice(b"OK\r\n");
        } else {
            render::error(&mut output.bytes, &format!("not all buckets are listed: {}", missing.join("; ")));
        }
        Ok(())
    }

    async fn subscribe(&mut self, bucket: &[u8], output: &mut Output<'_>) {
        if self.subscriptions.len() >= SUBSCRIPTIONS && !self.subscriptions.contains_key(bucket) {
            let what = format!("too many subscriptions: one connection may have {SUBSCRIPTIONS}");
            return render::error(&mut output.bytes, &what);
        }
        match self.cluster.subscribe(bucket).await {
            Ok(Some(subscription)) => {
                self.subscriptions.insert(bucket.into(), subscription);
                output.bytes.extend_from_slice(b"OK\r\n");
            }
            Ok(None) => output.bytes.extend_from_slice(b"NOT FOUND\r\n"),
            Err(error) => render::error(&mut output.bytes, &error.to_string()),
        }
    }
}

/// Parses the leading requests of the input, up to the first command that is not one. Returns the bytes that they
/// and what follows took, and what follows.
fn gather<'a>(mut input: &'a mut [u8], limit: usize, requests: &mut Requests<'a>) -> (usize, Next<'a>) {
    let mut all_taken = 0;
    while !requests.is_full() {
        let (line, taken, rest) = match cut_line(input, limit) {
            Cut::Line(line, taken, rest) => (line, taken, rest),
            Cut::Partial => return (all_taken, Next::Starved),
            Cut::TooLong => return (all_taken, Next::TooLong),
        };
        all_taken += taken;
        input = rest;
        match parse(line) {
            Command::Request(request) => requests.push(request),
            command => return (all_taken, Next::Command(command)),
        }
    }
    (all_taken, Next::More)
}

fn render_outcome(
    output: &mut Vec<u8>,
    request: &Request<'_>,
    outcome: router::Outcome<'_>,
) -> ControlFlow<()> {
    match outcome {
        Ok(reply) => render::reply(output, request.bucket, reply),
        Err(error) => render::error(output, &error.to_string()),
    }
    ControlFlow::Continue(())
}
