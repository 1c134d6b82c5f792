//! Clients that read keys of all shards a thousand times a second, and measure how long they wait.

use super::client::{Client, command};
use crate::{error::Error, limits};
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
    threads: Vec<JoinHandle<Result<Duration, Error>>>,
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

    /// Returns the longest wait.
    pub(super) fn stop(self) -> Result<Duration, Error> {
        self.stopped.store(true, Relaxed);
        let mut longest = Duration::ZERO;
        for thread in self.threads {
            longest = longest.max(thread.join().unwrap_or(Err(Error::Closed))?);
        }
        Ok(longest)
    }
}

/// Asks once a millisecond. Returns the longest wait.
fn ping(mut client: Client, stopped: &AtomicBool) -> Result<Duration, Error> {
    let mut longest = Duration::ZERO;
    while !stopped.load(Relaxed) {
        let key = format!("stall:{}", fastrand::u32(..));
        let asked = Instant::now();
        client.ask(&command(&[b"GET", key.as_bytes()]))?;
        let waited = asked.elapsed();
        longest = longest.max(waited);
        thread::sleep(limits::STALL_INTERVAL.saturating_sub(waited));
    }
    Ok(longest)
}
