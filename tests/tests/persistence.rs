//! What a node says of what it keeps on disk, and the commands that change that, with whole releases.

use std::{
    collections::HashMap,
    fs,
    path::{Path, PathBuf},
    time::{Duration, SystemTime},
};
use tests::{EndlessLog, Pair, Release, RespClient, Signal, SmallDisk, resp, sorted_lines, text, wait_until};

/// Two rows, of which the first is volatile.
const MIXED: &str = "[[routes]]\nbuckets = \"a..m\"\nnodes = [\"foo@127.0.0.1\"]\ndurable = false\n\
                     [[routes]]\nbuckets = \"n..\"\nnodes = [\"foo@127.0.0.1\"]\n";

/// The fields of a section of INFO.
fn info(client: &mut RespClient, section: &str) -> HashMap<String, String> {
    let reply = client.ask(&format!("INFO {section}"));
    let fields = reply.split(r"\r\n").filter_map(|line| line.split_once(':'));
    fields.map(|(field, value)| (field.to_owned(), value.to_owned())).collect()
}

fn persistence(client: &mut RespClient) -> HashMap<String, String> {
    info(client, "persistence")
}

fn number(fields: &HashMap<String, String>, name: &str) -> u64 {
    fields[name].parse().unwrap_or_else(|_| panic!("{name}: {fields:?}"))
}

/// Writes as many mebibytes to the log.
fn grow_log(client: &mut RespClient, mebibytes: usize) {
    let value = "x".repeat(1 << 20);
    for _ in 0..mebibytes {
        client.command(&["SET", "a", &value]);
        assert_eq!(client.reply(), b"+OK\r\n");
    }
}

/// The snapshots in the first range of a data directory.
fn snapshots(data_dir: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(data_dir.join("ranges/1-1")).expect("a range");
    let paths = entries.map(|entry| entry.expect("an entry").path());
    paths.filter(|path| path.display().to_string().contains("/snapshot-")).collect()
}

#[test]
fn a_durable_node_says_so_and_what_is_saved() {
    let node = Release::durable();
    let mut client = node.resp();
    assert_eq!(client.ask("SET a 1"), "+OK\\r\\n");
    let before = persistence(&mut client);
    for (field, value) in [
        ("loading", "0"),
        ("aof_enabled", "1"),
        ("aof_last_write_status", "ok"),
        ("aof_last_bgrewrite_status", "ok"),
        ("rdb_bgsave_in_progress", "0"),
        ("rdb_last_bgsave_status", "ok"),
        ("rdb_last_bgsave_time_sec", "-1"),
        ("rdb_saves", "0"),
        ("aof_base_size", "0"),
        ("durable_ranges", "1"),
        ("stopped_ranges", "0"),
        ("volatile_rows", ""),
    ] {
        assert_eq!(before[field], value, "{field}");
    }
    assert!(number(&before, "rdb_changes_since_last_save") >= 1, "{before:?}");
    assert_eq!(client.ask("SAVE"), "+OK\\r\\n");
    let after = persistence(&mut client);
    for (field, value) in [
        ("rdb_changes_since_last_save", "0"),
        ("rdb_saves", "1"),
        ("aof_rewrites", "1"),
        ("rdb_last_bgsave_time_sec", "0"),
        ("rdb_bgsave_in_progress", "0"),
    ] {
        assert_eq!(after[field], value, "{field}");
    }
    let [snapshot] = &snapshots(&node.data_dir())[..] else { panic!("one snapshot") };
    let metadata = fs::metadata(snapshot).expect("a file");
    assert_eq!(number(&after, "aof_base_size"), metadata.len());
    assert!(number(&after, "aof_current_size") > metadata.len(), "{after:?}");
    let written = metadata.modified().expect("a time").duration_since(SystemTime::UNIX_EPOCH);
    let age = written.expect("after 1970").as_secs().abs_diff(number(&after, "rdb_last_save_time"));
    assert!(age <= 1, "{age} s between the file and {after:?}");
    assert_eq!(client.ask("LASTSAVE"), format!(":{}\\r\\n", after["rdb_last_save_time"]));
    let directory = client.ask("CONFIG GET dir");
    assert!(directory.contains(&node.data_dir().display().to_string()), "{directory}");
}

