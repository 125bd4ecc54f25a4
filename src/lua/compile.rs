//! From a source text to a program that a state can run: line numbers, type erasure, bytecode, and what the text names.
//!
//! Bytecode is made once per content and name and shared by all states. [`Plan`] is the list of globals that a set of
//! chunks can possibly name; only these are opened. It errs on the side of opening: every word counts, in comments and
//! strings too, and one that could reach a global by a computed name (`_G`, `_ENV`, `load`) opens everything.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::{Arc, Mutex};

use crate::error::{Error, Frame, Kind, Result};
use crate::lines::Lines;
use crate::lock::lock;
use crate::lua::driver::{Bytecode, compile_text};
use crate::lua::syntax::{erase, laid_out};

/// A source text with its place.
#[derive(Clone, Debug)]
pub struct Source<'a> {
    /// Bytes, as for Lua: what is not UTF-8 may stand in strings and comments.
    pub text: &'a [u8],
    /// The file in which it stands, as messages show it.
    pub chunk: &'a str,
    /// Where in that file its lines stand.
    pub lines: Lines,
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

    /// Bytes that it takes, roughly.
    fn weight(&self) -> usize {
        const WORD: usize = 64;
        let words: usize = self.words.iter().map(|word| WORD + word.len()).sum();
        self.code.len() + words
    }
}

/// Compiled texts by name and content, as many as have room in [`MOST_KEPT`] bytes: those that were used last.
#[derive(Default)]
pub struct Cache(Mutex<Kept>);

/// Bytes of texts and what was made of them that a cache holds. A project whose files change all the time, and a script
/// that spawns ever new files, must not fill the memory.
const MOST_KEPT: usize = 64 << 20;

/// Name, lines and text.
type Key = (String, Lines, Vec<u8>);

#[derive(Default)]
struct Kept {
    chunks: HashMap<Arc<Key>, Used>,
    /// By the moment of their last use.
    order: BTreeMap<u64, Arc<Key>>,
    moment: u64,
    bytes: usize,
}

struct Used {
    chunk: Chunk,
    moment: u64,
    bytes: usize,
}

impl Kept {
    fn find(&mut self, key: &Key) -> Option<Chunk> {
        let used = self.chunks.get_mut(key)?;
        self.moment += 1;
        if let Some(key) = self.order.remove(&used.moment) {
            self.order.insert(self.moment, key);
        }
        used.moment = self.moment;
        Some(used.chunk.clone())
    }

    fn keep(&mut self, key: Key, chunk: Chunk) {
        let bytes = key.0.len() + key.2.len() + chunk.weight();
        let key = Arc::new(key);
        self.drop_one(&key);
        self.moment += 1;
        self.bytes += bytes;
        self.order.insert(self.moment, key.clone());
        let moment = self.moment;
        self.chunks.insert(key, Used { chunk, moment, bytes });
        while self.bytes > MOST_KEPT
            && let Some((_, oldest)) = self.order.pop_first()
        {
            self.drop_one(&oldest);
        }
    }

    fn drop_one(&mut self, key: &Key) {
        if let Some(used) = self.chunks.remove(key) {
            self.order.remove(&used.moment);
            self.bytes -= used.bytes;
        }
    }
}

impl Cache {
    /// The compiled text, from the cache if it was compiled before.
    ///
    /// # Errors
    /// Invalid with Lua's message and a frame for the place, for a text with a syntax error and for bytecode.
    pub fn compile(&self, source: &Source<'_>) -> Result<Chunk> {
        let key = (source.chunk.to_owned(), source.lines.clone(), source.text.to_owned());
        if let Some(chunk) = self.kept().find(&key) {
            return Ok(chunk);
        }
        let chunk = compile(source)?;
        self.kept().keep(key, chunk.clone());
        Ok(chunk)
    }

    fn kept(&self) -> std::sync::MutexGuard<'_, Kept> {
        lock(&self.0)
    }
}

