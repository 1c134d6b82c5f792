//! What a client has asked for since MULTI, and the buckets that it watches.

use super::{catalog::Found, parse::Words};
use crate::limits::{QUEUED_BYTES, QUEUED_COMMANDS};
use kv::CommandError;
use std::collections::BTreeMap;

/// A session's transaction, if it has begun one, and what must not change before it is executed.
#[derive(Debug, Default)]
pub(super) struct Transaction {
    queue: Option<Box<Queue>>,
    /// The buckets that must not change before.
    pub(super) watched: Watched,
}

/// Buckets in the order of their names, each with the number that it had when it was watched.
pub(super) type Watched = BTreeMap<Box<[u8]>, u64>;

/// Commands that wait for EXEC.
#[derive(Debug, Default)]
pub(super) struct Queue {
    commands: Vec<Queued>,
    /// The words of all commands after their names, one command after the other.
    bulks: Vec<u8>,
    /// One of the commands was refused, and so EXEC will be.
    pub(super) spoiled: bool,
}

#[derive(Debug)]
struct Queued {
    found: Found,
    words: usize,
    /// Where its words end.
    end: usize,
}

impl Found {
    /// Whether the command waits for EXEC rather than being executed at once.
    pub(super) fn waits_for_exec(&self) -> bool {
        !["multi", "exec", "discard", "watch", "quit", "reset"].contains(&self.spec.name)
    }
}

impl Transaction {
    /// Whether commands are queued.
    pub(super) fn is_open(&self) -> bool {
        self.queue.is_some()
    }

    /// How many commands wait.
    pub(super) fn queued(&self) -> Option<usize> {
        self.queue.as_ref().map(|queue| queue.commands.len())
    }

    /// Begins to queue.
    pub(super) fn open(&mut self) {
        self.queue = Some(Box::default());
    }

    /// A command was refused.
    pub(super) fn spoil(&mut self) {
        if let Some(queue) = &mut self.queue {
            queue.spoiled = true;
        }
    }

    /// Puts a command off until EXEC.
    pub(super) fn queue(&mut self, found: Found, words: &Words<'_>) -> Result<(), CommandError> {
        let Some(queue) = &mut self.queue else { unreachable!("a transaction is open") };
        if queue.commands.len() >= QUEUED_COMMANDS || queue.bulks.len() + words.bulks.len() > QUEUED_BYTES {
            queue.spoiled = true;
            return Err(CommandError::Other(format!(
                "ERR transaction too large: it may have {QUEUED_COMMANDS} commands and {QUEUED_BYTES} bytes"
            )));
        }
        queue.bulks.extend_from_slice(words.bulks);
        queue.commands.push(Queued { found, words: words.count, end: queue.bulks.len() });
        Ok(())
    }

    /// Ends the transaction, and with it what is watched.
    pub(super) fn close(&mut self) -> (Option<Box<Queue>>, Watched) {
        (self.queue.take(), std::mem::take(&mut self.watched))
    }
}

impl Queue {
    /// The commands in their order.
    pub(super) fn commands(&self) -> impl Iterator<Item = (Found, Words<'_>)> {
        let mut start = 0;
        self.commands.iter().map(move |queued| {
            let bulks = &self.bulks[start..queued.end];
            start = queued.end;
            let name = queued.found.spec.name.as_bytes();
            (queued.found, Words { count: queued.words, name, bulks })
        })
    }
}
