//! Messages to a peer, encoded and queued: frames back to back, and separately the messages that are larger
//! than a frame. Those are sent in fragments, with other frames in between.

use crate::{
    limits::{COPY_BYTES, FRAGMENT_BYTES, FRAME_BYTES, MESSAGE_BYTES},
    link::codec::{self, ForwardedReply, FrameHeader, HEADER_BYTES, Message},
};
use serde::Serialize;
use std::collections::VecDeque;

/// Encoded frames and large messages.
#[derive(Debug, Default)]
pub(crate) struct SendQueue {
    pub(crate) frames: Vec<u8>,
    large: VecDeque<Vec<u8>>,
    /// Bytes of the first large message that have been queued as fragments.
    fragmented: usize,
}

impl SendQueue {
    pub(crate) fn is_empty(&self) -> bool {
        self.frames.is_empty() && self.large.is_empty()
    }

    /// Bytes of the large messages that have not been queued as fragments.
    pub(crate) fn large_bytes(&self) -> usize {
        self.large.iter().map(Vec::len).sum::<usize>() - self.fragmented
    }

    /// Moves the large messages of `other` here.
    pub(crate) fn append_large(&mut self, other: &mut SendQueue) {
        self.large.append(&mut other.large);
    }

    /// Queues an encoded message: as a frame, or as a large message if it would take long to copy.
    pub(crate) fn push_message(&mut self, message: Vec<u8>) {
        if message.len() > COPY_BYTES {
            return self.large.push_back(message);
        }
        let start = self.frames.len();
        self.frames.extend_from_slice(&[0; HEADER_BYTES]);
        self.frames.extend_from_slice(&message);
        FrameHeader::write(&mut self.frames[start..]);
    }

    #[cfg(test)]
    pub(crate) fn pop_large(&mut self) -> Option<Vec<u8>> {
        self.large.pop_front()
    }

    /// Queues the next fragment of the first large message as a frame; `false` if there is none.
    pub(crate) fn push_fragment(&mut self) -> bool {
        let Some(message) = self.large.pop_front() else { return false };
        let end = message.len().min(self.fragmented + FRAGMENT_BYTES);
        let remaining = (message.len() - end) as u32;
        let fragment = Message::Fragment { remaining, bytes: &message[self.fragmented..end] };
        MessageWriter::begin(self, &fragment).finish();
        self.fragmented = 0;
        if remaining > 0 {
            self.fragmented = end;
            self.large.push_front(message);
        } else {
            kv::free_buffer(message);
        }
        true
    }
}

/// Writes one message into a queue: as its last frame, or as its last large message once it outgrows a frame.
pub(crate) struct MessageWriter<'a> {
    queue: &'a mut SendQueue,
    start: usize,
    /// It has become the last of the large messages.
    is_large: bool,
}

