//! Ranges whose files are cut, changed, zeroed, removed or another range's, or have lost what was not synced:
//! all that was acknowledged is there, or the range stops and names the file. Each range has a seed.

use super::*;
use crate::{
    identity::{data_dir::DataDir, data_dir::lock, read_replica},
    limits::LOG_FILES,
    ranges::replicas::make_replica,
    replica::{Replica, files::ReplicaFiles},
};
use fastrand::Rng;
use std::{collections::BTreeMap, env, fs::OpenOptions, io::Write as _};

/// Ranges, with faults of their own each; `KV_FAULTY_RANGES` says otherwise.
const RANGES: u64 = 12;
const FAULTS: usize = 16;
const STEPS: usize = 14;
/// Ranges that are checked at the same time.
const AT_ONCE: usize = 16;
const KEYS: u8 = 12;
/// Bytes of a file of a log.
const FILE_BYTES: usize = 3_000;
const SECTOR_BYTES: usize = 512;

/// What a range holds: the number that was written to each key last.
type Contents = BTreeMap<u8, u64>;
const NOTHING: &Contents = &Contents::new();
type Files = BTreeMap<PathBuf, Vec<u8>>;

/// The files of a range when a write was acknowledged, and what it held.
#[derive(Debug, Clone)]
struct Moment {
    files: Files,
    contents: Contents,
}

impl Moment {
    /// The newest file of the log.
    fn newest(&self) -> &Path {
        let mut logs = self.files.keys().rev().filter(|name| name.starts_with("log"));
        logs.next().expect("a log has a file")
    }
}

/// A range in a data directory that others share, whose disk is looked at for all of them.
struct Node {
    directory: TempDir,
    disk: Arc<Disk>,
    data_dir: Arc<DataDir>,
}

struct Running {
    range: Arc<Range>,
    task: JoinHandle<()>,
}

impl Node {
    /// In memory, if the system has a file system there.
    fn new() -> Node {
        let in_memory = Path::new("/dev/shm");
        let directory = if in_memory.is_dir() { TempDir::new_in(in_memory) } else { TempDir::new() };
        let directory = directory.expect("a directory");
        let path = directory.path();
        let lock = lock(path).expect("locked");
        let node = Ids::open(path, "foo@127.0.0.1").expect("new").into_node();
        let data_dir = Arc::new(DataDir::new(path, lock, node).expect("a directory"));
        let disk = Arc::new(Disk::open(path).expect("a disk"));
        Node { directory, disk, data_dir }
    }

    /// Starts the range in this directory; why not, if not.
    async fn start(&self, directory: &Path) -> Result<Running, String> {
        let identity = read_replica(directory).map_err(|error| error.to_string())?;
        let identity = identity.ok_or_else(|| format!("{}/replica is missing", directory.display()))?;
        let store = Store::for_range(identity.seed, identity.shards as usize);
        let (text, disk) = (identity.span.text.clone(), self.disk.clone());
        let (data_dir, owner) = (self.data_dir.clone(), identity.owner());
        let snapshots = Snapshots::new(text, data_dir, directory.into(), owner, disk.clone(), Arc::default());
        let spans = Spans::new(identity.span.clone(), Arc::default());
        let range = Range::new(spans, (None, false), store, snapshots, Arc::default(), disk, Fsync::Always);
        let range = Arc::new(range);
        range.set_transaction_limits(TransactionLimits::default());
        let (data_dir, spans) = (self.data_dir.clone(), range.spans.clone());
        let files = ReplicaFiles::new(identity, spans, data_dir, directory.into());
        let (cache_bytes, log_files) = (FILE_BYTES, LOG_FILES);
        let election = election_for(Duration::ZERO);
        let replica =
            Replica { range: range.clone(), files, cache_bytes, log_files, transport: None, election };
        let task = tokio::spawn(replica.run());
        match range.wait_until_loaded().await {
            RangeState::Ready => Ok(Running { range, task }),
            RangeState::Stopped(reason) => {
                task.await.expect("no panic");
                Err(reason.to_string())
            }
            RangeState::Loading | RangeState::Following { .. } => unreachable!("it is loaded, and alone"),
        }
    }

    /// What a range holds that starts with these files, or why it has stopped.
    async fn started_with(&self, files: &Files) -> Result<Contents, String> {
        let directory = TempDir::new_in(self.directory.path()).expect("a directory");
        fs::create_dir(directory.path().join("log")).expect("made");
        for (name, bytes) in files {
            fs::write(directory.path().join(name), bytes).expect("written");
        }
        let running = self.start(directory.path()).await?;
        let contents = running.contents();
        running.close().await;
        Ok(contents)
    }
}

impl Running {
    fn contents(&self) -> Contents {
        let number = |key: u8| {
            let value = read(&self.range, &format!("HGET list {key}"));
            let digits = value.split(':').next().expect("a first part");
            let found: u64 = digits.parse().ok()?;
            assert_eq!(value, self::value(found), "not the whole value");
            Some((key, found))
        };
        (0..KEYS).filter_map(number).collect()
    }

