//! The two buffers between a socket and the frames: what has come in, and what is to go out.

use crate::{
    error::Malformed,
    limits::{ANSWERS_BYTES, IDLE_BUFFER_BYTES, READ_BYTES},
    wire::LENGTH_BYTES,
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
            Some(length) => (LENGTH_BYTES + length.min(ANSWERS_BYTES)).saturating_sub(self.bytes.len()),
            None => 0,
        };
        self.bytes.reserve(wanted.max(READ_BYTES));
        &mut self.bytes
    }

    /// The next complete frame.
    pub(crate) fn frame(&mut self) -> Result<Option<&[u8]>, Malformed> {
        let Some(length) = self.length() else { return Ok(None) };
        if length > ANSWERS_BYTES {
            return Err(Malformed(format!("a frame of {length} bytes; {ANSWERS_BYTES} are allowed")));
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

/// Bytes that are to go out, of which some have gone.
#[derive(Debug, Default)]
pub(crate) struct Output {
    bytes: Vec<u8>,
    sent: usize,
}

impl Output {
    /// The buffer to write frames at the end of.
    pub(crate) fn buffer(&mut self) -> &mut Vec<u8> {
        &mut self.bytes
    }

    pub(crate) fn unsent(&self) -> &[u8] {
        &self.bytes[self.sent..]
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.unsent().is_empty()
    }

    /// Notes that so many bytes have gone.
    pub(crate) fn advance(&mut self, bytes: usize) {
        self.sent += bytes;
        if self.sent >= self.bytes.len() / 2 {
            self.bytes.drain(..self.sent);
            self.sent = 0;
        }
    }

    /// Takes all of `more`, which is left empty.
    pub(crate) fn gather(&mut self, more: &mut Vec<u8>) {
        if self.is_empty() {
            std::mem::swap(&mut self.bytes, more);
        } else {
            self.bytes.append(more);
        }
    }

    /// Gives back the memory that a large frame took.
    pub(crate) fn shrink(&mut self) {
        shrink(&mut self.bytes);
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
        output.gather(&mut b"hello ".to_vec());
        output.gather(&mut b"world".to_vec());
        output.advance(2);
        assert_eq!(output.unsent(), b"llo world");
        output.advance(7);
        assert_eq!(output.unsent(), b"ld");
        output.advance(2);
        assert!(output.is_empty() && output.bytes.is_empty());
    }
}
