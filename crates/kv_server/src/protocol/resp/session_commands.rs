//! The commands that are no requests to a bucket: one row and one function of its name each.

use super::{
    commands::{client, command, config, connection, keyspace, pubsub, server, transaction},
    parse::Words,
    session::{Session, Trouble},
    write::Writer,
};
use crate::output::Output;
use kv::{
    About, Args, Keys, Refusal,
    flag::{ADMIN, FAST, LOADING, NO_AUTH, NO_MULTI, PUBSUB, READ, STALE, WRITE},
};
use std::pin::Pin;

/// A command of the session.
#[derive(Debug)]
pub(crate) struct SessionCommand {
    /// What the world is told about it.
    pub(super) about: About,
    run: Run,
}

/// How a command of the session is executed, with the words after its name.
#[derive(Debug, Clone, Copy)]
enum Run {
    /// Its second word says which row is meant.
    Subcommands,
    /// It is EXEC, which executes others.
    Exec,
    /// At once.
    Now(fn(&mut Session, Args<'_>, &mut Writer<'_>) -> Result<(), Refusal>),
    /// It may wait for other nodes, or for the client to take its reply.
    Wait(for<'s, 'o> fn(&'s mut Session, Args<'s>, &'s mut Output<'o>) -> Waiting<'s>),
}

/// A command of the session that has to wait for something.
type Waiting<'s> = Pin<Box<dyn Future<Output = Result<(), Trouble>> + Send + 's>>;

impl SessionCommand {
    /// Whether it is EXEC.
    pub(super) fn is_exec(&self) -> bool {
        matches!(self.run, Run::Exec)
    }

