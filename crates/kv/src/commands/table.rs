//! The table of commands: one row each, from which dispatch, arity, documentation and completion come.

use super::{
    About, Command, Keys, Run, expiry,
    flag::{DENYOOM, FAST, READ, WRITE},
    hash, hash_ex, hash_expiry, hash_list, hash_number, hash_random, hash_scan, key, key_move, string,
    string_number, string_range,
};
use crate::{Args, Outcome, several::Several, target::Target};

/// All commands on buckets, by group and name.
#[rustfmt::skip]
pub static COMMANDS: &[Command] = &[
    one("hdel", -3, WRITE | FAST, "hash", "2.0.0", "key field [field ...]", "Deletes one or more fields and their values from a hash. Deletes the hash if no fields remain.", hash::hdel),
    one("hexists", 3, READ | FAST, "hash", "2.0.0", "key field", "Determines whether a field exists in a hash.", hash::hexists),
    one("hexpire", -6, WRITE | DENYOOM | FAST, "hash", "7.4.0", "key seconds [NX|XX|GT|LT] FIELDS numfields field [field ...]", "Sets expiry for hash fields in seconds.", hash_expiry::hexpire),
    one("hexpireat", -6, WRITE | DENYOOM | FAST, "hash", "7.4.0", "key unix-time-seconds [NX|XX|GT|LT] FIELDS numfields field [field ...]", "Sets expiry for hash fields to a Unix timestamp.", hash_expiry::hexpireat),
    one("hexpiretime", -5, READ | FAST, "hash", "7.4.0", "key FIELDS numfields field [field ...]", "Returns the expiration time of hash fields as a Unix timestamp.", hash_expiry::hexpiretime),
    one("hget", 3, READ | FAST, "hash", "2.0.0", "key field", "Returns the value of a field in a hash.", hash::hget),
    one("hgetall", 2, READ, "hash", "2.0.0", "key", "Returns all fields and values in a hash.", hash_list::hgetall),
    one("hgetdel", -5, WRITE | FAST, "hash", "8.0.0", "key FIELDS numfields field [field ...]", "Returns the values of fields and deletes them from the hash.", hash::hgetdel),
    one("hgetex", -5, WRITE | FAST, "hash", "8.0.0", "key [EX seconds|PX milliseconds|EXAT unix-time-seconds|PXAT unix-time-milliseconds|PERSIST] FIELDS numfields field [field ...]", "Returns the values of fields in a hash and optionally sets their expiration.", hash_ex::hgetex),
    one("hincrby", 4, WRITE | DENYOOM | FAST, "hash", "2.0.0", "key field increment", "Increments the integer value of a field in a hash by a number. Uses 0 as initial value if the field doesn't exist.", hash_number::hincrby),
    one("hincrbyfloat", 4, WRITE | DENYOOM | FAST, "hash", "2.6.0", "key field increment", "Increments the floating point value of a field by a number. Uses 0 as initial value if the field doesn't exist.", hash_number::hincrbyfloat),
    one("hkeys", 2, READ, "hash", "2.0.0", "key", "Returns all fields in a hash.", hash_list::hkeys),
    one("hlen", 2, READ | FAST, "hash", "2.0.0", "key", "Returns the number of fields in a hash.", hash::hlen),
    one("hmget", -3, READ | FAST, "hash", "2.0.0", "key field [field ...]", "Returns the values of fields in a hash.", hash::hmget),
    one("hmset", -4, WRITE | DENYOOM | FAST, "hash", "2.0.0", "key field value [field value ...]", "Sets the values of multiple fields.", hash::hmset),
    one("hpersist", -5, WRITE | FAST, "hash", "7.4.0", "key FIELDS numfields field [field ...]", "Removes the expiration time of hash fields.", hash_expiry::hpersist),
    one("hpexpire", -6, WRITE | DENYOOM | FAST, "hash", "7.4.0", "key milliseconds [NX|XX|GT|LT] FIELDS numfields field [field ...]", "Sets expiry for hash fields in milliseconds.", hash_expiry::hpexpire),
    one("hpexpireat", -6, WRITE | DENYOOM | FAST, "hash", "7.4.0", "key unix-time-milliseconds [NX|XX|GT|LT] FIELDS numfields field [field ...]", "Sets expiry for hash fields to a Unix timestamp in milliseconds.", hash_expiry::hpexpireat),
    one("hpexpiretime", -5, READ | FAST, "hash", "7.4.0", "key FIELDS numfields field [field ...]", "Returns the expiration time of hash fields as a Unix timestamp in milliseconds.", hash_expiry::hpexpiretime),
    one("hpttl", -5, READ | FAST, "hash", "7.4.0", "key FIELDS numfields field [field ...]", "Returns the time that hash fields have left, in milliseconds.", hash_expiry::hpttl),
    one("hrandfield", -2, READ, "hash", "6.2.0", "key [count [WITHVALUES]]", "Returns one or more random fields from a hash.", hash_random::hrandfield),
    one("hscan", -3, READ, "hash", "2.8.0", "key cursor [MATCH pattern] [COUNT count] [NOVALUES]", "Iterates over fields and values of a hash.", hash_scan::hscan),
    one("hset", -4, WRITE | DENYOOM | FAST, "hash", "2.0.0", "key field value [field value ...]", "Creates or modifies the value of a field in a hash.", hash::hset),
    one("hsetex", -6, WRITE | DENYOOM | FAST, "hash", "8.0.0", "key [FNX|FXX] [EX seconds|PX milliseconds|EXAT unix-time-seconds|PXAT unix-time-milliseconds|KEEPTTL] FIELDS numfields field value [field value ...]", "Sets the values of fields in a hash and optionally their expiration.", hash_ex::hsetex),
    one("hsetnx", 4, WRITE | DENYOOM | FAST, "hash", "2.0.0", "key field value", "Sets the value of a field in a hash only when the field doesn't exist.", hash::hsetnx),
    one("hstrlen", 3, READ | FAST, "hash", "3.2.0", "key field", "Returns the length of the value of a field.", hash::hstrlen),
    one("httl", -5, READ | FAST, "hash", "7.4.0", "key FIELDS numfields field [field ...]", "Returns the time that hash fields have left, in seconds.", hash_expiry::httl),
    one("hvals", 2, READ, "hash", "2.0.0", "key", "Returns all values in a hash.", hash_list::hvals),
    one("append", 3, WRITE | DENYOOM | FAST, "string", "2.0.0", "key value", "Appends a string to the value of a key. Creates the key if it doesn't exist.", string_range::append),
    one("decr", 2, WRITE | DENYOOM | FAST, "string", "1.0.0", "key", "Decrements the integer value of a key by one. Uses 0 as initial value if the key doesn't exist.", string_number::decr),
    one("decrby", 3, WRITE | DENYOOM | FAST, "string", "1.0.0", "key decrement", "Decrements a number from the integer value of a key. Uses 0 as initial value if the key doesn't exist.", string_number::decrby),
    one("get", 2, READ | FAST, "string", "1.0.0", "key", "Returns the string value of a key.", string::get),
    one("getdel", 2, WRITE | FAST, "string", "6.2.0", "key", "Returns the string value of a key after deleting the key.", string::getdel),
    one("getex", -2, WRITE | FAST, "string", "6.2.0", "key [EX seconds|PX milliseconds|EXAT unix-time-seconds|PXAT unix-time-milliseconds|PERSIST]", "Returns the string value of a key after setting its expiration time.", string::getex),
    one("getrange", 4, READ, "string", "2.4.0", "key start end", "Returns a substring of the string stored at a key.", string_range::getrange),
    one("getset", 3, WRITE | DENYOOM | FAST, "string", "1.0.0", "key value", "Returns the previous string value of a key after setting it to a new value.", string::getset),
    one("incr", 2, WRITE | DENYOOM | FAST, "string", "1.0.0", "key", "Increments the integer value of a key by one. Uses 0 as initial value if the key doesn't exist.", string_number::incr),
    one("incrby", 3, WRITE | DENYOOM | FAST, "string", "1.0.0", "key increment", "Increments the integer value of a key by a number. Uses 0 as initial value if the key doesn't exist.", string_number::incrby),
    one("incrbyfloat", 3, WRITE | DENYOOM | FAST, "string", "2.6.0", "key increment", "Increments the floating point value of a key by a number. Uses 0 as initial value if the key doesn't exist.", string_number::incrbyfloat),
    each("mget", -2, READ | FAST, Keys::List, "string", "1.0.0", "key [key ...]", "Returns the string values of one or more keys.", string::mget),
    each("mset", -3, WRITE | DENYOOM, Keys::Pairs, "string", "1.0.1", "key value [key value ...]", "Creates or modifies the string values of one or more keys.", string::mset),
    several("msetnx", -3, WRITE | DENYOOM, Keys::PairsTogether, "string", "1.0.1", "key value [key value ...]", "Modifies the string values of one or more keys only when none of them exists.", string::msetnx),
    one("psetex", 4, WRITE | DENYOOM, "string", "2.6.0", "key milliseconds value", "Sets both string value and expiration time in milliseconds of a key. The key is created if it doesn't exist.", string::psetex),
    one("set", -3, WRITE | DENYOOM, "string", "1.0.0", "key value [NX|XX] [GET] [EX seconds|PX milliseconds|EXAT unix-time-seconds|PXAT unix-time-milliseconds|KEEPTTL]", "Sets the string value of a key, ignoring its type. The key is created if it doesn't exist.", string::set),
    one("setex", 4, WRITE | DENYOOM, "string", "2.0.0", "key seconds value", "Sets the string value and expiration time of a key. Creates the key if it doesn't exist.", string::setex),
    one("setnx", 3, WRITE | DENYOOM | FAST, "string", "1.0.0", "key value", "Sets the string value of a key only when the key doesn't exist.", string::setnx),
    one("setrange", 4, WRITE | DENYOOM, "string", "2.2.0", "key offset value", "Overwrites a part of a string value with another by an offset. Creates the key if it doesn't exist.", string_range::setrange),
    one("strlen", 2, READ | FAST, "string", "2.2.0", "key", "Returns the length of a string value.", string_range::strlen),
    one("substr", 4, READ, "string", "1.0.0", "key start end", "Returns a substring from a string value.", string_range::getrange),
    several("copy", -3, WRITE | DENYOOM, Keys::Two, "generic", "6.2.0", "source destination [DB destination-db] [REPLACE]", "Copies the value of a key to a new key.", key_move::copy),
    each("del", -2, WRITE, Keys::Sum, "generic", "1.0.0", "key [key ...]", "Deletes one or more keys.", key::del),
    each("exists", -2, READ | FAST, Keys::Sum, "generic", "1.0.0", "key [key ...]", "Determines whether one or more keys exist.", key::exists),
    one("expire", -3, WRITE | FAST, "generic", "1.0.0", "key seconds [NX|XX|GT|LT]", "Sets the expiration time of a key in seconds.", expiry::expire),
    one("expireat", -3, WRITE | FAST, "generic", "1.2.0", "key unix-time-seconds [NX|XX|GT|LT]", "Sets the expiration time of a key to a Unix timestamp.", expiry::expireat),
    one("expiretime", 2, READ | FAST, "generic", "7.0.0", "key", "Returns the expiration time of a key as a Unix timestamp.", expiry::expiretime),
    one("object|encoding", 3, READ, "generic", "2.2.3", "key", "Returns the internal encoding of a Redis object.", key::object_encoding),
    one("object|freq", 3, READ, "generic", "4.0.0", "key", "Returns the logarithmic access frequency counter of a Redis object.", key::object_freq),
    one("object|idletime", 3, READ, "generic", "2.2.3", "key", "Returns the time since the last access to a Redis object.", key::object_idletime),
    one("object|refcount", 3, READ, "generic", "2.2.3", "key", "Returns the reference count of a value of a key.", key::object_refcount),
    one("persist", 2, WRITE | FAST, "generic", "2.2.0", "key", "Removes the expiration time of a key.", expiry::persist),
    one("pexpire", -3, WRITE | FAST, "generic", "2.6.0", "key milliseconds [NX|XX|GT|LT]", "Sets the expiration time of a key in milliseconds.", expiry::pexpire),
    one("pexpireat", -3, WRITE | FAST, "generic", "2.6.0", "key unix-time-milliseconds [NX|XX|GT|LT]", "Sets the expiration time of a key to a Unix milliseconds timestamp.", expiry::pexpireat),
    one("pexpiretime", 2, READ | FAST, "generic", "7.0.0", "key", "Returns the expiration time of a key as a Unix milliseconds timestamp.", expiry::pexpiretime),
    one("pttl", 2, READ | FAST, "generic", "2.6.0", "key", "Returns the expiration time in milliseconds of a key.", expiry::pttl),
    several("rename", 3, WRITE, Keys::Two, "generic", "1.0.0", "key newkey", "Renames a key and overwrites the destination.", key_move::rename),
    several("renamenx", 3, WRITE | FAST, Keys::Two, "generic", "1.0.0", "key newkey", "Renames a key only when the target key name doesn't exist.", key_move::renamenx),
    each("touch", -2, READ | FAST, Keys::Sum, "generic", "3.2.1", "key [key ...]", "Returns the number of existing keys out of those specified after updating the time they were last accessed.", key::exists),
    one("ttl", 2, READ | FAST, "generic", "1.0.0", "key", "Returns the expiration time in seconds of a key.", expiry::ttl),
    one("type", 2, READ | FAST, "generic", "1.0.0", "key", "Determines the type of value stored at a key.", key::r#type),
    each("unlink", -2, WRITE | FAST, Keys::Sum, "generic", "4.0.0", "key [key ...]", "Asynchronously deletes one or more keys.", key::del),
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

/// A command on several buckets of one node.
#[expect(clippy::too_many_arguments, reason = "a row of the table")]
const fn several(
    name: &'static str,
    arity: i32,
    flags: u16,
    keys: Keys,
    group: &'static str,
    since: &'static str,
    syntax: &'static str,
    summary: &'static str,
    run: fn(&mut Several<'_, '_>, &[u8], Args<'_>) -> Outcome<'static>,
) -> Command {
    Command {
        about: About { name, arity, flags, keys, group, since, syntax, summary },
        run: Run::Several(run),
    }
}
