//! A reply -> the bytes that a Redis client reads.

use super::{
    sentence::sentence,
    write::{Version, Writer},
};
use crate::pipeline::RequestResult;
use kv::{CommandError, Reply};
use kv_cluster::{Error, escape_name};

/// Renders what became of one request.
#[inline]
pub(super) fn outcome(writer: &mut Writer<'_>, bucket: &[u8], outcome: RequestResult<'_>) {
    match outcome {
        // What is asked for most.
        Ok(Reply::Value(value)) => writer.bulk(value),
        Ok(answer) => reply(writer, bucket, answer),
        Err(error) => failure(writer, error),
    }
}

/// Renders the reply to one request.
pub(super) fn reply(writer: &mut Writer<'_>, bucket: &[u8], answer: &Reply<'_>) {
    match answer {
        Reply::Done => writer.ok(),
        Reply::Value(value) => writer.bulk(value),
        Reply::OwnedValue(value) => writer.bulk(value),
        Reply::Status(word) => writer.word(word),
        Reply::Number(number) => writer.number(*number),
        Reply::List(items) => list(writer, bucket, items),
        Reply::Map(items) => {
            writer.map(items.len() / 2);
            items.iter().for_each(|item| reply(writer, bucket, item));
        }
        Reply::PairList(items) => match writer.version {
            Version::Resp2 => list(writer, bucket, items),
            Version::Resp3 => {
                writer.list(items.len() / 2);
                items.chunks(2).for_each(|pair| list(writer, bucket, pair));
            }
        },
        Reply::Page { items, next } => {
            writer.list(2);
            writer.bulk(next.to_string().as_bytes());
            list(writer, bucket, items);
        }
        Reply::Keys { keys, .. } => {
            writer.list(keys.len());
            keys.iter().for_each(|key| writer.bulk(key));
        }
        // Where it may come it is listed page by page instead.
        Reply::TooLarge(_) => failure(writer, &Error::UnexpectedReply),
        Reply::NoKey | Reply::NoBucket => writer.nil(),
        Reply::Error(error) => writer.error(&sentence(error)),
        Reply::Crashed => writer.error(&format!("ERR bucket \"{}\" crashed", escape_name(bucket))),
        Reply::Restarting => writer.error("LOADING the store is restarting: ask again in a moment"),
    }
}

/// Renders why a request could not be answered.
pub(super) fn failure(writer: &mut Writer<'_>, error: &Error) {
    match error {
        Error::SeveralNodes { .. } => writer.error(&format!("CROSSSLOT {error}")),
        error => writer.error(&format!("ERR {error}")),
    }
}

/// Renders why a command was not executed.
pub(super) fn refusal(writer: &mut Writer<'_>, refusal: &CommandError) {
    writer.error(&sentence(refusal));
}

fn list(writer: &mut Writer<'_>, bucket: &[u8], items: &[Reply<'_>]) {
    writer.list(items.len());
    items.iter().for_each(|item| reply(writer, bucket, item));
}

#[cfg(test)]
mod tests {
    use super::*;
    use kv::Projection;

    #[test]
    fn an_answer_that_cannot_be_here_is_an_error() {
        let mut bytes = Vec::new();
        let mut writer = Writer::new(&mut bytes, Version::Resp2);
        reply(&mut writer, b"shopping", &Reply::List(vec![Reply::TooLarge(Projection::Keys)]));
        assert_eq!(bytes, format!("*1\r\n-ERR {}\r\n", Error::UnexpectedReply).into_bytes());
    }
}
