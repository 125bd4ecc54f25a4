//! Plain data: what crosses between processes, in two forms.
//!
//! [`Value`] is a tree, convenient where speed does not matter (error details, entry data, JSON). [`Packed`] is a
//! sequence of values in one flat run of bytes: the form in which arguments, messages and results travel, written in one
//! pass over a Lua stack or a WIT value and read in one pass on the other side. Shared sub-tables and cycles are kept as
//! references to the place of the table in the bytes. Readers are iterative: depth costs no native stack, but for errors within
//! the details of errors, of which there are few.
//!
//! Invariant: a `Packed` is only ever made by a [`Packer`], so its readers trust the layout below.
//!
//! ```text
//! NIL | FALSE | TRUE | INT8 i8 | INT i64 | FLOAT f64 | STR8 u8 bytes | STR u32 bytes
//! TABLE flags:u8 len:u32 array:u32 pairs:u32  array values…  key value …     (len: bytes after this header)
//! REF u32        a table that was seen before, by the offset of its TABLE tag
//! ERROR len:u32 kind retryable message contexts details frames               (itself a packed sequence)
//! ```

mod brief;

use std::fmt;

use crate::error::{Error, Frame, Kind, Result};

/// Plain data as a tree. Strings are bytes, as in Lua.
#[derive(Clone, PartialEq, Default)]
pub enum Value {
    #[default]
    Nil,
    Bool(bool),
    Int(i64),
    Float(f64),
    Str(Vec<u8>),
    Table(Box<Table>),
    Error(Error),
}

/// A table: its array part and its other pairs, in order of insertion.
#[derive(Clone, Debug, PartialEq, Default)]
pub struct Table {
    pub array: Vec<Value>,
    pub pairs: Vec<(Value, Value)>,
    /// A record that came from WASM: its kebab-case keys can be read in snake_case.
    pub record: bool,
}

impl Table {
    /// The value under a string key.
    pub fn get(&self, key: &str) -> Option<&Value> {
        self.pairs
            .iter()
            .find(|(name, _)| matches!(name, Value::Str(bytes) if bytes == key.as_bytes()))
            .map(|(_, value)| value)
    }
}

impl Value {
    pub fn str(text: impl AsRef<[u8]>) -> Value {
        Value::Str(text.as_ref().to_vec())
    }

    pub fn array(items: impl IntoIterator<Item = Value>) -> Value {
        Value::Table(Box::new(Table {
            array: items.into_iter().collect(),
            ..Table::default()
        }))
    }

    /// A table with string keys.
    pub fn map<K: AsRef<str>>(pairs: impl IntoIterator<Item = (K, Value)>) -> Value {
        Value::Table(Box::new(Table {
            pairs: pairs
                .into_iter()
                .map(|(key, value)| (Value::str(key.as_ref()), value))
                .collect(),
            ..Table::default()
        }))
    }

    /// The field `key` of a table.
    pub fn get(&self, key: &str) -> Option<&Value> {
        match self {
            Value::Table(table) => table.get(key),
            _ => None,
        }
    }

    /// The text of a string that is UTF-8.
    pub fn as_str(&self) -> Option<&str> {
        match self {
            Value::Str(bytes) => std::str::from_utf8(bytes).ok(),
            _ => None,
        }
    }

    /// About how many bytes it holds.
    pub fn weight(&self) -> usize {
        let own = match self {
            Value::Str(bytes) => bytes.len(),
            Value::Table(table) => {
                let pairs = table.pairs.iter().flat_map(|(key, value)| [key, value]);
                table.array.iter().chain(pairs).map(Value::weight).sum()
            }
            Value::Error(error) => error.weight(),
            Value::Nil | Value::Bool(_) | Value::Int(_) | Value::Float(_) => 0,
        };
        own + size_of::<Value>()
    }

    /// What Lua's `type` calls it.
    pub fn type_name(&self) -> &'static str {
        match self {
            Value::Nil => "nil",
            Value::Bool(_) => "boolean",
            Value::Int(_) | Value::Float(_) => "number",
            Value::Str(_) => "string",
            Value::Table(_) => "table",
            Value::Error(_) => "userdata",
        }
    }
}

impl From<&str> for Value {
    fn from(text: &str) -> Value {
        Value::str(text)
    }
}

