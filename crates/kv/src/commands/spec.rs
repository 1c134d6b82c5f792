//! A command: its function, and its description, the source of arity checks, COMMAND INFO, COMMAND DOCS and
//! docs/commands.md.

use crate::{
    args::Args,
    reply::CommandResult,
    shard::{
        bucket_ref::{BucketMut, BucketRef},
        multi::MultiBucket,
    },
};
use std::fmt;

/// The description of a command. A row starts from [`CommandSpec::read`], [`CommandSpec::write`] or
/// [`CommandSpec::new`], and sets by name whatever differs from those defaults.
#[derive(Debug, Clone, Copy)]
pub struct CommandSpec {
    /// The name in lower case. A subcommand is named `client|id`.
    pub name: &'static str,
    /// The number of words, including the name; negative: at least that many.
    pub arity: i32,
    /// See [`flag`].
    pub flags: u16,
    /// Where its keys are.
    pub keys: KeySpec,
    /// The group that it is documented in.
    pub group: Group,
    /// Whether the first argument after the key is a field of a hash, which is then hashed and prefetched
    /// ahead.
    pub(crate) field_first: bool,
    /// What it touches and returns, for the limits of a transaction.
    pub(crate) cost: Cost,
    /// Whether it changes a bucket and may return values of it, which are as large as they are.
    pub(crate) takes_values: bool,
    /// The version of Redis that introduced it.
    pub since: &'static str,
    /// The arguments as documented: upper case for literal words.
    pub syntax: &'static str,
    /// What it does, in one phrase.
    pub summary: &'static str,
}

impl CommandSpec {
    /// A command of one word, without keys and flags.
    pub const fn new(name: &'static str, group: Group) -> CommandSpec {
        let keys = KeySpec::None;
        CommandSpec {
            name,
            arity: 1,
            flags: 0,
            keys,
            group,
            field_first: false,
            cost: Cost::Arguments,
            takes_values: false,
            since: "",
            syntax: "",
            summary: "",
        }
    }

    /// A command that reads the bucket named by its first argument.
    pub const fn read(name: &'static str, group: Group) -> CommandSpec {
        CommandSpec::new(name, group).flags(flag::READ).keys(KeySpec::One)
    }

    /// A command that may change the bucket named by its first argument.
    pub const fn write(name: &'static str, group: Group) -> CommandSpec {
        CommandSpec::new(name, group).flags(flag::WRITE).keys(KeySpec::One)
    }

    /// Sets the number of words; negative: at least that many.
    pub const fn arity(self, arity: i32) -> CommandSpec {
        CommandSpec { arity, ..self }
    }

    /// Sets where the keys are.
    pub const fn keys(self, keys: KeySpec) -> CommandSpec {
        CommandSpec { keys, ..self }
    }

    /// The first argument after the key is a field of a hash.
    pub const fn field_first(self) -> CommandSpec {
        CommandSpec { field_first: true, ..self }
    }

    /// Sets what the command touches and returns.
    pub(crate) const fn cost(self, cost: Cost) -> CommandSpec {
        CommandSpec { cost, ..self }
    }

    /// The command changes a bucket and may return values of it.
    pub(crate) const fn takes_values(self) -> CommandSpec {
        CommandSpec { takes_values: true, ..self }
    }

    /// Adds flags; see [`flag`].
    pub const fn flags(self, flags: u16) -> CommandSpec {
        CommandSpec { flags: self.flags | flags, ..self }
    }

    /// The command takes constant or logarithmic time.
    pub const fn fast(self) -> CommandSpec {
        self.flags(flag::FAST)
    }

    /// The command may allocate, so it is refused when memory is exhausted.
    pub const fn denyoom(self) -> CommandSpec {
        self.flags(flag::DENYOOM)
    }

    /// Sets the version of Redis that introduced the command.
    pub const fn since(self, since: &'static str) -> CommandSpec {
        CommandSpec { since, ..self }
    }

    /// Sets the arguments as documented.
    pub const fn syntax(self, syntax: &'static str) -> CommandSpec {
        CommandSpec { syntax, ..self }
    }

    /// Sets what the command does, in one phrase.
    pub const fn summary(self, summary: &'static str) -> CommandSpec {
        CommandSpec { summary, ..self }
    }

