//! One client's conversation: cuts the input into a batch of requests, and does one by one what is no plain request.

use super::{
    listing,
    merge::Merger,
    parse::{Allowed, Broken, Cut, Parser, Words},
    render,
    rows::{self, Found, Row},
    session_commands::{Run, SessionCommand},
    split::Parts,
    topics::Topics,
    transaction::Transaction,
    write::{Version, Writer},
};
use crate::{
    clients::Client, input::Input, limits::BATCH_REQUESTS, output::Output, protocol::Progress, router,
    server::Server,
};
use arrayvec::ArrayVec;
use kv::{Command, Refusal, Request};
use std::{
    io,
    pin::Pin,
    sync::{Arc, atomic::Ordering::Relaxed},
};

/// What a session holds between two batches.
pub(crate) struct Session {
    pub(super) server: Arc<Server>,
    pub(super) client: Arc<Client>,
    pub(super) version: Version,
    pub(super) replies: Replies,
    pub(super) closing: bool,
    pub(super) transaction: Transaction,
    pub(super) topics: Topics,
    parser: Parser,
    /// The command of the last request, which the next one most often names again.
    last: Option<Found>,
}

/// Whether the client wants replies (CLIENT REPLY).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Replies {
    On,
    Off,
    /// On, after the reply to the next command has been left out.
    SkipNext,
}

