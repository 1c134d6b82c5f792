//! Durable ranges of another node.

use super::*;
use crate::limits::COPY_BYTES;
use kv::{Args, Command, TransactionLimits, args};
use tempfile::TempDir;

fn command<'a>(name: &str, arguments: &[&[u8]], bulks: &'a mut Vec<u8>) -> Op<'a> {
    arguments.iter().for_each(|argument| args::push(bulks, argument));
    Op::Command { command: Command::find(name).unwrap(), args: Args::new(bulks) }
}

#[tokio::test]
async fn large_requests_and_transactions_reach_the_durable_range_of_another_node() {
    let directory = TempDir::new().unwrap();
    let foo = Node::start(foo_settings()).await;
    let data_dir = Some(directory.path().into());
    let bar = Node::start(Settings { data_dir, ..bar_settings(foo.address()) }).await;
    assert!(foo.cluster.connect(&name("bar")).await);
    soon(bar.cluster.local().ranges()[0].wait_until_loaded()).await;
    let limits = TransactionLimits { bytes: 64 * COPY_BYTES, ..Default::default() };
    bar.cluster.local().set_transaction_limits(limits);
    let values = [b'a', b'b', b'c'].map(|letter| vec![letter; 5 * COPY_BYTES + 7]);
    let [one, two, three, four, five, six, seven] = &mut [const { Vec::new() }; 7];
    let execute = async |op| foo.execute("shopping", op).await.unwrap();
    assert_eq!(execute(command("set", &[&values[0]], one)).await, "Done");
    let is = |reply: &str, value: &[u8]| reply.as_bytes() == value;
    assert!(is(&execute(command("getset", &[&values[1]], two)).await, &values[0]));
    assert!(is(&execute(command("get", &[], four)).await, &values[1]));
    let requests = [command("set", &[&values[2]], three), command("getset", &[b"1"], five)]
        .map(|op| Request::new(b"shopping", op));
    let mut replies = Vec::new();
    let transacted = foo.cluster.transact(&[], &requests, |reply| {
        replies.push(match reply.unwrap() {
            Reply::Value(value) => value == values[2],
            reply => reply == Reply::Done,
        });
    });
    assert_eq!(soon(transacted).await, Ok(true));
    assert_eq!(replies, [true, true]);
    assert_eq!(execute(command("get", &[], six)).await, "1");
    // Without memory, the owner refuses it before it is copied.
    bar.cluster.local().set_memory_limit(Some(COPY_BYTES));
    let large = command("set", &[&values[0]], seven);
    assert!(matches!(foo.execute("shopping", large).await, Err(Error::AtLimit { .. })));
}