impl From<String> for Value {
    fn from(text: String) -> Value {
        Value::Str(text.into_bytes())
    }
}

impl From<i64> for Value {
    fn from(number: i64) -> Value {
        Value::Int(number)
    }
}

impl From<bool> for Value {
    fn from(flag: bool) -> Value {
        Value::Bool(flag)
    }
}

impl fmt::Debug for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Value::Nil => f.write_str("nil"),
            Value::Bool(b) => write!(f, "{b}"),
            Value::Int(n) => write!(f, "{n}"),
            Value::Float(n) => write!(f, "{n:?}"),
            Value::Str(bytes) => write!(f, "{:?}", String::from_utf8_lossy(bytes)),
            Value::Error(error) => write!(f, "{error:?}"),
            Value::Table(table) => {
                let mut map = f.debug_map();
                for (index, item) in table.array.iter().enumerate() {
                    map.entry(&(index + 1), item);
                }
                map.entries(table.pairs.iter().map(|(k, v)| (k, v))).finish()
            }
        }
    }
}

mod tag {
    pub const NIL: u8 = 0;
    pub const FALSE: u8 = 1;
    pub const TRUE: u8 = 2;
    pub const INT8: u8 = 3;
    pub const INT: u8 = 4;
    pub const FLOAT: u8 = 5;
    pub const STR8: u8 = 6;
    pub const STR: u8 = 7;
    pub const TABLE: u8 = 8;
    pub const REF: u8 = 9;
    pub const ERROR: u8 = 10;
}

/// Bytes of a table's header after its tag: flags, length, array count, pair count.
const HEADER: usize = 1 + 4 + 4 + 4;
const RECORD: u8 = 1;

/// Tables in tables from which on a value is deep.
const DEEP: u32 = 100;

/// The largest buffer that is used again.
const KEPT: usize = 64 << 10;

/// A sequence of plain values in one run of bytes. See the module page for the layout.
#[derive(Clone, Default, PartialEq)]
pub struct Packed {
    bytes: Vec<u8>,
    count: u32,
    shared: bool,
    deep: bool,
}

impl Packed {
    /// No values at all.
    pub const fn empty() -> Packed {
        Packed {
            bytes: Vec::new(),
            count: 0,
            shared: false,
            deep: false,
        }
    }

    /// The values, one after the other.
    pub fn from_values<'a>(values: impl IntoIterator<Item = &'a Value>) -> Packed {
        let mut packer = Packer::default();
        for value in values {
            packer.value(value);
        }
        packer.finish()
    }

    /// Exactly one value.
    pub fn from_value(value: &Value) -> Packed {
        Packed::from_values([value])
    }

    /// How many values the sequence holds.
    pub fn len(&self) -> usize {
        self.count as usize
    }

    pub fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// Bytes it takes, the figure that counts against a mailbox's bound.
    pub fn size(&self) -> usize {
        self.bytes.len()
    }

    /// Whether a table occurs twice (a reader then has to remember the tables it made).
    pub fn is_shared(&self) -> bool {
        self.shared
    }

    /// Whether tables lie so deeply in tables that a stack on which they are built grows for it.
    pub fn is_deep(&self) -> bool {
        self.deep
    }

    pub fn reader(&self) -> Reader<'_> {
        Reader {
            bytes: &self.bytes,
            at: 0,
        }
    }

    /// All values as trees; see [`Reader::to_value`] for what happens to references.
    pub fn to_values(&self) -> Result<Vec<Value>> {
        let mut reader = self.reader();
        (0..self.count).map(|_| reader.to_value()).collect()
    }

    /// The first value, nil when there is none.
    pub fn to_value(&self) -> Result<Value> {
        if self.is_empty() {
            Ok(Value::Nil)
        } else {
            self.reader().to_value()
        }
    }
}

impl fmt::Debug for Packed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.to_values() {
            Ok(values) => f.debug_list().entries(values).finish(),
            Err(error) => write!(f, "{error:?}"),
        }
    }
}

/// Writes a [`Packed`]. A table is opened, then gets its array values, then its pairs (key, value), then is closed.
#[derive(Default)]
pub struct Packer {
    bytes: Vec<u8>,
    count: u32,
    depth: u32,
    shared: bool,
    deep: bool,
}

