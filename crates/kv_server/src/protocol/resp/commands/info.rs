//! The INFO command: statistics by section, under the names that Redis gives them. What does not exist here
//! (replicas, scripts) is 0, as it is on a Redis that has none.

mod lines;
pub(super) mod persistence;

use super::{
    connection::REDIS_VERSION,
    table::{ANY_TIME, Call, CommandTable, SessionCommand, boxed},
};
use crate::{
    metrics::CommandStats,
    numbers::Numbers,
    protocol::resp::{reply::error::SessionError, session::RespSession},
};
use kv::{CommandSpec, Group, StoreStats};
use kv_metrics::process;
use lines::{bytes, line, section, zeros};
use std::{
    collections::HashSet,
    path::Path,
    time::{Duration, Instant},
};

/// The percentiles of section `latencystats`.
pub(super) const PERCENTILES: [f64; 3] = [50.0, 99.0, 99.9];

/// The sections, and the words for several of them.
const SECTIONS: [&str; 16] = [
    "server",
    "clients",
    "memory",
    "persistence",
    "stats",
    "replication",
    "cpu",
    "modules",
    "commandstats",
    "errorstats",
    "latencystats",
    "cluster",
    "keyspace",
    "default",
    "all",
    "everything",
];

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
    let known = |arg: &[u8]| SECTIONS.into_iter().find(|name| arg.eq_ignore_ascii_case(name.as_bytes()));
    let named: HashSet<&str> = args.into_iter().filter_map(known).collect();
    let is_default = args.is_empty() || named.contains("default");
    let is_all = named.contains("all") || named.contains("everything");
    let wanted_if_named = |section: &str| is_all || named.contains(section);
    let wanted = |section: &str| is_default || wanted_if_named(section);
    let (own, numbers) = (session.context.cluster.local().stats(), Numbers::read(&session.context));
    let mut text = String::new();
    if wanted("server") {
        server(session, section(&mut text, "Server"));
    }
    if wanted("clients") {
        clients(session, &numbers, section(&mut text, "Clients"));
    }
    if wanted("memory") {
        memory(&own, &numbers, section(&mut text, "Memory"));
    }
    if wanted("persistence") {
        persistence::persistence(&session.context, section(&mut text, "Persistence"));
    }
    if wanted("stats") {
        stats(session, &own, &numbers, section(&mut text, "Stats"));
    }
    if wanted("replication") {
        replication(session, section(&mut text, "Replication"));
    }
    if wanted("cpu") {
        cpu(section(&mut text, "CPU"));
    }
    if wanted("modules") {
        section(&mut text, "Modules");
    }
    if wanted_if_named("commandstats") {
        commandstats(table, session, section(&mut text, "Commandstats"));
    }
    if wanted("errorstats") {
        errorstats(session, section(&mut text, "Errorstats"));
    }
    if wanted_if_named("latencystats") {
        latencystats(table, session, section(&mut text, "Latencystats"));
    }
    if wanted("cluster") {
        line(section(&mut text, "Cluster"), "cluster_enabled", 0);
    }
    if wanted("keyspace") {
        keyspace(session, section(&mut text, "Keyspace")).await;
    }
    session.encoder(output).verbatim(&text);
    Ok(())
}

fn server(session: &RespSession, text: &mut String) {
    let context = &session.context;
    let (uptime, unix) = (context.started.elapsed().as_secs(), kv::time::now_ms());
    line(text, "redis_version", REDIS_VERSION);
    line(text, "kv_version", env!("CARGO_PKG_VERSION"));
    line(text, "redis_git_sha1", "00000000");
    line(text, "redis_git_dirty", 0);
    line(text, "redis_mode", "standalone");
    line(text, "node", context.cluster.node_name());
    line(text, "os", process::system());
    line(text, "arch_bits", usize::BITS);
    line(text, "process_id", std::process::id());
    line(text, "run_id", &context.run_id);
    line(text, "tcp_port", context.address.port());
    line(text, "server_time_usec", unix * 1_000);
    line(text, "uptime_in_seconds", uptime);
    line(text, "uptime_in_days", uptime / 86_400);
    line(text, "hz", 10);
    line(text, "configured_hz", 10);
    line(text, "lru_clock", (unix / 1_000) & 0xff_ffff);
    line(text, "executable", process::executable());
    let config_file = session.context.config_file.as_deref().unwrap_or(Path::new(""));
    line(text, "config_file", config_file.display());
    line(text, "io_threads_active", 0);
    let (ip, port) = (context.address.ip(), context.address.port());
    line(text, "listener0", format_args!("name=tcp,bind={ip},port={port}"));
}

