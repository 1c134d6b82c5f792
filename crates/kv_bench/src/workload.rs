//! What is asked, and what the answer to it is: every request and every reply of a workload has one size.

use crate::{error::Error, limits};
use clap::{Args, ValueEnum};
use serde::Serialize;

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Protocol {
    Text,
    Resp,
    /// The meta commands `mg` and `ms`
    Memcached,
}

/// Only RESP tells a field of a hash from a string of its own: text has fields alone, memcached strings alone.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Operation {
    Get,
    Set,
    Hget,
    Hset,
    Ping,
}

impl Operation {
    /// The operation that writes what this one reads.
    pub(crate) fn writer(self) -> Operation {
        match self {
            Operation::Get | Operation::Set => Operation::Set,
            Operation::Hget | Operation::Hset => Operation::Hset,
            Operation::Ping => Operation::Ping,
        }
    }
}

#[derive(Debug, Clone, Args)]
pub(crate) struct Workload {
    #[arg(long, default_value = "resp")]
    pub(crate) protocol: Protocol,
    #[arg(long, default_value = "get")]
    pub(crate) operation: Operation,
    /// Requests that leave together and are answered before the next ones leave
    #[arg(long, default_value_t = 16)]
    pub(crate) pipeline: usize,
    /// Keys to choose from at random
    #[arg(long, default_value_t = 1_000_000)]
    pub(crate) keys: u64,
    #[arg(long, default_value_t = 11)]
    pub(crate) key_bytes: usize,
    #[arg(long, default_value_t = 32)]
    pub(crate) value_bytes: usize,
    /// The bucket or hash that holds the keys
    #[arg(long, default_value = "bench")]
    pub(crate) bucket: String,
}

impl Workload {
    /// Refuses sizes that are out of bounds.
    pub(crate) fn check(&self) -> Result<(), Error> {
        let digits = self.keys.saturating_sub(1).max(1).ilog10() as usize + 1;
        in_range("--keys", 1, limits::KEYS, self.keys)?;
        in_range("--pipeline", 1, limits::PIPELINE as u64, self.pipeline as u64)?;
        in_range("--key-bytes", digits as u64 + 1, limits::KEY_BYTES as u64, self.key_bytes as u64)?;
        in_range("--value-bytes", 1, limits::VALUE_BYTES as u64, self.value_bytes as u64)
    }

    /// The same workload with another operation.
    pub(crate) fn with(&self, operation: Operation) -> Workload {
        Workload { operation, ..self.clone() }
    }

    /// Appends one request for the key of this number.
    pub(crate) fn request(&self, number: u64, out: &mut Vec<u8>) {
        let digits = self.key_bytes - 1;
        let key = format!("k{number:0digits$}");
        let value = "v".repeat(self.value_bytes);
        let (bucket, key, value) = (self.bucket.as_str(), key.as_str(), value.as_str());
        use Operation::{Get, Hget, Hset, Ping, Set};
        match (self.protocol, self.operation) {
            (Protocol::Text, Get | Hget) => line(&["GET", bucket, key], out),
            (Protocol::Text, Set | Hset) => line(&["PUT", bucket, key, value], out),
            (Protocol::Text, Ping) => line(&["PING"], out),
            (Protocol::Resp, Get) => command(&["GET", key], out),
            (Protocol::Resp, Set) => command(&["SET", key, value], out),
            (Protocol::Resp, Hget) => command(&["HGET", bucket, key], out),
            (Protocol::Resp, Hset) => command(&["HSET", bucket, key, value], out),
            (Protocol::Resp, Ping) => command(&["PING"], out),
            (Protocol::Memcached, Get | Hget) => line(&["mg", key, "v"], out),
            (Protocol::Memcached, Set | Hset) => {
                line(&["ms", key, &self.value_bytes.to_string()], out);
                line(&[value], out);
            }
            (Protocol::Memcached, Ping) => line(&["mn"], out),
        }
    }

    /// The reply to one request, when all is well.
    pub(crate) fn reply(&self) -> String {
        let bytes = self.value_bytes;
        let value = "v".repeat(bytes);
        use Operation::{Get, Hget, Hset, Ping, Set};
        match (self.protocol, self.operation) {
            (Protocol::Text, Get | Hget) => format!("{value}\r\nOK\r\n"),
            (Protocol::Text, Set | Hset) => "OK\r\n".into(),
            (Protocol::Text, Ping) => "+PONG\r\n".into(),
            (Protocol::Resp, Get | Hget) => format!("${bytes}\r\n{value}\r\n"),
            (Protocol::Resp, Set) => "+OK\r\n".into(),
            (Protocol::Resp, Hset) => ":0\r\n".into(),
            (Protocol::Resp, Ping) => "+PONG\r\n".into(),
            (Protocol::Memcached, Get | Hget) => format!("VA {bytes}\r\n{value}\r\n"),
            (Protocol::Memcached, Set | Hset) => "HD\r\n".into(),
            (Protocol::Memcached, Ping) => "MN\r\n".into(),
        }
    }

    /// Bytes of one request, which is the same for every key.
    pub(crate) fn request_bytes(&self) -> usize {
        let mut one = Vec::new();
        self.request(0, &mut one);
        one.len()
    }
}

fn line(words: &[&str], out: &mut Vec<u8>) {
    out.extend_from_slice(words.join(" ").as_bytes());
    out.extend_from_slice(b"\r\n");
}

fn command(words: &[&str], out: &mut Vec<u8>) {
    out.extend_from_slice(format!("*{}\r\n", words.len()).as_bytes());
    for word in words {
        out.extend_from_slice(format!("${}\r\n{word}\r\n", word.len()).as_bytes());
    }
}

/// Refuses a number that is out of bounds, by the name of its flag.
pub(crate) fn in_range(name: &'static str, least: u64, most: u64, given: u64) -> Result<(), Error> {
    if (least..=most).contains(&given) { Ok(()) } else { Err(Error::Range { name, least, most, given }) }
}
