//! How a supervisor and its children are stopped.

use std::sync::mpsc;
use std::time::Duration;

use otp::{ChildSpec, Exit, Shutdown, State, Strategy, Supervisor};
use tokio::time::Instant;

use crate::recorder::{End, FOREVER, Recorder};

#[tokio::test(start_paused = true)]
async fn children_stop_in_reverse_order_through_all_levels() {
    let recorder = Recorder::new();
    let children = recorder.clone();
    let top = Supervisor::new("top", Strategy::OneForOne)
        .child(recorder.child("a"))
        .child(ChildSpec::supervisor("inner", move || {
            Supervisor::new("inner", Strategy::OneForOne)
                .child(children.child("b"))
                .child(children.child("c"))
        }))
        .child(recorder.child("d"))
        .start();
    recorder.expect_events(["a starts", "b starts", "c starts", "d starts"]).await;

    assert_eq!(top.stop().await, Exit::Normal);

    recorder.expect_events(["d ends", "c ends", "b ends", "a ends"]).await;
}

#[tokio::test(start_paused = true)]
async fn each_child_has_its_own_deadline_after_which_it_is_aborted() {
    let recorder = Recorder::new();
    let top = Supervisor::new("top", Strategy::OneForOne)
        .child(recorder.slow_child("a", FOREVER))
        .child(recorder.slow_child("b", FOREVER).shutdown(Shutdown::Deadline(Duration::from_secs(7))))
        .start();
    recorder.expect_events(["a starts", "b starts"]).await;
    let began = Instant::now();

    assert_eq!(top.stop().await, Exit::Normal);

    recorder.expect_events(["b ends", "a ends"]).await;
    // Tokio's clock ticks in milliseconds.
    assert_eq!(began.elapsed().as_secs(), 7 + 5);
}

#[tokio::test(start_paused = true)]
async fn a_child_to_be_killed_is_given_no_time() {
    let recorder = Recorder::new();
    let top = Supervisor::new("top", Strategy::OneForOne)
        .child(recorder.slow_child("a", FOREVER).shutdown(Shutdown::BrutalKill))
        .start();
    recorder.expect_events(["a starts"]).await;
    let began = Instant::now();

    top.stop().await;

    recorder.expect_events(["a ends"]).await;
    assert_eq!(began.elapsed(), Duration::ZERO);
}

#[tokio::test]
async fn a_child_that_never_yields_cannot_hold_up_the_rest() {
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_time().build().unwrap();
    let (free, blocked) = mpsc::channel::<()>();
    let mut blocked = Some(blocked);
    let (entered, mut inside) = tokio::sync::mpsc::channel(1);
    let recorder = Recorder::new();
    let plan = Supervisor::new("top", Strategy::OneForOne).child(recorder.child("a")).child(
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

    recorder.expect_events(["a starts", "a ends"]).await;
    drop(free);
    runtime.shutdown_background();
}

#[tokio::test(start_paused = true)]
async fn a_stop_that_arrives_during_a_restart_starts_nothing_more() {
    let recorder = Recorder::new();
    let top = Supervisor::new("top", Strategy::OneForAll)
        .child(recorder.child("a"))
        .child(recorder.slow_child("b", Duration::from_secs(1)))
        .child(recorder.child("c"))
        .start();
    recorder.expect_events(["a starts", "b starts", "c starts"]).await;
    recorder.trigger("a", End::Panic);
    recorder.expect_events(["a ends", "c ends"]).await;

    assert_eq!(top.stop().await, Exit::Normal);

    recorder.expect_events(["b ends"]).await;
}

#[tokio::test(start_paused = true)]
async fn a_child_that_crashes_while_its_siblings_are_stopped_stays_down() {
    let recorder = Recorder::new();
    let top = Supervisor::new("top", Strategy::OneForOne)
        .child(recorder.child("a"))
        .child(recorder.slow_child("b", Duration::from_secs(1)))
        .start();
    recorder.expect_events(["a starts", "b starts"]).await;
    let stopping = tokio::spawn({
        let top = top.clone();
        async move { top.stop().await }
    });
    tokio::task::yield_now().await;

    recorder.trigger("a", End::Panic);

    recorder.expect_events(["a ends", "b ends"]).await;
    assert_eq!(stopping.await.unwrap(), Exit::Normal);
}

#[tokio::test(start_paused = true)]
async fn dropping_the_last_handle_stops_the_children_in_order() {
    let recorder = Recorder::new();
    let top = Supervisor::new("top", Strategy::OneForOne)
        .child(recorder.child("a"))
        .child(recorder.child("b"))
        .start();
    let other = top.clone();
    recorder.expect_events(["a starts", "b starts"]).await;

    drop(top);
    assert_eq!(other.tree(0).children.len(), 2);
    drop(other);

    recorder.expect_events(["b ends", "a ends"]).await;
}

#[tokio::test(start_paused = true)]
async fn an_aborted_supervisor_leaves_no_child_behind() {
    let recorder = Recorder::new();
    let children = recorder.clone();
    let top = Supervisor::new("top", Strategy::OneForOne)
        .child(
            ChildSpec::supervisor("inner", move || {
                Supervisor::new("inner", Strategy::OneForOne).child(children.slow_child("a", FOREVER))
            })
            .shutdown(Shutdown::BrutalKill),
        )
        .start();
    recorder.expect_events(["a starts"]).await;

    top.stop().await;

    recorder.expect_events(["a ends"]).await;
    assert_eq!(top.tree(0).children[0].children[0].state, State::Ended);
}

#[tokio::test(start_paused = true)]
async fn many_can_wait_for_the_end() {
    let recorder = Recorder::new();
    let top = Supervisor::new("top", Strategy::OneForOne).child(recorder.child("a")).start();

    let (first, second, stopped) = tokio::join!(top.wait(), top.wait(), top.stop());

    assert_eq!([first, second, stopped], [Exit::Normal, Exit::Normal, Exit::Normal]);
    assert_eq!(top.wait().await, Exit::Normal, "also afterwards");
}
