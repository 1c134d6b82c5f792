//! Which node answers for a bucket, and what happens when none does or two disagree.

use tests::{BAR, FOO, Pair, Settings};

#[test]
fn each_bucket_lives_on_its_owner() {
    let pair = Pair::start();
    let mut client = pair.foo.client();
    for bucket in ["apples", "mangos", "nuts", "zucchini"] {
        assert_eq!(client.ask(&format!("CREATE {bucket}")), "OK");
        client.put(bucket, "where", "here");
        assert_eq!(client.get(bucket, "where"), "here");
    }
    // bar is asked through its control socket, for it takes no clients.
    assert!(pair.bar.rpc("get nuts where").contains("here"));
    assert!(pair.bar.rpc("get apples where").contains("here"), "and asks foo in its turn");
}

#[test]
fn a_hundred_names_without_a_route_leave_the_node_up() {
    let mut pair = Pair::start();
    let mut client = pair.foo.client();
    for number in 0..100 {
        let answer = client.ask(&format!("CREATE {number}abc"));
        assert_eq!(answer, format!("ERROR no route for bucket \"{number}abc\""));
    }
    assert_eq!(client.ask("CREATE apples"), "OK");
    assert!(pair.foo.is_running());
}

#[test]
fn two_nodes_that_disagree_refuse_instead_of_asking_each_other_for_ever() {
    let mine = Settings { routes: vec![("a..z", BAR)], ..Settings::default() };
    let yours = Settings { routes: vec![("a..z", FOO)], ..Settings::default() };
    let pair = Pair::with(&mine, &yours);
    pair.foo.wait_for_log(&["node up", BAR]);
    let answer = pair.foo.client().ask("CREATE apples");
    assert!(answer.starts_with("ERROR ") && answer.contains(BAR), "{answer}");
    pair.foo.client().in_step();
}
