//! Which directory holds which range: finds the replicas of a node, and makes those that are not there.

use crate::{
    error::{OpenError, ways_out},
    identity::{self, Identity, Ids, REPLICA_FILE, ReplicaSpan, Span, data_dir::make_directory, failed},
    limits::{LOG_CACHE_LEAST, RANDOM_IDS, RANGES},
    log::{Fsync, Log, LogSettings},
    replica::files::LOG,
};
use crc32c::crc32c;
use kv::Store;
use std::{
    collections::BTreeSet,
    fs::{self, File},
    io,
    path::{Path, PathBuf},
};

/// A replica, and its directory.
pub(super) type Found = (PathBuf, Identity);

/// A replica that is to be opened.
pub(super) struct Begun {
    pub(super) found: Found,
    /// Its store, if that has everything.
    pub(super) store: Option<Store>,
}

/// A directory, or what is in its place, with data of which it is not known whose they are, or whether they
/// are the newest.
#[derive(Debug, Clone)]
pub(super) struct Unknown {
    pub(super) directory: PathBuf,
    /// Why, and what to do.
    pub(super) problem: String,
}

/// What there is in the directory of the ranges.
#[derive(Debug, Default)]
pub(super) struct Replicas {
    /// In the order of their ranges.
    pub(super) found: Vec<Found>,
    pub(super) unknown: Vec<Unknown>,
    /// The ids that directories have.
    ids: BTreeSet<u64>,
    /// Those of directories that were not made to their end.
    part_ids: BTreeSet<u64>,
}

impl Replicas {
    /// Looks at each directory.
    pub(super) fn find(directory: &Path) -> Result<Replicas, OpenError> {
        let mut replicas = Replicas::default();
        for entry in fs::read_dir(directory).map_err(failed(directory))? {
            let path = entry.map_err(failed(directory))?.path();
            if path.extension().is_some_and(|extension| extension == PART) {
                replicas.part_ids.extend(ids(&path.with_extension("")).into_iter().flatten());
                continue;
            }
            let named = ids(&path);
            replicas.ids.extend(named.into_iter().flatten());
            if !path.is_dir() {
                // Such as a link to a disk that is not there.
                if named.is_some() {
                    let problem = "is not a directory; put the one back that was there".into();
                    let file = OpenError::Damaged { path: path.clone(), problem };
                    replicas.unknown.push(Unknown::new(path, &file));
                }
                continue;
            }
            match identity::read_replica(&path) {
                Ok(Some(identity)) => {
                    let its = [identity.range, identity.replica];
                    replicas.ids.extend(its);
                    // What it should hold may be elsewhere.
                    if named.is_some_and(|named| named != [identity.range; 2]) {
                        let problem = "is that of another range; put the right one back".into();
                        let other = OpenError::Damaged { path: path.join(REPLICA_FILE), problem };
                        replicas.unknown.push(Unknown::new(path.clone(), &other));
                    }
                    replicas.found.push((path, identity));
                }
                Ok(None) if has_data(&path).map_err(failed(&path))? => {
                    let problem = "is missing; put it back from a copy".into();
                    let missing = OpenError::Damaged { path: path.join(REPLICA_FILE), problem };
                    replicas.unknown.push(Unknown::new(path, &missing));
                }
                Ok(None) if named.is_some() => {
                    let problem = "is empty; mount the disk that it is on, or put back what was there".into();
                    let empty = OpenError::Damaged { path: path.clone(), problem };
                    replicas.unknown.push(Unknown::new(path, &empty));
                }
                Ok(None) => {}
                Err(version @ OpenError::Version { .. }) => return Err(version),
                Err(error) => replicas.unknown.push(Unknown::new(path, &error)),
            }
        }
        for ids in [&mut replicas.ids, &mut replicas.part_ids] {
            ids.split_off(&RANDOM_IDS);
        }
        replicas.found.sort_by(|(one, a), (other, b)| (a.range, one).cmp(&(b.range, other)));
        replicas.unknown.sort_by(|one, other| one.directory.cmp(&other.directory));
        Ok(replicas)
    }

