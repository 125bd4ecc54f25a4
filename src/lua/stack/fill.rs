//! Values onto a Lua stack.

use std::ffi::c_int;
use std::hash::BuildHasher;

use rustc_hash::FxBuildHasher;

use super::layout::{self, Slot, Table};
use super::shape::{self, Shapes};
use super::{SLOTS, record, trim};
use crate::lua::driver::Driver;
use crate::lua::driver::raw::*;
use crate::value::{Item, Packed, Reader, TableHead};

/// Pushes all values and says how many; none, and nothing is pushed, when the stack has no room for all of them.
///
/// # Safety
/// The memory limit is lifted.
#[must_use = "the values may not be there"]
pub unsafe fn push(l: Lua, driver: &mut Driver, packed: &Packed) -> Option<c_int> {
    let count = c_int::try_from(packed.len()).ok()?;
    // SAFETY: as stated; there is room for what is pushed.
    unsafe {
        if lua_checkstack(l, count.saturating_add(SLOTS)) == 0 {
            return None;
        }
        push_each(l, driver, packed, packed.len(), |_| {});
    }
    Some(count)
}

/// Pushes the first value, nil for none.
///
/// # Safety
/// The memory limit is lifted; there is room for three values, as in every C function.
pub unsafe fn push_first(l: Lua, driver: &mut Driver, packed: &Packed) {
    // SAFETY: as stated.
    unsafe {
        match packed.is_empty() {
            true => lua_pushnil(l),
            false => push_each(l, driver, packed, 1, |_| {}),
        }
    }
}

/// Makes the values the items of the array on top, from 1 on. However many they are, the stack holds one at a time.
///
/// # Safety
/// As for [`push_first`].
pub unsafe fn fill_array(l: Lua, driver: &mut Driver, packed: &Packed) {
    // SAFETY: as stated; storing takes the value off the stack again.
    unsafe {
        let array = lua_gettop(l);
        push_each(l, driver, packed, packed.len(), |index| lua_rawseti(l, array, index));
    }
}

/// Pushes that many of the values, one after the other, calling `then` with the position of each when it is on top. A table
/// that lies deeper than a stack has room for becomes nil.
unsafe fn push_each(l: Lua, driver: &mut Driver, packed: &Packed, count: usize, mut then: impl FnMut(i64)) {
    let mut reader = packed.reader();
    // SAFETY: as the callers say; below the values there is a value at most, the place or the tables.
    unsafe {
        let bottom = lua_gettop(l) + 1;
        // A stack that has grown stays so as long as the frame lasts for which it has, and that of the desk lasts as long as the
        // process: what lies deep is built on one that is thrown away.
        let place = if packed.is_deep() { lua_newthread(l) } else { l };
        let made = packed.is_shared().then(|| {
            // Tables that were made, by their marks, lie below the values.
            lua_createtable(place, 0, 0);
            lua_gettop(place)
        });
        for index in 1..=count {
            push_one(place, driver, &mut reader, made);
            if packed.is_deep() {
                lua_xmove(place, l, 1);
            }
            then(index as i64);
        }
        if packed.is_deep() {
            lua_resetthread(place);
        }
        if packed.is_deep() || made.is_some() {
            lua_remove(l, bottom);
        }
    }
}

/// A table that is being filled; it is on the stack, and a key above it between key and value.
pub struct Filling {
    next: i64,
    array: i64,
    pairs: u32,
    key: Key,
    /// Where it lies, if the layout is known.
    table: *mut Table,
    fields: Fields,
}

/// Whether the key of the next value is there, in the part of pairs.
#[derive(Clone, Copy, PartialEq)]
enum Key {
    None,
    /// A string.
    Text,
    /// Perhaps nil or NaN by now: what it was made of may have been deeper than the stack.
    Other,
    /// Not on the stack, but in the table already, in that node.
    Node(u8),
}

