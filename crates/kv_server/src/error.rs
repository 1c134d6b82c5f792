//! The errors of starting the server.

use std::io;

/// Why the server cannot start.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The address for clients could not be bound.
    #[error("cannot listen for clients on {address}: {source}")]
    Bind {
        /// The requested address.
        address: String,
        /// The operating system's error.
        source: io::Error,
    },
}
