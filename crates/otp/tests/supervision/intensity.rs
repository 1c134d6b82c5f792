//! When a supervisor gives up.

use std::time::Duration;

use otp::{ChildSpec, Exit, Intensity, State, Strategy, Supervisor};
use tokio::time::advance;

use crate::recorder::{End, Recorder};

#[tokio::test(start_paused = true)]
async fn the_fourth_restart_within_five_seconds_is_one_too_many() {
    let recorder = Recorder::new();
    let top = Supervisor::new("top", Strategy::OneForOne)
        .child(recorder.child("a"))
        .child(recorder.child("b"))
        .start();
    recorder.expect_events(["a starts", "b starts"]).await;
    for _ in 0..3 {
        recorder.trigger("a", End::Panic);
        recorder.expect_events(["a ends", "a starts"]).await;
    }

    recorder.trigger("a", End::Panic);

    recorder.expect_events(["a ends", "b ends"]).await;
    let exit = top.wait().await;
    let Exit::Escalated { supervisor, intensity, child, last } = &exit else { panic!("{exit}") };
    assert_eq!((supervisor.as_str(), *intensity, child.as_str()), ("top", Intensity::default(), "a"));
    assert_eq!(**last, Exit::Panicked("a was triggered".to_owned()));
    assert_eq!(exit.to_string(), "gave up: top allows 3 restarts in 5s, and a panicked: a was triggered");
    assert_eq!(top.tree(0).state, State::Ended);
}

#[tokio::test(start_paused = true)]
async fn restarts_that_are_far_enough_apart_go_on_forever() {
    let recorder = Recorder::new();
    let top = Supervisor::new("top", Strategy::OneForOne).child(recorder.child("a")).start();
    recorder.expect_events(["a starts"]).await;

    for _ in 0..20 {
        recorder.trigger("a", End::Panic);
        recorder.expect_events(["a ends", "a starts"]).await;
        advance(Duration::from_secs(2)).await;
    }

    assert_eq!(top.tree(0).children[0].restarts, 20);
    assert_eq!(top.stop().await, Exit::Normal);
}

#[tokio::test(start_paused = true)]
async fn giving_up_stops_the_others_in_reverse_order() {
    let recorder = Recorder::new();
    let top = Supervisor::new("top", Strategy::OneForOne)
        .intensity(Intensity { max_restarts: 0, ..Intensity::default() })
        .child(recorder.child("a"))
        .child(recorder.child("b"))
        .child(recorder.child("c"))
        .start();
    recorder.expect_events(["a starts", "b starts", "c starts"]).await;

    recorder.trigger("b", End::Panic);

    recorder.expect_events(["b ends", "c ends", "a ends"]).await;
    assert!(matches!(top.wait().await, Exit::Escalated { .. }));
}

#[tokio::test(start_paused = true)]
async fn a_child_that_panics_at_once_each_time_ends_its_supervisor() {
    let hopeless = ChildSpec::worker("hopeless", |_stop| async {
        if true { panic!("again") } else { Ok::<(), String>(()) }
    });
    let exit = Supervisor::new("top", Strategy::OneForOne).child(hopeless).start().wait().await;
    assert!(matches!(exit, Exit::Escalated { .. }), "{exit}");
}

#[tokio::test(start_paused = true)]
async fn a_panic_on_the_way_to_the_childs_future_is_the_childs_own() {
    let broken = ChildSpec::worker("broken", |_stop| {
        let number: u32 = "no number".parse().expect("a number");
        async move { Err(number) }
    });
    let exit = Supervisor::new("top", Strategy::OneForOne).child(broken).start().wait().await;
    assert!(exit.to_string().contains("broken panicked: a number: ParseIntError"), "{exit}");
}

#[tokio::test(start_paused = true)]
async fn a_supervisor_that_cannot_be_built_crashes_like_any_child() {
    let broken = ChildSpec::supervisor("broken", || panic!("no plan"));
    let exit = Supervisor::new("top", Strategy::OneForOne).child(broken).start().wait().await;
    assert!(exit.to_string().ends_with("broken panicked: no plan"), "{exit}");
}

#[tokio::test(start_paused = true)]
async fn a_root_that_allows_no_restart_ends_when_an_application_under_it_ends() {
    let recorder = Recorder::new();
    let children = recorder.clone();
    let root = Supervisor::new("root", Strategy::OneForOne)
        .intensity(Intensity { max_restarts: 0, ..Intensity::default() })
        .child(ChildSpec::supervisor("kv", move || {
            Supervisor::new("kv", Strategy::OneForAll).child(children.child("registry"))
        }))
        .child(recorder.child("server"))
        .start();
    recorder.expect_events(["registry starts", "server starts"]).await;
    for _ in 0..3 {
        recorder.trigger("registry", End::Panic);
        recorder.expect_events(["registry ends", "registry starts"]).await;
    }

    recorder.trigger("registry", End::Panic);

    recorder.expect_events(["registry ends", "server ends"]).await;
    let Exit::Escalated { supervisor, child, last, .. } = root.wait().await else {
        panic!("the root keeps running")
    };
    assert_eq!((supervisor.as_str(), child.as_str()), ("root", "kv"));
    assert!(matches!(*last, Exit::Escalated { .. }));
}
