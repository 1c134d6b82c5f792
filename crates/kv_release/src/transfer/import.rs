//! `import`: buckets from a file of JSON lines, or from a Redis server, for the running node.

use super::{progress::Progress, redis::copy, session::ImportSession, source::Source};
use crate::{
    control::{client::ImportTarget, run_dir::RunDir},
    error::Error,
    limits::{IMPORT_LINE_BYTES, TRANSFER_PAGE_BYTES},
};
use kv_raft::snapshot::MAGIC;
use std::{
    fs::File,
    io::{BufRead, BufReader, Read, stdin},
    path::Path,
};

/// Imports, and says what was imported and what was not.
pub(crate) fn run(run_dir: &RunDir, source: &Source, replace: bool) -> Result<(), Error> {
    let target = if replace { ImportTarget::Replace } else { ImportTarget::Keep };
    let mut import = ImportSession::connect(run_dir, target)?;
    let imported = match source {
        Source::Stdin => read_lines(&mut import, stdin().lock(), None, Path::new("standard input")),
        Source::File(path) => {
            let file = File::open(path).map_err(Error::io(format!("open {}", path.display())))?;
            let size = file.metadata().ok().map(|metadata| metadata.len());
            read_lines(&mut import, file, size, path)
        }
        Source::Redis(address) => copy::run(&mut import, address),
    };
    // One that has failed before it began has nothing to say.
    if imported.is_ok() || import.pages() > 0 {
        import.report();
    }
    imported?;
    if import.is_whole() { Ok(()) } else { Err(Error::Printed) }
}

fn read_lines(
    import: &mut ImportSession,
    input: impl Read,
    size: Option<u64>,
    path: &Path,
) -> Result<(), Error> {
    let mut input = BufReader::new(input);
    let head = input.fill_buf().map_err(Error::io(format!("read {}", path.display())))?;
    if head.starts_with(MAGIC) {
        return Err(Error::Refused(format!("{}: this is a backup: use `restore`", path.display())));
    }
    if head.trim_ascii_start().first().is_some_and(|first| *first != b'{') {
        let path = path.display();
        return Err(Error::Refused(format!(
            "{path}: this is no export, whose lines begin with {{: see `help import`"
        )));
    }
    let mut progress = Progress::new(false);
    let mut sent = 0;
    loop {
        let mut limited = (&mut input).take(IMPORT_LINE_BYTES);
        let read = limited.read_until(b'\n', &mut import.lines);
        let read = read.map_err(Error::io(format!("read {}", path.display())))?;
        if read == 0 && limited.limit() > 0 {
            return import.send(true);
        }
        if limited.limit() == 0 && import.lines.last() != Some(&b'\n') {
            return Err(Error::Refused(format!("a line exceeds {IMPORT_LINE_BYTES} bytes")));
        }
        if import.lines.len() >= TRANSFER_PAGE_BYTES {
            sent += import.lines.len() as u64;
            import.send(false)?;
            let share = size.map(|size| format!("{} %, ", sent * 100 / size.max(1))).unwrap_or_default();
            progress.update(format_args!("{share}{}", import.progress()));
        }
    }
}
