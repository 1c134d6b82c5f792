//! Commands about the server: time, memory, INFO, and what monitoring tools ask for.

use super::{
    connection::REDIS_VERSION,
    table::{ANY_TIME, Call, CommandTable, SessionCommand, boxed},
};
use crate::{
    limits::LONGEST_SLEEP,
    protocol::resp::{encoder::RespEncoder, reply::error::SessionError, state::RespState},
};
use kv::{
    Args, Command, CommandError, CommandSpec, Group, KeySpec, Op, Projection, Reply, Request, StoreStats,
    args::parse_integer,
    flag::{ADMIN, READ},
};
use std::{fmt::Write, time::Duration};

pub(super) const DEBUG: SessionCommand = SessionCommand::new(
    CommandSpec::new("debug", Group::Server)
        .arity(-2)
        .flags(ADMIN | ANY_TIME)
        .since("1.0.0")
        .summary("Commands for tests of clients"),
);

pub(super) const LATENCY: SessionCommand = SessionCommand::new(
    CommandSpec::new("latency", Group::Server)
        .arity(-2)
        .since("2.8.13")
        .summary("For monitoring tools; latencies are not recorded"),
);

pub(super) const MEMORY: SessionCommand = SessionCommand::new(
    CommandSpec::new("memory", Group::Server).arity(-2).since("4.0.0").summary("Commands about memory usage"),
);

pub(super) const SLOWLOG: SessionCommand = SessionCommand::new(
    CommandSpec::new("slowlog", Group::Server)
        .arity(-2)
        .since("2.2.12")
        .summary("For monitoring tools; slow commands are not recorded"),
);

pub(super) const TIME: SessionCommand = SessionCommand::new(
    CommandSpec::new("time", Group::Server)
        .flags(ANY_TIME)
        .fast()
        .since("2.6.0")
        .summary("Server time: Unix time in seconds, and microseconds"),
)
.run(time);
fn time(_: &mut RespState, _: Args, encoder: &mut RespEncoder) -> Result<(), SessionError> {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
    encoder.array(2);
    encoder.bulk(since.as_secs().to_string().as_bytes());
    encoder.bulk(since.subsec_micros().to_string().as_bytes());
    Ok(())
}

pub(super) const WAIT: SessionCommand = SessionCommand::new(
    CommandSpec::new("wait", Group::Generic)
        .arity(3)
        .since("3.0.0")
        .syntax("numreplicas timeout")
        .summary("Returns 0: there are no replicas to wait for"),
)
.run(wait);
/// A volatile range has no replicas.
fn wait(_: &mut RespState, mut args: Args, encoder: &mut RespEncoder) -> Result<(), SessionError> {
    let (_, timeout) = args
        .next()
        .and_then(parse_integer)
        .zip(args.next().and_then(parse_integer))
        .ok_or(CommandError::NotInteger)?;
    if timeout < 0 {
        return Err(SessionError::reply("ERR timeout is negative"));
    }
    encoder.integer(0);
    Ok(())
}

pub(super) const LATENCY_LATEST: SessionCommand = SessionCommand::new(
    CommandSpec::new("latency|latest", Group::Server)
        .arity(2)
        .flags(ADMIN | ANY_TIME)
        .since("2.8.13")
        .summary("Returns an empty list: latencies are not recorded"),
)
.run(empty_list);
pub(super) const SLOWLOG_GET: SessionCommand = SessionCommand::new(
    CommandSpec::new("slowlog|get", Group::Server)
        .arity(-2)
        .flags(ADMIN | ANY_TIME)
        .since("2.2.12")
        .syntax("[count]")
        .summary("Returns an empty list: slow commands are not recorded"),
)
.run(empty_list);
/// Nothing is ever noted.
fn empty_list(_: &mut RespState, _: Args, encoder: &mut RespEncoder) -> Result<(), SessionError> {
    encoder.array(0);
    Ok(())
}

pub(super) const LATENCY_RESET: SessionCommand = SessionCommand::new(
    CommandSpec::new("latency|reset", Group::Server)
        .arity(-2)
        .flags(ADMIN | ANY_TIME)
        .since("2.8.13")
        .syntax("[event [event ...]]")
        .summary("Returns 0: latencies are not recorded"),
)
.run(zero_reply);
pub(super) const SLOWLOG_LEN: SessionCommand = SessionCommand::new(
    CommandSpec::new("slowlog|len", Group::Server)
        .arity(2)
        .flags(ADMIN | ANY_TIME)
        .since("2.2.12")
        .summary("Returns 0: slow commands are not recorded"),
)
.run(zero_reply);
fn zero_reply(_: &mut RespState, _: Args, encoder: &mut RespEncoder) -> Result<(), SessionError> {
    encoder.integer(0);
    Ok(())
}

