//! Channels between connections, and the channel of a bucket's changes: on one node, and with the bucket on another.

use redis::{Client, Commands, Msg};
use tests::{PATIENCE, Pair, Release};

fn everywhere(conversation: impl Fn(&Release)) {
    conversation(&Release::alone());
    conversation(&Pair::start().foo);
}

fn client_of(node: &Release) -> Client {
    Client::open(format!("redis://{}/", node.clients())).expect("an address")
}

#[test]
fn messages_reach_channels_and_patterns_in_order() {
    everywhere(|node| {
        let client = client_of(node);
        let (mut listening, mut speaking) =
            (client.get_connection().unwrap(), client.get_connection().unwrap());
        let mut listening = listening.as_pubsub();
        listening.set_read_timeout(Some(PATIENCE)).unwrap();
        listening.subscribe("news").unwrap();
        listening.psubscribe("new*").unwrap();
        for number in 0..100 {
            assert_eq!(speaking.publish("news", number), Ok(2));
        }
        assert_eq!(speaking.publish("newest", "!"), Ok(1));
        assert_eq!(speaking.publish("old", "?"), Ok(0));
        for number in 0..100 {
            let mut heard = [listening.get_message().unwrap(), listening.get_message().unwrap()];
            heard.sort_by_key(Msg::from_pattern);
            assert!(heard.iter().all(|message| message.get_payload() == Ok(number)));
            assert_eq!(heard[1].get_pattern(), Ok("new*".to_owned()));
        }
        assert_eq!(listening.get_message().unwrap().get_channel_name(), "newest");
        listening.unsubscribe("news").unwrap();
        assert_eq!(speaking.publish("news", "!"), Ok(1));
    });
}

#[test]
fn a_buckets_changes_are_messages() {
    everywhere(|node| {
        let client = client_of(node);
        let (mut listening, mut writing) =
            (client.get_connection().unwrap(), client.get_connection().unwrap());
        () = writing.hset("shopping", "milk", 1).unwrap();
        let mut listening = listening.as_pubsub();
        listening.set_read_timeout(Some(PATIENCE)).unwrap();
        listening.subscribe("__bucket__:shopping").unwrap();
        () = writing.hset("shopping", "eggs", 2).unwrap();
        () = writing.hdel("shopping", "milk").unwrap();
        node.client().put("shopping", "milk", "3");
        () = writing.del("shopping").unwrap();
        for change in ["eggs SET TO 2", "milk DELETED", "milk SET TO 3", "ENDED: the bucket was dropped"] {
            let heard = listening.get_message().unwrap();
            assert_eq!(heard.get_channel_name(), "__bucket__:shopping");
            assert_eq!(heard.get_payload(), Ok(change.to_owned()));
        }
    });
}
