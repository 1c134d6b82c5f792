//! What is queued for one subscriber in all of its subscriptions together: counted, limited, and reported to
//! whoever keeps the memory of all subscribers. And the queues themselves.

use crate::limits::{BACKLOG_STEP_BYTES, QUEUED_ITEM_BYTES};
use std::{
    fmt::{self, Debug, Formatter},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::Relaxed},
    },
    task::{Context, Poll},
};
use tokio::sync::mpsc;

/// The bytes that are queued for one subscriber, and their limit.
pub struct Backlog {
    bytes: AtomicUsize,
    limit: usize,
    on_change: Box<dyn Fn(usize, usize) + Send + Sync>,
}

/// Bytes of a backlog that one item takes; dropping it gives them back.
#[derive(Debug)]
struct Held {
    backlog: Arc<Backlog>,
    bytes: usize,
}

#[derive(Debug)]
struct Queued<T> {
    item: T,
    held: Held,
}

/// The sending end of a subscription's queue. It never blocks.
#[derive(Debug)]
pub(crate) struct QueueSender<T> {
    items: mpsc::Sender<Queued<T>>,
    backlog: Arc<Backlog>,
}

/// The receiving end of a subscription's queue.
#[derive(Debug)]
pub(crate) struct QueueReceiver<T> {
    items: mpsc::Receiver<Queued<T>>,
}

/// A queue of at most `items` items, whose bytes count in `backlog`.
pub(crate) fn queue<T>(items: usize, backlog: &Arc<Backlog>) -> (QueueSender<T>, QueueReceiver<T>) {
    let (sender, receiver) = mpsc::channel(items);
    (QueueSender { items: sender, backlog: backlog.clone() }, QueueReceiver { items: receiver })
}

impl Backlog {
    /// Nothing queued, of at most `limit` bytes. `on_change` gets how many bytes were queued and how many are
    /// now, rounded, whenever that changes. It is called while locks are held: it must not publish or
    /// subscribe.
    pub fn new(limit: usize, on_change: impl Fn(usize, usize) + Send + Sync + 'static) -> Arc<Backlog> {
        Arc::new(Backlog { bytes: AtomicUsize::default(), limit, on_change: Box::new(on_change) })
    }

    #[cfg(test)]
    pub(crate) fn unlimited() -> Arc<Backlog> {
        Backlog::new(usize::MAX, |_, _| {})
    }

    /// Bytes for one more item; `None` if there is no room.
    fn hold(self: &Arc<Backlog>, item_bytes: usize) -> Option<Held> {
        let bytes = item_bytes.saturating_add(QUEUED_ITEM_BYTES);
        if self.bytes.load(Relaxed).saturating_add(bytes) > self.limit {
            return None;
        }
        let before = self.bytes.fetch_add(bytes, Relaxed);
        self.report(before, before + bytes);
        Some(Held { backlog: self.clone(), bytes })
    }

    /// The rounded changes of all threads add up to what is queued, in whatever order they are reported.
    fn report(&self, before: usize, now: usize) {
        let [before, now] = [before, now].map(|bytes| bytes - bytes % BACKLOG_STEP_BYTES);
        if before != now {
            (self.on_change)(before, now);
        }
    }
}

impl Debug for Backlog {
    fn fmt(&self, formatter: &mut Formatter<'_>) -> fmt::Result {
        let Backlog { bytes, limit, .. } = self;
        formatter.debug_struct("Backlog").field("bytes", bytes).field("limit", limit).finish_non_exhaustive()
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        let before = self.backlog.bytes.fetch_sub(self.bytes, Relaxed);
        self.backlog.report(before, before - self.bytes);
    }
}

impl<T> QueueSender<T> {
    /// Queues an item of `bytes` bytes; `false` if the receiver is gone, or the queue or the backlog is full.
    pub(crate) fn send(&self, item: T, bytes: usize) -> bool {
        let Some(held) = self.backlog.hold(bytes) else { return false };
        self.items.try_send(Queued { item, held }).is_ok()
    }

    /// Whether the receiver is gone.
    pub(crate) fn is_closed(&self) -> bool {
        self.items.is_closed()
    }
}

impl<T> QueueReceiver<T> {
    /// The next item; `None` after the last, when the sender is gone.
    pub(crate) fn poll_receive(&mut self, context: &mut Context<'_>) -> Poll<Option<T>> {
        self.items.poll_recv(context).map(|queued| {
            queued.map(|Queued { item, held }| {
                drop(held);
                item
            })
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::task::Waker;

    #[test]
    fn all_queues_of_a_backlog_share_its_limit_and_give_back_what_they_held() {
        let reported = Arc::<AtomicUsize>::default();
        let sum = reported.clone();
        let on_change = move |before: usize, now: usize| {
            sum.fetch_add(now.wrapping_sub(before), Relaxed);
        };
        let item = BACKLOG_STEP_BYTES - QUEUED_ITEM_BYTES;
        let backlog = Backlog::new(10 * BACKLOG_STEP_BYTES, on_change);
        let (one, mut received) = queue::<u8>(100, &backlog);
        let (other, unread) = queue::<u8>(100, &backlog);
        assert_eq!((0..6).filter(|_| one.send(1, item)).count(), 6);
        assert_eq!((0..6).filter(|_| other.send(2, item)).count(), 4, "together they are full");
        assert_eq!(reported.load(Relaxed), 10 * BACKLOG_STEP_BYTES);
        let mut context = Context::from_waker(Waker::noop());
        assert_eq!(received.poll_receive(&mut context), Poll::Ready(Some(1)));
        assert!(other.send(2, item) && !one.send(1, item));
        drop(unread);
        assert_eq!(reported.load(Relaxed), 5 * BACKLOG_STEP_BYTES);
        assert!(other.is_closed() && !other.send(2, item));
        drop(received);
        assert_eq!((reported.load(Relaxed), backlog.bytes.load(Relaxed)), (0, 0));
    }

    #[test]
    fn a_queue_is_limited_in_items() {
        let backlog = Backlog::unlimited();
        let (sender, _receiver) = queue::<u8>(3, &backlog);
        assert_eq!((0..10).filter(|_| sender.send(1, 0)).count(), 3);
        assert_eq!(backlog.bytes.load(Relaxed), 3 * QUEUED_ITEM_BYTES);
    }
}
