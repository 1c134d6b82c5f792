//! Three whole nodes with a copy of all buckets each: any of them may end, and clients of the others go on.

use std::{
    fs, thread,
    time::{Duration, Instant},
};
use tests::{Registers, Release, RespClient, Signal, TempDir, Trio, text, verb, wait_until};

/// What clients see at most of a leader that has ended.
const FAILOVER: Duration = Duration::from_secs(3);

/// Writes until it is acknowledged. Returns the replies that were errors.
fn write_until_done(client: &mut RespClient, command: &str) -> Vec<String> {
    let mut errors = Vec::new();
    loop {
        let reply = client.ask(command);
        if reply.starts_with('+') || reply.starts_with(':') {
            return errors;
        }
        errors.push(reply);
        thread::sleep(Duration::from_millis(5));
    }
}

#[test]
fn clients_of_every_node_see_one_store() {
    let trio = Trio::start();
    let bucket = |number: usize| format!("shopping{number}");
    assert_eq!(trio.node(0).resp().ask("SET counter 0"), "+OK\\r\\n");
    for (number, node) in trio.running().enumerate() {
        let mut client = node.client();
        assert_eq!(client.ask(&format!("CREATE {}", bucket(number))), "OK");
        client.put(&bucket(number), "milk", &number.to_string());
    }
    for node in trio.running() {
        let (mut client, mut resp) = (node.client(), node.resp());
        for number in 0..3 {
            assert_eq!(client.get(&bucket(number), "milk"), number.to_string());
            let read = format!("$1\\r\\n{number}\\r\\n");
            assert_eq!(resp.ask(&format!("HGET {} milk", bucket(number))), read);
        }
        assert_eq!(resp.ask("DBSIZE"), ":5\\r\\n");
        let role = resp.ask("INFO replication");
        assert!(role.contains("role:master"), "{role}");
        for command in ["MULTI", "INCR counter", "HGET shopping0 milk"] {
            assert!(resp.ask(command).starts_with('+'), "{command}");
        }
        assert!(resp.ask("EXEC").starts_with("*2\\r\\n:"));
    }
    assert_eq!(trio.node(0).resp().ask("GET counter"), "$1\\r\\n3\\r\\n");
    let leader = trio.node(trio.leader());
    let replication = leader.resp().ask("INFO replication");
    assert!(replication.contains("connected_slaves:2"), "{replication}");
}

#[test]
fn when_the_leader_is_killed_the_others_go_on_and_nothing_acknowledged_is_missing() {
    let mut trio = Trio::start();
    let mut acknowledged = 0;
    let mut counted = 0..;
    for round in 0..3 {
        let leader = trio.leader();
        let other = (leader + 1) % 3;
        let mut client = trio.node(other).resp();
        for number in counted.by_ref().take(200) {
            assert_eq!(client.ask(&format!("HSET numbers n{number} {number}")), ":1\\r\\n");
            acknowledged += 1;
        }
        trio.kill(leader);
        let began = Instant::now();
        let errors = write_until_done(&mut client, &format!("SET round {round}"));
        assert!(began.elapsed() < FAILOVER, "{:?}: {errors:?}", began.elapsed());
        // What was refused has not been done; the rest may have been.
        let are_known = |error: &String| {
            error.starts_with("-CLUSTERDOWN range .. has no leader (needs 2 of foo1@127.0.0.1, ")
                || error.starts_with("-ERR outcome unknown")
        };
        assert!(errors.iter().all(are_known), "{errors:?}");
        for node in trio.running() {
            let mut client = node.resp();
            assert_eq!(client.ask("HLEN numbers"), format!(":{acknowledged}\\r\\n"));
            assert_eq!(client.ask("GET round"), format!("${}\\r\\n{round}\\r\\n", round.to_string().len()));
        }
        trio.open(leader);
        trio.wait_until_served();
        trio.wait_until_caught_up();
        let mut again = trio.node(leader).resp();
        assert_eq!(again.ask("HLEN numbers"), format!(":{acknowledged}\\r\\n"));
    }
}

#[test]
fn nodes_are_restarted_one_after_the_other_and_no_write_of_the_others_fails() {
    let mut trio = Trio::start();
    for restarted in 0..3 {
        let others = [(restarted + 1) % 3, (restarted + 2) % 3];
        let mut clients = others.map(|node| trio.node(node).resp());
        let stop = trio.node(restarted).spawn_verb(&["stop"]);
        let began = Instant::now();
        for number in 0.. {
            for client in &mut clients {
                assert_eq!(client.ask(&format!("SET a {number}")), "+OK\\r\\n");
            }
            if began.elapsed() > FAILOVER {
                break;
            }
        }
        let stopped = stop.wait_with_output().expect("our own child");
        assert!(stopped.status.success(), "{stopped:?}");
        trio.end(restarted);
        trio.open(restarted);
        trio.wait_until_served();
        trio.wait_until_caught_up();
    }
}

