//! The mailbox as Lua sees it: who gets an item (`processes.md` §3.2), and what an item looks like.
//!
//! Items stay in the kernel's mailbox until a coroutine takes them. A running coroutine that asks takes at once what is
//! its due; [`Driver::deliver_mail`] serves those that wait. Claimed from `receive` are messages while somebody waits on the
//! inbox channel, events while somebody waits on the events channel, and always the messages of listened topics (the
//! kernel keeps these apart).

use std::collections::VecDeque;
use std::ffi::{CStr, c_int};
use std::sync::Arc;

use super::channel::{self, Channel};
use super::process;
use super::raw::*;
use super::{Driver, Waiter, What};
use crate::error::{Error, Result};
use crate::id::Pid;
use crate::lua::stack::layout::{self, Slot, Table};
use crate::lua::stack::shape::Shape;
use crate::lua::{message, stack};
use crate::process::{Event, EventKind, Exit, Mailbox, Message, Received, Taken, Topic, Trail};
use crate::value::Packed;

/// What a channel is a window to.
#[derive(Clone, Debug, PartialEq)]
pub enum Source {
    Inbox,
    Events,
    /// The messages of a topic: their values, or Message objects.
    Topic {
        topic: Topic,
        messages: bool,
    },
}

impl Source {
    pub(super) fn is_topic(&self) -> bool {
        matches!(self, Source::Topic { .. })
    }
}

/// The channels that are windows to the mailbox, kept alive by the registry.
#[derive(Default)]
pub struct Mail {
    windows: Vec<Window>,
    /// Who waits in `process.receive`, longest first.
    receivers: VecDeque<Waiter>,
    taken: Trail,
    /// It was seen in this step that the mailbox is empty.
    drained: bool,
    /// Where the tables of messages and events are made, once one was received.
    desk: Option<Lua>,
    /// The topic of the last message and who sent it: their texts lie on the desk.
    last_topic: Option<Topic>,
    last_sender: Option<Pid>,
    /// Known from the second message on.
    forms: Option<Forms>,
}

/// The tables of a message, which are alike but for their values.
struct Forms {
    message: Shape,
    values: Shape,
    /// What lies on the desk for the type and the kind, and as topic and sender of the last message.
    name: Slot,
    kind: Slot,
    topic: Slot,
    sender: Slot,
}

/// What lies on the desk: a coroutine that never runs, whose stack begins with the [`WORDS`] and the texts that came last.
/// From a stack a value is had for half of what it costs from the registry, and a table takes a dozen.
#[derive(Clone, Copy)]
enum Word {
    Type = 1,
    Kind,
    Topic,
    From,
    Value,
    Values,
    Count,
    Pid,
    At,
    Result,
    Error,
    Reason,
    Message,
    MessageKind,
    Exit,
    ExitKind,
    LinkDown,
    LinkDownKind,
    Cancel,
    CancelKind,
    LastTopic,
    LastSender,
}

/// The fields of the tables of messages and events and the words in them, up to [`Word::CancelKind`].
const WORDS: [&CStr; 20] = [
    c"type",
    c"kind",
    c"topic",
    c"from",
    c"value",
    c"values",
    c"n",
    c"pid",
    c"at",
    c"result",
    c"error",
    c"reason",
    c"MESSAGE",
    c"message",
    process::EXIT.0,
    process::EXIT.1,
    process::LINK_DOWN.0,
    process::LINK_DOWN.1,
    process::CANCEL.0,
    process::CANCEL.1,
];

/// Values that there is room for above the words, as in a C function; whoever needs more asks for it.
const DESK_ROOM: c_int = 16;

struct Window {
    source: Source,
    channel: *mut Channel,
    anchor: c_int,
    /// The program made the channel, and bound it with `subscribe`.
    is_bound: bool,
    /// The ticket at which it was made.
    born: u64,
}

impl Mail {
    /// Takes a withdrawn `receive` out of the queue.
    pub(super) fn forget(&mut self, waiter: Waiter) {
        channel::forget(&mut self.receivers, waiter);
    }