fn clients(session: &RespSession, numbers: &Numbers, text: &mut String) {
    line(text, "connected_clients", numbers.clients);
    line(text, "cluster_connections", 0);
    line(text, "maxclients", session.context.limits.connections);
    line(text, "client_recent_max_input_buffer", numbers.largest_input);
    line(text, "client_recent_max_output_buffer", numbers.largest_output);
    zeros(text, &["blocked_clients", "tracking_clients"]);
    line(text, "pubsub_clients", numbers.subscribed_clients);
    line(text, "watching_clients", numbers.watching_clients);
    zeros(text, &["clients_in_timeout_table"]);
    line(text, "total_watched_keys", numbers.watched_keys);
    zeros(text, &["total_blocking_keys", "total_blocking_keys_on_nokey"]);
}

/// Of this node: what its buckets take, what removed ones have left free, and what the process takes.
fn memory(own: &StoreStats, numbers: &Numbers, text: &mut String) {
    let StoreStats { bytes: used, overhead, free, limit, pending_frees, .. } = *own;
    let (resident, system) = process::memory();
    let peak = numbers.peak_bytes.max(used);
    let (active, limit) = (used + free, limit.unwrap_or(0));
    let ratio = |one: u64, other: u64| format!("{:.2}", one as f64 / other.max(1) as f64);
    bytes(text, "used_memory", used);
    bytes(text, "used_memory_rss", resident);
    bytes(text, "used_memory_peak", peak);
    line(text, "used_memory_peak_perc", format_args!("{:.2}%", used as f64 * 100.0 / peak.max(1) as f64));
    line(text, "used_memory_overhead", overhead);
    zeros(text, &["used_memory_startup"]);
    line(text, "used_memory_dataset", used - overhead);
    let dataset_share = (used - overhead) as f64 * 100.0 / used.max(1) as f64;
    line(text, "used_memory_dataset_perc", format_args!("{dataset_share:.2}%"));
    line(text, "allocator_allocated", used);
    line(text, "allocator_active", active);
    line(text, "allocator_resident", resident);
    bytes(text, "total_system_memory", system);
    bytes(text, "used_memory_lua", 0);
    zeros(text, &["used_memory_vm_eval", "used_memory_scripts_eval", "number_of_cached_scripts"]);
    zeros(text, &["number_of_functions", "number_of_libraries", "used_memory_vm_functions"]);
    bytes(text, "used_memory_vm_total", 0);
    line(text, "used_memory_functions", 0);
    bytes(text, "used_memory_scripts", 0);
    bytes(text, "maxmemory", limit);
    line(text, "maxmemory_policy", "noeviction");
    line(text, "allocator_frag_ratio", ratio(active, used));
    line(text, "allocator_frag_bytes", free);
    line(text, "allocator_rss_ratio", ratio(resident, active));
    line(text, "allocator_rss_bytes", resident as i64 - active as i64);
    line(text, "rss_overhead_ratio", "1.00");
    line(text, "rss_overhead_bytes", 0);
    line(text, "mem_fragmentation_ratio", ratio(resident, used));
    line(text, "mem_fragmentation_bytes", resident as i64 - used as i64);
    zeros(text, &["mem_not_counted_for_evict", "mem_replication_backlog", "mem_total_replication_buffers"]);
    line(text, "mem_clients_normal", numbers.client_bytes);
    zeros(text, &["mem_clients_slaves", "mem_cluster_links", "mem_aof_buffer"]);
    line(text, "mem_allocator", "libc");
    zeros(text, &["active_defrag_running"]);
    line(text, "lazyfree_pending_objects", pending_frees);
    zeros(text, &["lazyfreed_objects"]);
}

