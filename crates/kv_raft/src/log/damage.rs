//! Finds damage in the files of a log. The library takes a record that seems to go on behind the end of the
//! last file for one that was not written to its end, and cuts it off, with all that is behind its beginning.
//! If a length in it was damaged, that would be entries which are on disk: [`cut_torn_end`] distinguishes the
//! two. It also cuts off what the library takes for damage: records of which some sectors were not written.

use super::encoding::{
    Flushed, ID_BYTES, LogId, LogTypes, PAYLOAD_HEADER_BYTES, PAYLOAD_VERSION, Vote, is_beginning_of_payload,
};
use crate::{
    disk::file::check_kind,
    error::{remedy, unusable, ways_out},
    identity::Owner,
};
use raft_log::{
    RaftLogAction, RaftLogRecord, Types, WALRecord,
    codeq::{Decode, Encode},
};
use std::{
    fs::{self, File},
    io::{self, BufReader, ErrorKind, Read, Seek, SeekFrom, Write},
    path::{Path, PathBuf},
};

/// What the library locks in the directory of a log.
const LOCK: &str = "LOCK";

/// Where a file of a log is damaged.
#[derive(Debug, PartialEq, Eq)]
struct Damage {
    path: PathBuf,
    offset: u64,
}

impl From<Damage> for io::Error {
    fn from(Damage { path, offset }: Damage) -> io::Error {
        let reason = match newer_version(&path, offset) {
            Ok(Some(version)) => format!(
                "{} has an entry of version {version} at offset {offset}, and this release knows version \
                 {PAYLOAD_VERSION}: use a release that knows version {version}",
                path.display()
            ),
            _ => {
                let ways_out = ways_out(range_of(path.parent().unwrap_or(&path)));
                format!("{} is damaged at offset {offset}; {ways_out}", path.display())
            }
        };
        io::Error::new(ErrorKind::InvalidData, reason)
    }
}

/// Fails if there is no file, or the first one does not begin with a record: that is on disk since the log
/// was made, but for one that an early version made and wrote nothing to. Fails as well if one in the middle
/// is empty.
pub(super) fn check_beginning(directory: &Path) -> io::Result<()> {
    let mut files = files(directory)?;
    let Some(first) = files.first().cloned() else {
        let reason = format!("{} is empty; {}", directory.display(), ways_out(range_of(directory)));
        return Err(io::Error::new(ErrorKind::InvalidData, reason));
    };
    let beginning = File::open(&first).and_then(|file| decode(&mut BufReader::new(file)));
    match beginning {
        Err(error) if is_unreadable(&error) => return Err(Damage { path: first, offset: 0 }.into()),
        result => result.map_err(unusable_file(&first))?,
    }
    // Nothing was written to the last ones. The library expects a record in each of the others.
    while files.pop_if(|last| is_unwritten(last).unwrap_or(false)).is_some() {}
    match files.into_iter().find(|path| fs::metadata(path).is_ok_and(|found| found.len() == 0)) {
        Some(path) => Err(Damage { path, offset: 0 }.into()),
        None => Ok(()),
    }
}

/// Fails if a file begins as that of another log does.
pub(super) fn check_owner(directory: &Path, owner: Owner) -> io::Result<()> {
    let mut is_named = false;
    for path in files(directory)? {
        // A file that was not begun has none, and what is damaged is found later.
        let Some(found) = read_owner(&path).map_err(unusable_file(&path))? else { continue };
        if found != Some(owner) && (is_named || found.is_some()) {
            return Err(foreign(directory, &path, found));
        }
        is_named = found.is_some();
    }
    Ok(())
}

/// For `map_err`: an error of the system at a file of a log.
fn unusable_file(path: &Path) -> impl FnOnce(io::Error) -> io::Error {
    move |error| unusable(range_of(path.parent().unwrap_or(path)), path, error)
}

/// The directory of the range whose log this is.
pub(super) fn range_of(log: &Path) -> &Path {
    log.parent().unwrap_or(log)
}

