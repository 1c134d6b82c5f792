//! A session as the pipeline calls it: parses commands into requests, renders their replies, and executes the
//! commands that cannot be part of a batch.

use super::{
    commands::{command_table, dispatch::dispatch, paging, sample, split::SubRequests, table::CommandRef},
    encoder::RespEncoder,
    parser::{ParseLimits, Parsed, ProtocolError, RawCommand},
    reply::merge::{LargeReply, ReplyMerger},
    session::RespSession,
};
use crate::{
    limits::{BATCH_BYTES, BATCH_PAGES, BATCH_REQUESTS},
    metrics::{Failure, Metrics},
    pipeline::{
        Batch, BoxFuture, Next, Protocol, Rendered, RequestResult, Tail,
        buffers::{Output, ReplyBuffer},
    },
};
use kv::{Command, KeySpec, Op, Request};
use std::{future::ready, io, sync::atomic::Ordering::Relaxed};

/// What can follow the requests of a batch.
pub(crate) enum RespCommand<'a> {
    /// A command that cannot be part of the batch.
    Single(RawCommand<'a>),
    /// Commands as lines of words.
    Inline(&'a [u8]),
    /// Bytes that are not a command.
    Invalid(ProtocolError),
}

impl Protocol for RespSession {
    type Command<'a> = RespCommand<'a>;
    type FollowUp<'a> = LargeReply<'a>;
    type Unparsed<'a> = &'a [u8];

    fn unparsed(received: &mut [u8]) -> &[u8] {
        received
    }

    fn parse<'a>(&mut self, input: &'a [u8], batch: &mut Batch<'a, RespSession>) {
        let limits = ParseLimits {
            bulk_bytes: self.context.bulk_bytes.load(Relaxed),
            request_bytes: self.context.limits.redis.request_bytes,
        };
        let can_batch = self.can_batch();
        let (mut consumed, mut calls, mut may_page, mut last_size) = (0, 0, 0, 0);
        batch.tail = loop {
            let (raw, size, same_as_last) = match self.parser.parse(&input[consumed..], limits) {
                Ok(Parsed::Command { command, size, same_as_last }) => (command, size, same_as_last),
                Ok(Parsed::Empty(size)) => {
                    consumed += size;
                    continue;
                }
                Ok(Parsed::Inline { lines, last }) => {
                    (consumed, last_size) = (consumed + lines.len(), last);
                    break Tail::Command(RespCommand::Inline(lines));
                }
                Ok(Parsed::Incomplete) => break Tail::Incomplete,
                Err(error) => break Tail::Command(RespCommand::Invalid(error)),
            };
            if !same_as_last {
                self.end_run(&mut calls);
                self.last = self.batchable(&raw);
            }
            let command = self.last.filter(|_| can_batch).map(|(_, command)| command);
            let split = command.and_then(|command| SubRequests::new(command, &raw, self.database).ok());
            match split {
                Some(split) if !self.can_batch_requests(&split) => {
                    (consumed, last_size) = (consumed + size, size);
                    break Tail::Command(RespCommand::Single(raw));
                }
                // A write waits until the replies before it that may be paged are complete.
                Some(split) if may_page > 0 && !split.is_read() => break Tail::More,
                Some(_) if may_page == BATCH_PAGES => break Tail::More,
                Some(split) if split.remaining() <= batch.requests.remaining_capacity() => {
                    calls += 1;
                    may_page += usize::from(split.may_page());
                    self.merger.push_expected(split.keys(), split.remaining());
                    batch.requests.extend(split);
                }
                // It does not fit and is parsed again. If it is a write, it waits as above.
                Some(split) if split.remaining() <= BATCH_REQUESTS => {
                    break if may_page == 0 { Tail::Full(&input[consumed..]) } else { Tail::More };
                }
                _ => {
                    (consumed, last_size) = (consumed + size, size);
                    break Tail::Command(RespCommand::Single(raw));
                }
            }
            (consumed, last_size) = (consumed + size, size);
            if consumed >= BATCH_BYTES {
                break Tail::More;
            }
        };
        batch.consumed = consumed;
        self.pipeline.on_parsed(input.len(), consumed, last_size);
        self.end_run(&mut calls);
    }

    #[inline]
    fn render<'a>(
        &mut self,
        output: &mut ReplyBuffer,
        request: &Request<'a>,
        result: RequestResult<'_>,
    ) -> Rendered<LargeReply<'a>> {
        let start = output.len();
        let mut encoder = RespEncoder::new(output, self.version).in_pipeline(self.pipeline.has_several);
        let rendered = self.merger.on_reply(&mut encoder, request, result);
        if output.get(start) == Some(&b'-') {
            self.count_error(request, &output[start + 1..]);
        }
        rendered
    }

    fn follow_up<'o, 'a: 'o>(
        &'o mut self,
        large: LargeReply<'a>,
        output: &'o mut Output<'_>,
    ) -> BoxFuture<'o, io::Result<()>> {
        Box::pin(async move {
            match large {
                LargeReply::Entries { bucket, projection } => {
                    paging::write_entries(self, bucket, projection, output).await
                }
                LargeReply::Sample { bucket, args } => sample::write_sample(self, bucket, args, output).await,
            }
        })
    }

    fn record(&mut self, metrics: &Metrics, nanos: u64) {
        if let Some((last, _)) = self.uncounted.last() {
            let total = self.uncounted.iter().map(|(_, calls)| calls).sum();
            self.client.count_commands(total, *last);
            metrics.record(&self.uncounted, total, nanos);
            self.uncounted.clear();
            if self.merger.capacity() > BATCH_REQUESTS {
                self.release_lists();
            }
        }
    }

    fn execute<'o, 'a: 'o>(
        &'o mut self,
        command: RespCommand<'a>,
        output: &'o mut Output<'_>,
    ) -> BoxFuture<'o, io::Result<Next>> {
        match command {
            RespCommand::Single(raw) => Box::pin(async move {
                dispatch(command_table(), self, raw, output).await?;
                Ok(if self.closing { Next::Close } else { Next::Continue })
            }),
            RespCommand::Inline(lines) => self.execute_inline(lines, output),
            RespCommand::Invalid(error) => Box::pin(ready(Ok(self.close_for(&error, output)))),
        }
    }
}

