//! How a child ended.

use std::any::Any;
use std::fmt::{self, Display, Write};

use tokio::task::JoinError;

use crate::intensity::Intensity;
use crate::limits::MAX_REASON_BYTES;

/// How a child, or a whole supervisor, ended. Reasons are bounded in length and meant for the log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Exit {
    /// It finished, or stopped when signaled.
    Normal,
    /// It returned an error.
    Failed(String),
    /// It panicked.
    Panicked(String),
    /// It was aborted.
    Killed,
    /// A supervisor gave up: its children needed more restarts than its intensity allows.
    Escalated {
        /// The supervisor that gave up.
        supervisor: String,
        /// The intensity that was exceeded.
        intensity: Intensity,
        /// The child that needed one restart too many.
        child: String,
        /// How that child ended.
        last: Box<Exit>,
    },
}

impl Exit {
    /// Whether a transient child is left alone after this exit.
    pub fn is_normal(&self) -> bool {
        *self == Self::Normal
    }

    pub(crate) fn from_result(result: Result<(), impl Display>) -> Self {
        match result {
            Ok(()) => Self::Normal,
            Err(error) => Self::Failed(bounded(error)),
        }
    }

    pub(crate) fn from_panic(payload: &(dyn Any + Send)) -> Self {
        Self::Panicked(bounded(panic_message(payload)))
    }

    pub(crate) fn from_join_error(error: JoinError) -> Self {
        match error.try_into_panic() {
            Ok(payload) => Self::from_panic(&*payload),
            Err(_cancelled) => Self::Killed,
        }
    }
}

impl Display for Exit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Normal => f.write_str("ended normally"),
            Self::Failed(reason) => write!(f, "failed: {reason}"),
            Self::Panicked(message) => write!(f, "panicked: {message}"),
            Self::Killed => f.write_str("was aborted"),
            Self::Escalated { supervisor, intensity, child, last } => {
                write!(f, "gave up: {supervisor} allows {intensity}, and {child} {last}")
            }
        }
    }
}

/// The message of a caught panic.
pub fn panic_message(payload: &(dyn Any + Send)) -> &str {
    let literal = payload.downcast_ref::<&str>().copied();
    literal.or_else(|| payload.downcast_ref::<String>().map(String::as_str)).unwrap_or("no message")
}

/// `reason` as text, truncated with an ellipsis at [`MAX_REASON_BYTES`]; the rest is not even formatted.
fn bounded(reason: impl Display) -> String {
    struct Truncated(String);

    impl Write for Truncated {
        fn write_str(&mut self, piece: &str) -> fmt::Result {
            let room = MAX_REASON_BYTES - self.0.len();
            if piece.len() <= room {
                self.0.push_str(piece);
                return Ok(());
            }
            self.0.push_str(&piece[..piece.floor_char_boundary(room)]);
            Err(fmt::Error)
        }
    }

    let mut text = Truncated(String::new());
    if write!(text, "{reason}").is_err() {
        text.0.push('…');
    }
    text.0
}
