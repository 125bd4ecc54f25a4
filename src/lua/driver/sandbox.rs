//! The globals of a process: which there are, and how each comes into a state.
//!
//! [`GLOBALS`] is the table of contents of lua-api §1.2. A state opens those that its chunks can name ([`Plan`]); `string`
//! is always there, because arithmetic on strings needs its metatable. Lua's own functions are taken by their addresses
//! from a state made once ([`originals`]), so that a library is opened without the functions that the sandbox leaves out.

use std::collections::{BTreeSet, HashMap};
use std::ffi::{CStr, CString, c_int};
use std::sync::OnceLock;

use super::memory::{Memory, allocate};
use super::raw::*;
use super::{Driver, channel, coroutine, funcs, print, process, protect, table, text, timer};
use crate::lua::modules::Module;

/// How a global comes into a state.
#[derive(Clone, Copy)]
pub enum Opening {
    /// One of Lua's own base functions.
    Base,
    /// One of ours.
    Own(lua_CFunction),
    /// Leaves the library's table on the stack.
    Library(Open),
    /// A module that is written with mlua; a function when its value is one.
    Module(Module),
}

/// Leaves a library's table on the stack; called with the memory limit lifted.
type Open = unsafe fn(Lua);

/// A global by its name.
pub type Global = (&'static CStr, Opening);

const BASE: [&CStr; 12] = [
    c"type",
    c"tonumber",
    c"assert",
    c"error",
    c"pairs",
    c"next",
    c"select",
    c"getmetatable",
    c"rawset",
    c"rawget",
    c"rawequal",
    c"rawlen",
];

/// The libraries; `string` is opened apart.
const LIBRARIES: [(&CStr, Open); 8] = [
    (c"table", table::open),
    (c"math", open_math),
    (c"coroutine", open_coroutine),
    (c"utf8", open_utf8),
    (c"debug", open_debug),
    (c"package", open_package),
    (c"channel", channel::open),
    (c"process", process::open),
];

/// Every global but `string`, `_G` and `_VERSION`, in no order that matters.
pub fn globals() -> &'static [Global] {
    static GLOBALS: OnceLock<Vec<Global>> = OnceLock::new();
    GLOBALS.get_or_init(|| {
        let base = BASE.iter().map(|name| (*name, Opening::Base));
        let own = protect::FUNCTIONS
            .iter()
            .chain(&channel::FUNCTIONS)
            .chain(&table::FUNCTIONS)
            .chain(&print::FUNCTIONS);
        let own = own.map(|(name, function)| (*name, Opening::Own(*function)));
        let require = (c"require", Opening::Own(super::require::require as lua_CFunction));
        let libraries = LIBRARIES.iter().map(|(name, open)| (*name, Opening::Library(*open)));
        let modules = Module::GLOBAL
            .iter()
            .map(|module| (module.c_name(), Opening::Module(*module)));
        base.chain(own)
            .chain([require])
            .chain(libraries)
            .chain(modules)
            .collect()
    })
}

/// What a set of chunks makes a state open.
#[derive(Clone)]
pub struct Plan {
    globals: Vec<Global>,
}

impl Plan {
    /// The globals and declared modules among those words, or all of them.
    pub fn new(words: &BTreeSet<String>, declared: &[Module], all: bool) -> Plan {
        let wanted = |name: &CStr| all || name.to_str().is_ok_and(|name| words.contains(name));
        let declared = declared
            .iter()
            .map(|module| (module.c_name(), Opening::Module(*module)));
        let known = globals().iter().copied().chain(declared);
        Plan {
            globals: known.filter(|(name, _)| wanted(name)).collect(),
        }
    }
}

/// `LUA_LOADED_TABLE`: the libraries that are open, by name.
const NAMED: &CStr = c"_LOADED";

