//! Requests over a real socket, and stale files of dead nodes.

use super::{
    client,
    run_dir::{RunDir, is_ending},
    server,
};
use crate::{
    config::{Flags, ReleaseProfile, Settings, layers::environment::Environment},
    console::ControlCommand,
    error::Error,
    exit_code,
    limits::KILLED_WAIT,
    node::boot::{Running, boot_standalone},
    release::Release,
};
use otp::SupervisorHandle;
use serde_json::{Value, json};
use std::{
    fs::{self, File},
    io::{BufRead, BufReader, Write},
    os::unix::{
        fs::PermissionsExt,
        net::{UnixListener, UnixStream},
    },
    path::{Path, PathBuf},
    thread,
    time::Instant,
};
use tokio::task::spawn_blocking;

/// A directory that is removed with the test.
struct Scratch(PathBuf);

impl Scratch {
    fn new(name: &str) -> Scratch {
        let dir = Environment::scratch().run_dir.join(name);
        let _ = fs::remove_dir_all(&dir);
        Scratch(dir)
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// A node with a control socket and no port.
fn node_at(dir: &Path) -> (RunDir, Running, SupervisorHandle) {
    let release = Release::new("foo", "1.2.3");
    let profile = ReleaseProfile { release: "foo", takes_clients: false };
    let settings = Settings::load(profile, &Flags::default(), &Environment::default()).unwrap();
    let run_dir = RunDir::new(dir, &settings.node.name);
    run_dir.prepare().unwrap();
    let running = boot_standalone(&release, &settings).unwrap();
    let listener = server::bind(&run_dir).unwrap();
    let control = server::supervisor(&listener, &running.node).start();
    (run_dir, running, control)
}

#[test]
fn a_full_or_broken_run_directory_is_not_worth_a_restart() {
    let scratch = Scratch::new("full");
    let run_dir = RunDir::new(&scratch.0, "foo@127.0.0.1");
    run_dir.prepare().unwrap();
    let pid_file = scratch.0.join("foo@127.0.0.1.pid");
    let refused = || run_dir.lock().err().map(|error| (error.exit_code(), error.to_string()));
    fs::create_dir(&pid_file).unwrap();
    let (code, message) = refused().unwrap();
    assert_eq!(code, exit_code::CONFIG, "{message}");
    assert!(message.contains("cannot lock foo@127.0.0.1.pid") && message.contains("--run-dir"), "{message}");
    fs::remove_dir(&pid_file).unwrap();
    std::os::unix::fs::symlink("/dev/full", &pid_file).unwrap();
    assert_eq!(refused().unwrap().0, exit_code::CONFIG);
    fs::remove_file(&pid_file).unwrap();
    run_dir.lock().unwrap();
}

#[tokio::test]
async fn expressions_are_answered_as_text_or_as_json() {
    let scratch = Scratch::new("round-trip");
    let (run_dir, running, _control) = node_at(&scratch.0);
    let mode = fs::metadata(run_dir.socket()).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode, 0o600);
    spawn_blocking(move || {
        let text = |expression: &str| client::evaluate(&run_dir, expression, false).unwrap();
        assert_eq!(text("create shopping"), "OK");
        assert_eq!(text("put shopping milk \"a b\""), "OK");
        assert_eq!(text("get shopping milk"), "a b");
        assert_eq!(client::evaluate(&run_dir, "get shopping eggs", true).unwrap(), Value::Null);
        assert_eq!(
            client::evaluate(&run_dir, "buckets", true).unwrap(),
            json!({
                "names": ["shopping"], "more": false, "next": null, "missing": [], "other_databases": 0,
            })
        );
        assert!(text("tree").as_str().unwrap().contains("bucket_supervisor"));
        let refused = client::evaluate(&run_dir, "get other milk", false).unwrap_err();
        assert_eq!((refused.to_string().as_str(), refused.exit_code()), ("NOT FOUND", 1));
        assert_eq!(text("stop"), "OK");
    })
    .await
    .unwrap();
    assert_eq!(*running.node.commands.borrow(), Some(ControlCommand::Stop));
}

#[tokio::test]
async fn an_invalid_request_gets_an_error_and_the_next_line_is_answered() {
    let scratch = Scratch::new("garbage");
    let (run_dir, _running, _control) = node_at(&scratch.0);
    let replies = spawn_blocking(move || {
        let mut stream = UnixStream::connect(run_dir.socket()).unwrap();
        stream.write_all(b"nonsense\n{\"expression\":\"node\",\"json\":true}\n").unwrap();
        BufReader::new(stream).lines().take(2).collect::<Result<Vec<_>, _>>().unwrap()
    });
    let replies = replies.await.unwrap();
    assert!(replies[0].contains("invalid request"), "{replies:?}");
    assert_eq!(replies[1], r#"{"result":"foo@127.0.0.1"}"#);
}

#[tokio::test]
async fn a_page_that_is_too_long_is_skipped_and_gets_an_error() {
    let mut input = &b"lines\nmore lines\nend"[..];
    assert_eq!(server::read_lines(&mut input, 6, 8).await.unwrap(), Some(Ok(b"lines\n".to_vec())));
    let refused = server::read_lines(&mut input, 11, 8).await.unwrap();
    assert!(matches!(&refused, Some(Err(message)) if message.contains("a line exceeds")), "{refused:?}");
    assert_eq!(input, b"end");
    for (bytes, limit) in [(4, 8), (4, 3)] {
        assert_eq!(server::read_lines(&mut &b"end"[..], bytes, limit).await.unwrap(), None, "it has gone");
    }
}

#[test]
fn a_node_that_does_not_run_is_reported_with_the_socket_that_was_tried() {
    let scratch = Scratch::new("not-running");
    let run_dir = RunDir::new(&scratch.0, "foo@127.0.0.1");
    let error = client::evaluate(&run_dir, "pid", false).unwrap_err();
    assert_eq!(error.exit_code(), 69);
    assert!(error.to_string().contains(run_dir.socket().to_str().unwrap()), "{error}");
}

#[test]
fn a_node_runs_once_and_a_dead_one_leaves_nothing_in_the_way() {
    let scratch = Scratch::new("locks");
    let run_dir = RunDir::new(&scratch.0, "foo@127.0.0.1");
    run_dir.prepare().unwrap();
    assert!(run_dir.is_free());
    drop(UnixListener::bind(run_dir.socket()).unwrap());
    let lock = run_dir.lock().unwrap();
    assert!(!run_dir.socket().exists(), "a stale socket is removed");
    let Error::AlreadyRunning { node, pid } = run_dir.lock().unwrap_err() else { panic!() };
    assert_eq!((node.as_str(), pid), ("foo@127.0.0.1", Some(std::process::id())));
    assert!(!run_dir.is_free());
    drop(lock);
    assert!(run_dir.is_free());
    run_dir.lock().unwrap();
}

#[test]
fn a_process_that_is_ending_is_waited_for_and_a_live_one_is_not() {
    let scratch = Scratch::new("ending");
    let run_dir = RunDir::new(&scratch.0, "foo@127.0.0.1");
    run_dir.prepare().unwrap();
    let live = run_dir.lock().unwrap();
    let Error::AlreadyRunning { pid, .. } = run_dir.lock_when_free().unwrap_err() else { panic!() };
    assert_eq!(pid, Some(std::process::id()));
    // The program of the first process cannot be read by all.
    assert!(!is_ending(Some(1)));
    // It has taken its pid back, and has the lock until it has ended.
    let ending = File::open(scratch.0.join("foo@127.0.0.1.pid")).unwrap();
    drop(live);
    ending.try_lock().unwrap();
    let next = thread::spawn(move || run_dir.lock_when_free().map(drop));
    let began = Instant::now();
    while began.elapsed() < 2 * KILLED_WAIT {
        assert!(!next.is_finished(), "it is not refused");
        thread::yield_now();
    }
    drop(ending);
    next.join().unwrap().unwrap();
}

#[test]
fn a_run_directory_that_others_can_enter_is_refused() {
    let scratch = Scratch::new("open");
    let run_dir = RunDir::new(&scratch.0, "foo@127.0.0.1");
    run_dir.prepare().unwrap();
    fs::set_permissions(&scratch.0, fs::Permissions::from_mode(0o755)).unwrap();
    let error = run_dir.prepare().unwrap_err();
    assert_eq!(error.exit_code(), 78);
    assert!(error.to_string().ends_with(&format!("chmod 700 {}", scratch.0.display())), "{error}");
}
