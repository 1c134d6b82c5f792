//! `export`: the running node's buckets as JSON lines, in a file or on standard output.

use super::{progress::Progress, session::contents};
use crate::{
    control::{client::ControlClient, message::PageHead, run_dir::RunDir},
    error::Error,
    output::counted,
    records::export::{ExportCounts, ExportScope},
};
use std::{
    ffi::OsStr,
    io::{ErrorKind, IsTerminal, Write, stdout},
    os::unix::ffi::OsStrExt,
    path::Path,
};
use tempfile::Builder;

/// Exports the node's buckets, or those of one name, and says what it has exported.
pub(crate) fn run(run_dir: &RunDir, name: Option<&OsStr>, to: Option<&Path>) -> Result<(), Error> {
    let name = name.map(|name| name.as_bytes().to_vec());
    let (counts, scope) = match to.filter(|path| *path != "-") {
        Some(path) => to_file(run_dir, name, path)?,
        None => {
            let mut progress = Progress::new(stdout().is_terminal());
            let mut output = stdout().lock();
            copy(run_dir, name, &mut output, &mut progress).map_err(|error| match error {
                // A reader that closes early, such as `head`, knows.
                Error::Io { source, .. } if source.kind() == ErrorKind::BrokenPipe => Error::Printed,
                error => error,
            })?
        }
    };
    let ExportCounts { buckets, entries, strings } = counts;
    eprintln!("exported {}, of {}", contents(buckets, entries, strings), scope.node);
    if !scope.others.is_empty() {
        eprintln!("the buckets of {} are not included: run `export` there as well", scope.others.join(", "));
    }
    Ok(())
}

/// The file appears, or is replaced, when it is whole. Only its owner may read it.
fn to_file(
    run_dir: &RunDir,
    name: Option<Vec<u8>>,
    path: &Path,
) -> Result<(ExportCounts, ExportScope), Error> {
    let write = || format!("write {}", path.display());
    let directory = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let mut file = Builder::new().prefix(".export-").tempfile_in(directory).map_err(Error::io(write()))?;
    let exported =
        copy(run_dir, name, file.as_file_mut(), &mut Progress::new(false)).map_err(|error| match error {
            Error::Io { source, .. } => Error::Io { what: write(), source },
            error => error,
        })?;
    file.as_file().sync_all().map_err(Error::io(write()))?;
    file.persist(path).map_err(|error| Error::io(write())(error.error))?;
    Ok(exported)
}

fn copy(
    run_dir: &RunDir,
    name: Option<Vec<u8>>,
    output: &mut impl Write,
    progress: &mut Progress,
) -> Result<(ExportCounts, ExportScope), Error> {
    let mut exported = ExportCounts::default();
    let on_lines = |page: PageHead, lines: &[u8]| {
        output.write_all(lines).map_err(Error::io("write the export"))?;
        exported = page.counts;
        let ExportCounts { buckets, entries, strings } = page.counts;
        let (total, entries) = (counted(page.total, "name", "names"), counted(entries, "entry", "entries"));
        progress.update(format_args!("{} of {total}, {entries}", buckets + strings));
        Ok(())
    };
    let scope = ControlClient::for_transfer(run_dir)?.export(name, on_lines)?;
    output.flush().map_err(Error::io("write the export"))?;
    Ok((exported, scope))
}
