//! Machines that are added to a cluster, by a file that names one of its nodes, and that are removed from it.

use rustix::process::Signal;
use std::{
    fs,
    net::TcpListener,
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    thread,
    time::{Duration, Instant},
};
use tests::{Release, TRIO, TempDir, Trio, text, wait_until};

/// How long a move of a few buckets may take.
const MOVED: Duration = Duration::from_secs(30);
const FOURTH: &str = "foo4@127.0.0.1";

/// A machine whose file names itself, the cookie and one other node.
struct Machine {
    directory: Arc<TempDir>,
    link: String,
    file: String,
}

impl Machine {
    fn new(trio: &Trio, other: usize) -> Machine {
        let directory = Arc::new(TempDir::new());
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let link = listener.local_addr().expect("bound").to_string();
        let (name, other_link) = (TRIO[other], trio.link(other));
        let [run_dir, data_dir] =
            ["run", "data"].map(|path| directory.path().join(path).display().to_string());
        let text = format!(
            "cookie = \"weknoweachotherwell\"\nrun_dir = {run_dir:?}\n\
             [nodes.{FOURTH:?}]\nclients = \"127.0.0.1:0\"\nlink = {link:?}\ndata_dir = {data_dir:?}\n\
             [nodes.{name:?}]\nlink = {other_link:?}\n"
        );
        let file = directory.write("minimal.toml", &text).display().to_string();
        Machine { directory, link, file }
    }

    fn flags(&self) -> [&str; 4] {
        ["--config", &self.file, "--node", FOURTH]
    }

    /// Starts the node, which may not be one of the cluster yet.
    fn spawn(&self) -> Release {
        Release::spawn("foo", &self.directory, &self.flags())
    }

    fn wait_until_up(&self, node: &Release) {
        wait_until("it is up", || node.log().contains("  all verbs  "));
    }
}

fn rpc(node: &Release, line: &str) -> String {
    let output = node.verb(&["rpc", line]);
    assert!(output.status.success(), "{line}: {output:?}");
    text(&output.stdout).to_owned()
}

/// The error of a line that is refused.
fn refusal(node: &Release, line: &str) -> String {
    let output = node.verb(&["rpc", line]);
    assert!(!output.status.success(), "{line}: {output:?}");
    text(&output.stderr).to_owned()
}

/// Has the node do this as soon as it can, and waits until no copy is on its way, as far as these nodes know.
fn place(nodes: &[&Release], line: &str) {
    wait_until("the new nodes are up", || nodes[0].verb(&["rpc", line]).status.success());
    let began = Instant::now();
    for node in nodes {
        while rpc(node, "plans") != "none: all replicas are where they are to be" {
            assert!(began.elapsed() < MOVED, "{}", rpc(node, "plans"));
            thread::sleep(Duration::from_millis(50));
        }
    }
}

fn check_config(flags: &[&str]) -> String {
    let output = tests::verb("foo", &[&["check-config"], flags].concat());
    assert!(output.status.success(), "{output:?}");
    text(&output.stdout).to_owned()
}

/// Ends the writers.
struct End<'a>(&'a AtomicBool);

impl Drop for End<'_> {
    fn drop(&mut self) {
        self.0.store(true, Relaxed);
    }
}

#[test]
fn a_machine_takes_the_place_of_another_one_while_clients_write_and_nothing_is_lost() {
    let mut trio = Trio::start();
    let machine = Machine::new(&trio, 0);
    let joins = format!("joins the cluster of {}", TRIO[0]);
    assert!(check_config(&machine.flags()).contains(&joins), "{}", check_config(&machine.flags()));
    // A node that waits ends when it is asked to.
    let mut fourth = machine.spawn();
    let command = format!("foo rpc \"add-node {FOURTH} {}\"", machine.link);
    wait_until("it says what to type", || fourth.log().contains(&command));
    fourth.signal(Signal::TERM);
    assert!(fourth.wait().success(), "{}", fourth.log());

    let is_over = AtomicBool::new(false);
    let mut fourth = machine.spawn();
    let written: Vec<u64> = thread::scope(|scope| {
        let end = End(&is_over);
        let writers = [1, 2].map(|number| {
            let (mut client, is_over) = (trio.node(number).resp(), &is_over);
            scope.spawn(move || {
                let mut written = 0;
                while !is_over.load(Relaxed) {
                    written += 1;
                    assert_eq!(client.ask(&format!("INCR counter{number}")), format!(":{written}\\r\\n"));
                }
                written
            })
        });
        rpc(trio.node(1), &format!("add-node {FOURTH} {}", machine.link));
        machine.wait_until_up(&fourth);
        let nodes = [trio.node(2), trio.node(1), trio.node(0), &fourth];
        for row in ["..", "meta"] {
            place(&nodes, &format!("replicas {row} {} {} {FOURTH}", TRIO[1], TRIO[2]));
        }
        let refused = refusal(trio.node(1), &format!("remove-node {}", TRIO[1]));
        assert!(
            refused.contains(&format!("node {} has copies of meta, ..: move them first", TRIO[1])),
            "{refused}"
        );
        rpc(trio.node(2), &format!("remove-node {}", TRIO[0]));
        drop(end);
        writers.into_iter().map(|writer| writer.join().expect("it has written")).collect()
    });
    for (number, written) in [1, 2].into_iter().zip(&written) {
        let read = fourth.resp().ask(&format!("GET counter{number}"));
        assert_eq!(read, format!("${}\\r\\n{written}\\r\\n", written.to_string().len()));
    }

    let removed = "this node was removed from the cluster";
    assert!(rpc(trio.node(0), "nodes").contains("up, this node; it was removed from the cluster"));
    assert!(refusal(trio.node(0), "health").contains(removed));
    wait_until("it says so in its log", || trio.node(0).log().contains(removed));
    let mut client = trio.node(0).resp();
    wait_until("its clients get an error", || {
        client.ask("GET counter1").contains(&format!("-CLUSTERDOWN {removed}"))
    });
    assert!(!rpc(trio.node(1), "nodes").contains(TRIO[0]));

    // All start again: the machine that has joined needs nobody to know the cluster.
    for node in 0..3 {
        assert!(trio.node(node).verb(&["stop"]).status.success());
        trio.end(node);
    }
    assert!(fourth.verb(&["stop"]).status.success());
    assert!(fourth.wait().success());
    let fourth = machine.spawn();
    machine.wait_until_up(&fourth);
    (0..3).for_each(|node| trio.open(node));
    for node in [trio.node(1), trio.node(2), &fourth] {
        let mut client = node.resp();
        let expected = format!(":{}\\r\\n", written[0]);
        wait_until("it serves", || client.ask("INCRBY counter1 0") == expected);
    }
    wait_until("the other one learns that it was removed", || trio.node(0).log().contains(removed));
}

