//! Interleaved rounds (A B C, B C A), so that other load on the machine affects all alike.

use super::{
    Compare,
    peer::{Program, supports},
    server::Server,
    table::{Group, LEGEND, Row, median},
};
use crate::{
    error::Error,
    interrupt::Interrupt,
    load::{self, Report},
    workload::{Operation, Protocol, Workload, flag_name},
};

/// A server with one of its protocols.
struct Contender {
    name: String,
    protocol: Protocol,
    /// Its index among the running servers.
    server: usize,
}

/// Starts and fills all servers, then prints one group of rows per operation and batch size.
pub(crate) fn run(compare: &Compare, interrupt: &Interrupt) -> Result<(), Error> {
    let (servers, contenders) = set_up(compare, interrupt)?;
    println!("{LEGEND}\n");
    for operation in compare.operations() {
        for pipeline in compare.pipelines() {
            let echo = compare.workload(Protocol::Resp, *operation, *pipeline);
            let echo_server = Server::start_pinned(&Program::Echo(echo.clone()), interrupt)?;
            let fits = contenders.iter().filter(|contender| supports(contender.protocol, *operation));
            let mut series: Vec<Series<'_>> = fits
                .map(|contender| {
                    let workload = compare.workload(contender.protocol, *operation, *pipeline);
                    Series::new(&contender.name, &servers[contender.server], workload)
                })
                .collect();
            series.push(Series::new("echo", &echo_server, echo));
            println!("{}", measure(compare, *operation, *pipeline, &mut series, interrupt)?);
        }
    }
    Ok(())
}

/// Starts what is installed and writes all keys. A server with wrong replies is left out, with the reason.
fn set_up(compare: &Compare, interrupt: &Interrupt) -> Result<(Vec<Server>, Vec<Contender>), Error> {
    let (mut servers, mut contenders) = (Vec::new(), Vec::new());
    for program in Program::all(compare) {
        let Some(version) = program.version() else {
            println!("not installed: {}", program.path()?.display());
            continue;
        };
        let server = Server::start_pinned(&program, interrupt)?;
        for protocol in program.protocols() {
            let contender = match program.protocols() {
                [_] => version.clone(),
                _ => format!("{version} {}", flag_name(protocol)),
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
        if supports(protocol, operation) {
            load::fill(server.address, &compare.workload(protocol, operation, 1), interrupt)?;
        }
    }
    Ok(())
}

/// The reports of one contender in one group.
struct Series<'a> {
    name: &'a str,
    server: &'a Server,
    workload: Workload,
    reports: Vec<Report>,
    paced: Vec<Report>,
}

impl<'a> Series<'a> {
    fn new(name: &'a str, server: &'a Server, workload: Workload) -> Series<'a> {
        Series { name, server, workload, reports: Vec::new(), paced: Vec::new() }
    }

    fn load(&self, compare: &Compare, rate: Option<u64>, interrupt: &Interrupt) -> Result<Report, Error> {
        let mut plan = compare.plan(self.server.address, self.workload.clone());
        plan.server_pids = vec![self.server.pid()];
        plan.rate = rate;
        load::run(&plan, interrupt)
    }

    fn per_second(&self) -> f64 {
        median(self.reports.iter().map(|report| report.per_second))
    }

    /// Half of its maximum, in requests per second.
    fn half_rate(&self) -> u64 {
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

/// The order of the measurements: each round begins with the next one, so that the order favours none.
pub(crate) fn interleaved_order(rounds: u64, count: usize) -> impl Iterator<Item = usize> {
    (0..rounds as usize).flat_map(move |round| (0..count).map(move |index| (round + index) % count))
}

/// Closed loops for the maximum, then open loops at half of it for the latency.
fn measure(
    compare: &Compare,
    operation: Operation,
    pipeline: usize,
    series: &mut [Series<'_>],
    interrupt: &Interrupt,
) -> Result<Group, Error> {
    let count = series.len();
    for index in interleaved_order(compare.rounds(), count) {
        let report = series[index].load(compare, None, interrupt)?;
        series[index].reports.push(report);
    }
    let paced_rounds = if compare.skip_latency { 0 } else { compare.rounds() };
    for index in interleaved_order(paced_rounds, count) {
        let report = series[index].load(compare, Some(series[index].half_rate()), interrupt)?;
        series[index].paced.push(report);
    }
    Ok(Group { operation, pipeline, rows: series.iter().map(Series::row).collect() })
}
