//! Messages between nodes, and their encoding. Only this file knows the codec.
//!
//! A frame is a [`FrameHeader`], one [`Message`], and the items that the message announces, back to back
//! until the frame ends. A message that, with its items, is larger than a frame crosses as a run of frames,
//! each a [`Message::Fragment`]. The order of variants and fields is the protocol.

use crate::{
    error::{ProtocolError, RangeFailure},
    limits::{DECODED_BYTES, DECODED_ITEM_BYTES},
    link::node_query::{NodeQuery, NodeReply},
};
use kv::{Change, CommandError, FullName, Reply, Request};
use serde::{Deserialize, Serialize};
use std::{
    borrow::Cow,
    io::{self, Write},
    marker::PhantomData,
};

/// Bytes of a [`FrameHeader`].
pub(crate) const HEADER_BYTES: usize = 8;
/// Bytes of the checksum, with which the header begins.
const CHECKSUM_BYTES: usize = 4;

/// The header of a frame: the checksum (CRC32C) of all that follows it, and the length of what follows the
/// header, both little endian.
#[derive(Debug, Clone, Copy)]
pub(crate) struct FrameHeader {
    checksum: u32,
    /// Bytes of the frame after its header.
    pub(crate) length: usize,
}

impl FrameHeader {
    /// Reads the header of a frame; `None` if it has not arrived.
    pub(crate) fn read(frame: &[u8]) -> Option<FrameHeader> {
        let (checksum, rest) = frame.split_first_chunk()?;
        let length = u32::from_le_bytes(*rest.first_chunk()?) as usize;
        Some(FrameHeader { checksum: u32::from_le_bytes(*checksum), length })
    }

    /// Writes the header of a whole frame, in the space that was left for it.
    pub(crate) fn write(frame: &mut [u8]) {
        let length = (frame.len() - HEADER_BYTES) as u32;
        frame[CHECKSUM_BYTES..HEADER_BYTES].copy_from_slice(&length.to_le_bytes());
        let checksum = crc32c::crc32c(&frame[CHECKSUM_BYTES..]);
        frame[..CHECKSUM_BYTES].copy_from_slice(&checksum.to_le_bytes());
    }

    /// Checks that the whole frame has arrived as it was sent.
    pub(crate) fn verify(self, frame: &[u8]) -> Result<(), ProtocolError> {
        match crc32c::crc32c(&frame[CHECKSUM_BYTES..]) == self.checksum {
            true => Ok(()),
            false => Err(ProtocolError("a frame was damaged on its way: wrong checksum".into())),
        }
    }
}

/// The head of one frame.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Message<'a> {
    /// The sender is alive.
    Heartbeat,
    /// Requests to execute; they follow as items. The reply is `Replies`.
    Call { id: u32 },
    /// The replies to the first requests of a call; they follow as items.
    Replies { id: u32 },
    /// Subscribes to the changes of a bucket, under an id that the subscriber chooses. The reply is
    /// `Subscribed`.
    Subscribe {
        id: u32,
        subscription: u64,
        #[serde(with = "serde_bytes")]
        bucket: &'a [u8],
    },
    /// Whether changes will follow.
    Subscribed { id: u32, result: SubscribeResult },
    /// Ends a subscription.
    Unsubscribe { subscription: u64 },
    /// One change of a subscribed bucket.
    Changed { subscription: u64, change: Cow<'a, Change> },
    /// Requests to execute as one step unless a watched bucket has changed; they follow as items. The reply
    /// is `Transacted`.
    Transact {
        id: u32,
        #[serde(borrow)]
        watched: Vec<(FullName<'a>, u64)>,
    },
    /// The result of a transaction. If it was executed, the replies to all its requests follow as items.
    Transacted { id: u32, result: TransactionResult },
    /// A query to the node as a whole. The reply is `NodeReply`.
    NodeQuery {
        id: u32,
        #[serde(borrow)]
        query: NodeQuery<'a>,
    },
    /// The reply to a node query.
    NodeReply { id: u32, reply: NodeReply },
    /// The next bytes of a message that is larger than a frame, and how many remain after them.
    Fragment {
        remaining: u32,
        #[serde(with = "serde_bytes")]
        bytes: &'a [u8],
    },
    /// What a replica of a range sends to another one; its bytes follow. There is no reply.
    Replica,
}

/// The result of a transaction.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum TransactionResult {
    Executed,
    Aborted,
    NotOwner,
    /// It was refused as a whole.
    Refused(CommandError),
    /// The durable range of its buckets has not answered.
    Failed(RangeFailure),
}

