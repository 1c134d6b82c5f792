//! Tests of turns: what a peer sends is executed in order, however it is divided.

use super::*;
use crate::{
    limits::{COPY_BYTES, FRAME_BYTES, STEP_REQUESTS},
    link::{buffers::ReadBuffer, codec::ForwardedReply, send_queue::SendQueue},
    tests::local_node,
};
use kv::{Backlog, Reply, Topic};

/// The receiving side of a link, and what it replies.
struct Served {
    inbound: Inbound,
    output: WriteBuffer,
}

impl Served {
    fn new() -> Served {
        let local = local_node();
        let link = Arc::new(Link::new(local.name.clone()));
        Served { inbound: Inbound::new(local, link), output: WriteBuffer::default() }
    }

    fn receive(&mut self, message: &Message<'_>, requests: &[Request<'_>]) -> Result<(), LinkClosed> {
        let (mut queue, mut input) = (SendQueue::default(), ReadBuffer::default());
        let mut writer = MessageWriter::begin(&mut queue, message);
        requests.iter().for_each(|request| assert!(writer.push_item_within(FRAME_BYTES, request)));
        writer.finish();
        input.reserve().extend_from_slice(&queue.frames);
        self.inbound.receive(input.next_frame().unwrap().unwrap().into(), &mut self.output)
    }

    /// A turn of the link's task.
    fn turn(&mut self) {
        self.inbound.begin_turn();
        self.inbound.publish(&mut self.output);
        self.inbound.run_deferred(&mut self.output).unwrap();
    }

    /// The ids of the calls and queries that have been replied to since the last time, with what was read or
    /// counted.
    fn replies(&mut self) -> Vec<(u32, String)> {
        let (mut replies, mut reassembly) = (Vec::new(), Reassembly::default());
        loop {
            self.output.push_fragment();
            if self.output.unwritten().is_empty() {
                return replies;
            }
            let mut input = ReadBuffer::default();
            input.reserve().extend_from_slice(self.output.unwritten());
            self.output.advance(input.reserve().len());
            while let Some(frame) = input.next_frame().unwrap() {
                match codec::decode_frame(frame).unwrap().0 {
                    Message::Fragment { remaining, bytes } => {
                        replies.extend(reassembly.push(remaining, bytes).unwrap().map(|whole| reply(&whole)));
                    }
                    _ => replies.push(reply(frame)),
                }
            }
        }
    }
}

/// The id of a reply, and what was read or counted.
fn reply(message: &[u8]) -> (u32, String) {
    match codec::decode_frame(message).unwrap() {
        (Message::Replies { id }, items) => {
            let last = codec::Items::<ForwardedReply<'_>>::new(items).map(Result::unwrap).last();
            let value = match last {
                Some(ForwardedReply::Reply(Reply::Value(value))) => String::from_utf8_lossy(value).into(),
                other => format!("{other:?}"),
            };
            (id, value)
        }
        (Message::Transacted { id, result }, _) => (id, format!("{result:?}")),
        (Message::NodeReply { id, reply: NodeReply::Counts(counts) }, _) => (id, format!("{counts:?}")),
        (other, _) => panic!("{other:?}"),
    }
}

fn put_and_get(value: &str) -> [Request<'_>; 3] {
    let ops = [Op::Create, Op::Put { key: b"milk", value: value.as_bytes() }, Op::Get { key: b"milk" }];
    ops.map(|op| Request::new(b"shopping", op))
}

#[test]
fn requests_after_the_end_of_a_turn_wait_for_the_next_and_keep_their_order() {
    let mut served = Served::new();
    served.inbound.turn = Turn::Over;
    for id in 0..3 {
        served.receive(&Message::Call { id }, &put_and_get(&id.to_string())).unwrap();
    }
    served.receive(&Message::Heartbeat, &[]).unwrap();
    assert_eq!(served.replies(), []);
    // The clock says that the turn has begun long ago.
    served.inbound.turn = Turn::Since(0);
    served.inbound.run_deferred(&mut served.output).unwrap();
    assert!(served.replies().is_empty() && served.inbound.has_work(&served.output));
    served.turn();
    served.receive(&Message::Call { id: 3 }, &put_and_get("3")).unwrap();
    while served.inbound.has_work(&served.output) {
        served.turn();
    }
    assert_eq!(served.replies(), [0, 1, 2, 3].map(|id| (id, id.to_string())));
    assert_eq!(served.inbound.deferred_bytes, 0);
}