/// Compiles without a cache.
///
/// # Errors
/// As [`Cache::compile`].
pub fn compile(source: &Source<'_>) -> Result<Chunk> {
    let erased = erase(bare(source.text)).map_err(|mut fault| {
        fault.line = source.lines.of(fault.line);
        refused(source, &fault.in_chunk(source.chunk))
    })?;
    let text = match &source.lines {
        Lines::From(first) => moved_down(erased, first.saturating_sub(1) as usize),
        Lines::Each(_) => Cow::Owned(laid_out(&erased, |line| source.lines.of(line))),
    };
    let code = compile_text(&text, &format!("@{}", source.chunk)).map_err(|message| refused(source, &message))?;
    Ok(Chunk {
        code,
        words: Arc::new(words(source.text)),
    })
}

/// The text without the byte order mark that some editors begin a file with.
pub fn without_mark(text: &[u8]) -> &[u8] {
    text.strip_prefix("\u{feff}".as_bytes()).unwrap_or(text)
}

/// The text without a byte order mark and a `#!` line, whose end stays.
pub fn bare(text: &[u8]) -> &[u8] {
    let text = without_mark(text);
    match text.strip_prefix(b"#!") {
        Some(rest) => &rest[rest.iter().position(|byte| *byte == b'\n').unwrap_or(rest.len())..],
        None => text,
    }
}

/// The same of a text that is UTF-8.
pub fn bare_text(text: &str) -> &str {
    &text[text.len() - bare(text.as_bytes()).len()..]
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
    if source.text.starts_with(b"\x1b") {
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
fn words(text: &[u8]) -> BTreeSet<String> {
    text.split(|byte| !(byte.is_ascii_alphanumeric() || *byte == b'_'))
        .filter(|word| word.first().is_some_and(|first| !first.is_ascii_digit()))
        .map(|word| String::from_utf8_lossy(word).into_owned())
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn source(text: &str, first_line: u32) -> Source<'_> {
        Source {
            text: text.as_bytes(),
            chunk: "src/a.lua",
            lines: Lines::From(first_line),
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
    fn an_inline_source_may_stand_on_any_lines() {
        let at = |text: &'static str, lines: &[u32]| {
            let lines = Lines::Each(lines.into());
            let error = compile(&Source {
                lines,
                ..source(text, 1)
            })
            .err()
            .unwrap();
            (error.frames()[0].line, error.message().to_owned())
        };
        assert_eq!(at("local a = 1 -- one\nlocal b = 2\nx = = 1", &[7, 7, 7]).0, 7);
        assert_eq!(at("x = = 1", &[7]).0, 7);
        let (line, message) = at("if a then\n--[[ long\n]] b = [[\n\n]]\nx = 1\n", &[3, 4, 5, 6, 7, 12]);
        assert_eq!(
            (line, message.contains("(to close 'if' at line 3)")),
            (12, true),
            "{message}"
        );
        assert_eq!(at("a = [[\n\n\n]]\nlocal x: = 1", &[3, 3, 3, 3, 20]).0, 20);
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
    fn a_text_that_is_not_utf8_is_lua() {
        let source = Source {
            text: b"-- caf\xe9\nreturn '\xff'",
            ..source("", 1)
        };
        assert!(compile(&source).is_ok());
    }

    #[test]
    fn the_cache_drops_what_was_used_longest_ago() {
        let cache = Cache::default();
        let text = |number: usize| format!("return {number} --{}", "x".repeat(1 << 20));
        let keep = |number| cache.compile(&source(&text(number), 1)).unwrap();
        let first = keep(0);
        for number in 1..100 {
            keep(number);
            let again = keep(0);
            assert!(Arc::ptr_eq(&first.words, &again.words), "{number}");
        }
        let kept = cache.kept();
        assert!(kept.bytes <= MOST_KEPT && kept.bytes > MOST_KEPT / 2, "{}", kept.bytes);
        assert_eq!(kept.chunks.len(), kept.order.len());
        assert!(kept.chunks.len() < 70);
    }

    #[test]
    fn bytecode_is_refused() {
        let error = compile(&source("\x1bLua", 1)).err().unwrap();
        assert_eq!(error.message(), "src/a.lua: bytecode is not accepted, only Lua text");
    }

    #[test]
    fn words_are_found_in_strings_too() {
        let words = words(b"local j = require(\"json\") -- math.pi\nx.y:z()");
        for word in ["json", "math", "pi", "x", "y", "z", "require"] {
            assert!(words.contains(word), "{word}");
        }
    }
}