/// What is known of the keys of a table.
enum Fields {
    /// None was read yet.
    Unseen,
    /// They are those of a shape, and in the table; which of its nodes have their values, each a bit.
    Shaped { shape: u8, filled: u16 },
    /// So far they are strings; how many there will be, and what those that were read sum up to.
    Strings { count: u32, sum: u64 },
    /// They are of all kinds.
    Any,
}

/// Memory that is used again from value to value, and what is known of tables that came before.
#[derive(Default)]
pub struct Scratch {
    open: Vec<Filling>,
    shapes: Shapes,
}

unsafe fn push_one(l: Lua, driver: &mut Driver, reader: &mut Reader<'_>, made: Option<c_int>) {
    let mut scratch = driver.scratch.filling.take().unwrap_or_default();
    let Scratch { open, shapes } = &mut *scratch;
    // SAFETY: as the caller says.
    unsafe { fill(l, driver, reader, made, open, shapes) };
    trim(open);
    driver.scratch.filling = Some(scratch);
}

unsafe fn fill(
    l: Lua,
    driver: &mut Driver,
    reader: &mut Reader<'_>,
    made: Option<c_int>,
    open: &mut Vec<Filling>,
    shapes: &mut Shapes,
) {
    // SAFETY: the limit is lifted; room is made for each level.
    unsafe {
        // The innermost table; those around it are in `open`.
        let mut innermost: Option<Filling> = None;
        loop {
            if let Some(table) = &mut innermost {
                if table.is_full() {
                    table.finish(l, shapes, open);
                    // It is a value of the table around it.
                    innermost = open.pop();
                    match &mut innermost {
                        Some(table) => table.store(l, Key::Other),
                        None => return,
                    }
                    continue;
                }
                if table.go_on(l, reader, shapes) {
                    continue;
                }
            }
            let item = reader.item();
            let key = match item {
                Item::Str(_) => Key::Text,
                _ => Key::Other,
            };
            match (push_item(l, driver, item, reader, made), &mut innermost) {
                (Some(inner), _) => open.extend(innermost.replace(inner)),
                (None, Some(table)) => table.store(l, key),
                (None, None) => return,
            }
        }
    }
}

/// A value that the collector has nothing to do with.
#[inline]
fn plain(item: &Item<'_>) -> Option<Slot> {
    match item {
        Item::Nil => Some(Slot::NIL),
        Item::Bool(flag) => Some(Slot::bool(*flag)),
        Item::Int(number) => Some(Slot::int(*number)),
        Item::Float(number) => Some(Slot::float(*number)),
        _ => None,
    }
}

impl Filling {
    fn is_full(&self) -> bool {
        self.next > self.array && self.pairs == 0
    }

    /// Reads and stores what there is to be read as long as the place in the table is known, and the value neither a table nor an
    /// Error. True when the table is full.
    unsafe fn go_on(&mut self, l: Lua, reader: &mut Reader<'_>, shapes: &mut Shapes) -> bool {
        // SAFETY: the table is on the stack, and has these items and nodes.
        unsafe {
            while self.next <= self.array {
                let mut ahead = *reader;
                let index = self.next as usize - 1;
                let Some(slot) = plain(&ahead.item()) else { return false };
                if self.table.is_null() || index >= (*self.table).size() {
                    return false;
                }
                slot.put((*self.table).item(index));
                *reader = ahead;
                self.next += 1;
            }
            while self.pairs > 0 {
                if self.key == Key::None && !matches!(self.fields, Fields::Any) {
                    self.read_known_key(reader, shapes);
                }
                let Key::Node(node) = self.key else { return false };
                let mut ahead = *reader;
                match ahead.item() {
                    Item::Str(text) => {
                        push_bytes(l, text);
                        self.store_at(l, node);
                    }
                    item => match plain(&item) {
                        Some(slot) => slot.put((*self.table).node(node.into()).cast()),
                        None => return false,
                    },
                }
                *reader = ahead;
                self.key = Key::None;
                self.pairs -= 1;
            }
        }
        true
    }

