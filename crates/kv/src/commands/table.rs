//! The table of commands: one row each, from which dispatch, arity, documentation and completion come.

use super::{
    About, Command, Keys, Run,
    flag::{DENYOOM, FAST, READ, WRITE},
    hash, key, string,
};
use crate::{Args, Outcome, target::Target};

/// All commands on buckets, by group and name.
#[rustfmt::skip]
pub static COMMANDS: &[Command] = &[
    one("hget", 3, READ | FAST, "hash", "2.0.0", "key field", "Returns the value of a field in a hash.", hash::hget),
    one("hset", -4, WRITE | DENYOOM | FAST, "hash", "2.0.0", "key field value [field value ...]", "Creates or modifies the value of a field in a hash.", hash::hset),
    one("get", 2, READ | FAST, "string", "1.0.0", "key", "Returns the string value of a key.", string::get),
    each("del", -2, WRITE, Keys::Sum, "generic", "1.0.0", "key [key ...]", "Deletes one or more keys.", key::del),
    one("type", 2, READ | FAST, "generic", "1.0.0", "key", "Determines the type of value stored at a key.", key::r#type),
];

type Function = for<'s> fn(Target<'s>, Args<'_>) -> Outcome<'s>;

/// A command on the one bucket that its first argument names.
#[expect(clippy::too_many_arguments, reason = "a row of the table")]
const fn one(
    name: &'static str,
    arity: i32,
    flags: u16,
    group: &'static str,
    since: &'static str,
    syntax: &'static str,
    summary: &'static str,
    run: Function,
) -> Command {
    each(name, arity, flags, Keys::One, group, since, syntax, summary, run)
}

/// A command that does the same with each bucket that it names.
#[expect(clippy::too_many_arguments, reason = "a row of the table")]
const fn each(
    name: &'static str,
    arity: i32,
    flags: u16,
    keys: Keys,
    group: &'static str,
    since: &'static str,
    syntax: &'static str,
    summary: &'static str,
    run: Function,
) -> Command {
    Command { about: About { name, arity, flags, keys, group, since, syntax, summary }, run: Run::One(run) }
}
