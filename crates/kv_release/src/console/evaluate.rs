//! Does what a [`Command`] says and answers with a value.

use super::{
    grammar::{self, Command},
    node::{ControlCommand, Node},
    render::{Answer, Names, NodeRow, RouteRow, Status},
};
use crate::limits::CONSOLE_NAMES;
use kv::{CommandError, Component, Op, Reply, Request};
use kv_cluster::{Error, NodeName};
use std::time::UNIX_EPOCH;

/// Evaluates one line. The error is a line for the person who typed it.
pub(crate) async fn evaluate(node: &Node, line: &str) -> Result<Answer, String> {
    match grammar::parse(line)? {
        Command::Help => Ok(Answer::Help),
        Command::Status => Ok(Answer::Status(status(node))),
        Command::Node => Ok(Answer::Node(node.cluster.node_name().to_string())),
        Command::List => Ok(Answer::List(up_elsewhere(node))),
        Command::Nodes => Ok(Answer::Nodes(nodes(node))),
        Command::Connect(name) => connect(node, &name).await,
        Command::Routes => Ok(Answer::Routes(routes(node))),
        Command::Buckets => Ok(buckets(node).await),
        Command::Tree { children } => tree(node, children),
        Command::Create { bucket } => ask(node, &bucket, Op::Create).await,
        Command::Put { bucket, key, value } => ask(node, &bucket, Op::Put { key: &key, value: &value }).await,
        Command::Get { bucket, key } => ask(node, &bucket, Op::Get { key: &key }).await,
        Command::Delete { bucket, key } => ask(node, &bucket, Op::Delete { key: &key }).await,
        Command::Drop { bucket } => ask(node, &bucket, Op::Drop).await,
        Command::Crash { bucket } => ask(node, &bucket, Op::Crash).await,
        Command::Keys { bucket } => keys(node, &bucket).await,
        Command::CrashRegistry => {
            node.cluster.local().crash(Component::Registry);
            Ok(Answer::Done)
        }
        Command::Pid => Ok(Answer::Number(std::process::id())),
        Command::Version => Ok(Answer::Text(format!("{} {}", node.release, node.version))),
        Command::Stop => Ok(send(node, ControlCommand::Stop)),
        Command::Restart => Ok(send(node, ControlCommand::Restart)),
    }
}

fn send(node: &Node, command: ControlCommand) -> Answer {
    node.send(command);
    Answer::Done
}

fn status(node: &Node) -> Status {
    let started = node.started.duration_since(UNIX_EPOCH).unwrap_or_default();
    Status {
        node: node.cluster.node_name().to_string(),
        release: node.release,
        version: node.version,
        pid: std::process::id(),
        clients: node.clients.map(|address| address.to_string()),
        link: node.link.map(|address| address.to_string()),
        config: node.file.as_ref().map(|file| file.display().to_string()),
        memory: node.cluster.local().stats().into(),
        up_seconds: node.started.elapsed().unwrap_or_default().as_secs(),
        started_unix_ms: u64::try_from(started.as_millis()).unwrap_or(u64::MAX),
    }
}

fn up_elsewhere(node: &Node) -> Vec<String> {
    node.cluster.nodes().into_iter().filter(|row| row.up).map(|row| row.name.to_string()).collect()
}

fn nodes(node: &Node) -> Vec<NodeRow> {
    let me = NodeRow { node: node.cluster.node_name().to_string(), up: true, me: true, reason: None };
    let others = node.cluster.nodes().into_iter().map(|row| NodeRow {
        node: row.name.to_string(),
        up: row.up,
        me: false,
        reason: row.reason.map(|reason| reason.to_string()),
    });
    [me].into_iter().chain(others).collect()
}

/// `true` or `false`, as in Elixir; only what is no name of a node is an error.
async fn connect(node: &Node, name: &str) -> Result<Answer, String> {
    let name: NodeName = name.parse().map_err(|error| format!("{error}"))?;
    Ok(Answer::Truth(node.cluster.connect(&name).await))
}

fn routes(node: &Node) -> Vec<RouteRow> {
    let rows = node.cluster.routes().rows().iter();
    rows.map(|row| RouteRow { buckets: row.buckets().to_owned(), node: row.owner().to_string() }).collect()
}

fn tree(node: &Node, children: usize) -> Result<Answer, String> {
    let root = node.root.get().ok_or("the node is still starting")?;
    Ok(Answer::Tree(root.tree(children)))
}

/// The buckets of all nodes, page by page until enough are found.
async fn buckets(node: &Node) -> Answer {
    let (mut names, mut missing) = (Vec::new(), Vec::new());
    let mut pages = node.cluster.buckets();
    while names.len() <= CONSOLE_NAMES
        && let Some(page) = pages.next().await
    {
        match page {
            Ok(page) => names.extend(page.into_iter().map(Vec::from)),
            Err(error) => missing.push(error.to_string()),
        }
    }
    let more = names.len() > CONSOLE_NAMES;
    names.truncate(CONSOLE_NAMES);
    names.sort();
    Answer::Names(Names { names, more, missing })
}

/// One request to the owner of its bucket, wherever that is.
async fn ask(node: &Node, bucket: &[u8], op: Op<'_>) -> Result<Answer, String> {
    let answer = node.cluster.execute(Request { bucket, op }, answer_of(bucket, op)).await;
    answer.map_err(|error| error.to_string())?
}

/// Reads the reply to `op` while it lasts.
fn answer_of(bucket: &[u8], op: Op<'_>) -> impl FnOnce(Reply<'_>) -> Result<Answer, String> {
    let drill = op == Op::Crash;
    let name = bucket.escape_ascii().to_string();
    move |reply| match reply {
        Reply::Done => Ok(Answer::Done),
        Reply::Value(value) => Ok(Answer::Value(Some(value.to_vec()))),
        Reply::NoKey => Ok(Answer::Value(None)),
        Reply::NoBucket => Err("NOT FOUND".to_owned()),
        Reply::Keys { keys, next } => {
            let names = keys.iter().map(|key| key.to_vec()).collect();
            Ok(Answer::Names(Names { names, more: next != 0, missing: Vec::new() }))
        }
        Reply::Crashed if drill => Ok(Answer::Done),
        Reply::Crashed => Err(format!("bucket \"{name}\" crashed")),
        Reply::Error(CommandError::WrongType) => {
            Err(format!("bucket \"{name}\" holds a single value, not keys: use a Redis client, or drop it"))
        }
        Reply::Error(CommandError::OutOfMemory) => {
            Err("out of memory: delete something, or give this node more".to_owned())
        }
        Reply::Error(error) => Err(error.to_string()),
        Reply::Restarting => Err("the store is being restarted; try again in a moment".to_owned()),
        Reply::OwnedValue(_)
        | Reply::Status(_)
        | Reply::Number(_)
        | Reply::List(_)
        | Reply::Map(_)
        | Reply::PairList(_)
        | Reply::TooLarge(_)
        | Reply::Page { .. } => Err(Error::UnexpectedReply.to_string()),
    }
}

/// The first keys of a bucket.
async fn keys(node: &Node, bucket: &[u8]) -> Result<Answer, String> {
    ask(node, bucket, Op::Keys { cursor: 0 }).await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_that_only_redis_commands_get_is_an_error() {
        let answer = answer_of(b"shopping", Op::Get { key: b"milk" })(Reply::Number(1));
        assert_eq!(answer.err(), Some(Error::UnexpectedReply.to_string()));
    }
}
