//! Everything that can go wrong in a measurement.

use std::io;

/// Why a measurement ended without a result.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    #[error("{what}: {source}")]
    Io { what: String, source: io::Error },
    #[error("{name} must be from {least} to {most}, not {given}")]
    Range { name: &'static str, least: u64, most: u64, given: u64 },
    #[error("{0} is no loopback address; a load generator is pointed at this machine alone")]
    NotLoopback(std::net::SocketAddr),
    #[error("--bucket must be letters and digits, not {0:?}")]
    Bucket(String),
    #[error("the server answered {got:?} where {expected:?} was due")]
    Reply { got: String, expected: String },
    #[error("{program} did not come up: {why}")]
    NotUp { program: String, why: String },
    #[error("the server closed a connection")]
    Closed,
    #[error("no reply for {0} seconds")]
    Silent(u64),
    #[error("cannot record latencies: {0}")]
    Histogram(#[from] hdrhistogram::CreationError),
    #[error("cannot write JSON: {0}")]
    Json(#[from] serde_json::Error),
    #[error("interrupted")]
    Interrupted,
}

/// Names what was being done when an operation on a file or socket failed.
pub(crate) trait Context<T> {
    fn context(self, what: impl Into<String>) -> Result<T, Error>;
}

impl<T> Context<T> for io::Result<T> {
    fn context(self, what: impl Into<String>) -> Result<T, Error> {
        self.map_err(|source| Error::Io { what: what.into(), source })
    }
}