/// An open table: the place of its tag. Also what [`Packer::reference`] takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TableMark(pub u32);

impl Packer {
    pub fn new() -> Packer {
        Packer::default()
    }

    /// A packer that writes into `buffer`'s memory.
    pub fn reuse(mut buffer: Vec<u8>) -> Packer {
        buffer.clear();
        Packer {
            bytes: buffer,
            ..Packer::default()
        }
    }

    /// Forgets what was written.
    pub fn restart(&mut self) {
        let buffer = std::mem::take(&mut self.bytes);
        *self = Packer::reuse(buffer);
    }

    /// Bytes written so far.
    pub fn size(&self) -> usize {
        self.bytes.len()
    }

    #[inline]
    pub fn nil(&mut self) {
        self.tagged(tag::NIL);
    }

    #[inline]
    pub fn bool(&mut self, flag: bool) {
        self.tagged(if flag { tag::TRUE } else { tag::FALSE });
    }

    #[inline]
    pub fn int(&mut self, number: i64) {
        match i8::try_from(number) {
            Ok(small) => self.tagged_with(tag::INT8, [small as u8]),
            Err(_) => self.tagged_with(tag::INT, number.to_le_bytes()),
        }
    }

    #[inline]
    pub fn float(&mut self, number: f64) {
        self.tagged_with(tag::FLOAT, number.to_le_bytes());
    }

    /// A string. Panics at 4 GiB, which callers exclude by their own bounds.
    #[inline]
    pub fn str(&mut self, text: &[u8]) {
        match u8::try_from(text.len()) {
            Ok(len) => self.tagged_with(tag::STR8, [len]),
            Err(_) => {
                let len = u32::try_from(text.len()).expect("strings that cross processes are below 4 GiB");
                self.tagged_with(tag::STR, len.to_le_bytes());
            }
        }
        self.bytes.extend_from_slice(text);
    }

    /// Opens a table. `record` marks a record that came from WASM.
    pub fn open(&mut self, record: bool) -> TableMark {
        let mark = TableMark(self.offset());
        let mut header = [0; HEADER];
        header[0] = if record { RECORD } else { 0 };
        self.tagged_with(tag::TABLE, header);
        self.depth += 1;
        self.deep |= self.depth > DEEP;
        mark
    }

    /// Closes the innermost open table, which got `array` values and then `pairs` keys with their values.
    pub fn close(&mut self, mark: TableMark, array: u32, pairs: u32) {
        self.depth -= 1;
        let start = mark.0 as usize + 2;
        let len = self.offset() - (mark.0 + 1 + HEADER as u32);
        let mut numbers = [0; HEADER - 1];
        for (place, number) in numbers.chunks_exact_mut(4).zip([len, array, pairs]) {
            place.copy_from_slice(&number.to_le_bytes());
        }
        self.bytes[start..start + numbers.len()].copy_from_slice(&numbers);
    }

    /// A table that was written before, or that is still open (a cycle).
    pub fn reference(&mut self, table: TableMark) {
        self.tagged(tag::REF);
        self.bytes.extend_from_slice(&table.0.to_le_bytes());
        self.shared = true;
    }

    /// Values that were packed before, without references: those would lead elsewhere.
    pub fn packed(&mut self, values: &Packed) {
        debug_assert!(!values.shared, "a reference is a place in the bytes");
        self.count += if self.depth == 0 { values.count } else { 0 };
        self.deep |= values.deep;
        self.bytes.extend_from_slice(&values.bytes);
    }

    pub fn error(&mut self, error: &Error) {
        self.tagged(tag::ERROR);
        let body = pack_error(error);
        let len = u32::try_from(body.bytes.len()).expect("errors are below 4 GiB");
        self.bytes.extend_from_slice(&len.to_le_bytes());
        self.bytes.extend_from_slice(&body.bytes);
    }

