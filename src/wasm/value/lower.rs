//! Towards the guest: packed arguments to the values of a call, read straight from their flat form.
//!
//! Recursion follows the [`Shape`], never the data, so a cycle or a deep table cannot take native stack. What data can do
//! is multiply: a table that is shared a thousand times becomes a thousand values. Every value made is therefore charged
//! against the bound that the caller gives, before its memory is taken.
//!
//! An error starts as a [`Fault`] without a place; each level on the way out adds its step to the path. A call that
//! succeeds pays nothing for that.

use std::fmt;
use std::mem::size_of;

use wasmtime::component::Val;

use super::shape::{Arms, Int, List, Names, Record, Shape, Variant, separated};
use super::{Signature, refused, transfer_exceeded};
use crate::error::{Error, Result};
use crate::value::{Item, Packed, Reader, TableHead};

impl Signature {
    /// The values of a call. Trailing `option` parameters may be left out.
    ///
    /// # Errors
    /// Invalid for a wrong number of arguments and for one that does not fit its parameter; LimitExceeded when the
    /// values would take more than `max_transfer` bytes of host memory.
    pub fn lower(&self, args: &Packed, max_transfer: u64) -> Result<Vec<Val>> {
        self.check_result()?;
        self.check_count(args.len())?;
        let mut lowering = Lowering::new(max_transfer);
        let mut reader = args.reader();
        let mut values = Vec::with_capacity(self.params.len());
        for (index, (_, shape)) in self.params.iter().enumerate() {
            let given = index < args.len();
            let lowered = if given {
                lowering.value(shape, &mut reader)
            } else {
                lowering.absent(shape, reader)
            };
            values.push(lowered.map_err(|fault| fault.to_error(index + 1, max_transfer))?);
        }
        Ok(values)
    }

    /// How many arguments there must be: trailing options may be left out.
    pub(super) fn required(&self) -> usize {
        let last = self.params.iter().rposition(|(_, shape)| !shape.is_option());
        last.map_or(0, |last| last + 1)
    }

    fn check_count(&self, got: usize) -> Result<()> {
        if (self.required()..=self.params.len()).contains(&got) {
            return Ok(());
        }
        Err(Error::invalid(format!(
            "{}: expected {}, got {got}",
            self.name,
            self.expected_arguments()
        )))
    }
}

/// A conversion that failed, on its way out to the argument it belongs to.
pub(super) struct Fault {
    /// Innermost step first.
    path: Vec<Step>,
    problem: Problem,
}

enum Step {
    Field(String),
    /// A position, counted from 1.
    Index(u64),
    /// A key of a map, as errors show values.
    Key(String),
}

enum Problem {
    /// `expected …, got …`.
    Text(String),
    /// A type that cannot cross, by its name.
    Refused(&'static str),
    Limit,
}

pub(super) type Lowered<T> = std::result::Result<T, Box<Fault>>;

impl Fault {
    fn of(problem: Problem) -> Box<Fault> {
        Box::new(Fault {
            path: Vec::new(),
            problem,
        })
    }

    fn text(text: String) -> Box<Fault> {
        Fault::of(Problem::Text(text))
    }

    fn field(mut self: Box<Fault>, name: &str) -> Box<Fault> {
        self.path.push(Step::Field(name.to_owned()));
        self
    }

    fn index(mut self: Box<Fault>, index: u64) -> Box<Fault> {
        self.path.push(Step::Index(index));
        self
    }

    fn to_error(&self, argument: usize, max_transfer: u64) -> Error {
        let place = Place(argument, &self.path);
        match &self.problem {
            Problem::Text(text) => Error::invalid(format!("{place}: {text}")),
            Problem::Refused(word) => refused(word).context(place.to_string()),
            Problem::Limit => transfer_exceeded(max_transfer),
        }
    }
}

/// `argument 2 .users[3].name`.
struct Place<'a>(usize, &'a [Step]);

impl fmt::Display for Place<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "argument {}", self.0)?;
        if !self.1.is_empty() {
            f.write_str(" ")?;
        }
        self.1.iter().rev().try_for_each(|step| match step {
            Step::Field(name) => write!(f, ".{name}"),
            Step::Index(index) => write!(f, "[{index}]"),
            Step::Key(key) => write!(f, "[{key}]"),
        })
    }
}

