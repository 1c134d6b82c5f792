//! What nodes say to each other, as bytes. The only place that knows the codec.
//!
//! A frame is its length (four bytes, little endian), one [`Message`], and the items that the message announces, one
//! after the other until the frame ends.

use crate::{
    error::Malformed,
    limits::{DECODED_BYTES, FRAME_BYTES, HANDSHAKE_BYTES},
    question::{Question, Told},
};
use kv::{Change, Reply, Request};
use serde::{Deserialize, Serialize};
use serde_bytes::Bytes;
use std::{
    borrow::Cow,
    io::{self, Write},
    marker::PhantomData,
};

/// Bytes of a frame's length.
pub(crate) const LENGTH_BYTES: usize = 4;

/// What one frame says.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Message<'a> {
    /// The sender is alive.
    Heartbeat,
    /// Requests to execute; they follow as items. Answered by `Answers`.
    Call { id: u32 },
    /// The answers to the first so many requests of a call; they follow as items.
    Answers { id: u32 },
    /// Asks for the changes of a bucket, under a number of the asker's. Answered by `Subscribed`.
    Subscribe {
        id: u32,
        subscription: u64,
        #[serde(with = "serde_bytes")]
        bucket: &'a [u8],
    },
    /// Whether changes will come.
    Subscribed { id: u32, outcome: Outcome },
    /// No more changes are wanted.
    Unsubscribe { subscription: u64 },
    /// One change of a subscribed bucket.
    Changed { subscription: u64, change: Cow<'a, Change> },
    /// Requests to execute as one step unless a watched bucket has changed; they follow as items. Answered by `Transacted`.
    Transact {
        id: u32,
        #[serde(borrow)]
        watched: Vec<(&'a Bytes, u64)>,
    },
    /// What became of the transaction. If it was done, the answers to all requests follow as items.
    Transacted { id: u32, verdict: Verdict },
    /// Asks something of the node as a whole. Answered by `Told`.
    Ask {
        id: u32,
        #[serde(borrow)]
        question: Question<'a>,
    },
    /// The answer to the question.
    Told { id: u32, told: Told },
}

/// What became of a transaction.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Verdict {
    Done,
    Aborted,
    NotOwner,
}

/// What became of the wish to subscribe.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Outcome {
    Subscribed,
    NoBucket,
    NotOwner,
    TooMany,
}

/// The answer to one forwarded request.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Answer<'a> {
    /// The owner executed it.
    Reply(#[serde(borrow)] Reply<'a>),
    /// The node that was asked does not own the bucket, and did nothing.
    NotOwner,
    /// The reply is larger than a link carries.
    TooLarge,
}

/// A frame that is being written at the end of a buffer.
pub(crate) struct Frame<'a> {
    buffer: &'a mut Vec<u8>,
    start: usize,
}

impl<'a> Frame<'a> {
    pub(crate) fn begin(buffer: &'a mut Vec<u8>, message: &Message<'_>) -> Frame<'a> {
        let start = buffer.len();
        buffer.extend_from_slice(&[0; LENGTH_BYTES]);
        encode(buffer, message);
        Frame { buffer, start }
    }

    /// Adds an item, or adds nothing when the frame would become too long.
    pub(crate) fn item(&mut self, item: &impl Serialize) -> bool {
        self.item_within(FRAME_BYTES, item)
    }

    /// Adds an item, or adds nothing when the frame would exceed so many bytes.
    pub(crate) fn item_within(&mut self, limit: usize, item: &impl Serialize) -> bool {
        let before = self.buffer.len();
        let mut room = Room { bytes: self.buffer, end: self.start + LENGTH_BYTES + limit };
        let fits =
            bincode::serde::encode_into_std_write(item, &mut room, bincode::config::standard()).is_ok();
        if !fits {
            self.buffer.truncate(before);
        }
        fits
    }

    /// Bytes of the frame so far, without its length.
    pub(crate) fn bytes(&self) -> usize {
        self.buffer.len() - self.start - LENGTH_BYTES
    }

    /// Writes down the length, and returns the bytes of the frame.
    pub(crate) fn finish(self) -> usize {
        let bytes = self.bytes();
        let length = (bytes as u32).to_le_bytes();
        self.buffer[self.start..self.start + LENGTH_BYTES].copy_from_slice(&length);
        bytes
    }

    /// Takes the frame out of the buffer again.
    pub(crate) fn abandon(self) {
        self.buffer.truncate(self.start);
    }
}

