//! Makes buckets of lines, each on the node that owns its name. The lines of a page about one bucket are
//! loaded in one step, so a bucket whose lines fit on a page appears whole or not at all.

use super::{
    compare::{Expected, Found, compare},
    record::{Item, Record},
};
use crate::limits::{BLOCKING_BYTES, IMPORT_NOTES};
use kv::{Args, CommandError, Database, Kind, LoadMode, Op, Reply, Request, args};
use kv_cluster::{Cluster, Error, describe_failure, escape_name};
use serde::{Deserialize, Serialize};
use std::num::NonZeroU64;
use tokio::task::spawn_blocking;

/// What became of the lines of a page, or of several.
#[derive(Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct ImportCounts {
    pub(crate) buckets: u64,
    pub(crate) entries: u64,
    pub(crate) strings: u64,
    /// Buckets, strings and entries that had expired already.
    pub(crate) expired: u64,
    /// Names that exist already, and were left as they are.
    pub(crate) existing: u64,
    /// Those of them that have not all that was to be imported.
    pub(crate) differing: u64,
    /// Those of them in which an import broke off, and this one has gone on.
    pub(crate) completed: u64,
    /// Names that were refused for another reason.
    pub(crate) refused: u64,
    /// The first of the names that differ.
    pub(crate) differing_names: Vec<String>,
    /// Why the first of the others were refused.
    pub(crate) refusals: Vec<String>,
    /// Why the import cannot go on.
    pub(crate) stopped: Option<String>,
    /// Whether that is an invalid line.
    #[serde(default)]
    pub(crate) has_invalid_line: bool,
}

impl ImportCounts {
    /// Adds those of another page.
    pub(crate) fn add(&mut self, other: ImportCounts) {
        self.buckets += other.buckets;
        self.entries += other.entries;
        self.strings += other.strings;
        self.expired += other.expired;
        self.existing += other.existing;
        self.differing += other.differing;
        self.completed += other.completed;
        self.refused += other.refused;
        self.differing_names.extend(other.differing_names);
        self.differing_names.truncate(IMPORT_NOTES);
        self.refusals.extend(other.refusals);
        self.refusals.truncate(IMPORT_NOTES);
        self.stopped = self.stopped.take().or(other.stopped);
        self.has_invalid_line |= other.has_invalid_line;
    }

    fn note_differing(&mut self, name: &[u8]) {
        self.differing += 1;
        if self.differing_names.len() < IMPORT_NOTES {
            self.differing_names.push(format!("\"{}\"", escape_name(name)));
        }
    }

    fn refuse(&mut self, name: &[u8], why: &str) {
        self.refused += 1;
        if self.refusals.len() < IMPORT_NOTES {
            self.refusals.push(format!("\"{}\": {why}", escape_name(name)));
        }
    }
}

/// The state of an import between its pages.
#[derive(Debug)]
pub(crate) struct Import {
    /// What becomes of names that exist.
    mode: LoadMode,
    /// Lines so far.
    lines: u64,
    /// The bucket of the last line.
    open: Option<Part>,
}

/// What is done with the lines of a bucket.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Action {
    Load(LoadMode),
    /// The bucket exists, and has all of them so far.
    Compare,
    Skip,
}

/// What a page has of a bucket.
#[derive(Debug)]
struct Part {
    database: Database,
    name: Vec<u8>,
    kind: Kind,
    keep_when_empty: bool,
    expires_at_ms: Option<u64>,
    action: Action,
    /// Entries that pages before have of it.
    before: u64,
    entries: u64,
    contents: Vec<u8>,
}

impl Part {
    /// Whether there is anything to load or to compare: a bucket that is to stay, or contents.
    fn has_work(&self) -> bool {
        let creates = self.keep_when_empty && self.action != Action::Load(LoadMode::Append);
        self.action != Action::Skip && (creates || !self.contents.is_empty())
    }

    /// What loads it, if it is to be loaded.
    fn request(&self) -> Option<Request<'_>> {
        let Action::Load(mode) = self.action else { return None };
        let &Part { database, kind, keep_when_empty, .. } = self;
        let expires_at_ms = self.expires_at_ms.and_then(NonZeroU64::new);
        let contents = Args::new(&self.contents);
        let op = Op::Load { mode, kind, keep_when_empty, expires_at_ms, contents };
        Some(Request { database, bucket: &self.name, op })
    }

    fn expected(&self) -> Expected<'_> {
        let &Part { database, kind, expires_at_ms, .. } = self;
        let before = (self.action == Action::Compare).then_some(self.before);
        let (name, contents) = (&self.name, Args::new(&self.contents));
        Expected { database, name, kind, expires_at_ms, contents, before }
    }

    /// The same bucket on the next page.
    fn rest(&self, action: Action) -> Part {
        let before = self.before + self.entries;
        Part { name: self.name.clone(), action, before, entries: 0, contents: Vec::new(), ..*self }
    }
}

