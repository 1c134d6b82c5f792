//! Growing pauses with jitter, so that nodes that failed together do not retry together.

use crate::limits::RETRY_FIRST;
use std::time::Duration;

/// The pauses between attempts.
#[derive(Debug)]
pub(crate) struct Backoff {
    next: Duration,
}

impl Default for Backoff {
    fn default() -> Backoff {
        Backoff { next: RETRY_FIRST }
    }
}

impl Backoff {
    /// The next pause: up to `longest`, less up to a quarter of it at random.
    pub(crate) fn pause(&mut self, longest: Duration) -> Duration {
        let pause = self.next.min(longest);
        self.next = pause * 2;
        let quarter = pause / 4;
        pause - quarter.mul_f64(f64::from(random()) / f64::from(u32::MAX))
    }
}

fn random() -> u32 {
    // Without randomness there is no jitter.
    getrandom::u32().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_double_up_to_the_longest() {
        let mut backoff = Backoff::default();
        let longest = Duration::from_millis(350);
        for expected in [25, 50, 100, 200, 350, 350].map(Duration::from_millis) {
            let pause = backoff.pause(longest);
            assert!(pause <= expected && pause >= expected * 3 / 4, "{pause:?} of {expected:?}");
        }
    }
}