    /// Whether `process.events()` was called.
    pub(super) fn wants_events(&self) -> bool {
        self.windows.iter().any(|window| window.source == Source::Events)
    }

    fn find(&self, source: &Source) -> Option<&Window> {
        self.windows.iter().find(|window| window.source == *source)
    }

    fn waits(&self, source: &Source) -> bool {
        // SAFETY: the registry keeps the channel alive.
        self.find(source)
            .is_some_and(|window| unsafe { (*window.channel).has_receiver() })
    }
}

impl Driver {
    pub(super) fn has_window(&self, source: &Source) -> bool {
        self.mail.find(source).is_some()
    }

    /// Pushes the one channel of that source, making it the first time.
    pub(super) unsafe fn push_window(&mut self, l: Lua, source: Source) {
        // SAFETY: inside `host`.
        unsafe {
            if let Some(window) = self.mail.find(&source) {
                lua_rawgeti(l, LUA_REGISTRYINDEX, window.anchor.into());
                return;
            }
            let channel = channel::push_new(l, self, 0);
            self.attach(l, channel, -1, source, false);
        }
    }

    /// Makes the channel at `index` the window of that source.
    unsafe fn attach(&mut self, l: Lua, channel: *mut Channel, index: c_int, source: Source, is_bound: bool) {
        if let Source::Topic { topic, .. } = &source {
            self.process().mailbox().listen(topic);
        }
        // SAFETY: inside `host`.
        unsafe {
            (*channel).source = Some(source.clone());
            lua_pushvalue(l, index);
            let anchor = luaL_ref(l, LUA_REGISTRYINDEX);
            let born = self.mark();
            self.mail.windows.push(Window {
                source,
                channel,
                anchor,
                is_bound,
                born,
            });
        }
    }

    /// `subscribe`: binds an existing channel to a topic.
    ///
    /// # Errors
    /// Invalid for a bad topic, AlreadyExists when topic or channel are bound already.
    pub(super) unsafe fn bind(&mut self, l: Lua, channel: *mut Channel, index: c_int, topic: Topic) -> Result<()> {
        check_topic(&topic)?;
        let taken = self.mail.windows.iter().any(|window| match &window.source {
            Source::Topic { topic: other, .. } => *other == topic || window.channel == channel,
            _ => window.channel == channel,
        });
        if taken {
            return Err(Error::already_exists(format!(
                "topic or channel is already subscribed: {topic}"
            )));
        }
        // SAFETY: inside `host`.
        unsafe { self.attach(l, channel, index, Source::Topic { topic, messages: false }, true) };
        Ok(())
    }

    /// Takes the channel's source away. False when it has none of that kind.
    pub(super) unsafe fn unbind(&mut self, l: Lua, channel: *mut Channel, kind: fn(&Source) -> bool) -> bool {
        let place = self
            .mail
            .windows
            .iter()
            .position(|window| window.channel == channel && kind(&window.source));
        let Some(place) = place else { return false };
        let window = self.mail.windows.swap_remove(place);
        // SAFETY: inside `host`; the caller holds the channel on the stack.
        unsafe {
            self.detach(l, &window);
            // What is queued for the topic is everybody's now, and somebody may wait for it already.
            self.deliver_mail();
        }
        true
    }

    unsafe fn detach(&mut self, l: Lua, window: &Window) {
        if let Source::Topic { topic, .. } = &window.source {
            self.process().mailbox().unlisten(topic);
        }
        // SAFETY: the registry has kept the channel until now; nothing is collected in between.
        unsafe {
            (*window.channel).source = None;
            luaL_unref(l, LUA_REGISTRYINDEX, window.anchor);
        }
    }

