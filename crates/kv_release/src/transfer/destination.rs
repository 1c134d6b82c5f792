//! Where an export or a backup goes: standard output, or a file that appears, or is replaced, when it is
//! whole.

use super::progress::Progress;
use crate::error::Error;
use std::{
    fs::File,
    io::{ErrorKind, IsTerminal, Write, stdout},
    path::Path,
};
use tempfile::Builder;

/// Has it written by `write`. `None` and `-` are standard output. Only its owner may read the file.
pub(super) fn write_to<T>(
    to: Option<&Path>,
    write: impl FnOnce(&mut dyn Write, &mut Progress) -> Result<T, Error>,
) -> Result<T, Error> {
    match to.filter(|path| *path != "-") {
        Some(path) => write_file(path, |file| write(file, &mut Progress::new(false))),
        None => {
            let mut progress = Progress::new(stdout().is_terminal());
            let mut output = stdout().lock();
            let written = write(&mut output, &mut progress).and_then(|written| {
                output.flush().map_err(Error::io("write to standard output"))?;
                Ok(written)
            });
            written.map_err(|error| match error {
                // A reader that closes early, such as `head`, knows.
                Error::Io { source, .. } if source.kind() == ErrorKind::BrokenPipe => Error::Printed,
                error => error,
            })
        }
    }
}

fn write_file<T>(path: &Path, write: impl FnOnce(&mut File) -> Result<T, Error>) -> Result<T, Error> {
    let what = || format!("write {}", path.display());
    let directory = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let mut file = Builder::new().prefix(".kv-").tempfile_in(directory).map_err(Error::io(what()))?;
    let written = write(file.as_file_mut()).map_err(|error| match error {
        Error::Io { source, .. } => Error::Io { what: what(), source },
        error => error,
    })?;
    file.as_file().sync_all().map_err(Error::io(what()))?;
    file.persist(path).map_err(|error| Error::io(what())(error.error))?;
    // The name of the file is on disk as well.
    File::open(directory).and_then(|directory| directory.sync_all()).map_err(Error::io(what()))?;
    Ok(written)
}
