//! The result of a measurement, as text and as JSON.

use super::Plan;
use crate::{
    cpu::CpuTime,
    limits,
    workload::{Operation, Protocol, flag_name},
};
use hdrhistogram::Histogram;
use serde::Serialize;
use std::{fmt, time::Duration};

/// Below this share of the rate of an open loop the server has fallen behind.
const KEPT_UP: f64 = 0.97;

/// One measurement.
#[derive(Debug, Serialize)]
pub(crate) struct Report {
    pub(crate) protocol: Protocol,
    pub(crate) operation: Operation,
    pub(crate) connections: usize,
    pub(crate) pipeline: usize,
    pub(crate) rate: Option<u64>,
    pub(crate) requests: u64,
    pub(crate) seconds: f64,
    pub(crate) per_second: f64,
    pub(crate) latency_us: Latency,
    /// CPU time of the load side per request; an open loop polls the clock, so it always uses a whole core.
    pub(crate) load_cpu_us: CpuPerRequest,
    pub(crate) server_cpu_us: Option<CpuPerRequest>,
    /// The load side was saturated: the server could do more than this.
    pub(crate) load_was_bottleneck: bool,
    /// In an open loop: the rate was not reached.
    pub(crate) fell_behind: bool,
}

/// Microseconds from the intended start of a batch to its last reply.
#[derive(Debug, Clone, Copy, Serialize)]
pub(crate) struct Latency {
    pub(crate) p50: f64,
    pub(crate) p99: f64,
    pub(crate) p99_9: f64,
    pub(crate) max: f64,
}

/// Microseconds of CPU time per request.
#[derive(Debug, Clone, Copy, Serialize)]
pub(crate) struct CpuPerRequest {
    pub(crate) user: f64,
    pub(crate) system: f64,
}

impl Report {
    pub(crate) fn new(
        plan: &Plan,
        batches: u64,
        elapsed: Duration,
        own: CpuTime,
        server: CpuTime,
        latencies: &Histogram<u64>,
    ) -> Report {
        let requests = batches * plan.workload.pipeline as u64;
        let per_second = requests as f64 / elapsed.as_secs_f64();
        let busy = own.total().as_secs_f64() / elapsed.as_secs_f64();
        Report {
            protocol: plan.workload.protocol,
            operation: plan.workload.operation,
            connections: plan.connections,
            pipeline: plan.workload.pipeline,
            rate: plan.rate,
            requests,
            seconds: elapsed.as_secs_f64(),
            per_second,
            latency_us: Latency::of(latencies),
            load_cpu_us: CpuPerRequest::of(own, requests),
            server_cpu_us: (!plan.server_pids.is_empty()).then(|| CpuPerRequest::of(server, requests)),
            load_was_bottleneck: plan.rate.is_none() && busy > limits::BUSY_SHARE,
            fell_behind: plan.rate.is_some_and(|rate| per_second < rate as f64 * KEPT_UP),
        }
    }
}

impl Latency {
    fn of(latencies: &Histogram<u64>) -> Latency {
        let at = |quantile| latencies.value_at_quantile(quantile) as f64 / 1_000.0;
        Latency { p50: at(0.5), p99: at(0.99), p99_9: at(0.999), max: latencies.max() as f64 / 1_000.0 }
    }
}

impl CpuPerRequest {
    fn of(time: CpuTime, requests: u64) -> CpuPerRequest {
        let per_request = |time: Duration| time.as_secs_f64() * 1e6 / requests.max(1) as f64;
        CpuPerRequest { user: per_request(time.user), system: per_request(time.system) }
    }

    pub(crate) fn total(self) -> f64 {
        self.user + self.system
    }
}

impl fmt::Display for CpuPerRequest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:.3} us ({:.3} user + {:.3} system)", self.total(), self.user, self.system)
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Report { connections, pipeline, latency_us: latency, .. } = self;
        write!(f, "{} {}, ", flag_name(&self.protocol), flag_name(&self.operation))?;
        writeln!(f, "{connections} connections, {pipeline} requests at once")?;
        writeln!(f, "  requests     {} in {:.2} s", self.requests, self.seconds)?;
        writeln!(f, "  per second   {:.0}", self.per_second)?;
        write!(f, "  latency      p50 {:.0} us, p99 {:.0} us, ", latency.p50, latency.p99)?;
        writeln!(f, "p99.9 {:.0} us, longest {:.0} us", latency.p99_9, latency.max)?;
        write!(f, "  load CPU     {} per request", self.load_cpu_us)?;
        if let Some(server) = self.server_cpu_us {
            write!(f, "\n  server CPU   {server} per request")?;
        }
        if self.load_was_bottleneck {
            write!(f, "\n  warning      the load side used its whole core: the server could do more")?;
        }
        if self.fell_behind {
            write!(f, "\n  warning      the rate was not reached")?;
        }
        Ok(())
    }
}
