//! Values between a Lua stack and their flat form, in one pass over the raw stack.
//!
//! Both directions are iterative: depth costs Lua stack, never native stack. Shared tables and cycles are kept. What does
//! not cross (functions, coroutines, userdata but Errors) becomes nil. A record that came from WASM is known by its
//! metatable and gets it again on the other side.
//!
//! Everything here runs inside `raw::host` or `Driver::lifted`: nothing raises but for a stack that is too deep, which is
//! checked for. A message can have more values than the stack of who receives it has room for: only who needs all of them
//! on the stack calls [`push`], and asks whether they are there.

use std::ffi::c_int;

use rustc_hash::FxHashMap;

use super::driver::Driver;
use super::driver::raw::*;
use super::error;
use crate::error::{Error, Result};
use crate::size;
use crate::value::{Item, Packed, Packer, Reader, TableHead, TableMark};

/// Stack slots that one level of nesting takes while packing, with room for calls.
const SLOTS: c_int = 8;

/// Packs `count` values from `first` on.
///
/// # Errors
/// Invalid when tables are nested so deeply that the Lua stack has no room, or for more than 1 GiB of data.
///
/// # Safety
/// The values are on the stack; the memory limit is lifted.
pub unsafe fn pack(l: Lua, driver: &mut Driver, first: c_int, count: c_int) -> Result<Packed> {
    let mut packing = Packing {
        l,
        packer: Packer::reuse(std::mem::take(&mut driver.buffer)),
        seen: std::mem::take(&mut driver.scratch.seen),
        open: std::mem::take(&mut driver.scratch.open),
    };
    packing.open.clear();
    // SAFETY: as stated.
    let top = unsafe { lua_gettop(l) };
    for index in first..first + count {
        // SAFETY: as stated; `table` works above the top and leaves it as it was, but for an error.
        unsafe {
            if let Err(error) = packing.value_at(driver, index) {
                lua_settop(l, top);
                return Err(error);
            }
        }
    }
    let (packed, buffer) = packing.packer.finish_reusing();
    driver.buffer = buffer;
    // What was noted of a large value must not wait with the process.
    packing.seen.clear();
    driver.scratch.seen = packing.seen;
    driver.scratch.open = packing.open;
    Ok(packed)
}

/// Memory that is used again from value to value.
#[derive(Default)]
pub struct Scratch {
    seen: Seen,
    open: Vec<Level>,
    filling: Vec<Filling>,
}

/// The most data that one value may be: positions in it are 32 bits wide. Tests have less to fill.
const MOST: usize = if cfg!(test) { 64 << 20 } else { 1 << 30 };

#[cold]
fn too_large() -> Error {
    let most = size::format(MOST as u64);
    Error::invalid(format!("value is too large to be copied: more than {most}"))
}

struct Packing {
    l: Lua,
    packer: Packer,
    seen: Seen,
    open: Vec<Level>,
}

/// A table that is being packed. On the stack: the table, then the key at which the iteration stands.
struct Level {
    mark: TableMark,
    /// The border: keys 1 ..= length are the array part.
    length: i64,
    /// How many of them are packed.
    array: i64,
    /// How many of these are nil.
    holes: i64,
    /// The iteration has given these keys one after the other, as it does if Lua holds them so.
    in_order: bool,
    pairs: u32,
    /// The table is a key; its value waits below it.
    is_key: bool,
}

/// Nils that an array may have however few values are between them.
const HOLES: i64 = 1 << 10;

impl Level {
    /// A nil is packed. Where most are, the array ends: the border of a table with holes may lie beyond any memory. Values
    /// behind go out as pairs.
    fn passes_hole(&mut self) {
        self.holes += 1;
        if self.holes > HOLES + self.array / 2 {
            self.length = self.array;
        }
    }
}

#[cold]
fn too_deep() -> Error {
    Error::invalid("value is nested too deeply to be copied")
}

