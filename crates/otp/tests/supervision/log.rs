//! What the log says.

use std::io::{self, Write};
use std::sync::{Arc, Mutex};

use otp::{ChildSpec, Intensity, Strategy, Supervisor, TaskSupervisor};

use crate::stage::{Cue, FOREVER, Stage};

/// Collects the log of this thread.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl Write for Log {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().expect("no writer panicked").write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Log {
    fn listen(&self) -> tracing::subscriber::DefaultGuard {
        let log = self.clone();
        let subscriber = tracing_subscriber::fmt()
            .with_max_level(tracing::Level::DEBUG)
            .with_ansi(false)
            .without_time()
            .with_writer(move || log.clone())
            .finish();
        tracing::subscriber::set_default(subscriber)
    }

    fn text(&self) -> String {
        String::from_utf8_lossy(&self.0.lock().expect("no writer panicked")).into_owned()
    }
}

#[tokio::test(start_paused = true)]
async fn starts_crashes_restarts_and_giving_up_are_told_with_fields() {
    let (log, stage) = (Log::default(), Stage::new());
    let _listening = log.listen();
    let top = Supervisor::new("kv", Strategy::OneForOne)
        .intensity(Intensity { max_restarts: 1, ..Intensity::default() })
        .child(stage.child("registry"))
        .start();
    stage.hears(["registry starts"]).await;
    stage.cue("registry", Cue::Panic);
    stage.hears(["registry ends", "registry starts"]).await;
    stage.cue("registry", Cue::Fail);
    top.wait().await;

    for line in [
        "DEBUG otp::engine: child started supervisor=kv child=registry",
        "ERROR otp::engine: child crashed supervisor=kv child=registry exit=panicked: registry fell off the stage",
        " WARN otp::engine: child is restarted supervisor=kv child=registry restarts=1",
        "ERROR otp::engine: child crashed supervisor=kv child=registry exit=failed: registry forgot its words",
        "ERROR otp::engine: too many restarts, giving up supervisor=kv child=registry",
    ] {
        assert!(log.text().contains(line), "{line}\n{}", log.text());
    }
}

#[tokio::test(start_paused = true)]
async fn a_shutdown_past_its_deadline_is_told() {
    let (log, stage) = (Log::default(), Stage::new());
    let _listening = log.listen();
    let tasks = TaskSupervisor::new("connections", 8);
    let top = Supervisor::new("top", Strategy::OneForOne)
        .child(stage.slow("slow", FOREVER))
        .child(ChildSpec::tasks(tasks.clone()))
        .start();
    tasks.spawn("stubborn", |_stop| std::future::pending()).unwrap();

    top.stop().await;

    for line in [
        "WARN otp::engine: child did not stop in time and is aborted supervisor=top child=slow deadline=5s",
        "WARN otp::task_supervisor: tasks did not stop in time and are aborted supervisor=\"connections\" tasks=1",
    ] {
        assert!(log.text().contains(line), "{line}\n{}", log.text());
    }
}

#[tokio::test(start_paused = true)]
async fn a_crashed_task_is_told_with_its_name_and_a_bounded_reason() {
    let log = Log::default();
    let _listening = log.listen();
    let tasks = TaskSupervisor::new("connections", 8);
    let top = Supervisor::new("top", Strategy::OneForOne).child(ChildSpec::tasks(tasks.clone())).start();

    tasks.spawn("127.0.0.1:5000", |_stop| async { panic!("{}", "é".repeat(10_000)) }).unwrap();
    top.stop().await;

    let text = log.text();
    let line = text.lines().find(|line| line.contains("task crashed")).unwrap();
    assert!(line.contains("supervisor=\"connections\" task=127.0.0.1:5000 exit=panicked: éé"), "{line}");
    assert!(line.ends_with("é…") && line.len() < 700, "{line}");
}
