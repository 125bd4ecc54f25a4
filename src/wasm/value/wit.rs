//! Signatures of core modules from WIT text, the `wit` field of an entry: `answer: func() -> s32;`, one or several.
//!
//! The text is the body of an interface, so that it may also declare the types it uses. It has to fit the module: each
//! type is passed as core numbers, and these must be the module's own.
//!
//! WIT has kebab-case names only, core modules mostly others. Names of functions and parameters that are no WIT are
//! therefore replaced before the text is parsed; nobody outside sees the names that stand for them.

use std::fmt;
use std::ops::Range;

use wasmtime::{FuncType, ValType};
use wit_parser::{Function, ParseError, Resolve, ResolveError, Type, TypeDefKind, validate_id};

use super::Signature;
use super::numbers::{Number, flat};
use super::shape::{Int, Names, Shape, Walk, separated};
use crate::error::{Error, Result};

/// Stands before the text.
const HEAD: &str = "package entry:wit; interface wit { ";

impl Signature {
    /// The signature of `name` out of `text`, which must fit the core function's type.
    ///
    /// # Errors
    /// Invalid for text that is not WIT, does not have the function, or does not fit.
    pub fn of_wit(text: &str, name: &str, ty: &FuncType) -> Result<Signature> {
        let wit = Wit::parse(text)?;
        let function = wit.find(name).ok_or_else(|| {
            let names: Vec<&str> = wit.functions().map(|function| wit.written(&function.name)).collect();
            Error::invalid(format!("wit: no function {name}; it lists {}", names.join(", ")))
        })?;
        wit.fitting(name, function, ty)
    }

    /// Checks that what `text` says of other functions fits them too: those of `exports` that it lists.
    ///
    /// # Errors
    /// As [`of_wit`](Signature::of_wit).
    pub fn check_wit<'a>(text: &str, exports: impl IntoIterator<Item = (&'a str, &'a FuncType)>) -> Result<()> {
        let wit = Wit::parse(text)?;
        for (name, ty) in exports {
            if let Some(function) = wit.find(name) {
                wit.fitting(name, function, ty)?;
            }
        }
        Ok(())
    }
}

/// A parsed text.
pub(super) struct Wit {
    resolve: Resolve,
    names: Vec<Renamed>,
}

/// A name that is no WIT, and what stands for it.
struct Renamed {
    written: String,
    parsed: String,
}

impl Wit {
    /// Parses a text without a module.
    pub(super) fn parse(text: &str) -> Result<Wit> {
        let source = Source::of(text);
        // The last semicolon may be missing. What is wrong otherwise is said about the text as it was written.
        let resolve = try_parse(&format!("{HEAD}{}\n}}", source.text))
            .or_else(|error| try_parse(&format!("{HEAD}{}\n;}}", source.text)).map_err(|_| error))
            .map_err(|fault| Error::invalid(format!("wit: {}", source.render(text, fault))))?;
        let names = source.names;
        Ok(Wit { resolve, names })
    }

    fn functions(&self) -> impl Iterator<Item = &Function> {
        let interfaces = self.resolve.interfaces.iter();
        interfaces.flat_map(|(_, interface)| interface.functions.values())
    }

    /// The name as it stands in the text.
    fn written<'a>(&'a self, parsed: &'a str) -> &'a str {
        let found = self.names.iter().find(|name| name.parsed == parsed);
        found.map_or(parsed, |name| &name.written)
    }

    /// The function of that name, or of its kebab-case form.
    pub(super) fn find(&self, name: &str) -> Option<&Function> {
        let find = |name: &str| self.functions().find(|function| self.written(&function.name) == name);
        find(name).or_else(|| find(&name.replace('_', "-")))
    }

    fn fitting(&self, name: &str, function: &Function, ty: &FuncType) -> Result<Signature> {
        let signature = self.convert(name, function);
        signature
            .check_all()
            .map_err(|error| Error::invalid(format!("wit: {}", error.message())))?;
        check_fit(&signature, ty)?;
        Ok(signature)
    }

    pub(super) fn convert(&self, name: &str, function: &Function) -> Signature {
        let shape = |ty: &Type| shape(&self.resolve, ty, &mut Walk::default());
        let params = function.params.iter();
        let params = params.map(|param| (self.written(&param.name).to_owned(), shape(&param.ty)));
        Signature::new(name, params.collect(), function.result.as_ref().map(shape))
    }
}

