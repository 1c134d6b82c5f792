//! The transaction of a session: the commands queued since MULTI, and the watched keys.

use super::{parser::RawCommand, reply::error::SessionError};
use crate::limits::{QUEUED_BYTES, QUEUED_COMMANDS};
use std::{collections::BTreeMap, mem::take};

/// The transaction of a session, if MULTI has begun one, and the watched keys.
#[derive(Debug, Default)]
pub(super) struct TransactionQueue {
    /// `None` outside of MULTI.
    queued: Option<Box<QueuedCommands>>,
    pub(super) watched: WatchedKeys,
}

/// Keys with their versions when they were watched.
pub(super) type WatchedKeys = BTreeMap<Box<[u8]>, u64>;

/// The commands between MULTI and EXEC.
#[derive(Debug, Default)]
pub(super) struct QueuedCommands {
    commands: Vec<QueuedCommand>,
    /// The arguments of all commands, as bulk strings.
    bulks: Vec<u8>,
    /// A command was rejected, so EXEC will fail.
    pub(super) dirty: bool,
}

#[derive(Debug)]
struct QueuedCommand {
    /// Its index in the table of commands.
    index: usize,
    /// Number of arguments, including the name.
    count: usize,
    /// Where its arguments end in `bulks`.
    end: usize,
}

impl TransactionQueue {
    /// Whether commands are queued instead of executed.
    pub(super) fn is_open(&self) -> bool {
        self.queued.is_some()
    }

    /// How many commands are queued; `None` outside of MULTI.
    pub(super) fn len(&self) -> Option<usize> {
        self.queued.as_ref().map(|queued| queued.commands.len())
    }

    /// Bytes of the arguments of queued commands.
    pub(super) fn bytes(&self) -> usize {
        self.queued.as_ref().map_or(0, |queued| queued.bulks.len())
    }

    /// Begins a transaction.
    pub(super) fn open(&mut self) {
        self.queued = Some(Box::default());
    }

    /// Records that a command was rejected.
    pub(super) fn mark_dirty(&mut self) {
        if let Some(queued) = &mut self.queued {
            queued.dirty = true;
        }
    }

    /// Queues the command with this index in the table; does nothing outside of MULTI.
    pub(super) fn push(&mut self, index: usize, raw: &RawCommand<'_>) -> Result<(), SessionError> {
        let Some(queued) = &mut self.queued else { return Ok(()) };
        if queued.commands.len() >= QUEUED_COMMANDS || queued.bulks.len() + raw.bulks.len() > QUEUED_BYTES {
            queued.dirty = true;
            return Err(SessionError::reply(format!(
                "ERR transaction too large: it may have {QUEUED_COMMANDS} commands and {QUEUED_BYTES} bytes"
            )));
        }
        queued.bulks.extend_from_slice(raw.bulks);
        queued.commands.push(QueuedCommand { index, count: raw.count, end: queued.bulks.len() });
        Ok(())
    }

    /// Ends the transaction and stops watching.
    pub(super) fn take(&mut self) -> (Option<Box<QueuedCommands>>, WatchedKeys) {
        (self.queued.take(), take(&mut self.watched))
    }
}

impl QueuedCommands {
    /// The commands in order: the index in the table, and the command without its name.
    pub(super) fn iter(&self) -> impl Iterator<Item = (usize, RawCommand<'_>)> {
        let mut start = 0;
        self.commands.iter().map(move |command| {
            let bulks = &self.bulks[start..command.end];
            start = command.end;
            (command.index, RawCommand { count: command.count, name: b"", bulks })
        })
    }
}
