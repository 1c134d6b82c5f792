//! The session of one Redis client: its state between two commands, which commands of the session change.

use super::{
    encoder::{RespEncoder, RespVersion},
    parser::CommandParser,
    queue::TransactionQueue,
    reply::{error::SessionError, merge::ReplyMerger},
    subscriptions::Subscriptions,
};
use crate::{clients::Client, context::ServerContext, pipeline::buffers::Output};
use kv::Command;
use std::{io, sync::Arc};

/// A connection that speaks RESP.
pub(crate) struct RespSession {
    pub(super) context: Arc<ServerContext>,
    pub(super) client: Arc<Client>,
    pub(super) version: RespVersion,
    pub(super) reply_mode: ReplyMode,
    /// The connection closes after the reply.
    pub(super) closing: bool,
    pub(super) transaction: TransactionQueue,
    pub(super) subscriptions: Subscriptions,
    pub(super) parser: CommandParser,
    /// The last command and its index in the table, if it can be part of a batch. Usually the next command is
    /// the same, and the parser detects that.
    pub(super) last: Option<(usize, &'static Command)>,
    pub(super) merger: ReplyMerger,
}

/// Whether the client wants replies (CLIENT REPLY).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum ReplyMode {
    On,
    Off,
    /// The next command gets no reply; the ones after it do.
    SkipNext,
}

impl RespSession {
    /// The session of a new connection.
    pub(crate) fn new(context: Arc<ServerContext>, client: Arc<Client>) -> RespSession {
        client.info().resp = 2;
        RespSession {
            context,
            client,
            version: RespVersion::default(),
            reply_mode: ReplyMode::On,
            closing: false,
            transaction: TransactionQueue::default(),
            subscriptions: Subscriptions::default(),
            parser: CommandParser::default(),
            last: None,
            merger: ReplyMerger::default(),
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

    /// Whether commands on buckets can be executed as a batch: none is queued, suppressed or rejected.
    pub(super) fn can_batch(&self) -> bool {
        self.reply_mode == ReplyMode::On && !self.transaction.is_open() && !self.is_subscribed_in_resp2()
    }

    /// Whether the session is in a state that the text protocol does not have, so the connection cannot
    /// return to it.
    pub(crate) fn excludes_text(&self) -> bool {
        self.transaction.is_open()
            || !self.transaction.watched.is_empty()
            || self.awaits_events()
            || self.reply_mode != ReplyMode::On
    }

    /// An encoder of the version that the client has chosen.
    pub(super) fn encoder<'o>(&self, output: &'o mut Output<'_>) -> RespEncoder<'o> {
        RespEncoder::new(&mut output.bytes, self.version)
    }

    /// Waits for messages to this client and renders those that have arrived; waits forever without a
    /// subscription. `false`: the client did not keep up and must be disconnected.
    pub(crate) async fn next_events(&mut self, output: &mut Vec<u8>) -> bool {
        self.subscriptions.next_messages(&mut RespEncoder::new(output, self.version)).await
    }

    /// Copies the counts of subscriptions and queued commands to where CLIENT LIST of other clients reads
    /// them.
    pub(super) fn publish_client_info(&self) {
        let mut info = self.client.info();
        info.channels = self.subscriptions.channels().len();
        info.patterns = self.subscriptions.patterns().len();
        info.queued = self.transaction.len();
    }

    /// Writes why a command failed; fails itself if the client is gone.
    pub(super) fn write_error(&self, error: SessionError, output: &mut Output<'_>) -> io::Result<()> {
        error.write(&mut self.encoder(output))
    }
}
