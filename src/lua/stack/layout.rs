//! How Lua 5.4 lays out tables and strings in memory.
//!
//! Through its API a table is read and written value by value over the stack, a dozen calls for each pair. A message is
//! little else than tables, so they are read, and filled, where they lie. What is relied on is written here as Lua's source
//! has it (`lobject.h`, `lgc.h`), and held against the Lua that this program is linked to before it is used the first time
//! ([`is_known`]). Where that is made in another way everything goes through the API, as does whatever is unusual.
//!
//! How the collector is not deceived:
//! - Nothing moves. A table stays where it is as long as something on the stack or in the registry leads to it, its array and
//!   its nodes as long as no key is added.
//! - A value may be written into a table that is [not black](Table::is_black) without more ado: that is the very question that
//!   Lua's own barrier asks. Each call that allocates may make a table black.
//! - A collection that meets a key whose value is nil may forget the key: nothing is written into a node whose value is nil.
//!   Keys that come before their values have `false` until then: see [`Shape`](super::shape::Shape).

use std::ffi::{c_int, c_uint};
use std::sync::LazyLock;

use mlua::ffi;

use crate::lua::driver::raw::*;

/// Tags of values: the type, and which of its variants.
mod kind {
    pub const NIL: u8 = 0;
    pub const FALSE: u8 = 1;
    pub const TRUE: u8 = 1 | 1 << 4;
    pub const INTEGER: u8 = 3;
    pub const FLOAT: u8 = 3 | 1 << 4;
    pub const SHORT: u8 = 4 | COLLECTED;
    pub const LONG: u8 = 4 | 1 << 4 | COLLECTED;
    pub const TABLE: u8 = 5 | COLLECTED;
    pub const USERDATA: u8 = 7 | COLLECTED;

    /// Added to the tags of what is collected.
    pub const COLLECTED: u8 = 1 << 6;
    /// What of a tag is the type.
    pub const TYPE: u8 = 0xF;
}

/// In `marked`: the collector is done with the object.
const BLACK: u8 = 1 << 5;

/// In the flags of a table: `limit` is a hint, the size of the array is the next power of two.
const IS_HINT: u8 = 1 << 7;

/// In the flags of a table: it has not these metamethods, each of them a bit.
const ABSENT: u8 = (1 << 6) - 1;

/// What every object begins with.
#[repr(C)]
struct Object {
    next: *mut Object,
    kind: u8,
    marked: u8,
}

#[repr(C)]
struct Text {
    next: *mut Object,
    kind: u8,
    marked: u8,
    extra: u8,
    short_length: u8,
    hash: c_uint,
    /// Of a long one; what follows a short one in a list.
    length: usize,
    bytes: [u8; 0],
}

#[repr(C)]
#[derive(Clone, Copy)]
union Content {
    object: *const Object,
    integer: lua_Integer,
    float: lua_Number,
}

/// A value, and where one is: an item of an array, or the front of a [`Node`].
#[repr(C)]
#[derive(Clone, Copy)]
pub struct Slot {
    content: Content,
    kind: u8,
}

/// A key with its value.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct Node {
    content: Content,
    kind: u8,
    key_kind: u8,
    chain: c_int,
    key: Content,
}

#[repr(C)]
pub struct Table {
    next: *mut Object,
    kind: u8,
    marked: u8,
    flags: u8,
    log_nodes: u8,
    limit: c_uint,
    array: *mut Slot,
    nodes: *mut Node,
    last_free: *mut Node,
    meta: *const Table,
    gray: *mut Object,
}

/// A value as it is found.
#[derive(Debug, PartialEq)]
pub enum Found<'a> {
    Nil,
    Bool(bool),
    Int(i64),
    Float(f64),
    Text(&'a [u8]),
    Table(*const Table),
    Userdata,
    /// A function, a coroutine, a light userdata.
    Other,
}

impl Slot {
    pub const NIL: Slot = Slot::plain(kind::NIL, 0);

    const fn plain(kind: u8, integer: i64) -> Slot {
        let content = Content { integer };
        Slot { content, kind }
    }

    pub fn bool(flag: bool) -> Slot {
        Slot::plain(if flag { kind::TRUE } else { kind::FALSE }, 0)
    }

    pub fn int(integer: i64) -> Slot {
        Slot::plain(kind::INTEGER, integer)
    }

    pub fn float(float: f64) -> Slot {
        Slot {
            content: Content { float },
            kind: kind::FLOAT,
        }
    }

    /// The string or table at an index.
    ///
    /// # Safety
    /// One of these is there.
    pub unsafe fn object_at(l: Lua, index: c_int) -> Slot {
        // SAFETY: for these the pointer is that of the object.
        unsafe {
            let object = lua_topointer(l, index).cast::<Object>();
            Slot {
                content: Content { object },
                kind: (*object).kind | kind::COLLECTED,
            }
        }
    }

