//! Children that come and go while their supervisor runs.

use otp::{DynamicChildren, Exit, Strategy, Supervisor};

use crate::recorder::{End, Recorder};

#[tokio::test(start_paused = true)]
async fn children_are_added_restarted_and_removed_at_run_time_and_the_others_go_on() {
    let recorder = Recorder::new();
    let children = DynamicChildren::default();
    children.add(recorder.child("b"));
    let top = Supervisor::new("top", Strategy::OneForOne)
        .child(recorder.child("a"))
        .dynamic_children(children.clone())
        .start();
    recorder.expect_events(["a starts", "b starts"]).await;
    children.add(recorder.child("a"));
    children.add(recorder.child("c"));
    recorder.expect_events(["c starts"]).await;
    recorder.trigger("c", End::Panic);
    recorder.expect_events(["c ends", "c starts"]).await;

    children.remove("nobody");
    children.remove("b");
    recorder.expect_events(["b ends"]).await;
    recorder.trigger("c", End::Fail);
    recorder.expect_events(["c ends", "c starts"]).await;
    assert_eq!(top.tree(0).to_string(), "top (one_for_one)\n├── a\n└── c (2 restarts)");

    children.add(recorder.child("b"));
    recorder.expect_events(["b starts"]).await;
    assert_eq!(top.stop().await, Exit::Normal);
    recorder.expect_events(["b ends", "c ends", "a ends"]).await;
}