/// What is wrong, and where in the parsed source if that is known.
struct Fault {
    message: String,
    at: Option<usize>,
}

fn try_parse(source: &str) -> Result<Resolve, Fault> {
    let mut resolve = Resolve::new();
    let Err(error) = resolve.push_source("wit", source) else {
        return Ok(resolve);
    };
    let parsing = error.downcast_ref::<ParseError>().map(|error| error.kind().span());
    let span = parsing.or_else(|| error.downcast_ref::<ResolveError>().map(|error| error.kind().span()));
    let start = span.filter(|span| span.is_known()).map(|span| span.start() as usize);
    Err(Fault {
        message: error.to_string(),
        at: start,
    })
}

/// The text with the names that WIT has, and the way back.
struct Source {
    text: String,
    names: Vec<Renamed>,
    /// Where the pieces that were copied begin: in `text`, and in the text as it was written.
    pieces: Vec<(usize, usize)>,
}

impl Source {
    fn of(written: &str) -> Source {
        let mut source = Source {
            text: String::with_capacity(written.len()),
            names: Vec::new(),
            pieces: Vec::new(),
        };
        let mut done = 0;
        for name in names_before_colons(written) {
            if validate_id(&written[name.clone()]).is_ok() {
                continue;
            }
            source.copy(written, done..name.start);
            let parsed = source.name_for(written, &written[name.clone()]);
            source.pieces.push((source.text.len(), name.start));
            source.text += &parsed;
            done = name.end;
        }
        source.copy(written, done..written.len());
        source
    }

    fn copy(&mut self, written: &str, piece: Range<usize>) {
        self.pieces.push((self.text.len(), piece.start));
        self.text += &written[piece];
    }

    /// The same for the same name, and nothing that the text itself has.
    fn name_for(&mut self, text: &str, written: &str) -> String {
        if let Some(known) = self.names.iter().find(|name| name.written == written) {
            return known.parsed.clone();
        }
        let free = |name: &String| !text.contains(name.as_str());
        let numbered = (self.names.len()..).map(|number| format!("name-n{number}"));
        let is_new = |name: &String| self.names.iter().all(|known| known.parsed != *name);
        let parsed = numbered.filter(is_new).find(free).expect("a text is finite");
        self.names.push(Renamed {
            written: written.to_owned(),
            parsed: parsed.clone(),
        });
        parsed
    }

    /// `expected a type, found ';'`, then the place and the line, as they were written.
    fn render(&self, written: &str, fault: Fault) -> String {
        let mut message = fault.message;
        for name in self.names.iter().rev() {
            message = message.replace(&name.parsed, &name.written);
        }
        let Some(at) = fault.at.and_then(|at| at.checked_sub(HEAD.len())) else {
            return message;
        };
        let place = self.place(written, at);
        let (before, after) = written.split_at(place);
        let line = before.matches('\n').count() + 1;
        let start = before.rfind('\n').map_or(0, |end| end + 1);
        let column = written[start..place].chars().count() + 1;
        let end = after.find('\n').map_or(written.len(), |end| place + end);
        let text = written[start..end].trim_end();
        let gutter = line.to_string();
        let (margin, indent) = (" ".repeat(gutter.len()), " ".repeat(column - 1));
        format!("{message}\n{margin}--> wit:{line}:{column}\n{margin} |\n{gutter} | {text}\n{margin} | {indent}^")
    }

    /// The place in the text as it was written of one in ours; its end for one beyond.
    fn place(&self, written: &str, at: usize) -> usize {
        let next = self.pieces.partition_point(|(ours, _)| *ours <= at);
        let (ours, start) = next.checked_sub(1).map_or((0, 0), |index| self.pieces[index]);
        let end = self.pieces.get(next).map_or(written.len(), |(_, start)| *start);
        let place = (start + (at - ours)).min(end);
        (0..=place)
            .rev()
            .find(|place| written.is_char_boundary(*place))
            .unwrap_or_default()
    }
}

