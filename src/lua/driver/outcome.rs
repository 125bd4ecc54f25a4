//! How main's end becomes the exit of the process: its results, an error that nobody caught, a deadlock, a limit.
//!
//! Nothing of the program's runs in here: the `__tostring` of an error that nobody caught is called by a task.

use std::ffi::{CStr, c_int};

use super::raw::*;
use super::{Driver, Resumed, What, protect};
use crate::error::{Error, Frame};
use crate::lua::{error, stack};
use crate::process::{Cause, Exit};
use crate::size;
use crate::value::Packed;

/// Slots that looking at a result takes: a coroutine that ended has none to spare.
pub(super) const ROOM: c_int = 8;

/// An error that a task shows.
pub(super) struct Shown {
    /// Where it was raised.
    frames: Vec<Frame>,
    /// The process ends by it.
    is_end: bool,
}

impl Shown {
    /// The error with that text; without one it is known by its type.
    pub(super) fn error(self, text: Option<String>) -> Error {
        let text = text.unwrap_or_else(|| "table".to_owned());
        Error::internal(text).with_retryable(None).with_frames(self.frames)
    }
}

impl Driver {
    /// Why a process that may not go on has to end. When the kernel doomed it, the kernel's own reason counts.
    pub(super) fn reason(&mut self) -> Exit {
        if self.memory.is_exceeded() {
            return self.out_of_memory();
        }
        self.fatal.take().unwrap_or_else(Exit::terminated)
    }

    fn out_of_memory(&self) -> Exit {
        let limit = self.memory.limit();
        let message = format!("memory limit exceeded: {}", size::format(limit as u64));
        Exit::limit(Cause::Limit, "max_memory", limit as i64, message)
    }

    /// Main returned that many values, on top of its stack.
    pub(super) unsafe fn returned(&mut self, thread: Lua, count: c_int) -> Exit {
        let exit = self.lifted(|driver| {
            driver.leave_calls();
            // SAFETY: the values are there; nothing runs.
            unsafe {
                let first = lua_gettop(thread) - count + 1;
                // The others are dropped, so that there is room however many they are.
                lua_settop(thread, first - 1 + count.min(2));
                if lua_checkstack(thread, ROOM) == 0 {
                    return driver.out_of_memory();
                }
                if count >= 2
                    && let Some(error) = driver.returned_error(thread, first + 1)
                {
                    return Exit {
                        cause: Cause::Returned,
                        result: Err(error.crossing()),
                    };
                }
                if count == 0 {
                    return Exit::returned(Packed::empty());
                }
                match stack::pack(thread, driver, first, 1) {
                    Ok(packed) => Exit::returned(packed),
                    Err(error) => Exit::failed(error),
                }
            }
        });
        exit.unwrap_or_else(|| self.reason())
    }

    /// The error that a second result means: a string, or an Error.
    unsafe fn returned_error(&mut self, thread: Lua, index: c_int) -> Option<Error> {
        // SAFETY: reads of a value on the stack.
        unsafe {
            match lua_type(thread, index) {
                LUA_TSTRING => {
                    let text = bytes(thread, index).unwrap_or_default();
                    Some(Error::internal(String::from_utf8_lossy(text)))
                }
                LUA_TUSERDATA => to_mlua(thread, self, index).ok().as_ref().and_then(error::of_value),
                _ => None,
            }
        }
    }

    /// A task failed: the error object is on top of its stack, which still stands as it was and has [`ROOM`].
    pub(super) unsafe fn failed(&mut self, thread: Lua) -> Resumed {
        let resumed = self.lifted(|driver| {
            // SAFETY: reads of a dead coroutine's stack; what it is shown by is another one's business.
            unsafe {
                if driver.begin_showing(thread, true) {
                    return Resumed::Goes;
                }
                Resumed::Ended(Exit::failed(driver.uncaught(thread)))
            }
        });
        resumed.unwrap_or_else(|| Resumed::Ended(self.reason()))
    }