/// One call's worth of conversion.
struct Lowering<'a> {
    /// Bytes of host memory that may still be taken.
    left: u64,
    /// Where the fields of the open records stand: a stack, so that no record allocates for it.
    found: Vec<Option<Reader<'a>>>,
}

impl<'a> Lowering<'a> {
    fn new(max_transfer: u64) -> Lowering<'a> {
        Lowering {
            left: max_transfer,
            found: Vec::new(),
        }
    }

    /// Takes `count` pieces of `size` bytes from what is left.
    fn charge(&mut self, count: u64, size: usize) -> Lowered<()> {
        let bytes = count.saturating_mul(size as u64);
        self.left = self.left.checked_sub(bytes).ok_or_else(|| Fault::of(Problem::Limit))?;
        Ok(())
    }

    fn value(&mut self, shape: &Shape, reader: &mut Reader<'a>) -> Lowered<Val> {
        let (item, mut there) = resolve(reader);
        self.item(shape, item, there.as_mut().unwrap_or(reader))
    }

    /// What stands for a value that is not there: nil. The reader is not read.
    fn absent(&mut self, shape: &Shape, mut reader: Reader<'a>) -> Lowered<Val> {
        self.item(shape, Item::Nil, &mut reader)
    }

    /// The value that starts with `item`; `reader` stands behind it.
    fn item(&mut self, shape: &Shape, item: Item<'a>, reader: &mut Reader<'a>) -> Lowered<Val> {
        match (shape, item) {
            (Shape::Bool, Item::Bool(flag)) => Ok(Val::Bool(flag)),
            (Shape::Int(int), item) => lower_int(*int, &item),
            (Shape::F32, Item::Int(number)) => Ok(Val::Float32(number as f32)),
            (Shape::F32, Item::Float(number)) => Ok(Val::Float32(number as f32)),
            (Shape::F64, Item::Int(number)) => Ok(Val::Float64(number as f64)),
            (Shape::F64, Item::Float(number)) => Ok(Val::Float64(number)),
            (Shape::Char, Item::Str(bytes)) => character(bytes).map(Val::Char),
            (Shape::String, Item::Str(bytes)) => self.string(bytes).map(Val::String),
            (Shape::List(list), item) => self.list(shape, list, item, reader),
            (Shape::Map(pair), item) => self.map(shape, pair, item, reader),
            (Shape::Record(record), item) => self.record(shape, record, item, reader),
            (Shape::Tuple(members), item) => self.tuple(shape, members, item, reader),
            (Shape::Variant(variant), item) => self.variant(variant, item, reader),
            (Shape::Enum(names), item) => self.case(names, &item).map(|(_, name)| Val::Enum(name)),
            (Shape::Option(inner), item) => self.option(inner, item, reader),
            (Shape::Result(arms), item) => self.result(shape, arms, item, reader),
            (Shape::Flags(names), item) => self.flags(shape, names, item, reader),
            (Shape::Refused(word), _) => Err(Fault::of(Problem::Refused(word))),
            (shape, item) => Err(mismatch(shape, &item)),
        }
    }

    fn boxed(&mut self, shape: &Shape, item: Item<'a>, reader: &mut Reader<'a>) -> Lowered<Option<Box<Val>>> {
        self.charge(1, size_of::<Val>())?;
        let val = self.item(shape, item, reader)?;
        Ok(Some(Box::new(val)))
    }

    fn string(&mut self, bytes: &[u8]) -> Lowered<String> {
        self.charge(bytes.len() as u64, 1)?;
        std::str::from_utf8(bytes).map(str::to_owned).map_err(|error| {
            let position = error.valid_up_to() + 1;
            Fault::text(format!(
                "expected string, got bytes that are not UTF-8 (at byte {position})"
            ))
        })
    }

    fn list(&mut self, shape: &Shape, list: &List, item: Item<'a>, reader: &mut Reader<'a>) -> Lowered<Val> {
        let values = match item {
            Item::Str(bytes) if shape.is_bytes() => {
                self.charge(bytes.len() as u64, size_of::<Val>())?;
                bytes.iter().copied().map(Val::U8).collect()
            }
            item => self.elements(shape, &list.element, item, reader)?,
        };
        match list.length {
            None => Ok(Val::List(values)),
            Some(length) if values.len() == length as usize => Ok(Val::FixedLengthList(values)),
            Some(_) => Err(wrong_length(shape, values.len())),
        }
    }

    fn elements(
        &mut self,
        shape: &Shape,
        element: &Shape,
        item: Item<'a>,
        reader: &mut Reader<'a>,
    ) -> Lowered<Vec<Val>> {
        let (head, content) = table(shape, item, reader)?;
        self.charge(u64::from(head.array) + u64::from(head.pairs), size_of::<Val>())?;
        let mut sequence = Sequence::new(shape, head, content)?;
        let length = sequence.length(element.is_option());
        self.charge(length.saturating_sub(u64::from(head.array)), size_of::<Val>())?;
        let mut values = Vec::with_capacity(length as usize);
        for index in 1..=length {
            values.push(self.element(element, index, &mut sequence)?);
        }
        Ok(values)
    }

    fn element(&mut self, shape: &Shape, index: u64, sequence: &mut Sequence<'a>) -> Lowered<Val> {
        let lowered = if index <= sequence.array {
            self.value(shape, &mut sequence.content)
        } else {
            match sequence.sparse_at(index) {
                Some(mut there) => self.value(shape, &mut there),
                None => self.absent(shape, sequence.content),
            }
        };
        lowered.map_err(|fault| fault.index(index))
    }

    fn tuple(&mut self, shape: &Shape, members: &[Shape], item: Item<'a>, reader: &mut Reader<'a>) -> Lowered<Val> {
        let (head, content) = table(shape, item, reader)?;
        self.charge(members.len() as u64 + u64::from(head.pairs), size_of::<Val>())?;
        let mut sequence = Sequence::new(shape, head, content)?;
        let length = sequence.length(true);
        if length > members.len() as u64 {
            return Err(wrong_length(shape, length as usize));
        }
        let member = |(index, shape): (usize, &Shape)| self.element(shape, index as u64 + 1, &mut sequence);
        members
            .iter()
            .enumerate()
            .map(member)
            .collect::<Lowered<_>>()
            .map(Val::Tuple)
    }

    fn map(&mut self, shape: &Shape, types: &(Shape, Shape), item: Item<'a>, reader: &mut Reader<'a>) -> Lowered<Val> {
        let (head, mut content) = table(shape, item, reader)?;
        let count = u64::from(head.array) + u64::from(head.pairs);
        self.charge(count, size_of::<(Val, Val)>())?;
        let mut entries = Vec::with_capacity(count as usize);
        for index in 1..=i64::from(head.array) {
            entries.push(self.entry(types, Item::Int(index), &mut content)?);
        }
        for _ in 0..head.pairs {
            let key = content.item();
            entries.push(self.entry(types, key, &mut content)?);
        }
        Ok(Val::Map(entries))
    }

    fn entry(&mut self, types: &(Shape, Shape), key: Item<'a>, content: &mut Reader<'a>) -> Lowered<(Val, Val)> {
        let name = key.clone();
        let place = |mut fault: Box<Fault>| {
            fault.path.push(Step::Key(got(&name)));
            fault
        };
        let key = self.item(&types.0, key, content).map_err(place)?;
        let value = self.value(&types.1, content).map_err(place)?;
        Ok((key, value))
    }

    fn record(&mut self, shape: &Shape, record: &Record, item: Item<'a>, reader: &mut Reader<'a>) -> Lowered<Val> {
        let (head, content) = table(shape, item, reader)?;
        self.charge(record.fields.len() as u64, size_of::<(String, Val)>())?;
        let base = self.found.len();
        self.found.resize(base + record.fields.len(), None);
        let fields = self
            .find_fields(&record.names, base, head, content)
            .and_then(|()| self.fields(record, base, content));
        self.found.truncate(base);
        fields.map(Val::Record)
    }

    /// Notes where each field stands, in whatever order and spelling they come.
    fn find_fields(&mut self, names: &Names, base: usize, head: TableHead, mut content: Reader<'a>) -> Lowered<()> {
        if head.array > 0 {
            return Err(unknown_field(names, &Item::Int(1)));
        }
        let mut guess = 0;
        for _ in 0..head.pairs {
            let key = content.item();
            let index = match &key {
                Item::Str(text) => names.find_either(text, guess),
                _ => None,
            };
            let index = index.ok_or_else(|| unknown_field(names, &key))?;
            if self.found[base + index].replace(content).is_some() {
                return Err(given_twice(names.get(index)));
            }
            content.skip();
            guess = index + 1;
        }
        Ok(())
    }

    fn fields(&mut self, record: &Record, base: usize, nowhere: Reader<'a>) -> Lowered<Vec<(String, Val)>> {
        let mut fields = Vec::with_capacity(record.fields.len());
        for (index, shape) in record.fields.iter().enumerate() {
            let name = record.names.get(index);
            self.charge(name.len() as u64, 1)?;
            let lowered = match self.found[base + index] {
                Some(mut there) => self.value(shape, &mut there),
                None => self.absent(shape, nowhere),
            };
            fields.push((name.to_owned(), lowered.map_err(|fault| fault.field(name))?));
        }
        Ok(fields)
    }

    /// The place and name of a case given as a string.
    fn case(&mut self, names: &Names, item: &Item<'a>) -> Lowered<(usize, String)> {
        let index = match item {
            Item::Str(text) => names.find(text),
            _ => None,
        };
        let index = index.ok_or_else(|| Fault::text(format!("expected one of {names}, got {}", got(item))))?;
        let name = names.get(index);
        self.charge(name.len() as u64, 1)?;
        Ok((index, name.to_owned()))
    }

    fn variant(&mut self, variant: &Variant, item: Item<'a>, reader: &mut Reader<'a>) -> Lowered<Val> {
        let Item::Table(head) = item else {
            let (index, name) = self.case(&variant.names, &item)?;
            return self.bare_case(variant, index, name, *reader);
        };
        let mut content = enter(head, reader);
        if (head.array, head.pairs) != (0, 1) {
            let (names, got) = (&variant.names, fields_of(head));
            return Err(Fault::text(format!("expected one of {names}, got {got}")));
        }
        let (index, name) = self.case(&variant.names, &content.item())?;
        let (item, mut there) = resolve(&mut content);
        let payload = match &variant.payloads[index] {
            Some(shape) => self.boxed(shape, item, there.as_mut().unwrap_or(&mut content)),
            None => Err(Fault::text(format!("expected no payload, got {}", type_of(&item)))),
        };
        let payload = payload.map_err(|fault| fault.field(&name))?;
        Ok(Val::Variant(name, payload))
    }

    /// A case given by its name alone: it has no payload, or one that is none.
    fn bare_case(&mut self, variant: &Variant, index: usize, name: String, mut reader: Reader<'a>) -> Lowered<Val> {
        let payload = match &variant.payloads[index] {
            None => Ok(None),
            Some(shape) => self.boxed(shape, Item::Nil, &mut reader),
        };
        let payload = payload.map_err(|fault| fault.field(&name))?;
        Ok(Val::Variant(name, payload))
    }

    fn option(&mut self, inner: &Shape, item: Item<'a>, reader: &mut Reader<'a>) -> Lowered<Val> {
        match item {
            Item::Nil => Ok(Val::Option(None)),
            item if inner.is_option() => self.nested_option(inner, item, reader),
            item => self.boxed(inner, item, reader).map(Val::Option),
        }
    }

    /// `{some = v}` or `{}`, for an option whose value is an option.
    fn nested_option(&mut self, inner: &Shape, item: Item<'a>, reader: &mut Reader<'a>) -> Lowered<Val> {
        let expected = "{some = value}, {} or nil";
        let Item::Table(head) = item else {
            return Err(Fault::text(format!("expected {expected}, got {}", type_of(&item))));
        };
        let mut content = enter(head, reader);
        if is_empty(head) {
            return self.boxed(inner, Item::Nil, &mut content).map(Val::Option);
        }
        if (head.array, head.pairs) != (0, 1) || content.item() != Item::Str(b"some") {
            return Err(Fault::text(format!("expected {expected}, got {}", fields_of(head))));
        }
        let (item, mut there) = resolve(&mut content);
        self.boxed(inner, item, there.as_mut().unwrap_or(&mut content))
            .map(Val::Option)
            .map_err(|fault| fault.field("some"))
    }

    fn result(&mut self, shape: &Shape, arms: &Arms, item: Item<'a>, reader: &mut Reader<'a>) -> Lowered<Val> {
        let (head, mut content) = table(shape, item, reader)?;
        let empty = is_empty(head);
        if let (true, Some(ok @ Shape::Option(_))) = (empty, &arms.ok) {
            return self
                .boxed(ok, Item::Nil, &mut content)
                .map(|none| Val::Result(Ok(none)));
        }
        if (head.array, head.pairs) != (0, 1) {
            return Err(wrong_arms(&fields_of(head)));
        }
        match content.item() {
            Item::Str(b"ok") => self.arm("ok", &arms.ok, content).map(|ok| Val::Result(Ok(ok))),
            Item::Str(b"err") => self.arm("err", &arms.err, content).map(|err| Val::Result(Err(err))),
            key => Err(wrong_arms(&format!("field {}", got(&key)))),
        }
    }

    /// The payload of an arm: `true` where it has none; in `{err = {}}` an option that is none.
    fn arm(&mut self, name: &str, shape: &Option<Shape>, mut content: Reader<'a>) -> Lowered<Option<Box<Val>>> {
        let (item, there) = resolve(&mut content);
        let mut content = there.unwrap_or(content);
        let payload = match (shape, item) {
            (None, Item::Bool(true)) => Ok(None),
            (None, item) => Err(Fault::text(format!("expected true, got {}", got(&item)))),
            (Some(shape @ Shape::Option(_)), Item::Table(head)) if name == "err" && is_empty(head) => {
                self.boxed(shape, Item::Nil, &mut content)
            }
            (Some(shape), item) => self.boxed(shape, item, &mut content),
        };
        payload.map_err(|fault| fault.field(name))
    }

    fn flags(&mut self, shape: &Shape, names: &Names, item: Item<'a>, reader: &mut Reader<'a>) -> Lowered<Val> {
        let (head, mut content) = table(shape, item, reader)?;
        let count = u64::from(head.array) + u64::from(head.pairs);
        self.charge(count, size_of::<String>())?;
        let mut set = vec![false; names.len()];
        for index in 1..=u64::from(head.array) {
            let flag = flag(names, &content.item()).map_err(|fault| fault.index(index))?;
            set[flag] = true;
        }
        for _ in 0..head.pairs {
            let flag = flag(names, &content.item())?;
            set[flag] = match content.item() {
                Item::Bool(on) => on,
                other => return Err(mismatch(&Shape::Bool, &other).field(names.get(flag))),
            };
        }
        let names = names.iter().zip(set).filter(|(_, on)| *on);
        Ok(Val::Flags(names.map(|(name, _)| name.to_owned()).collect()))
    }
}