/// Names that stand before a colon outside of braces: those of functions and of parameters.
fn names_before_colons(text: &str) -> Vec<Range<usize>> {
    let mut found = Vec::new();
    let mut last: Option<Range<usize>> = None;
    let (mut at, mut depth) = (0, 0_usize);
    while let Some(c) = text[at..].chars().next() {
        let rest = &text[at..];
        let length = comment(rest).unwrap_or_else(|| name(rest).max(c.len_utf8()));
        match c {
            _ if comment(rest).is_some() || c.is_whitespace() => {}
            ':' if depth == 0 => found.extend(last.take()),
            _ => {
                depth = match c {
                    '{' => depth + 1,
                    '}' => depth.saturating_sub(1),
                    _ => depth,
                };
                last = (name(rest) > 0).then(|| at..at + length);
            }
        }
        at += length;
    }
    found
}

/// The length of the name that the text begins with.
fn name(text: &str) -> usize {
    let end = text.find(|c: char| !c.is_alphanumeric() && !matches!(c, '_' | '-' | '$'));
    end.unwrap_or(text.len())
}

/// The length of the comment that the text begins with.
fn comment(text: &str) -> Option<usize> {
    if text.starts_with("//") {
        return Some(text.find('\n').unwrap_or(text.len()));
    }
    text.strip_prefix("/*")?;
    let (mut depth, mut at) = (1, 2);
    while depth > 0 {
        let found = text[at..].find(['/', '*']).map(|found| at + found);
        let Some(found) = found else { return Some(text.len()) };
        (depth, at) = match &text[found..] {
            rest if rest.starts_with("/*") => (depth + 1, found + 2),
            rest if rest.starts_with("*/") => (depth - 1, found + 2),
            _ => (depth, found + 1),
        };
    }
    Some(at)
}

fn shape(resolve: &Resolve, ty: &Type, walk: &mut Walk) -> Shape {
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
        Type::F32 => Shape::F32,
        Type::F64 => Shape::F64,
        Type::Char => Shape::Char,
        Type::String => Shape::String,
        Type::ErrorContext => Shape::Refused("error-context"),
        Type::Id(id) => walk.part(|walk| defined(resolve, &resolve.types[*id].kind, walk)),
    }
}

fn defined(resolve: &Resolve, kind: &TypeDefKind, walk: &mut Walk) -> Shape {
    let mut of = |ty: &Type| shape(resolve, ty, walk);
    match kind {
        TypeDefKind::Type(ty) => of(ty),
        TypeDefKind::Record(record) => {
            let fields = record.fields.iter();
            Shape::record(fields.map(|field| (field.name.clone(), of(&field.ty))))
        }
        TypeDefKind::Flags(flags) => Shape::Flags(Names::new(flags.flags.iter().map(|flag| flag.name.as_str()))),
        TypeDefKind::Enum(cases) => Shape::Enum(Names::new(cases.cases.iter().map(|case| case.name.as_str()))),
        TypeDefKind::Variant(variant) => {
            let cases = variant.cases.iter();
            Shape::variant(cases.map(|case| (case.name.clone(), case.ty.as_ref().map(&mut of))))
        }
        TypeDefKind::Tuple(tuple) => Shape::Tuple(tuple.types.iter().map(of).collect()),
        TypeDefKind::Option(inner) => Shape::Option(Box::new(of(inner))),
        TypeDefKind::Result(arms) => Shape::result(arms.ok.as_ref().map(&mut of), arms.err.as_ref().map(&mut of)),
        TypeDefKind::List(element) => Shape::list(of(element), None),
        TypeDefKind::FixedLengthList(element, length) => Shape::list(of(element), Some(*length)),
        TypeDefKind::Map(key, value) => Shape::Map(Box::new((of(key), of(value)))),
        TypeDefKind::Handle(_) | TypeDefKind::Resource => Shape::Refused("resource"),
        TypeDefKind::Future(_) => Shape::Refused("future"),
        TypeDefKind::Stream(_) => Shape::Refused("stream"),
        TypeDefKind::Unknown => Shape::Refused("unknown"),
    }
}

fn check_fit(signature: &Signature, ty: &FuncType) -> Result<()> {
    let params = numbers(signature, signature.params.iter().map(|(_, shape)| shape))?;
    let results = numbers(signature, &signature.result)?;
    if same(&params, ty.params()) && same(&results, ty.results()) {
        return Ok(());
    }
    let (own_params, own_results): (Vec<_>, Vec<_>) = (ty.params().collect(), ty.results().collect());
    Err(Error::invalid(format!(
        "wit does not fit the module: {signature} is {}, the module has {}",
        Arrow(&params, &results),
        Arrow(&own_params, &own_results)
    )))
}