pub(super) const SLOWLOG_RESET: SessionCommand = SessionCommand::new(
    CommandSpec::new("slowlog|reset", Group::Server)
        .arity(2)
        .flags(ADMIN | ANY_TIME)
        .since("2.2.12")
        .summary("Returns OK: slow commands are not recorded"),
)
.run(ok_reply);
fn ok_reply(_: &mut RespState, _: Args, encoder: &mut RespEncoder) -> Result<(), SessionError> {
    encoder.ok();
    Ok(())
}

pub(super) const MEMORY_DOCTOR: SessionCommand = SessionCommand::new(
    CommandSpec::new("memory|doctor", Group::Server)
        .arity(2)
        .since("4.0.0")
        .summary("Reports no memory problem"),
)
.run(doctor);
fn doctor(_: &mut RespState, _: Args, encoder: &mut RespEncoder) -> Result<(), SessionError> {
    encoder.verbatim("No problem with the memory of this node is known.");
    Ok(())
}

pub(super) const MEMORY_USAGE: SessionCommand = SessionCommand::new(
    CommandSpec::new("memory|usage", Group::Server)
        .arity(-3)
        .flags(READ)
        .keys(KeySpec::One)
        .since("4.0.0")
        .syntax("key [SAMPLES count]")
        .summary("Approximate size of a key in bytes"),
)
.run_async(boxed!(usage));
/// The bytes of the name and of all that the bucket holds.
async fn usage(Call { state, mut args, output, .. }: Call<'_, '_>) -> Result<(), SessionError> {
    let bucket = args.next().ok_or(CommandError::Syntax)?;
    match (args.next(), args.next().and_then(parse_integer)) {
        (None, _) => {}
        (Some(option), Some(count)) if option.eq_ignore_ascii_case(b"samples") && count >= 0 => {}
        _ => return Err(CommandError::Syntax.into()),
    }
    let bytes = value_bytes(state, bucket).await?;
    let mut encoder = state.encoder(output);
    match bytes {
        Some(bytes) => encoder.integer((bucket.len() + bytes) as i64),
        None => encoder.null(),
    }
    Ok(())
}

/// The bytes that a bucket holds; `None` when it holds nothing.
async fn value_bytes(state: &RespState, bucket: &[u8]) -> Result<Option<usize>, SessionError> {
    let cluster = &state.server.cluster;
    let (mut bytes, mut cursor) = (0, 0);
    loop {
        let op = Op::Entries { projection: Projection::Both, cursor };
        let page = cluster.execute(Request { bucket, op }, |reply| match reply {
            Reply::Page { items, next } => Ok(Some((items.iter().map(len).sum::<usize>(), next))),
            Reply::Error(refusal) => Err(refusal),
            _ => Ok(None),
        });
        match page.await? {
            Ok(Some((page, next))) => (bytes, cursor) = (bytes + page, next),
            Ok(None) => return Ok(None),
            // A single value.
            Err(CommandError::WrongType) => {
                let command = Command::find("strlen").ok_or(CommandError::Syntax)?;
                let op = Op::Command { command, args: Args::NONE };
                let length = cluster.execute(Request { bucket, op }, |reply| match reply {
                    Reply::Number(length) => usize::try_from(length).ok(),
                    _ => None,
                });
                return Ok(length.await?);
            }
            Err(refusal) => return Err(refusal.into()),
        }
        if cursor == 0 {
            return Ok(Some(bytes).filter(|bytes| *bytes > 0));
        }
    }
}

fn len(item: &Reply<'_>) -> usize {
    match item {
        Reply::Value(bytes) => bytes.len(),
        _ => 0,
    }
}

pub(super) const DEBUG_SLEEP: SessionCommand = SessionCommand::new(
    CommandSpec::new("debug|sleep", Group::Server)
        .arity(3)
        .flags(ADMIN | ANY_TIME)
        .since("1.0.0")
        .syntax("seconds")
        .summary("Blocks this connection"),
)
.run_async(boxed!(sleep));
/// Other connections are not blocked.
async fn sleep(Call { state, mut args, output, .. }: Call<'_, '_>) -> Result<(), SessionError> {
    let seconds = args.next().and_then(|seconds| std::str::from_utf8(seconds).ok()?.parse().ok());
    let pause = Duration::try_from_secs_f64(seconds.ok_or(CommandError::NotFloat)?);
    tokio::time::sleep(pause.unwrap_or(LONGEST_SLEEP).min(LONGEST_SLEEP)).await;
    state.encoder(output).ok();
    Ok(())
}

