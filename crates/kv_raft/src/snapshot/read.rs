//! Reads a snapshot, and checks each byte of it. Nothing is believed before its checksum is.

use super::{MAGIC, RecordCounts, SnapshotHeader, SnapshotKind, VERSION, record};
use crate::limits::{SNAPSHOT_BLOCK_BYTES, SNAPSHOT_DESCRIPTION_BYTES};
use kv::Record;
use std::io::{self, ErrorKind, Read};

/// Why a snapshot cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum SnapshotError {
    /// It does not begin as one.
    #[error("it is not a backup or a snapshot of this program")]
    NotOne,
    /// Another version of this program wrote it.
    #[error(
        "it has version {0} of the format, and this release reads version {VERSION}: use a release that \
         knows version {0}"
    )]
    Version(u8),
    /// It is something else of this program.
    #[error("it is a file of this program of a kind that this release does not know: {0}")]
    Kind(u8),
    /// Its end is missing.
    #[error("it is incomplete: it ends at byte {0}")]
    Incomplete(u64),
    /// A checksum is wrong, or what it covers: the header, a block, or the end.
    #[error("it is damaged in the block behind byte {0}")]
    Damaged(u64),
    /// It could not be read.
    #[error("byte {offset} cannot be read: {source}")]
    Io {
        /// Where.
        offset: u64,
        /// What the system says.
        source: io::Error,
    },
}

/// A snapshot that is being read.
#[derive(Debug)]
pub struct SnapshotReader<R> {
    input: R,
    /// How many bytes have been read, and their checksum.
    offset: u64,
    checksum: u32,
    /// Where the block begins that was read last.
    block: u64,
    header: SnapshotHeader,
    /// Bytes of records that have been read and not been returned, from `next` on.
    records: Vec<u8>,
    next: usize,
    counts: RecordCounts,
    has_ended: bool,
}

impl<R: Read> SnapshotReader<R> {
    /// Reads the header.
    pub fn open(input: R) -> Result<SnapshotReader<R>, SnapshotError> {
        let header = SnapshotHeader { kind: SnapshotKind::Backup, stamp_ms: 0, description: Vec::new() };
        let mut reader = SnapshotReader {
            input,
            offset: 0,
            checksum: 0,
            block: 0,
            header,
            records: Vec::new(),
            next: 0,
            counts: RecordCounts::default(),
            has_ended: false,
        };
        reader.read_header()?;
        Ok(reader)
    }

    /// What is said of it.
    pub fn header(&self) -> &SnapshotHeader {
        &self.header
    }

    /// How many bytes have been read.
    pub fn offset(&self) -> u64 {
        self.offset
    }

    /// How much has been read; after the last record, how much it holds.
    pub fn counts(&self) -> RecordCounts {
        self.counts
    }

    /// The next record; `None` after the last one, when all of the snapshot has been checked.
    pub fn next_record(&mut self) -> Result<Option<Record<'_>>, SnapshotError> {
        let size = loop {
            if let Some(size) = record::size(&self.records[self.next..]).map_err(|_| self.damaged())? {
                break size;
            }
            if self.has_ended || !self.read_block()? {
                return Ok(None);
            }
        };
        self.next += size;
        let damaged = SnapshotError::Damaged(self.block);
        let record = record::decode(&self.records[self.next - size..self.next]).map_err(|_| damaged)?;
        self.counts.count(&record);
        Ok(Some(record))
    }

    fn read_header(&mut self) -> Result<(), SnapshotError> {
        let not_one = |error| match error {
            SnapshotError::Incomplete(_) => SnapshotError::NotOne,
            error => error,
        };
        if self.read_array::<4>().map_err(not_one)? != *MAGIC {
            return Err(SnapshotError::NotOne);
        }
        let [kind, version] = self.read_array()?;
        let stamp_ms = u64::from_le_bytes(self.read_array()?);
        let length = u32::from_le_bytes(self.read_array()?) as usize;
        if length > SNAPSHOT_DESCRIPTION_BYTES {
            return Err(self.damaged());
        }
        let mut description = Vec::new();
        self.read(&mut description, length)?;
        // All versions have this header: a damaged version is not taken for a newer one.
        self.check_sum()?;
        if version != VERSION {
            return Err(SnapshotError::Version(version));
        }
        let kind = SnapshotKind::from_code(kind).ok_or(SnapshotError::Kind(kind))?;
        self.header = SnapshotHeader { kind, stamp_ms, description };
        Ok(())
    }

    /// Reads a block; `false` after the last one.
    fn read_block(&mut self) -> Result<bool, SnapshotError> {
        self.block = self.offset;
        let length = u32::from_le_bytes(self.read_array()?) as usize;
        match length {
            0 => self.read_trailer().map(|()| false),
            1..=SNAPSHOT_BLOCK_BYTES => {
                let checksum = u32::from_le_bytes(self.read_array()?);
                self.records.drain(..std::mem::take(&mut self.next));
                let start = self.records.len();
                let mut records = std::mem::take(&mut self.records);
                let read = self.read(&mut records, length);
                self.records = records;
                read?;
                let is_sound = crc32c::crc32c(&self.records[start..]) == checksum;
                if is_sound { Ok(true) } else { Err(self.damaged()) }
            }
            _ => Err(self.damaged()),
        }
    }

    fn read_trailer(&mut self) -> Result<(), SnapshotError> {
        let mut count = || Ok(u64::from_le_bytes(self.read_array()?));
        let counts = RecordCounts { maps: count()?, entries: count()?, strings: count()? };
        self.check_sum()?;
        // All records have been returned, and nothing follows.
        let is_whole = counts == self.counts && self.next == self.records.len();
        if !is_whole || self.read_some(&mut [0])? != 0 {
            return Err(self.damaged());
        }
        self.has_ended = true;
        Ok(())
    }

    /// Reads the checksum of all bytes before it.
    fn check_sum(&mut self) -> Result<(), SnapshotError> {
        let expected = self.checksum;
        let read = u32::from_le_bytes(self.read_array()?);
        if read == expected { Ok(()) } else { Err(self.damaged()) }
    }

    fn read_array<const N: usize>(&mut self) -> Result<[u8; N], SnapshotError> {
        let mut array = [0; N];
        let mut filled = 0;
        while filled < N {
            let read = self.read_some(&mut array[filled..])?;
            filled += read;
            if read == 0 {
                return Err(SnapshotError::Incomplete(self.offset));
            }
        }
        self.checksum = crc32c::crc32c_append(self.checksum, &array);
        Ok(array)
    }

    /// Appends `length` bytes to `bytes`.
    fn read(&mut self, bytes: &mut Vec<u8>, length: usize) -> Result<(), SnapshotError> {
        let start = bytes.len();
        let read = self.input.by_ref().take(length as u64).read_to_end(bytes);
        self.offset += (bytes.len() - start) as u64;
        read.map_err(|source| SnapshotError::Io { offset: self.offset, source })?;
        self.checksum = crc32c::crc32c_append(self.checksum, &bytes[start..]);
        if bytes.len() - start == length { Ok(()) } else { Err(SnapshotError::Incomplete(self.offset)) }
    }

    fn read_some(&mut self, bytes: &mut [u8]) -> Result<usize, SnapshotError> {
        loop {
            match self.input.read(bytes) {
                Ok(read) => {
                    self.offset += read as u64;
                    return Ok(read);
                }
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(source) => return Err(SnapshotError::Io { offset: self.offset, source }),
            }
        }
    }

    fn damaged(&self) -> SnapshotError {
        SnapshotError::Damaged(self.block)
    }
}
