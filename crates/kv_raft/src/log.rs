//! The log of a range on disk: entries, the vote, and how far entries are committed and purged. It is the
//! only file that names the library which keeps it, raft-log.
//!
//! What is written is on disk when its callback runs. After a write or a sync that failed the log takes
//! nothing more.

use raft_log::{
    Callback, Config, RaftLog, Types,
    api::raft_log_writer::RaftLogWriter,
    chunked_wal,
    codeq::{Decode, Encode},
};
use std::{
    fmt::{self, Debug, Formatter},
    io::{self, Read, Write},
    ops::Range,
    path::Path,
    sync::Arc,
    time::Duration,
};

/// The id of an entry: the term and the leader that it was made by, and its place in the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct LogId {
    pub(crate) term: u64,
    pub(crate) leader: u64,
    pub(crate) index: u64,
}

/// Which replica this one has voted for, and whether a majority has.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Vote {
    pub(crate) term: u64,
    pub(crate) replica: u64,
    pub(crate) is_committed: bool,
}

/// What an entry says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Payload {
    /// Nothing; the first entry of a leader.
    Blank,
    /// A group, encoded.
    Group(Arc<[u8]>),
    /// The members of the range from now on: the voters before and after while they change, and all others
    /// that receive entries.
    Members { voters: Vec<Vec<u64>>, learners: Vec<u64> },
}

/// Runs when what was written is on disk, or has failed.
pub(crate) struct Done(pub(crate) Box<dyn FnOnce(io::Result<()>) + Send>);

impl Callback for Done {
    fn send(self, result: io::Result<()>) {
        (self.0)(result);
    }
}

/// A log, open for reading and writing. It locks its directory.
pub(crate) struct Log(RaftLog<LogTypes>);

impl Debug for Log {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Log").field(self.0.log_state()).finish()
    }
}

/// Where a log is kept, and how much of it in memory.
#[derive(Debug, Clone, Copy)]
pub(crate) struct LogSettings<'a> {
    pub(crate) directory: &'a Path,
    /// Bytes of entries that are kept in memory.
    pub(crate) cache_bytes: usize,
    /// Bytes of a file, after which another one begins.
    pub(crate) file_bytes: usize,
}

impl Log {
    /// Opens a log, or makes one. What the end of the last file lacks is cut off; damage anywhere else is an
    /// error that names file and offset.
    pub(crate) fn open(settings: LogSettings<'_>) -> io::Result<Log> {
        let wal = chunked_wal::Config {
            dir: settings.directory.display().to_string(),
            chunk_max_size: Some(settings.file_bytes),
            // There is one group at a time; waiting for more would only delay it.
            flush_batch_wait: Some(Duration::ZERO),
            ..chunked_wal::Config::default()
        };
        let log_cache_capacity = Some(settings.cache_bytes);
        let config = Config { wal, log_cache_max_items: Some(usize::MAX), log_cache_capacity };
        RaftLog::open(Arc::new(config)).map(Log)
    }

    /// The last vote.
    pub(crate) fn vote(&self) -> Option<Vote> {
        self.0.log_state().vote().copied()
    }

    /// The last entry; that which was purged last if the log is empty.
    pub(crate) fn last(&self) -> Option<LogId> {
        self.0.log_state().last().copied()
    }

    /// The last entry that is known to be committed.
    pub(crate) fn committed(&self) -> Option<LogId> {
        self.0.log_state().committed().copied()
    }

    /// The last entry that was purged.
    pub(crate) fn purged(&self) -> Option<LogId> {
        self.0.log_state().purged().copied()
    }

    /// Reads the entries with these indices, as far as they exist.
    pub(crate) fn read(&self, indices: Range<u64>) -> io::Result<Vec<(LogId, Payload)>> {
        self.0.read(indices.start, indices.end).collect()
    }

    /// Appends entries, which can be read at once.
    pub(crate) fn append(
        &mut self,
        entries: impl IntoIterator<Item = (LogId, Payload)>,
        done: Done,
    ) -> io::Result<()> {
        self.0.append(entries)?;
        self.0.flush(true, Some(done))
    }

    /// Keeps a vote.
    pub(crate) fn save_vote(&mut self, vote: Vote, done: Done) -> io::Result<()> {
        self.0.save_vote(vote)?;
        self.0.flush(true, Some(done))
    }

    /// Notes that entries up to this one are committed. It is on disk with what is written next.
    pub(crate) fn save_committed(&mut self, committed: LogId) -> io::Result<()> {
        self.0.commit(committed)?;
        self.0.flush(false, None)
    }

    /// Removes the entries from this index on.
    pub(crate) fn truncate(&mut self, from: u64, done: Done) -> io::Result<()> {
        self.0.truncate(from)?;
        self.0.flush(true, Some(done))
    }

