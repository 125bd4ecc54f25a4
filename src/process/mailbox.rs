//! The mailbox: one queue of messages and events per process, in order of arrival.
//!
//! To the program it is one queue; here it is kept as one lane per reader (unlistened messages, each listened topic,
//! events), every item with its arrival number, so that each kind of reader finds its oldest item at once. It also holds
//! whom the process monitors and whom it is linked to: an EXIT or LINK_DOWN is queued and an `unmonitor` or `unlink` takes
//! effect under the same lock, so no event of a relation can be seen after the relation was undone. Waking the owner is
//! left to [`Process`](super::Process), keeping both ends of a link in step to [`Kernel`](super::Kernel).
//!
//! Ends are never dropped, so somebody has to answer for the room that unread ones take. Those that the process wanted to
//! hear of are [held](Mailbox::held) by it. A LINK_DOWN of a link that the other side asked for is not: there is a bound
//! for the number of such links and events together, and one that has no room left comes in few words.
//!
//! Invariant: every queued item is in exactly one lane, and lanes are sorted by arrival.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet, VecDeque};
use std::sync::Arc;

use rustc_hash::FxBuildHasher;

use super::{Exit, Received};
use crate::id::Pid;
use crate::value::Packed;

/// The topic of a message.
pub type Topic = Arc<str>;

/// Bytes counted for a message beside its payload and topic.
const OVERHEAD: usize = 64;

/// A message as queued.
#[derive(Clone, Debug, PartialEq)]
pub struct Message {
    /// The sender, when a process sent it.
    pub from: Option<Pid>,
    pub topic: Topic,
    pub payload: Packed,
}

/// Something the runtime tells a process.
#[derive(Clone, Debug, PartialEq)]
pub struct Event {
    pub kind: EventKind,
    /// The process that ended, or the one that cancels.
    pub from: Option<Pid>,
    /// Unix seconds.
    pub at: i64,
}

impl Event {
    fn is_from(&self, number: u64) -> bool {
        self.from.as_ref().is_some_and(|pid| pid.number() == number)
    }
}

#[derive(Clone, Debug, PartialEq)]
pub enum EventKind {
    Exit(Arc<Exit>),
    LinkDown(Arc<Exit>),
    /// With the reason, empty when none was given.
    Cancel(Arc<str>),
}

/// An item in the order of arrival.
#[derive(Clone, Debug, PartialEq)]
pub enum Taken {
    Message(Message),
    Event(Event),
}

/// Where the messages came from that a program took last. Keeps what is dropped otherwise, so it costs next to nothing.
#[derive(Default)]
pub struct Trail(VecDeque<Received>);

/// Messages that a trail keeps.
const TRAIL: usize = 5;

impl Trail {
    /// A program has taken a message.
    pub fn note(&mut self, from: Option<Pid>, topic: Topic) {
        match self.0.len() {
            0 => self.0.reserve_exact(TRAIL),
            TRAIL => drop(self.0.pop_front()),
            _ => {}
        }
        self.0.push_back((from, topic));
    }

    /// Oldest first.
    pub fn to_vec(&self) -> Vec<Received> {
        self.0.iter().cloned().collect()
    }
}

/// How much a mailbox may hold. Events do not count.
#[derive(Clone, Copy, Debug)]
pub struct Bound {
    pub messages: usize,
    pub bytes: usize,
}

impl Bound {
    /// Whether an item of that size goes to so many of so many bytes.
    ///
    /// # Errors
    /// Full or TooLarge.
    pub(super) fn check(self, count: usize, bytes: usize, size: usize) -> Result<(), Refused> {
        if size > self.bytes {
            return Err(Refused::TooLarge(size));
        }
        if count >= self.messages || bytes.saturating_add(size) > self.bytes {
            return Err(Refused::Full);
        }
        Ok(())
    }
}

impl Default for Bound {
    fn default() -> Bound {
        Bound {
            messages: 100_000,
            bytes: 64 << 20,
        }
    }
}

/// Numbers of processes. They are the kernel's own, so a quick hash will do.
pub(super) type Numbers = HashSet<u64, FxBuildHasher>;

type Lane<T> = VecDeque<(u64, T)>;

/// See the module page.
#[derive(Default)]
pub struct Mailbox {
    arrivals: u64,
    messages: Lane<Message>,
    events: Lane<Event>,
    held: Held,
    listened: HashMap<Topic, Lane<Message>>,
    count: usize,
    bytes: usize,
    closed: bool,
    /// How many items had been taken when it was last asked whether the owner falls behind.
    taken_before: u64,
    /// Numbers of the processes whose EXIT is still owed to this one.
    watching: Numbers,
    /// Numbers of the processes that it is linked to, which know it the same way; whether it asked for the link itself.
    links: BTreeMap<u64, bool>,
    trap_links: bool,
}

