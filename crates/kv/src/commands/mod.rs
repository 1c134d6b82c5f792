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
mod spec;
mod string;
mod string_number;
mod string_range;
mod table;

pub(crate) use hash::value;
pub(crate) use hash_list::list;
pub use spec::{CommandSpec, Group, KeySpec, flag};
pub use table::COMMANDS;

use crate::{Args, CommandResult, shard::bucket_mut::BucketMut, shard::multi::MultiBucket};
use std::{collections::HashMap, fmt, sync::LazyLock};

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
        self.spec.has(flag::READ)
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
