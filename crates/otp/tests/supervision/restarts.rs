//! When a child is restarted.

use otp::{ChildSpec, Exit, Restart, State, Stop, Strategy, Supervisor};
use tokio::sync::mpsc;

use crate::recorder::{End, Recorder, wait_until_ended};

/// Whether a child with this restart policy is restarted after it ended like this.
async fn is_restarted(restart: Restart, end: End) -> bool {
    let recorder = Recorder::new();
    let top = Supervisor::new("top", Strategy::OneForOne)
        .child(recorder.child("a").restart(restart))
        .child(recorder.child("afterwards").restart(Restart::Temporary))
        .start();
    recorder.trigger("a", end);
    // Exits are handled in order.
    recorder.trigger("afterwards", End::Finish);
    wait_until_ended(&top, 1).await;

    let a = &top.tree(0).children[0];
    assert_eq!(a.state == State::Running, a.restarts == 1);
    assert_eq!(top.stop().await, Exit::Normal, "the supervisor keeps running either way");
    a.restarts == 1
}

#[tokio::test(start_paused = true)]
async fn a_permanent_child_is_always_restarted() {
    for end in [End::Finish, End::Fail, End::Panic] {
        assert!(is_restarted(Restart::Permanent, end).await, "{end:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_transient_child_is_restarted_unless_it_ended_normally() {
    assert!(is_restarted(Restart::Transient, End::Fail).await);
    assert!(is_restarted(Restart::Transient, End::Panic).await);
    assert!(!is_restarted(Restart::Transient, End::Finish).await);
}

#[tokio::test(start_paused = true)]
async fn a_temporary_child_is_never_restarted() {
    for end in [End::Finish, End::Fail, End::Panic] {
        assert!(!is_restarted(Restart::Temporary, end).await, "{end:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_nested_supervisor_that_gave_up_is_built_again() {
    let recorder = Recorder::new();
    let children = recorder.clone();
    let top = Supervisor::new("top", Strategy::OneForOne)
        .child(ChildSpec::supervisor("inner", move || {
            Supervisor::new("inner", Strategy::OneForOne).child(children.child("a"))
        }))
        .start();
    recorder.expect_events(["a starts"]).await;

    for _ in 0..4 {
        recorder.trigger("a", End::Panic);
        recorder.expect_events(["a ends", "a starts"]).await;
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
