//! The load generator against its own echo, as processes.

use serde_json::Value;
use std::{
    io::{BufRead, BufReader},
    process::{Child, Command, Output, Stdio},
};

const WORKLOAD: [&str; 4] = ["--operation=get", "--pipeline=4", "--keys=1000", "--value-bytes=100"];

/// An echo that ends with the test.
struct Echo {
    child: Child,
    address: String,
}

impl Echo {
    fn start(protocol: &str) -> Echo {
        let mut child =
            kv_bench("echo", protocol).args(WORKLOAD).stdout(Stdio::piped()).spawn().expect("it starts");
        let mut address = String::new();
        let stdout = child.stdout.take().expect("a pipe");
        BufReader::new(stdout).read_line(&mut address).expect("it prints its address");
        Echo { child, address: address.trim().into() }
    }

    fn load(&self, protocol: &str, flags: &[&str]) -> Output {
        let mut load = kv_bench("load", protocol);
        // An echo takes no writes.
        load.args(["--address", &self.address, "--connections=3", "--json", "--skip-fill"])
            .args(WORKLOAD)
            .args(flags);
        load.output().expect("it runs")
    }
}

impl Drop for Echo {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn kv_bench(verb: &str, protocol: &str) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_kv_bench"));
    command.args([verb, "--protocol", protocol]);
    command
}

fn report(output: &Output) -> Value {
    serde_json::from_slice(&output.stdout).unwrap_or_else(|error| panic!("{error}: {output:?}"))
}

#[test]
fn every_request_is_answered_in_every_protocol() {
    for protocol in ["text", "resp", "memcached"] {
        let report = report(&Echo::start(protocol).load(protocol, &["--requests=1000"]));
        assert_eq!(report["requests"], 1000, "{protocol}");
        assert!(report["latency_us"]["p50"].as_f64() > Some(0.0), "{report}");
    }
}

#[test]
fn an_open_loop_keeps_its_rate() {
    // 10,000 a second for 400 requests is 40 ms, less the last batch's interval.
    let report = report(&Echo::start("resp").load("resp", &["--requests=400", "--rate=10000"]));
    assert_eq!(report["requests"], 400);
    assert!(report["seconds"].as_f64() >= Some(0.0396), "{report}");
}

#[test]
fn the_servers_cpu_time_is_reported_where_its_pid_is_known() {
    let echo = Echo::start("resp");
    let report = report(&echo.load("resp", &["--requests=8", "--server-pid", &echo.child.id().to_string()]));
    assert!(report["server_cpu_us"]["user"].is_number(), "{report}");
}

#[test]
fn an_unexpected_reply_ends_the_measurement() {
    let output = Echo::start("memcached").load("text", &["--requests=1000"]);
    assert!(!output.status.success());
    let log = String::from_utf8_lossy(&output.stderr);
    assert!(log.contains("the server answered"), "{log}");
}

#[test]
fn other_machines_are_refused() {
    let output = kv_bench("load", "resp").args(["--address", "192.0.2.1:6379"]).output().expect("it runs");
    assert!(!output.status.success());
    assert!(String::from_utf8_lossy(&output.stderr).contains("not a loopback address"));
}
