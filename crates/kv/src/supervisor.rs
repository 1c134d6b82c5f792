//! The supervisor `kv` of the registry, the bucket supervisor and the sweeper. Its strategy is one_for_all:
//! the registry and the bucket supervisor are useless without each other, so the crash of one restarts both,
//! while clients stay connected.

use crate::{
    bucket_supervisor::Component,
    store::{Store, expiry::sweep, keyspace::ScanFilter},
    syntax::excerpt::excerpt_text,
    time::now_ms,
};
use otp::{ChildSpec, Intensity, PassiveChildren, Stop, Strategy, Supervisor, Tree};
use std::sync::Arc;

/// The supervisor of a store.
pub fn supervisor(store: &Arc<Store>, intensity: Intensity) -> Supervisor {
    let registry = {
        let store = store.clone();
        ChildSpec::worker("registry", move |stop| {
            store.restart();
            run(store.clone(), Component::Registry, stop)
        })
    };
    let buckets = {
        let (store, listed) = (store.clone(), store.clone());
        ChildSpec::worker("bucket_supervisor", move |stop| {
            run(store.clone(), Component::BucketSupervisor, stop)
        })
        .passive_children(move |limit| passive_children(&listed, limit))
    };
    let sweeper = {
        let store = store.clone();
        ChildSpec::worker("sweeper", move |stop| sweep(store.clone(), stop))
    };
    let kv = Supervisor::new("kv", Strategy::OneForAll).intensity(intensity);
    kv.child(registry).child(buckets).child(sweeper)
}

/// Runs until a component crashes.
async fn run(store: Arc<Store>, component: Component, stop: Stop) -> Result<(), String> {
    tokio::select! {
        () = stop.cancelled() => Ok(()),
        reason = store.crash_reports.wait_for(component) => Err(reason),
    }
}

fn passive_children(store: &Store, limit: usize) -> PassiveChildren {
    let (mut shown, mut cursor) = (Vec::new(), 0);
    while shown.len() < limit {
        let page = store.scan(cursor, &ScanFilter::default(), now_ms());
        shown.extend(page.names.iter().map(|name| Tree::passive(excerpt_text(name))));
        cursor = page.next;
        if cursor == 0 {
            break;
        }
    }
    shown.truncate(limit);
    let stats = store.stats();
    PassiveChildren {
        total: stats.buckets() as usize,
        crashed: stats.crashed,
        last_crashed: store.crash_reports.last_bucket().map(|name| excerpt_text(&name).into_owned()),
        bytes: Some(stats.bytes),
        shown,
    }
}