impl Packing {
    unsafe fn value_at(&mut self, driver: &mut Driver, index: c_int) -> Result<()> {
        // SAFETY: room for a table is checked in `enter`.
        unsafe {
            match lua_type(self.l, index) {
                LUA_TTABLE => {
                    if lua_checkstack(self.l, SLOTS) == 0 {
                        return Err(too_deep());
                    }
                    lua_pushvalue(self.l, index);
                    self.enter(false)?;
                    self.walk(driver)?;
                }
                kind => self.scalar(driver, index, kind)?,
            }
        }
        Ok(())
    }

    /// Writes a value of that type, which is not a table.
    #[inline]
    unsafe fn scalar(&mut self, driver: &mut Driver, index: c_int, kind: c_int) -> Result<()> {
        let l = self.l;
        // SAFETY: reads of a value on the stack.
        unsafe {
            match kind {
                LUA_TBOOLEAN => self.packer.bool(lua_toboolean(l, index) != 0),
                LUA_TNUMBER if lua_isinteger(l, index) != 0 => self.packer.int(lua_tointeger(l, index)),
                LUA_TNUMBER => self.packer.float(lua_tonumber(l, index)),
                LUA_TSTRING => {
                    let text = string(l, index);
                    self.has_room_for(text.len())?;
                    self.packer.str(text);
                    return Ok(());
                }
                LUA_TUSERDATA => match self.error_at(driver, index) {
                    Some(error) => self.packer.error(&error),
                    None => self.packer.nil(),
                },
                _ => self.packer.nil(),
            }
        }
        self.has_room_for(0)
    }

    /// Whether what is packed may grow by so many bytes.
    #[inline]
    fn has_room_for(&self, more: usize) -> Result<()> {
        match self.packer.size().saturating_add(more) <= MOST {
            true => Ok(()),
            false => Err(too_large()),
        }
    }

    unsafe fn error_at(&self, driver: &mut Driver, index: c_int) -> Option<Error> {
        // A state without mlua has no Error objects.
        if !driver.has_mlua() {
            return None;
        }
        // SAFETY: the limit is lifted.
        unsafe { to_mlua(self.l, driver, index) }
            .ok()
            .as_ref()
            .and_then(error::of_value)
    }

    /// Begins the table on top, or writes a reference to it and drops it.
    unsafe fn enter(&mut self, is_key: bool) -> Result<bool> {
        let l = self.l;
        // SAFETY: a table is on top.
        unsafe {
            let address = lua_topointer(l, -1);
            if let Some(mark) = self.seen.get(address) {
                self.packer.reference(mark);
                lua_pop(l, 1);
                return Ok(false);
            }
            if lua_checkstack(l, SLOTS) == 0 {
                return Err(too_deep());
            }
            self.has_room_for(0)?;
            let mark = self.packer.open(is_record(l));
            let around = self.open.last().map_or(0, |table| table.length);
            self.seen.insert(address, mark, around);
            self.open.push(Level {
                mark,
                length: lua_rawlen(l, -1) as i64,
                array: 0,
                holes: 0,
                in_order: true,
                pairs: 0,
                is_key,
            });
            lua_pushnil(l);
            Ok(true)
        }
    }

    /// Packs the open tables to their ends.
    unsafe fn walk(&mut self, driver: &mut Driver) -> Result<()> {
        let l = self.l;
        // SAFETY: each level has its table and key on top when it is its turn; `lua_next` gets a key it gave before.
        unsafe {
            while let Some(level) = self.open.last_mut() {
                if level.array < level.length {
                    if level.in_order && !next_in_order(l, level.array + 1) {
                        // The iteration begins anew, for the pairs.
                        level.in_order = false;
                        lua_pushnil(l);
                    }
                    level.array += 1;
                    let kind = match level.in_order {
                        true => lua_type(l, -1),
                        false => lua_rawgeti(l, -2, level.array),
                    };
                    if kind == LUA_TNIL {
                        level.passes_hole();
                    }
                    self.item(driver, kind)?;
                } else if lua_next(l, -2) == 0 {
                    self.leave(driver)?;
                } else {
                    self.pair(driver)?;
                }
            }
        }
        Ok(())
    }