/// The error of a file of another log.
pub(super) fn foreign(directory: &Path, path: &Path, owner: Option<Owner>) -> io::Error {
    let whose = owner.map_or("another log".into(), |owner| {
        format!("the log of another replica, {}-{}", owner.range, owner.replica)
    });
    let reason = format!(
        "{} is a file of {whose}; put the one back that was there, or {}",
        path.display(),
        ways_out(range_of(directory))
    );
    io::Error::new(ErrorKind::InvalidData, reason)
}

/// Whose a file of a log is, if it says so; `None` without a record. The very first file says it in its
/// second one.
fn read_owner(path: &Path) -> io::Result<Option<Option<Owner>>> {
    let mut reader = BufReader::new(File::open(path)?);
    let mut found = None;
    for _ in 0..2 {
        match RaftLogRecord::<LogTypes>::decode(&mut reader) {
            Ok(WALRecord::Checkpoint(state)) if state.user_data.is_some() => {
                return Ok(Some(state.user_data));
            }
            Ok(_) => found = Some(None),
            Err(error) if is_unreadable(&error) => break,
            Err(error) => return Err(error),
        }
    }
    Ok(found)
}

/// Cuts off a record at the end of the log of which some sectors were not written, and, if entries are not
/// synced one by one, what was written behind it. Fails if there is other damage, or the log would end before
/// `synced`, an entry that was on disk.
pub(super) fn cut_torn_end(directory: &Path, is_each_synced: bool, synced: u64) -> io::Result<()> {
    let LogEnd { last, rest } = find_end(directory)?;
    if last < synced {
        return Err(ends_early(directory, rest, last, synced));
    }
    let Some(Damage { path, offset }) = rest else { return Ok(()) };
    // The library removes it.
    if is_unwritten(&path)? {
        return Ok(());
    }
    let mut rest = Vec::new();
    let file = File::options().read(true).write(true).open(&path).and_then(|mut file| {
        file.seek(SeekFrom::Start(offset))?;
        file.read_to_end(&mut rest)?;
        Ok(file)
    });
    let file = file.map_err(unusable_file(&path))?;
    let written = written_sectors(&rest, offset);
    if is_torn(&rest)
        || written.len() < rest.len() && is_torn(written)
        || has_hole(written, offset) && (!is_each_synced || !has_record(&written[1..]))
    {
        let (shown, bytes) = (path.display(), written.len());
        tracing::warn!(path = %shown, offset, bytes, "the end of the log was not written, and is cut off");
        return file.set_len(offset).and_then(|()| file.sync_all()).map_err(unusable_file(&path));
    }
    Err(Damage { path, offset }.into())
}

/// How far a log can be read.
struct LogEnd {
    /// Its last entry up to there.
    last: u64,
    /// What follows: a record that cannot be read, or a file of which nothing was written.
    rest: Option<Damage>,
}

/// Finds the end of a log. If something follows it, which may be cut off, all before it is checked. Fails if
/// that is damaged, or what follows is an entry of another version.
fn find_end(directory: &Path) -> io::Result<LogEnd> {
    let (mut files, mut unwritten) = (files(directory)?, None);
    // The end of the file before one of which nothing was written may be torn.
    while files.len() > 1 && is_unwritten(&files[files.len() - 1])? {
        unwritten = files.pop().map(|path| Damage { path, offset: 0 });
    }
    let Some((newest, before)) = files.split_last() else { return Ok(LogEnd { last: 0, rest: None }) };
    let (mut last, unreadable) = last_entry(newest)?;
    // Its first record says which entry was the last one before it.
    if let (Some(0), Some(before)) = (unreadable, before.last()) {
        (last, _) = last_entry(before)?;
    }
    let rest = unreadable.map(|offset| Damage { path: newest.clone(), offset }).or(unwritten);
    let damage = if rest.is_some() { first_damage(&files)? } else { None };
    match damage {
        Some(damage) if damage.path != *newest || newer_version(&damage.path, damage.offset)?.is_some() => {
            Err(damage.into())
        }
        _ => Ok(LogEnd { last, rest }),
    }
}

