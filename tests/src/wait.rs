//! Waiting for a condition instead of a fixed time.

use std::{
    thread,
    time::{Duration, Instant},
};

/// How long anything may take before a test fails: on a machine that is busy with other things, too.
pub const TIMEOUT: Duration = Duration::from_secs(60);

/// The interval between two checks of a condition.
const POLL_INTERVAL: Duration = Duration::from_millis(5);

/// Waits until `condition` holds.
///
/// # Panics
/// When it does not hold within [`TIMEOUT`].
pub fn wait_until(what: &str, mut condition: impl FnMut() -> bool) {
    let start = Instant::now();
    while !condition() {
        assert!(start.elapsed() < TIMEOUT, "timed out after {TIMEOUT:?}: {what}");
        thread::sleep(POLL_INTERVAL);
    }
}
