//! The errors of starting the port.

use std::io;

/// Why the port cannot start.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The address could not be bound.
    #[error("cannot listen for HTTP on {address}: {source}")]
    Bind {
        /// The requested address.
        address: String,
        /// The operating system's error.
        source: io::Error,
    },
}