    /// Reads the next key, if the table has it by its shape and without a value so far.
    unsafe fn read_known_key(&mut self, reader: &mut Reader<'_>, shapes: &mut Shapes) {
        let mut ahead = *reader;
        let Item::Str(key) = ahead.item() else {
            // SAFETY: as below.
            unsafe { self.drop_shape(shapes, None) };
            return;
        };
        // SAFETY: the table is on the stack, and the layout known.
        unsafe {
            if matches!(self.fields, Fields::Unseen) {
                self.fields = self.recognize(key, ahead, shapes);
            }
            match &mut self.fields {
                Fields::Shaped { shape, filled } => {
                    let shape = shapes.get(*shape);
                    match shape.node(shape.len() - self.pairs as usize, key) {
                        // A key that came before may have been forgotten since, with the value nil.
                        Some(node) if *filled & 1 << node == 0 => {
                            *filled |= 1 << node;
                            *reader = ahead;
                            self.key = Key::Node(node);
                        }
                        _ => self.drop_shape(shapes, Some(key)),
                    }
                }
                Fields::Strings { sum, .. } => *sum = sum.wrapping_add(sum_of(key)),
                Fields::Unseen | Fields::Any => {}
            }
            if key.len() > shape::LONGEST {
                self.fields = Fields::Any;
            }
        }
    }

    /// What is known of the keys after the first of them was read. `reader` stands behind it.
    unsafe fn recognize(&self, key: &[u8], mut reader: Reader<'_>, shapes: &mut Shapes) -> Fields {
        // SAFETY: the table is on the stack, and the layout known.
        unsafe {
            // Where not all items have their place in the array, nodes are in use already.
            if self.pairs > shape::MOST || self.array > (*self.table).size() as i64 {
                return Fields::Any;
            }
            let second = || {
                if self.pairs < 2 {
                    return None;
                }
                reader.skip();
                match reader.item() {
                    Item::Str(key) => Some(key),
                    _ => None,
                }
            };
            match shapes.find(self.pairs, key, second) {
                Some(shape) if shapes.get(shape).shape(self.table) => Fields::Shaped { shape, filled: 0 },
                Some(_) => Fields::Any,
                None => Fields::Strings {
                    count: self.pairs,
                    sum: 0,
                },
            }
        }
    }

    /// The keys are not those of a shape: whichever have no value are no keys. `key`: the one that is to come, a string.
    unsafe fn drop_shape(&mut self, shapes: &mut Shapes, key: Option<&[u8]>) {
        let mut fields = Fields::Any;
        if let Fields::Shaped { shape, filled } = self.fields {
            let shape = shapes.get(shape);
            let mut sum = key.map_or(0, sum_of);
            // SAFETY: the table is on the stack and has these nodes, as no key was added.
            unsafe {
                for node in shape.nodes() {
                    match filled & 1 << node {
                        0 => Slot::NIL.put((*self.table).node(node.into()).cast()),
                        _ => sum = sum.wrapping_add(sum_of(shape.key(node))),
                    }
                }
            }
            if key.is_some() {
                let count = shape.len() as u32;
                fields = Fields::Strings { count, sum };
            }
        }
        self.fields = fields;
    }

    /// The table is on top and has everything.
    unsafe fn finish(&mut self, l: Lua, shapes: &mut Shapes, open: &[Filling]) {
        if let Fields::Strings { count, sum } = self.fields {
            let is_in_use = |number| open.iter().any(|table| table.is_of(number));
            // SAFETY: as stated; there is room on the stack.
            unsafe { shapes.miss(l, count, sum, is_in_use) };
        }
    }

    fn is_of(&self, number: u8) -> bool {
        matches!(self.fields, Fields::Shaped { shape, .. } if shape == number)
    }