/// The values of a table that is used as an array: its array part, and integer keys behind it when it has holes.
struct Sequence<'a> {
    /// Stands at the next value of the array part.
    content: Reader<'a>,
    array: u64,
    /// Values under integer keys behind the array part, by key.
    sparse: Vec<(u64, Reader<'a>)>,
    /// The field `n`, as `table.pack` leaves it.
    n: Option<u64>,
}

impl<'a> Sequence<'a> {
    fn new(shape: &Shape, head: TableHead, content: Reader<'a>) -> Lowered<Sequence<'a>> {
        let mut sequence = Sequence {
            content,
            array: u64::from(head.array),
            sparse: Vec::new(),
            n: None,
        };
        if head.pairs > 0 {
            sequence.read_pairs(shape, head)?;
        }
        Ok(sequence)
    }

    fn read_pairs(&mut self, shape: &Shape, head: TableHead) -> Lowered<()> {
        let mut reader = self.content;
        (0..head.array).for_each(|_| reader.skip());
        for _ in 0..head.pairs {
            match reader.item() {
                Item::Str(b"n") => self.n = Some(read_n(reader)?),
                Item::Int(key) if key > 0 => self.sparse.push((key as u64, reader)),
                key => return Err(unexpected_key(shape, &key)),
            }
            reader.skip();
        }
        self.sparse.sort_unstable_by_key(|(key, _)| *key);
        Ok(())
    }

    /// How many values there are. Where nil is a value `n` decides; elsewhere `n` is advice, and a length that leaves
    /// a hole is cut behind the hole, which is where the conversion fails.
    fn length(&self, holes: bool) -> u64 {
        let last = self.sparse.last().map_or(self.array, |(key, _)| *key);
        match self.n {
            Some(n) if holes => n,
            _ if holes => last,
            n => last.max(n.unwrap_or(0)).min(self.array + self.sparse.len() as u64 + 1),
        }
    }

    fn sparse_at(&self, index: u64) -> Option<Reader<'a>> {
        let place = self.sparse.binary_search_by_key(&index, |(key, _)| *key).ok()?;
        Some(self.sparse[place].1)
    }
}