#[tokio::test]
async fn other_calls_are_executed_while_large_arguments_are_copied() {
    let mut served = Served::new();
    let (large, put) = (vec![b'x'; FRAME_BYTES / 2], |value| Op::Put { key: b"milk", value });
    served.receive(&Message::Call { id: 0 }, &put_and_get("1")[..1]).unwrap();
    assert_eq!(served.replies().len(), 1);
    let link = Link::new(served.inbound.local.name.clone());
    let requests = [&b"1"[..], &large, b"2", b"3"].map(|value| Request::new(b"shopping", put(value)));
    assert_eq!(link.call(&requests).unwrap().0, 1, "the large request is alone in the next call");
    assert_eq!(link.call(&requests[1..]).unwrap().0, 1);
    served.inbound.begin_turn();
    served.receive(&Message::Call { id: 1 }, &requests[1..2]).unwrap();
    served.inbound.begin_turn();
    served.receive(&Message::Call { id: 2 }, &put_and_get("2")).unwrap();
    assert_eq!(served.replies(), [(2, "2".into())]);
    assert!(served.inbound.deferred_bytes > large.len(), "it counts until it is executed");
    served.inbound.progress(&mut served.output).await;
    assert_eq!(served.replies(), [(1, "Some(Reply(Done))".into())]);
    served.inbound.begin_turn();
    served.receive(&Message::Call { id: 3 }, &put_and_get("3")).unwrap();
    assert_eq!(served.replies(), [(3, "3".into())]);
    assert_eq!(served.inbound.deferred_bytes, 0);
}

#[test]
fn a_call_has_no_more_requests_than_one_client_may_have_waiting() {
    let mut served = Served::new();
    let request = Request::new(b"shopping", Op::Create);
    served.receive(&Message::Call { id: 0 }, &[request; CALL_REQUESTS]).unwrap();
    served.inbound.begin_turn();
    assert!(served.receive(&Message::Call { id: 1 }, &[request; CALL_REQUESTS + 1]).is_err());
    let link = Link::new(served.inbound.local.name.clone());
    assert_eq!(link.call(&[request; 10 * CALL_REQUESTS]).unwrap().0, CALL_REQUESTS);
}

#[test]
fn a_call_that_takes_longer_than_a_turn_is_replied_to_in_part() {
    let mut served = Served::new();
    let mut pairs = Vec::new();
    for field in 0..2_000 {
        [format!("field{field}"), "1".into()]
            .iter()
            .for_each(|word| kv::args::push(&mut pairs, word.as_bytes()));
    }
    let mut no_field = Vec::new();
    for word in ["0", "MATCH", "nothing", "COUNT", "1000"] {
        kv::args::push(&mut no_field, word.as_bytes());
    }
    let op =
        |name, args| Op::Command { command: kv::Command::find(name).unwrap(), args: kv::Args::new(args) };
    let request = |name, args| Request::new(b"hash", op(name, args));
    served.receive(&Message::Call { id: 0 }, &[request("hset", &pairs)]).unwrap();
    served.inbound.begin_turn();
    served.receive(&Message::Call { id: 1 }, &[request("hscan", &no_field); CALL_REQUESTS]).unwrap();
    let mut input = ReadBuffer::default();
    input.reserve().extend_from_slice(served.output.unwritten());
    let replies = std::iter::from_fn(|| {
        let (_, items) = codec::decode_frame(input.next_frame().unwrap()?).unwrap();
        Some(CallReplies::decode(items).unwrap().len())
    });
    let replies: Vec<_> = replies.collect();
    assert!(replies[0] == 1 && (STEP_REQUESTS..CALL_REQUESTS).contains(&replies[1]), "{replies:?}");
}

