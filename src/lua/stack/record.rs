//! Records that came from WASM: tables whose kebab-case keys can be read and written in snake_case.

use std::ffi::{c_int, c_void};

use super::fill::is_key;
use super::layout::Table;
use crate::lua::driver;
use crate::lua::driver::raw::*;

static RECORD: u8 = 0;
static SHOWN: u8 = 0;

/// Pushes the metatable that WASM records share: `user.tag_count` reads and writes `tag-count`.
///
/// No program ever holds it: what the host gives a table must not have a finalizer that a program has written, which would run
/// wherever something is allocated, also in the midst of the host. `getmetatable` shows another one that does the same, and a
/// copy of a record that gets that one is a record too.
pub unsafe fn push_record_meta(l: Lua) {
    // SAFETY: the limit is lifted; four values at most.
    unsafe {
        if lua_rawgetp(l, LUA_REGISTRYINDEX, key(&RECORD)) != LUA_TNIL {
            return;
        }
        lua_pop(l, 1);
        push_new_meta(l, &RECORD);
        push_new_meta(l, &SHOWN);
        lua_setfield(l, -2, c"__metatable".as_ptr());
    }
}

unsafe fn push_new_meta(l: Lua, place: &'static u8) {
    // SAFETY: as for `push_record_meta`.
    unsafe {
        lua_createtable(l, 0, 3);
        lua_pushcfunction(l, record_read);
        lua_setfield(l, -2, c"__index".as_ptr());
        lua_pushcfunction(l, record_write);
        lua_setfield(l, -2, c"__newindex".as_ptr());
        lua_pushvalue(l, -1);
        lua_rawsetp(l, LUA_REGISTRYINDEX, key(place));
    }
}

/// Whether the table at 1 has the metatable that no program holds. There is room for two values.
pub unsafe fn is_guarded(l: Lua) -> bool {
    // SAFETY: reads; the stack is as before.
    unsafe {
        if lua_getmetatable(l, 1) == 0 {
            return false;
        }
        lua_rawgetp(l, LUA_REGISTRYINDEX, key(&RECORD));
        let is_guarded = lua_rawequal(l, -1, -2) != 0;
        lua_pop(l, 2);
        is_guarded
    }
}

/// The table as a record, in the state of a process.
///
/// # Errors
/// When the state has no memory for it.
pub fn as_record(lua: &mlua::Lua, table: mlua::Table) -> mlua::Result<mlua::Table> {
    if driver::attached(lua).is_none() {
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
    read.is_some_and(|read| read.to_pointer() == record_read as lua_CFunction as *const c_void)
}

/// Whether the table on top is a record. There is room for two values.
pub unsafe fn is_record(l: Lua) -> bool {
    // SAFETY: reads; the stack is as before.
    unsafe {
        if lua_getmetatable(l, -1) == 0 {
            return false;
        }
        let meta = Table::at(l, -1);
        lua_pop(l, 1);
        is_meta(l, meta)
    }
}

/// Whether it is a metatable of records. There is room for a value.
pub unsafe fn is_meta(l: Lua, meta: *const Table) -> bool {
    // SAFETY: as stated.
    unsafe { is_kept(l, &RECORD, meta) || is_kept(l, &SHOWN, meta) }
}

unsafe fn is_kept(l: Lua, place: &'static u8, meta: *const Table) -> bool {
    // SAFETY: reads; the stack is as before.
    unsafe {
        lua_rawgetp(l, LUA_REGISTRYINDEX, key(place));
        let is_kept = lua_type(l, -1) == LUA_TTABLE && Table::at(l, -1).cast_const() == meta;
        lua_pop(l, 1);
        is_kept
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
