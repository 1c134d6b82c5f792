//! Tasks that are started at run time.

use std::time::Duration;

use otp::{ChildSpec, Error, Exit, Intensity, Strategy, Supervisor, SupervisorHandle, TaskSupervisor};
use tokio::time::Instant;

use crate::recorder::{End, FOREVER, Recorder};

fn supervised(tasks: &TaskSupervisor) -> SupervisorHandle {
    Supervisor::new("top", Strategy::OneForOne).child(ChildSpec::tasks(tasks.clone())).start()
}

/// Waits until `count` tasks run.
async fn wait_for_count(tasks: &TaskSupervisor, count: usize) {
    while tasks.count() != count {
        tokio::task::yield_now().await;
    }
}

#[tokio::test(start_paused = true)]
async fn no_more_tasks_run_than_allowed_and_an_ended_task_makes_room() {
    let tasks = TaskSupervisor::new("connections", 2);
    let _top = supervised(&tasks);
    let release = otp::Stop::new();
    for task in 0..2 {
        let release = release.clone();
        tasks.spawn(task, |_stop| async move { release.cancelled().await }).unwrap();
    }

    let refused = tasks.spawn("third", |_stop| async {}).unwrap_err();
    assert_eq!(refused, Error::AtCapacity { tasks: "connections".to_owned(), max: 2 });

    release.cancel();
    wait_for_count(&tasks, 0).await;
    tasks.spawn("third", |_stop| async {}).unwrap();
}

#[tokio::test(start_paused = true)]
async fn tasks_start_only_while_a_supervisor_runs_them() {
    let tasks = TaskSupervisor::new("connections", 2);
    let not_running = Err(Error::NotRunning { tasks: "connections".to_owned() });
    assert_eq!(tasks.spawn("early", |_stop| async {}), not_running);

    let top = supervised(&tasks);
    assert_eq!(tasks.spawn("in time", |_stop| async {}), Ok(()));

    top.stop().await;
    assert_eq!(tasks.spawn("late", |_stop| async {}), not_running);
}

#[tokio::test(start_paused = true)]
async fn a_panic_ends_one_task_and_is_counted() {
    let recorder = Recorder::new();
    let tasks = TaskSupervisor::new("connections", 8);
    let top = supervised(&tasks);
    let recorded = recorder.record("neighbour");
    tasks
        .spawn("neighbour", |stop| async move {
            let _recorded = recorded;
            stop.cancelled().await;
        })
        .unwrap();

    tasks.spawn("crasher", |_stop| async { panic!("bad packet") }).unwrap();
    wait_for_count(&tasks, 1).await;

    let row = &top.tree(0).children[0];
    assert_eq!((row.total, row.crashed, row.restarts), (1, 1, 0));
    recorder.expect_events(["neighbour starts"]).await;
    assert_eq!(top.stop().await, Exit::Normal);
    recorder.expect_events(["neighbour ends"]).await;
}

#[tokio::test(start_paused = true)]
async fn a_panic_before_the_future_exists_is_counted_too() {
    let tasks = TaskSupervisor::new("connections", 8);
    let _top = supervised(&tasks);

    tasks
        .spawn("crasher", |stop| if stop.is_cancelled() { std::future::ready(()) } else { panic!("at once") })
        .unwrap();
    wait_for_count(&tasks, 0).await;

    assert_eq!(tasks.crashed(), 1);
}

#[tokio::test(start_paused = true)]
async fn tasks_get_their_stop_then_a_deadline_and_are_then_aborted() {
    let recorder = Recorder::new();
    let tasks = TaskSupervisor::new("connections", 8);
    let top = supervised(&tasks);
    for (name, time) in [("polite", Duration::from_secs(1)), ("stubborn", FOREVER)] {
        let recorded = recorder.record(name);
        tasks
            .spawn(name, move |stop| async move {
                let _recorded = recorded;
                stop.cancelled().await;
                tokio::time::sleep(time).await;
            })
            .unwrap();
    }
    recorder.expect_events(["polite starts", "stubborn starts"]).await;
    let began = Instant::now();

    assert_eq!(top.stop().await, Exit::Normal);

    recorder.expect_events(["polite ends", "stubborn ends"]).await;
    assert_eq!(began.elapsed().as_secs(), 5);
}