    /// Completes a command on the bucket named by the first argument.
    pub(super) const fn run(self, run: BucketFunction) -> Command {
        Command { spec: self, run: Run::One(run) }
    }

    /// Completes a command on one bucket that may grow by more than the arguments have.
    pub(super) const fn run_growing(self, run: BucketFunction, growth: GrowthFunction) -> Command {
        Command { spec: self, run: Run::Growing(run, growth) }
    }

    /// Completes a command on several buckets of one node.
    pub(super) const fn run_multi(self, run: MultiFunction) -> Command {
        Command { spec: self, run: Run::Multi(run) }
    }

    /// Whether any of `flags` is set.
    pub const fn has(&self, flags: u16) -> bool {
        self.flags & flags != 0
    }
}

/// A command on buckets.
pub struct Command {
    /// Its description.
    pub spec: CommandSpec,
    pub(crate) run: Run,
}

/// The function that executes a command.
pub(crate) enum Run {
    /// On the bucket named by the first argument.
    One(BucketFunction),
    /// The same, and it may make the bucket larger than its arguments are.
    Growing(BucketFunction, GrowthFunction),
    /// On all buckets that the arguments name.
    Multi(MultiFunction),
}

/// Takes the bucket and the arguments after its name. The reply may borrow from the bucket.
type BucketFunction = for<'s> fn(BucketMut<'s>, Args) -> CommandResult<'s>;

/// Bytes by which a command with these arguments makes the bucket larger.
type GrowthFunction = fn(BucketRef, Args) -> usize;

/// Takes the buckets, the first name, and the arguments after it.
type MultiFunction = fn(&mut MultiBucket, &[u8], Args) -> CommandResult<'static>;

impl Run {
    /// Whether it is executed on several buckets at once.
    pub(crate) fn is_multi(&self) -> bool {
        matches!(self, Run::Multi(_))
    }
}

impl Command {
    /// Whether it changes nothing.
    pub fn is_read(&self) -> bool {
        self.spec.has(flag::READ)
    }
}

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
    /// The name of the group.
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

/// The flags of COMMAND INFO.
pub mod flag {
    /// May change data.
    pub const WRITE: u16 = 1;
    /// Changes nothing.
    pub const READ: u16 = 1 << 1;
    /// May allocate.
    pub const DENYOOM: u16 = 1 << 2;
    /// Takes constant or logarithmic time.
    pub const FAST: u16 = 1 << 3;
    /// Administers the server.
    pub const ADMIN: u16 = 1 << 4;
    /// Publishes or subscribes.
    pub const PUBSUB: u16 = 1 << 5;
    /// Allowed while data is loading.
    pub const LOADING: u16 = 1 << 6;
    /// Allowed on a stale replica.
    pub const STALE: u16 = 1 << 7;
    /// Allowed without authentication.
    pub const NO_AUTH: u16 = 1 << 8;
    /// Not allowed in a transaction.
    pub const NO_MULTI: u16 = 1 << 9;
    /// Their names, in the order of their bits.
    pub const NAMES: [&str; 10] = [
        "write", "readonly", "denyoom", "fast", "admin", "pubsub", "loading", "stale", "no_auth", "no_multi",
    ];
}

/// What a command touches and returns, for the limits of a transaction.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Cost {
    /// Its arguments.
    Arguments,
    /// The values of the fields that it names.
    Fields,
    /// The whole string.
    String,
    /// A range of the string.
    Range,
    /// Appends its argument to the string.
    Append,
    /// Writes its argument into the string at an offset.
    SetRange,
    /// All fields, or a page of them.
    Listing,
    /// Random fields.
    Sample,
    /// The whole bucket, which another name gets as well.
    Copy,
    /// The whole bucket, unless its new name is in the same shard.
    Rename,
}

/// Which arguments of a command are keys, and how the replies are merged when the keys live on several nodes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum KeySpec {
    /// None.
    None,
    /// The first argument.
    One,
    /// Every argument; the reply is the sum of their replies.
    EachSummed,
    /// Every argument; the reply lists their replies in order.
    EachListed,
    /// Every other argument, each followed by its value; the reply is OK.
    PairsEach,
    /// The first two arguments, which must live on one node.
    TwoTogether,
    /// Every other argument, each followed by its value; all must live on one node.
    PairsTogether,
}
