//! What to do with a service when something happens to it: a pure function from state and event to state and action. No
//! clock, no randomness, no kernel; how long a run took and how lucky the jitter was stand in the event.
//!
//! Invariant: in a state at rest ([`Status::is_at_rest`]) nothing of the service runs and no action is outstanding, except
//! for the delay before a restart and for the end of what outlived its stop timeout.

use std::time::Duration;

use crate::error::Error;
use crate::process::{Cause, Exit};
use crate::project::Lifecycle;

/// What a service is doing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Status {
    /// Not started yet.
    #[default]
    Unknown,
    Starting,
    Running,
    Stopping,
    /// Ended because it was asked to.
    Stopped,
    /// Ended by itself, for good: done, or with an error that another start would only repeat.
    Exited,
    /// Ended otherwise. It is restarted after a delay, unless its starts are used up.
    Failed,
}

impl Status {
    pub const fn as_str(self) -> &'static str {
        match self {
            Status::Unknown => "unknown",
            Status::Starting => "starting",
            Status::Running => "running",
            Status::Stopping => "stopping",
            Status::Stopped => "stopped",
            Status::Exited => "exited",
            Status::Failed => "failed",
        }
    }

    pub const fn is_at_rest(self) -> bool {
        !matches!(self, Status::Starting | Status::Running | Status::Stopping)
    }
}

/// All that decisions depend on besides the lifecycle.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct State {
    pub status: Status,
    /// Starts since the last stable run.
    pub starts: u64,
    /// Restarts since then, the one that is being waited for included.
    pub restarts: u64,
    /// It has failed, and a restart is to come.
    pub is_waiting: bool,
}

/// What happened.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Event {
    /// It is to run: at boot, or because the delay is over.
    Start,
    /// Its process is there.
    Started,
    /// Its process could not be made, or not in time.
    Refused { verdict: Verdict, luck: f64 },
    /// Its process ended after that time.
    Ended { verdict: Verdict, ran: Duration, luck: f64 },
    /// It is to end.
    Stop,
    /// The stop timeout is over.
    StopTimedOut,
}

/// Whether another start may help.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    Final,
    Again,
}

impl Verdict {
    /// A value, and an error that main returned and that says not to try again, are meant; anything else is an accident.
    pub fn of_exit(exit: &Exit) -> Verdict {
        match &exit.result {
            Ok(_) => Verdict::Final,
            Err(error) if exit.cause == Cause::Returned && error.retryable() == Some(false) => Verdict::Final,
            Err(_) => Verdict::Again,
        }
    }

    /// What is missing or broken at a start stays so; only an error that says so is worth another start.
    pub fn of_refusal(error: &Error) -> Verdict {
        match error.retryable() {
            Some(true) => Verdict::Again,
            _ => Verdict::Final,
        }
    }
}

/// What is to be done now.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Action {
    /// Make its process.
    Start,
    /// Ask its process to end, and wait for the stop timeout.
    AskToStop,
    /// End its process.
    Terminate,
    /// Wait that long, then start again.
    RestartAfter(Duration),
    /// All starts are used up.
    GiveUp,
}

/// What follows from an event. An event that means nothing in a state changes nothing.
pub fn decide(lifecycle: &Lifecycle, state: State, event: Event) -> (State, Option<Action>) {
    let to = |status| State {
        status,
        is_waiting: false,
        ..state
    };
    match (state.status, event) {
        (status, Event::Start) if status.is_at_rest() => {
            let next = State {
                starts: state.starts + 1,
                ..to(Status::Starting)
            };
            (next, Some(Action::Start))
        }
        (Status::Starting, Event::Started) => (to(Status::Running), None),
        (Status::Starting, Event::Refused { verdict, luck }) => after_end(lifecycle, state, verdict, luck),
        (Status::Running, Event::Ended { verdict, ran, luck }) => {
            let is_stable = ran >= lifecycle.stable_threshold;
            let counted = if is_stable { State::default() } else { state };
            after_end(lifecycle, counted, verdict, luck)
        }
        (Status::Running, Event::Stop) => (to(Status::Stopping), Some(Action::AskToStop)),
        (Status::Stopping, Event::Ended { .. }) => (to(Status::Stopped), None),
        (Status::Stopping, Event::StopTimedOut) => (to(Status::Failed), Some(Action::Terminate)),
        // A start that is under way is given up, and so is a restart.
        (Status::Starting, Event::Stop) => (to(Status::Stopped), None),
        (Status::Failed, Event::Stop) if state.is_waiting => (to(Status::Stopped), None),
        _ => (state, None),
    }
}

