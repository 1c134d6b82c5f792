//! The flags of `kv_bench compare`.

use crate::{
    error::Error,
    limits,
    load::{self, Plan},
    workload::{Operation, Protocol, Workload, check_range},
};
use clap::Args;
use std::{net::SocketAddr, path::PathBuf, time::Duration};

#[derive(Debug, Clone, Args)]
pub(crate) struct Compare {
    /// Our release
    #[arg(long, default_value = "target/release/foo")]
    pub(crate) ours: PathBuf,
    #[arg(long, default_value = "redis-server")]
    pub(crate) redis: PathBuf,
    #[arg(long, default_value = "valkey-server")]
    pub(crate) valkey: PathBuf,
    /// Compare servers and load as they are started, on all cores, with redis-benchmark as a second load
    #[arg(long)]
    pub(crate) unpinned: bool,
    /// Compare GET by redis-benchmark beside processes that keep the cores busy, with io_uring and epoll
    #[arg(long, conflicts_with = "unpinned")]
    pub(crate) neighbours: bool,
    /// Compare servers that have every write on disk before they reply
    #[arg(long, conflicts_with = "neighbours")]
    pub(crate) durable: bool,
    /// [default: 5, with neighbours 9]
    #[arg(long)]
    rounds: Option<u64>,
    /// Seconds of one measurement
    #[arg(long, default_value = "2", value_parser = load::seconds)]
    seconds: Duration,
    /// [default: 1,16,64; unpinned 1,16; with neighbours 1]
    #[arg(long, value_delimiter = ',', num_args = 1..)]
    pipelines: Vec<usize>,
    /// [default: hget,hset,get,set; unpinned get,set; with neighbours get]
    #[arg(long, value_delimiter = ',', num_args = 1..)]
    operations: Vec<Operation>,
    #[arg(long, default_value_t = 50)]
    pub(crate) connections: usize,
    #[arg(long, default_value_t = 1_000_000)]
    keys: u64,
    #[arg(long, default_value_t = 11)]
    key_bytes: usize,
    #[arg(long, default_value_t = 32)]
    value_bytes: usize,
    /// One short round of 16 requests at once: a quick look, not a result
    #[arg(long)]
    quick: bool,
    /// Skip the latencies at half of each one's own maximum
    #[arg(long)]
    pub(crate) skip_latency: bool,
    /// Compare bytes per entry instead: the growth of the resident set during a fill
    #[arg(long, conflicts_with_all = ["unpinned", "neighbours"])]
    pub(crate) memory: bool,
    /// Entries of the one big hash of --memory
    #[arg(long, default_value_t = 10_000_000)]
    pub(crate) entries: u64,
    /// Buckets of one entry, and strings, of --memory
    #[arg(long, default_value_t = 1_000_000)]
    pub(crate) buckets: u64,
}

impl Compare {
    /// Refuses values that are out of range.
    pub(crate) fn check(&self) -> Result<(), Error> {
        check_range("--rounds", 1, limits::ROUNDS, self.rounds())?;
        check_range("--entries", 1, limits::KEYS, self.entries)?;
        check_range("--buckets", 1, limits::KEYS, self.buckets)?;
        for pipeline in self.pipelines() {
            let address = SocketAddr::from(([127, 0, 0, 1], 0));
            self.plan(address, self.workload(Protocol::Resp, Operation::Get, *pipeline)).check()?;
        }
        Ok(())
    }

    pub(crate) fn rounds(&self) -> u64 {
        let default_rounds = if self.neighbours { 9 } else { 5 };
        if self.quick { 1 } else { self.rounds.unwrap_or(default_rounds) }
    }

    pub(crate) fn pipelines(&self) -> &[usize] {
        match () {
            () if self.quick => &[16],
            () if !self.pipelines.is_empty() => &self.pipelines,
            () if self.neighbours => &[1],
            () if self.unpinned => &[1, 16],
            () => &[1, 16, 64],
        }
    }

    pub(crate) fn operations(&self) -> &[Operation] {
        match () {
            () if !self.operations.is_empty() => &self.operations,
            () if self.neighbours => &[Operation::Get],
            () if self.unpinned => &[Operation::Get, Operation::Set],
            () => &[Operation::Hget, Operation::Hset, Operation::Get, Operation::Set],
        }
    }

    /// The length of one measurement.
    pub(crate) fn seconds(&self) -> Duration {
        if self.quick { limits::QUICK_RUN } else { self.seconds }
    }

    pub(crate) fn workload(&self, protocol: Protocol, operation: Operation, pipeline: usize) -> Workload {
        Workload {
            protocol,
            operation,
            pipeline,
            keys: self.keys,
            key_bytes: self.key_bytes,
            value_bytes: self.value_bytes,
            bucket: "bench".into(),
        }
    }

    /// One measurement of a workload, in a closed loop until `rate` is set.
    pub(crate) fn plan(&self, address: SocketAddr, workload: Workload) -> Plan {
        Plan {
            address,
            workload,
            connections: self.connections,
            requests: None,
            seconds: Some(self.seconds()),
            rate: None,
            server_pids: Vec::new(),
        }
    }
}