#[test]
fn what_was_saved_is_known_after_a_restart() {
    let mut node = Release::durable();
    let mut client = node.resp();
    client.ask("MSET a 1 b 2 c 3");
    assert_eq!(client.ask("SAVE"), "+OK\\r\\n");
    let saved = persistence(&mut client)["rdb_last_save_time"].clone();
    node.kill_and_restart();
    node.wait_until_loaded();
    let after = persistence(&mut node.resp());
    assert_eq!([&after["rdb_last_save_time"], &after["rdb_last_load_keys_loaded"]], [&saved, "3"]);
    node.wait_for_log(&["the durable range is loaded", "buckets=3"]);
    assert!(!node.log().contains("a new data directory was made"), "{}", node.log());
    let directory = node.data_dir().display().to_string();
    node.wait_for_log(&["the data directory is open", &directory]);
    fs::remove_file(node.data_dir().join("node")).expect("our own");
    node.kill_and_restart();
    node.wait_for_log(&["WARN", "the file `node` was missing, and is made again"]);
    let moved = node.data_dir().with_extension("elsewhere");
    node.set_data_dir(&moved);
    node.kill_and_restart();
    node.wait_for_log(&["a new data directory was made", &moved.display().to_string()]);
}

#[test]
fn snapshots_in_the_background_are_taken_one_after_the_other_and_cut_the_log() {
    let node = Release::durable();
    let mut client = node.resp();
    let value = "x".repeat(1 << 20);
    for _ in 0..40 {
        client.command(&["SET", "a", &value]);
        assert_eq!(client.reply(), b"+OK\r\n");
    }
    let pipeline: Vec<u8> =
        [&["BGSAVE"][..], &["BGSAVE"], &["BGREWRITEAOF"], &["BGSAVE", "SCHEDULE"], &["INFO", "persistence"]]
            .iter()
            .flat_map(|words| resp::command(words))
            .collect();
    client.send(pipeline);
    for expected in [
        "+Background saving started",
        "-ERR Background save already in progress",
        "-ERR Background append only file rewriting already in progress",
        "+Background saving scheduled",
    ] {
        assert_eq!(String::from_utf8(client.reply()).expect("text").trim_end(), expected);
    }
    let meanwhile = String::from_utf8(client.reply()).expect("text");
    for field in ["rdb_bgsave_in_progress:1", "aof_rewrite_in_progress:1"] {
        assert!(meanwhile.contains(field), "{meanwhile}");
    }
    wait_until("the snapshots are taken", || persistence(&mut client)["rdb_bgsave_in_progress"] == "0");
    let saves = number(&persistence(&mut client), "rdb_saves");
    assert!((1..=2).contains(&saves), "the scheduled one is the first, if that had not begun: {saves}");
    wait_until("the log is cut", || {
        let fields = persistence(&mut client);
        number(&fields, "aof_current_size") - number(&fields, "aof_base_size") < 24 << 20
    });
    node.wait_for_log(&["a snapshot was taken", "bytes="]);
}

