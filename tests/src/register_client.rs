//! How a client does what is done to registers, by either protocol, and what it learns of the outcome.

use crate::{
    client::Client,
    history::OperationKind,
    resp::{self, RespClient},
};
use fastrand::Rng;
use std::net::SocketAddr;

/// Where a register is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Register {
    /// A field of a bucket, for clients of both protocols.
    Field(usize),
    /// A string.
    String(usize),
    /// Two strings that are read and written in transactions, and so are always the same.
    Pair(usize),
}

/// What became of a request.
pub(crate) enum Outcome {
    /// It was done, with this result.
    Done(OperationKind),
    /// Nothing was done.
    Refused,
    /// It may have been done, or may be yet.
    Unknown(OperationKind),
}

/// A connection to a node.
pub(crate) enum Connection {
    Text(Client),
    Resp(RespClient),
}

/// The bucket with fields.
const BUCKET: &str = "registers";

/// How long it takes until what is written to expire does, in milliseconds.
pub(crate) const EXPIRES_MS: u64 = 300;

/// The errors of requests that were not executed. In a pipeline there are no codes after which clients would
/// send more than one command again.
const REFUSALS: [&str; 7] = [
    "-CLUSTERDOWN ",
    "-LOADING ",
    "-TRYAGAIN ",
    "-EXECABORT ",
    "-ERR range .. ",
    "-ERR the range failed before the reply; retry",
    "-ERR max number of clients",
];

impl Connection {
    /// `None` if the node does not run.
    pub(crate) fn open(address: SocketAddr, is_text: bool) -> Option<Connection> {
        match is_text {
            true => Client::connect_if_open(address).map(Connection::Text),
            false => RespClient::connect_if_open(address).map(Connection::Resp),
        }
    }

    /// What a client may do to a register, for one that has this value to write.
    pub(crate) fn choose(&self, rng: &mut Rng, register: Register, value: u64) -> OperationKind {
        let choices = match (self, register) {
            (Connection::Text(_), _) | (_, Register::Pair(_)) => 2,
            (_, Register::Field(_)) => 4,
            (_, Register::String(_)) => 7,
        };
        if rng.bool() {
            return OperationKind::Read(None);
        }
        match rng.usize(1..choices) {
            1 => OperationKind::Write(value),
            2 => OperationKind::Increment(None),
            3 => OperationKind::WriteIfAbsent(value, None),
            4 => OperationKind::WriteToExpire(value),
            5 => OperationKind::Remove(None),
            _ => OperationKind::Swap(None, value),
        }
    }

    /// Sends a request and waits for its reply.
    pub(crate) fn ask(&mut self, register: Register, kind: OperationKind) -> Outcome {
        match (self, register) {
            (Connection::Text(client), Register::Field(field)) => {
                ask_text(client, field, kind).unwrap_or(Outcome::Unknown(kind))
            }
            (Connection::Text(_), _) => unreachable!("it has commands on fields only"),
            (Connection::Resp(client), register) => ask_resp(client, register, kind),
        }
    }
}

/// The registers that clients of a protocol use.
pub(crate) fn has_register(is_text: bool, register: Register) -> bool {
    !is_text || matches!(register, Register::Field(_))
}

/// `None` if the node has gone.
fn ask_text(client: &mut Client, field: usize, kind: OperationKind) -> Option<Outcome> {
    let request = match kind {
        OperationKind::Write(value) => format!("PUT {BUCKET} {field} {value}"),
        _ => format!("GET {BUCKET} {field}"),
    };
    let line = client.ask_if_open(&request)?;
    if line.starts_with("ERROR outcome unknown") {
        return Some(Outcome::Unknown(kind));
    } else if line.starts_with("ERROR ") {
        return Some(Outcome::Refused);
    } else if line == "NOT FOUND" {
        return Some(Outcome::Done(OperationKind::Read(None)));
    }
    if let OperationKind::Write(_) = kind {
        assert_eq!(line, "OK");
        return Some(Outcome::Done(kind));
    }
    assert_eq!(client.next_line()?, b"OK");
    // Where no field is, the value is empty.
    let value = Some(line).filter(|line| !line.is_empty()).map(|line| line.parse().expect("a number"));
    Some(Outcome::Done(OperationKind::Read(value)))
}

/// What the server has replied, or why there is no reply to look at.
enum Replied {
    Replies(Vec<String>),
    Refused,
    Unknown,
}

/// Sends commands at once, and waits for as many replies. Nothing is done if one of them is refused.
fn ask_all(client: &mut RespClient, commands: &[Vec<String>]) -> Replied {
    let bytes: Vec<u8> = commands.iter().flat_map(|command| resp::command(command)).collect();
    if !client.send_if_open(bytes) {
        return Replied::Unknown;
    }
    let mut replies = Vec::new();
    for _ in commands {
        let Some(reply) = client.reply_if_open() else { return Replied::Unknown };
        replies.push(String::from_utf8(reply).expect("numbers and errors are text"));
    }
    if replies.iter().any(|reply| reply.starts_with("-ERR outcome unknown")) {
        return Replied::Unknown;
    }
    let errors = || replies.iter().filter(|reply| reply.starts_with('-'));
    for error in errors() {
        assert!(REFUSALS.iter().any(|refusal| error.starts_with(refusal)), "{commands:?}: {error}");
    }
    if errors().next().is_some() { Replied::Refused } else { Replied::Replies(replies) }
}

/// A command of these words.
fn words(line: &str) -> Vec<String> {
    line.split(' ').map(str::to_owned).collect()
}

