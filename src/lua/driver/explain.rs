//! What the coroutines of a state are doing, for a person who asks why nothing happens: from outside, between two steps.

use std::time::Instant;

use super::raw::*;
use super::{Driver, Task, WaitState, What};
use crate::duration;
use crate::process::Doing;

impl Driver {
    /// One line for each coroutine that the scheduler knows, main first. Runs nothing of the state and allocates nothing in it.
    pub fn explain(&self) -> Vec<Doing> {
        let now = self.process().kernel().now();
        let tasks = self.tasks.iter().enumerate();
        let tasks = tasks.filter_map(|(number, task)| task.as_ref().map(|task| (number, task)));
        tasks.map(|(number, task)| doing(number, task, now)).collect()
    }
}

fn doing(number: usize, task: &Task, now: Instant) -> Doing {
    let who = if number == 0 { "main" } else { "a coroutine" };
    let what = match &task.wait {
        None => "could go on".to_owned(),
        Some(wait) => waits(wait) + &at_most(wait, now),
    };
    let l = task.wait.as_ref().map_or(task.thread, |wait| wait.l);
    Doing {
        what: format!("{who} {what}"),
        // SAFETY: the body is between two steps, so the coroutine is suspended.
        at: unsafe { frames(l) },
    }
}

fn waits(wait: &WaitState) -> String {
    match &wait.what {
        What::Sleep => "sleeps".to_owned(),
        What::Receive => "waits for a message".to_owned(),
        What::Channels { channels, select: true } => format!("waits for the first of {} channels", channels.len()),
        What::Channels { .. } => "waits for a channel".to_owned(),
        What::Guarded { .. } => "waits for what it runs under a deadline".to_owned(),
        What::Load => "waits for a file that another coroutine requires".to_owned(),
        What::Nothing => "waits for nothing: it yielded where nobody resumes it".to_owned(),
        What::Host(pending) => match pending.child() {
            Some(child) => format!("waits for the end of {} {}", child.entry(), child.pid()),
            None => "waits for a call of the runtime".to_owned(),
        },
    }
}

fn at_most(wait: &WaitState, now: Instant) -> String {
    let Some((at, _)) = wait.timer else {
        return String::new();
    };
    let left = at.saturating_duration_since(now);
    let left = i64::try_from(left.as_millis()).unwrap_or(i64::MAX / 1_000_000);
    format!(", {} at most", duration::format(left.saturating_mul(1_000_000)))
}

#[cfg(test)]
mod tests {
    use crate::lua::test_support::World;
    use crate::process::State;

    #[test]
    fn a_process_that_waits_says_for_what_and_where() {
        let world = World::new();
        let program = world.program(
            "main",
            "local time = require('time')
            coroutine.spawn(function() channel.new():receive() end)
            coroutine.spawn(function()
                time.sleep('1h')
            end)
            process.receive()",
        );
        let process = world.spawn(program, &[]).unwrap();
        while process.state() != State::Waiting {
            assert!(process.exit().is_none(), "it ended: {:?}", process.exit());
            std::thread::yield_now();
        }
        let doing = process.explain();
        let whats: Vec<&str> = doing.iter().map(|doing| doing.what.as_str()).collect();
        assert_eq!(whats[0], "main waits for a message");
        assert!(whats.contains(&"a coroutine waits for a channel"), "{whats:?}");
        let sleeper = doing
            .iter()
            .find(|doing| doing.what.starts_with("a coroutine sleeps, "))
            .unwrap();
        assert_eq!(sleeper.at[0].line, 4, "{sleeper:?}");
    }
}
