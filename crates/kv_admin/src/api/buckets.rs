//! The buckets of all nodes, and the keys of one, page by page.

use super::parameters::{number, parameter};
use crate::{
    context::Context,
    limits::{LISTED_BUCKETS, MAX_LISTED_BUCKETS, SCANNED_PAGES, VALUE_BYTES},
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
    let numbers = (number(&query, "cursor", 0), number(&query, "limit", LISTED_BUCKETS));
    let (Some(cursor), Some(limit)) = numbers else { return bad_number() };
    let limit = limit.clamp(1, MAX_LISTED_BUCKETS) as usize;
    let prefix = parameter(&query, "prefix").unwrap_or_default();
    let mut pages = cluster.buckets_from(&prefix, cursor);
    if prefix.is_empty() {
        pages = pages.with_page_size(limit);
    }
    let (mut names, mut unavailable) = (Vec::new(), Vec::new());
    // Few names may begin with the prefix.
    for _ in 0..SCANNED_PAGES {
        match pages.next().await {
            None => break,
            Some(Ok(page)) => names.extend(page),
            Some(Err(error)) => unavailable.push(error.to_string()),
        }
        if names.len() >= limit {
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
        row.insert("name".to_owned(), bytes_json(shown(name)));
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
    let Some(cursor) = number(&query, "cursor", 0) else { return bad_number() };
    let node = cluster.node_name().to_string();
    let op = Op::Entries { projection: Projection::Both, cursor };
    let read = cluster.execute(Request::new(&bucket, op), |reply| match reply {
        Reply::Page { items, next } => {
            let rows: Vec<_> = items.chunks_exact(2).map(|pair| entry(&pair[0], &pair[1])).collect();
            Ok(Some(json!({ "keys": rows, "next": (next != 0).then(|| next.to_string()) })))
        }
        Reply::Error(CommandError::WrongType) => Ok(None),
        failure => Err(describe_failure(&node, &bucket, &failure)),
    });
    match read.await {
        // Entries of a bucket that does not exist are none, as those of a new one.
        Ok(Ok(Some(page))) if page["keys"] == json!([]) && !exists(&cluster, &bucket).await => {
            response::error(StatusCode::NOT_FOUND, "there is no such bucket")
        }
        Ok(Ok(Some(page))) => Json(page).into_response(),
        Ok(Ok(None)) => string(&cluster, &bucket).await,
        Ok(Err(message)) => response::error(StatusCode::SERVICE_UNAVAILABLE, message),
        Err(error) => response::error(StatusCode::SERVICE_UNAVAILABLE, error.to_string()),
    }
}

/// Whether there is a bucket of this name; if that is not known, there may be.
async fn exists(cluster: &Cluster, bucket: &[u8]) -> bool {
    let keys = Request::new(bucket, Op::Keys { cursor: 0 });
    let found = cluster.execute(keys, |reply| !matches!(reply, Reply::NoBucket)).await;
    found.unwrap_or(true)
}

/// The start of a string of a Redis client.
async fn string(cluster: &Cluster, bucket: &[u8]) -> Response {
    // One byte more than is shown, if there is one.
    let end = VALUE_BYTES.to_string();
    let range = format!("$1\r\n0\r\n${}\r\n{end}\r\n", end.len());
    let [Some(part), Some(len)] = ["getrange", "strlen"].map(Command::find) else {
        return response::error(StatusCode::NOT_FOUND, "there is no such command");
    };
    let op = Op::Command { command: part, args: Args::new(range.as_bytes()) };
    let value = cluster.execute(Request::new(bucket, op), |reply| bytes_json(shown(bytes_of(&reply)))).await;
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

/// A key with its value, both of which are cut.
fn entry(key: &Reply<'_>, value: &Reply<'_>) -> Value {
    let (size, value) = match value {
        Reply::OwnedValue(OwnedValue::Large(large)) => (large.len(), bytes_of(value)),
        _ => (bytes_of(value).len(), bytes_of(value)),
    };
    let (key, value) = (shown(bytes_of(key)), shown(value));
    json!({ "key": bytes_json(key), "value": bytes_json(value), "cut": size > value.len(), "bytes": size })
}

/// What is shown of bytes: without half a character at its end.
fn shown(bytes: &[u8]) -> &[u8] {
    if bytes.len() <= VALUE_BYTES {
        return bytes;
    }
    let first = &bytes[..VALUE_BYTES];
    match str::from_utf8(first) {
        Err(error) if error.error_len().is_none() => &first[..error.valid_up_to()],
        _ => first,
    }
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

fn bad_number() -> Response {
    response::error(
        StatusCode::BAD_REQUEST,
        "limit is a number, and cursor is what the page before ends with",
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_that_is_long_is_cut() {
        let long = vec![b'x'; VALUE_BYTES + 1];
        let entry = entry(&Reply::Value(b"\xff"), &Reply::Value(&long));
        assert_eq!((&entry["key"], &entry["cut"]), (&json!({ "hex": "ff" }), &json!(true)));
        assert_eq!(entry["value"].as_str().map(str::len), Some(VALUE_BYTES));
    }

    #[test]
    fn text_is_not_cut_in_the_middle_of_a_character_and_keys_are_cut_too() {
        let long = "€".repeat(VALUE_BYTES);
        let entry = entry(&Reply::Value(long.as_bytes()), &Reply::Value(long.as_bytes()));
        let expected = json!("€".repeat(VALUE_BYTES / 3));
        assert_eq!((&entry["key"], &entry["value"]), (&expected, &expected));
        assert_eq!(entry["cut"], json!(true));
    }
}
