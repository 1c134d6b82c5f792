//! Changes of a bucket, as they happen, for those who asked to hear of them.

use std::sync::Arc;
use tokio::sync::mpsc;

/// One change of one bucket.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Event {
    /// The bucket's name.
    pub bucket: Box<[u8]>,
    /// What happened there.
    pub change: Change,
}

/// What happened to a bucket.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Change {
    /// `key` has a new value.
    Set {
        /// The key.
        key: Box<[u8]>,
        /// Its new value.
        value: Box<[u8]>,
    },
    /// `key` is gone.
    Deleted {
        /// The key.
        key: Box<[u8]>,
    },
    /// No more changes will come.
    Ended(End),
}

/// Why a subscription ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    /// The bucket was dropped.
    Dropped,
    /// The bucket crashed.
    Crashed,
    /// The store was restarted by its supervisor.
    Restarted,
    /// The link to the bucket's node was lost.
    NodeDown,
}

/// The receiving end of a bucket's changes. Dropping it ends the subscription.
#[derive(Debug)]
pub struct Subscription {
    events: mpsc::Receiver<Arc<Event>>,
}

/// The sending end of a bucket's changes. It never waits: a subscriber that does not keep up is dropped.
#[derive(Debug, Clone)]
pub struct Publisher {
    events: mpsc::Sender<Arc<Event>>,
}

impl Subscription {
    /// A subscription and the publisher that feeds it.
    pub fn new() -> (Publisher, Subscription) {
        let (sender, receiver) = mpsc::channel(1024);
        (Publisher { events: sender }, Subscription { events: receiver })
    }

    /// The next change; `None` once the subscription is over. Without [`Change::Ended`] before it, `None`
    /// means that the subscriber fell behind.
    pub async fn next(&mut self) -> Option<Arc<Event>> {
        self.events.recv().await
    }
}

impl Publisher {
    /// Hands on one change. `false`: the subscriber is gone or fell behind, and is to be forgotten.
    pub fn publish(&self, event: Arc<Event>) -> bool {
        self.events.try_send(event).is_ok()
    }
}
