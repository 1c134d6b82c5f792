//! Interleaved rounds: A B C, B C A, so that what else the machine does falls on all alike.

use super::{
    Compare,
    peer::{Program, knows},
    server::Server,
    table::{Group, LEGEND, Row, median},
};
use crate::{
    error::Error,
    interrupt::Interrupt,
    load::{self, Report},
    workload::{Operation, Protocol, Workload, name},
};

/// A server as one protocol shows it.
struct Contender {
    name: String,
    protocol: Protocol,
    /// Which of the running servers it is.
    server: usize,
}

/// Starts and fills everything, then prints one group of rows per operation and batch size.
pub(crate) fn run(compare: &Compare, interrupt: &Interrupt) -> Result<(), Error> {
    let (servers, contenders) = set_up(compare, interrupt)?;
    println!("{LEGEND}\n");
    for operation in &compare.operations {
        for pipeline in compare.pipelines() {
            let echo = compare.workload(Protocol::Resp, *operation, *pipeline);
            let echo_server = Server::start(&Program::Echo(echo.clone()), interrupt)?;
            let fits = contenders.iter().filter(|contender| knows(contender.protocol, *operation));
            let mut lanes: Vec<Lane<'_>> = fits
                .map(|contender| {
                    let workload = compare.workload(contender.protocol, *operation, *pipeline);
                    Lane::new(&contender.name, &servers[contender.server], workload)
                })
                .collect();
            lanes.push(Lane::new("echo", &echo_server, echo));
            println!("{}", measure(compare, *operation, *pipeline, &mut lanes, interrupt)?);
        }
    }
    Ok(())
}

/// Starts whatever is installed and writes all keys. Who does not answer as it should is left out, with the reason.
fn set_up(compare: &Compare, interrupt: &Interrupt) -> Result<(Vec<Server>, Vec<Contender>), Error> {
    let (mut servers, mut contenders) = (Vec::new(), Vec::new());
    for program in Program::all(&compare.ours) {
        let Some(version) = program.version() else {
            println!("not installed: {}", program.path()?.display());
            continue;
        };
        let server = Server::start(&program, interrupt)?;
        for protocol in program.protocols() {
            let contender = match program.protocols() {
                [_] => version.clone(),
                _ => format!("{version} {}", name(protocol)),
            };
            match fill(compare, &server, *protocol, interrupt) {
                Err(Error::Interrupted) => return Err(Error::Interrupted),
                Err(error) => println!("left out: {contender}: {error}"),
                Ok(()) => {
                    contenders.push(Contender { name: contender, protocol: *protocol, server: servers.len() })
                }
            }
        }
        servers.push(server);
    }
    println!();
    Ok((servers, contenders))
}

fn fill(compare: &Compare, server: &Server, protocol: Protocol, interrupt: &Interrupt) -> Result<(), Error> {
    for operation in [Operation::Hset, Operation::Set] {
        if knows(protocol, operation) {
            load::fill(server.address, &compare.workload(protocol, operation, 1), interrupt)?;
        }
    }
    Ok(())
}

/// What one contender did in all rounds of one group.
struct Lane<'a> {
    name: &'a str,
    server: &'a Server,
    workload: Workload,
    reports: Vec<Report>,
    paced: Vec<Report>,
}

impl<'a> Lane<'a> {
    fn new(name: &'a str, server: &'a Server, workload: Workload) -> Lane<'a> {
        Lane { name, server, workload, reports: Vec::new(), paced: Vec::new() }
    }

    fn load(&self, compare: &Compare, rate: Option<u64>, interrupt: &Interrupt) -> Result<Report, Error> {
        let mut plan = compare.plan(self.server.address, self.workload.clone());
        plan.server_pid = Some(self.server.pid());
        plan.rate = rate;
        load::run(&plan, interrupt)
    }

    fn per_second(&self) -> f64 {
        median(self.reports.iter().map(|report| report.per_second))
    }

    /// Requests per second that leave it half of its time.
    fn half(&self) -> u64 {
        (self.per_second() / 2.0).max(1.0) as u64
    }

    fn row(&self) -> Row {
        let server = self.reports.iter().filter_map(|report| report.server_cpu_us);
        let busy = self.reports.iter().filter(|report| report.load_was_bottleneck).count();
        Row {
            name: self.name.into(),
            per_second: self.per_second(),
            user_us: median(server.clone().map(|cpu| cpu.user)),
            system_us: median(server.map(|cpu| cpu.system)),
            p99_us: median(self.paced.iter().map(|report| report.latency_us.p99)),
            load_was_bottleneck: busy * 2 > self.reports.len(),
            fell_behind: self.paced.iter().filter(|report| report.fell_behind).count() * 2 > self.paced.len(),
        }
    }
}

/// Whose turn it is, round after round. Each round begins with another one, so that nobody gains by its place.
fn turns(rounds: u64, count: usize) -> impl Iterator<Item = usize> {
    (0..rounds as usize).flat_map(move |round| (0..count).map(move |place| (round + place) % count))
}

/// Closed loops for the maximum, then open loops at half of it for the latency.
fn measure(
    compare: &Compare,
    operation: Operation,
    pipeline: usize,
    lanes: &mut [Lane<'_>],
    interrupt: &Interrupt,
) -> Result<Group, Error> {
    let count = lanes.len();
    for turn in turns(compare.rounds(), count) {
        let report = lanes[turn].load(compare, None, interrupt)?;
        lanes[turn].reports.push(report);
    }
    let paced_rounds = if compare.skip_latency { 0 } else { compare.rounds() };
    for turn in turns(paced_rounds, count) {
        let report = lanes[turn].load(compare, Some(lanes[turn].half()), interrupt)?;
        lanes[turn].paced.push(report);
    }
    Ok(Group { operation, pipeline, rows: lanes.iter().map(Lane::row).collect() })
}
