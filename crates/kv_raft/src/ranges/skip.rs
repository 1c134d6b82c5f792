//! Leaves an entry out of the log of a range that it crashes, while no process uses the data directory.

use super::{RANGES_DIRECTORY, replicas::find_range};
use crate::{
    error::OpenError,
    group::{self, Step},
    identity::{data_dir::lock_when_free, failed, read_skipped, write_skipped},
    limits::{LOG_CACHE_LEAST, SHOWN_ARGUMENTS, SHOWN_REQUESTS},
    log::{
        Fsync,
        encoding::{LogId, Payload},
    },
    replica::renew::open_log,
};
use kv::{Args, Database, Op, Request, syntax::excerpt::excerpt};
use std::{
    fs::File,
    io,
    path::{self, Path, PathBuf},
};

/// An entry of a log that can be left out. Its data directory is locked as long as it is there.
#[derive(Debug)]
pub struct SkippableEntry {
    directory: PathBuf,
    index: u64,
    requests: Vec<String>,
    hidden: usize,
    _lock: File,
}

impl SkippableEntry {
    /// Finds an entry in the log of a range, which is named by its span, such as `a..m`, or its directory.
    pub fn find(data_dir: &Path, range: &str, index: u64) -> Result<SkippableEntry, OpenError> {
        let data_dir = &path::absolute(data_dir).map_err(failed(data_dir))?;
        let lock = lock_when_free(data_dir)?;
        let (directory, identity) = find_range(&data_dir.join(RANGES_DIRECTORY), range)?;
        let log = open_log(&directory, identity.owner(), LOG_CACHE_LEAST, Fsync::Always)
            .map_err(failed(&directory))?;
        let entry = log.read(index..index.saturating_add(1)).map_err(failed(&directory))?.pop();
        let Some((_, Payload::Group(group))) = entry else {
            let first = log.purged().map_or(0, |LogId { index, .. }| index + 1);
            let last = log.last().map_or(0, |LogId { index, .. }| index);
            return Err(OpenError::NoEntry { range: identity.span.text.to_string(), index, first, last });
        };
        if read_skipped(&directory)?.contains(&index) {
            return Err(OpenError::SkippedAlready { range: identity.span.text.to_string(), index });
        }
        let mut shown = Shown::default();
        shown.show(&group).map_err(|malformed| failed(&directory)(io::Error::other(malformed)))?;
        let Shown { requests, hidden } = shown;
        Ok(SkippableEntry { directory, index, requests, hidden, _lock: lock })
    }

    /// Its requests, as commands.
    pub fn requests(&self) -> &[String] {
        &self.requests
    }

    /// How many requests there are besides those that [`Self::requests`] has.
    pub fn hidden(&self) -> usize {
        self.hidden
    }

    /// Notes on disk that it is not executed. It stays in the log.
    pub fn skip(self) -> Result<(), OpenError> {
        let mut skipped = read_skipped(&self.directory)?;
        skipped.insert(self.index);
        write_skipped(&self.directory, &skipped)
    }
}

/// Requests as commands, as far as they are shown.
#[derive(Default)]
struct Shown {
    requests: Vec<String>,
    hidden: usize,
}

impl Shown {
    fn show(&mut self, group: &[u8]) -> Result<(), group::Malformed> {
        let (_, steps) = group::decode(group)?;
        for step in steps {
            match step? {
                Step::Batch(requests) => requests.iter().for_each(|request| self.push(|| text(request))),
                Step::Transaction { requests, .. } => {
                    self.push(|| "MULTI".into());
                    requests.iter().for_each(|request| self.push(|| text(request)));
                    self.push(|| "EXEC".into());
                }
                Step::Flush(None) => self.push(|| "FLUSHALL".into()),
                Step::Flush(Some(database)) => {
                    self.push(|| format!("FLUSHDB{}", suffix(database)));
                }
                Step::EndWatches(_) => self.push(|| "UNWATCH".into()),
                Step::Split(split) => self.push(|| format!("split at {}", split.at.escape_ascii())),
            }
        }
        Ok(())
    }

    fn push(&mut self, text: impl FnOnce() -> String) {
        match self.requests.len() < SHOWN_REQUESTS {
            true => self.requests.push(text()),
            false => self.hidden += 1,
        }
    }
}

/// As many arguments as are shown, and one more.
fn some(args: Args<'_>) -> Vec<&[u8]> {
    args.take(SHOWN_ARGUMENTS + 1).collect()
}

/// A request as a command.
fn text(request: &Request<'_>) -> String {
    let (name, args): (String, Vec<&[u8]>) = match request.op {
        Op::Command { command, args } => (command.spec.name.to_ascii_uppercase(), some(args)),
        Op::Create => ("CREATE".into(), Vec::new()),
        Op::Put { key, value } => ("PUT".into(), vec![key, value]),
        Op::Delete { key } => ("DELETE".into(), vec![key]),
        Op::Drop => ("DROP".into(), Vec::new()),
        Op::Watch { .. } => ("WATCH".into(), Vec::new()),
        Op::Unwatch { .. } => ("UNWATCH".into(), Vec::new()),
        Op::Load { contents, .. } => ("LOAD".into(), some(contents)),
        Op::Crash => ("CRASH".into(), Vec::new()),
        // Only reads are left, which are not logged.
        _ => ("READ".into(), Vec::new()),
    };
    let more = if args.len() > SHOWN_ARGUMENTS { " ..." } else { "" };
    let words = [request.bucket].into_iter().chain(args.into_iter().take(SHOWN_ARGUMENTS));
    let words: String = words.map(|word| format!(" {}", excerpt(word).escape_ascii())).collect();
    format!("{name}{words}{more}{}", suffix(request.database))
}

fn suffix(database: Database) -> String {
    match database.index() {
        0 => String::new(),
        index => format!(" (database {index})"),
    }
}