impl Import {
    /// An import that has not begun.
    pub(crate) fn new(replace: bool) -> Import {
        let mode = if replace { LoadMode::Replace } else { LoadMode::New };
        Import { mode, lines: 0, open: None }
    }

    /// The bucket that may lack its last entries if the import ends now.
    pub(crate) fn incomplete(&self) -> Option<&[u8]> {
        let open = self.open.as_ref()?;
        (open.action == Action::Load(LoadMode::Append)).then_some(&open.name)
    }

    /// Loads one page of whole lines.
    pub(crate) async fn page(&mut self, cluster: &Cluster, lines: Vec<u8>) -> ImportCounts {
        let before = self.lines;
        let parsed = match lines.len() {
            ..=BLOCKING_BYTES => Ok(parse(&lines, before)),
            // Large values take too long for a thread that has other tasks.
            _ => spawn_blocking(move || parse(&lines, before)).await,
        };
        let records = match parsed {
            Ok(Ok((count, records))) => {
                self.lines += count;
                records
            }
            Ok(Err(invalid)) => {
                let stopped = Some(invalid);
                return ImportCounts { stopped, has_invalid_line: true, ..ImportCounts::default() };
            }
            Err(error) => {
                return ImportCounts { stopped: Some(error.to_string()), ..ImportCounts::default() };
            }
        };
        let (mut parts, mut counts) = (Vec::new(), ImportCounts::default());
        for record in records {
            self.add(record, &mut parts, &mut counts);
        }
        let open = self.open.take().map(|open| {
            let rest = open.rest(open.action);
            let has_work = open.has_work();
            parts.extend(has_work.then_some(open));
            (rest, has_work)
        });
        let next = load(cluster, &mut parts, &mut counts).await;
        self.open = open.map(|(rest, has_work)| match next.last() {
            Some(action) if has_work => Part { action: *action, ..rest },
            _ => rest,
        });
        counts
    }

    /// Adds a line to the parts to load.
    fn add(&mut self, record: Record<'_>, parts: &mut Vec<Part>, counts: &mut ImportCounts) {
        let Record { database, name, item, expires_at_ms } = record;
        let has_expired = expires_at_ms.is_some_and(|expires_at_ms| expires_at_ms <= kv::time::now_ms());
        counts.expired += u64::from(has_expired);
        let part = |kind, keep_when_empty| Part {
            database,
            name: name.to_vec(),
            kind,
            keep_when_empty,
            expires_at_ms,
            action: if has_expired { Action::Skip } else { Action::Load(self.mode) },
            before: 0,
            entries: 0,
            contents: Vec::new(),
        };
        let (field, value) = match item {
            Item::Bucket { keep_when_empty } => {
                let part = part(Kind::Map, keep_when_empty);
                parts.extend(self.open.replace(part).filter(Part::has_work));
                return;
            }
            Item::Str { value, origin } => {
                let mut part = part(Kind::Str, false);
                args::push(&mut part.contents, &value);
                if let Some(name) = origin.name() {
                    args::push(&mut part.contents, name.as_bytes());
                }
                parts.extend(self.open.take().filter(Part::has_work));
                parts.extend(Some(part).filter(Part::has_work));
                return;
            }
            Item::Entry { field, value } => (field, value),
        };
        let is_of_open = |open: &&mut Part| open.database == database && open.name == *name;
        if self.open.as_mut().filter(is_of_open).is_none() {
            // Without a line of its own, a bucket is one that Redis clients make; but one that exists is
            // not replaced by what may be only some of its entries.
            let action = match self.mode {
                LoadMode::New => Action::Load(LoadMode::New),
                LoadMode::Replace | LoadMode::Append => {
                    counts.refuse(&name, "the line of the bucket must be above its entries to replace it");
                    Action::Skip
                }
            };
            let part = Part { expires_at_ms: None, action, ..part(Kind::Map, false) };
            parts.extend(self.open.replace(part).filter(Part::has_work));
        }
        if let Some(open) = &mut self.open
            && open.action != Action::Skip
            && !has_expired
        {
            let expiry = expires_at_ms.map(|expires_at_ms| expires_at_ms.to_string()).unwrap_or_default();
            args::push(&mut open.contents, &field);
            args::push(&mut open.contents, &value);
            args::push(&mut open.contents, expiry.as_bytes());
            open.entries += 1;
        }
    }
}

