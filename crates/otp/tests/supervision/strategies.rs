//! Which children are restarted with the one that ended.

use std::time::Duration;

use otp::{Exit, Intensity, Restart, Strategy, Supervisor};

use crate::recorder::{End, Recorder};

#[tokio::test(start_paused = true)]
async fn one_for_one_restarts_only_the_child_that_crashed() {
    let recorder = Recorder::new();
    let top = Supervisor::new("top", Strategy::OneForOne)
        .child(recorder.child("a"))
        .child(recorder.child("b"))
        .start();
    recorder.expect_events(["a starts", "b starts"]).await;

    recorder.trigger("a", End::Panic);

    recorder.expect_events(["a ends", "a starts"]).await;
    assert_eq!(top.stop().await, Exit::Normal);
    recorder.expect_events(["b ends", "a ends"]).await;
}

#[tokio::test(start_paused = true)]
async fn one_for_all_stops_the_others_in_reverse_and_starts_all_in_order() {
    let recorder = Recorder::new();
    let _top = Supervisor::new("top", Strategy::OneForAll)
        .child(recorder.child("a"))
        .child(recorder.child("b"))
        .child(recorder.child("c"))
        .start();
    recorder.expect_events(["a starts", "b starts", "c starts"]).await;

    recorder.trigger("b", End::Fail);

    recorder.expect_events(["b ends", "c ends", "a ends", "a starts", "b starts", "c starts"]).await;
}

#[tokio::test(start_paused = true)]
async fn rest_for_one_restarts_the_child_and_those_started_after_it() {
    let recorder = Recorder::new();
    let _top = Supervisor::new("top", Strategy::RestForOne)
        .child(recorder.child("a"))
        .child(recorder.child("b"))
        .child(recorder.child("c"))
        .start();
    recorder.expect_events(["a starts", "b starts", "c starts"]).await;

    recorder.trigger("b", End::Panic);

    recorder.expect_events(["b ends", "c ends", "b starts", "c starts"]).await;
}

#[tokio::test(start_paused = true)]
async fn a_group_restart_stops_temporary_children_for_good_and_starts_finished_transient_ones() {
    let recorder = Recorder::new();
    let _top = Supervisor::new("top", Strategy::OneForAll)
        .child(recorder.child("a"))
        .child(recorder.child("temporary").restart(Restart::Temporary))
        .child(recorder.child("transient").restart(Restart::Transient))
        .start();
    recorder.expect_events(["a starts", "temporary starts", "transient starts"]).await;
    recorder.trigger("transient", End::Finish);
    recorder.expect_events(["transient ends"]).await;

    recorder.trigger("a", End::Panic);

    recorder.expect_events(["a ends", "temporary ends", "a starts", "transient starts"]).await;
}

#[tokio::test(start_paused = true)]
async fn siblings_that_crash_together_are_one_restart() {
    let recorder = Recorder::new();
    let once = Intensity { max_restarts: 1, ..Intensity::default() };
    let top = Supervisor::new("top", Strategy::OneForAll)
        .intensity(once)
        .child(recorder.child("a"))
        .child(recorder.child("b"))
        .start();
    recorder.expect_events(["a starts", "b starts"]).await;

    recorder.trigger("a", End::Panic);
    recorder.trigger("b", End::Panic);

    recorder.expect_events(["a ends", "b ends", "a starts", "b starts"]).await;
    assert_eq!(top.stop().await, Exit::Normal);
}

#[tokio::test(start_paused = true)]
async fn an_earlier_sibling_that_crashes_while_later_ones_are_stopped_is_restarted_afterwards() {
    let recorder = Recorder::new();
    let _top = Supervisor::new("top", Strategy::RestForOne)
        .child(recorder.child("a"))
        .child(recorder.child("b"))
        .child(recorder.slow_child("c", Duration::from_secs(1)))
        .start();
    recorder.expect_events(["a starts", "b starts", "c starts"]).await;

    recorder.trigger("b", End::Panic);
    recorder.expect_events(["b ends"]).await;
    recorder.trigger("a", End::Panic);

    recorder.expect_events(["a ends", "c ends", "b starts", "c starts"]).await;
    recorder.expect_events(["c ends", "b ends", "a starts", "b starts", "c starts"]).await;
}
