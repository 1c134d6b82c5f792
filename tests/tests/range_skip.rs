//! A range whose log crashes it stops, says where, and goes on when that entry is left out.

use std::{path::Path, sync::Arc};
use tests::{Release, TempDir, copy_directory, text};

/// Data with three writes, the second of which crashes the store. A test of kv_raft writes them.
const DATA: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/fixtures/crash");

fn stop(node: &mut Release) {
    assert!(node.verb(&["stop"]).status.success());
    assert!(node.wait().success());
}

#[test]
fn an_entry_that_crashes_its_range_is_named_and_left_out_by_hand() {
    let directory = Arc::new(TempDir::new());
    let data_dir = directory.path().join("data");
    copy_directory(Path::new(DATA), &data_dir);
    let [run_dir, data_dir] = [directory.path(), &data_dir].map(|path| path.display().to_string());
    let flags = ["--clients", "127.0.0.1:0", "--run-dir", &run_dir, "--data-dir", &data_dir];
    let mut node = Release::start("foo", &directory, &flags);
    let stopped = ["the range has stopped", "crashes it, at bucket"];
    node.wait_for_log(&stopped);
    let error = node.resp().ask("GET before");
    let (_, reason) = error.split_once("range .. has stopped: entry ").expect("the reason");
    let (index, _) = reason.split_once(' ').expect("an index");
    let way_out = format!(r#"`range skip \"..\" {index}`"#);
    assert!(error.contains(&way_out), "{error}");
    assert!(node.rpc("tree").contains(&format!("..: stopped: entry {index} ")), "{}", node.rpc("tree"));
    let skip = ["range", "skip", "..", index];
    let refused = node.verb(&[&skip[..], &["--yes"]].concat());
    assert!(text(&refused.stderr).contains("is in use by another process (pid "), "{refused:?}");
    assert!(!refused.status.success());
    stop(&mut node);

    let asked = node.verb_with_input(&skip, b"n\n");
    assert!(text(&asked.stdout).contains("  CRASH list\n"), "{asked:?}");
    assert!(
        text(&asked.stdout).contains("These writes were acknowledged, and are lost for good"),
        "{asked:?}"
    );
    assert!(text(&asked.stderr).contains("nothing was changed"), "{asked:?}");
    assert!(!asked.status.success());
    node.restart();
    node.wait_for_log(&stopped);
    stop(&mut node);

    assert!(node.verb_with_input(&skip, b"y\n").status.success());
    let again = node.verb_with_input(&skip, b"y\n");
    assert!(text(&again.stderr).contains("range .. is left out already: start the node"), "{again:?}");
    for _ in 0..2 {
        node.restart();
        node.wait_until_loaded();
        let found = node.resp().ask("MGET before after list");
        assert_eq!(found, "*3\\r\\n$1\\r\\n1\\r\\n$1\\r\\n2\\r\\n$1\\r\\n1\\r\\n");
        assert_eq!(node.resp().ask("SET new 1"), "+OK\\r\\n");
        node.kill();
    }
}
