//! A stage for children: they say when they start and end, and end when they are told.

use std::sync::Arc;
use std::time::Duration;

use otp::{ChildSpec, State, SupervisorHandle};
use tokio::sync::{broadcast, watch};
use tokio::time::{sleep, timeout};

/// How a child is told to end.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Cue {
    Finish,
    Fail,
    Panic,
}

/// Longer than every deadline in these tests. Time is paused, so it passes only when nothing else can happen.
pub(crate) const FOREVER: Duration = Duration::from_secs(1_000_000);

#[derive(Clone)]
pub(crate) struct Stage {
    said: Arc<watch::Sender<Vec<String>>>,
    cues: broadcast::Sender<(&'static str, Cue)>,
}

impl Stage {
    pub(crate) fn new() -> Self {
        Self { said: Arc::new(watch::Sender::new(Vec::new())), cues: broadcast::Sender::new(16) }
    }

    /// Tells the child of this name how to end.
    pub(crate) fn cue(&self, name: &'static str, cue: Cue) {
        self.cues.send((name, cue)).expect("a child listens");
    }

    /// Waits until so many things were said since the last time, and expects them to be these.
    #[track_caller]
    pub(crate) fn hears<const N: usize>(&self, expected: [&str; N]) -> impl Future<Output = ()> {
        let caller = std::panic::Location::caller();
        async move {
            let mut said = self.said.subscribe();
            let _ = timeout(FOREVER, said.wait_for(|said| said.len() >= N)).await;
            assert_eq!(self.said.send_replace(Vec::new()), expected, "heard at {caller}");
        }
    }

    /// Says that `name` starts, and that it ends when the returned value is dropped.
    pub(crate) fn enter(&self, name: &'static str) -> Actor {
        self.say(format!("{name} starts"));
        Actor { stage: self.clone(), name }
    }

    /// A child that ends as soon as it is told to stop.
    pub(crate) fn child(&self, name: &'static str) -> ChildSpec {
        self.slow(name, Duration::ZERO)
    }

    /// A child that takes its time when it is told to stop.
    pub(crate) fn slow(&self, name: &'static str, time: Duration) -> ChildSpec {
        let stage = self.clone();
        ChildSpec::worker(name, move |stop| {
            let actor = stage.enter(name);
            let mut cues = stage.cues.subscribe();
            async move {
                let _actor = actor;
                let stopped = async {
                    stop.cancelled().await;
                    sleep(time).await;
                    Ok(())
                };
                tokio::select! {
                    result = stopped => result,
                    result = follow(&mut cues, name) => result,
                }
            }
        })
    }

    fn say(&self, words: String) {
        self.said.send_modify(|said| said.push(words));
    }
}

pub(crate) struct Actor {
    stage: Stage,
    name: &'static str,
}

impl Drop for Actor {
    fn drop(&mut self) {
        self.stage.say(format!("{} ends", self.name));
    }
}

async fn follow(cues: &mut broadcast::Receiver<(&str, Cue)>, name: &str) -> Result<(), String> {
    loop {
        match cues.recv().await.expect("the stage stands") {
            (called, _) if called != name => {}
            (_, Cue::Finish) => return Ok(()),
            (_, Cue::Fail) => return Err(format!("{name} forgot its words")),
            (_, Cue::Panic) => panic!("{name} fell off the stage"),
        }
    }
}

/// Waits until the tree shows that the child at `place` has ended.
pub(crate) async fn has_ended(top: &SupervisorHandle, place: usize) {
    while top.tree(0).children[place].state != State::Ended {
        tokio::task::yield_now().await;
    }
}
