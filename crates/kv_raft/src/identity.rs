//! The small files of ours: those that say whose data a directory holds, `node` in the data directory and
//! `replica` in that of each range; and what a range knows of its log besides: `skipped`, which entries are
//! left out, and `synced`, how far it reached.
//! docs/disk-format.md describes each byte.

pub(crate) mod data_dir;
pub(crate) mod spans;

use crate::{
    disk::file,
    error::OpenError,
    limits::{IDENTITY_BYTES, MISSING_SHOWN},
};
use std::{
    collections::BTreeSet,
    fs::{self, File},
    io::{self, Read, Write},
    ops::RangeFrom,
    path::Path,
    sync::Arc,
};

/// The names of a range: from `start` on and below `end`, compared byte by byte.
#[derive(Debug, Clone)]
pub struct Span {
    /// The least name.
    pub start: Box<[u8]>,
    /// The least name above them; `None` if there is none.
    pub end: Option<Box<[u8]>>,
    /// The names as errors call them, such as `a..m`.
    pub text: Box<str>,
}

impl PartialEq for Span {
    fn eq(&self, other: &Span) -> bool {
        (&self.start, &self.end) == (&other.start, &other.end)
    }
}

impl Eq for Span {}

impl Span {
    /// Whether the name is in it.
    pub fn contains(&self, name: &[u8]) -> bool {
        *self.start <= *name && self.end.as_ref().is_none_or(|end| name < &**end)
    }

    /// Whether it has names at all.
    pub fn has_names(&self) -> bool {
        self.end.as_ref().is_none_or(|end| self.start < *end)
    }

    /// Whether both begin with the same name: they are of one range, which one of them knows to be split.
    pub fn begins_like(&self, other: &Span) -> bool {
        self.start == other.start && self.has_names() == other.has_names()
    }

    /// Its names before `end`.
    pub(crate) fn until(&self, end: &[u8]) -> Span {
        let text = format!("{}..<{}", self.start.escape_ascii(), end.escape_ascii());
        Span { start: self.start.clone(), end: Some(end.into()), text: text.into() }
    }

    /// Whether a name is in both.
    pub(crate) fn overlaps(&self, other: &Span) -> bool {
        let ends_after = |end: &Option<Box<[u8]>>, start| end.as_ref().is_none_or(|end| *end > start);
        ends_after(&self.end, other.start.clone()) && ends_after(&other.end, self.start.clone())
    }
}

/// A range of a node.
#[derive(Debug, Clone)]
pub struct ReplicaSpan {
    /// The names.
    pub span: Span,
    /// Where its replicas are; `None` if this node has the only copy, and always will.
    pub placement: Option<Placement>,
    /// Whether its nodes may name its first members, since it may not have any yet.
    pub may_be_new: bool,
    /// Whether its leader asks the others before it reads, whatever its lease.
    pub confirms_reads: bool,
}

/// The nodes of a range that has replicas.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Placement {
    /// Those that are to have the replicas.
    pub nodes: Arc<[Arc<str>]>,
    /// Those whose replicas go when all of the others have the data.
    pub leaving: Arc<[Arc<str>]>,
    /// The names that are to be left of the range when the rest is split off.
    pub span: Option<Span>,
}

impl Placement {
    /// Replicas on these nodes, as they are now.
    pub fn on(nodes: impl IntoIterator<Item = Arc<str>>) -> Placement {
        Placement { nodes: nodes.into_iter().collect(), ..Placement::default() }
    }

    /// All nodes that have replicas, or will.
    pub fn all(&self) -> impl Iterator<Item = &Arc<str>> {
        self.nodes.iter().chain(&*self.leaving)
    }

    /// Whether the node is to have a replica.
    pub fn keeps(&self, node: &str) -> bool {
        self.nodes.iter().any(|kept| **kept == *node)
    }
}

impl ReplicaSpan {
    /// A range without other replicas.
    pub fn alone(span: Span) -> ReplicaSpan {
        ReplicaSpan { span, placement: None, may_be_new: true, confirms_reads: false }
    }
}

/// The node that a data directory belongs to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Node {
    name: String,
    /// The greatest id of a range or a replica that the data directory has had. No id is used twice.
    last_id: u64,
}