/// What the types are passed as.
fn numbers<'a>(signature: &Signature, shapes: impl IntoIterator<Item = &'a Shape>) -> Result<Vec<Number>> {
    let mut numbers = Vec::new();
    for shape in shapes {
        flat(shape, &mut numbers).map_err(|shape| no_numbers(signature, &shape))?;
    }
    Ok(numbers)
}

fn same(numbers: &[Number], types: impl ExactSizeIterator<Item = ValType>) -> bool {
    numbers.len() == types.len() && numbers.iter().zip(types).all(|(number, ty)| number.is(&ty))
}

fn no_numbers(signature: &Signature, shape: &Shape) -> Error {
    Error::invalid(format!(
        "wit does not fit the module: {signature}: a core module takes and returns numbers, {shape} needs a component"
    ))
}

impl Number {
    fn is(self, ty: &ValType) -> bool {
        match self {
            Number::I32 => ty.is_i32(),
            Number::I64 => ty.is_i64(),
            Number::F32 => ty.is_f32(),
            Number::F64 => ty.is_f64(),
        }
    }
}

impl fmt::Display for Number {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Number::I32 => "i32",
            Number::I64 => "i64",
            Number::F32 => "f32",
            Number::F64 => "f64",
        })
    }
}

/// `(i32, i32) -> (i32)`, as core modules write their types.
struct Arrow<'a, T>(&'a [T], &'a [T]);

