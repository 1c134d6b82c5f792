//! One line on standard error that is updated while a transfer runs, if that is a terminal.

use crate::limits::PROGRESS_PAUSE;
use std::{
    fmt::Display,
    io::{IsTerminal, Write, stderr},
    time::Instant,
};

/// The line.
pub(super) struct Progress {
    is_shown: bool,
    updated: Option<Instant>,
}

impl Progress {
    /// A line that is shown on a terminal, unless `is_hidden`.
    pub(super) fn new(is_hidden: bool) -> Progress {
        Progress { is_shown: !is_hidden && stderr().is_terminal(), updated: None }
    }

    /// Shows how far it is, unless that was shown just now.
    pub(super) fn update(&mut self, text: impl Display) {
        if self.is_shown && self.updated.is_none_or(|updated| updated.elapsed() >= PROGRESS_PAUSE) {
            self.updated = Some(Instant::now());
            let _ = write!(stderr(), "\r\x1b[K{text}");
        }
    }
}

impl Drop for Progress {
    /// Removes the line.
    fn drop(&mut self) {
        if self.updated.is_some() {
            let _ = write!(stderr(), "\r\x1b[K");
        }
    }
}
