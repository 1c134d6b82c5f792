//! The table of medians and ratios.

use crate::{
    compare::{cell, median, with_thousands},
    load::Report,
    workload::{Operation, flag_name},
};
use std::fmt;

/// How the names of those rows begin with which others are compared.
pub(super) const ETCD: &str = "etcd";
pub(super) const VOLATILE: &str = "volatile, one node";

/// What the columns mean.
pub(super) const LEGEND: &str = "\
Medians of all rounds; nothing is pinned. CPU us: of all nodes together, per request; its CPU: the same as a share
of etcd's. leader's CPU: as a multiple of what the same costs when it is sent to the leader. of volatile: requests
per second as a share of one node without copies.";

/// The medians of one place that requests are sent to.
#[derive(Debug)]
pub(super) struct Medians {
    name: String,
    is_leader: bool,
    per_second: f64,
    cpu_us: f64,
    p50_us: f64,
    p99_us: f64,
    load_was_bottleneck: bool,
}

impl Medians {
    pub(super) fn new(name: &str, is_leader: bool, reports: &[Report]) -> Medians {
        let median_of = |value: fn(&Report) -> f64| median(reports.iter().map(value));
        Medians {
            name: name.into(),
            is_leader,
            per_second: median_of(|report| report.per_second),
            cpu_us: median_of(|report| report.server_cpu_us.map_or(f64::NAN, |cpu| cpu.total())),
            p50_us: median_of(|report| report.latency_us.p50),
            p99_us: median_of(|report| report.latency_us.p99),
            load_was_bottleneck: reports.iter().filter(|report| report.load_was_bottleneck).count() * 2
                > reports.len(),
        }
    }

    fn place(&self) -> String {
        match (self.name == VOLATILE, self.is_leader) {
            (true, _) => self.name.clone(),
            (false, true) => format!("{}, leader", self.name),
            (false, false) => format!("{}, another node", self.name),
        }
    }
}

/// The rows of one operation at one batch size.
#[derive(Debug)]
pub(super) struct Table {
    pub(super) operation: Operation,
    pub(super) pipeline: usize,
    pub(super) rows: Vec<Medians>,
}

impl fmt::Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let title = format!("{}, {} at once", flag_name(&self.operation).to_uppercase(), self.pipeline);
        let width = self.rows.iter().map(|row| row.place().len()).fold(title.len(), usize::max);
        writeln!(
            f,
            "{title:<width$} {:>10} {:>7} {:>7} {:>7} {:>7} {:>7} {:>12} {:>11}",
            "per second", "CPU us", "p50 us", "p99 us", "of etcd", "its CPU", "leader's CPU", "of volatile"
        )?;
        for row in &self.rows {
            let mut rows = self.rows.iter();
            let etcd = rows.clone().find(|other| {
                other.name.starts_with(ETCD) && other.is_leader == row.is_leader && row.name != VOLATILE
            });
            let leader = rows.clone().find(|other| other.name == row.name && other.is_leader);
            let volatile = rows.find(|other| other.name == VOLATILE);
            let speed =
                |other: Option<&Medians>| other.map_or(f64::NAN, |other| row.per_second / other.per_second);
            let cost = |other: Option<&Medians>| other.map_or(f64::NAN, |other| row.cpu_us / other.cpu_us);
            write!(f, "{:<width$} {:>10}", row.place(), with_thousands(row.per_second))?;
            write!(f, " {} {} {}", cell(row.cpu_us, 7, 2), cell(row.p50_us, 7, 0), cell(row.p99_us, 7, 0))?;
            write!(f, " {} {}", cell(speed(etcd), 7, 2), cell(cost(etcd), 7, 2))?;
            write!(f, " {} {}", cell(cost(leader), 12, 2), cell(speed(volatile), 11, 2))?;
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
    fn rows_are_compared_with_etcd_at_the_same_place_with_their_leader_and_with_a_volatile_node() {
        let row = |name: &str, is_leader, per_second, cpu_us| Medians {
            name: name.into(),
            is_leader,
            per_second,
            cpu_us,
            p50_us: 100.0,
            p99_us: 200.0,
            load_was_bottleneck: name == VOLATILE,
        };
        let rows = vec![
            row("foo 1", true, 3_000.0, 4.0),
            row("foo 1", false, 2_000.0, 10.0),
            row(VOLATILE, true, 4_000.0, 1.0),
            row("etcd 3", true, 1_000.0, 40.0),
            row("etcd 3", false, 500.0, 50.0),
        ];
        let table = Table { operation: Operation::Set, pipeline: 1, rows }.to_string();
        let lines: Vec<_> = table.lines().collect();
        assert!(lines[1].ends_with("3.00    0.10         1.00        0.75"), "{table}");
        assert!(lines[2].ends_with("4.00    0.20         2.50        0.50"), "{table}");
        assert!(
            lines[3].contains("- ") && lines[3].ends_with("1.00  the load was the bottleneck"),
            "{table}"
        );
    }
}
