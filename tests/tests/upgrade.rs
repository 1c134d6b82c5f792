//! Three nodes of which some have this version, and some the one before, which `previous_version` names: they
//! link, and open each other's files.

use std::thread;
use tests::Trio;

#[test]
fn nodes_are_upgraded_and_go_back_one_after_the_other_and_no_write_of_the_others_fails() {
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
                        assert_eq!(client.ask(&format!("HSET numbers n{written} 1")), ":1\\r\\n");
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
