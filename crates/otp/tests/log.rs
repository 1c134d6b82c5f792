//! What is logged. A test binary of its own, because the subscriber is global and must be there before the
//! first event.

use std::future::pending;
use std::io::{self, Write};
use std::sync::{Arc, Mutex, OnceLock};
use std::time::Duration;

use otp::{AcceptErrors, ChildSpec, Exit, Intensity, LogLimiter, Strategy, Supervisor, TaskSupervisor};
use tokio::time::{Instant, sleep};

/// The log of all tests, each of which uses supervisor names of its own.
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
    fn open() -> &'static Self {
        static LOG: OnceLock<Log> = OnceLock::new();
        LOG.get_or_init(|| {
            let log = Self::default();
            let sink = log.clone();
            tracing_subscriber::fmt()
                .with_max_level(tracing::Level::DEBUG)
                .with_ansi(false)
                .without_time()
                .with_writer(move || sink.clone())
                .init();
            log
        })
    }

    fn text(&self) -> String {
        String::from_utf8_lossy(&self.0.lock().expect("no writer panicked")).into_owned()
    }

    #[track_caller]
    fn assert_contains(&self, line: &str) {
        let text = self.text();
        assert!(text.contains(line), "not in the log: {line}\n{text}");
    }
}

#[tokio::test(start_paused = true)]
async fn starts_crashes_restarts_and_giving_up_are_logged_with_fields() {
    let log = Log::open();
    let mut starts = 0;
    let registry = ChildSpec::worker("registry", move |_stop| {
        starts += 1;
        async move { if starts == 1 { panic!("lost its table") } else { Err("found no table") } }
    });

    let once = Intensity { max_restarts: 1, ..Intensity::default() };
    Supervisor::new("kv", Strategy::OneForOne).intensity(once).child(registry).start().wait().await;

    log.assert_contains("DEBUG otp::supervisor: child started supervisor=kv child=registry");
    log.assert_contains(
        "ERROR otp::supervisor: child crashed supervisor=kv child=registry exit=panicked: lost its table",
    );
    log.assert_contains(" WARN otp::supervisor: child is restarted supervisor=kv child=registry restarts=1");
    log.assert_contains(
        "ERROR otp::supervisor: child crashed supervisor=kv child=registry exit=failed: found no table",
    );
    log.assert_contains(
        "ERROR otp::supervisor: too many restarts, giving up supervisor=kv child=registry \
         exit=failed: found no table allowed=1 restart in 5s",
    );
}

#[tokio::test(start_paused = true)]
async fn a_shutdown_past_its_deadline_is_logged() {
    let log = Log::open();
    let tasks = TaskSupervisor::new("links", 8);
    let top = Supervisor::new("cluster", Strategy::OneForOne)
        .child(ChildSpec::worker("slow", |_stop| pending::<Result<(), String>>()))
        .child(ChildSpec::tasks(tasks.clone()))
        .start();
    tasks.spawn("stubborn", |_stop| pending()).unwrap();

    assert_eq!(top.stop().await, Exit::Normal);

    log.assert_contains(
        "WARN otp::supervisor: child did not stop in time and is aborted supervisor=cluster child=slow deadline=5s",
    );
    log.assert_contains(
        "WARN otp::task_supervisor: tasks did not stop in time and are aborted supervisor=links tasks=1",
    );
}

#[tokio::test(start_paused = true)]
async fn a_crashed_task_is_logged_with_its_name_and_a_bounded_reason() {
    let log = Log::open();
    let tasks = TaskSupervisor::new("connections", 8);
    let top = Supervisor::new("server", Strategy::OneForOne).child(ChildSpec::tasks(tasks.clone())).start();

    tasks.spawn("127.0.0.1:5000", |_stop| async { panic!("{}", "é".repeat(10_000)) }).unwrap();
    top.stop().await;

    let text = log.text();
    let line = text.lines().find(|line| line.contains("task crashed")).unwrap();
    assert!(line.contains("supervisor=connections task=127.0.0.1:5000 exit=panicked: éé"), "{line}");
    assert!(line.ends_with("é…") && line.len() < 700, "{line}");
}

#[tokio::test(start_paused = true)]
async fn events_that_others_cause_are_logged_once_and_then_counted() {
    let log = Log::open();
    let refused = LogLimiter::new("clients were refused", 2);
    for _ in 0..2 {
        let logged = (0..1000).filter(|_| refused.admit()).count();
        assert_eq!(logged, 2, "each time after a quiet period");
        // One period with events, one without.
        sleep(Duration::from_secs(21)).await;
    }
    let counts =
        log.text().matches("WARN otp::overload::log_limiter: clients were refused count=998").count();
    assert_eq!(counts, 2, "{}", log.text());

    for round in 0..5 {
        let logged = (0..10).filter(|_| refused.admit()).count();
        assert_eq!(logged, if round == 0 { 2 } else { 0 });
        sleep(Duration::from_secs(10)).await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_shortage_is_logged_once_with_its_remedy_and_paused_for() {
    let log = Log::open();
    let errors = AcceptErrors::new("test clients");
    let start = Instant::now();
    for _ in 0..5 {
        errors.pause(&io::Error::from_raw_os_error(24)).await;
    }
    assert_eq!(start.elapsed(), Duration::from_millis(500));
    errors.pause(&io::ErrorKind::ConnectionAborted.into()).await;
    assert_eq!(start.elapsed(), Duration::from_millis(500), "an error of one connection");
    assert_eq!(log.text().matches("cannot accept test clients").count(), 1, "{}", log.text());
    log.assert_contains("remedy=\"raise the process's limit of open files");
}