    /// Takes the replica of a row; `None` if there is none, and no other has a name of it. One that is yet to
    /// be split has more names, and begins with the same one.
    fn take(&mut self, row: &ReplicaSpan) -> Result<Option<Result<Found, Unknown>>, OpenError> {
        let span = &row.span;
        let is_wanted = |(_, identity): &mut Found| {
            identity.span == *span || row.placement.is_some() && identity.span.begins_like(span)
        };
        let of_span: Vec<_> = self.found.extract_if(.., is_wanted).collect();
        if !of_span.is_empty() {
            return Ok(Some(only_one(of_span)));
        }
        match self.found.iter().find(|(_, identity)| identity.span.overlaps(span)) {
            None => Ok(None),
            Some((directory, identity)) => Err(OpenError::OtherSpan {
                directory: directory.clone(),
                found: identity.span.text.to_string(),
                configured: span.text.to_string(),
            }),
        }
    }
}

/// The replica of a range, of which these are all the directories that there are. Which one is newer is not
/// guessed, nor is whether one that was renamed is the newest.
pub(super) fn only_one(mut of_range: Vec<Found>) -> Result<Found, Unknown> {
    let (directory, identity) = of_range.pop().expect("one of a range");
    if of_range.is_empty() {
        let name = identity.directory_name();
        if directory.ends_with(&name) {
            return Ok((directory, identity));
        }
        let problem =
            format!("holds the data of {name}: if they are the newest of them, rename it to {name}");
        let renamed = OpenError::Damaged { path: directory.clone(), problem };
        return Err(Unknown::new(directory, &renamed));
    }
    let others: Vec<_> = of_range.iter().map(|(path, _)| path.display().to_string()).collect();
    let problem = format!(
        "{} and {} hold data of the same range, {}, and which are newer is not guessed: move the older out of {}",
        others.join(", "),
        directory.display(),
        identity.span.text,
        directory.parent().unwrap_or(&directory).display()
    );
    Err(Unknown { directory, problem })
}

impl Unknown {
    fn new(directory: PathBuf, error: &OpenError) -> Unknown {
        let problem = format!("{error}, or {}", ways_out(&directory));
        Unknown { directory, problem }
    }
}

/// Those with replicas count for themselves: the table of the cluster may have as many rows, whatever the
/// configuration of a node has besides.
pub(super) fn check_counts(rows: &[ReplicaSpan]) -> Result<(), OpenError> {
    let (replicated, alone): (Vec<_>, Vec<_>) =
        rows.iter().filter(|row| row.span.has_names()).partition(|row| row.placement.is_some());
    check_count(replicated.len()).and(check_count(alone.len()))
}

pub(super) fn check_count(spans: usize) -> Result<(), OpenError> {
    match spans {
        ..=RANGES => Ok(()),
        found => Err(OpenError::TooMany { found, limit: RANGES }),
    }
}

/// How the directory of a replica ends that is being made.
pub(super) const PART: &str = "part";
/// Where replicas are kept that are not in use any more.
const REPLACED: &str = "replaced";

/// The ids in the name of a directory, `R-N`.
fn ids(path: &Path) -> Option<[u64; 2]> {
    let (range, replica) = path.file_name()?.to_str()?.split_once('-')?;
    Some([range.parse().ok()?, replica.parse().ok()?])
}

/// Whether a directory has more than an empty log.
fn has_data(path: &Path) -> io::Result<bool> {
    for entry in fs::read_dir(path)? {
        let entry = entry?;
        if entry.file_name() != LOG || fs::read_dir(entry.path())?.next().is_some() {
            return Ok(true);
        }
    }
    Ok(false)
}

/// The replicas of a node.
pub(super) struct Opened {
    /// For each span of the settings: its replica, or a directory that may hold it; `None` if another one is
    /// to split it off.
    pub(super) replicas: Vec<Option<Result<Found, Unknown>>>,
    /// The directories of others.
    pub(super) left_over: Vec<PathBuf>,
}