#[test]
fn a_publication_takes_many_turns_and_calls_are_executed_between_them() {
    let mut served = Served::new();
    let subscriber = served.inbound.local.channels.subscriber(&Backlog::new(1024 * 1024, |_, _| {}));
    for number in 0..100 {
        let pattern = format!("*{}{number}b*", "a".repeat(8_000));
        assert_eq!(subscriber.subscribe(Topic::Pattern(pattern.as_bytes())), Ok(true));
    }
    assert_eq!(subscriber.subscribe(Topic::Pattern(b"a*")), Ok(true));
    let channel = [b'a'; 16 * 1024];
    for (id, channel) in [(0, &channel[..]), (1, b"b"), (2, &channel)] {
        let query = NodeQuery::Publish { channel, payload: b"message" };
        served.receive(&Message::NodeQuery { id, query }, &[]).unwrap();
    }
    let mut turns = 0;
    let mut replies = Vec::new();
    while served.inbound.has_work(&served.output) {
        served.turn();
        served.inbound.begin_turn();
        served.receive(&Message::Call { id: 7 }, &put_and_get("1")).unwrap();
        let mut replied = served.replies();
        assert_eq!(replied.pop(), Some((7, "1".into())));
        replies.extend(replied);
        turns += 1;
    }
    assert_eq!(replies, [(0, "[1]".into()), (1, "[0]".into()), (2, "[1]".into())]);
    assert!(turns > 50, "{turns}");
    assert_eq!(served.inbound.deferred_bytes, 0);
}

#[tokio::test]
async fn other_calls_are_executed_while_a_large_reply_is_copied() {
    let mut served = Served::new();
    let value = "x".repeat(5 * COPY_BYTES / 2);
    served.receive(&Message::Call { id: 0 }, &put_and_get(&value)[..2]).unwrap();
    assert_eq!(served.replies(), [(0, "Some(Reply(Done))".into())]);
    let [.., get] = put_and_get("");
    served.inbound.begin_turn();
    served.receive(&Message::Call { id: 1 }, &[get, get]).unwrap();
    assert_eq!(served.inbound.slow_calls.reply_bytes(), value.len(), "one reply in a message");
    served.inbound.begin_turn();
    served.receive(&Message::Call { id: 2 }, &put_and_get("2")).unwrap();
    assert_eq!(served.replies(), [(2, "2".into())]);
    served.inbound.progress(&mut served.output).await;
    assert!(served.replies() == [(1, value)]);
    assert_eq!(served.inbound.slow_calls.reply_bytes(), 0);
}

#[tokio::test]
async fn other_calls_are_executed_while_the_values_of_a_large_transaction_are_copied() {
    let mut served = Served::new();
    served.receive(&Message::Call { id: 0 }, &put_and_get("1")).unwrap();
    let value = vec![b'x'; 5 * COPY_BYTES / 2];
    let put = Request::new(b"shopping", Op::Put { key: b"milk", value: &value });
    let transact = Message::Transact { id: 1, watched: Vec::new() };
    served.inbound.begin_turn();
    served.receive(&transact, &[put]).unwrap();
    served.inbound.begin_turn();
    served.receive(&Message::Call { id: 2 }, &put_and_get("2")).unwrap();
    assert_eq!(served.replies(), [(0, "1".into()), (2, "2".into())]);
    served.inbound.progress(&mut served.output).await;
    assert_eq!(served.replies(), [(1, "Executed".into())]);
    served.inbound.begin_turn();
    served.receive(&Message::Call { id: 3 }, &put_and_get("")[2..]).unwrap();
    served.inbound.progress(&mut served.output).await;
    assert!(served.replies() == [(3, String::from_utf8(value).unwrap())]);
    assert_eq!(served.inbound.deferred_bytes, 0);
}
