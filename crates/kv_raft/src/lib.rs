//! Ranges of buckets with a log: what is acknowledged is on disk.

#![allow(dead_code, reason = "the range that uses these parts comes next")]

mod group;
mod limits;
mod log;
