//! The commands that are no requests to a bucket: one row and one function of its name each.

use super::{
    commands::{client, command, config, connection, keyspace, pubsub, server, transaction},
    parse::Words,
    session::{Session, Trouble},
    write::Writer,
};
use crate::pipeline::buffers::Output;
use kv::{
    Args, CommandError, CommandSpec, Group, KeySpec,
    flag::{ADMIN, FAST, LOADING, NO_AUTH, NO_MULTI, PUBSUB, READ, STALE, WRITE},
};
use std::pin::Pin;

/// A command of the session.
#[derive(Debug)]
pub(crate) struct SessionCommand {
    /// What the world is told about it.
    pub(super) spec: CommandSpec,
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
    Now(fn(&mut Session, Args<'_>, &mut Writer<'_>) -> Result<(), CommandError>),
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
            Run::Subcommands => Err(CommandError::Arity(self.spec.name.to_owned()).into()),
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
    row("auth", -2, OPEN, Group::Connection, "1.0.0", "[username] password", "Says who the client is; there are no passwords yet.", Now(connection::auth)),
    row("client", -2, 0, Group::Connection, "2.4.0", "", "About the connections of clients.", Subcommands),
    row("client|getname", 2, ANY_TIME, Group::Connection, "2.6.9", "", "The name that this connection has been given.", Now(client::getname)),
    row("client|help", 2, ANY_TIME, Group::Connection, "5.0.0", "", "What CLIENT can do.", Now(client::help)),
    row("client|id", 2, ANY_TIME, Group::Connection, "5.0.0", "", "The number of this connection.", Now(client::id)),
    row("client|info", 2, ANY_TIME, Group::Connection, "6.2.0", "", "This connection's line of CLIENT LIST.", Now(client::info)),
    row("client|list", -2, SERVER, Group::Connection, "2.4.0", "[TYPE NORMAL|MASTER|REPLICA|PUBSUB] [ID client-id [client-id ...]]", "The connections, a line each.", Now(client::list)),
    row("client|no-evict", 3, SERVER, Group::Connection, "7.0.0", "ON|OFF", "Accepted; clients are never evicted.", Now(client::no_evict)),
    row("client|no-touch", 3, ANY_TIME, Group::Connection, "7.2.0", "ON|OFF", "Accepted; uses of keys are not noted.", Now(client::no_touch)),
    row("client|reply", 3, ANY_TIME, Group::Connection, "3.2.0", "ON|OFF|SKIP", "Whether this connection gets replies.", Now(client::reply)),
    row("client|setinfo", 4, ANY_TIME, Group::Connection, "7.2.0", "LIB-NAME libname|LIB-VER libver", "The library that the client is made with.", Now(client::setinfo)),
    row("client|setname", 3, ANY_TIME, Group::Connection, "2.6.9", "connection-name", "Gives this connection a name.", Now(client::setname)),
    row("echo", 2, NOW, Group::Connection, "1.0.0", "message", "Says the message again.", Now(connection::echo)),
    row("hello", -1, OPEN, Group::Connection, "6.0.0", "[protover [AUTH username password] [SETNAME clientname]]", "Chooses RESP2 or RESP3, and tells about the server.", Now(connection::hello)),
    row("ping", -1, FAST, Group::Connection, "1.0.0", "[message]", "PONG, or the message.", Now(connection::ping)),
    row("quit", -1, OPEN, Group::Connection, "1.0.0", "", "Ends the connection after OK.", Now(connection::quit)),
    row("reset", 1, OPEN, Group::Connection, "6.2.0", "", "Makes the connection as it was when it began.", Now(connection::reset)),
    row("select", 2, NOW, Group::Connection, "1.0.0", "index", "Accepts database 0, which is the only one.", Now(connection::select)),

