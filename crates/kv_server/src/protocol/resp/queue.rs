//! The transaction of a session: the commands queued since MULTI, and the watched keys.

use super::{parser::RawCommand, reply::error::SessionError};
use crate::{
    limits::{QUEUED_BYTES, QUEUED_COMMANDS, WATCHED_KEY_BYTES},
    memory::{Account, Charge, Use},
};
use std::{collections::BTreeMap, mem::size_of, sync::Arc};

/// The transaction of a session, if MULTI has begun one, and the watched keys.
#[derive(Debug)]
pub(super) struct TransactionQueue {
    /// `None` outside of MULTI.
    queued: Option<Box<QueuedCommands>>,
    pub(super) watched: WatchedKeys,
}

/// Keys with their versions when they were watched.
#[derive(Debug)]
pub(super) struct WatchedKeys {
    versions: BTreeMap<Box<[u8]>, u64>,
    bytes: usize,
    charge: Charge,
}

/// The commands between MULTI and EXEC.
#[derive(Debug)]
pub(super) struct QueuedCommands {
    commands: Vec<QueuedCommand>,
    /// The arguments of all commands, as bulk strings.
    bulks: Vec<u8>,
    /// A command was rejected, so EXEC will fail.
    pub(super) dirty: bool,
    charge: Charge,
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
    /// No transaction and no watched keys.
    pub(super) fn new(account: &Arc<Account>) -> TransactionQueue {
        TransactionQueue { queued: None, watched: WatchedKeys::new(account) }
    }

    /// Whether commands are queued instead of executed.
    pub(super) fn is_open(&self) -> bool {
        self.queued.is_some()
    }

    /// How many commands are queued; `None` outside of MULTI.
    pub(super) fn len(&self) -> Option<usize> {
        self.queued.as_ref().map(|queued| queued.commands.len())
    }

    /// Begins a transaction.
    pub(super) fn open(&mut self) {
        let charge = Charge::new(self.watched.charge.account(), Use::Session);
        let queued = QueuedCommands { commands: Vec::new(), bulks: Vec::new(), dirty: false, charge };
        self.queued = Some(Box::new(queued));
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
        let command_bytes = queued.commands.capacity() * size_of::<QueuedCommand>();
        queued.charge.set(queued.bulks.capacity() + command_bytes);
        Ok(())
    }

    /// Ends the transaction and stops watching.
    pub(super) fn take(&mut self) -> (Option<Box<QueuedCommands>>, WatchedKeys) {
        let watched = WatchedKeys::new(self.watched.charge.account());
        (self.queued.take(), std::mem::replace(&mut self.watched, watched))
    }
}

impl WatchedKeys {
    fn new(account: &Arc<Account>) -> WatchedKeys {
        WatchedKeys { versions: BTreeMap::new(), bytes: 0, charge: Charge::new(account, Use::Session) }
    }

    pub(super) fn len(&self) -> usize {
        self.versions.len()
    }

    pub(super) fn contains(&self, key: &[u8]) -> bool {
        self.versions.contains_key(key)
    }

    /// Adds a key that is not watched yet.
    pub(super) fn insert(&mut self, key: &[u8], version: u64) {
        self.versions.insert(key.into(), version);
        self.bytes += key.len() + WATCHED_KEY_BYTES;
        self.charge.set(self.bytes);
    }

    pub(super) fn clear(&mut self) {
        self.versions.clear();
        self.bytes = 0;
        self.charge.set(0);
    }

    /// The keys with their versions.
    pub(super) fn iter(&self) -> impl Iterator<Item = (&[u8], u64)> {
        self.versions.iter().map(|(key, version)| (&**key, *version))
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
