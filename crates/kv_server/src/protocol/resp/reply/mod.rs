//! Writes the reply to a request as RESP.

pub(super) mod error;
mod failures;
pub(super) mod merge;

use super::encoder::{RespEncoder, RespVersion};
use crate::pipeline::RequestResult;
use error::{cluster_error, command_error, restarting_error};
use kv::{OwnedValue, Reply};
use kv_cluster::{Error, escape_name};

/// Writes the reply to one request, or why it could not be executed.
#[inline]
pub(super) fn write_result(encoder: &mut RespEncoder<'_>, bucket: &[u8], result: RequestResult<'_>) {
    match result {
        // The most frequent reply.
        Ok(Reply::Value(value)) => encoder.bulk(value),
        Ok(reply) => write_reply(encoder, bucket, reply),
        Err(error) => cluster_error(encoder, error),
    }
}

/// Writes the reply to one request.
pub(super) fn write_reply(encoder: &mut RespEncoder<'_>, bucket: &[u8], reply: &Reply<'_>) {
    match reply {
        Reply::Done => encoder.ok(),
        Reply::Value(value) => encoder.bulk(value),
        Reply::OwnedValue(OwnedValue::Bytes(value)) => encoder.bulk(value),
        Reply::OwnedValue(OwnedValue::Large(value)) => encoder.large_bulk(value),
        Reply::Status(status) => encoder.simple_string(status),
        Reply::Number(number) => encoder.integer(*number),
        Reply::List(items) => write_array(encoder, bucket, items),
        Reply::Map(items) => {
            encoder.map(items.len() / 2);
            items.iter().for_each(|item| write_reply(encoder, bucket, item));
        }
        Reply::PairList(items) => match encoder.version {
            RespVersion::Resp2 => write_array(encoder, bucket, items),
            RespVersion::Resp3 => {
                encoder.array(items.len() / 2);
                items.chunks(2).for_each(|pair| write_array(encoder, bucket, pair));
            }
        },
        Reply::Page { items, next } => {
            encoder.array(2);
            encoder.bulk(next.to_string().as_bytes());
            write_array(encoder, bucket, items);
        }
        Reply::Keys { keys, .. } => {
            encoder.array(keys.len());
            keys.iter().for_each(|key| encoder.bulk(key));
        }
        // Where they can occur, they are handled before, and the reply is paged; the last is text's.
        Reply::TooLarge(_) | Reply::LargeSample | Reply::Bucket { .. } => {
            cluster_error(encoder, &Error::UnexpectedReply)
        }
        Reply::NoKey | Reply::NoBucket => encoder.null(),
        Reply::Error(error) => command_error(encoder, error),
        Reply::Crashed => encoder.error(format!("ERR bucket \"{}\" crashed", escape_name(bucket))),
        Reply::Restarting => restarting_error(encoder),
    }
}

fn write_array(encoder: &mut RespEncoder<'_>, bucket: &[u8], items: &[Reply<'_>]) {
    encoder.array(items.len());
    items.iter().for_each(|item| write_reply(encoder, bucket, item));
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pipeline::buffers::ReplyBuffer;
    use kv::Projection;

    #[test]
    fn a_reply_that_cannot_occur_is_an_error() {
        let mut bytes = ReplyBuffer::default();
        let mut encoder = RespEncoder::new(&mut bytes, RespVersion::Resp2);
        write_reply(&mut encoder, b"shopping", &Reply::List(vec![Reply::TooLarge(Projection::Keys)]));
        assert_eq!(*bytes, format!("*1\r\n-ERR {}\r\n", Error::UnexpectedReply).into_bytes());
    }
}
