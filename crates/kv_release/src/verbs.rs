//! What each verb does with a release.

use crate::{
    cli::{self, RangeVerb, Verb},
    config::{Flags, Location, Settings, layers::environment::Environment},
    control::{
        client::{self, Content},
        run_dir::RunDir,
    },
    daemon,
    error::Error,
    exit_code,
    limits::BOOT_TIMEOUT,
    node::{
        boot::saved_difference,
        repair,
        run::{self, RunMode},
        runtime,
    },
    output::print_line,
    release::Release,
    script, terminal,
    transfer::{export, import, restore},
};
use rustix::{
    event::{PollFd, PollFlags, Timespec, poll},
    fs::Mode,
    process::{PidfdFlags, pidfd_open, umask},
};
use std::{
    ffi::OsString,
    io,
    os::{fd::OwnedFd, unix::ffi::OsStringExt},
    process::ExitCode,
    time::Duration,
};

/// Runs the release as its command line says.
pub fn main(release: Release) -> ExitCode {
    let name = release.name;
    // The files of a data directory hold what clients have written, and a log may have some of it.
    umask(Mode::RWXG | Mode::RWXO);
    let (flags, verb) = cli::parse(name);
    let code = run_verb(release, &flags, verb).unwrap_or_else(|error| {
        if !matches!(error, Error::Printed) {
            eprintln!("{name}: {error}");
        }
        error.exit_code()
    });
    ExitCode::from(code)
}

fn run_verb(release: Release, flags: &Flags, verb: Verb) -> Result<u8, Error> {
    let profile = release.profile();
    let settings = || Settings::load(profile, flags, &Environment::read());
    let location = || Location::load(profile, flags, &Environment::read());
    let run_dir = || location().map(|location| RunDir::new(&location.run_dir, &location.node));
    match verb {
        Verb::Start { detached: false } => {
            return run::run(release, flags, &settings()?, RunMode::Foreground);
        }
        Verb::Start { detached: true } => return run::run(release, flags, &settings()?, RunMode::Detached),
        Verb::StartIex => return run::run(release, flags, &settings()?, RunMode::Console),
        Verb::Daemon => {
            let settings = settings()?;
            daemon::start(&RunDir::new(&settings.general.run_dir, &settings.node.name), flags)?;
        }
        Verb::Remote => remote(&run_dir()?)?,
        Verb::Rpc(expression) => script::rpc(&run_dir()?, &expression.line(), expression.json)?,
        Verb::Eval(expression) => run::eval(&release, &settings()?, &expression)?,
        Verb::Export { name, to } => {
            let name = name.map(OsString::into_vec);
            export::run(&run_dir()?, Content::Export { name }, to.as_deref())?;
        }
        Verb::Import { source, replace } => import::run(&run_dir()?, &source, replace)?,
        Verb::Backup { file, verify: false } => export::run(&run_dir()?, Content::Backup, Some(&file))?,
        Verb::Backup { file, verify: true } => restore::verify(&file)?,
        Verb::Restore { file } => match settings() {
            Ok(settings) => restore::run(&settings, runtime::threads(), &run_dir()?, &file)?,
            // A running node can be found without the rest of the configuration.
            Err(_) => restore::into_node(&run_dir()?, &file)?,
        },
        Verb::Range(RangeVerb::Skip { range, index, yes }) => repair::skip(&settings()?, &range, index, yes)?,
        Verb::Range(RangeVerb::Recover { range, yes, .. }) => repair::recover(&settings()?, &range, yes)?,
        Verb::Range(RangeVerb::Rebuild { range }) => repair::rebuild(&settings()?, &range)?,
        Verb::Restart => restart(&run_dir()?)?,
        Verb::Stop => stop(&run_dir()?, location()?.shutdown)?,
        Verb::Pid => script::rpc(&run_dir()?, "pid", false)?,
        Verb::Version => print_line(format_args!("{} {}", release.name, release.version)),
        Verb::CheckConfig { print } => {
            let settings = settings()?;
            if print {
                print_line(&settings.in_force);
            }
            print_line(settings.summary());
            if let Some(difference) = saved_difference(&settings) {
                print_line(format_args!("warning: {difference}"));
            }
        }
        Verb::Completions { shell } => {
            clap_complete::generate(shell, &mut cli::command(release.name), release.name, &mut io::stdout());
        }
        Verb::Help { topic, rest } => cli::print_help(release.name, topic.as_deref(), &rest),
    }
    Ok(exit_code::OK)
}

/// Opens a console once the node has replied.
fn remote(run_dir: &RunDir) -> Result<(), Error> {
    client::evaluate(run_dir, "node", false)?;
    terminal::repl(run_dir, "leaves the console; the node keeps running")
}

/// Stops the node and waits until its process has ended, so that it can be started again.
fn stop(run_dir: &RunDir, deadline: Duration) -> Result<(), Error> {
    let process = run_dir.process().and_then(|pid| pidfd_open(pid, PidfdFlags::empty()).ok());
    client::evaluate(run_dir, "stop", false)?;
    let has_ended = || process.as_ref().is_none_or(has_ended);
    client::wait_until(run_dir, "stop", deadline + BOOT_TIMEOUT, || Ok(run_dir.is_free() && has_ended()))?;
    run_dir.lost().map_or(Ok(()), |lost| Err(Error::Lost(lost)))
}

/// Whether a process has ended.
fn has_ended(process: &OwnedFd) -> bool {
    matches!(poll(&mut [PollFd::new(process, PollFlags::IN)], Some(&Timespec::default())), Ok(1..))
}

/// Restarts the node and waits until the new node replies.
fn restart(run_dir: &RunDir) -> Result<(), Error> {
    let started =
        || client::evaluate(run_dir, "status", true).map(|status| status["started_unix_ms"].clone());
    let before = started()?;
    client::evaluate(run_dir, "restart", false)?;
    client::wait_until(run_dir, "restart", BOOT_TIMEOUT, || match run_dir.lost() {
        Some(lost) if run_dir.is_free() => Err(Error::Lost(lost)),
        _ => Ok(started().is_ok_and(|now| now != before)),
    })
}
