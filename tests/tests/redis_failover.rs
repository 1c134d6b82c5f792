//! The errors of Redis clients when a node dies: which commands were done, and which may be sent again.

use redis::{Commands, RetryMethod, Value};
use tests::{BAR, Pair, RespClient};

/// The codes after which go-redis sends a command again; a pipeline as a whole, if its first reply has one.
const RETRIED_BY_GO_REDIS: [&str; 6] =
    ["LOADING ", "READONLY ", "CLUSTERDOWN ", "TRYAGAIN ", "MASTERDOWN ", "NOREPLICAS "];

fn is_retried_by_go_redis(reply: &str) -> bool {
    RETRIED_BY_GO_REDIS
        .iter()
        .any(|code| reply.strip_prefix('-').is_some_and(|error| error.starts_with(code)))
}

/// A pair whose bar is known to be down.
fn pair_without_bar() -> Pair {
    let mut pair = Pair::start();
    pair.bar.kill();
    pair.wait_until_unlinked();
    pair
}

#[test]
fn a_node_that_is_down_is_named_and_the_command_may_be_sent_again() {
    let mut pair = Pair::start();
    let client = redis::Client::open(format!("redis://{}/", pair.foo.clients())).expect("an address");
    let mut client = client.get_connection().expect("the node accepts clients");
    () = client.mset(&[("apples", 1), ("shopping", 2)]).unwrap();
    pair.bar.kill();
    pair.wait_until_unlinked();
    for command in [
        &["GET", "shopping"][..],
        &["DBSIZE"],
        &["KEYS", "*"],
        &["DEL", "shopping"],
        &["FLUSHALL"],
        &["MSET", "apples", "3", "shopping", "4"],
        &["DEL", "apples", "shopping"],
        &["MGET", "apples", "shopping"],
        &["WATCH", "shopping"],
    ] {
        let refused = redis::cmd(command[0]).arg(&command[1..]).query::<Value>(&mut client).unwrap_err();
        let text = refused.to_string();
        assert!(text.contains(BAR) && text.contains("is down"), "{command:?}: {text}");
        assert_eq!(refused.code(), Some("CLUSTERDOWN"), "{command:?}");
        assert!(matches!(refused.retry_method(), RetryMethod::WaitAndRetry), "{command:?}");
    }
    assert_eq!(client.get("apples"), Ok(1), "nothing was done on any node");
    () = client.set("apples", 2).unwrap();
    let read = redis::pipe().atomic().get("apples").query(&mut client);
    assert_eq!(read, Ok(vec![2]), "nothing is watched on any node");
    pair.restart_bar();
    pair.wait_until_linked();
    assert_eq!(client.get("shopping"), Ok(None::<i64>));
}

#[test]
fn a_pipeline_of_which_something_was_done_is_not_sent_again() {
    let pair = pair_without_bar();
    let mut client = pair.foo.resp();
    let reply = |client: &mut RespClient| client.reply().escape_ascii().to_string();
    assert!(is_retried_by_go_redis(&client.ask("GET shopping")), "alone it may be");
    let commands = [
        [&["GET", "shopping"][..], &["INCR", "apples"]],
        [&["MSET", "shopping", "1", "apples", "9"], &["INCR", "apples"]],
        [&["WATCH", "shopping"], &["INCR", "apples"]],
    ];
    for (number, pipeline) in commands.iter().enumerate() {
        client.send(pipeline.iter().map(|words| tests::resp::command(words)).collect::<Vec<_>>().concat());
        let (first, second) = (reply(&mut client), reply(&mut client));
        assert!(first.starts_with("-ERR ") && first.contains("is down"), "{first}");
        assert!(!is_retried_by_go_redis(&first));
        assert_eq!(second, format!(":{}\\r\\n", number + 1));
    }
    client.send([&b"*2\r\n$3\r\nGET\r\n"[..], b"$8\r\nshopping\r\n"].concat());
    assert!(is_retried_by_go_redis(&reply(&mut client)), "the next command is alone again");
    for words in [&["MULTI"][..], &["SET", "shopping", "1"], &["EXEC"]] {
        client.command(words);
    }
    let replies: Vec<_> = (0..3).map(|_| reply(&mut client)).collect();
    assert!(replies[2].contains("is down"), "{replies:?}");
}

#[test]
fn an_error_says_which_keys_were_done_when_a_node_dies_meanwhile() {
    let pair = Pair::start();
    let mut client = pair.foo.resp();
    pair.stall();
    client.command(&["MSET", "apples", "1", "shopping-that-is-held", "2", "bananas", "3", "tea", "4"]);
    pair.wait_for_held(b"shopping-that-is-held");
    pair.cut();
    let reply = String::from_utf8(client.reply()).expect("an error is text");
    assert!(reply.starts_with("-ERR outcome unknown: the link to bar@127.0.0.1 was lost"), "{reply}");
    let keys = "; unknown: \"shopping-that-is-held\", \"tea\"; done: the 2 other keys\r\n";
    assert!(reply.ends_with(keys), "{reply}");
    assert!(!is_retried_by_go_redis(&reply));
    assert_eq!(client.ask("MGET apples bananas"), "*2\\r\\n$1\\r\\n1\\r\\n$1\\r\\n3\\r\\n");
}

#[test]
fn a_transaction_of_several_steps_has_a_reply_for_each_command_when_a_node_dies_meanwhile() {
    let pair = Pair::start();
    let mut client = pair.foo.resp();
    for words in ["MULTI", "SET salt 1", "KEYS *", "SET salt a-value-of-the-second-step", "GET salt"] {
        assert!(client.ask(words).starts_with('+'));
    }
    pair.stall_at(b"a-value-of-the-second-step");
    client.command(&["EXEC"]);
    pair.wait_for_held(b"a-value-of-the-second-step");
    pair.cut();
    let reply = String::from_utf8(client.reply()).expect("text");
    assert!(reply.starts_with("*4\r\n+OK\r\n*1\r\n$4\r\nsalt\r\n-ERR outcome unknown"), "{reply}");
    assert_eq!(client.ask("PING"), "+PONG\\r\\n");
}
