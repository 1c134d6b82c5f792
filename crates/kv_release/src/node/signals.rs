//! The signals of a node: SIGTERM and SIGINT drain it, SIGHUP reloads its configuration.

use crate::error::Error;
use tokio::signal::unix::{Signal, SignalKind, signal};

/// A signal that has arrived.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum SignalEvent {
    Terminate,
    Interrupt,
    Reload,
}

/// The installed signal handlers.
#[derive(Debug)]
pub(super) struct Signals {
    terminate: Signal,
    interrupt: Signal,
    hangup: Signal,
}

impl Signals {
    /// Installs the handlers. Called before boot, so that no signal is lost.
    pub(super) fn install() -> Result<Signals, Error> {
        let install = |kind| signal(kind).map_err(Error::io("install signal handlers"));
        Ok(Signals {
            terminate: install(SignalKind::terminate())?,
            interrupt: install(SignalKind::interrupt())?,
            hangup: install(SignalKind::hangup())?,
        })
    }

    /// Waits for the next signal.
    pub(super) async fn next(&mut self) -> SignalEvent {
        tokio::select! {
            _ = self.terminate.recv() => SignalEvent::Terminate,
            _ = self.interrupt.recv() => SignalEvent::Interrupt,
            _ = self.hangup.recv() => SignalEvent::Reload,
        }
    }
}
