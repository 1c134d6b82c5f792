//! The console as a person uses it.

use tests::{BAR, Pair, Release};

#[test]
fn keys_that_are_typed_ahead_or_pasted_are_kept() {
    let node = Release::alone();
    let mut terminal = node.terminal();
    terminal.type_keys("create shopping\rput shopping milk one\rput shopping eggs two\rget shopping milk\r");
    terminal.wait_for("\none\r");
    // A paste, as terminals mark it, with an error in the middle; the last line is accepted by hand.
    terminal.type_keys("\x1b[200~put shopping eggs three\nbogus\nget shopping eggs\n\x1b[201~\r");
    terminal.wait_for("\nthree\r");
    assert!(terminal.screen().contains("unknown command \"bogus\""), "{}", terminal.screen());
    assert_eq!(node.client().get("shopping", "eggs"), "three");
}

#[test]
fn the_syntax_is_shown_while_one_types() {
    let node = Release::alone();
    let mut terminal = node.terminal();
    terminal.type_keys("PUT shopping ");
    terminal.wait_for("KEY VALUE");
}

#[test]
fn words_are_taken_in_both_cases_and_help_has_examples() {
    let node = Release::alone();
    assert_eq!(node.rpc("CREATE shopping").trim(), "OK");
    assert_eq!(node.rpc("Put shopping milk 1").trim(), "OK");
    assert_eq!(node.rpc("GET shopping milk").trim(), "1");
    let help = node.rpc("help PUT");
    assert!(
        help.contains("put BUCKET KEY VALUE") && help.contains("for example: put shopping milk"),
        "{help}"
    );
}

#[test]
fn false_and_pang_come_with_a_reason() {
    let mut pair = Pair::start();
    assert_eq!(pair.foo.rpc("Node.connect(:\"bar@127.0.0.1\")").trim(), "true");
    assert_eq!(pair.foo.rpc("Node.ping(:\"bar@127.0.0.1\")").trim(), ":pong");
    assert_eq!(
        pair.foo.rpc("Node.connect(:baz@127.0.0.1)").trim(),
        "false (the configuration has no node baz@127.0.0.1; add [nodes.\"baz@127.0.0.1\"])"
    );
    pair.bar.kill();
    pair.wait_until_unlinked();
    let pang = pair.foo.rpc("ping bar@127.0.0.1");
    assert!(pang.starts_with(":pang (") && pang.trim().len() > ":pang ()".len(), "{pang}");
    let json = pair.foo.verb(&["rpc", "--json", "connect", BAR]);
    assert_eq!(String::from_utf8_lossy(&json.stdout).trim(), "false");
}

#[test]
fn buckets_and_keys_are_listed_by_prefix_and_page_by_page() {
    const NAMES: usize = 3_000;
    let pair = Pair::start();
    let mut client = pair.foo.resp();
    for prefix in ["apple", "shop"] {
        for index in 0..NAMES {
            client.command(&["HSET", &format!("{prefix}{index}"), "a", "1"]);
        }
    }
    for index in 0..NAMES {
        client.command(&["HSET", "many", &format!("k{index}"), "1"]);
    }
    for _ in 0..3 * NAMES {
        client.reply();
    }
    assert_eq!(all_pages(&pair.foo, "buckets shop"), NAMES);
    assert_eq!(all_pages(&pair.foo, "buckets"), 2 * NAMES + 1);
    assert_eq!(all_pages(&pair.foo, "keys many"), NAMES);
    assert_eq!(all_pages(&pair.foo, "keys many k299"), 11);
    assert_eq!(pair.foo.rpc("keys many nothing").trim(), "none");
}

/// Follows the lines that name the next page, and counts distinct names.
fn all_pages(node: &Release, first: &str) -> usize {
    let (mut names, mut line) = (std::collections::BTreeSet::new(), first.to_owned());
    loop {
        let page = node.rpc(&line);
        names
            .extend(page.lines().filter(|name| !name.starts_with('…') && *name != "none").map(str::to_owned));
        match page.lines().last().and_then(|last| last.strip_prefix("… and more: ")) {
            Some(next) => line = next.to_owned(),
            None => return names.len(),
        }
    }
}

#[test]
fn peek_says_what_a_name_stands_for() {
    let pair = Pair::start();
    let mut client = pair.foo.resp();
    client.ask("HSET shopping milk 1 eggs 3");
    client.ask("SET greeting hello EX 100");
    let bucket = pair.foo.rpc("peek shopping");
    assert!(bucket.starts_with("bucket, 2 keys, does not expire\n"), "{bucket}");
    assert!(bucket.contains("milk  1") && bucket.contains("eggs  3"), "{bucket}");
    let string = pair.foo.rpc("peek greeting");
    assert!(string.starts_with("string, 5 bytes, expires in ") && string.ends_with("\nhello\n"), "{string}");
    assert_eq!(pair.foo.rpc("peek nothing").trim(), "nil");
}
