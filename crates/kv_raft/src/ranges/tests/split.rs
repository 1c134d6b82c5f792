//! Ranges that are split while they are used, and nodes that end meanwhile.

use super::{
    placement::{placement, row},
    voters::{NODES, Nodes},
    *,
};
use crate::{
    group::Split,
    range::leader::Leader,
    ranges::{recover::Recoverable, skip::SkippableEntry},
    snapshot::{SnapshotEncoder, SnapshotHeader, SnapshotKind, encode_store},
};
use kv::FrozenStore;
use std::{
    sync::atomic::{AtomicBool, Ordering::Relaxed},
    time::Instant,
};

const ALL: [usize; 3] = [0, 1, 2];
const WAIT: Duration = Duration::from_secs(20);

/// The rows of a table with these spans, on the first three nodes.
fn rows(spans: &[Span]) -> Vec<ReplicaSpan> {
    spans.iter().map(|span| row(span.clone(), placement(&ALL, &[]))).collect()
}

impl Nodes {
    /// The range of a node that begins with this name.
    fn part(&self, node: usize, start: &str) -> Option<Arc<Range>> {
        let running = self.running[node].lock().clone()?;
        running.all().into_iter().find(|range| *range.span().start == *start.as_bytes())
    }

    /// Says to a node which rows there are; `true` when it has a replica of each with these names.
    fn follow(&self, node: usize, rows: &[ReplicaSpan]) -> bool {
        let ranges = self.ranges(node);
        // A part is shown to be whole by the one after it.
        let follows = rows.iter().map(|row| {
            let start = str::from_utf8(&row.span.start).expect("text");
            match self.part(node, start) {
                Some(range) if *range.span() == row.span => true,
                Some(range) => {
                    ranges.set_placement(&range, row);
                    let is_open = |other: &Arc<Range>| {
                        range.span().contains(&other.span().start) && !Arc::ptr_eq(other, &range)
                    };
                    for other in ranges.all().iter().filter(|other| is_open(other)) {
                        ranges.leave_split_off(&range, &other.span().start).expect("left");
                    }
                    false
                }
                None => ranges.add(row).expect("added").is_some(),
            }
        });
        !follows.collect::<Vec<_>>().contains(&false)
    }

