//! `restore` into data directories and into durable nodes, and imports that a kill interrupts.

use std::{fmt::Write, fs, hint, path::Path, process::Output, sync::Arc};
use tests::{Release, SmallDisk, TempDir, sorted_lines, spawn_verb, spin_until, text, verb, wait_until};

/// A volatile node with buckets, and with strings of every encoding.
fn filled() -> Release {
    let node = Release::alone();
    node.fill();
    let mut resp = node.resp();
    for command in ["SET sum 1", "INCRBYFLOAT sum 0.5", "SET joined 1", "APPEND joined 2"] {
        resp.ask(command);
    }
    node
}

fn back_up(node: &Release, file: &str) {
    let output = node.verb(&["backup", file]);
    assert!(output.status.success(), "{output:?}");
}

/// Checks that a node holds what `filled` does.
fn check_same(node: &Release, filled: &Release) {
    assert_eq!(sorted_lines(&node.verb(&["export"])), sorted_lines(&filled.verb(&["export"])));
    let mut resp = node.resp();
    assert_eq!(resp.ask("OBJECT ENCODING sum"), r"$6\r\nembstr\r\n");
    assert_eq!(resp.ask("OBJECT ENCODING joined"), r"$3\r\nraw\r\n");
}

/// Restores into a data directory that no node uses.
fn restore(file: &str, data_dir: &Path) -> Output {
    verb("foo", &["restore", file, "--data-dir", &data_dir.display().to_string()])
}

/// Starts foo with a data directory.
fn start(directory: &Arc<TempDir>, data_dir: &Path) -> Release {
    let (run_dir, data_dir) = (directory.path().display().to_string(), data_dir.display().to_string());
    let flags = ["--clients", "127.0.0.1:0", "--run-dir", &run_dir, "--data-dir", &data_dir];
    let node = Release::start("foo", directory, &flags);
    node.wait_until_loaded();
    node
}

#[test]
fn a_backup_is_restored_into_an_empty_data_directory() {
    let directory = Arc::new(TempDir::new());
    let file = directory.path().join("shop.kvdb").display().to_string();
    let data_dir = directory.path().join("data");
    let one = filled();
    back_up(&one, &file);
    let output = restore(&file, &data_dir);
    assert!(output.status.success(), "{output:?}");
    let lines = text(&output.stdout);
    let counts = "4 buckets with 4 entries, and 4 strings";
    let will = format!("{counts}, into {}, which no node uses, for foo@127.0.0.1\n", data_dir.display());
    assert!(lines.starts_with("restoring a backup of foo@127.0.0.1") && lines.contains(&will), "{lines}");
    assert!(lines.ends_with(&format!("restored {counts}")), "{lines}");
    let mut node = start(&directory, &data_dir);
    check_same(&node, &one);
    node.resp().ask("SET later 1");
    node.kill_and_restart();
    node.wait_until_loaded();
    assert_eq!(node.resp().ask("GET later"), r"$1\r\n1\r\n");
    node.resp().ask("DEL later");
    check_same(&node, &one);
    node.kill();
    let again = restore(&file, &data_dir);
    assert_eq!(again.status.code(), Some(1), "{again:?}");
    assert!(text(&again.stderr).contains("has ranges already, and a backup is restored into"), "{again:?}");
}

#[test]
fn what_has_no_durable_place_here_is_not_restored_into_a_directory() {
    let directory = TempDir::new();
    let file = directory.path().join("shop.kvdb").display().to_string();
    let data_dir = directory.path().join("data");
    back_up(&filled(), &file);
    let lines = "[[routes]]\nbuckets = \"s..\"\nnodes = [\"foo@127.0.0.1\"]\ndurable = false\n\
                 [[routes]]\nbuckets = \"..\"\nnodes = [\"foo@127.0.0.1\"]\n";
    let config = directory.write("foo.toml", lines).display().to_string();
    let flags = ["--config", &config, "--data-dir", &data_dir.display().to_string()];
    let output = verb("foo", &[&["restore", file.as_str()], &flags[..]].concat());
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    let why = "foo@127.0.0.1 has no durable buckets for 4 names in it, such as \"";
    assert!(text(&output.stderr).contains(why), "{output:?}");
    assert!(!fs::exists(&data_dir).expect("known"));
}

