//! What a message costs without processes: two bare states that exchange tables over one buffer.
//!
//! A table is made, written down, made anew in the other state within the table of a message, and goes back the same way.
//! The shape and what is done with it are those of our messages; nobody waits, is scheduled, counted or bounded, and what a
//! table may not hold is not looked for.

use std::ffi::c_int;

use mlua::ffi::*;
use mlua::{Function, Lua};

const PING: &str = "
local send, receive, count = ...
for i = 1, count do
    send({kind = 'ping', n = i, from = 7, data = {1, 2, 3}})
    local m = receive()
    assert(m.value.n == i)
end
";

const PONG: &str = "
local send, receive = ...
local m = receive()
send(m.value)
";

/// What is on its way, and who answers it.
#[derive(Default)]
struct Wire {
    bytes: Vec<u8>,
    answer: Option<Box<dyn Fn()>>,
}

/// Sends so many messages to and fro.
pub fn exchange(count: i64) {
    let wire = Box::into_raw(Box::<Wire>::default());
    let (ping, pong) = (Lua::new(), Lua::new());
    let main = pong.load(PONG).into_function().expect("it compiles");
    let (sends, receives) = (function(&pong, wire, send), function(&pong, wire, receive));
    let answer = move || main.call((&sends, &receives)).expect("it answers");
    // SAFETY: nothing else has it yet.
    unsafe { (*wire).answer = Some(Box::new(answer)) };
    let main = ping.load(PING).into_function().expect("it compiles");
    let both = (function(&ping, wire, send), function(&ping, wire, hear));
    main.call::<()>((both.0, both.1, count)).expect("it hears all");
    // SAFETY: made above; nobody runs any more.
    drop(unsafe { Box::from_raw(wire) });
}

fn function(lua: &Lua, wire: *mut Wire, function: lua_CFunction) -> Function {
    // SAFETY: pushes one function, which is not called any more when the wire goes.
    unsafe {
        lua.exec_raw((), |l| {
            lua_pushlightuserdata(l, wire.cast());
            lua_pushcclosure(l, function, 1);
        })
    }
    .expect("a function")
}

unsafe fn wire(l: *mut lua_State) -> *mut Wire {
    // SAFETY: the first upvalue of these functions.
    unsafe { lua_touserdata(l, lua_upvalueindex(1)).cast() }
}

unsafe extern "C-unwind" fn send(l: *mut lua_State) -> c_int {
    // SAFETY: nobody else is at the buffer.
    unsafe {
        let bytes = &mut (*wire(l)).bytes;
        bytes.clear();
        write(l, 1, bytes);
    }
    0
}

unsafe extern "C-unwind" fn receive(l: *mut lua_State) -> c_int {
    // SAFETY: as in `send`.
    unsafe { message(l, &(*wire(l)).bytes) };
    1
}

/// The other one answers, and that is received.
unsafe extern "C-unwind" fn hear(l: *mut lua_State) -> c_int {
    // SAFETY: the answer does not change while it runs.
    unsafe {
        if let Some(answer) = &(*wire(l)).answer {
            answer();
        }
        receive(l)
    }
}

/// The table of a message with that value.
unsafe fn message(l: *mut lua_State, bytes: &[u8]) {
    // SAFETY: a C function has room for this.
    unsafe {
        lua_createtable(l, 0, 6);
        for (name, value) in [
            (c"type", c"MESSAGE"),
            (c"kind", c"message"),
            (c"topic", c"ping"),
            (c"from", c"{bench:host|0x000001}"),
        ] {
            lua_pushstring(l, value.as_ptr());
            lua_setfield(l, -2, name.as_ptr());
        }
        lua_createtable(l, 1, 1);
        lua_pushinteger(l, 1);
        lua_setfield(l, -2, c"n".as_ptr());
        read(l, &mut &*bytes);
        lua_pushvalue(l, -1);
        lua_setfield(l, -4, c"value".as_ptr());
        lua_rawseti(l, -2, 1);
        lua_setfield(l, -2, c"values".as_ptr());
    }
}

const INTEGER: u8 = 0;
const TEXT: u8 = 1;
const TABLE: u8 = 2;

unsafe fn write(l: *mut lua_State, index: c_int, bytes: &mut Vec<u8>) {
    // SAFETY: reads of values of the kinds that are sent here, with room for what is pushed.
    unsafe {
        match lua_type(l, index) {
            LUA_TTABLE => {
                let table = lua_absindex(l, index);
                lua_checkstack(l, 8);
                let (array, mut pairs) = (lua_rawlen(l, table) as u32, 0_u32);
                bytes.push(TABLE);
                let head = bytes.len();
                bytes.extend_from_slice(&[0; 8]);
                for key in 1..=array {
                    lua_rawgeti(l, table, key.into());
                    write(l, -1, bytes);
                    lua_pop(l, 1);
                }
                lua_pushnil(l);
                while lua_next(l, table) != 0 {
                    let is_item = lua_isinteger(l, -2) != 0 && lua_tointeger(l, -2) <= array.into();
                    if !is_item {
                        pairs += 1;
                        write(l, -2, bytes);
                        write(l, -1, bytes);
                    }
                    lua_pop(l, 1);
                }
                bytes[head..head + 4].copy_from_slice(&array.to_le_bytes());
                bytes[head + 4..head + 8].copy_from_slice(&pairs.to_le_bytes());
            }
            LUA_TSTRING => {
                let mut length = 0;
                let text = lua_tolstring(l, index, &mut length).cast();
                bytes.extend_from_slice(&[TEXT, length as u8]);
                bytes.extend_from_slice(std::slice::from_raw_parts(text, length));
            }
            _ => {
                bytes.push(INTEGER);
                bytes.extend_from_slice(&lua_tointeger(l, index).to_le_bytes());
            }
        }
    }
}

unsafe fn read(l: *mut lua_State, bytes: &mut &[u8]) {
    // SAFETY: the stack has room for what is pushed.
    unsafe {
        match take(bytes, 1)[0] {
            TABLE => {
                let (array, pairs) = (number(bytes), number(bytes));
                lua_checkstack(l, 8);
                lua_createtable(l, array as c_int, pairs as c_int);
                for key in 1..=array {
                    read(l, bytes);
                    lua_rawseti(l, -2, key.into());
                }
                for _ in 0..pairs {
                    read(l, bytes);
                    read(l, bytes);
                    lua_rawset(l, -3);
                }
            }
            TEXT => {
                let length = take(bytes, 1)[0].into();
                lua_pushlstring(l, take(bytes, length).as_ptr().cast(), length);
            }
            _ => {
                let number = take(bytes, 8).try_into().expect("eight bytes");
                lua_pushinteger(l, i64::from_le_bytes(number));
            }
        }
    }
}

fn take<'a>(bytes: &mut &'a [u8], count: usize) -> &'a [u8] {
    bytes.split_off(..count).expect("as it was written")
}

fn number(bytes: &mut &[u8]) -> u32 {
    u32::from_le_bytes(take(bytes, 4).try_into().expect("four bytes"))
}