/// The result of a subscribe.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum SubscribeResult {
    Subscribed,
    NoBucket,
    NotOwner,
    TooMany,
    /// The durable range does not serve the bucket now.
    Failed(RangeFailure),
}

/// The reply to one forwarded request.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum ForwardedReply<'a> {
    /// The owner executed it.
    Reply(#[serde(borrow)] Reply<'a>),
    /// The receiver does not own the bucket, and executed nothing.
    NotOwner,
    /// It was executed, and the reply exceeds the link limit.
    TooLarge,
    /// The durable range of the bucket has not answered.
    Failed(RangeFailure),
}

/// Appends a value to a buffer.
pub(crate) fn encode(buffer: &mut Vec<u8>, value: &impl Serialize) {
    bincode::serde::encode_into_std_write(value, buffer, bincode::config::standard())
        .expect("writing to memory does not fail");
}

/// Appends an item to a buffer; returns `false`, and leaves the buffer as it was, if it would grow beyond
/// `end`.
pub(crate) fn encode_within(bytes: &mut Vec<u8>, end: usize, item: &impl Serialize) -> bool {
    let before = bytes.len();
    let mut writer = BoundedWriter { bytes, end };
    let fits = bincode::serde::encode_into_std_write(item, &mut writer, bincode::config::standard()).is_ok();
    if !fits {
        bytes.truncate(before);
    }
    fits
}

/// Refuses bytes beyond `end`, so that an item that does not fit allocates no more than one that does.
struct BoundedWriter<'a> {
    bytes: &'a mut Vec<u8>,
    end: usize,
}

impl Write for BoundedWriter<'_> {
    #[inline]
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.bytes.len() + bytes.len() > self.end {
            return Err(io::ErrorKind::WriteZero.into());
        }
        self.bytes.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Bytes of an item when it is encoded.
pub(crate) fn encoded_len(item: &impl Serialize) -> usize {
    bincode::serde::encode_into_std_write(item, &mut io::sink(), bincode::config::standard())
        .expect("counting does not fail")
}

/// Appends a piece of an item to a buffer: up to `size` of the bytes that it is encoded as, from `start` on.
/// What lies before them is not copied.
pub(crate) fn encode_piece(bytes: &mut Vec<u8>, item: &impl Serialize, start: usize, size: usize) {
    let mut writer = PieceWriter { bytes, skipped: start, left: size };
    // It fails behind the piece.
    drop(bincode::serde::encode_into_std_write(item, &mut writer, bincode::config::standard()));
}

/// Keeps one piece of what is written.
struct PieceWriter<'a> {
    bytes: &'a mut Vec<u8>,
    /// Bytes before the piece that are still to come.
    skipped: usize,
    /// Bytes of the piece that are still to come.
    left: usize,
}

impl Write for PieceWriter<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.left == 0 {
            return Err(io::ErrorKind::WriteZero.into());
        }
        let start = self.skipped.min(bytes.len());
        let end = bytes.len().min(start + self.left);
        self.bytes.extend_from_slice(&bytes[start..end]);
        (self.skipped, self.left) = (self.skipped - start, self.left - (end - start));
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Appends what is before the bytes of a value in an encoded reply.
pub(crate) fn encode_value_head(bytes: &mut Vec<u8>, length: usize) {
    encode(bytes, &ForwardedReply::Reply(Reply::Value(b"")));
    // The last byte is the length.
    bytes.pop();
    encode(bytes, &length);
}

/// Decodes the message of a frame. Returns it with the bytes of its items.
pub(crate) fn decode_frame(frame: &[u8]) -> Result<(Message<'_>, &[u8]), ProtocolError> {
    let (message, used) = decode::<_, DECODED_BYTES>(frame)?;
    let items = &frame[used..];
    match message {
        Message::Call { .. }
        | Message::Replies { .. }
        | Message::Transact { .. }
        | Message::Transacted { .. }
        | Message::Replica => Ok((message, items)),
        _ if items.is_empty() => Ok((message, items)),
        _ => Err(ProtocolError(format!("{} trailing bytes after a message", items.len()))),
    }
}