    /// Writes a tree. Its depth is bounded by whoever built it.
    pub fn value(&mut self, value: &Value) {
        match value {
            Value::Nil => self.nil(),
            Value::Bool(flag) => self.bool(*flag),
            Value::Int(number) => self.int(*number),
            Value::Float(number) => self.float(*number),
            Value::Str(text) => self.str(text),
            Value::Error(error) => self.error(error),
            Value::Table(table) => {
                let mark = self.open(table.record);
                table.array.iter().for_each(|item| self.value(item));
                for (key, item) in &table.pairs {
                    self.value(key);
                    self.value(item);
                }
                self.close(mark, table.array.len() as u32, table.pairs.len() as u32);
            }
        }
    }

    /// The finished sequence.
    pub fn finish(self) -> Packed {
        debug_assert_eq!(self.depth, 0, "every table is closed");
        Packed {
            bytes: self.bytes,
            count: self.count,
            shared: self.shared,
            deep: self.deep,
        }
    }

    /// The finished sequence in memory of about its own size, and the buffer for the next [`Packer::reuse`]: what is large is
    /// handed over, and nothing of it stays behind.
    pub fn finish_reusing(mut self) -> (Packed, Vec<u8>) {
        let buffer = std::mem::take(&mut self.bytes);
        if buffer.capacity() > KEPT {
            self.bytes = buffer;
            self.bytes.shrink_to_fit();
            return (self.finish(), Vec::new());
        }
        self.bytes = buffer.as_slice().to_vec();
        (self.finish(), buffer)
    }

    #[inline]
    fn tagged(&mut self, tag: u8) {
        self.count += u32::from(self.depth == 0);
        self.bytes.push(tag);
    }

    /// The tag and what follows it.
    #[inline]
    fn tagged_with<const N: usize>(&mut self, tag: u8, bytes: [u8; N]) {
        self.count += u32::from(self.depth == 0);
        // In one piece: each addition looks for room.
        let mut piece = [0; 1 + HEADER];
        piece[0] = tag;
        piece[1..=N].copy_from_slice(&bytes);
        self.bytes.extend_from_slice(&piece[..=N]);
    }

    fn offset(&self) -> u32 {
        u32::try_from(self.bytes.len()).expect("data that crosses processes is below 4 GiB")
    }
}

/// One step of a [`Reader`]. After [`Item::Table`] come its array values, then its pairs.
#[derive(Clone, Debug, PartialEq)]
pub enum Item<'a> {
    Nil,
    Bool(bool),
    Int(i64),
    Float(f64),
    Str(&'a [u8]),
    Table(TableHead),
    /// A table by its mark, the `mark` of a [`TableHead`].
    Ref(TableMark),
    Error(Error),
}

/// What stands before a table's content.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TableHead {
    pub mark: TableMark,
    /// Values of the array part.
    pub array: u32,
    /// Keys with a value.
    pub pairs: u32,
    pub record: bool,
    /// Bytes of the content, what [`Reader::skip_table`] passes over.
    pub len: u32,
}