    /// Removes the entries up to this one.
    pub(crate) fn purge(&mut self, up_to: LogId, done: Done) -> io::Result<()> {
        self.0.purge(up_to)?;
        self.0.flush(true, Some(done))
    }
}

#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct LogTypes;

impl Types for LogTypes {
    type LogId = LogId;
    type LogPayload = Payload;
    type Vote = Vote;
    type Callback = Done;
    /// The library keeps a value for its user. There is none.
    type UserData = u8;

    fn log_index(id: &LogId) -> u64 {
        id.index
    }

    fn payload_size(payload: &Payload) -> u64 {
        match payload {
            Payload::Group(group) => group.len() as u64,
            Payload::Blank | Payload::Members { .. } => 0,
        }
    }
}

// The encodings. docs/disk-format.md describes each byte that is ours; numbers are big-endian, as those of
// the library are.

impl Encode for LogId {
    fn encode<W: Write>(&self, mut writer: W) -> io::Result<usize> {
        encode_numbers([self.term, self.leader, self.index], &mut writer)
    }
}

impl Decode for LogId {
    fn decode<R: Read>(reader: R) -> io::Result<LogId> {
        let [term, leader, index] = decode_numbers(reader)?;
        Ok(LogId { term, leader, index })
    }
}

impl Encode for Vote {
    fn encode<W: Write>(&self, mut writer: W) -> io::Result<usize> {
        encode_numbers([self.term, self.replica, u64::from(self.is_committed)], &mut writer)
    }
}

impl Decode for Vote {
    fn decode<R: Read>(reader: R) -> io::Result<Vote> {
        let [term, replica, is_committed] = decode_numbers(reader)?;
        Ok(Vote { term, replica, is_committed: is_committed != 0 })
    }
}

fn encode_numbers<const N: usize>(numbers: [u64; N], writer: &mut impl Write) -> io::Result<usize> {
    for number in numbers {
        writer.write_all(&number.to_be_bytes())?;
    }
    Ok(8 * N)
}

fn decode_numbers<const N: usize>(mut reader: impl Read) -> io::Result<[u64; N]> {
    let mut numbers = [0; N];
    for number in &mut numbers {
        *number = u64::decode(&mut reader)?;
    }
    Ok(numbers)
}

/// The version of an encoded payload, and its kinds.
const VERSION: u8 = 1;
const BLANK: u8 = 0;
const GROUP: u8 = 1;
const MEMBERS: u8 = 2;

impl Encode for Payload {
    fn encode<W: Write>(&self, mut writer: W) -> io::Result<usize> {
        let (kind, body): (_, &[u8]) = match self {
            Payload::Blank => (BLANK, &[]),
            Payload::Group(group) => (GROUP, group),
            Payload::Members { voters, learners } => {
                return encode_members(voters, learners, &mut writer);
            }
        };
        writer.write_all(&[VERSION, kind])?;
        writer.write_all(&(body.len() as u32).to_be_bytes())?;
        writer.write_all(body)?;
        Ok(2 + 4 + body.len())
    }
}

fn encode_members(voters: &[Vec<u64>], learners: &[u64], writer: &mut impl Write) -> io::Result<usize> {
    let mut body = vec![voters.len() as u8];
    for ids in voters.iter().map(Vec::as_slice).chain([learners]) {
        body.push(ids.len() as u8);
        ids.iter().for_each(|id| body.extend_from_slice(&id.to_be_bytes()));
    }
    writer.write_all(&[VERSION, MEMBERS])?;
    writer.write_all(&(body.len() as u32).to_be_bytes())?;
    writer.write_all(&body)?;
    Ok(2 + 4 + body.len())
}

impl Decode for Payload {
    fn decode<R: Read>(mut reader: R) -> io::Result<Payload> {
        let (version, kind) = (u8::decode(&mut reader)?, u8::decode(&mut reader)?);
        if version != VERSION {
            let reason = format!("an entry of version {version}, and this program knows version {VERSION}");
            return Err(io::Error::new(io::ErrorKind::InvalidData, reason));
        }
        let mut body = vec![0; u32::decode(&mut reader)? as usize];
        reader.read_exact(&mut body)?;
        match kind {
            BLANK => Ok(Payload::Blank),
            GROUP => Ok(Payload::Group(body.into())),
            MEMBERS => decode_members(&body),
            _ => Err(io::Error::new(io::ErrorKind::InvalidData, format!("an entry of unknown kind {kind}"))),
        }
    }
}

fn decode_members(mut body: &[u8]) -> io::Result<Payload> {
    let mut voters = Vec::new();
    for _ in 0..u8::decode(&mut body)? {
        voters.push(decode_ids(&mut body)?);
    }
    Ok(Payload::Members { voters, learners: decode_ids(&mut body)? })
}

fn decode_ids(mut body: impl Read) -> io::Result<Vec<u64>> {
    (0..u8::decode(&mut body)?).map(|_| u64::decode(&mut body)).collect()
}

#[cfg(test)]
mod tests;
