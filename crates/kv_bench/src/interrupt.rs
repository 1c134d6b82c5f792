//! Ctrl-C and SIGTERM end a measurement through its loops, so that everything it started is ended too.

use crate::error::{Context, Error};
use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

/// Set once, by a signal.
#[derive(Debug, Clone)]
pub(crate) struct Interrupt(Arc<AtomicBool>);

impl Interrupt {
    /// Takes the signals over from their default, which would end the process at once.
    pub(crate) fn listen() -> Result<Interrupt, Error> {
        let raised = Arc::new(AtomicBool::new(false));
        for signal in [signal_hook::consts::SIGINT, signal_hook::consts::SIGTERM] {
            signal_hook::flag::register(signal, Arc::clone(&raised)).context("cannot take a signal")?;
        }
        Ok(Interrupt(raised))
    }

    /// An error once a signal has come.
    pub(crate) fn check(&self) -> Result<(), Error> {
        if self.0.load(Ordering::Relaxed) { Err(Error::Interrupted) } else { Ok(()) }
    }
}
