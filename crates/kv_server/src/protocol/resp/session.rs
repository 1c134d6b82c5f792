//! The session of one Redis client: its state between two commands, which commands of the session change.

use super::{
    encoder::{RespEncoder, RespVersion},
    parser::CommandParser,
    queue::TransactionQueue,
    reply::{error::SessionError, merge::ReplyMerger},
    subscriptions::Subscriptions,
};
use crate::{
    clients::Client,
    context::ServerContext,
    pipeline::buffers::{Output, ReplyBuffer},
};
use kv::{Command, Database};
use std::{
    io,
    sync::{Arc, atomic::Ordering::Relaxed},
};

/// A connection that speaks RESP.
pub(crate) struct RespSession {
    pub(super) context: Arc<ServerContext>,
    pub(super) client: Arc<Client>,
    pub(super) version: RespVersion,
    /// The database that SELECT has chosen.
    pub(super) database: Database,
    pub(super) reply_mode: ReplyMode,
    /// The output discards all that is written. Nothing but replies can be, so commands are executed as ever.
    pub(super) is_suppressed: bool,
    /// The connection closes after the reply.
    pub(super) closing: bool,
    pub(super) transaction: TransactionQueue,
    pub(super) subscriptions: Subscriptions,
    pub(super) parser: CommandParser,
    /// The last command and its index in the table, if it can be part of a batch. Usually the next command is
    /// the same, and the parser detects that.
    pub(super) last: Option<(usize, &'static Command)>,
    pub(super) merger: ReplyMerger,
    pub(super) pipeline: PipelineState,
    /// Calls that are not counted yet: the index of a command in the table, and how often in a row.
    pub(super) uncounted: Vec<(usize, u64)>,
}

/// Whether a command arrived together with others. Clients may send a pipeline again as a whole for the error
/// of one command, so what is executed must then not come with a code that asks for it.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct PipelineState {
    /// The command that is executed arrived with others.
    pub(super) has_several: bool,
    /// The input that has not been parsed arrived with commands that have been.
    pub(super) follows_others: bool,
}

impl PipelineState {
    /// Of `len` bytes of input `consumed` were parsed as commands, and `last` as the last of them.
    #[inline]
    pub(super) fn on_parsed(&mut self, len: usize, consumed: usize, last: usize) {
        self.has_several = self.follows_others || last != len;
        self.follows_others = consumed != len && (self.follows_others || consumed > 0);
    }
}

/// Whether the client wants replies (CLIENT REPLY).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum ReplyMode {
    On,
    Off,
    /// The next command gets no reply; the ones after it do.
    SkipNext,
    /// The current command gets no reply.
    Skip,
}

impl RespSession {
    /// The session of a new connection.
    pub(crate) fn new(context: Arc<ServerContext>, client: Arc<Client>) -> RespSession {
        client.session.resp.store(2, Relaxed);
        RespSession {
            context,
            transaction: TransactionQueue::new(&client.account),
            subscriptions: Subscriptions::new(&client.account),
            client,
            version: RespVersion::default(),
            database: Database::ZERO,
            reply_mode: ReplyMode::On,
            is_suppressed: false,
            closing: false,
            parser: CommandParser::default(),
            last: None,
            merger: ReplyMerger::default(),
            pipeline: PipelineState::default(),
            uncounted: Vec::new(),
        }
    }

    /// Whether the client is subscribed to something, and so may be idle.
    pub(crate) fn is_subscribed(&self) -> bool {
        self.subscriptions.count() > 0
    }

    /// Whether messages can arrive, even after the last unsubscribe; see [`Subscriptions::is_active`].
    pub(crate) fn awaits_events(&self) -> bool {
        self.subscriptions.is_active()
    }

    /// Whether replies and messages look alike, so that only a few commands are allowed.
    pub(super) fn is_subscribed_in_resp2(&self) -> bool {
        self.is_subscribed() && self.version == RespVersion::Resp2
    }

    /// Whether commands on buckets can be executed as a batch: none is queued or rejected, and no reply is
    /// suppressed among others that are not.
    pub(super) fn can_batch(&self) -> bool {
        (self.reply_mode == ReplyMode::On || self.is_suppressed)
            && !self.transaction.is_open()
            && !self.is_subscribed_in_resp2()
    }

    /// Whether the session is in a state that the text protocol does not have, so the connection cannot
    /// return to it.
    pub(crate) fn excludes_text(&self) -> bool {
        self.transaction.is_open()
            || self.transaction.watched.is_some()
            || self.awaits_events()
            || self.reply_mode != ReplyMode::On
            || self.database != Database::ZERO
    }

    /// Selects a database.
    pub(super) fn select(&mut self, database: Database) {
        self.database = database;
        self.client.session.database.store(database.index(), Relaxed);
    }

    /// An encoder of the version that the client has chosen.
    pub(super) fn encoder<'o>(&self, output: &'o mut Output<'_>) -> RespEncoder<'o> {
        RespEncoder::new(&mut output.bytes, self.version).in_pipeline(self.pipeline.has_several)
    }

    /// Waits for messages to this client and renders those that have arrived; waits forever without a
    /// subscription. `false`: the client did not keep up and must be disconnected.
    pub(crate) async fn next_events(&mut self, output: &mut ReplyBuffer) -> bool {
        let still_open = self.subscriptions.next_messages(&mut RespEncoder::new(output, self.version)).await;
        // A message may have been the end of a subscription.
        self.publish_numbers();
        still_open
    }

    /// Copies what CLIENT LIST shows of this session to where all clients read it.
    pub(super) fn publish_numbers(&self) {
        let numbers = &self.client.session;
        let (channels, patterns) = self.subscriptions.counts();
        numbers.resp.store(self.version.number(), Relaxed);
        numbers.channels.store(channels, Relaxed);
        numbers.patterns.store(patterns, Relaxed);
        numbers.queued.store(self.transaction.len().map_or(0, |queued| queued + 1), Relaxed);
        numbers.queued_bytes.store(self.transaction.bytes(), Relaxed);
        numbers.watched.store(self.transaction.watched_count(), Relaxed);
    }

    /// Writes why a command failed; fails itself if the client is gone.
    pub(super) fn write_error(&self, error: SessionError, output: &mut Output<'_>) -> io::Result<()> {
        error.write(&mut self.encoder(output))
    }
}
