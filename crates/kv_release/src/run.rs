//! The life of a node as a process: boot, banner, waiting, drain, exit code.

use crate::{
    banner, boot,
    cli::{Expression, Flags},
    config::{
        Profile, Settings,
        environment::{self, Environment},
    },
    console::Order,
    control::place::Place,
    drain::{self, Ending},
    error::Error,
    exit_code,
    limits::RUNTIME_SHUTDOWN,
    log::{Log, Sink},
    output::say,
    release::Release,
    runtime, script,
    signals::Signals,
    terminal::{self, KeepTerminal},
};
use kv::Store;
use std::{os::unix::process::CommandExt, path::Path, process::Command, sync::Arc, thread};

/// How a node sits on its terminal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Manner {
    Foreground,
    /// In a session of its own; `daemon` started it.
    Detached,
    /// With a console, and its log out of the way.
    Console,
}

/// Runs a node until it ends, and returns the exit code.
pub(crate) fn run(release: Release, flags: &Flags, settings: &Settings, manner: Manner) -> Result<u8, Error> {
    // Read now, since an upgrade may replace the file while the node runs.
    let program = environment::program().map_err(Error::io("find this program"))?;
    if manner == Manner::Detached {
        // Fails only where there is nothing to leave: a restarted daemon leads its session already.
        let _ = rustix::process::setsid();
    }
    let place = Place::new(&settings.run_dir, &settings.node);
    place.prepare()?;
    let claim = place.claim()?;
    let sink = if manner == Manner::Console { Sink::File(place.log()) } else { Sink::Stderr };
    let log = Log::start(&settings.log_level, settings.log_format, sink)?;
    let terminal = (manner == Manner::Console).then(KeepTerminal::new);
    let runtime = runtime::build()?;
    let ending = runtime.block_on(live(release, flags, settings, &place, &log, manner));
    match ending {
        Ok(Ending::Interrupted) => runtime.shutdown_background(),
        _ => runtime.shutdown_timeout(RUNTIME_SHUTDOWN),
    }
    drop((claim, terminal));
    match ending? {
        Ending::Stop => Ok(exit_code::OK),
        Ending::Interrupted => Ok(exit_code::INTERRUPTED),
        Ending::GaveUp(exit) => Err(Error::GaveUp(exit)),
        Ending::Restart => Err(start_again(&program)),
    }
}

/// From boot to drain.
async fn live(
    release: Release,
    flags: &Flags,
    settings: &Settings,
    place: &Place,
    log: &Log,
    manner: Manner,
) -> Result<Ending, Error> {
    let profile = release.profile();
    let mut signals = Signals::listen()?;
    let running = boot::boot(release, settings, place).await?;
    say(banner::text(&running.node));
    for warning in &settings.warnings {
        tracing::warn!("{warning}");
    }
    tracing::info!(node = %settings.node, pid = std::process::id(), "the node is up");
    if manner == Manner::Console {
        open_console(place.clone(), &running);
    }
    let reload = || reload(profile, flags, settings, log, running.node.cluster.store());
    let ending = drain::until_ending(&running, &mut signals, reload).await;
    Ok(drain::drain(&running, &mut signals, settings.shutdown, ending).await)
}

/// Evaluates an expression on an empty store of its own.
pub(crate) fn eval(release: &Release, settings: &Settings, expression: &Expression) -> Result<(), Error> {
    Log::start(&settings.log_level, settings.log_format, Sink::Stderr)?;
    let runtime = runtime::build()?;
    let running = runtime.block_on(async { boot::alone(release, settings) })?;
    script::eval(&runtime, &running.node, &expression.line(), expression.json)
}

/// The console runs on a thread of its own, since it waits for a person; when it is left, the node ends.
fn open_console(place: Place, running: &boot::Running) {
    let node = Arc::clone(&running.node);
    thread::spawn(move || {
        say(format_args!("  log      {}\n", place.log().display()));
        if let Err(error) = terminal::converse(&place, "stops the node") {
            tracing::error!(%error, "the console ended");
        }
        node.order(Order::Stop);
    });
}

/// Changes what can change while the node runs, and says what cannot.
fn reload(profile: Profile, flags: &Flags, settings: &Settings, log: &Log, store: &Store) {
    match Settings::load(profile, flags, &Environment::read()) {
        Ok(new) => {
            log.set_level(&new.log_level);
            store.set_memory_limit(new.max_memory);
            tracing::info!(log_level = new.log_level, "the configuration was read again");
            for setting in settings.fixed_differences(&new) {
                tracing::warn!(setting, "this change takes effect at the next restart");
            }
        }
        Err(error) => tracing::error!(%error, "the configuration stays as it was"),
    }
}

/// Becomes the program anew, with the same pid and arguments. Returns only when that fails.
fn start_again(program: &Path) -> Error {
    Error::io("start again")(Command::new(program).args(environment::arguments()).exec())
}
