//! The tree as a value.

use std::time::Duration;

use otp::{
    ChildSpec, PassiveChildren, Restart, Strategy, Supervisor, SupervisorHandle, TaskSupervisor, Tree,
};

use crate::recorder::{End, Recorder, wait_until_ended};

fn umbrella(recorder: &Recorder) -> SupervisorHandle {
    let children = recorder.clone();
    let buckets = |limit: usize| PassiveChildren {
        total: 1_000_000,
        crashed: 2,
        last_crashed: Some("bucket 7".to_owned()),
        bytes: Some(12_345_678),
        shown: (0..limit).map(|number| Tree::passive(format!("bucket {number}"))).collect(),
    };
    Supervisor::new("foo", Strategy::OneForOne)
        .child(ChildSpec::supervisor("kv", move || {
            Supervisor::new("kv", Strategy::OneForAll)
                .child(children.child("registry"))
                .child(children.child("bucket_supervisor").passive_children(buckets))
        }))
        .child(recorder.child("links").restart(Restart::Temporary))
        .child(ChildSpec::tasks(TaskSupervisor::new("connections", 10)))
        .start()
}

/// The registry crashes, and `kv` restarts both of its children.
async fn restart_after_a_crash_of_the_registry(recorder: &Recorder) {
    recorder.trigger("registry", End::Panic);
    recorder
        .expect_events([
            "registry ends",
            "bucket_supervisor ends",
            "registry starts",
            "bucket_supervisor starts",
        ])
        .await;
}

#[tokio::test(start_paused = true)]
async fn the_tree_is_drawn_with_box_lines_and_bounded() {
    let recorder = Recorder::new();
    let top = umbrella(&recorder);
    recorder.expect_events(["registry starts", "bucket_supervisor starts", "links starts"]).await;
    restart_after_a_crash_of_the_registry(&recorder).await;
    recorder.trigger("links", End::Finish);
    wait_until_ended(&top, 1).await;

    let drawn = "\
foo (one_for_one)
├── kv (one_for_all)
│   ├── registry (1 restart)
│   └── bucket_supervisor (1,000,000 children, 2 crashed, 1 restart)
│       ├── bucket 0
│       ├── bucket 1
│       └── … and 999,998 more
├── links (ended)
└── connections (0 running)";
    assert_eq!(top.tree(2).to_string(), drawn);
}

#[tokio::test(start_paused = true)]
async fn drawn_in_full_it_has_times_allowed_restarts_and_memory() {
    let recorder = Recorder::new();
    let top = umbrella(&recorder);
    recorder.expect_events(["registry starts", "bucket_supervisor starts", "links starts"]).await;
    tokio::time::sleep(Duration::from_secs(180)).await;
    restart_after_a_crash_of_the_registry(&recorder).await;
    let drawn = "\
foo (one_for_one, up 3 min, restarts 0/3 in 5 s)
├── kv (one_for_all, up 3 min, restarts 1/3 in 5 s)
│   ├── registry (1 restart, up 0 s)
│   └── bucket_supervisor (1,000,000 children, 2 crashed, 1 restart, up 0 s, 12.3 MB)
├── links (up 3 min)
└── connections (0 running, up 3 min)";
    let view = top.view();
    assert_eq!(format!("{:#}", view.tree(0)), drawn);
    tokio::time::sleep(Duration::from_secs(6)).await;
    assert!(format!("{:#}", view.tree(0)).contains("kv (one_for_all, up 3 min, restarts 0/3 in 5 s)"));
    let json = serde_json::to_string(&view.tree(1)).unwrap();
    assert_eq!(serde_json::from_str::<Tree>(&json).unwrap(), view.tree(1));
}

#[tokio::test(start_paused = true)]
async fn with_nothing_shown_the_row_itself_has_the_total() {
    let top = umbrella(&Recorder::new());
    assert!(
        top.tree(0)
            .to_string()
            .contains("│   └── bucket_supervisor (1,000,000 children, 2 crashed)\n├── links")
    );
}

#[tokio::test(start_paused = true)]
async fn the_whole_tree_is_there_as_soon_as_start_returns() {
    let tree = umbrella(&Recorder::new()).tree(1);
    assert_eq!(tree.children[0].children[1].children[0], Tree::passive("bucket 0"));
}

#[tokio::test(start_paused = true)]
async fn a_list_longer_than_the_limit_is_truncated() {
    let generous = |_limit| PassiveChildren {
        total: 3,
        shown: vec![Tree::passive("x"); 3],
        ..PassiveChildren::default()
    };
    let top = Supervisor::new("top", Strategy::OneForOne)
        .child(Recorder::new().child("a").passive_children(generous))
        .start();
    assert_eq!(top.tree(1).children[0].children.len(), 1);
}

#[tokio::test(start_paused = true)]
async fn programs_read_the_tree_through_serde() {
    let top = umbrella(&Recorder::new());
    let json = serde_json::to_value(top.tree(1)).unwrap();
    assert_eq!(json["kind"], "supervisor");
    assert_eq!(json["children"][0]["strategy"], "one_for_all");
    let buckets = &json["children"][0]["children"][1];
    assert_eq!((&buckets["total"], &buckets["state"]), (&1_000_000.into(), &"running".into()));
    assert_eq!(buckets["children"][0]["kind"], "passive");
    assert_eq!(buckets["children"][0].get("strategy"), None);
}

#[test]
fn a_name_cannot_move_the_cursor() {
    assert_eq!(Tree::passive("a\r\n\u{1b}[2J").to_string(), "a\\r\\n\\u{1b}[2J");
}
