//! The commands of Redis on buckets: a table of all of them, and a file for each kind.
//!
//! In its file, a command is a row with its description, followed by its function.
//! Reference: <https://redis.io/docs/latest/commands/>.

mod expiry;
mod expiry_options;
pub(crate) mod hash;
mod hash_expiry;
mod hash_fields;
pub(crate) mod hash_scan;
pub(crate) mod key;
mod long_double;
pub(crate) mod spec;
mod string;
mod string_number;
pub(crate) mod string_range;

use foldhash::fast::RandomState;
use spec::Command;
use std::{collections::HashMap, sync::LazyLock};

/// All commands on buckets, by group and name.
pub static COMMANDS: &[Command] = &[
    hash::HDEL,
    hash::HEXISTS,
    hash_expiry::HEXPIRE,
    hash_expiry::HEXPIREAT,
    hash_expiry::HEXPIRETIME,
    hash::HGET,
    hash_scan::HGETALL,
    hash_fields::HGETDEL,
    hash_fields::HGETEX,
    hash::HINCRBY,
    hash::HINCRBYFLOAT,
    hash_scan::HKEYS,
    hash::HLEN,
    hash::HMGET,
    hash::HMSET,
    hash_expiry::HPERSIST,
    hash_expiry::HPEXPIRE,
    hash_expiry::HPEXPIREAT,
    hash_expiry::HPEXPIRETIME,
    hash_expiry::HPTTL,
    hash_scan::HRANDFIELD,
    hash_scan::HSCAN,
    hash::HSET,
    hash_fields::HSETEX,
    hash::HSETNX,
    hash::HSTRLEN,
    hash_expiry::HTTL,
    hash_scan::HVALS,
    string_range::APPEND,
    string_number::DECR,
    string_number::DECRBY,
    string::GET,
    string::GETDEL,
    string::GETEX,
    string_range::GETRANGE,
    string::GETSET,
    string_number::INCR,
    string_number::INCRBY,
    string_number::INCRBYFLOAT,
    string::MGET,
    string::MSET,
    string::MSETNX,
    string::PSETEX,
    string::SET,
    string::SETEX,
    string::SETNX,
    string_range::SETRANGE,
    string_range::STRLEN,
    string_range::SUBSTR,
    key::COPY,
    key::DEL,
    key::EXISTS,
    expiry::EXPIRE,
    expiry::EXPIREAT,
    expiry::EXPIRETIME,
    key::MOVE,
    key::OBJECT_ENCODING,
    key::OBJECT_FREQ,
    key::OBJECT_IDLETIME,
    key::OBJECT_REFCOUNT,
    expiry::PERSIST,
    expiry::PEXPIRE,
    expiry::PEXPIREAT,
    expiry::PEXPIRETIME,
    expiry::PTTL,
    key::RENAME,
    key::RENAMENX,
    key::TOUCH,
    expiry::TTL,
    key::TYPE,
    key::UNLINK,
];

impl Command {
    /// The command with this name, which is in lower case.
    pub fn find(name: &str) -> Option<&'static Command> {
        static BY_NAME: LazyLock<HashMap<&str, &Command, RandomState>> =
            LazyLock::new(|| COMMANDS.iter().map(|command| (command.spec.name, command)).collect());
        BY_NAME.get(name).copied()
    }
}

/// Serializes a command as its name.
pub(crate) mod by_name {
    use super::spec::Command;
    use serde::{Deserialize, Deserializer, Serializer, de::Error};

    pub(crate) fn serialize<S: Serializer>(command: &Command, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(command.spec.name)
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<&'static Command, D::Error> {
        let name = <&str>::deserialize(deserializer)?;
        Command::find(name).ok_or_else(|| D::Error::custom("no such command"))
    }
}

#[cfg(test)]
mod tests;
