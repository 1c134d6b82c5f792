//! What becomes of a single child: when it is started again, and how it is stopped.

use std::time::Duration;

use crate::exit::Exit;

/// When a child that has ended is started again.
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
    pub(crate) fn is_due(self, exit: &Exit) -> bool {
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
    /// It is aborted at once.
    BrutalKill,
    /// It is told to stop, and aborted when it has not ended in time.
    Deadline(Duration),
    /// It is told to stop and waited for. Meant for supervisors, whose children have deadlines of their own.
    Infinity,
}
