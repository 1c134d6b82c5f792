//! Every limit of this crate, by name and with its unit.

use std::time::Duration;

/// Restarts within [`RESTART_PERIOD`] before a supervisor gives up: OTP's usual value.
pub(crate) const MAX_RESTARTS: u32 = 3;

/// The time over which restarts are counted: OTP's usual value.
pub(crate) const RESTART_PERIOD: Duration = Duration::from_secs(5);

/// How long a worker may take to stop before it is aborted: OTP's usual value.
pub(crate) const SHUTDOWN_DEADLINE: Duration = Duration::from_secs(5);

/// How long an aborted child may take to reach its next await before its supervisor abandons it.
pub(crate) const ABORT_GRACE: Duration = Duration::from_secs(1);

/// Bytes kept of the reason for which a child failed or panicked.
pub(crate) const MAX_REASON_BYTES: usize = 512;

/// The interval of the log lines that count events which are not logged one by one.
pub(crate) const LOG_PERIOD: Duration = Duration::from_secs(10);

/// The pause after an accept that failed for lack of descriptors or memory.
pub(crate) const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Crashes of tasks of one supervisor that are logged one by one.
pub(crate) const CRASH_LINES: u32 = 10;