    /// The error with which a coroutine ended: on top of its stack, and not one that [`Driver::begin_showing`] takes.
    pub(super) unsafe fn uncaught(&mut self, thread: Lua) -> Error {
        // SAFETY: as in `failed`.
        let frames = unsafe { frames(thread) };
        let error = unsafe {
            match lua_type(thread, -1) {
                LUA_TSTRING => {
                    let text = String::from_utf8_lossy(bytes(thread, -1).unwrap_or_default()).into_owned();
                    Error::internal(text).with_retryable(None)
                }
                _ => match to_mlua(thread, self, -1) {
                    Ok(value) => error::uncaught(&value, ""),
                    Err(failure) => error::from_mlua(&failure),
                },
            }
        };
        match error.frames().is_empty() {
            true => error.with_frames(frames),
            false => error,
        }
    }

    /// If the error on top is a table with a `__tostring`, which is code of the program's: makes a task that calls it, to
    /// be interrupted and limited like every other. Nothing else runs meanwhile if the process ends by that error.
    pub(super) unsafe fn begin_showing(&mut self, thread: Lua, is_end: bool) -> bool {
        // SAFETY: the limit is lifted; there is room on the dead coroutine's stack.
        unsafe {
            if lua_type(thread, -1) != LUA_TTABLE || luaL_getmetafield(thread, -1, c"__tostring".as_ptr()) == LUA_TNIL {
                return false;
            }
            lua_pop(thread, 1);
            let shown = Shown {
                frames: frames(thread),
                is_end,
            };
            let l = self.main_state;
            let shower = lua_newthread(l);
            lua_pushcfunction(shower, protect::tostring);
            lua_pushvalue(thread, -1);
            lua_xmove(thread, shower, 1);
            let number = self.add_task(l, shower, 1);
            lua_pop(l, 1);
            if let Some(task) = self.task(number) {
                task.shows = Some(shown);
            }
            if is_end {
                self.last = Some(number);
            }
        }
        true
    }

    /// Such a task has ended, with the text on top unless it failed: then the error is known by its type.
    pub(super) unsafe fn shown(&mut self, number: u32, thread: Lua, status: c_int, shown: Shown) -> Resumed {
        // SAFETY: `tostring` returned a string, or a number that becomes one with the limit lifted.
        let text = self.lifted(|_| unsafe {
            (status == LUA_OK).then(|| String::from_utf8_lossy(string(thread, -1)).into_owned())
        });
        let Some(text) = text else {
            return Resumed::Ended(self.reason());
        };
        if shown.is_end {
            return Resumed::Ended(Exit::failed(shown.error(text)));
        }
        self.cut(number);
        self.tell_stray(&shown.error(text));
        Resumed::Goes
    }

    /// Every task waits for something that only another one could do.
    pub(super) fn deadlock(&mut self) -> Error {
        let tasks = self.tasks.iter().flatten();
        let waits = tasks.filter_map(|task| task.wait.as_ref());
        let waits = waits.filter(|wait| !matches!(wait.what, What::Guarded { .. }));
        // SAFETY: coroutines that wait are alive.
        let places = waits.flat_map(|wait| unsafe { place(wait.l, &wait.what) }).collect();
        let error = Error::internal("all coroutines blocked with no pending operations").with_retryable(None);
        error.with_frames(places)
    }
}

/// The innermost Lua line of a coroutine that waits.
unsafe fn place(l: Lua, what: &What) -> Option<Frame> {
    // SAFETY: the coroutine is alive.
    let frame = unsafe { frames(l) }.into_iter().next()?;
    let doing = match what {
        What::Channels { channels, .. } if channels.len() == 1 => c"a wait on a channel",
        What::Channels { .. } => c"a wait in channel.select",
        What::Load => c"a wait for a file that another coroutine requires",
        _ => c"a yield outside of any resume",
    };
    let name = CStr::to_string_lossy(doing).into_owned();
    Some(Frame { name, ..frame })
}