fn read_n(mut reader: Reader<'_>) -> Lowered<u64> {
    let item = reader.item();
    let n = match item {
        Item::Int(n) => u64::try_from(n).ok(),
        _ => None,
    };
    n.ok_or_else(|| Fault::text(format!("expected a length, got {}", got(&item))).field("n"))
}

/// The next item, and for a table that was seen before the reader that stands behind its head.
pub(super) fn resolve<'a>(reader: &mut Reader<'a>) -> (Item<'a>, Option<Reader<'a>>) {
    match reader.item() {
        Item::Ref(mark) => {
            let mut there = reader.goto(mark);
            (there.item(), Some(there))
        }
        item => (item, None),
    }
}

/// A reader of the table's content; the other one passes over it.
pub(super) fn enter<'a>(head: TableHead, reader: &mut Reader<'a>) -> Reader<'a> {
    let content = *reader;
    reader.skip_table(head);
    content
}

fn table<'a>(shape: &Shape, item: Item<'a>, reader: &mut Reader<'a>) -> Lowered<(TableHead, Reader<'a>)> {
    match item {
        Item::Table(head) => Ok((head, enter(head, reader))),
        other => Err(mismatch(shape, &other)),
    }
}

/// The number that an item is, in the range of the type.
pub(super) fn integer(int: Int, item: &Item<'_>) -> Lowered<i128> {
    let (min, max) = int.range();
    let number = match *item {
        // Bit for bit, as Lua itself treats unsigned numbers.
        Item::Int(number) if int == Int::U64 => i128::from(number as u64),
        Item::Int(number) => i128::from(number),
        // A float beyond the range of i128 saturates, which is outside of every type's range too.
        Item::Float(number) if number.fract() == 0.0 => number as i128,
        Item::Float(_) => return Err(Fault::text(format!("expected {}, got {}", int.name(), got(item)))),
        _ => return Err(mismatch(&Shape::Int(int), item)),
    };
    if !(min..=max).contains(&number) {
        let name = int.name();
        return Err(Fault::text(format!(
            "expected {name} ({min}..{max}), got {}",
            got(item)
        )));
    }
    Ok(number)
}