    /// Closes the channels that became windows since the mark; those of the program's own are only unbound.
    pub(super) fn close_windows(&mut self, mark: super::Mark) {
        let windows = std::mem::take(&mut self.mail.windows);
        let (since, kept) = windows.into_iter().partition(|window: &Window| window.born > mark);
        self.mail.windows = kept;
        for window in since {
            // SAFETY: the limit is lifted; the channel is closed while the registry still keeps it.
            unsafe {
                if !window.is_bound {
                    self.close_channel(window.channel);
                }
                self.detach(self.main_state, &window);
            }
        }
        // SAFETY: as above.
        unsafe { self.deliver_mail() };
    }

    /// Takes something out of the mailbox. Does not even look when it was empty and nothing has come since.
    fn take<T>(&mut self, take: impl FnOnce(&mut Mailbox) -> Option<T>) -> Option<T> {
        let process = &self.context.process;
        if self.mail.drained && !process.is_woken() {
            return None;
        }
        let mut mailbox = process.mailbox();
        let taken = take(&mut mailbox);
        self.mail.drained = mailbox.is_empty();
        self.memory.set_kept(mailbox.held() + self.inherited);
        taken
    }

    /// Pushes the oldest item of the channel's source. False when there is none.
    pub(super) unsafe fn take_mail(&mut self, l: Lua, channel: *mut Channel) -> bool {
        // SAFETY: inside `host`; the channel is alive.
        unsafe {
            let Some(source) = &(*channel).source else { return false };
            match source {
                Source::Inbox => {
                    let item = self.take(Mailbox::take_message);
                    item.map(|item| self.push_object(l, item)).is_some()
                }
                Source::Events => {
                    let item = self.take(Mailbox::take_event);
                    item.map(|item| {
                        let desk = self.desk(l);
                        self.push_event(desk, &item);
                        lua_xmove(desk, l, 1);
                    })
                    .is_some()
                }
                Source::Topic { topic, messages } => {
                    let item = self.take(|mailbox| mailbox.take_listened(topic));
                    let messages = *messages;
                    item.map(|item| match messages {
                        true => self.push_object(l, item),
                        false => {
                            self.push_payload(l, &item);
                            self.mail.taken.note(item.from, item.topic);
                        }
                    })
                    .is_some()
                }
            }
        }
    }

    /// A Message object.
    unsafe fn push_object(&mut self, l: Lua, message: Message) {
        self.mail.taken.note(message.from.clone(), message.topic.clone());
        // SAFETY: inside `host`.
        unsafe { message::push(l, self, message) };
    }

    /// Forgets the messages of a call that is over.
    pub(super) fn forget_received(&mut self) {
        self.mail.taken = Trail::default();
    }

    /// The messages that the program took last, oldest first.
    pub fn last_received(&self) -> Vec<Received> {
        self.mail.taken.to_vec()
    }

    /// A raw value: nil for none, an array for several.
    unsafe fn push_payload(&mut self, l: Lua, message: &Message) {
        // SAFETY: inside `host`.
        unsafe {
            match message.payload.len() {
                0 => lua_pushnil(l),
                1 => stack::push_first(l, self, &message.payload),
                count => {
                    lua_createtable(l, count as c_int, 0);
                    stack::fill_array(l, self, &message.payload);
                }
            }
        }
    }

    /// Takes for `process.receive` what nobody else has claimed. Gives the desk, on top of whose stack the table is then.
    pub(super) unsafe fn take_unclaimed(&mut self, l: Lua) -> Option<Lua> {
        let messages = !self.mail.waits(&Source::Inbox);
        let events = !self.mail.waits(&Source::Events);
        let taken = self.take(|mailbox| mailbox.take_any(messages, events));
        // SAFETY: inside `host`.
        unsafe {
            match taken {
                Some(Taken::Message(message)) => {
                    let desk = self.desk(l);
                    self.push_message(desk, &message);
                    self.mail.taken.note(message.from, message.topic);
                    Some(desk)
                }
                Some(Taken::Event(event)) => {
                    let desk = self.desk(l);
                    self.push_event(desk, &event);
                    Some(desk)
                }
                None => None,
            }
        }
    }