impl<'a> MessageWriter<'a> {
    pub(crate) fn begin(queue: &'a mut SendQueue, message: &Message<'_>) -> MessageWriter<'a> {
        let start = queue.frames.len();
        queue.frames.extend_from_slice(&[0; HEADER_BYTES]);
        codec::encode(&mut queue.frames, message);
        MessageWriter { queue, start, is_large: false }
    }

    /// Adds an item; returns `false`, and adds nothing, if the message would exceed `limit` bytes.
    pub(crate) fn push_item_within(&mut self, limit: usize, item: &impl Serialize) -> bool {
        loop {
            let body = self.start + HEADER_BYTES;
            let (buffer, end) = match self.queue.large.back_mut() {
                Some(large) if self.is_large => (large, limit),
                _ => (&mut self.queue.frames, body + limit.min(FRAME_BYTES)),
            };
            let fits = codec::encode_within(buffer, end, item);
            if fits || self.is_large || limit <= FRAME_BYTES {
                return fits;
            }
            self.queue.large.push_back(self.queue.frames[body..].to_vec());
            self.queue.frames.truncate(self.start);
            self.is_large = true;
        }
    }

    /// Adds the reply to a request that has been executed. If the message would exceed `limit` bytes with it,
    /// a mark of one byte replaces it, for which there must be room.
    pub(crate) fn push_executed(&mut self, limit: usize, reply: &ForwardedReply<'_>) {
        if !self.push_item_within(limit, reply) {
            self.push_item_within(MESSAGE_BYTES, &ForwardedReply::TooLarge);
        }
    }

    /// Bytes of the message so far.
    pub(crate) fn size(&self) -> usize {
        match self.is_large {
            true => self.queue.large.back().map_or(0, Vec::len),
            false => self.queue.frames.len() - self.start - HEADER_BYTES,
        }
    }

    /// Completes the message, which stays in the queue. Returns its size in bytes.
    pub(crate) fn finish(self) -> usize {
        let size = self.size();
        if !self.is_large {
            FrameHeader::write(&mut self.queue.frames[self.start..]);
        }
        size
    }

    /// Removes the message from the queue, and returns its bytes so far.
    pub(crate) fn take(self) -> Vec<u8> {
        let body = self.start + HEADER_BYTES;
        let large = if self.is_large { self.queue.large.pop_back() } else { None };
        let message = large.unwrap_or_else(|| self.queue.frames[body..].to_vec());
        self.queue.frames.truncate(self.start);
        message
    }

    /// Removes the message from the queue.
    pub(crate) fn rollback(self) {
        self.queue.frames.truncate(self.start);
        if self.is_large {
            self.queue.large.pop_back();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::link::{buffers::ReadBuffer, codec::ForwardedReply, reassembly::Reassembly};
    use kv::Reply;

    #[test]
    fn an_item_that_does_not_fit_takes_no_memory() {
        let mut queue = SendQueue::default();
        let mut writer = MessageWriter::begin(&mut queue, &Message::Replies { id: 0 });
        let before = writer.size();
        let reply = Reply::List(vec![Reply::Value(&[0; 1_000]); 1_000]);
        assert!(!writer.push_item_within(10_000, &ForwardedReply::Reply(reply)));
        assert_eq!(writer.size(), before);
        assert!(queue.frames.capacity() <= 32_000, "{}", queue.frames.capacity());
    }

    #[test]
    fn a_message_larger_than_a_frame_leaves_in_fragments_and_is_reassembled() {
        let mut queue = SendQueue::default();
        let value: Vec<u8> = (0..=u8::MAX).cycle().take(FRAME_BYTES).collect();
        let reply = |value| ForwardedReply::Reply(Reply::Value(value));
        MessageWriter::begin(&mut queue, &Message::Heartbeat).finish();
        let mut writer = MessageWriter::begin(&mut queue, &Message::Replies { id: 7 });
        assert!(writer.push_item_within(2 * FRAME_BYTES, &reply(b"1")));
        assert!(writer.push_item_within(2 * FRAME_BYTES, &reply(&value)));
        assert!(
            !writer.push_item_within(2 * FRAME_BYTES, &reply(&value)),
            "the limit holds for large messages too"
        );
        assert!(writer.push_item_within(2 * FRAME_BYTES, &reply(b"2")));
        let size = writer.finish();
        assert_eq!(queue.large_bytes(), size);
        MessageWriter::begin(&mut queue, &Message::Heartbeat).finish();
        assert_eq!(queue.frames.len(), 2 * (HEADER_BYTES + 1), "a large message blocks no frame");
        while queue.push_fragment() {}
        assert_eq!(queue.large_bytes(), 0);
        let (mut input, mut reassembly, mut whole) = (ReadBuffer::default(), Reassembly::default(), None);
        input.reserve().extend_from_slice(&queue.frames);
        while let Some(frame) = input.next_frame().unwrap() {
            assert!(frame.len() < FRAGMENT_BYTES + 32);
            match codec::decode_frame(frame).unwrap().0 {
                Message::Fragment { remaining, bytes } => whole = reassembly.push(remaining, bytes).unwrap(),
                message => assert_eq!(message, Message::Heartbeat),
            }
        }
        let whole = whole.expect("the last fragment completes it");
        let (message, items) = codec::decode_frame(&whole).unwrap();
        assert_eq!(message, Message::Replies { id: 7 });
        let items: Vec<ForwardedReply<'_>> = codec::Items::new(items).map(Result::unwrap).collect();
        assert!(items == [reply(b"1"), reply(&value), reply(b"2")]);
    }
}
