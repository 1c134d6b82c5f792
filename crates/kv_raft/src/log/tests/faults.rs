//! Logs whose files are cut, changed or zeroed, or have lost what was not synced: their entries are those
//! that were acknowledged, or the error names file and offset. Each log has a seed.

use super::*;
use fastrand::Rng;
use std::{collections::BTreeMap, env};

/// Logs, with faults of their own each; `KV_FAULTY_LOGS` says otherwise.
const LOGS: u64 = 30;
const FAULTS: usize = 20;
const WRITES: usize = 30;
const SECTOR_BYTES: usize = 512;

/// The files of a log when a write was acknowledged, and the entries.
#[derive(Debug, Clone)]
struct Moment {
    files: BTreeMap<PathBuf, Vec<u8>>,
    entries: Vec<Entry>,
}

impl Moment {
    fn new(directory: &TempDir, log: &Log) -> Moment {
        // The first files of a purged log may be removed just now: read in the same order, others would lack.
        let contents = |path: PathBuf| Some((path.file_name()?.into(), fs::read(&path).ok()?));
        let files = files(directory).into_iter().rev().filter_map(contents).collect();
        Moment { files, entries: log.read(0..u64::MAX).expect("read") }
    }

    /// A place in one of the files.
    fn place(&self, rng: &mut Rng) -> (PathBuf, usize) {
        let (name, bytes) = rng.choice(&self.files).expect("a log has a file");
        (name.clone(), rng.usize(0..bytes.len()))
    }

    fn is_last(&self, name: &Path) -> bool {
        self.files.last_key_value().is_some_and(|(last, _)| last == name)
    }
}

/// Whether these entries are those of a moment or of the next one, or of some time in between.
fn is_between(entries: &[Entry], before: &Moment, after: &Moment) -> bool {
    let (before, after) = (&before.entries, &after.entries);
    entries == before || entries == after || entries.starts_with(before) && after.starts_with(entries)
}

/// Writes to a log in files of 2 kB, and notes what was acknowledged.
fn written_with(rng: &mut Rng) -> Vec<Moment> {
    let directory = TempDir::new().expect("a directory");
    let mut log = create(&directory);
    sync(|done| log.save_vote(VOTE, done));
    let mut moments = vec![Moment::new(&directory, &log)];
    for _ in 0..WRITES {
        let next = log.last().map_or(0, |last| last.index + 1);
        let first = log.purged().map_or(0, |purged| purged.index + 1);
        match rng.u8(0..20) {
            0 if first + 1 < next => {
                let up_to = id(rng.u64(first..next - 1));
                sync(|done| log.purge(up_to, done));
            }
            1 => sync(|done| log.save_vote(VOTE, done)),
            2 if first < next => {
                log.save_committed(id(next - 1)).expect("noted");
                sync(|done| log.append([(id(next), Payload::Blank)], done));
            }
            _ => {
                let count = rng.u64(1..4);
                let entries: Vec<_> =
                    (next..next + count).map(|index| (id(index), sized_group(rng))).collect();
                sync(|done| log.append(entries, done));
            }
        }
        moments.push(Moment::new(&directory, &log));
    }
    moments
}

/// A group of a request with a value of up to two sectors.
fn sized_group(rng: &mut Rng) -> Payload {
    let value: Vec<u8> = (0..rng.usize(0..2 * SECTOR_BYTES)).map(|_| rng.u8(..)).collect();
    let mut bytes = Vec::new();
    begin(&mut bytes);
    let put = Op::Put { key: b"milk", value: &value };
    encode_batch(&[Request::new(b"shopping", put)], usize::MAX, &mut bytes);
    Payload::Group(Arc::new(GroupBytes(bytes)))
}

/// What is opened of these files, or why they are refused.
fn opened(files: &BTreeMap<PathBuf, Vec<u8>>) -> Result<Vec<Entry>, String> {
    let directory = TempDir::new().expect("a directory");
    for (name, bytes) in files {
        fs::write(directory.path().join(name), bytes).expect("written");
    }
    let log = open(&directory).map_err(|error| error.to_string())?;
    // What was opened can be written to, and is there again.
    let entries = log.read(0..u64::MAX).expect("read");
    drop(log);
    let again = open(&directory).expect("opened again");
    assert_eq!(again.read(0..u64::MAX).expect("read"), entries);
    Ok(entries)
}

/// A file was changed in the middle: all is there, or it is named, with an offset.
fn check_damaged(moment: &Moment, files: &BTreeMap<PathBuf, Vec<u8>>, name: &Path, fault: &str) {
    match opened(files) {
        Ok(entries) => assert!(entries == moment.entries, "{fault}: entries are lost or wrong"),
        Err(error) => {
            let name = name.display().to_string();
            assert!(error.contains(&name) && error.contains(" is damaged at offset "), "{fault}: {error}");
        }
    }
}

