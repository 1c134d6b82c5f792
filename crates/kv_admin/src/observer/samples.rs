//! The last 15 minutes of a node in numbers: one sample each second, of series that are always the same.

use kv_metrics::{Family, Histogram, SampleValue};
use serde::Serialize;
use std::collections::VecDeque;

/// Samples that are kept: 15 minutes of one each second.
const KEPT: usize = 900;

/// The series of each sample, in this order. Rates are those of the second before, durations are in seconds.
pub(super) const SERIES: [&str; 33] = [
    "ops",
    "ops_text",
    "ops_get",
    "ops_set",
    "ops_hget",
    "ops_hset",
    "ops_delete",
    "ops_other",
    "latency_p50",
    "latency_p99",
    "latency_p999",
    "errors",
    "hit_rate",
    "memory_used",
    "memory_free",
    "memory_limit",
    "client_memory",
    "client_memory_limit",
    "resident",
    "cpu",
    "connections",
    "connections_limit",
    "received",
    "sent",
    "buckets",
    "expired",
    "crashed",
    "sync_p99",
    "syncs",
    "log_bytes",
    "lag",
    "calls_in_flight",
    "links_up",
];

/// The commands that are counted by themselves, by their series.
const COMMANDS: [(&str, &[&str]); 5] = [
    ("ops_get", &["get", "mget", "getrange"]),
    ("ops_set", &["set", "mset", "setex", "psetex", "setnx", "append"]),
    ("ops_hget", &["hget", "hmget", "hgetall", "hkeys", "hvals"]),
    ("ops_hset", &["hset", "hmset", "hsetnx"]),
    ("ops_delete", &["del", "unlink", "hdel", "getdel"]),
];

/// What the series had at a Unix time in seconds; `None` is not known.
pub(super) type Row = (u64, Vec<Option<f32>>);

/// The samples of one node.
#[derive(Debug, Default)]
pub(super) struct Samples(VecDeque<Row>);

/// The samples as columns, as the page draws them.
#[derive(Debug, Serialize)]
pub(super) struct Columns {
    times: Vec<u64>,
    values: Vec<Column>,
}

/// The values of a series: one alone stands for as many as there are times.
#[derive(Debug, Serialize)]
#[serde(untagged)]
enum Column {
    Same(Option<f32>),
    Each(Vec<Option<f32>>),
}

impl Samples {
    /// Adds a sample, unless there is one of its second.
    pub(super) fn push(&mut self, row: Row) {
        if row.0 <= self.last_time() || row.1.len() != SERIES.len() {
            return;
        }
        if self.0.len() == KEPT {
            self.0.pop_front();
        }
        self.0.push_back(row);
    }

    /// When the newest was taken, or 0.
    pub(super) fn last_time(&self) -> u64 {
        self.0.back().map_or(0, |(time, _)| *time)
    }

    /// Those after a time.
    pub(super) fn since(&self, time: u64) -> impl Iterator<Item = &Row> {
        self.0.range(self.0.partition_point(|(at, _)| *at <= time)..)
    }

    /// All of them.
    pub(super) fn columns(&self) -> Columns {
        let column = |index: usize| {
            let mut values = self.0.iter().map(|(_, values)| values[index]);
            let first = values.next().flatten();
            match values.all(|value| value == first) {
                true => Column::Same(first),
                false => Column::Each(self.0.iter().map(|(_, values)| values[index]).collect()),
            }
        };
        Columns {
            times: self.0.iter().map(|(time, _)| *time).collect(),
            values: (0..SERIES.len()).map(column).collect(),
        }
    }
}

/// Makes samples of the numbers of a node: what is counted since the last one, and what is measured now.
#[derive(Debug, Default)]
pub(super) struct Sampler {
    last: Option<(f64, Counts)>,
}

