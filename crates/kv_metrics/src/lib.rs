//! The numbers of a node: counters and histograms for where things happen, and the registry through which
//! all of them are read.
//!
//! Who counts registers a source: a closure that reads its numbers as plain values ([`Family`]) whenever
//! they are collected. Nothing is done between two collections, so a number costs what its counter costs.
//!
//! Names are those of Prometheus: `kv_` first, seconds and bytes as units, `_total` at the end of counters.
//! The values of a label come from tables (commands, nodes, ranges), never from clients.

mod family;
mod histogram;
mod per_thread;
pub mod process;
mod registry;

pub use family::{Family, FamilyKind, Sample, SampleValue};
pub use histogram::{AtomicHistogram, Histogram};
pub use per_thread::PerThread;
pub use registry::{Families, MetricsRegistry};
