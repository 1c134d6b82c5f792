//! The names of a range, which get fewer when it is split, and what was split off until that has files of its
//! own.

use super::Span;
use kv::FrozenStore;
use parking_lot::Mutex;
use std::sync::Arc;
use tokio::sync::{Notify, watch};

/// The names of a range.
#[derive(Debug)]
pub(crate) struct Spans {
    /// Those that its files name come last; others refer to those before.
    spans: boxcar::Vec<Span>,
    split_off: Mutex<Option<SplitOff>>,
    /// Whether what was split off has no files yet, and why it could not get them.
    is_pending: watch::Sender<(bool, Option<String>)>,
    /// Notified when something was split off.
    has_split: Arc<Notify>,
}

/// What was split off a range: how another one begins.
#[derive(Debug)]
pub(crate) struct SplitOff {
    /// Its first name.
    pub(crate) at: Box<[u8]>,
    /// Its id.
    pub(crate) range: u64,
    /// The ids of its replicas, each after that of the replica that it comes from.
    pub(crate) replicas: Vec<(u64, u64)>,
    /// The replica of the range before that led it.
    pub(crate) leader: u64,
    /// The time of the range then, in milliseconds since 1970.
    pub(crate) stamp_ms: u64,
    /// The last version of a watched bucket then.
    pub(crate) last_version: u64,
    /// Its buckets.
    pub(crate) frozen: FrozenStore,
}

impl Spans {
    /// The names that the files of a replica name.
    pub(crate) fn new(span: Span, has_split: Arc<Notify>) -> Spans {
        let (spans, split_off, is_pending) = (boxcar::vec![span], Mutex::default(), watch::Sender::default());
        Spans { spans, split_off, is_pending, has_split }
    }

    /// The names that there are.
    pub(crate) fn newest(&self) -> &Span {
        self.spans.get(self.spans.count() - 1).expect("the newest")
    }

    /// The same as errors call them.
    pub(crate) fn text(&self) -> Arc<str> {
        (&*self.newest().text).into()
    }

    /// What was split off has files, and the range has these names alone.
    pub(crate) fn shrink(&self, span: Span) {
        self.spans.push(span);
        self.forget();
    }

    /// Keeps what was split off until it has files.
    pub(crate) fn keep(&self, split_off: SplitOff) {
        *self.split_off.lock() = Some(split_off);
        self.is_pending.send_replace((true, None));
        self.has_split.notify_one();
    }

    /// Whether what was split off has no files yet.
    pub(crate) fn is_pending(&self) -> bool {
        self.is_pending.borrow().0
    }

    /// Takes what was split off at this name, if that has no files yet.
    pub(crate) fn take(&self, at: &[u8]) -> Option<SplitOff> {
        self.split_off.lock().take_if(|split_off| *split_off.at == *at)
    }

    /// What was split off could not get files.
    pub(crate) fn fail(&self, reason: String) {
        self.is_pending.send_replace((true, Some(reason)));
    }

    /// Waits until that has happened.
    pub(crate) async fn failed(&self) -> String {
        let mut pending = self.is_pending.subscribe();
        let failed = pending.wait_for(|(_, failure)| failure.is_some()).await;
        // It does not end before `self` does.
        failed.ok().and_then(|failed| failed.1.clone()).unwrap_or_default()
    }

    /// The store begins again, and with it what it has split off.
    pub(crate) fn forget(&self) {
        drop(self.split_off.lock().take());
        self.is_pending.send_replace((false, None));
    }
}