fn lower_int(int: Int, item: &Item<'_>) -> Lowered<Val> {
    let number = integer(int, item)?;
    Ok(match int {
        Int::S8 => Val::S8(number as i8),
        Int::U8 => Val::U8(number as u8),
        Int::S16 => Val::S16(number as i16),
        Int::U16 => Val::U16(number as u16),
        Int::S32 => Val::S32(number as i32),
        Int::U32 => Val::U32(number as u32),
        Int::S64 => Val::S64(number as i64),
        Int::U64 => Val::U64(number as u64),
    })
}

/// The one code point of a string.
pub(super) fn character(bytes: &[u8]) -> Lowered<char> {
    let mut chars = std::str::from_utf8(bytes).unwrap_or_default().chars();
    match (chars.next(), chars.next()) {
        (Some(char), None) => Ok(char),
        _ => Err(Fault::text(format!("expected char, got {}", got(&Item::Str(bytes))))),
    }
}

fn flag(names: &Names, item: &Item<'_>) -> Lowered<usize> {
    let index = match item {
        Item::Str(text) => names.find(text),
        _ => None,
    };
    index.ok_or_else(|| Fault::text(format!("expected one of {names}, got {}", got(item))))
}

fn mismatch(shape: &Shape, item: &Item<'_>) -> Box<Fault> {
    Fault::text(format!("expected {}, got {}", Brief(shape), type_of(item)))
}

