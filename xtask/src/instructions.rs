//! A regression guard without noise: the instructions that a request costs, from its bytes to those of its
//! reply, counted by valgrind and compared with a record.

use std::{
    collections::BTreeMap,
    error::Error,
    fs,
    process::{Command, Stdio},
};

/// The record: a section for each toolchain, a line for each test.
const RECORD: &str = "xtask/instructions.txt";
/// The prefix of the names of the tests in kv_server.
const TESTS: &str = "protocol::tests::instructions_";
/// The function whose instructions are counted, callees included.
const COUNTED: &str = "*run_and_count_instructions*";
/// Batches that each test counts.
const BATCHES: u64 = 256;
/// Percent above the record that pass, for a different memcpy or libc.
const SLACK: f64 = 3.0;

/// Instructions per request, by test.
type Counts = BTreeMap<String, f64>;

/// Counts and compares with the record; with `record` the counts become the record of this toolchain.
pub(crate) fn guard(record: bool) -> Result<bool, Box<dyn Error>> {
    let (toolchain, counted) = (toolchain()?, count(&build()?)?);
    let mut recorded = read(&fs::read_to_string(RECORD)?);
    if record {
        recorded.insert(toolchain, counted);
        fs::write(RECORD, format_record(&recorded))?;
        return Ok(true);
    }
    let Some(recorded) = recorded.get(&toolchain) else {
        println!("no record for {toolchain}; `cargo xtask instructions --record` makes one");
        return Ok(true);
    };
    Ok(check(&counted, recorded))
}

/// Prints how the counts compare; `false` when one is too high or is not in the record.
fn check(counted: &Counts, recorded: &Counts) -> bool {
    let mut passed = counted.keys().eq(recorded.keys());
    if !passed {
        println!("the record has other tests; `cargo xtask instructions --record` records these");
    }
    for (test, count) in counted {
        let Some(before) = recorded.get(test) else { continue };
        let change = (count / before - 1.0) * 100.0;
        let verdict = match change {
            _ if change > SLACK => "too many",
            _ if change < -SLACK => "fewer: record them",
            _ => "",
        };
        println!("{test:14} {count:8.1} per request, recorded {before:8.1}, {change:+5.1} % {verdict}");
        passed &= change <= SLACK;
    }
    passed
}

/// Builds the tests nearly as the product is built, in a fraction of the time, and returns their executable.
fn build() -> Result<String, Box<dyn Error>> {
    let output = Command::new("cargo")
        .args(["--config", "profile.release.lto=\"thin\"", "test", "--release", "--locked"])
        .args(["--package", "kv_server", "--lib", "--no-run", "--message-format", "json"])
        .stderr(Stdio::inherit())
        .output()?;
    let messages = cargo_metadata::Message::parse_stream(&output.stdout[..]);
    let mut executables = messages.filter_map(|message| match message {
        Ok(cargo_metadata::Message::CompilerArtifact(artifact)) => artifact.executable,
        _ => None,
    });
    Ok(executables.next().ok_or("the tests of kv_server do not build")?.into_string())
}

fn count(tests: &str) -> Result<Counts, Box<dyn Error>> {
    let output = Command::new(tests).args(["--ignored", "--list", TESTS]).output()?;
    let list = String::from_utf8(output.stdout)?;
    let names = list.lines().filter_map(|line| line.strip_prefix(TESTS)?.strip_suffix(": test"));
    names.map(|name| Ok((name.to_owned(), count_one(tests, name)?))).collect()
}

/// The instructions per request of one test. The last part of its name is the size of its batches.
fn count_one(tests: &str, name: &str) -> Result<f64, Box<dyn Error>> {
    let output = Command::new("valgrind")
        .args(["--tool=callgrind", "--callgrind-out-file=/dev/null"])
        .arg(format!("--toggle-collect={COUNTED}"))
        .args([tests, "--ignored", "--exact", &format!("{TESTS}{name}")])
        .output()
        .map_err(|error| format!("cannot start valgrind: {error}; install it"))?;
    let log = String::from_utf8_lossy(&output.stderr);
    let collected =
        log.lines().find_map(|line| line.split_once("Collected : ")?.1.trim().parse::<u64>().ok());
    let size = name.rsplit('_').next().and_then(|size| size.parse::<u64>().ok());
    match (output.status.success(), collected, size) {
        (true, Some(collected @ 1..), Some(size)) => Ok(collected as f64 / (BATCHES * size) as f64),
        _ => Err(format!("{name} was not counted:\n{log}").into()),
    }
}

/// The compiler and its target, on which the counts depend.
fn toolchain() -> Result<String, Box<dyn Error>> {
    let output = Command::new("rustc").arg("-vV").output()?;
    let version = String::from_utf8(output.stdout)?;
    let value = |name| version.lines().find_map(|line| line.strip_prefix(name)).unwrap_or_default().trim();
    Ok(format!("rustc {} on {}", value("release:"), value("host:")))
}

fn read(text: &str) -> BTreeMap<String, Counts> {
    let mut recorded: BTreeMap<String, Counts> = BTreeMap::new();
    let mut toolchain = String::new();
    for line in text.lines() {
        if let Some(name) = line.strip_prefix('[').and_then(|line| line.strip_suffix(']')) {
            name.clone_into(&mut toolchain);
        } else if let Some((test, count)) = line.split_once(' ')
            && let Ok(count) = count.trim().parse()
        {
            recorded.entry(toolchain.clone()).or_default().insert(test.to_owned(), count);
        }
    }
    recorded
}

fn format_record(recorded: &BTreeMap<String, Counts>) -> String {
    let mut text = "# Instructions per request; written by `cargo xtask instructions --record`.\n".to_owned();
    for (toolchain, counts) in recorded {
        text += &format!("\n[{toolchain}]\n");
        counts.iter().for_each(|(test, count)| text += &format!("{test:14} {count:8.1}\n"));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn counts(counts: &[(&str, f64)]) -> Counts {
        counts.iter().map(|(test, count)| ((*test).to_owned(), *count)).collect()
    }

    #[test]
    fn a_record_reads_back() {
        let counts = counts(&[("get_1", 1234.5), ("text_get_16", 99.0)]);
        let recorded = BTreeMap::from([("rustc 1 on x".to_owned(), counts)]);
        assert_eq!(read(&format_record(&recorded)), recorded);
    }

    #[test]
    fn a_little_more_passes_and_much_more_does_not() {
        let recorded = counts(&[("get_1", 1000.0)]);
        assert!(check(&counts(&[("get_1", 1029.0)]), &recorded));
        assert!(check(&counts(&[("get_1", 500.0)]), &recorded));
        assert!(!check(&counts(&[("get_1", 1031.0)]), &recorded));
        assert!(!check(&counts(&[("get_1", 1000.0), ("get_16", 1.0)]), &recorded));
    }
}
