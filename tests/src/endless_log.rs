//! A log that a range reads for as long as the test wants, so that others see a range that loads.

use std::{
    fs::{self, File},
    io::Write,
    path::{Path, PathBuf},
};

/// A file of a log that holds only zeros, as one that was begun and not written to, and which no test is long
/// enough to read. It takes no space.
#[derive(Debug)]
pub struct EndlessLog(PathBuf);

const BYTES: u64 = 1 << 40;

impl EndlessLog {
    /// Puts the file behind the newest one in the directory of a log. The node must not run.
    pub fn behind(log: &Path) -> EndlessLog {
        let files = fs::read_dir(log).expect("a log").map(|entry| entry.expect("an entry").path());
        let newest = files.filter(|path| path.extension().is_some()).max().expect("a file");
        // Its name says where in the log it begins.
        let name = newest.file_stem().expect("a name").to_string_lossy();
        let first: String = name.chars().filter(char::is_ascii_digit).collect();
        let end = first.parse::<u64>().expect("a number") + fs::metadata(&newest).expect("there").len();
        let digits = format!("0{end:020}");
        let groups: Vec<_> = digits.as_bytes().chunks(3).map(String::from_utf8_lossy).collect();
        let path = log.join(format!("r-{}.wal", &groups.join("_")[1..]));
        File::create_new(&path).and_then(|file| file.set_len(BYTES)).expect("the log is ours");
        EndlessLog(path)
    }

    /// The file.
    pub fn path(&self) -> &Path {
        &self.0
    }

    /// Lets it end, so that the range goes on as if there were no such file.
    pub fn end(self) {
        File::create(self.0).expect("the log is ours");
    }

    /// Lets it end, and begin with what no log has, so that the range stops.
    pub fn end_damaged(&self) {
        let mut file = File::options().write(true).open(&self.0).expect("the log is ours");
        let damage = [0xff; 64];
        file.write_all(&damage).and_then(|()| file.set_len(damage.len() as u64)).expect("written");
    }
}
