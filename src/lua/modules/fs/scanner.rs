//! Scanners: a file cut into lines, words, bytes or characters.
//!
//! What is in the buffer is handed out at once; only a look for more goes off the worker, and takes the buffer with it.

use std::io::Read as _;
use std::sync::{Arc, Mutex};

use mlua::{IntoLuaMulti as _, Lua, UserData, UserDataFields, UserDataMethods, UserDataRef};

use super::file::OpenFile;
use super::{Attempt, Waiting, lock, within_room};
use crate::error::{Error, Kind, Result};
use crate::lua::driver::Weight;
use crate::lua::error::{mistake, push};
use crate::lua::host::{Call, false_failure, weigh};

/// Bytes read at a time.
const CHUNK: usize = 64 << 10;
/// Bytes of a token for which one scan waits for no other one.
const SHORT: u64 = 2 * CHUNK as u64;
/// The longest token: a file without line ends must not become one.
const LONGEST: u64 = 64 << 20;

#[derive(Clone, Copy, Debug)]
pub enum Split {
    Lines,
    Words,
    Bytes,
    Runes,
}

impl Split {
    pub fn parse(name: &[u8]) -> Option<Split> {
        match name {
            b"lines" => Some(Split::Lines),
            b"words" => Some(Split::Words),
            b"bytes" => Some(Split::Bytes),
            b"runes" => Some(Split::Runes),
            _ => None,
        }
    }

    /// The first token: where it starts and ends, and how much of `data` it used up. None when `data` does not hold a
    /// whole one; at the end of the file (`ended`) that means there is no more.
    fn token(self, data: &[u8], ended: bool) -> Option<(usize, usize, usize)> {
        match self {
            Split::Lines => line(data, ended),
            Split::Words => word(data, ended),
            Split::Bytes => data.first().map(|_| (0, 1, 1)),
            Split::Runes => character(data, ended).map(|len| (0, len, len)),
        }
    }
}

fn line(data: &[u8], ended: bool) -> Option<(usize, usize, usize)> {
    let (end, used) = match data.iter().position(|byte| *byte == b'\n') {
        Some(end) => (end, end + 1),
        None if ended && !data.is_empty() => (data.len(), data.len()),
        None => return None,
    };
    let end = end - usize::from(data[..end].ends_with(b"\r"));
    Some((0, end, used))
}

fn word(data: &[u8], ended: bool) -> Option<(usize, usize, usize)> {
    let is_space = |byte: &u8| byte.is_ascii_whitespace() || *byte == 0x0b;
    let start = data.iter().position(|byte| !is_space(byte))?;
    let end = data[start..].iter().position(is_space).map(|len| start + len);
    let end = end.or(ended.then_some(data.len()))?;
    Some((start, end, end))
}

/// Bytes of the first character; one that is no UTF-8 is a character of one byte.
fn character(data: &[u8], ended: bool) -> Option<usize> {
    let head = &data[..data.len().min(4)];
    match std::str::from_utf8(head) {
        Ok(text) => text.chars().next().map(char::len_utf8),
        Err(error) => match std::str::from_utf8(&head[..error.valid_up_to()]) {
            Ok(text) if !text.is_empty() => text.chars().next().map(char::len_utf8),
            _ if error.error_len().is_none() && !ended => None,
            _ => Some(1),
        },
    }
}

/// What was read and not handed out yet.
#[derive(Default)]
struct Buffer {
    bytes: Vec<u8>,
    start: usize,
    ended: bool,
    token: Vec<u8>,
    error: Option<Error>,
    /// The bytes, and a token that may be as long, are outside of the state.
    weight: Option<Weight>,
}

impl Buffer {
    /// Whether there is a token, as far as the buffer can tell.
    fn next(&mut self, split: Split) -> Option<bool> {
        match split.token(&self.bytes[self.start..], self.ended) {
            Some((from, to, used)) => {
                self.token.clear();
                self.token
                    .extend_from_slice(&self.bytes[self.start + from..self.start + to]);
                self.start += used;
                Some(true)
            }
            None if self.ended => {
                self.token.clear();
                Some(false)
            }
            None => None,
        }
    }

    /// Reads more. Blocks.
    fn fill(&mut self, file: &OpenFile) {
        self.bytes.drain(..self.start);
        self.start = 0;
        if let Err(error) = self.read(file) {
            self.bytes.clear();
            self.ended = true;
            self.error = Some(error);
        }
    }