/// The error of a log that ends at entry `last`, before an entry that was on disk.
fn ends_early(directory: &Path, damage: Option<Damage>, last: u64, synced: u64) -> io::Error {
    let known = format!("entry {synced} was on disk, says `synced` beside it");
    let problem = match damage {
        Some(Damage { path, offset }) => format!(
            "{} is damaged at offset {offset}: only the entries up to {last} can be read, and {known}; put the file \
             back as it was",
            path.display()
        ),
        None => format!(
            "{}: the log ends at entry {last}, and {known}: its newest file is missing or was cut; put it back",
            directory.display()
        ),
    };
    let reason = format!("{problem}, or {}", ways_out(range_of(directory)));
    io::Error::new(ErrorKind::InvalidData, reason)
}

/// Whether one of the sectors of these bytes holds only zeros: disks may write them in any order.
fn has_hole(written: &[u8], offset: u64) -> bool {
    let first = (offset.next_multiple_of(SECTOR_BYTES) - offset) as usize;
    let (first, others) = written.split_at(first.min(written.len()));
    let is_hole = |sector: &[u8]| sector.iter().all(|byte| *byte == 0);
    // A record begins with its kind and a number, which have zeros. No flipped bit makes both all zeros.
    first.len() >= KIND_BYTES + NUMBER_BYTES && is_hole(first)
        || others.chunks_exact(SECTOR_BYTES as usize).any(is_hole)
}

/// Whether a whole entry may begin anywhere in these bytes. What clients have written can look like the
/// beginning of many: only some are checked.
fn has_record(bytes: &[u8]) -> bool {
    let mut begun = (0..bytes.len()).map(|at| &bytes[at..]).filter(|record| begins_entry(record));
    begun.by_ref().take(RECORDS_CHECKED).any(|mut record| decode(&mut record).is_ok())
        || begun.next().is_some()
}

/// Whether these bytes begin as an entry does whose payload ends among them.
fn begins_entry(record: &[u8]) -> bool {
    let payload = record.strip_prefix(&APPEND.to_be_bytes()).and_then(|body| body.get(ID_BYTES..));
    let payload = payload.and_then(|payload| payload.split_first_chunk::<PAYLOAD_HEADER_BYTES>());
    payload.is_some_and(|([version, _, length @ ..], payload)| {
        *version == PAYLOAD_VERSION && u32::from_be_bytes(*length) as usize <= payload.len()
    })
}

/// Whether a file has only zeros, or nothing.
fn is_unwritten(path: &Path) -> io::Result<bool> {
    let file = File::open(path).map_err(unusable_file(path))?;
    for byte in BufReader::new(file).bytes() {
        if byte.map_err(unusable_file(path))? != 0 {
            return Ok(false);
        }
    }
    Ok(true)
}

/// The bytes before those sectors up to the end of a file that hold only zeros: some file systems write the
/// length of a file before its contents.
fn written_sectors(rest: &[u8], offset: u64) -> &[u8] {
    let written = rest.iter().rposition(|byte| *byte != 0).map_or(0, |last| last as u64 + 1);
    let end = (offset + written).next_multiple_of(SECTOR_BYTES) - offset;
    &rest[..rest.len().min(end as usize)]
}

/// The error of a log that the library could not open, with the place of the damage if that is the reason.
pub(super) fn locate(directory: &Path, error: io::Error) -> io::Error {
    match (files(directory).and_then(|files| first_damage(&files)), error.kind()) {
        (Ok(Some(damage)), _) => damage.into(),
        // Another process has it, as the error says.
        (_, ErrorKind::WouldBlock) => error,
        (Err(unreadable), _) => unreadable,
        (Ok(None), kind) => {
            let remedy = remedy(kind, range_of(directory));
            io::Error::new(kind, format!("{} cannot be opened: {error}{remedy}", directory.display()))
        }
    }
}