    async fn close(self) {
        self.range.close();
        self.task.await.expect("no panic");
    }
}

/// A value that no other write has, of up to three sectors.
fn value(number: u64) -> String {
    format!("{number}:{}", "x".repeat((number * 97 % 1_500) as usize))
}

/// The files of a range as they are at one moment: what is written beside the reading would be there in part.
fn files_of(directory: &Path) -> Files {
    let mut files = files_now(directory);
    loop {
        let again = files_now(directory);
        if again == files {
            return files;
        }
        files = again;
    }
}

/// Reads the files of a log in order: what replaces one is there before it is removed.
fn files_now(directory: &Path) -> Files {
    let mut files = Files::new();
    for sub in ["", "log"] {
        let entries = fs::read_dir(directory.join(sub)).expect("a directory");
        let mut names: Vec<_> =
            entries.map(|entry| Path::new(sub).join(entry.expect("an entry").file_name())).collect();
        names.sort_unstable();
        for name in names.into_iter().filter(|name| !name.ends_with("LOCK")) {
            if let Ok(bytes) = fs::read(directory.join(&name)) {
                files.insert(name, bytes);
            }
        }
    }
    files
}

/// Writes to a range, takes snapshots and starts it again, and notes what was acknowledged.
async fn written_with(node: &Node, rng: &mut Rng) -> Vec<Moment> {
    let parent = TempDir::new_in(node.directory.path()).expect("a directory");
    let (directory, _) = make_replica(parent.path(), &span("", None), 1, 1).expect("made");
    let (mut contents, mut last) = (Contents::new(), 0);
    let mut moments = Vec::new();
    let mut running = node.start(&directory).await.expect("ready");
    for _ in 0..STEPS {
        match rng.u8(0..12) {
            0 => {
                running.close().await;
                running = node.start(&directory).await.expect("ready");
                assert_eq!(running.contents(), contents);
            }
            1 | 2 => running.range.take_snapshot().await.expect("taken"),
            3 => {
                let key = rng.u8(0..KEYS);
                write(&running.range, &format!("HDEL list {key}")).await.expect("written");
                contents.remove(&key);
            }
            _ => {
                let mut lines = Vec::new();
                for _ in 0..rng.u8(1..4) {
                    let key = rng.u8(0..KEYS);
                    last += 1;
                    contents.insert(key, last);
                    lines.push(format!("HSET list {key} {}", value(last)));
                }
                write(&running.range, &lines.join("; ")).await.expect("written");
            }
        }
        moments.push(Moment { files: files_of(&directory), contents: contents.clone() });
    }
    running.close().await;
    moments.push(Moment { files: files_of(&directory), contents });
    moments
}

/// A fault, in words, and what may be there all the same.
struct Fault<'a> {
    files: Files,
    text: String,
    /// The file that is not as it was.
    file: Option<PathBuf>,
    allowed: Vec<&'a Contents>,
}

/// A range whose files are those of a moment, but for one that is not as it was.
fn harmed<'a>(moments: &'a [Moment], others: &Files, rng: &mut Rng) -> Fault<'a> {
    let index = rng.usize(0..moments.len());
    let moment = &moments[index];
    let mut files = moment.files.clone();
    let name = rng.choice(files.keys()).expect("a range has files").clone();
    let (kind, is_newest) = (rng.u8(0..6), name == moment.newest());
    let bytes = files.get_mut(&name).expect("it is there");
    let place = rng.usize(0..bytes.len().max(1));
    let mut allowed = vec![&moment.contents];
    let what = match kind {
        _ if bytes.is_empty() => "empty".into(),
        0 | 1 => {
            bytes[place] ^= 1 << rng.u8(0..8);
            format!("a flipped bit at {place}")
        }
        2 => {
            let start = place - place % SECTOR_BYTES;
            let end = (start + SECTOR_BYTES).min(bytes.len());
            // At the end of the log it looks as if the last record had not been written.
            if !is_newest || end + 6 * SECTOR_BYTES < bytes.len() {
                bytes[start..end].fill(0);
            }
            format!("zeros from {start} to {end}")
        }
        3 => {
            bytes.truncate(place);
            format!("cut at {place}")
        }
        4 => {
            files.remove(&name);
            "removed".into()
        }
        _ => match others.get(&name) {
            Some(other) => {
                bytes.clone_from(other);
                "another range's".into()
            }
            None => "as it was".into(),
        },
    };
    if is_newest && matches!(kind, 3 | 4) {
        allowed.push(NOTHING);
        allowed.extend(moments[..index].iter().map(|moment| &moment.contents));
    }
    let text = format!("moment {index}: {}: {what}", name.display());
    Fault { files, text, file: Some(name), allowed }
}

