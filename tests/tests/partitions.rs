//! Three nodes on machines of their own, whose network fails.

use tests::{Network, Traffic, Trio, wait_until};

#[test]
fn a_leader_that_receives_and_is_not_received_is_replaced_and_serves_nothing() {
    let Some(network) = Network::new() else { return };
    let trio = Trio::start_on(network);
    let network = trio.network().expect("it has one");
    let old = trio.leader();
    let mut client = trio.node(old).resp();
    assert_eq!(client.ask("SET a old"), "+OK\\r\\n");
    network.set(|from, _| if from == old { Traffic::Cut } else { Traffic::Passes });
    let mut other = trio.node((old + 1) % 3).resp();
    wait_until("the others go on", || other.ask("SET a new") == "+OK\\r\\n");
    let reply = client.ask("GET a");
    assert!(reply.starts_with("-CLUSTERDOWN"), "{reply}");
    network.heal();
    wait_until("it follows", || client.ask("GET a") == "$3\\r\\nnew\\r\\n");
    trio.wait_until_caught_up();
}
