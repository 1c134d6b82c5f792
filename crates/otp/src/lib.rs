//! Supervision as a library: supervisors, strategies, restart intensity, and the tree as a value.
//!
//! A [`Supervisor`] lists children in start order and what happens when one of them ends. Once started, it
//! restarts what crashes, gives up when that happens too often, and stops its children in reverse order.
//!
//! ```
//! use otp::{ChildSpec, Exit, Stop, Strategy, Supervisor, TaskSupervisor};
//!
//! async fn registry(stop: Stop) -> Result<(), String> {
//!     stop.cancelled().await;
//!     Ok(())
//! }
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), otp::Error> {
//! let connections = TaskSupervisor::new("connections", 10_000);
//! let foo = Supervisor::new("foo", Strategy::OneForOne)
//!     .child(ChildSpec::supervisor("kv", || {
//!         Supervisor::new("kv", Strategy::OneForAll).child(ChildSpec::worker("registry", registry))
//!     }))
//!     .child(ChildSpec::tasks(connections.clone()))
//!     .start();
//!
//! connections.spawn("127.0.0.1:50123", |stop| async move { stop.cancelled().await })?;
//!
//! let drawn = "\
//! foo (one_for_one)
//! ├── kv (one_for_all)
//! │   └── registry
//! └── connections (1 running)";
//! assert_eq!(foo.tree(100).to_string(), drawn);
//! assert_eq!(foo.stop().await, Exit::Normal);
//! # Ok(())
//! # }
//! ```
//!
//! The words and rules are those of OTP's [supervisor
//! behaviour](https://www.erlang.org/doc/apps/stdlib/supervisor.html) and of Elixir's
//! [Task.Supervisor](https://hexdocs.pm/elixir/Task.Supervisor.html). What differs:
//! - A child has started once its `start` has returned a future. A failure after that is a crash, and
//!   is handled as one.
//! - A supervisor that gave up did not end normally, so a transient one is restarted too.
//! - A child that is not restarted stays in the tree, as ended.
//! - A task can only be aborted where it awaits. One that never does is abandoned and logged.

mod error;
mod exit;
mod intensity;
mod limits;
mod overload;
mod policy;
mod spec;
mod status;
mod strategy;
mod supervisor;
mod task_supervisor;
mod tree;

pub use error::Error;
pub use exit::{Exit, panic_message};
pub use intensity::Intensity;
pub use overload::{
    accept::{AcceptErrors, is_out_of_descriptors},
    log_limiter::LogLimiter,
};
pub use policy::{Restart, Shutdown, Stop};
pub use spec::{ChildSpec, DynamicChildren, Supervisor};
pub use strategy::Strategy;
pub use supervisor::{SupervisorHandle, TreeView};
pub use task_supervisor::TaskSupervisor;
pub use tree::{ChildKind, PassiveChildren, RecentRestarts, State, Tree};