#[test]
fn a_node_with_volatile_rows_names_them() {
    let node = Release::durable_with(MIXED);
    let mut client = node.resp();
    let fields = persistence(&mut client);
    assert_eq!([&fields["durable_ranges"], &fields["volatile_rows"]], ["1", "a..m"]);
    assert_eq!(client.ask("SET apple 1"), "+OK\\r\\n");
    assert_eq!(client.ask("WAITAOF 1 0 0"), "*2\\r\\n:0\\r\\n:0\\r\\n", "not of all that it acknowledges");
    assert_eq!(client.ask("SAVE"), "+OK\\r\\n");
    let storage = node.banner_command("storage");
    assert!(storage.starts_with("durable (") && storage.contains("volatile: a..m"), "{storage}");
    let ranges = node.rpc("ranges");
    let states: Vec<Vec<&str>> =
        ranges.lines().map(|line| line.split_whitespace().take(2).collect()).collect();
    assert_eq!(states, [["range", "state"], ["n..", "ready"], ["a..m", "volatile"]]);
    let all_volatile = MIXED.replace(
        "n..\"\nnodes = [\"foo@127.0.0.1\"]\n",
        "n..\"\nnodes = [\"foo@127.0.0.1\"]\ndurable = false\n",
    );
    let node = Release::durable_with(&all_volatile);
    assert!(node.resp().ask("SAVE").starts_with("-ERR no bucket of this node is durable"), "no row is");
    assert!(node.banner_command("storage").starts_with("volatile"), "{}", node.log());
}

#[test]
fn the_console_shows_the_ranges_of_each_node() {
    let pair = Pair::durable();
    pair.foo.resp().ask("MSET apple 1 pear 2");
    pair.foo.resp().ask("SAVE");
    for (node, range) in [(&pair.foo, "..m"), (&pair.bar, "n..")] {
        let shown = node.rpc("ranges");
        let row = shown.lines().find(|line| line.starts_with(range)).expect("its row");
        assert!(row.contains("ready") && row.ends_with("always"), "{shown}");
        let output = node.verb(&["rpc", "ranges", "--json"]);
        let rows: serde_json::Value = serde_json::from_slice(&output.stdout).expect("JSON");
        let row = &rows[0];
        assert_eq!(
            (&row["range"], &row["state"], &row["fsync"]),
            (&range.into(), &"ready".into(), &"always".into())
        );
        assert!(row["log_bytes"].as_u64().is_some_and(|bytes| bytes > 0), "{row}");
        assert_eq!(
            row["snapshot_bytes"].is_u64(),
            range == "..m",
            "SAVE is of the node that is asked: {row}"
        );
    }
    assert!(Release::alone().rpc("ranges").contains("volatile"));
}

#[test]
fn shutdown_drains_the_node() {
    let mut node = Release::durable();
    let mut client = node.resp();
    assert_eq!(client.ask("SET a 1"), "+OK\\r\\n");
    client.command(&["SHUTDOWN", "NOSAVE", "NOW"]);
    assert_eq!(client.read_until_closed(), "", "there is no reply");
    assert!(node.wait().success());
    let log = node.log();
    assert!(log.contains("draining reason=\"SHUTDOWN of a client\"") && log.contains("drained"), "{log}");
    assert_eq!(snapshots(&node.data_dir()), [] as [PathBuf; 0]);
    node.restart();
    node.wait_until_loaded();
    let mut client = node.resp();
    assert_eq!(client.ask("GET a"), "$1\\r\\n1\\r\\n");
    client.command(&["SHUTDOWN", "SAVE"]);
    assert_eq!(client.read_until_closed(), "");
    assert!(node.wait().success());
    assert_eq!(snapshots(&node.data_dir()).len(), 1);
    // By hand, on a node that cannot save.
    let mut node = Release::alone();
    let refused = node.resp().ask("SHUTDOWN SAVE");
    assert!(refused.starts_with("-ERR no bucket of this node is durable"), "{refused}");
    let mut client = node.client();
    client.send("SHUTDOWN SAVE FORCE\r\n");
    assert!(node.wait().success());
}

/// Puts a file in the place of the data directory, so that what is acknowledged is in memory alone.
fn take_data_dir(node: &Release) {
    let data_dir = node.data_dir();
    fs::rename(&data_dir, data_dir.with_extension("away")).expect("renamed");
    fs::write(&data_dir, "").expect("written");
}

