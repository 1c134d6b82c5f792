//! RESP as the pipeline sees it: parses commands into requests, renders their replies, and executes one by one the
//! commands that are no plain requests.

use super::{
    alone, listing,
    merge::LargeReply,
    parse::{Allowed, Broken, Cut, Words},
    rows::Row,
    session::Session,
    split::Parts,
    write::Writer,
};
use crate::{
    limits::BATCH_REQUESTS,
    pipeline::{Batch, BoxFuture, Next, Protocol, Rendered, RequestResult, Tail, buffers::Output},
};
use kv::{Command, Request};
use std::{future::ready, io, sync::atomic::Ordering::Relaxed};

/// What can follow the requests of a batch.
pub(crate) enum RespCommand<'a> {
    /// A command that is executed by itself.
    Alone(Words<'a>),
    /// Bytes that are no command.
    Invalid(Broken),
}

impl Protocol for Session {
    type Command<'a> = RespCommand<'a>;
    type FollowUp<'a> = LargeReply<'a>;

    fn parse<'a>(&mut self, input: &'a mut [u8], batch: &mut Batch<'a, RespCommand<'a>>) {
        let input = &*input;
        let allowed = Allowed {
            bulk_bytes: self.server.bulk_bytes.load(Relaxed),
            request_bytes: self.server.limits.request_bytes,
        };
        let plain = self.is_plain();
        let (mut consumed, mut calls, mut lists) = (0, 0, false);
        batch.tail = loop {
            let (words, size, repeats) = match self.parser.cut(&input[consumed..], allowed) {
                Ok(Cut::Words { words, size, repeats }) => (words, size, repeats),
                Ok(Cut::Nothing(size)) => {
                    consumed += size;
                    continue;
                }
                Ok(Cut::Partial) => break Tail::Incomplete,
                Err(broken) => break Tail::Command(RespCommand::Invalid(broken)),
            };
            if !repeats {
                self.record_calls(&mut calls);
                self.last = self.batchable(&words);
            }
            let command = self.last.filter(|_| plain).map(|(_, command)| command);
            match command.and_then(|command| Parts::new(command, &words, &self.server.cluster).ok()) {
                // What would change a bucket that is being listed waits for the end of the list.
                Some(parts) if lists && !parts.is_read() => break Tail::More,
                Some(parts) if parts.left() <= batch.requests.remaining_capacity() => {
                    calls += 1;
                    lists |= parts.may_be_long();
                    self.merger.expect(&parts);
                    batch.requests.extend(parts);
                }
                // It is parsed again for the next batch.
                Some(parts) if parts.left() <= BATCH_REQUESTS => break Tail::More,
                _ => {
                    consumed += size;
                    break Tail::Command(RespCommand::Alone(words));
                }
            }
            consumed += size;
        };
        batch.consumed = consumed;
        self.record_calls(&mut calls);
    }

    #[inline]
    fn render<'a>(
        &mut self,
        output: &mut Vec<u8>,
        request: &Request<'a>,
        result: RequestResult<'_>,
    ) -> Rendered<LargeReply<'a>> {
        self.merger.take(&mut Writer::new(output, self.version), request, result)
    }

    fn follow_up<'o, 'a: 'o>(
        &'o mut self,
        LargeReply { bucket, projection }: LargeReply<'a>,
        output: &'o mut Output<'_>,
    ) -> BoxFuture<'o, io::Result<()>> {
        Box::pin(listing::list(self, bucket, projection, output))
    }

    fn execute<'o, 'a: 'o>(
        &'o mut self,
        command: RespCommand<'a>,
        output: &'o mut Output<'_>,
    ) -> BoxFuture<'o, io::Result<Next>> {
        match command {
            RespCommand::Alone(words) => Box::pin(alone::answer(self, words, output)),
            RespCommand::Invalid(broken) => {
                self.writer(output).error(&format!("ERR Protocol error: {broken}"));
                Box::pin(ready(Ok(Next::Close)))
            }
        }
    }
}

impl Session {
    /// The command on buckets that is called, and its index; `None` when it is another one, or is to be rejected.
    fn batchable(&self, words: &Words<'_>) -> Option<(usize, &'static Command)> {
        let found = self.catalog.judge(words).ok().filter(|found| !found.is_subcommand)?;
        match found.row() {
            Row::Bucket(command) => Some((found.number, command)),
            Row::Session(_) => None,
        }
    }

    /// Moves the calls of the last command into the metrics.
    fn record_calls(&self, calls: &mut u64) {
        if let Some((number, _)) = self.last.filter(|_| *calls > 0) {
            self.server.metrics.record_calls(number, std::mem::take(calls));
        }
    }

    /// Waits for messages to this client and renders those that have arrived; waits for ever without a subscription.
    /// `false`: the client did not keep up, and is to be disconnected.
    pub(crate) async fn next_events(&mut self, output: &mut Vec<u8>) -> bool {
        self.topics.next(&mut Writer::new(output, self.version)).await
    }
}