    /// Parks the running task in `process.receive`.
    pub(super) unsafe fn park_receive(
        &mut self,
        l: Lua,
        timeout: Option<std::time::Duration>,
        then: Continuation,
    ) -> Act {
        // SAFETY: inside `host`.
        let (act, waiter) = unsafe { self.wait(l, What::Receive, then) };
        if let Some(waiter) = waiter {
            self.mail.receivers.push_back(waiter);
            if let Some(timeout) = timeout {
                self.arm(waiter, timeout);
            }
        }
        act
    }

    /// Whether somebody waits in `process.receive` already.
    pub(super) fn others_receive(&self) -> bool {
        !self.mail.receivers.is_empty()
    }

    /// What has come before this step goes to those who wait for it.
    pub(super) unsafe fn begin_mail(&mut self) {
        self.mail.drained = false;
        if self.mail.receivers.is_empty() {
            // Nobody looks, but what is held counts.
            let held = self.process().mailbox().held();
            self.memory.set_kept(held + self.inherited);
        }
        // SAFETY: as for `deliver_mail`.
        unsafe { self.deliver_mail() };
    }

    /// Hands queued items to those who wait for them.
    pub(super) unsafe fn deliver_mail(&mut self) {
        if self.mail.windows.is_empty() && self.mail.receivers.is_empty() {
            return;
        }
        let l = self.main_state;
        // SAFETY: the limit is lifted; the main state's stack is used as a scratch pad and is empty again afterwards.
        unsafe {
            for index in 0..self.mail.windows.len() {
                self.deliver_window(l, index);
            }
            while let Some(receiver) = self.mail.receivers.front().copied() {
                let Some(place) = self.take_unclaimed(l) else { break };
                self.mail.receivers.pop_front();
                match self.waiting_on(receiver) {
                    Some(other) => lua_xmove(place, other, 1),
                    None => lua_pop(place, 1),
                }
                self.complete(receiver);
            }
        }
    }

    unsafe fn deliver_window(&mut self, l: Lua, index: usize) {
        let channel = self.mail.windows[index].channel;
        // SAFETY: the registry keeps the channel alive.
        unsafe {
            while (*channel).has_receiver() && self.take_mail(l, channel) {
                if let Some(receiver) = (*channel).next_receiver() {
                    self.hand_to(l, receiver);
                }
            }
        }
    }

    /// Pushes a message as `process.receive` shows it.
    unsafe fn push_message(&mut self, desk: Lua, message: &Message) {
        // SAFETY: inside `host`; the desk has room for a few values.
        unsafe {
            self.note_topic(desk, &message.topic);
            self.note_sender(desk, message.from.as_ref());
            let values = self.push_values(desk, &message.payload);
            let value = values + 1;
            let fields = [
                (Word::Type, Word::Message as c_int),
                (Word::Kind, Word::MessageKind as c_int),
                (Word::Topic, Word::LastTopic as c_int),
                (Word::From, Word::LastSender as c_int),
                (Word::Values, values),
                (Word::Value, value),
            ];
            lua_createtable(desk, 0, fields.len() as c_int);
            let is_filled = self.mail.forms.as_ref().is_some_and(|forms| {
                // Of what a message can hold only an Error is not written in place.
                Slot::at(desk, value).is_some_and(|value| {
                    let values = Slot::object_at(desk, values);
                    let slots = [forms.name, forms.kind, forms.topic, forms.sender, values, value];
                    forms.message.fill(Table::at(desk, -1), slots)
                })
            });
            if !is_filled {
                for (field, value) in fields {
                    push_word(desk, field);
                    lua_pushvalue(desk, value);
                    lua_rawset(desk, -3);
                }
                self.learn_forms(desk, values, &fields.map(|(field, _)| field as c_int));
            }
            lua_replace(desk, values);
            lua_settop(desk, values);
        }
    }

