//! Golden sessions of the Redis protocol, byte for byte: on one node, on two, and on Redis itself, whose
//! replies must be the same unless the session gives a reason.

use tests::{Pair, RedisServer, Release, golden, redis_golden};

#[test]
fn on_a_single_node() {
    for (node, own) in [
        (Release::alone(), "resp_volatile"),
        (Release::alone_with_epoll(), "resp_volatile"),
        (Release::durable(), "resp_durable"),
    ] {
        let sessions = ["resp", "resp_alone", own].map(golden::sessions);
        for (name, session) in sessions.concat() {
            redis_golden::play(&mut node.resp(), &name, &session);
        }
    }
}

#[test]
fn over_two_nodes() {
    for (directory, pair) in
        [("resp", Pair::start()), ("resp", Pair::durable()), ("resp_pair", Pair::with_holes())]
    {
        for (name, session) in golden::sessions(directory) {
            redis_golden::play(&mut pair.foo.resp(), &name, &session);
        }
    }
}

#[test]
fn by_redis_itself() {
    let Some(redis) = RedisServer::start() else { return };
    for (name, session) in ["resp", "resp_alone", "resp_volatile"].map(golden::sessions).concat() {
        redis_golden::play_to_redis(&mut redis.client(), &redis.version(), &name, &session);
    }
    let Some(redis) = RedisServer::start_durable() else { return };
    for (name, session) in golden::sessions("resp_durable") {
        redis_golden::play_to_redis(&mut redis.client(), &redis.version(), &name, &session);
    }
}
