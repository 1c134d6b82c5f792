//! The transaction of a session: the commands queued since MULTI, and the watched keys.

use super::{parser::RawCommand, reply::error::SessionError};
use crate::{
    clients::Client,
    limits::{QUEUED_BYTES, QUEUED_COMMANDS, WATCHED_KEY_BYTES},
    memory::{Account, Charge, Use},
};
use kv::{Database, FullName, Watcher};
use kv_cluster::Cluster;
use std::{collections::BTreeMap, mem::size_of, sync::Arc};

/// The transaction of a session, if MULTI has begun one, and the watched keys.
#[derive(Debug)]
pub(super) struct TransactionQueue {
    /// `None` outside of MULTI.
    queued: Option<Box<QueuedCommands>>,
    pub(super) watched: Option<WatchedKeys>,
    account: Arc<Account>,
}

/// Watched keys. Dropping them ends the watches, whatever ends the transaction or the connection.
#[derive(Debug)]
pub(super) struct WatchedKeys {
    cluster: Cluster,
    pub(super) watcher: Watcher,
    /// The version of each key when it was watched; `None` until the owner has replied.
    pub(super) versions: BTreeMap<WatchedKey, Option<u64>>,
    pub(super) charge: Charge,
}

/// The database and the name of a watched key.
pub(super) type WatchedKey = (Database, Box<[u8]>);

impl WatchedKeys {
    /// No keys yet, of this client.
    pub(super) fn new(cluster: Cluster, client: &Client) -> WatchedKeys {
        WatchedKeys {
            cluster,
            watcher: Cluster::watcher(client.id),
            versions: BTreeMap::new(),
            charge: Charge::new(&client.account, Use::Session),
        }
    }

    /// Ends the watches of some of the keys.
    pub(super) fn remove(&mut self, keys: &[WatchedKey]) {
        for key in keys {
            if let Some(Some(_)) = self.versions.remove(key) {
                self.charge.subtract(key.1.len() + WATCHED_KEY_BYTES);
            }
        }
        self.cluster.unwatch(self.watcher, keys.iter().map(full_name));
    }
}

fn full_name((database, name): &WatchedKey) -> FullName<'_> {
    FullName { database: *database, name }
}

impl Drop for WatchedKeys {
    fn drop(&mut self) {
        self.cluster.unwatch(self.watcher, self.versions.keys().map(full_name));
    }
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
        TransactionQueue { queued: None, watched: None, account: account.clone() }
    }

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

    /// How many keys are watched.
    pub(super) fn watched_count(&self) -> usize {
        self.watched.as_ref().map_or(0, |watched| watched.versions.len())
    }

    /// Begins a transaction.
    pub(super) fn open(&mut self) {
        let charge = Charge::new(&self.account, Use::Session);
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
    pub(super) fn discard(&mut self) {
        self.queued = None;
        self.watched = None;
    }

    /// Ends the transaction, and returns what EXEC needs. `None` outside of MULTI: the watches stay.
    pub(super) fn close(&mut self) -> Option<(Box<QueuedCommands>, Option<WatchedKeys>)> {
        Some((self.queued.take()?, self.watched.take()))
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
