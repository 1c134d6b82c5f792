//! Decides how many reactors serve connections, from how busy they are: as few as the load needs, because
//! one that serves many connections receives and sends for many of them in each system call.
//!
//! The first `active` reactors serve. Of a saturated one, a part of the connections goes to one that has
//! time left, or to another that becomes active while the machine has an idle core for it. Without an idle
//! core, one more is tried now and then, and kept if it got time on a core that others use. When the load has
//! been low for a while, the last ones hand over all they have. Between the two thresholds nothing changes.

use crate::limits::{
    CALM_INTERVALS, COOL_SHARE, GATHER_SHARE, IDLE_CORES, MAX_TRIAL_PAUSE, MIN_TRIAL_PAUSE, SATURATED_SHARE,
    TRIAL_DELAY, TRIAL_GAIN, TRIAL_INTERVALS,
};
use std::ops::Range;

/// What a reactor did in an interval, as shares of it.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Load {
    /// It did not wait for its sockets.
    pub(super) busy: f64,
    /// It ran: it was busy, and had a core.
    pub(super) ran: f64,
}

/// What a reactor is to do until the next interval.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Plan {
    /// It serves what it has.
    Keep,
    /// It hands over every `nth` connection to these reactors.
    HandOver { nth: usize, to: Range<usize> },
}

/// The reactors of a pool, as the last interval left them.
#[derive(Debug)]
pub(super) struct Balancer {
    /// How many reactors serve connections.
    active: usize,
    /// Intervals in a row in which fewer would have been enough.
    calm: u32,
    /// The last plan of each reactor.
    plans: Vec<Plan>,
    trial: Option<Trial>,
    /// Saturated intervals until the next trial, and after a trial that fails.
    pause: u32,
    next_pause: u32,
}

/// One more reactor than the machine has idle cores for.
#[derive(Debug)]
struct Trial {
    /// How much all reactors must run for it to be kept.
    needed: f64,
    intervals: u32,
}

impl Balancer {
    /// Of `reactors` one is active.
    pub(super) fn new(reactors: usize) -> Balancer {
        Balancer {
            active: 1,
            calm: 0,
            plans: plans(reactors, 1),
            trial: None,
            pause: TRIAL_DELAY,
            next_pause: MIN_TRIAL_PAUSE,
        }
    }

    /// How many reactors serve connections.
    pub(super) fn active(&self) -> usize {
        self.active
    }

    /// Returns the plans that change, by reactor. `loads` are those of the last interval; `idle_cores` is
    /// asked when one more reactor would help, and `None` if it is not known yet.
    pub(super) fn balance(
        &mut self,
        loads: &[Load],
        idle_cores: impl FnOnce() -> Option<f64>,
    ) -> Vec<(usize, Plan)> {
        self.end_trial(loads);
        self.gather(loads);
        let mut plans = plans(loads.len(), self.active);
        self.spread(loads, idle_cores, &mut plans);
        let mut changed = Vec::new();
        for (reactor, plan) in plans.iter().enumerate() {
            // What is repeated is meant for the connections that are left.
            let is_repeated = matches!(plan, Plan::HandOver { nth: 2.., .. });
            if is_repeated || *plan != self.plans[reactor] {
                changed.push((reactor, plan.clone()));
            }
        }
        self.plans = plans;
        changed
    }

    /// Ends a trial: the reactor is kept if all together run enough more than before.
    fn end_trial(&mut self, loads: &[Load]) {
        let Some(trial) = &mut self.trial else { return };
        trial.intervals += 1;
        if trial.intervals < TRIAL_INTERVALS {
            return;
        }
        if ran(loads) >= trial.needed {
            (self.pause, self.next_pause) = (TRIAL_DELAY, MIN_TRIAL_PAUSE);
        } else {
            self.active = (self.active - 1).max(1);
            self.pause = self.next_pause;
            self.next_pause = (self.next_pause * 2).min(MAX_TRIAL_PAUSE);
        }
        self.trial = None;
    }

    /// Makes fewer reactors active once the load has been low for a while.
    fn gather(&mut self, loads: &[Load]) {
        let busy: f64 = loads.iter().map(|load| load.busy).sum();
        let needed = ((busy / GATHER_SHARE).ceil() as usize).max(1);
        self.calm = if needed < self.active { self.calm + 1 } else { 0 };
        if self.calm == CALM_INTERVALS {
            (self.active, self.calm, self.trial) = (needed, 0, None);
        }
    }

    /// Plans to relieve saturated reactors.
    fn spread(&mut self, loads: &[Load], idle_cores: impl FnOnce() -> Option<f64>, plans: &mut [Plan]) {
        let busy = |reactor: usize| loads[reactor].busy;
        let by_load = |left: &usize, right: &usize| busy(*left).total_cmp(&busy(*right));
        let mut cool: Vec<usize> = (0..self.active).filter(|reactor| busy(*reactor) < COOL_SHARE).collect();
        let mut hot: Vec<usize> =
            (0..self.active).filter(|reactor| busy(*reactor) >= SATURATED_SHARE).collect();
        cool.sort_by(|left, right| by_load(right, left));
        hot.sort_by(by_load);
        let needs_another = hot.len() > cool.len() && self.active < loads.len();
        let mut idle = if needs_another { idle_cores().unwrap_or_default() } else { 0.0 };
        while let Some(from) = hot.pop() {
            let to = match cool.pop() {
                Some(to) => to,
                None if self.active == loads.len() => return,
                None if idle >= IDLE_CORES => {
                    idle -= 1.0;
                    self.start_another(plans)
                }
                None if self.pause == 0 && self.trial.is_none() => {
                    let gain = TRIAL_GAIN / self.active as f64;
                    self.trial = Some(Trial { needed: ran(loads) * (1.0 + gain), intervals: 0 });
                    self.start_another(plans)
                }
                None => {
                    self.pause = self.pause.saturating_sub(1);
                    return;
                }
            };
            // Both are equally busy afterwards.
            let nth = 2.0 * busy(from) / (busy(from) - busy(to));
            plans[from] = Plan::HandOver { nth: nth.round().max(2.0) as usize, to: to..to + 1 };
        }
    }

    /// Makes one more reactor active, and returns it.
    fn start_another(&mut self, plans: &mut [Plan]) -> usize {
        plans[self.active] = Plan::Keep;
        self.active += 1;
        self.active - 1
    }
}

/// How many cores all reactors together ran on.
fn ran(loads: &[Load]) -> f64 {
    loads.iter().map(|load| load.ran).sum()
}

/// Without saturation, active reactors keep what they have, and the others hand over all.
fn plans(reactors: usize, active: usize) -> Vec<Plan> {
    let plan = |reactor| match reactor < active {
        true => Plan::Keep,
        false => Plan::HandOver { nth: 1, to: 0..active },
    };
    (0..reactors).map(plan).collect()
}

#[cfg(test)]
mod tests;
