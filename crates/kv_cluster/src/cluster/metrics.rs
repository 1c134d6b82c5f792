//! The numbers of this crate and of those below it: what the node holds, its links, its durable ranges.

use super::Cluster;
use crate::peer::Peer;
use kv::{Database, KeyspaceStats, StoreStats};
use kv_metrics::Families;
use kv_raft::{RangeState, RangeStatus};

impl Cluster {
    /// Reads the numbers of this node and of its links.
    pub fn families(&self, families: &mut Families) {
        let stats = self.local.stats();
        memory(&stats, families);
        buckets(&stats, families);
        let (channels, patterns) = self.local.channel_counts();
        families.gauge("kv_channels", "Channels with subscribers").set(channels);
        families.gauge("kv_channel_patterns", "Patterns of channels with subscribers").set(patterns);
        self.peers.iter().filter(|peer| !peer.is_removed()).for_each(|peer| link(peer, families));
        families
            .gauge("kv_connected_replicas", "Nodes with a replica of a range of this one, and a link")
            .set(self.connected_replicas());
        self.local.range_statuses().iter().for_each(|status| range(status, families));
    }
}

fn memory(stats: &StoreStats, families: &mut Families) {
    let StoreStats { bytes, overhead, free, limit, pending_frees, .. } = *stats;
    families.gauge("kv_memory_used_bytes", "Memory that the buckets and the watched names take").set(bytes);
    families
        .gauge("kv_memory_overhead_bytes", "The part of the memory used that belongs to no bucket")
        .set(overhead);
    families.gauge("kv_memory_free_bytes", "Memory that removed buckets have left for new ones").set(free);
    if let Some(limit) = limit {
        families.gauge("kv_memory_limit_bytes", "Memory that the buckets may take").set(limit);
    }
    families
        .gauge("kv_pending_frees", "Buckets that have ended and whose memory is not freed yet")
        .set(pending_frees);
}

fn buckets(stats: &StoreStats, families: &mut Families) {
    let StoreStats { databases, crashed, expired, expired_entries, hits, misses, .. } = stats;
    for (database, KeyspaceStats { buckets, expiring, .. }) in Database::all().zip(databases) {
        if *buckets > 0 || database == Database::default() {
            let labels = [("database", &*database.index().to_string())];
            families.gauge("kv_buckets", "Buckets").add(&labels, *buckets);
            families.gauge("kv_buckets_expiring", "Buckets that will expire").add(&labels, *expiring);
        }
    }
    families.counter("kv_bucket_crashes_total", "Buckets that have crashed").set(*crashed);
    families.counter("kv_buckets_expired_total", "Buckets that have expired").set(*expired);
    families
        .counter("kv_entries_expired_total", "Entries of buckets that have expired by themselves")
        .set(*expired_entries);
    families.counter("kv_reads_hit_total", "Reads of buckets that existed").set(*hits);
    families.counter("kv_reads_missed_total", "Reads of buckets that did not exist").set(*misses);
}

fn link(peer: &Peer, families: &mut Families) {
    let (labels, load) = ([("node", peer.name().as_str())], peer.link_load());
    families.gauge("kv_link_up", "Whether the link to the node is up").add(&labels, peer.is_up());
    families.counter("kv_link_ups_total", "How often the link has been set up").add(&labels, peer.ups());
    families
        .gauge("kv_link_calls_in_flight", "Calls to the node that wait for their replies")
        .add(&labels, load.calls);
    families
        .gauge("kv_link_in_flight_bytes", "Bytes of the calls that wait for their replies")
        .add(&labels, load.bytes);
}

fn range(status: &RangeStatus, families: &mut Families) {
    let labels = [("range", &*status.span)];
    let mut gauge = |name, help, value: u64| families.gauge(name, help).add(&labels, value);
    let leads = status.state == RangeState::Ready;
    let is_stopped = matches!(status.state, RangeState::Stopped(_));
    gauge("kv_range_leader", "Whether this node serves the range", leads.into());
    gauge("kv_range_stopped", "Whether the range cannot go on here", is_stopped.into());
    gauge(
        "kv_range_read_only",
        "Whether the range refuses writes for now although it serves reads",
        status.cannot_write.is_some().into(),
    );
    gauge("kv_range_loaded_percent", "How much of its snapshot and log is loaded", status.loaded.into());
    gauge("kv_range_term", "The term in which its leader was elected", status.term);
    gauge("kv_range_applied_index", "The last entry that was executed", status.applied);
    gauge("kv_range_unsynced_entries", "Executed entries that are not known to be synced", status.unsynced);
    gauge("kv_range_log_bytes", "Bytes of the files of its log", status.log.bytes);
    gauge("kv_range_log_entries", "Entries of its log", status.log.entries);
    gauge("kv_range_log_cache_bytes", "Bytes of entries kept in memory", status.log.cached_bytes);
    gauge("kv_range_snapshot_bytes", "Bytes of its newest snapshot", status.snapshot.bytes());
    families
        .gauge("kv_range_sync_p99_seconds", "The time that 99 of 100 syncs of its log took at most")
        .add(&labels, status.log.sync_p99);
    families
        .counter("kv_range_syncs_total", "Syncs of its log since it was opened")
        .add(&labels, status.log.syncs);
    families
        .counter("kv_range_snapshots_total", "Snapshots since it was opened")
        .add(&labels, status.snapshot.written);
    for replica in &status.replicas {
        if let Some(lag) = replica.lag {
            families
                .gauge(
                    "kv_range_replica_lag_entries",
                    "Entries that the replica on the node is not known to have",
                )
                .add(&[("range", &status.span), ("node", &replica.node)], lag);
        }
    }
}
