//! Decides how many reactors serve connections, from how busy they are: as few as the load needs, because
//! one that serves many connections receives and sends for many of them in each system call.
//!
//! The first `active` reactors serve. Of a saturated one, a part of the connections goes to one that has
//! time left, or to another that becomes active while the machine has an idle core for it. Without an idle
//! core, one more is tried now and then, and kept if more requests are executed. When the load has been low
//! for a while, the last ones hand over all they have. Between the two thresholds nothing changes.

use crate::limits::{
    CALM_INTERVALS, COOL_SHARE, GATHER_SHARE, IDLE_CORES, MAX_TRIAL_PAUSE, MIN_TRIAL_PAUSE, SATURATED_SHARE,
    TRIAL_DELAY, TRIAL_GAIN, TRIAL_INTERVALS,
};
use std::ops::Range;

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
    /// The requests of the last intervals: as many as before a trial as in it.
    requests: [u64; 2 * TRIAL_INTERVALS],
    /// How many intervals one more reactor than the machine has idle cores for has been tried.
    trial: Option<usize>,
    /// Saturated intervals until the next trial, and after a trial that fails.
    pause: u32,
    next_pause: u32,
}

impl Balancer {
    /// Of `reactors` one is active.
    pub(super) fn new(reactors: usize) -> Balancer {
        Balancer {
            active: 1,
            calm: 0,
            plans: plans(reactors, 1),
            requests: [0; 2 * TRIAL_INTERVALS],
            trial: None,
            pause: TRIAL_DELAY,
            next_pause: MIN_TRIAL_PAUSE,
        }
    }

    /// How many reactors serve connections.
    pub(super) fn active(&self) -> usize {
        self.active
    }

    /// Returns the plans that change, by reactor. `busy` is the share of the last interval in which each
    /// reactor did not wait for its sockets, `requests` what all executed in it; `idle_cores` is asked when
    /// one more reactor would help, and `None` if it is not known yet.
    pub(super) fn balance(
        &mut self,
        busy: &[f64],
        requests: u64,
        idle_cores: impl FnOnce() -> Option<f64>,
    ) -> Vec<(usize, Plan)> {
        self.end_trial(requests);
        self.gather(busy);
        let mut plans = plans(busy.len(), self.active);
        self.spread(busy, idle_cores, &mut plans);
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

    /// Ends a trial: the reactor is kept if enough more requests were executed than before.
    fn end_trial(&mut self, requests: u64) {
        self.requests.rotate_left(1);
        self.requests[2 * TRIAL_INTERVALS - 1] = requests;
        let Some(intervals) = &mut self.trial else { return };
        *intervals += 1;
        if *intervals < TRIAL_INTERVALS {
            return;
        }
        self.trial = None;
        let (before, during) = self.requests.split_at(TRIAL_INTERVALS);
        let [before, during] = [before, during].map(|requests| requests.iter().sum::<u64>() as f64);
        if during >= before * (1.0 + TRIAL_GAIN / (self.active - 1) as f64) {
            (self.pause, self.next_pause) = (TRIAL_DELAY, MIN_TRIAL_PAUSE);
        } else {
            self.active -= 1;
            (self.pause, self.next_pause) = (self.next_pause, (self.next_pause * 2).min(MAX_TRIAL_PAUSE));
        }
    }

    /// Makes fewer reactors active once the load has been low for a while.
    fn gather(&mut self, busy: &[f64]) {
        let needed = ((busy.iter().sum::<f64>() / GATHER_SHARE).ceil() as usize).max(1);
        self.calm = if needed < self.active { self.calm + 1 } else { 0 };
        if self.calm == CALM_INTERVALS {
            (self.active, self.calm, self.trial) = (needed, 0, None);
        }
    }

    /// Plans to relieve saturated reactors.
    fn spread(&mut self, busy: &[f64], idle_cores: impl FnOnce() -> Option<f64>, plans: &mut [Plan]) {
        let by_load = |left: &usize, right: &usize| busy[*left].total_cmp(&busy[*right]);
        let mut cool: Vec<usize> = (0..self.active).filter(|reactor| busy[*reactor] < COOL_SHARE).collect();
        let mut hot: Vec<usize> =
            (0..self.active).filter(|reactor| busy[*reactor] >= SATURATED_SHARE).collect();
        cool.sort_by(|left, right| by_load(right, left));
        hot.sort_by(by_load);
        let needs_another = hot.len() > cool.len() && self.active < busy.len();
        let mut idle = if needs_another { idle_cores().unwrap_or_default() } else { 0.0 };
        while let Some(from) = hot.pop() {
            let to = match cool.pop() {
                Some(to) => to,
                None if self.active == busy.len() => return,
                None if idle >= IDLE_CORES => {
                    idle -= 1.0;
                    self.start_another(plans)
                }
                None if self.pause == 0 && self.trial.is_none() => {
                    self.trial = Some(0);
                    self.start_another(plans)
                }
                None => {
                    self.pause = self.pause.saturating_sub(1);
                    return;
                }
            };
            // Both are equally busy afterwards.
            let nth = 2.0 * busy[from] / (busy[from] - busy[to]);
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
