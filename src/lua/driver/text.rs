//! The `string` library: Lua's own functions, with Error objects as subjects, with callbacks that may wait, and without
//! calls that have no end.

use std::ffi::{CStr, c_int};
use std::sync::OnceLock;

use super::helper::Helper;
use super::protect::cast;
use super::raw::*;
use super::sandbox::{add_functions, originals};
use super::search;
use crate::lua::error;

/// Lua's functions that take an Error as subject, each with its wrapper.
macro_rules! subjects {
    ($($name:ident $lua:literal),+ $(,)?) => {
        $(unsafe extern "C-unwind" fn $name(l: Lua) -> c_int {
            static ORIGINAL: OnceLock<lua_CFunction> = OnceLock::new();
            // SAFETY: the original runs in this very call, on its arguments.
            unsafe {
                subject(l);
                ORIGINAL.get_or_init(|| originals().libraries["string"][$lua])(l)
            }
        })+
        const WRAPPED: &[(&CStr, lua_CFunction)] = &[$(($lua, $name)),+];
    };
}

/// The same for functions with a pattern: where the cost of Lua's own is not bounded, ours.
macro_rules! patterns {
    ($($name:ident $lua:literal),+ $(,)?) => {
        $(unsafe extern "C-unwind" fn $name(l: Lua) -> c_int {
            static ORIGINAL: OnceLock<lua_CFunction> = OnceLock::new();
            // SAFETY: as above.
            unsafe {
                subject(l);
                if search::is_bounded(l, false) {
                    return ORIGINAL.get_or_init(|| originals().libraries["string"][$lua])(l);
                }
                luaL_checklstring(l, 1, std::ptr::null_mut());
                search::$name(l)
            }
        })+
        const SEARCHES: &[(&CStr, lua_CFunction)] = &[$(($lua, $name)),+];
    };
}

patterns!(match_ c"match", gmatch c"gmatch");

subjects!(
    sub c"sub",
    len c"len",
    lower c"lower",
    upper c"upper",
    reverse c"reverse",
    byte c"byte",
);

/// Ours, in front of Lua's own.
const OWN: [(&CStr, lua_CFunction); 4] = [(c"find", find), (c"gsub", gsub), (c"rep", rep), (c"format", format)];

unsafe extern "C-unwind" fn find(l: Lua) -> c_int {
    static ORIGINAL: OnceLock<lua_CFunction> = OnceLock::new();
    // SAFETY: as in `patterns`.
    unsafe {
        subject(l);
        if search::is_bounded(l, lua_toboolean(l, 4) != 0) {
            return ORIGINAL.get_or_init(|| originals().libraries["string"][c"find"])(l);
        }
        luaL_checklstring(l, 1, std::ptr::null_mut());
        search::find(l)
    }
}

/// Replaces an Error at 1 by its text.
unsafe fn subject(l: Lua) {
    // SAFETY: the work is done in `host`, which returns here with nothing on the stack changed but index 1.
    unsafe {
        if lua_type(l, 1) == LUA_TUSERDATA {
            host(l, |driver| {
                let value = to_mlua(l, driver, 1);
                if let Some(error) = value.ok().as_ref().and_then(error::of_value) {
                    push_bytes(l, error.to_string().as_bytes());
                    lua_replace(l, 1);
                }
                Act::Return(0)
            });
        }
    }
}

/// Pushes a `string` table.
///
/// # Safety
/// With the memory limit lifted.
pub unsafe fn push_library(l: Lua) {
    static LIBRARY: OnceLock<Vec<(&CStr, lua_CFunction)>> = OnceLock::new();
    let library = LIBRARY.get_or_init(|| {
        let kept = [c"char", c"pack", c"packsize", c"unpack"];
        let kept = kept.iter().map(|name| (*name, originals().libraries["string"][*name]));
        WRAPPED.iter().chain(SEARCHES).copied().chain(kept).chain(OWN).collect()
    });
    // SAFETY: as stated; two values on the stack at most.
    unsafe {
        lua_createtable(l, 0, library.len() as c_int);
        add_functions(l, library);
        lua_createtable(l, 0, 1);
        add_functions(l, &[(c"__call", string_cast)]);
        lua_setmetatable(l, -2);
    }
}

/// Pushes the `string` table, with the metatable of strings set.
///
/// # Safety
/// With the memory limit lifted.
pub unsafe fn open(l: Lua) {
    static META: OnceLock<Vec<(&CStr, lua_CFunction)>> = OnceLock::new();
    let meta = META.get_or_init(|| {
        let meta = originals().string_meta.iter();
        meta.map(|(name, function)| (name.as_c_str(), *function)).collect()
    });
    // SAFETY: as stated; four values on the stack at most.
    unsafe {
        push_library(l);
        lua_pushstring(l, c"".as_ptr());
        lua_createtable(l, 0, meta.len() as c_int + 1);
        add_functions(l, meta);
        lua_pushvalue(l, -3);
        lua_setfield(l, -2, c"__index".as_ptr());
        lua_setmetatable(l, -2);
        lua_pop(l, 1);
    }
}

/// `string(v)`: the value, if it is a string.
unsafe extern "C-unwind" fn string_cast(l: Lua) -> c_int {
    // SAFETY: the table itself is the first argument.
    unsafe {
        lua_remove(l, 1);
        cast(l, LUA_TSTRING, c"string")
    }
}

