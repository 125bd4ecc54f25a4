//! The order in which processes go on that could run: lanes for processes that were just woken, for those that have never
//! run, and for those whose slice ended.
//!
//! Woken and new ones take turns and go first, so that whoever spawns without end holds up nobody who has a message; a
//! preempted one waits at most seven beats of the tick for them. A turn is that of several processes as long as they are
//! quick: whoever waits for the ends of many is woken once for some of them, and code stays in the processor's caches.
//! Who is preempted because it has more messages than it takes in a slice does not wait as long: those go on before all others
//! for six beats, then the others have one. Else the many that send to it would leave it an eighth of the worker, and the
//! messages all the memory that a mailbox may hold. Within a lane it is first come, first served. Each worker has such a queue, and each host for the processes that its
//! bound holds back.
//!
//! Before them all goes whom the process that runs has sent a message, the first one if there are several: what the two
//! have to do with is in the processor's caches, and with a thousand such pairs that is most of the cost of a message. So
//! that nobody waits for a pair that never stops, no more than [`MOST_NEXT`] in a row go on so, and for no longer than one
//! process may run: together they are as one that uses up its slice.

use std::collections::VecDeque;
use std::sync::Arc;

use super::Process;
use super::slice::SLICE;

/// Beats for which woken processes may keep a preempted one waiting.
pub(super) const PREEMPTED_WAITS: u64 = 7;

/// Beats for which those that fall behind with their messages go before all others, as long as none began a slice later.
pub(super) const BEHIND_ROW: u64 = 3 * SLICE;

/// Beats from the last slice of such a row to the next row: that slice, and a beat for the others.
pub(super) const BEHIND_WAITS: u64 = SLICE + 1;

/// Processes of one lane that go one after the other before the other lane has its turn. With the next beat it is over too.
pub(super) const TURN: u32 = 8;

/// Processes that may go on in a row because the one before sent them something.
pub(super) const MOST_NEXT: u32 = 128;

type Lane = VecDeque<Arc<Process>>;

#[derive(Default)]
pub(super) struct Queue {
    woken: Lane,
    new: Lane,
    preempted: Lane,
    /// Preempted ones that fall behind with their messages.
    behind: Lane,
    /// Whom the process that runs has sent something.
    next: Option<Arc<Process>>,
    /// How many in a row were next, and the beat in which the one before them went on.
    row: u32,
    row_since: u64,
    /// It is the turn of new ones.
    new_first: bool,
    /// How many more of them have that turn, and in which beat it began.
    turns: u32,
    turn_since: u64,
    /// The beat in which a preempted one was last taken, or came when there was none.
    preempted_at: u64,
    /// The beat in which one that falls behind was last taken, and the first of its row.
    behind_at: u64,
    behind_since: u64,
    /// One that had waited for long was taken last: however long its slice was, those that go first are next.
    urgent_next: bool,
}

impl Queue {
    pub(super) fn push(&mut self, process: Arc<Process>, now: u64) {
        if process.is_preempted() && process.is_behind() {
            self.behind.push_back(process);
        } else if process.is_preempted() {
            if self.preempted.is_empty() {
                self.preempted_at = now;
            }
            self.preempted.push_back(process);
        } else if process.steps() == 0 {
            self.new.push_back(process);
        } else {
            self.woken.push_back(process);
        }
    }

    /// Has a process go on next to which the one that runs has sent something.
    pub(super) fn push_next(&mut self, process: Arc<Process>, now: u64) {
        if self.next.is_none() && self.row < MOST_NEXT && now < self.row_since + SLICE {
            self.next = Some(process);
        } else {
            self.push(process, now);
        }
    }

    /// Adds what another queue holds, which has waited already.
    pub(super) fn append(&mut self, mut other: Queue) {
        if self.preempted.is_empty() {
            self.preempted_at = other.preempted_at;
        }
        self.woken.extend(other.next.take());
        self.woken.append(&mut other.woken);
        self.new.append(&mut other.new);
        self.preempted.append(&mut other.preempted);
        self.behind.append(&mut other.behind);
    }

    pub(super) fn len(&self) -> usize {
        self.urgent() + self.preempted.len() + self.behind.len()
    }

