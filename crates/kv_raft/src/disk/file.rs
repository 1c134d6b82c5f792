//! Opens the files of a data directory. What is in the place of one and is no file is an error that says so:
//! whoever opens a FIFO waits for its other end.

use crate::error::NotAFile;
use std::{
    fs::{self, File, OpenOptions},
    io,
    os::unix::fs::FileTypeExt,
    path::Path,
};

/// Opens a file, as the options say.
pub(crate) fn open(path: &Path, options: &OpenOptions) -> io::Result<File> {
    check_kind(path)?;
    options.open(path)
}

/// Makes a file, or an empty one of the one that is there.
pub(crate) fn create(path: &Path) -> io::Result<File> {
    open(path, File::options().write(true).create(true).truncate(true))
}

/// Fails if what is there is neither a file nor a directory: this one cannot be opened as a file, and that
/// says why.
pub(crate) fn check_kind(path: &Path) -> io::Result<()> {
    // So it is with what cannot be looked at.
    let Ok(found) = fs::metadata(path) else { return Ok(()) };
    let kind = found.file_type();
    if kind.is_fifo() {
        Err(NotAFile("a FIFO").into())
    } else if kind.is_socket() {
        Err(NotAFile("a socket").into())
    } else if kind.is_char_device() || kind.is_block_device() {
        Err(NotAFile("a device").into())
    } else {
        Ok(())
    }
}
