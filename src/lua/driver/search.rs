//! `string.find`, `match` and `gmatch` (and with them `gsub`): Lua's own functions where their cost is bounded, else our
//! matcher, which rests between positions so that nobody has to wait for a hard pattern.

use std::ffi::c_int;

use super::pattern::{Capture, Fault, Matcher, is_cheap, is_cheap_plain};
use super::raw::*;
use super::{Driver, mistake};

/// Steps after which a search rests: about a millisecond.
const SLICE: u64 = 200_000;

/// Bytes that a search without pattern may compare until it rests: about a millisecond.
const PLAIN_SLICE: usize = 1 << 22;

/// What a search gives.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Wanted {
    /// Bounds and captures.
    Bounds,
    /// Captures, or the whole match.
    Captures,
}

/// Whether Lua's own function may do it: subject at 1, pattern at 2, which is `plain` text or not.
///
/// # Safety
/// In a C function.
pub unsafe fn is_bounded(l: Lua, plain: bool) -> bool {
    // A number is shown with fewer digits than this.
    const NUMBER: usize = 64;
    // SAFETY: reads; what is no string is Lua's own function's to refuse.
    unsafe {
        let subject = bytes(l, 1).map_or(NUMBER, <[u8]>::len);
        match bytes(l, 2) {
            Some(text) if plain => is_cheap_plain(subject, text.len()),
            Some(pattern) => is_cheap(subject, pattern),
            None => true,
        }
    }
}

/// Whether a pattern is a text that `string.find` looks for as it is, as Lua does.
fn is_text(pattern: &[u8]) -> bool {
    !pattern.iter().any(|byte| b"^$*+?.([%-".contains(byte))
}

/// Whether a pattern is such a text, but closes a capture that was not opened: a fault for every function but `find`.
pub fn closes_nothing(pattern: &[u8]) -> bool {
    is_text(pattern) && pattern.contains(&b')')
}

/// `string.find` of an unbounded case.
///
/// # Safety
/// In a C function; subject and pattern are strings.
pub unsafe fn find(l: Lua) -> c_int {
    // SAFETY: the arguments stay at 1 to 4.
    unsafe {
        lua_settop(l, 4);
        let from = start(l);
        search(l, from, Wanted::Bounds, find_on)
    }
}

unsafe extern "C-unwind" fn find_on(l: Lua, _: c_int, from: lua_KContext) -> c_int {
    // SAFETY: as in `find`.
    unsafe { search(l, from as usize, Wanted::Bounds, find_on) }
}

/// `string.match` of an unbounded case.
///
/// # Safety
/// As for [`find`].
pub unsafe fn match_(l: Lua) -> c_int {
    // SAFETY: the arguments stay at 1 to 4; a plain search is not asked for.
    unsafe {
        lua_settop(l, 3);
        lua_pushnil(l);
        let from = start(l);
        search(l, from, Wanted::Captures, match_on)
    }
}

unsafe extern "C-unwind" fn match_on(l: Lua, _: c_int, from: lua_KContext) -> c_int {
    // SAFETY: as in `match_`.
    unsafe { search(l, from as usize, Wanted::Captures, match_on) }
}

/// The third argument as an offset, which may lie behind the end.
unsafe fn start(l: Lua) -> usize {
    // SAFETY: the check raises with nothing alive.
    unsafe {
        let init = luaL_optinteger(l, 3, 1);
        let length = lua_rawlen(l, 1) as i64;
        let from = if init > 0 { init - 1 } else { (length + init).max(0) };
        usize::try_from(if init == 0 { 0 } else { from }).unwrap_or(0)
    }
}

unsafe fn search(l: Lua, from: usize, wanted: Wanted, again: Continuation) -> c_int {
    // SAFETY: the strings stay on the stack while their bytes are looked at.
    unsafe {
        host(l, |driver| {
            let (subject, pattern) = (bytes(l, 1).unwrap_or_default(), bytes(l, 2).unwrap_or_default());
            if from > subject.len() {
                lua_pushnil(l);
                return Act::Return(1);
            }
            if lua_toboolean(l, 4) != 0 || wanted == Wanted::Bounds && is_text(pattern) {
                return driver.plain(l, subject, pattern, from);
            }
            let (pattern, anchored) = match pattern.strip_prefix(b"^") {
                Some(rest) => (rest, true),
                None => (pattern, false),
            };
            let mut matcher = Matcher::new(subject, pattern);
            for at in from..=subject.len() {
                match matcher.at(at) {
                    Ok(Some(end)) => return push_match(l, subject, &matcher, at, end, wanted),
                    Ok(None) if anchored => break,
                    Ok(None) => {}
                    Err(fault) => return mistake(l, &fault.text()),
                }
                if matcher.steps > SLICE && at < subject.len() {
                    if let Some(act) = driver.rest_at(l, at + 1, again) {
                        return act;
                    }
                    matcher.steps = 0;
                }
            }
            lua_pushnil(l);
            Act::Return(1)
        })
    }
}

