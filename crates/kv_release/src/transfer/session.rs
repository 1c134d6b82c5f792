//! The lines of an import on their way to the node, and what became of them.

use crate::{
    control::{
        client::{ControlClient, ImportTarget},
        run_dir::RunDir,
    },
    error::Error,
    output::{counted, print_line},
    records::{
        import::ImportCounts,
        record::{Item, Record},
    },
};
use kv_cluster::escape_name;
use std::collections::BTreeMap;

/// Lines on their way to the node.
pub(super) struct ImportSession {
    client: ControlClient,
    target: ImportTarget,
    /// Whole lines that have not been sent.
    pub(super) lines: Vec<u8>,
    counts: ImportCounts,
    /// Pages that have been sent.
    pages: u64,
    /// Buckets that lack entries, or may.
    incomplete: Vec<String>,
    /// Keys that were not taken from a Redis server.
    pub(super) not_taken: BTreeMap<NotTaken, u64>,
}

/// What keys are that are not taken from a Redis server. They are reported in this order.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum NotTaken {
    /// Of a type that has no place here, by Redis's word for it.
    OfType(String),
    /// They became another type while they were read.
    Changed,
    /// Of a database that has no place here.
    OfDatabase(usize),
}

impl NotTaken {
    /// This number of them, for people.
    fn counted(&self, keys: u64) -> String {
        let of = |kind| format!("{} {kind}", counted(keys, "key", "keys"));
        match self {
            NotTaken::OfType(kind) => match kind.as_str() {
                "list" => counted(keys, "list", "lists"),
                "set" => counted(keys, "set", "sets"),
                "zset" => counted(keys, "sorted set", "sorted sets"),
                "stream" => counted(keys, "stream", "streams"),
                kind => of(format!("of type {kind}")),
            },
            NotTaken::Changed => of("that changed meanwhile".to_owned()),
            NotTaken::OfDatabase(index) => of(format!("of database {index}")),
        }
    }
}

impl ImportSession {
    /// An import into the running node.
    pub(super) fn connect(run_dir: &RunDir, target: ImportTarget) -> Result<ImportSession, Error> {
        Ok(ImportSession {
            client: ControlClient::for_transfer(run_dir)?,
            target,
            lines: Vec::new(),
            counts: ImportCounts::default(),
            pages: 0,
            incomplete: Vec::new(),
            not_taken: BTreeMap::new(),
        })
    }

    /// Whether the node has all that was to be imported.
    pub(super) fn is_whole(&self) -> bool {
        self.counts.differing == 0 && self.counts.refused == 0 && self.incomplete.is_empty()
    }

    /// How many pages have been sent.
    pub(super) fn pages(&self) -> u64 {
        self.pages
    }

    /// Reports a bucket that lacks entries, or may.
    pub(super) fn lacks_entries(&mut self, name: &[u8]) {
        let name = format!("\"{}\"", escape_name(name));
        if !self.incomplete.contains(&name) {
            self.incomplete.push(name);
        }
    }

    /// Reports the buckets that may lack entries if it is not known what became of the page: the one that
    /// began before it, and the last one.
    fn lacks_page(&mut self) {
        let parse = |line: Option<&[u8]>| line.and_then(|line| Record::parse(line).ok());
        let mut lines = self.lines.split_inclusive(|byte| *byte == b'\n');
        let first = parse(lines.next()).filter(|first| matches!(first.item, Item::Entry { .. }));
        let last = parse(lines.next_back()).filter(|last| !matches!(last.item, Item::Str { .. }));
        for record in first.into_iter().chain(last) {
            self.lacks_entries(&record.name);
        }
    }

    /// Sends the lines. An error says why the node takes no more.
    pub(super) fn send(&mut self, last: bool) -> Result<(), Error> {
        self.pages += 1;
        let sent = self.client.import(&self.lines, self.target, last);
        if matches!(sent, Err(Error::Control(_))) {
            self.lacks_page();
        }
        let counts = sent?;
        self.lines.clear();
        self.counts.add(counts);
        match &self.counts.stopped {
            None => Ok(()),
            Some(why) if self.target == ImportTarget::Empty => Err(Error::RestoreStopped(why.clone())),
            Some(why) if self.counts.has_invalid_line => Err(Error::InvalidLine(why.clone())),
            Some(why) => Err(Error::ImportStopped(why.clone())),
        }
    }

    /// How far it is.
    pub(super) fn progress(&self) -> String {
        let ImportCounts { buckets, entries, strings, .. } = self.counts;
        contents(buckets, entries, strings)
    }

    /// Prints what was imported, and what was not.
    pub(super) fn report(&self) {
        let &ImportCounts {
            buckets, entries, strings, expired, existing, differing, completed, refused, ..
        } = &self.counts;
        let done = if self.target == ImportTarget::Empty { "restored" } else { "imported" };
        print_line(format_args!("{done} {}", contents(buckets, entries, strings)));
        if expired > 0 {
            print_line(format_args!("left out {expired} that had expired"));
        }
        if completed > 0 {
            let buckets = counted(completed, "bucket", "buckets");
            print_line(format_args!("completed {buckets} in which an import had broken off"));
        }
        let found = existing - differing - completed;
        if found > 0 {
            let names = counted(found, "name", "names");
            print_line(format_args!("found {names} with all that was to be {done}"));
        }
        if !self.not_taken.is_empty() {
            let keys = self.not_taken.iter().map(|(what, keys)| what.counted(*keys));
            print_line(format_args!("not taken: {}", keys.collect::<Vec<_>>().join(", ")));
        }
        let names = |shown: &[String], count: u64| {
            let more = if (shown.len() as u64) < count { ", ..." } else { "" };
            format!("{}{more}", shown.join(", "))
        };
        if differing > 0 {
            let names = names(&self.counts.differing_names, differing);
            match differing {
                1 => eprintln!("1 name exists with other contents and was left as it is: {names}"),
                _ => eprintln!(
                    "{differing} names exist with other contents and were left as they are: {names}"
                ),
            }
            if self.target != ImportTarget::Empty {
                eprintln!("to replace what exists, import again with --replace");
            }
        }
        if refused > 0 {
            eprintln!(
                "refused: {}: {}",
                counted(refused, "name", "names"),
                names(&self.counts.refusals, refused)
            );
        }
        if !self.incomplete.is_empty() && self.target != ImportTarget::Empty {
            eprintln!("may lack entries: {}", self.incomplete.join(", "));
            eprintln!("import again, which completes them; one that it still names needs --replace");
        }
    }
}

/// What an export or an import has.
pub(super) fn contents(buckets: u64, entries: u64, strings: u64) -> String {
    let (buckets, strings) = (counted(buckets, "bucket", "buckets"), counted(strings, "string", "strings"));
    format!("{buckets} with {}, and {strings}", counted(entries, "entry", "entries"))
}