#[test]
fn as_long_as_a_log_cannot_be_written_nothing_is_saved_and_the_node_does_not_end() {
    let node = Release::durable();
    let mut client = node.resp();
    assert_eq!(client.ask("WAITAOF 1 0 0"), r"*2\r\n:1\r\n:0\r\n");
    take_data_dir(&node);
    wait_until("writes are refused", || client.ask("SET a 1").starts_with("-MISCONF"));
    for command in ["SAVE", "BGSAVE", "BGSAVE", "SAVE"] {
        let refused = client.ask(command);
        assert!(refused.starts_with("-MISCONF"), "{command}: {refused}");
    }
    assert_eq!(client.ask("WAITAOF 1 0 1"), r"*2\r\n:0\r\n:0\r\n");
    for command in ["SHUTDOWN", "SHUTDOWN SAVE", "SHUTDOWN NOW"] {
        assert_eq!(client.ask(command), r"-ERR Errors trying to SHUTDOWN. Check logs.\r\n");
    }
    for verb in ["stop", "restart"] {
        let refused = node.verb(&[verb]);
        assert_eq!(refused.status.code(), Some(1), "{refused:?}");
        let why = text(&refused.stderr);
        assert!(why.starts_with("foo: the node goes on: ") && why.contains("(range ..: "), "{why}");
        assert!(why.ends_with(&format!("end it all the same with `kill {}`", node.pid())), "{why}");
    }
}

#[test]
fn a_client_may_end_a_node_whose_log_cannot_be_written_which_is_no_failure_then() {
    for option in ["NOSAVE", "FORCE"] {
        let mut node = Release::durable();
        take_data_dir(&node);
        let mut client = node.resp();
        wait_until("writes are refused", || client.ask("SET a 1").starts_with("-MISCONF"));
        client.command(&["SHUTDOWN", option]);
        assert_eq!(client.read_until_closed(), "");
        assert_eq!(node.wait().code(), Some(0), "{option}");
        let log = node.log();
        assert!(log.contains("the range ends without its log"), "{log}");
    }
}

#[test]
fn a_node_that_ends_without_its_log_fails_and_so_does_stop() {
    const LOST: &str = "foo: the node has ended, and what it had acknowledged is not all on disk: range ..: ";
    let mut node = Release::durable();
    take_data_dir(&node);
    let mut client = node.resp();
    wait_until("writes are refused", || client.ask("SET a 1").starts_with("-MISCONF"));
    node.signal(Signal::TERM);
    assert_eq!(node.wait().code(), Some(74));
    assert!(node.log().contains(LOST), "{}", node.log());
    let mut verbs = ["stop", "restart"].into_iter().peekable();
    wait_until("a log fails that had not failed before the node stops", || {
        let Some(verb) = verbs.peek() else { return true };
        let mut node = Release::durable();
        take_data_dir(&node);
        let stopped = node.verb(&[verb]);
        // If the node has noticed before, it goes on.
        let has_ended = !node.still_runs();
        assert_eq!(stopped.status.code(), Some(if has_ended { 74 } else { 1 }), "{stopped:?}");
        assert_eq!(text(&stopped.stderr).starts_with(LOST), has_ended, "{stopped:?}");
        verbs.next_if(|_| has_ended);
        false
    });
    // Of the next start nothing was lost.
    let data_dir = node.data_dir();
    fs::remove_file(&data_dir).expect("removed");
    fs::rename(data_dir.with_extension("away"), &data_dir).expect("renamed");
    node.restart();
    let stopped = node.verb(&["stop"]);
    assert!(stopped.status.success(), "{stopped:?}");
}