/// Whom the owner of a closed mailbox knew.
pub(super) struct Closed {
    /// Whose EXIT was still owed.
    pub watching: Numbers,
    pub links: BTreeMap<u64, bool>,
}

/// What the failure of a linked process means to its peer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum LinkDown {
    /// It reads an event.
    Told,
    /// It has to end too.
    Ends,
    /// Nothing: the link is gone.
    Unlinked,
}

/// Why an item was not queued.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Refused {
    Full,
    /// It would not fit into an empty mailbox either; how many bytes it takes.
    TooLarge(usize),
    /// The process has ended.
    Closed,
}

impl Mailbox {
    /// Gives the topic a lane of its own, with what is queued of it already.
    pub fn listen(&mut self, topic: &Topic) {
        if self.listened.contains_key(topic) {
            return;
        }
        let (own, rest) = std::mem::take(&mut self.messages)
            .into_iter()
            .partition(|(_, message)| message.topic == *topic);
        self.messages = rest;
        self.listened.insert(topic.clone(), own);
    }

    /// Makes unread and later messages of the topic ordinary ones again.
    pub fn unlisten(&mut self, topic: &Topic) {
        let Some(lane) = self.listened.remove(topic) else {
            return;
        };
        if lane.is_empty() {
            return;
        }
        self.messages.extend(lane);
        self.messages.make_contiguous().sort_by_key(|(arrival, _)| *arrival);
    }

    /// Makes all messages ordinary ones.
    pub fn unlisten_all(&mut self) {
        let lanes = std::mem::take(&mut self.listened);
        self.messages.extend(lanes.into_values().flatten());
        // Once for all of them, however many topics there are.
        self.messages.make_contiguous().sort_by_key(|(arrival, _)| *arrival);
    }

    /// The oldest message of a topic that nobody listens to.
    pub fn take_message(&mut self) -> Option<Message> {
        let (_, message) = self.messages.pop_front()?;
        Some(self.taken(message))
    }

    /// The oldest message of a listened topic.
    pub fn take_listened(&mut self, topic: &Topic) -> Option<Message> {
        let (_, message) = self.listened.get_mut(topic)?.pop_front()?;
        Some(self.taken(message))
    }

    /// The oldest event.
    pub fn take_event(&mut self) -> Option<Event> {
        let (arrival, event) = self.events.pop_front()?;
        self.held.remove(arrival, &event);
        Some(event)
    }

    /// About how many bytes the process has others keep for it: ends that it wanted to hear of and has not read, and whom
    /// it monitors and asked to be linked to. Messages have a bound of their own.
    pub fn held(&self) -> usize {
        self.held.bytes + (self.watching.len() + self.links.len() - self.held.strangers) * OVERHEAD
    }

    /// Drops events that are unwanted.
    fn withdraw(&mut self, unwanted: impl Fn(u64, &Event) -> bool) {
        let held = &mut self.held;
        self.events.retain(|(arrival, event)| {
            let unwanted = unwanted(*arrival, event);
            if unwanted {
                held.remove(*arrival, event);
            }
            !unwanted
        });
    }

    /// The oldest item among unlistened messages and events, as far as each kind is allowed.
    pub fn take_any(&mut self, messages: bool, events: bool) -> Option<Taken> {
        let arrival = |wanted: bool, front: Option<u64>| front.filter(|_| wanted).unwrap_or(u64::MAX);
        let message = arrival(messages, self.messages.front().map(|item| item.0));
        let event = arrival(events, self.events.front().map(|item| item.0));
        if message < event {
            self.take_message().map(Taken::Message)
        } else if event < u64::MAX {
            self.take_event().map(Taken::Event)
        } else {
            None
        }
    }

    /// How many items have arrived so far, for a later [`Mailbox::forget`].
    pub fn arrivals(&self) -> u64 {
        self.arrivals
    }

    /// Whether the owner takes messages, but not as fast as they come: since this was last asked it has taken fewer than
    /// lie there now.
    pub(super) fn falls_behind(&mut self) -> bool {
        let all_taken = self.arrivals - self.len() as u64;
        let taken = all_taken - std::mem::replace(&mut self.taken_before, all_taken);
        taken > 0 && taken < self.count as u64
    }

