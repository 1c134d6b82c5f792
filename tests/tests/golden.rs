//! The golden sessions, byte for byte: on one node, and on two. Each session starts with new nodes.

use tests::{Pair, Release, golden};

#[test]
fn on_a_single_node() {
    for start in [Release::alone, Release::alone_with_epoll, Release::durable] {
        for (name, session) in golden::sessions("both") {
            golden::play(&mut start().client(), &name, &session);
        }
    }
}

#[test]
fn over_two_nodes() {
    for (directory, start) in
        [("both", Pair::start as fn() -> Pair), ("both", Pair::durable), ("pair", Pair::with_holes)]
    {
        for (name, session) in golden::sessions(directory) {
            golden::play(&mut start().foo.client(), &name, &session);
        }
    }
}

#[test]
fn the_session_of_the_readme_is_true() {
    let page = include_str!("../../README.md");
    golden::play(&mut Release::alone().client(), "README.md", &golden::transcript(page));
}
