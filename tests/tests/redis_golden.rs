//! Golden sessions of the Redis protocol, byte for byte: alone, over two nodes, and by Redis itself, to which all
//! replies are compared that do not say why they differ.

use tests::{Pair, RedisServer, Release, golden, redis_golden};

#[test]
fn on_a_single_node() {
    for node in [Release::alone(), Release::alone_by_epoll()] {
        for (name, session) in [golden::sessions("resp"), golden::sessions("resp_alone")].concat() {
            redis_golden::play(&mut node.resp(), &name, &session);
        }
    }
}

#[test]
fn over_two_nodes() {
    let pair = Pair::start();
    for (name, session) in [golden::sessions("resp"), golden::sessions("resp_pair")].concat() {
        redis_golden::play(&mut pair.foo.resp(), &name, &session);
    }
}

#[test]
fn by_redis_itself() {
    let Some(redis) = RedisServer::start() else { return };
    for (name, session) in [golden::sessions("resp"), golden::sessions("resp_alone")].concat() {
        redis_golden::play_to_redis(&mut redis.client(), &redis.version(), &name, &session);
    }
}