    /// The value at an index; none for userdata and whatever else does not cross.
    ///
    /// # Safety
    /// As for every read of the stack.
    pub unsafe fn at(l: Lua, index: c_int) -> Option<Slot> {
        // SAFETY: reads.
        unsafe {
            Some(match lua_type(l, index) {
                LUA_TSTRING | LUA_TTABLE => Slot::object_at(l, index),
                LUA_TNIL => Slot::NIL,
                LUA_TBOOLEAN => Slot::bool(lua_toboolean(l, index) != 0),
                LUA_TNUMBER if lua_isinteger(l, index) != 0 => Slot::int(lua_tointeger(l, index)),
                LUA_TNUMBER => Slot::float(lua_tonumber(l, index)),
                _ => return None,
            })
        }
    }

    #[inline]
    pub fn is_nil(self) -> bool {
        self.kind & kind::TYPE == kind::NIL
    }

    /// Whether it is that integer.
    #[inline]
    pub fn is_int(self, number: i64) -> bool {
        // SAFETY: the tag says what the content is.
        self.kind == kind::INTEGER && unsafe { self.content.integer } == number
    }

    /// Whether a pair with it crosses. Of userdata only some do.
    #[inline]
    pub fn crosses(self) -> bool {
        const CROSS: u32 =
            1 << LUA_TBOOLEAN | 1 << LUA_TNUMBER | 1 << LUA_TSTRING | 1 << LUA_TTABLE | 1 << LUA_TUSERDATA;
        CROSS >> (self.kind & kind::TYPE) & 1 != 0
    }

    /// Whether it is a short string, as keys usually are: the same text is the same object.
    pub fn is_short_text(self) -> bool {
        self.kind == kind::SHORT
    }

    /// The bytes of a string, none of anything else.
    ///
    /// # Safety
    /// As for [`Slot::found`].
    pub unsafe fn text<'a>(self) -> &'a [u8] {
        // SAFETY: as stated.
        match unsafe { self.found() } {
            Found::Text(text) => text,
            _ => &[],
        }
    }

    /// Whether it is a short string with these bytes.
    ///
    /// # Safety
    /// The value is alive.
    #[inline]
    pub unsafe fn is_short(self, text: &[u8]) -> bool {
        // SAFETY: the tag says what the content is.
        unsafe {
            let own = self.content.object.cast::<Text>();
            self.kind == kind::SHORT
                && (*own).short_length as usize == text.len()
                && are_same((&raw const (*own).bytes).cast(), text)
        }
    }

    /// # Safety
    /// The value is alive, and is not changed as long as its text is used.
    #[inline(always)]
    pub unsafe fn found<'a>(self) -> Found<'a> {
        // SAFETY: the tag says what the content is.
        unsafe {
            match self.kind {
                kind::FALSE => Found::Bool(false),
                kind::TRUE => Found::Bool(true),
                kind::INTEGER => Found::Int(self.content.integer),
                kind::FLOAT => Found::Float(self.content.float),
                kind::SHORT => {
                    let text = self.content.object.cast::<Text>();
                    Found::Text(bytes_of(text, (*text).short_length.into()))
                }
                kind::LONG => {
                    let text = self.content.object.cast::<Text>();
                    Found::Text(bytes_of(text, (*text).length))
                }
                kind::TABLE => Found::Table(self.content.object.cast()),
                kind::USERDATA => Found::Userdata,
                tag if tag & kind::TYPE == kind::NIL => Found::Nil,
                _ => Found::Other,
            }
        }
    }

    /// Writes the value there. Field by field: in a node a key lies where a slot has nothing.
    ///
    /// # Safety
    /// The place is alive, and in a table that is not black.
    #[inline]
    pub unsafe fn put(self, place: *mut Slot) {
        // SAFETY: as stated.
        unsafe {
            (*place).content = self.content;
            (*place).kind = self.kind;
        }
    }
}

/// Whether these bytes are there. Keys are short: comparing them takes less than a call of what compares.
///
/// # Safety
/// As many can be read there.
#[inline]
unsafe fn are_same(place: *const u8, text: &[u8]) -> bool {
    let (other, length) = (text.as_ptr(), text.len());
    // SAFETY: within the bytes of both; those in the middle may be compared twice.
    unsafe {
        match length {
            0..4 => (0..length).all(|at| *place.add(at) == *other.add(at)),
            4..8 => same::<4>(place, other) && same::<4>(place.add(length - 4), other.add(length - 4)),
            8..16 => same::<8>(place, other) && same::<8>(place.add(length - 8), other.add(length - 8)),
            _ => std::slice::from_raw_parts(place, length) == text,
        }
    }
}

