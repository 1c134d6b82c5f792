//! Restart intensity: how many restarts in how much time make a supervisor give up.

use std::collections::VecDeque;
use std::fmt;
use std::time::Duration;

use tokio::time::Instant;

use crate::limits::{MAX_RESTARTS, RESTART_PERIOD};

/// How many restarts a supervisor makes within a period before it gives up and escalates.
///
/// With `max_restarts: 0` the first child that needs a restart ends the supervisor.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Intensity {
    /// The maximum number of restarts within the period.
    pub max_restarts: u32,
    /// The period.
    pub within: Duration,
}

impl Default for Intensity {
    /// OTP's usual values: 3 restarts in 5 s.
    fn default() -> Self {
        Self { max_restarts: MAX_RESTARTS, within: RESTART_PERIOD }
    }
}

impl fmt::Display for Intensity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let restarts = if self.max_restarts == 1 { "restart" } else { "restarts" };
        write!(f, "{} {restarts} in {:?}", self.max_restarts, self.within)
    }
}

/// The restarts of the last period.
pub(crate) struct Restarts {
    intensity: Intensity,
    recent: VecDeque<Instant>,
}

impl Restarts {
    pub(crate) fn new(intensity: Intensity) -> Self {
        Self { intensity, recent: VecDeque::new() }
    }

    pub(crate) fn intensity(&self) -> Intensity {
        self.intensity
    }

    /// How many restarts the last period has had.
    pub(crate) fn recent(&self, now: Instant) -> usize {
        self.recent.iter().filter(|then| now - **then <= self.intensity.within).count()
    }

    /// Counts one more restart and returns true, unless the intensity forbids it.
    pub(crate) fn try_restart(&mut self, now: Instant) -> bool {
        while self.recent.front().is_some_and(|then| now - *then > self.intensity.within) {
            self.recent.pop_front();
        }
        let allowed = self.recent.len() < self.intensity.max_restarts as usize;
        if allowed {
            self.recent.push_back(now);
        }
        allowed
    }
}
