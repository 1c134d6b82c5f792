//! Servers and load as a user runs them: on all cores, with their defaults, alone or with neighbours.

use super::{
    Compare,
    benchmark::{self, KEY_BYTES},
    neighbours::Neighbours,
    peer::Program,
    round::interleaved_order,
    server::Server,
    table::{cell, median, with_thousands},
};
use crate::{
    cpu::{self, CpuTime},
    error::Error,
    interrupt::Interrupt,
    limits, load,
    workload::{Operation, Protocol, Workload, flag_name},
};
use std::fmt;

/// What the columns mean.
const LEGEND: &str = "\
Medians of all rounds; nothing is pinned. CPU us: of the server, per request. waits: of its threads, per request.
of redis, its CPU: requests per second, and CPU per request, as a share of redis's; the others likewise.
The echo stores nothing: what it costs is the kernel's.";

/// Starts and fills all servers, then prints a table for each case.
pub(crate) fn run(compare: &Compare, interrupt: &Interrupt) -> Result<(), Error> {
    let contenders = set_up(compare, interrupt)?;
    let (loads, cases): (&[Load], &[Neighbours]) = match compare.neighbours {
        true => (&[Load::RedisBenchmark], &Neighbours::ALL),
        false => (&[Load::KvBench, Load::RedisBenchmark], &Neighbours::ALL[..1]),
    };
    println!("{LEGEND}\n");
    for load in loads {
        if *load == Load::RedisBenchmark && !benchmark::is_installed() {
            println!("not installed: redis-benchmark");
            continue;
        }
        for operation in compare.operations() {
            for pipeline in compare.pipelines() {
                for neighbours in cases {
                    let case = Case { load: *load, operation: *operation, pipeline: *pipeline };
                    println!("{}", case.measure(compare, *neighbours, &contenders, interrupt)?);
                }
            }
        }
    }
    Ok(())
}

/// A server that runs.
struct Contender {
    name: String,
    server: Server,
    /// By what the others are compared with it, if they are.
    reference: Option<&'static str>,
}

fn set_up(compare: &Compare, interrupt: &Interrupt) -> Result<Vec<Contender>, Error> {
    let mut programs = vec![(Program::Ours(compare.ours.clone()), None)];
    if compare.neighbours {
        programs.push((Program::OursWithEpoll(compare.ours.clone()), Some("epoll")));
    }
    programs.push((Program::Redis(compare.redis.clone()), Some("redis")));
    programs.push((Program::Valkey(compare.valkey.clone()), Some("valkey")));
    let mut contenders = Vec::new();
    for (program, reference) in programs {
        let program = if compare.durable { program.durable() } else { program };
        let Some(name) = program.version() else {
            println!("not installed: {}", program.path()?.display());
            continue;
        };
        let server = Server::start(&program, interrupt)?;
        for operation in [Operation::Hset, Operation::Set] {
            load::fill(server.address, &workload(compare, operation, 1), interrupt)?;
        }
        contenders.push(Contender { name, server, reference });
    }
    Ok(contenders)
}

/// Keys of the length that redis-benchmark can make.
fn workload(compare: &Compare, operation: Operation, pipeline: usize) -> Workload {
    Workload { key_bytes: KEY_BYTES, ..compare.workload(Protocol::Resp, operation, pipeline) }
}

/// The program that makes the load.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Load {
    KvBench,
    RedisBenchmark,
}

#[derive(Debug, Clone, Copy)]
struct Case {
    load: Load,
    operation: Operation,
    pipeline: usize,
}

/// One measurement.
struct Sample {
    per_second: f64,
    cpu_us: f64,
    waits: f64,
    load_was_bottleneck: bool,
}

impl Case {
    fn measure(
        self,
        compare: &Compare,
        neighbours: Neighbours,
        contenders: &[Contender],
        interrupt: &Interrupt,
    ) -> Result<Table, Error> {
        let _running = neighbours.start()?;
        let requests = self.benchmark_requests(compare, &contenders[0].server)?;
        let echo = self.echo(compare, interrupt)?;
        let contenders: Vec<&Contender> = contenders.iter().chain(&echo).collect();
        let mut samples: Vec<Vec<Sample>> = contenders.iter().map(|_| Vec::new()).collect();
        for index in interleaved_order(compare.rounds(), contenders.len()) {
            interrupt.check()?;
            samples[index].push(self.sample(compare, requests, &contenders[index].server, interrupt)?);
        }
        let rows = contenders.iter().zip(&samples).map(|(contender, samples)| Row::new(contender, samples));
        let load = if self.load == Load::KvBench { "kv_bench" } else { "redis-benchmark" };
        let operation = flag_name(&self.operation).to_uppercase();
        let title = format!("{operation}, {} at once, by {load}, {neighbours}", self.pipeline);
        Ok(Table { title, rows: rows.collect() })
    }

