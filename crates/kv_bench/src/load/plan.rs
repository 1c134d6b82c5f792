//! What one measurement is made of.

use crate::{
    error::Error,
    limits,
    workload::{Workload, in_range},
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
    /// End after so many requests
    #[arg(long)]
    pub(crate) requests: Option<u64>,
    /// End after so many seconds [default: 10, unless --requests is given]
    #[arg(long, value_parser = seconds)]
    pub(crate) seconds: Option<Duration>,
    /// Requests per second, whatever the server does; latency then counts from the intended time
    #[arg(long)]
    pub(crate) rate: Option<u64>,
    /// Report the CPU time of this process per request
    #[arg(long)]
    pub(crate) server_pid: Option<u32>,
}

impl Plan {
    /// Refuses other machines and numbers that are out of bounds.
    pub(crate) fn check(&self) -> Result<(), Error> {
        loopback(self.address)?;
        self.workload.check()?;
        in_range("--connections", 1, limits::CONNECTIONS as u64, self.connections as u64)?;
        if let Some(rate) = self.rate {
            in_range("--rate", 1, limits::RATE, rate)?;
        }
        Ok(())
    }

    /// How long the measurement may take.
    pub(crate) fn duration(&self) -> Duration {
        let unnamed = if self.requests.is_some() { limits::RUN } else { limits::DEFAULT_RUN };
        self.seconds.unwrap_or(unnamed)
    }

    /// How many batches it may take.
    pub(crate) fn batches(&self) -> u64 {
        self.requests.map_or(u64::MAX, |requests| requests.div_ceil(self.workload.pipeline as u64))
    }
}

/// A flag's seconds, which may be a fraction of one.
pub(crate) fn seconds(text: &str) -> Result<Duration, String> {
    let duration = text.parse().ok().and_then(|seconds| Duration::try_from_secs_f64(seconds).ok());
    let most = limits::RUN.as_secs();
    duration.filter(|duration| *duration <= limits::RUN).ok_or(format!("must be a number from 0 to {most}"))
}

/// Only this machine is ever loaded.
pub(crate) fn loopback(address: SocketAddr) -> Result<(), Error> {
    if address.ip().is_loopback() { Ok(()) } else { Err(Error::NotLoopback(address)) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn seconds_may_be_parts_of_one_but_not_for_ever() {
        assert_eq!(seconds("0.25"), Ok(Duration::from_millis(250)));
        for wrong in ["-1", "NaN", "3601", "soon"] {
            assert!(seconds(wrong).is_err(), "{wrong}");
        }
    }
}
