//! The buckets of all nodes, and the keys of one, page by page.

use crate::{
    context::Context,
    limits::{LISTED_BUCKETS, SCANNED_PAGES, VALUE_BYTES},
    response,
};
use axum::{
    Json,
    extract::{RawQuery, State},
    http::StatusCode,
    response::{IntoResponse, Response},
};
use kv::{Args, Command, CommandError, Op, OwnedValue, Projection, Reply, Request};
use kv_cluster::{Cluster, describe_failure};
use percent_encoding::percent_decode_str;
use serde_json::{Map, Value, json};
use tokio::task::yield_now;

/// What is asked of each bucket that is listed.
const QUESTIONS: usize = 3;

/// The buckets that begin with `prefix`, from `cursor` on, with their sizes.
pub(super) async fn buckets(
    State(Context { cluster, .. }): State<Context>,
    RawQuery(query): RawQuery,
) -> Response {
    let query = query.unwrap_or_default();
    let Some(cursor) = cursor(&query) else { return bad_cursor() };
    let prefix = parameter(&query, "prefix").unwrap_or_default();
    let mut pages = cluster.buckets_from(&prefix, cursor);
    if prefix.is_empty() {
        pages = pages.with_page_size(LISTED_BUCKETS);
    }
    let (mut names, mut unavailable) = (Vec::new(), Vec::new());
    // Few names may begin with the prefix.
    for _ in 0..SCANNED_PAGES {
        match pages.next().await {
            None => break,
            Some(Ok(page)) => names.extend(page),
            Some(Err(error)) => unavailable.push(error.to_string()),
        }
        if names.len() >= LISTED_BUCKETS {
            break;
        }
        yield_now().await;
    }
    names.sort();
    let rows = rows(&cluster, &names).await;
    let next = pages.position().map(|position| position.to_string());
    Json(json!({ "buckets": rows, "next": next, "unavailable": unavailable })).into_response()
}

/// Each bucket with how many keys it has, its memory, and when it expires.
async fn rows(cluster: &Cluster, names: &[Box<[u8]>]) -> Vec<Map<String, Value>> {
    let [Some(len), Some(ttl)] = ["hlen", "pttl"].map(Command::find) else { return Vec::new() };
    let questions = |name| {
        let command = |command| Request::new(name, Op::Command { command, args: Args::NONE });
        [command(len), command(ttl), Request::new(name, Op::MemoryUsage { cursor: 0 })]
    };
    let requests: Vec<Request<'_>> = names.iter().flat_map(|name| questions(name)).collect();
    let mut rows = vec![Map::new(); names.len()];
    cluster
        .execute_all(&requests, |index, reply| {
            let row = &mut rows[index / QUESTIONS];
            match (index % QUESTIONS, reply) {
                (0, Ok(Reply::Number(keys))) => row.insert("keys".to_owned(), json!(keys)),
                (1, Ok(Reply::Number(ttl))) if ttl >= 0 => row.insert("expires_in_ms".to_owned(), json!(ttl)),
                (2, Ok(Reply::Page { items, next })) => match items[..] {
                    // A large one takes more than one page to add up.
                    [Reply::Number(bytes)] if next == 0 => row.insert("bytes".to_owned(), json!(bytes)),
                    _ => None,
                },
                _ => None,
            };
        })
        .await;
    for (row, name) in rows.iter_mut().zip(names) {
        row.insert("name".to_owned(), bytes_json(name));
    }
    rows
}

/// The keys of a bucket with their values, from `cursor` on, or the value of a string.
pub(super) async fn keys(
    State(Context { cluster, .. }): State<Context>,
    RawQuery(query): RawQuery,
) -> Response {
    let query = query.unwrap_or_default();
    let Some(bucket) = parameter(&query, "bucket") else {
        return response::error(StatusCode::BAD_REQUEST, "name a bucket: ?bucket=shopping");
    };
    let Some(cursor) = cursor(&query) else { return bad_cursor() };
    let node = cluster.node_name().to_string();
    let op = Op::Entries { projection: Projection::Both, cursor };
    let read = cluster.execute(Request::new(&bucket, op), |reply| match reply {
        Reply::Page { items, next } => {
            let rows: Vec<_> = items.chunks_exact(2).map(|pair| entry(&pair[0], &pair[1])).collect();
            Ok(Some(json!({ "keys": rows, "next": (next != 0).then(|| next.to_string()) })))
        }
        Reply::Error(CommandError::WrongType) => Ok(None),
        Reply::NoBucket => Err((StatusCode::NOT_FOUND, "there is no such bucket".to_owned())),
        failure => Err((StatusCode::SERVICE_UNAVAILABLE, describe_failure(&node, &bucket, &failure))),
    });
    match read.await {
        Ok(Ok(Some(page))) => Json(page).into_response(),
        Ok(Ok(None)) => string(&cluster, &bucket).await,
        Ok(Err((status, message))) => response::error(status, message),
        Err(error) => response::error(StatusCode::SERVICE_UNAVAILABLE, error.to_string()),
    }
}

