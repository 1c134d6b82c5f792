//! Copies of a row that are moved between whole nodes while clients use it.

use std::{
    fs,
    sync::atomic::{AtomicBool, Ordering::Relaxed},
    thread,
    time::{Duration, Instant},
};
use tests::{Release, TRIO, Trio, text, wait_until};

/// How long a move of a few buckets may take.
const MOVED: Duration = Duration::from_secs(30);

fn rpc(node: &Release, line: &str) -> String {
    let output = node.verb(&["rpc", line]);
    assert!(output.status.success(), "{line}: {output:?}");
    text(&output.stdout).to_owned()
}

/// Waits until no copy is on its way, as far as each node knows that runs.
fn wait_until_moved(trio: &Trio) {
    let began = Instant::now();
    for node in trio.running() {
        while rpc(node, "plans") != "none: all replicas are where they are to be" {
            assert!(began.elapsed() < MOVED, "{}", rpc(node, "plans"));
            thread::sleep(Duration::from_millis(50));
        }
    }
}

/// Ends the writers, also when a test fails.
struct End<'a>(&'a AtomicBool);

impl Drop for End<'_> {
    fn drop(&mut self) {
        self.0.store(true, Relaxed);
    }
}

/// Counts with a client of each node while a change is made, and checks that no write fails or is lost. Each
/// client counts in a bucket of each of these names.
fn count_meanwhile(trio: &Trio, names: &[&str], change: impl FnOnce()) {
    let is_over = AtomicBool::new(false);
    thread::scope(|scope| {
        let writers: Vec<_> = trio
            .running()
            .enumerate()
            .map(|(number, node)| {
                let (mut client, is_over) = (node.resp(), &is_over);
                scope.spawn(move || {
                    let mut written = 0;
                    while !is_over.load(Relaxed) {
                        written += 1;
                        for name in names {
                            let counted = client.ask(&format!("INCR {name}{number}"));
                            assert_eq!(counted, format!(":{written}\\r\\n"), "{name}");
                        }
                    }
                    written
                })
            })
            .collect();
        let end = End(&is_over);
        change();
        drop(end);
        for (number, writer) in writers.into_iter().enumerate() {
            let written: u64 = writer.join().expect("it has written");
            for name in names {
                let read = trio.node(0).resp().ask(&format!("INCR {name}{number}"));
                assert_eq!(read, format!(":{}\\r\\n", written + 1));
            }
        }
    });
}

#[test]
fn three_copies_become_one_and_three_again_and_no_write_fails() {
    let trio = Trio::start();
    let [one, two, three] = TRIO;
    count_meanwhile(&trio, &["counter"], || {
        for (asked, line) in [
            (0, format!("replicas .. {three}")),
            (1, format!("move .. to {one}")),
            (2, format!("replicas .. {one} {two} {three}")),
            (0, format!("leader .. {two}")),
            (0, format!("leader meta {three}")),
        ] {
            rpc(trio.node(asked), &line);
            wait_until_moved(&trio);
        }
    });
    for node in trio.running() {
        wait_until("each node has a copy again", || {
            let ranges = rpc(node, "ranges");
            ranges.contains(&format!("..: led by {two}"))
                && ranges.contains(&format!("\nmeta: led by {three}"))
        });
    }
}

#[test]
fn a_row_is_split_and_its_parts_move_and_no_write_fails() {
    let mut trio = Trio::start();
    let [one, two, three] = TRIO;
    count_meanwhile(&trio, &["apples", "kiwis", "pears"], || {
        for (asked, line) in [
            (0, "split .. at k".to_owned()),
            (1, "split k.. at p".to_owned()),
            (2, format!("move k..o to {three}")),
            (0, format!("leader p.. {two}")),
            (1, format!("leader ..j {one}")),
        ] {
            rpc(trio.node(asked), &line);
            wait_until_moved(&trio);
        }
    });
    let all = TRIO.join(", ");
    // What the file says else is a line of its own.
    let rows = |node: &Release| {
        let shown = rpc(node, "routes");
        shown.lines().take(3).collect::<Vec<_>>().join("\n")
    };
    let routes = format!("..j   {all}\nk..o  {three}\np..   {all}");
    for node in trio.running() {
        assert_eq!(rows(node), routes);
    }
    let names = |trio: &Trio| {
        let mut names: Vec<_> = rpc(trio.node(1), "buckets").lines().map(str::to_owned).collect();
        names.sort();
        names
    };
    let before = names(&trio);
    // That by which it was seen to serve is one of them.
    assert_eq!(before.len(), 10, "{before:?}");
    for node in 0..3 {
        trio.kill(node);
        trio.open(node);
        trio.wait_until_served();
    }
    assert_eq!(names(&trio), before);
    assert_eq!(rows(trio.node(0)), routes);
}