    /// Stores the value on top in the table, or leaves it there as the key, of that kind, of the next one.
    #[inline]
    unsafe fn store(&mut self, l: Lua, key: Key) {
        // SAFETY: the table is below the value, with the key between them in the part of pairs.
        unsafe {
            if self.next <= self.array {
                lua_rawseti(l, -2, self.next);
                self.next += 1;
                return;
            }
            match self.key {
                Key::None => {
                    self.key = key;
                    return;
                }
                Key::Node(node) => self.store_at(l, node),
                Key::Other if !is_key(l, -2) => lua_pop(l, 2),
                Key::Text | Key::Other => lua_rawset(l, -3),
            }
        }
        self.key = Key::None;
        self.pairs -= 1;
    }

    /// Stores the value on top under the key in that node.
    #[inline]
    unsafe fn store_at(&mut self, l: Lua, node: u8) {
        // SAFETY: the table is on the stack, and has that node.
        unsafe {
            let node = (*self.table).node(node.into());
            match Slot::at(l, -1) {
                Some(slot) if !(*self.table).is_black() => {
                    slot.put(node.cast());
                    lua_pop(l, 1);
                }
                _ => {
                    // Its value is not nil yet, so the key is there.
                    push_bytes(l, (*node).key().text());
                    lua_insert(l, -2);
                    lua_rawset(l, -3);
                }
            }
        }
    }
}

/// What a key adds to the sum by which the keys of a table are known, in any order.
fn sum_of(key: &[u8]) -> u64 {
    FxBuildHasher.hash_one(key)
}

/// Whether a table takes it as a key: neither nil nor NaN.
pub unsafe fn is_key(l: Lua, index: c_int) -> bool {
    // SAFETY: reads.
    unsafe {
        match lua_type(l, index) {
            LUA_TNIL => false,
            LUA_TNUMBER => lua_isinteger(l, index) != 0 || !lua_tonumber(l, index).is_nan(),
            _ => true,
        }
    }
}

/// Pushes the item, which was just read; a table that has content is to be filled.
#[inline(always)]
unsafe fn push_item(
    l: Lua,
    driver: &mut Driver,
    item: Item<'_>,
    reader: &mut Reader<'_>,
    made: Option<c_int>,
) -> Option<Filling> {
    // SAFETY: the limit is lifted.
    unsafe {
        match item {
            Item::Nil => lua_pushnil(l),
            Item::Bool(flag) => lua_pushboolean(l, c_int::from(flag)),
            Item::Int(number) => lua_pushinteger(l, number),
            Item::Float(number) => lua_pushnumber(l, number),
            Item::Str(text) => push_bytes(l, text),
            Item::Error(error) => push_error(l, driver, error),
            Item::Ref(mark) => {
                if let Some(made) = made {
                    lua_rawgeti(l, made, mark.0.into());
                } else {
                    lua_pushnil(l);
                }
            }
            Item::Table(head) if lua_checkstack(l, SLOTS) == 0 => {
                reader.skip_table(head);
                lua_pushnil(l);
            }
            Item::Table(head) => return push_table(l, head, made),
        }
    }
    None
}

unsafe fn push_table(l: Lua, head: TableHead, made: Option<c_int>) -> Option<Filling> {
    // SAFETY: there is room on the stack.
    let table = unsafe {
        let size = |count: u32| count.min(1 << 26) as c_int;
        lua_createtable(l, size(head.array), size(head.pairs));
        if head.record {
            record::push_record_meta(l);
            lua_setmetatable(l, -2);
        }
        if let Some(made) = made {
            lua_pushvalue(l, -1);
            lua_rawseti(l, made, head.mark.0.into());
        }
        match layout::is_known() {
            true => Table::at(l, -1),
            false => std::ptr::null_mut(),
        }
    };
    let filling = Filling {
        next: 1,
        array: head.array.into(),
        pairs: head.pairs,
        key: Key::None,
        table,
        fields: match table.is_null() {
            true => Fields::Any,
            false => Fields::Unseen,
        },
    };
    (head.array > 0 || head.pairs > 0).then_some(filling)
}