/// The numbers in a reply: `None` where nothing is.
fn numbers(reply: &str) -> Vec<Option<u64>> {
    let mut lines = reply.lines();
    let mut numbers = Vec::new();
    while let Some(line) = lines.next() {
        match line.split_at(1) {
            ("$", "-1") => numbers.push(None),
            ("$", _) => {
                numbers.push(Some(lines.next().and_then(|line| line.parse().ok()).expect("a number")));
            }
            (":", number) => numbers.push(Some(number.parse().expect("a number"))),
            _ => {}
        }
    }
    numbers
}

fn ask_resp(client: &mut RespClient, register: Register, kind: OperationKind) -> Outcome {
    let done = |number: Option<u64>| number == Some(1);
    match (register, kind) {
        (Register::Pair(pair), OperationKind::Write(value)) => {
            let [one, other] = [format!("SET {pair}-a {value}"), format!("SET {pair}-b {value}")];
            transact(client, kind, &[&one, &other], |_| kind)
        }
        (Register::Pair(pair), _) => {
            let [one, other] = [format!("GET {pair}-a"), format!("GET {pair}-b")];
            transact(client, kind, &[&one, &other], |read| {
                assert_eq!(read[0], read[1], "half of a transaction");
                OperationKind::Read(read[0])
            })
        }
        (Register::String(name), OperationKind::Increment(_)) => {
            let [read, add] = [format!("GET s{name}"), format!("INCR s{name}")];
            transact(client, kind, &[&read, &add], |read| {
                assert_eq!(read[1], Some(read[0].unwrap_or(0) + 1), "something between two of its commands");
                OperationKind::Increment(read[1])
            })
        }
        (Register::String(name), OperationKind::Swap(_, value)) => swap(client, name, value),
        (Register::Field(field), OperationKind::Read(_)) => {
            one(client, kind, &format!("HGET {BUCKET} {field}"), OperationKind::Read)
        }
        (Register::Field(field), OperationKind::Increment(_)) => {
            one(client, kind, &format!("HINCRBY {BUCKET} {field} 1"), OperationKind::Increment)
        }
        (Register::Field(field), OperationKind::WriteIfAbsent(value, _)) => {
            let line = format!("HSETNX {BUCKET} {field} {value}");
            one(client, kind, &line, |reply| OperationKind::WriteIfAbsent(value, Some(done(reply))))
        }
        (Register::Field(field), OperationKind::Write(value)) => {
            one(client, kind, &format!("HSET {BUCKET} {field} {value}"), |_| kind)
        }
        (Register::String(name), OperationKind::Read(_)) => {
            one(client, kind, &format!("GET s{name}"), OperationKind::Read)
        }
        (Register::String(name), OperationKind::Write(value)) => {
            one(client, kind, &format!("SET s{name} {value}"), |_| kind)
        }
        (Register::String(name), OperationKind::WriteToExpire(value)) => {
            one(client, kind, &format!("SET s{name} {value} PX {EXPIRES_MS}"), |_| kind)
        }
        (Register::String(name), OperationKind::WriteIfAbsent(value, _)) => {
            // The reply is nil, or OK.
            let line = format!("SETNX s{name} {value}");
            one(client, kind, &line, |reply| OperationKind::WriteIfAbsent(value, Some(done(reply))))
        }
        (Register::String(name), OperationKind::Remove(_)) => {
            let line = format!("DEL s{name}");
            one(client, kind, &line, |reply| OperationKind::Remove(Some(done(reply))))
        }
        (register, kind) => unreachable!("{register:?} has no {kind:?}"),
    }
}

/// One command, and what its reply says.
fn one(
    client: &mut RespClient,
    kind: OperationKind,
    line: &str,
    result: impl FnOnce(Option<u64>) -> OperationKind,
) -> Outcome {
    match ask_all(client, &[words(line)]) {
        Replied::Replies(replies) => Outcome::Done(result(numbers(&replies[0]).first().copied().flatten())),
        Replied::Refused => Outcome::Refused,
        Replied::Unknown => Outcome::Unknown(kind),
    }
}

/// Commands as one transaction, and what its reply says. If a watched key has changed it is not executed.
fn transact(
    client: &mut RespClient,
    kind: OperationKind,
    lines: &[&str],
    result: impl FnOnce(Vec<Option<u64>>) -> OperationKind,
) -> Outcome {
    let commands: Vec<_> = ["MULTI"].iter().chain(lines).chain(&["EXEC"]).map(|line| words(line)).collect();
    match ask_all(client, &commands) {
        Replied::Replies(mut replies) => match replies.pop().expect("that of EXEC") {
            nil if nil.starts_with("*-1") => Outcome::Refused,
            reply => Outcome::Done(result(numbers(&reply))),
        },
        Replied::Refused => Outcome::Refused,
        Replied::Unknown => Outcome::Unknown(kind),
    }
}

/// Replaces what it has read, if that has not changed.
fn swap(client: &mut RespClient, name: usize, value: u64) -> Outcome {
    let read = ask_all(client, &[words(&format!("WATCH s{name}")), words(&format!("GET s{name}"))]);
    let Replied::Replies(replies) = read else {
        // Nothing was written. It may have a watch, or have gone.
        client.send_if_open(resp::command(&["UNWATCH"]));
        drop(client.reply_if_open());
        return Outcome::Refused;
    };
    let kind = OperationKind::Swap(numbers(&replies[1])[0], value);
    transact(client, kind, &[&format!("SET s{name} {value}")], |_| kind)
}
