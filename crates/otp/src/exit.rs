//! How a child ended.

use std::any::Any;
use std::fmt::{self, Display, Write};

use tokio::task::JoinError;

use crate::intensity::Intensity;
use crate::limits::MAX_REASON_BYTES;

/// How a child, or a whole supervisor, ended. Reasons are bounded in length and meant for the log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Exit {
    /// It finished, or stopped when it was told to.
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
        /// What it would have allowed.
        intensity: Intensity,
        /// The child whose end was one too many.
        child: String,
        /// How that child ended.
        last: Box<Exit>,
    },
}

impl Exit {
    /// Whether this is an end in peace, after which a transient child is left alone.
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
        let message = match (payload.downcast_ref::<&str>(), payload.downcast_ref::<String>()) {
            (Some(text), _) => text,
            (None, Some(text)) => text.as_str(),
            (None, None) => "a value that is no text",
        };
        Self::Panicked(bounded(message))
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

/// The text of `reason`, cut with an ellipsis when it is long; the rest is never even formatted.
fn bounded(reason: impl Display) -> String {
    struct Cut(String);

    impl Write for Cut {
        fn write_str(&mut self, text: &str) -> fmt::Result {
            let room = MAX_REASON_BYTES - self.0.len();
            if text.len() <= room {
                self.0.push_str(text);
                return Ok(());
            }
            self.0.push_str(&text[..text.floor_char_boundary(room)]);
            Err(fmt::Error)
        }
    }

    let mut cut = Cut(String::new());
    if write!(cut, "{reason}").is_err() {
        cut.0.push('…');
    }
    cut.0
}
