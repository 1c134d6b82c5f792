//! The session of one client of the text protocol: fills batches with the requests of its lines, and executes
//! the commands that are not requests to one bucket.

use super::{
    help::HELP,
    parse::{Command, NextLine, ParsedLine, next_line, parse},
    redis_lines::lines_size,
    render,
    telnet::{self, IAC, Telnet},
};
use crate::{
    clients::Client,
    context::ServerContext,
    limits::{BATCH_BYTES, SORTED_BYTES, SUBSCRIPTIONS},
    metrics::Metrics,
    pipeline::{
        Batch, BoxFuture, Next, Protocol, Rendered, RequestResult, Tail,
        buffers::{Output, ReplyBuffer},
        router,
    },
    protocol::{bucket_subscriptions::BucketSubscriptions, lines::line_end, resp::RespSession},
};
use kv::{Change, EndReason, Op, Reply, Request};
use std::{
    convert::Infallible,
    io,
    sync::{Arc, atomic::Ordering::Relaxed},
};
use tokio::task::yield_now;

/// A connection that speaks the text protocol.
pub(crate) struct TextSession {
    pub(super) context: Arc<ServerContext>,
    pub(super) client: Arc<Client>,
    subscriptions: BucketSubscriptions,
    input_state: InputState,
    /// The client has used words of Redis, PING included.
    pub(super) uses_redis: bool,
    /// Answers the commands of Redis; `None` until the first of them.
    pub(super) redis: Option<Box<RespSession>>,
    /// From now on the connection speaks RESP.
    pub(super) speaks_resp: bool,
    /// Requests that are not counted yet.
    pub(super) uncounted: u64,
}

/// What the input begins with.
#[derive(Clone, Copy, PartialEq, Eq)]
enum InputState {
    Line,
    /// The rest of a line that was too long; it is discarded as it arrives.
    Discarding,
    /// The first byte of a command of telnet.
    Telnet,
    /// A line that may be a command of Redis.
    Other,
}

impl Protocol for TextSession {
    type Command<'a> = Command<'a>;
    type FollowUp<'a> = Infallible;
    type Unparsed<'a> = &'a mut [u8];

    fn unparsed(received: &mut [u8]) -> &mut [u8] {
        received
    }

    #[inline(always)]
    fn parse<'a>(&mut self, mut input: &'a mut [u8], batch: &mut Batch<'a, TextSession>) {
        if self.input_state != InputState::Line {
            return self.parse_other(input, batch);
        }
        while !batch.requests.is_full() && batch.consumed < BATCH_BYTES {
            let (line, size, rest) = match next_line(input, self.context.limits.line_bytes) {
                NextLine::Line { line, size, rest } => (line, size, rest),
                NextLine::Incomplete => return batch.tail = Tail::Incomplete,
                NextLine::Telnet => return self.input_state = InputState::Telnet,
                NextLine::TooLong => {
                    self.input_state = InputState::Discarding;
                    return batch.tail = Tail::Command(Command::TooLong);
                }
            };
            match parse(line) {
                ParsedLine::Request(request) => {
                    batch.requests.push(request);
                    self.uncounted += 1;
                }
                ParsedLine::Command(Command::Other([IAC, ..])) => {
                    return self.input_state = InputState::Telnet;
                }
                ParsedLine::Command(Command::Other([b'*', ..])) => {
                    return batch.tail = Tail::Command(Command::Resp);
                }
                ParsedLine::Command(Command::Other(_)) => return self.input_state = InputState::Other,
                ParsedLine::Command(command) => {
                    batch.consumed += size;
                    return batch.tail = Tail::Command(command);
                }
            }
            batch.consumed += size;
            input = rest;
        }
        if batch.requests.is_full() {
            batch.tail = Tail::Full(input);
        }
    }

    fn render<'a>(
        &mut self,
        output: &mut ReplyBuffer,
        request: &Request<'a>,
        result: RequestResult<'_>,
    ) -> Rendered<Infallible> {
        match result {
            Ok(reply) => render::reply(output, self.context.cluster.node_name(), request.bucket, reply),
            Err(error) => render::error(output, &error.to_string()),
        }
        Rendered::Complete
    }

    fn follow_up<'o, 'a: 'o>(
        &'o mut self,
        follow_up: Infallible,
        _: &'o mut Output<'_>,
    ) -> BoxFuture<'o, io::Result<()>> {
        match follow_up {}
    }

    #[inline]
    fn record(&mut self, metrics: &Metrics, nanos: u64) {
        if self.uncounted > 0 {
            metrics.count_text(std::mem::take(&mut self.uncounted));
        } else if let Some(redis) = &mut self.redis {
            redis.record(metrics, nanos);
        }
    }

    fn execute<'o, 'a: 'o>(
        &'o mut self,
        command: Command<'a>,
        output: &'o mut Output<'_>,
    ) -> BoxFuture<'o, io::Result<Next>> {
        self.uncounted = 1;
        Box::pin(self.execute_command(command, output))
    }
}

impl TextSession {
    /// A new connection's session.
    pub(crate) fn new(context: Arc<ServerContext>, client: Arc<Client>) -> TextSession {
        TextSession {
            subscriptions: BucketSubscriptions::new(&client.account),
            context,
            client,
            input_state: InputState::Line,
            uses_redis: false,
            redis: None,
            speaks_resp: false,
            uncounted: 0,
        }
    }

