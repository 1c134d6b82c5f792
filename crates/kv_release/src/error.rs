//! What can go wrong with a release, and the exit code of each error.

use crate::exit_code;
use std::{io, path::PathBuf};

/// Why a verb failed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    /// One line per error.
    #[error("invalid configuration; nothing was started\n{errors}")]
    Config { errors: String },

    /// Why the durable ranges of the node cannot be opened.
    #[error("the data directory cannot be used; nothing was started\n{0}")]
    DataDir(String),

    #[error("{node} is already running{}; stop it with `stop`, or start another with --node", pid_suffix(.pid))]
    AlreadyRunning { node: String, pid: Option<u32> },

    #[error(
        "{node} is not running (no reply at {}); start it, or pass the --config, --node or --run-dir it was started with",
        .socket.display()
    )]
    NotRunning { node: String, socket: PathBuf },

    #[error(
        "{node} belongs to another user ({} is not accessible); run this with sudo, or as the user that started it",
        .socket.display()
    )]
    NotOurs { node: String, socket: PathBuf },

    /// A restore into a data directory that another node uses.
    #[error(
        "{} is in use by another process, and not by {node} (control socket {}); pass the --config, --node or \
         --run-dir that the node with this data_dir was started with, or another data_dir",
        .data_dir.display(),
        .socket.display()
    )]
    OtherDataDir { data_dir: PathBuf, node: String, socket: PathBuf },

    #[error("{node} did not {what} within {seconds} s")]
    Timeout { node: String, what: &'static str, seconds: u64 },

    #[error(
        "{0}; choose another address with --clients or KV_CLIENTS, or stop the process that uses this one"
    )]
    Clients(String),

    #[error("{0}; choose another address with --link or KV_LINK, or stop the process that uses this one")]
    Link(String),

    #[error("{0}; choose another address with --admin or KV_ADMIN, or stop the process that uses this one")]
    Admin(String),

    #[error(
        "the limit of open files is {limit}, and the node itself needs {reserved}; raise it (ulimit -n, or \
         LimitNOFILE= of a systemd unit)"
    )]
    TooFewDescriptors { limit: usize, reserved: usize },

    #[error("run directory {}: {message}", .dir.display())]
    RunDir { dir: PathBuf, message: String },

    #[error("cannot {what}: {source}")]
    Io { what: String, source: io::Error },

    #[error("control socket: {0}")]
    Control(String),

    #[error("terminal: {0}")]
    Terminal(String),

    /// The console's error for an expression.
    #[error("{0}")]
    Refused(String),

    /// The server of an import cannot be reached.
    #[error("cannot connect to Redis at {address}: {reason}; start it, or correct the address")]
    SourceUnavailable { address: String, reason: String },

    /// What the server of an import replied, or how the connection broke off.
    #[error("Redis at {address}: {reason}")]
    Source { address: String, reason: String },

    /// Why the node took no more of an import.
    #[error("the import stopped: {0}; what was imported stays, so import again, which goes on there")]
    ImportStopped(String),

    /// The invalid line of an import, and what is wrong with it.
    #[error(
        "the import stopped at {0}; what was imported stays: correct or remove the line, then import again, \
         which goes on there"
    )]
    InvalidLine(String),

    /// Why the node took no more of a restore.
    #[error("the restore stopped: {0}")]
    RestoreStopped(String),

    /// An error that has been printed already.
    #[error("failed")]
    Printed,

    #[error("the node {0}")]
    GaveUp(otp::Exit),

    /// Why the log of a range was not written when the node ended.
    #[error("the node has ended, and what it had acknowledged is not all on disk: {0}")]
    Lost(String),

    #[error("the node did not start (exit code {code}); the end of its log:\n{log}")]
    Daemon { code: u8, log: String },
}

fn pid_suffix(pid: &Option<u32>) -> String {
    pid.map(|pid| format!(" (pid {pid})")).unwrap_or_default()
}

impl Error {
    /// For `map_err`: `what` was being done when the system call failed.
    pub(crate) fn io(what: impl Into<String>) -> impl FnOnce(io::Error) -> Error {
        move |source| Error::Io { what: what.into(), source }
    }

    /// The exit code, by which scripts distinguish kinds of failure.
    pub(crate) fn exit_code(&self) -> u8 {
        match self {
            Error::Config { .. }
            | Error::DataDir(_)
            | Error::RunDir { .. }
            | Error::TooFewDescriptors { .. } => exit_code::CONFIG,
            Error::AlreadyRunning { .. }
            | Error::NotRunning { .. }
            | Error::NotOurs { .. }
            | Error::OtherDataDir { .. }
            | Error::Clients(_)
            | Error::Link(_)
            | Error::Admin(_)
            | Error::SourceUnavailable { .. } => exit_code::UNAVAILABLE,
            Error::Daemon { code, .. } => *code,
            Error::Timeout { .. }
            | Error::Io { .. }
            | Error::Control(_)
            | Error::Terminal(_)
            | Error::Refused(_)
            | Error::ImportStopped(_)
            | Error::InvalidLine(_)
            | Error::RestoreStopped(_)
            | Error::Source { .. }
            | Error::Printed
            | Error::GaveUp(_) => exit_code::FAILED,
            Error::Lost(_) => exit_code::LOST,
        }
    }
}
