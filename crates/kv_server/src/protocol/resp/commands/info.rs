//! The INFO command: statistics by section.

use super::{
    connection::REDIS_VERSION,
    table::{ANY_TIME, Call, CommandTable, SessionCommand, boxed},
};
use crate::protocol::resp::{reply::error::SessionError, session::RespSession};
use kv::{CommandSpec, Group, StoreStats};
use std::fmt::Write;

pub(super) const INFO: SessionCommand = SessionCommand::new(
    CommandSpec::new("info", Group::Server)
        .arity(-1)
        .flags(ANY_TIME)
        .since("1.0.0")
        .syntax("[section [section ...]]")
        .summary("Statistics of the node and the store, by section"),
)
.run_async(boxed!(info));
async fn info(Call { table, session, args, output }: Call<'_, '_>) -> Result<(), SessionError> {
    let wanted = |section: &str| args.is_empty() || args.into_iter().any(|arg| is_section(arg, section));
    let mut text = String::new();
    let mut section = |name: &str, body: String| {
        let separator = if text.is_empty() { "" } else { "\r\n" };
        let _ = write!(text, "{separator}# {name}\r\n{body}");
    };
    if wanted("server") {
        section("Server", server_section(session));
    }
    if wanted("clients") {
        section("Clients", clients_section(session));
    }
    if wanted("memory") {
        section("Memory", memory_section(session).await);
    }
    if wanted("stats") {
        section("Stats", stats_section(session));
    }
    if wanted("replication") {
        section("Replication", "role:master\r\nconnected_slaves:0\r\n".into());
    }
    if !args.is_empty() && wanted("commandstats") {
        section("Commandstats", commandstats_section(table, session));
    }
    if wanted("cluster") {
        section("Cluster", "cluster_enabled:0\r\n".into());
    }
    if wanted("keyspace") {
        section("Keyspace", keyspace_section(session).await?);
    }
    session.encoder(output).verbatim(&text);
    Ok(())
}

/// Whether an argument of INFO selects this section.
fn is_section(argument: &[u8], section: &str) -> bool {
    let names = [section, "default", "all", "everything"];
    names.iter().any(|name| argument.eq_ignore_ascii_case(name.as_bytes()))
}

fn server_section(session: &RespSession) -> String {
    let context = &session.context;
    let uptime = context.started.elapsed().as_secs();
    format!(
        "redis_version:{REDIS_VERSION}\r\nkv_version:{}\r\nredis_mode:standalone\r\nnode:{}\r\narch_bits:{}\r\nprocess_id:{}\r\ntcp_port:{}\r\nuptime_in_seconds:{uptime}\r\nuptime_in_days:{}\r\n",
        env!("CARGO_PKG_VERSION"),
        context.cluster.node_name(),
        usize::BITS,
        std::process::id(),
        context.address.port(),
        uptime / 86_400,
    )
}

fn clients_section(session: &RespSession) -> String {
    let clients = session.context.clients.all();
    let subscribed = clients.iter().filter(|client| client.info().is_pubsub());
    format!(
        "connected_clients:{}\r\nmaxclients:{}\r\nblocked_clients:0\r\npubsub_clients:{}\r\n",
        clients.len(),
        session.context.limits.connections,
        subscribed.count(),
    )
}

/// Memory used by the buckets of this node, and memory that removed ones have left free. The resident memory
/// of the process is omitted, as it would cost a system call.
async fn memory_section(session: &RespSession) -> String {
    let stats = session.context.cluster.stats().await;
    let own = stats.into_iter().next().and_then(|(_, stats)| stats.ok());
    let StoreStats { bytes: used, free, limit, .. } = own.unwrap_or_default();
    let (active, limit) = (used + free, limit.unwrap_or(0));
    let ratio = active as f64 / used.max(1) as f64;
    format!(
        "used_memory:{used}\r\nused_memory_human:{}\r\nused_memory_dataset:{used}\r\nallocator_allocated:{used}\r\nallocator_active:{active}\r\nallocator_frag_bytes:{free}\r\nallocator_frag_ratio:{ratio:.2}\r\nmem_fragmentation_bytes:{free}\r\nmem_fragmentation_ratio:{ratio:.2}\r\nmaxmemory:{limit}\r\nmaxmemory_human:{}\r\nmaxmemory_policy:noeviction\r\nmem_clients_normal:{}\r\n",
        human_size(used),
        human_size(limit),
        session.context.memory.held(),
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

fn stats_section(session: &RespSession) -> String {
    let context = &session.context;
    format!(
        "total_connections_received:{}\r\ntotal_commands_processed:{}\r\nrejected_commands:{}\r\nevicted_clients:{}\r\n",
        context.clients.total(),
        context.metrics.calls().sum::<u64>(),
        context.metrics.rejected_calls(),
        context.memory.evicted(),
    )
}

fn commandstats_section(table: &CommandTable, session: &RespSession) -> String {
    let calls = table.specs().zip(session.context.metrics.calls());
    let called = calls.filter(|(_, calls)| *calls > 0);
    called.map(|(spec, calls)| format!("cmdstat_{}:calls={calls}\r\n", spec.name)).collect()
}

async fn keyspace_section(session: &RespSession) -> Result<String, SessionError> {
    let keys = session.context.cluster.bucket_count().await?;
    Ok(if keys == 0 { String::new() } else { format!("db0:keys={keys},expires=0,avg_ttl=0\r\n") })
}
