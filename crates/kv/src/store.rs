//! The only door into the data.

use crate::{Op, Publisher, Reply, Request, Subscription};
use std::{
    collections::{BTreeMap, HashMap},
    ops::ControlFlow,
    sync::Mutex,
};

type Map = HashMap<Vec<u8>, (BTreeMap<Vec<u8>, Vec<u8>>, Vec<Publisher>)>;

/// All the buckets of one node.
#[derive(Debug, Default)]
pub struct Store {
    buckets: Mutex<Map>,
}

/// One bounded page of bucket names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Page {
    /// Names, in no particular order.
    pub names: Vec<Box<[u8]>>,
    /// The cursor of the next page; 0 when this one is the last.
    pub next: u64,
}

impl Store {
    /// An empty store.
    pub fn new() -> Store {
        Store::default()
    }

    /// Executes the batch in order and hands each reply to `reply`, which may break off. Returns how many
    /// requests were executed; the caller asks again for the rest.
    pub fn execute(
        &self,
        batch: &[Request<'_>],
        mut reply: impl FnMut(Reply<'_>) -> ControlFlow<()>,
    ) -> usize {
        let mut buckets = self.buckets.lock().expect("unpoisoned");
        for (index, request) in batch.iter().enumerate() {
            let answer = run(&mut buckets, request);
            if reply(answer).is_break() {
                return index + 1;
            }
        }
        batch.len()
    }

    /// One page of the names of all buckets, from `cursor` on (0: from the start).
    pub fn buckets(&self, _cursor: u64) -> Page {
        let names = self.buckets.lock().expect("unpoisoned").keys().map(|n| n.clone().into()).collect();
        Page { names, next: 0 }
    }

    /// Subscribes to the changes of a bucket; `None` when there is no such bucket.
    pub fn subscribe(&self, bucket: &[u8]) -> Option<Subscription> {
        let mut buckets = self.buckets.lock().expect("unpoisoned");
        let (publisher, subscription) = Subscription::new(bucket);
        buckets.get_mut(bucket)?.1.push(publisher);
        Some(subscription)
    }
}

fn run<'m>(map: &'m mut Map, request: &Request<'_>) -> Reply<'m> {
    let name = request.bucket;
    if let Op::Create = request.op {
        map.entry(name.to_vec()).or_default();
        return Reply::Done;
    }
    if let Op::Drop = request.op {
        return if map.remove(name).is_some() { Reply::Done } else { Reply::NoBucket };
    }
    if let Op::Crash = request.op {
        return if map.remove(name).is_some() { Reply::Crashed } else { Reply::NoBucket };
    }
    let Some((bucket, _)) = map.get_mut(name) else { return Reply::NoBucket };
    match request.op {
        Op::Put { key, value } => {
            bucket.insert(key.to_vec(), value.to_vec());
            Reply::Done
        }
        Op::Get { key } => bucket.get(key).map_or(Reply::NoKey, |v| Reply::Value(v)),
        Op::Delete { key } => {
            bucket.remove(key);
            Reply::Done
        }
        Op::Keys { .. } => {
            Reply::Keys { keys: bucket.keys().map(|k| serde_bytes::Bytes::new(k)).collect(), next: 0 }
        }
        Op::Create | Op::Drop | Op::Crash => Reply::Done,
    }
}
