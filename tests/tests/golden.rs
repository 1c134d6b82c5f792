//! The golden sessions, byte for byte: alone, and over two nodes. Each has fresh nodes, so it says all that it needs.

use tests::{Pair, Release, golden};

#[test]
fn on_a_single_node() {
    for start in [Release::alone, Release::alone_by_epoll] {
        for (name, session) in golden::sessions("both") {
            golden::play(&mut start().client(), &name, &session);
        }
    }
}

#[test]
fn over_two_nodes() {
    for folder in ["both", "pair"] {
        for (name, session) in golden::sessions(folder) {
            let pair = Pair::start();
            golden::play(&mut pair.foo.client(), &name, &session);
        }
    }
}

#[test]
fn the_readme_shows_what_happens() {
    let page = include_str!("../../README.md");
    golden::play(&mut Release::alone().client(), "README.md", &golden::transcript(page));
}