unsafe fn push_match(l: Lua, subject: &[u8], matcher: &Matcher<'_>, start: usize, end: usize, wanted: Wanted) -> Act {
    // SAFETY: inside `host`; 34 values at most.
    unsafe {
        // In the handler of a stack overflow there is hardly any room left.
        if lua_checkstack(l, 40) == 0 {
            return mistake(l, "stack overflow (too many captures)");
        }
        let top = lua_gettop(l);
        if wanted == Wanted::Bounds {
            lua_pushinteger(l, start as i64 + 1);
            lua_pushinteger(l, end as i64);
        } else if matcher.captures.is_empty() {
            push_bytes(l, &subject[start..end]);
        }
        for (at, capture) in &matcher.captures {
            match capture {
                Capture::Position => lua_pushinteger(l, *at as i64 + 1),
                Capture::Length(length) => push_bytes(l, &subject[*at..at + length]),
                Capture::Open => return mistake(l, &Fault::Malformed("unfinished capture").text()),
            }
        }
        Act::Return(lua_gettop(l) - top)
    }
}

/// `string.gmatch` of an unbounded case: an iterator that uses [`match_`].
///
/// # Safety
/// As for [`find`].
pub unsafe fn gmatch(l: Lua) -> c_int {
    // SAFETY: four upvalues: subject, pattern, where to go on, the end of the last match.
    unsafe {
        lua_settop(l, 3);
        let from = start(l);
        lua_settop(l, 2);
        lua_pushinteger(l, from as i64);
        lua_pushinteger(l, -1);
        lua_pushcclosure(l, next_match, 4);
    }
    1
}

unsafe extern "C-unwind" fn next_match(l: Lua) -> c_int {
    // SAFETY: the upvalues are those of `gmatch`.
    unsafe {
        let from = lua_tointegerx(l, lua_upvalueindex(3), std::ptr::null_mut());
        iterate(l, from as usize)
    }
}

unsafe extern "C-unwind" fn next_on(l: Lua, _: c_int, from: lua_KContext) -> c_int {
    // SAFETY: as in `next_match`.
    unsafe { iterate(l, from as usize) }
}

unsafe fn iterate(l: Lua, from: usize) -> c_int {
    // SAFETY: the upvalues keep the strings while their bytes are looked at.
    unsafe {
        host(l, |driver| {
            let (subject, pattern) = (lua_upvalueindex(1), lua_upvalueindex(2));
            let (subject, pattern) = (
                bytes(l, subject).unwrap_or_default(),
                bytes(l, pattern).unwrap_or_default(),
            );
            let last = lua_tointegerx(l, lua_upvalueindex(4), std::ptr::null_mut());
            let mut matcher = Matcher::new(subject, pattern);
            for at in from..=subject.len() {
                match matcher.at(at) {
                    Ok(Some(end)) if end as i64 != last => {
                        for upvalue in [3, 4] {
                            lua_pushinteger(l, end as i64);
                            lua_replace(l, lua_upvalueindex(upvalue));
                        }
                        return push_match(l, subject, &matcher, at, end, Wanted::Captures);
                    }
                    Ok(_) => {}
                    Err(fault) => return mistake(l, &fault.text()),
                }
                if matcher.steps > SLICE && at < subject.len() {
                    if let Some(act) = driver.rest_at(l, at + 1, next_on) {
                        return act;
                    }
                    matcher.steps = 0;
                }
            }
            lua_pushnil(l);
            Act::Return(1)
        })
    }
}

/// The first place from one to another at which the text stands.
fn find_between(subject: &[u8], wanted: &[u8], mut from: usize, end: usize) -> Option<usize> {
    let Some(first) = wanted.first() else {
        return Some(from);
    };
    while from <= end {
        from += subject[from..=end].iter().position(|byte| byte == first)?;
        if subject[from..].starts_with(wanted) {
            return Some(from);
        }
        from += 1;
    }
    None
}

impl Driver {
    /// A search without pattern, resting like the others.
    unsafe fn plain(&mut self, l: Lua, subject: &[u8], wanted: &[u8], mut from: usize) -> Act {
        let last = subject.len().checked_sub(wanted.len());
        // Each place may take a comparison of the whole text.
        let places = (PLAIN_SLICE / (wanted.len() + 1)).max(1);
        // SAFETY: inside `host`; the strings stay on the stack while their bytes are looked at.
        unsafe {
            while let Some(last) = last.filter(|last| from <= *last) {
                let end = last.min(from + places);
                if let Some(at) = find_between(subject, wanted, from, end) {
                    lua_pushinteger(l, at as i64 + 1);
                    lua_pushinteger(l, (at + wanted.len()) as i64);
                    return Act::Return(2);
                }
                from = end + 1;
                if let Some(act) = self.rest_at(l, from, find_on) {
                    return act;
                }
            }
            lua_pushnil(l);
            Act::Return(1)
        }
    }

    /// Ends the slice of a long host computation, to go on with that context; none where nothing can be suspended.
    unsafe fn rest_at(&mut self, l: Lua, context: usize, again: Continuation) -> Option<Act> {
        if self.is_doomed() {
            return Some(Act::Die);
        }
        // SAFETY: `l` runs.
        let can_yield = unsafe { self.can_yield(l) };
        can_yield.then_some(Act::Rest(again, context as lua_KContext))
    }
}
