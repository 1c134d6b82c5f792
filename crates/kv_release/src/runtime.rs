//! The runtime of a node: as many workers as this process has cores, and no thread more when that is one.

use crate::error::Error;
use std::thread::available_parallelism;
use tokio::runtime::{Builder, Runtime};

/// How many threads execute requests.
pub(crate) fn threads() -> usize {
    available_parallelism().map_or(1, usize::from)
}

/// Builds it.
pub(crate) fn build() -> Result<Runtime, Error> {
    let mut builder = match threads() {
        1 => Builder::new_current_thread(),
        _ => Builder::new_multi_thread(),
    };
    builder.worker_threads(threads()).enable_all().build().map_err(Error::io("start the runtime"))
}