#[test]
fn what_clients_of_all_nodes_see_has_an_order_whichever_node_is_killed_or_hangs() {
    check_registers(Trio::start(), 9);
}

#[test]
fn confirmed_reads_have_an_order_too() {
    check_registers(Trio::start_with("confirmed"), 3);
}

/// Has clients use registers while nodes are disturbed that often.
fn check_registers(mut trio: Trio, disturbances: usize) {
    assert_eq!(trio.node(0).client().ask("CREATE registers"), "OK");
    let registers = Registers::new(3);
    let wrong = registers.check_while(|| {
        (0..3).for_each(|node| registers.set_node(node, Some(trio.node(node).clients())));
        for disturbance in 0..disturbances {
            registers.wait_for(100);
            let leader = trio.leader();
            match disturbance % 3 {
                0 => {
                    trio.node(leader).signal(Signal::STOP);
                    thread::sleep(FAILOVER);
                    trio.node(leader).signal(Signal::CONT);
                }
                kill => {
                    let killed = (leader + kill - 1) % 3;
                    registers.set_node(killed, None);
                    trio.kill(killed);
                    registers.wait_for(50);
                    trio.open(killed);
                    registers.set_node(killed, Some(trio.node(killed).clients()));
                }
            }
        }
    });
    assert_eq!(wrong, Vec::<String>::new());
    assert!(registers.unknown() > 0, "no request was in flight");
    trio.check_copies();
}

#[test]
fn health_is_ok_or_says_what_is_wrong() {
    assert_eq!(Release::alone().rpc("health").trim(), "ok");
    let mut trio = Trio::start();
    let health = |trio: &Trio| {
        let output = trio.node(0).verb(&["rpc", "health"]);
        let printed = [output.stdout, output.stderr].concat();
        (output.status.code(), text(&printed).to_owned())
    };
    let is_ok = |trio: &Trio| health(trio) == (Some(0), "ok".to_owned());
    wait_until("all is well", || is_ok(&trio));
    trio.kill(1);
    let (code, problems) = health(&trio);
    assert!(code == Some(1) && problems.contains("node foo2@127.0.0.1 is down: "), "{code:?} {problems}");
    trio.kill(2);
    wait_until("there is no leader", || health(&trio).1.contains("range .. has no leader (needs 2 of "));
    trio.open(1);
    trio.open(2);
    trio.wait_until_served();
    wait_until("all is well again", || is_ok(&trio));
}

#[test]
fn a_node_that_was_away_catches_up_and_is_one_of_the_majority_again() {
    let mut trio = Trio::start();
    let leader = trio.leader();
    let [away, other] = [(leader + 1) % 3, (leader + 2) % 3];
    trio.kill(away);
    assert_eq!(trio.node(other).resp().ask("SET missed 1"), "+OK\\r\\n");
    trio.open(away);
    trio.wait_until_served();
    trio.wait_until_caught_up();
    trio.kill(other);
    let mut client = trio.node(away).resp();
    write_until_done(&mut client, "SET later 1");
    trio.kill(leader);
    trio.open(other);
    write_until_done(&mut client, "SET latest 1");
    assert_eq!(client.ask("MGET missed later"), "*2\\r\\n$1\\r\\n1\\r\\n$1\\r\\n1\\r\\n");
}

#[test]
fn the_leader_shows_whether_it_has_a_lease_or_confirms_its_reads() {
    for (reads, shown) in [("lease", ", lease 0."), ("confirmed", ", confirmed reads)")] {
        let trio = Trio::start_with(reads);
        let leader = trio.leader();
        assert!(trio.node(leader).rpc("ranges").contains(shown), "{}", trio.node(leader).rpc("ranges"));
        let other = trio.node((leader + 1) % 3).rpc("ranges");
        assert!(!other.contains(shown), "{other}");
        assert_eq!(trio.node(leader).resp().ask("GET ready"), "$1\\r\\n1\\r\\n");
    }
}

#[test]
fn a_minority_says_that_it_cannot_reach_a_majority_and_serves_nothing() {
    let mut trio = Trio::start();
    let leader = trio.leader();
    let mut client = trio.node(leader).resp();
    let mut telnet = trio.node(leader).client();
    assert_eq!(client.ask("SET a 1"), "+OK\\r\\n");
    trio.kill((leader + 1) % 3);
    trio.kill((leader + 2) % 3);
    thread::sleep(Duration::from_secs(1));
    let none = "range .. has no leader (needs 2 of foo1@127.0.0.1, foo2@127.0.0.1, foo3@127.0.0.1)";
    for command in ["GET a", "DBSIZE", "SET a 2"] {
        let reply = client.ask(command);
        assert!(reply.starts_with(&format!("-CLUSTERDOWN {none}")), "{command}: {reply}");
    }
    let reply = telnet.ask("GET a b");
    assert!(reply.starts_with(&format!("ERROR {none}")), "{reply}");
    trio.open((leader + 1) % 3);
    write_until_done(&mut client, "SET a 3");
    assert_eq!(client.ask("GET a"), "$1\\r\\n3\\r\\n");
}

