//! The two buffers at a link's socket: bytes that have arrived, and bytes to write.

use crate::{
    error::ProtocolError,
    limits::{FRAME_BYTES, IDLE_BUFFER_BYTES, LARGE_UNSENT_BYTES, READ_BYTES, UNSENT_BYTES},
    link::{
        codec::{FrameHeader, HEADER_BYTES},
        send_queue::SendQueue,
    },
};

/// Bytes that have arrived; complete frames are decoded in place.
#[derive(Debug, Default)]
pub(crate) struct ReadBuffer {
    bytes: Vec<u8>,
    consumed: usize,
    /// Complete frames so far.
    frames: u64,
}

impl ReadBuffer {
    /// The buffer to read more bytes into, with space for at least the rest of a frame that has begun to
    /// arrive.
    pub(crate) fn reserve(&mut self) -> &mut Vec<u8> {
        self.drop_consumed();
        let missing = match FrameHeader::read(&self.bytes) {
            Some(header) => (HEADER_BYTES + header.length.min(FRAME_BYTES)).saturating_sub(self.bytes.len()),
            None => 0,
        };
        self.bytes.reserve(missing.max(READ_BYTES));
        &mut self.bytes
    }

    /// The next complete frame.
    pub(crate) fn next_frame(&mut self) -> Result<Option<&[u8]>, ProtocolError> {
        let unread = &self.bytes[self.consumed..];
        let Some(header) = FrameHeader::read(unread) else { return Ok(None) };
        let length = header.length;
        if length > FRAME_BYTES {
            return Err(ProtocolError(format!("a frame of {length} bytes; the limit is {FRAME_BYTES}")));
        }
        let Some(frame) = unread.get(..HEADER_BYTES + length) else { return Ok(None) };
        header.verify(frame)?;
        self.consumed += frame.len();
        self.frames += 1;
        Ok(Some(&frame[HEADER_BYTES..]))
    }

    /// The frame that has begun to arrive, and how many of its bytes have arrived.
    pub(crate) fn arriving(&self) -> Option<(u64, usize)> {
        let bytes = self.bytes.len() - self.consumed;
        (bytes > 0).then_some((self.frames, bytes))
    }

    /// Frees the memory that a large frame needed.
    pub(crate) fn shrink(&mut self) {
        self.drop_consumed();
        shrink(&mut self.bytes);
    }

    fn drop_consumed(&mut self) {
        self.bytes.drain(..self.consumed);
        self.consumed = 0;
    }
}

/// Bytes to write; the first of them may have been written.
#[derive(Debug, Default)]
pub(crate) struct WriteBuffer {
    queue: SendQueue,
    written: usize,
    /// Unwritten bytes up to the end of the newest fragment.
    up_to_fragment: usize,
}

impl WriteBuffer {
    /// The queue of what is to be written, for messages that are encoded right here.
    pub(crate) fn queue(&mut self) -> &mut SendQueue {
        &mut self.queue
    }

    /// The frames that have not been written.
    pub(crate) fn unwritten(&self) -> &[u8] {
        &self.queue.frames[self.written..]
    }

    /// Whether frames may be added to those that have not been written.
    pub(crate) fn has_room(&self) -> bool {
        self.unwritten().len() < UNSENT_BYTES
    }

    /// Whether the replies to another request of the peer may be added, besides `coming` bytes of others.
    pub(crate) fn has_room_for_replies(&self, coming: usize) -> bool {
        self.has_room() && self.queue.large_bytes() + coming <= LARGE_UNSENT_BYTES
    }

    /// Bytes of the large messages that are left to send.
    pub(crate) fn large_bytes(&self) -> usize {
        self.queue.large_bytes()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.queue.is_empty()
    }

    /// Records that `bytes` more bytes have been written.
    pub(crate) fn advance(&mut self, bytes: usize) {
        self.written += bytes;
        self.up_to_fragment = self.up_to_fragment.saturating_sub(bytes);
        if self.written >= self.queue.frames.len() / 2 {
            self.queue.frames.drain(..self.written);
            self.written = 0;
        }
    }

