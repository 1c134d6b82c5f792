//! The verbs of a release, as on a user's command line.

use tests::{BAR, FOO, Pair, Release, text, verb, wait_until};

#[test]
fn rpc_finds_the_running_node_by_its_configuration() {
    let pair = Pair::start();
    let nodes = pair.foo.rpc("nodes");
    assert!(nodes.contains(FOO) && nodes.contains(BAR), "{nodes}");
    assert_eq!(pair.foo.rpc("node").trim_end(), format!(":{FOO:?}"));
    assert_eq!(pair.foo.rpc("Node.connect(:\"bar@127.0.0.1\")").trim_end(), "true");
    assert!(pair.bar.rpc("Node.list").contains(FOO));
    let json = pair.foo.verb(&["rpc", "nodes", "--json"]);
    let nodes: serde_json::Value = serde_json::from_slice(&json.stdout).expect("JSON");
    assert!(nodes.to_string().contains(BAR), "{nodes}");
}

#[test]
fn console_commands_work_on_buckets_of_any_node() {
    let pair = Pair::start();
    for bucket in ["apples", "shopping"] {
        pair.foo.rpc(&format!("create {bucket}"));
        pair.bar.rpc(&format!("put {bucket} milk 1"));
        assert!(pair.foo.rpc(&format!("get {bucket} milk")).contains('1'));
        pair.foo.rpc(&format!("delete {bucket} milk"));
        assert!(pair.bar.rpc("buckets").contains(bucket));
    }
    assert!(pair.foo.rpc("routes").contains("..m"));
    assert_eq!(pair.foo.client().get("shopping", "milk"), "");
}

#[test]
fn remote_is_a_console_of_the_running_node() {
    let mut pair = Pair::start();
    let printed = pair
        .foo
        .console("node\nNode.list\ncreate shopping\nput shopping milk 7\nget shopping milk\nbuckts\n");
    for part in [FOO, BAR, "OK", "7", "did you mean `buckets`?"] {
        assert!(printed.contains(part), "{part} is not in: {printed}");
    }
    assert!(pair.foo.still_runs(), "leaving the console does not stop the node");
    assert_eq!(pair.foo.client().get("shopping", "milk"), "7");
}

#[test]
fn an_unknown_expression_fails() {
    let node = Release::alone();
    let output = node.verb(&["rpc", "frobnicate"]);
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    assert!(text(&output.stderr).contains("frobnicate"), "{output:?}");
}

#[test]
fn pid_stop_and_restart() {
    let mut node = Release::alone();
    let pid = node.pid().to_string();
    assert_eq!(text(&node.verb(&["pid"]).stdout), pid);

    let mut client = node.client();
    assert!(node.verb(&["restart"]).status.success());
    client.read_until_closed();
    wait_until("it answers again", || node.verb(&["pid"]).status.success());
    assert_eq!(text(&node.verb(&["pid"]).stdout), pid, "restart keeps the process");

    assert!(node.verb(&["stop"]).status.success());
    assert_eq!(node.wait().code(), Some(0));
    assert_eq!(node.verb(&["pid"]).status.code(), Some(69), "not running");
}

#[test]
fn version_help_and_completions_need_no_node() {
    let version = verb("foo", &["version"]);
    assert_eq!(text(&version.stdout), format!("foo {}", env!("CARGO_PKG_VERSION")));
    assert_eq!(text(&verb("bar", &["--version"]).stdout), format!("bar {}", env!("CARGO_PKG_VERSION")));
    for shell in ["bash", "zsh", "fish"] {
        let output = verb("foo", &["completions", shell]);
        assert!(output.status.success() && text(&output.stdout).contains("check-config"), "{shell}");
    }
    let verbs = [
        "start",
        "start_iex",
        "daemon",
        "daemon_iex",
        "remote",
        "rpc",
        "eval",
        "export",
        "import",
        "backup",
        "restore",
        "restart",
        "stop",
        "pid",
        "version",
        "check-config",
        "completions",
        "help",
    ];
    let help = verb("foo", &["help"]);
    for name in verbs {
        assert!(text(&help.stdout).contains(name), "{name} is not in the help");
        assert!(verb("foo", &[name, "--help"]).status.success(), "{name} --help");
    }
    assert!(text(&verb("foo", &["help", "rpc"]).stdout).contains("foo rpc"));
    assert!(text(&verb("foo", &["help", "range", "skip"]).stdout).contains("foo range skip a..m 4711"));
    assert!(text(&verb("foo", &["help", "backup", "verify"]).stdout).contains("--verify"));
    let word = verb("foo", &["snapshot"]);
    assert!(text(&word.stderr).contains("foo rpc snapshot"), "{word:?}");
    for unknown in [&["frobnicate"][..], &["help", "frobnicate"]] {
        assert_eq!(verb("foo", unknown).status.code(), Some(2), "{unknown:?}");
    }
}