/// Fills a fresh state.
///
/// # Safety
/// Inside [`host`] or before the state runs, with the memory limit lifted.
pub unsafe fn open(l: Lua, driver: &mut Driver, plan: &Plan) {
    // SAFETY: pushing does not raise with the limit lifted; the stack holds five values at most.
    unsafe {
        lua_pushglobaltable(l);
        lua_pushvalue(l, -1);
        set_field_at(l, -2, c"_G");
        // Here Lua looks for the name of a function that was called without one, as by `pcall(string.rep)`.
        lua_createtable(l, 0, 4);
        lua_pushvalue(l, -2);
        set_field_at(l, -2, c"_G");
        set_field_at(l, LUA_REGISTRYINDEX, NAMED);
        lua_pushstring(l, c"Lua 5.4".as_ptr());
        set_field_at(l, -2, c"_VERSION");
        text::open(l);
        note_library(l, c"string");
        set_field_at(l, -2, c"string");
        for (name, opening) in &plan.globals {
            push(l, driver, name, *opening);
            set_field_at(l, -2, name);
        }
        lua_pop(l, 1);
    }
}

/// Pushes the global of that name, opening it if the state has not. False when there is none.
///
/// # Safety
/// Inside [`host`].
pub unsafe fn push_global(l: Lua, driver: &mut Driver, name: &str) -> bool {
    // SAFETY: as in `open`.
    unsafe {
        lua_pushglobaltable(l);
        push_bytes(l, name.as_bytes());
        if lua_rawget(l, -2) == LUA_TNIL {
            lua_pop(l, 1);
            let found = globals()
                .iter()
                .find(|(global, _)| global.to_bytes() == name.as_bytes());
            let Some((name, opening)) = found else {
                lua_pop(l, 1);
                return false;
            };
            push(l, driver, name, *opening);
            lua_pushvalue(l, -1);
            set_field_at(l, -3, name);
        }
        lua_remove(l, -2);
        true
    }
}

static LOADED: u8 = 0;

/// Pushes a registry table, making it the first time.
///
/// # Safety
/// Inside [`host`].
pub unsafe fn push_registry_table(l: Lua, place: &'static u8) {
    // SAFETY: as stated.
    unsafe {
        if lua_rawgetp(l, LUA_REGISTRYINDEX, key(place)) != LUA_TTABLE {
            lua_pop(l, 1);
            lua_createtable(l, 0, 0);
            lua_pushvalue(l, -1);
            lua_rawsetp(l, LUA_REGISTRYINDEX, key(place));
        }
    }
}

/// Pushes a module, opening it the first time.
///
/// # Safety
/// Inside [`host`].
pub unsafe fn push_module(l: Lua, driver: &mut Driver, module: Module) {
    // SAFETY: as stated.
    unsafe {
        push_registry_table(l, &LOADED);
        if lua_getfield(l, -1, module.c_name().as_ptr()) == LUA_TNIL {
            lua_pop(l, 1);
            if module.is_partly_lua() {
                push_own_globals(l, driver);
                lua_pop(l, 1);
            }
            let value = module.open(driver.mlua());
            push_mlua(l, driver, value);
            add_functions(l, waiting_part(module));
            lua_pushvalue(l, -1);
            set_field_at(l, -3, module.c_name());
        }
        lua_remove(l, -2);
    }
}

static OWN: u8 = 0;

/// Pushes the globals of the halves of modules that are written in Lua, making them the first time. They are fresh ones: such
/// a file runs inside [`host`], where nothing of the program's may run, whatever the program did to its own. `_G` alone is
/// the program's.
///
/// # Safety
/// Inside [`host`].
unsafe fn push_own_globals(l: Lua, driver: &mut Driver) {
    // SAFETY: as in `open`.
    unsafe {
        if lua_rawgetp(l, LUA_REGISTRYINDEX, key(&OWN)) != LUA_TNIL {
            return;
        }
        lua_pop(l, 1);
        lua_createtable(l, 0, globals().len() as c_int + 2);
        lua_pushglobaltable(l);
        set_field_at(l, -2, c"_G");
        text::push_library(l);
        set_field_at(l, -2, c"string");
        for (name, opening) in globals() {
            match opening {
                Opening::Module(module) => {
                    let value = module.open(driver.mlua());
                    push_mlua(l, driver, value);
                }
                opening => push(l, driver, name, *opening),
            }
            set_field_at(l, -2, name);
        }
        lua_pushvalue(l, -1);
        lua_rawsetp(l, LUA_REGISTRYINDEX, key(&OWN));
    }
}

