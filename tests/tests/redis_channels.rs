//! Channels between connections, and the channel of a bucket's changes: on one node, and with the bucket on
//! another.

use redis::{Client, Commands, Msg};
use std::{
    io::{Read, Write},
    net::{Shutdown, TcpStream},
    thread,
};
use tests::{Pair, Release, TIMEOUT, resp::command};

fn on_one_node_and_two(session: impl Fn(&Release)) {
    session(&Release::alone());
    session(&Pair::start().foo);
}

fn client_of(node: &Release) -> Client {
    Client::open(format!("redis://{}/", node.clients())).expect("an address")
}

#[test]
fn messages_reach_channels_and_patterns_in_order() {
    on_one_node_and_two(|node| {
        let client = client_of(node);
        let (mut subscriber, mut publisher) =
            (client.get_connection().unwrap(), client.get_connection().unwrap());
        let mut subscriber = subscriber.as_pubsub();
        subscriber.set_read_timeout(Some(TIMEOUT)).unwrap();
        subscriber.subscribe("news").unwrap();
        subscriber.psubscribe("new*").unwrap();
        for number in 0..100 {
            assert_eq!(publisher.publish("news", number), Ok(2));
        }
        assert_eq!(publisher.publish("newest", "!"), Ok(1));
        assert_eq!(publisher.publish("old", "?"), Ok(0));
        for number in 0..100 {
            let mut received = [subscriber.get_message().unwrap(), subscriber.get_message().unwrap()];
            received.sort_by_key(Msg::from_pattern);
            assert!(received.iter().all(|message| message.get_payload() == Ok(number)));
            assert_eq!(received[1].get_pattern(), Ok("new*".to_owned()));
        }
        assert_eq!(subscriber.get_message().unwrap().get_channel_name(), "newest");
        subscriber.unsubscribe("news").unwrap();
        assert_eq!(publisher.publish("news", "!"), Ok(1));
    });
}

#[test]
fn a_buckets_changes_are_messages() {
    on_one_node_and_two(|node| {
        let client = client_of(node);
        let (mut subscriber, mut writer) =
            (client.get_connection().unwrap(), client.get_connection().unwrap());
        () = writer.hset("shopping", "milk", 1).unwrap();
        let mut subscriber = subscriber.as_pubsub();
        subscriber.set_read_timeout(Some(TIMEOUT)).unwrap();
        subscriber.subscribe("__bucket__:shopping").unwrap();
        () = writer.hset("shopping", "eggs", 2).unwrap();
        () = writer.hdel("shopping", "milk").unwrap();
        node.client().put("shopping", "milk", "3");
        () = writer.del("shopping").unwrap();
        for change in ["eggs SET TO 2", "milk DELETED", "milk SET TO 3", "ENDED: the bucket was dropped"] {
            let received = subscriber.get_message().unwrap();
            assert_eq!(received.get_channel_name(), "__bucket__:shopping");
            assert_eq!(received.get_payload(), Ok(change.to_owned()));
        }
    });
}

#[test]
fn a_client_that_never_stops_sending_receives_messages_too() {
    const BYTES_MEANWHILE: usize = 32 * 1024 * 1024;
    let node = Release::alone();
    let mut busy = TcpStream::connect(node.clients()).unwrap();
    busy.set_read_timeout(Some(TIMEOUT)).unwrap();
    busy.write_all(&[command(&["HELLO", "3"]), command(&["SUBSCRIBE", "news"])].concat()).unwrap();
    let mut requests = busy.try_clone().unwrap();
    let sender =
        thread::spawn(move || while requests.write_all(&command(&["GET", "milk"]).repeat(1_000)).is_ok() {});
    let mut received = [0; 64 * 1024];
    // The replies come after the confirmation.
    (0..16).for_each(|_| busy.read_exact(&mut received).unwrap());
    assert_eq!(node.resp().ask("PUBLISH news !"), r":1\r\n");
    let has_arrived = (0..BYTES_MEANWHILE / received.len()).any(|_| {
        busy.read_exact(&mut received).unwrap();
        received.contains(&b'!')
    });
    busy.shutdown(Shutdown::Both).unwrap();
    sender.join().unwrap();
    assert!(has_arrived, "the message does not arrive");
}
