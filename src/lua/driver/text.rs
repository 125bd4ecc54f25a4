//! The `string` library: Lua's own functions, with Error objects as subjects, with callbacks that may wait, and without
//! calls that have no end.

use std::ffi::{CStr, c_int};
use std::mem::MaybeUninit;
use std::sync::OnceLock;

use super::helper::Helper;
use super::protect::{cast, settle};
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
const OWN: [(&CStr, lua_CFunction); 5] = [
    (c"find", find),
    (c"gsub", gsub),
    (c"rep", rep),
    (c"format", format),
    (c"unpack", unpack),
];

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

/// Results of one call for which there is room before it.
const MOST_RESULTS: usize = 100_000;

/// `string.unpack`. Lua's own makes room for its results one by one, and none for the text of an error.
unsafe extern "C-unwind" fn unpack(l: Lua) -> c_int {
    static ORIGINAL: OnceLock<lua_CFunction> = OnceLock::new();
    // SAFETY: the original runs in this very call, on its arguments.
    unsafe {
        let most = match lua_type(l, 1) {
            LUA_TSTRING => lua_rawlen(l, 1).min(MOST_RESULTS),
            _ => 0,
        };
        // Without it, Lua finds out how far it gets.
        lua_checkstack(l, most as c_int + LUA_MINSTACK);
        ORIGINAL.get_or_init(|| originals().libraries["string"][c"unpack"])(l)
    }
}

