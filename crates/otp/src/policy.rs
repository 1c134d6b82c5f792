//! What a supervisor does about a single child: when to restart it, and how to stop it.

use std::time::Duration;

use crate::exit::Exit;

/// A child's stop signal: cancelled when the child is to stop, and when it has ended.
pub use tokio_util::sync::CancellationToken as Stop;

/// When a child that has ended is restarted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Restart {
    /// Always.
    Permanent,
    /// When it did not end normally.
    Transient,
    /// Never, not even when its siblings are restarted.
    Temporary,
}

impl Restart {
    pub(crate) fn should_restart(self, exit: &Exit) -> bool {
        match self {
            Self::Permanent => true,
            Self::Transient => !exit.is_normal(),
            Self::Temporary => false,
        }
    }
}

/// How a child is stopped.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Shutdown {
    /// Abort it at once.
    BrutalKill,
    /// Signal it to stop, and abort it when it has not ended in time.
    Deadline(Duration),
    /// Signal it to stop and wait. Meant for supervisors, whose children have deadlines of their own.
    Infinity,
}
