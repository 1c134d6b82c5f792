//! Finds damage in the files of a log. The library takes a record that seems to go on behind the end of the
//! last file for one that was not written to its end, and cuts it off, with all that is behind its beginning.
//! If a length in it was damaged, that would be entries which are on disk: [`cut_torn_end`] distinguishes the
//! two. It also cuts off what the library takes for damage: a record of which only the first sectors were
//! written.

use super::encoding::{ID_BYTES, LogTypes, PAYLOAD_HEADER_BYTES, is_beginning_of_payload};
use raft_log::{RaftWalTypes, WALRecord, codeq::Decode};
use std::{
    fs::{self, File},
    io::{self, BufReader, ErrorKind, Read, Seek, SeekFrom},
    path::{Path, PathBuf},
};

/// Where a file of a log is damaged.
#[derive(Debug, PartialEq, Eq)]
struct Damage {
    path: PathBuf,
    offset: u64,
}

impl From<Damage> for io::Error {
    fn from(Damage { path, offset }: Damage) -> io::Error {
        io::Error::new(ErrorKind::InvalidData, format!("{} is damaged at offset {offset}", path.display()))
    }
}

/// Cuts off a record at the end of the log of which only the first sectors were written. Fails if the last
/// file has damage that the library would cut off.
pub(super) fn cut_torn_end(directory: &Path) -> io::Result<()> {
    let Some(last) = files(directory)?.pop() else { return Ok(()) };
    let Some(offset) = first_unreadable(&last)? else { return Ok(()) };
    let mut file = File::options().read(true).write(true).open(&last)?;
    file.seek(SeekFrom::Start(offset))?;
    let mut rest = Vec::new();
    file.read_to_end(&mut rest)?;
    if is_torn(&rest, offset) {
        return Ok(());
    }
    if is_torn(written_sectors(&rest, offset), offset) {
        file.set_len(offset)?;
        return file.sync_all();
    }
    Err(Damage { path: last, offset }.into())
}

/// The bytes before those sectors up to the end of a file that hold only zeros: some file systems write the
/// length of a file before its contents.
fn written_sectors(rest: &[u8], offset: u64) -> &[u8] {
    let written = rest.iter().rposition(|byte| *byte != 0).map_or(0, |last| last as u64 + 1);
    let end = (offset + written).next_multiple_of(SECTOR_BYTES) - offset;
    &rest[..rest.len().min(end as usize)]
}

/// The error of a log that could not be opened, with the place of the damage if that is the reason.
pub(super) fn locate(directory: &Path, error: io::Error) -> io::Error {
    let damaged = files(directory).into_iter().flatten().find_map(|path| match first_unreadable(&path) {
        Ok(Some(offset)) => Some(Damage { path, offset }),
        _ => None,
    });
    damaged.map_or(error, io::Error::from)
}

/// The files of a log, in order.
fn files(directory: &Path) -> io::Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    for entry in fs::read_dir(directory)? {
        let path = entry?.path();
        if path.extension().is_some_and(|extension| extension == "wal") {
            files.push(path);
        }
    }
    files.sort_unstable();
    Ok(files)
}

/// The offset of the first record that cannot be read.
fn first_unreadable(path: &Path) -> io::Result<Option<u64>> {
    let file = File::open(path)?;
    let length = file.metadata()?.len();
    let mut reader = Counted { reader: BufReader::new(file), read: 0 };
    while reader.read < length {
        let offset = reader.read;
        match WALRecord::<RaftWalTypes<LogTypes>>::decode(&mut reader) {
            Ok(_) => {}
            Err(error) if matches!(error.kind(), ErrorKind::UnexpectedEof | ErrorKind::InvalidData) => {
                return Ok(Some(offset));
            }
            Err(error) => return Err(error),
        }
    }
    Ok(None)
}

struct Counted<R> {
    reader: R,
    read: u64,
}

impl<R: Read> Read for Counted<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.reader.read(buffer)?;
        self.read += read as u64;
        Ok(read)
    }
}

/// Bytes that a disk writes as a whole.
const SECTOR_BYTES: u64 = 512;

/// Bytes of the kind of a record, at its beginning, and of its checksum, at its end.
const KIND_BYTES: usize = 4;
const CHECKSUM_BYTES: usize = 8;
/// The kind of a record with an entry, and that of the state with which a file begins.
const APPEND: u32 = 1;
const STATE: u32 = 5;

/// Whether these bytes, up to the end of a file, are the beginning of a record of which the rest was not
/// written. If they are those of a whole record and its length is damaged, they make no sense up to the end.
fn is_torn(rest: &[u8], offset: u64) -> bool {
    if rest.iter().all(|byte| *byte == 0) {
        return true;
    }
    let Some((kind, body)) = rest.split_first_chunk::<KIND_BYTES>() else { return true };
    match u32::from_be_bytes(*kind) {
        APPEND => is_torn_entry(body),
        STATE => offset == 0,
        _ => body.len() < 1 + ID_BYTES + CHECKSUM_BYTES,
    }
}

/// The same for the bytes of a record with an entry, after its kind.
fn is_torn_entry(body: &[u8]) -> bool {
    let payload = body.get(ID_BYTES..).unwrap_or_default();
    let Some((header, payload)) = payload.split_first_chunk::<PAYLOAD_HEADER_BYTES>() else { return true };
    is_beginning_of_payload(*header, payload, CHECKSUM_BYTES)
}
