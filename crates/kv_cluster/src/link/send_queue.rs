//! What is to be sent to a peer: frames, one after the other, and beside them the messages that are larger than a frame.
//! Those cross in parts, between which all else goes on.

use crate::{
    limits::{FRAME_BYTES, PART_BYTES},
    link::codec::{self, LENGTH_BYTES, Message},
};
use serde::Serialize;
use std::collections::VecDeque;

/// Frames, and large messages.
#[derive(Debug, Default)]
pub(crate) struct Outgoing {
    pub(crate) frames: Vec<u8>,
    large: VecDeque<Vec<u8>>,
    /// Bytes of the first large message that have become frames.
    cut: usize,
}

impl Outgoing {
    pub(crate) fn is_empty(&self) -> bool {
        self.frames.is_empty() && self.large.is_empty()
    }

    /// Bytes of the large messages that have not become frames yet.
    pub(crate) fn large_bytes(&self) -> usize {
        self.large.iter().map(Vec::len).sum::<usize>() - self.cut
    }

    /// Takes over the large messages of `more`.
    pub(crate) fn append_large(&mut self, more: &mut Outgoing) {
        self.large.append(&mut more.large);
    }

    /// Makes the next part of the first large message a frame; `false` when there is none.
    pub(crate) fn cut_part(&mut self) -> bool {
        let Some(message) = self.large.pop_front() else { return false };
        let end = message.len().min(self.cut + PART_BYTES);
        let left = (message.len() - end) as u32;
        Frame::begin(self, &Message::Part { left, bytes: &message[self.cut..end] }).finish();
        self.cut = 0;
        if left > 0 {
            self.cut = end;
            self.large.push_front(message);
        }
        true
    }
}

/// A message that is being written: a frame behind the others, until it grows larger than one.
pub(crate) struct Frame<'a> {
    out: &'a mut Outgoing,
    start: usize,
    /// It is the last of the large messages by now.
    is_large: bool,
}

impl<'a> Frame<'a> {
    pub(crate) fn begin(out: &'a mut Outgoing, message: &Message<'_>) -> Frame<'a> {
        let start = out.frames.len();
        out.frames.extend_from_slice(&[0; LENGTH_BYTES]);
        codec::encode(&mut out.frames, message);
        Frame { out, start, is_large: false }
    }

    /// Adds an item, or adds nothing when the message would exceed so many bytes.
    pub(crate) fn item_within(&mut self, limit: usize, item: &impl Serialize) -> bool {
        loop {
            let body = self.start + LENGTH_BYTES;
            let (buffer, end) = match self.out.large.back_mut() {
                Some(large) if self.is_large => (large, limit),
                _ => (&mut self.out.frames, body + limit.min(FRAME_BYTES)),
            };
            let fits = codec::encode_within(buffer, end, item);
            if fits || self.is_large || limit <= FRAME_BYTES {
                return fits;
            }
            // It grows larger than a frame, and stands apart from now on.
            self.out.large.push_back(self.out.frames[body..].to_vec());
            self.out.frames.truncate(self.start);
            self.is_large = true;
        }
    }

    /// Bytes of the message so far.
    pub(crate) fn bytes(&self) -> usize {
        match self.is_large {
            true => self.out.large.back().map_or(0, Vec::len),
            false => self.out.frames.len() - self.start - LENGTH_BYTES,
        }
    }

    /// Leaves the message to be sent, and returns its bytes.
    pub(crate) fn finish(self) -> usize {
        let bytes = self.bytes();
        if !self.is_large {
            let length = (bytes as u32).to_le_bytes();
            self.out.frames[self.start..self.start + LENGTH_BYTES].copy_from_slice(&length);
        }
        bytes
    }

    /// Takes the message back.
    pub(crate) fn abandon(self) {
        self.out.frames.truncate(self.start);
        if self.is_large {
            self.out.large.pop_back();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{link::buffers::Input, link::codec::Answer, link::reassembly::Assembly};
    use kv::Reply;

    #[test]
    fn an_item_that_does_not_fit_takes_no_memory() {
        let mut out = Outgoing::default();
        let mut frame = Frame::begin(&mut out, &Message::Answers { id: 0 });
        let before = frame.bytes();
        let reply = Reply::List(vec![Reply::Value(&[0; 1_000]); 1_000]);
        assert!(!frame.item_within(10_000, &Answer::Reply(reply)));
        assert_eq!(frame.bytes(), before);
        assert!(out.frames.capacity() <= 32_000, "{}", out.frames.capacity());
    }

    #[test]
    fn a_message_larger_than_a_frame_leaves_in_parts_and_comes_together_again() {
        let mut out = Outgoing::default();
        let value: Vec<u8> = (0..=u8::MAX).cycle().take(FRAME_BYTES).collect();
        let reply = |value| Answer::Reply(Reply::Value(value));
        Frame::begin(&mut out, &Message::Heartbeat).finish();
        let mut frame = Frame::begin(&mut out, &Message::Answers { id: 7 });
        assert!(frame.item_within(2 * FRAME_BYTES, &reply(b"1")));
        assert!(frame.item_within(2 * FRAME_BYTES, &reply(&value)));
        assert!(!frame.item_within(2 * FRAME_BYTES, &reply(&value)), "the limit holds for it too");
        assert!(frame.item_within(2 * FRAME_BYTES, &reply(b"2")));
        let bytes = frame.finish();
        assert_eq!(out.large_bytes(), bytes);
        Frame::begin(&mut out, &Message::Heartbeat).finish();
        assert_eq!(out.frames.len(), 2 * (LENGTH_BYTES + 1), "it stands in no other frame's way");
        while out.cut_part() {}
        assert_eq!(out.large_bytes(), 0);
        let (mut input, mut assembly, mut whole) = (Input::default(), Assembly::default(), None);
        input.room().extend_from_slice(&out.frames);
        while let Some(frame) = input.frame().unwrap() {
            assert!(frame.len() < PART_BYTES + 32);
            match codec::read(frame).unwrap().0 {
                Message::Part { left, bytes } => whole = assembly.add(left, bytes).unwrap(),
                message => assert_eq!(message, Message::Heartbeat),
            }
        }
        let whole = whole.expect("the last part completes it");
        let (message, items) = codec::read(&whole).unwrap();
        assert_eq!(message, Message::Answers { id: 7 });
        let items: Vec<Answer<'_>> = codec::Items::new(items).map(Result::unwrap).collect();
        assert!(items == [reply(b"1"), reply(&value), reply(b"2")]);
    }
}
