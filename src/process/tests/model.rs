//! The kernel against a small model of it, under random interleavings of what can be done to processes.
//!
//! The kernel has no threads here: an operation [`Op::Step`] steps what was queued first. So a process can be told, linked
//! or killed in every state that it can be in, and the same operations always do the same.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use proptest::prelude::*;

use super::*;

/// Messages that a mailbox takes, and as many CANCELs.
const ROOM: usize = 3;

/// Operations name processes by a number, modulo how many were ever spawned.
#[derive(Clone, Copy, Debug)]
enum Op {
    Spawn {
        parent: usize,
        monitor: bool,
        link: bool,
    },
    Send {
        from: usize,
        to: usize,
    },
    Take {
        by: usize,
    },
    Link {
        one: usize,
        two: usize,
    },
    Unlink {
        one: usize,
        two: usize,
    },
    Monitor {
        by: usize,
        of: usize,
    },
    Unmonitor {
        by: usize,
        of: usize,
    },
    Trap {
        by: usize,
        trap: bool,
    },
    Name {
        whom: usize,
        name: usize,
    },
    Cancel {
        whom: usize,
    },
    /// Returns, or fails, when it is stepped next.
    End {
        whom: usize,
        fails: bool,
    },
    Kill {
        whom: usize,
    },
    Step,
}

fn op() -> impl Strategy<Value = Op> {
    let id = || 0..1000_usize;
    let flag = any::<bool>;
    prop_oneof![
        3 => (id(), flag(), flag()).prop_map(|(parent, monitor, link)| Op::Spawn { parent, monitor, link }),
        3 => (id(), id()).prop_map(|(from, to)| Op::Send { from, to }),
        2 => id().prop_map(|by| Op::Take { by }),
        4 => (id(), id()).prop_map(|(one, two)| Op::Link { one, two }),
        1 => (id(), id()).prop_map(|(one, two)| Op::Unlink { one, two }),
        3 => (id(), id()).prop_map(|(by, of)| Op::Monitor { by, of }),
        1 => (id(), id()).prop_map(|(by, of)| Op::Unmonitor { by, of }),
        2 => (id(), flag()).prop_map(|(by, trap)| Op::Trap { by, trap }),
        1 => (id(), 0..3_usize).prop_map(|(whom, name)| Op::Name { whom, name }),
        1 => id().prop_map(|whom| Op::Cancel { whom }),
        2 => (id(), flag()).prop_map(|(whom, fails)| Op::End { whom, fails }),
        1 => id().prop_map(|whom| Op::Kill { whom }),
        6 => Just(Op::Step),
    ]
}

/// An item of a mailbox, processes by number.
#[derive(Clone, Debug, PartialEq)]
enum Item {
    Message(i64),
    Cancel,
    Exit(usize, Cause),
    LinkDown(usize, Cause),
}

/// What is known of a process.
#[derive(Debug, Default)]
struct Known {
    queued: bool,
    doomed: Option<Cause>,
    /// What its body does when it is stepped next.
    ends: Option<Cause>,
    ended: Option<Cause>,
    traps: bool,
    links: BTreeSet<usize>,
    watching: BTreeSet<usize>,
    watchers: Vec<usize>,
    mailbox: VecDeque<Item>,
}

/// What the kernel should be like.
#[derive(Default)]
struct Model {
    processes: Vec<Known>,
    /// In the order in which they are stepped.
    queue: VecDeque<usize>,
    names: BTreeMap<usize, usize>,
}

impl Model {
    fn lives(&self, id: usize) -> bool {
        self.processes[id].ended.is_none()
    }

    fn reads(&self, id: usize) -> bool {
        self.lives(id) && self.processes[id].doomed.is_none()
    }

    fn wake(&mut self, id: usize) {
        if self.lives(id) && !std::mem::replace(&mut self.processes[id].queued, true) {
            self.queue.push_back(id);
        }
    }

    fn doom(&mut self, id: usize, cause: Cause) {
        self.processes[id].doomed.get_or_insert(cause);
        self.wake(id);
    }

    fn tell(&mut self, id: usize, item: Item) {
        self.processes[id].mailbox.push_back(item);
        self.wake(id);
    }

