//! `/metrics`: all numbers of the registry, in the text format of Prometheus.

use crate::context::Context;
use axum::{
    extract::State,
    http::{HeaderName, header::CONTENT_TYPE},
};
use kv_metrics::{Family, FamilyKind, Histogram, Sample, SampleValue};
use std::fmt::Write;

pub(crate) async fn metrics(State(context): State<Context>) -> ([(HeaderName, &'static str); 1], String) {
    let text = text(&context.registry.collect());
    ([(CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")], text)
}

fn text(families: &[Family]) -> String {
    let mut text = String::new();
    for Family { name, help, kind, samples } in families {
        let kind = match kind {
            FamilyKind::Counter => "counter",
            FamilyKind::Gauge => "gauge",
            FamilyKind::Histogram => "histogram",
        };
        let help = help.replace('\\', r"\\").replace('\n', r"\n");
        line(&mut text, format_args!("# HELP {name} {help}"));
        line(&mut text, format_args!("# TYPE {name} {kind}"));
        samples.iter().for_each(|sample| add_sample(&mut text, name, sample));
    }
    text
}

fn add_sample(text: &mut String, name: &str, Sample { labels, value }: &Sample) {
    let labels: Vec<_> =
        labels.iter().map(|(name, value)| format!("{name}=\"{}\"", escaped(value))).collect();
    match value {
        SampleValue::Integer(number) => line(text, format_args!("{name}{} {number}", braces(&labels))),
        SampleValue::Float(number) => line(text, format_args!("{name}{} {number}", braces(&labels))),
        SampleValue::Histogram(histogram) => add_histogram(text, name, &labels, histogram),
    }
}

fn add_histogram(text: &mut String, name: &str, labels: &[String], histogram: &Histogram) {
    let mut bucket = |bound: &str, count: u64| {
        let labels = [labels, &[format!("le=\"{bound}\"")]].concat();
        line(text, format_args!("{name}_bucket{} {count}", braces(&labels)));
    };
    for (nanos, count) in Histogram::BOUNDS.iter().zip(histogram.cumulative()) {
        bucket(&(*nanos as f64 / 1e9).to_string(), count);
    }
    bucket("+Inf", histogram.count());
    let labels = braces(labels);
    line(text, format_args!("{name}_sum{labels} {}", histogram.sum().as_secs_f64()));
    line(text, format_args!("{name}_count{labels} {}", histogram.count()));
}

fn line(text: &mut String, line: std::fmt::Arguments<'_>) {
    writeln!(text, "{line}").expect("a String can grow");
}

fn braces(labels: &[String]) -> String {
    if labels.is_empty() { String::new() } else { format!("{{{}}}", labels.join(",")) }
}

/// The value of a label as the format has it between quotes.
fn escaped(value: &str) -> String {
    value.replace('\\', r"\\").replace('"', "\\\"").replace('\n', r"\n")
}

#[cfg(test)]
mod tests {
    use super::*;
    use kv_metrics::{AtomicHistogram, MetricsRegistry};

    #[test]
    fn numbers_are_text_with_their_labels() {
        let registry = MetricsRegistry::default();
        registry.register(|families| {
            families.counter("kv_things_total", "Things \\ and\nlines").set(7_u64);
            families.gauge("kv_share", "A share").add(&[("range", "a\"b\\c\n")], 0.25);
        });
        assert_eq!(
            text(&registry.collect()),
            "# HELP kv_share A share\n# TYPE kv_share gauge\nkv_share{range=\"a\\\"b\\\\c\\n\"} 0.25\n\
             # HELP kv_things_total Things \\\\ and\\nlines\n# TYPE kv_things_total counter\nkv_things_total 7\n"
        );
    }

    #[test]
    fn a_histogram_is_cumulative_and_in_seconds() {
        let (registry, histogram) = (MetricsRegistry::default(), AtomicHistogram::new());
        histogram.record(1_500, 3);
        histogram.record(120_000_000_000, 1);
        registry.register(move |families| {
            let mut sum = Histogram::default();
            histogram.add_to(&mut sum);
            families.histogram("kv_wait_seconds", "Waits").add(&[("of", "x")], sum);
        });
        let text = text(&registry.collect());
        for line in [
            "# TYPE kv_wait_seconds histogram",
            "kv_wait_seconds_bucket{of=\"x\",le=\"0.000001\"} 0",
            "kv_wait_seconds_bucket{of=\"x\",le=\"0.000002\"} 3",
            "kv_wait_seconds_bucket{of=\"x\",le=\"+Inf\"} 4",
            "kv_wait_seconds_sum{of=\"x\"} 120.0000045",
            "kv_wait_seconds_count{of=\"x\"} 4",
        ] {
            assert!(text.lines().any(|found| found == line), "{line} is missing in\n{text}");
        }
    }
}