/// A buffer that takes bytes up to its end, so that an item that does not fit takes no more memory than one that does.
struct Room<'a> {
    bytes: &'a mut Vec<u8>,
    end: usize,
}

impl Write for Room<'_> {
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

/// The message of a frame, and the bytes of its items.
pub(crate) fn read(frame: &[u8]) -> Result<(Message<'_>, &[u8]), Malformed> {
    let (message, used) = decode::<_, DECODED_BYTES>(frame)?;
    let items = &frame[used..];
    match message {
        Message::Call { .. }
        | Message::Answers { .. }
        | Message::Transact { .. }
        | Message::Transacted { .. } => Ok((message, items)),
        _ if items.is_empty() => Ok((message, items)),
        _ => Err(Malformed(format!("{} bytes too many after a message", items.len()))),
    }
}

/// The requests of a call or a transaction, of which there are at most so many.
pub(crate) fn requests(items: &[u8], most: usize) -> Result<Vec<Request<'_>>, Malformed> {
    let requests: Vec<_> = Items::new(items).take(most + 1).collect::<Result<_, _>>()?;
    if requests.len() > most {
        return Err(Malformed(format!("more than {most} requests at once")));
    }
    Ok(requests)
}

/// The items of a frame, read one by one.
pub(crate) struct Items<'a, T> {
    rest: &'a [u8],
    item: PhantomData<T>,
}

impl<'a, T> Items<'a, T> {
    pub(crate) fn new(items: &'a [u8]) -> Items<'a, T> {
        Items { rest: items, item: PhantomData }
    }

    /// The bytes of the items that have not been read.
    pub(crate) fn rest(&self) -> &'a [u8] {
        self.rest
    }
}

impl<'a, T: Deserialize<'a>> Iterator for Items<'a, T> {
    type Item = Result<T, Malformed>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.rest.is_empty() {
            return None;
        }
        let item = decode::<_, DECODED_BYTES>(self.rest).map(|(item, used)| {
            self.rest = &self.rest[used..];
            item
        });
        if item.is_err() {
            self.rest = &[];
        }
        Some(item)
    }
}

/// Writes one handshake message at the end of a buffer.
pub(crate) fn encode(buffer: &mut Vec<u8>, value: &impl Serialize) {
    bincode::serde::encode_into_std_write(value, buffer, bincode::config::standard())
        .expect("memory takes every byte");
}

/// Reads one handshake message, which fills its bytes.
pub(crate) fn decode_handshake<'a, T: Deserialize<'a>>(bytes: &'a [u8]) -> Result<T, Malformed> {
    let (value, used) = decode::<_, HANDSHAKE_BYTES>(bytes)?;
    if used == bytes.len() { Ok(value) } else { Err(Malformed("bytes after the handshake".into())) }
}

fn decode<'a, T: Deserialize<'a>, const LIMIT: usize>(bytes: &'a [u8]) -> Result<(T, usize), Malformed> {
    let config = bincode::config::standard().with_limit::<LIMIT>();
    let (value, used) = bincode::serde::borrow_decode_from_slice(bytes, config)
        .map_err(|error| Malformed(error.to_string()))?;
    if used == 0 { Err(Malformed("an empty item".into())) } else { Ok((value, used)) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_item_that_does_not_fit_takes_no_memory() {
        let mut buffer = Vec::new();
        let mut frame = Frame::begin(&mut buffer, &Message::Answers { id: 0 });
        let before = frame.bytes();
        let reply = Reply::List(vec![Reply::Value(&[0; 1_000]); 1_000]);
        assert!(!frame.item_within(10_000, &Answer::Reply(reply)));
        assert_eq!(frame.bytes(), before);
        assert!(buffer.capacity() <= 32_000, "{}", buffer.capacity());
    }
}