#[test]
fn a_split_goes_on_when_any_node_is_killed() {
    let mut trio = Trio::start();
    let buckets = ["apples", "figs", "kiwis", "pears", "yams"];
    for name in buckets {
        assert_eq!(trio.node(0).resp().ask(&format!("HSET {name} kilos 1")), ":1\\r\\n");
    }
    for (killed, line) in ["split .. at k", "split ..j at d", "split k.. at y"].iter().enumerate() {
        let asked = (killed + 2) % 3;
        wait_until("all nodes are up", || trio.node(asked).verb(&["rpc", line]).status.success());
        trio.kill(killed);
        for name in buckets {
            wait_until("its clients are served", || {
                trio.node(asked).resp().ask(&format!("HGET {name} kilos")) == "$1\\r\\n1\\r\\n"
            });
        }
        trio.open(killed);
        trio.wait_until_served();
        wait_until_moved(&trio);
    }
    for node in trio.running() {
        for name in buckets {
            assert_eq!(node.resp().ask(&format!("HGET {name} kilos")), "$1\\r\\n1\\r\\n");
        }
    }
    assert_eq!(rpc(trio.node(0), "routes --toml").matches("buckets = ").count(), 4);
    trio.wait_until_caught_up();
}

#[test]
fn a_move_goes_on_when_any_node_is_killed_and_what_leaves_a_node_is_removed_there() {
    let mut trio = Trio::start();
    assert_eq!(trio.node(0).resp().ask("HSET shopping milk 1"), ":1\\r\\n");
    let replicas = |trio: &Trio, node: usize| {
        let entries = fs::read_dir(trio.data_dir(node).join("ranges")).expect("a directory");
        entries.count()
    };
    for killed in 0..3 {
        let (kept, asked) = ((killed + 1) % 3, (killed + 2) % 3);
        rpc(trio.node(asked), &format!("replicas .. {}", TRIO[kept]));
        trio.kill(killed);
        wait_until("its clients are served", || {
            trio.node(asked).resp().ask("HGET shopping milk") == "$1\\r\\n1\\r\\n"
        });
        trio.open(killed);
        trio.wait_until_served();
        wait_until_moved(&trio);
        for node in [killed, asked] {
            wait_until("it has the copy of the table alone", || replicas(&trio, node) == 1);
        }
        wait_until("all nodes are up again", || {
            let line = format!("replicas .. {} {} {}", TRIO[0], TRIO[1], TRIO[2]);
            trio.node(killed).verb(&["rpc", &line]).status.success()
        });
        for node in 0..3 {
            wait_until("it has both copies", || replicas(&trio, node) == 2);
        }
        trio.wait_until_caught_up();
    }
}

#[test]
fn the_live_placement_holds_and_a_file_that_differs_is_a_warning() {
    let mut trio = Trio::start();
    rpc(trio.node(0), &format!("replicas .. {}", TRIO[1]));
    wait_until_moved(&trio);
    let routes = format!(
        "..  {}\nthe configuration differs from what the nodes have agreed on, which holds: it has ",
        TRIO[1]
    );
    assert!(rpc(trio.node(2), "routes").starts_with(&routes), "{}", rpc(trio.node(2), "routes"));
    let stopped = trio.node(2).verb(&["stop"]);
    assert!(stopped.status.success(), "{stopped:?}");
    trio.end(2);
    trio.open(2);
    trio.wait_until_served();
    let log = trio.node(2).log();
    assert!(log.contains("the configuration differs from what the nodes have agreed on"), "{log}");
    assert!(rpc(trio.node(2), "routes").starts_with(&routes), "{}", rpc(trio.node(2), "routes"));
}

#[test]
fn what_cannot_be_moved_is_refused_with_what_to_write() {
    let trio = Trio::start();
    for (line, expected) in [
        (
            format!("replicas .. {} {}", TRIO[0], TRIO[1]),
            "2 nodes are named: a row has its replicas on one node, on",
        ),
        (format!("replicas a..m {}", TRIO[0]), "no row with replicas is \"a..m\": there are meta, .."),
        ("move .. to nobody@nowhere".to_owned(), "node nobody@nowhere is not "),
        (
            "leader .. nobody@nowhere".to_owned(),
            "node nobody@nowhere has no replica of ..: it is on foo1@127.0.0.1, ",
        ),
        ("replicas ..".to_owned(), "usage: replicas ROW NODE [NODE] [NODE] [NODE] [NODE]"),
    ] {
        let refused = trio.node(0).verb(&["rpc", &line]);
        let error = text(&refused.stderr);
        assert!(!refused.status.success() && error.contains(expected), "{line}: {error}");
    }
    assert_eq!(rpc(trio.node(0), "plans"), "none: all replicas are where they are to be");
}
