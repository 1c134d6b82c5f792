//! The commands that a Redis client can call. Those on buckets are kv's; each of the others, the commands of
//! the session, is a row and a function in one of the files below, and is listed here.
//!
//! In the order of a call: table (finds the command), split (a command on buckets into requests), dispatch
//! (executes what cannot be part of a batch).

mod client;
mod client_kill;
mod command;
mod config;
mod connection;
pub(super) mod dispatch;
mod exec;
mod help;
mod info;
mod keyspace;
mod latency;
mod metadata;
pub(super) mod paging;
mod persistence;
mod pubsub;
pub(super) mod sample;
mod server;
pub(super) mod split;
mod syntax;
pub(super) mod table;
mod transaction;

use std::sync::LazyLock;
use table::{CommandRef, CommandTable, SessionCommand};

/// The commands of the session, by group and name.
static SESSION_COMMANDS: &[SessionCommand] = &[
    connection::AUTH,
    client::CLIENT,
    client::CLIENT_GETNAME,
    help::CLIENT_HELP,
    client::CLIENT_ID,
    client::CLIENT_INFO,
    client_kill::CLIENT_KILL,
    client::CLIENT_LIST,
    client::CLIENT_NO_EVICT,
    client::CLIENT_NO_TOUCH,
    client::CLIENT_REPLY,
    client::CLIENT_SETINFO,
    client::CLIENT_SETNAME,
    connection::ECHO,
    connection::HELLO,
    connection::PING,
    connection::QUIT,
    connection::RESET,
    connection::SELECT,
    keyspace::DBSIZE,
    keyspace::FLUSHALL,
    keyspace::FLUSHDB,
    keyspace::KEYS,
    keyspace::OBJECT,
    help::OBJECT_HELP,
    keyspace::RANDOMKEY,
    keyspace::SCAN,
    keyspace::SWAPDB,
    persistence::WAIT,
    persistence::WAITAOF,
    persistence::BGREWRITEAOF,
    persistence::BGSAVE,
    command::COMMAND,
    command::COMMAND_COUNT,
    command::COMMAND_DOCS,
    command::COMMAND_GETKEYS,
    command::COMMAND_GETKEYSANDFLAGS,
    help::COMMAND_HELP,
    command::COMMAND_INFO,
    command::COMMAND_LIST,
    config::CONFIG,
    config::CONFIG_GET,
    help::CONFIG_HELP,
    config::CONFIG_RESETSTAT,
    config::CONFIG_SET,
    server::DEBUG,
    help::DEBUG_HELP,
    server::DEBUG_SLEEP,
    info::INFO,
    persistence::LASTSAVE,
    latency::LATENCY,
    latency::LATENCY_DOCTOR,
    latency::LATENCY_GRAPH,
    help::LATENCY_HELP,
    latency::LATENCY_HISTOGRAM,
    latency::LATENCY_HISTORY,
    latency::LATENCY_LATEST,
    latency::LATENCY_RESET,
    server::MEMORY,
    server::MEMORY_DOCTOR,
    help::MEMORY_HELP,
    server::MEMORY_USAGE,
    persistence::SAVE,
    persistence::SHUTDOWN,
    server::SLOWLOG,
    server::SLOWLOG_GET,
    help::SLOWLOG_HELP,
    server::SLOWLOG_LEN,
    server::SLOWLOG_RESET,
    server::TIME,
    transaction::DISCARD,
    exec::EXEC,
    transaction::MULTI,
    transaction::UNWATCH,
    transaction::WATCH,
    pubsub::PSUBSCRIBE,
    pubsub::PUBLISH,
    pubsub::PUBSUB,
    pubsub::PUBSUB_CHANNELS,
    help::PUBSUB_HELP,
    pubsub::PUBSUB_NUMPAT,
    pubsub::PUBSUB_NUMSUB,
    pubsub::PUNSUBSCRIBE,
    pubsub::SUBSCRIBE,
    pubsub::UNSUBSCRIBE,
];

/// All commands, those on buckets first.
pub(crate) fn command_table() -> &'static CommandTable {
    static TABLE: LazyLock<CommandTable> = LazyLock::new(|| {
        let buckets = kv::COMMANDS.iter().map(CommandRef::Bucket);
        let session = SESSION_COMMANDS.iter().map(CommandRef::Session);
        CommandTable::new(buckets.chain(session))
    });
    &TABLE
}
