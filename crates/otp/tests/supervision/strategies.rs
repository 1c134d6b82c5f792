//! Which children are restarted with the one that ended.

use std::time::Duration;

use otp::{Exit, Intensity, Restart, Strategy, Supervisor};

use crate::stage::{Cue, Stage};

#[tokio::test(start_paused = true)]
async fn one_for_one_restarts_only_the_child_that_crashed() {
    let stage = Stage::new();
    let top =
        Supervisor::new("top", Strategy::OneForOne).child(stage.child("a")).child(stage.child("b")).start();
    stage.hears(["a starts", "b starts"]).await;

    stage.cue("a", Cue::Panic);

    stage.hears(["a ends", "a starts"]).await;
    assert_eq!(top.stop().await, Exit::Normal);
    stage.hears(["b ends", "a ends"]).await;
}

#[tokio::test(start_paused = true)]
async fn one_for_all_stops_the_others_in_reverse_and_starts_all_in_order() {
    let stage = Stage::new();
    let _top = Supervisor::new("top", Strategy::OneForAll)
        .child(stage.child("a"))
        .child(stage.child("b"))
        .child(stage.child("c"))
        .start();
    stage.hears(["a starts", "b starts", "c starts"]).await;

    stage.cue("b", Cue::Fail);

    stage.hears(["b ends", "c ends", "a ends", "a starts", "b starts", "c starts"]).await;
}

#[tokio::test(start_paused = true)]
async fn rest_for_one_restarts_the_child_and_those_started_after_it() {
    let stage = Stage::new();
    let _top = Supervisor::new("top", Strategy::RestForOne)
        .child(stage.child("a"))
        .child(stage.child("b"))
        .child(stage.child("c"))
        .start();
    stage.hears(["a starts", "b starts", "c starts"]).await;

    stage.cue("b", Cue::Panic);

    stage.hears(["b ends", "c ends", "b starts", "c starts"]).await;
}

#[tokio::test(start_paused = true)]
async fn a_group_restart_stops_temporary_children_for_good_and_starts_finished_transient_ones() {
    let stage = Stage::new();
    let _top = Supervisor::new("top", Strategy::OneForAll)
        .child(stage.child("a"))
        .child(stage.child("temporary").restart(Restart::Temporary))
        .child(stage.child("transient").restart(Restart::Transient))
        .start();
    stage.hears(["a starts", "temporary starts", "transient starts"]).await;
    stage.cue("transient", Cue::Finish);
    stage.hears(["transient ends"]).await;

    stage.cue("a", Cue::Panic);

    stage.hears(["a ends", "temporary ends", "a starts", "transient starts"]).await;
}

#[tokio::test(start_paused = true)]
async fn siblings_that_crash_together_are_one_restart() {
    let stage = Stage::new();
    let once = Intensity { max_restarts: 1, ..Intensity::default() };
    let top = Supervisor::new("top", Strategy::OneForAll)
        .intensity(once)
        .child(stage.child("a"))
        .child(stage.child("b"))
        .start();
    stage.hears(["a starts", "b starts"]).await;

    stage.cue("a", Cue::Panic);
    stage.cue("b", Cue::Panic);

    stage.hears(["a ends", "b ends", "a starts", "b starts"]).await;
    assert_eq!(top.stop().await, Exit::Normal);
}

#[tokio::test(start_paused = true)]
async fn an_earlier_sibling_that_crashes_while_later_ones_are_stopped_is_restarted_afterwards() {
    let stage = Stage::new();
    let _top = Supervisor::new("top", Strategy::RestForOne)
        .child(stage.child("a"))
        .child(stage.child("b"))
        .child(stage.slow("c", Duration::from_secs(1)))
        .start();
    stage.hears(["a starts", "b starts", "c starts"]).await;

    stage.cue("b", Cue::Panic);
    stage.hears(["b ends"]).await;
    stage.cue("a", Cue::Panic);

    stage.hears(["a ends", "c ends", "b starts", "c starts"]).await;
    stage.hears(["c ends", "b ends", "a starts", "b starts", "c starts"]).await;
}
