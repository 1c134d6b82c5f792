//! Channels between connections, and the channel of a bucket's changes: on one node, and with the bucket on another.

use redis::{Client, Commands, Msg};
use std::{
    io::{Read, Write},
    net::{Shutdown, TcpStream},
    thread,
};
use tests::{PATIENCE, Pair, Release, resp::command};

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

#[test]
fn a_client_that_never_stops_asking_hears_messages_all_the_same() {
    const BYTES_MEANWHILE: usize = 32 * 1024 * 1024;
    let node = Release::alone();
    let mut busy = TcpStream::connect(node.clients()).unwrap();
    busy.set_read_timeout(Some(PATIENCE)).unwrap();
    busy.write_all(&[command(&["HELLO", "3"]), command(&["SUBSCRIBE", "news"])].concat()).unwrap();
    let mut asking = busy.try_clone().unwrap();
    let asking =
        thread::spawn(move || while asking.write_all(&command(&["GET", "milk"]).repeat(1_000)).is_ok() {});
    let mut heard = [0; 64 * 1024];
    // The answers to what is asked come after the confirmation.
    (0..16).for_each(|_| busy.read_exact(&mut heard).unwrap());
    assert_eq!(node.resp().ask("PUBLISH news !"), r":1\r\n");
    let hears = (0..BYTES_MEANWHILE / heard.len()).any(|_| {
        busy.read_exact(&mut heard).unwrap();
        heard.contains(&b'!')
    });
    busy.shutdown(Shutdown::Both).unwrap();
    asking.join().unwrap();
    assert!(hears, "the message does not come");
}