/// One bit, or a sector, is not what was written.
fn damage(moment: &Moment, rng: &mut Rng, seed: &str) {
    let (mut files, (name, place)) = (moment.files.clone(), moment.place(rng));
    let bytes = files.get_mut(&name).expect("it is there");
    let fault = if rng.bool() {
        bytes[place] ^= 1 << rng.u8(0..8);
        "a flipped bit"
    } else {
        let start = place - place % SECTOR_BYTES;
        let end = (start + SECTOR_BYTES).min(bytes.len());
        if moment.is_last(&name) && end + 4 * SECTOR_BYTES >= bytes.len() {
            // A disk may have left it out when it wrote the last records.
            return;
        }
        bytes[start..end].fill(0);
        "a zeroed sector"
    };
    check_damaged(moment, &files, &name, &format!("{seed}: {fault} at {place} of {}", name.display()));
}

/// A file ends early. At the end of the last one that looks as if a record was not written: what is left
/// of it is right.
fn cut(moments: &[Moment], rng: &mut Rng, seed: &str) {
    let moment = moments.last().expect("there is one");
    let (mut files, (name, place)) = (moment.files.clone(), moment.place(rng));
    files.get_mut(&name).expect("it is there").truncate(place);
    let fault = format!("{seed}: {} is cut at {place}", name.display());
    if !moment.is_last(&name) {
        return check_damaged(moment, &files, &name, &fault);
    }
    match opened(&files) {
        Ok(entries) => {
            let is_sorted = entries.is_sorted_by(|(one, _), (next, _)| one.index + 1 == next.index);
            let was_written = |entry| moments.iter().any(|moment| moment.entries.contains(entry));
            assert!(is_sorted && entries.iter().all(was_written), "{fault}: entries are wrong");
        }
        Err(error) => {
            let is_all = files.len() == 1 && error.contains(" is damaged at offset 0; ");
            // That what was before it is purged was behind the cut.
            let is_rest = error.contains(": entry ") && error.contains(" is missing; ");
            assert!(is_all || is_rest, "{fault}: {error}");
        }
    }
}

/// The power fails between two moments: of what the second has more, some is on disk. What it has removed may
/// be there.
fn power_cut(before: &Moment, after: &Moment, rng: &mut Rng, seed: &str) {
    let mut files = after.files.clone();
    let (mut fault, mut is_whole) = (format!("{seed}: a power cut"), true);
    for (name, bytes) in &mut files {
        let synced = before.files.get(name).map_or(0, Vec::len);
        if !is_whole {
            // Nothing is written into a file before all of the one before it is on disk.
            bytes.clear();
        }
        if synced == bytes.len() {
            continue;
        }
        let written = rng.usize(synced..=bytes.len());
        is_whole = written == bytes.len();
        let has_length = rng.bool();
        fault += &format!(", {} to {written}, with its length: {has_length}", name.display());
        match has_length {
            // Sectors are written as a whole, and the length of a file may be written first.
            true => {
                let written = written.next_multiple_of(SECTOR_BYTES).min(bytes.len());
                bytes[written..].fill(0);
                // They are written in any order. Before a whole entry, that looks like damage.
                let is_single = after.entries.len() == before.entries.len() + 1;
                for start in (synced.next_multiple_of(SECTOR_BYTES)..written).step_by(SECTOR_BYTES) {
                    let end = (start + SECTOR_BYTES).min(written);
                    if is_single && rng.u8(0..4) == 0 {
                        bytes[start..end].fill(0);
                        is_whole = false;
                    }
                }
            }
            false => bytes.truncate(written),
        }
    }
    // A file that was not there before may have no name yet, if nothing else has been written after it.
    if rng.bool() {
        files.retain(|name, bytes| before.files.contains_key(name) || !bytes.is_empty());
    }
    let removed = before.files.iter().filter(|(name, _)| !after.files.contains_key(*name));
    let removed: Vec<_> = removed.collect();
    // Files are removed when all else is on disk.
    let left = if is_whole { rng.usize(0..=removed.len()) } else { 0 };
    for (name, bytes) in &removed[left..] {
        files.insert((*name).clone(), (*bytes).clone());
    }
    match opened(&files) {
        Ok(entries) => assert!(is_between(&entries, before, after), "{fault}: entries are lost or wrong"),
        Err(error) => panic!("{fault}: {error}"),
    }
}

#[test]
fn a_fault_in_a_log_loses_nothing_that_was_acknowledged_or_is_named() {
    let logs = env::var("KV_FAULTY_LOGS").map_or(LOGS, |logs| logs.parse().expect("a number"));
    for seed in 0..logs {
        println!("seed {seed}");
        let (mut rng, text) = (Rng::with_seed(seed), format!("seed {seed}"));
        let moments = written_with(&mut rng);
        let last = moments.last().expect("there is one");
        for _ in 0..FAULTS {
            match rng.u8(0..4) {
                0 => damage(last, &mut rng, &text),
                1 => cut(&moments, &mut rng, &text),
                _ => {
                    let after = rng.usize(1..moments.len());
                    power_cut(&moments[after - 1], &moments[after], &mut rng, &text);
                }
            }
        }
    }
}
