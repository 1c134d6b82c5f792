//! Mistakes in a configuration: each is refused before a port is bound, with its place and the remedy.

use tests::{Folder, verb};

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

/// Checks a file; returns the exit code and all that was said.
fn check(text: &str) -> (Option<i32>, String) {
    let folder = Folder::new();
    let file = folder.write("runtime.toml", text);
    let output = verb("foo", &["check-config", "--config", file.to_str().expect("a plain path")]);
    let said = [output.stdout, output.stderr].concat();
    (output.status.code(), String::from_utf8(said).expect("a text"))
}

/// The good file with one change is refused, naming the line and all of `parts`.
fn refused(good: &str, bad: &str, line: usize, parts: &[&str]) {
    assert!(GOOD.contains(good), "{good}");
    let (code, said) = check(&GOOD.replacen(good, bad, 1));
    assert_eq!(code, Some(78), "{said}");
    let place = format!("runtime.toml:{line}:");
    for part in parts.iter().chain([&place.as_str()]) {
        assert!(said.contains(part), "{part:?} is not in: {said}");
    }
}

#[test]
fn a_good_file_passes() {
    let (code, said) = check(GOOD);
    assert_eq!(code, Some(0), "{said}");
}

#[test]
fn an_unknown_key_comes_with_the_one_that_was_meant() {
    refused("cookie =", "cokie =", 1, &["cokie", "did you mean `cookie`"]);
    refused("clients =", "client =", 3, &["client", "did you mean `clients`"]);
}

#[test]
fn a_value_of_the_wrong_type() {
    refused("clients = \"127.0.0.1:0\"", "clients = 4040", 3, &["clients", "a quoted string"]);
}

#[test]
fn overlapping_routes() {
    refused("buckets = \"n..z\"", "buckets = \"m..z\"", 11, &["m..z", "a..m"]);
}

#[test]
fn a_route_to_a_node_that_is_not_there() {
    refused("nodes = [\"bar@127.0.0.1\"]", "nodes = [\"baz@127.0.0.1\"]", 12, &["baz@127.0.0.1"]);
}

#[test]
fn what_is_no_toml() {
    refused("[[routes]]", "[[routes]", 7, &[]);
}

#[test]
fn a_public_port_needs_a_cookie_of_its_own_and_consent() {
    let bad = GOOD
        .replace("link = \"127.0.0.1:0\"", "link = \"0.0.0.0:0\"")
        .replace("cookie = \"weknoweachother\"\n", "");
    let (code, said) = check(&bad);
    assert_eq!(code, Some(78), "{said}");
    assert!(said.contains("cookie") && said.contains("runtime.toml:3:"), "{said}");

    refused("clients = \"127.0.0.1:0\"", "clients = \"0.0.0.0:0\"", 3, &["allow_public_clients = true"]);
}

#[test]
fn a_file_that_is_not_there() {
    let output = verb("foo", &["check-config", "--config", "no/such/file.toml"]);
    assert_eq!(output.status.code(), Some(78), "{output:?}");
    assert!(String::from_utf8_lossy(&output.stderr).contains("no/such/file.toml"), "{output:?}");
}

#[test]
fn start_refuses_what_check_config_refuses() {
    let folder = Folder::new();
    let file = folder.write("runtime.toml", &GOOD.replace("cookie", "cokie"));
    let output = verb("foo", &["start", "--config", file.to_str().expect("a plain path")]);
    assert_eq!(output.status.code(), Some(78), "{output:?}");
}

#[test]
fn the_shipped_file_is_right_for_both_releases() {
    let shipped = concat!(env!("CARGO_MANIFEST_DIR"), "/../rel/runtime.toml");
    for release in ["foo", "bar"] {
        let output = verb(release, &["check-config", "--config", shipped]);
        assert_eq!(output.status.code(), Some(0), "{output:?}");
    }
}
