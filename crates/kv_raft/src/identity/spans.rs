//! The names of a range, which get fewer when it is split, and what was split off until that has files of its
//! own.

use super::Span;
use kv::FrozenStore;
use parking_lot::{Condvar, Mutex};
use std::sync::Arc;
use tokio::{
    sync::{Notify, watch},
    task::block_in_place,
};

/// The names of a range.
#[derive(Debug)]
pub(crate) struct Spans {
    /// Those that its files name come last; others refer to those before.
    spans: boxcar::Vec<Span>,
    split: Mutex<SplitState>,
    has_changed: Condvar,
    /// Why what was split off could not get files.
    failure: watch::Sender<Option<String>>,
    /// Notified when something was split off; without it, nobody makes files of that.
    has_split: Option<Arc<Notify>>,
}

#[derive(Debug, Default)]
struct SplitState {
    /// Whether something was split off that has no files yet.
    is_pending: bool,
    /// It, until someone makes them.
    split_off: Option<SplitOff>,
    /// Whether nobody will.
    is_closed: bool,
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
    pub(crate) fn new(span: Span, has_split: Option<Arc<Notify>>) -> Spans {
        let (split, has_changed, failure) = Default::default();
        Spans { spans: boxcar::vec![span], split, has_changed, failure, has_split }
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

    /// Waits until what was split off before has files: a store has one frozen copy. `false` if it gets none
    /// in this run.
    pub(crate) fn wait_until_made(&self) -> bool {
        let mut split = self.split.lock();
        if split.is_pending && self.has_split.is_some() {
            let is_open = |split: &mut SplitState| split.is_pending && !split.is_closed;
            block_in_place(|| self.has_changed.wait_while(&mut split, is_open));
        }
        !split.is_pending
    }

    /// Keeps what was split off until it has files.
    pub(crate) fn keep(&self, split_off: SplitOff) {
        let mut split = self.split.lock();
        (split.is_pending, split.split_off) = (true, Some(split_off));
        self.has_split.iter().for_each(|has_split| has_split.notify_one());
    }

    /// Whether what was split off has no files yet.
    pub(crate) fn is_pending(&self) -> bool {
        self.split.lock().is_pending
    }

    /// Takes what was split off at this name, if that has no files yet.
    pub(crate) fn take(&self, at: &[u8]) -> Option<SplitOff> {
        self.split.lock().split_off.take_if(|split_off| *split_off.at == *at)
    }

    /// What was split off could not get files: the range is loaded again, and splits it off again.
    pub(crate) fn fail(&self, reason: String) {
        self.close();
        self.failure.send_replace(Some(reason));
    }

    /// Waits until that has happened.
    pub(crate) async fn failed(&self) -> String {
        let mut failure = self.failure.subscribe();
        let failed = failure.wait_for(Option::is_some).await;
        // It does not end before `self` does.
        failed.ok().and_then(|failed| failed.clone()).unwrap_or_default()
    }

    /// Whoever waits for files waits no longer: the run ends.
    pub(crate) fn close(&self) {
        self.split.lock().is_closed = true;
        self.has_changed.notify_all();
    }

    /// Nothing is split off that has no files, or the store begins again, and with it what it has split off.
    pub(crate) fn forget(&self) {
        *self.split.lock() = SplitState::default();
        self.failure.send_replace(None);
        self.has_changed.notify_all();
    }
}
