//! Waits until the node is to end, and ends it: faces first, the store last, within a deadline.

use crate::{
    boot::Running,
    console::Order,
    signals::{Asked, Signals},
};
use otp::Exit;
use std::time::Duration;
use tokio::time::timeout;

/// Why a node ends.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Ending {
    /// It was told to.
    Stop,
    /// It was told to, and to start again.
    Restart,
    /// It was told to twice, and at once.
    Interrupted,
    /// An application gave up.
    GaveUp(Exit),
}

/// Waits for an order, a signal, or an application that gives up.
pub(crate) async fn until_ending(running: &Running, signals: &mut Signals, reload: impl Fn()) -> Ending {
    let mut orders = running.node.orders.subscribe();
    loop {
        tokio::select! {
            exit = running.root.wait() => return Ending::GaveUp(exit),
            order = orders.wait_for(Option::is_some) => {
                let ending = match order.as_deref() {
                    Ok(Some(Order::Restart)) => Ending::Restart,
                    Ok(Some(Order::Stop) | None) | Err(_) => Ending::Stop,
                };
                tracing::info!(?ending, "draining");
                return ending;
            }
            asked = signals.next() => match asked {
                Asked::Reload => reload(),
                Asked::Terminate | Asked::Interrupt => {
                    tracing::info!(signal = ?asked, "draining; a second interrupt ends at once");
                    return Ending::Stop;
                }
            },
        }
    }
}

/// Stops the tree in reverse order. What has not ended at the deadline is cut off.
pub(crate) async fn drain(
    running: &Running,
    signals: &mut Signals,
    deadline: Duration,
    ending: Ending,
) -> Ending {
    let stopped = timeout(deadline, running.root.stop());
    tokio::pin!(stopped);
    loop {
        tokio::select! {
            outcome = &mut stopped => {
                match outcome {
                    Ok(_) => tracing::info!("drained"),
                    Err(_) => tracing::warn!(?deadline, "the deadline has come; what is left is cut off"),
                }
                return ending;
            }
            asked = signals.next() => if asked == Asked::Interrupt { return Ending::Interrupted },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        cli::Flags,
        config::{Profile, Settings, environment::Environment},
        release::Release,
    };
    use otp::{ChildSpec, Shutdown, Strategy, Supervisor};
    use rustix::process::{Signal, getpid, kill_process};
    use std::future::pending;

    /// A node with a child that never stops by itself.
    fn stubborn() -> Running {
        let profile = Profile { release: "foo", takes_clients: false };
        let settings = Settings::load(profile, &Flags::default(), &Environment::default()).unwrap();
        let running = crate::boot::alone(&Release::new("foo", "1.2.3"), &settings).unwrap();
        let child =
            ChildSpec::worker("stubborn", |_| pending::<Result<(), String>>()).shutdown(Shutdown::Infinity);
        let root = Supervisor::new("root", Strategy::OneForOne).child(child).start();
        Running { root, ..running }
    }

    /// One test, since a signal reaches all that listen in the process.
    #[tokio::test]
    async fn a_drain_begins_with_an_order_or_a_signal_and_ends_at_the_deadline_or_an_interrupt() {
        let mut signals = Signals::listen().unwrap();
        let running = stubborn();
        running.node.order(Order::Restart);
        assert_eq!(until_ending(&running, &mut signals, || {}).await, Ending::Restart);
        let hour = Duration::from_secs(3600);
        tokio::time::pause();
        assert_eq!(drain(&running, &mut signals, hour, Ending::Restart).await, Ending::Restart);
        tokio::time::resume();

        let running = stubborn();
        kill_process(getpid(), Signal::INT).unwrap();
        assert_eq!(until_ending(&running, &mut signals, || {}).await, Ending::Stop);
        kill_process(getpid(), Signal::INT).unwrap();
        assert_eq!(drain(&running, &mut signals, hour, Ending::Stop).await, Ending::Interrupted);
    }
}
