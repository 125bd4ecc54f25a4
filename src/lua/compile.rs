//! From a source text to a program that a state can run: line numbers, type erasure, bytecode, and what the text names.
//!
//! Bytecode is made once per content and name and shared by all states. [`Plan`] is the list of globals that a set of
//! chunks can possibly name; only these are opened. It errs on the side of opening: every word counts, in comments and
//! strings too, and one that could reach a global by a computed name (`_G`, `_ENV`, `load`) opens everything.

use std::borrow::Cow;
use std::collections::{BTreeSet, HashMap};
use std::sync::{Arc, Mutex};

use crate::error::{Error, Frame, Kind, Result};
use crate::lock::lock;
use crate::lua::driver::{Bytecode, compile_text};
use crate::lua::syntax::erase;

/// A source text with its place.
#[derive(Clone, Debug)]
pub struct Source<'a> {
    pub text: &'a str,
    /// The file in which it stands, as messages show it.
    pub chunk: &'a str,
    /// The line of that file at which the text starts, from 1.
    pub first_line: u32,
}

/// A compiled text and the words in it.
#[derive(Clone)]
pub struct Chunk {
    pub code: Bytecode,
    pub words: Arc<BTreeSet<String>>,
}

/// Words by which code can reach a global that it does not name.
const OPENS_ALL: [&str; 3] = ["_G", "_ENV", "load"];

impl Chunk {
    /// Whether the code can reach globals that it does not name.
    pub fn opens_all(&self) -> bool {
        OPENS_ALL.iter().any(|word| self.words.contains(*word))
    }
}

/// Compiled texts by name and content.
#[derive(Default)]
pub struct Cache(Mutex<HashMap<(String, u32, String), Chunk>>);

impl Cache {
    /// The compiled text, from the cache if it was compiled before.
    ///
    /// # Errors
    /// Invalid with Lua's message and a frame for the place, for a text with a syntax error and for bytecode.
    pub fn compile(&self, source: &Source<'_>) -> Result<Chunk> {
        let key = (source.chunk.to_owned(), source.first_line, source.text.to_owned());
        if let Some(chunk) = self.entries().get(&key) {
            return Ok(chunk.clone());
        }
        let chunk = compile(source)?;
        self.entries().insert(key, chunk.clone());
        Ok(chunk)
    }

    fn entries(&self) -> std::sync::MutexGuard<'_, HashMap<(String, u32, String), Chunk>> {
        lock(&self.0)
    }
}

/// Compiles without a cache.
///
/// # Errors
/// As [`Cache::compile`].
pub fn compile(source: &Source<'_>) -> Result<Chunk> {
    let above = source.first_line.saturating_sub(1);
    let erased = erase(bare(source.text).as_bytes()).map_err(|mut fault| {
        fault.line = fault.line.saturating_add(above);
        refused(source, &fault.in_chunk(source.chunk))
    })?;
    let text = moved_down(erased, above as usize);
    let code = compile_text(&text, &format!("@{}", source.chunk)).map_err(|message| refused(source, &message))?;
    Ok(Chunk {
        code,
        words: Arc::new(words(source.text)),
    })
}

/// The text without the byte order mark that some editors begin a file with.
pub fn without_mark(text: &str) -> &str {
    text.strip_prefix('\u{feff}').unwrap_or(text)
}

/// The text without a byte order mark and a `#!` line, whose end stays.
pub fn bare(text: &str) -> &str {
    let text = without_mark(text);
    match text.strip_prefix("#!") {
        Some(rest) => &rest[rest.find('\n').unwrap_or(rest.len())..],
        None => text,
    }
}

/// The text below that many lines: Lua counts from the start of what it reads. A file with thousands of inline sources has each of
/// them far down, so this is the last step, and Lua's own reader alone goes through the empty lines.
fn moved_down(text: Cow<'_, [u8]>, lines: usize) -> Cow<'_, [u8]> {
    match lines {
        0 => text,
        lines => Cow::Owned([vec![b'\n'; lines].as_slice(), &text].concat()),
    }
}

fn refused(source: &Source<'_>, message: &str) -> Error {
    if source.text.starts_with('\x1b') {
        return Error::invalid(format!("{}: bytecode is not accepted, only Lua text", source.chunk));
    }
    let frame = Frame {
        source: source.chunk.to_owned(),
        line: line_of(message),
        name: String::new(),
    };
    Error::new(Kind::Invalid, message).with_frames(vec![frame])
}

/// The line in `src/main.lua:3: unexpected symbol`.
fn line_of(message: &str) -> u32 {
    let numbers = message.split(':').skip(1);
    numbers.into_iter().find_map(|part| part.parse().ok()).unwrap_or(0)
}

/// Every word of the text that could be a name.
fn words(text: &str) -> BTreeSet<String> {
    text.split(|c: char| !(c.is_ascii_alphanumeric() || c == '_'))
        .filter(|word| word.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_'))
        .map(str::to_owned)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn source(text: &str, first_line: u32) -> Source<'_> {
        Source {
            text,
            chunk: "src/a.lua",
            first_line,
        }
    }

    #[test]
    fn a_syntax_error_names_file_and_line() {
        let error = compile(&source("local x =\n\nend", 1)).err().unwrap();
        assert_eq!(error.kind(), Kind::Invalid);
        assert!(error.message().starts_with("src/a.lua:3: unexpected symbol"), "{error}");
        assert_eq!(error.frames()[0].line, 3);
    }

    #[test]
    fn types_are_erased_and_their_faults_have_a_line() {
        assert!(compile(&source("type X = {a: string}\nlocal x: X? = nil\nreturn x as X", 1)).is_ok());
        let error = compile(&source("\nlocal x: = 1", 17)).err().unwrap();
        assert_eq!(error.kind(), Kind::Invalid);
        assert_eq!(error.message(), "src/a.lua:18: type expected near '='");
        assert_eq!(error.frames()[0].line, 18);
        let error = compile(&source("local x: T = 1\nx = = 2", 1)).err().unwrap();
        assert_eq!(error.message(), "src/a.lua:2: unexpected symbol near '='");
    }

    #[test]
    fn an_inline_source_counts_the_lines_of_its_file() {
        let error = compile(&source("x = = 1", 17)).err().unwrap();
        assert_eq!(error.frames()[0].line, 17);
    }

    #[test]
    fn a_hash_bang_line_is_skipped_and_counted() {
        assert!(compile(&source("#!/usr/bin/env wippy\nreturn 1", 1)).is_ok());
        let error = compile(&source("#!/usr/bin/env wippy\nx = = 1", 1)).err().unwrap();
        assert_eq!(error.frames()[0].line, 2);
    }

    #[test]
    fn a_byte_order_mark_is_skipped() {
        assert!(compile(&source("\u{feff}return 1", 1)).is_ok());
        assert!(compile(&source("\u{feff}#!/usr/bin/env wippy\nreturn 1", 1)).is_ok());
    }

    #[test]
    fn bytecode_is_refused() {
        let error = compile(&source("\x1bLua", 1)).err().unwrap();
        assert_eq!(error.message(), "src/a.lua: bytecode is not accepted, only Lua text");
    }

    #[test]
    fn words_are_found_in_strings_too() {
        let words = words("local j = require(\"json\") -- math.pi\nx.y:z()");
        for word in ["json", "math", "pi", "x", "y", "z", "require"] {
            assert!(words.contains(word), "{word}");
        }
    }
}