    /// Has the nodes follow a table until they all have.
    async fn follow_all(&self, nodes: &[usize], rows: &[ReplicaSpan]) {
        let began = Instant::now();
        let follow = |node: &usize| self.follow(*node, rows);
        while nodes.iter().map(follow).filter(|follows| !follows).count() > 0 {
            assert!(began.elapsed() < WAIT, "the range is not split");
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    /// Writes to a part at its leader, until that is acknowledged.
    async fn write_part(&self, start: &str, line: &str) -> Vec<String> {
        let began = Instant::now();
        loop {
            let parts: Vec<_> = ALL.iter().filter_map(|node| self.part(*node, start)).collect();
            if let Some(leader) = parts.iter().find(|range| range.leader() == Leader::Here)
                && let Ok(replies) = write(leader, line).await
            {
                return replies;
            }
            assert!(began.elapsed() < WAIT, "nobody leads the range from {start}");
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    }

    /// Waits until a node has executed all that the others have of a part.
    async fn has_caught_up(&self, node: usize, start: &str) {
        let applied = |node| self.part(node, start).map_or(0, |range| range.status().applied);
        let (wanted, began) = (ALL.map(applied).into_iter().max(), Instant::now());
        while Some(applied(node)) < wanted {
            assert!(began.elapsed() < WAIT, "{wanted:?}");
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    /// The directory of a part at a node: the same at all, if they have made it of the same split.
    fn directory(&self, node: usize, start: &str) -> PathBuf {
        let (range, ranges) = (self.part(node, start).expect("a part"), self.ranges(node));
        let open = ranges.open.read();
        let of_part = open.iter().find(|open| Arc::ptr_eq(&open.range, &range)).expect("open");
        of_part.directory.file_name().expect("a name").into()
    }

    /// The names that a node lists of a part.
    fn listed(&self, node: usize, start: &str) -> Vec<String> {
        let range = self.part(node, start).expect("a part");
        let mut names: Vec<_> = range
            .store()
            .scan(0, &kv::ScanFilter { count: usize::MAX, ..Default::default() }, now_ms())
            .names
            .iter()
            .map(|name| String::from_utf8_lossy(name).into_owned())
            .collect();
        names.sort();
        names
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn both_parts_of_a_range_have_what_was_acknowledged_and_survive_the_end_of_a_node() {
    let nodes = Nodes::start();
    nodes.write(&ALL, "SET a 1; SET k 1; SET x 1; HSET y field 1").await;
    let (low, high) = (span("", Some("g")), span("g", None));
    nodes.follow_all(&ALL, &rows(&[low.clone(), high.clone()])).await;
    assert_eq!(nodes.write_part("g", "INCR x").await, ["Number(2)"]);
    assert_eq!(nodes.write_part("", "INCR a").await, ["Number(2)"]);
    // The second part of what is left, and of what was split off.
    let four = [span("", Some("c")), span("c", Some("g")), span("g", Some("m")), span("m", None)];
    nodes.follow_all(&ALL, &rows(&four)).await;
    assert_eq!(nodes.write_part("m", "INCR x").await, ["Number(3)"]);
    assert_eq!(nodes.write_part("g", "INCR k").await, ["Number(2)"]);
    for node in ALL {
        for (start, names) in [("", &["a"][..]), ("c", &[]), ("g", &["k"]), ("m", &["x", "y"])] {
            nodes.has_caught_up(node, start).await;
            assert_eq!(nodes.listed(node, start), names, "node {node}, from {start:?}");
        }
    }
    for node in ALL {
        nodes.kill(node).await;
        nodes.open_with(node, rows(&four));
        for start in ["", "c", "g", "m"] {
            nodes.write_part(start, &format!("INCR {start}a0")).await;
        }
    }
    assert_eq!(nodes.write_part("m", "INCR x; HGET y field").await, ["Number(4)", "1"]);
    assert_eq!(nodes.write_part("", "INCR a").await, ["Number(3)"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn names_that_were_split_off_are_refused_and_nothing_is_done() {
    let nodes = Nodes::start();
    let leader = nodes.write(&ALL, "SET a 1; SET x 1").await;
    let before = nodes.range(leader);
    nodes.follow_all(&ALL, &rows(&[span("", Some("g")), span("g", None)])).await;
    let refused = RangeError::SplitOff;
    nodes.write_part("", "SET a 2").await;
    for lines in ["SET x 2", "SET a 3; SET x 2", "GET x"] {
        assert_eq!(write(&before, lines).await, Err(refused.clone()), "{lines}");
    }
    let get = Line::new("GET x");
    assert_eq!(before.read_confirmed(&[get.request()]).map(texts), Err(refused.clone()));
    let [set, set_other] = [Line::new("SET a 3"), Line::new("SET x 2")];
    let transaction = before.transact(&[], &[set.request(), set_other.request()]);
    assert_eq!(transaction.map(drop), Err(refused));
    assert_eq!(nodes.write_part("", "GET a").await, ["2"]);
    assert_eq!(nodes.write_part("g", "GET x").await, ["1"]);
}

/// What a leader has proposed before it executed the split is refused when it is executed.
#[tokio::test(flavor = "multi_thread")]
async fn a_step_that_comes_after_the_split_in_the_log_is_refused_as_a_whole() {
    let nodes = Nodes::start();
    let leader = nodes.write(&ALL, "SET a 1; SET x 1").await;
    let range = nodes.range(leader);
    let (one, other, both) = (Line::new("SET a 2"), Line::new("SET x 2"), Line::new("SET a 3"));
    let split = Split { at: b"g", range: 1 << 63, replicas: Vec::new() };
    let split = range.propose_split(&split).expect("proposed");
    let propose = |requests: &[Request<'_>]| range.propose(requests).expect("proposed").1;
    let (kept, refused) = (propose(&[one.request()]), propose(&[both.request(), other.request()]));
    let transaction = range.transact(&[], &[both.request(), other.request()]).expect("proposed");
    split.await.expect("split");
    kept.await.expect("executed");
    let expected = RangeError::SplitOff;
    assert_eq!(refused.await.map(texts), Err(expected.clone()));
    assert_eq!(transaction.await.map(texts), Err(expected));
    assert_eq!(read(&range, "GET a"), "2");
}

/// Wherever the process ends, the next one has both parts.
#[tokio::test(flavor = "multi_thread")]
async fn a_node_that_ends_in_the_middle_of_a_split_has_both_parts_when_it_begins_again() {
    let table = rows(&[span("", Some("g")), span("g", None)]);
    for has_files in [false, true] {
        let nodes = Nodes::start();
        nodes.write(&ALL, "SET a 1; SET x 1").await;
        // All of them have executed it, and none, or one, has made the other part.
        for node in ALL {
            nodes.follow(node, &table[..1]);
        }
        let began = Instant::now();
        while !ALL.iter().all(|node| nodes.range(*node).spans.is_pending()) {
            assert!(began.elapsed() < WAIT, "it is not split");
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        if has_files {
            nodes.follow_all(&[0], &table).await;
        }
        for node in ALL {
            nodes.kill(node).await;
        }
        for node in ALL {
            nodes.open_with(node, table.clone());
        }
        nodes.follow_all(&ALL, &table).await;
        assert_eq!(nodes.write_part("g", "INCR x").await, ["Number(2)"]);
        assert_eq!(nodes.write_part("", "INCR a").await, ["Number(2)"]);
        for node in ALL {
            nodes.has_caught_up(node, "g").await;
            assert_eq!(nodes.listed(node, "g"), ["x"]);
        }
    }
}

/// The process ends when the part has files, and the range before does not know it yet.
#[tokio::test(flavor = "multi_thread")]
async fn a_part_that_was_made_just_before_the_end_is_not_made_again() {
    let table = rows(&[span("", Some("g")), span("g", None)]);
    let nodes = Nodes::start();
    nodes.write(&ALL, "SET a 1; SET x 1").await;
    let file = nodes.directories[2].lock().path().join("ranges").join(nodes.directory(2, "")).join("replica");
    let before = fs::read(&file).expect("the file");
    nodes.follow_all(&ALL, &table).await;
    nodes.write_part("g", "SET y 1").await;
    nodes.close(2).await;
    fs::write(&file, before).expect("written");
    nodes.open_with(2, table.clone());
    nodes.follow_all(&[2], &table).await;
    nodes.close(1).await;
    assert_eq!(nodes.write_part("g", "INCR y").await, ["Number(2)"]);
    nodes.has_caught_up(2, "g").await;
    assert_eq!(nodes.listed(2, "g"), ["x", "y"]);
    assert!(!nodes.range(2).spans.is_pending());
    nodes.part(2, "").expect("a part").take_snapshot().await.expect("taken");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_that_was_away_gets_both_parts_by_the_log_or_by_a_snapshot() {
    let table = rows(&[span("", Some("g")), span("g", None)]);
    for by_snapshot in [false, true] {
        let nodes = Nodes::start();
        nodes.write(&ALL, "SET a 1; SET x 1").await;
        nodes.has_caught_up(2, "").await;
        nodes.close(2).await;
        nodes.follow_all(&[0, 1], &table).await;
        nodes.write_part("", "SET b 1").await;
        if by_snapshot {
            for node in [0, 1] {
                let range = nodes.part(node, "").expect("a part");
                range.take_snapshot().await.expect("taken");
            }
            // Its own log is gone, as if the others had cut theirs.
            *nodes.directories[2].lock() = TempDir::new().expect("a directory");
        }
        nodes.open_with(2, table.clone());
        nodes.follow_all(&[2], &table).await;
        nodes.write_part("g", "SET y 1").await;
        let began = Instant::now();
        let has_all = || nodes.listed(2, "g") == ["x", "y"] && nodes.listed(2, "") == ["a", "b"];
        while !has_all() {
            assert!(began.elapsed() < WAIT, "{:?} {:?}", nodes.listed(2, "g"), nodes.listed(2, ""));
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        // By a snapshot it has no successor of the replica that it had: another one takes its place.
        while !ALL.iter().any(|node| nodes.part(*node, "g").is_some_and(|range| range.settled().is_some())) {
            assert!(began.elapsed() < WAIT, "it is no voter");
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        nodes.close(0).await;
        nodes.write_part("g", "SET z 1").await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_part_that_is_not_to_be_on_a_node_leaves_no_files_there() {
    let nodes = Nodes::start();
    nodes.write(&ALL, "SET a 1; SET x 1").await;
    let low = rows(&[span("", Some("g"))]);
    for node in ALL {
        nodes.follow(node, &low);
    }
    let range = nodes.range(2);
    let began = Instant::now();
    while !range.spans.is_pending() {
        assert!(began.elapsed() < WAIT, "it is not split");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    nodes.ranges(2).leave_split_off(&range, b"g").expect("left");
    assert_eq!((nodes.ranges(2).all().len(), &range.span().end), (1, &Some((*b"g").into())));
    while range.store().bucket_counts()[0] > 1 {
        assert!(began.elapsed() < WAIT, "x is not removed");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

/// A node that executes two splits at once has the parts of both, with the ids that these have elsewhere.
#[tokio::test(flavor = "multi_thread")]
async fn a_node_that_was_away_for_two_splits_has_the_right_parts() {
    let two = rows(&[span("", Some("s")), span("s", None)]);
    let three = rows(&[span("", Some("m")), span("m", Some("s")), span("s", None)]);
    for is_killed in [false, true] {
        let nodes = Nodes::start();
        nodes.write(&ALL, "SET b 1; SET n 1; SET s 1").await;
        nodes.has_caught_up(2, "").await;
        nodes.close(2).await;
        nodes.follow_all(&[0, 1], &two).await;
        nodes.write_part("s", "SET t 1").await;
        nodes.follow_all(&[0, 1], &three).await;
        nodes.open_with(2, three.clone());
        if is_killed {
            // Whatever it has done of it.
            tokio::time::sleep(Duration::from_millis(50)).await;
            nodes.kill(2).await;
            nodes.open_with(2, three.clone());
        }
        nodes.follow_all(&[2], &three).await;
        nodes.close(0).await;
        for (start, names) in [("", &["b"][..]), ("m", &["n"]), ("s", &["s", "t"])] {
            assert_eq!(nodes.write_part(start, &format!("INCR {}", names[0])).await, ["Number(2)"]);
            nodes.has_caught_up(2, start).await;
            assert_eq!(nodes.listed(2, start), names);
            if !start.is_empty() {
                assert_eq!(nodes.directory(1, start), nodes.directory(2, start), "from {start:?}");
            }
        }
    }
}

/// What was split off and has no files yet is not lost when more is.
#[tokio::test(flavor = "multi_thread")]
async fn a_second_split_waits_until_the_first_part_has_files() {
    let two = rows(&[span("", Some("s")), span("s", None)]);
    let three = rows(&[span("", Some("m")), span("m", Some("s")), span("s", None)]);
    let nodes = Nodes::start();
    nodes.write(&ALL, "SET b 1; SET n 1; SET s 1").await;
    // One of them makes no files for now.
    nodes.follow(2, &two[..1]);
    nodes.follow_all(&[0, 1], &two).await;
    nodes.follow_all(&[0, 1], &three).await;
    nodes.write_part("m", "SET o 1").await;
    tokio::time::sleep(Duration::from_millis(200)).await;
    assert!(nodes.range(2).spans.is_pending());
    nodes.follow_all(&[2], &three).await;
    for (start, names) in [("", &["b"][..]), ("m", &["n", "o"]), ("s", &["s"])] {
        nodes.write_part(start, &format!("INCR {}", names[0])).await;
        nodes.has_caught_up(2, start).await;
        assert_eq!(nodes.listed(2, start), names);
    }
    // It ends although it waits.
    nodes.follow(2, &rows(&[span("", Some("d"))]));
    nodes.close(2).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_range_is_recovered_without_a_split_that_may_not_have_been_acknowledged() {
    let nodes = Nodes::start();
    let leader = nodes.write(&ALL, "SET a 1; SET x 1").await;
    let range = nodes.range(leader);
    ALL.iter().filter(|node| **node != leader).for_each(|node| nodes.hold(*node));
    let split = Split { at: b"g", range: 1 << 63, replicas: Vec::new() };
    let entries = || range.status().log.entries;
    let before = entries();
    drop(range.propose_split(&split).expect("proposed"));
    let began = Instant::now();
    while entries() == before {
        assert!(began.elapsed() < WAIT, "it is not in the log");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    drop(range);
    nodes.close(leader).await;
    let data_dir = nodes.directories[leader].lock().path().to_owned();
    let recover = || Recoverable::find(&data_dir, NODES[leader], "..").expect("found").recover(1);
    let Err(OpenError::SplitMaybe { index, .. }) = recover() else {
        panic!("it is recovered with the split")
    };
    SkippableEntry::find(&data_dir, "..", index).expect("found").skip().expect("skipped");
    recover().expect("recovered");
    nodes.open_with(leader, vec![row(span("", None), placement(&[leader], &[]))]);
    assert_eq!(nodes.write_part("", "INCR a; INCR x").await, ["Number(2)", "Number(2)"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_backup_has_all_buckets_at_any_moment_of_a_split() {
    let nodes = Nodes::start();
    let names = [span("", Some("c")), span("c", Some("g")), span("g", Some("m")), span("m", None)];
    nodes.write(&ALL, "SET a 1; SET d 1; SET h 1; SET x 1").await;
    nodes.has_caught_up(0, "").await;
    let (ranges, is_over) = (nodes.ranges(0), Arc::new(AtomicBool::new(false)));
    let backups = spawn_blocking({
        let is_over = is_over.clone();
        move || {
            let mut taken = 0;
            while !is_over.load(Relaxed) {
                // A range that is split refuses.
                let Ok(mut frozen) = ranges.freeze() else { continue };
                let header =
                    SnapshotHeader { kind: SnapshotKind::Backup, stamp_ms: 0, description: Vec::new() };
                let mut encoder = SnapshotEncoder::new(&header);
                let mut encode = |frozen: &mut FrozenStore| loop {
                    match encode_store(frozen, &mut encoder) {
                        Ok(Some(_)) => {}
                        ended => break ended.is_ok(),
                    }
                };
                // A copy of a range that is split ends.
                if !frozen.iter_mut().all(&mut encode) {
                    continue;
                }
                assert_eq!(encoder.counts().strings, 4);
                taken += 1;
            }
            taken
        }
    });
    for last in 1..names.len() {
        let end = Span { end: None, ..names[last].clone() };
        let spans: Vec<_> = names[..last].iter().cloned().chain([end]).collect();
        nodes.follow_all(&ALL, &rows(&spans)).await;
    }
    is_over.store(true, Relaxed);
    assert!(backups.await.expect("each has all") > 0);
}