/// # Safety
/// So many bytes can be read at both.
#[inline]
unsafe fn same<const N: usize>(one: *const u8, other: *const u8) -> bool {
    // SAFETY: as stated; bytes are aligned everywhere.
    unsafe { *one.cast::<[u8; N]>() == *other.cast::<[u8; N]>() }
}

unsafe fn bytes_of<'a>(text: *const Text, length: usize) -> &'a [u8] {
    // SAFETY: the bytes follow the head.
    unsafe { std::slice::from_raw_parts((&raw const (*text).bytes).cast(), length) }
}

impl Node {
    #[inline]
    pub fn value(&self) -> Slot {
        Slot {
            content: self.content,
            kind: self.kind,
        }
    }

    /// Good for nothing where the value is nil.
    #[inline]
    pub fn key(&self) -> Slot {
        Slot {
            content: self.key,
            kind: self.key_kind,
        }
    }
}

impl Table {
    /// The table at an index.
    ///
    /// # Safety
    /// One is there.
    pub unsafe fn at(l: Lua, index: c_int) -> *mut Table {
        // SAFETY: as stated.
        unsafe { lua_topointer(l, index).cast_mut().cast() }
    }

    /// Whether the collector is done with it: then it has to be told of what is written.
    pub fn is_black(&self) -> bool {
        self.marked & BLACK != 0
    }

    pub fn meta(&self) -> *const Table {
        self.meta
    }

    /// Items that the array has room for.
    #[inline]
    pub fn size(&self) -> usize {
        let limit = self.limit as usize;
        match self.flags & IS_HINT != 0 {
            true => limit.next_power_of_two(),
            false => limit,
        }
    }

    /// Where an item of the array is, counted from 0.
    ///
    /// # Safety
    /// The array has room for it.
    #[inline]
    pub unsafe fn item(&self, index: usize) -> *mut Slot {
        // SAFETY: as stated.
        unsafe { self.array.add(index) }
    }

    /// Where the array ends by the rules of `#`, the nodes left aside: the same end as Lua finds, of the several that an array with
    /// holes has.
    pub fn border(&self) -> usize {
        let (limit, size) = (self.limit as usize, self.size());
        // SAFETY: within the array.
        let is_empty = |count: usize| unsafe { (*self.item(count - 1)).is_nil() };
        let search = |mut filled: usize, mut empty: usize| {
            while empty - filled > 1 {
                let middle = filled + (empty - filled) / 2;
                match is_empty(middle) {
                    true => empty = middle,
                    false => filled = middle,
                }
            }
            filled
        };
        if limit > 0 && is_empty(limit) {
            return match limit >= 2 && !is_empty(limit - 1) {
                true => limit - 1,
                false => search(0, limit),
            };
        }
        if limit == size || !is_empty(size) {
            return size;
        }
        match is_empty(limit + 1) {
            true => limit,
            false => search(limit, size),
        }
    }

    #[inline]
    pub fn node_count(&self) -> usize {
        1 << self.log_nodes
    }

    /// # Safety
    /// It has so many nodes.
    #[inline]
    pub unsafe fn node(&self, index: usize) -> *mut Node {
        // SAFETY: as stated.
        unsafe { self.nodes.add(index) }
    }

    /// Whether it has nodes of its own; all tables without pairs share one.
    pub fn has_nodes(&self) -> bool {
        !self.last_free.is_null()
    }

    /// Gives a new table all keys of another one, each with the value `false`. False, and nothing is done, if the
    /// number of its nodes is not that of the other one, or the collector would have to be told.
    ///
    /// # Safety
    /// The table was made for pairs and has none; the keys of the other one are strings and have those values.
    pub unsafe fn take_keys(&mut self, of: *const Table) -> bool {
        // SAFETY: both have so many nodes, and are two tables.
        unsafe {
            if self.is_black() || !self.has_nodes() || self.log_nodes != (*of).log_nodes {
                return false;
            }
            self.nodes.copy_from_nonoverlapping((*of).nodes, self.node_count());
        }
        // Some of the keys may be names of metamethods.
        self.flags &= !ABSENT;
        true
    }
}

/// Whether the Lua that runs is laid out like this.
#[inline]
pub fn is_known() -> bool {
    static IS_KNOWN: LazyLock<bool> = LazyLock::new(look);
    *IS_KNOWN
}

