//! What can keep the server from starting.

use std::io;

/// Why the server did not start.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The address for clients could not be bound.
    #[error("cannot listen for clients on {address}: {source}")]
    Bind {
        /// The address that was asked for.
        address: String,
        /// What the system said.
        source: io::Error,
    },
}
