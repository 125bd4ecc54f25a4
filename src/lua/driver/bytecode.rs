//! Text to bytecode, once, in a state of its own; and bytecode or text into a process's state.
//!
//! Only bytes that [`compile`] made are ever loaded as bytecode: Lua does not verify it, and a forged chunk owns the
//! program. Everything that comes from outside is loaded as text.

use std::ffi::{CString, c_char, c_int, c_void};
use std::sync::Arc;

use super::Driver;
use super::memory::{Memory, allocate};
use super::raw::*;
use crate::lua::syntax::erase;
use crate::process::Process;

/// Compiled code, shared by every state that runs it.
#[derive(Clone)]
pub struct Bytecode {
    bytes: Arc<[u8]>,
    name: Arc<CString>,
}

/// Compiles a text; `name` is Lua's chunk name (`@src/main.lua`).
///
/// # Errors
/// Lua's message for a syntax error, or for a text that is bytecode.
pub fn compile(source: &[u8], name: &str) -> Result<Bytecode, String> {
    let name = chunk_name(name.as_bytes());
    let mut memory = Box::new(Memory::new(0));
    // SAFETY: the state lives only in this function, shorter than its Memory; every call below is protected by Lua or
    // does not raise.
    unsafe {
        let l = lua_newstate(allocate, (&raw mut *memory).cast());
        if l.is_null() {
            return Err("not enough memory".to_owned());
        }
        let result = load(l, source, &name, c"t").map(|()| dump(l));
        lua_close(l);
        result.map(|bytes| Bytecode {
            bytes: bytes.into(),
            name: Arc::new(name),
        })
    }
}

unsafe fn dump(l: Lua) -> Vec<u8> {
    unsafe extern "C-unwind" fn write(_: Lua, data: *const c_void, len: usize, sink: *mut c_void) -> c_int {
        // SAFETY: Lua gives a block of that length; `sink` is the vector below.
        unsafe { (*sink.cast::<Vec<u8>>()).extend_from_slice(std::slice::from_raw_parts(data.cast(), len)) };
        0
    }
    let mut bytes: Vec<u8> = Vec::new();
    // SAFETY: the function is on top; the debug information stays, for the line numbers.
    unsafe { lua_dump(l, write, (&raw mut bytes).cast(), 0) };
    bytes
}

impl Bytecode {
    pub fn len(&self) -> usize {
        self.bytes.len()
    }

    /// Pushes the chunk as a function.
    ///
    /// # Errors
    /// When the state has no memory for it.
    ///
    /// # Safety
    /// Inside [`host`].
    pub unsafe fn load(&self, l: Lua) -> Result<(), String> {
        // SAFETY: these are our own bytes.
        unsafe { load(l, &self.bytes, &self.name, c"b") }
    }
}

/// Pushes a text from user code as a function, its types erased. Pushes nothing on failure.
///
/// # Errors
/// Lua's message, or ours for a fault in an annotation.
///
/// # Safety
/// Inside [`host`].
pub unsafe fn load_text(l: Lua, driver: &mut Driver, source: &[u8], name: &[u8]) -> Result<(), String> {
    let text = erase(source).map_err(|fault| fault.in_chunk(&shown_name(name)))?;
    let name = chunk_name(name);
    let process = driver.process().clone();
    let mut reading = Reading {
        left: &text,
        process: &process,
    };
    // SAFETY: inside `host`; what is parsed counts against the limit, because that is a protected call of its own.
    unsafe {
        driver.memory.lower();
        let reading = (&raw mut reading).cast();
        let status = lua_load(l, next_piece, reading, name.as_ptr(), c"t".as_ptr());
        driver.memory.lift();
        if status == LUA_ERRMEM {
            driver.memory.exceed();
        }
        loaded(l, status)
    }
}

/// A text on its way to Lua's parser.
struct Reading<'a> {
    left: &'a [u8],
    process: &'a Process,
}

/// Gives the parser one piece after the other, and none any more when the process is over: some texts take Lua a time that
/// grows with the square of their length.
unsafe extern "C-unwind" fn next_piece(_: Lua, data: *mut c_void, size: *mut usize) -> *const c_char {
    const PIECE: usize = 4096;
    // SAFETY: `data` is the Reading of the call, alive until it returns; the text outlives it too.
    unsafe {
        let reading = &mut *data.cast::<Reading<'_>>();
        let length = match reading.process.is_doomed() {
            true => 0,
            false => reading.left.len().min(PIECE),
        };
        let (piece, left) = reading.left.split_at(length);
        reading.left = left;
        *size = length;
        piece.as_ptr().cast()
    }
}

unsafe fn load(l: Lua, code: &[u8], name: &CString, mode: &std::ffi::CStr) -> Result<(), String> {
    // SAFETY: loading is a protected call of its own; it leaves the function or a message.
    unsafe {
        let data = code.as_ptr().cast::<c_char>();
        loaded(l, luaL_loadbufferx(l, data, code.len(), name.as_ptr(), mode.as_ptr()))
    }
}

/// What a load left: a function that stays, or a message that is taken off.
unsafe fn loaded(l: Lua, status: c_int) -> Result<(), String> {
    // SAFETY: one value is on top.
    unsafe {
        if status == LUA_OK {
            return Ok(());
        }
        let message = String::from_utf8_lossy(bytes(l, -1).unwrap_or(b"cannot load")).into_owned();
        lua_pop(l, 1);
        Err(message)
    }
}

fn chunk_name(name: &[u8]) -> CString {
    let name: Vec<u8> = name.iter().copied().filter(|byte| *byte != 0).collect();
    CString::new(name).unwrap_or_default()
}

/// A chunk's name as messages show it: a file or a label as it is, a text by its first line.
fn shown_name(name: &[u8]) -> String {
    let name = String::from_utf8_lossy(name);
    if let Some(plain) = name.strip_prefix(['@', '=']) {
        return plain.to_owned();
    }
    let line = name.lines().next().unwrap_or_default();
    let short: String = line.chars().take(40).collect();
    match short.len() == name.len() {
        true => format!("[string \"{short}\"]"),
        false => format!("[string \"{short}...\"]"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_shown_as_lua_shows_them() {
        let table = [
            ("@src/main.lua", "src/main.lua"),
            ("=stdin", "stdin"),
            ("return 1", "[string \"return 1\"]"),
            ("x = 1\nreturn x", "[string \"x = 1...\"]"),
        ];
        for (name, shown) in table {
            let message = compile(b"x = = 1", name).err().unwrap();
            assert!(message.starts_with(&format!("{shown}:1: ")), "{message}");
            assert_eq!(shown_name(name.as_bytes()), shown);
        }
    }
}