    /// Pushes the values of a message as a table with their number in `n`, and the first of them. The index of the table.
    unsafe fn push_values(&mut self, desk: Lua, payload: &Packed) -> c_int {
        // SAFETY: as in `push_message`.
        unsafe {
            let count = payload.len();
            lua_createtable(desk, count as c_int, 1);
            let values = lua_gettop(desk);
            let forms = self.mail.forms.as_ref();
            if !forms.is_some_and(|forms| forms.values.fill(Table::at(desk, values), [Slot::int(count as i64)])) {
                push_word(desk, Word::Count);
                lua_pushinteger(desk, count as i64);
                lua_rawset(desk, values);
            }
            stack::fill_array(desk, self, payload);
            lua_rawgeti(desk, values, 1);
            values
        }
    }

    /// The table of a message is on top, and that of its values at an index: the next ones will have the same keys.
    unsafe fn learn_forms(&mut self, desk: Lua, values: c_int, fields: &[c_int]) {
        // SAFETY: inside `host`; the keys lie on the desk.
        unsafe {
            if self.mail.forms.is_some() || !layout::is_known() || lua_type(desk, values + 1) == LUA_TNIL {
                return;
            }
            let Some(message) = Shape::of_fields(desk, fields) else {
                return;
            };
            lua_pushvalue(desk, values);
            let of_values = Shape::of_fields(desk, &[Word::Count as c_int]);
            lua_pop(desk, 1);
            let word = |word: Word| Slot::object_at(desk, word as c_int);
            self.mail.forms = of_values.map(|values| Forms {
                message,
                values,
                name: word(Word::Message),
                kind: word(Word::MessageKind),
                topic: word(Word::LastTopic),
                sender: word(Word::LastSender),
            });
        }
    }

    /// Where message tables are made.
    unsafe fn desk(&mut self, l: Lua) -> Lua {
        // SAFETY: inside `host`; the registry keeps the coroutine, whose stack has room for the words.
        *self.mail.desk.get_or_insert_with(|| unsafe {
            let desk = lua_newthread(l);
            luaL_ref(l, LUA_REGISTRYINDEX);
            // It fits the stack that a coroutine begins with.
            lua_checkstack(desk, Word::LastSender as c_int + DESK_ROOM);
            WORDS.iter().for_each(|word| {
                lua_pushstring(desk, word.as_ptr());
            });
            push_bytes(desk, b"");
            lua_pushvalue(desk, -1);
            desk
        })
    }

    /// Lays the text of a topic on the desk. Often it is that of the message before, and lies there.
    unsafe fn note_topic(&mut self, desk: Lua, topic: &Topic) {
        if self
            .mail
            .last_topic
            .as_ref()
            .is_some_and(|last| Arc::ptr_eq(last, topic))
        {
            return;
        }
        // SAFETY: inside `host`.
        unsafe {
            push_bytes(desk, topic.as_bytes());
            self.note_text(desk, Word::LastTopic, |forms| &mut forms.topic);
        }
        self.mail.last_topic = Some(topic.clone());
    }

    /// Lays the text of who sent a message on the desk, empty for nobody. Often that is whoever sent the one before.
    unsafe fn note_sender(&mut self, desk: Lua, sender: Option<&Pid>) {
        if self.mail.last_sender.as_ref() == sender {
            return;
        }
        // SAFETY: inside `host`.
        unsafe {
            match sender {
                None => push_bytes(desk, b""),
                Some(pid) => self.push_pid(desk, pid),
            }
            self.note_text(desk, Word::LastSender, |forms| &mut forms.sender);
        }
        self.mail.last_sender = sender.cloned();
    }

    /// Lays the text on top in that place of the desk, and notes it for the tables of messages.
    unsafe fn note_text(&mut self, desk: Lua, place: Word, noted: fn(&mut Forms) -> &mut Slot) {
        // SAFETY: inside `host`.
        unsafe {
            if let Some(forms) = &mut self.mail.forms {
                *noted(forms) = Slot::object_at(desk, -1);
            }
            lua_replace(desk, place as c_int);
        }
    }