#[test]
fn a_restore_that_is_killed_leaves_nothing_that_starts() {
    let directory = Arc::new(TempDir::new());
    let file = directory.path().join("shop.kvdb").display().to_string();
    let data_dir = directory.path().join("data");
    let one = Release::alone();
    let mut resp = one.resp();
    for start in (0..100_000).step_by(1_000) {
        let pairs: String = (start..start + 1_000).map(|number| format!(" {number} {number:050}")).collect();
        resp.ask(&format!("HSET large{pairs}"));
    }
    back_up(&one, &file);
    let part = data_dir.join("ranges.part");
    for written in ["ranges.part", "ranges.part/1-1/replica", "ranges.part/1-1/snapshot-00000000000000000001"]
    {
        let words = ["restore", &file, "--data-dir", &data_dir.display().to_string()];
        wait_until("it is killed before it is through", || {
            let _ = fs::remove_dir_all(&data_dir);
            let mut verb = spawn_verb("foo", &words);
            let mut has_ended = || verb.try_wait().expect("our own child").is_some();
            while !has_ended() && !fs::exists(data_dir.join(written)).expect("known") {
                hint::spin_loop();
            }
            verb.kill().expect("our own child");
            verb.wait().expect("our own child");
            fs::exists(&part).expect("known")
        });
        let run_dir = directory.path().display().to_string();
        let started = tests::verb(
            "foo",
            &["start", "--run-dir", &run_dir, "--data-dir", &data_dir.display().to_string()],
        );
        assert!(text(&started.stderr).contains("is left of a restore that did not end"), "{started:?}");
    }
    let output = restore(&file, &data_dir);
    assert!(output.status.success(), "{output:?}");
    let node = start(&directory, &data_dir);
    assert_eq!(node.resp().ask("HLEN large"), r":100000\r\n");
}

#[test]
fn what_a_restore_has_finished_is_there_after_a_kill_and_a_power_cut() {
    let directory = TempDir::new();
    let file = directory.path().join("shop.kvdb").display().to_string();
    let one = filled();
    back_up(&one, &file);
    let Some(disk) = SmallDisk::in_file(128) else { return };
    let data_dir = disk.path().join("new/data").display().to_string();
    let mut verb = spawn_verb("foo", &["restore", &file, "--data-dir", &data_dir]);
    // It takes its place, and ends or not.
    spin_until("all of it is written", || fs::exists(disk.path().join("new/data/ranges")).expect("known"));
    verb.kill().expect("our own child");
    verb.wait().expect("our own child");
    check_same(&Release::durable_in(&disk.path().join("new")), &one);

    let disk = SmallDisk::in_file(128).expect("as before");
    let data_dir = disk.path().join("new/data");
    assert!(restore(&file, &data_dir).status.success());
    let left = disk.after_power_cut();
    check_same(&Release::durable_in(&left.path().join("new")), &one);
}

#[test]
fn a_restore_into_a_node_that_is_killed_is_not_taken_for_the_whole() {
    let directory = TempDir::new();
    let lines = directory.write("buckets.jsonl", &lines()).display().to_string();
    let file = directory.path().join("shop.kvdb").display().to_string();
    let one = Release::alone();
    assert!(one.verb(&["import", &lines]).status.success());
    back_up(&one, &file);
    let all = sorted_lines(&one.verb(&["export"]));
    let mut node = Release::durable();
    for is_node_killed in [true, false] {
        let mut restore = node.spawn_verb(&["restore", &file]);
        wait_until("it has begun", || buckets(&node) > 0);
        if is_node_killed {
            node.kill();
            let output = restore.wait_with_output().expect("our own child");
            assert_eq!(output.status.code(), Some(1), "{output:?}");
            let stderr = text(&output.stderr);
            assert!(stderr.contains("only a part was restored: empty the node (FLUSHALL)"), "{stderr}");
            node.restart();
            node.wait_until_loaded();
        } else {
            restore.kill().expect("our own child");
            restore.wait().expect("our own child");
        }
        let again = node.verb(&["restore", &file]);
        assert!(text(&again.stderr).contains("a backup is restored into an empty node"), "{again:?}");
        // The node may still have been loading what it was sent last.
        wait_until("it is restored", || {
            node.resp().ask("FLUSHALL");
            node.verb(&["restore", &file]).status.success()
        });
        assert_eq!(sorted_lines(&node.verb(&["export"])), all);
        node.resp().ask("FLUSHALL");
    }
}

#[test]
fn a_running_durable_node_is_filled_if_it_is_empty() {
    let directory = TempDir::new();
    let file = directory.path().join("shop.kvdb").display().to_string();
    let one = filled();
    back_up(&one, &file);
    let mut node = Release::durable();
    let output = node.verb(&["restore", &file]);
    assert!(output.status.success(), "{output:?}");
    assert!(text(&output.stdout).contains("into the running node foo@127.0.0.1"), "{output:?}");
    check_same(&node, &one);
    node.kill_and_restart();
    node.wait_until_loaded();
    check_same(&node, &one);
    let again = node.verb(&["restore", &file]);
    assert!(text(&again.stderr).contains("a backup is restored into an empty node"), "{again:?}");
}

