//! The requests of a workload and the replies to them, each of a fixed size.

use crate::{error::Error, etcd, limits};
use clap::{Args, ValueEnum};
use serde::Serialize;

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Protocol {
    Text,
    Resp,
    /// The meta commands `mg` and `ms`
    Memcached,
    /// The calls Range and Put of gRPC
    Etcd,
}

/// RESP has strings and fields of hashes; text has fields only, memcached strings only, and etcd GET and SET.
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

/// A protocol or an operation as its flag spells it.
pub(crate) fn flag_name(value: &impl ValueEnum) -> String {
    value.to_possible_value().map_or_else(String::new, |value| value.get_name().into())
}

#[derive(Debug, Clone, Args)]
pub(crate) struct Workload {
    #[arg(long, default_value = "resp")]
    pub(crate) protocol: Protocol,
    #[arg(long, default_value = "get")]
    pub(crate) operation: Operation,
    /// Requests in one batch; a connection sends the next batch when all replies have arrived
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
    /// Refuses sizes that are out of range.
    pub(crate) fn check(&self) -> Result<(), Error> {
        if self.bucket.is_empty() || !self.bucket.bytes().all(|byte| byte.is_ascii_alphanumeric()) {
            return Err(Error::Bucket(self.bucket.clone()));
        }
        if self.protocol == Protocol::Etcd && !matches!(self.operation, Operation::Get | Operation::Set) {
            return Err(Error::Unsupported("etcd has --operation get and set only"));
        }
        let digits = self.keys.saturating_sub(1).max(1).ilog10() as usize + 1;
        check_range("--keys", 1, limits::KEYS, self.keys)?;
        check_range("--pipeline", 1, limits::PIPELINE as u64, self.pipeline as u64)?;
        check_range("--key-bytes", digits as u64 + 1, limits::KEY_BYTES as u64, self.key_bytes as u64)?;
        check_range("--value-bytes", 1, limits::VALUE_BYTES as u64, self.value_bytes as u64)
    }

    /// The same workload with another operation.
    pub(crate) fn with(&self, operation: Operation) -> Workload {
        Workload { operation, ..self.clone() }
    }

    /// The same workload as flags, for another process.
    pub(crate) fn arguments(&self) -> [String; 7] {
        let Workload { protocol, operation, pipeline, keys, key_bytes, value_bytes, bucket } = self;
        [
            format!("--protocol={}", flag_name(protocol)),
            format!("--operation={}", flag_name(operation)),
            format!("--pipeline={pipeline}"),
            format!("--keys={keys}"),
            format!("--key-bytes={key_bytes}"),
            format!("--value-bytes={value_bytes}"),
            format!("--bucket={bucket}"),
        ]
    }

    /// The request, with a gap for the digits of the key.
    pub(crate) fn requests(&self) -> Requests {
        let gap = "\0".repeat(self.key_bytes - 1);
        let (bucket, key, value) = (self.bucket.as_str(), format!("k{gap}"), "v".repeat(self.value_bytes));
        use Operation::{Get, Hget, Hset, Ping, Set};
        let request = match (self.protocol, self.operation) {
            (Protocol::Text, Get | Hget) => line(&["GET", bucket, &key]),
            (Protocol::Text, Set | Hset) => line(&["PUT", bucket, &key, &value]),
            (Protocol::Text, Ping) => line(&["PING"]),
            (Protocol::Resp, Get) => command(&["GET", &key]),
            (Protocol::Resp, Set) => command(&["SET", &key, &value]),
            (Protocol::Resp, Hget) => command(&["HGET", bucket, &key]),
            (Protocol::Resp, Hset) => command(&["HSET", bucket, &key, &value]),
            (Protocol::Resp, Ping) => command(&["PING"]),
            (Protocol::Memcached, Get | Hget) => line(&["mg", &key, "v"]),
            (Protocol::Memcached, Set | Hset) => {
                line(&["ms", &key, &self.value_bytes.to_string()]) + &line(&[&value])
            }
            (Protocol::Memcached, Ping) => line(&["mn"]),
            (Protocol::Etcd, _) => {
                let (before, after) = self.etcd_call().request();
                return Requests { before, digits: gap.len(), after };
            }
        };
        match request.split_once(&gap) {
            Some((before, after)) => {
                Requests { before: before.into(), digits: gap.len(), after: after.into() }
            }
            None => Requests { before: request.into(), digits: 0, after: Vec::new() },
        }
    }

