//! What COMMAND INFO says of commands beyond their rows, as Redis does: what they do with their keys, the
//! tips for clients, and the ACL categories.

use kv::{Args, CommandSpec, Group, flag};

/// What a command does with its keys: the flags of each place where it has keys.
pub(super) fn key_flags(spec: &CommandSpec) -> &'static [&'static [&'static str]] {
    match spec.name {
        "append" | "hsetnx" => &[&["RW", "insert"]],
        "copy" => &[&["RO", "access"], &["OW", "update"]],
        "rename" => &[&["RW", "access", "delete"], &["OW", "update"]],
        "renamenx" => &[&["RW", "access", "delete"], &["OW", "insert"]],
        "del" | "unlink" => &[&["RM", "delete"]],
        "getdel" | "hgetdel" => &[&["RW", "access", "delete"]],
        "hdel" => &[&["RW", "delete"]],
        "decr" | "decrby" | "incr" | "incrby" | "incrbyfloat" | "hincrby" | "hincrbyfloat" | "getex"
        | "getset" | "hgetex" | "move" => &[&["RW", "access", "update"]],
        "set" => &[&["RW", "access", "update", "variable_flags"]],
        "mset" | "psetex" | "setex" => &[&["OW", "update"]],
        "msetnx" | "setnx" => &[&["OW", "insert"]],
        "exists" | "hexists" | "hlen" | "hstrlen" | "strlen" | "touch" | "type" | "watch"
        | "memory|usage" | "object|encoding" | "object|freq" | "object|idletime" | "object|refcount" => {
            &[&["RO"]]
        }
        _ if spec.has(flag::WRITE) => &[&["RW", "update"]],
        _ => &[&["RO", "access"]],
    }
}

/// The same for one command with its arguments, on which the flags of SET depend.
pub(super) fn key_flags_of_call(spec: &CommandSpec, args: Args<'_>) -> &'static [&'static [&'static str]] {
    match spec.name {
        // The options follow the name, the key and the value.
        "set" if args.skip(3).any(|arg| arg.eq_ignore_ascii_case(b"get")) => &[&["RW", "access", "update"]],
        "set" => &[&["OW", "update"]],
        _ => key_flags(spec),
    }
}

/// How clients, and proxies before several nodes, should treat the command and its reply.
pub(super) fn tips(spec: &CommandSpec) -> &'static [&'static str] {
    match spec.name {
        "hpttl" | "hrandfield" | "hscan" | "httl" | "object|encoding" | "object|freq" | "object|idletime"
        | "object|refcount" | "pttl" | "ttl" | "client|info" | "client|list" | "time" => {
            &["nondeterministic_output"]
        }
        "latency|histogram" | "latency|history" | "latency|latest" | "latency|graph" | "latency|doctor" => {
            &["nondeterministic_output", "request_policy:all_nodes", "response_policy:special"]
        }
        "info" | "memory|doctor" => {
            &["nondeterministic_output", "request_policy:all_shards", "response_policy:special"]
        }
        "scan" => &["nondeterministic_output", "request_policy:special", "response_policy:special"],
        "hgetall" | "hkeys" | "hvals" | "command" | "command|docs" | "command|info" | "command|list" => {
            &["nondeterministic_output_order"]
        }
        "slowlog|get" => &["request_policy:all_nodes", "nondeterministic_output"],
        "slowlog|len" => &["request_policy:all_nodes", "response_policy:agg_sum", "nondeterministic_output"],
        "latency|reset" => &["request_policy:all_nodes", "response_policy:agg_sum"],
        "client|setinfo" | "client|setname" | "config|resetstat" | "config|set" | "slowlog|reset" => {
            &["request_policy:all_nodes", "response_policy:all_succeeded"]
        }
        "keys" => &["request_policy:all_shards", "nondeterministic_output_order"],
        "lastsave" => &["nondeterministic_output"],
        "wait" | "waitaof" => &["request_policy:all_shards", "response_policy:agg_min"],
        "dbsize" => &["request_policy:all_shards", "response_policy:agg_sum"],
        "ping" | "flushall" | "flushdb" => &["request_policy:all_shards", "response_policy:all_succeeded"],
        "randomkey" => &["request_policy:all_shards", "response_policy:special", "nondeterministic_output"],
        "mget" => &["request_policy:multi_shard"],
        "del" | "exists" | "touch" | "unlink" => &["request_policy:multi_shard", "response_policy:agg_sum"],
        "mset" => &["request_policy:multi_shard", "response_policy:all_succeeded"],
        _ => &[],
    }
}

/// The ACL categories that the command belongs to.
pub(super) fn categories(spec: &CommandSpec) -> Vec<&'static str> {
    let by_flag = [
        (flag::READ, "@read"),
        (flag::WRITE, "@write"),
        (flag::ADMIN, "@admin"),
        (flag::ADMIN, "@dangerous"),
        (flag::PUBSUB, "@pubsub"),
    ];
    let speed = if spec.has(flag::FAST) { "@fast" } else { "@slow" };
    let flags = by_flag.into_iter().filter(|(flag, _)| spec.has(*flag)).map(|(_, category)| category);
    [speed].into_iter().chain(flags).chain(own_categories(spec).iter().copied()).collect()
}

/// The categories that do not follow from flags.
fn own_categories(spec: &CommandSpec) -> &'static [&'static str] {
    match spec.name {
        "client" | "object" => &[],
        "wait" | "waitaof" => &["@connection"],
        "lastsave" => &["@admin", "@dangerous"],
        "dbsize" => &["@keyspace"],
        "flushall" | "flushdb" | "keys" | "swapdb" => &["@keyspace", "@dangerous"],
        "info" => &["@dangerous"],
        name if name.split('|').next() == Some("command") => &["@connection"],
        _ => match spec.group {
            Group::Connection => &["@connection"],
            Group::Generic => &["@keyspace"],
            Group::Hash => &["@hash"],
            Group::String => &["@string"],
            Group::Transactions => &["@transaction"],
            Group::Pubsub | Group::Server => &[],
        },
    }
}