    /// Packs the value of that type on top and drops it.
    #[inline]
    unsafe fn item(&mut self, driver: &mut Driver, kind: c_int) -> Result<()> {
        // SAFETY: a value is on top; a table becomes the next level.
        unsafe {
            if kind == LUA_TTABLE {
                self.enter(false)?;
            } else {
                self.scalar(driver, -1, kind)?;
                lua_pop(self.l, 1);
            }
        }
        Ok(())
    }

    /// Packs the key and value on top, leaving the key. Keys of the array part were packed before; a value or a key that
    /// does not cross leaves the pair out.
    unsafe fn pair(&mut self, driver: &mut Driver) -> Result<()> {
        let l = self.l;
        // SAFETY: key and value are on top.
        unsafe {
            let (key, value) = (lua_type(l, -2), lua_type(l, -1));
            let is_array_key = key == LUA_TNUMBER && self.is_array_key();
            if is_array_key || !self.crosses(driver, -1, value) || !self.crosses(driver, -2, key) {
                lua_pop(l, 1);
                return Ok(());
            }
            if let Some(level) = self.open.last_mut() {
                level.pairs += 1;
            }
            if key == LUA_TTABLE {
                lua_pushvalue(l, -2);
                if self.enter(true)? {
                    return Ok(());
                }
            } else {
                self.scalar(driver, -2, key)?;
            }
            self.item(driver, value)
        }
    }

    unsafe fn is_array_key(&self) -> bool {
        // SAFETY: key and value are on top.
        unsafe {
            let length = self.open.last().map_or(0, |level| level.length);
            length > 0 && lua_isinteger(self.l, -2) != 0 && (1..=length).contains(&lua_tointeger(self.l, -2))
        }
    }

    /// Whether the value of that type crosses.
    #[inline]
    unsafe fn crosses(&self, driver: &mut Driver, index: c_int, kind: c_int) -> bool {
        match kind {
            // SAFETY: the limit is lifted.
            LUA_TUSERDATA => unsafe { self.error_at(driver, index) }.is_some(),
            LUA_TFUNCTION | LUA_TTHREAD | LUA_TLIGHTUSERDATA => false,
            _ => true,
        }
    }

    /// Ends the innermost table; its key is gone already.
    unsafe fn leave(&mut self, driver: &mut Driver) -> Result<()> {
        // SAFETY: the table is on top; below a key table lies its value.
        unsafe {
            if let Some(level) = self.open.pop() {
                self.packer.close(level.mark, level.array as u32, level.pairs);
                lua_pop(self.l, 1);
                if level.is_key {
                    return self.item(driver, lua_type(self.l, -1));
                }
            }
        }
        Ok(())
    }
}

/// Whether that is the next key of the table below the last one. Key and value are on top then, otherwise only the table.
unsafe fn next_in_order(l: Lua, key: i64) -> bool {
    // SAFETY: the last key is one that `lua_next` gave, or nil.
    unsafe {
        if lua_next(l, -2) == 0 {
            return false;
        }
        let is_next = lua_isinteger(l, -2) != 0 && lua_tointeger(l, -2) == key;
        if !is_next {
            lua_pop(l, 2);
        }
        is_next
    }
}

/// Tables for which room is made before they come.
const MOST_EXPECTED: usize = 4_096;

/// The tables that were written, by address: few in a list, many in a map.
#[derive(Default)]
struct Seen {
    few: Vec<(*const std::ffi::c_void, TableMark)>,
    many: FxHashMap<*const std::ffi::c_void, TableMark>,
}

impl Seen {
    fn clear(&mut self) {
        self.few.clear();
        if !self.many.is_empty() {
            self.many = FxHashMap::default();
        }
    }

    fn get(&self, address: *const std::ffi::c_void) -> Option<TableMark> {
        if self.many.is_empty() {
            self.few
                .iter()
                .find(|(seen, _)| *seen == address)
                .map(|(_, mark)| *mark)
        } else {
            self.many.get(&address).copied()
        }
    }

