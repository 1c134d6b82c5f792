//! The flags of one measurement.

use crate::{
    error::Error,
    limits,
    workload::{Workload, check_range},
};
use clap::Args;
use std::{net::SocketAddr, time::Duration};

#[derive(Debug, Clone, Args)]
pub(crate) struct Plan {
    #[arg(long, default_value = "127.0.0.1:4040")]
    pub(crate) address: SocketAddr,
    #[command(flatten)]
    pub(crate) workload: Workload,
    #[arg(long, default_value_t = 50)]
    pub(crate) connections: usize,
    /// End after this number of requests
    #[arg(long)]
    pub(crate) requests: Option<u64>,
    /// End after this number of seconds [default: 10, unless --requests is given]
    #[arg(long, value_parser = seconds)]
    pub(crate) seconds: Option<Duration>,
    /// Requests per second at a fixed rate (open loop); latency then counts from the intended time
    #[arg(long)]
    pub(crate) rate: Option<u64>,
    /// Report the CPU time of this process per request; given several times, of all of them together
    #[arg(long = "server-pid")]
    pub(crate) server_pids: Vec<u32>,
}

impl Plan {
    /// Refuses other machines and values that are out of range.
    pub(crate) fn check(&self) -> Result<(), Error> {
        require_loopback(self.address)?;
        self.workload.check()?;
        check_range("--connections", 1, limits::CONNECTIONS as u64, self.connections as u64)?;
        if let Some(rate) = self.rate {
            check_range("--rate", 1, limits::RATE, rate)?;
        }
        Ok(())
    }

    /// The maximum length of the measurement.
    pub(crate) fn duration(&self) -> Duration {
        let default_duration = if self.requests.is_some() { limits::MAX_RUN } else { limits::DEFAULT_RUN };
        self.seconds.unwrap_or(default_duration)
    }

    /// The maximum number of batches.
    pub(crate) fn batches(&self) -> u64 {
        self.requests.map_or(u64::MAX, |requests| requests.div_ceil(self.workload.pipeline as u64))
    }
}

/// Parses a flag's seconds, which may have a fraction.
pub(crate) fn seconds(text: &str) -> Result<Duration, String> {
    let duration = text.parse().ok().and_then(|seconds| Duration::try_from_secs_f64(seconds).ok());
    let max = limits::MAX_RUN.as_secs();
    duration
        .filter(|duration| *duration <= limits::MAX_RUN)
        .ok_or(format!("must be a number from 0 to {max}"))
}

/// Refuses addresses of other machines.
pub(crate) fn require_loopback(address: SocketAddr) -> Result<(), Error> {
    if address.ip().is_loopback() { Ok(()) } else { Err(Error::NotLoopback(address)) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn seconds_may_have_a_fraction_and_a_maximum() {
        assert_eq!(seconds("0.25"), Ok(Duration::from_millis(250)));
        for wrong in ["-1", "NaN", "3601", "soon"] {
            assert!(seconds(wrong).is_err(), "{wrong}");
        }
    }
}
