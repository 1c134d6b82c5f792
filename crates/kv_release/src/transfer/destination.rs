//! Where an export or a backup goes: standard output, or a file that appears, or is replaced, when it is
//! whole. A device or a pipe is written to; a symbolic link stays.

use super::progress::Progress;
use crate::error::Error;
use std::{
    fs::{self, File},
    io::{self, ErrorKind, IsTerminal, Write, stdout},
    path::{Path, PathBuf},
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
    let write = |file: &mut File| {
        write(file).map_err(|error| match error {
            Error::Io { source, .. } => Error::Io { what: what(), source },
            error => error,
        })
    };
    let target = resolve(path).map_err(Error::io(what()))?;
    if target.metadata().is_ok_and(|metadata| !metadata.is_file() && !metadata.is_dir()) {
        return write(&mut File::options().write(true).open(target).map_err(Error::io(what()))?);
    }
    let parent = target.parent().filter(|parent| !parent.as_os_str().is_empty());
    let directory = parent.unwrap_or(Path::new("."));
    let mut file = Builder::new().prefix(".kv-").tempfile_in(directory).map_err(Error::io(what()))?;
    let written = write(file.as_file_mut())?;
    file.as_file().sync_all().map_err(Error::io(what()))?;
    file.persist(&target).map_err(|error| Error::io(what())(error.error))?;
    // The name of the file is on disk as well.
    File::open(directory).and_then(|directory| directory.sync_all()).map_err(Error::io(what()))?;
    Ok(written)
}

/// The file that a path leads to through symbolic links. It need not exist.
fn resolve(path: &Path) -> io::Result<PathBuf> {
    match fs::canonicalize(path) {
        Err(error) if error.kind() == ErrorKind::NotFound => {}
        resolved => return resolved,
    }
    // One that leads in a circle is another error.
    let mut target = path.to_owned();
    while let Ok(next) = fs::read_link(&target) {
        target = target.parent().unwrap_or(Path::new("")).join(next);
    }
    Ok(target)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::{os::unix::fs::symlink, process::Command, thread};
    use tempfile::TempDir;

    fn write_text(path: &Path) -> Result<(), Error> {
        write_to(Some(path), |output, _| output.write_all(b"text").map_err(Error::io("write")))
    }

    #[test]
    fn a_symbolic_link_stays_and_what_it_names_is_replaced() {
        let directory = TempDir::new().unwrap();
        let (file, link) = (directory.path().join("file"), directory.path().join("link"));
        fs::write(&file, "before, and longer").unwrap();
        symlink(&file, &link).unwrap();
        write_text(&link).unwrap();
        assert!(link.is_symlink());
        assert_eq!(fs::read_to_string(file).unwrap(), "text");
    }

    #[test]
    fn a_symbolic_link_to_a_file_that_is_not_there_yet_stays() {
        let directory = TempDir::new().unwrap();
        let [file, next, link] = ["file", "next", "link"].map(|name| directory.path().join(name));
        symlink("file", &next).unwrap();
        symlink(&next, &link).unwrap();
        write_text(&link).unwrap();
        assert!(link.is_symlink() && next.is_symlink());
        assert_eq!(fs::read_to_string(&file).unwrap(), "text");
        let circle = directory.path().join("circle");
        symlink("circle", &circle).unwrap();
        write_text(&circle).unwrap_err();
        assert!(circle.is_symlink());
    }

    #[test]
    fn a_pipe_or_a_device_is_written_to() {
        let directory = TempDir::new().unwrap();
        let pipe = directory.path().join("pipe");
        assert!(Command::new("mkfifo").arg(&pipe).status().unwrap().success());
        let reader = thread::spawn({
            let pipe = pipe.clone();
            move || fs::read_to_string(pipe).unwrap()
        });
        write_text(&pipe).unwrap();
        assert_eq!(reader.join().unwrap(), "text");
        assert!(!pipe.is_file());
        let full = write_text(Path::new("/dev/full")).unwrap_err().to_string();
        assert!(full.starts_with("cannot write /dev/full: "), "{full}");
    }
}
