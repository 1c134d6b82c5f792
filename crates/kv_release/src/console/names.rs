//! What the console shows of buckets without changing them: their names, their keys, and a look into one.

use super::{
    node::Node,
    parse::{Argument, quoted},
    value::{Names, Peek, Value},
};
use crate::limits::{CONSOLE_NAMES, PEEK_BYTES, PEEK_ENTRIES};
use kv::{Args, Command, CommandError, Op, OwnedValue, Projection, Reply, Request};
use kv_cluster::describe_failure;
use tokio::task::yield_now;

/// The buckets of all nodes that begin with a prefix, until enough are found. Pages end where a node's page
/// ends, so that the next one begins there.
pub(super) async fn buckets(node: &Node, arguments: &[Argument]) -> Result<Value, String> {
    let prefix = arguments.first().map_or(&b""[..], |prefix| &prefix.bytes);
    let mut pages = node.cluster.buckets_from(prefix, position(arguments.get(1))?);
    let mut found = Names::default();
    while found.names.len() < CONSOLE_NAMES
        && let Some(page) = pages.next().await
    {
        match page {
            Ok(page) => found.names.extend(page.into_iter().map(Vec::from)),
            Err(error) => found.unavailable.push(error.to_string()),
        }
        yield_now().await;
    }
    found.next = pages.position().map(|position| format!("buckets {} {position}", quoted(prefix)));
    found.names.sort();
    // A node that cannot be counted is named as unavailable.
    let counts = node.cluster.bucket_counts().await;
    found.other_databases = counts.map_or(0, |counts| counts[1..].iter().sum());
    Ok(Value::Names(found))
}

/// The keys of a bucket that begin with a prefix, until enough are found.
pub(super) async fn keys(node: &Node, arguments: &[Argument]) -> Result<Value, String> {
    let bucket = &arguments[0].bytes[..];
    let prefix = arguments.get(1).map_or(&b""[..], |prefix| &prefix.bytes);
    let mut cursor = position(arguments.get(2))?;
    let mut found = Names::default();
    loop {
        let page = execute(node, bucket, Op::Keys { cursor }, |reply| match reply {
            Reply::Keys { keys, next } => {
                let wanted = keys.iter().filter(|key| key.starts_with(prefix));
                found.names.extend(wanted.map(|key| key.to_vec()));
                Ok(next)
            }
            Reply::NoBucket => Err("NOT FOUND".to_owned()),
            failure => Err(describe_failure(node.cluster.node_name().as_str(), bucket, &failure)),
        });
        cursor = page.await?;
        if cursor == 0 || found.names.len() >= CONSOLE_NAMES {
            break;
        }
        yield_now().await;
    }
    let next = || format!("keys {} {} {cursor}", quoted(bucket), quoted(prefix));
    found.next = (cursor != 0).then(next);
    found.names.sort();
    Ok(Value::Names(found))
}

fn position(argument: Option<&Argument>) -> Result<u64, String> {
    argument.map_or(Ok(0), |position| position.number("a page", "what the page before ends with"))
}

/// What a name stands for: a value, or a bucket with its first entries.
pub(super) async fn peek(node: &Node, arguments: &[Argument]) -> Result<Value, String> {
    let name = &arguments[0].bytes[..];
    let expires_in_ms = match number(node, name, "pttl", Args::NONE).await? {
        // Redis's answers for "no such key" and "does not expire".
        -2 => return Ok(Value::Bytes(None)),
        milliseconds => u64::try_from(milliseconds).ok(),
    };
    let mut peek = Peek { expires_in_ms, ..Peek::default() };
    let op = Op::Entries { projection: Projection::Both, cursor: 0 };
    let is_bucket = execute(node, name, op, |reply| match reply {
        Reply::Page { items, .. } => {
            let texts: Vec<Vec<u8>> = items.iter().take(2 * PEEK_ENTRIES).map(shortened).collect();
            peek.entries = texts.chunks_exact(2).map(|pair| (pair[0].clone(), pair[1].clone())).collect();
            Ok(true)
        }
        Reply::Error(CommandError::WrongType) => Ok(false),
        Reply::NoBucket => Err("NOT FOUND".to_owned()),
        failure => Err(describe_failure(node.cluster.node_name().as_str(), name, &failure)),
    });
    if is_bucket.await? {
        peek.is_bucket = true;
        peek.size = number(node, name, "hlen", Args::NONE).await?.unsigned_abs();
        return Ok(Value::Peek(peek));
    }
    peek.size = number(node, name, "strlen", Args::NONE).await?.unsigned_abs();
    let end = (PEEK_BYTES - 1).to_string();
    let bulks = format!("$1\r\n0\r\n${}\r\n{end}\r\n", end.len());
    let value = command(node, name, "getrange", Args::new(bulks.as_bytes()), |reply| match reply {
        Reply::Value(value) => Ok(value.to_vec()),
        Reply::OwnedValue(value) => Ok(Box::<[u8]>::from(value).into()),
        failure => Err(describe_failure(node.cluster.node_name().as_str(), name, &failure)),
    });
    peek.value = value.await?;
    Ok(Value::Peek(peek))
}

fn shortened(item: &Reply<'_>) -> Vec<u8> {
    let bytes = match item {
        Reply::Value(bytes) => bytes,
        Reply::OwnedValue(OwnedValue::Large(value)) => value.slices().next().unwrap_or_default(),
        _ => &[],
    };
    bytes[..bytes.len().min(PEEK_BYTES)].to_vec()
}

async fn number(node: &Node, name: &[u8], word: &str, args: Args<'_>) -> Result<i64, String> {
    let read = |reply: Reply<'_>| match reply {
        Reply::Number(number) => Ok(number),
        failure => Err(describe_failure(node.cluster.node_name().as_str(), name, &failure)),
    };
    command(node, name, word, args, read).await
}

/// Executes one of Redis's commands.
async fn command<T>(
    node: &Node,
    name: &[u8],
    word: &str,
    args: Args<'_>,
    read: impl FnOnce(Reply<'_>) -> Result<T, String>,
) -> Result<T, String> {
    let command = Command::find(word).ok_or_else(|| format!("there is no command {word}"))?;
    execute(node, name, Op::Command { command, args }, read).await
}

/// Executes one request at the owner of its bucket.
async fn execute<T>(
    node: &Node,
    bucket: &[u8],
    op: Op<'_>,
    read: impl FnOnce(Reply<'_>) -> Result<T, String>,
) -> Result<T, String> {
    node.cluster.execute(Request::new(bucket, op), read).await.map_err(|error| error.to_string())?
}
