//! The commands of Redis that work on buckets. A bucket is a hash; one that holds a single value is a string.
//!
//! One command is one row of the table and one function of the same name. Reference: <https://redis.io/docs/latest/commands/>.

mod expiry;
mod fields;
mod hash;
mod hash_ex;
mod hash_expiry;
mod hash_list;
mod hash_number;
mod hash_random;
mod hash_scan;
mod key;
mod key_move;
mod lifetime;
mod long_double;
mod number;
mod string;
mod string_number;
mod string_range;
mod table;

pub(crate) use hash::value;
pub(crate) use hash_list::list;
pub use table::COMMANDS;

use crate::{Args, CommandResult, shard::bucket_mut::BucketMut, shard::multi::MultiBucket};
use std::{collections::HashMap, fmt, sync::LazyLock};

/// What the world is told about a command.
#[derive(Debug)]
pub struct CommandSpec {
    /// Its name in lower case. A bar stands between it and that of a subcommand, before which no key stands.
    pub name: &'static str,
    /// How many words it has with its name; negative: at least so many.
    pub arity: i32,
    /// What it does to the server; see [`flag`].
    pub flags: u16,
    /// Where its keys are.
    pub keys: KeySpec,
    /// The group that it is documented in.
    pub group: Group,
    /// The version of Redis that brought it.
    pub since: &'static str,
    /// Its arguments as documented: upper case for what is written as it is.
    pub syntax: &'static str,
    /// What it does, in a sentence.
    pub summary: &'static str,
}

/// The groups that commands are documented in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
#[expect(missing_docs, reason = "the names are Redis's")]
pub enum Group {
    Connection,
    Generic,
    Hash,
    Pubsub,
    Server,
    String,
    Transactions,
}

impl Group {
    /// Its name.
    pub fn name(self) -> &'static str {
        match self {
            Group::Connection => "connection",
            Group::Generic => "generic",
            Group::Hash => "hash",
            Group::Pubsub => "pubsub",
            Group::Server => "server",
            Group::String => "string",
            Group::Transactions => "transactions",
        }
    }
}

/// What a command does to the server, in the words of COMMAND INFO.
pub mod flag {
    /// It may change the data.
    pub const WRITE: u16 = 1;
    /// It changes nothing.
    pub const READ: u16 = 1 << 1;
    /// It may take memory.
    pub const DENYOOM: u16 = 1 << 2;
    /// It takes constant or logarithmic time.
    pub const FAST: u16 = 1 << 3;
    /// It is about the server.
    pub const ADMIN: u16 = 1 << 4;
    /// It is about publishing and subscribing.
    pub const PUBSUB: u16 = 1 << 5;
    /// It is allowed while data is loaded.
    pub const LOADING: u16 = 1 << 6;
    /// It is allowed on a replica that is behind.
    pub const STALE: u16 = 1 << 7;
    /// It needs no authentication.
    pub const NO_AUTH: u16 = 1 << 8;
    /// It is not allowed in a transaction.
    pub const NO_MULTI: u16 = 1 << 9;
    /// Their names, in the order of their bits.
    pub const NAMES: [&str; 10] = [
        "write", "readonly", "denyoom", "fast", "admin", "pubsub", "loading", "stale", "no_auth", "no_multi",
    ];
}

/// Where the keys of a command are among its words, and how its answer comes together when they are of several nodes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum KeySpec {
    /// It has none.
    None,
    /// The first argument is the key.
    One,
    /// Each argument is a key; the answers are numbers, and their sum is the answer.
    EachSummed,
    /// Each argument is a key; the answers are listed in their order.
    EachListed,
    /// Keys and values by turns; the answer is OK.
    PairsEach,
    /// The first two arguments are keys of one node.
    TwoTogether,
    /// Keys and values by turns, all keys of one node.
    PairsTogether,
}

/// A command on buckets.
pub struct Command {
    /// What the world is told about it.
    pub spec: CommandSpec,
    pub(crate) run: Run,
}

/// What executes a command: the bucket that it names, or all buckets that it names, and the arguments after the first key.
pub(crate) enum Run {
    One(for<'s> fn(BucketMut<'s>, Args<'_>) -> CommandResult<'s>),
    Multi(fn(&mut MultiBucket<'_, '_>, &[u8], Args<'_>) -> CommandResult<'static>),
}

impl Command {
    /// The command of this name, in any case.
    pub fn find(name: &[u8]) -> Option<&'static Command> {
        static BY_NAME: LazyLock<HashMap<&'static [u8], &'static Command, foldhash::fast::RandomState>> =
            LazyLock::new(|| {
                COMMANDS.iter().map(|command| (command.spec.name.as_bytes(), command)).collect()
            });
        let mut lower = [0; LONGEST_NAME];
        let lower = lower.get_mut(..name.len())?;
        lower.copy_from_slice(name);
        lower.make_ascii_lowercase();
        BY_NAME.get(&*lower).copied()
    }

    /// Whether its arguments begin with a field of a hash.
    pub(crate) fn is_on_fields(&self) -> bool {
        self.spec.group == Group::Hash
    }

    /// Whether it leaves the bucket as it was.
    pub fn is_read(&self) -> bool {
        self.spec.flags & flag::READ != 0
    }
}

/// Bytes that the longest name of a command may have.
const LONGEST_NAME: usize = 20;

impl fmt::Debug for Command {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.spec.name)
    }
}

impl PartialEq for Command {
    fn eq(&self, other: &Command) -> bool {
        self.spec.name == other.spec.name
    }
}

impl Eq for Command {}

/// How a command crosses a link: by its name.
pub(crate) mod by_name {
    use super::Command;
    use serde::{Deserialize, Deserializer, Serializer, de::Error};

    pub(crate) fn serialize<S: Serializer>(command: &Command, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(command.spec.name)
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<&'static Command, D::Error> {
        let name = <&str>::deserialize(deserializer)?;
        Command::find(name.as_bytes()).ok_or_else(|| D::Error::custom("no such command"))
    }
}

#[cfg(test)]
mod tests;
