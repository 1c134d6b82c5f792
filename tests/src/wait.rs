//! Waiting for a condition, never for time to pass.

use std::{
    thread,
    time::{Duration, Instant},
};

/// How long anything may take before a test calls it broken.
pub const PATIENCE: Duration = Duration::from_secs(20);

/// How often a condition is looked at again.
const LOOK_AGAIN: Duration = Duration::from_millis(5);

/// Returns as soon as `condition` holds, and says how long that took.
///
/// # Panics
/// When it does not hold within [`PATIENCE`].
pub fn wait_until(what: &str, mut condition: impl FnMut() -> bool) -> Duration {
    let start = Instant::now();
    while !condition() {
        assert!(start.elapsed() < PATIENCE, "waited {PATIENCE:?} in vain: {what}");
        thread::sleep(LOOK_AGAIN);
    }
    start.elapsed()
}
