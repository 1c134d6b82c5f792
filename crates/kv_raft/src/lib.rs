//! Ranges of buckets with a log: what is acknowledged is on disk.

mod group;
mod limits;
mod log;
