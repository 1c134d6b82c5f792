//! Supervision as a library: supervisors, strategies, restart intensity, and the tree as a value.

mod engine;
mod error;
mod exit;
mod handle;
mod intensity;
mod limits;
mod policy;
mod spec;
mod status;
mod strategy;
mod task_supervisor;
mod tree;

pub use error::Error;
pub use exit::Exit;
pub use handle::SupervisorHandle;
pub use intensity::Intensity;
pub use policy::{Restart, Shutdown};
pub use spec::{ChildSpec, Supervisor};
pub use strategy::Strategy;
pub use task_supervisor::TaskSupervisor;
/// A child's order to end: it is cancelled when the child is to stop, and when the child has ended.
pub use tokio_util::sync::CancellationToken as Stop;
pub use tree::{Beneath, Kind, State, Tree};
