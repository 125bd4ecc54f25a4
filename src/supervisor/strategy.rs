//! What the supervisors of the Lua module `supervisor` decide, as Erlang/OTP has it: who is stopped and started when a
//! child ends, and when there were too many restarts. Pure; the half in Lua (`lua/supervisor.lua`) does it.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

/// Whom the end of one child concerns.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Strategy {
    OneForOne,
    OneForAll,
    /// The child and those that were started after it.
    RestForOne,
}

/// Which ends a child is restarted after.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Restart {
    /// Every one.
    Permanent,
    /// A failure.
    Transient,
    /// None; its specification goes with it.
    Temporary,
}

impl Strategy {
    pub const NAMES: [(&'static str, Strategy); 3] = [
        ("one_for_one", Strategy::OneForOne),
        ("one_for_all", Strategy::OneForAll),
        ("rest_for_one", Strategy::RestForOne),
    ];
}

impl Restart {
    pub const NAMES: [(&'static str, Restart); 3] = [
        ("permanent", Restart::Permanent),
        ("transient", Restart::Transient),
        ("temporary", Restart::Temporary),
    ];
}

/// What follows from the end of a child; children by their place in the order of starting, from 0.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Decision {
    /// Counts against the intensity. Otherwise nobody is stopped or started.
    pub is_restart: bool,
    /// In this order, the last started first. Who runs no more needs no stop.
    pub stop: Vec<usize>,
    /// In this order.
    pub start: Vec<usize>,
    /// Whose specification goes, ascending.
    pub forget: Vec<usize>,
}

/// `ended`: the child that ended, by a failure or not.
pub fn decide(strategy: Strategy, children: &[Restart], ended: usize, failed: bool) -> Decision {
    let is_temporary = |at: &usize| children[*at] == Restart::Temporary;
    match children[ended] {
        Restart::Temporary => {
            return Decision {
                forget: vec![ended],
                ..Decision::default()
            };
        }
        Restart::Transient if !failed => return Decision::default(),
        Restart::Permanent | Restart::Transient => {}
    }
    let concerned = match strategy {
        Strategy::OneForOne => ended..ended + 1,
        Strategy::OneForAll => 0..children.len(),
        Strategy::RestForOne => ended..children.len(),
    };
    let (forget, start) = concerned.clone().partition(is_temporary);
    Decision {
        is_restart: true,
        stop: concerned.rev().filter(|at| *at != ended).collect(),
        start,
        forget,
    }
}

/// Counts restarts within a sliding period.
#[derive(Clone, Debug)]
pub struct Intensity {
    allowed: usize,
    period: Duration,
    restarts: VecDeque<Instant>,
}

impl Intensity {
    pub fn new(allowed: usize, period: Duration) -> Intensity {
        Intensity {
            allowed,
            period,
            restarts: VecDeque::new(),
        }
    }

    /// Notes a restart; the number within the period when that is one too many.
    pub fn exceeded(&mut self, now: Instant) -> Option<usize> {
        self.restarts.push_back(now);
        let is_past = |then: &Instant| now.duration_since(*then) > self.period;
        while self.restarts.front().is_some_and(is_past) {
            self.restarts.pop_front();
        }
        Some(self.restarts.len()).filter(|count| *count > self.allowed)
    }
}

#[cfg(test)]
mod tests {
    use super::Restart::{Permanent, Temporary, Transient};
    use super::Strategy::{OneForAll, OneForOne, RestForOne};
    use super::*;

    /// Stop, start, forget.
    type Expected<'a> = (&'a [usize], &'a [usize], &'a [usize]);
    /// Strategy, children, who ended, whether by a failure, and what follows, if anything does.
    type Case<'a> = (Strategy, &'a [Restart], usize, bool, Option<Expected<'a>>);

    #[test]
    fn who_is_stopped_started_and_forgotten() {
        let same = [Permanent, Permanent, Permanent];
        let mixed = [Temporary, Transient, Permanent, Temporary];
        let failed = true;
        let cases: [Case<'_>; 16] = [
            // The strategies.
            (OneForOne, &same, 1, failed, Some((&[], &[1], &[]))),
            (OneForAll, &same, 1, failed, Some((&[2, 0], &[0, 1, 2], &[]))),
            (RestForOne, &same, 1, failed, Some((&[2], &[1, 2], &[]))),
            (RestForOne, &same, 0, failed, Some((&[2, 1], &[0, 1, 2], &[]))),
            (RestForOne, &same, 2, failed, Some((&[], &[2], &[]))),
            // A normal end: only a permanent child comes back.
            (OneForOne, &same, 1, !failed, Some((&[], &[1], &[]))),
            (OneForOne, &mixed, 1, !failed, None),
            (OneForAll, &mixed, 1, !failed, None),
            (RestForOne, &mixed, 1, !failed, None),
            (OneForOne, &mixed, 1, failed, Some((&[], &[1], &[]))),
            // A temporary child never does, and drags nobody along.
            (OneForOne, &mixed, 0, failed, Some((&[], &[], &[0]))),
            (OneForAll, &mixed, 0, failed, Some((&[], &[], &[0]))),
            (RestForOne, &mixed, 3, !failed, Some((&[], &[], &[3]))),
            // But it is dragged along by others, for good.
            (OneForAll, &mixed, 2, failed, Some((&[3, 1, 0], &[1, 2], &[0, 3]))),
            (RestForOne, &mixed, 1, failed, Some((&[3, 2], &[1, 2], &[3]))),
            (RestForOne, &mixed, 2, !failed, Some((&[3], &[2], &[3]))),
        ];
        for (strategy, children, ended, failed, expected) in cases {
            let (stop, start, forget) = expected.unwrap_or_default();
            let decision = Decision {
                is_restart: !start.is_empty(),
                stop: stop.to_vec(),
                start: start.to_vec(),
                forget: forget.to_vec(),
            };
            let found = decide(strategy, children, ended, failed);
            assert_eq!(found, decision, "{strategy:?} {children:?} {ended} {failed}");
        }
    }

    #[test]
    fn restarts_count_within_the_period_alone() {
        let (start, second) = (Instant::now(), Duration::from_secs(1));
        let mut intensity = Intensity::new(2, 10 * second);
        let counts = [0, 5, 11, 12, 30, 31, 40].map(|now| intensity.exceeded(start + now * second));
        assert_eq!(counts, [None, None, None, Some(3), None, None, Some(3)]);
        assert_eq!(Intensity::new(0, second).exceeded(start), Some(1));
    }
}