    /// Length of the lanes of those that go first.
    pub(super) fn urgent(&self) -> usize {
        usize::from(self.next.is_some()) + self.woken.len() + self.new.len()
    }

    /// Whose turn it is. `only_urgent`: none of those that were preempted, unless it has waited for long.
    pub(super) fn pop(&mut self, only_urgent: bool, now: u64) -> Option<Arc<Process>> {
        let goes_first = self.urgent_next && !self.is_in_row(now);
        let waited = if goes_first { None } else { self.pop_waited(now) };
        self.urgent_next = waited.is_some();
        if waited.is_none()
            && let Some(next) = self.next.take()
        {
            self.row += 1;
            return Some(next);
        }
        (self.row, self.row_since) = (0, now);
        let urgent = waited.or_else(|| self.pop_urgent(now));
        if urgent.is_some() || only_urgent {
            return urgent;
        }
        self.pop_behind(now).or_else(|| self.pop_preempted(now))
    }

    /// One of those that give way to others but have waited long enough: whose turn was due first.
    fn pop_waited(&mut self, now: u64) -> Option<Arc<Process>> {
        let due = |lane: &Lane, at: u64| (!lane.is_empty() && at <= now).then_some(at);
        let preempted = due(&self.preempted, self.preempted_at + PREEMPTED_WAITS);
        let waits = if self.is_in_row(now) { 0 } else { BEHIND_WAITS };
        let behind = due(&self.behind, self.behind_at + waits);
        match (preempted, behind) {
            (Some(preempted), Some(behind)) if preempted < behind => self.pop_preempted(now),
            (Some(_), None) => self.pop_preempted(now),
            (_, Some(_)) => self.pop_behind(now),
            (None, None) => None,
        }
    }

    fn pop_preempted(&mut self, now: u64) -> Option<Arc<Process>> {
        self.preempted_at = now;
        self.preempted.pop_front()
    }

    fn pop_behind(&mut self, now: u64) -> Option<Arc<Process>> {
        let is_in_row = self.is_in_row(now);
        let process = self.behind.pop_front()?;
        if !is_in_row {
            self.behind_since = now;
        }
        self.behind_at = now;
        Some(process)
    }

    /// Whether those that fall behind go on before all others.
    fn is_in_row(&self, now: u64) -> bool {
        !self.behind.is_empty() && self.behind_since > 0 && now < self.behind_since + BEHIND_ROW
    }

    fn pop_urgent(&mut self, now: u64) -> Option<Arc<Process>> {
        if self.turns == 0 || now != self.turn_since || self.lane().is_empty() {
            self.pass_turn(now);
        }
        self.turns -= 1;
        self.lane().pop_front()
    }

    /// The turn is over; the other lane has it now if anybody is there.
    fn pass_turn(&mut self, now: u64) {
        let other = if self.new_first { &self.woken } else { &self.new };
        self.new_first ^= !other.is_empty();
        (self.turns, self.turn_since) = (TURN, now);
    }

    /// The lane whose turn it is.
    fn lane(&mut self) -> &mut Lane {
        match self.new_first {
            true => &mut self.new,
            false => &mut self.woken,
        }
    }

    /// Whose turn it is, however long anybody has waited.
    pub(super) fn pop_first(&mut self, now: u64) -> Option<Arc<Process>> {
        let next = self.next.take().or_else(|| self.pop_urgent(now));
        next.or_else(|| self.behind.pop_front())
            .or_else(|| self.preempted.pop_front())
    }

    /// The older half of each lane.
    pub(super) fn split(&mut self) -> Queue {
        Queue {
            preempted: older_half(&mut self.preempted),
            preempted_at: self.preempted_at,
            behind: older_half(&mut self.behind),
            ..self.split_urgent()
        }
    }

    /// The older half of those that go first.
    pub(super) fn split_urgent(&mut self) -> Queue {
        self.woken.extend(self.next.take());
        Queue {
            woken: older_half(&mut self.woken),
            new: older_half(&mut self.new),
            ..Queue::default()
        }
    }
}

fn older_half(lane: &mut Lane) -> Lane {
    let rest = lane.split_off(lane.len().div_ceil(2));
    std::mem::replace(lane, rest)
}