/// The number of the lines, which follow those `before`, and what they are. The error names an invalid one.
fn parse(lines: &[u8], before: u64) -> Result<(u64, Vec<Record<'static>>), String> {
    let (mut count, mut records) = (0, Vec::new());
    for line in lines.split_inclusive(|byte| *byte == b'\n') {
        count += 1;
        if line.trim_ascii().is_empty() {
            continue;
        }
        records.push(Record::parse(line).map_err(|why| format!("line {}: {why}", before + count))?);
    }
    Ok((count, records))
}

/// Loads the parts, each on its owner, or compares them with what exists. Returns what is to be done with the
/// rest of each.
async fn load(cluster: &Cluster, parts: &mut [Part], counts: &mut ImportCounts) -> Vec<Action> {
    let mut next = vec![Action::Skip; parts.len()];
    let is_compared = |index: &usize| parts[*index].action == Action::Compare;
    let (mut existing, loaded): (Vec<_>, Vec<_>) = (0..parts.len()).partition(is_compared);
    let taken = execute(cluster, parts, &loaded, &mut next, counts).await;
    counts.existing += taken.len() as u64;
    existing.extend(taken);
    let expected: Vec<_> = existing.iter().map(|index| parts[*index].expected()).collect();
    let found = match compare(cluster, &expected).await {
        Ok(found) => found,
        Err(error) => {
            counts.stopped.get_or_insert_with(|| error.to_string());
            return next;
        }
    };
    let mut broken_off = Vec::new();
    for (index, found) in existing.into_iter().zip(found) {
        match found {
            Found::All => next[index] = Action::Compare,
            Found::PartsBefore => {
                parts[index].action = Action::Load(LoadMode::Append);
                broken_off.push(index);
            }
            Found::Other => counts.note_differing(&parts[index].name),
        }
    }
    counts.completed += broken_off.len() as u64;
    execute(cluster, parts, &broken_off, &mut next, counts).await;
    next
}

/// Loads parts, and notes what is to be done with the rest of each. Returns those whose names are taken.
async fn execute(
    cluster: &Cluster,
    parts: &[Part],
    indices: &[usize],
    next: &mut [Action],
    counts: &mut ImportCounts,
) -> Vec<usize> {
    let loads = indices.iter().filter_map(|index| Some((*index, parts[*index].request()?)));
    let (indices, requests): (Vec<_>, Vec<_>) = loads.unzip();
    let (local, mut taken) = (cluster.node_name(), Vec::new());
    let read = |place: usize, result: Result<Reply<'_>, Error>| {
        let index = indices[place];
        let part = &parts[index];
        match result {
            Ok(Reply::Number(1)) => {
                next[index] = Action::Load(LoadMode::Append);
                match part.kind {
                    Kind::Str => counts.strings += 1,
                    Kind::Map => {
                        counts.buckets += u64::from(part.action != Action::Load(LoadMode::Append));
                        counts.entries += part.entries;
                    }
                }
            }
            Ok(Reply::Number(_)) => taken.push(index),
            Ok(Reply::NoBucket) => counts.refuse(&part.name, "was removed while it was imported"),
            Ok(reply @ (Reply::Restarting | Reply::Error(CommandError::OutOfMemory))) => {
                let why = describe_failure(local.as_str(), &part.name, &reply);
                counts.stopped.get_or_insert_with(|| format!("\"{}\": {why}", escape_name(&part.name)));
            }
            Ok(failure) => counts.refuse(&part.name, &describe_failure(local.as_str(), &part.name, &failure)),
            Err(error @ (Error::NoRoute { .. } | Error::TooLarge { .. })) => {
                counts.refuse(&part.name, &error.to_string());
            }
            Err(error @ Error::AtLimit { .. }) => {
                counts.stopped.get_or_insert_with(|| format!("\"{}\": {error}", escape_name(&part.name)));
            }
            Err(error) => {
                counts.stopped.get_or_insert_with(|| error.to_string());
            }
        }
    };
    cluster.execute_all(&requests, read).await;
    taken
}