    /// What a connection to etcd calls.
    pub(crate) fn etcd_call(&self) -> etcd::Call {
        let Workload { operation, key_bytes, value_bytes, .. } = *self;
        etcd::Call { reads: operation != operation.writer(), key_bytes, value_bytes }
    }

    /// The reply to one successful request. Those of etcd have no fixed bytes.
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
            (Protocol::Etcd, _) => String::new(),
        }
    }
}

fn line(words: &[&str]) -> String {
    words.join(" ") + "\r\n"
}

fn command(words: &[&str]) -> String {
    let arguments: String = words.iter().map(|word| format!("${}\r\n{word}\r\n", word.len())).collect();
    format!("*{}\r\n{arguments}", words.len())
}

/// Requests that differ only in the digits of their keys.
#[derive(Debug)]
pub(crate) struct Requests {
    before: Vec<u8>,
    digits: usize,
    after: Vec<u8>,
}

impl Requests {
    /// Bytes of one request.
    pub(crate) fn bytes(&self) -> usize {
        self.before.len() + self.digits + self.after.len()
    }

    /// Appends the request for key `index`.
    pub(crate) fn write(&self, mut index: u64, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.before);
        let start = out.len();
        out.resize(start + self.digits, b'0');
        for digit in out[start..].iter_mut().rev() {
            *digit += (index % 10) as u8;
            index /= 10;
        }
        out.extend_from_slice(&self.after);
    }
}

/// Refuses a value of flag `name` that is out of range.
pub(crate) fn check_range(name: &'static str, min: u64, max: u64, value: u64) -> Result<(), Error> {
    if (min..=max).contains(&value) { Ok(()) } else { Err(Error::Range { name, min, max, value }) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn workload(protocol: Protocol, operation: Operation) -> Workload {
        let bucket = "bench".into();
        Workload { protocol, operation, pipeline: 2, keys: 1_000, key_bytes: 5, value_bytes: 3, bucket }
    }

    fn request(protocol: Protocol, operation: Operation) -> String {
        let mut bytes = Vec::new();
        let requests = workload(protocol, operation).requests();
        requests.write(42, &mut bytes);
        assert_eq!(bytes.len(), requests.bytes());
        String::from_utf8(bytes).expect("requests are text")
    }

    #[test]
    fn text_names_the_bucket() {
        assert_eq!(request(Protocol::Text, Operation::Get), "GET bench k0042\r\n");
        assert_eq!(request(Protocol::Text, Operation::Hset), "PUT bench k0042 vvv\r\n");
    }

    #[test]
    fn resp_has_strings_and_fields() {
        assert_eq!(request(Protocol::Resp, Operation::Get), "*2\r\n$3\r\nGET\r\n$5\r\nk0042\r\n");
        let hget = "*3\r\n$4\r\nHGET\r\n$5\r\nbench\r\n$5\r\nk0042\r\n";
        assert_eq!(request(Protocol::Resp, Operation::Hget), hget);
        assert_eq!(request(Protocol::Resp, Operation::Ping), "*1\r\n$4\r\nPING\r\n");
    }

    #[test]
    fn memcached_gets_meta_commands() {
        assert_eq!(request(Protocol::Memcached, Operation::Set), "ms k0042 3\r\nvvv\r\n");
        assert_eq!(workload(Protocol::Memcached, Operation::Get).reply(), "VA 3\r\nvvv\r\n");
    }

    #[test]
    fn a_key_must_have_room_for_its_number() {
        let mut workload = workload(Protocol::Resp, Operation::Get);
        assert!(workload.check().is_ok());
        workload.keys = 10_001;
        let refused = workload.check().expect_err("five digits and a letter do not fit in five bytes");
        assert_eq!(refused.to_string(), "--key-bytes must be from 6 to 250, not 5");
    }

    #[test]
    fn a_bucket_is_one_plain_word() {
        let bucket = "two words".into();
        assert!(Workload { bucket, ..workload(Protocol::Text, Operation::Get) }.check().is_err());
    }
}
