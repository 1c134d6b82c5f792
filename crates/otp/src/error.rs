//! The errors of this crate.

/// Why a task was not started.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The maximum number of tasks is running.
    #[error("{tasks} is at its capacity of {max} tasks")]
    AtCapacity {
        /// The task supervisor's name.
        tasks: String,
        /// The maximum number of tasks at once.
        max: usize,
    },
    /// The task supervisor has not been started by a supervisor, or is stopping.
    #[error("{tasks} is not running")]
    NotRunning {
        /// The task supervisor's name.
        tasks: String,
    },
}
