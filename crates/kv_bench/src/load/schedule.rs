//! The schedule of an open loop: batches start at a fixed rate, however fast the server answers.

use std::time::{Duration, Instant};

/// Batches are assigned to the connections round-robin, so that each has a fixed interval. A batch that its
/// connection cannot send in time keeps its intended time, so waiting counts as latency.
#[derive(Debug)]
pub(crate) struct Schedule {
    start: Instant,
    interval: Duration,
    connections: u64,
    /// The first batch that is not due yet.
    next: u64,
}

/// A batch that is due.
#[derive(Debug)]
pub(crate) struct Due {
    pub(crate) connection: usize,
    /// The index of the batch among those of its connection.
    pub(crate) batch: u64,
    pub(crate) intended: Instant,
}

impl Schedule {
    pub(crate) fn new(start: Instant, batches_per_second: f64, connections: usize) -> Schedule {
        let interval = Duration::from_secs_f64(1.0 / batches_per_second);
        Schedule { start, interval, connections: connections as u64, next: 0 }
    }

    /// The intended start of batch `batch` of a connection.
    pub(crate) fn intended(&self, connection: usize, batch: u64) -> Instant {
        self.time_of(batch * self.connections + connection as u64)
    }

    /// The next batch that is due.
    pub(crate) fn due(&mut self, now: Instant) -> Option<Due> {
        let intended = self.time_of(self.next);
        if intended > now {
            return None;
        }
        let (connection, batch) = ((self.next % self.connections) as usize, self.next / self.connections);
        self.next += 1;
        Some(Due { connection, batch, intended })
    }

    fn time_of(&self, index: u64) -> Instant {
        self.start + Duration::from_nanos((self.interval.as_nanos() * u128::from(index)) as u64)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn connections_take_turns_at_the_rate() {
        let start = Instant::now();
        let mut schedule = Schedule::new(start, 1_000.0, 2);
        let later = start + Duration::from_micros(2_500);
        let due: Vec<_> =
            std::iter::from_fn(|| schedule.due(later)).map(|due| (due.connection, due.batch)).collect();
        assert_eq!(due, [(0, 0), (1, 0), (0, 1)]);
        assert_eq!(schedule.intended(1, 1), start + Duration::from_millis(3));
    }
}
