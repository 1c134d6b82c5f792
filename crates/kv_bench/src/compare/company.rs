//! Processes that share the cores with a measurement.

use crate::error::{Context, Error};
use std::{
    fmt,
    process::{Child, Command, Stdio},
};

/// How many processes there are beside a measurement, and what they do.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Company {
    Busy(usize),
    /// They sleep and wake all the time.
    Sleeping(usize),
}

impl Company {
    /// The companies of a comparison.
    pub(crate) const ALL: [Company; 4] =
        [Company::Busy(0), Company::Busy(3), Company::Busy(10), Company::Sleeping(12)];

    /// Starts the processes.
    pub(crate) fn start(self) -> Result<Running, Error> {
        let (count, flags) = match self {
            Company::Busy(count) => (count, [].as_slice()),
            Company::Sleeping(count) => (count, ["--sleeps"].as_slice()),
        };
        let mut running = Running(Vec::new());
        for _ in 0..count {
            let child = Command::new("/proc/self/exe").arg("busy").args(flags).stdin(Stdio::null()).spawn();
            running.0.push(child.context("cannot start a busy process")?);
        }
        Ok(running)
    }
}

impl fmt::Display for Company {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Company::Busy(0) => write!(f, "alone"),
            Company::Busy(count) => write!(f, "beside {count} busy processes"),
            Company::Sleeping(count) => write!(f, "beside {count} processes that sleep and wake"),
        }
    }
}

/// Processes, killed on drop.
pub(crate) struct Running(Vec<Child>);

impl Drop for Running {
    fn drop(&mut self) {
        for child in &mut self.0 {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}
