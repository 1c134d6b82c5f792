//! What tests with many seeds have found: a line for each, in a file if there is one, so that they can be run
//! in parts.

use std::{
    env,
    fs::{self, OpenOptions},
    io::Write,
};

/// The verdicts of earlier runs, and of this one: the number of lines is the next seed.
#[derive(Debug)]
pub struct Verdicts(Option<String>);

impl Verdicts {
    /// Those in the file that this variable names.
    pub fn in_file_of(variable: &str) -> Verdicts {
        Verdicts(env::var(variable).ok())
    }

    /// The first seed without a verdict.
    pub fn next_seed(&self) -> u64 {
        let lines = self.0.as_ref().and_then(|path| fs::read_to_string(path).ok());
        lines.map_or(0, |lines| lines.lines().count() as u64)
    }

    /// Adds that of the next seed.
    pub fn add(&self, seed: u64, verdict: &str) {
        println!("seed {seed}: {verdict}");
        if let Some(path) = &self.0 {
            let file = OpenOptions::new().append(true).create(true).open(path);
            file.and_then(|mut file| writeln!(file, "seed {seed}: {verdict}"))
                .expect("the file can be written");
        }
    }
}