impl<T: fmt::Display> fmt::Display for Arrow<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("(")?;
        separated(f, self.0)?;
        f.write_str(") -> (")?;
        separated(f, self.1)?;
        f.write_str(")")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn signature(text: &str, name: &str, wat: &str) -> Result<Signature> {
        Signature::of_wit(text, name, &core_type(wat))
    }

    /// The type of the one function that the module exports.
    fn core_type(func: &str) -> FuncType {
        let engine = wasmtime::Engine::default();
        let wat = format!("(module (func (export \"f\") {func} unreachable))");
        let module = wasmtime::Module::new(&engine, wat::parse_str(wat).unwrap()).unwrap();
        let export = module.exports().next().unwrap().ty();
        export.unwrap_func().clone()
    }

    #[test]
    fn texts_that_fit_are_signatures() {
        let two = "(param i32 i32) (result i32)";
        let table = [
            (
                "answer: func() -> s32;",
                "answer",
                "(result i32)",
                "answer: func() -> s32",
            ),
            (
                "answer: func() -> s32",
                "answer",
                "(result i32)",
                "answer: func() -> s32",
            ),
            (
                "a: func(); add: func(a: u8, b: char) -> bool;",
                "add",
                two,
                "add: func(a: u8, b: char) -> bool",
            ),
            (
                "// sums\n add-up: func(a: s32, b: s32) -> s32; // done",
                "add_up",
                two,
                "add_up: func(a: s32, b: s32) -> s32",
            ),
            (
                "f: func(a: u64, b: f32, c: f64);",
                "f",
                "(param i64 f32 f64)",
                "f: func(a: u64, b: f32, c: f64)",
            ),
            (
                "f: func() -> tuple<s32, s64>;",
                "f",
                "(result i32 i64)",
                "f: func() -> tuple<s32, s64>",
            ),
            (
                "enum e { a, b } f: func(e: e) -> result;",
                "f",
                "(param i32) (result i32)",
                "f: func(e: enum {a, b}) -> result",
            ),
            (
                "record p { x: f32, y: f32 } f: func(p: p);",
                "f",
                "(param f32 f32)",
                "f: func(p: record {x: f32, y: f32})",
            ),
        ];
        for (text, name, core, expected) in table {
            let signature = signature(text, name, core).unwrap_or_else(|error| panic!("{text}: {error}"));
            assert_eq!(signature.to_string(), expected);
        }
    }

    #[test]
    fn names_need_not_be_wit() {
        let two = "(param i32 i32) (result i32)";
        for (text, name) in [
            ("add_two: func(a: s32, b: s32) -> s32;", "add_two"),
            ("addTwo: func(first_one: s32, B2c: s32) -> s32", "addTwo"),
            (
                "/* a_b: /* */ c_d: */ a: func(); _add /* it */ : func(a: s32, b: s32) -> s32;",
                "_add",
            ),
            (
                "record r { a: s32, b: s32 } $add: func(r: r) -> s32; name-n0: func();",
                "$add",
            ),
            ("add_two: func(); add-two: func(a: s32, b: s32) -> s32;", "add-two"),
            ("ADD: func(a: s32, b: s32) -> s32; a__b: func();", "ADD"),
        ] {
            let signature = signature(text, name, two).unwrap_or_else(|error| panic!("{text}: {error}"));
            assert_eq!(signature.name(), name);
        }
        let found = signature("addTwo: func(first_one: s32, b: s32) -> s32", "addTwo", two).unwrap();
        assert_eq!(found.to_string(), "addTwo: func(first_one: s32, b: s32) -> s32");
        let error = signature("add_one: func(); subTwo: func();", "f", "").unwrap_err();
        assert_eq!(error.to_string(), "wit: no function f; it lists add_one, subTwo");
        let error = signature("a_b: func(); a_b: func();", "a_b", "").unwrap_err();
        assert!(error.to_string().contains("`a_b`"), "{error}");
    }

    #[test]
    fn errors_have_the_place_in_the_text_as_it_was_written() {
        for (text, place) in [
            ("f: fun();", "--> wit:1:4\n  |\n1 | f: fun();\n  |    ^"),
            ("add_two: func();\n  a_b: func(é: s23);", "--> wit:2:16\n"),
            ("a_long_name: fun();", "--> wit:1:14\n"),
            ("f: func(", "--> wit:"),
        ] {
            let error = signature(text, "f", "").unwrap_err();
            assert!(error.message().contains(place), "{text}: {error}");
        }
    }

    #[test]
    fn every_function_of_a_text_must_fit_the_export_of_its_name() {
        let ty = |func: &str| core_type(func);
        let (none, one) = (ty(""), ty("(result i32)"));
        let check = |text: &str| Signature::check_wit(text, [("f", &none), ("get_one", &one)]);
        check("f: func(); get_one: func() -> s32; elsewhere: func(a: string);").unwrap();
        check("f: func(); get-one: func() -> u8;").unwrap();
        let error = check("f: func(); get_one: func() -> s64;").unwrap_err();
        assert_eq!(
            error.to_string(),
            "wit does not fit the module: get_one: func() -> s64 is () -> (i64), the module has () -> (i32)"
        );
    }

    #[test]
    fn texts_that_do_not_fit_say_what_they_are_and_what_the_module_has() {
        let error = signature("f: func(a: s64) -> s32;", "f", "(param i32) (result i32)").unwrap_err();
        assert_eq!(
            error.to_string(),
            "wit does not fit the module: f: func(a: s64) -> s32 is (i64) -> (i32), the module has (i32) -> (i32)"
        );
        let error = signature("f: func();", "f", "(result i32)").unwrap_err();
        assert_eq!(
            error.to_string(),
            "wit does not fit the module: f: func() is () -> (), the module has () -> (i32)"
        );
        let error = signature("f: func(a: string);", "f", "(param i32 i32)").unwrap_err();
        assert_eq!(
            error.to_string(),
            "wit does not fit the module: f: func(a: string): a core module takes and returns numbers, string needs a component"
        );
    }

    #[test]
    fn texts_that_are_wrong_are_errors() {
        let error = signature("g: func(); h: func();", "f", "").unwrap_err();
        assert_eq!(error.to_string(), "wit: no function f; it lists g, h");
        let error = signature("g: func();\nf: fun();", "f", "").unwrap_err();
        assert!(error.to_string().starts_with("wit: "), "{error}");
        assert!(signature("", "f", "").is_err());
        let doubling: String = (1..40)
            .map(|n| format!("type t{n} = tuple<t{0}, t{0}>; ", n - 1))
            .collect();
        let error = signature(&format!("type t0 = u8; {doubling} f: func(a: t39);"), "f", "").unwrap_err();
        assert_eq!(
            error.to_string(),
            "wit: a type of more than 10000 parts cannot cross into Lua"
        );
        let chain: String = (1..5000).map(|n| format!("type t{n} = tuple<t{}>; ", n - 1)).collect();
        assert!(signature(&format!("type t0 = u8; {chain} f: func(a: t4999);"), "f", "").is_err());
        let deep = format!("f: func(a: {}u8{});", "list<".repeat(100_000), ">".repeat(100_000));
        let error = signature(&deep, "f", "").unwrap_err();
        assert_eq!(error.kind(), crate::error::Kind::Invalid);
    }
}
