//! What nodes say to each other, as bytes. The only place that knows the codec.
//!
//! A frame is its length (four bytes, little endian), one [`Message`], and the items that the message announces, one
//! after the other until the frame ends. A message that is larger with its items than a frame is cut into frames that
//! are a [`Message::Part`] each.

use crate::{
    error::Malformed,
    limits::{DECODED_BYTES, DECODED_ITEM_BYTES, HANDSHAKE_BYTES},
    link::node_query::{Question, Told},
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
    /// The next part of a message that is larger than a frame, and how many bytes of it are left after this part.
    Part {
        left: u32,
        #[serde(with = "serde_bytes")]
        bytes: &'a [u8],
    },
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

/// Adds an item to a buffer, or adds nothing when the buffer would grow beyond `end`.
pub(crate) fn encode_within(bytes: &mut Vec<u8>, end: usize, item: &impl Serialize) -> bool {
    let before = bytes.len();
    let mut room = Room { bytes, end };
    let fits = bincode::serde::encode_into_std_write(item, &mut room, bincode::config::standard()).is_ok();
    if !fits {
        bytes.truncate(before);
    }
    fits
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

/// Adds a message to a buffer.
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