#[cold]
fn look() -> bool {
    // SAFETY: a state that nobody else has; what may raise runs in a protected call.
    unsafe {
        let l = ffi::luaL_newstate();
        if l.is_null() {
            return false;
        }
        lua_pushcfunction(l, compare);
        let is_same = lua_pcall(l, 0, 1, 0) == LUA_OK && lua_toboolean(l, -1) != 0;
        lua_close(l);
        is_same
    }
}

const LONG: &[u8] = &[b'x'; 100];

/// Whether what was put into tables by the API is found in them, and what the collector does.
unsafe extern "C-unwind" fn compare(l: Lua) -> c_int {
    // SAFETY: the room of a C function; until something is found to be otherwise, tables are read as they are written above, and
    // what is read of one does not lead further.
    let is_same = unsafe {
        lua_version(l) == 504.0 && compare_array(l) && compare_nodes(l) && compare_hint(l) && compare_marks(l)
    };
    // SAFETY: there is room.
    unsafe { lua_pushboolean(l, is_same.into()) };
    1
}

unsafe fn compare_array(l: Lua) -> bool {
    // SAFETY: as in `compare`.
    unsafe {
        lua_createtable(l, 7, 0);
        lua_pushinteger(l, 7);
        lua_pushnumber(l, 1.5);
        lua_pushboolean(l, 1);
        lua_pushboolean(l, 0);
        push_bytes(l, b"short");
        push_bytes(l, LONG);
        for index in (1..=6).rev() {
            lua_rawseti(l, 1, index);
        }
        let table = &*Table::at(l, 1);
        let is_same = table.kind == kind::TABLE & !kind::COLLECTED
            && table.size() == 7
            && table.border() == 6
            && !table.has_nodes()
            && [
                Found::Int(7),
                Found::Float(1.5),
                Found::Bool(true),
                Found::Bool(false),
                Found::Text(b"short"),
                Found::Text(LONG),
                Found::Nil,
            ]
            .into_iter()
            .enumerate()
            .all(|(index, found)| (*table.item(index)).found() == found);
        lua_settop(l, 0);
        is_same
    }
}

unsafe fn compare_nodes(l: Lua) -> bool {
    // SAFETY: as in `compare`.
    unsafe {
        lua_createtable(l, 0, 0);
        lua_createtable(l, 0, 3);
        let (meta, table) = (Table::at(l, 1), Table::at(l, 2));
        let was_new = (*table).flags & ABSENT == ABSENT && (*table).meta.is_null() && (*table).has_nodes();
        lua_pushinteger(l, 5);
        lua_setfield(l, 2, c"number".as_ptr());
        lua_pushvalue(l, 1);
        lua_setfield(l, 2, c"table".as_ptr());
        lua_newuserdata(l, 8);
        lua_rawseti(l, 2, 9);
        lua_pushvalue(l, 1);
        lua_setmetatable(l, 2);
        let table = &*table;
        let pairs: Vec<_> = (0..table.node_count())
            .map(|index| *table.node(index))
            .filter(|node| !node.value().is_nil())
            .map(|node| (node.key().found(), node.value().found()))
            .collect();
        let is_same = was_new
            && table.flags & ABSENT == 0
            && table.meta == meta.cast_const()
            && table.node_count() == 4
            && pairs.len() == 3
            && pairs.contains(&(Found::Text(b"number"), Found::Int(5)))
            && pairs.contains(&(Found::Text(b"table"), Found::Table(meta)))
            && pairs.contains(&(Found::Int(9), Found::Userdata));
        lua_settop(l, 0);
        is_same
    }
}

/// An array of eight of which two are gone: Lua notes six as where it ends.
unsafe fn compare_hint(l: Lua) -> bool {
    // SAFETY: as in `compare`.
    unsafe {
        lua_createtable(l, 8, 0);
        for index in 1..=6 {
            lua_pushinteger(l, index);
            lua_rawseti(l, 1, index);
        }
        let table = Table::at(l, 1);
        let is_same = lua_rawlen(l, 1) == 6 && (*table).limit == 6 && (*table).size() == 8 && (*table).border() == 6;
        lua_settop(l, 0);
        is_same
    }
}

/// The generational collector is done with all that there is when it begins.
unsafe fn compare_marks(l: Lua) -> bool {
    // SAFETY: as in `compare`.
    unsafe {
        lua_createtable(l, 0, 0);
        let table = Table::at(l, 1);
        lua_gc(l, LUA_GCGEN, 0, 0);
        let was_black = (*table).is_black();
        lua_gc(l, LUA_GCINC, 0, 0, 0);
        let is_same = was_black && !(*table).is_black();
        lua_settop(l, 0);
        is_same
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Where it is not, messages are slower by half, and nobody would notice.
    #[test]
    fn the_lua_that_is_linked_is_laid_out_like_this() {
        assert!(is_known());
    }
}