    /// Drops what arrived since from senders that are unwanted; what nobody sent is kept.
    pub fn forget(&mut self, since: u64, unwanted: impl Fn(&Pid) -> bool) {
        let kept = |arrival: u64, from: &Option<Pid>| arrival <= since || !from.as_ref().is_some_and(&unwanted);
        self.withdraw(|arrival, event| !kept(arrival, &event.from));
        for lane in self.listened.values_mut().chain([&mut self.messages]) {
            lane.retain(|(arrival, message)| {
                let kept = kept(*arrival, &message.from);
                if !kept {
                    self.count -= 1;
                    self.bytes -= size(message);
                }
                kept
            });
        }
    }

    /// Undoes the relations with processes whose number is higher: nothing comes of their ends any more.
    pub fn part_from_newer(&mut self, newest: u64) {
        self.watching.retain(|number| *number <= newest);
        let links = self.links.split_off(&(newest + 1));
        self.held.strangers -= links.values().filter(|asked| !**asked).count();
    }

    pub fn has_event(&self) -> bool {
        !self.events.is_empty()
    }

    pub fn has_listened(&self, topic: &Topic) -> bool {
        self.listened.get(topic).is_some_and(|lane| !lane.is_empty())
    }

    /// Whether a CANCEL lies there unread.
    pub fn has_cancel(&self) -> bool {
        self.events
            .iter()
            .any(|(_, event)| matches!(event.kind, EventKind::Cancel(_)))
    }

