//! Conversations over a real socket, and what becomes of the files that dead nodes leave behind.

use super::{client, place::Place, server};
use crate::{
    boot,
    cli::Flags,
    config::{Profile, Settings, environment::Environment},
    console::Order,
    error::Error,
    release::Release,
};
use otp::SupervisorHandle;
use serde_json::{Value, json};
use std::{
    fs,
    io::{BufRead, BufReader, Write},
    os::unix::{
        fs::PermissionsExt,
        net::{UnixListener, UnixStream},
    },
    path::{Path, PathBuf},
};
use tokio::task::spawn_blocking;

/// A directory that goes with the test.
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

/// A node that answers at a socket and holds no port.
fn node_at(dir: &Path) -> (Place, boot::Running, SupervisorHandle) {
    let release = Release::new("foo", "1.2.3");
    let profile = Profile { release: "foo", takes_clients: false };
    let settings = Settings::load(profile, &Flags::default(), &Environment::default()).unwrap();
    let place = Place::new(dir, &settings.node);
    place.prepare().unwrap();
    let running = boot::alone(&release, &settings).unwrap();
    let listener = server::bind(&place).unwrap();
    let control = server::supervisor(&listener, &running.node).start();
    (place, running, control)
}

#[tokio::test]
async fn expressions_are_answered_as_text_or_as_json() {
    let scratch = Scratch::new("round-trip");
    let (place, running, _control) = node_at(&scratch.0);
    let mode = fs::metadata(place.socket()).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode, 0o600);
    spawn_blocking(move || {
        let text = |expression: &str| client::ask(&place, expression, false).unwrap();
        assert_eq!(text("create shopping"), "OK");
        assert_eq!(text("put shopping milk \"a b\""), "OK");
        assert_eq!(text("get shopping milk"), "a b");
        assert_eq!(client::ask(&place, "get shopping eggs", true).unwrap(), Value::Null);
        assert_eq!(
            client::ask(&place, "buckets", true).unwrap(),
            json!({ "names": ["shopping"], "more": false, "missing": [] })
        );
        assert!(text("tree").as_str().unwrap().contains("bucket_supervisor"));
        let refused = client::ask(&place, "get other milk", false).unwrap_err();
        assert_eq!((refused.to_string().as_str(), refused.exit_code()), ("NOT FOUND", 1));
        assert_eq!(text("stop"), "OK");
    })
    .await
    .unwrap();
    assert_eq!(*running.node.orders.borrow(), Some(Order::Stop));
}

#[tokio::test]
async fn what_is_no_request_gets_an_error_and_the_next_line_is_answered() {
    let scratch = Scratch::new("garbage");
    let (place, _running, _control) = node_at(&scratch.0);
    let replies = spawn_blocking(move || {
        let mut stream = UnixStream::connect(place.socket()).unwrap();
        stream.write_all(b"nonsense\n{\"expression\":\"node\",\"json\":true}\n").unwrap();
        BufReader::new(stream).lines().take(2).collect::<Result<Vec<_>, _>>().unwrap()
    });
    let replies = replies.await.unwrap();
    assert!(replies[0].contains("not a request"), "{replies:?}");
    assert_eq!(replies[1], r#"{"result":"foo@127.0.0.1"}"#);
}

#[test]
fn nobody_there_is_said_with_the_place_that_was_tried() {
    let scratch = Scratch::new("nobody");
    let place = Place::new(&scratch.0, "foo@127.0.0.1");
    let error = client::ask(&place, "pid", false).unwrap_err();
    assert_eq!(error.exit_code(), 69);
    assert!(error.to_string().contains(place.socket().to_str().unwrap()), "{error}");
}

#[test]
fn a_node_runs_once_and_a_dead_one_leaves_nothing_in_the_way() {
    let scratch = Scratch::new("claims");
    let place = Place::new(&scratch.0, "foo@127.0.0.1");
    place.prepare().unwrap();
    assert!(place.is_free());
    drop(UnixListener::bind(place.socket()).unwrap());
    let claim = place.claim().unwrap();
    assert!(!place.socket().exists(), "a stale socket is cleared away");
    let Error::AlreadyRunning { node, pid } = place.claim().unwrap_err() else { panic!() };
    assert_eq!((node.as_str(), pid), ("foo@127.0.0.1", Some(std::process::id())));
    assert!(!place.is_free());
    drop(claim);
    assert!(place.is_free());
    place.claim().unwrap();
}

#[test]
fn a_run_directory_that_others_can_enter_is_refused() {
    let scratch = Scratch::new("open");
    let place = Place::new(&scratch.0, "foo@127.0.0.1");
    place.prepare().unwrap();
    fs::set_permissions(&scratch.0, fs::Permissions::from_mode(0o755)).unwrap();
    let error = place.prepare().unwrap_err();
    assert_eq!(error.exit_code(), 78);
    assert!(error.to_string().ends_with(&format!("chmod 700 {}", scratch.0.display())), "{error}");
}
