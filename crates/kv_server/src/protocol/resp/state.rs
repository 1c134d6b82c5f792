//! What the server knows about one Redis client, and what commands of the session change.

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

/// The state of a connection between two commands.
pub(crate) struct RespState {
    pub(super) server: Arc<ServerContext>,
    pub(super) client: Arc<Client>,
    pub(super) version: RespVersion,
    pub(super) reply_mode: ReplyMode,
    /// The connection is closed after the reply.
    pub(super) closing: bool,
    pub(super) transaction: TransactionQueue,
    pub(super) subscriptions: Subscriptions,
    pub(super) parser: CommandParser,
    /// The last command and its index in the table, if it can be part of a batch. Most often the next one is
    /// the same, as the parser then says.
    pub(super) last: Option<(usize, &'static Command)>,
    pub(super) merger: ReplyMerger,
}

/// Whether the client wants replies (CLIENT REPLY).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum ReplyMode {
    On,
    Off,
    /// The next command gets no reply, those after it do.
    SkipNext,
}

impl RespState {
    /// The state of a new connection.
    pub(crate) fn new(server: Arc<ServerContext>, client: Arc<Client>) -> RespState {
        client.info().resp = 2;
        RespState {
            server,
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

    /// Whether the client waits for messages, and so may be idle.
    pub(crate) fn is_subscribed(&self) -> bool {
        self.subscriptions.count() > 0
    }

    /// Whether messages can arrive, or the end of a subscriber that fell behind.
    pub(crate) fn awaits_events(&self) -> bool {
        self.subscriptions.is_active()
    }

    /// Whether replies and messages cannot be told apart, so that only few commands are allowed.
    pub(super) fn is_subscribed_in_resp2(&self) -> bool {
        self.is_subscribed() && self.version == RespVersion::Resp2
    }

    /// Whether commands on buckets need nothing but to be executed and replied to.
    pub(super) fn can_batch(&self) -> bool {
        self.reply_mode == ReplyMode::On && !self.transaction.is_open() && !self.is_subscribed_in_resp2()
    }

    /// An encoder in the version that the client has chosen.
    pub(super) fn encoder<'o>(&self, output: &'o mut Output<'_>) -> RespEncoder<'o> {
        RespEncoder::new(&mut output.bytes, self.version)
    }

    /// Makes subscriptions and queued commands visible to CLIENT LIST of other clients.
    pub(super) fn publish_client_info(&self) {
        let mut info = self.client.info();
        info.channels = self.subscriptions.channels().len();
        info.patterns = self.subscriptions.patterns().len();
        info.queued = self.transaction.len();
    }

    /// Writes why a command failed; an error if the client is gone.
    pub(super) fn write_error(&self, error: SessionError, output: &mut Output<'_>) -> io::Result<()> {
        error.write(&mut self.encoder(output))
    }
}
