//! Large values: lists of pieces, which are shared by all who hold the value. So a value is written before a
//! lock is taken, read after it has been released, and copied under it without its bytes. A change copies
//! the pieces that it changes, if they are shared.

use crate::{
    error::CommandError,
    limits::{LARGE_VALUE_BYTES, PIECE_BYTES},
    memory::reaper,
};
use memmap2::MmapMut;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use std::{
    fmt,
    ops::Range,
    sync::{Arc, OnceLock},
};

/// A value of more than `LARGE_VALUE_BYTES`, or a part of one. Cloning it copies no bytes.
#[derive(Clone)]
pub struct LargeValue {
    /// Of [`PIECE_BYTES`] each; the last may be shorter.
    pieces: Vec<Arc<Piece>>,
    /// Where the value begins in its first piece.
    start: usize,
    len: usize,
}

/// Bytes of the system's memory, zeroed and taken up as they are written. What lies behind the end of the
/// value is zero.
pub(super) struct Piece(MmapMut);

impl Piece {
    fn new(bytes: usize) -> Result<Piece, CommandError> {
        MmapMut::map_anon(bytes).map(Piece).map_err(|_| CommandError::OutOfMemory)
    }

    /// The piece that all gaps share. It takes up no memory, because it is never written.
    fn zeros() -> Result<Arc<Piece>, CommandError> {
        static ZEROS: OnceLock<Arc<Piece>> = OnceLock::new();
        if let Some(zeros) = ZEROS.get() {
            return Ok(zeros.clone());
        }
        let zeros = Arc::new(Piece::new(PIECE_BYTES)?);
        Ok(ZEROS.get_or_init(|| zeros).clone())
    }
}

impl LargeValue {
    /// Whether a value of this many bytes is stored in pieces.
    pub fn holds(bytes: usize) -> bool {
        bytes > LARGE_VALUE_BYTES
    }

    /// A value without bytes yet, to be filled by [`Self::copy_next`]. Its pieces begin where those of a
    /// value do at `offset`, so that they can become its pieces.
    pub fn aligned_to(offset: usize) -> LargeValue {
        LargeValue { pieces: Vec::new(), start: offset % PIECE_BYTES, len: 0 }
    }

    /// Adds the next piece of a copy of `source`; `false` when it is complete.
    pub fn copy_next(&mut self, source: &[u8]) -> Result<bool, CommandError> {
        let rest = &source[self.len..];
        let start = if self.pieces.is_empty() { self.start } else { 0 };
        let count = rest.len().min(PIECE_BYTES - start);
        if count == 0 {
            return Ok(false);
        }
        let mut piece = Piece::new(start + count)?;
        copy(&mut piece.0[start..], &rest[..count]);
        self.pieces.push(Arc::new(piece));
        self.len += count;
        Ok(true)
    }

    /// A copy of `source`.
    pub fn copy_of(source: &[u8]) -> Result<LargeValue, CommandError> {
        let mut value = LargeValue::aligned_to(0);
        while value.copy_next(source)? {}
        Ok(value)
    }

    /// Length in bytes.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether it has no bytes.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// The bytes, piece by piece.
    pub fn slices(&self) -> impl Iterator<Item = &[u8]> {
        let (mut start, mut left) = (self.start, self.len);
        self.pieces.iter().map(move |piece| {
            let range = start..start + left.min(PIECE_BYTES - start);
            left -= range.len();
            start = 0;
            &piece.0[range]
        })
    }

    /// The bytes in one buffer.
    pub fn to_vec(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(self.len);
        self.slices().for_each(|slice| bytes.extend_from_slice(slice));
        bytes
    }

    /// A part of the value, which shares its pieces.
    pub(crate) fn part(&self, range: Range<usize>) -> LargeValue {
        let (start, end) = (self.start + range.start, self.start + range.end);
        let pieces = self.pieces[start / PIECE_BYTES..end.div_ceil(PIECE_BYTES)].to_vec();
        LargeValue { pieces, start: start % PIECE_BYTES, len: range.len() }
    }