    fn step(&mut self) {
        let Some(id) = self.queue.pop_front() else { return };
        let process = &mut self.processes[id];
        process.queued = false;
        if let Some(cause) = process.doomed.or(process.ends) {
            self.end(id, cause);
        }
    }

    fn end(&mut self, id: usize, cause: Cause) {
        let process = &mut self.processes[id];
        process.ended = Some(cause);
        process.mailbox.clear();
        let watching = std::mem::take(&mut process.watching);
        let watchers = std::mem::take(&mut process.watchers);
        let links = std::mem::take(&mut process.links);
        self.names.retain(|_, holder| *holder != id);
        for target in watching {
            self.forget_watcher(target, id);
        }
        for watcher in watchers {
            if self.lives(watcher) && self.processes[watcher].watching.remove(&id) {
                self.tell(watcher, Item::Exit(id, cause));
            }
        }
        for peer in links {
            if !self.lives(peer) {
                continue;
            }
            self.processes[peer].links.remove(&id);
            match (cause, self.processes[peer].traps) {
                (Cause::Returned, _) => {}
                (_, true) => self.tell(peer, Item::LinkDown(id, cause)),
                (_, false) => self.doom(peer, Cause::LinkBroken),
            }
        }
    }

    fn forget_watcher(&mut self, target: usize, watcher: usize) {
        let watchers = &mut self.processes[target].watchers;
        if let Some(place) = watchers.iter().position(|id| *id == watcher) {
            watchers.swap_remove(place);
        }
    }

    fn withdraw(&mut self, from: usize, unwanted: impl Fn(&Item) -> bool) {
        self.processes[from].mailbox.retain(|item| !unwanted(item));
    }

    fn messages(&self, id: usize) -> usize {
        let items = self.processes[id].mailbox.iter();
        items.filter(|item| matches!(item, Item::Message(_))).count()
    }

    /// Links, and ends of linked processes that lie unread: those that others asked for are among them.
    fn links(&self, id: usize) -> usize {
        let items = self.processes[id].mailbox.iter();
        let unread = items.filter(|item| matches!(item, Item::LinkDown(..))).count();
        self.processes[id].links.len() + unread
    }

    fn cancels(&self, id: usize) -> usize {
        let items = self.processes[id].mailbox.iter();
        items.filter(|item| **item == Item::Cancel).count()
    }
}

/// Kernel and model side by side.
struct Pair {
    world: World,
    processes: Vec<Arc<Process>>,
    /// What each body does when it is stepped next.
    ends: Vec<Arc<Mutex<Option<Exit>>>>,
    model: Model,
    sent: i64,
}

impl Pair {
    fn new() -> Pair {
        let mut pair = Pair {
            world: World::unmanned(|host| host.mailbox.messages = ROOM),
            processes: Vec::new(),
            ends: Vec::new(),
            model: Model::default(),
            sent: 0,
        };
        pair.spawn(None, Ties::NONE);
        pair
    }

    fn spawn(&mut self, parent: Option<usize>, ties: Ties) {
        let ends = Arc::new(Mutex::new(None::<Exit>));
        let cell = ends.clone();
        let program = World::program(move |_, _| {
            let cell = cell.clone();
            poll_fn(move |_| match cell.lock().unwrap().take() {
                Some(exit) => Poll::Ready(exit),
                None => Poll::Pending,
            })
        });
        let spawned = self.world.kernel.spawn(Spawn {
            parent: parent.map(|parent| self.processes[parent].clone()),
            ties,
            ..self.world.request(program)
        });
        self.processes.push(spawned.unwrap());
        self.ends.push(ends);
        let id = self.model.processes.len();
        self.model.processes.push(Known::default());
        if let Some(parent) = parent {
            if ties.link {
                self.model.processes[parent].links.insert(id);
                self.model.processes[id].links.insert(parent);
            }
            if ties.monitor {
                self.model.processes[parent].watching.insert(id);
                self.model.processes[id].watchers.push(parent);
            }
        }
        self.model.wake(id);
    }