fn wrong_length(shape: &Shape, got: usize) -> Box<Fault> {
    let values = if got == 1 { "value" } else { "values" };
    Fault::text(format!("expected {}, got {got} {values}", Brief(shape)))
}

fn wrong_arms(got: &str) -> Box<Fault> {
    Fault::text(format!("expected {{ok = value}} or {{err = value}}, got {got}"))
}

fn unexpected_key(shape: &Shape, key: &Item<'_>) -> Box<Fault> {
    Fault::text(format!(
        "expected {}, got a table with field {}",
        Brief(shape),
        got(key)
    ))
}

fn unknown_field(names: &Names, key: &Item<'_>) -> Box<Fault> {
    Fault::text(format!("expected fields {names}, got unknown field {}", got(key)))
}

fn given_twice(name: &str) -> Box<Fault> {
    let snake = name.replace('-', "_");
    Fault::text(format!("expected one spelling, got both {name} and {snake}")).field(name)
}

fn is_empty(head: TableHead) -> bool {
    (head.array, head.pairs) == (0, 0)
}

fn fields_of(head: TableHead) -> String {
    match (head.array, head.pairs) {
        (0, 0) => "an empty table".to_owned(),
        (_, 0) => "an array".to_owned(),
        (0, 1) => "another field".to_owned(),
        (array, pairs) => format!("a table of {} values", u64::from(array) + u64::from(pairs)),
    }
}

