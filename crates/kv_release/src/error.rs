//! What can go wrong with a release, and with which exit code it ends.

use crate::exit_code;
use std::{io, path::PathBuf};

/// Why a verb did not do its work.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    /// One line for each mistake.
    #[error("the configuration is wrong, nothing was started\n{problems}")]
    Config { problems: String },

    #[error("{node} is already running{}; stop it with `stop`, or start another with --node", by(.pid))]
    AlreadyRunning { node: String, pid: Option<u32> },

    #[error("{node} is not running (nothing answers at {}); start it, or name the --config or --node that it was started with", .socket.display())]
    NotRunning { node: String, socket: PathBuf },

    #[error("{node} did not {what} within {seconds} s")]
    TooSlow { node: String, what: &'static str, seconds: u64 },

    #[error("{0}; choose another address with --clients or KV_CLIENTS, or stop what holds this one")]
    Clients(String),

    #[error("{0}; choose another address with --link or KV_LINK, or stop what holds this one")]
    Link(String),

    #[error("the run directory {} {wrong}", .dir.display())]
    RunDir { dir: PathBuf, wrong: String },

    #[error("cannot {what}: {source}")]
    Io { what: String, source: io::Error },

    #[error("the control socket: {0}")]
    Control(String),

    /// What the console answered to an expression.
    #[error("{0}")]
    Refused(String),

    /// An error that has been printed already.
    #[error("failed")]
    Printed,

    #[error("the node {0}")]
    GaveUp(otp::Exit),

    #[error("the node did not start (exit code {code}); its log says:\n{log}")]
    Daemon { code: u8, log: String },
}

fn by(pid: &Option<u32>) -> String {
    pid.map(|pid| format!(" (pid {pid})")).unwrap_or_default()
}

impl Error {
    /// For `map_err`: what was being done when the system refused.
    pub(crate) fn io(what: impl Into<String>) -> impl FnOnce(io::Error) -> Error {
        move |source| Error::Io { what: what.into(), source }
    }

    /// The exit code that tells a script what kind of failure this is.
    pub(crate) fn exit_code(&self) -> u8 {
        match self {
            Error::Config { .. } | Error::RunDir { .. } => exit_code::CONFIG,
            Error::AlreadyRunning { .. } | Error::NotRunning { .. } | Error::Clients(_) | Error::Link(_) => {
                exit_code::UNAVAILABLE
            }
            Error::Daemon { code, .. } => *code,
            Error::TooSlow { .. }
            | Error::Io { .. }
            | Error::Control(_)
            | Error::Refused(_)
            | Error::Printed
            | Error::GaveUp(_) => exit_code::FAILED,
        }
    }
}
