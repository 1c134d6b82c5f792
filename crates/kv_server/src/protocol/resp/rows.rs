//! The two tables of commands as one: those on buckets, which are the store's, then those of the session.

use super::{
    catalog::{Catalog, Found},
    session_commands::{SESSION_COMMANDS, SessionCommand},
};
use kv::{COMMANDS, Command};
use std::sync::LazyLock;

/// A row of one of the two tables.
#[derive(Debug, Clone, Copy)]
pub(super) enum Row {
    /// A command on buckets.
    Bucket(&'static Command),
    /// A command of the session.
    Session(&'static SessionCommand),
}

impl Found {
    /// The row of the command.
    pub(super) fn row(&self) -> Row {
        match COMMANDS.get(self.number) {
            Some(command) => Row::Bucket(command),
            None => Row::Session(&SESSION_COMMANDS[self.number - COMMANDS.len()]),
        }
    }
}

/// What all rows say of themselves, in the order of the tables.
pub(crate) fn catalog() -> &'static Catalog {
    static CATALOG: LazyLock<Catalog> = LazyLock::new(|| {
        let buckets = COMMANDS.iter().map(|command| &command.spec);
        let session = SESSION_COMMANDS.iter().map(|command| &command.spec);
        Catalog::new(buckets.chain(session).collect())
    });
    &CATALOG
}
