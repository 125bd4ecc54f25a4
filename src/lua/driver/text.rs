//! The `string` library and `table.sort`: Lua's own functions, with Error objects as subjects, and with callbacks that may
//! wait.
//!
//! What calls back (`gsub` with a function, `sort`) is written in Lua (`lua/gsub.lua`, `lua/sort.lua`): there a callback is
//! an ordinary call, which can be suspended and interrupted. The two chunks are loaded when first used.

use std::ffi::{CStr, c_int};
use std::sync::OnceLock;

use super::bytecode::{self, Bytecode};
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
                if search::is_bounded(l) {
                    return ORIGINAL.get_or_init(|| originals().libraries["string"][$lua])(l);
                }
                luaL_checklstring(l, 1, std::ptr::null_mut());
                search::$name(l)
            }
        })+
        const SEARCHES: &[(&CStr, lua_CFunction)] = &[$(($lua, $name)),+];
    };
}

patterns!(find c"find", match_ c"match", gmatch c"gmatch");

subjects!(
    sub c"sub",
    len c"len",
    lower c"lower",
    upper c"upper",
    rep c"rep",
    reverse c"reverse",
    byte c"byte",
    format c"format",
);

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

/// Pushes the `string` table, with the metatable of strings set.
///
/// # Safety
/// With the memory limit lifted.
pub unsafe fn open(l: Lua) {
    static LIBRARY: OnceLock<Vec<(&CStr, lua_CFunction)>> = OnceLock::new();
    static META: OnceLock<Vec<(&CStr, lua_CFunction)>> = OnceLock::new();
    let library = LIBRARY.get_or_init(|| {
        let kept = [c"char", c"pack", c"packsize", c"unpack"];
        let kept = kept.iter().map(|name| (*name, originals().libraries["string"][*name]));
        WRAPPED
            .iter()
            .chain(SEARCHES)
            .copied()
            .chain(kept)
            .chain([(c"gsub", gsub as lua_CFunction)])
            .collect()
    });
    let meta = META.get_or_init(|| {
        let meta = originals().string_meta.iter();
        meta.map(|(name, function)| (name.as_c_str(), *function)).collect()
    });
    // SAFETY: as stated; four values on the stack at most.
    unsafe {
        lua_createtable(l, 0, library.len() as c_int);
        add_functions(l, library);
        lua_createtable(l, 0, 1);
        add_functions(l, &[(c"__call", string_cast)]);
        lua_setmetatable(l, -2);
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

unsafe extern "C-unwind" fn gsub(l: Lua) -> c_int {
    static ORIGINAL: OnceLock<lua_CFunction> = OnceLock::new();
    // SAFETY: checks raise with nothing alive; the helper is called as the last thing.
    unsafe {
        subject(l);
        if !calls_back(l) && search::is_bounded(l) {
            return ORIGINAL.get_or_init(|| originals().libraries["string"][c"gsub"])(l);
        }
        luaL_checklstring(l, 1, std::ptr::null_mut());
        luaL_checklstring(l, 2, std::ptr::null_mut());
        luaL_optinteger(l, 4, 0);
        if lua_type(l, 3) != LUA_TFUNCTION && lua_type(l, 3) != LUA_TTABLE {
            luaL_checklstring(l, 3, std::ptr::null_mut());
        }
        lua_settop(l, 4);
        push_helper(l, &GSUB, push_gsub_words);
        lua_insert(l, 1);
        lua_callk(l, 4, 2, 0, Some(called));
        2
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

/// `table.sort(t, before)`.
///
/// # Safety
/// Called by Lua.
pub unsafe extern "C-unwind" fn sort(l: Lua) -> c_int {
    // SAFETY: checks raise with nothing alive; the helper is called as the last thing.
    unsafe {
        if lua_type(l, 1) != LUA_TTABLE && luaL_getmetafield(l, 1, c"__index".as_ptr()) == LUA_TNIL {
            luaL_checktype(l, 1, LUA_TTABLE);
        }
        if lua_type(l, 2) > LUA_TNIL {
            luaL_checktype(l, 2, LUA_TFUNCTION);
        }
        lua_settop(l, 2);
        push_helper(l, &SORT, push_nothing);
        lua_insert(l, 1);
        lua_callk(l, 2, 0, 0, Some(called));
        0
    }
}

/// The results of the helper are ours.
unsafe extern "C-unwind" fn called(l: Lua, _: c_int, _: lua_KContext) -> c_int {
    // SAFETY: nothing but the results is on the stack.
    unsafe { lua_gettop(l) }
}

/// A helper in Lua: its text, its name in messages, its bytecode once made, and its key in a state's registry.
struct Helper {
    source: &'static str,
    name: &'static str,
    code: OnceLock<Bytecode>,
    place: u8,
}

static SORT: Helper = Helper {
    source: include_str!("../../../lua/sort.lua"),
    name: "=table.sort",
    code: OnceLock::new(),
    place: 0,
};

static GSUB: Helper = Helper {
    source: include_str!("../../../lua/gsub.lua"),
    name: "=string.gsub",
    code: OnceLock::new(),
    place: 0,
};

impl Helper {
    fn code(&self) -> &Bytecode {
        self.code
            .get_or_init(|| bytecode::compile(self.source.as_bytes(), self.name).expect("the embedded Lua compiles"))
    }
}

/// Pushes the helper's function, loading it the first time.
unsafe fn push_helper(l: Lua, helper: &'static Helper, push_words: unsafe fn(Lua) -> c_int) {
    // SAFETY: the chunk is run outside of `host`; what it needs is on the stack, nothing of Rust is alive.
    unsafe {
        if lua_rawgetp(l, LUA_REGISTRYINDEX, key(&helper.place)) == LUA_TFUNCTION {
            return;
        }
        lua_pop(l, 1);
        let loaded = host(l, |_| match helper.code().load(l) {
            Ok(()) => Act::Return(1),
            Err(message) => {
                push_bytes(l, message.as_bytes());
                Act::Raise
            }
        });
        let words = push_words(l);
        lua_call(l, words, loaded);
        lua_pushvalue(l, -1);
        lua_rawsetp(l, LUA_REGISTRYINDEX, key(&helper.place));
    }
}

unsafe fn push_nothing(_: Lua) -> c_int {
    0
}

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
