//! Values of a Lua stack into their flat form, by the API of Lua where a value is not plain.

use std::ffi::{c_int, c_void};

use rustc_hash::FxHashMap;

use super::layout::{self, Table};
use super::walk::{self, Walk};
use super::{SLOTS, record, trim};
use crate::error::{Error, Result};
use crate::lua::driver::Driver;
use crate::lua::driver::raw::*;
use crate::lua::error;
use crate::size;
use crate::value::{Packed, Packer, TableMark};

/// Memory that is used again from value to value.
#[derive(Default)]
pub struct Scratch {
    seen: Seen,
    open: Vec<Level>,
    walked: Vec<walk::Level>,
}

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
        scratch: driver.scratch.packing.take().unwrap_or_default(),
    };
    // SAFETY: as stated.
    let packed = unsafe { packing.pack(driver, first, count) };
    // What was noted of a large value must not wait with the process.
    packing.scratch.seen.clear();
    trim(&mut packing.scratch.open);
    trim(&mut packing.scratch.walked);
    driver.scratch.packing = Some(packing.scratch);
    packed?;
    let (packed, buffer) = packing.packer.finish_reusing();
    driver.buffer = buffer;
    Ok(packed)
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
    scratch: Box<Scratch>,
}

/// Whether what grows by so many bytes is not too large.
#[inline]
pub fn has_room_for(packer: &Packer, more: usize) -> Result<()> {
    match packer.size().saturating_add(more) <= MOST {
        true => Ok(()),
        false => Err(too_large()),
    }
}

/// Whether an array ends at a nil, which is packed: where most items are nils. The border of a table with holes may lie beyond
/// any memory. Values behind go out as pairs.
pub fn passes_hole(holes: usize, items: usize) -> bool {
    holes > HOLES + items / 2
}

/// A table that is being packed. On the stack: the table, then the key at which the iteration stands.
struct Level {
    mark: TableMark,
    /// The border: keys 1 ..= length are the array part.
    length: i64,
    /// How many of them are packed.
    array: i64,
    /// How many of these are nil.
    holes: usize,
    /// The iteration has given these keys one after the other, as it does if Lua holds them so.
    in_order: bool,
    pairs: u32,
    /// The table is a key; its value waits below it.
    is_key: bool,
}

/// Nils that an array may have however few values are between them.
const HOLES: usize = 1 << 10;

#[cold]
fn too_deep() -> Error {
    Error::invalid("value is nested too deeply to be copied")
}

impl Packing {
    /// Packs the values: in place, if that can be done with all of them.
    unsafe fn pack(&mut self, driver: &mut Driver, first: c_int, count: c_int) -> Result<()> {
        // SAFETY: as for the function of this name.
        unsafe {
            if layout::is_known() {
                if self.all(driver, first, count, true)? {
                    return Ok(());
                }
                self.packer.restart();
                self.scratch.seen.clear();
            }
            self.scratch.open.clear();
            self.all(driver, first, count, false).map(|_| ())
        }
    }

    /// Packs the values in place, or by the API. False when one of them cannot be packed in place.
    unsafe fn all(&mut self, driver: &mut Driver, first: c_int, count: c_int, in_place: bool) -> Result<bool> {
        // SAFETY: as for `pack`; what works above the top leaves it as it was, but for an error.
        unsafe {
            let top = lua_gettop(self.l);
            for index in first..first + count {
                match self.value_at(driver, index, in_place) {
                    Ok(true) => {}
                    Ok(false) => return Ok(false),
                    Err(error) => {
                        lua_settop(self.l, top);
                        return Err(error);
                    }
                }
            }
        }
        Ok(true)
    }

    unsafe fn value_at(&mut self, driver: &mut Driver, index: c_int, in_place: bool) -> Result<bool> {
        // SAFETY: room for a table is checked in `enter`.
        unsafe {
            match lua_type(self.l, index) {
                LUA_TTABLE if in_place => {
                    let mut walk = Walk {
                        l: self.l,
                        packer: &mut self.packer,
                        seen: &mut self.scratch.seen,
                        open: &mut self.scratch.walked,
                    };
                    return walk.table(Table::at(self.l, index));
                }
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
        Ok(true)
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
                    has_room_for(&self.packer, text.len())?;
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
        has_room_for(&self.packer, 0)
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
            if let Some(mark) = self.scratch.seen.get(address) {
                self.packer.reference(mark);
                lua_pop(l, 1);
                return Ok(false);
            }
            if lua_checkstack(l, SLOTS) == 0 {
                return Err(too_deep());
            }
            has_room_for(&self.packer, 0)?;
            let mark = self.packer.open(record::is_record(l));
            let around = self.scratch.open.last().map_or(0, |table| table.length);
            self.scratch.seen.insert(address, mark, around);
            self.scratch.open.push(Level {
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
            while let Some(level) = self.scratch.open.last_mut() {
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
                        level.holes += 1;
                        if passes_hole(level.holes, level.array as usize) {
                            level.length = level.array;
                        }
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
            if let Some(level) = self.scratch.open.last_mut() {
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
            let length = self.scratch.open.last().map_or(0, |level| level.length);
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
            if let Some(level) = self.scratch.open.pop() {
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
pub struct Seen {
    few: Vec<(*const c_void, TableMark)>,
    many: FxHashMap<*const c_void, TableMark>,
}

impl Seen {
    fn clear(&mut self) {
        self.few.clear();
        if !self.many.is_empty() {
            self.many = FxHashMap::default();
        }
    }

    pub fn get(&self, address: *const c_void) -> Option<TableMark> {
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
    pub fn insert(&mut self, address: *const c_void, mark: TableMark, around: i64) {
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