/// Finds the replicas of these spans. Those that are not there are made when all others fit, unless they may
/// be in a directory of which it is not known what it holds.
pub(super) fn open_replicas(
    directory: &Path,
    spans: &[ReplicaSpan],
    volatile: &[Span],
    threads: usize,
    ids: &mut Ids<'_>,
) -> Result<Opened, OpenError> {
    let mut replicas = Replicas::find(directory)?;
    let taken: Vec<_> = spans.iter().map(|row| replicas.take(row)).collect::<Result<_, _>>()?;
    let Replicas { found, unknown, ids: present, part_ids } = replicas;
    for span in volatile {
        if let Some((directory, identity)) = found.iter().find(|(_, identity)| identity.span.overlaps(span)) {
            return Err(OpenError::Volatile {
                directory: directory.clone(),
                found: identity.span.text.to_string(),
                configured: span.text.to_string(),
            });
        }
    }
    let before: Vec<Span> = taken.iter().flatten().flatten().map(|(_, before)| before.span.clone()).collect();
    let is_split_off = |row: &ReplicaSpan| before.iter().any(|before| before.overlaps(&row.span));
    let is_missing = |(replica, row): &(&Option<_>, &ReplicaSpan)| replica.is_none() && !is_split_off(row);
    let missing = taken.iter().zip(spans).filter(is_missing).count();
    let lost = ids.missing(&(&present | &part_ids)).into_iter().map(|id| format!("{id}-{id}"));
    let lost = lost.collect::<Vec<_>>().join(", ");
    let last_id = present.last().copied().unwrap_or(0);
    let mut ids = ids.take(if unknown.is_empty() { missing } else { 0 }, last_id)?;
    for Unknown { problem, .. } in unknown.iter().filter(|_| missing == 0) {
        tracing::warn!(problem, "it is not known whose data a directory holds; they are kept");
    }
    let made =
        |(replica, row): (Option<Result<Found, Unknown>>, &ReplicaSpan)| match (replica, unknown.first()) {
            (Some(replica), _) => Ok(Some(replica)),
            (None, _) if is_split_off(row) => Ok(None),
            (None, Some(unknown)) => Ok(Some(Err(unknown.clone()))),
            (None, None) => {
                let range = ids.next().expect("there is no last one");
                let made = make_replica(directory, &row.span, threads, range)?;
                say_made(&made, &lost);
                Ok(Some(Ok(made)))
            }
        };
    let replicas = taken.into_iter().zip(spans).map(made).collect::<Result<_, _>>()?;
    let left_over = found.into_iter().map(|(path, _)| path).collect();
    Ok(Opened { replicas, left_over })
}

/// Says that a range begins empty, and warns if the data directory had others that are `lost`.
fn say_made((directory, identity): &Found, lost: &str) {
    let (range, directory) = (&*identity.span.text, directory.display());
    if lost.is_empty() {
        tracing::info!(range, %directory, "an empty range was made");
    } else {
        tracing::warn!(
            range,
            %directory,
            lost,
            "an empty range was made, and the data directory had ranges that are not there any more: if they \
             were moved away on purpose, there is nothing to do; if not, stop the node, move this directory out, and \
             put them back"
        );
    }
}

/// Makes a replica with an empty log. It is there as a whole or not at all. Its id is at random also if it is
/// alone: others may join it, and must not take it for the one that it takes the place of.
pub(super) fn make_replica(
    directory: &Path,
    span: &Span,
    threads: usize,
    range: u64,
) -> Result<Found, OpenError> {
    let shards = Store::shards_for_threads(threads) as u32;
    let replica = match cfg!(kv_fault = "keep_replica_id") {
        true => (u64::from(crc32c(directory.as_os_str().as_encoded_bytes())) + range) | RANDOM_IDS,
        false => random_id(directory)?,
    };
    let identity = Identity { range, replica, seed: random(directory)?, shards, span: span.clone() };
    let path = directory.join(identity.directory_name());
    let part = path.with_extension(PART);
    if fs::exists(&part).map_err(failed(&part))? {
        fs::remove_dir_all(&part).map_err(failed(&part))?;
    }
    let log = part.join(LOG);
    let settings = LogSettings::new(&log, identity.owner(), LOG_CACHE_LEAST, Fsync::Always);
    Log::create(settings).map_err(failed(&log))?;
    identity::write_replica(&part, &identity)?;
    fs::rename(&part, &path).and_then(|()| File::open(directory)?.sync_all()).map_err(failed(&path))?;
    Ok((path, identity))
}