/// What only grows.
#[derive(Debug, Clone, Default)]
struct Counts {
    totals: Vec<(&'static str, f64)>,
    latencies: Histogram,
}

impl Sampler {
    /// A sample at a time in seconds.
    pub(super) fn sample(&mut self, now: f64, families: &[Family]) -> Row {
        let counts = Counts::of(families);
        let mut values = gauges(families);
        if let Some((last, before)) = &self.last {
            values.extend(counts.rates(before, (now - last).max(0.001)));
        }
        self.last = Some((now, counts));
        let value = |series: &&str| {
            let found = values.iter().find(|(name, _)| name == series);
            found.map(|(_, value)| *value as f32).filter(|value| value.is_finite())
        };
        (now as u64, SERIES.iter().map(value).collect())
    }
}

impl Counts {
    fn of(families: &[Family]) -> Counts {
        let sum = |name| sum(families, name).unwrap_or_default();
        let calls = |commands: &[&str]| {
            let family = families.iter().find(|family| family.name == "kv_command_calls_total");
            let samples = family.into_iter().flat_map(|family| &family.samples);
            let is_one = |label: &(&str, String)| label.0 == "command" && commands.contains(&&*label.1);
            samples
                .filter(|sample| sample.labels.iter().any(is_one))
                .map(|sample| number(&sample.value))
                .sum()
        };
        let (text, all) = (sum("kv_text_requests_total"), sum("kv_command_calls_total"));
        let mut totals: Vec<(&str, f64)> = COMMANDS.iter().map(|(name, of)| (*name, calls(of))).collect();
        let other = all - totals.iter().map(|(_, calls)| calls).sum::<f64>();
        totals.extend([
            ("ops_text", text),
            ("ops_other", other),
            ("ops", all + text),
            ("errors", sum("kv_error_replies_total")),
            ("received", sum("kv_client_received_bytes_total")),
            ("sent", sum("kv_client_sent_bytes_total")),
            ("expired", sum("kv_buckets_expired_total")),
            ("crashed", sum("kv_bucket_crashes_total")),
            ("syncs", sum("kv_range_syncs_total")),
            ("cpu", sum("process_cpu_seconds_total")),
            ("hits", sum("kv_reads_hit_total")),
            ("misses", sum("kv_reads_missed_total")),
        ]);
        if !families.iter().any(|family| family.name == "kv_text_requests_total") {
            totals.retain(|(name, _)| {
                !name.starts_with("ops") && !["errors", "received", "sent"].contains(name)
            });
        }
        let mut latencies = Histogram::default();
        for sample in
            families.iter().filter(|family| family.name == "kv_command_seconds").flat_map(|f| &f.samples)
        {
            if let SampleValue::Histogram(histogram) = &sample.value {
                latencies.add(histogram);
            }
        }
        Counts { totals, latencies }
    }

    /// What has been counted since, by series. A counter that was reset begins with 0.
    fn rates(&self, before: &Counts, seconds: f64) -> Vec<(&'static str, f64)> {
        let total = |counts: &Counts, name: &str| {
            counts.totals.iter().find(|(of, _)| *of == name).map_or(0.0, |(_, total)| *total)
        };
        let grown = |name: &str| match (total(self, name), total(before, name)) {
            (now, before) if now >= before => now - before,
            (now, _) => now,
        };
        let mut rates: Vec<_> = self.totals.iter().map(|(name, _)| (*name, grown(name) / seconds)).collect();
        let (hits, misses) = (grown("hits"), grown("misses"));
        if hits + misses > 0.0 {
            rates.push(("hit_rate", hits / (hits + misses)));
        }
        let latencies = self.latencies.since(&before.latencies);
        if latencies.count() > 0 {
            let percentiles = [("latency_p50", 50.0), ("latency_p99", 99.0), ("latency_p999", 99.9)];
            rates.extend(percentiles.map(|(name, of)| (name, latencies.percentile(of).as_secs_f64())));
        }
        rates
    }
}

/// What is measured, by series.
fn gauges(families: &[Family]) -> Vec<(&'static str, f64)> {
    let sums = [
        ("memory_used", "kv_memory_used_bytes"),
        ("memory_free", "kv_memory_free_bytes"),
        ("memory_limit", "kv_memory_limit_bytes"),
        ("client_memory", "kv_client_memory_bytes"),
        ("client_memory_limit", "kv_client_memory_limit_bytes"),
        ("resident", "process_resident_memory_bytes"),
        ("connections", "kv_clients"),
        ("connections_limit", "kv_clients_limit"),
        ("buckets", "kv_buckets"),
        ("log_bytes", "kv_range_log_bytes"),
        ("calls_in_flight", "kv_link_calls_in_flight"),
        ("links_up", "kv_link_up"),
    ];
    let maxima = [("sync_p99", "kv_range_sync_p99_seconds"), ("lag", "kv_range_replica_lag_entries")];
    let sums = sums.into_iter().filter_map(|(series, name)| Some((series, sum(families, name)?)));
    let maxima = maxima
        .into_iter()
        .filter_map(|(series, name)| Some((series, numbers(families, name).reduce(f64::max)?)));
    sums.chain(maxima).collect()
}

/// The numbers of a family.
fn numbers(families: &[Family], name: &str) -> impl Iterator<Item = f64> {
    let family = families.iter().find(|family| family.name == name);
    family.into_iter().flat_map(|family| &family.samples).map(|sample| number(&sample.value))
}

fn sum(families: &[Family], name: &str) -> Option<f64> {
    numbers(families, name).reduce(|sum, number| sum + number)
}

fn number(value: &SampleValue) -> f64 {
    match value {
        SampleValue::Integer(number) => *number as f64,
        SampleValue::Float(number) => *number,
        SampleValue::Histogram(histogram) => histogram.count() as f64,
    }
}

/// The number of a family that is about a node.
pub(super) fn of_node(families: &[Family], name: &str, node: &str) -> Option<f64> {
    let family = families.iter().find(|family| family.name == name)?;
    family.value(&[("node", node)]).map(number)
}

#[cfg(test)]
mod tests {
    use super::*;
    use kv_metrics::{AtomicHistogram, MetricsRegistry};
    use serde_json::json;

