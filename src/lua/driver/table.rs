//! The `table` library: Lua's own functions where they take few steps, else the same in Lua ([`Helper`]), because a C
//! function that shifts or joins as many elements as its arguments say cannot be interrupted while it does so.

use std::ffi::{CStr, c_int};
use std::sync::OnceLock;

use super::helper::Helper;
use super::raw::*;
use super::sandbox::{add_kept, originals, push_library};

const OWN: [(&CStr, lua_CFunction); 7] = [
    (c"unpack", unpack),
    (c"sort", sort),
    (c"create", create),
    (c"insert", insert),
    (c"remove", remove),
    (c"move", move_),
    (c"concat", concat),
];

const KEPT: [&CStr; 1] = [c"pack"];

/// Globals that walk over tables.
pub const FUNCTIONS: [(&CStr, lua_CFunction); 2] = [(c"ipairs", ipairs), (c"unpack", unpack)];

/// Steps that a C function may take in one call: a few milliseconds.
const STEPS: i64 = 1 << 17;

static SORT: Helper = Helper::new("=table.sort", include_str!("../../../lua/sort.lua"), push_sort_words);
static SLOW: Helper = Helper::new("=table", include_str!("../../../lua/table.lua"), push_words);

/// Pushes the `table` table.
///
/// # Safety
/// With the memory limit lifted.
pub unsafe fn open(l: Lua) {
    // SAFETY: as stated.
    unsafe {
        push_library(l, &OWN, KEPT.len() as c_int);
        add_kept(l, "table", &KEPT);
    }
}

unsafe extern "C-unwind" fn create(l: Lua) -> c_int {
    // SAFETY: checks raise with nothing alive; sizes are bounded, because a hint must not take the memory at once.
    unsafe {
        let array = luaL_optinteger(l, 1, 0).clamp(0, 1 << 16) as c_int;
        let pairs = luaL_optinteger(l, 2, 0).clamp(0, 1 << 16) as c_int;
        lua_createtable(l, array, pairs);
    }
    1
}

unsafe extern "C-unwind" fn sort(l: Lua) -> c_int {
    // SAFETY: checks raise with nothing alive; the helper is called as the last thing.
    unsafe {
        if lua_type(l, 1) != LUA_TTABLE && luaL_getmetafield(l, 1, c"__index".as_ptr()) == LUA_TNIL {
            luaL_checktype(l, 1, LUA_TTABLE);
        }
        if lua_type(l, 2) > LUA_TNIL {
            luaL_checktype(l, 2, LUA_TFUNCTION);
        }
        lua_settop(l, 2);
        SORT.call(l, None)
    }
}

/// `ipairs(t)`: Lua's own iterator calls `__index` from C.
unsafe extern "C-unwind" fn ipairs(l: Lua) -> c_int {
    // SAFETY: as in `sort`.
    unsafe {
        if !has_metamethod(l, &[c"__index"]) {
            return (originals().ipairs)(l);
        }
        lua_settop(l, 1);
        SLOW.call(l, Some(c"ipairs"))
    }
}

/// `table.unpack(t, first, last)`, and the global of that name.
unsafe extern "C-unwind" fn unpack(l: Lua) -> c_int {
    static ORIGINAL: OnceLock<lua_CFunction> = OnceLock::new();
    // SAFETY: as in `sort`.
    unsafe {
        if !has_metamethod(l, &[c"__index", c"__len"]) {
            return ORIGINAL.get_or_init(|| original(c"unpack"))(l);
        }
        lua_settop(l, 3);
        let first = luaL_optinteger(l, 2, 1);
        convert(l, 2, Some(first));
        if lua_type(l, 3) != LUA_TNIL {
            let last = luaL_checkinteger(l, 3);
            convert(l, 3, Some(last));
        }
        SLOW.call(l, Some(c"unpack"))
    }
}

/// Whether walking over the table at 1 calls one of these, which may wait.
unsafe fn has_metamethod(l: Lua, names: &[&CStr]) -> bool {
    // SAFETY: reads; what is pushed is dropped.
    unsafe {
        if lua_type(l, 1) != LUA_TTABLE || is_plain(l, 1) {
            return false;
        }
        names.iter().any(|name| {
            let has = luaL_getmetafield(l, 1, name.as_ptr()) != LUA_TNIL;
            if has {
                lua_pop(l, 1);
            }
            has
        })
    }
}

/// `table.insert(t, value)` and `table.insert(t, pos, value)`.
unsafe extern "C-unwind" fn insert(l: Lua) -> c_int {
    static ORIGINAL: OnceLock<lua_CFunction> = OnceLock::new();
    // SAFETY: as in `sort`.
    unsafe {
        luaL_checktype(l, 1, LUA_TTABLE);
        if lua_gettop(l) == 2 && !is_plain(l, 1) {
            return SLOW.call(l, Some(c"append"));
        }
        // What is appended shifts nothing, and wrong arguments are refused before anything is.
        let pos = integer(l, 2);
        if lua_gettop(l) != 3 || pos.is_none_or(|pos| takes_few_steps(l, 1, pos, None)) {
            return ORIGINAL.get_or_init(|| original(c"insert"))(l);
        }
        convert(l, 2, pos);
        SLOW.call(l, Some(c"insert"))
    }
}