    /// What happens, by both. Only a process that could be running does something itself.
    fn apply(&mut self, op: Op) {
        let count = self.processes.len();
        let pick = |id: usize| id % count;
        match op {
            Op::Spawn { parent, monitor, link } => {
                let parent = pick(parent);
                if self.model.reads(parent) && count < 12 {
                    self.spawn(Some(parent), Ties { monitor, link });
                }
            }
            Op::Send { from, to } => self.send(pick(from), pick(to)),
            Op::Take { by } => {
                let by = pick(by);
                let taken = self.processes[by].mailbox().take_any(true, true);
                let expected = self.model.processes[by].mailbox.pop_front();
                assert_eq!(taken.map(|taken| self.seen(taken)), expected);
            }
            Op::Link { one, two } => self.link(pick(one), pick(two)),
            Op::Unlink { one, two } => self.unlink(pick(one), pick(two)),
            Op::Monitor { by, of } => self.monitor(pick(by), pick(of)),
            Op::Unmonitor { by, of } => self.unmonitor(pick(by), pick(of)),
            Op::Trap { by, trap } => {
                let by = pick(by);
                if self.model.reads(by) {
                    self.processes[by].mailbox().set_trap_links(trap);
                    self.model.processes[by].traps = trap;
                }
            }
            Op::Name { whom, name } => self.name(pick(whom), name),
            Op::Cancel { whom } => {
                let whom = pick(whom);
                let cancelled = self.world.kernel.cancel(None, self.processes[whom].pid(), "");
                let expected = match self.model.lives(whom) {
                    false => Some(Kind::NotFound),
                    true if self.model.cancels(whom) == ROOM => Some(Kind::Unavailable),
                    true => None,
                };
                assert_eq!(cancelled.err().map(|error| error.kind()), expected);
                if expected.is_none() {
                    self.model.tell(whom, Item::Cancel);
                }
            }
            Op::End { whom, fails } => self.end(pick(whom), fails),
            Op::Kill { whom } => {
                let whom = pick(whom);
                let killed = self.world.kernel.terminate(self.processes[whom].pid());
                assert_eq!(killed.is_ok(), self.model.lives(whom));
                if self.model.lives(whom) {
                    self.model.doom(whom, Cause::Terminated);
                }
            }
            Op::Step => {
                self.world.kernel.scheduler().step_first(&self.world.kernel);
                self.model.step();
            }
        }
    }

    fn send(&mut self, from: usize, to: usize) {
        self.sent += 1;
        let result = send(&self.processes[from], self.processes[to].pid(), self.sent);
        let expected = match self.model.reads(to) {
            false => Some(Kind::NotFound),
            true if self.model.messages(to) == ROOM => Some(Kind::Unavailable),
            true => None,
        };
        assert_eq!(result.err().map(|error| error.kind()), expected);
        if expected.is_none() {
            self.model.tell(to, Item::Message(self.sent));
        }
    }

    fn link(&mut self, one: usize, two: usize) {
        if !self.model.reads(one) {
            return;
        }
        let linked = self.world.kernel.link(&self.processes[one], self.processes[two].pid());
        let expected = match (one == two, self.model.lives(two)) {
            (true, _) => Some(Kind::Invalid),
            (false, false) => Some(Kind::NotFound),
            (false, true) => None,
        };
        let refusal = linked.err().map(|error| error.kind());
        if expected.is_none() && refusal == Some(Kind::Unavailable) && self.model.links(two) >= ROOM {
            // Others have asked it for as many as its mailbox has room for.
            return;
        }
        assert_eq!(refusal, expected);
        if expected.is_none() {
            self.model.processes[one].links.insert(two);
            self.model.processes[two].links.insert(one);
        }
    }

    fn unlink(&mut self, one: usize, two: usize) {
        if !self.model.reads(one) {
            return;
        }
        self.world
            .kernel
            .unlink(&self.processes[one], self.processes[two].pid());
        for (own, other) in [(one, two), (two, one)] {
            if !self.model.processes[own].links.remove(&other) && own == one {
                let is_its = |item: &Item| matches!(item, Item::LinkDown(id, _) if *id == other);
                self.model.withdraw(own, is_its);
            }
        }
    }

    fn monitor(&mut self, by: usize, of: usize) {
        if !self.model.reads(by) {
            return;
        }
        let result = self.world.kernel.monitor(&self.processes[by], self.processes[of].pid());
        let expected = if by == of {
            Some(Kind::Invalid)
        } else if !self.model.lives(of) {
            Some(Kind::NotFound)
        } else {
            let known = self.model.processes[by].watching.contains(&of);
            known.then_some(Kind::AlreadyExists)
        };
        assert_eq!(result.err().map(|error| error.kind()), expected);
        if expected.is_none() {
            self.model.processes[by].watching.insert(of);
            self.model.processes[of].watchers.push(by);
        }
    }

