//! `export` and `import` of running nodes.

use std::{fs, os::unix::fs::PermissionsExt};
use tests::{BAR, FOO, Pair, Release, TempDir, sorted_lines, text};

#[test]
fn an_export_is_imported_by_another_node() {
    let directory = TempDir::new();
    let file = directory.path().join("buckets.jsonl").display().to_string();
    let one = Release::alone();
    one.fill();
    let output = one.verb(&["export", "--to", &file]);
    assert!(output.status.success() && output.stdout.is_empty(), "{output:?}");
    assert_eq!(text(&output.stderr), format!("exported 4 buckets with 4 entries, and 2 strings, of {FOO}"));
    assert_eq!(fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
    assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 1, "no other file is left");

    let two = Release::alone();
    let output = two.verb(&["import", &file]);
    assert_eq!(text(&output.stdout), "imported 4 buckets with 4 entries, and 2 strings", "{output:?}");
    let exported = sorted_lines(&two.verb(&["export"]));
    assert_eq!(exported, sorted_lines(&one.verb(&["export", "--to", "-"])));
    let expected = [
        r#"{"kind":"bucket","database":0,"name":"empty","keep_when_empty":true}"#,
        r#"{"kind":"entry","database":0,"name":"colors","field":"green","value":"2","expires_at_ms":9000000000000}"#,
        r#"{"kind":"string","database":0,"name_b64":"/wA=","value_b64":"/g=="}"#,
        r#"{"kind":"string","database":0,"name":"apples","value":"red","expires_at_ms":9000000000001}"#,
        r#"{"kind":"bucket","database":15,"name":"shopping","expires_at_ms":9000000000002}"#,
    ];
    for line in expected {
        assert!(exported.iter().any(|exported| exported == line), "{line} is not in {exported:#?}");
    }
    assert_eq!(sorted_lines(&two.verb(&["export", "shopping"])).len(), 4, "of two databases");
    let missing = two.verb(&["export", "tea"]);
    let why = "foo: there is no bucket \"tea\"; a file is named with --to";
    assert_eq!((missing.status.code(), text(&missing.stderr)), (Some(1), why));
}

#[test]
fn names_that_exist_are_left_as_they_are_unless_they_are_to_be_replaced() {
    let node = Release::alone();
    node.fill();
    let before = node.verb(&["export"]);
    node.client().ask("PUT shopping milk 2");
    node.resp().ask("SET apples green");
    let changed = sorted_lines(&node.verb(&["export"]));

    let output = node.verb_with_input(&["import", "-"], &before.stdout);
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    let stdout = "imported 0 buckets with 0 entries, and 0 strings\n\
                  found 4 names with all that was to be imported";
    assert_eq!(text(&output.stdout), stdout);
    let stderr = text(&output.stderr);
    assert!(stderr.starts_with("2 names exist with other contents and were left as they are: "), "{stderr}");
    assert!(stderr.contains("\"shopping\"") && stderr.contains("--replace"), "{stderr}");
    assert_eq!(sorted_lines(&node.verb(&["export"])), changed);

    let output = node.verb_with_input(&["import", "-", "--replace"], &before.stdout);
    assert!(output.status.success() && output.stderr.is_empty(), "{output:?}");
    assert_eq!(sorted_lines(&node.verb(&["export"])), sorted_lines(&before));
}

#[test]
fn an_import_stops_at_an_invalid_line_and_needs_a_running_node() {
    let mut node = Release::alone();
    let output = node.verb_with_input(&["import", "-"], b"{\"kind\":\"bucket\"}\n");
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    let stopped = "the import stopped at line 1: it has no name; what was imported stays: correct or remove the \
                   line, then import again";
    assert!(text(&output.stderr).contains(stopped), "{output:?}");
    let output = node.verb(&["import", "/nonexistent/buckets.jsonl"]);
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    let output = node.verb(&["export", "--to", "/nonexistent/buckets.jsonl"]);
    assert!(text(&output.stderr).contains("cannot write /nonexistent/buckets.jsonl: "), "{output:?}");
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    node.kill();
    for words in [&["export"][..], &["import", "-"]] {
        assert_eq!(node.verb(words).status.code(), Some(69), "{words:?}");
    }
}

