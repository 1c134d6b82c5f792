//! `import`: buckets from a file of JSON lines, or from a Redis server, for the running node.

use super::{progress::Progress, source::Source};
use crate::{
    control::{client::ControlClient, run_dir::RunDir},
    error::Error,
    limits::{IMPORT_LINE_BYTES, TRANSFER_PAGE_BYTES},
    output::print_line,
    records::import::ImportCounts,
};
use std::{
    fs::File,
    io::{BufRead, BufReader, Read, stdin},
    path::Path,
};

/// Lines on their way to the node.
pub(super) struct ImportSession {
    client: ControlClient,
    replace: bool,
    /// Whole lines that have not been sent.
    pub(super) lines: Vec<u8>,
    pub(super) counts: ImportCounts,
}

/// Imports, and says what was imported and what was not.
pub(crate) fn run(run_dir: &RunDir, source: &Source, replace: bool) -> Result<(), Error> {
    let client = ControlClient::for_transfer(run_dir)?;
    let mut import = ImportSession { client, replace, lines: Vec::new(), counts: ImportCounts::default() };
    let imported = match source {
        Source::Stdin => read_lines(&mut import, stdin().lock(), None, Path::new("standard input")),
        Source::File(path) => {
            let file = File::open(path).map_err(Error::io(format!("open {}", path.display())))?;
            let size = file.metadata().ok().map(|metadata| metadata.len());
            read_lines(&mut import, file, size, path)
        }
    };
    import.report();
    imported?;
    match import.counts {
        ImportCounts { existing: 0, refused: 0, .. } => Ok(()),
        _ => Err(Error::Printed),
    }
}

fn read_lines(
    import: &mut ImportSession,
    input: impl Read,
    size: Option<u64>,
    path: &Path,
) -> Result<(), Error> {
    let mut input = BufReader::new(input);
    let mut progress = Progress::new(false);
    let mut sent = 0;
    loop {
        let mut limited = (&mut input).take(IMPORT_LINE_BYTES - import.lines.len() as u64);
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

impl ImportSession {
    /// Sends the lines. An error says why the node takes no more.
    pub(super) fn send(&mut self, last: bool) -> Result<(), Error> {
        let counts = self.client.import(&self.lines, self.replace, last)?;
        self.lines.clear();
        self.counts.add(counts);
        match &self.counts.stopped {
            None => Ok(()),
            Some(why) => Err(Error::ImportStopped(why.clone())),
        }
    }

    /// How far it is.
    pub(super) fn progress(&self) -> String {
        let ImportCounts { buckets, entries, strings, .. } = self.counts;
        format!("{buckets} buckets, {entries} entries, {strings} strings")
    }

    /// Prints what was imported, and what was not.
    fn report(&self) {
        let ImportCounts { buckets, entries, strings, expired, existing, refused, .. } = self.counts;
        print_line(format_args!("imported {buckets} buckets with {entries} entries, and {strings} strings"));
        if expired > 0 {
            print_line(format_args!("left out {expired} that had expired"));
        }
        let names = |shown: &[String], count: u64| {
            let more = if (shown.len() as u64) < count { ", ..." } else { "" };
            format!("{}{more}", shown.join(", "))
        };
        if existing > 0 {
            let names = names(&self.counts.existing_names, existing);
            eprintln!("{existing} names exist already and were left as they are: {names}");
            eprintln!("import again with --replace to replace them");
        }
        if refused > 0 {
            eprintln!("{refused} names were refused: {}", names(&self.counts.refusals, refused));
        }
    }
}