fn stats(session: &RespSession, own: &StoreStats, numbers: &Numbers, text: &mut String) {
    let context = &session.context;
    let Numbers { totals, traffic, .. } = *numbers;
    let rate = context.metrics.rates.per_second(Instant::now(), totals);
    let kilobytes = |bytes: f64| format!("{:.2}", bytes / 1024.0);
    line(text, "total_connections_received", numbers.connections);
    line(text, "total_commands_processed", totals.commands);
    line(text, "instantaneous_ops_per_sec", rate.commands.round());
    line(text, "total_net_input_bytes", traffic.received);
    line(text, "total_net_output_bytes", traffic.sent);
    zeros(text, &["total_net_repl_input_bytes", "total_net_repl_output_bytes"]);
    line(text, "instantaneous_input_kbps", kilobytes(rate.received));
    line(text, "instantaneous_output_kbps", kilobytes(rate.sent));
    line(text, "instantaneous_input_repl_kbps", "0.00");
    line(text, "instantaneous_output_repl_kbps", "0.00");
    line(text, "rejected_connections", numbers.rejected);
    zeros(text, &["sync_full", "sync_partial_ok", "sync_partial_err"]);
    line(text, "expired_subkeys", own.expired_entries);
    line(text, "expired_keys", own.expired);
    line(text, "expired_stale_perc", "0.00");
    zeros(text, &["expired_time_cap_reached_count", "evicted_keys"]);
    line(text, "evicted_clients", numbers.evicted);
    zeros(text, &["total_eviction_exceeded_time", "current_eviction_exceeded_time"]);
    line(text, "keyspace_hits", own.hits);
    line(text, "keyspace_misses", own.misses);
    let (channels, patterns) = context.cluster.local().channel_counts();
    line(text, "pubsub_channels", channels);
    line(text, "pubsub_patterns", patterns);
    zeros(text, &["pubsubshard_channels", "latest_fork_usec", "total_forks", "migrate_cached_sockets"]);
    zeros(text, &["slave_expires_tracked_keys", "active_defrag_hits", "active_defrag_misses"]);
    zeros(text, &["active_defrag_key_hits", "active_defrag_key_misses", "total_active_defrag_time"]);
    zeros(text, &["current_active_defrag_time", "tracking_total_keys", "tracking_total_items"]);
    zeros(text, &["tracking_total_prefixes", "unexpected_error_replies"]);
    line(text, "total_error_replies", numbers.errors);
    line(text, "dump_payload_sanitizations", 0);
    line(text, "total_reads_processed", traffic.reads);
    line(text, "total_writes_processed", traffic.writes);
    zeros(text, &["io_threaded_reads_processed", "io_threaded_writes_processed"]);
    line(text, "crashed_buckets", own.crashed);
}

fn replication(session: &RespSession, text: &mut String) {
    line(text, "role", "master");
    line(text, "connected_slaves", session.context.cluster.connected_replicas());
    line(text, "master_failover_state", "no-failover");
    line(text, "master_replid", &session.context.run_id);
    line(text, "master_replid2", "0".repeat(40));
    line(text, "master_repl_offset", 0);
    line(text, "second_repl_offset", -1);
    zeros(text, &["repl_backlog_active", "repl_backlog_size"]);
    zeros(text, &["repl_backlog_first_byte_offset", "repl_backlog_histlen"]);
}

fn cpu(text: &mut String) {
    let (all, main) = (process::cpu_time(false), process::cpu_time(true));
    let mut seconds = |field, time: Duration| line(text, field, format_args!("{:.6}", time.as_secs_f64()));
    seconds("used_cpu_sys", all.system);
    seconds("used_cpu_user", all.user);
    seconds("used_cpu_sys_children", all.children_system);
    seconds("used_cpu_user_children", all.children_user);
    seconds("used_cpu_sys_main_thread", main.system);
    seconds("used_cpu_user_main_thread", main.user);
}

fn commandstats(table: &CommandTable, session: &RespSession, text: &mut String) {
    for (spec, stats) in table.specs().zip(session.context.metrics.commands()) {
        let CommandStats { calls, rejected, failed, latencies } = stats;
        if calls + rejected + failed > 0 {
            let time = latencies.sum();
            let (usec, each) = (time.as_micros(), time.as_nanos() as f64 / 1_000.0 / calls.max(1) as f64);
            line(
                text,
                &format!("cmdstat_{}", spec.name),
                format_args!(
                    "calls={calls},usec={usec},usec_per_call={each:.2},rejected_calls={rejected},failed_calls={failed}"
                ),
            );
        }
    }
}

fn errorstats(session: &RespSession, text: &mut String) {
    for (code, count) in session.context.metrics.errors() {
        line(text, &format!("errorstat_{}", code.escape_ascii()), format_args!("count={count}"));
    }
}

fn latencystats(table: &CommandTable, session: &RespSession, text: &mut String) {
    for (spec, stats) in table.specs().zip(session.context.metrics.commands()) {
        if stats.calls > 0 {
            let percentile = |percent: f64| {
                let micros = stats.latencies.percentile(percent).as_nanos() as f64 / 1_000.0;
                format!("p{percent}={micros:.3}")
            };
            let percentiles = PERCENTILES.map(percentile).join(",");
            line(text, &format!("latency_percentiles_usec_{}", spec.name), percentiles);
        }
    }
}

/// The buckets of all nodes that can be reached, as the other commands on all keys count them.
async fn keyspace(session: &RespSession, text: &mut String) {
    let mut sum = StoreStats::default();
    for (_, stats) in session.context.cluster.stats().await {
        sum += stats.unwrap_or_default();
    }
    let now_ms = kv::time::now_ms();
    for (index, stats) in sum.databases.iter().enumerate().filter(|(_, stats)| stats.buckets > 0) {
        let (keys, expires, subexpiry) = (stats.buckets, stats.expiring, stats.expiring_maps);
        let ttl = stats.average_ttl_ms(now_ms);
        let numbers = format_args!("keys={keys},expires={expires},avg_ttl={ttl},subexpiry={subexpiry}");
        line(text, &format!("db{index}"), numbers);
    }
}
