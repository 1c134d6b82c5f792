//! The errors of this crate.

/// Why a task was not started.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// As many tasks as allowed are running.
    #[error("{tasks} is at its capacity of {max} tasks")]
    AtCapacity {
        /// The task supervisor's name.
        tasks: String,
        /// The most tasks it runs at once.
        max: usize,
    },
    /// The task supervisor has not been started by a supervisor, or is stopping.
    #[error("{tasks} is not running")]
    NotRunning {
        /// The task supervisor's name.
        tasks: String,
    },
}