    fn families(calls: u64, nanos: &[u64], clients: u64) -> Vec<Family> {
        let registry = MetricsRegistry::default();
        let (latencies, mut histogram) = (AtomicHistogram::new(), Histogram::default());
        nanos.iter().for_each(|nanos| latencies.record(*nanos, 1));
        latencies.add_to(&mut histogram);
        registry.register(move |families| {
            families.counter("kv_text_requests_total", "").set(0_u64);
            families.counter("kv_command_calls_total", "").add(&[("command", "get")], calls);
            families.counter("kv_command_calls_total", "").add(&[("command", "ping")], 2 * calls);
            families.histogram("kv_command_seconds", "").add(&[("command", "get")], histogram.clone());
            families.gauge("kv_clients", "").set(clients);
        });
        registry.collect()
    }

    fn value((_, values): &Row, series: &str) -> Option<f32> {
        values[SERIES.iter().position(|name| *name == series).expect("a series")]
    }

    #[test]
    fn counters_become_rates_and_histograms_the_percentiles_of_their_second() {
        let mut sampler = Sampler::default();
        let first = sampler.sample(100.0, &families(10, &[1_000_000], 3));
        assert_eq!((first.0, value(&first, "ops"), value(&first, "connections")), (100, None, Some(3.0)));
        let second = sampler.sample(102.0, &families(30, &[1_000_000, 15], 4));
        let rates = ["ops", "ops_get", "ops_other", "ops_text"].map(|series| value(&second, series));
        assert_eq!(rates, [Some(30.0), Some(10.0), Some(20.0), Some(0.0)]);
        assert_eq!((value(&second, "latency_p99"), value(&second, "connections")), (Some(15e-9), Some(4.0)));
        let reset = sampler.sample(103.0, &families(5, &[], 4));
        assert_eq!((value(&reset, "ops_get"), value(&reset, "latency_p99")), (Some(5.0), None));
        assert_eq!(value(&sampler.sample(104.0, &[]), "ops"), None, "without a server for clients");
    }

    #[test]
    fn the_last_15_minutes_are_kept_and_a_series_that_stays_the_same_is_one_value() {
        let mut samples = Samples::default();
        for time in 1..=2_000 {
            let mut values = vec![None; SERIES.len()];
            (values[0], values[1]) = (Some(time as f32), Some(7.0));
            samples.push((time, values));
        }
        samples.push((2_000, vec![None; SERIES.len()]));
        assert_eq!((samples.last_time(), samples.since(1_998).count()), (2_000, 2));
        assert_eq!((samples.since(0).count(), samples.since(2_000).count()), (KEPT, 0));
        let columns = json!(samples.columns());
        assert_eq!(columns["times"][0], json!(1_101));
        assert_eq!(columns["values"][0][899], json!(2_000.0));
        assert_eq!((&columns["values"][1], &columns["values"][2]), (&json!(7.0), &json!(null)));
    }
}
