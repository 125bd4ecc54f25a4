//! What a WIT type looks like from our side: a [`Shape`] per type, walked out of the engine's type tables once, when a
//! module is loaded, and then used for every call.
//!
//! Conversion itself lives next door (`lower`, `lift`, `json`). Here is only what they look up: field names in both
//! spellings, cases, flags, ranges, and the WIT text that errors and usage lines show. A shape is a finite tree, at most
//! as deep as the component model lets a type nest, which is what bounds every recursion over values.

use std::fmt;

use wasmtime::component::Type;

use super::layout::Layout;

/// A WIT type.
#[derive(Clone, Debug, PartialEq)]
pub enum Shape {
    Bool,
    Int(Int),
    F32,
    F64,
    Char,
    String,
    /// `list<T>`, or `list<T, length>`.
    List(Box<List>),
    /// `map<key, value>`.
    Map(Box<(Shape, Shape)>),
    Record(Box<Record>),
    Tuple(Vec<Shape>),
    Variant(Box<Variant>),
    Enum(Names),
    Option(Box<Shape>),
    Result(Box<Arms>),
    Flags(Names),
    /// A type that has no form in Lua: a resource, a stream, a core reference. The word is its name.
    Refused(&'static str),
}

/// An integer type.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Int {
    S8,
    U8,
    S16,
    U16,
    S32,
    U32,
    S64,
    U64,
}

#[derive(Clone, Debug, PartialEq)]
pub struct List {
    pub element: Shape,
    /// The fixed length of a `list<T, N>`.
    pub length: Option<u32>,
}

#[derive(Clone, Debug, PartialEq)]
pub struct Record {
    pub names: Names,
    /// The types of the fields, in the order of `names`.
    pub fields: Vec<Shape>,
    /// The room it takes in a guest's memory, and where each field starts.
    pub layout: Layout,
    pub offsets: Vec<usize>,
}

#[derive(Clone, Debug, PartialEq)]
pub struct Variant {
    pub names: Names,
    /// The payloads of the cases, in the order of `names`.
    pub payloads: Vec<Option<Shape>>,
}

/// The payloads of a `result`.
#[derive(Clone, Debug, PartialEq)]
pub struct Arms {
    pub ok: Option<Shape>,
    pub err: Option<Shape>,
}

/// Names of fields, cases or flags in the order of the type, found by text.
#[derive(Clone, Debug, PartialEq)]
pub struct Names {
    names: Vec<Name>,
    /// Places in `names`, sorted by the snake_case spelling.
    sorted: Vec<u32>,
}

#[derive(Clone, Debug, PartialEq)]
struct Name {
    kebab: String,
    snake: String,
}

impl Int {
    pub const fn name(self) -> &'static str {
        match self {
            Int::S8 => "s8",
            Int::U8 => "u8",
            Int::S16 => "s16",
            Int::U16 => "u16",
            Int::S32 => "s32",
            Int::U32 => "u32",
            Int::S64 => "s64",
            Int::U64 => "u64",
        }
    }

    /// Bytes it takes in memory.
    pub const fn size(self) -> usize {
        match self {
            Int::S8 | Int::U8 => 1,
            Int::S16 | Int::U16 => 2,
            Int::S32 | Int::U32 => 4,
            Int::S64 | Int::U64 => 8,
        }
    }

    /// The smallest and the largest value.
    pub const fn range(self) -> (i128, i128) {
        match self {
            Int::S8 => (i8::MIN as i128, i8::MAX as i128),
            Int::U8 => (0, u8::MAX as i128),
            Int::S16 => (i16::MIN as i128, i16::MAX as i128),
            Int::U16 => (0, u16::MAX as i128),
            Int::S32 => (i32::MIN as i128, i32::MAX as i128),
            Int::U32 => (0, u32::MAX as i128),
            Int::S64 => (i64::MIN as i128, i64::MAX as i128),
            Int::U64 => (0, u64::MAX as i128),
        }
    }
}

impl Names {
    pub fn new<T: Into<String>>(names: impl IntoIterator<Item = T>) -> Names {
        let names: Vec<Name> = names.into_iter().map(|name| Name::new(name.into())).collect();
        let mut sorted: Vec<u32> = (0..names.len() as u32).collect();
        sorted.sort_by(|a, b| names[*a as usize].snake.cmp(&names[*b as usize].snake));
        Names { names, sorted }
    }

    pub fn len(&self) -> usize {
        self.names.len()
    }

    pub fn is_empty(&self) -> bool {
        self.names.is_empty()
    }

    /// The name at a place, as in WIT.
    pub fn get(&self, index: usize) -> &str {
        &self.names[index].kebab
    }

    pub fn iter(&self) -> impl ExactSizeIterator<Item = &str> {
        self.names.iter().map(|name| name.kebab.as_str())
    }

    /// The place of a name that is spelt as in WIT.
    pub fn find(&self, text: &[u8]) -> Option<usize> {
        self.find_either(text, 0)
            .filter(|index| self.names[*index].kebab.as_bytes() == text)
    }

