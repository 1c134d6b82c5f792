//! A node from start to exit code: boot, banner, waiting, drain.

use super::{
    banner, boot, descriptors,
    drain::{self, ShutdownReason},
    join, runtime,
    signals::Signals,
};
use crate::{
    cli::Expression,
    config::{
        Flags, ReleaseProfile, Settings,
        layers::environment::{self, Environment},
    },
    console::{ControlCommand, difference},
    control::run_dir::RunDir,
    error::Error,
    exit_code,
    limits::RUNTIME_SHUTDOWN,
    log::{Log, Sink},
    output::print_line,
    release::Release,
    script,
    terminal::{self, TerminalGuard},
    transfer::owner::check_owner,
};
use kv_cluster::LocalNode;
use std::{os::unix::process::CommandExt, path::Path, process::Command, sync::Arc, thread};

/// What a node does with its terminal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum RunMode {
    Foreground,
    /// In a session of its own; `daemon` started it.
    Detached,
    /// A console takes the terminal, and the log goes to a file.
    Console,
}

/// Runs a node until it ends, and returns the exit code.
pub(crate) fn run(release: Release, flags: &Flags, settings: &Settings, mode: RunMode) -> Result<u8, Error> {
    // Resolved now, since an upgrade may replace the file while the node runs.
    let program = environment::program().map_err(Error::io("find this program"))?;
    if mode == RunMode::Detached {
        // Fails only for a session leader, which a restarted daemon already is.
        let _ = rustix::process::setsid();
    }
    if let Some(data_dir) = &settings.node.data_dir {
        check_owner(data_dir, release.name)?;
    }
    let run_dir = RunDir::new(&settings.general.run_dir, &settings.node.name);
    run_dir.prepare()?;
    let lock = run_dir.lock_when_free()?;
    let sink = if mode == RunMode::Console { Sink::File(run_dir.log()) } else { Sink::Stderr };
    let log = Log::start(&settings.log.level, settings.log.format, sink)?;
    descriptors::raise_limit();
    let terminal = (mode == RunMode::Console).then(TerminalGuard::new);
    let runtime = runtime::build()?;
    let reason = runtime.block_on(run_until_shutdown(release, flags, settings, &run_dir, &log, mode));
    match reason {
        Ok(ShutdownReason::Interrupted) => runtime.shutdown_background(),
        _ => runtime.shutdown_timeout(RUNTIME_SHUTDOWN),
    }
    drop(terminal);
    let lost = match &reason {
        Err(Error::Lost(lost)) => Some(lost.as_str()),
        _ => None,
    };
    lock.keep_until_exit(lost);
    match reason? {
        ShutdownReason::Stop => Ok(exit_code::OK),
        ShutdownReason::Interrupted => Ok(exit_code::INTERRUPTED),
        ShutdownReason::GaveUp(exit) => Err(Error::GaveUp(exit)),
        ShutdownReason::Restart => Err(exec_self(&program)),
    }
}

/// From boot to drain.
async fn run_until_shutdown(
    release: Release,
    flags: &Flags,
    settings: &Settings,
    run_dir: &RunDir,
    log: &Log,
    mode: RunMode,
) -> Result<ShutdownReason, Error> {
    let profile = release.profile();
    let mut signals = Signals::install()?;
    let joined = match settings.joins {
        true => match join::join(release.name, settings, &mut signals).await? {
            Some(joined) => Some(joined),
            None => return Ok(ShutdownReason::Stop),
        },
        false => None,
    };
    let running = boot::boot(release, settings, joined, run_dir).await?;
    print_line(banner::text(&running.node, flags, &Environment::read()));
    for warning in settings.warnings.iter().chain(&difference(&running.node.cluster.differences())) {
        tracing::warn!("{warning}");
    }
    log_left_over_ranges(running.node.cluster.local());
    tracing::info!(node = %settings.node.name, pid = std::process::id(), "the node is up");
    if mode == RunMode::Console {
        open_console(run_dir.clone(), &running);
    }
    let reload = || reload(profile, flags, settings, log, running.node.cluster.local());
    let reason = drain::wait_for_shutdown(&running, &mut signals, reload).await;
    let local = running.node.cluster.local();
    // SHUTDOWN is refused then, but for NOSAVE and FORCE.
    let is_accepted = running.node.stop.is_cancelled() && local.log_failure().is_some();
    let reason = drain::drain(&running, &mut signals, settings.general.shutdown, reason).await;
    match local.log_failure() {
        Some(lost) if matches!(reason, ShutdownReason::Stop | ShutdownReason::Restart) && !is_accepted => {
            Err(Error::Lost(lost))
        }
        _ => Ok(reason),
    }
}

/// Logs which data belong to no range.
fn log_left_over_ranges(local: &LocalNode) {
    for directory in local.left_over_ranges() {
        tracing::warn!(
            directory = %directory.display(),
            "these data belong to no durable row of [[routes]]; they are kept: write the row back to use them"
        );
    }
}

/// Evaluates an expression on a private, empty store.
pub(crate) fn eval(release: &Release, settings: &Settings, expression: &Expression) -> Result<(), Error> {
    Log::start(&settings.log.level, settings.log.format, Sink::Stderr)?;
    let runtime = runtime::build()?;
    let running = runtime.block_on(async { boot::boot_standalone(release, settings) })?;
    script::eval(&runtime, &running.node, &expression.line(), expression.json)
}

/// The console blocks on its terminal, so it has a thread of its own; leaving it ends the node.
fn open_console(run_dir: RunDir, running: &boot::Running) {
    let node = Arc::clone(&running.node);
    thread::spawn(move || {
        print_line(format_args!("  log        {}\n", run_dir.log().display()));
        if let Err(error) = terminal::repl(&run_dir, "stops the node") {
            tracing::error!(%error, "the console ended");
        }
        node.send(ControlCommand::Stop);
    });
}

/// Applies what can change while the node runs, and logs what cannot.
fn reload(profile: ReleaseProfile, flags: &Flags, settings: &Settings, log: &Log, local: &LocalNode) {
    match Settings::load(profile, flags, &Environment::read()) {
        Ok(new) => {
            log.set_level(&new.log.level);
            local.set_memory_limit(new.storage.max_memory);
            local.set_transaction_limits(new.storage.transactions);
            tracing::info!(log_level = new.log.level, "configuration reloaded");
            for key in settings.restart_required_changes(&new) {
                tracing::warn!(key, "this change takes effect at the next restart");
            }
        }
        Err(Error::Config { errors }) => {
            tracing::error!(errors, "invalid configuration; keeping the old one");
        }
        Err(error) => tracing::error!(%error, "reload failed; keeping the old configuration"),
    }
}

/// Replaces this process by a new one, with the same pid and arguments. Returns only if that fails.
fn exec_self(program: &Path) -> Error {
    Error::io("start again")(Command::new(program).args(environment::arguments()).exec())
}
