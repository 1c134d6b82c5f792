//! The errors of a measurement.

use std::io;

/// Why a measurement ended without a result.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    #[error("{what}: {source}")]
    Io { what: String, source: io::Error },
    #[error("{name} must be from {min} to {max}, not {value}")]
    Range { name: &'static str, min: u64, max: u64, value: u64 },
    #[error("{0} is not a loopback address; only this machine may be loaded")]
    NotLoopback(std::net::SocketAddr),
    #[error("--bucket must be letters and digits, not {0:?}")]
    Bucket(String),
    #[error("the server answered {got:?}, expected {expected:?}")]
    Reply { got: String, expected: String },
    #[error("{program} did not start: {why}")]
    StartFailed { program: String, why: String },
    #[error(
        "there is no release at {0}; build it with `cargo build --release -p foo`, or name another with --ours"
    )]
    NotBuilt(String),
    #[error("{0}")]
    Unsupported(&'static str),
    #[error("the server closed a connection")]
    Closed,
    #[error("no reply for {0} seconds")]
    ReplyTimeout(u64),
    #[error("cannot record latencies: {0}")]
    Histogram(#[from] hdrhistogram::CreationError),
    #[error("cannot write JSON: {0}")]
    Json(#[from] serde_json::Error),
    #[error("another client waited longer than {limit} ms")]
    Stalled { limit: u64 },
    #[error("the backup failed: {0}")]
    NoBackup(std::process::ExitStatus),
    #[error("interrupted")]
    Interrupted,
}

/// Adds to an I/O error what was being done.
pub(crate) trait Context<T> {
    fn context(self, what: impl Into<String>) -> Result<T, Error>;
}

impl<T> Context<T> for io::Result<T> {
    fn context(self, what: impl Into<String>) -> Result<T, Error> {
        self.map_err(|source| Error::Io { what: what.into(), source })
    }
}
