//! The table of medians and ratios.

use crate::workload::{Operation, flag_name};
use std::fmt;

/// One operation at one batch size.
#[derive(Debug)]
pub(crate) struct Group {
    pub(crate) operation: Operation,
    pub(crate) pipeline: usize,
    pub(crate) rows: Vec<Row>,
}

/// The medians of one contender.
#[derive(Debug)]
pub(crate) struct Row {
    pub(crate) name: String,
    pub(crate) per_second: f64,
    /// Server CPU per request, in user code.
    pub(crate) user_us: f64,
    /// Server CPU per request, in the kernel.
    pub(crate) system_us: f64,
    /// At half of its own maximum; NaN if not measured.
    pub(crate) p99_us: f64,
    pub(crate) load_was_bottleneck: bool,
    pub(crate) fell_behind: bool,
}

impl Row {
    fn cpu_us(&self) -> f64 {
        self.user_us + self.system_us
    }

    /// Percent of its core that the server used.
    fn core(&self) -> f64 {
        self.per_second * self.cpu_us() / 1e6 * 100.0
    }
}

/// The width of the column of names, unless one is longer.
const LEAST_NAME: usize = 18;

/// What the columns mean.
pub(crate) const LEGEND: &str = "\
Medians of all rounds. CPU: of the server, per request, user and system; its CPU: the same as a share of redis's.
core %: of the servers' core. If neither server nor load had a whole core, other processes did: rely on CPU then.
of redis, of echo: requests per second as a share of theirs; the echo, in RESP, is the limit of this machine.
p99: from the intended time of sending, at half of each one's own maximum.";

/// The middle value, or the mean of the two in the middle; NaN without values.
pub(crate) fn median(values: impl Iterator<Item = f64>) -> f64 {
    let mut values: Vec<f64> = values.collect();
    values.sort_by(f64::total_cmp);
    match values.len() {
        0 => f64::NAN,
        odd if odd % 2 == 1 => values[odd / 2],
        even => (values[even / 2 - 1] + values[even / 2]) / 2.0,
    }
}

impl fmt::Display for Group {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let named = |name: &str| self.rows.iter().find(|row| row.name.starts_with(name));
        let (redis, echo) = (named("redis"), named("echo"));
        let operation = flag_name(&self.operation).to_uppercase();
        let head = format!("{operation}, {} at once", self.pipeline);
        let width = self.rows.iter().map(|row| row.name.len()).fold(LEAST_NAME, usize::max);
        writeln!(
            f,
            "{head:<width$} {:>11} {:>7} {:>6} {:>6} {:>6} {:>8} {:>9} {:>7} {:>8}",
            "per second", "CPU us", "user", "system", "core %", "of redis", "its CPU", "of echo", "p99 us"
        )?;
        for row in &self.rows {
            let speed =
                |other: Option<&Row>| other.map_or(f64::NAN, |other| row.per_second / other.per_second);
            let cost = redis.map_or(f64::NAN, |redis| row.cpu_us() / redis.cpu_us());
            write!(f, "{:<width$} {:>11}", row.name, with_thousands(row.per_second))?;
            write!(f, " {:>7.3} {:>6.3} {:>6.3}", row.cpu_us(), row.user_us, row.system_us)?;
            write!(f, " {:>6.0}", row.core())?;
            write!(f, " {} {} {}", cell(speed(redis), 8, 2), cell(cost, 9, 2), cell(speed(echo), 7, 2))?;
            write!(f, " {}", cell(row.p99_us, 8, 0))?;
            if row.load_was_bottleneck {
                write!(f, "  the load was the bottleneck")?;
            }
            if row.fell_behind {
                write!(f, "  fell behind at half of its maximum")?;
            }
            writeln!(f)?;
        }
        Ok(())
    }
}

/// A number, or a dash if it is none.
pub(crate) fn cell(value: f64, width: usize, digits: usize) -> String {
    if value.is_nan() { format!("{:>width$}", "-") } else { format!("{value:>width$.digits$}") }
}

/// `1234567.8` as `1,234,568`.
pub(crate) fn with_thousands(value: f64) -> String {
    let digits = format!("{value:.0}");
    let mut grouped = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            grouped.push(',');
        }
        grouped.push(digit);
    }
    grouped
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(name: &str, per_second: f64, cpu: f64) -> Row {
        Row {
            name: name.into(),
            per_second,
            user_us: cpu / 2.0,
            system_us: cpu / 2.0,
            p99_us: f64::NAN,
            load_was_bottleneck: false,
            fell_behind: false,
        }
    }

    #[test]
    fn ratios_are_to_redis_and_to_the_echo() {
        let rows =
            vec![row("foo 0.1.0", 3_000_000.0, 0.3), row("redis 7", 1_000_000.0, 1.0), row("echo", 4e6, 0.1)];
        let table = Group { operation: Operation::Hget, pipeline: 16, rows }.to_string();
        let lines: Vec<Vec<&str>> = table.lines().map(|line| line.split_whitespace().collect()).collect();
        assert_eq!(
            lines[1],
            ["foo", "0.1.0", "3,000,000", "0.300", "0.150", "0.150", "90", "3.00", "0.30", "0.75", "-"]
        );
    }

    #[test]
    fn a_bottleneck_on_the_load_side_is_shown() {
        let rows = vec![Row { load_was_bottleneck: true, ..row("echo", 1.0, 1.0) }];
        let table = Group { operation: Operation::Get, pipeline: 1, rows }.to_string();
        assert!(table.contains("the load was the bottleneck"), "{table}");
    }

    #[test]
    fn columns_stay_below_their_heads_whatever_the_names() {
        let rows = vec![row("foo 0.1.0 durable resp", 1e6, 0.3), row("echo", 4e6, 0.1)];
        let table = Group { operation: Operation::Hset, pipeline: 1, rows }.to_string();
        let ends: Vec<usize> = table.lines().map(str::len).collect();
        assert_eq!(ends, [ends[0]; 3], "{table}");
    }

    #[test]
    fn a_median_is_in_the_middle() {
        assert_eq!(median([3.0, 1.0, 2.0].into_iter()), 2.0);
        assert_eq!(median([4.0, 1.0, 2.0, 3.0].into_iter()), 2.5);
        assert!(median(std::iter::empty()).is_nan());
    }

    #[test]
    fn thousands_are_set_apart() {
        assert_eq!(
            ["1", "12", "123", "1,234", "1,234,568"].map(String::from),
            [1.0, 12.0, 123.0, 1_234.0, 1_234_567.8].map(with_thousands)
        );
    }
}