/// Decodes up to `limit` requests; more are an error.
pub(crate) fn decode_requests(items: &[u8], limit: usize) -> Result<Vec<Request<'_>>, ProtocolError> {
    let requests: Vec<_> = Items::new(items).take(limit + 1).collect::<Result<_, _>>()?;
    if requests.len() > limit {
        return Err(ProtocolError(format!("more than {limit} requests at once")));
    }
    Ok(requests)
}

/// The items of a frame, decoded one by one.
pub(crate) struct Items<'a, T> {
    rest: &'a [u8],
    item: PhantomData<T>,
}

impl<'a, T> Items<'a, T> {
    pub(crate) fn new(items: &'a [u8]) -> Items<'a, T> {
        Items { rest: items, item: PhantomData }
    }

    /// The bytes that have not been decoded.
    pub(crate) fn rest(&self) -> &'a [u8] {
        self.rest
    }
}

impl<'a, T: Deserialize<'a>> Iterator for Items<'a, T> {
    type Item = Result<T, ProtocolError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.rest.is_empty() {
            return None;
        }
        let item = decode::<_, DECODED_ITEM_BYTES>(self.rest).map(|(item, used)| {
            self.rest = &self.rest[used..];
            item
        });
        if item.is_err() {
            self.rest = &[];
        }
        Some(item)
    }
}

/// Decodes one handshake message, which takes up all its bytes.
pub(crate) fn decode_whole<'a, T: Deserialize<'a>, const LIMIT: usize>(
    bytes: &'a [u8],
) -> Result<T, ProtocolError> {
    let (value, used) = decode::<_, LIMIT>(bytes)?;
    match used == bytes.len() {
        true => Ok(value),
        false => Err(ProtocolError("trailing bytes after a handshake message".into())),
    }
}

fn decode<'a, T: Deserialize<'a>, const LIMIT: usize>(bytes: &'a [u8]) -> Result<(T, usize), ProtocolError> {
    let config = bincode::config::standard().with_limit::<LIMIT>();
    let (value, used) = bincode::serde::borrow_decode_from_slice(bytes, config)
        .map_err(|error| ProtocolError(error.to_string()))?;
    if used == 0 { Err(ProtocolError("an empty item".into())) } else { Ok((value, used)) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use kv::TopicKind;

    /// Another encoding is another protocol: it needs another `LINK_VERSION`.
    #[test]
    fn messages_have_the_encoding_of_their_link_version() {
        let page = NodeReply::Names { names: vec![Box::from(*b"a")], cursor_or_count: 3 };
        let topics = NodeQuery::Topics { kind: TopicKind::Pattern, after: Some(b"a"), pattern: None };
        let topic_page = NodeReply::Topics { names: vec![Box::from(*b"a")], next: Some(Box::from(*b"a")) };
        let messages: [(Message<'_>, &[u8]); 15] = [
            (Message::Heartbeat, &[0]),
            (Message::Call { id: 7 }, &[1, 7]),
            (Message::Replies { id: 7 }, &[2, 7]),
            (Message::Subscribe { id: 7, subscription: 9, bucket: b"a" }, &[3, 7, 9, 1, b'a']),
            (Message::Subscribed { id: 7, result: SubscribeResult::TooMany }, &[4, 7, 3]),
            (Message::Unsubscribe { subscription: 9 }, &[5, 9]),
            (Message::Transact { id: 7, watched: vec![(FullName::new(b"a"), 5)] }, &[7, 7, 1, 0, 1, b'a', 5]),
            (Message::Transacted { id: 7, result: TransactionResult::Aborted }, &[8, 7, 1]),
            (Message::NodeQuery { id: 7, query: NodeQuery::BucketCounts { range: None } }, &[9, 7, 2, 0]),
            (Message::NodeQuery { id: 7, query: topics }, &[9, 7, 6, 1, 1, 1, b'a', 0]),
            (Message::NodeReply { id: 7, reply: page }, &[10, 7, 1, 1, 1, b'a', 3]),
            (Message::NodeReply { id: 7, reply: NodeReply::TooLarge }, &[10, 7, 4]),
            (Message::NodeReply { id: 7, reply: topic_page }, &[10, 7, 5, 1, 1, b'a', 1, 1, b'a']),
            (Message::Fragment { remaining: 5, bytes: b"x" }, &[11, 5, 1, b'x']),
            (Message::Replica, &[12]),
        ];
        for (message, encoded) in messages {
            let mut bytes = Vec::new();
            encode(&mut bytes, &message);
            assert_eq!(bytes, encoded, "{message:?}");
        }
    }
}
