//! Encodes a snapshot. It does no I/O: whoever writes a file or a socket takes the bytes.

use super::{MAGIC, RecordCounts, SnapshotHeader, VERSION, record};
use crate::limits::{SNAPSHOT_BLOCK_BYTES, SNAPSHOT_BLOCK_LEAST};
use kv::{FrozenStore, GivenUp, Record};
use std::thread;

/// Bytes of a block before its records: their length, and their checksum.
const BLOCK_HEAD: usize = 8;

/// A snapshot that is being encoded.
#[derive(Debug)]
pub struct SnapshotEncoder {
    /// Blocks that have not been taken, and at the end the one that is being filled.
    bytes: Vec<u8>,
    /// Where that one begins.
    block: usize,
    /// The checksum of all that comes before it.
    checksum: u32,
    counts: RecordCounts,
}

impl SnapshotEncoder {
    /// A snapshot without records yet.
    pub fn new(header: &SnapshotHeader) -> SnapshotEncoder {
        let mut bytes = MAGIC.to_vec();
        bytes.extend_from_slice(&[header.kind.code(), VERSION]);
        bytes.extend_from_slice(&header.stamp_ms.to_le_bytes());
        bytes.extend_from_slice(&(header.description.len() as u32).to_le_bytes());
        bytes.extend_from_slice(&header.description);
        let checksum = crc32c::crc32c(&bytes);
        bytes.extend_from_slice(&checksum.to_le_bytes());
        let checksum = crc32c::crc32c(&bytes);
        let mut encoder = SnapshotEncoder { bytes, block: 0, checksum, counts: RecordCounts::default() };
        encoder.begin_block();
        encoder
    }

    /// Adds a record. This copies it and does nothing else.
    pub fn add(&mut self, record: Record<'_>) {
        self.counts.count(&record);
        record::encode(&record, |part| self.push(part));
    }

    /// How much has been added.
    pub fn counts(&self) -> RecordCounts {
        self.counts
    }

    /// Bytes that have not been taken.
    pub(crate) fn waiting_bytes(&self) -> usize {
        self.bytes.len()
    }

    /// Takes the bytes of all blocks that are large enough.
    pub fn take_blocks(&mut self) -> Vec<u8> {
        if self.bytes.len() - self.block >= SNAPSHOT_BLOCK_LEAST {
            self.seal_block();
        }
        let open = self.bytes.split_off(self.block);
        self.block = 0;
        std::mem::replace(&mut self.bytes, open)
    }

    /// Ends the snapshot, and takes its last bytes.
    pub fn finish(mut self) -> Vec<u8> {
        if self.bytes.len() - self.block > BLOCK_HEAD {
            self.seal_block();
        }
        self.bytes.truncate(self.block);
        let RecordCounts { maps, entries, strings } = self.counts;
        // A block without bytes is the end.
        let mut trailer = 0_u32.to_le_bytes().to_vec();
        [maps, entries, strings].iter().for_each(|count| trailer.extend_from_slice(&count.to_le_bytes()));
        let checksum = crc32c::crc32c_append(self.checksum, &trailer);
        trailer.extend_from_slice(&checksum.to_le_bytes());
        self.bytes.append(&mut trailer);
        self.bytes
    }

    fn push(&mut self, mut bytes: &[u8]) {
        loop {
            let room = self.block + BLOCK_HEAD + SNAPSHOT_BLOCK_BYTES - self.bytes.len();
            let (part, rest) = bytes.split_at(bytes.len().min(room));
            self.bytes.extend_from_slice(part);
            if rest.is_empty() {
                return;
            }
            bytes = rest;
            self.seal_block();
        }
    }

    fn begin_block(&mut self) {
        self.block = self.bytes.len();
        self.bytes.extend_from_slice(&[0; BLOCK_HEAD]);
    }

    /// Completes the block that is being filled, and begins another one.
    fn seal_block(&mut self) {
        let (head, records) = self.bytes[self.block..].split_at_mut(BLOCK_HEAD);
        head[..4].copy_from_slice(&(records.len() as u32).to_le_bytes());
        head[4..].copy_from_slice(&crc32c::crc32c(records).to_le_bytes());
        self.checksum = crc32c::crc32c_append(self.checksum, &self.bytes[self.block..]);
        self.begin_block();
    }
}

/// Encodes the next records of a frozen copy, and returns the blocks that are complete. `None` when it has
/// been read: then the snapshot can be finished.
pub fn encode_store(
    frozen: &mut FrozenStore,
    encoder: &mut SnapshotEncoder,
) -> Result<Option<Vec<u8>>, GivenUp> {
    encode_and_visit(frozen, encoder, |_| {})
}

/// As [`encode_store`], and passes the records to `visit`.
pub(crate) fn encode_and_visit(
    frozen: &mut FrozenStore,
    encoder: &mut SnapshotEncoder,
    mut visit: impl FnMut(Record<'_>),
) -> Result<Option<Vec<u8>>, GivenUp> {
    let goes_on = frozen.read(|record| {
        encoder.add(record);
        visit(record);
    })?;
    // A thread that goes on until the system interrupts it often holds a lock then, for which others wait.
    thread::yield_now();
    Ok(goes_on.then(|| encoder.take_blocks()))
}
