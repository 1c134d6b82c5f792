//! Looks at this node once a second, and, while a client watches, at the others. What has changed since goes
//! to all who watch.

mod happenings;
mod samples;
pub(crate) mod seen;
mod state;
mod views;

use self::{
    samples::{Row, SERIES, Samples},
    seen::{About, Answer, Report, Seen},
};
use crate::limits::{OBSERVED_CHILDREN, REPORT_WAIT, STREAMS, UPDATES};
use axum::body::Bytes;
use kv::time::now_ms;
use kv_cluster::{Cluster, NodeEvent, NodeName};
use kv_metrics::MetricsRegistry;
use otp::{Stop, Tree};
use serde_json::{Value, json};
use std::{
    collections::BTreeMap,
    convert::Infallible,
    fmt,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};
use tokio::{
    sync::{
        Notify, OwnedSemaphorePermit, Semaphore,
        broadcast::{self, error::TryRecvError},
    },
    task::JoinSet,
    time::{Instant, MissedTickBehavior, interval_at, timeout},
};

const SECOND: Duration = Duration::from_secs(1);

/// What this node knows of the cluster. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Observer(Arc<Shared>);

struct Shared {
    cluster: Cluster,
    registry: MetricsRegistry,
    about: About,
    draining: Stop,
    seen: Mutex<Seen>,
    updates: broadcast::Sender<Update>,
    streams: Arc<Semaphore>,
    /// A client has begun to watch.
    watched: Notify,
}

/// What those who watch get.
#[derive(Debug, Clone)]
pub(crate) enum Update {
    /// An event of the stream.
    Delta(Bytes),
    /// The node is draining.
    End,
}

impl fmt::Debug for Observer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Observer of {}", self.0.cluster.node_name())
    }
}

impl Observer {
    pub(crate) fn new(cluster: Cluster, registry: MetricsRegistry, about: About, draining: Stop) -> Observer {
        let shared = Arc::new(Shared {
            registry,
            about,
            draining,
            seen: Mutex::default(),
            updates: broadcast::Sender::new(UPDATES),
            streams: Arc::new(Semaphore::new(STREAMS)),
            watched: Notify::new(),
            cluster,
        });
        let weak = Arc::downgrade(&shared);
        // JSON of numbers and text cannot fail.
        shared.cluster.local().set_report(move |since| {
            let report = weak.upgrade().map(|shared| {
                let observer = Observer(shared);
                observer.lock().report(observer.0.cluster.node_name().as_str(), since)
            });
            serde_json::to_vec(&report).unwrap_or_default()
        });
        Observer(shared)
    }

    /// A place among those who watch, what is to come, and the event of all that is known.
    pub(crate) fn watch(&self) -> Option<(OwnedSemaphorePermit, broadcast::Receiver<Update>)> {
        let permit = self.0.streams.clone().try_acquire_owned().ok()?;
        let updates = self.0.updates.subscribe();
        // While others watch, all that is known is new.
        if self.0.updates.receiver_count() == 1 {
            self.0.watched.notify_one();
        }
        Some((permit, updates))
    }

    /// The event of all that is known.
    pub(crate) fn whole(&self) -> Bytes {
        let seen = self.lock();
        let newest = |(node, samples): (&String, &Samples)| {
            let before = samples.last_time().saturating_sub(1);
            (node.clone(), samples.since(before).cloned().collect())
        };
        let samples: BTreeMap<String, Vec<Row>> = seen.samples.iter().map(newest).collect();
        let whole = json!({
            "at": now_ms(),
            "series": &SERIES[..],
            "parts": seen.parts.all(),
            "samples": samples,
        });
        event("state", &whole)
    }

    /// A part of what is known, by its name.
    pub(crate) fn part(&self, name: &str) -> Option<Value> {
        self.lock().parts.get(name).cloned()
    }

    /// The release of this node.
    pub(crate) fn about(&self) -> About {
        self.0.about
    }