/// The replica of a range, which is named by its span, such as `a..m`, or its directory.
pub(super) fn find_range(directory: &Path, range: &str) -> Result<Found, OpenError> {
    let Replicas { found: replicas, .. } = Replicas::find(directory)?;
    let is_wanted =
        |path: &Path, text: &str| text == range || path.file_name().is_some_and(|name| name == range);
    let (wanted, others): (Vec<_>, Vec<_>) =
        replicas.into_iter().partition(|(path, identity)| is_wanted(path, &identity.span.text));
    if wanted.is_empty() {
        let found: Vec<_> = others.iter().map(|(_, identity)| format!("{:?}", identity.span.text)).collect();
        let found = if found.is_empty() { "none".to_owned() } else { found.join(", ") };
        return Err(OpenError::NoRange { directory: directory.into(), range: range.to_owned(), found });
    }
    only_one(wanted).map_err(|Unknown { problem, .. }| OpenError::Unclear { problem })
}

/// The replica of a span that a node gets now: an empty one, or that which is there already, if the node has
/// lost track of it. If that is no member any more, the others do not take it for one.
pub(super) fn find_or_make(directory: &Path, row: &ReplicaSpan, threads: usize) -> Result<Found, OpenError> {
    match Replicas::find(directory)?.take(row)? {
        Some(found) => found.map_err(|Unknown { problem, .. }| OpenError::Unclear { problem }),
        None => make_replica(directory, &row.span, threads, random_id(directory)?),
    }
}

/// Moves the replicas of a span out of their place.
pub(super) fn keep_replicas_aside(data_dir: &Path, directory: &Path, span: &Span) -> Result<(), OpenError> {
    // One that was yet to be split has more names.
    let is_its = |(_, identity): &Found| identity.span.begins_like(span);
    for (path, _) in Replicas::find(directory)?.found.into_iter().filter(is_its) {
        let kept = keep_aside(data_dir, &path)?;
        tracing::warn!(
            directory = %kept.display(),
            "a replica has left this node, and was moved out of the ranges: it can be removed"
        );
    }
    Ok(())
}

/// Moves the directory of a replica out of its place. Returns where it is kept.
pub(super) fn keep_aside(data_dir: &Path, directory: &Path) -> Result<PathBuf, OpenError> {
    let replaced = data_dir.join(REPLACED);
    make_directory(&replaced).map_err(failed(&replaced))?;
    let name = directory.file_name().unwrap_or_default().to_string_lossy();
    let names = (1..).map(|number| if number == 1 { name.to_string() } else { format!("{name}.{number}") });
    let is_free = |path: &PathBuf| !path.exists();
    let kept = names.map(|name| replaced.join(name)).find(is_free).expect("there is no last one");
    fs::rename(directory, &kept)
        .and_then(|()| File::open(&replaced)?.sync_all())
        .and_then(|()| File::open(directory.parent().unwrap_or(directory))?.sync_all())
        .map_err(failed(directory))?;
    Ok(kept)
}

/// Removes the directory of a replica. What is left if that ends in the middle is none.
pub(super) fn remove_replica(path: &Path) -> Result<(), OpenError> {
    let part = path.with_extension(PART);
    fs::rename(path, &part).and_then(|()| fs::remove_dir_all(&part)).map_err(failed(path))?;
    tracing::info!(directory = %path.display(), "a replica that has left this node was removed");
    Ok(())
}

/// An id that is used once.
pub(super) fn random_id(directory: &Path) -> Result<u64, OpenError> {
    Ok(random(directory)? | RANDOM_IDS)
}

pub(super) fn random(directory: &Path) -> Result<u64, OpenError> {
    let mut bytes = [0; 8];
    getrandom::fill(&mut bytes).map_err(|error| failed(directory)(io::Error::other(error)))?;
    Ok(u64::from_le_bytes(bytes))
}