impl RespSession {
    /// The command and its index in the table, if it is a command on buckets with the right number of
    /// arguments.
    fn batchable(&self, raw: &RawCommand<'_>) -> Option<(usize, &'static Command)> {
        let resolved =
            command_table().resolve(raw).ok().filter(|resolved| !resolved.command.is_subcommand())?;
        match resolved.command {
            CommandRef::Bucket(command) => Some((resolved.index, command)),
            CommandRef::Session(_) => None,
        }
    }

    /// Whether nothing is known to be in the way of the requests of a command. One that exceeds a batch is
    /// checked when it is executed.
    #[inline]
    fn can_batch_requests(&self, split: &SubRequests<'_>) -> bool {
        match split.keys() {
            KeySpec::None | KeySpec::One => true,
            // What touches several buckets as one step may take long, so each has a turn of its own.
            KeySpec::TwoTogether | KeySpec::PairsTogether => false,
            KeySpec::EachSummed | KeySpec::EachListed | KeySpec::PairsEach => {
                let cluster = &self.context.cluster;
                split.remaining() > BATCH_REQUESTS
                    || split.check_together(cluster).is_ok()
                        && (split.remaining() == 1 || cluster.look_ahead(split.clone()).is_ok())
            }
        }
    }

    /// Notes how often the last command was called in a row.
    #[inline]
    fn end_run(&mut self, calls: &mut u64) {
        if let Some((index, _)) = self.last.filter(|_| *calls > 0) {
            self.uncounted.push((index, std::mem::take(calls)));
        }
    }

    /// Releases what many commands that waited together have made large.
    #[cold]
    fn release_lists(&mut self) {
        self.merger = ReplyMerger::default();
        self.uncounted = Vec::new();
    }

    /// Takes back one call of a command that a node refused before it did anything there.
    pub(super) fn discount(&mut self, index: Option<usize>) {
        let mut runs = self.uncounted.iter_mut();
        if let Some((_, calls)) = runs.find(|(called, calls)| Some(*called) == index && *calls > 0) {
            *calls -= 1;
        }
    }

    /// Counts an error reply of a request to a bucket.
    #[cold]
    #[inline(never)]
    fn count_error(&mut self, request: &Request<'_>, message: &[u8]) {
        let name = match request.op {
            Op::Command { command, .. } => command.spec.name,
            _ => "",
        };
        let failure = match message.starts_with(b"OOM ") {
            true => Failure::Rejected,
            false => Failure::Failed,
        };
        let index = command_table().index(name.as_bytes());
        if failure == Failure::Rejected {
            self.discount(index);
        }
        self.context.metrics.record_error(index, failure, message);
    }
}