    /// Moves all that is in `queue` here.
    pub(crate) fn append(&mut self, queue: &mut SendQueue) {
        self.queue.append_large(queue);
        if self.queue.frames.is_empty() {
            std::mem::swap(&mut self.queue.frames, &mut queue.frames);
        } else {
            self.queue.frames.append(&mut queue.frames);
        }
    }

    /// Adds the next fragment of a large message once the one before has been written, so that frames queued
    /// in the meantime go between them.
    pub(crate) fn push_fragment(&mut self) {
        if self.up_to_fragment == 0 && self.queue.push_fragment() {
            self.up_to_fragment = self.unwritten().len();
        }
    }

    /// Frees the memory that a large frame needed.
    pub(crate) fn shrink(&mut self) {
        shrink(&mut self.queue.frames);
    }
}

/// Frees the capacity of an empty buffer beyond its usual size.
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
        link::{
            codec::{ForwardedReply, Message},
            send_queue::MessageWriter,
        },
    };
    use kv::Reply;

    fn frame(bytes: &[u8]) -> Vec<u8> {
        let mut frame = [&[0; HEADER_BYTES], bytes].concat();
        FrameHeader::write(&mut frame);
        frame
    }

    #[test]
    fn frames_are_found_however_their_bytes_arrive() {
        let sent = [frame(b"one"), frame(b""), frame(&[7; 100_000]), frame(b"four")].concat();
        for size in [1, 7, 8, 9, 1_000, sent.len()] {
            let (mut input, mut lengths) = (ReadBuffer::default(), Vec::new());
            for piece in sent.chunks(size) {
                input.reserve().extend_from_slice(piece);
                while let Some(frame) = input.next_frame().unwrap() {
                    lengths.push(frame.len());
                }
            }
            assert_eq!(lengths, [3, 0, 100_000, 4], "in pieces of {size}");
        }
    }

    #[test]
    fn a_flipped_bit_is_noticed_wherever_it_is() {
        let sent = [frame(b"one"), frame(b"two")].concat();
        for bit in 0..frame(b"one").len() * 8 {
            let mut input = ReadBuffer::default();
            input.reserve().extend_from_slice(&sent);
            input.bytes[bit / 8] ^= 1 << (bit % 8);
            // A longer frame has not arrived yet, and no other is taken for one that was sent.
            assert!(!matches!(input.next_frame(), Ok(Some(_))), "bit {bit}");
        }
    }

    #[test]
    fn a_length_beyond_the_limit_takes_no_memory() {
        let mut input = ReadBuffer::default();
        input.reserve().extend_from_slice(&[u8::MAX; HEADER_BYTES]);
        assert!(input.next_frame().is_err());
        assert!(input.bytes.capacity() <= 2 * READ_BYTES);
    }

    #[test]
    fn written_bytes_are_dropped_and_the_rest_keeps_its_order() {
        let mut output = WriteBuffer::default();
        for bytes in [b"hello ", &b"world"[..]] {
            let mut queue = SendQueue::default();
            queue.frames.extend_from_slice(bytes);
            output.append(&mut queue);
        }
        output.advance(2);
        assert_eq!(output.unwritten(), b"llo world");
        output.advance(7);
        assert_eq!(output.unwritten(), b"ld");
        output.advance(2);
        assert!(output.is_empty());
    }

    #[test]
    fn one_fragment_at_a_time_is_among_the_frames_and_others_go_between() {
        let mut output = WriteBuffer::default();
        let mut large = MessageWriter::begin(output.queue(), &Message::Replies { id: 1 });
        let reply = ForwardedReply::Reply(Reply::Value(&[0; FRAME_BYTES]));
        assert!(large.push_item_within(MESSAGE_BYTES, &reply));
        large.finish();
        output.push_fragment();
        let fragment = output.unwritten().len();
        output.push_fragment();
        assert_eq!(output.unwritten().len(), fragment);
        MessageWriter::begin(output.queue(), &Message::Heartbeat).finish();
        output.advance(fragment - 1);
        output.push_fragment();
        assert_eq!(output.unwritten().len(), 1 + HEADER_BYTES + 1, "the fragment is not written yet");
        output.advance(1);
        output.push_fragment();
        assert_eq!(output.unwritten().len(), HEADER_BYTES + 1 + fragment, "the next follows the heartbeat");
    }
}