    row("dbsize", 1, READ | FAST, Group::Server, "1.0.0", "", "How many keys all nodes have.", Wait(|s, a, o| Box::pin(keyspace::dbsize(s, a, o)))),
    row("flushall", -1, WRITE, Group::Server, "1.0.0", "[ASYNC|SYNC]", "Removes all keys of all nodes.", Wait(|s, a, o| Box::pin(keyspace::flushall(s, a, o)))),
    row("flushdb", -1, WRITE, Group::Server, "1.0.0", "[ASYNC|SYNC]", "The same as FLUSHALL: there is one database.", Wait(|s, a, o| Box::pin(keyspace::flushall(s, a, o)))),
    row("keys", 2, READ, Group::Generic, "1.0.0", "pattern", "All keys whose names match.", Wait(|s, a, o| Box::pin(keyspace::keys(s, a, o)))),
    row("object", -2, 0, Group::Generic, "2.2.3", "", "About the value of a key.", Subcommands),
    row("randomkey", 1, READ, Group::Generic, "1.0.0", "", "A key picked by chance.", Wait(|s, a, o| Box::pin(keyspace::randomkey(s, a, o)))),
    row("scan", -2, READ, Group::Generic, "2.8.0", "cursor [MATCH pattern] [COUNT count] [TYPE type]", "One step of a walk through the keys of all nodes.", Wait(|s, a, o| Box::pin(keyspace::scan(s, a, o)))),
    row("wait", 3, 0, Group::Generic, "3.0.0", "numreplicas timeout", "0: there are no replicas to wait for.", Now(server::wait)),

    row("command", -1, ANY_TIME, Group::Server, "2.8.13", "", "All commands with what is known of them.", Now(command::command)),
    row("command|count", 2, ANY_TIME, Group::Server, "2.8.13", "", "How many commands there are.", Now(command::count)),
    row("command|docs", -2, ANY_TIME, Group::Server, "7.0.0", "[command-name [command-name ...]]", "What commands do and how they are written.", Now(command::docs)),
    row("command|getkeys", -3, ANY_TIME, Group::Server, "2.8.13", "command [arg [arg ...]]", "The keys that a command with these words would be about.", Now(command::getkeys)),
    row("command|info", -2, ANY_TIME, Group::Server, "2.8.13", "[command-name [command-name ...]]", "Arity, flags and key positions of commands.", Now(command::info)),
    row("command|list", -2, ANY_TIME, Group::Server, "7.0.0", "[FILTERBY MODULE module-name|ACLCAT category|PATTERN pattern]", "The names of commands.", Now(command::list)),
    row("config", -2, 0, Group::Server, "2.0.0", "", "About the settings.", Subcommands),
    row("config|get", -3, SERVER, Group::Server, "2.0.0", "parameter [parameter ...]", "Settings, and what they are now.", Now(config::get)),
    row("config|resetstat", 2, SERVER, Group::Server, "2.0.0", "", "Lets all counters begin anew.", Now(config::resetstat)),
    row("config|set", -4, SERVER, Group::Server, "2.0.0", "parameter value [parameter value ...]", "Changes settings while the node runs.", Now(config::set)),
    row("debug", -2, SERVER, Group::Server, "1.0.0", "", "For tests of clients.", Subcommands),
    row("debug|sleep", 3, SERVER, Group::Server, "1.0.0", "seconds", "Holds up this connection.", Wait(|s, a, o| Box::pin(server::sleep(s, a, o)))),
    row("info", -1, ANY_TIME, Group::Server, "1.0.0", "[section [section ...]]", "Figures of this node and of the store, by section.", Wait(|s, a, o| Box::pin(server::info(s, a, o)))),
    row("latency", -2, 0, Group::Server, "2.8.13", "", "For monitors that ask; nothing is recorded.", Subcommands),
    row("latency|latest", 2, SERVER, Group::Server, "2.8.13", "", "An empty list: nothing is recorded.", Now(server::nothing)),
    row("latency|reset", -2, SERVER, Group::Server, "2.8.13", "[event [event ...]]", "0: nothing is recorded.", Now(server::zero)),
    row("memory", -2, 0, Group::Server, "4.0.0", "", "About the use of memory.", Subcommands),
    row("memory|doctor", 2, 0, Group::Server, "4.0.0", "", "A sentence: no problem is known.", Now(server::doctor)),
    keyed("memory|usage", -3, READ, KeySpec::One, Group::Server, "4.0.0", "key [SAMPLES count]", "About how many bytes a key takes.", Wait(|s, a, o| Box::pin(server::usage(s, a, o)))),
    row("slowlog", -2, 0, Group::Server, "2.2.12", "", "For monitors that ask; nothing is recorded.", Subcommands),
    row("slowlog|get", -2, SERVER, Group::Server, "2.2.12", "[count]", "An empty list: nothing is recorded.", Now(server::nothing)),
    row("slowlog|len", 2, SERVER, Group::Server, "2.2.12", "", "0: nothing is recorded.", Now(server::zero)),
    row("slowlog|reset", 2, SERVER, Group::Server, "2.2.12", "", "OK: nothing is recorded.", Now(server::done)),
    row("time", 1, NOW, Group::Server, "2.6.0", "", "The node's clock: seconds since 1970, and microseconds.", Now(server::time)),

