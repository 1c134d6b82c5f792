//! What is known of one client, and what its commands change of it.

use super::{
    catalog::Catalog,
    merge::Merger,
    parse::Parser,
    render, rows,
    topics::Topics,
    transaction::Transaction,
    write::{Version, Writer},
};
use crate::{clients::Client, context::ServerContext, pipeline::buffers::Output};
use kv::{Command, CommandError};
use std::{io, sync::Arc};

/// The state of a connection between two commands.
pub(crate) struct Session {
    pub(super) server: Arc<ServerContext>,
    pub(super) client: Arc<Client>,
    pub(super) catalog: &'static Catalog,
    pub(super) version: Version,
    pub(super) replies: Replies,
    pub(super) closing: bool,
    pub(super) transaction: Transaction,
    pub(super) topics: Topics,
    pub(super) parser: Parser,
    /// The command that was parsed last, and its index, if it can be part of a batch. Most often the next one is the same,
    /// as the parser then says.
    pub(super) last: Option<(usize, &'static Command)>,
    pub(super) merger: Merger,
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
    Refused(#[from] CommandError),
    #[error(transparent)]
    Cluster(#[from] kv_cluster::Error),
    /// The client is gone.
    #[error(transparent)]
    Gone(#[from] io::Error),
}

impl Session {
    /// A new connection's session.
    pub(crate) fn new(server: Arc<ServerContext>, client: Arc<Client>) -> Session {
        client.info().resp = 2;
        Session {
            server,
            client,
            catalog: rows::catalog(),
            version: Version::default(),
            replies: Replies::On,
            closing: false,
            transaction: Transaction::default(),
            topics: Topics::default(),
            parser: Parser::default(),
            last: None,
            merger: Merger::default(),
        }
    }

    /// Whether the client waits for messages, and so may be silent itself.
    pub(crate) fn is_subscribed(&self) -> bool {
        self.topics.count() > 0
    }

    /// Whether something may come that the client did not ask for just now.
    pub(crate) fn is_listening(&self) -> bool {
        self.topics.is_listening()
    }

    /// Writes replies in the version that the client speaks.
    pub(super) fn writer<'o>(&self, output: &'o mut Output<'_>) -> Writer<'o> {
        Writer::new(&mut output.bytes, self.version)
    }

    /// Whether requests can go to their buckets without a thought for this session.
    pub(super) fn is_plain(&self) -> bool {
        self.replies == Replies::On
            && !self.transaction.is_open()
            && (self.topics.count() == 0 || self.version == Version::Resp3)
    }

    /// Shows others what CLIENT LIST says of this session.
    pub(super) fn tell(&self) {
        let mut info = self.client.info();
        info.channels = self.topics.channels().len();
        info.patterns = self.topics.patterns().len();
        info.queued = self.transaction.queued();
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