#[tokio::test(start_paused = true)]
async fn stopping_takes_no_longer_than_the_slowest_task_and_starts_no_other() {
    let tasks = TaskSupervisor::new("connections", 8);
    let top = supervised(&tasks);
    let latecomers = tasks.clone();
    tasks
        .spawn("slow", |stop| async move {
            stop.cancelled().await;
            let late = latecomers.spawn("late", |_stop| async {});
            assert_eq!(late, Err(Error::NotRunning { tasks: "connections".to_owned() }));
            tokio::time::sleep(Duration::from_secs(1)).await;
        })
        .unwrap();
    let began = Instant::now();

    top.stop().await;

    assert_eq!(began.elapsed().as_secs(), 1);
    assert_eq!(tasks.crashed(), 0);
}

#[tokio::test(start_paused = true)]
async fn tasks_stop_with_their_group_and_new_ones_run_after_its_restart() {
    let recorder = Recorder::new();
    let tasks = TaskSupervisor::new("connections", 8);
    let _top = Supervisor::new("top", Strategy::OneForAll)
        .child(ChildSpec::tasks(tasks.clone()))
        .child(recorder.child("a"))
        .start();
    let recorded = recorder.record("task");
    tasks
        .spawn("task", |stop| async move {
            let _recorded = recorded;
            stop.cancelled().await;
        })
        .unwrap();
    recorder.expect_events(["a starts", "task starts"]).await;

    recorder.trigger("a", End::Panic);

    recorder.expect_events(["a ends", "task ends", "a starts"]).await;
    tasks.spawn("new", |stop| async move { stop.cancelled().await }).unwrap();
    assert_eq!(tasks.count(), 1);
}

#[tokio::test(start_paused = true)]
async fn crashing_tasks_use_up_no_restarts() {
    let tasks = TaskSupervisor::new("connections", 100);
    let top = Supervisor::new("top", Strategy::OneForOne)
        .intensity(Intensity { max_restarts: 0, ..Intensity::default() })
        .child(ChildSpec::tasks(tasks.clone()))
        .start();

    for task in 0..100 {
        tasks.spawn(task, |_stop| async { panic!("again") }).unwrap();
    }
    wait_for_count(&tasks, 0).await;

    assert_eq!(tasks.crashed(), 100);
    assert_eq!(top.stop().await, Exit::Normal);
}

#[test]
fn tasks_that_outlive_the_runtime_release_their_slots() {
    let tasks = TaskSupervisor::new("connections", 8);
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let inside = runtime.enter();
    let top = supervised(&tasks);
    tasks.spawn("never polled", |_stop| async {}).unwrap();

    let spawner = tasks.clone();
    drop(inside);
    drop(runtime);

    assert_eq!(spawner.count(), 0);
    drop(top);
}

#[tokio::test(start_paused = true)]
async fn a_supervised_future_runs_where_it_is_polled_and_ends_when_it_is_dropped() {
    let tasks = TaskSupervisor::new("connections", 2);
    assert!(tasks.supervise_future("early", |_stop| async {}).is_err(), "no supervisor runs it");
    let _top = supervised(&tasks);

    let waiting = tasks.supervise_future("waiting", |stop| async move { stop.cancelled().await }).unwrap();
    let crashing = tasks.supervise_future("crashing", |_stop| async { panic!("at once") }).unwrap();
    assert!(
        tasks.supervise_future("third", |_stop| async {}).is_err(),
        "both are counted before they are polled"
    );

    crashing.await;
    assert_eq!((tasks.count(), tasks.crashed()), (1, 1));
    drop(waiting);
    assert_eq!((tasks.count(), tasks.crashed()), (0, 1));
}