unsafe extern "C-unwind" fn rep(l: Lua) -> c_int {
    static ORIGINAL: OnceLock<lua_CFunction> = OnceLock::new();
    // SAFETY: reads; wrong arguments are Lua's own function's to refuse.
    unsafe {
        subject(l);
        let is_empty = |index| bytes(l, index).is_some_and(<[u8]>::is_empty);
        if is_empty(1) && (lua_type(l, 3) <= LUA_TNIL || is_empty(3)) {
            // Lua's own would count to the end all the same.
            luaL_checkinteger(l, 2);
            lua_settop(l, 1);
            return 1;
        }
        ORIGINAL.get_or_init(|| originals().libraries["string"][c"rep"])(l)
    }
}

unsafe extern "C-unwind" fn format(l: Lua) -> c_int {
    // SAFETY: as in `format_from`.
    unsafe {
        subject(l);
        luaL_checklstring(l, 1, std::ptr::null_mut());
        format_from(l, 2)
    }
}

unsafe extern "C-unwind" fn format_on(l: Lua, _: c_int, index: lua_KContext) -> c_int {
    // SAFETY: as in `format_from`.
    unsafe {
        keep_shown(l, index as c_int);
        format_from(l, index as c_int + 1)
    }
}

/// Replaces the arguments from an index on that `%s` shows by a metamethod, which may wait here and not in Lua's own
/// function; then calls that.
unsafe fn format_from(l: Lua, from: c_int) -> c_int {
    static ORIGINAL: OnceLock<lua_CFunction> = OnceLock::new();
    // SAFETY: nothing of Rust is alive while a metamethod runs.
    unsafe {
        for index in from..=lua_gettop(l) {
            if lua_type(l, index) >= LUA_TTABLE
                && bytes(l, 1).is_some_and(|format| is_shown(format, index as usize - 2))
                && call_shower(l, index, format_on)
            {
                keep_shown(l, index);
            }
        }
        ORIGINAL.get_or_init(|| originals().libraries["string"][c"format"])(l)
    }
}

/// Whether that argument, counted from 0, is for a `%s`.
fn is_shown(format: &[u8], argument: usize) -> bool {
    let mut rest = format.split(|byte| *byte == b'%').skip(1);
    let mut conversions = std::iter::from_fn(|| {
        let piece = rest.next()?;
        if piece.is_empty() {
            // `%%`: what follows is text.
            rest.next();
        }
        Some(piece)
    })
    .filter(|piece| !piece.is_empty());
    let conversion = conversions.nth(argument);
    conversion.and_then(|piece| piece.iter().find(|byte| byte.is_ascii_alphabetic())) == Some(&b's')
}

/// Calls the `__tostring` of the value at an index, leaving the result on top; the continuation gets the index. False
/// when it has none.
///
/// # Safety
/// In a C function, nothing with a destructor alive.
pub unsafe fn call_shower(l: Lua, index: c_int, again: Continuation) -> bool {
    // SAFETY: as stated.
    unsafe {
        luaL_checkstack(l, 4, c"too many values to show".as_ptr());
        if luaL_getmetafield(l, index, c"__tostring".as_ptr()) == LUA_TNIL {
            return false;
        }
        lua_pushvalue(l, index);
        lua_callk(l, 1, 1, index as lua_KContext, Some(again));
    }
    true
}

/// Puts what `__tostring` gave, on top, in the place of what it shows.
///
/// # Safety
/// As for [`call_shower`].
pub unsafe fn keep_shown(l: Lua, index: c_int) {
    // SAFETY: as stated.
    unsafe {
        if lua_isstring(l, -1) == 0 {
            luaL_error(l, c"'__tostring' must return a string".as_ptr());
        }
        lua_replace(l, index);
    }
}

unsafe extern "C-unwind" fn gsub(l: Lua) -> c_int {
    static ORIGINAL: OnceLock<lua_CFunction> = OnceLock::new();
    // SAFETY: checks raise with nothing alive; the helper is called as the last thing.
    unsafe {
        subject(l);
        if !calls_back(l) && search::is_bounded(l, false) {
            return ORIGINAL.get_or_init(|| originals().libraries["string"][c"gsub"])(l);
        }
        luaL_checklstring(l, 1, std::ptr::null_mut());
        luaL_checklstring(l, 2, std::ptr::null_mut());
        luaL_optinteger(l, 4, 0);
        if lua_type(l, 3) != LUA_TFUNCTION && lua_type(l, 3) != LUA_TTABLE {
            luaL_checklstring(l, 3, std::ptr::null_mut());
        }
        lua_settop(l, 4);
        GSUB.call(l, None)
    }
}

/// Whether the replacement at 3 runs Lua code, or may.
unsafe fn calls_back(l: Lua) -> bool {
    // SAFETY: reads only.
    unsafe {
        match lua_type(l, 3) {
            LUA_TFUNCTION => true,
            LUA_TTABLE if lua_getmetatable(l, 3) != 0 => {
                lua_pop(l, 1);
                true
            }
            _ => false,
        }
    }
}

static GSUB: Helper = Helper::new("=string.gsub", include_str!("../../../lua/gsub.lua"), push_gsub_words);

/// What `lua/gsub.lua` takes.
unsafe fn push_gsub_words(l: Lua) -> c_int {
    let libraries = &originals().libraries;
    let base = &originals().base;
    let words: [lua_CFunction; 6] = [
        find,
        libraries["string"][c"sub"],
        libraries["table"][c"concat"],
        base[c"type"],
        base[c"error"],
        libraries["string"][c"gsub"],
    ];
    for word in words {
        // SAFETY: a C function has room for these few.
        unsafe { lua_pushcfunction(l, word) };
    }
    words.len() as c_int
}
