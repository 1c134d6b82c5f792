//! The resident memory of a node under `storage.max_memory`, while its clients fill and empty it.

use tests::{BAR, FOO, Pair, Release, RespClient, Settings, resp::command, wait_until};

const MIB: usize = 1024 * 1024;

/// The memory for buckets in this test.
const LIMIT: usize = 24 * MIB;

/// What a node holds besides: an eighth of the limit for free blocks, a sixteenth for those that are being
/// moved, a page of each shard, and what the allocator keeps of requests.
const OVERHEAD: usize = LIMIT / 8 + LIMIT / 16 + 32 * MIB / 4 + 24 * MIB;

/// Requests that are sent together.
const BATCH: usize = 200;

/// Batches that the node may refuse in part before it is full: what other shards hold is given back in the
/// background.
const REFUSED: usize = 10_000;

fn used(client: &mut RespClient) -> usize {
    let info = client.ask("INFO memory");
    let used = info.split("used_memory:").nth(1).and_then(|rest| rest.split(r"\r").next());
    used.and_then(|used| used.parse().ok()).expect("a number")
}

fn assert_bounded(node: &Release, before: usize, what: &str) {
    let after = node.resident_bytes();
    assert!(after < before + LIMIT + OVERHEAD, "{what}: {} -> {} MiB", before / MIB, after / MIB);
}

/// Sets as many values of one length as fit. Returns the names.
fn fill(node: &Release, client: &mut RespClient, length: usize, before: usize) -> Vec<String> {
    let (value, mut names, mut refused) = (vec![b'v'; length], Vec::new(), 0);
    while refused == 0 || used(client) < LIMIT / 8 * 7 {
        let batch: Vec<String> =
            (names.len()..names.len() + BATCH).map(|number| format!("{length}:{number}")).collect();
        let sets = batch.iter().map(|name| command(&[b"SET", name.as_bytes(), &value]));
        client.send(sets.collect::<Vec<_>>().concat());
        let refusals = batch.iter().filter(|_| client.reply().starts_with(b"-OOM")).count();
        refused += usize::from(refusals > 0);
        assert!(refused < REFUSED, "refused, although there is room");
        names.extend(batch);
        assert_bounded(node, before, &format!("values of {length}"));
    }
    names
}

#[test]
fn values_of_one_length_after_another_take_the_memory_of_those_that_were_deleted() {
    let node = Release::alone_with("[storage]\nmax_memory = \"24mb\"\n");
    let mut client = node.resp();
    assert_eq!(client.ask("SET milk 1"), r"+OK\r\n");
    let before = node.resident_bytes();
    for length in [1_000, 3_000, 10_000, 30_000] {
        let names = fill(&node, &mut client, length, before);
        for names in names.chunks(BATCH) {
            client.command(
                &[&["DEL"], names.iter().map(String::as_str).collect::<Vec<_>>().as_slice()].concat(),
            );
            assert!(client.reply().starts_with(b":"));
        }
        assert_bounded(&node, before, "after the deletes");
        wait_until("what was deleted is freed", || used(&mut client) < MIB);
    }
    wait_until("memory is given back", || node.resident_bytes() < before + OVERHEAD);
    assert_eq!(client.ask("GET milk"), r"$1\r\n1\r\n");
}

#[test]
fn an_error_for_want_of_memory_names_the_node_that_is_full() {
    let full = Settings {
        head: "cookie = \"weknoweachother\"\nstorage.max_memory = \"1\"\n".into(),
        ..Settings::default()
    };
    let pair = Pair::with(&Settings::default(), &full);
    pair.wait_until_linked();
    let (mut text, mut redis) = (pair.foo.client(), pair.foo.resp());
    let what = |node: &str| {
        format!("out of memory on node {node}: delete something there, or raise its storage.max_memory")
    };
    assert_eq!(["CREATE salt", "CREATE fig"].map(|line| text.ask(line)), ["OK"; 2], "there is room for one");
    assert_eq!(text.ask("CREATE shopping"), format!("ERROR {}", what(BAR)));
    let console = pair.foo.verb(&["rpc", "create shopping"]);
    assert!(String::from_utf8_lossy(&console.stderr).contains(&what(BAR)), "{console:?}");
    // Clients know Redis's words, and the node is behind them.
    let oom = "OOM command not allowed when used memory > 'maxmemory'.";
    assert_eq!(redis.ask("SET shopping 1"), format!(r"-{oom} (node {BAR})\r\n").replace('\'', "\\'"));
    for (words, reply) in [
        ("MULTI", r"+OK\r\n".to_owned()),
        ("SET shopping 1", r"+QUEUED\r\n".to_owned()),
        ("EXEC", format!(r"-EXECABORT Transaction discarded because of: {oom} (node {BAR})\r\n")),
        ("CONFIG SET maxmemory 1", r"+OK\r\n".to_owned()),
        ("SET apples 1", format!(r"-{oom}\r\n")),
    ] {
        assert_eq!(redis.ask(words), reply.replace('\'', "\\'"), "{words}");
    }
    assert_eq!(text.ask("CREATE apples"), format!("ERROR {}", what(FOO)));
}