    fn unmonitor(&mut self, by: usize, of: usize) {
        if !self.model.reads(by) {
            return;
        }
        self.world
            .kernel
            .unmonitor(&self.processes[by], self.processes[of].pid());
        if !self.model.processes[by].watching.remove(&of) {
            let is_its = |item: &Item| matches!(item, Item::Exit(id, _) if *id == of);
            self.model.withdraw(by, is_its);
        }
        self.model.forget_watcher(of, by);
    }

    fn name(&mut self, whom: usize, name: usize) {
        let result = self
            .world
            .kernel
            .register(&format!("name {name}"), self.processes[whom].pid());
        let holder = self.model.names.get(&name).copied();
        let expected = match holder {
            _ if !self.model.lives(whom) => Some(Kind::NotFound),
            Some(holder) if holder != whom && self.model.reads(holder) => Some(Kind::AlreadyExists),
            _ => None,
        };
        assert_eq!(result.err().map(|error| error.kind()), expected);
        if expected.is_none() {
            self.model.names.insert(name, whom);
        }
    }

    fn end(&mut self, whom: usize, fails: bool) {
        if !self.model.reads(whom) {
            return;
        }
        let exit = match fails {
            true => Exit::failed(Error::internal("failed")),
            false => done(),
        };
        self.model.processes[whom].ends = Some(exit.cause);
        *self.ends[whom].lock().unwrap() = Some(exit);
        self.processes[whom].wake();
        self.model.wake(whom);
    }

    fn seen(&self, taken: Taken) -> Item {
        let id = |pid: &Pid| {
            let place = self.processes.iter().position(|process| process.pid() == pid);
            place.expect("a process of this test")
        };
        match taken {
            Taken::Message(_) => Item::Message(number(taken)),
            Taken::Event(Event { kind, from, .. }) => match (kind, from) {
                (EventKind::Exit(exit), Some(from)) => Item::Exit(id(&from), exit.cause),
                (EventKind::LinkDown(exit), Some(from)) => Item::LinkDown(id(&from), exit.cause),
                (EventKind::Cancel(_), None) => Item::Cancel,
                other => panic!("unexpected: {other:?}"),
            },
        }
    }

    /// What both say of every process.
    fn compare(&self) {
        let kernel = &self.world.kernel;
        let pids = |ids: &BTreeSet<usize>| -> Vec<Pid> {
            let living = ids.iter().filter(|id| self.model.lives(**id));
            living.map(|id| self.processes[*id].pid().clone()).collect()
        };
        for (process, known) in self.processes.iter().zip(&self.model.processes) {
            assert_eq!(process.exit().map(|exit| exit.cause), known.ended, "{}", process.pid());
            assert_eq!(kernel.find(process.pid()).is_some(), known.ended.is_none());
            assert_eq!(
                process.mailbox().len(),
                known.mailbox.len(),
                "mailbox of {}",
                process.pid()
            );
            assert_eq!(
                kernel.links_of(process),
                pids(&known.links),
                "links of {}",
                process.pid()
            );
            assert_eq!(kernel.monitors_of(process), pids(&known.watching));
        }
        for name in 0..3 {
            let holder = self.model.names.get(&name).map(|id| self.processes[*id].pid().clone());
            assert_eq!(kernel.names().lookup(&format!("name {name}")), holder);
        }
    }

    /// Steps until nothing is left to do; then every mailbox must hold what it should.
    fn settle(mut self) {
        while !self.model.queue.is_empty() {
            self.apply(Op::Step);
        }
        assert!(
            !self.world.kernel.scheduler().step_first(&self.world.kernel),
            "nothing is left"
        );
        self.compare();
        for by in 0..self.processes.len() {
            while !self.model.processes[by].mailbox.is_empty() {
                self.apply(Op::Take { by });
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 800, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn the_kernel_does_what_its_model_does(ops in prop::collection::vec(op(), 1..120)) {
        let mut pair = Pair::new();
        for op in ops {
            pair.apply(op);
            pair.compare();
        }
        pair.settle();
    }
}
