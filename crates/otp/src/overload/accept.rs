//! Errors of accept. An acceptor outlives every shortage: it logs it once with its remedy, pauses, and goes
//! on.

use std::io::{self, ErrorKind};

use tokio::time::sleep;
use tracing::{debug, error};

use crate::limits::ACCEPT_PAUSE;
use crate::overload::log_limiter::LogLimiter;

/// The error numbers of Unix for a process, and for a system, without a free descriptor.
const PROCESS_IS_OUT_OF_DESCRIPTORS: i32 = 24;
const SYSTEM_IS_OUT_OF_DESCRIPTORS: i32 = 23;

/// Handles the errors of one acceptor. Clones share the limit of its log lines.
#[derive(Debug, Clone)]
pub struct AcceptErrors {
    what: &'static str,
    limiter: LogLimiter,
}

impl AcceptErrors {
    /// The errors of an acceptor of `what`, as in "cannot accept `what`".
    pub fn new(what: &'static str) -> Self {
        Self { what, limiter: LogLimiter::new("attempts to accept a connection failed", 1) }
    }

    /// Logs the error and pauses, unless it concerns only the connection that was to be accepted.
    pub async fn pause(&self, error: &io::Error) {
        use ErrorKind::{ConnectionAborted, ConnectionReset, Interrupted};
        if matches!(error.kind(), ConnectionAborted | ConnectionReset | Interrupted) {
            debug!(%error, "connection lost before it was accepted");
            return;
        }
        if self.limiter.admit() {
            error!(%error, remedy = remedy(error), "cannot accept {}", self.what);
        }
        sleep(ACCEPT_PAUSE).await;
    }
}

/// Whether the process, or the whole system, has no free file descriptor.
pub fn is_out_of_descriptors(error: &io::Error) -> bool {
    matches!(error.raw_os_error(), Some(PROCESS_IS_OUT_OF_DESCRIPTORS | SYSTEM_IS_OUT_OF_DESCRIPTORS))
}

fn remedy(error: &io::Error) -> &'static str {
    match error.raw_os_error() {
        Some(PROCESS_IS_OUT_OF_DESCRIPTORS) => {
            "raise the process's limit of open files (ulimit -n, or LimitNOFILE= of a systemd unit)"
        }
        Some(SYSTEM_IS_OUT_OF_DESCRIPTORS) => "raise the system's limit of open files (sysctl fs.file-max)",
        _ => "free memory, or whatever else of the system is exhausted",
    }
}
