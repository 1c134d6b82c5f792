//! Ctrl-C and SIGTERM end the loops of a measurement, so that the processes it started are ended too.

use crate::error::{Context, Error};
use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

/// Whether a signal has arrived.
#[derive(Debug, Clone)]
pub(crate) struct Interrupt(Arc<AtomicBool>);

impl Interrupt {
    /// Replaces the default handlers, which end the process at once.
    pub(crate) fn install() -> Result<Interrupt, Error> {
        let raised = Arc::new(AtomicBool::new(false));
        for signal in [signal_hook::consts::SIGINT, signal_hook::consts::SIGTERM] {
            signal_hook::flag::register(signal, Arc::clone(&raised))
                .context("cannot install a signal handler")?;
        }
        Ok(Interrupt(raised))
    }

    /// An error once a signal has arrived.
    pub(crate) fn check(&self) -> Result<(), Error> {
        if self.0.load(Ordering::Relaxed) { Err(Error::Interrupted) } else { Ok(()) }
    }
}
