//! What several clients see of a durable node that is killed: each key is a register, whose writes take
//! effect between request and reply, once, and stay.

use tests::{Registers, Release, wait_until};

/// Kills of a sound node, and of one with a fault that must be found.
const KILLS: u64 = 6;
const KILLS_WITH_FAULT: u64 = 20;

/// Kills the node again and again under load. Returns what clients have seen that cannot be.
fn kill_and_check(registers: &Registers, mut node: Release, kills: u64) -> Vec<String> {
    let mut client = node.client();
    wait_until("the bucket is made", || client.ask("CREATE registers") == "OK");
    registers.check_while(|| {
        for kill in 0..=kills {
            registers.set_node(0, Some(node.clients()));
            registers.wait_for(100 + kill * 37 % 100);
            registers.set_node(0, None);
            node.kill();
            if kill < kills {
                node.restart();
            }
        }
    })
}

#[test]
fn what_clients_see_of_a_node_that_is_killed_has_an_order() {
    let registers = Registers::new(1);
    assert_eq!(kill_and_check(&registers, Release::durable(), KILLS), Vec::<String>::new());
    assert!(registers.unknown() > 0, "no request was in flight at a kill");
}

#[test]
#[ignore = "builds foo twice; .ci/run does"]
fn histories_show_the_faults_of_builds_that_have_some() {
    for fault in ["answer_before_sync", "stale_read"] {
        let node = Release::durable_with_fault(fault);
        node.wait_for_log(&["WARN", "fault", fault]);
        let wrong = kill_and_check(&Registers::new(1), node, KILLS_WITH_FAULT);
        assert_ne!(wrong, Vec::<String>::new(), "{fault} was not found");
    }
}