/// Reads a [`Packed`] from front to back; a copy of it is a bookmark.
#[derive(Clone, Copy)]
pub struct Reader<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Reader<'a> {
    pub fn is_at_end(&self) -> bool {
        self.at >= self.bytes.len()
    }

    /// The next item. Must not be called at the end.
    #[inline(always)]
    pub fn item(&mut self) -> Item<'a> {
        let mark = TableMark(self.at as u32);
        match self.byte() {
            tag::NIL => Item::Nil,
            tag::FALSE => Item::Bool(false),
            tag::TRUE => Item::Bool(true),
            tag::INT8 => Item::Int(i64::from(self.byte() as i8)),
            tag::INT => Item::Int(i64::from_le_bytes(self.fixed())),
            tag::FLOAT => Item::Float(f64::from_le_bytes(self.fixed())),
            tag::STR8 => {
                let len = self.byte() as usize;
                Item::Str(self.take(len))
            }
            tag::STR => {
                let len = self.number() as usize;
                Item::Str(self.take(len))
            }
            tag::TABLE => {
                let header = self.fixed::<HEADER>();
                let number =
                    |at: usize| u32::from_le_bytes([header[at], header[at + 1], header[at + 2], header[at + 3]]);
                Item::Table(TableHead {
                    mark,
                    array: number(5),
                    pairs: number(9),
                    record: header[0] & RECORD != 0,
                    len: number(1),
                })
            }
            tag::REF => Item::Ref(TableMark(self.number())),
            tag::ERROR => {
                let len = self.number() as usize;
                Item::Error(unpack_error(self.take(len)))
            }
            other => unreachable!("tag {other} in packed data"),
        }
    }

    /// Passes over the content of a table whose head was just read.
    pub fn skip_table(&mut self, head: TableHead) {
        self.at += head.len as usize;
    }

    /// Passes over one value.
    pub fn skip(&mut self) {
        if let Item::Table(head) = self.item() {
            self.skip_table(head);
        }
    }

    /// A reader that stands at a table seen before, whose next item is its head.
    pub fn goto(&self, table: TableMark) -> Reader<'a> {
        Reader {
            bytes: self.bytes,
            at: table.0 as usize,
        }
    }

    /// The next value as a tree. A shared table is copied each time it occurs.
    ///
    /// # Errors
    /// Invalid for a cycle, for tables nested deeper than 200 and when shared tables multiply to more than ten million
    /// values: a tree cannot hold these.
    pub fn to_value(&mut self) -> Result<Value> {
        let mut budget = 10_000_000_u32;
        let mut open: Vec<Tree> = Vec::new();
        loop {
            budget = budget.checked_sub(1).ok_or_else(|| {
                Error::invalid("value is too large: shared tables multiply to over ten million values")
            })?;
            let mut item = self.item();
            let mut back = self.at;
            match item {
                Item::Ref(mark) => {
                    self.at = mark.0 as usize;
                    item = self.item();
                }
                Item::Table(head) => back += head.len as usize,
                _ => {}
            }
            let mut value = match item {
                Item::Nil => Value::Nil,
                Item::Bool(flag) => Value::Bool(flag),
                Item::Int(number) => Value::Int(number),
                Item::Float(number) => Value::Float(number),
                Item::Str(text) => Value::str(text),
                Item::Error(error) => Value::Error(error),
                Item::Ref(_) => unreachable!("a reference leads to a table"),
                Item::Table(_) if open.len() > 200 => {
                    return Err(Error::invalid(
                        "value is nested deeper than 200 tables, or contains itself",
                    ));
                }
                Item::Table(head) if head.array == 0 && head.pairs == 0 => {
                    self.at = back;
                    Value::Table(Box::new(Tree::new(head, back).table))
                }
                Item::Table(head) => {
                    open.push(Tree::new(head, back));
                    continue;
                }
            };
            loop {
                let Some(table) = open.last_mut() else {
                    return Ok(value);
                };
                if !table.add(value) {
                    break;
                }
                let table = open.pop().expect("the one that was just added to");
                self.at = table.back;
                value = Value::Table(Box::new(table.table));
            }
        }
    }

    #[inline]
    fn byte(&mut self) -> u8 {
        let byte = self.bytes[self.at];
        self.at += 1;
        byte
    }

    #[inline]
    fn take(&mut self, len: usize) -> &'a [u8] {
        let slice = &self.bytes[self.at..self.at + len];
        self.at += len;
        slice
    }

    #[inline]
    fn fixed<const N: usize>(&mut self) -> [u8; N] {
        self.take(N).try_into().expect("the slice has that length")
    }

    fn number(&mut self) -> u32 {
        u32::from_le_bytes(self.fixed())
    }
}

/// A table of a tree that is being read.
struct Tree {
    table: Table,
    array: u32,
    pairs: u32,
    key: Option<Value>,
    /// Where to go on behind it.
    back: usize,
}

impl Tree {
    fn new(head: TableHead, back: usize) -> Tree {
        let table = Table {
            array: Vec::new(),
            pairs: Vec::new(),
            record: head.record,
        };
        let (array, pairs) = (head.array, head.pairs);
        Tree {
            table,
            array,
            pairs,
            key: None,
            back,
        }
    }

    /// Whether that was the last one.
    fn add(&mut self, value: Value) -> bool {
        if self.array > 0 {
            self.array -= 1;
            self.table.array.push(value);
        } else if let Some(key) = self.key.take() {
            self.pairs -= 1;
            self.table.pairs.push((key, value));
        } else {
            self.key = Some(value);
        }
        self.array == 0 && self.pairs == 0
    }
}