    /// Writes `bytes`, of which there are some, from `offset` on; it grows as needed, with zeros up to
    /// `offset`. Whole pieces are taken from `aligned`, a copy of the bytes that is aligned to `offset`.
    /// If memory is lacking, nothing changes.
    pub(crate) fn write(
        &mut self,
        offset: usize,
        bytes: &[u8],
        aligned: Option<&LargeValue>,
    ) -> Result<(), CommandError> {
        let (before, end) = (self.len, offset + bytes.len());
        let after = before.max(end);
        let written = offset / PIECE_BYTES..end.div_ceil(PIECE_BYTES);
        // The part of a piece that is written, if the piece is not taken over as a whole.
        let part = |index: usize| {
            let base = index * PIECE_BYTES;
            let part = offset.max(base) - base..end.min(base + PIECE_BYTES) - base;
            let is_whole = part.start == 0 && (part.end == PIECE_BYTES || base + part.end == after);
            (!is_whole || aligned.is_none()).then_some(part)
        };
        let prepared = self.extend_to(after).and_then(|()| {
            let mut parts = written.clone().filter_map(|index| Some((index, part(index)?)));
            parts.try_for_each(|(index, part)| self.make_private(index, part.end))?;
            self.lengthen_last(after)
        });
        if let Err(error) = prepared {
            self.pieces.truncate(before.div_ceil(PIECE_BYTES));
            return Err(error);
        }
        for index in written.clone() {
            match (part(index), aligned) {
                (None, Some(aligned)) => self.pieces[index] = aligned.pieces[index - written.start].clone(),
                (part, _) => {
                    let part = part.expect("only an aligned copy has whole pieces");
                    let piece = Arc::get_mut(&mut self.pieces[index]).expect("it has been made private");
                    let from = index * PIECE_BYTES + part.start - offset;
                    copy(&mut piece.0[part.clone()], &bytes[from..from + part.len()]);
                }
            }
        }
        self.len = after;
        Ok(())
    }

    /// Whether its pieces begin where those of a value do at `offset`.
    pub(crate) fn is_aligned_to(&self, offset: usize) -> bool {
        self.start == offset % PIECE_BYTES
    }

    /// Adds pieces of zeros until there is one for each of `len` bytes.
    fn extend_to(&mut self, len: usize) -> Result<(), CommandError> {
        while self.pieces.len() < len.div_ceil(PIECE_BYTES) {
            self.pieces.push(Piece::zeros()?);
        }
        Ok(())
    }

    /// Replaces the last piece if it has no room for zeros up to `len`.
    fn lengthen_last(&mut self, len: usize) -> Result<(), CommandError> {
        let Some(last) = self.len.checked_sub(1) else { return Ok(()) };
        let needed = (len - last / PIECE_BYTES * PIECE_BYTES).min(PIECE_BYTES);
        match self.pieces[last / PIECE_BYTES].0.len() < needed {
            true => self.make_private(last / PIECE_BYTES, needed),
            false => Ok(()),
        }
    }

    /// Makes the first `needed` bytes of a piece writable: copies the piece if it is shared or too short.
    fn make_private(&mut self, index: usize, needed: usize) -> Result<(), CommandError> {
        let valid = self.len.saturating_sub(index * PIECE_BYTES).min(PIECE_BYTES);
        let piece = &mut self.pieces[index];
        if Arc::get_mut(piece).is_some_and(|piece| piece.0.len() >= needed) {
            return Ok(());
        }
        let mut private = Piece::new(PIECE_BYTES)?;
        if !Arc::ptr_eq(piece, &Piece::zeros()?) {
            copy(&mut private.0, &piece.0[..valid]);
        }
        *piece = Arc::new(private);
        Ok(())
    }
}

fn copy(to: &mut [u8], from: &[u8]) {
    #[cfg(test)]
    crate::tests::work::touch(from.len());
    to[..from.len()].copy_from_slice(from);
}

impl Drop for LargeValue {
    /// Giving memory back to the system takes time, so another thread does it.
    fn drop(&mut self) {
        if self.pieces.len() > 1 {
            let pieces = std::mem::take(&mut self.pieces);
            reaper::free_later(move || drop(pieces));
        }
    }
}

impl PartialEq for LargeValue {
    fn eq(&self, other: &LargeValue) -> bool {
        self.len == other.len && self.to_vec() == other.to_vec()
    }
}

impl Eq for LargeValue {}

impl fmt::Debug for LargeValue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "LargeValue({} bytes)", self.len)
    }
}

impl Serialize for LargeValue {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_bytes(&self.to_vec())
    }
}