#[test]
fn a_node_that_loads_says_how_far_it_is() {
    let mut node = Release::durable();
    let mut client = node.resp();
    client.ask("SET a 1");
    assert_eq!(client.ask("SAVE"), "+OK\\r\\n");
    node.kill();
    let endless = EndlessLog::behind(&node.data_dir().join("ranges/1-1/log"));
    node.restart();
    let mut client = node.resp();
    let fields = persistence(&mut client);
    assert_eq!([&fields["loading"], &fields["loading_loaded_perc"]], ["1", "0.00"]);
    assert!(number(&fields, "loading_eta_seconds") > 0 && number(&fields, "loading_start_time") > 0);
    for command in ["SAVE", "BGSAVE", "GET a"] {
        assert!(client.ask(command).starts_with("-LOADING range .. is loading"), "{command}");
    }
    let ranges = node.rpc("ranges");
    assert!(ranges.contains("loading 0 %") && ranges.contains(" B, 0 s ago"), "{ranges}");
    node.wait_for_log(&["loading", "percent=0"]);
    endless.end();
    wait_until("it is loaded", || persistence(&mut client)["loading"] == "0");
    assert_eq!(client.ask("GET a"), "$1\\r\\n1\\r\\n");
    assert!(!persistence(&mut client).contains_key("loading_eta_seconds"));
}

#[test]
fn a_range_that_has_stopped_is_seen() {
    let mut node = Release::durable_with(&MIXED.replace("durable = false\n", ""));
    let mut client = node.resp();
    client.ask("SET apple 1");
    client.ask("SET pear 1");
    node.kill();
    let log = node.data_dir().join("ranges/1-1/log");
    let file = fs::read_dir(log).expect("a log").next().expect("a file").expect("an entry").path();
    let mut bytes = fs::read(&file).expect("a file");
    bytes[40] ^= 1;
    fs::write(&file, bytes).expect("our own");
    node.restart();
    let mut client = node.resp();
    wait_until("the other range is loaded", || client.ask("GET pear").starts_with('$'));
    let fields = persistence(&mut client);
    assert_eq!([&fields["stopped_ranges"], &fields["loading"]], ["1", "0"]);
    assert_eq!(fields["aof_last_write_status"], "err");
    assert!(client.ask("SAVE").starts_with("-CLUSTERDOWN range a..m has stopped"));
    assert_eq!(number(&persistence(&mut client), "rdb_saves"), 1, "the other range is saved all the same");
    let ranges = node.rpc("ranges");
    assert!(ranges.lines().any(|line| line.starts_with("a..m   stopped")), "{ranges}");
    assert!(ranges.lines().any(|line| line.starts_with("a..m: ") && line.contains("log/")), "{ranges}");
    let exported = node.verb(&["export", "pear"]);
    assert!(exported.status.success() && text(&exported.stdout).contains("pear"), "{exported:?}");
    let all = node.verb(&["export"]);
    assert_eq!(all.status.code(), Some(1), "{all:?}");
    assert!(
        text(&all.stdout).contains("pear") && text(&all.stderr).contains("exported 0 buckets with"),
        "{all:?}"
    );
    let missing = "the buckets of a range are not included: range a..m has stopped: ";
    assert!(text(&all.stderr).contains(missing), "{all:?}");
    for command in ["WAITAOF 1 0 1000", "MGET pear apple", "KEYS *", "SCAN 0", "DBSIZE", "FLUSHALL"] {
        let refused = client.ask(command);
        assert!(refused.starts_with("-CLUSTERDOWN range a..m has stopped"), "{command}: {refused}");
    }
    let json = text(&node.verb(&["rpc", "ranges", "--json"]).stdout).to_owned();
    assert!(json.contains("\"state\":\"stopped\"") || json.contains("\"state\": \"stopped\""), "{json}");
}

#[test]
fn an_old_snapshot_behind_which_much_was_written_is_logged() {
    let mut node = Release::durable();
    let mut client = node.resp();
    assert_eq!(client.ask("SAVE"), "+OK\\r\\n");
    node.kill();
    let file = fs::File::options().append(true).open(snapshots(&node.data_dir()).remove(0));
    let two_days_ago = SystemTime::now() - Duration::from_secs(2 * 86_400);
    file.and_then(|file| file.set_modified(two_days_ago)).expect("our own");
    node.restart();
    node.wait_until_loaded();
    grow_log(&mut node.resp(), 17);
    node.wait_for_log(&["the newest snapshot is old: BGSAVE takes one", "hours=48"]);
}