/// Why a command is not answered as usual.
#[derive(Debug, thiserror::Error)]
pub(super) enum Trouble {
    #[error(transparent)]
    Refused(#[from] Refusal),
    #[error(transparent)]
    Cluster(#[from] kv_cluster::Error),
    /// The client is gone.
    #[error(transparent)]
    Gone(#[from] io::Error),
}

/// A command of the session that has to wait for something.
pub(super) type Waiting<'s> = Pin<Box<dyn Future<Output = Result<(), Trouble>> + Send + 's>>;

/// Requests of one batch. Large: it is filled where it stands.
type Requests<'a> = ArrayVec<Request<'a>, BATCH_REQUESTS>;

/// What follows the requests of a batch.
enum Next<'a> {
    More,
    Starved,
    /// A command that is answered by itself.
    Alone(Words<'a>),
    Broken(Broken),
}

impl Session {
    /// A conversation that has not begun.
    pub(crate) fn new(server: Arc<Server>, client: Arc<Client>) -> Session {
        client.says().resp = 2;
        Session {
            server,
            client,
            version: Version::default(),
            replies: Replies::On,
            closing: false,
            transaction: Transaction::default(),
            topics: Topics::default(),
            parser: Parser::default(),
            last: None,
        }
    }

    /// Answers one batch of what the input holds.
    pub(crate) async fn answer(
        &mut self,
        input: &mut Input,
        output: &mut Output<'_>,
    ) -> io::Result<Progress> {
        let mut merger = Merger::new(self.version);
        let (left, long, taken, next) = {
            let mut requests = Requests::new();
            let (taken, next) = self.gather(input.unread(), &mut requests, &mut merger);
            let take = |bytes: &mut Vec<u8>, request: &Request<'_>, outcome: router::Outcome<'_>| {
                merger.take(bytes, request, outcome)
            };
            let done = router::answer_here(&self.server.cluster, &requests, output, take);
            let long = merger.long.take().map(|part| (requests[done - 1].bucket, part));
            // Empty, and so without an allocation, when all was answered here.
            (Vec::from(&requests[done..]), long, taken, next)
        };
        if let Some((bucket, part)) = long {
            Box::pin(listing::list(self, bucket, part, output)).await?;
        }
        if !left.is_empty() {
            Box::pin(self.answer_anywhere(&left, &mut merger, output)).await?;
        }
        let progress = match next {
            Next::More => Progress::More,
            Next::Starved => Progress::Starved,
            Next::Alone(words) => Box::pin(self.answer_alone(words, output)).await?,
            Next::Broken(broken) => {
                self.writer(output).error(&format!("ERR Protocol error: {broken}"));
                Progress::Close
            }
        };
        input.consume(taken);
        Ok(progress)
    }

    /// Waits for messages to this client and renders all that have come. `false`: it did not keep up, and the
    /// conversation is over. Without a subscription it waits for ever.
    pub(crate) async fn next_events(&mut self, output: &mut Vec<u8>) -> bool {
        self.topics.next(&mut Writer::new(output, self.version)).await
    }

    /// Whether the client waits for messages, and so may be silent itself.
    pub(crate) fn is_subscribed(&self) -> bool {
        self.topics.count() > 0
    }

    /// Writes replies in the version that the client speaks.
    pub(super) fn writer<'o>(&self, output: &'o mut Output<'_>) -> Writer<'o> {
        Writer::new(&mut output.bytes, self.version)
    }

    /// Splits the leading commands of the input into requests, up to the first one that is to be answered alone.
    /// Returns the bytes that they and what follows took, and what follows.
    fn gather<'a>(
        &mut self,
        input: &'a [u8],
        requests: &mut Requests<'a>,
        merger: &mut Merger,
    ) -> (usize, Next<'a>) {
        let allowed = Allowed {
            bulk_bytes: self.server.bulk_bytes.load(Relaxed),
            request_bytes: self.server.limits.request_bytes,
        };
        self.client.heard.store(kv::now(), Relaxed);
        let plain = self.is_plain();
        let (mut taken, mut calls, mut lists) = (0, 0, false);
        let next = loop {
            let (words, size) = match self.parser.cut(&input[taken..], allowed) {
                Ok(Cut::Words(words, size)) => (words, size),
                Ok(Cut::Nothing(size)) => {
                    taken += size;
                    continue;
                }
                Ok(Cut::Partial) => break Next::Starved,
                Err(broken) => break Next::Broken(broken),
            };
            let parts = if plain { self.parts(&words, &mut calls) } else { None };
            match parts {
                // What would change a bucket that is being listed waits for the end of the list.
                Some(parts) if lists && !parts.is_read() => break Next::More,
                Some(parts) if parts.left() <= requests.remaining_capacity() => {
                    calls += 1;
                    lists |= parts.may_be_long();
                    merger.expect(&parts);
                    requests.extend(parts);
                }
                // It is cut off again for the next batch.
                Some(parts) if parts.left() <= BATCH_REQUESTS => break Next::More,
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

    /// The requests that a command on buckets comes to; `None` when it is none, or is to be refused.
    fn parts<'a>(&mut self, words: &Words<'a>, calls: &mut u64) -> Option<Parts<'a>> {
        let found = rows::judge(words, self.last).ok()?;
        let Row::Bucket(command) = found.row else { return None };
        if self.last.is_none_or(|last| last.number != found.number) {
            self.count(calls);
            self.last = Some(found);
        }
        Parts::new(command, &found.own(words), &self.server.cluster).ok()
    }

    /// Notes so many calls of the last command.
    fn count(&self, calls: &mut u64) {
        if let Some(last) = self.last.filter(|_| *calls > 0) {
            self.server.stats.called(last.number, std::mem::take(calls));
        }
    }

    /// Whether requests can go to their buckets without a thought for this session.
    fn is_plain(&self) -> bool {
        self.replies == Replies::On
            && !self.transaction.is_open()
            && (self.topics.count() == 0 || self.version == Version::Resp3)
    }

    /// Answers one command by itself, or leaves its reply out.
    async fn answer_alone(&mut self, words: Words<'_>, output: &mut Output<'_>) -> io::Result<Progress> {
        let wanted = self.replies;
        if wanted != Replies::On {
            output.flush().await?;
            output.mute();
        }
        if let Err(trouble) = self.obey(words, output).await {
            self.complain(trouble, output)?;
        }
        if wanted == Replies::SkipNext && self.replies == Replies::SkipNext {
            self.replies = Replies::On;
            output.flush().await?;
        } else if self.replies == Replies::Off {
            output.mute();
            output.flush().await?;
        }
        output.unmute();
        Ok(if self.closing { Progress::Close } else { Progress::More })
    }

    async fn obey(&mut self, words: Words<'_>, output: &mut Output<'_>) -> Result<(), Trouble> {
        let found = match rows::judge(&words, None) {
            Ok(found) => found,
            Err(refusal) => {
                self.server.stats.refused();
                self.transaction.spoil();
                return Err(refusal.into());
            }
        };
        let words = found.own(&words);
        self.check_subscribed(found.row)?;
        if self.transaction.is_open() && found.row.waits_for_exec() {
            self.queue(found, &words)?;
            self.writer(output).word("QUEUED");
            return Ok(());
        }
        self.server.stats.called(found.number, 1);
        match found.row {
            Row::Bucket(command) => self.request(command, words, output).await,
            Row::Session(command) => self.run(command, words, output).await,
        }
    }

    /// Puts a command off until EXEC.
    fn queue(&mut self, found: Found, words: &Words<'_>) -> Result<(), Refusal> {
        if let Row::Bucket(command) = found.row
            && let Err(refusal) = Parts::new(command, words, &self.server.cluster)
        {
            self.transaction.spoil();
            return Err(refusal);
        }
        self.transaction.queue(found, words)
    }

    /// In RESP2 a client that is subscribed can tell replies from messages only when it asks for nothing else.
    fn check_subscribed(&self, row: Row) -> Result<(), Refusal> {
        let name = row.about().name;
        let allowed = ["subscribe", "unsubscribe", "psubscribe", "punsubscribe", "ping", "quit", "reset"];
        if self.version == Version::Resp3 || self.topics.count() == 0 || allowed.contains(&name) {
            return Ok(());
        }
        Err(Refusal::Other(format!(
            "ERR Can't execute '{name}': only (P|S)SUBSCRIBE / (P|S)UNSUBSCRIBE / PING / QUIT / RESET are allowed in this context"
        )))
    }

    /// Runs a command of the session.
    pub(super) async fn run(
        &mut self,
        command: &'static SessionCommand,
        words: Words<'_>,
        output: &mut Output<'_>,
    ) -> Result<(), Trouble> {
        let args = words.args();
        match command.run {
            Run::Subcommands => Err(Refusal::Arity(command.about.name.to_owned()).into()),
            Run::Now(run) => {
                let mut writer = self.writer(output);
                Ok(run(self, args, &mut writer)?)
            }
            Run::Wait(run) => run(self, args, output).await,
        }
    }

    /// Answers one command on buckets, of any number of them.
    pub(super) async fn request(
        &mut self,
        command: &'static Command,
        words: Words<'_>,
        output: &mut Output<'_>,
    ) -> Result<(), Trouble> {
        let mut parts = Parts::new(command, &words, &self.server.cluster)?;
        let mut merger = Merger::new(self.version);
        merger.expect(&parts);
        while parts.left() > 0 {
            let requests: ArrayVec<Request<'_>, BATCH_REQUESTS> =
                parts.by_ref().take(BATCH_REQUESTS).collect();
            self.answer_anywhere(&requests, &mut merger, output).await?;
        }
        Ok(())
    }

    /// Answers requests wherever their buckets live, and lists page by page what is too long for one answer.
    async fn answer_anywhere(
        &self,
        mut requests: &[Request<'_>],
        merger: &mut Merger,
        output: &mut Output<'_>,
    ) -> io::Result<()> {
        while !requests.is_empty() {
            let take = |bytes: &mut Vec<u8>, request: &Request<'_>, outcome: router::Outcome<'_>| {
                merger.take(bytes, request, outcome)
            };
            let done = router::answer_anywhere(&self.server.cluster, requests, output, take).await?;
            if let Some(part) = merger.long.take() {
                listing::list(self, requests[done - 1].bucket, part, output).await?;
            }
            requests = &requests[done..];
        }
        Ok(())
    }

    /// Shows others what CLIENT LIST says of this session.
    pub(super) fn tell(&self) {
        let mut says = self.client.says();
        says.channels = self.topics.channels().len();
        says.patterns = self.topics.patterns().len();
        says.queued = self.transaction.queued();
    }

    /// Renders why a command is not answered as usual, unless nobody is there to read it.
    pub(super) fn complain(&self, trouble: Trouble, output: &mut Output<'_>) -> io::Result<()> {
        match trouble {
            Trouble::Gone(error) => return Err(error),
            Trouble::Refused(refusal) => render::refusal(&mut self.writer(output), &refusal),
            Trouble::Cluster(error) => render::failure(&mut self.writer(output), &error),
        }
        Ok(())
    }
}