    fn read(&mut self, file: &OpenFile) -> Result<()> {
        let longest = LONGEST.min(file.limit);
        if self.bytes.len() as u64 > longest {
            let message = format!("token is longer than {}", crate::size::format(longest));
            return Err(Error::new(Kind::LimitExceeded, message).with_retryable(None));
        }
        // Twice as much each time: a long token is looked at again from its start.
        let wanted = self.bytes.len().max(CHUNK) as u64;
        let bytes = &mut self.bytes;
        self.ended = file.with("scan", |file| file.take(wanted).read_to_end(bytes))? == 0;
        Ok(())
    }
}

/// The Scanner object.
pub struct Scanner {
    file: Arc<OpenFile>,
    split: Split,
    /// None while a `scan` waits for more.
    buffer: Arc<Mutex<Option<Buffer>>>,
}

impl Scanner {
    pub fn new(file: Arc<OpenFile>, split: Split) -> Scanner {
        Scanner {
            file,
            split,
            buffer: Arc::new(Mutex::new(Some(Buffer::default()))),
        }
    }
}

impl UserData for Scanner {
    fn add_fields<F: UserDataFields<Self>>(fields: &mut F) {
        fields.add_field("scan", Waiting(scan));
    }

    fn add_methods<M: UserDataMethods<Self>>(methods: &mut M) {
        methods.add_method("text", |lua, this, ()| {
            let buffer = lock(&this.buffer);
            lua.create_string(buffer.as_ref().map_or(&[][..], |buffer| &buffer.token))
        });
        methods.add_method("err", |lua, this, ()| {
            let error = lock(&this.buffer).as_ref().and_then(|buffer| buffer.error.clone());
            error.map(|error| push(lua, error)).transpose()
        });
    }
}

/// A buffer that a look for more has taken; it comes back however that ends.
struct Lent {
    buffer: Buffer,
    place: Arc<Mutex<Option<Buffer>>>,
}

impl Drop for Lent {
    fn drop(&mut self) {
        *lock(&self.place) = Some(std::mem::take(&mut self.buffer));
    }
}

fn scan(lua: &Lua, this: UserDataRef<Scanner>) -> mlua::Result<Call> {
    let Some(mut buffer) = lock(&this.buffer).take() else {
        return Err(mistake("another coroutine waits in this scanner"));
    };
    let split = this.split;
    if let Some(found) = buffer.next(split) {
        *lock(&this.buffer) = Some(buffer);
        return Call::ready(lua, found);
    }
    let (file, limit, place) = (this.file.clone(), this.file.limit, this.buffer.clone());
    let mut lent = Lent {
        buffer,
        place: place.clone(),
    };
    let work = move |room: u64| {
        loop {
            let buffer = &mut lent.buffer;
            buffer.fill(&file);
            if let Some(found) = buffer.next(split) {
                return Ok(Attempt::Done(found));
            }
            if buffer.bytes.len() as u64 >= room && room < limit {
                return Ok(Attempt::Needs(limit));
            }
        }
    };
    within_room(lua, limit, SHORT, work, move |lua, found| match found {
        Ok(found) => {
            if let Some(buffer) = &mut *lock(&place) {
                buffer.weight = None;
                buffer.weight = weigh(lua, 2 * buffer.bytes.capacity());
            }
            found.into_lua_multi(lua)
        }
        Err(error) => false_failure(lua, error),
    })
}

#[cfg(test)]
mod tests {
    use super::super::tests::world;

    #[test]
    fn files_are_cut_as_asked() {
        let (world, _temp) = world();
        world.run(
            r#"
            local function all(content, split)
                vol:writefile("f", content)
                local f = vol:open("f", "r")
                local s, tokens = f:scanner(split), {}
                while s:scan() do tokens[#tokens + 1] = s:text() end
                assert(s:err() == nil and s:scan() == false and s:text() == "")
                f:close()
                return table.concat(tokens, "|"), #tokens
            end
            assert(all("a\r\n\nb\n") == "a||b" and all("") == "" and all("x") == "x" and all("\n\n") == "|")
            assert(all(" a  b\tc\n", "words") == "a|b|c" and all("  ", "words") == "" and all("ab c", "words") == "ab|c")
            assert(all("é\xff€", "runes") == "é|\xff|€" and all("a\xe2\x82", "runes") == "a|\xe2|\x82")
            assert(all("ab", "bytes") == "a|b")
            local long = string.rep("x", 300000)
            assert(all(long .. "\n" .. long) == long .. "|" .. long)
            local _, count = all(string.rep("é", 100001), "runes"); assert(count == 100001)
            local f = vol:open("f", "r")
            fails("Invalid", "split", nil, f:scanner("pages"))
            local s = f:scanner()
            f:close()
            assert(s:scan() == false and s:err():kind() == "Internal")
            "#,
        );
    }
}
