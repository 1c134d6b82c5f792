//! Commands about the node.

use super::{connection::REDIS_VERSION, is, number, other};
use crate::{
    limits::LONGEST_SLEEP,
    pipeline::buffers::Output,
    protocol::resp::{
        session::{Session, Trouble},
        write::Writer,
    },
};
use kv::{Args, CommandError, Op, Projection, Reply, Request, StoreStats};
use std::{fmt::Write, time::Duration};

/// `TIME`
pub(in super::super) fn time(
    _: &mut Session,
    _: Args<'_>,
    writer: &mut Writer<'_>,
) -> Result<(), CommandError> {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
    writer.list(2);
    writer.bulk(since.as_secs().to_string().as_bytes());
    writer.bulk(since.subsec_micros().to_string().as_bytes());
    Ok(())
}

/// `WAIT numreplicas timeout`: a volatile range has no replicas.
pub(in super::super) fn wait(
    _: &mut Session,
    mut args: Args<'_>,
    writer: &mut Writer<'_>,
) -> Result<(), CommandError> {
    let (_, timeout) = number(args.next()).zip(number(args.next())).ok_or(CommandError::NotInteger)?;
    if timeout < 0 {
        return Err(other("ERR timeout is negative"));
    }
    writer.number(0);
    Ok(())
}

/// `SLOWLOG GET` and `LATENCY LATEST`: nothing is ever noted.
pub(in super::super) fn nothing(
    _: &mut Session,
    _: Args<'_>,
    writer: &mut Writer<'_>,
) -> Result<(), CommandError> {
    writer.list(0);
    Ok(())
}

/// `SLOWLOG LEN` and `LATENCY RESET`
pub(in super::super) fn zero(
    _: &mut Session,
    _: Args<'_>,
    writer: &mut Writer<'_>,
) -> Result<(), CommandError> {
    writer.number(0);
    Ok(())
}

/// `SLOWLOG RESET`
pub(in super::super) fn done(
    _: &mut Session,
    _: Args<'_>,
    writer: &mut Writer<'_>,
) -> Result<(), CommandError> {
    writer.ok();
    Ok(())
}

/// `MEMORY DOCTOR`
pub(in super::super) fn doctor(
    _: &mut Session,
    _: Args<'_>,
    writer: &mut Writer<'_>,
) -> Result<(), CommandError> {
    writer.text("No problem with the memory of this node is known.");
    Ok(())
}

/// `MEMORY USAGE key [SAMPLES count]`: the bytes of the name and of all that the bucket holds.
pub(in super::super) async fn usage(
    session: &mut Session,
    mut args: Args<'_>,
    output: &mut Output<'_>,
) -> Result<(), Trouble> {
    let bucket = args.next().ok_or(CommandError::Syntax)?;
    match (args.next(), number(args.next())) {
        (None, _) => {}
        (Some(option), Some(count)) if is(option, "samples") && count >= 0 => {}
        _ => return Err(CommandError::Syntax.into()),
    }
    let bytes = held(session, bucket).await?;
    let mut writer = session.writer(output);
    match bytes {
        Some(bytes) => writer.number((bucket.len() + bytes) as i64),
        None => writer.nil(),
    }
    Ok(())
}