pub(super) const INFO: SessionCommand = SessionCommand::new(
    CommandSpec::new("info", Group::Server)
        .arity(-1)
        .flags(ANY_TIME)
        .since("1.0.0")
        .syntax("[section [section ...]]")
        .summary("Statistics of the node and the store, by section"),
)
.run_async(boxed!(info));
async fn info(Call { table, state, args, output }: Call<'_, '_>) -> Result<(), SessionError> {
    let wanted = |section: &str| args.is_empty() || args.into_iter().any(|arg| is_section(arg, section));
    let mut text = String::new();
    let mut section = |name: &str, body: String| {
        let separator = if text.is_empty() { "" } else { "\r\n" };
        let _ = write!(text, "{separator}# {name}\r\n{body}");
    };
    if wanted("server") {
        section("Server", server_section(state));
    }
    if wanted("clients") {
        section("Clients", clients_section(state));
    }
    if wanted("memory") {
        section("Memory", memory_section(state).await);
    }
    if wanted("stats") {
        section("Stats", stats_section(state));
    }
    if wanted("replication") {
        section("Replication", "role:master\r\nconnected_slaves:0\r\n".into());
    }
    if !args.is_empty() && wanted("commandstats") {
        section("Commandstats", commandstats_section(table, state));
    }
    if wanted("cluster") {
        section("Cluster", "cluster_enabled:0\r\n".into());
    }
    if wanted("keyspace") {
        section("Keyspace", keyspace_section(state).await?);
    }
    state.encoder(output).verbatim(&text);
    Ok(())
}

/// Whether an argument of INFO asks for this section.
fn is_section(argument: &[u8], section: &str) -> bool {
    let names = [section, "default", "all", "everything"];
    names.iter().any(|name| argument.eq_ignore_ascii_case(name.as_bytes()))
}

fn server_section(state: &RespState) -> String {
    let server = &state.server;
    let uptime = server.started.elapsed().as_secs();
    format!(
        "redis_version:{REDIS_VERSION}\r\nkv_version:{}\r\nredis_mode:standalone\r\nnode:{}\r\narch_bits:{}\r\nprocess_id:{}\r\ntcp_port:{}\r\nuptime_in_seconds:{uptime}\r\nuptime_in_days:{}\r\n",
        env!("CARGO_PKG_VERSION"),
        server.cluster.node_name(),
        usize::BITS,
        std::process::id(),
        server.address.port(),
        uptime / 86_400,
    )
}

fn clients_section(state: &RespState) -> String {
    let clients = state.server.clients.all();
    let subscribed = clients.iter().filter(|client| client.info().is_pubsub());
    format!(
        "connected_clients:{}\r\nmaxclients:{}\r\nblocked_clients:0\r\npubsub_clients:{}\r\n",
        clients.len(),
        state.server.limits.connections,
        subscribed.count(),
    )
}

/// Memory of the buckets of this node, and memory that removed ones have left free. The resident memory of the process is
/// not reported, as that would need a system call.
async fn memory_section(state: &RespState) -> String {
    let stats = state.server.cluster.stats().await;
    let own = stats.into_iter().next().and_then(|(_, stats)| stats.ok());
    let StoreStats { bytes: used, free, limit, .. } = own.unwrap_or_default();
    let (active, limit) = (used + free, limit.unwrap_or(0));
    let ratio = active as f64 / used.max(1) as f64;
    format!(
        "used_memory:{used}\r\nused_memory_human:{}\r\nused_memory_dataset:{used}\r\nallocator_allocated:{used}\r\nallocator_active:{active}\r\nallocator_frag_bytes:{free}\r\nallocator_frag_ratio:{ratio:.2}\r\nmem_fragmentation_bytes:{free}\r\nmem_fragmentation_ratio:{ratio:.2}\r\nmaxmemory:{limit}\r\nmaxmemory_human:{}\r\nmaxmemory_policy:noeviction\r\n",
        human_size(used),
        human_size(limit),
    )
}

/// Bytes as Redis prints them for people: `1.50M`.
fn human_size(bytes: u64) -> String {
    let units = [("G", 1 << 30), ("M", 1 << 20), ("K", 1 << 10)];
    match units.into_iter().find(|(_, unit)| bytes >= *unit) {
        Some((letter, unit)) => format!("{:.2}{letter}", bytes as f64 / unit as f64),
        None => format!("{bytes}B"),
    }
}

fn stats_section(state: &RespState) -> String {
    let server = &state.server;
    format!(
        "total_connections_received:{}\r\ntotal_commands_processed:{}\r\nrejected_commands:{}\r\n",
        server.clients.total(),
        server.metrics.calls().sum::<u64>(),
        server.metrics.rejected_calls(),
    )
}

fn commandstats_section(table: &CommandTable, state: &RespState) -> String {
    let calls = table.specs().zip(state.server.metrics.calls());
    let called = calls.filter(|(_, calls)| *calls > 0);
    called.map(|(spec, calls)| format!("cmdstat_{}:calls={calls}\r\n", spec.name)).collect()
}

async fn keyspace_section(state: &RespState) -> Result<String, SessionError> {
    let keys = state.server.cluster.bucket_count().await?;
    Ok(if keys == 0 { String::new() } else { format!("db0:keys={keys},expires=0,avg_ttl=0\r\n") })
}