/// The replica of a range in a directory.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Identity {
    pub(crate) range: u64,
    pub(crate) replica: u64,
    /// Seeds the hashes of names, which clients must not know.
    pub(crate) seed: u64,
    /// Shards of each database.
    pub(crate) shards: u32,
    pub(crate) span: Span,
}

impl Identity {
    /// The name of its directory. Early replicas had the id of their range.
    pub(crate) fn directory_name(&self) -> String {
        format!("{}-{}", self.range, self.range)
    }

    pub(crate) fn owner(&self) -> Owner {
        let Identity { range, replica, seed, .. } = *self;
        Owner { range, replica, seed }
    }
}

/// The replica that a log belongs to. One with the same ids in another data directory has another seed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Owner {
    pub(crate) range: u64,
    pub(crate) replica: u64,
    pub(crate) seed: u64,
}

impl Owner {
    /// As files of ours have it.
    pub(crate) fn to_bytes(self) -> [u8; OWNER_BYTES] {
        let mut bytes = [0; OWNER_BYTES];
        let numbers = [self.range, self.replica, self.seed];
        bytes
            .as_chunks_mut()
            .0
            .iter_mut()
            .zip(numbers)
            .for_each(|(bytes, number)| *bytes = number.to_le_bytes());
        bytes
    }
}

/// Bytes of an owner: three numbers.
pub(crate) const OWNER_BYTES: usize = 3 * 8;

/// The names of the files.
pub(crate) const NODE_FILE: &str = "node";
pub(crate) const REPLICA_FILE: &str = "replica";
const SKIPPED_FILE: &str = "skipped";
const SYNCED_FILE: &str = "synced";
const TABLE_FILE: &str = "table";
const NODES_FILE: &str = "nodes";

/// How each of our files begins, before its kind and its version.
pub(crate) const MAGIC: &[u8; 4] = b"KVDB";
const NODE: u8 = 3;
const REPLICA: u8 = 4;
const SKIPPED: u8 = 5;
const SYNCED: u8 = 6;
const TABLE: u8 = 7;
const NODES: u8 = 8;
const CHECKSUM_BYTES: usize = 4;

/// The newest version of a kind.
fn version(kind: u8) -> u8 {
    if matches!(kind, NODE | REPLICA) { 2 } else { 1 }
}

/// Reads which node a data directory belongs to; `None` if it is new.
fn read_node(directory: &Path) -> Result<Option<Node>, OpenError> {
    let path = directory.join(NODE_FILE);
    let Some((version, bytes)) = read(&path, NODE)? else { return Ok(None) };
    // The first version has the name alone.
    let (last_id, name) = match version {
        1 => (0, &*bytes),
        _ => {
            let (last_id, name) = bytes.split_first_chunk().ok_or_else(|| damaged(&path, NODE))?;
            (u64::from_le_bytes(*last_id), name)
        }
    };
    let name = String::from_utf8(name.into()).map_err(|_| damaged(&path, NODE))?;
    Ok(Some(Node { name, last_id }))
}

/// Notes which node a data directory belongs to.
fn write_node(directory: &Path, Node { name, last_id }: &Node) -> Result<(), OpenError> {
    write(&directory.join(NODE_FILE), NODE, &[&last_id.to_le_bytes(), name.as_bytes()].concat())
}

/// The ids of ranges and replicas, which are used once in a data directory.
pub(crate) struct Ids<'a> {
    data_dir: &'a Path,
    node: Node,
}

