//! The numbers of this crate as plain values: INFO shows them under the names of Redis, and the registry
//! under those of Prometheus.

use crate::{
    clients::{Client, Traffic},
    context::ServerContext,
    memory::Use,
    metrics::rates::Totals,
};
use kv_metrics::Families;
use std::sync::atomic::Ordering::Relaxed;

/// What is known of the clients of this node.
#[derive(Debug)]
pub(crate) struct Numbers {
    pub(crate) clients: usize,
    pub(crate) subscribed_clients: usize,
    pub(crate) watching_clients: usize,
    pub(crate) watched_keys: usize,
    /// The most that any of them holds of its input, and of its output, in bytes.
    pub(crate) largest_input: usize,
    pub(crate) largest_output: usize,
    /// Clients that have connected.
    pub(crate) connections: u64,
    /// Clients that were turned away.
    pub(crate) rejected: u64,
    /// Clients that were closed for what they held.
    pub(crate) evicted: u64,
    /// Bytes that all clients together hold.
    pub(crate) client_bytes: usize,
    pub(crate) totals: Totals,
    pub(crate) traffic: Traffic,
    /// Replies that were errors.
    pub(crate) errors: u64,
    /// The most memory that the buckets have taken.
    pub(crate) peak_bytes: u64,
}

impl Numbers {
    /// Reads them now.
    pub(crate) fn read(context: &ServerContext) -> Numbers {
        let clients = context.clients.all();
        let watched = |client: &Client| client.session.watched.load(Relaxed);
        let count = |filter: &dyn Fn(&Client) -> bool| clients.iter().filter(|client| filter(client)).count();
        let largest = |kind| clients.iter().map(|client| client.account.held_for(kind)).max().unwrap_or(0);
        Numbers {
            clients: clients.len(),
            subscribed_clients: count(&|client| client.session.is_pubsub()),
            watching_clients: count(&|client| watched(client) > 0),
            watched_keys: clients.iter().map(|client| watched(client)).sum(),
            largest_input: largest(Use::Input),
            largest_output: largest(Use::Output),
            connections: context.clients.total(),
            rejected: context.metrics.rejected_connections.load(Relaxed),
            evicted: context.memory.evicted(),
            client_bytes: context.memory.held(),
            totals: context.totals(),
            traffic: context.clients.traffic(),
            errors: context.metrics.errors().values().sum(),
            peak_bytes: context.metrics.rates.note_used(context.cluster.local().used_bytes()),
        }
    }
}

/// Reads what the registry shows of clients, and of the commands with these names.
pub(crate) fn families<'n>(
    context: &ServerContext,
    commands: impl Iterator<Item = &'n str>,
    families: &mut Families,
) {
    let numbers = Numbers::read(context);
    clients(context, &numbers, families);
    let Traffic { received, sent, reads, writes } = numbers.traffic;
    families.counter("kv_client_received_bytes_total", "Bytes received from clients").set(received);
    families.counter("kv_client_sent_bytes_total", "Bytes sent to clients").set(sent);
    families.counter("kv_client_reads_total", "Reads from the sockets of clients").set(reads);
    families.counter("kv_client_writes_total", "Writes to the sockets of clients").set(writes);
    families
        .gauge(
            "kv_memory_peak_bytes",
            "The most memory that the buckets have taken since the start or a reset",
        )
        .set(numbers.peak_bytes);
    for (code, count) in context.metrics.errors() {
        families
            .counter("kv_error_replies_total", "Error replies, by their first word")
            .add(&[("code", &code.escape_ascii().to_string())], count);
    }
    for (name, stats) in commands.zip(context.metrics.commands()) {
        if stats.calls + stats.rejected + stats.failed > 0 {
            let labels = [("command", name)];
            families.counter("kv_command_calls_total", "Calls").add(&labels, stats.calls);
            families
                .counter("kv_command_rejected_total", "Calls that were refused before they were executed")
                .add(&labels, stats.rejected);
            families
                .counter("kv_command_failed_total", "Calls that ended with an error")
                .add(&labels, stats.failed);
            families
                .histogram("kv_command_seconds", "The time that calls took")
                .add(&labels, stats.latencies);
        }
    }
    families
        .counter("kv_text_requests_total", "Requests of the text protocol")
        .set(context.metrics.text_requests());
}

fn clients(context: &ServerContext, numbers: &Numbers, families: &mut Families) {
    let mut gauge = |name, help, value: usize| families.gauge(name, help).set(value);
    gauge("kv_clients", "Clients that are connected", numbers.clients);
    gauge("kv_clients_limit", "Clients that may be connected", context.limits.connections);
    gauge("kv_clients_subscribed", "Clients that are subscribed to channels", numbers.subscribed_clients);
    gauge("kv_clients_watching", "Clients that watch keys", numbers.watching_clients);
    gauge("kv_watched_keys", "Keys that clients watch", numbers.watched_keys);
    gauge("kv_client_memory_bytes", "Memory that all clients together hold", numbers.client_bytes);
    if context.memory.limit() < usize::MAX {
        gauge("kv_client_memory_limit_bytes", "Memory that all clients may hold", context.memory.limit());
    }
    families.counter("kv_connections_total", "Clients that have connected").set(numbers.connections);
    families.counter("kv_connections_rejected_total", "Clients that were turned away").set(numbers.rejected);
    families
        .counter("kv_clients_evicted_total", "Clients that were closed for the memory that they held")
        .set(numbers.evicted);
}