    /// Pushes an event as a plain table.
    unsafe fn push_event(&mut self, desk: Lua, event: &Event) {
        // SAFETY: inside `host`; the desk has room for a few values; the table has no metatable.
        unsafe {
            lua_createtable(desk, 0, 8);
            let table = lua_gettop(desk);
            let (name, kind) = names(&event.kind);
            set_words(desk, table, name, kind);
            match &event.from {
                Some(pid) => self.push_pid(desk, pid),
                None => push_bytes(desk, b""),
            }
            for field in [Word::From, Word::Pid] {
                push_word(desk, field);
                lua_pushvalue(desk, -2);
                lua_rawset(desk, table);
            }
            lua_pop(desk, 1);
            push_word(desk, Word::At);
            lua_pushinteger(desk, event.at);
            lua_rawset(desk, table);
            match &event.kind {
                EventKind::Exit(exit) | EventKind::LinkDown(exit) => self.add_result(desk, table, exit),
                EventKind::Cancel(reason) => {
                    push_word(desk, Word::Reason);
                    push_bytes(desk, reason.as_bytes());
                    lua_rawset(desk, table);
                }
            }
        }
    }

    unsafe fn add_result(&mut self, desk: Lua, table: c_int, exit: &Exit) {
        // SAFETY: as in `push_event`.
        unsafe {
            push_word(desk, Word::Result);
            lua_createtable(desk, 0, 1);
            let name = match &exit.result {
                Ok(values) if values.is_empty() => {
                    lua_rawset(desk, table);
                    return;
                }
                Ok(values) => {
                    stack::push_first(desk, self, values);
                    Word::Value
                }
                Err(error) => {
                    push_error(desk, self, error.clone());
                    Word::Error
                }
            };
            push_word(desk, name);
            lua_pushvalue(desk, -2);
            lua_rawset(desk, table);
            push_word(desk, name);
            lua_insert(desk, -2);
            lua_rawset(desk, -3);
            lua_rawset(desk, table);
        }
    }

    /// Pushes a pid's text.
    pub(super) unsafe fn push_pid(&mut self, l: Lua, pid: &Pid) {
        let mut text = std::mem::take(&mut self.buffer);
        text.clear();
        pid.write_to(&mut text);
        // SAFETY: inside `host`.
        unsafe { push_bytes(l, &text) };
        self.buffer = text;
    }
}

/// Pushes what lies on the desk.
unsafe fn push_word(desk: Lua, word: Word) {
    // SAFETY: it is there, and there is room for it.
    unsafe { lua_pushvalue(desk, word as c_int) };
}

/// The type and the kind of an event.
fn names(kind: &EventKind) -> (Word, Word) {
    match kind {
        EventKind::Exit(_) => (Word::Exit, Word::ExitKind),
        EventKind::LinkDown(_) => (Word::LinkDown, Word::LinkDownKind),
        EventKind::Cancel(_) => (Word::Cancel, Word::CancelKind),
    }
}

/// The fields that tell what the table is.
unsafe fn set_words(desk: Lua, table: c_int, name: Word, kind: Word) {
    // SAFETY: inside `host`; the table has no metatable.
    unsafe {
        for (field, word) in [(Word::Type, name), (Word::Kind, kind)] {
            push_word(desk, field);
            push_word(desk, word);
            lua_rawset(desk, table);
        }
    }
}

/// The topic at an index, where a string is.
///
/// # Errors
/// Invalid for what is not UTF-8.
///
/// # Safety
/// The text lives as long as the string stays on the stack.
pub(super) unsafe fn topic_at<'a>(l: Lua, index: c_int) -> Result<&'a str> {
    // SAFETY: as stated.
    unsafe { text(l, index) }.ok_or_else(|| Error::invalid("topic must be UTF-8 text"))
}

/// Whether a program may listen to that topic.
///
/// # Errors
/// Invalid for an empty one and for those of the runtime.
pub(super) fn check_topic(topic: &str) -> Result<()> {
    if topic.is_empty() {
        return Err(Error::invalid("topic cannot be empty"));
    }
    if topic.starts_with('@') {
        return Err(Error::invalid("cannot listen to @ topics"));
    }
    Ok(())
}