#[test]
fn the_log_names_a_bucket_in_which_an_import_broke_off() {
    let node = Release::alone();
    let entry =
        |number| format!("{{\"kind\":\"entry\",\"name\":\"large\",\"field\":\"{number}\",\"value\":\"\"}}\n");
    let bucket = "{\"kind\":\"bucket\",\"name\":\"large\"}\n".to_owned();
    let lines = (0..6_000).map(entry).fold(bucket, |lines, entry| lines + &entry);
    let output = node.verb_with_input(&["import", "-"], (lines.clone() + "end\n").as_bytes());
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    assert!(text(&output.stderr).contains("line 6002: "), "{output:?}");
    node.wait_for_log(&["an import broke off in this bucket", "bucket=\"large\""]);
    // Another one goes on there.
    let output = node.verb_with_input(&["import", "-"], lines.as_bytes());
    assert!(output.status.success() && output.stderr.is_empty(), "{output:?}");
    let stdout = text(&output.stdout);
    assert!(stdout.starts_with("imported 0 buckets with "), "{stdout}");
    assert!(stdout.ends_with("\ncompleted 1 bucket in which an import had broken off"), "{stdout}");
    assert_eq!(sorted_lines(&node.verb(&["export"])).len(), 6_001);
    let output = node.verb_with_input(&["import", "-", "--replace"], lines.as_bytes());
    assert_eq!(text(&output.stdout), "imported 1 bucket with 6000 entries, and 0 strings", "{output:?}");
}

#[test]
fn an_export_has_the_buckets_of_one_node_and_an_import_goes_to_their_owners() {
    let pair = Pair::start();
    pair.foo.fill();
    let (foo, bar) = (pair.foo.verb(&["export"]), pair.bar.verb(&["export"]));
    assert!(text(&foo.stderr).contains(&format!("the buckets of {BAR} are not included")), "{foo:?}");
    assert!(text(&bar.stdout).contains("shopping") && !text(&bar.stdout).contains("colors"), "{bar:?}");
    assert!(text(&foo.stdout).contains("colors") && !text(&foo.stdout).contains("shopping"), "{foo:?}");
    let elsewhere = pair.foo.verb(&["export", "shopping"]);
    assert!(
        text(&elsewhere.stderr).contains(&format!("belongs to {BAR}: run `export` there")),
        "{elsewhere:?}"
    );

    let other = Pair::start();
    let both = [&foo.stdout[..], &bar.stdout[..]].concat();
    let output = other.foo.verb_with_input(&["import", "-"], &both);
    assert_eq!(text(&output.stdout), "imported 4 buckets with 4 entries, and 2 strings", "{output:?}");
    assert_eq!(sorted_lines(&other.foo.verb(&["export"])), sorted_lines(&foo));
    assert_eq!(sorted_lines(&other.bar.verb(&["export"])), sorted_lines(&bar));
    let again = other.bar.verb_with_input(&["import", "-"], &both);
    assert!(again.status.success() && again.stderr.is_empty(), "{again:?}");
    assert!(text(&again.stdout).ends_with("found 6 names with all that was to be imported"), "{again:?}");
}

#[test]
fn a_large_bucket_crosses_in_pages_and_a_large_value_in_one() {
    let node = Release::alone();
    let mut resp = node.resp();
    for start in (0..100_000).step_by(1_000) {
        let fields: String =
            (start..start + 1_000).map(|number| format!(" field{number} {number}")).collect();
        resp.ask(&format!("HSET large{fields}"));
    }
    resp.ask("SETRANGE value 3000000 x");
    let exported = node.verb(&["export"]);
    let other = Release::alone();
    let output = other.verb_with_input(&["import", "-"], &exported.stdout);
    assert_eq!(text(&output.stdout), "imported 1 bucket with 100000 entries, and 1 string", "{output:?}");
    assert_eq!(other.resp().ask("HLEN large"), r":100000\r\n");
    assert_eq!(sorted_lines(&other.verb(&["export"])), sorted_lines(&exported));
}

#[test]
fn a_hash_that_is_too_large_for_copy_gets_another_name_by_export_and_import() {
    let node = Release::alone();
    let mut resp = node.resp();
    for start in (0..30_000).step_by(1_000) {
        let fields: String = (start..start + 1_000).map(|number| format!(" {number} 1")).collect();
        resp.ask(&format!("HSET large{fields}"));
    }
    let refused = resp.ask("COPY large other");
    assert!(refused.starts_with("-ERR command too large: one step may touch 20000 keys"), "{refused}");
    let lines =
        text(&node.verb(&["export", "large"]).stdout).replace(r#""name":"large""#, r#""name":"other""#);
    let output = node.verb_with_input(&["import", "-"], lines.as_bytes());
    assert_eq!(text(&output.stdout), "imported 1 bucket with 30000 entries, and 0 strings", "{output:?}");
    assert_eq!(["HLEN large", "HLEN other"].map(|line| resp.ask(line)), [r":30000\r\n"; 2]);
}
