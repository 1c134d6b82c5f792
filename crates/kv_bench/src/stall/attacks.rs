//! The worst that one client can do, within the documented limits.

use super::client::command;

/// What one client does.
#[derive(Debug)]
pub(super) struct Attack {
    pub(super) name: &'static str,
    /// What it sends before the measurement.
    pub(super) prepare: fn() -> Vec<u8>,
    /// What it sends meanwhile.
    pub(super) attack: fn() -> Vec<u8>,
}

/// Fields of the large hash.
const FIELDS: usize = 2_000_000;
/// Fields that expire together.
const EXPIRING: usize = 600_000;
/// Keys of the longest lists.
const KEYS: usize = 1_000_000;
/// Fields of one HSET or HSETEX.
const FIELDS_AT_ONCE: usize = 10_000;
/// Bytes of the longest string.
const LONGEST_BYTES: usize = 512 * 1024 * 1024;
/// Channels of one client.
const CHANNELS: usize = 230_000;
/// Bytes of a large string.
const STRING_BYTES: usize = 64 * 1024 * 1024;

pub(super) const ATTACKS: &[Attack] = &[
    Attack {
        name: "KEYS, long pattern",
        prepare: long_names,
        attack: || command(&[b"KEYS", &long_pattern()]),
    },
    Attack {
        name: "HSCAN, long pattern",
        prepare: || (0..20).flat_map(|number| command(&[b"HSET", b"h", &long_name(number), b"1"])).collect(),
        attack: || command(&[b"HSCAN", b"h", b"0", b"MATCH", &long_pattern()]),
    },
    Attack {
        name: "PUBLISH, 1,000 patterns",
        prepare: Vec::new,
        attack: || {
            let patterns = (0..1_000).map(|number| format!("*{}{number}b*", "a".repeat(8_000)));
            let mut commands = command(&[b"HELLO", b"3"]);
            patterns.for_each(|pattern| commands.extend(command(&[b"PSUBSCRIBE", pattern.as_bytes()])));
            let publish = command(&[b"PUBLISH", &[b'a'; 16 * 1024], b"message"]);
            commands.extend(publish.repeat(20));
            commands
        },
    },
    Attack { name: "UNSUBSCRIBE, all channels", prepare: subscribed, attack: || command(&[b"UNSUBSCRIBE"]) },
    Attack { name: "RESET, many channels", prepare: subscribed, attack: || command(&[b"RESET"]) },
    Attack {
        name: "PUBSUB CHANNELS, many",
        prepare: subscribed,
        attack: || command(&[b"PUBSUB", b"CHANNELS", b"*9*"]).repeat(5),
    },
    Attack {
        name: "10,000 words",
        prepare: || list(b"WATCH", 9_999),
        attack: || {
            let on_server: [&[&[u8]]; 6] = [
                &[b"CLIENT", b"LIST", b"ID"],
                &[b"COMMAND", b"DOCS"],
                &[b"COMMAND", b"INFO"],
                &[b"CONFIG", b"SET"],
                &[b"LATENCY", b"HISTOGRAM"],
                &[b"PUBSUB", b"NUMSUB"],
            ];
            let mut commands: Vec<u8> =
                on_server.iter().flat_map(|words| long_command(words, 9_996)).collect();
            commands.extend(long_command(&[b"INFO"], 9_996));
            commands.extend(command(&[b"UNWATCH"]));
            commands.extend(list(b"WATCH", 9_999));
            commands.repeat(5)
        },
    },
    Attack {
        name: "HRANDFIELD, expired fields",
        prepare: || {
            let pairs = (0..EXPIRING).collect::<Vec<_>>();
            let hsetex = |numbers: &[usize]| {
                let count = numbers.len().to_string();
                let fields: Vec<Vec<u8>> =
                    numbers.iter().map(|number| number.to_string().into_bytes()).collect();
                let mut words: Vec<&[u8]> =
                    vec![b"HSETEX", b"h", b"PX", b"2500", b"FIELDS", count.as_bytes()];
                fields.iter().for_each(|field| words.extend([&field[..], b"1"]));
                command(&words)
            };
            let mut commands: Vec<u8> = pairs.chunks(FIELDS_AT_ONCE).flat_map(hsetex).collect();
            commands.extend(command(&[b"HSET", b"h", b"stays", b"1"]));
            commands.extend(command(&[b"DEBUG", b"SLEEP", b"2.4"]));
            commands
        },
        attack: || command(&[b"HRANDFIELD", b"h", b"-500"]).repeat(20),
    },
    Attack {
        name: "HRANDFIELD, a million",
        prepare: || command(&[b"HSET", b"h", b"f", b"1"]),
        attack: || command(&[b"HRANDFIELD", b"h", b"-1000000"]),
    },
    Attack {
        name: "EXEC, 100 COPYs",
        prepare: large_string,
        attack: || transaction(&command(&[b"COPY", b"large", b"copy", b"REPLACE"]).repeat(100)),
    },
    Attack {
        name: "EXEC, 50,000 HGETALLs",
        prepare: || hash(500),
        attack: || transaction(&command(&[b"HGETALL", b"h"]).repeat(50_000)),
    },
    Attack {
        name: "EXEC, MGETs of a million",
        prepare: Vec::new,
        attack: || transaction(&list(b"MGET", 700_000)),
    },
    Attack {
        name: "EXEC, up to the limit",
        prepare: || hash(900),
        attack: || transaction(&command(&[b"HGETALL", b"h"]).repeat(21)),
    },
    Attack {
        name: "EXEC, 10,000 SETs",
        prepare: Vec::new,
        attack: || {
            let set = |number: usize| command(&[b"SET", number.to_string().as_bytes(), &[b'x'; 100]]);
            transaction(&(0..9_900).flat_map(set).collect::<Vec<_>>())
        },
    },
    Attack {
        name: "COPY, large hash",
        prepare: || hash(FIELDS),
        attack: || command(&[b"COPY", b"h", b"copy"]),
    },
    Attack {
        name: "RENAME, large hash",
        prepare: || hash(FIELDS),
        attack: || command(&[b"RENAME", b"h", b"other"]),
    },
    Attack {
        name: "RENAME, up to the limit",
        prepare: || hash(19_000),
        attack: || {
            [command(&[b"RENAME", b"h", b"other"]), command(&[b"RENAME", b"other", b"h"])].concat().repeat(5)
        },
    },
    Attack { name: "DEL, large hash", prepare: || hash(FIELDS), attack: || command(&[b"DEL", b"h"]) },
    Attack { name: "HGETALL, large hash", prepare: || hash(FIELDS), attack: || command(&[b"HGETALL", b"h"]) },
    Attack {
        name: "MEMORY USAGE, large hash",
        prepare: || hash(FIELDS),
        attack: || command(&[b"MEMORY", b"USAGE", b"h"]),
    },
    Attack { name: "DEL, a million keys", prepare: Vec::new, attack: || list(b"DEL", KEYS) },
    Attack { name: "EXISTS, a million keys", prepare: Vec::new, attack: || list(b"EXISTS", KEYS) },
    Attack { name: "MGET, a million keys", prepare: Vec::new, attack: || list(b"MGET", KEYS) },
    Attack { name: "MSET, a million words", prepare: Vec::new, attack: || list(b"MSET", KEYS) },
    Attack { name: "MSETNX, up to the limit", prepare: Vec::new, attack: || list(b"MSETNX", 18_000) },
    Attack {
        name: "HSET, up to the limit",
        prepare: Vec::new,
        attack: || {
            let mut hset = list(b"HSET", 39_999);
            hset.extend(list(b"HMGET", 39_999));
            hset
        },
    },
    Attack { name: "SET, 64 MiB", prepare: Vec::new, attack: large_string },
    Attack { name: "SET, 512 MiB", prepare: Vec::new, attack: largest_string },
    Attack { name: "SET of another, 512 MiB", prepare: largest_string, attack: largest_string },
    Attack { name: "GET, 64 MiB", prepare: large_string, attack: || command(&[b"GET", b"large"]) },
    Attack { name: "GET, 512 MiB", prepare: largest_string, attack: || command(&[b"GET", b"large"]) },
    Attack {
        name: "HSET and HGETALL, 64 MiB",
        prepare: Vec::new,
        attack: || {
            let hset = command(&[b"HSET", b"h", b"one", &value(STRING_BYTES), b"two", &value(STRING_BYTES)]);
            [hset, command(&[b"HGETALL", b"h"])].concat()
        },
    },
    Attack {
        name: "SETRANGE, 64 MiB",
        prepare: Vec::new,
        attack: || command(&[b"SETRANGE", b"large", STRING_BYTES.to_string().as_bytes(), b"x"]),
    },
    Attack {
        name: "SETRANGE, 512 MiB",
        prepare: Vec::new,
        attack: || command(&[b"SETRANGE", b"large", (LONGEST_BYTES - 1).to_string().as_bytes(), b"x"]),
    },
    Attack {
        name: "APPEND to 64 MiB",
        prepare: large_string,
        attack: || command(&[b"APPEND", b"large", b"x"]).repeat(20),
    },
    Attack {
        name: "APPEND of 511 MiB",
        prepare: || command(&[b"SET", b"large", b"x"]),
        attack: || command(&[b"APPEND", b"large", &value(LONGEST_BYTES - 1024 * 1024)]),
    },
    Attack {
        name: "COPY and APPEND, 512 MiB",
        prepare: || command(&[b"SETRANGE", b"large", (LONGEST_BYTES - 100).to_string().as_bytes(), b"x"]),
        attack: || {
            let copy = command(&[b"COPY", b"large", b"copy", b"REPLACE"]);
            [copy, command(&[b"APPEND", b"copy", b"x"])].concat().repeat(50)
        },
    },
    Attack { name: "DEL, 64 MiB", prepare: large_string, attack: || command(&[b"DEL", b"large"]) },
    Attack { name: "DEL, 512 MiB", prepare: largest_string, attack: || command(&[b"DEL", b"large"]) },
    Attack {
        // The server holds it twice, and closes a client that holds more than its limit of 1 GiB.
        name: "ECHO, 256 MiB",
        prepare: Vec::new,
        attack: || command(&[b"ECHO", &value(LONGEST_BYTES / 2)]),
    },
];

