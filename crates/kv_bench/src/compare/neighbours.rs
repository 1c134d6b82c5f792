//! Processes that share the cores with a measurement.

use crate::error::{Context, Error};
use std::{
    fmt,
    process::{Child, Command, Stdio},
};

/// How many processes there are beside a measurement, and what they do.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Neighbours {
    Busy(usize),
    /// They sleep and wake all the time.
    Sleeping(usize),
}

impl Neighbours {
    /// The cases of a comparison.
    pub(crate) const ALL: [Neighbours; 4] =
        [Neighbours::Busy(0), Neighbours::Busy(3), Neighbours::Busy(10), Neighbours::Sleeping(12)];

    /// Starts the processes.
    pub(crate) fn start(self) -> Result<Running, Error> {
        let (count, flags) = match self {
            Neighbours::Busy(count) => (count, [].as_slice()),
            Neighbours::Sleeping(count) => (count, ["--sleeps"].as_slice()),
        };
        let mut running = Running(Vec::new());
        for _ in 0..count {
            let child = Command::new("/proc/self/exe").arg("busy").args(flags).stdin(Stdio::null()).spawn();
            running.0.push(child.context("cannot start a busy process")?);
        }
        Ok(running)
    }
}

impl fmt::Display for Neighbours {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Neighbours::Busy(0) => write!(f, "alone"),
            Neighbours::Busy(count) => write!(f, "beside {count} busy processes"),
            Neighbours::Sleeping(count) => write!(f, "beside {count} processes that sleep and wake"),
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