    /// The place of a name in kebab-case or snake_case. `guess` is where it probably is: tables often come in order.
    pub fn find_either(&self, text: &[u8], guess: usize) -> Option<usize> {
        if self.names.get(guess).is_some_and(|name| name.is(text)) {
            return Some(guess);
        }
        if self.names.len() <= FEW {
            return self.names.iter().position(|name| name.is(text));
        }
        let snake = |byte: &u8| if *byte == b'-' { b'_' } else { *byte };
        let found = self.sorted.binary_search_by(|index| {
            let name = &self.names[*index as usize];
            name.snake.bytes().cmp(text.iter().map(snake))
        });
        let index = self.sorted[found.ok()?] as usize;
        self.names[index].is(text).then_some(index)
    }
}

/// So many names are compared one after the other sooner than searched.
const FEW: usize = 8;

impl Name {
    fn new(kebab: String) -> Name {
        let snake = kebab.replace('-', "_");
        Name { kebab, snake }
    }

    fn is(&self, text: &[u8]) -> bool {
        self.kebab.as_bytes() == text || self.snake.as_bytes() == text
    }
}

impl fmt::Display for Names {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        separated(f, self.iter())
    }
}

/// Builds one shape. A few aliases that double each other make a type of a billion parts; such a type is refused before
/// it takes memory, and one that nests beyond what components may before it takes stack.
pub(super) struct Walk {
    left: u32,
    depth: u32,
}

impl Default for Walk {
    fn default() -> Walk {
        Walk {
            left: 10_000,
            depth: 100,
        }
    }
}

impl Walk {
    /// One more part of the type.
    pub(super) fn part(&mut self, make: impl FnOnce(&mut Walk) -> Shape) -> Shape {
        if self.left == 0 || self.depth == 0 {
            return Shape::Refused(TOO_LARGE);
        }
        self.left -= 1;
        self.depth -= 1;
        let shape = make(self);
        self.depth += 1;
        shape
    }

    fn component(&mut self, ty: &Type) -> Shape {
        self.part(|walk| walk.component_part(ty))
    }

    fn component_part(&mut self, ty: &Type) -> Shape {
        match ty {
            Type::Bool => Shape::Bool,
            Type::S8 => Shape::Int(Int::S8),
            Type::U8 => Shape::Int(Int::U8),
            Type::S16 => Shape::Int(Int::S16),
            Type::U16 => Shape::Int(Int::U16),
            Type::S32 => Shape::Int(Int::S32),
            Type::U32 => Shape::Int(Int::U32),
            Type::S64 => Shape::Int(Int::S64),
            Type::U64 => Shape::Int(Int::U64),
            Type::Float32 => Shape::F32,
            Type::Float64 => Shape::F64,
            Type::Char => Shape::Char,
            Type::String => Shape::String,
            Type::List(list) => Shape::list(self.component(&list.ty()), None),
            Type::FixedLengthList(list) => Shape::list(self.component(&list.ty()), Some(list.len())),
            Type::Map(map) => Shape::Map(Box::new((self.component(&map.key()), self.component(&map.value())))),
            Type::Record(record) => {
                let fields = record.fields();
                Shape::record(fields.map(|field| (field.name.to_owned(), self.component(&field.ty))))
            }
            Type::Tuple(tuple) => Shape::Tuple(tuple.types().map(|ty| self.component(&ty)).collect()),
            Type::Variant(variant) => {
                let cases = variant.cases();
                Shape::variant(cases.map(|case| (case.name.to_owned(), self.payload(case.ty))))
            }
            Type::Enum(names) => Shape::Enum(Names::new(names.names())),
            Type::Option(option) => Shape::Option(Box::new(self.component(&option.ty()))),
            Type::Result(result) => Shape::result(self.payload(result.ok()), self.payload(result.err())),
            Type::Flags(flags) => Shape::Flags(Names::new(flags.names())),
            Type::Own(_) => Shape::Refused("own"),
            Type::Borrow(_) => Shape::Refused("borrow"),
            Type::Future(_) => Shape::Refused("future"),
            Type::Stream(_) => Shape::Refused("stream"),
            Type::ErrorContext => Shape::Refused("error-context"),
        }
    }

    fn payload(&mut self, ty: Option<Type>) -> Option<Shape> {
        ty.map(|ty| self.component(&ty))
    }
}

/// The word of a type that is refused for its size.
pub(super) const TOO_LARGE: &str = "type of more than 10000 parts";

impl Shape {
    /// The shape of a type of a component.
    pub fn of(ty: &Type) -> Shape {
        Walk::default().component(ty)
    }

    pub fn list(element: Shape, length: Option<u32>) -> Shape {
        Shape::List(Box::new(List { element, length }))
    }

    pub fn record(fields: impl IntoIterator<Item = (String, Shape)>) -> Shape {
        let (names, fields): (Vec<String>, Vec<Shape>) = fields.into_iter().unzip();
        let (layout, offsets) = Layout::sequence(fields.iter().map(Shape::layout));
        Shape::Record(Box::new(Record {
            names: Names::new(names),
            fields,
            layout,
            offsets,
        }))
    }