/// The globals of modules' files in Lua; none in a state that no process made.
///
/// # Errors
/// When the state has no memory for it.
pub fn own_globals(lua: &mlua::Lua) -> mlua::Result<Option<mlua::Table>> {
    // SAFETY: a read of the registry.
    unsafe {
        lua.exec_raw((), |l| {
            lua_rawgetp(l, LUA_REGISTRYINDEX, key(&OWN));
        })
    }
}

/// The functions of a module that the driver has.
fn waiting_part(module: Module) -> &'static [(&'static CStr, lua_CFunction)] {
    match module {
        Module::Funcs => &funcs::FUNCTIONS,
        Module::Time => &timer::FUNCTIONS,
        _ => &[],
    }
}

/// Has Lua find the names of the functions of the library on top.
unsafe fn note_library(l: Lua, name: &CStr) {
    // SAFETY: as in `open`; two values more at most.
    unsafe {
        lua_getfield(l, LUA_REGISTRYINDEX, NAMED.as_ptr());
        lua_pushvalue(l, -2);
        set_field_at(l, -2, name);
        lua_pop(l, 1);
    }
}

unsafe fn push(l: Lua, driver: &mut Driver, name: &CStr, opening: Opening) {
    // SAFETY: as in `open`.
    unsafe {
        match opening {
            Opening::Base => lua_pushcfunction(l, originals().base[name]),
            Opening::Own(function) => lua_pushcfunction(l, function),
            Opening::Library(open) => {
                open(l);
                note_library(l, name);
            }
            Opening::Module(module) => push_module(l, driver, module),
        }
    }
}

/// Sets a field of the table at `index` to the value on top.
unsafe fn set_field_at(l: Lua, index: c_int, name: &CStr) {
    // SAFETY: the tables here have no metatables.
    unsafe { lua_setfield(l, index, name.as_ptr()) };
}

/// Pushes a table of functions.
///
/// # Safety
/// With the memory limit lifted.
pub unsafe fn push_library(l: Lua, functions: &[(&CStr, lua_CFunction)], more: c_int) {
    // SAFETY: as stated.
    unsafe {
        lua_createtable(l, 0, functions.len() as c_int + more);
        add_functions(l, functions);
    }
}

/// Adds functions to the table on top.
///
/// # Safety
/// With the memory limit lifted.
pub unsafe fn add_functions(l: Lua, functions: &[(&CStr, lua_CFunction)]) {
    for (name, function) in functions {
        // SAFETY: as stated.
        unsafe {
            lua_pushcfunction(l, *function);
            set_field_at(l, -2, name);
        }
    }
}