fn pack_error(error: &Error) -> Packed {
    let strings = |items: &[String]| Value::array(items.iter().map(|text| Value::from(text.as_str())));
    let frame = |frame: &Frame| {
        Value::array([
            frame.source.as_str().into(),
            i64::from(frame.line).into(),
            frame.name.as_str().into(),
        ])
    };
    Packed::from_values(&[
        error.kind().as_str().into(),
        error.retryable().map_or(Value::Nil, Value::Bool),
        error.message().into(),
        strings(error.contexts()),
        error.details().cloned().unwrap_or_default(),
        Value::array(error.frames().iter().map(frame)),
    ])
}

fn unpack_error(bytes: &[u8]) -> Error {
    let mut reader = Reader { bytes, at: 0 };
    let mut next = || reader.to_value().unwrap_or_default();
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let items = |value: Value| match value {
        Value::Table(table) => table.array,
        _ => Vec::new(),
    };
    let (kind, retryable, message) = (next(), next(), next());
    let mut error = Error::new(Kind::parse(&text(&kind)), text(&message)).with_retryable(match retryable {
        Value::Bool(flag) => Some(flag),
        _ => None,
    });
    for context in items(next()) {
        error = error.context(text(&context));
    }
    match next() {
        Value::Nil => {}
        details => error = error.with_details(details),
    }
    let frames = items(next()).into_iter().map(|frame| match items(frame).as_slice() {
        [source, Value::Int(line), name] => Frame {
            source: text(source),
            line: u32::try_from(*line).unwrap_or(0),
            name: text(name),
        },
        _ => Frame::default(),
    });
    let frames = frames.collect();
    error.with_frames(frames)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn trees_round_trip() {
        let error = Error::not_found("gone")
            .context("outer")
            .with_details(Value::map([("limit", Value::from("max_memory"))]))
            .with_frames(vec![Frame {
                source: "a.lua".into(),
                line: 3,
                name: "f".into(),
            }]);
        let values = [
            Value::Nil,
            Value::Bool(true),
            Value::Int(-128),
            Value::Int(i64::MAX),
            Value::Float(0.5),
            Value::Str(vec![0xff; 300]),
            Value::array([Value::Int(1), Value::map([("k", Value::Bool(false))])]),
            Value::Error(error),
        ];
        let packed = Packed::from_values(&values);
        assert_eq!(packed.len(), values.len());
        assert_eq!(packed.to_values().unwrap(), values);
    }

    #[test]
    fn a_buffer_is_used_again_unless_it_is_large() {
        let packed_with = |text: &[u8]| {
            let mut packer = Packer::reuse(Vec::with_capacity(64));
            packer.str(text);
            packer.finish_reusing()
        };
        let (packed, buffer) = packed_with(b"short");
        assert_eq!(
            (packed, buffer.capacity()),
            (Packed::from_value(&Value::str("short")), 64)
        );
        let long = vec![b'x'; KEPT];
        let (packed, buffer) = packed_with(&long);
        assert_eq!((packed, buffer.capacity()), (Packed::from_value(&Value::Str(long)), 0));
    }

    #[test]
    fn a_shared_table_is_found_by_its_mark_and_a_cycle_is_refused_as_a_tree() {
        let mut packer = Packer::new();
        let outer = packer.open(false);
        let inner = packer.open(true);
        packer.int(7);
        packer.close(inner, 1, 0);
        packer.reference(inner);
        packer.close(outer, 2, 0);
        let packed = packer.finish();
        assert!(packed.is_shared());
        let seven = || {
            Value::Table(Box::new(Table {
                array: vec![Value::Int(7)],
                pairs: vec![],
                record: true,
            }))
        };
        assert_eq!(packed.to_value().unwrap(), Value::array([seven(), seven()]));

        let mut packer = Packer::new();
        let own = packer.open(false);
        packer.reference(own);
        packer.close(own, 1, 0);
        assert_eq!(packer.finish().to_value().unwrap_err().kind(), Kind::Invalid);
    }

    #[test]
    fn skipping_a_table_lands_behind_it() {
        let packed = Packed::from_values(&[Value::array([Value::from("x"), Value::array([])]), Value::Int(5)]);
        let mut reader = packed.reader();
        reader.skip();
        assert_eq!(reader.item(), Item::Int(5));
        assert!(reader.is_at_end());
    }
}