impl<'de> Deserialize<'de> for LargeValue {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<LargeValue, D::Error> {
        let bytes: &[u8] = serde_bytes::deserialize(deserializer)?;
        LargeValue::copy_of(bytes).map_err(de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tests::work::touched_by;
    use proptest::prelude::*;

    fn bytes(len: usize) -> Vec<u8> {
        (0..=250).cycle().take(len).collect()
    }

    fn aligned_copy(offset: usize, bytes: &[u8]) -> LargeValue {
        let mut value = LargeValue::aligned_to(offset);
        while value.copy_next(bytes).expect("memory") {}
        value
    }

    #[test]
    fn a_copy_has_the_same_bytes_in_pieces() {
        for len in [0, 1, PIECE_BYTES - 1, PIECE_BYTES, PIECE_BYTES + 1, 3 * PIECE_BYTES + 5] {
            let value = LargeValue::copy_of(&bytes(len)).expect("memory");
            assert_eq!(value.to_vec(), bytes(len));
            assert!(value.slices().all(|slice| !slice.is_empty() && slice.len() <= PIECE_BYTES));
        }
    }

    #[test]
    fn a_change_touches_the_pieces_that_it_changes_and_no_other_holder_sees_it() {
        let mut value = LargeValue::copy_of(&bytes(12 * PIECE_BYTES)).expect("memory");
        let (shared, touched) = touched_by(|| value.clone());
        assert_eq!(touched, 0);
        let (_, touched) = touched_by(|| value.write(10 * PIECE_BYTES, b"new", None).expect("memory"));
        assert_eq!(touched, PIECE_BYTES + 3, "one piece is copied");
        let (_, touched) = touched_by(|| value.write(10 * PIECE_BYTES, b"newer", None).expect("memory"));
        assert_eq!(touched, 5, "it is no longer shared");
        assert_eq!(shared.to_vec(), bytes(12 * PIECE_BYTES));
        assert_eq!(
            value.part(10 * PIECE_BYTES..10 * PIECE_BYTES + 6).to_vec(),
            [b"newer", &bytes(10 * PIECE_BYTES + 6)[10 * PIECE_BYTES + 5..]].concat()
        );
    }

    #[test]
    fn a_gap_takes_no_memory() {
        let mut value = LargeValue::aligned_to(0);
        let (_, touched) = touched_by(|| value.write(500 * PIECE_BYTES, b"x", None).expect("memory"));
        assert_eq!(touched, 1);
        assert_eq!(value.len(), 500 * PIECE_BYTES + 1);
        assert!(value.part(7..3 * PIECE_BYTES).to_vec().iter().all(|byte| *byte == 0));
    }

    #[test]
    fn the_pieces_of_an_aligned_copy_are_taken_over() {
        let new = bytes(10 * PIECE_BYTES);
        for offset in [0, 5, PIECE_BYTES, 3 * PIECE_BYTES - 1] {
            let mut value = LargeValue::copy_of(&bytes(3 * PIECE_BYTES)).expect("memory");
            let copied = aligned_copy(offset, &new);
            let (_, touched) = touched_by(|| value.write(offset, &new, Some(&copied)).expect("memory"));
            assert!(touched <= 3 * PIECE_BYTES, "{touched} at {offset}");
            assert_eq!(value.to_vec(), [&bytes(3 * PIECE_BYTES)[..offset], &new].concat());
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(8))]
        #[test]
        fn writes_are_those_of_a_vector(
            writes in proptest::collection::vec((0..2 * PIECE_BYTES, 1..2 * PIECE_BYTES, any::<bool>()), 1..6)
        ) {
            let (mut value, mut model) = (LargeValue::aligned_to(0), Vec::new());
            let mut shared = Vec::new();
            for (offset, len, is_staged) in writes {
                let new = bytes(len);
                let copied = is_staged.then(|| aligned_copy(offset, &new));
                shared.push((value.clone(), model.clone()));
                value.write(offset, &new, copied.as_ref()).expect("memory");
                model.resize(model.len().max(offset + len), 0);
                model[offset..offset + len].copy_from_slice(&new);
                prop_assert!(value.to_vec() == model);
            }
            for (value, model) in shared {
                prop_assert!(value.to_vec() == model);
            }
        }
    }
}
