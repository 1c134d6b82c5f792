//! Clients that read keys of all shards a thousand times a second, and measure how long they wait.

use super::client::{Client, command};
use crate::{error::Error, limits};
use hdrhistogram::Histogram;
use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

/// Enough connections that each thread of the server has some.
pub(super) struct Pingers {
    stopped: Arc<AtomicBool>,
    threads: Vec<JoinHandle<Result<Histogram<u64>, Error>>>,
}

/// How long they have waited.
#[derive(Debug, Clone, Copy)]
pub(super) struct Waits {
    pub(super) worst: Duration,
    /// All but one in a thousand were no longer.
    pub(super) p999: Duration,
}

impl Pingers {
    pub(super) fn start(address: SocketAddr) -> Result<Pingers, Error> {
        let stopped = Arc::<AtomicBool>::default();
        let clients: Result<Vec<Client>, Error> =
            (0..limits::STALL_PINGERS).map(|_| Client::connect(address)).collect();
        let threads = clients?.into_iter().map(|client| {
            let stopped = stopped.clone();
            thread::spawn(move || ping(client, &stopped))
        });
        Ok(Pingers { threads: threads.collect(), stopped })
    }

    /// Returns their waits.
    pub(super) fn stop(self) -> Result<Waits, Error> {
        self.stopped.store(true, Relaxed);
        let mut waits = histogram()?;
        for thread in self.threads {
            // Both have the same bounds, so it takes all of them.
            let _ = waits.add(thread.join().unwrap_or(Err(Error::Closed))?);
        }
        let at = |quantile| Duration::from_micros(waits.value_at_quantile(quantile));
        Ok(Waits { worst: at(1.0), p999: at(0.999) })
    }
}

/// For waits in microseconds, up to a minute.
fn histogram() -> Result<Histogram<u64>, Error> {
    Ok(Histogram::new_with_bounds(1, 60_000_000, 3)?)
}

/// Asks once a millisecond. Returns the waits in microseconds.
fn ping(mut client: Client, stopped: &AtomicBool) -> Result<Histogram<u64>, Error> {
    let mut waits = histogram()?;
    while !stopped.load(Relaxed) {
        let key = format!("stall:{}", fastrand::u32(..));
        let asked = Instant::now();
        client.ask(&command(&[b"GET", key.as_bytes()]))?;
        let waited = asked.elapsed();
        waits.saturating_record(waited.as_micros() as u64);
        thread::sleep(limits::STALL_INTERVAL.saturating_sub(waited));
    }
    Ok(waits)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wait_of_seconds_is_counted_as_such() {
        let mut waits = histogram().unwrap();
        waits.saturating_record(5_000_000);
        assert!(waits.max() >= 5_000_000);
    }
}
