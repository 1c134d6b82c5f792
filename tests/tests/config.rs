//! Invalid configurations are refused before a port is bound, with the line and the remedy.

use tests::{TempDir, verb};

const GOOD: &str = r#"cookie = "weknoweachother"
[nodes."foo@127.0.0.1"]
clients = "127.0.0.1:0"
link = "127.0.0.1:0"
[nodes."bar@127.0.0.1"]
link = "127.0.0.1:4052"
[[routes]]
buckets = "a..m"
nodes = ["foo@127.0.0.1"]
[[routes]]
buckets = "n..z"
nodes = ["bar@127.0.0.1"]
"#;

/// Checks a file and returns the exit code and the output.
fn check(text: &str) -> (Option<i32>, String) {
    let directory = TempDir::new();
    let file = directory.write("runtime.toml", text);
    let output = verb("foo", &["check-config", "--config", file.to_str().expect("a plain path")]);
    let output_bytes = [output.stdout, output.stderr].concat();
    (output.status.code(), String::from_utf8(output_bytes).expect("a text"))
}

/// Checks that the good file with one change is refused, with the line and all of `parts`.
fn assert_refused(good: &str, bad: &str, line: usize, parts: &[&str]) {
    assert!(GOOD.contains(good), "{good}");
    let (code, output) = check(&GOOD.replacen(good, bad, 1));
    assert_eq!(code, Some(78), "{output}");
    let location = format!("runtime.toml:{line}:");
    for part in parts.iter().chain([&location.as_str()]) {
        assert!(output.contains(part), "{part:?} is not in: {output}");
    }
}

#[test]
fn a_good_file_passes() {
    let (code, output) = check(GOOD);
    assert_eq!(code, Some(0), "{output}");
}

#[test]
fn an_unknown_key_comes_with_a_suggestion() {
    assert_refused("cookie =", "cokie =", 1, &["cokie", "did you mean `cookie`"]);
    assert_refused("clients =", "client =", 3, &["client", "did you mean `clients`"]);
}

#[test]
fn a_value_of_the_wrong_type() {
    assert_refused("clients = \"127.0.0.1:0\"", "clients = 4040", 3, &["clients", "a quoted string"]);
}

#[test]
fn overlapping_routes() {
    assert_refused("buckets = \"n..z\"", "buckets = \"m..z\"", 11, &["m..z", "a..m"]);
    assert_refused(
        "buckets = \"n..z\"",
        "buckets = \"c..d\"",
        11,
        &["c..d", "can never match", "before \"a..m\""],
    );
}

#[test]
fn a_route_to_an_unknown_node() {
    assert_refused("nodes = [\"bar@127.0.0.1\"]", "nodes = [\"baz@127.0.0.1\"]", 12, &["baz@127.0.0.1"]);
}

#[test]
fn invalid_toml() {
    assert_refused("[[routes]]", "[[routes]", 7, &[]);
    let unquoted = "[storage]\nfsync = interval # not always\n[[routes]]";
    assert_refused("[[routes]]", unquoted, 8, &["a string goes in quotes: fsync = \"interval\""]);
    let word = "[client_limits]\nio_uring = no\n[[routes]]";
    assert_refused("[[routes]]", word, 8, &["a boolean is true or false: io_uring = false"]);
}

#[test]
fn a_public_port_needs_a_cookie_of_its_own_and_consent() {
    let bad = GOOD
        .replace("link = \"127.0.0.1:0\"", "link = \"0.0.0.0:0\"")
        .replace("cookie = \"weknoweachother\"\n", "");
    let (code, output) = check(&bad);
    assert_eq!(code, Some(78), "{output}");
    assert!(output.contains("cookie") && output.contains("runtime.toml:3:"), "{output}");

    assert_refused(
        "clients = \"127.0.0.1:0\"",
        "clients = \"0.0.0.0:0\"",
        3,
        &["allow_public_clients = true"],
    );
}

#[test]
fn a_missing_file() {
    let output = verb("foo", &["check-config", "--config", "no/such/file.toml"]);
    assert_eq!(output.status.code(), Some(78), "{output:?}");
    assert!(String::from_utf8_lossy(&output.stderr).contains("no/such/file.toml"), "{output:?}");
}

#[test]
fn start_refuses_what_check_config_refuses() {
    let directory = TempDir::new();
    let file = directory.write("runtime.toml", &GOOD.replace("cookie", "cokie"));
    let output = verb("foo", &["start", "--config", file.to_str().expect("a plain path")]);
    assert_eq!(output.status.code(), Some(78), "{output:?}");
}

#[test]
fn the_shipped_file_is_valid_for_both_releases() {
    let shipped = concat!(env!("CARGO_MANIFEST_DIR"), "/../rel/runtime.toml");
    for release in ["foo", "bar"] {
        let output = verb(release, &["check-config", "--config", shipped]);
        assert_eq!(output.status.code(), Some(0), "{output:?}");
    }
}

#[test]
fn syncs_at_intervals_are_warned_of_only_where_they_risk_something() {
    let rows = "[storage]\nfsync = \"interval\"\nfsync_interval_ms = 500\n";
    let (code, output) = check(&format!("{GOOD}{rows}"));
    assert_eq!((code, output.contains("fsync")), (Some(0), false), "{output}");
    let durable = GOOD.replacen("link", "data_dir = \"data\"\nlink", 1);
    let (code, output) = check(&format!("{durable}{rows}"));
    assert_eq!(code, Some(0), "{output}");
    let risk = "a crash of the system or a loss of power loses what was acknowledged in the last 500 ms";
    assert!(output.contains(risk), "{output}");
    let (code, output) = check(&format!("{durable}{}", rows.replace("interval\"", "sometimes\"")));
    assert_eq!(code, Some(78), "{output}");
    let remedy = "invalid fsync: \"sometimes\"; write \"always\" or \"interval\"";
    assert!(output.contains(remedy), "{output}");
}

#[test]
fn reads_of_a_row_are_by_lease_or_confirmed_whether_or_not_other_nodes_have_it() {
    let row = |reads: &str| GOOD.replacen("[[routes]]", &format!("[[routes]]\nreads = {reads:?}"), 1);
    for reads in ["lease", "confirmed"] {
        let (code, output) = check(&row(reads));
        assert_eq!(code, Some(0), "{output}");
    }
    let (code, output) = check(&row("stale"));
    assert_eq!(code, Some(78), "{output}");
    assert!(output.contains("invalid reads: \"stale\"; write \"lease\" or \"confirmed\""), "{output}");
}

#[test]
fn a_cache_of_logs_that_is_too_small_is_refused() {
    for size in ["0", "1023kb", "much"] {
        let (code, output) = check(&format!("{GOOD}[storage]\nlog_cache_bytes = \"{size}\"\n"));
        assert_eq!(code, Some(78), "{output}");
        let remedy = "write log_cache_bytes = \"64mb\", and at least \"1mb\" for each range";
        assert!(output.contains(remedy), "{output}");
    }
    let (code, output) = check(&format!("{GOOD}[storage]\nlog_cache_bytes = \"1mb\"\n"));
    assert_eq!(code, Some(0), "{output}");
}