    /// A server that echoes the workload; `None` if the load is not ours.
    fn echo(self, compare: &Compare, interrupt: &Interrupt) -> Result<Option<Contender>, Error> {
        if self.load != Load::KvBench {
            return Ok(None);
        }
        let program = Program::Echo(workload(compare, self.operation, self.pipeline));
        let server = Server::start(&program, interrupt)?;
        Ok(Some(Contender { name: "echo".into(), server, reference: None }))
    }

    /// How many requests redis-benchmark, which takes no time, is to send to each server.
    fn benchmark_requests(self, compare: &Compare, server: &Server) -> Result<u64, Error> {
        if self.load == Load::KvBench {
            return Ok(0);
        }
        let workload = workload(compare, self.operation, self.pipeline);
        let requests = limits::PROBE_BATCHES * self.pipeline as u64;
        let probe = benchmark::run(server.address, &workload, compare.connections, requests)?;
        Ok((probe.per_second * compare.seconds().as_secs_f64()) as u64)
    }

    fn sample(
        self,
        compare: &Compare,
        benchmark_requests: u64,
        server: &Server,
        interrupt: &Interrupt,
    ) -> Result<Sample, Error> {
        let workload = workload(compare, self.operation, self.pipeline);
        let (cpu_before, waits_before) = (CpuTime::of(server.pid())?, cpu::waits(server.pid())?);
        let (per_second, requests, load_was_bottleneck) = match self.load {
            Load::KvBench => {
                let report = load::run(&compare.plan(server.address, workload), interrupt)?;
                (report.per_second, report.requests, report.load_was_bottleneck)
            }
            Load::RedisBenchmark => {
                let run = benchmark::run(server.address, &workload, compare.connections, benchmark_requests);
                // It is interrupted by the same key.
                interrupt.check()?;
                run.map(|run| (run.per_second, benchmark_requests, run.was_bottleneck))?
            }
        };
        let cpu = (CpuTime::of(server.pid())? - cpu_before).total();
        let waits = cpu::waits(server.pid())? - waits_before;
        Ok(Sample {
            per_second,
            cpu_us: cpu.as_secs_f64() * 1e6 / requests as f64,
            waits: waits as f64 / requests as f64,
            load_was_bottleneck,
        })
    }
}

/// The medians of one contender.
struct Row {
    name: String,
    reference: Option<&'static str>,
    per_second: f64,
    cpu_us: f64,
    waits: f64,
    load_was_bottleneck: bool,
}

impl Row {
    fn new(contender: &Contender, samples: &[Sample]) -> Row {
        let median_of = |value: fn(&Sample) -> f64| median(samples.iter().map(value));
        Row {
            name: contender.name.clone(),
            reference: contender.reference,
            per_second: median_of(|sample| sample.per_second),
            cpu_us: median_of(|sample| sample.cpu_us),
            waits: median_of(|sample| sample.waits),
            load_was_bottleneck: samples.iter().filter(|sample| sample.load_was_bottleneck).count() * 2
                > samples.len(),
        }
    }
}

/// The rows of one case.
struct Table {
    title: String,
    rows: Vec<Row>,
}

impl fmt::Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}", self.title)?;
        write!(f, "{:<18} {:>11} {:>7} {:>7}", "", "per second", "CPU us", "waits")?;
        let references = || self.rows.iter().filter_map(|row| Some((row.reference?, row)));
        for (name, _) in references() {
            write!(f, " {:>10} {:>8}", format!("of {name}"), "its CPU")?;
        }
        writeln!(f)?;
        for row in &self.rows {
            write!(f, "{:<18} {:>11}", row.name, with_thousands(row.per_second))?;
            write!(f, " {:>7.3} {:>7.4}", row.cpu_us, row.waits)?;
            for (_, other) in references() {
                let (speed, cost) = (row.per_second / other.per_second, row.cpu_us / other.cpu_us);
                write!(f, " {} {}", cell(speed, 10, 2), cell(cost, 8, 2))?;
            }
            if row.load_was_bottleneck {
                write!(f, "  the load was the bottleneck")?;
            }
            writeln!(f)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_are_compared_with_every_peer() {
        let row = |name: &str, reference, per_second, cpu_us| Row {
            name: name.into(),
            reference,
            per_second,
            cpu_us,
            waits: 0.25,
            load_was_bottleneck: reference.is_none(),
        };
        let rows = vec![
            row("foo 0.1.0", None, 3_000.0, 4.0),
            row("redis 7", Some("redis"), 2_000.0, 5.0),
            row("valkey 9", Some("valkey"), 1_500.0, 8.0),
        ];
        let table = Table { title: "GET".into(), rows }.to_string();
        let lines: Vec<Vec<&str>> = table.lines().map(|line| line.split_whitespace().collect()).collect();
        let cells = ["foo", "0.1.0", "3,000", "4.000", "0.2500", "1.50", "0.80", "2.00", "0.50"];
        assert_eq!(lines[2][..cells.len()], cells);
        assert!(table.contains("of redis") && table.contains("of valkey"), "{table}");
        assert_eq!(table.matches("the load was the bottleneck").count(), 1);
    }
}