/// `table.remove(t, pos)`.
unsafe extern "C-unwind" fn remove(l: Lua) -> c_int {
    static ORIGINAL: OnceLock<lua_CFunction> = OnceLock::new();
    // SAFETY: as in `sort`.
    unsafe {
        luaL_checktype(l, 1, LUA_TTABLE);
        if lua_type(l, 2) <= LUA_TNIL && !is_plain(l, 1) {
            lua_settop(l, 1);
            return SLOW.call(l, Some(c"remove"));
        }
        let pos = integer(l, 2);
        if lua_gettop(l) < 2 || pos.is_none_or(|pos| takes_few_steps(l, 1, pos, None)) {
            return ORIGINAL.get_or_init(|| original(c"remove"))(l);
        }
        lua_settop(l, 2);
        convert(l, 2, pos);
        SLOW.call(l, Some(c"remove"))
    }
}

/// `table.move(from, first, last, at, to)`.
unsafe extern "C-unwind" fn move_(l: Lua) -> c_int {
    static ORIGINAL: OnceLock<lua_CFunction> = OnceLock::new();
    // SAFETY: as in `sort`.
    unsafe {
        luaL_checktype(l, 1, LUA_TTABLE);
        lua_settop(l, 5);
        if lua_type(l, 5) == LUA_TNIL {
            lua_pushvalue(l, 1);
            lua_replace(l, 5);
        }
        luaL_checktype(l, 5, LUA_TTABLE);
        let (first, last, at) = (integer(l, 2), integer(l, 3), integer(l, 4));
        let few = match (first, last, at) {
            (Some(first), Some(last), Some(_)) => {
                last < first || takes_few_steps(l, 1, first, Some(last)) && is_plain(l, 5)
            }
            _ => true,
        };
        if few {
            return ORIGINAL.get_or_init(|| original(c"move"))(l);
        }
        for (index, value) in [(2, first), (3, last), (4, at)] {
            convert(l, index, value);
        }
        SLOW.call(l, Some(c"move"))
    }
}

/// `table.concat(t, sep, first, last)`.
unsafe extern "C-unwind" fn concat(l: Lua) -> c_int {
    static ORIGINAL: OnceLock<lua_CFunction> = OnceLock::new();
    // SAFETY: as in `sort`.
    unsafe {
        luaL_checktype(l, 1, LUA_TTABLE);
        lua_settop(l, 4);
        let first = if lua_type(l, 3) == LUA_TNIL {
            Some(1)
        } else {
            integer(l, 3)
        };
        let last = if lua_type(l, 4) == LUA_TNIL {
            None
        } else {
            integer(l, 4)
        };
        let wrong = first.is_none() || last.is_none() && lua_type(l, 4) != LUA_TNIL;
        if wrong || first.is_some_and(|first| takes_few_steps(l, 1, first, last)) {
            return ORIGINAL.get_or_init(|| original(c"concat"))(l);
        }
        luaL_optlstring(l, 2, c"".as_ptr(), std::ptr::null_mut());
        if lua_type(l, 2) == LUA_TNIL {
            lua_pushstring(l, c"".as_ptr());
            lua_replace(l, 2);
        }
        convert(l, 3, first);
        if last.is_some() {
            convert(l, 4, last);
        }
        SLOW.call(l, Some(c"concat"))
    }
}

fn original(name: &CStr) -> lua_CFunction {
    originals().libraries["table"][name]
}

/// The integer at an index, if it is one as Lua's own checks see it.
unsafe fn integer(l: Lua, index: c_int) -> Option<i64> {
    let mut is_integer = 0;
    // SAFETY: a read; a text is converted on the fly and stays what it is.
    let value = unsafe { lua_tointegerx(l, index, &mut is_integer) };
    (is_integer != 0).then_some(value)
}

/// Replaces what is at an index by the integer that it was found to be.
unsafe fn convert(l: Lua, index: c_int, value: Option<i64>) {
    if let Some(value) = value {
        // SAFETY: the index is on the stack.
        unsafe {
            lua_pushinteger(l, value);
            lua_replace(l, index);
        }
    }
}

unsafe fn is_plain(l: Lua, index: c_int) -> bool {
    // SAFETY: a table is at the index; what is pushed is dropped.
    unsafe {
        if lua_getmetatable(l, index) == 0 {
            return true;
        }
        lua_pop(l, 1);
        false
    }
}

/// Whether the way from that element of a table to its last one, or to `last`, is short and runs no metamethods.
unsafe fn takes_few_steps(l: Lua, index: c_int, first: i64, last: Option<i64>) -> bool {
    // SAFETY: a table is at the index.
    unsafe {
        let last = last.unwrap_or_else(|| lua_rawlen(l, index) as i64);
        is_plain(l, index) && last.saturating_sub(first) <= STEPS
    }
}

/// What `lua/sort.lua` takes.
unsafe fn push_sort_words(l: Lua) -> c_int {
    let base = &originals().base;
    for word in [base[c"type"], base[c"error"], compare] {
        // SAFETY: a C function has room for these few.
        unsafe { lua_pushcfunction(l, word) };
    }
    3
}

/// `a < b`, or nil where a metamethod says it.
unsafe extern "C-unwind" fn compare(l: Lua) -> c_int {
    // SAFETY: without a metamethod the comparison runs no Lua code; nothing is alive when it raises.
    unsafe {
        for index in [1, 2] {
            if luaL_getmetafield(l, index, c"__lt".as_ptr()) != LUA_TNIL {
                lua_pushnil(l);
                return 1;
            }
        }
        let less = lua_compare(l, 1, 2, LUA_OPLT);
        lua_pushboolean(l, less);
    }
    1
}

/// What `lua/table.lua` takes.
unsafe fn push_words(l: Lua) -> c_int {
    let base = &originals().base;
    for word in [base[c"type"], base[c"error"], original(c"concat"), original(c"unpack")] {
        // SAFETY: a C function has room for these few.
        unsafe { lua_pushcfunction(l, word) };
    }
    // SAFETY: as above.
    unsafe { lua_pushinteger(l, i64::MAX) };
    5
}
