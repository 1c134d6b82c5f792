//! The table of commands: one row each, from which dispatch, arity, documentation and completion come.

use super::{
    Command, CommandSpec, Group, KeySpec, Run, expiry,
    flag::{DENYOOM, FAST, READ, WRITE},
    hash, hash_ex, hash_expiry, hash_list, hash_number, hash_random, hash_scan, key, key_move, string,
    string_number, string_range,
};
use crate::{Args, CommandResult, shard::bucket_mut::BucketMut, shard::multi::MultiBucket};

/// All commands on buckets, by group and name.
#[rustfmt::skip]
pub static COMMANDS: &[Command] = &[
    one("hdel", -3, WRITE | FAST, Group::Hash, "2.0.0", "key field [field ...]", "Removes fields; the hash ends with its last one.", hash::hdel),
    one("hexists", 3, READ | FAST, Group::Hash, "2.0.0", "key field", "Whether there is such a field.", hash::hexists),
    one("hexpire", -6, WRITE | DENYOOM | FAST, Group::Hash, "7.4.0", "key seconds [NX|XX|GT|LT] FIELDS numfields field [field ...]", "Lets fields live for so many seconds more.", hash_expiry::hexpire),
    one("hexpireat", -6, WRITE | DENYOOM | FAST, Group::Hash, "7.4.0", "key unix-time-seconds [NX|XX|GT|LT] FIELDS numfields field [field ...]", "Lets fields live until a second since 1970.", hash_expiry::hexpireat),
    one("hexpiretime", -5, READ | FAST, Group::Hash, "7.4.0", "key FIELDS numfields field [field ...]", "The second since 1970 in which fields end.", hash_expiry::hexpiretime),
    one("hget", 3, READ | FAST, Group::Hash, "2.0.0", "key field", "The value of a field.", hash::hget),
    one("hgetall", 2, READ, Group::Hash, "2.0.0", "key", "All fields with their values.", hash_list::hgetall),
    one("hgetdel", -5, WRITE | FAST, Group::Hash, "8.0.0", "key FIELDS numfields field [field ...]", "The values of fields, which are removed.", hash::hgetdel),
    one("hgetex", -5, WRITE | FAST, Group::Hash, "8.0.0", "key [EX seconds|PX milliseconds|EXAT unix-time-seconds|PXAT unix-time-milliseconds|PERSIST] FIELDS numfields field [field ...]", "The values of fields; may set when these end.", hash_ex::hgetex),
    one("hincrby", 4, WRITE | DENYOOM | FAST, Group::Hash, "2.0.0", "key field increment", "Adds to a whole number; a missing field counts as 0.", hash_number::hincrby),
    one("hincrbyfloat", 4, WRITE | DENYOOM | FAST, Group::Hash, "2.6.0", "key field increment", "Adds to a number with decimals; a missing field counts as 0.", hash_number::hincrbyfloat),
    one("hkeys", 2, READ, Group::Hash, "2.0.0", "key", "All fields without their values.", hash_list::hkeys),
    one("hlen", 2, READ | FAST, Group::Hash, "2.0.0", "key", "How many fields there are.", hash::hlen),
    one("hmget", -3, READ | FAST, Group::Hash, "2.0.0", "key field [field ...]", "The values of several fields, in the order asked for.", hash::hmget),
    one("hmset", -4, WRITE | DENYOOM | FAST, Group::Hash, "2.0.0", "key field value [field value ...]", "Sets fields; HSET does the same and counts the new ones.", hash::hmset),
    one("hpersist", -5, WRITE | FAST, Group::Hash, "7.4.0", "key FIELDS numfields field [field ...]", "Lets fields stay that had a time to end.", hash_expiry::hpersist),
    one("hpexpire", -6, WRITE | DENYOOM | FAST, Group::Hash, "7.4.0", "key milliseconds [NX|XX|GT|LT] FIELDS numfields field [field ...]", "Lets fields live for so many milliseconds more.", hash_expiry::hpexpire),
    one("hpexpireat", -6, WRITE | DENYOOM | FAST, Group::Hash, "7.4.0", "key unix-time-milliseconds [NX|XX|GT|LT] FIELDS numfields field [field ...]", "Lets fields live until a millisecond since 1970.", hash_expiry::hpexpireat),
    one("hpexpiretime", -5, READ | FAST, Group::Hash, "7.4.0", "key FIELDS numfields field [field ...]", "The millisecond since 1970 in which fields end.", hash_expiry::hpexpiretime),
    one("hpttl", -5, READ | FAST, Group::Hash, "7.4.0", "key FIELDS numfields field [field ...]", "The milliseconds that fields have left.", hash_expiry::hpttl),
    one("hrandfield", -2, READ, Group::Hash, "6.2.0", "key [count [WITHVALUES]]", "A field picked by chance, or several.", hash_random::hrandfield),
    one("hscan", -3, READ, Group::Hash, "2.8.0", "key cursor [MATCH pattern] [COUNT count] [NOVALUES]", "One step of a walk through fields and values.", hash_scan::hscan),
    one("hset", -4, WRITE | DENYOOM | FAST, Group::Hash, "2.0.0", "key field value [field value ...]", "Sets fields; a missing hash is started.", hash::hset),
    one("hsetex", -6, WRITE | DENYOOM | FAST, Group::Hash, "8.0.0", "key [FNX|FXX] [EX seconds|PX milliseconds|EXAT unix-time-seconds|PXAT unix-time-milliseconds|KEEPTTL] FIELDS numfields field value [field value ...]", "Sets fields; may set when they end.", hash_ex::hsetex),
    one("hsetnx", 4, WRITE | DENYOOM | FAST, Group::Hash, "2.0.0", "key field value", "Sets a field that is not there yet.", hash::hsetnx),
    one("hstrlen", 3, READ | FAST, Group::Hash, "3.2.0", "key field", "The bytes of a field's value.", hash::hstrlen),
    one("httl", -5, READ | FAST, Group::Hash, "7.4.0", "key FIELDS numfields field [field ...]", "The seconds that fields have left.", hash_expiry::httl),
    one("hvals", 2, READ, Group::Hash, "2.0.0", "key", "All values without their fields.", hash_list::hvals),
    one("append", 3, WRITE | DENYOOM | FAST, Group::String, "2.0.0", "key value", "Writes at the end of a string; a missing one is started.", string_range::append),
    one("decr", 2, WRITE | DENYOOM | FAST, Group::String, "1.0.0", "key", "Takes 1 from a whole number; a missing key counts as 0.", string_number::decr),
    one("decrby", 3, WRITE | DENYOOM | FAST, Group::String, "1.0.0", "key decrement", "Takes from a whole number; a missing key counts as 0.", string_number::decrby),
    one("get", 2, READ | FAST, Group::String, "1.0.0", "key", "The string of a key.", string::get),
    one("getdel", 2, WRITE | FAST, Group::String, "6.2.0", "key", "The string of a key, which is removed.", string::getdel),
    one("getex", -2, WRITE | FAST, Group::String, "6.2.0", "key [EX seconds|PX milliseconds|EXAT unix-time-seconds|PXAT unix-time-milliseconds|PERSIST]", "The string of a key; may set when it ends.", string::getex),
    one("getrange", 4, READ, Group::String, "2.4.0", "key start end", "The bytes of a string between two places.", string_range::getrange),
    one("getset", 3, WRITE | DENYOOM | FAST, Group::String, "1.0.0", "key value", "Sets a string, and gives the one before it.", string::getset),
    one("incr", 2, WRITE | DENYOOM | FAST, Group::String, "1.0.0", "key", "Adds 1 to a whole number; a missing key counts as 0.", string_number::incr),
    one("incrby", 3, WRITE | DENYOOM | FAST, Group::String, "1.0.0", "key increment", "Adds to a whole number; a missing key counts as 0.", string_number::incrby),
    one("incrbyfloat", 3, WRITE | DENYOOM | FAST, Group::String, "2.6.0", "key increment", "Adds to a number with decimals; a missing key counts as 0.", string_number::incrbyfloat),
    each("mget", -2, READ | FAST, KeySpec::EachListed, Group::String, "1.0.0", "key [key ...]", "The strings of several keys; nil for what is no string.", string::mget),
    each("mset", -3, WRITE | DENYOOM, KeySpec::PairsEach, Group::String, "1.0.1", "key value [key value ...]", "Sets several strings.", string::mset),
    several("msetnx", -3, WRITE | DENYOOM, KeySpec::PairsTogether, Group::String, "1.0.1", "key value [key value ...]", "Sets several strings, all or none: none when one of the keys is there.", string::msetnx),
    one("psetex", 4, WRITE | DENYOOM, Group::String, "2.6.0", "key milliseconds value", "Sets a string that ends after so many milliseconds.", string::psetex),
    one("set", -3, WRITE | DENYOOM, Group::String, "1.0.0", "key value [NX|XX] [GET] [EX seconds|PX milliseconds|EXAT unix-time-seconds|PXAT unix-time-milliseconds|KEEPTTL]", "Sets a string, whatever the key held before.", string::set),
    one("setex", 4, WRITE | DENYOOM, Group::String, "2.0.0", "key seconds value", "Sets a string that ends after so many seconds.", string::setex),
    one("setnx", 3, WRITE | DENYOOM | FAST, Group::String, "1.0.0", "key value", "Sets a string when the key is not there yet.", string::setnx),
    one("setrange", 4, WRITE | DENYOOM, Group::String, "2.2.0", "key offset value", "Writes over a string from one place on; a gap is filled with zeros.", string_range::setrange),
    one("strlen", 2, READ | FAST, Group::String, "2.2.0", "key", "The bytes of a string.", string_range::strlen),
    one("substr", 4, READ, Group::String, "1.0.0", "key start end", "The old name of GETRANGE.", string_range::getrange),
    several("copy", -3, WRITE | DENYOOM, KeySpec::TwoTogether, Group::Generic, "6.2.0", "source destination [DB destination-db] [REPLACE]", "Makes a second key with the same contents.", key_move::copy),
    each("del", -2, WRITE, KeySpec::EachSummed, Group::Generic, "1.0.0", "key [key ...]", "Removes keys, and counts those that were there.", key::del),
    each("exists", -2, READ | FAST, KeySpec::EachSummed, Group::Generic, "1.0.0", "key [key ...]", "How many of these keys are there.", key::exists),
    one("expire", -3, WRITE | FAST, Group::Generic, "1.0.0", "key seconds [NX|XX|GT|LT]", "Lets a key live for so many seconds more.", expiry::expire),
    one("expireat", -3, WRITE | FAST, Group::Generic, "1.2.0", "key unix-time-seconds [NX|XX|GT|LT]", "Lets a key live until a second since 1970.", expiry::expireat),
    one("expiretime", 2, READ | FAST, Group::Generic, "7.0.0", "key", "The second since 1970 in which a key ends.", expiry::expiretime),
    one("object|encoding", 3, READ, Group::Generic, "2.2.3", "key", "How Redis would call the way in which the value is kept.", key::object_encoding),
    one("object|freq", 3, READ, Group::Generic, "4.0.0", "key", "An error: uses of keys are not counted.", key::object_freq),
    one("object|idletime", 3, READ, Group::Generic, "2.2.3", "key", "0: uses of keys are not noted.", key::object_idletime),
    one("object|refcount", 3, READ, Group::Generic, "2.2.3", "key", "1: a value has one key.", key::object_refcount),
    one("persist", 2, WRITE | FAST, Group::Generic, "2.2.0", "key", "Lets a key stay that had a time to end.", expiry::persist),
    one("pexpire", -3, WRITE | FAST, Group::Generic, "2.6.0", "key milliseconds [NX|XX|GT|LT]", "Lets a key live for so many milliseconds more.", expiry::pexpire),
    one("pexpireat", -3, WRITE | FAST, Group::Generic, "2.6.0", "key unix-time-milliseconds [NX|XX|GT|LT]", "Lets a key live until a millisecond since 1970.", expiry::pexpireat),
    one("pexpiretime", 2, READ | FAST, Group::Generic, "7.0.0", "key", "The millisecond since 1970 in which a key ends.", expiry::pexpiretime),
    one("pttl", 2, READ | FAST, Group::Generic, "2.6.0", "key", "The milliseconds that a key has left.", expiry::pttl),
    several("rename", 3, WRITE, KeySpec::TwoTogether, Group::Generic, "1.0.0", "key newkey", "Gives a key another name, over whatever had that name.", key_move::rename),
    several("renamenx", 3, WRITE | FAST, KeySpec::TwoTogether, Group::Generic, "1.0.0", "key newkey", "Gives a key another name that nothing has yet.", key_move::renamenx),
    each("touch", -2, READ | FAST, KeySpec::EachSummed, Group::Generic, "3.2.1", "key [key ...]", "How many of these keys are there.", key::exists),
    one("ttl", 2, READ | FAST, Group::Generic, "1.0.0", "key", "The seconds that a key has left.", expiry::ttl),
    one("type", 2, READ | FAST, Group::Generic, "1.0.0", "key", "Whether a key is a hash, a string or not there.", key::r#type),
    each("unlink", -2, WRITE | FAST, KeySpec::EachSummed, Group::Generic, "4.0.0", "key [key ...]", "Removes keys as DEL does.", key::del),
];

type Function = for<'s> fn(BucketMut<'s>, Args<'_>) -> CommandResult<'s>;

/// A command on the one bucket that its first argument names.
#[expect(clippy::too_many_arguments, reason = "a row of the table")]
const fn one(
    name: &'static str,
    arity: i32,
    flags: u16,
    group: Group,
    since: &'static str,
    syntax: &'static str,
    summary: &'static str,
    run: Function,
) -> Command {
    each(name, arity, flags, KeySpec::One, group, since, syntax, summary, run)
}

/// A command that does the same with each bucket that it names.
#[expect(clippy::too_many_arguments, reason = "a row of the table")]
const fn each(
    name: &'static str,
    arity: i32,
    flags: u16,
    keys: KeySpec,
    group: Group,
    since: &'static str,
    syntax: &'static str,
    summary: &'static str,
    run: Function,
) -> Command {
    Command {
        spec: CommandSpec { name, arity, flags, keys, group, since, syntax, summary },
        run: Run::One(run),
    }
}

/// A command on several buckets of one node.
#[expect(clippy::too_many_arguments, reason = "a row of the table")]
const fn several(
    name: &'static str,
    arity: i32,
    flags: u16,
    keys: KeySpec,
    group: Group,
    since: &'static str,
    syntax: &'static str,
    summary: &'static str,
    run: fn(&mut MultiBucket<'_, '_>, &[u8], Args<'_>) -> CommandResult<'static>,
) -> Command {
    Command {
        spec: CommandSpec { name, arity, flags, keys, group, since, syntax, summary },
        run: Run::Multi(run),
    }
}