#[test]
fn before_a_disk_is_full_the_log_says_so_and_when_it_is_info_does() {
    let Some(disk) = SmallDisk::in_memory(32) else { return };
    let node = Release::durable_in(&disk.path());
    let mut client = node.resp();
    assert!(!node.log().contains("the disk is nearly full"), "{}", node.log());
    // An eighth of it is little, a sixteenth is the reserve.
    disk.fill(3 << 20);
    node.wait_for_log(&[
        "the disk is nearly full: writes are refused when only the reserve is left",
        "reserve=2097152",
    ]);
    assert_eq!(client.ask("SET a 1"), "+OK\\r\\n");
    assert_eq!(persistence(&mut client)["aof_last_write_status"], "ok");
    fs::write(disk.path().join("more"), vec![0; 1 << 20]).expect("there is space");
    wait_until("writes are refused", || client.ask("SET a 1").starts_with("-MISCONF"));
    assert_eq!(persistence(&mut client)["aof_last_write_status"], "err");
    for shown in [node.rpc("ranges"), node.rpc("tree")] {
        let reason = "less than 2.1 MB are free";
        assert!(shown.contains("read-only") && shown.contains(reason), "{shown}");
    }
    disk.free();
    wait_until("writes are accepted", || client.ask("SET a 1").starts_with("+OK"));
    assert_eq!(persistence(&mut client)["aof_last_write_status"], "ok");
    assert_eq!(node.log().matches("the disk is nearly full").count(), 1, "not again so soon");
}

#[test]
fn the_console_takes_a_snapshot_and_a_bucket_that_crashes_loses_nothing() {
    let node = Release::durable();
    assert_eq!(node.rpc("create shopping").trim(), "OK");
    assert_eq!(node.rpc("put shopping milk 1").trim(), "OK");
    assert!(node.rpc("snapshot").starts_with("begun; "));
    wait_until("it is on disk", || snapshots(&node.data_dir()).len() == 1);
    node.wait_for_log(&["a snapshot was taken", "range=\"..\""]);
    let crashed = node.rpc("crash shopping");
    assert_eq!(crashed.trim(), "crashed; its range is loaded again from its log, and nothing is lost");
    wait_until("it is loaded again, and nothing is lost", || {
        text(&node.verb(&["rpc", "get shopping milk"]).stdout).trim() == "1"
    });
    let storage = format!("durable, in {}", node.data_dir().display());
    assert!(node.rpc("status").contains(&storage), "{}", node.rpc("status"));
    let volatile = Release::alone();
    let refused = volatile.verb(&["rpc", "snapshot"]);
    assert!(text(&refused.stderr).contains("no bucket of this node is durable"), "{refused:?}");
}

#[test]
fn a_data_directory_can_be_moved() {
    let mut node = Release::durable();
    node.resp().ask("SET a 1");
    let moved = node.data_dir().with_extension("moved");
    assert!(node.verb(&["stop"]).status.success());
    assert!(node.wait().success());
    fs::rename(node.data_dir(), &moved).expect("our own");
    node.set_data_dir(&moved);
    node.restart();
    node.wait_until_loaded();
    assert_eq!(node.resp().ask("GET a"), "$1\\r\\n1\\r\\n");
}

#[test]
fn a_log_that_outgrows_its_range_is_cut_by_itself() {
    let node = Release::durable();
    let mut client = node.resp();
    grow_log(&mut client, 257);
    wait_until("a snapshot is taken and the log is cut", || {
        let fields = persistence(&mut client);
        fields["rdb_saves"] != "0" && number(&fields, "aof_current_size") < 64 << 20
    });
    wait_until("the files are removed", || {
        let files = fs::read_dir(node.data_dir().join("ranges/1-1/log")).expect("a log");
        let bytes = files.map(|file| file.and_then(|file| file.metadata()).map_or(0, |file| file.len()));
        bytes.sum::<u64>() < 64 << 20
    });
}

