//! Signatures of core modules from WIT text, the `wit` field of an entry: `answer: func() -> s32;`, one or several.
//!
//! The text is the body of an interface, so that it may also declare the types it uses. It has to fit the module: each
//! type is passed as core numbers, and these must be the module's own.

use std::fmt;

use wasmtime::{FuncType, ValType};
use wit_parser::{Function, Resolve, Type, TypeDefKind};

use super::Signature;
use super::numbers::{Number, flat};
use super::shape::{Int, Names, Shape, Walk, separated};
use crate::error::{Error, Result};

/// Stands before the text, on its first line so that the lines of errors are those of the text.
const HEAD: &str = "package entry:wit; interface wit { ";

impl Signature {
    /// The signature of `name` out of `text`, which must fit the core function's type.
    ///
    /// # Errors
    /// Invalid for text that is not WIT, does not have the function, or does not fit.
    pub fn of_wit(text: &str, name: &str, ty: &FuncType) -> Result<Signature> {
        let resolve = parse(text)?;
        let function = find(&resolve, name)?;
        let signature = convert(&resolve, name, function);
        signature
            .check_all()
            .map_err(|error| Error::invalid(format!("wit: {}", error.message())))?;
        check_fit(&signature, ty)?;
        Ok(signature)
    }
}

/// Checks WIT text without a module.
pub(super) fn parse(text: &str) -> Result<Resolve> {
    // The last semicolon may be missing. What is wrong otherwise is said about the text as it was written.
    try_parse(&format!("{HEAD}{text}\n}}"))
        .or_else(|error| try_parse(&format!("{HEAD}{text}\n;}}")).map_err(|_| error))
        .map_err(|error| Error::invalid(format!("wit: {error}")))
}

fn try_parse(source: &str) -> Result<Resolve, String> {
    let mut resolve = Resolve::new();
    match resolve.push_source("wit", source) {
        Ok(_) => Ok(resolve),
        Err(error) => Err(resolve.render_error(&error)),
    }
}

/// The function of that name. WIT has kebab-case names only, core modules often have snake_case exports.
pub(super) fn find<'a>(resolve: &'a Resolve, name: &str) -> Result<&'a Function> {
    let functions = || {
        resolve
            .interfaces
            .iter()
            .flat_map(|(_, interface)| interface.functions.values())
    };
    let kebab = name.replace('_', "-");
    functions()
        .find(|function| function.name == name || function.name == kebab)
        .ok_or_else(|| {
            let names: Vec<&str> = functions().map(|function| function.name.as_str()).collect();
            Error::invalid(format!("wit: no function {name}; it lists {}", names.join(", ")))
        })
}

pub(super) fn convert(resolve: &Resolve, name: &str, function: &Function) -> Signature {
    let params = function
        .params
        .iter()
        .map(|param| (param.name.clone(), shape(resolve, &param.ty, &mut Walk::default())));
    let result = function.result.as_ref();
    let result = result.map(|ty| shape(resolve, ty, &mut Walk::default()));
    Signature::new(name, params.collect(), result)
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
