//! Log lines that others can cause without end, such as one for each client that is refused: the first ones
//! are logged, the rest are counted.

use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::runtime::Handle;
use tokio::time::sleep;
use tracing::warn;

use crate::limits::LOG_PERIOD;

/// Limits how often one kind of event is logged. A number of events is logged at once; how many more there
/// were is logged once a period, until a period passes without one. Clones share the count.
///
/// ```
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() {
/// let refused = otp::LogLimiter::new("clients were refused", 1);
/// let logged = (0..1000).filter(|_| refused.admit()).count();
/// assert_eq!(logged, 1); // and soon after: "clients were refused" count=999
/// # }
/// ```
#[derive(Clone)]
pub struct LogLimiter(Arc<Shared>);

struct Shared {
    summary: &'static str,
    lines: u32,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    /// Whether a task is waiting for the end of a period.
    counting: bool,
    admitted: u32,
    left_out: u64,
}

impl LogLimiter {
    /// A limiter of `lines` lines before it counts. `summary` is the message of the lines with counts.
    pub fn new(summary: &'static str, lines: u32) -> Self {
        Self(Arc::new(Shared { summary, lines, state: Mutex::default() }))
    }

    /// Returns whether to log an event now. If not, it is counted. Outside of a tokio runtime, where nothing
    /// could log the count, every event is admitted.
    pub fn admit(&self) -> bool {
        let Ok(runtime) = Handle::try_current() else { return true };
        let mut state = self.lock();
        if !state.counting {
            state.counting = true;
            runtime.spawn(self.clone().log_counts());
        }
        let admitted = state.admitted < self.0.lines;
        if admitted {
            state.admitted += 1;
        } else {
            state.left_out += 1;
        }
        admitted
    }

    async fn log_counts(self) {
        while let Some(count) = self.next_count().await {
            warn!(count, period = ?LOG_PERIOD, "{}", self.0.summary);
        }
    }

    /// How many events the next period leaves out; `None` if it is quiet, which ends the counting.
    async fn next_count(&self) -> Option<u64> {
        sleep(LOG_PERIOD).await;
        let mut state = self.lock();
        match state.left_out {
            0 => {
                *state = State::default();
                None
            }
            _ => Some(std::mem::take(&mut state.left_out)),
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for LogLimiter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "LogLimiter({})", self.0.summary)
    }
}
