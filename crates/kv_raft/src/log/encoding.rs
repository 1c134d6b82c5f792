//! What the log keeps, and its bytes on disk. docs/disk-format.md describes each byte that is ours; numbers
//! are big-endian, as those of the library are.

use crate::{
    error::log_failed,
    group::{self, GroupBytes},
    identity::Owner,
    limits::CACHED_ENTRY_BYTES,
};
use raft_log::{
    Callback, Types,
    codeq::{Decode, Encode},
};
use serde::{Deserialize, Serialize};
use std::{
    io::{self, Read, Write},
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Release},
    },
};
use tokio::sync::watch;

/// The id of an entry: the term and the leader that it was made by, and its place in the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub(crate) struct LogId {
    pub(crate) term: u64,
    pub(crate) leader: u64,
    pub(crate) index: u64,
}

/// Which replica this one has voted for, and whether a majority has.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
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
    Group(Arc<GroupBytes>),
    /// The members of the range from now on: the voters before and after while they change, and all others
    /// that receive entries.
    Members { voters: Vec<Vec<u64>>, learners: Vec<u64> },
}

/// A place in the log, and the members of the range there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Position {
    /// The last entry before it.
    pub(crate) last: LogId,
    /// The entry that named the members.
    pub(crate) members_since: LogId,
    pub(crate) voters: Vec<Vec<u64>>,
    pub(crate) learners: Vec<u64>,
}

impl Position {
    pub(crate) fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = Vec::new();
        let encoded = self
            .last
            .encode(&mut bytes)
            .and_then(|_| self.members_since.encode(&mut bytes))
            .and_then(|_| encode_members(&self.voters, &self.learners, &mut bytes));
        encoded.expect("writing to memory does not fail");
        bytes
    }

    /// The position that the bytes begin with, and the bytes behind it; `None` if they are something else.
    pub(crate) fn from_bytes(mut bytes: &[u8]) -> Option<(Position, &[u8])> {
        let last = LogId::decode(&mut bytes).ok()?;
        let members_since = LogId::decode(&mut bytes).ok()?;
        match Payload::decode(&mut bytes).ok()? {
            Payload::Members { voters, learners } => {
                Some((Position { last, members_since, voters, learners }, bytes))
            }
            _ => None,
        }
    }
}

/// Runs when what was written is on disk, or has failed.
pub(crate) struct Done(pub(crate) Box<dyn FnOnce(io::Result<()>) + Send>);

/// What has become of the writes and syncs of a log.
#[derive(Debug)]
pub(super) struct Syncs {
    /// Where the log is.
    pub(super) directory: PathBuf,
    /// How much of what was written the syncs have brought to disk.
    pub(super) synced: AtomicU64,
    /// Why a write or a sync has failed, if one has.
    pub(super) failure: watch::Sender<Option<String>>,
}

impl Syncs {
    pub(super) fn new(directory: &Path) -> Syncs {
        Syncs { directory: directory.into(), synced: 0.into(), failure: watch::Sender::default() }
    }

    /// For `map_err`: what has failed, with what to do.
    pub(super) fn failed(&self) -> impl FnOnce(io::Error) -> io::Error {
        |error| log_failed(&self.directory, &error)
    }
}

/// What the library runs: its result is noted, and if it is a sync, how much that was of.
pub(super) struct Flushed {
    pub(super) syncs: Arc<Syncs>,
    pub(super) synced: Option<u64>,
    pub(super) done: Done,
}

impl Callback for Flushed {
    fn send(self, result: io::Result<()>) {
        let Flushed { syncs, synced, done } = self;
        let result = result.map_err(syncs.failed());
        match (&result, synced) {
            (Ok(()), Some(synced)) => drop(syncs.synced.fetch_max(synced, Release)),
            (Ok(()), None) => {}
            (Err(error), _) => drop(syncs.failure.send_replace(Some(error.to_string()))),
        }
        (done.0)(result);
    }
}

/// The types of our logs.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct LogTypes;

impl Types for LogTypes {
    type LogId = LogId;
    type LogPayload = Payload;
    type Vote = Vote;
    type Callback = Flushed;
    /// Each file begins with it. A log that an early version made has none until it is opened.
    type UserData = Owner;

    fn log_index(id: &LogId) -> u64 {
        id.index
    }

    fn payload_size(payload: &Payload) -> u64 {
        let group = match payload {
            Payload::Group(group) => group.len() as u64,
            Payload::Blank | Payload::Members { .. } => 0,
        };
        group + CACHED_ENTRY_BYTES
    }
}

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

impl Encode for Owner {
    fn encode<W: Write>(&self, mut writer: W) -> io::Result<usize> {
        encode_numbers([self.range, self.replica, self.seed], &mut writer)
    }
}

impl Decode for Owner {
    fn decode<R: Read>(reader: R) -> io::Result<Owner> {
        let [range, replica, seed] = decode_numbers(reader)?;
        Ok(Owner { range, replica, seed })
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

/// Bytes of an encoded id.
pub(super) const ID_BYTES: usize = 3 * 8;
/// Bytes before the body of a payload: its version, its kind and its length.
pub(super) const PAYLOAD_HEADER_BYTES: usize = 2 + 4;

/// The version of an encoded payload, and its kinds.
pub(super) const PAYLOAD_VERSION: u8 = 1;
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
        writer.write_all(&[PAYLOAD_VERSION, kind])?;
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
    writer.write_all(&[PAYLOAD_VERSION, MEMBERS])?;
    writer.write_all(&(body.len() as u32).to_be_bytes())?;
    writer.write_all(&body)?;
    Ok(2 + 4 + body.len())
}

impl Decode for Payload {
    fn decode<R: Read>(mut reader: R) -> io::Result<Payload> {
        let (version, kind) = (u8::decode(&mut reader)?, u8::decode(&mut reader)?);
        if version != PAYLOAD_VERSION {
            let reason =
                format!("an entry of version {version}, and this release knows version {PAYLOAD_VERSION}");
            return Err(io::Error::new(io::ErrorKind::InvalidData, reason));
        }
        let length = u32::decode(&mut reader)? as usize;
        let mut body = Vec::new();
        // Memory is taken as bytes come: the length may be damaged.
        if reader.take(length as u64).read_to_end(&mut body)? < length {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        match kind {
            BLANK => Ok(Payload::Blank),
            GROUP => Ok(Payload::Group(Arc::new(GroupBytes(body)))),
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

/// Whether a payload with this header may begin with these bytes, which are followed by nothing: it and the
/// `after` bytes behind it were not written to their end.
pub(super) fn is_beginning_of_payload(
    [version, kind, length @ ..]: [u8; PAYLOAD_HEADER_BYTES],
    bytes: &[u8],
    after: usize,
) -> bool {
    let length = u32::from_be_bytes(length) as usize;
    if version != PAYLOAD_VERSION {
        return false;
    }
    if bytes.len() >= length {
        return bytes.len() < length + after;
    }
    match kind {
        GROUP => group::is_beginning(bytes),
        MEMBERS => decode_members(bytes).is_err_and(|error| error.kind() == io::ErrorKind::UnexpectedEof),
        _ => false,
    }
}
