//! `restore`: a backup for the running node, or for the data directory of one that does not run; and
//! `backup --verify`, which only reads it. A file is read and checked as a whole before anything is restored.

use super::{
    owner::as_owner,
    progress::Progress,
    session::{ImportSession, contents},
};
use crate::{
    config::Settings,
    control::{
        client::{self, ImportTarget},
        run_dir::RunDir,
    },
    error::Error,
    limits::{BACKUP_READ_BYTES, TRANSFER_PAGE_BYTES},
    output::{counted, print_line},
    records::record::{Item, Record as Line},
};
use chrono::DateTime;
use kv::{Database, FullName, Record};
use kv_cluster::escape_name;
use kv_raft::{
    OpenError, Ranges, Restore,
    snapshot::{RecordCounts, SnapshotError, SnapshotHeader, SnapshotKind, SnapshotReader},
};
use serde_json::Value;
use std::{
    fs::{self, File},
    io::{BufReader, Read, stdin},
    path::Path,
};

type BackupFile = SnapshotReader<BufReader<File>>;

/// A backup that has been read.
struct Found {
    header: SnapshotHeader,
    counts: RecordCounts,
}

/// Checks a backup, and says what it holds.
pub(crate) fn verify(path: &Path) -> Result<(), Error> {
    let found = match path == "-" {
        true => read(open_backup(stdin().lock(), path)?, 0, path, |_| ())?,
        false => read_file(path, |_| ())?,
    };
    print_line(format_args!("{}: whole: {}", path.display(), describe(&found)));
    Ok(())
}

/// Restores into the data directory that is configured, if no node uses it, and else into the node that does.
/// A node of that directory will have this number of threads.
pub(crate) fn run(settings: &Settings, threads: usize, run_dir: &RunDir, path: &Path) -> Result<(), Error> {
    let Some(data_dir) = &settings.node.data_dir else { return into_node(run_dir, path) };
    if !Ranges::is_in_use(data_dir) {
        return into_directory(settings, threads, data_dir, path);
    }
    let used = client::evaluate(run_dir, "status", true).map(|status| status["data_dir"].clone());
    let is_of_node = |used: &Value| {
        let used = used.as_str().and_then(|used| fs::canonicalize(used).ok());
        used.is_some() && used == fs::canonicalize(data_dir).ok()
    };
    match used {
        Ok(used) if is_of_node(&used) => into_node(run_dir, path),
        Ok(_) | Err(Error::NotRunning { .. }) => Err(Error::OtherDataDir {
            data_dir: data_dir.clone(),
            node: run_dir.node().to_owned(),
            socket: run_dir.socket(),
        }),
        Err(error) => Err(error),
    }
}

/// Restores into the running node, and says what was restored and what was not.
pub(crate) fn into_node(run_dir: &RunDir, path: &Path) -> Result<(), Error> {
    let mut import = ImportSession::connect(run_dir, ImportTarget::Empty)?;
    let found = read_file(path, |_| ())?;
    // Is the node empty? Nobody empties it for a file that cannot be restored.
    import.send(false)?;
    print_line(format_args!("restoring {}, into the running node {}", describe(&found), run_dir.node()));
    let restored = send(&mut import, path);
    import.report();
    let is_whole = import.is_whole();
    if restored.is_err() || !is_whole {
        eprintln!("only a part was restored: empty the node (FLUSHALL), and restore again");
    }
    restored.and(if is_whole { Ok(()) } else { Err(Error::Printed) })
}

/// Restores into the empty data directory of a node that does not run, and says what was restored. All of it
/// is there then, or nothing. The node will have this number of threads.
fn into_directory(settings: &Settings, threads: usize, data_dir: &Path, path: &Path) -> Result<(), Error> {
    let node = &settings.node.name;
    if settings.joins {
        return Err(Error::Refused(format!(
            "{node} joins the cluster of other nodes: start them, and restore into one while it runs"
        )));
    }
    if let Some(row) = settings.routes.spans_of(node).find(|row| row.is_replicated()) {
        return Err(Error::Refused(format!(
            "several nodes have copies of {}: start them, and restore into one while it runs",
            row.buckets()
        )));
    }
    let spans = settings.routes.durable_spans(node);
    let (mut misplaced, mut first) = (0, String::new());
    let found = read_file(path, |record| {
        let is_here = |name: &[u8]| spans.iter().any(|span| span.contains(name));
        if let Some(full) = record.full().filter(|full| !is_here(full.name)) {
            misplaced += 1;
            if misplaced == 1 {
                first = escape_name(full.name).to_string();
            }
        }
    })?;
    if misplaced > 0 {
        let (file, names) = (path.display(), counted(misplaced, "name", "names"));
        return Err(Error::Refused(format!(
            "{file}: {node} has no durable buckets for {names} in it, such as \"{first}\": start the nodes \
             that own them, and restore into one while it runs"
        )));
    }
    // The owner of the data directory may not be allowed to read it.
    let file = open_file(path)?;
    as_owner(data_dir, || {
        let begin = || Restore::begin(data_dir, node.as_str(), &spans, threads, found.header.stamp_ms);
        let restore = begin().map_err(unwritten)?;
        let (backup, directory) = (describe(&found), data_dir.display());
        print_line(format_args!("restoring {backup}, into {directory}, which no node uses, for {node}"));
        fill(restore, file, path)
    })?;
    let RecordCounts { maps, entries, strings } = found.counts;
    print_line(format_args!("restored {}", contents(maps, entries, strings)));
    Ok(())
}