/// Adds functions of Lua's own to the table on top.
///
/// # Safety
/// With the memory limit lifted.
pub unsafe fn add_kept(l: Lua, library: &str, names: &[&'static CStr]) {
    let functions = &originals().libraries[library];
    for name in names {
        // SAFETY: called with the limit lifted.
        unsafe { add_functions(l, &[(*name, functions[*name])]) };
    }
}

unsafe fn open_math(l: Lua) {
    const MORE: [(&CStr, lua_CFunction); 6] = [
        (c"pow", pow),
        (c"log10", log10),
        (c"atan2", atan2),
        (c"sinh", sinh),
        (c"cosh", cosh),
        (c"tanh", tanh),
    ];
    // SAFETY: called with the limit lifted; luaopen_math leaves its table.
    unsafe {
        luaopen_math(l);
        add_functions(l, &MORE);
    }
}

/// A function of numbers.
macro_rules! numeric {
    ($($name:ident($($arg:ident = $index:literal),+) $result:expr;)+) => {$(
        unsafe extern "C-unwind" fn $name(l: Lua) -> c_int {
            // SAFETY: checks raise with nothing alive; one push of a number.
            unsafe {
                $(let $arg = luaL_checknumber(l, $index);)+
                lua_pushnumber(l, $result);
            }
            1
        }
    )+};
}

numeric! {
    pow(x = 1, y = 2) x.powf(y);
    log10(x = 1) x.log10();
    atan2(y = 1, x = 2) y.atan2(x);
    sinh(x = 1) x.sinh();
    cosh(x = 1) x.cosh();
    tanh(x = 1) x.tanh();
}

unsafe fn open_coroutine(l: Lua) {
    // SAFETY: called with the limit lifted.
    unsafe {
        push_library(l, &coroutine::FUNCTIONS, 2);
        add_kept(l, "coroutine", &[c"create", c"isyieldable"]);
    }
}

unsafe fn open_utf8(l: Lua) {
    // SAFETY: called with the limit lifted; leaves its table.
    unsafe { luaopen_utf8(l) };
}

unsafe fn open_debug(l: Lua) {
    // SAFETY: called with the limit lifted.
    unsafe {
        push_library(l, &[(c"traceback", protect::traceback)], 0);
    }
}

unsafe fn open_package(l: Lua) {
    // SAFETY: called with the limit lifted.
    unsafe {
        push_library(l, &[(c"seeall", seeall)], 2);
        for field in [c"path", c"cpath"] {
            lua_pushstring(l, c"".as_ptr());
            set_field_at(l, -2, field);
        }
    }
}

/// Lua 5.1's `package.seeall(module)`: the module inherits the globals.
unsafe extern "C-unwind" fn seeall(l: Lua) -> c_int {
    // SAFETY: the check raises with nothing alive.
    unsafe {
        luaL_checktype(l, 1, LUA_TTABLE);
        if lua_getmetatable(l, 1) == 0 {
            lua_createtable(l, 0, 1);
            lua_pushvalue(l, -1);
            lua_setmetatable(l, 1);
        }
        lua_pushglobaltable(l);
        set_field_at(l, -2, c"__index");
    }
    0
}

/// Addresses of Lua's own functions.
pub struct Originals {
    pub base: HashMap<&'static CStr, lua_CFunction>,
    pub ipairs: lua_CFunction,
    pub libraries: HashMap<&'static str, HashMap<CString, lua_CFunction>>,
    /// The arithmetic of strings.
    pub string_meta: Vec<(CString, lua_CFunction)>,
    pub setmetatable: lua_CFunction,
}

/// Reads them once, from a state that has all libraries.
pub fn originals() -> &'static Originals {
    static ORIGINALS: OnceLock<Originals> = OnceLock::new();
    ORIGINALS.get_or_init(|| {
        let mut memory = Box::new(Memory::new(0));
        // SAFETY: the state lives only here, without a limit, and runs no code of anybody's.
        unsafe {
            let l = lua_newstate(allocate, (&raw mut *memory).cast());
            assert!(!l.is_null(), "memory for a Lua state");
            luaL_openlibs(l);
            let originals = read_originals(l);
            lua_close(l);
            originals
        }
    })
}

unsafe fn read_originals(l: Lua) -> Originals {
    // SAFETY: all libraries are open.
    unsafe {
        lua_pushglobaltable(l);
        let base = functions_of(l);
        let named = |name: &'static CStr| base.get(name).map(|function| (name, *function));
        let kept: HashMap<_, _> = BASE.iter().filter_map(|name| named(name)).collect();
        let mut libraries = HashMap::new();
        for library in ["string", "table", "coroutine", "debug"] {
            push_bytes(l, library.as_bytes());
            lua_rawget(l, -2);
            libraries.insert(library, functions_of(l));
            lua_pop(l, 1);
        }
        lua_pushstring(l, c"".as_ptr());
        lua_getmetatable(l, -1);
        let string_meta = functions_of(l).into_iter().collect();
        Originals {
            setmetatable: base[c"setmetatable"],
            ipairs: base[c"ipairs"],
            base: kept,
            libraries,
            string_meta,
        }
    }
}

/// The C functions in the table on top, by name.
unsafe fn functions_of(l: Lua) -> HashMap<CString, lua_CFunction> {
    let mut functions = HashMap::new();
    // SAFETY: iterates over a table that nobody changes meanwhile.
    unsafe {
        lua_pushnil(l);
        while lua_next(l, -2) != 0 {
            if let (Some(name), Some(function)) = (bytes(l, -2), lua_tocfunction(l, -1)) {
                functions.insert(CString::new(name).unwrap_or_default(), function);
            }
            lua_pop(l, 1);
        }
    }
    functions
}