#[test]
fn a_data_directory_of_another_node_is_not_restored_into() {
    let directory = TempDir::new();
    let file = directory.path().join("shop.kvdb").display().to_string();
    let (other, durable) = (filled(), Release::durable());
    back_up(&other, &file);
    let empty = Release::alone();
    let data_dir = durable.data_dir().display().to_string();
    let nowhere = directory.path().join("run").display().to_string();
    let of_empty = empty.verb(&["restore", &file, "--data-dir", &data_dir]);
    let of_none = verb("foo", &["restore", &file, "--data-dir", &data_dir, "--run-dir", &nowhere]);
    for output in [of_empty, of_none] {
        assert_eq!(output.status.code(), Some(69), "{output:?}");
        let why = format!("{data_dir} is in use by another process, and not by foo@127.0.0.1");
        assert!(text(&output.stderr).contains(&why), "{output:?}");
    }
    assert_eq!([&empty, &durable].map(|node| node.resp().ask("DBSIZE")), [":0\\r\\n", ":0\\r\\n"]);
}

/// Lines of many small buckets, and of one that crosses pages.
fn lines() -> String {
    let mut lines = String::new();
    let mut line = |line: String| writeln!(lines, "{{\"kind\":{line}}}").expect("memory takes it");
    for number in 0..SMALL {
        let bucket = format!("\"database\":0,\"name\":\"bucket{number}\"");
        line(format!("\"bucket\",{bucket}"));
        line(format!("\"entry\",{bucket},\"field\":\"a\",\"value\":\"{number:0100}\""));
    }
    let bucket = "\"database\":0,\"name\":\"large\"";
    line(format!("\"bucket\",{bucket}"));
    for number in 0..60_000 {
        line(format!("\"entry\",{bucket},\"field\":\"{number}\",\"value\":\"{number}\""));
    }
    lines
}

/// The small buckets in [`lines`].
const SMALL: usize = 4_000;

fn buckets(node: &Release) -> usize {
    number_after(&node.resp().ask("DBSIZE").replace(r"\r", " "), ":")
}

#[test]
fn an_import_that_a_kill_interrupts_loses_nothing_and_is_resumed() {
    let directory = TempDir::new();
    let lines = lines();
    let file = directory.write("buckets.jsonl", &lines).display().to_string();
    let mut sorted: Vec<&str> = lines.lines().collect();
    sorted.sort_unstable();
    let mut node = Release::durable();
    // In the small buckets, and in the large one.
    for reached in [1, SMALL + 1] {
        node.resp().ask("FLUSHALL");
        let import = node.spawn_verb(&["import", &file]);
        wait_until("it has begun", || buckets(&node) >= reached);
        node.kill();
        let output = import.wait_with_output().expect("our own child");
        assert_eq!(output.status.code(), Some(1), "{output:?}");
        let imported = number_after(text(&output.stdout), "imported ");
        let stderr = text(&output.stderr);
        assert!(stderr.contains("may lack entries: ") && stderr.contains("--replace"), "{stderr}");
        assert!(!stderr.contains("EOF while parsing"), "{stderr}");
        node.restart();
        node.wait_until_loaded();
        let kept = buckets(&node);
        assert!(kept >= imported.max(reached), "{kept} of {imported}");

        let resumed = node.verb(&["import", &file]);
        assert_eq!(number_after(text(&resumed.stdout), "imported "), SMALL + 1 - kept, "{resumed:?}");
        // The large one has all its entries, or is named.
        let is_whole = sorted_lines(&node.verb(&["export"])) == sorted;
        assert_eq!(resumed.status.code(), Some(if is_whole { 0 } else { 1 }), "{resumed:?}");
        let left = "1 name exists with other contents and was left as it is: \"large\"";
        assert_eq!(text(&resumed.stderr).starts_with(left), !is_whole, "{resumed:?}");
        let replaced = node.verb(&["import", "--replace", &file]);
        assert!(replaced.status.success(), "{replaced:?}");
        assert_eq!(sorted_lines(&node.verb(&["export"])), sorted);
    }
}

/// The number that follows `before`.
fn number_after(text: &str, before: &str) -> usize {
    let rest = text.split(before).nth(1).unwrap_or_else(|| panic!("no {before:?} in {text}"));
    rest.split(' ').next().and_then(|word| word.parse().ok()).unwrap_or_else(|| panic!("no number: {rest}"))
}