    /// `around`: the length of the table in which it stands, where others are likely to follow.
    fn insert(&mut self, address: *const std::ffi::c_void, mark: TableMark, around: i64) {
        if self.many.is_empty() && self.few.len() < 16 {
            self.few.push((address, mark));
            return;
        }
        if self.many.is_empty() {
            self.many
                .reserve(usize::try_from(around).unwrap_or(0).min(MOST_EXPECTED));
            self.many.extend(self.few.drain(..));
        }
        self.many.insert(address, mark);
    }
}

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
/// that lies deeper than the stack has room for becomes nil.
unsafe fn push_each(l: Lua, driver: &mut Driver, packed: &Packed, count: usize, mut then: impl FnMut(i64)) {
    let mut reader = packed.reader();
    // SAFETY: as the callers say.
    unsafe {
        let made = packed.is_shared().then(|| {
            // Tables that were made, by their marks, lie below the values.
            lua_createtable(l, 0, 0);
            lua_gettop(l)
        });
        for index in 1..=count {
            push_one(l, driver, &mut reader, made);
            then(index as i64);
        }
        if let Some(made) = made {
            lua_remove(l, made);
        }
    }
}

/// A table that is being filled; it is on the stack, and a key above it between key and value.
struct Filling {
    next: i64,
    array: i64,
    pairs: u32,
    key: Key,
}

/// Whether the key of the next value is there, in the part of pairs.
#[derive(Clone, Copy, PartialEq)]
enum Key {
    None,
    /// A string.
    Text,
    /// Perhaps nil or NaN by now: what it was made of may have been deeper than the stack.
    Other,
}

unsafe fn push_one(l: Lua, driver: &mut Driver, reader: &mut Reader<'_>, made: Option<c_int>) {
    let mut open = std::mem::take(&mut driver.scratch.filling);
    // SAFETY: as the caller says.
    unsafe { fill(l, driver, reader, made, &mut open) };
    driver.scratch.filling = open;
}

unsafe fn fill(l: Lua, driver: &mut Driver, reader: &mut Reader<'_>, made: Option<c_int>, open: &mut Vec<Filling>) {
    // SAFETY: the limit is lifted; room is made for each level.
    unsafe {
        // The innermost table; those around it are in `open`.
        let mut table: Option<Filling> = None;
        loop {
            if table.as_ref().is_some_and(Filling::is_full) {
                // It is a value of the table around it.
                table = open.pop();
                match &mut table {
                    Some(table) => store(l, table, Key::Other),
                    None => return,
                }
                continue;
            }
            let item = reader.item();
            let key = match item {
                Item::Str(_) => Key::Text,
                _ => Key::Other,
            };
            match (push_item(l, driver, item, reader, made), &mut table) {
                (Some(inner), _) => open.extend(table.replace(inner)),
                (None, Some(table)) => store(l, table, key),
                (None, None) => return,
            }
        }
    }
}

impl Filling {
    fn is_full(&self) -> bool {
        self.next > self.array && self.pairs == 0
    }
}

/// Stores the value on top in the table, or leaves it there as the key, of that kind, of the next one.
#[inline]
unsafe fn store(l: Lua, table: &mut Filling, key: Key) {
    // SAFETY: the table is below the value, with the key between them in the part of pairs.
    unsafe {
        if table.next <= table.array {
            lua_rawseti(l, -2, table.next);
            table.next += 1;
        } else if table.key == Key::None {
            table.key = key;
        } else {
            table.pairs -= 1;
            if std::mem::replace(&mut table.key, Key::None) == Key::Text || is_key(l, -2) {
                lua_rawset(l, -3);
            } else {
                lua_pop(l, 2);
            }
        }
    }
}

/// Whether a table takes it as a key: neither nil nor NaN.
unsafe fn is_key(l: Lua, index: c_int) -> bool {
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
    unsafe {
        let size = |count: u32| count.min(1 << 26) as c_int;
        lua_createtable(l, size(head.array), size(head.pairs));
        if head.record {
            push_record_meta(l);
            lua_setmetatable(l, -2);
        }
        if let Some(made) = made {
            lua_pushvalue(l, -1);
            lua_rawseti(l, made, head.mark.0.into());
        }
    }
    let filling = Filling {
        next: 1,
        array: head.array.into(),
        pairs: head.pairs,
        key: Key::None,
    };
    (head.array > 0 || head.pairs > 0).then_some(filling)
}