fn after_end(lifecycle: &Lifecycle, state: State, verdict: Verdict, luck: f64) -> (State, Option<Action>) {
    let to = |status| State { status, ..state };
    let most = lifecycle.restart.max_attempts;
    match verdict {
        Verdict::Final => (to(Status::Exited), None),
        Verdict::Again if most > 0 && state.starts >= most => (to(Status::Failed), Some(Action::GiveUp)),
        Verdict::Again => {
            let next = State {
                restarts: state.restarts + 1,
                is_waiting: true,
                ..to(Status::Failed)
            };
            let delay = lifecycle.restart.backoff.delay(next.restarts, luck);
            (next, Some(Action::RestartAfter(delay)))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::Kind;
    use crate::project::Restart;
    use crate::value::Packed;
    use Status::*;

    fn lifecycle() -> Lifecycle {
        Lifecycle {
            restart: Restart {
                max_attempts: 3,
                ..Restart::default()
            },
            ..Lifecycle::default()
        }
    }

    fn at(status: Status, starts: u64) -> State {
        let restarts = starts.saturating_sub(1);
        State {
            status,
            starts,
            restarts,
            is_waiting: false,
        }
    }

    /// Failed for the n-th time in a row: the n-th restart is to come.
    fn waiting(n: u64) -> State {
        State {
            restarts: n,
            is_waiting: true,
            ..at(Failed, n)
        }
    }

    fn ended(verdict: Verdict, seconds: u64) -> Event {
        Event::Ended {
            verdict,
            ran: Duration::from_secs(seconds),
            luck: 0.0,
        }
    }

    fn refused(verdict: Verdict) -> Event {
        Event::Refused { verdict, luck: 0.0 }
    }

    fn wait(seconds: u64) -> Option<Action> {
        Some(Action::RestartAfter(Duration::from_secs(seconds)))
    }

    #[test]
    fn every_event_in_every_state_that_it_concerns() {
        use Verdict::{Again, Final};
        let stable = |status, starts, restarts| State {
            status,
            starts,
            restarts,
            is_waiting: status == Failed,
        };
        let cases = [
            // A life.
            (at(Unknown, 0), Event::Start, at(Starting, 1), Some(Action::Start)),
            (at(Starting, 1), Event::Started, at(Running, 1), None),
            (at(Running, 1), Event::Stop, at(Stopping, 1), Some(Action::AskToStop)),
            (at(Stopping, 1), ended(Final, 9), at(Stopped, 1), None),
            // However it ends once it was asked to.
            (at(Stopping, 1), ended(Again, 9), at(Stopped, 1), None),
            (
                at(Stopping, 1),
                Event::StopTimedOut,
                at(Failed, 1),
                Some(Action::Terminate),
            ),
            (at(Failed, 1), ended(Again, 9), at(Failed, 1), None),
            // Ends that are meant.
            (at(Running, 1), ended(Final, 0), at(Exited, 1), None),
            (at(Starting, 1), refused(Final), at(Exited, 1), None),
            // Failures: each delay is twice the one before.
            (at(Running, 1), ended(Again, 0), waiting(1), wait(1)),
            (waiting(1), Event::Start, at(Starting, 2), Some(Action::Start)),
            (at(Running, 2), ended(Again, 4), waiting(2), wait(2)),
            (at(Starting, 1), refused(Again), waiting(1), wait(1)),
            // Three starts are all.
            (at(Running, 3), ended(Again, 0), at(Failed, 3), Some(Action::GiveUp)),
            (at(Starting, 3), refused(Again), at(Failed, 3), Some(Action::GiveUp)),
            // A stable run makes up for everything before: three more starts, and the delays begin anew.
            (at(Running, 3), ended(Again, 5), stable(Failed, 0, 1), wait(1)),
            (
                stable(Failed, 0, 1),
                Event::Start,
                stable(Starting, 1, 1),
                Some(Action::Start),
            ),
            (stable(Running, 1, 1), ended(Again, 0), stable(Failed, 1, 2), wait(2)),
            // A stop finds it not running.
            (at(Starting, 1), Event::Stop, at(Stopped, 1), None),
            (
                waiting(2),
                Event::Stop,
                State {
                    status: Stopped,
                    is_waiting: false,
                    ..waiting(2)
                },
                None,
            ),
            (at(Failed, 3), Event::Stop, at(Failed, 3), None),
            (at(Exited, 1), Event::Stop, at(Exited, 1), None),
            (at(Unknown, 0), Event::Stop, at(Unknown, 0), None),
            // What comes too late.
            (at(Stopped, 1), Event::Started, at(Stopped, 1), None),
            (at(Running, 1), Event::Start, at(Running, 1), None),
            (at(Running, 1), Event::StopTimedOut, at(Running, 1), None),
        ];
        for (state, event, next, action) in cases {
            assert_eq!(
                decide(&lifecycle(), state, event),
                (next, action),
                "{state:?} {event:?}"
            );
        }
    }

    #[test]
    fn what_is_left_unset_is_as_written_down() {
        let unset = Lifecycle::default();
        let Restart { backoff, max_attempts } = unset.restart;
        let times = [
            unset.start_timeout,
            unset.stop_timeout,
            unset.stable_threshold,
            backoff.initial_delay,
            backoff.max_delay,
        ];
        assert_eq!(times.map(|time| time.as_secs()), [10, 10, 5, 1, 90]);
        assert_eq!((backoff.factor, backoff.jitter, max_attempts), (2.0, 0.1, 0));
        assert!(!unset.auto_start && !unset.optional && unset.requires.is_empty());
    }

    #[test]
    fn without_a_bound_it_is_restarted_for_ever() {
        let (state, action) = decide(&Lifecycle::default(), at(Running, 1_000_000), ended(Verdict::Again, 0));
        assert_eq!((state.status, action), (Failed, wait(90)));
    }

    #[test]
    fn only_a_returned_error_that_says_so_is_final() {
        let error = |retryable| Error::new(Kind::Internal, "no").with_retryable(retryable);
        for (exit, verdict) in [
            (Exit::returned(Packed::empty()), Verdict::Final),
            (Exit::because(Cause::Returned, error(Some(false))), Verdict::Final),
            (Exit::because(Cause::Returned, error(None)), Verdict::Again),
            (Exit::because(Cause::Returned, error(Some(true))), Verdict::Again),
            (Exit::failed(error(Some(false))), Verdict::Again),
            (Exit::terminated(), Verdict::Again),
            (Exit::because(Cause::Trap, error(Some(false))), Verdict::Again),
        ] {
            assert_eq!(Verdict::of_exit(&exit), verdict, "{exit:?}");
        }
        assert_eq!(Verdict::of_refusal(&error(Some(false))), Verdict::Final);
        assert_eq!(Verdict::of_refusal(&error(None)), Verdict::Final);
        assert_eq!(Verdict::of_refusal(&error(Some(true))), Verdict::Again);
    }
}