/// The start of a string of a Redis client.
async fn string(cluster: &Cluster, bucket: &[u8]) -> Response {
    let end = (VALUE_BYTES - 1).to_string();
    let range = format!("$1\r\n0\r\n${}\r\n{end}\r\n", end.len());
    let [Some(part), Some(len)] = ["getrange", "strlen"].map(Command::find) else {
        return response::error(StatusCode::NOT_FOUND, "there is no such command");
    };
    let op = Op::Command { command: part, args: Args::new(range.as_bytes()) };
    let value = cluster.execute(Request::new(bucket, op), |reply| bytes_json(bytes_of(&reply))).await;
    let op = Op::Command { command: len, args: Args::NONE };
    let size = cluster.execute(Request::new(bucket, op), |reply| match reply {
        Reply::Number(size) => size,
        _ => 0,
    });
    match (value, size.await) {
        (Ok(value), Ok(size)) => {
            let cut = size > VALUE_BYTES as i64;
            Json(json!({ "keys": [{ "key": "", "value": value, "cut": cut, "bytes": size }] }))
                .into_response()
        }
        (Err(error), _) | (_, Err(error)) => {
            response::error(StatusCode::SERVICE_UNAVAILABLE, error.to_string())
        }
    }
}

/// A key with its value, which is cut.
fn entry(key: &Reply<'_>, value: &Reply<'_>) -> Value {
    let (size, value) = match value {
        Reply::OwnedValue(OwnedValue::Large(large)) => (large.len(), bytes_of(value)),
        _ => (bytes_of(value).len(), bytes_of(value)),
    };
    let shown = &value[..value.len().min(VALUE_BYTES)];
    json!({ "key": bytes_json(bytes_of(key)), "value": bytes_json(shown), "cut": size > shown.len(), "bytes": size })
}

/// The bytes of a reply, or the first of a large one.
fn bytes_of<'r>(reply: &'r Reply<'_>) -> &'r [u8] {
    match reply {
        Reply::Value(bytes) => bytes,
        Reply::OwnedValue(OwnedValue::Bytes(bytes)) => bytes,
        Reply::OwnedValue(OwnedValue::Large(value)) => value.slices().next().unwrap_or_default(),
        _ => &[],
    }
}

/// Bytes as JSON: a string if they are UTF-8, else an object with their hexadecimal digits.
fn bytes_json(bytes: &[u8]) -> Value {
    match std::str::from_utf8(bytes) {
        Ok(text) => json!(text),
        Err(_) => json!({ "hex": bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>() }),
    }
}

/// The bytes of a parameter of a query.
fn parameter(query: &str, name: &str) -> Option<Vec<u8>> {
    let mut pairs = query.split('&').filter_map(|pair| pair.split_once('='));
    let (_, value) = pairs.find(|(key, _)| *key == name)?;
    Some(percent_decode_str(value).collect())
}

/// Where a page begins; `None` if that is not a number.
fn cursor(query: &str) -> Option<u64> {
    let Some(cursor) = parameter(query, "cursor") else { return Some(0) };
    str::from_utf8(&cursor).ok()?.parse().ok()
}

fn bad_cursor() -> Response {
    response::error(StatusCode::BAD_REQUEST, "cursor is what the page before ends with")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parameters_are_bytes() {
        let query = "prefix=sh%6Fp%ff&cursor=7&empty=";
        assert_eq!(parameter(query, "prefix").as_deref(), Some(&b"shop\xff"[..]));
        assert_eq!(parameter(query, "empty").as_deref(), Some(&b""[..]));
        assert_eq!(parameter(query, "fix"), None);
        assert_eq!((cursor(query), cursor("a=1"), cursor("cursor=x")), (Some(7), Some(0), None));
    }

    #[test]
    fn a_value_that_is_long_is_cut() {
        let long = vec![b'x'; VALUE_BYTES + 1];
        let entry = entry(&Reply::Value(b"\xff"), &Reply::Value(&long));
        assert_eq!((&entry["key"], &entry["cut"]), (&json!({ "hex": "ff" }), &json!(true)));
        assert_eq!(entry["value"].as_str().map(str::len), Some(VALUE_BYTES));
    }
}
