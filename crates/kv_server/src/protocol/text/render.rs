//! Renders replies and events as lines of text.

use super::quote::{self, QuoteScan};
use crate::{
    pipeline::buffers::{Output, ReplyBuffer, WriteLarge},
    protocol::describe_end,
};
use kv::{Change, EndReason, Event, LargeValue, OwnedValue, Reply};
use kv_cluster::{NodeName, describe_failure, escape_name};
use std::io;
use tokio::task::yield_now;

/// Renders the reply to one request, on the node `local`.
pub(super) fn reply(output: &mut ReplyBuffer, local: &NodeName, bucket: &[u8], reply: &Reply<'_>) {
    match reply {
        Reply::Done => output.extend_from_slice(b"OK\r\n"),
        Reply::Value(value) => {
            quote::print(output, value);
            output.extend_from_slice(b"\r\nOK\r\n");
        }
        Reply::NoKey => output.extend_from_slice(b"\r\nOK\r\n"),
        Reply::NoBucket => output.extend_from_slice(b"NOT FOUND\r\n"),
        reply => rare_reply(output, local, bucket, reply),
    }
}

/// Renders the replies that most requests do not get.
#[cold]
#[inline(never)]
fn rare_reply(output: &mut ReplyBuffer, local: &NodeName, bucket: &[u8], reply: &Reply<'_>) {
    match reply {
        Reply::OwnedValue(OwnedValue::Large(value)) => {
            let write: WriteLarge = |value, output| Box::pin(write_large(value, output));
            output.push_large(LargeValue::clone(value), Some(write));
            output.extend_from_slice(b"\r\nOK\r\n");
        }
        Reply::Bucket { fields, ttl_ms } => describe_bucket(output, *fields, *ttl_ms),
        Reply::Keys { keys, .. } => names(output, keys.iter().map(|key| key.as_ref())),
        failure => error(output, &describe_failure(local.as_str(), bucket, failure)),
    }
}

/// Writes a value as [`quote::print`] does, a piece at a time; other connections of this thread run in
/// between.
async fn write_large(value: &LargeValue, output: &mut Output<'_>) -> io::Result<()> {
    let mut scan = QuoteScan::default();
    for piece in value.slices() {
        scan.push(piece);
        yield_now().await;
    }
    let is_quoted = scan.must_quote();
    if is_quoted {
        output.bytes.push(b'"');
    }
    for piece in value.slices() {
        match is_quoted {
            true => quote::escape(&mut output.bytes, piece),
            false => output.bytes.extend_from_slice(piece),
        }
        output.flush().await?;
        yield_now().await;
    }
    if is_quoted {
        output.bytes.push(b'"');
    }
    output.flush().await
}

/// Renders what a bucket is. Its time to live is rounded up to seconds.
fn describe_bucket(output: &mut Vec<u8>, fields: u64, ttl_ms: Option<u64>) {
    let plural = if fields == 1 { "" } else { "s" };
    let ttl = ttl_ms.map_or("no time to live".into(), |ms| format!("{} s to live", ms.div_ceil(1_000)));
    output.extend_from_slice(format!("bucket, {fields} field{plural}, {ttl}\r\nOK\r\n").as_bytes());
}

/// Renders sorted names, one per line.
pub(super) fn names<'a>(output: &mut Vec<u8>, names: impl Iterator<Item = &'a [u8]>) {
    let mut names: Vec<&[u8]> = names.collect();
    names.sort_unstable();
    for name in names {
        quote::print(output, name);
        output.extend_from_slice(b"\r\n");
    }
}

/// Renders one change of a subscribed bucket.
pub(super) fn event(output: &mut Vec<u8>, event: &Event) {
    match &event.change {
        Change::Set { key, value } => {
            quote::print_word(output, key);
            output.extend_from_slice(b" SET TO ");
            quote::print(output, value);
            output.extend_from_slice(b"\r\n");
        }
        Change::Deleted { key } => {
            quote::print_word(output, key);
            output.extend_from_slice(b" DELETED\r\n");
        }
        Change::Ended(reason) => {
            let (name, why) = (escape_name(&event.bucket), describe_end(*reason));
            error(output, &format!("subscription to \"{name}\" ended: {why}{}", remedy(*reason)));
        }
        Change::Interrupted => {
            let name = escape_name(&event.bucket);
            let what = "was interrupted: changes may be missing; read the bucket again";
            error(output, &format!("subscription to \"{name}\" {what}"));
        }
    }
}

/// What the client can do when a subscription has ended.
fn remedy(reason: EndReason) -> &'static str {
    match reason {
        EndReason::Crashed => "; create it and subscribe again",
        EndReason::Restarted => "; create the bucket and subscribe again",
        EndReason::NodeDown => "; subscribe again when it is back",
        EndReason::Dropped | EndReason::Expired | EndReason::FellBehind => "",
    }
}

/// Renders one error line: what went wrong, and possibly what to do.
pub(super) fn error(output: &mut Vec<u8>, what: &str) {
    output.extend_from_slice(b"ERROR ");
    output.extend_from_slice(what.as_bytes());
    output.extend_from_slice(b"\r\n");
}

#[cfg(test)]
mod tests {
    use super::*;
    use kv_cluster::Error;

    fn rendered(bucket: &[u8], reply: &Reply<'_>) -> String {
        let mut output = ReplyBuffer::default();
        super::reply(&mut output, &"foo@host".parse().unwrap(), bucket, reply);
        String::from_utf8(output.to_vec()).unwrap()
    }

    #[test]
    fn the_time_to_live_of_a_bucket_is_rounded_up() {
        for (ttl_ms, ttl) in
            [(None, "no time to live"), (Some(1), "1 s to live"), (Some(60_000), "60 s to live")]
        {
            let line = rendered(b"shopping", &Reply::Bucket { fields: 2, ttl_ms });
            assert_eq!(line, format!("bucket, 2 fields, {ttl}\r\nOK\r\n"));
        }
    }

    #[test]
    fn a_name_in_an_error_is_text_or_escaped() {
        for (bucket, line) in [
            ("Einkauf-ü".as_bytes(), "ERROR bucket \"Einkauf-ü\" crashed\r\n"),
            (b"\xff\"\n", "ERROR bucket \"\\xff\\\"\\n\" crashed\r\n"),
        ] {
            assert_eq!(rendered(bucket, &Reply::Crashed), line);
        }
    }

    #[test]
    fn a_reply_that_only_redis_commands_get_is_an_error_line() {
        let line = format!("ERROR {}\r\n", Error::UnexpectedReply);
        assert_eq!(rendered(b"shopping", &Reply::Number(1)), line);
    }
}
