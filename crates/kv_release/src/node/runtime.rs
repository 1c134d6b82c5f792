//! The tokio runtime of a node: one worker per available core; a single core gets the current-thread runtime.

use crate::error::Error;
use std::thread::available_parallelism;
use tokio::runtime::{Builder, Runtime};

/// The number of threads that execute requests.
pub(crate) fn threads() -> usize {
    available_parallelism().map_or(1, usize::from)
}

pub(super) fn build() -> Result<Runtime, Error> {
    let mut builder = match threads() {
        1 => Builder::new_current_thread(),
        _ => Builder::new_multi_thread(),
    };
    builder.worker_threads(threads()).enable_all().build().map_err(Error::io("start the runtime"))
}