#[test]
fn help_config_is_the_reference_of_all_keys_in_every_release() {
    let shipped = include_str!("../../rel/runtime.toml");
    for release in ["foo", "bar"] {
        let output = verb(release, &["help", "config"]);
        assert!(output.status.success(), "{output:?}");
        let reference = text(&output.stdout);
        for part in ["[client_limits]", "io_uring = true", "KV_WITHIN_SECONDS", "--log-level LEVEL"] {
            assert!(reference.contains(part), "{part} is not in: {reference}");
        }
        for line in reference.lines() {
            assert!(shipped.contains(line), "rel/runtime.toml lacks: {line}");
        }
    }
}

#[test]
fn eval_needs_no_node() {
    let output = verb("foo", &["eval", "get shopping milk"]);
    assert!(
        text(&output.stdout).contains("NOT FOUND") || text(&output.stderr).contains("NOT FOUND"),
        "{output:?}"
    );
}

#[test]
fn daemon_starts_in_the_background() {
    let directory = tests::TempDir::new();
    let run_dir = directory.path().display().to_string();
    let flags = ["--clients", "127.0.0.1:0", "--run-dir", &run_dir];
    let with = |word: &'static str| [&[word], &flags[..]].concat();
    let output = verb("foo", &with("daemon"));
    assert!(output.status.success(), "{output:?}");
    let pid = verb("foo", &with("pid"));
    assert!(text(&output.stdout).contains(text(&pid.stdout)), "{output:?} {pid:?}");
    assert!(text(&verb("foo", &["help", "daemon"]).stdout).contains("NODE.log in the run directory"));
    let log = std::fs::read_to_string(directory.path().join(format!("{FOO}.log"))).expect("a log");
    assert!(log.contains(FOO), "{log}");
    assert!(verb("foo", &with("stop")).status.success());
    let missed = verb("foo", &with("pid"));
    assert_eq!(missed.status.code(), Some(69), "{missed:?}");
    assert!(text(&missed.stderr).contains("pass the --config, --node or --run-dir it was started with"));
}

#[test]
fn the_commands_of_the_banner_reach_this_node_and_not_another_of_its_name() {
    let (one, other) = (Release::alone(), Release::alone());
    for node in [&one, &other] {
        let console = node.banner_command("console");
        let printed = node.shell(&format!("echo pid | {console}"));
        assert!(printed.lines().any(|line| line == node.pid().to_string()), "{console}: {printed}");
        assert!(node.shell(&node.banner_command("all verbs")).contains("daemon"));
        assert!(node.shell(&node.banner_command("configure")).contains("max_memory"));
        assert_eq!(node.banner_command("connect"), format!("telnet 127.0.0.1 {}", node.clients().port()));
    }
}

#[test]
fn check_config_prints_what_is_in_force_and_from_where() {
    let shipped = concat!(env!("CARGO_MANIFEST_DIR"), "/../rel/runtime.toml");
    let output = verb("foo", &["check-config", "--print", "--config", shipped, "--log-level", "debug"]);
    let printed = text(&output.stdout);
    for part in ["clients = \"127.0.0.1:4040\"", "runtime.toml:", "# --log-level", "# defaults", ": ok:"] {
        assert!(printed.contains(part), "{part} is not in: {printed}");
    }
    assert!(!printed.contains("weknoweachother"), "{printed}");
}