#[test]
fn a_file_that_differs_is_a_warning_until_what_routes_prints_is_pasted_into_it() {
    let mut trio = Trio::start();
    let machine = Machine::new(&trio, 1);
    rpc(trio.node(0), &format!("add-node {FOURTH} {}", machine.link));
    let fourth = machine.spawn();
    machine.wait_until_up(&fourth);
    place(&[trio.node(0), trio.node(2)], &format!("replicas .. {} {} {FOURTH}", TRIO[0], TRIO[2]));
    let differs = "the configuration differs from what the nodes have agreed on, which holds: ";
    let has_fourth = format!("it has no node {FOURTH}, which the cluster has, at {}", machine.link);
    let row =
        format!("the copies are on {}, {}, {FOURTH}; `routes --toml` prints what to write", TRIO[0], TRIO[2]);
    let flags = ["--config", trio.file(2), "--node", TRIO[2]].map(str::to_owned);
    let flags = flags.each_ref().map(String::as_str);
    for text in [rpc(trio.node(2), "routes"), check_config(&flags)] {
        assert!([differs, &has_fourth, &row].iter().all(|part| text.contains(*part)), "{text}");
    }
    // What joins names one node, and needs no more.
    assert!(!rpc(&fourth, "routes").contains(differs), "{}", rpc(&fourth, "routes"));
    assert!(!check_config(&machine.flags()).contains("warning"), "{}", check_config(&machine.flags()));

    let printed = rpc(trio.node(2), "routes --toml");
    let before = fs::read_to_string(trio.file(2)).expect("it is there");
    let (head, _) = before.split_once("[nodes").expect("it has nodes");
    let (_, tail) = before.split_once("[links]").expect("it has this after its routes");
    for restarts in [0, 1] {
        assert!(trio.node(2).verb(&["stop"]).status.success());
        trio.end(2);
        if restarts > 0 {
            fs::write(trio.file(2), format!("{head}{printed}\n[links]{tail}")).expect("our own file");
            assert!(!check_config(&flags).contains("warning"), "{}", check_config(&flags));
        }
        trio.open(2);
        trio.wait_until_served();
        let (log, routes) = (trio.node(2).log(), rpc(trio.node(2), "routes"));
        assert_eq!([log.contains(differs), routes.contains(differs)], [restarts == 0; 2], "{routes}\n{log}");
    }
}

#[test]
fn what_is_no_node_of_the_cluster_is_refused_and_the_error_says_what_to_type() {
    let trio = Trio::start();
    let machine = Machine::new(&trio, 2);
    for (line, expected) in [
        (format!("add-node {FOURTH} nowhere"), "\"nowhere\" is no address: write that of its links"),
        (
            format!("add-node {FOURTH} {}", trio.link(1)),
            "is the address of node foo2@127.0.0.1: write that of",
        ),
        (format!("add-node foo4 {}", machine.link), "\"foo4\" is not a node name: it has no @"),
        (
            format!("remove-node {}x", TRIO[1]),
            "there is no node foo2@127.0.0.1x; did you mean foo2@127.0.0.1?",
        ),
        (format!("replicas .. {FOURTH}"), "node foo4@127.0.0.1 is not "),
        ("add-node".to_owned(), "usage: add-node NODE ADDRESS"),
    ] {
        let refused = refusal(trio.node(0), &line);
        assert!(refused.contains(expected), "{line}: {refused}");
    }
    let added = format!("add-node {FOURTH} {}", machine.link);
    assert!(rpc(trio.node(0), &added).contains("is a node of the cluster: start it"));
    assert!(rpc(trio.node(0), &added).contains("is a node of the cluster already"));
    let down = refusal(trio.node(0), &format!("replicas .. {FOURTH}"));
    assert!(down.contains("node foo4@127.0.0.1 is down: "), "{down}");
    let text =
        fs::read_to_string(Path::new(&machine.file)).expect("it is there").replace("data_dir", "# data_dir");
    let file = machine.directory.write("volatile.toml", &text).display().to_string();
    let output = tests::verb("foo", &["check-config", "--config", &file, "--node", FOURTH]);
    let error = tests::text(&output.stderr);
    assert!(
        error.contains("give foo4@127.0.0.1 a data_dir, so that it joins the cluster of the others"),
        "{error}"
    );
}