    /// The samples of a node as JSON, if it is known.
    pub(crate) fn samples(&self, node: &str) -> Option<Value> {
        self.lock().samples.get(node).map(|samples| json!(samples.columns()))
    }

    /// Looks once a second until the node stops.
    pub(crate) async fn run(self, stop: Stop) -> Result<(), Infallible> {
        let mut events = self.0.cluster.events();
        // In the middle of each second, so that none is missed if a tick is late.
        let since_second = Duration::from_millis(now_ms() % 1_000);
        let mut ticks = interval_at(Instant::now() + SECOND * 3 / 2 - since_second, SECOND);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Skip);
        self.note_links(&mut events);
        self.look().await;
        loop {
            tokio::select! {
                () = stop.cancelled() => break,
                () = self.0.draining.cancelled() => break,
                () = self.0.watched.notified() => {}
                _ = ticks.tick() => {}
            }
            self.note_links(&mut events);
            self.look().await;
        }
        // Fails if nobody watches, which is fine.
        drop(self.0.updates.send(Update::End));
        stop.cancelled().await;
        Ok(())
    }

    /// Notes which links have gone up and down.
    fn note_links(&self, events: &mut broadcast::Receiver<NodeEvent>) {
        let now_ms = now_ms();
        let mut seen = self.lock();
        for node in self.0.cluster.nodes() {
            seen.find_link(now_ms, &node.name, node.up);
        }
        loop {
            match events.try_recv() {
                Ok(event) => seen.note_link(now_ms, event),
                Err(TryRecvError::Lagged(_)) => {}
                Err(TryRecvError::Empty | TryRecvError::Closed) => return,
            }
        }
    }

    async fn look(&self) {
        let cluster = &self.0.cluster;
        let tree = tree(cluster, cluster.node_name()).await;
        let families = self.0.registry.collect();
        let is_watched = self.0.updates.receiver_count() > 0;
        let answers = if is_watched { self.answers().await } else { Vec::new() };
        let mut seen = self.lock();
        let rows = seen.take_samples(cluster.node_name().as_str(), &families, &answers);
        let changes = seen.update(cluster, self.0.about, tree, &families, answers);
        drop(seen);
        if is_watched {
            let delta = event("delta", &json!({ "at": now_ms(), "parts": changes, "samples": rows }));
            drop(self.0.updates.send(Update::Delta(delta)));
        }
    }

    /// What the other nodes show of themselves.
    async fn answers(&self) -> Vec<Answer> {
        let mut pending = JoinSet::new();
        for node in self.0.cluster.nodes().into_iter().filter(|node| node.up) {
            let cluster = self.0.cluster.clone();
            let since = self.lock().samples.get(node.name.as_str()).map_or(0, Samples::last_time);
            pending
                .spawn(async move { timeout(REPORT_WAIT, answer(&cluster, &node.name, since)).await.ok()? });
        }
        pending.join_all().await.into_iter().flatten().collect()
    }

    fn lock(&self) -> MutexGuard<'_, Seen> {
        self.0.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What another node shows of itself; one without a port for HTTP, or of an older release, has its tree.
async fn answer(cluster: &Cluster, node: &NodeName, since: u64) -> Option<Answer> {
    let round_trip = cluster.round_trip(node).await.ok()?;
    let report = match cluster.report(node, since).await {
        Ok(Some(report)) => serde_json::from_slice::<Option<Report>>(&report).ok()??,
        Ok(None) | Err(_) => Report::of_tree(tree(cluster, node).await?),
    };
    Some(Answer { node: node.to_string(), round_trip, report })
}

async fn tree(cluster: &Cluster, node: &NodeName) -> Option<Tree> {
    let text = cluster.tree(node, OBSERVED_CHILDREN).await.ok()??;
    serde_json::from_slice(&text).ok()
}

fn event(name: &str, data: &Value) -> Bytes {
    format!("event: {name}\ndata: {data}\n\n").into()
}
