//! How a supervisor and its children are stopped.

use std::sync::mpsc;
use std::time::Duration;

use otp::{ChildSpec, Exit, Shutdown, State, Strategy, Supervisor};
use tokio::time::Instant;

use crate::stage::{Cue, FOREVER, Stage};

#[tokio::test(start_paused = true)]
async fn children_stop_in_reverse_order_through_all_levels() {
    let stage = Stage::new();
    let actors = stage.clone();
    let top = Supervisor::new("top", Strategy::OneForOne)
        .child(stage.child("a"))
        .child(ChildSpec::supervisor("inner", move || {
            Supervisor::new("inner", Strategy::OneForOne).child(actors.child("b")).child(actors.child("c"))
        }))
        .child(stage.child("d"))
        .start();
    stage.hears(["a starts", "b starts", "c starts", "d starts"]).await;

    assert_eq!(top.stop().await, Exit::Normal);

    stage.hears(["d ends", "c ends", "b ends", "a ends"]).await;
}

#[tokio::test(start_paused = true)]
async fn each_child_has_its_own_deadline_after_which_it_is_aborted() {
    let stage = Stage::new();
    let top = Supervisor::new("top", Strategy::OneForOne)
        .child(stage.slow("a", FOREVER))
        .child(stage.slow("b", FOREVER).shutdown(Shutdown::Deadline(Duration::from_secs(7))))
        .start();
    stage.hears(["a starts", "b starts"]).await;
    let began = Instant::now();

    assert_eq!(top.stop().await, Exit::Normal);

    stage.hears(["b ends", "a ends"]).await;
    // Tokio's clock ticks in milliseconds.
    assert_eq!(began.elapsed().as_secs(), 7 + 5);
}

#[tokio::test(start_paused = true)]
async fn a_child_to_be_killed_is_given_no_time() {
    let stage = Stage::new();
    let top = Supervisor::new("top", Strategy::OneForOne)
        .child(stage.slow("a", FOREVER).shutdown(Shutdown::BrutalKill))
        .start();
    stage.hears(["a starts"]).await;
    let began = Instant::now();

    top.stop().await;

    stage.hears(["a ends"]).await;
    assert_eq!(began.elapsed(), Duration::ZERO);
}

#[tokio::test]
async fn a_child_that_never_yields_cannot_hold_up_the_rest() {
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_time().build().unwrap();
    let (free, blocked) = mpsc::channel::<()>();
    let mut blocked = Some(blocked);
    let (entered, mut inside) = tokio::sync::mpsc::channel(1);
    let stage = Stage::new();
    let plan = Supervisor::new("top", Strategy::OneForOne).child(stage.child("a")).child(
        ChildSpec::worker("blocked", move |_stop| {
            let (blocked, entered) = (blocked.take(), entered.clone());
            async move {
                let _ = entered.send(()).await;
                blocked.map_or(Ok(()), |blocked| blocked.recv())
            }
        })
        .shutdown(Shutdown::BrutalKill),
    );
    let top = runtime.spawn(async move { plan.start() }).await.unwrap();
    inside.recv().await;

    assert_eq!(top.stop().await, Exit::Normal);

    stage.hears(["a starts", "a ends"]).await;
    drop(free);
    runtime.shutdown_background();
}

#[tokio::test(start_paused = true)]
async fn a_stop_that_arrives_during_a_restart_starts_nothing_more() {
    let stage = Stage::new();
    let top = Supervisor::new("top", Strategy::OneForAll)
        .child(stage.child("a"))
        .child(stage.slow("b", Duration::from_secs(1)))
        .child(stage.child("c"))
        .start();
    stage.hears(["a starts", "b starts", "c starts"]).await;
    stage.cue("a", Cue::Panic);
    stage.hears(["a ends", "c ends"]).await;

    assert_eq!(top.stop().await, Exit::Normal);

    stage.hears(["b ends"]).await;
}

#[tokio::test(start_paused = true)]
async fn a_child_that_crashes_while_its_siblings_are_stopped_stays_down() {
    let stage = Stage::new();
    let top = Supervisor::new("top", Strategy::OneForOne)
        .child(stage.child("a"))
        .child(stage.slow("b", Duration::from_secs(1)))
        .start();
    stage.hears(["a starts", "b starts"]).await;
    let stopping = tokio::spawn({
        let top = top.clone();
        async move { top.stop().await }
    });
    tokio::task::yield_now().await;

    stage.cue("a", Cue::Panic);

    stage.hears(["a ends", "b ends"]).await;
    assert_eq!(stopping.await.unwrap(), Exit::Normal);
}

#[tokio::test(start_paused = true)]
async fn dropping_the_last_handle_stops_the_children_in_order() {
    let stage = Stage::new();
    let top =
        Supervisor::new("top", Strategy::OneForOne).child(stage.child("a")).child(stage.child("b")).start();
    let other = top.clone();
    stage.hears(["a starts", "b starts"]).await;

    drop(top);
    assert_eq!(other.tree(0).children.len(), 2);
    drop(other);

    stage.hears(["b ends", "a ends"]).await;
}

#[tokio::test(start_paused = true)]
async fn an_aborted_supervisor_leaves_no_child_behind() {
    let stage = Stage::new();
    let actors = stage.clone();
    let top = Supervisor::new("top", Strategy::OneForOne)
        .child(
            ChildSpec::supervisor("inner", move || {
                Supervisor::new("inner", Strategy::OneForOne).child(actors.slow("a", FOREVER))
            })
            .shutdown(Shutdown::BrutalKill),
        )
        .start();
    stage.hears(["a starts"]).await;

    top.stop().await;

    stage.hears(["a ends"]).await;
    assert_eq!(top.tree(0).children[0].children[0].state, State::Ended);
}

#[tokio::test(start_paused = true)]
async fn many_can_wait_for_the_end() {
    let stage = Stage::new();
    let top = Supervisor::new("top", Strategy::OneForOne).child(stage.child("a")).start();

    let (first, second, stopped) = tokio::join!(top.wait(), top.wait(), top.stop());

    assert_eq!([first, second, stopped], [Exit::Normal, Exit::Normal, Exit::Normal]);
    assert_eq!(top.wait().await, Exit::Normal, "also afterwards");
}