    pub fn variant(cases: impl IntoIterator<Item = (String, Option<Shape>)>) -> Shape {
        let (names, payloads): (Vec<String>, _) = cases.into_iter().unzip();
        Shape::Variant(Box::new(Variant {
            names: Names::new(names),
            payloads,
        }))
    }

    pub fn result(ok: Option<Shape>, err: Option<Shape>) -> Shape {
        Shape::Result(Box::new(Arms { ok, err }))
    }

    /// Whether nil is a value of it.
    pub fn is_option(&self) -> bool {
        matches!(self, Shape::Option(_))
    }

    /// Whether it is `list<u8>` (or `list<u8, N>`), a string in Lua.
    pub fn is_bytes(&self) -> bool {
        matches!(self, Shape::List(list) if list.element == Shape::Int(Int::U8))
    }

    /// The name of a type inside that cannot cross.
    pub fn refused(&self) -> Option<&'static str> {
        match self {
            Shape::Refused(word) => Some(word),
            Shape::List(list) => list.element.refused(),
            Shape::Map(pair) => pair.0.refused().or_else(|| pair.1.refused()),
            Shape::Record(record) => record.fields.iter().find_map(Shape::refused),
            Shape::Tuple(members) => members.iter().find_map(Shape::refused),
            Shape::Variant(variant) => variant.payloads.iter().flatten().find_map(Shape::refused),
            Shape::Option(inner) => inner.refused(),
            Shape::Result(arms) => [&arms.ok, &arms.err].into_iter().flatten().find_map(Shape::refused),
            _ => None,
        }
    }
}

/// The type as WIT writes it. WIT has no inline records, variants, enums and flags; they are written like declarations
/// without a name.
impl fmt::Display for Shape {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Shape::Bool => f.write_str("bool"),
            Shape::Int(int) => f.write_str(int.name()),
            Shape::F32 => f.write_str("f32"),
            Shape::F64 => f.write_str("f64"),
            Shape::Char => f.write_str("char"),
            Shape::String => f.write_str("string"),
            Shape::List(list) => match list.length {
                None => write!(f, "list<{}>", list.element),
                Some(length) => write!(f, "list<{}, {length}>", list.element),
            },
            Shape::Map(pair) => write!(f, "map<{}, {}>", pair.0, pair.1),
            Shape::Record(record) => {
                f.write_str("record {")?;
                separated(f, record.names.iter().zip(&record.fields).map(Labelled))?;
                f.write_str("}")
            }
            Shape::Tuple(members) => {
                f.write_str("tuple<")?;
                separated(f, members)?;
                f.write_str(">")
            }
            Shape::Variant(variant) => {
                f.write_str("variant {")?;
                separated(f, variant.names.iter().zip(&variant.payloads).map(Payload))?;
                f.write_str("}")
            }
            Shape::Enum(names) => write!(f, "enum {{{names}}}"),
            Shape::Option(inner) => write!(f, "option<{inner}>"),
            Shape::Result(arms) => arms.fmt(f),
            Shape::Flags(names) => write!(f, "flags {{{names}}}"),
            Shape::Refused(word) => f.write_str(word),
        }
    }
}

impl fmt::Display for Arms {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (&self.ok, &self.err) {
            (None, None) => f.write_str("result"),
            (Some(ok), None) => write!(f, "result<{ok}>"),
            (None, Some(err)) => write!(f, "result<_, {err}>"),
            (Some(ok), Some(err)) => write!(f, "result<{ok}, {err}>"),
        }
    }
}

/// `name: type`.
pub(super) struct Labelled<'a>(pub (&'a str, &'a Shape));

impl fmt::Display for Labelled<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.0.0, self.0.1)
    }
}

/// `case` or `case(type)`.
struct Payload<'a>((&'a str, &'a Option<Shape>));

impl fmt::Display for Payload<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            (name, None) => f.write_str(name),
            (name, Some(payload)) => write!(f, "{name}({payload})"),
        }
    }
}

/// The items with commas between them.
pub(super) fn separated<T: fmt::Display>(
    f: &mut fmt::Formatter<'_>,
    items: impl IntoIterator<Item = T>,
) -> fmt::Result {
    for (index, item) in items.into_iter().enumerate() {
        let comma = if index == 0 { "" } else { ", " };
        write!(f, "{comma}{item}")?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_found_in_both_spellings_however_many_there_are() {
        for count in [1, FEW, FEW + 1, 100] {
            let kebab: Vec<String> = (0..count).map(|index| format!("field-{index}-x")).collect();
            let names = Names::new(kebab.iter().map(String::as_str));
            for (index, name) in kebab.iter().enumerate() {
                let snake = name.replace('-', "_");
                for (text, guess) in [(name, 0), (name, index), (&snake, 0), (&snake, count)] {
                    assert_eq!(
                        names.find_either(text.as_bytes(), guess),
                        Some(index),
                        "{text} of {count}"
                    );
                }
                assert_eq!(names.find(name.as_bytes()), Some(index));
                assert_eq!(names.find(snake.as_bytes()), None, "of cases one spelling is taken");
            }
            for other in ["", "field", "field_0-x", "field-0-xx"] {
                assert_eq!(names.find_either(other.as_bytes(), 0), None, "{other} of {count}");
            }
        }
    }
}