/// The bytes that a bucket holds; `None` when it holds nothing.
async fn held(session: &Session, bucket: &[u8]) -> Result<Option<usize>, Trouble> {
    let cluster = &session.server.cluster;
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
                let command = kv::Command::find("strlen").ok_or(CommandError::Syntax)?;
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

/// `DEBUG SLEEP seconds`: holds up this connection, and no other.
pub(in super::super) async fn sleep(
    session: &mut Session,
    mut args: Args<'_>,
    output: &mut Output<'_>,
) -> Result<(), Trouble> {
    let seconds = args.next().and_then(|seconds| std::str::from_utf8(seconds).ok()?.parse().ok());
    let pause = Duration::try_from_secs_f64(seconds.ok_or(CommandError::NotFloat)?);
    tokio::time::sleep(pause.unwrap_or(LONGEST_SLEEP).min(LONGEST_SLEEP)).await;
    session.writer(output).ok();
    Ok(())
}

/// `INFO [section [section ...]]`
pub(in super::super) async fn info(
    session: &mut Session,
    args: Args<'_>,
    output: &mut Output<'_>,
) -> Result<(), Trouble> {
    let all = ["default", "all", "everything"];
    let wanted = |section: &str| {
        args.is_empty() || args.into_iter().any(|arg| is(arg, section) || all.iter().any(|all| is(arg, all)))
    };
    let mut text = String::new();
    let mut section = |name: &str, body: String| {
        let separator = if text.is_empty() { "" } else { "\r\n" };
        let _ = write!(text, "{separator}# {name}\r\n{body}");
    };
    if wanted("server") {
        section("Server", about_server(session));
    }
    if wanted("clients") {
        section("Clients", about_clients(session));
    }
    if wanted("memory") {
        section("Memory", about_memory(session).await);
    }
    if wanted("stats") {
        section("Stats", about_stats(session));
    }
    if wanted("replication") {
        section("Replication", "role:master\r\nconnected_slaves:0\r\n".into());
    }
    if !args.is_empty() && wanted("commandstats") {
        section("Commandstats", about_commands(session));
    }
    if wanted("cluster") {
        section("Cluster", "cluster_enabled:0\r\n".into());
    }
    if wanted("keyspace") {
        section("Keyspace", about_keys(session).await?);
    }
    session.writer(output).text(&text);
    Ok(())
}

fn about_server(session: &Session) -> String {
    let server = &session.server;
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

fn about_clients(session: &Session) -> String {
    let clients = session.server.clients.all();
    let subscribed = clients.iter().filter(|client| client.info().is_pubsub());
    format!(
        "connected_clients:{}\r\nmaxclients:{}\r\nblocked_clients:0\r\npubsub_clients:{}\r\n",
        clients.len(),
        session.server.limits.connections,
        subscribed.count(),
    )
}

/// The bytes of this node's buckets, and those that what has ended left between them. The process's resident memory is
/// not among them: the system knows it, and is not asked here.
async fn about_memory(session: &Session) -> String {
    let figures = session.server.cluster.stats().await;
    let mine = figures.into_iter().next().and_then(|(_, figures)| figures.ok());
    let StoreStats { bytes: used, free, limit, .. } = mine.unwrap_or_default();
    let (held, limit) = (used + free, limit.unwrap_or(0));
    let ratio = held as f64 / used.max(1) as f64;
    format!(
        "used_memory:{used}\r\nused_memory_human:{}\r\nused_memory_dataset:{used}\r\nallocator_allocated:{used}\r\nallocator_active:{held}\r\nallocator_frag_bytes:{free}\r\nallocator_frag_ratio:{ratio:.2}\r\nmem_fragmentation_bytes:{free}\r\nmem_fragmentation_ratio:{ratio:.2}\r\nmaxmemory:{limit}\r\nmaxmemory_human:{}\r\nmaxmemory_policy:noeviction\r\n",
        human(used),
        human(limit),
    )
}

/// Bytes as Redis shows them to people: `1.50M`.
fn human(bytes: u64) -> String {
    let units = [("G", 1 << 30), ("M", 1 << 20), ("K", 1 << 10)];
    match units.into_iter().find(|(_, unit)| bytes >= *unit) {
        Some((letter, unit)) => format!("{:.2}{letter}", bytes as f64 / unit as f64),
        None => format!("{bytes}B"),
    }
}

fn about_stats(session: &Session) -> String {
    let server = &session.server;
    format!(
        "total_connections_received:{}\r\ntotal_commands_processed:{}\r\nrejected_commands:{}\r\n",
        server.clients.total(),
        server.metrics.calls().sum::<u64>(),
        server.metrics.rejected_calls(),
    )
}

fn about_commands(session: &Session) -> String {
    let calls = session.catalog.specs().iter().zip(session.server.metrics.calls());
    let called = calls.filter(|(_, calls)| *calls > 0);
    called.map(|(spec, calls)| format!("cmdstat_{}:calls={calls}\r\n", spec.name)).collect()
}

/// The keys of all nodes.
async fn about_keys(session: &Session) -> Result<String, Trouble> {
    let keys = session.server.cluster.bucket_count().await?;
    Ok(if keys == 0 { String::new() } else { format!("db0:keys={keys},expires=0,avg_ttl=0\r\n") })
}
