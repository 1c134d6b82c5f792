//! What each verb does with a release.

use crate::{
    cli::{self, Cli, Flags, Verb},
    config::{Settings, environment::Environment},
    control::{client, place::Place},
    daemon,
    error::Error,
    exit_code,
    limits::BOOT_PATIENCE,
    output::say,
    release::Release,
    run::{self, Manner},
    script, terminal,
};
use std::{io, process::ExitCode, time::Duration};

/// Does with the release what the command line says.
pub fn main(release: Release) -> ExitCode {
    let name = release.name;
    let Cli { flags, verb } = cli::parse(name);
    let verb = verb.unwrap_or(Verb::Start { detached: false });
    let code = obey(release, &flags, verb).unwrap_or_else(|error| {
        if !matches!(error, Error::Printed) {
            eprintln!("{name}: {error}");
        }
        error.exit_code()
    });
    ExitCode::from(code)
}

fn obey(release: Release, flags: &Flags, verb: Verb) -> Result<u8, Error> {
    let profile = release.profile();
    let settings = || Settings::load(profile, flags, &Environment::read());
    let place = || settings().map(|settings| Place::new(&settings.run_dir, &settings.node));
    match verb {
        Verb::Start { detached: false } => {
            return run::run(release, flags, &settings()?, Manner::Foreground);
        }
        Verb::Start { detached: true } => return run::run(release, flags, &settings()?, Manner::Detached),
        Verb::StartIex => return run::run(release, flags, &settings()?, Manner::Console),
        Verb::Daemon => daemon::start(&place()?, flags)?,
        Verb::Remote => remote(&place()?)?,
        Verb::Rpc(expression) => script::rpc(&place()?, &expression.line(), expression.json)?,
        Verb::Eval(expression) => run::eval(&release, &settings()?, &expression)?,
        Verb::Restart => restart(&place()?)?,
        Verb::Stop => stop(&place()?, settings()?.shutdown)?,
        Verb::Pid => script::rpc(&place()?, "pid", false)?,
        Verb::Version => say(format_args!("{} {}", release.name, release.version)),
        Verb::CheckConfig => say(settings()?.summary()),
        Verb::Completions { shell } => {
            clap_complete::generate(shell, &mut cli::command(release.name), release.name, &mut io::stdout());
        }
    }
    Ok(exit_code::OK)
}

/// A console of its own, once it is sure that somebody answers.
fn remote(place: &Place) -> Result<(), Error> {
    client::ask(place, "node", false)?;
    terminal::converse(place, "leaves it, and the node runs on")
}

/// Tells the node to stop and waits until it has.
fn stop(place: &Place, deadline: Duration) -> Result<(), Error> {
    client::ask(place, "stop", false)?;
    client::wait(place, "stop", deadline + BOOT_PATIENCE, || Ok(place.is_free()))
}

/// Tells the node to restart and waits until it answers afresh.
fn restart(place: &Place) -> Result<(), Error> {
    let started = |place| client::ask(place, "status", true).map(|status| status["started_unix_ms"].clone());
    let before = started(place)?;
    client::ask(place, "restart", false)?;
    client::wait(place, "restart", BOOT_PATIENCE, || Ok(started(place).is_ok_and(|now| now != before)))
}
