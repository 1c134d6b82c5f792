//! A recorder of the starts and ends of children, which end when a test triggers it.

use std::sync::Arc;
use std::time::Duration;

use otp::{ChildSpec, State, SupervisorHandle};
use tokio::sync::{broadcast, watch};
use tokio::time::{sleep, timeout};

/// How a child ends.
#[derive(Clone, Copy, Debug)]
pub(crate) enum End {
    Finish,
    Fail,
    Panic,
}

/// Longer than every deadline in these tests. Time is paused, so it passes only when nothing else can happen.
pub(crate) const FOREVER: Duration = Duration::from_secs(1_000_000);

#[derive(Clone)]
pub(crate) struct Recorder {
    events: Arc<watch::Sender<Vec<String>>>,
    ends: broadcast::Sender<(&'static str, End)>,
}

impl Recorder {
    pub(crate) fn new() -> Self {
        Self { events: Arc::new(watch::Sender::new(Vec::new())), ends: broadcast::Sender::new(16) }
    }

    /// Makes the child of this name end.
    pub(crate) fn trigger(&self, name: &'static str, end: End) {
        self.ends.send((name, end)).expect("a child is running");
    }

    /// Waits until as many events were recorded since the last call as are expected, and compares them.
    #[track_caller]
    pub(crate) fn expect_events<const N: usize>(&self, expected: [&str; N]) -> impl Future<Output = ()> {
        let caller = std::panic::Location::caller();
        async move {
            let mut events = self.events.subscribe();
            let _ = timeout(FOREVER, events.wait_for(|events| events.len() >= N)).await;
            assert_eq!(self.events.send_replace(Vec::new()), expected, "recorded at {caller}");
        }
    }

    /// Records that `name` starts, and that it ends when the returned value is dropped.
    pub(crate) fn record(&self, name: &'static str) -> Recorded {
        self.push(format!("{name} starts"));
        Recorded { recorder: self.clone(), name }
    }

    /// A child that ends as soon as it is stopped.
    pub(crate) fn child(&self, name: &'static str) -> ChildSpec {
        self.slow_child(name, Duration::ZERO)
    }

    /// A child that takes `time` to stop.
    pub(crate) fn slow_child(&self, name: &'static str, time: Duration) -> ChildSpec {
        let recorder = self.clone();
        ChildSpec::worker(name, move |stop| {
            let recorded = recorder.record(name);
            let mut ends = recorder.ends.subscribe();
            async move {
                let _recorded = recorded;
                let stopped = async {
                    stop.cancelled().await;
                    sleep(time).await;
                    Ok(())
                };
                tokio::select! {
                    result = stopped => result,
                    result = follow(&mut ends, name) => result,
                }
            }
        })
    }

    fn push(&self, event: String) {
        self.events.send_modify(|events| events.push(event));
    }
}

pub(crate) struct Recorded {
    recorder: Recorder,
    name: &'static str,
}

impl Drop for Recorded {
    fn drop(&mut self) {
        self.recorder.push(format!("{} ends", self.name));
    }
}

async fn follow(ends: &mut broadcast::Receiver<(&str, End)>, name: &str) -> Result<(), String> {
    loop {
        match ends.recv().await.expect("the recorder outlives its children") {
            (called, _) if called != name => {}
            (_, End::Finish) => return Ok(()),
            (_, End::Fail) => return Err(format!("{name} was triggered")),
            (_, End::Panic) => panic!("{name} was triggered"),
        }
    }
}

/// Waits until the tree shows that the child at `index` has ended.
pub(crate) async fn wait_until_ended(top: &SupervisorHandle, index: usize) {
    while top.tree(0).children[index].state != State::Ended {
        tokio::task::yield_now().await;
    }
}