/// The first place where one of these files, which follow each other, is damaged or was cut. Fails if what is
/// before it cannot be read.
fn first_damage(files: &[PathBuf]) -> io::Result<Option<Damage>> {
    for (index, path) in files.iter().enumerate() {
        let end = fs::metadata(path).map_err(unusable_file(path))?.len();
        let next = files.get(index + 1).and_then(|next| first_byte(next));
        let is_cut = first_byte(path).zip(next).is_some_and(|(first, next)| first + end < next);
        if let Some(offset) = first_unreadable(path)?.or(is_cut.then_some(end)) {
            return Ok(Some(Damage { path: path.clone(), offset }));
        }
    }
    Ok(None)
}

/// Where in the log a file begins, as its name says.
fn first_byte(path: &Path) -> Option<u64> {
    let digits: String = path.file_stem()?.to_str()?.chars().filter(char::is_ascii_digit).collect();
    digits.parse().ok()
}

/// The files of a log, in order.
fn files(directory: &Path) -> io::Result<Vec<PathBuf>> {
    let failed = |error| unusable(range_of(directory), directory, error);
    let mut files = Vec::new();
    for entry in fs::read_dir(directory).map_err(failed)? {
        let path = entry.map_err(failed)?.path();
        let is_wal = path.extension().is_some_and(|extension| extension == "wal");
        if is_wal || path.ends_with(LOCK) {
            // The library opens them, too.
            check_kind(&path).map_err(unusable_file(&path))?;
        }
        if is_wal {
            files.push(path);
        }
    }
    files.sort_unstable();
    Ok(files)
}

/// The last entry of the log where this file ends, and the offset of the first record that cannot be read.
fn last_entry(path: &Path) -> io::Result<(u64, Option<u64>)> {
    let mut last = None;
    let unreadable = read_records(path, |record| match record {
        WALRecord::Checkpoint(state) => last = state.last().map(|id| id.index),
        WALRecord::Action(RaftLogAction::Append(id, _)) => last = Some(id.index),
        WALRecord::Action(RaftLogAction::TruncateAfter(id)) => last = id.map(|id| id.index),
        WALRecord::Action(RaftLogAction::PurgeUpto(id)) => last = last.max(Some(id.index)),
        WALRecord::Action(RaftLogAction::SaveVote(_) | RaftLogAction::Commit(_)) => {}
    })?;
    Ok((last.unwrap_or(0), unreadable))
}

/// The offset of the first record that cannot be read.
fn first_unreadable(path: &Path) -> io::Result<Option<u64>> {
    read_records(path, drop)
}

/// Reads a file up to the first record that cannot be read, and returns the offset of that.
fn read_records(path: &Path, mut on_record: impl FnMut(RaftLogRecord<LogTypes>)) -> io::Result<Option<u64>> {
    let opened = File::open(path).and_then(|file| Ok((file.metadata()?.len(), file)));
    let (length, file) = opened.map_err(unusable_file(path))?;
    let mut reader = Counted { reader: BufReader::new(file), read: 0 };
    while reader.read < length {
        let offset = reader.read;
        match RaftLogRecord::<LogTypes>::decode(&mut reader) {
            Ok(record) => on_record(record),
            Err(error) if is_unreadable(&error) => return Ok(Some(offset)),
            Err(error) => return Err(unusable_file(path)(error)),
        }
    }
    Ok(None)
}

fn decode(reader: &mut impl Read) -> io::Result<()> {
    RaftLogRecord::<LogTypes>::decode(reader).map(drop)
}

/// Whether the bytes are at fault, and not the disk.
fn is_unreadable(error: &io::Error) -> bool {
    matches!(error.kind(), ErrorKind::UnexpectedEof | ErrorKind::InvalidData)
}