#[test]
fn logs_keep_as_much_in_memory_as_is_configured() {
    let node = Release::durable_with("[storage]\nlog_cache_bytes = \"4mb\"\n");
    let mut client = node.resp();
    grow_log(&mut client, 8);
    wait_until("the log is looked at", || {
        let fields = persistence(&mut client);
        let kept = number(&fields, "log_cache_bytes");
        assert_eq!(&fields["log_cache_limit"], "3145728");
        assert!(kept <= 3 << 20, "{kept}");
        kept > 1 << 20
    });
}

#[test]
fn a_node_that_syncs_at_intervals_says_what_that_risks() {
    let lines = |ms| format!("[storage]\nfsync = \"interval\"\nfsync_interval_ms = {ms}\n");
    let node = Release::durable_with(&lines(3_600_000));
    let mut client = node.resp();
    assert_eq!(client.ask("SET a 1"), "+OK\\r\\n");
    let fields = persistence(&mut client);
    assert_eq!([&fields["fsync"], &fields["fsync_interval_ms"]], ["interval", "3600000"]);
    assert_eq!(client.ask("CONFIG GET appendfsync"), "*2\\r\\n$11\\r\\nappendfsync\\r\\n$2\\r\\nno\\r\\n");
    wait_until("a write waits for a sync", || {
        client.ask("SET a 1");
        persistence(&mut client)["aof_pending_bio_fsync"] == "1"
    });
    for command in ["WAITAOF 1 0 20", "WAITAOF 0 0 0"] {
        assert_eq!(client.ask(command), "*2\\r\\n:0\\r\\n:0\\r\\n", "{command}");
    }
    let ranges = node.rpc("ranges");
    let risk = "a crash of the system or a loss of power loses what was acknowledged in the last 3600000 ms";
    assert!(ranges.contains("every 3600000 ms\n") && ranges.contains(risk), "{ranges}");
    let node = Release::durable_with(&lines(50));
    let mut client = node.resp();
    assert_eq!(client.ask("SET a 1"), "+OK\\r\\n");
    assert!(client.ask("CONFIG GET appendfsync").contains("everysec"));
    assert_eq!(client.ask("WAITAOF 1 0 0"), "*2\\r\\n:1\\r\\n:0\\r\\n");
    assert_eq!(persistence(&mut client)["aof_pending_bio_fsync"], "0");
}

#[test]
fn a_damaged_range_is_restored_from_a_backup() {
    let mut node = Release::durable();
    node.fill();
    let backup = node.data_dir().with_extension("kvdb").display().to_string();
    let exported = |node: &Release| sorted_lines(&node.verb(&["export"]));
    let before = exported(&node);
    assert!(node.verb(&["backup", &backup]).status.success());
    node.kill();
    let log = node.data_dir().join("ranges/1-1/log");
    let file = fs::read_dir(log).expect("a log").next().expect("a file").expect("an entry").path();
    let mut bytes = fs::read(&file).expect("a file");
    bytes[40] ^= 1;
    fs::write(&file, bytes).expect("our own");
    node.restart();
    let mut client = node.resp();
    wait_until("the range has stopped", || persistence(&mut client)["stopped_ranges"] == "1");
    assert!(node.verb(&["stop"]).status.success());
    assert!(node.wait().success());
    fs::rename(node.data_dir(), node.data_dir().with_extension("damaged")).expect("our own");
    node.restart();
    node.wait_until_loaded();
    let restored = node.verb(&["restore", &backup]);
    assert!(restored.status.success(), "{restored:?}");
    assert_eq!(exported(&node), before);
}

#[test]
fn a_durable_node_starts_again_with_its_data() {
    let node = Release::durable();
    assert_eq!(node.rpc("create shopping"), "OK\n");
    assert_eq!(node.rpc("put shopping milk 1"), "OK\n");
    assert!(node.verb(&["restart"]).status.success());
    wait_until("its data are there", || text(&node.verb(&["rpc", "get shopping milk"]).stdout) == "1");
    assert!(node.log().contains("drained"), "{}", node.log());
}