/// Fills an empty data directory with the records of a file of some size.
fn fill(mut restore: Restore, (mut reader, size): (BackupFile, u64), path: &Path) -> Result<(), Error> {
    let mut progress = Progress::new(false);
    loop {
        let percent = reader.offset() * 100 / size.max(1);
        let Some(record) = reader.next_record().map_err(unreadable(path))? else { break };
        restore.add(record).map_err(unwritten)?;
        progress.update(format_args!("{percent} %, {} entries", reader.counts().entries));
    }
    restore.finish().map_err(unwritten)
}

fn unwritten(error: OpenError) -> Error {
    Error::Refused(error.to_string())
}

/// Sends all buckets as the lines of an import.
fn send(import: &mut ImportSession, path: &Path) -> Result<(), Error> {
    let (mut reader, size) = open_file(path)?;
    let mut progress = Progress::new(false);
    let mut map = (Database::ZERO, Vec::new());
    loop {
        let percent = reader.offset() * 100 / size.max(1);
        let Some(record) = reader.next_record().map_err(unreadable(path))? else { break };
        let (full, item, expires_at_ms) = match record {
            Record::Map { full, keep_when_empty, expires_at_ms } => {
                map = (full.database, full.name.to_vec());
                (full, Item::Bucket { keep_when_empty }, expires_at_ms)
            }
            Record::Entry { key, value, expires_at_ms } => {
                let full = FullName { database: map.0, name: &map.1 };
                (full, Item::Entry { field: key.into(), value: value.to_bytes() }, expires_at_ms)
            }
            Record::Str { full, value, origin, expires_at_ms } => {
                (full, Item::Str { value: value.to_bytes(), origin }, expires_at_ms)
            }
        };
        let FullName { database, name } = full;
        Line { database, name: name.into(), item, expires_at_ms }.write(&mut import.lines);
        if import.lines.len() >= TRANSFER_PAGE_BYTES {
            import.send(false)?;
            progress.update(format_args!("{percent} %, {}", import.progress()));
        }
    }
    import.send(true)
}

fn read_file(path: &Path, visit: impl FnMut(&Record<'_>)) -> Result<Found, Error> {
    let (reader, size) = open_file(path)?;
    read(reader, size, path, visit)
}

fn open_file(path: &Path) -> Result<(BackupFile, u64), Error> {
    let open = || format!("open {}", path.display());
    let file = File::open(path).map_err(Error::io(open()))?;
    let size = file.metadata().map_err(Error::io(open()))?.len();
    Ok((open_backup(file, path)?, size))
}

fn open_backup<R: Read>(input: R, path: &Path) -> Result<SnapshotReader<BufReader<R>>, Error> {
    let input = BufReader::with_capacity(BACKUP_READ_BYTES, input);
    let reader = SnapshotReader::open(input).map_err(unreadable(path))?;
    match reader.header().kind {
        SnapshotKind::Backup => Ok(reader),
        SnapshotKind::Range => Err(refused(path, "it is the snapshot of a range, not a backup")),
    }
}

/// Reads and checks all of a backup, and passes its records to `visit`.
fn read<R: Read>(
    mut reader: SnapshotReader<R>,
    size: u64,
    path: &Path,
    mut visit: impl FnMut(&Record<'_>),
) -> Result<Found, Error> {
    let mut progress = Progress::new(false);
    while let Some(record) = reader.next_record().map_err(unreadable(path))? {
        visit(&record);
        let entries = reader.counts().entries;
        match (reader.offset() * 100).checked_div(size) {
            Some(percent) => progress.update(format_args!("checked {percent} %, {entries} entries")),
            None => progress.update(format_args!("checked {entries} entries")),
        }
    }
    Ok(Found { header: reader.header().clone(), counts: reader.counts() })
}

/// For `map_err`: why a file cannot be read as a backup.
fn unreadable(path: &Path) -> impl Fn(SnapshotError) -> Error + '_ {
    move |error| match error {
        SnapshotError::Version(_) => Error::Refused(format!("{}: {error}", path.display())),
        _ => refused(path, &error.to_string()),
    }
}

fn refused(path: &Path, why: &str) -> Error {
    Error::Refused(format!("{}: {why}; use another backup", path.display()))
}

fn describe(Found { header, counts }: &Found) -> String {
    let RecordCounts { maps, entries, strings } = counts;
    let node = escape_name(&header.description);
    let made = DateTime::from_timestamp_millis(header.stamp_ms as i64).unwrap_or_default();
    let time = made.format("%F %T UTC");
    format!("a backup of {node}, made {time}: {}", contents(*maps, *entries, *strings))
}