    /// Consumes what is not a line of text: the rest of one that was too long, a command of telnet, or lines
    /// of Redis.
    #[cold]
    fn parse_other<'a>(&mut self, input: &'a [u8], batch: &mut Batch<'a, TextSession>) {
        let (end, limit) = (line_end(input), self.context.limits.line_bytes);
        if self.input_state == InputState::Other {
            self.input_state = InputState::Line;
            batch.consumed = lines_size(input, limit);
            return batch.tail = Tail::Command(Command::Other(&input[..batch.consumed]));
        }
        if self.input_state == InputState::Discarding {
            // A carriage return may be the first half of the ending.
            batch.consumed = end.map_or(input.len() - usize::from(input.ends_with(b"\r")), |end| end.size);
            match end {
                Some(_) => self.input_state = InputState::Line,
                None => batch.tail = Tail::Incomplete,
            }
            return;
        }
        batch.tail = match (telnet::parse(input), end) {
            (Telnet::Command { size, reply }, _) => {
                self.input_state = InputState::Line;
                batch.consumed = size;
                Tail::Command(Command::Telnet(reply))
            }
            (_, None) if input.len() > limit => {
                self.input_state = InputState::Discarding;
                Tail::Command(Command::TooLong)
            }
            (Telnet::Incomplete, _) | (Telnet::Data, None) => Tail::Incomplete,
            (Telnet::Data, Some(end)) => {
                self.input_state = InputState::Line;
                batch.consumed = end.size;
                Tail::Command(Command::Unknown)
            }
        };
    }

    /// Waits for changes of subscribed buckets and renders those that have arrived; waits forever without a
    /// subscription. `false`: the client did not keep up and must be disconnected.
    pub(crate) async fn next_events(&mut self, output: &mut Vec<u8>) -> bool {
        let events = self.subscriptions.next_changes().await;
        for (bucket, event) in &events {
            render::event(output, event);
            if matches!(event.change, Change::Ended(_)) {
                self.subscriptions.remove(bucket);
                self.publish_subscriptions();
            }
        }
        !events.iter().any(|(_, event)| event.change == Change::Ended(EndReason::FellBehind))
    }

    /// Whether the client is subscribed to a bucket.
    pub(crate) fn is_subscribed(&self) -> bool {
        !self.subscriptions.is_empty()
    }

    /// Copies the number of subscriptions to where all clients read it.
    pub(super) fn publish_subscriptions(&self) {
        self.client.session.channels.store(self.subscriptions.len(), Relaxed);
    }

    async fn execute_command(&mut self, command: Command<'_>, output: &mut Output<'_>) -> io::Result<Next> {
        match command {
            Command::Keys(bucket) => self.keys(bucket, output).await?,
            Command::Buckets => self.buckets(output).await?,
            Command::Subscribe(bucket) => self.subscribe(bucket, output).await,
            Command::Help => output.bytes.extend_from_slice(HELP.as_bytes()),
            Command::Ping => {
                self.uses_redis = true;
                output.bytes.extend_from_slice(b"+PONG\r\n");
            }
            Command::Telnet(reply) => reply.write(&mut output.bytes),
            Command::Other(lines) => return self.execute_other(lines, output).await,
            Command::Resp => self.speaks_resp = true,
            Command::Unknown => output.bytes.extend_from_slice(b"UNKNOWN COMMAND\r\n"),
            Command::TooLong => {
                let limit = self.context.limits.line_bytes;
                let what = format!("line too long: the limit is {limit} bytes; the line was ignored");
                render::error(&mut output.bytes, &what);
            }
            Command::Http => return Ok(Next::Close),
            Command::Quit => {
                let reply: &[u8] = if self.uses_redis { b"+OK\r\n" } else { b"OK\r\n" };
                output.bytes.extend_from_slice(reply);
                return Ok(Next::Close);
            }
        }
        Ok(Next::Continue)
    }

    /// Lists a bucket's keys page by page: each page is sorted, and written before the next one is read.
    async fn keys(&self, bucket: &[u8], output: &mut Output<'_>) -> io::Result<()> {
        let mut cursor = 0;
        loop {
            let request = Request::new(bucket, Op::Keys { cursor });
            let (cluster, bytes) = (&self.context.cluster, &mut output.bytes);
            let rendered = router::execute_one(cluster, request, |reply| match reply {
                Reply::Keys { keys, next } => {
                    render::names(bytes, keys.iter().map(|key| key.as_ref()));
                    Some(next)
                }
                other => {
                    render::reply(bytes, cluster.node_name(), bucket, &other);
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
            // Other connections of this thread run between two pages.
            yield_now().await;
        }
    }

    /// Lists the buckets of all nodes page by page; unreachable nodes are named at the end.
    async fn buckets(&self, output: &mut Output<'_>) -> io::Result<()> {
        let (mut pages, mut missing) = (self.context.cluster.buckets(), Vec::new());
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
        if self.subscriptions.is_full() && !self.subscriptions.contains(bucket) {
            let what = format!("too many subscriptions: one connection may have {SUBSCRIPTIONS}");
            return render::error(&mut output.bytes, &what);
        }
        match router::subscribe(&self.context.cluster, bucket, self.subscriptions.backlog()).await {
            Ok(Some(subscription)) => {
                self.subscriptions.insert(bucket, subscription);
                self.publish_subscriptions();
                output.bytes.extend_from_slice(b"OK\r\n");
            }
            Ok(None) => {
                render::reply(&mut output.bytes, self.context.cluster.node_name(), bucket, &Reply::NoBucket)
            }
            Err(error) => render::error(&mut output.bytes, &error.to_string()),
        }
    }
}
