//! When a child is started again.

use otp::{ChildSpec, Exit, Restart, State, Stop, Strategy, Supervisor};
use tokio::sync::mpsc;

use crate::stage::{Cue, Stage, has_ended};

/// Starts a child, tells it how to end, and says whether it was started again.
async fn is_restarted(restart: Restart, cue: Cue) -> bool {
    let stage = Stage::new();
    let top = Supervisor::new("top", Strategy::OneForOne)
        .child(stage.child("a").restart(restart))
        .child(stage.child("afterwards").restart(Restart::Temporary))
        .start();
    stage.cue("a", cue);
    // Ends are dealt with in their order.
    stage.cue("afterwards", Cue::Finish);
    has_ended(&top, 1).await;

    let a = &top.tree(0).children[0];
    assert_eq!(a.state == State::Running, a.restarts == 1);
    assert_eq!(top.stop().await, Exit::Normal, "the supervisor lives on either way");
    a.restarts == 1
}

#[tokio::test(start_paused = true)]
async fn a_permanent_child_is_always_restarted() {
    for cue in [Cue::Finish, Cue::Fail, Cue::Panic] {
        assert!(is_restarted(Restart::Permanent, cue).await, "{cue:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_transient_child_is_restarted_unless_it_ended_normally() {
    assert!(is_restarted(Restart::Transient, Cue::Fail).await);
    assert!(is_restarted(Restart::Transient, Cue::Panic).await);
    assert!(!is_restarted(Restart::Transient, Cue::Finish).await);
}

#[tokio::test(start_paused = true)]
async fn a_temporary_child_is_never_restarted() {
    for cue in [Cue::Finish, Cue::Fail, Cue::Panic] {
        assert!(!is_restarted(Restart::Temporary, cue).await, "{cue:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_nested_supervisor_that_gave_up_is_built_afresh() {
    let stage = Stage::new();
    let actors = stage.clone();
    let top = Supervisor::new("top", Strategy::OneForOne)
        .child(ChildSpec::supervisor("inner", move || {
            Supervisor::new("inner", Strategy::OneForOne).child(actors.child("a"))
        }))
        .start();
    stage.hears(["a starts"]).await;

    for _ in 0..4 {
        stage.cue("a", Cue::Panic);
        stage.hears(["a ends", "a starts"]).await;
    }

    let inner = &top.tree(0).children[0];
    assert_eq!((inner.restarts, inner.state), (1, State::Running));
    assert_eq!(inner.children[0].restarts, 0, "the child is a new one");
}

#[tokio::test(start_paused = true)]
async fn the_stop_of_a_crashed_child_is_cancelled_so_that_its_helpers_end_too() {
    let (given, mut stops) = mpsc::channel::<Stop>(8);
    let crash = Stop::new();
    let crashed = crash.clone();
    let _top = Supervisor::new("top", Strategy::OneForOne)
        .child(ChildSpec::worker("a", move |stop| {
            given.try_send(stop).expect("room for all");
            let crash = crashed.clone();
            async move {
                crash.cancelled().await;
                Err("crashed")
            }
        }))
        .start();
    let first = stops.recv().await.expect("started");
    assert!(!first.is_cancelled());

    crash.cancel();

    first.cancelled().await;
}
