//! How long the next group fills. A sync costs the same however many requests share it, and the clients of a
//! group write again a moment after it is executed: a group that is taken at once has few of them. So it is
//! delayed until most of those who write at present wait, as by `commit_delay` of PostgreSQL and
//! `binlog_group_commit_sync_delay` of MySQL. It ends when enough wait, and a few wait for nobody.

use crate::limits::{GROUP_DELAY, GROUP_DELAY_SHARE, GROUP_DELAY_STEPS, WRITERS_DECAY};
use std::time::Instant;

/// The delay of the next group.
#[derive(Debug)]
pub(crate) struct GroupDelay {
    /// Steps of the group that was taken last, and when it was.
    taken: (usize, Instant),
    /// The most steps that were in one group or waited lately: about how many clients write.
    writers: usize,
    /// Steps with which the next group is taken.
    steps: usize,
    /// When it is taken with fewer.
    end: Instant,
}

impl GroupDelay {
    pub(crate) fn none() -> GroupDelay {
        let now = Instant::now();
        GroupDelay { taken: (0, now), writers: 0, steps: 0, end: now }
    }

    /// A group of `steps` is taken.
    pub(crate) fn begin_group(&mut self, steps: usize, now: Instant) {
        self.taken = (steps, now);
    }

    /// It is executed, and `waiting` steps wait. The delay is no longer than that has taken, but for the tick
    /// of the timer.
    pub(crate) fn end_group(&mut self, waiting: usize, now: Instant) {
        let (steps, began) = self.taken;
        // Who writes alone after many does not wait for them for long.
        self.writers = steps.max(waiting).max(self.writers - self.writers / WRITERS_DECAY);
        let is_delayed = self.writers >= GROUP_DELAY_STEPS;
        self.steps = if is_delayed { self.writers - self.writers / GROUP_DELAY_SHARE } else { 0 };
        self.end = now + (now - began).min(GROUP_DELAY);
    }

    /// Whether a group of `steps` waits no longer.
    pub(crate) fn is_over(&self, steps: usize, now: Instant) -> bool {
        steps >= self.steps || now >= self.end
    }

    /// When the delay is over for a group of any size, if it is not.
    pub(crate) fn end(&self, now: Instant) -> Option<Instant> {
        (!self.is_over(0, now)).then_some(self.end)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    /// Long enough for a test.
    const LONG: Duration = Duration::from_secs(60);

    /// The delay after groups of these steps, with that many waiting behind each. It ends after a long time.
    fn after(groups: &[(usize, usize)]) -> GroupDelay {
        let (mut delay, now) = (GroupDelay::none(), Instant::now());
        for &(steps, waiting) in groups {
            delay.begin_group(steps, now);
            delay.end_group(waiting, now);
        }
        GroupDelay { end: now + LONG, ..delay }
    }

    #[test]
    fn a_group_waits_for_most_of_those_who_write() {
        for (groups, steps) in [(&[(64, 0)][..], 56), (&[(24, 64)], 56), (&[(64, 0), (24, 8)], 42)] {
            let delay = after(groups);
            let now = delay.end - LONG;
            assert!(!delay.is_over(steps - 1, now) && delay.is_over(steps, now), "{delay:?}");
            assert_eq!((delay.end(now), delay.end(delay.end)), (Some(delay.end), None));
        }
    }

    #[test]
    fn clients_that_have_gone_are_soon_forgotten() {
        let groups: Vec<_> = [(64, 0)].into_iter().chain([(1, 0); 8]).collect();
        let delay = after(&groups);
        assert!(delay.is_over(1, delay.end - LONG), "{delay:?}");
    }

    #[test]
    fn few_clients_wait_for_nobody() {
        let delay = after(&[(GROUP_DELAY_STEPS - 1, 0)]);
        assert!(delay.is_over(1, delay.end - LONG));
        assert_eq!(delay.end(delay.end - LONG), None);
    }

    #[test]
    fn a_group_waits_no_longer_than_the_one_before_took() {
        let mut delay = after(&[(64, 0)]);
        let now = Instant::now();
        for (took, longest) in [(GROUP_DELAY / 2, GROUP_DELAY / 2), (LONG, GROUP_DELAY)] {
            delay.begin_group(64, now);
            delay.end_group(0, now + took);
            assert_eq!(delay.end, now + took + longest);
        }
    }
}