#[test]
fn a_leader_that_hangs_is_replaced_and_serves_no_old_value_when_it_goes_on() {
    let trio = Trio::start();
    let leader = trio.leader();
    let mut old = trio.node(leader).resp();
    assert_eq!(old.ask("SET a old"), "+OK\\r\\n");
    trio.node(leader).signal(Signal::STOP);
    let mut client = trio.node((leader + 1) % 3).resp();
    write_until_done(&mut client, "SET a new");
    trio.node(leader).signal(Signal::CONT);
    assert_eq!(old.ask("GET a"), "$3\\r\\nnew\\r\\n");
}

#[test]
fn a_node_whose_own_copy_is_damaged_serves_clients_from_the_others() {
    let mut trio = Trio::start();
    let damaged = (trio.leader() + 1) % 3;
    trio.kill(damaged);
    let ranges = fs::read_dir(trio.data_dir(damaged).join("ranges")).expect("a data directory");
    for range in ranges {
        fs::remove_file(range.expect("an entry").path().join("replica")).expect("removed");
    }
    trio.open(damaged);
    trio.wait_until_served();
    let node = trio.node(damaged);
    let state = node.rpc("ranges");
    assert!(state.contains("stopped"), "{state}");
    assert_eq!(node.resp().ask("SET a 1"), "+OK\\r\\n");
    assert_eq!(node.resp().ask("DBSIZE"), ":2\\r\\n");
}

#[test]
fn a_subscriber_learns_that_changes_may_be_missing_and_gets_the_next_ones() {
    let mut trio = Trio::start();
    let leader = trio.leader();
    let other = (leader + 1) % 3;
    let mut writer = trio.node(other).client();
    assert_eq!(writer.ask("CREATE shopping"), "OK");
    let mut subscriber = trio.node(other).client();
    assert_eq!(subscriber.ask("SUBSCRIBE shopping"), "OK");
    writer.put("shopping", "milk", "1");
    assert_eq!(subscriber.line(), "milk SET TO 1");
    trio.kill(leader);
    let interrupted = "ERROR subscription to \"shopping\" was interrupted: changes may be missing; read the \
                       bucket again";
    assert_eq!(subscriber.line(), interrupted);
    thread::sleep(FAILOVER);
    writer.put("shopping", "milk", "2");
    assert_eq!(subscriber.line(), "milk SET TO 2");
}

#[test]
fn a_row_for_two_nodes_and_a_replica_without_a_data_directory_are_refused_with_what_to_do() {
    let file = |nodes: &str, data_dir: &str| {
        format!(
            "cookie = \"weknoweachother\"\n\
             [nodes.\"foo1@127.0.0.1\"]\nlink = \"127.0.0.1:24051\"\n{data_dir}\n\
             [nodes.\"foo2@127.0.0.1\"]\nlink = \"127.0.0.1:24052\"\ndata_dir = \"two\"\n\
             [nodes.\"foo3@127.0.0.1\"]\nlink = \"127.0.0.1:24053\"\ndata_dir = \"three\"\n\
             [[routes]]\nbuckets = \"..\"\nnodes = [{nodes}]\n"
        )
    };
    let three = "\"foo1@127.0.0.1\", \"foo2@127.0.0.1\", \"foo3@127.0.0.1\"";
    let two = "\"foo1@127.0.0.1\", \"foo2@127.0.0.1\"";
    let directory = TempDir::new();
    for (lines, problem) in [
        (file(two, "data_dir = \"one\""), "2 nodes are named: a write needs a majority"),
        (file(three, ""), "has no data_dir, and a replica of \"..\"; write data_dir = \"data/foo1\""),
    ] {
        let path = directory.write("cluster.toml", &lines).display().to_string();
        for words in [&["check-config"][..], &["start"]] {
            let flags = ["--config", &path, "--node", "foo1@127.0.0.1"];
            let output = verb("foo", &[words, &flags[..]].concat());
            assert_eq!(output.status.code(), Some(78), "{output:?}");
            assert!(text(&output.stderr).contains(problem), "{output:?}");
        }
    }
}

#[test]
fn the_file_that_is_shipped_is_one_for_three_nodes() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../rel/cluster.toml");
    for node in ["foo1@127.0.0.1", "foo2@127.0.0.1", "foo3@127.0.0.1"] {
        let output = verb("foo", &["check-config", "--config", path, "--node", node]);
        assert!(output.status.success(), "{output:?}");
        assert!(text(&output.stdout).contains("3 nodes, 1 route"), "{output:?}");
    }
}