/// Pushes a `string` table.
///
/// # Safety
/// With the memory limit lifted.
pub unsafe fn push_library(l: Lua) {
    static LIBRARY: OnceLock<Vec<(&CStr, lua_CFunction)>> = OnceLock::new();
    let library = LIBRARY.get_or_init(|| {
        let kept = [c"char", c"pack", c"packsize"];
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
        match push_repeated(l) {
            true => 1,
            false => ORIGINAL.get_or_init(|| originals().libraries["string"][c"rep"])(l),
        }
    }
}

/// Results from here on are made by [`push_repeated`].
const LONG: usize = 64 << 10;

/// Pushes a long result of `rep`, doubled as long as it goes: Lua's own takes ten times as long to copy a short text piece by
/// piece. False, with nothing pushed, for a short one, and where Lua's own has something to say about the arguments.
unsafe fn push_repeated(l: Lua) -> bool {
    // SAFETY: both texts are arguments and stay where they are; nothing of Rust is alive when memory runs out. The buffer has room
    // for `total` bytes, of which the first `filled` are written: what is copied is written, and its copy is behind it.
    unsafe {
        let is_text = |index| lua_type(l, index) == LUA_TSTRING;
        if !is_text(1) || lua_type(l, 2) != LUA_TNUMBER || !(is_text(3) || lua_type(l, 3) <= LUA_TNIL) {
            return false;
        }
        let mut is_integer = 0;
        let times = usize::try_from(lua_tointegerx(l, 2, &raw mut is_integer)).unwrap_or(0);
        let (text, separator) = (bytes(l, 1).unwrap_or_default(), bytes(l, 3).unwrap_or_default());
        let unit = text.len() + separator.len();
        let total = unit
            .checked_mul(times)
            .map_or(0, |all| all.saturating_sub(separator.len()));
        // Lua's own refuses what is longer than an int of C can count.
        let is_too_large = unit > i32::MAX as usize / times.max(1);
        if is_integer == 0 || total < LONG || is_too_large {
            return false;
        }
        let mut buffer = MaybeUninit::<luaL_Buffer>::uninit();
        let start = luaL_buffinitsize(l, buffer.as_mut_ptr(), total).cast::<u8>();
        let first = text.len().min(total);
        start.copy_from_nonoverlapping(text.as_ptr(), first);
        start
            .add(first)
            .copy_from_nonoverlapping(separator.as_ptr(), separator.len().min(total - first));
        let mut filled = unit.min(total);
        while filled < total {
            let more = filled.min(total - filled);
            start.add(filled).copy_from_nonoverlapping(start, more);
            filled += more;
        }
        luaL_pushresultsize(buffer.as_mut_ptr(), total);
        true
    }
}

unsafe extern "C-unwind" fn format(l: Lua) -> c_int {
    // SAFETY: as in `format_from`.
    unsafe {
        subject(l);
        luaL_checklstring(l, 1, std::ptr::null_mut());
        format_from(l, 2, 0)
    }
}

/// An argument and the place in the format behind its conversion, in one number: a stack has less than this many slots.
const SLOTS: lua_KContext = 1 << 20;

unsafe extern "C-unwind" fn format_on(l: Lua, _: c_int, context: lua_KContext) -> c_int {
    let index = (context % SLOTS) as c_int;
    // SAFETY: as in `format_from`.
    unsafe {
        keep_shown(l, index);
        format_from(l, index + 1, (context / SLOTS) as usize)
    }
}

/// Replaces the arguments from an index on, whose conversions come from `at` on, that `%s` shows by a metamethod, which may
/// wait here and not in Lua's own function; then calls that.
unsafe fn format_from(l: Lua, from: c_int, mut at: usize) -> c_int {
    static ORIGINAL: OnceLock<lua_CFunction> = OnceLock::new();
    // SAFETY: nothing of Rust is alive while a metamethod runs; the format stays at 1.
    unsafe {
        // The argument that the next conversion from `at` on is for.
        let mut next = from;
        for index in from..=lua_gettop(l) {
            if lua_type(l, index) < LUA_TTABLE {
                continue;
            }
            let mut letter = b' ';
            while next <= index {
                (letter, at) = conversion(bytes(l, 1).unwrap_or_default(), at).unwrap_or((b' ', usize::MAX));
                next += 1;
            }
            let context = at as lua_KContext * SLOTS + index as lua_KContext;
            if letter == b's' && call_shower_with(l, index, context, format_on) {
                keep_shown(l, index);
            }
        }
        ORIGINAL.get_or_init(|| originals().libraries["string"][c"format"])(l)
    }
}

/// The letter of the first conversion from there on that takes an argument, and the place behind it.
fn conversion(format: &[u8], mut at: usize) -> Option<(u8, usize)> {
    loop {
        at += format.get(at..)?.iter().position(|byte| *byte == b'%')? + 1;
        if format.get(at) == Some(&b'%') {
            at += 1;
            continue;
        }
        at += format[at..].iter().position(u8::is_ascii_alphabetic)? + 1;
        return Some((format[at - 1], at));
    }
}

/// Calls the `__tostring` of the value at an index, leaving the result on top; the continuation gets the index. False
/// when it has none.
///
/// # Safety
/// In a C function, nothing with a destructor alive.
pub unsafe fn call_shower(l: Lua, index: c_int, again: Continuation) -> bool {
    // SAFETY: as stated.
    unsafe { call_shower_with(l, index, index as lua_KContext, again) }
}

/// The same with a context of its own for the continuation.
unsafe fn call_shower_with(l: Lua, index: c_int, context: lua_KContext, again: Continuation) -> bool {
    // SAFETY: as for `call_shower`.
    unsafe {
        luaL_checkstack(l, 4, c"too many values to show".as_ptr());
        if luaL_getmetafield(l, index, c"__tostring".as_ptr()) == LUA_TNIL {
            return false;
        }
        lua_pushvalue(l, index);
        lua_callk(l, 1, 1, context, Some(again));
    }
    true
}

/// Puts what `__tostring` gave, on top, in the place of what it shows. A number becomes its text.
///
/// # Safety
/// As for [`call_shower`].
pub unsafe fn keep_shown(l: Lua, index: c_int) {
    // SAFETY: as stated.
    unsafe {
        if lua_isstring(l, -1) == 0 {
            luaL_error(l, c"'__tostring' must return a string".as_ptr());
        }
        lua_tolstring(l, -1, std::ptr::null_mut());
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
        lua_settop(l, 4);
        if lua_type(l, 4) != LUA_TNIL {
            lua_pushinteger(l, luaL_checkinteger(l, 4));
            lua_replace(l, 4);
        }
        if lua_type(l, 3) != LUA_TFUNCTION && lua_type(l, 3) != LUA_TTABLE {
            luaL_checklstring(l, 3, std::ptr::null_mut());
        }
        if search::closes_nothing(bytes(l, 2).unwrap_or_default()) && search::is_bounded(l, false) {
            // No match can be complete, so nothing is called back.
            return ORIGINAL.get_or_init(|| originals().libraries["string"][c"gsub"])(l);
        }
        if lua_iscfunction(l, 3) != 0 {
            // What a C function raises with the place of its caller has none in Lua, where that is C too.
            lua_pushvalue(l, 3);
            lua_pushcclosure(l, called_back, 1);
            lua_replace(l, 3);
        }
        GSUB.call(l, None)
    }
}

/// Calls its upvalue with its arguments.
unsafe extern "C-unwind" fn called_back(l: Lua) -> c_int {
    // SAFETY: the last thing of a C function, nothing of Rust is alive.
    unsafe { call_upvalue(l) }
}

/// `string.find` for `lua/gsub.lua`: its errors are about the arguments of the caller of `gsub`, and have his place.
unsafe extern "C-unwind" fn find_for_gsub(l: Lua) -> c_int {
    // SAFETY: as in `called_back`.
    unsafe {
        lua_pushcfunction(l, find);
        lua_insert(l, 1);
        let status = lua_pcallk(l, lua_gettop(l) - 1, LUA_MULTRET, 0, 0, Some(found_for_gsub));
        found_for_gsub(l, status, 0)
    }
}

unsafe extern "C-unwind" fn found_for_gsub(l: Lua, status: c_int, _: lua_KContext) -> c_int {
    // Levels of the stack: this, the chunk, `gsub`, its caller.
    const CALLER: c_int = 3;
    // SAFETY: the results, or the error, are on the stack.
    unsafe {
        if status == LUA_OK || status == LUA_YIELD {
            return lua_gettop(l);
        }
        if !settle(l, status) {
            return die(l);
        }
        if lua_type(l, -1) == LUA_TSTRING {
            luaL_where(l, CALLER);
            lua_insert(l, -2);
            lua_concat(l, 2);
        }
        lua_error(l)
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
        find_for_gsub,
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
