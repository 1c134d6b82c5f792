//! One client's conversation: cuts the input into a batch of requests, and has done one by one what is no plain request.

use super::{
    commands::{
        bucket::{self, Requests},
        command_table,
        dispatch::dispatch,
        paging,
        split::SubRequests,
        table::CommandRef,
    },
    encoder::RespEncoder,
    parser::{CommandParser, ParseLimits, Parsed, ProtocolError, RawCommand},
    reply::merge::{Merged, ReplyMerger},
    state::RespState,
};
use crate::{
    clients::Client, context::ServerContext, input::Input, limits::BATCH_REQUESTS, output::Output,
    protocol::progress::Progress, reactor::is_grouped, router,
};
use kv::{Command, Projection, Request};
use std::{
    io,
    ops::ControlFlow,
    sync::{Arc, atomic::Ordering::Relaxed},
};

/// What a conversation holds between two batches.
pub(crate) struct RespSession {
    state: RespState,
    parser: CommandParser,
    /// The last command that was cut, with its number, if it can be answered in a batch. Most often the next one repeats
    /// it, as the parser then says.
    last: Option<(usize, &'static Command)>,
}

/// What follows the requests of a batch.
enum Next<'a> {
    More,
    Starved,
    /// A command that is answered by itself.
    Alone(RawCommand<'a>),
    ProtocolError(ProtocolError),
}

/// What of a batch is not answered yet.
#[derive(Default)]
struct Rest<'a> {
    /// Empty, and so without an allocation, when all was answered here.
    left: Vec<Request<'a>>,
    /// The bucket of the last request that was answered, of which a part is to be listed page by page.
    long: Option<(&'a [u8], Projection)>,
}

impl RespSession {
    /// A conversation that has not begun.
    pub(crate) fn new(server: Arc<ServerContext>, client: Arc<Client>) -> RespSession {
        RespSession { state: RespState::new(server, client), parser: CommandParser::default(), last: None }
    }

    /// Whether the client waits for messages, and so may be silent itself.
    pub(crate) fn is_subscribed(&self) -> bool {
        self.state.is_subscribed()
    }

    /// Whether something may come that the client did not ask for just now.
    pub(crate) fn is_listening(&self) -> bool {
        self.state.subscriptions.is_active()
    }

    /// Answers one batch of what the input holds, as of `now` in milliseconds since 1970.
    pub(crate) async fn answer(
        &mut self,
        now: u64,
        input: &mut Input,
        output: &mut Output<'_>,
    ) -> io::Result<Progress> {
        let mut merger = ReplyMerger::new(self.state.version);
        let (lone, mut rest, taken, next) = {
            let mut requests = Requests::new();
            let (taken, next) = self.gather(input.unread(), &mut requests, &mut merger);
            match requests[..] {
                [lone] if is_grouped() => (Some(lone), Rest::default(), taken, next),
                _ => (None, self.answer_here(&requests, now, &mut merger, output), taken, next),
            }
        };
        if let Some(lone) = lone {
            router::approach(&self.state.server.cluster, &lone).await;
            rest = self.answer_here(&[lone], now, &mut merger, output);
        }
        let Rest { left, long } = rest;
        if let Some((bucket, part)) = long {
            Box::pin(paging::write_entries(&self.state, bucket, part, output)).await?;
        }
        if !left.is_empty() {
            Box::pin(bucket::execute_batch(&self.state, &left, &mut merger, output)).await?;
        }
        let progress = match next {
            Next::More => Progress::More,
            Next::Starved => Progress::Starved,
            Next::Alone(raw) => {
                Box::pin(dispatch(command_table(), &mut self.state, raw, output)).await?;
                if self.state.closing { Progress::Close } else { Progress::More }
            }
            Next::ProtocolError(broken) => {
                self.state.encoder(output).error(&format!("ERR Protocol error: {broken}"));
                Progress::Close
            }
        };
        input.consume(taken);
        Ok(progress)
    }