/// The version of the whole entry at this offset, if it is not ours.
fn newer_version(path: &Path, offset: u64) -> io::Result<Option<u8>> {
    let mut file = File::open(path).map_err(unusable_file(path))?;
    file.seek(SeekFrom::Start(offset)).map_err(unusable_file(path))?;
    let record = RaftLogRecord::<AnyLog>::decode(&mut BufReader::new(file));
    Ok(match record {
        Ok(WALRecord::Action(RaftLogAction::Append(_, AnyPayload(version))))
            if version != PAYLOAD_VERSION =>
        {
            Some(version)
        }
        _ => None,
    })
}

/// A log whose entries may be of any version, of which only that is read.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct AnyLog;

#[derive(Debug, Clone)]
struct AnyPayload(u8);

impl Types for AnyLog {
    type LogId = LogId;
    type LogPayload = AnyPayload;
    type Vote = Vote;
    type Callback = Flushed;
    type UserData = Owner;

    fn log_index(id: &LogId) -> u64 {
        id.index
    }

    fn payload_size(_: &AnyPayload) -> u64 {
        0
    }
}

impl Decode for AnyPayload {
    fn decode<R: Read>(mut reader: R) -> io::Result<AnyPayload> {
        let mut header = [0; PAYLOAD_HEADER_BYTES];
        reader.read_exact(&mut header)?;
        let [version, _, length @ ..] = header;
        io::copy(&mut reader.take(u32::from_be_bytes(length).into()), &mut io::sink())?;
        Ok(AnyPayload(version))
    }
}

impl Encode for AnyPayload {
    fn encode<W: Write>(&self, _: W) -> io::Result<usize> {
        Err(ErrorKind::Unsupported.into())
    }
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

/// How many places that look like the beginning of an entry are checked.
const RECORDS_CHECKED: usize = 64;

/// Bytes of the kind of a record, at its beginning, of a number in it, and of its checksum, at its end.
const KIND_BYTES: usize = 4;
const NUMBER_BYTES: usize = 8;
const CHECKSUM_BYTES: usize = 8;
/// The kind of a record with an entry, and that of the state with which a file begins.
const APPEND: u32 = 1;
const STATE: u32 = 5;

/// Whether these bytes, up to the end of a file, are the beginning of a record of which the rest was not
/// written. If they are those of a whole record and its length is damaged, they make no sense up to the end.
fn is_torn(rest: &[u8]) -> bool {
    if rest.iter().all(|byte| *byte == 0) {
        return true;
    }
    let Some((kind, body)) = rest.split_first_chunk::<KIND_BYTES>() else { return true };
    match u32::from_be_bytes(*kind) {
        APPEND => is_torn_entry(body),
        STATE => is_torn_state(body),
        _ => body.len() < 1 + ID_BYTES + CHECKSUM_BYTES,
    }
}

/// The same for the bytes of a record with a state, after its kind: a version, then a vote, three ids and an
/// owner, each of three numbers, before which a byte says whether it is there.
fn is_torn_state(body: &[u8]) -> bool {
    let mut length = 1;
    for _ in 0..5 {
        length += match body.get(length) {
            None => return true,
            Some(0) => 1,
            Some(1) => 1 + ID_BYTES,
            Some(_) => return false,
        };
    }
    body.len() < length + CHECKSUM_BYTES
}

/// The same for the bytes of a record with an entry, after its kind.
fn is_torn_entry(body: &[u8]) -> bool {
    let payload = body.get(ID_BYTES..).unwrap_or_default();
    let Some((header, payload)) = payload.split_first_chunk::<PAYLOAD_HEADER_BYTES>() else { return true };
    is_beginning_of_payload(*header, payload, CHECKSUM_BYTES)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_looks_like_many_entries_is_not_checked_without_end() {
        let body =
            [[0; ID_BYTES].as_slice(), &[PAYLOAD_VERSION, 0, 0, 0, 0, 0], &[7; CHECKSUM_BYTES]].concat();
        let entry_like = [APPEND.to_be_bytes().as_slice(), &body].concat();
        assert!(!has_record(&entry_like.repeat(RECORDS_CHECKED)), "none of them has its checksum");
        assert!(has_record(&entry_like.repeat(RECORDS_CHECKED + 1)), "one of them may have it");
    }
}
