//! Three nodes of which some have this version, and some the one before, which `previous_version` names: they
//! link, and open each other's files.

use std::thread;
use tests::{RespClient, Trio};

#[test]
fn nodes_are_upgraded_and_go_back_one_after_the_other_while_the_others_serve() {
    let Some(mut trio) = Trio::start_previous() else { return };
    let mut written = 0;
    for replace_program in [Trio::upgrade, Trio::downgrade] {
        for node in 0..3 {
            let mut clients = [(node + 1) % 3, (node + 2) % 3].map(|other| trio.node(other).resp());
            thread::scope(|scope| {
                let restart = scope.spawn(|| {
                    let stopped = trio.node(node).verb(&["stop"]);
                    assert!(stopped.status.success(), "{stopped:?}");
                    trio.end(node);
                    replace_program(&mut trio, node);
                    trio.open(node);
                    trio.wait_until_served();
                });
                while !restart.is_finished() {
                    for client in &mut clients {
                        write(client, written);
                        written += 1;
                    }
                }
            });
            trio.wait_until_caught_up();
            for node in trio.running() {
                assert_eq!(node.resp().ask("HLEN numbers"), format!(":{written}\\r\\n"));
            }
        }
    }
}

/// Writes until it is acknowledged: on a busy machine a leader may be replaced.
fn write(client: &mut RespClient, number: usize) {
    loop {
        let reply = client.ask(&format!("HSET numbers n{number} 1"));
        if reply.starts_with(':') {
            return;
        }
        let is_known = reply.starts_with("-CLUSTERDOWN ") || reply.starts_with("-ERR outcome unknown");
        assert!(is_known, "{reply}");
    }
}
