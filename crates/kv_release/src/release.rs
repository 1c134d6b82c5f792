//! A release: its name, its version, what it serves, and what each verb does with it.

use crate::{
    cli::{self, Cli, Flags, Verb},
    config::{ClientLimits, Kind, Settings, environment::Environment},
    console,
    control::{client, place::Place},
    daemon,
    error::Error,
    exit_code,
    limits::BOOT_PATIENCE,
    output::say,
    run::{self, Manner},
};
use kv_cluster::Cluster;
use otp::Supervisor;
use std::{
    fmt::{self, Display},
    io,
    net::SocketAddr,
    pin::Pin,
    process::ExitCode,
    time::Duration,
};

/// A release, to be run by `main`.
pub struct Release {
    pub(crate) name: &'static str,
    pub(crate) version: &'static str,
    pub(crate) open_clients: Option<OpenClients>,
}

/// A face of the node: a bound port, and the supervisor of those who come to it.
pub struct Face {
    pub(crate) name: &'static str,
    pub(crate) address: SocketAddr,
    pub(crate) supervisor: Box<dyn FnMut() -> Supervisor + Send>,
}

/// Binds the port for clients.
pub(crate) type OpenClients = Box<dyn FnOnce(String, Cluster, ClientLimits) -> Opening>;
type Opening = Pin<Box<dyn Future<Output = Result<Face, Error>>>>;

impl Face {
    /// The application `name`, whose port is bound at `address`. `supervisor` is called at every start.
    pub fn new(
        name: &'static str,
        address: SocketAddr,
        supervisor: impl FnMut() -> Supervisor + Send + 'static,
    ) -> Face {
        Face { name, address, supervisor: Box::new(supervisor) }
    }
}

impl Release {
    /// A release that serves other nodes and its console.
    pub fn new(name: &'static str, version: &'static str) -> Release {
        Release { name, version, open_clients: None }
    }

    /// Lets the release take clients: `open` binds the configured address.
    #[must_use]
    pub fn clients<F, E>(mut self, open: impl FnOnce(String, Cluster, ClientLimits) -> F + 'static) -> Release
    where
        F: Future<Output = Result<Face, E>> + 'static,
        E: Display,
    {
        self.open_clients = Some(Box::new(|address, cluster, limits| {
            let opening = open(address, cluster, limits);
            Box::pin(async { opening.await.map_err(|error| Error::Clients(error.to_string())) })
        }));
        self
    }

    /// Does what the command line says.
    pub fn main(self) -> ExitCode {
        let name = self.name;
        let Cli { flags, verb } = cli::parse(name);
        let code =
            self.obey(&flags, verb.unwrap_or(Verb::Start { detached: false })).unwrap_or_else(|error| {
                if !matches!(error, Error::Printed) {
                    eprintln!("{name}: {error}");
                }
                error.exit_code()
            });
        ExitCode::from(code)
    }

    pub(crate) fn kind(&self) -> Kind {
        Kind { release: self.name, takes_clients: self.open_clients.is_some() }
    }

    fn obey(self, flags: &Flags, verb: Verb) -> Result<u8, Error> {
        let kind = self.kind();
        let settings = || Settings::load(kind, flags, &Environment::read());
        let place = || settings().map(|settings| Place::new(&settings.run_dir, &settings.node));
        match verb {
            Verb::Start { detached: false } => {
                return run::run(self, flags, &settings()?, Manner::Foreground);
            }
            Verb::Start { detached: true } => return run::run(self, flags, &settings()?, Manner::Detached),
            Verb::StartIex => return run::run(self, flags, &settings()?, Manner::Console),
            Verb::Daemon => daemon::start(&place()?, flags)?,
            Verb::Remote => remote(&place()?)?,
            Verb::Rpc(expression) => console::rpc(&place()?, &expression.line(), expression.json)?,
            Verb::Eval(expression) => run::eval(&self, &settings()?, &expression)?,
            Verb::Restart => restart(&place()?)?,
            Verb::Stop => stop(&place()?, settings()?.shutdown)?,
            Verb::Pid => console::rpc(&place()?, "pid", false)?,
            Verb::Version => say(format_args!("{} {}", self.name, self.version)),
            Verb::CheckConfig => say(settings()?.summary()),
            Verb::Completions { shell } => {
                clap_complete::generate(shell, &mut cli::command(self.name), self.name, &mut io::stdout());
            }
        }
        Ok(exit_code::OK)
    }
}

/// A console of its own, once it is sure that somebody answers.
fn remote(place: &Place) -> Result<(), Error> {
    client::ask(place, "node", false)?;
    console::converse(place, "leaves it, and the node runs on")
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

impl fmt::Debug for Release {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Release({} {})", self.name, self.version)
    }
}