impl Ids<'_> {
    /// Reads which ids a data directory has used, unless it is that of another node.
    pub(crate) fn open<'a>(data_dir: &'a Path, name: &str) -> Result<Ids<'a>, OpenError> {
        match read_node(data_dir)? {
            None => {
                let node = Node { name: name.to_owned(), last_id: 0 };
                write_node(data_dir, &node)?;
                Ok(Ids { data_dir, node })
            }
            Some(node) if node.name == name => Ok(Ids { data_dir, node }),
            Some(Node { name: owner, .. }) => {
                Err(OpenError::OtherNode { directory: data_dir.into(), owner, node: name.to_owned() })
            }
        }
    }

    /// Ids that were used, and are not among these: the first few of them.
    pub(crate) fn missing(&self, present: &BTreeSet<u64>) -> Vec<u64> {
        (1..=self.node.last_id).filter(|id| !present.contains(id)).take(MISSING_SHOWN).collect()
    }

    /// Takes ids above `least`, which are on disk as used then.
    pub(crate) fn take(&mut self, count: usize, least: u64) -> Result<RangeFrom<u64>, OpenError> {
        let first = self.node.last_id.max(least) + 1;
        if count > 0 {
            self.node.last_id = first - 1 + count as u64;
            write_node(self.data_dir, &self.node)?;
        }
        Ok(first..)
    }

    /// The node that has used them. No more are taken.
    pub(crate) fn into_node(self) -> Node {
        self.node
    }
}

/// Reads which replica a directory holds; `None` if it was not made to its end.
pub(crate) fn read_replica(directory: &Path) -> Result<Option<Identity>, OpenError> {
    let path = directory.join(REPLICA_FILE);
    let Some((_, bytes)) = read(&path, REPLICA)? else { return Ok(None) };
    decode(&bytes).ok_or_else(|| damaged(&path, REPLICA)).map(Some)
}

/// Notes which replica a directory holds.
pub(crate) fn write_replica(directory: &Path, identity: &Identity) -> Result<(), OpenError> {
    write(&directory.join(REPLICA_FILE), REPLICA, &encode(identity))
}

/// Reads which entries of the log of a range are not executed.
pub(crate) fn read_skipped(directory: &Path) -> Result<BTreeSet<u64>, OpenError> {
    let path = directory.join(SKIPPED_FILE);
    let bytes = read(&path, SKIPPED)?.map_or_else(Vec::new, |(_, bytes)| bytes);
    let (indices, rest) = bytes.as_chunks();
    if rest.is_empty() {
        Ok(indices.iter().copied().map(u64::from_le_bytes).collect())
    } else {
        Err(damaged(&path, SKIPPED))
    }
}

/// Notes which entries of the log of a range are not executed.
pub(crate) fn write_skipped(directory: &Path, indices: &BTreeSet<u64>) -> Result<(), OpenError> {
    let bytes: Vec<u8> = indices.iter().flat_map(|index| index.to_le_bytes()).collect();
    write(&directory.join(SKIPPED_FILE), SKIPPED, &bytes)
}

/// Reads an entry of the log of a range that is on disk; 0 if none is known.
pub(crate) fn read_synced(directory: &Path) -> Result<u64, OpenError> {
    let path = directory.join(SYNCED_FILE);
    let Some((_, bytes)) = read(&path, SYNCED)? else { return Ok(0) };
    let index = bytes.try_into().map_err(|_| damaged(&path, SYNCED))?;
    Ok(u64::from_le_bytes(index))
}

/// Notes that the log of a range is on disk up to this entry.
pub(crate) fn write_synced(directory: &Path, index: u64) -> Result<(), OpenError> {
    write(&directory.join(SYNCED_FILE), SYNCED, &index.to_le_bytes())
}

/// Reads where the replicas of all ranges are, as the node has learned it last; `None` if it has not.
pub(crate) fn read_table(data_dir: &Path) -> Result<Option<Vec<u8>>, OpenError> {
    Ok(read(&data_dir.join(TABLE_FILE), TABLE)?.map(|(_, bytes)| bytes))
}

/// Notes where the replicas of all ranges are.
pub(crate) fn write_table(data_dir: &Path, table: &[u8]) -> Result<(), OpenError> {
    write(&data_dir.join(TABLE_FILE), TABLE, table)
}

/// Reads which nodes the cluster has, as the node has learned it last; `None` if it has not.
pub(crate) fn read_nodes(data_dir: &Path) -> Result<Option<Vec<u8>>, OpenError> {
    Ok(read(&data_dir.join(NODES_FILE), NODES)?.map(|(_, bytes)| bytes))
}

/// Notes which nodes the cluster has.
pub(crate) fn write_nodes(data_dir: &Path, nodes: &[u8]) -> Result<(), OpenError> {
    write(&data_dir.join(NODES_FILE), NODES, nodes)
}