/// What Lua's `type` calls it.
fn type_of(item: &Item<'_>) -> &'static str {
    match item {
        Item::Nil => "nil",
        Item::Bool(_) => "boolean",
        Item::Int(_) | Item::Float(_) => "number",
        Item::Str(_) => "string",
        Item::Table(_) | Item::Ref(_) => "table",
        Item::Error(_) => "error",
    }
}

/// A value of the right type but outside of what is accepted: the value itself, when it is short to say.
fn got(item: &Item<'_>) -> String {
    const SHOWN: usize = 40;
    match item {
        Item::Bool(flag) => flag.to_string(),
        Item::Int(number) => number.to_string(),
        Item::Float(number) => format!("{number:?}"),
        Item::Str(bytes) if bytes.len() <= SHOWN => format!("{:?}", String::from_utf8_lossy(bytes)),
        Item::Str(bytes) => {
            let start = String::from_utf8_lossy(&bytes[..SHOWN]);
            format!("{:?}…", start.trim_end_matches(char::REPLACEMENT_CHARACTER))
        }
        other => type_of(other).to_owned(),
    }
}

/// A type in few words: without the fields and cases that would fill a line.
struct Brief<'a>(&'a Shape);

impl fmt::Display for Brief<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Shape::Record(_) => f.write_str("record"),
            Shape::Variant(_) => f.write_str("variant"),
            Shape::Flags(_) => f.write_str("flags"),
            Shape::Enum(_) => f.write_str("enum"),
            Shape::Option(inner) => write!(f, "option<{}>", Brief(inner)),
            Shape::List(list) => match list.length {
                None => write!(f, "list<{}>", Brief(&list.element)),
                Some(length) => write!(f, "list<{}, {length}>", Brief(&list.element)),
            },
            Shape::Map(pair) => write!(f, "map<{}, {}>", Brief(&pair.0), Brief(&pair.1)),
            Shape::Tuple(members) => {
                f.write_str("tuple<")?;
                separated(f, members.iter().map(Brief))?;
                f.write_str(">")
            }
            Shape::Result(_) => f.write_str("{ok = value} or {err = value}"),
            other => other.fmt(f),
        }
    }
}
