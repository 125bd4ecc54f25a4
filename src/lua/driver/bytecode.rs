//! Text to bytecode, once, in a state of its own; and bytecode or text into a process's state.
//!
//! Only bytes that [`compile`] made are ever loaded as bytecode: Lua does not verify it, and a forged chunk owns the
//! program. Everything that comes from outside is loaded as text.

use std::ffi::{CString, c_char, c_int, c_void};
use std::sync::Arc;

use super::memory::{Memory, allocate};
use super::raw::*;
use crate::lua::compile;

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
    let mut memory = Box::new(Memory::default());
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
/// Lua's message.
///
/// # Safety
/// Inside [`host`].
pub unsafe fn load_text(l: Lua, source: &[u8], name: &[u8]) -> Result<(), String> {
    let text = compile::erase(source);
    // SAFETY: inside `host`.
    unsafe { load(l, &text, &chunk_name(name), c"t") }
}

unsafe fn load(l: Lua, code: &[u8], name: &CString, mode: &std::ffi::CStr) -> Result<(), String> {
    // SAFETY: loading is a protected call of its own; it leaves the function or a message.
    unsafe {
        let data = code.as_ptr().cast::<c_char>();
        if luaL_loadbufferx(l, data, code.len(), name.as_ptr(), mode.as_ptr()) == LUA_OK {
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