    /// Items queued and not yet taken.
    pub fn len(&self) -> usize {
        self.count + self.events.len()
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The processes whose EXIT is owed.
    pub fn watching(&self) -> impl Iterator<Item = u64> {
        self.watching.iter().copied()
    }

    /// The processes it is linked to, oldest first.
    pub fn links(&self) -> impl Iterator<Item = u64> {
        self.links.keys().copied()
    }

    #[cfg(test)]
    pub fn has_links(&self) -> bool {
        !self.links.is_empty()
    }

    /// Whether the failure of a linked process is an event and not the end.
    pub fn traps_links(&self) -> bool {
        self.trap_links
    }

    pub fn set_trap_links(&mut self, trap: bool) {
        self.trap_links = trap;
    }

    pub(super) fn push_message(&mut self, message: Message, bound: Bound) -> Result<(), Refused> {
        if self.closed {
            return Err(Refused::Closed);
        }
        let size = size(&message);
        bound.check(self.count, self.bytes, size)?;
        self.count += 1;
        self.bytes += size;
        let arrival = self.arrival();
        let lane = if self.listened.is_empty() {
            &mut self.messages
        } else {
            self.listened.get_mut(&message.topic).unwrap_or(&mut self.messages)
        };
        lane.push_back((arrival, message));
        Ok(())
    }

    pub(super) fn push_event(&mut self, event: Event) -> Result<(), Refused> {
        if self.closed {
            return Err(Refused::Closed);
        }
        let arrival = self.arrival();
        self.held.add(&event);
        self.events.push_back((arrival, event));
        Ok(())
    }

    /// Queues a CANCEL, if somebody may cancel the process once more.
    pub(super) fn push_cancel(&mut self, event: Event, bound: Bound) -> Result<(), Refused> {
        if self.closed {
            return Err(Refused::Closed);
        }
        if let EventKind::Cancel(reason) = &event.kind {
            bound.check(self.held.cancels, self.held.reasons, reason.len() + OVERHEAD)?;
        }
        self.push_event(event)
    }

    /// Queues the EXIT of a monitored process; false when the relation is gone.
    pub(super) fn push_exit(&mut self, event: Event) -> bool {
        let owed = event
            .from
            .as_ref()
            .is_some_and(|pid| self.watching.remove(&pid.number()));
        owed && self.push_event(event).is_ok()
    }

    /// Notes that an EXIT is owed; false when it was already.
    pub(super) fn watch(&mut self, target: u64) -> bool {
        self.watching.insert(target)
    }

    /// Undoes a relation: an EXIT that lies unread is withdrawn too.
    pub(super) fn unwatch(&mut self, target: u64) {
        if !self.watching.remove(&target) {
            self.withdraw(|_, event| matches!(event.kind, EventKind::Exit(_)) && event.is_from(target));
        }
    }

    /// Notes this end of a link; `asked`: the process itself wants it.
    ///
    /// # Errors
    /// Full when as many links that others asked for, and ends of such, lie there as the mailbox may hold messages.
    pub(super) fn link(&mut self, peer: u64, asked: bool, bound: Bound) -> Result<(), Refused> {
        if self.closed {
            return Err(Refused::Closed);
        }
        match self.links.get_mut(&peer) {
            Some(before) if asked && !*before => {
                *before = true;
                self.held.strangers -= 1;
            }
            Some(_) => {}
            None if asked => {
                self.links.insert(peer, true);
            }
            None if self.held.strangers + self.held.strange.len() < bound.messages.max(1) => {
                self.links.insert(peer, false);
                self.held.strangers += 1;
            }
            None => return Err(Refused::Full),
        }
        Ok(())
    }

    /// Takes a peer off the links; whether the process had asked for it, if it was one.
    fn remove_link(&mut self, peer: u64) -> Option<bool> {
        let asked = self.links.remove(&peer)?;
        self.held.strangers -= usize::from(!asked);
        Some(asked)
    }

    /// Undoes this end of a link: a LINK_DOWN that lies unread is withdrawn too.
    pub(super) fn unlink(&mut self, peer: u64) {
        if self.remove_link(peer).is_none() {
            self.withdraw(|_, event| matches!(event.kind, EventKind::LinkDown(_)) && event.is_from(peer));
        }
    }

    /// A linked process has failed so.
    pub(super) fn push_link_down(&mut self, peer: &Pid, exit: &Arc<Exit>, at: i64, bound: Bound) -> LinkDown {
        let Some(asked) = self.remove_link(peer.number()) else {
            return LinkDown::Unlinked;
        };
        if !self.trap_links {
            return LinkDown::Ends;
        }
        let room = bound.bytes.saturating_sub(self.held.strange_bytes);
        let exit = match asked || exit.weight() + OVERHEAD <= room {
            true => exit.clone(),
            false => Arc::new(exit.in_few_words()),
        };
        let event = Event {
            kind: EventKind::LinkDown(exit),
            from: Some(peer.clone()),
            at,
        };
        let arrival = self.arrival();
        match asked {
            true => self.held.add(&event),
            false => self.held.add_strange(arrival, &event),
        }
        self.events.push_back((arrival, event));
        LinkDown::Told
    }

    pub(super) fn is_closed(&self) -> bool {
        self.closed
    }

    /// Discards everything and takes nothing any more.
    pub(super) fn close(&mut self) -> Closed {
        self.closed = true;
        self.messages = Lane::new();
        self.events = Lane::new();
        self.listened.clear();
        self.held = Held::default();
        (self.count, self.bytes) = (0, 0);
        Closed {
            watching: std::mem::take(&mut self.watching),
            links: std::mem::take(&mut self.links),
        }
    }

    fn arrival(&mut self) -> u64 {
        self.arrivals += 1;
        self.arrivals
    }

    fn taken(&mut self, message: Message) -> Message {
        self.count -= 1;
        self.bytes -= size(&message);
        message
    }
}

/// What the queued events take.
#[derive(Default)]
struct Held {
    cancels: usize,
    /// Bytes of the CANCELs, which have a bound, and of the others.
    reasons: usize,
    bytes: usize,
    /// Links that others asked for.
    strangers: usize,
    /// Arrivals of the LINK_DOWNs of such links, and the bytes of these.
    strange: BTreeSet<u64>,
    strange_bytes: usize,
}

impl Held {
    fn add(&mut self, event: &Event) {
        match &event.kind {
            EventKind::Cancel(reason) => {
                self.cancels += 1;
                self.reasons += reason.len() + OVERHEAD;
            }
            EventKind::Exit(exit) | EventKind::LinkDown(exit) => self.bytes += exit.weight() + OVERHEAD,
        }
    }

    fn add_strange(&mut self, arrival: u64, event: &Event) {
        if let EventKind::LinkDown(exit) = &event.kind {
            self.strange.insert(arrival);
            self.strange_bytes += exit.weight() + OVERHEAD;
        }
    }

