//! The two buffers between a socket and the frames: what has come in, and what is to go out.

use crate::{
    error::Malformed,
    limits::{FRAME_BYTES, IDLE_BUFFER_BYTES, READ_BYTES},
    link::codec::LENGTH_BYTES,
    link::send_queue::Outgoing,
};

/// Bytes that have come in, of which the complete frames are read in place.
#[derive(Debug, Default)]
pub(crate) struct Input {
    bytes: Vec<u8>,
    read: usize,
}

impl Input {
    /// The buffer to read more bytes into, with room for a good many, and for the whole of a frame that has begun.
    pub(crate) fn room(&mut self) -> &mut Vec<u8> {
        self.forget_read();
        let wanted = match self.length() {
            Some(length) => (LENGTH_BYTES + length.min(FRAME_BYTES)).saturating_sub(self.bytes.len()),
            None => 0,
        };
        self.bytes.reserve(wanted.max(READ_BYTES));
        &mut self.bytes
    }

    /// The next complete frame.
    pub(crate) fn frame(&mut self) -> Result<Option<&[u8]>, Malformed> {
        let Some(length) = self.length() else { return Ok(None) };
        if length > FRAME_BYTES {
            return Err(Malformed(format!("a frame of {length} bytes; {FRAME_BYTES} are allowed")));
        }
        let start = self.read + LENGTH_BYTES;
        let frame = self.bytes.get(start..start + length);
        if frame.is_some() {
            self.read = start + length;
        }
        Ok(frame)
    }

    /// Gives back the memory that a large frame took.
    pub(crate) fn shrink(&mut self) {
        self.forget_read();
        shrink(&mut self.bytes);
    }

    fn forget_read(&mut self) {
        self.bytes.drain(..self.read);
        self.read = 0;
    }

    fn length(&self) -> Option<usize> {
        let bytes = self.bytes[self.read..].first_chunk::<LENGTH_BYTES>()?;
        Some(u32::from_le_bytes(*bytes) as usize)
    }
}

/// What is to go out, of which some bytes have gone.
#[derive(Debug, Default)]
pub(crate) struct Output {
    outgoing: Outgoing,
    sent: usize,
    /// Unsent bytes up to the end of the newest part of a large message.
    part: usize,
}

impl Output {
    /// Where to write frames.
    pub(crate) fn outgoing(&mut self) -> &mut Outgoing {
        &mut self.outgoing
    }

    /// The frames that have not gone.
    pub(crate) fn unsent(&self) -> &[u8] {
        &self.outgoing.frames[self.sent..]
    }

    /// Bytes of the large messages that are not among the frames yet.
    pub(crate) fn large_bytes(&self) -> usize {
        self.outgoing.large_bytes()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.outgoing.is_empty()
    }

    /// Notes that so many bytes have gone.
    pub(crate) fn advance(&mut self, bytes: usize) {
        self.sent += bytes;
        self.part = self.part.saturating_sub(bytes);
        if self.sent >= self.outgoing.frames.len() / 2 {
            self.outgoing.frames.drain(..self.sent);
            self.sent = 0;
        }
    }

    /// Takes all of `more`, which is left empty.
    pub(crate) fn gather(&mut self, more: &mut Outgoing) {
        self.outgoing.append_large(more);
        if self.outgoing.frames.is_empty() {
            std::mem::swap(&mut self.outgoing.frames, &mut more.frames);
        } else {
            self.outgoing.frames.append(&mut more.frames);
        }
    }

    /// Adds the next part of a large message once the one before has gone, so that the frames that have come in the
    /// meantime go between them.
    pub(crate) fn add_part(&mut self) {
        if self.part == 0 && self.outgoing.cut_part() {
            self.part = self.unsent().len();
        }
    }

    /// Gives back the memory that a large frame took.
    pub(crate) fn shrink(&mut self) {
        shrink(&mut self.outgoing.frames);
    }
}

/// Gives back what an emptied buffer holds beyond its usual size.
pub(crate) fn shrink(buffer: &mut Vec<u8>) {
    if buffer.is_empty() && buffer.capacity() > IDLE_BUFFER_BYTES {
        *buffer = Vec::new();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        limits::MESSAGE_BYTES,
        link::codec::{Answer, Message},
        link::send_queue::Frame,
    };
    use kv::Reply;

    fn frame(bytes: &[u8]) -> Vec<u8> {
        [&(bytes.len() as u32).to_le_bytes(), bytes].concat()
    }

    #[test]
    fn frames_are_read_however_they_are_cut() {
        let sent = [frame(b"one"), frame(b""), frame(&[7; 100_000]), frame(b"four")].concat();
        for size in [1, 3, 4, 5, 1_000, sent.len()] {
            let (mut input, mut lengths) = (Input::default(), Vec::new());
            for piece in sent.chunks(size) {
                input.room().extend_from_slice(piece);
                while let Some(frame) = input.frame().unwrap() {
                    lengths.push(frame.len());
                }
            }
            assert_eq!(lengths, [3, 0, 100_000, 4], "in pieces of {size}");
        }
    }

    #[test]
    fn a_length_beyond_the_limit_takes_no_memory() {
        let mut input = Input::default();
        input.room().extend_from_slice(&u32::MAX.to_le_bytes());
        assert!(input.frame().is_err());
        assert!(input.bytes.capacity() <= 2 * READ_BYTES);
    }

    #[test]
    fn what_has_gone_is_forgotten_and_the_rest_keeps_its_order() {
        let mut output = Output::default();
        for bytes in [b"hello ", &b"world"[..]] {
            let mut more = Outgoing::default();
            more.frames.extend_from_slice(bytes);
            output.gather(&mut more);
        }
        output.advance(2);
        assert_eq!(output.unsent(), b"llo world");
        output.advance(7);
        assert_eq!(output.unsent(), b"ld");
        output.advance(2);
        assert!(output.is_empty());
    }

    #[test]
    fn one_part_at_a_time_is_among_the_frames_and_others_go_between_them() {
        let mut output = Output::default();
        let mut large = Frame::begin(output.outgoing(), &Message::Answers { id: 1 });
        assert!(large.item_within(MESSAGE_BYTES, &Answer::Reply(Reply::Value(&[0; FRAME_BYTES]))));
        large.finish();
        output.add_part();
        let part = output.unsent().len();
        output.add_part();
        assert_eq!(output.unsent().len(), part);
        Frame::begin(output.outgoing(), &Message::Heartbeat).finish();
        output.advance(part - 1);
        output.add_part();
        assert_eq!(output.unsent().len(), 1 + LENGTH_BYTES + 1, "the part has not gone");
        output.advance(1);
        output.add_part();
        assert_eq!(output.unsent().len(), LENGTH_BYTES + 1 + part, "the next follows the heartbeat");
    }
}