fn encode(Identity { range, replica, seed, shards, span }: &Identity) -> Vec<u8> {
    let mut bytes = Vec::new();
    for number in [range, replica, seed] {
        bytes.extend_from_slice(&number.to_le_bytes());
    }
    bytes.extend_from_slice(&shards.to_le_bytes());
    bytes.push(u8::from(span.end.is_some()));
    for part in [&*span.start, span.end.as_deref().unwrap_or_default(), span.text.as_bytes()] {
        bytes.extend_from_slice(&(part.len() as u32).to_le_bytes());
        bytes.extend_from_slice(part);
    }
    bytes
}

fn decode(mut rest: &[u8]) -> Option<Identity> {
    let mut number = || take::<8>(&mut rest).map(u64::from_le_bytes);
    let (range, replica, seed) = (number()?, number()?, number()?);
    let shards = take::<4>(&mut rest).map(u32::from_le_bytes).filter(|shards| shards.is_power_of_two())?;
    let [has_end] = take(&mut rest)?;
    let mut part = || -> Option<Box<[u8]>> {
        let length = take::<4>(&mut rest).map(u32::from_le_bytes)?;
        let (part, after) = rest.split_at_checked(length as usize)?;
        rest = after;
        Some(part.into())
    };
    let (start, end, text) = (part()?, part()?, part()?);
    let span = Span {
        start,
        end: (has_end != 0).then_some(end),
        text: String::from_utf8(text.into()).ok()?.into_boxed_str(),
    };
    rest.is_empty().then_some(Identity { range, replica, seed, shards, span })
}

/// Takes the first bytes; `None` if there are fewer.
pub(crate) fn take<const N: usize>(bytes: &mut &[u8]) -> Option<[u8; N]> {
    let (taken, rest) = bytes.split_first_chunk()?;
    *bytes = rest;
    Some(*taken)
}

/// Reads a file of ours: its version, and what is between its head and its checksum. `None` if there is no
/// such file.
fn read(path: &Path, kind: u8) -> Result<Option<(u8, Vec<u8>)>, OpenError> {
    let file = match file::open(path, File::options().read(true)) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        opened => opened.map_err(failed(path))?,
    };
    let mut bytes = Vec::new();
    file.take(IDENTITY_BYTES as u64 + 1).read_to_end(&mut bytes).map_err(failed(path))?;
    if bytes.len() > IDENTITY_BYTES {
        return Err(damaged(path, kind));
    }
    let head = bytes.split_first_chunk::<4>().filter(|(magic, _)| *magic == MAGIC);
    let Some((_, &[found, found_version, ..])) = head else { return Err(damaged(path, kind)) };
    let end = bytes.len().saturating_sub(CHECKSUM_BYTES);
    // All versions end with it: a damaged version is not taken for a newer one.
    let is_whole = found == kind && bytes[end..] == crc32c::crc32c(&bytes[..end]).to_le_bytes();
    if !is_whole {
        return Err(damaged(path, kind));
    }
    let known = version(kind);
    if !(1..=known).contains(&found_version) {
        return Err(OpenError::Version { path: path.into(), found: found_version, known });
    }
    bytes.truncate(end);
    bytes.drain(..MAGIC.len() + 2);
    Ok(Some((found_version, bytes)))
}

/// Writes a file of ours, which is there as a whole or not at all.
fn write(path: &Path, kind: u8, body: &[u8]) -> Result<(), OpenError> {
    let mut bytes = [MAGIC, &[kind, version(kind)][..], body].concat();
    bytes.extend_from_slice(&crc32c::crc32c(&bytes).to_le_bytes());
    let part = path.with_extension("part");
    let directory = path.parent().unwrap_or(path);
    let mut file = file::create(&part).map_err(failed(&part))?;
    let written = file
        .write_all(&bytes)
        .and_then(|()| file.sync_all())
        .and_then(|()| fs::rename(&part, path))
        .and_then(|()| File::open(directory)?.sync_all());
    written.map_err(failed(path))
}

