//! Numbers as plain values: families of samples, which differ by their labels.

use crate::histogram::Histogram;
use std::time::Duration;

/// Numbers of one name.
#[derive(Debug, Clone, PartialEq)]
pub struct Family {
    /// As Prometheus would name it: with its unit, and `_total` if it is a counter.
    pub name: &'static str,
    /// What is counted or measured, without a full stop.
    pub help: &'static str,
    /// What its numbers mean.
    pub kind: FamilyKind,
    /// The numbers.
    pub samples: Vec<Sample>,
}

/// What numbers mean.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FamilyKind {
    /// It only grows, until it is reset.
    Counter,
    /// It is so large now.
    Gauge,
    /// Durations, by how many were how long.
    Histogram,
}

/// One number.
#[derive(Debug, Clone, PartialEq)]
pub struct Sample {
    /// What distinguishes it from the others of its family.
    pub labels: Vec<(&'static str, String)>,
    /// The number.
    pub value: SampleValue,
}

/// A number.
#[derive(Debug, Clone, PartialEq)]
pub enum SampleValue {
    /// A count, or a size in bytes.
    Integer(u64),
    /// Seconds, or a share.
    Float(f64),
    /// Durations, in a family that is a histogram.
    Histogram(Histogram),
}

impl Family {
    /// A family without samples.
    pub(crate) fn new(name: &'static str, help: &'static str, kind: FamilyKind) -> Family {
        Family { name, help, kind, samples: Vec::new() }
    }

    /// The unit of its numbers, which its name ends with; `None` if they are counts or shares.
    pub fn unit(&self) -> Option<&'static str> {
        let name = self.name.strip_suffix("_total").unwrap_or(self.name);
        ["seconds", "bytes"].into_iter().find(|unit| name.rsplit('_').next() == Some(unit))
    }

    /// Adds its only sample.
    pub fn set(&mut self, value: impl Into<SampleValue>) {
        self.add(&[], value);
    }

    /// Adds the sample with these labels.
    pub fn add(&mut self, labels: &[(&'static str, &str)], value: impl Into<SampleValue>) {
        let labels = labels.iter().map(|(name, value)| (*name, (*value).to_owned())).collect();
        self.samples.push(Sample { labels, value: value.into() });
    }

    /// The sample with exactly these labels.
    pub fn value(&self, labels: &[(&str, &str)]) -> Option<&SampleValue> {
        let has_labels = |sample: &&Sample| {
            sample.labels.iter().map(|(name, value)| (*name, &**value)).eq(labels.iter().copied())
        };
        self.samples.iter().find(has_labels).map(|sample| &sample.value)
    }
}

impl From<u64> for SampleValue {
    fn from(value: u64) -> SampleValue {
        SampleValue::Integer(value)
    }
}

impl From<usize> for SampleValue {
    fn from(value: usize) -> SampleValue {
        SampleValue::Integer(value as u64)
    }
}

impl From<bool> for SampleValue {
    fn from(value: bool) -> SampleValue {
        SampleValue::Integer(value.into())
    }
}

impl From<f64> for SampleValue {
    fn from(value: f64) -> SampleValue {
        SampleValue::Float(value)
    }
}

impl From<Duration> for SampleValue {
    fn from(value: Duration) -> SampleValue {
        SampleValue::Float(value.as_secs_f64())
    }
}

impl From<Histogram> for SampleValue {
    fn from(value: Histogram) -> SampleValue {
        SampleValue::Histogram(value)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_name_ends_with_the_unit() {
        let unit = |name| Family::new(name, "", FamilyKind::Counter).unit();
        assert_eq!(unit("kv_sent_bytes_total"), Some("bytes"));
        assert_eq!(unit("kv_command_seconds"), Some("seconds"));
        assert_eq!(unit("kv_commands_total"), None);
    }
}