static RECORD: u8 = 0;

/// Pushes the metatable that WASM records share: `user.tag_count` reads and writes `tag-count`.
unsafe fn push_record_meta(l: Lua) {
    // SAFETY: the limit is lifted.
    unsafe {
        if lua_rawgetp(l, LUA_REGISTRYINDEX, key(&RECORD)) != LUA_TNIL {
            return;
        }
        lua_pop(l, 1);
        lua_createtable(l, 0, 2);
        lua_pushcfunction(l, record_read);
        lua_setfield(l, -2, c"__index".as_ptr());
        lua_pushcfunction(l, record_write);
        lua_setfield(l, -2, c"__newindex".as_ptr());
        lua_pushvalue(l, -1);
        lua_rawsetp(l, LUA_REGISTRYINDEX, key(&RECORD));
    }
}

/// The table as a record, in the state of a process.
///
/// # Errors
/// When the state has no memory for it.
pub fn as_record(lua: &mlua::Lua, table: mlua::Table) -> mlua::Result<mlua::Table> {
    if super::driver::attached(lua).is_none() {
        return Ok(table);
    }
    // SAFETY: the stack holds the table alone, and holds it again at the end.
    unsafe {
        lua.exec_raw(table, |l| {
            push_record_meta(l);
            lua_setmetatable(l, -2);
        })
    }
}

/// Whether a table is a record.
pub fn is_record_table(table: &mlua::Table) -> bool {
    let read = table
        .metatable()
        .and_then(|meta| meta.raw_get::<mlua::Function>("__index").ok());
    read.is_some_and(|read| read.to_pointer() == record_read as lua_CFunction as *const std::ffi::c_void)
}

unsafe fn is_record(l: Lua) -> bool {
    // SAFETY: reads; the stack is as before.
    unsafe {
        if lua_getmetatable(l, -1) == 0 {
            return false;
        }
        lua_rawgetp(l, LUA_REGISTRYINDEX, key(&RECORD));
        let same = lua_type(l, -1) == LUA_TTABLE && lua_rawequal(l, -1, -2) != 0;
        lua_pop(l, 2);
        same
    }
}

/// Replaces a snake_case key at 2 by its kebab-case form. False when it is not such a key.
unsafe fn to_kebab(l: Lua) -> bool {
    // SAFETY: inside `host`.
    unsafe {
        match bytes(l, 2) {
            Some(name) if name.contains(&b'_') => {
                let kebab: Vec<u8> = name
                    .iter()
                    .map(|byte| if *byte == b'_' { b'-' } else { *byte })
                    .collect();
                push_bytes(l, &kebab);
                true
            }
            _ => false,
        }
    }
}

unsafe extern "C-unwind" fn record_read(l: Lua) -> c_int {
    // SAFETY: called by Lua with the table and a key that it does not have.
    unsafe {
        host(l, |_| {
            if lua_type(l, 1) == LUA_TTABLE && to_kebab(l) {
                lua_rawget(l, 1);
            } else {
                lua_pushnil(l);
            }
            Act::Return(1)
        })
    }
}

unsafe extern "C-unwind" fn record_write(l: Lua) -> c_int {
    // SAFETY: called by Lua with the table, a key that it does not have, and a value.
    unsafe {
        luaL_checktype(l, 1, LUA_TTABLE);
        host(l, |_| {
            lua_settop(l, 3);
            if to_kebab(l) {
                lua_pushvalue(l, -1);
                if lua_rawget(l, 1) != LUA_TNIL {
                    lua_pop(l, 1);
                    lua_pushvalue(l, 3);
                    lua_rawset(l, 1);
                    return Act::Return(0);
                }
                lua_settop(l, 3);
            }
            if is_key(l, 2) {
                lua_rawset(l, 1);
            }
            Act::Return(0)
        })
    }
}