    /// Executes any command but EXEC.
    pub(super) async fn execute(
        &self,
        session: &mut Session,
        words: Words<'_>,
        output: &mut Output<'_>,
    ) -> Result<(), Trouble> {
        match self.run {
            Run::Subcommands => Err(Refusal::Arity(self.about.name.to_owned()).into()),
            Run::Exec => unreachable!("EXEC is executed by those who execute what has waited for it"),
            Run::Now(run) => {
                let mut writer = session.writer(output);
                Ok(run(session, words.args(), &mut writer)?)
            }
            Run::Wait(run) => run(session, words.args(), output).await,
        }
    }
}

use Run::{Exec, Now, Subcommands, Wait};

const ANY_TIME: u16 = LOADING | STALE;
const NOW: u16 = LOADING | STALE | FAST;
const OPEN: u16 = LOADING | STALE | FAST | NO_AUTH;
const SERVER: u16 = ADMIN | LOADING | STALE;
const CHANNEL: u16 = PUBSUB | LOADING | STALE;

/// All commands of the session, by group and name.
#[rustfmt::skip]
pub(super) static SESSION_COMMANDS: &[SessionCommand] = &[
    row("auth", -2, OPEN, "connection", "1.0.0", "[username] password", "Authenticates the connection.", Now(connection::auth)),
    row("client", -2, 0, "connection", "2.4.0", "", "A container for client connection commands.", Subcommands),
    row("client|getname", 2, ANY_TIME, "connection", "2.6.9", "", "Returns the name of the connection.", Now(client::getname)),
    row("client|help", 2, ANY_TIME, "connection", "5.0.0", "", "Returns helpful text about the different subcommands.", Now(client::help)),
    row("client|id", 2, ANY_TIME, "connection", "5.0.0", "", "Returns the unique client ID of the connection.", Now(client::id)),
    row("client|info", 2, ANY_TIME, "connection", "6.2.0", "", "Returns information about the connection.", Now(client::info)),
    row("client|list", -2, SERVER, "connection", "2.4.0", "[TYPE NORMAL|MASTER|REPLICA|PUBSUB] [ID client-id [client-id ...]]", "Lists open connections.", Now(client::list)),
    row("client|no-evict", 3, SERVER, "connection", "7.0.0", "ON|OFF", "Sets the client eviction mode of the connection.", Now(client::no_evict)),
    row("client|no-touch", 3, ANY_TIME, "connection", "7.2.0", "ON|OFF", "Controls whether commands sent by the client affect the LRU/LFU of accessed keys.", Now(client::no_touch)),
    row("client|reply", 3, ANY_TIME, "connection", "3.2.0", "ON|OFF|SKIP", "Instructs the server whether to reply to commands.", Now(client::reply)),
    row("client|setinfo", 4, ANY_TIME, "connection", "7.2.0", "LIB-NAME libname|LIB-VER libver", "Sets information specific to the client or connection.", Now(client::setinfo)),
    row("client|setname", 3, ANY_TIME, "connection", "2.6.9", "connection-name", "Sets the connection name.", Now(client::setname)),
    row("echo", 2, NOW, "connection", "1.0.0", "message", "Returns the given string.", Now(connection::echo)),
    row("hello", -1, OPEN, "connection", "6.0.0", "[protover [AUTH username password] [SETNAME clientname]]", "Handshakes with the server.", Now(connection::hello)),
    row("ping", -1, FAST, "connection", "1.0.0", "[message]", "Returns the server's liveliness response.", Now(connection::ping)),
    row("quit", -1, OPEN, "connection", "1.0.0", "", "Closes the connection.", Now(connection::quit)),
    row("reset", 1, OPEN, "connection", "6.2.0", "", "Resets the connection.", Now(connection::reset)),
    row("select", 2, NOW, "connection", "1.0.0", "index", "Changes the selected database.", Now(connection::select)),

    row("dbsize", 1, READ | FAST, "server", "1.0.0", "", "Returns the number of keys in the database.", Wait(|s, a, o| Box::pin(keyspace::dbsize(s, a, o)))),
    row("flushall", -1, WRITE, "server", "1.0.0", "[ASYNC|SYNC]", "Removes all keys from all databases.", Wait(|s, a, o| Box::pin(keyspace::flushall(s, a, o)))),
    row("flushdb", -1, WRITE, "server", "1.0.0", "[ASYNC|SYNC]", "Removes all keys from the current database.", Wait(|s, a, o| Box::pin(keyspace::flushall(s, a, o)))),
    row("keys", 2, READ, "generic", "1.0.0", "pattern", "Returns all key names that match a pattern.", Wait(|s, a, o| Box::pin(keyspace::keys(s, a, o)))),
    row("object", -2, 0, "generic", "2.2.3", "", "A container for object introspection commands.", Subcommands),
    row("randomkey", 1, READ, "generic", "1.0.0", "", "Returns a random key name from the database.", Wait(|s, a, o| Box::pin(keyspace::randomkey(s, a, o)))),
    row("scan", -2, READ, "generic", "2.8.0", "cursor [MATCH pattern] [COUNT count] [TYPE type]", "Iterates over the key names in the database.", Wait(|s, a, o| Box::pin(keyspace::scan(s, a, o)))),
    row("wait", 3, 0, "generic", "3.0.0", "numreplicas timeout", "Blocks until the asynchronous replication of all preceding write commands sent by the connection is completed.", Now(server::wait)),

    row("command", -1, ANY_TIME, "server", "2.8.13", "", "Returns detailed information about all commands.", Now(command::command)),
    row("command|count", 2, ANY_TIME, "server", "2.8.13", "", "Returns a count of commands.", Now(command::count)),
    row("command|docs", -2, ANY_TIME, "server", "7.0.0", "[command-name [command-name ...]]", "Returns documentary information about one, multiple or all commands.", Now(command::docs)),
    row("command|getkeys", -3, ANY_TIME, "server", "2.8.13", "command [arg [arg ...]]", "Extracts the key names from an arbitrary command.", Now(command::getkeys)),
    row("command|info", -2, ANY_TIME, "server", "2.8.13", "[command-name [command-name ...]]", "Returns information about one, multiple or all commands.", Now(command::info)),
    row("command|list", -2, ANY_TIME, "server", "7.0.0", "[FILTERBY MODULE module-name|ACLCAT category|PATTERN pattern]", "Returns a list of command names.", Now(command::list)),
    row("config", -2, 0, "server", "2.0.0", "", "A container for server configuration commands.", Subcommands),
    row("config|get", -3, SERVER, "server", "2.0.0", "parameter [parameter ...]", "Returns the effective values of configuration parameters.", Now(config::get)),
    row("config|resetstat", 2, SERVER, "server", "2.0.0", "", "Resets the server's statistics.", Now(config::resetstat)),
    row("config|set", -4, SERVER, "server", "2.0.0", "parameter value [parameter value ...]", "Sets configuration parameters in-flight.", Now(config::set)),
    row("debug", -2, SERVER, "server", "1.0.0", "", "A container for debugging commands.", Subcommands),
    row("debug|sleep", 3, SERVER, "server", "1.0.0", "seconds", "Holds up this connection.", Wait(|s, a, o| Box::pin(server::sleep(s, a, o)))),
    row("info", -1, ANY_TIME, "server", "1.0.0", "[section [section ...]]", "Returns information and statistics about the server.", Wait(|s, a, o| Box::pin(server::info(s, a, o)))),
    row("latency", -2, 0, "server", "2.8.13", "", "A container for latency diagnostics commands.", Subcommands),
    row("latency|latest", 2, SERVER, "server", "2.8.13", "", "Returns the latest latency samples for all events.", Now(server::nothing)),
    row("latency|reset", -2, SERVER, "server", "2.8.13", "[event [event ...]]", "Resets the latency data for one or more events.", Now(server::zero)),
    row("memory", -2, 0, "server", "4.0.0", "", "A container for memory diagnostics commands.", Subcommands),
    row("memory|doctor", 2, 0, "server", "4.0.0", "", "Outputs a memory problems report.", Now(server::doctor)),
    keyed("memory|usage", -3, READ, Keys::One, "server", "4.0.0", "key [SAMPLES count]", "Estimates the memory usage of a key.", Wait(|s, a, o| Box::pin(server::usage(s, a, o)))),
    row("slowlog", -2, 0, "server", "2.2.12", "", "A container for slow log commands.", Subcommands),
    row("slowlog|get", -2, SERVER, "server", "2.2.12", "[count]", "Returns the slow log's entries.", Now(server::nothing)),
    row("slowlog|len", 2, SERVER, "server", "2.2.12", "", "Returns the number of entries in the slow log.", Now(server::zero)),
    row("slowlog|reset", 2, SERVER, "server", "2.2.12", "", "Clears all entries from the slow log.", Now(server::done)),
    row("time", 1, NOW, "server", "2.6.0", "", "Returns the server time.", Now(server::time)),

    row("discard", 1, NOW, "transactions", "2.0.0", "", "Discards a transaction.", Now(transaction::discard)),
    row("exec", 1, ANY_TIME, "transactions", "1.2.0", "", "Executes all commands in a transaction.", Exec),
    row("multi", 1, NOW | NO_MULTI, "transactions", "1.2.0", "", "Starts a transaction.", Now(transaction::multi)),
    row("unwatch", 1, NOW, "transactions", "2.2.0", "", "Forgets about watched keys of a transaction.", Now(transaction::unwatch)),
    keyed("watch", -2, NOW | NO_MULTI, Keys::List, "transactions", "2.2.0", "key [key ...]", "Monitors changes to keys to determine the execution of a transaction.", Wait(|s, a, o| Box::pin(transaction::watch(s, a, o)))),

    row("psubscribe", -2, CHANNEL, "pubsub", "2.0.0", "pattern [pattern ...]", "Listens for messages published to channels that match one or more patterns.", Now(pubsub::psubscribe)),
    row("publish", 3, CHANNEL | FAST, "pubsub", "2.0.0", "channel message", "Posts a message to a channel.", Wait(|s, a, o| Box::pin(pubsub::publish(s, a, o)))),
    row("pubsub", -2, 0, "pubsub", "2.8.0", "", "A container for Pub/Sub commands.", Subcommands),
    row("pubsub|channels", -2, CHANNEL, "pubsub", "2.8.0", "[pattern]", "Returns the active channels.", Wait(|s, a, o| Box::pin(pubsub::channels(s, a, o)))),
    row("pubsub|numpat", 2, CHANNEL, "pubsub", "2.8.0", "", "Returns a count of unique pattern subscriptions.", Wait(|s, a, o| Box::pin(pubsub::numpat(s, a, o)))),
    row("pubsub|numsub", -2, CHANNEL, "pubsub", "2.8.0", "[channel [channel ...]]", "Returns a count of subscribers to channels.", Wait(|s, a, o| Box::pin(pubsub::numsub(s, a, o)))),
    row("punsubscribe", -1, CHANNEL, "pubsub", "2.0.0", "[pattern [pattern ...]]", "Stops listening to messages published to channels that match one or more patterns.", Now(pubsub::punsubscribe)),
    row("subscribe", -2, CHANNEL, "pubsub", "2.0.0", "channel [channel ...]", "Listens for messages published to channels; __bucket__:NAME tells of a bucket's changes.", Wait(|s, a, o| Box::pin(pubsub::subscribe(s, a, o)))),
    row("unsubscribe", -1, CHANNEL, "pubsub", "2.0.0", "[channel [channel ...]]", "Stops listening to messages posted to channels.", Now(pubsub::unsubscribe)),
];

#[expect(clippy::too_many_arguments, reason = "a row of the table")]
const fn row(
    name: &'static str,
    arity: i32,
    flags: u16,
    group: &'static str,
    since: &'static str,
    syntax: &'static str,
    summary: &'static str,
    run: Run,
) -> SessionCommand {
    keyed(name, arity, flags, Keys::None, group, since, syntax, summary, run)
}

#[expect(clippy::too_many_arguments, reason = "a row of the table")]
const fn keyed(
    name: &'static str,
    arity: i32,
    flags: u16,
    keys: Keys,
    group: &'static str,
    since: &'static str,
    syntax: &'static str,
    summary: &'static str,
    run: Run,
) -> SessionCommand {
    SessionCommand { about: About { name, arity, flags, keys, group, since, syntax, summary }, run }
}