fn damaged(path: &Path, kind: u8) -> OpenError {
    let remedy = match kind {
        NODE => "if the ranges beside it are those of this node, remove it: it is made again",
        SKIPPED => "remove it, and leave the entries out again with `range skip`",
        SYNCED => "it is made again",
        TABLE | NODES => "remove it, and the node learns it from the others",
        _ => "put it back from a copy",
    };
    OpenError::Damaged { path: path.into(), problem: format!("is damaged; {remedy}") }
}

/// Makes an error of the system one that names the file.
pub(crate) fn failed(path: &Path) -> impl FnOnce(io::Error) -> OpenError {
    let path = path.into();
    |error| OpenError::Io { path, error }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tempfile::TempDir;

    fn span(start: &str, end: Option<&str>) -> Span {
        let end = end.map(|end| end.as_bytes().into());
        Span { start: start.as_bytes().into(), end, text: "a..m".into() }
    }

    #[test]
    fn both_files_read_back_and_no_damage_goes_unseen() {
        let directory = TempDir::new().expect("a directory");
        let directory = directory.path();
        assert_eq!(read_node(directory).expect("none"), None);
        assert_eq!(read_replica(directory).expect("none"), None);
        let identity = Identity { range: 3, replica: 4, seed: 5, shards: 32, span: span("a", Some("n")) };
        let node = Node { name: "foo@127.0.0.1".into(), last_id: 7 };
        write_node(directory, &node).expect("written");
        write_replica(directory, &identity).expect("written");
        assert_eq!(read_node(directory).expect("a node"), Some(node));
        assert_eq!(read_replica(directory).expect("an identity"), Some(identity));
        assert_eq!(read_skipped(directory).expect("none"), BTreeSet::new());
        let skipped = BTreeSet::from([7, 1 << 40]);
        write_skipped(directory, &skipped).expect("written");
        assert_eq!(read_skipped(directory).expect("indices"), skipped);
        assert_eq!(read_synced(directory).expect("none"), 0);
        write_synced(directory, 1 << 40).expect("written");
        assert_eq!(read_synced(directory).expect("an index"), 1 << 40);
        let path = directory.join(REPLICA_FILE);
        let bytes = fs::read(&path).expect("the file");
        for place in 0..bytes.len() {
            let mut damaged = bytes.clone();
            damaged[place] ^= 0x10;
            fs::write(&path, damaged).expect("written");
            let error = read_replica(directory).expect_err("damaged").to_string();
            assert!(error.starts_with(&format!("{} is damaged; ", path.display())), "{place}: {error}");
            fs::write(&path, &bytes[..place]).expect("written");
            assert!(read_replica(directory).is_err(), "cut at {place}");
        }
    }

    #[test]
    fn ids_that_were_used_and_have_no_directory_are_known() {
        let directory = TempDir::new().expect("a directory");
        let mut ids = Ids::open(directory.path(), "foo@127.0.0.1").expect("opened");
        assert!(ids.missing(&BTreeSet::new()).is_empty(), "nothing was used");
        assert_eq!(ids.take(20, 0).expect("taken").start, 1);
        assert_eq!(ids.missing(&(3..=19).collect()), [1, 2, 20]);
        assert_eq!(ids.missing(&BTreeSet::new()).len(), MISSING_SHOWN);
    }

    #[test]
    fn the_first_version_of_the_node_has_no_ids() {
        let directory = TempDir::new().expect("a directory");
        let mut bytes = [MAGIC, &[NODE, 1][..], b"foo@127.0.0.1"].concat();
        bytes.extend_from_slice(&crc32c::crc32c(&bytes).to_le_bytes());
        fs::write(directory.path().join(NODE_FILE), bytes).expect("written");
        let node = Node { name: "foo@127.0.0.1".into(), last_id: 0 };
        assert_eq!(read_node(directory.path()).expect("a node"), Some(node));
    }

    #[test]
    fn spans_overlap_if_a_name_is_in_both() {
        let (all, low, high) = (span("", None), span("", Some("n")), span("n", None));
        assert!(all.overlaps(&low) && low.overlaps(&all) && all.overlaps(&high) && high.overlaps(&all));
        assert!(!low.overlaps(&high) && !high.overlaps(&low));
        assert!(span("m", Some("o")).overlaps(&low) && span("m", Some("o")).overlaps(&high));
    }
}