    /// Answers what needs no other node, and no list page by page.
    fn answer_here<'a>(
        &self,
        requests: &[Request<'a>],
        now: u64,
        merger: &mut ReplyMerger,
        output: &mut Output<'_>,
    ) -> Rest<'a> {
        let mut paged = None;
        let render = |bytes: &mut Vec<u8>, request: &Request<'_>, outcome: router::Outcome<'_>| match merger
            .on_reply(bytes, request, outcome)
        {
            Merged::Pending | Merged::Done => ControlFlow::Continue(()),
            Merged::NeedsPaging(projection) => {
                paged = Some(projection);
                ControlFlow::Break(())
            }
        };
        let done = router::answer_here(&self.state.server.cluster, requests, now, output, render);
        let long = paged.map(|projection| (requests[done - 1].bucket, projection));
        Rest { left: Vec::from(&requests[done..]), long }
    }

    /// Waits for messages to this client and renders all that have come. `false`: it did not keep up, and the
    /// conversation is over. Without a subscription it waits for ever.
    pub(crate) async fn next_events(&mut self, output: &mut Vec<u8>) -> bool {
        self.state.subscriptions.next_messages(&mut RespEncoder::new(output, self.state.version)).await
    }

    /// Splits the leading commands of the input into requests, up to the first one that is to be answered alone.
    /// Returns the bytes that they and what follows took, and what follows.
    fn gather<'a>(
        &mut self,
        input: &'a [u8],
        requests: &mut Requests<'a>,
        merger: &mut ReplyMerger,
    ) -> (usize, Next<'a>) {
        let server = &self.state.server;
        let allowed = ParseLimits {
            bulk_bytes: server.bulk_bytes.load(Relaxed),
            request_bytes: server.limits.request_bytes,
        };
        let plain = self.state.can_batch();
        let (mut taken, mut calls, mut lists) = (0, 0, false);
        let next = loop {
            let (words, size, repeats) = match self.parser.parse(&input[taken..], allowed) {
                Ok(Parsed::Command { command, size, same_as_last }) => (command, size, same_as_last),
                Ok(Parsed::Empty(size)) => {
                    taken += size;
                    continue;
                }
                Ok(Parsed::Incomplete) => break Next::Starved,
                Err(broken) => break Next::ProtocolError(broken),
            };
            if !repeats {
                self.count(&mut calls);
                self.last = self.command(&words);
            }
            let command = self.last.filter(|_| plain).map(|(_, command)| command);
            let cluster = &self.state.server.cluster;
            match command.and_then(|command| SubRequests::new(command, &words, cluster).ok()) {
                // What would change a bucket that is being listed waits for the end of the list.
                Some(parts) if lists && !parts.is_read() => break Next::More,
                Some(parts) if parts.remaining() <= requests.remaining_capacity() => {
                    calls += 1;
                    lists |= parts.may_page();
                    merger.push_expected(parts.keys(), parts.remaining());
                    requests.extend(parts);
                }
                // It is cut off again for the next batch.
                Some(parts) if parts.remaining() <= BATCH_REQUESTS => break Next::More,
                _ => {
                    taken += size;
                    break Next::Alone(words);
                }
            }
            taken += size;
        };
        self.count(&mut calls);
        (taken, next)
    }

    /// The command on buckets that is asked for; `None` when it is none, or is to be refused.
    fn command(&self, words: &RawCommand<'_>) -> Option<(usize, &'static Command)> {
        let resolved =
            command_table().resolve(words).ok().filter(|resolved| !resolved.command.is_subcommand())?;
        match resolved.command {
            CommandRef::Bucket(command) => Some((resolved.index, command)),
            CommandRef::Session(_) => None,
        }
    }

    /// Notes so many calls of the last command.
    fn count(&self, calls: &mut u64) {
        if let Some((number, _)) = self.last.filter(|_| *calls > 0) {
            self.state.server.metrics.record_calls(number, std::mem::take(calls));
        }
    }
}
