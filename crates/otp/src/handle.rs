//! A running supervisor, seen from outside.

use std::sync::Arc;

use tokio::sync::watch;
use tokio_util::sync::DropGuard;

use crate::Stop;
use crate::engine::Engine;
use crate::exit::Exit;
use crate::spec::Supervisor;
use crate::status::Status;
use crate::tree::{Kind, State, Tree};

/// A running supervisor. Clones are handles to the same one; when the last is dropped, it is stopped in order.
#[derive(Clone)]
#[must_use = "a supervisor stops when its last handle is dropped"]
pub struct SupervisorHandle {
    status: Arc<Status>,
    stop: Stop,
    exit: watch::Receiver<Option<Exit>>,
    _stop_when_dropped: Arc<DropGuard>,
}

impl Supervisor {
    /// Starts the supervisor and its children, in order.
    ///
    /// # Panics
    /// When called outside a tokio runtime.
    pub fn start(self) -> SupervisorHandle {
        let status = Arc::new(Status::new(self.name.clone(), Kind::Supervisor, None));
        status.set(State::Running);
        let engine = Engine::start(self, &status);
        let stop = Stop::new();
        let (ended, exit) = watch::channel(None);
        tokio::spawn({
            let (status, stop) = (Arc::clone(&status), stop.clone());
            async move {
                let exit = engine.run(stop).await;
                status.set(State::Ended);
                ended.send_replace(Some(exit));
            }
        });
        let guard = Arc::new(stop.clone().drop_guard());
        SupervisorHandle { status, stop, exit, _stop_when_dropped: guard }
    }
}

impl SupervisorHandle {
    /// The tree as it is now, with at most `limit` of the passive things beneath each child.
    pub fn tree(&self, limit: usize) -> Tree {
        self.status.tree(limit)
    }

    /// Stops the children in reverse order, each with its deadline, and waits until the supervisor has ended.
    pub async fn stop(&self) -> Exit {
        self.stop.cancel();
        self.wait().await
    }

    /// Waits until the supervisor has ended, and says how.
    pub async fn wait(&self) -> Exit {
        let mut exit = self.exit.clone();
        match exit.wait_for(Option::is_some).await {
            Ok(exit) => (*exit).clone().unwrap_or(Exit::Killed),
            // The runtime went away and took the supervisor with it.
            Err(_) => Exit::Killed,
        }
    }
}
