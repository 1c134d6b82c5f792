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
    #[arg(long)]
    pub(crate) seconds: Option<f64>,
    /// Requests per second, whatever the server does; latency then counts from the intended time
    #[arg(long)]
    pub(crate) rate: Option<f64>,
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
            in_range("--rate", 1, limits::RATE, rate as u64)?;
        }
        Ok(())
    }

    /// How long the measurement may take.
    pub(crate) fn duration(&self) -> Duration {
        let seconds = match (self.seconds, self.requests) {
            (Some(seconds), _) => Duration::try_from_secs_f64(seconds).unwrap_or(limits::RUN),
            (None, Some(_)) => limits::RUN,
            (None, None) => limits::DEFAULT_RUN,
        };
        seconds.min(limits::RUN)
    }

    /// How many batches it may take.
    pub(crate) fn batches(&self) -> u64 {
        self.requests.map_or(u64::MAX, |requests| requests.div_ceil(self.workload.pipeline as u64))
    }
}

/// Only this machine is ever loaded.
pub(crate) fn loopback(address: SocketAddr) -> Result<(), Error> {
    if address.ip().is_loopback() { Ok(()) } else { Err(Error::NotLoopback(address)) }
}
