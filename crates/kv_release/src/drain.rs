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
                return if order.is_ok_and(|order| *order == Some(Order::Restart)) { Ending::Restart } else { Ending::Stop };
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
