//! The compared programs: which are installed, their protocols, and how each is started.

use super::Compare;
use crate::{
    error::{Context, Error},
    workload::{Operation, Protocol, Workload},
};
use std::{
    fs,
    net::SocketAddr,
    path::{Path, PathBuf},
    process::Command,
};

/// A program that can be compared.
#[derive(Debug, Clone)]
pub(crate) enum Program {
    Ours(PathBuf),
    /// Our release without io_uring.
    OursWithEpoll(PathBuf),
    Redis(PathBuf),
    Valkey(PathBuf),
    Memcached,
    /// One that has every write on disk before it replies.
    Durable(Box<Program>),
    /// The echo of this program, for one workload.
    Echo(Workload),
}

impl Program {
    /// Our release and its peers.
    pub(crate) fn all(compare: &Compare) -> Vec<Program> {
        let Compare { ours, redis, valkey, .. } = compare.clone();
        let (ours, redis, valkey) = (Program::Ours(ours), Program::Redis(redis), Program::Valkey(valkey));
        match compare.durable {
            true => {
                let durable = Program::Ours(compare.ours.clone());
                vec![durable.durable(), redis.durable(), valkey.durable(), ours]
            }
            false => vec![ours, redis, valkey, Program::Memcached],
        }
    }

    /// The same program, with every write on disk before it replies.
    pub(crate) fn durable(self) -> Program {
        Program::Durable(Box::new(self))
    }

    /// Its path, or its name to be found in `PATH`.
    pub(crate) fn path(&self) -> Result<PathBuf, Error> {
        Ok(match self {
            Program::Ours(path) | Program::OursWithEpoll(path) => path.clone(),
            Program::Redis(path) | Program::Valkey(path) => path.clone(),
            Program::Memcached => "memcached".into(),
            Program::Durable(program) => program.path()?,
            Program::Echo(_) => fs::read_link("/proc/self/exe").context("cannot find this program")?,
        })
    }

    /// Its name and version, when it is installed.
    pub(crate) fn version(&self) -> Option<String> {
        if let Program::Durable(program) = self {
            return program.version().map(|version| version + " durable");
        }
        let is_ours = matches!(self, Program::Ours(_) | Program::OursWithEpoll(_));
        let argument = if is_ours { "version" } else { "--version" };
        let path = self.path().ok()?;
        let number = version_of(&path, argument)?;
        let name = path.file_name()?.to_string_lossy();
        let backend = if matches!(self, Program::OursWithEpoll(_)) { " epoll" } else { "" };
        Some(format!("{} {number}{backend}", name.trim_end_matches("-server")))
    }

    /// Its protocols. A bucket of ours is a hash; memcached has strings only.
    pub(crate) fn protocols(&self) -> &'static [Protocol] {
        match self {
            Program::Ours(_) => &[Protocol::Resp, Protocol::Text],
            Program::Memcached => &[Protocol::Memcached],
            Program::Durable(program) => program.protocols(),
            _ => &[Protocol::Resp],
        }
    }

    /// A variable of its environment, with its value.
    pub(crate) fn variable(&self) -> Option<(&'static str, &'static str)> {
        matches!(self, Program::OursWithEpoll(_)).then_some(("KV_IO_URING", "false"))
    }

    /// Arguments for a server at this address, whose files go to this directory.
    pub(crate) fn arguments(&self, socket: SocketAddr, files: &Path) -> Vec<String> {
        let (address, port, directory) =
            (socket.to_string(), socket.port().to_string(), files.to_string_lossy());
        let arguments: &[&str] = match self {
            Program::Ours(_) | Program::OursWithEpoll(_) => {
                &["start", "--clients", &address, "--run-dir", &directory]
            }
            Program::Redis(_) | Program::Valkey(_) => {
                &["--port", &port, "--bind", HOST, "--save", "", "--appendonly", "no", "--dir", &directory]
            }
            Program::Memcached => {
                &["-t", "1", "-U", "0", "-l", HOST, "-p", &port, "-u", "root", "-m", MEMORY_MB]
            }
            Program::Durable(program) => {
                let durable: &[&str] = match **program {
                    Program::Ours(_) => &["--data-dir", &directory],
                    _ => &["--appendonly", "yes", "--appendfsync", "always"],
                };
                let durable = durable.iter().map(ToString::to_string).collect();
                return [program.arguments(socket, files), durable].concat();
            }
            Program::Echo(workload) => {
                return [vec!["echo".into(), format!("--address={address}")], workload.arguments().into()]
                    .concat();
            }
        };
        arguments.iter().map(ToString::to_string).collect()
    }
}

const HOST: &str = "127.0.0.1";

/// Megabytes of memcached, enough that it evicts nothing.
const MEMORY_MB: &str = "4096";

/// Whether a protocol has this operation.
pub(crate) fn supports(protocol: Protocol, operation: Operation) -> bool {
    match (protocol, operation) {
        (Protocol::Resp, _) | (_, Operation::Ping) => true,
        (Protocol::Text, operation) => matches!(operation, Operation::Hget | Operation::Hset),
        (Protocol::Memcached | Protocol::Etcd, operation) => {
            matches!(operation, Operation::Get | Operation::Set)
        }
    }
}

/// What a program prints as its version, when it is installed.
pub(crate) fn version_of(program: &Path, argument: &str) -> Option<String> {
    let output = Command::new(program).arg(argument).output().ok()?.stdout;
    parse_version(&String::from_utf8_lossy(&output)).map(str::to_owned)
}

/// The first word that begins with a digit, with or without a `v=` before it.
fn parse_version(text: &str) -> Option<&str> {
    let words = text.split_ascii_whitespace().map(|word| word.trim_start_matches("v="));
    words.into_iter().find(|word| word.starts_with(|c: char| c.is_ascii_digit()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_found_in_the_output_of_servers() {
        assert_eq!(
            parse_version("Redis server v=7.0.15 sha=00000000:0 malloc=jemalloc-5.3.0"),
            Some("7.0.15")
        );
        assert_eq!(parse_version("memcached 1.6.18"), Some("1.6.18"));
        assert_eq!(parse_version("etcd Version: 3.5.30\nGo Version: go1.26.4"), Some("3.5.30"));
        assert_eq!(parse_version("foo"), None);
    }

    #[test]
    fn a_program_that_is_not_installed_has_no_version() {
        assert_eq!(Program::Ours("/nowhere/foo".into()).version(), None);
    }
}
