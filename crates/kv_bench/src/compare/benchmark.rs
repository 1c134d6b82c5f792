//! redis-benchmark as the load.

use crate::{
    cpu::CpuTime,
    error::{Context, Error},
    limits,
    workload::{Operation, Workload},
};
use std::{
    net::SocketAddr,
    process::{Command, Stdio},
    time::Instant,
};

/// Bytes of its keys: `k`, and the twelve digits that it puts in place of `__rand_int__`.
pub(crate) const KEY_BYTES: usize = 13;

/// What one run has measured.
pub(crate) struct Run {
    pub(crate) per_second: f64,
    /// It used a whole core.
    pub(crate) was_bottleneck: bool,
}

/// Whether it is installed.
pub(crate) fn is_installed() -> bool {
    Command::new("redis-benchmark").arg("--version").stdout(Stdio::null()).status().is_ok()
}

/// Sends `requests` requests.
pub(crate) fn run(
    address: SocketAddr,
    workload: &Workload,
    connections: usize,
    requests: u64,
) -> Result<Run, Error> {
    let value = "v".repeat(workload.value_bytes);
    let (bucket, key) = (workload.bucket.as_str(), "k__rand_int__");
    let command = match workload.operation {
        Operation::Get => vec!["GET", key],
        Operation::Set => vec!["SET", key, &value],
        Operation::Hget => vec!["HGET", bucket, key],
        Operation::Hset => vec!["HSET", bucket, key, &value],
        Operation::Ping => vec!["PING"],
    };
    let (cpu_before, begin) = (CpuTime::of_ended_children()?, Instant::now());
    let output = Command::new("redis-benchmark")
        .args(["-h", &address.ip().to_string(), "-p", &address.port().to_string(), "--csv"])
        .args(["-c", &connections.to_string(), "-n", &requests.to_string()])
        .args(["-P", &workload.pipeline.to_string(), "-r", &workload.keys.to_string()])
        .args(command)
        .stdin(Stdio::null())
        .output()
        .context("cannot run redis-benchmark")?;
    let busy = (CpuTime::of_ended_children()? - cpu_before).total().div_duration_f64(begin.elapsed());
    let text = String::from_utf8_lossy(&output.stdout);
    let per_second = parse_rate(&text).ok_or_else(|| Error::Reply {
        got: text.lines().last().unwrap_or_default().to_owned(),
        expected: "a line of redis-benchmark --csv".to_owned(),
    })?;
    Ok(Run { per_second, was_bottleneck: busy > limits::BUSY_SHARE })
}

/// The second value of the last line.
fn parse_rate(csv: &str) -> Option<f64> {
    csv.lines().last()?.split("\",\"").nth(1)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_rate_is_the_second_value() {
        let csv = "\"test\",\"rps\",\"avg_latency_ms\"\n\"SET k__rand_int__ vvv\",\"192307.69\",\"3.614\"\n";
        assert_eq!(parse_rate(csv), Some(192_307.69));
        assert_eq!(parse_rate("Could not connect to Redis\n"), None);
    }
}