/// What one client does to a durable server.
pub(super) const ON_DURABLE: &[Attack] = &[
    Attack { name: "durable SET, 64 MiB", prepare: Vec::new, attack: large_string },
    Attack {
        name: "durable SET, 300 MiB",
        prepare: Vec::new,
        attack: || command(&[b"SET", b"large", &value(300 * 1024 * 1024)]),
    },
    Attack {
        name: "durable GETSET, 64 MiB",
        prepare: large_string,
        attack: || command(&[b"GETSET", b"large", &value(STRING_BYTES)]),
    },
    Attack {
        name: "durable EXEC of large SETs",
        prepare: Vec::new,
        attack: || {
            let set = |number: usize| command(&[b"SET", number.to_string().as_bytes(), &value(1024 * 1024)]);
            transaction(&(0..15).flat_map(set).collect::<Vec<_>>()).repeat(4)
        },
    },
];

fn long_name(number: usize) -> Vec<u8> {
    format!("{}{number}", "a".repeat(80_000)).into_bytes()
}

fn long_names() -> Vec<u8> {
    (0..100).flat_map(|number| command(&[b"SET", &long_name(number), b"1"])).collect()
}

fn long_pattern() -> Vec<u8> {
    format!("*{}b", "a".repeat(40_000)).into_bytes()
}