    row("discard", 1, NOW, Group::Transactions, "2.0.0", "", "Drops what has been queued since MULTI.", Now(transaction::discard)),
    row("exec", 1, ANY_TIME, Group::Transactions, "1.2.0", "", "Executes what has been queued since MULTI, as one step.", Exec),
    row("multi", 1, NOW | NO_MULTI, Group::Transactions, "1.2.0", "", "Queues the commands that follow, until EXEC.", Now(transaction::multi)),
    row("unwatch", 1, NOW, Group::Transactions, "2.2.0", "", "Watches no key any more.", Now(transaction::unwatch)),
    keyed("watch", -2, NOW | NO_MULTI, KeySpec::EachListed, Group::Transactions, "2.2.0", "key [key ...]", "Lets EXEC do nothing if one of these keys changes before it.", Wait(|s, a, o| Box::pin(transaction::watch(s, a, o)))),

    row("psubscribe", -2, CHANNEL, Group::Pubsub, "2.0.0", "pattern [pattern ...]", "Hears the channels whose names match.", Now(pubsub::psubscribe)),
    row("publish", 3, CHANNEL | FAST, Group::Pubsub, "2.0.0", "channel message", "Says something on a channel, and counts those who hear it.", Wait(|s, a, o| Box::pin(pubsub::publish(s, a, o)))),
    row("pubsub", -2, 0, Group::Pubsub, "2.8.0", "", "About the channels.", Subcommands),
    row("pubsub|channels", -2, CHANNEL, Group::Pubsub, "2.8.0", "[pattern]", "The channels that somebody hears.", Wait(|s, a, o| Box::pin(pubsub::channels(s, a, o)))),
    row("pubsub|numpat", 2, CHANNEL, Group::Pubsub, "2.8.0", "", "How many patterns are subscribed to.", Wait(|s, a, o| Box::pin(pubsub::numpat(s, a, o)))),
    row("pubsub|numsub", -2, CHANNEL, Group::Pubsub, "2.8.0", "[channel [channel ...]]", "How many hear each of these channels.", Wait(|s, a, o| Box::pin(pubsub::numsub(s, a, o)))),
    row("punsubscribe", -1, CHANNEL, Group::Pubsub, "2.0.0", "[pattern [pattern ...]]", "Hears these patterns no longer, or none at all.", Now(pubsub::punsubscribe)),
    row("subscribe", -2, CHANNEL, Group::Pubsub, "2.0.0", "channel [channel ...]", "Hears channels; __bucket__:NAME tells of a bucket's changes.", Wait(|s, a, o| Box::pin(pubsub::subscribe(s, a, o)))),
    row("unsubscribe", -1, CHANNEL, Group::Pubsub, "2.0.0", "[channel [channel ...]]", "Hears these channels no longer, or none at all.", Now(pubsub::unsubscribe)),
];

#[expect(clippy::too_many_arguments, reason = "a row of the table")]
const fn row(
    name: &'static str,
    arity: i32,
    flags: u16,
    group: Group,
    since: &'static str,
    syntax: &'static str,
    summary: &'static str,
    run: Run,
) -> SessionCommand {
    keyed(name, arity, flags, KeySpec::None, group, since, syntax, summary, run)
}

#[expect(clippy::too_many_arguments, reason = "a row of the table")]
const fn keyed(
    name: &'static str,
    arity: i32,
    flags: u16,
    keys: KeySpec,
    group: Group,
    since: &'static str,
    syntax: &'static str,
    summary: &'static str,
    run: Run,
) -> SessionCommand {
    SessionCommand { spec: CommandSpec { name, arity, flags, keys, group, since, syntax, summary }, run }
}