/// A range that lost its power between two moments: of what its log has more, some is on disk.
fn unsynced<'a>(moments: &'a [Moment], rng: &mut Rng) -> Fault<'a> {
    let index = rng.usize(1..moments.len());
    let (before, after) = (&moments[index - 1], &moments[index]);
    let (mut files, newest) = (before.files.clone(), before.newest());
    // The log is cut when the snapshot before it is on disk.
    let is_snapshot = |(name, _): &(&PathBuf, &Vec<u8>)| name.to_string_lossy().starts_with("snapshot-");
    files.extend(after.files.iter().filter(is_snapshot).map(|(name, bytes)| (name.clone(), bytes.clone())));
    let mut text = format!("moment {index}: a power cut");
    // Nothing is written into a file of the log before all of the one before it is on disk.
    let mut is_written = true;
    for (name, bytes) in files.iter_mut().filter(|(name, _)| name.starts_with("log") && **name < *newest) {
        match after.files.get(name) {
            Some(written) => bytes.clone_from(written),
            // It was removed, and what it had in the end is not known.
            None => is_written = false,
        }
    }
    if let Some(written) = after.files.get(newest).filter(|_| is_written) {
        let synced = files[newest].len();
        let mut bytes = written.clone();
        let (end, has_length) = (rng.usize(synced..=written.len()), rng.bool());
        text += &format!(": {} has {end} bytes behind {synced}, its length: {has_length}", newest.display());
        match has_length {
            // Sectors are written as a whole, and the length of a file may be on disk before.
            true => {
                bytes.truncate(end.next_multiple_of(SECTOR_BYTES));
                bytes.resize(written.len(), 0);
            }
            false => bytes.truncate(end),
        }
        files.insert(newest.into(), bytes);
    }
    Fault { files, text, file: None, allowed: vec![&before.contents, &after.contents] }
}

/// Fails if a range loses something, or does not name the file.
async fn check(node: &Node, seed: u64, others: &Files) -> Result<(), String> {
    let mut rng = Rng::with_seed(seed);
    let moments = written_with(node, &mut rng).await;
    for _ in 0..FAULTS {
        let fault = match rng.u8(0..4) {
            0 => unsynced(&moments, &mut rng),
            _ => harmed(&moments, others, &mut rng),
        };
        let Fault { files, text, file, allowed } = fault;
        match (node.started_with(&files).await, file) {
            (Ok(contents), _) if allowed.contains(&&contents) => {}
            (Ok(contents), _) => return Err(format!("{text}: {contents:?}, but was {allowed:?}")),
            (Err(reason), Some(file)) => {
                let is_snapshot = reason.contains("the log does not go on from the snapshot");
                let is_log = reason.contains("/log") && file.starts_with("log");
                let is_named = reason.contains(&*file.to_string_lossy());
                if !is_named && !is_snapshot && !is_log {
                    return Err(format!("{text}: not named: {reason}"));
                }
            }
            (Err(reason), None) => return Err(format!("{text}: {reason}")),
        }
    }
    Ok(())
}

/// `KV_FAULTY_RANGES=5000 KV_FAULTY_RANGES_FILE=/tmp/faulty` goes on where the file ends: parts are fine.
#[tokio::test(flavor = "multi_thread")]
async fn a_fault_in_a_range_loses_nothing_that_was_acknowledged_or_is_named() {
    let ranges = env::var("KV_FAULTY_RANGES").map_or(RANGES, |ranges| ranges.parse().expect("a number"));
    let verdicts = env::var("KV_FAULTY_RANGES_FILE").ok();
    let lines = verdicts.as_ref().and_then(|path| fs::read_to_string(path).ok()).unwrap_or_default();
    let node = Arc::new(Node::new());
    // Those of another range, which may take the place of one.
    let others = written_with(&node, &mut Rng::with_seed(u64::MAX)).await;
    let others = Arc::new(others[others.len() - 1].files.clone());
    let seeds: Vec<_> = (lines.lines().count() as u64..ranges).collect();
    for seeds in seeds.chunks(AT_ONCE) {
        let check = |seed: &u64| {
            let (node, others, seed) = (node.clone(), others.clone(), *seed);
            (seed, tokio::spawn(async move { check(&node, seed, &others).await }))
        };
        let checks: Vec<_> = seeds.iter().map(check).collect();
        for (seed, checked) in checks {
            let verdict = checked.await.expect("no panic");
            let line = format!("seed {seed}: {}", verdict.as_ref().map_or("LOST", |()| "ok"));
            println!("{line}");
            if let Some(path) = &verdicts {
                let file = OpenOptions::new().append(true).create(true).open(path);
                file.and_then(|mut file| writeln!(file, "{line}")).expect("it can be written");
            }
            verdict.unwrap_or_else(|lost| panic!("seed {seed}: {lost}"));
        }
    }
}