fn large_string() -> Vec<u8> {
    command(&[b"SET", b"large", &value(STRING_BYTES)])
}

fn largest_string() -> Vec<u8> {
    command(&[b"SET", b"large", &value(LONGEST_BYTES)])
}

fn value(bytes: usize) -> Vec<u8> {
    vec![b'x'; bytes]
}

/// Commands that make a hash of this many fields.
pub(super) fn hash(fields: usize) -> Vec<u8> {
    let numbers: Vec<usize> = (0..fields).collect();
    let hset = |numbers: &[usize]| {
        let fields: Vec<Vec<u8>> = numbers.iter().map(|number| number.to_string().into_bytes()).collect();
        let mut words: Vec<&[u8]> = vec![b"HSET", b"h"];
        fields.iter().for_each(|field| words.extend([&field[..], b"value"]));
        command(&words)
    };
    numbers.chunks(FIELDS_AT_ONCE).flat_map(hset).collect()
}

/// A command with this many words after its name.
fn list(name: &[u8], count: usize) -> Vec<u8> {
    long_command(&[name], count)
}

/// A command with this many words after the given ones.
fn long_command(first: &[&[u8]], count: usize) -> Vec<u8> {
    let keys: Vec<Vec<u8>> = (1..=count).map(|number| number.to_string().into_bytes()).collect();
    let words: Vec<&[u8]> = first.iter().copied().chain(keys.iter().map(Vec::as_slice)).collect();
    command(&words)
}

/// Commands that subscribe to as many channels as one client may.
fn subscribed() -> Vec<u8> {
    [command(&[b"HELLO", b"3"]), list(b"SUBSCRIBE", CHANNELS)].concat()
}

fn transaction(commands: &[u8]) -> Vec<u8> {
    [&command(&[b"MULTI"]), commands, &command(&[b"EXEC"])].concat()
}
