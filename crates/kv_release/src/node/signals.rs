//! The signals of a node: SIGTERM and SIGINT drain it, SIGHUP reloads its configuration. SIGUSR1 and SIGUSR2,
//! which would end a process that has no handler, do nothing.

use crate::error::Error;
use tokio::signal::unix::{Signal, SignalKind, signal};

/// A signal that has arrived.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum SignalEvent {
    Terminate,
    Interrupt,
    Reload,
    /// One without a meaning.
    Ignored,
}

/// The installed signal handlers.
#[derive(Debug)]
pub(super) struct Signals {
    terminate: Signal,
    interrupt: Signal,
    hangup: Signal,
    users: [Signal; 2],
}

impl Signals {
    /// Installs the handlers. Called before boot, so that no signal is lost.
    pub(super) fn install() -> Result<Signals, Error> {
        let install = |kind| signal(kind).map_err(Error::io("install signal handlers"));
        Ok(Signals {
            terminate: install(SignalKind::terminate())?,
            interrupt: install(SignalKind::interrupt())?,
            hangup: install(SignalKind::hangup())?,
            users: [install(SignalKind::user_defined1())?, install(SignalKind::user_defined2())?],
        })
    }

    /// Waits for the next signal.
    pub(super) async fn next(&mut self) -> SignalEvent {
        let [user1, user2] = &mut self.users;
        tokio::select! {
            _ = self.terminate.recv() => SignalEvent::Terminate,
            _ = self.interrupt.recv() => SignalEvent::Interrupt,
            _ = self.hangup.recv() => SignalEvent::Reload,
            _ = user1.recv() => SignalEvent::Ignored,
            _ = user2.recv() => SignalEvent::Ignored,
        }
    }
}
