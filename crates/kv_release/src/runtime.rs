//! The runtime of a node: as many workers as this process has cores, and no thread more when that is one.

use crate::error::Error;
use std::thread::available_parallelism;
use tokio::runtime::{Builder, Runtime};

/// Builds it.
pub(crate) fn build() -> Result<Runtime, Error> {
    let cores = available_parallelism().map_or(1, usize::from);
    let mut builder = match cores {
        1 => Builder::new_current_thread(),
        _ => Builder::new_multi_thread(),
    };
    builder.worker_threads(cores).enable_all().build().map_err(Error::io("start the runtime"))
}
