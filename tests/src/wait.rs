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
pub fn wait_until(what: &str, condition: impl FnMut() -> bool) {
    poll_until(what, condition, || thread::sleep(POLL_INTERVAL));
}

/// As [`wait_until`], without a pause: for what may be over soon.
pub fn spin_until(what: &str, condition: impl FnMut() -> bool) {
    poll_until(what, condition, thread::yield_now);
}

fn poll_until(what: &str, mut condition: impl FnMut() -> bool, pause: impl Fn()) {
    let start = Instant::now();
    while !condition() {
        assert!(start.elapsed() < TIMEOUT, "timed out after {TIMEOUT:?}: {what}");
        pause();
    }
}
