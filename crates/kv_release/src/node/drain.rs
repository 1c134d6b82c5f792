//! Waits for a reason to end the node, and drains it: services first, the store last, within a deadline.

use super::{
    boot::Running,
    signals::{SignalEvent, Signals},
};
use crate::console::ControlCommand;
use otp::Exit;
use std::time::Duration;
use tokio::time::timeout;

/// Why a node ends.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum ShutdownReason {
    /// By command or signal.
    Stop,
    /// By command, to start again.
    Restart,
    /// By a second interrupt, without finishing the drain.
    Interrupted,
    /// An application used up its restarts.
    GaveUp(Exit),
}

/// Waits for a command, a signal, or an application that gives up.
pub(super) async fn wait_for_shutdown(
    running: &Running,
    signals: &mut Signals,
    reload: impl Fn(),
) -> ShutdownReason {
    let mut commands = running.node.commands.subscribe();
    loop {
        tokio::select! {
            exit = running.root.wait() => return ShutdownReason::GaveUp(exit),
            command = commands.wait_for(Option::is_some) => {
                let (reason, text) = match command.as_deref() {
                    Ok(Some(ControlCommand::Restart)) => (ShutdownReason::Restart, "restart"),
                    Ok(Some(ControlCommand::Stop) | None) | Err(_) => (ShutdownReason::Stop, "stop"),
                };
                log_drain(text);
                return reason;
            }
            () = running.node.stop.cancelled() => {
                log_drain("SHUTDOWN of a client");
                return ShutdownReason::Stop;
            }
            event = signals.next() => match event {
                SignalEvent::Reload => reload(),
                SignalEvent::Ignored => {}
                SignalEvent::Terminate => {
                    log_drain("SIGTERM");
                    return ShutdownReason::Stop;
                }
                SignalEvent::Interrupt => {
                    log_drain("SIGINT; a second one ends the node at once");
                    return ShutdownReason::Stop;
                }
            },
        }
    }
}

fn log_drain(reason: &str) {
    tracing::info!(reason, "draining");
}

/// Has other nodes lead the ranges that have replicas, and then stops the tree in reverse order, until the
/// deadline.
pub(super) async fn drain(
    running: &Running,
    signals: &mut Signals,
    deadline: Duration,
    reason: ShutdownReason,
) -> ShutdownReason {
    running.node.draining.cancel();
    let stop = async {
        running.node.cluster.local().hand_over_ranges().await;
        running.root.stop().await
    };
    let stopped = timeout(deadline, stop);
    tokio::pin!(stopped);
    loop {
        tokio::select! {
            outcome = &mut stopped => {
                match outcome {
                    Ok(_) => tracing::info!("drained"),
                    Err(_) => tracing::warn!(?deadline, "drain deadline reached; aborting remaining tasks"),
                }
                return reason;
            }
            event = signals.next() => {
                if event == SignalEvent::Interrupt {
                    return ShutdownReason::Interrupted;
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        config::{Flags, ReleaseProfile, Settings, layers::environment::Environment},
        node::boot::boot_standalone,
        release::Release,
    };
    use otp::{ChildSpec, Shutdown, Strategy, Supervisor};
    use rustix::process::{Signal, getpid, kill_process};
    use std::future::pending;

    /// A node with a child that never stops by itself.
    fn stubborn() -> Running {
        let profile = ReleaseProfile { release: "foo", takes_clients: false };
        let settings = Settings::load(profile, &Flags::default(), &Environment::default()).unwrap();
        let running = boot_standalone(&Release::new("foo", "1.2.3"), &settings).unwrap();
        let child =
            ChildSpec::worker("stubborn", |_| pending::<Result<(), String>>()).shutdown(Shutdown::Infinity);
        let root = Supervisor::new("root", Strategy::OneForOne).child(child).start();
        Running { root, ..running }
    }

    /// One test, since a signal reaches every handler of the process.
    #[tokio::test]
    async fn a_drain_begins_with_a_command_or_a_signal_and_ends_at_the_deadline_or_an_interrupt() {
        let mut signals = Signals::install().unwrap();
        let running = stubborn();
        running.node.send(ControlCommand::Restart);
        assert_eq!(wait_for_shutdown(&running, &mut signals, || {}).await, ShutdownReason::Restart);
        let hour = Duration::from_secs(3600);
        tokio::time::pause();
        let restart = ShutdownReason::Restart;
        assert_eq!(drain(&running, &mut signals, hour, restart).await, ShutdownReason::Restart);
        tokio::time::resume();

        let running = stubborn();
        for harmless in [Signal::USR1, Signal::USR2] {
            kill_process(getpid(), harmless).unwrap();
        }
        kill_process(getpid(), Signal::INT).unwrap();
        assert_eq!(wait_for_shutdown(&running, &mut signals, || {}).await, ShutdownReason::Stop);
        kill_process(getpid(), Signal::INT).unwrap();
        let stop = ShutdownReason::Stop;
        assert_eq!(drain(&running, &mut signals, hour, stop).await, ShutdownReason::Interrupted);
    }
}