    fn remove(&mut self, arrival: u64, event: &Event) {
        match &event.kind {
            EventKind::Cancel(reason) => {
                self.cancels -= 1;
                self.reasons -= reason.len() + OVERHEAD;
            }
            EventKind::LinkDown(exit) if self.strange.remove(&arrival) => {
                self.strange_bytes -= exit.weight() + OVERHEAD;
            }
            EventKind::Exit(exit) | EventKind::LinkDown(exit) => self.bytes -= exit.weight() + OVERHEAD,
        }
    }
}

fn size(message: &Message) -> usize {
    message.payload.size() + message.topic.len() + OVERHEAD
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::id::HostName;
    use crate::value::Value;

    fn message(topic: &str, number: i64) -> Message {
        Message {
            from: None,
            topic: topic.into(),
            payload: Packed::from_value(&Value::Int(number)),
        }
    }

    fn cancel(reason: &str) -> Event {
        Event {
            kind: EventKind::Cancel(reason.into()),
            from: None,
            at: 0,
        }
    }

    fn filled() -> Mailbox {
        let mut mailbox = Mailbox::default();
        for (index, topic) in ["a", "b", "a", "c"].into_iter().enumerate() {
            mailbox
                .push_message(message(topic, index as i64), Bound::default())
                .unwrap();
            if index == 1 {
                mailbox.push_event(cancel("stop")).unwrap();
            }
        }
        mailbox
    }

    fn drain(mailbox: &mut Mailbox) -> Vec<String> {
        std::iter::from_fn(|| mailbox.take_any(true, true))
            .map(|taken| match taken {
                Taken::Message(message) => message.topic.to_string(),
                Taken::Event(_) => "event".to_owned(),
            })
            .collect()
    }

    #[test]
    fn items_come_in_the_order_of_arrival() {
        assert_eq!(drain(&mut filled()), ["a", "b", "event", "a", "c"]);
    }

    #[test]
    fn listen_takes_what_is_queued_and_unlisten_puts_it_back_in_place() {
        let mut mailbox = filled();
        let topic: Topic = "a".into();
        mailbox.listen(&topic);
        assert!(mailbox.has_listened(&topic));
        assert_eq!(mailbox.take_listened(&topic), Some(message("a", 0)));
        mailbox.push_message(message("a", 9), Bound::default()).unwrap();
        mailbox.unlisten(&topic);
        assert_eq!(drain(&mut mailbox), ["b", "event", "a", "c", "a"]);
        assert_eq!(mailbox.len(), 0);
    }

    fn exit_of(number: u64) -> Event {
        Event {
            kind: EventKind::Exit(Arc::new(Exit::terminated())),
            from: Some(Pid::new(HostName::keep("h"), number)),
            at: 0,
        }
    }

    #[test]
    fn who_parts_from_newer_ones_hears_of_the_others_ends_alone() {
        let mut mailbox = Mailbox::default();
        let (exit, bound) = (Arc::new(Exit::terminated()), Bound::default());
        mailbox.set_trap_links(true);
        for number in [1, 2, 3] {
            mailbox.watch(number);
            mailbox.link(number, number == 1, bound).unwrap();
        }
        mailbox.part_from_newer(2);
        assert_eq!(mailbox.links().collect::<Vec<_>>(), [1, 2]);
        assert_eq!(
            [1, 2, 3].map(|number| mailbox.push_exit(exit_of(number))),
            [true, true, false]
        );
        let mut down = |number| {
            let peer = Pid::new(HostName::keep("h"), number);
            matches!(mailbox.push_link_down(&peer, &exit, 0, bound), LinkDown::Told)
        };
        assert_eq!([1, 2, 3].map(&mut down), [true, true, false]);
    }

    #[test]
    fn claimed_kinds_stay_queued() {
        let mut mailbox = filled();
        assert_eq!(mailbox.take_any(false, true), Some(Taken::Event(cancel("stop"))));
        assert_eq!(mailbox.take_any(false, true), None);
        assert_eq!(mailbox.len(), 4);
    }

    #[test]
    fn a_full_mailbox_refuses_messages_but_never_events() {
        let bound = Bound {
            messages: 2,
            bytes: 1 << 20,
        };
        let mut mailbox = Mailbox::default();
        mailbox.push_message(message("a", 1), bound).unwrap();
        mailbox.push_message(message("a", 2), bound).unwrap();
        assert_eq!(mailbox.push_message(message("a", 3), bound), Err(Refused::Full));
        mailbox.push_event(cancel("")).unwrap();
        mailbox.take_message();
        mailbox.push_message(message("a", 3), bound).unwrap();
        let tight = Bound {
            messages: 9,
            bytes: 100,
        };
        assert_eq!(mailbox.push_message(message("a", 4), tight), Err(Refused::Full));
    }

    #[test]
    fn an_exit_is_owed_once_and_unwatch_withdraws_it() {
        let mut mailbox = Mailbox::default();
        assert!(mailbox.watch(1) && mailbox.watch(2) && !mailbox.watch(1));
        assert!(mailbox.push_exit(exit_of(1)));
        assert!(!mailbox.push_exit(exit_of(1)), "only once");
        mailbox.unwatch(1);
        assert!(!mailbox.has_event());
        mailbox.unwatch(2);
        assert!(!mailbox.push_exit(exit_of(2)));
    }
}
