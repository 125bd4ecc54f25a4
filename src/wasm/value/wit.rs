//! Signatures of core modules from WIT text, the `wit` field of an entry: `answer: func() -> s32;`, one or several.
//!
//! The text is the body of an interface, so that it may also declare the types it uses. It has to fit the module: each
//! type is passed as core numbers, and these must be the module's own.

use std::fmt;

use wasmtime::{FuncType, ValType};
use wit_parser::{Function, Resolve, Type, TypeDefKind};

use super::Signature;
use super::numbers::{Number, flat};
use super::shape::{Int, Names, Shape, separated};
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
        .map(|param| (param.name.clone(), shape(resolve, &param.ty)));
    let result = function.result.as_ref().map(|ty| shape(resolve, ty));
    Signature::new(name, params.collect(), result)
}

fn shape(resolve: &Resolve, ty: &Type) -> Shape {
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
        Type::Id(id) => defined(resolve, &resolve.types[*id].kind),
    }
}

fn defined(resolve: &Resolve, kind: &TypeDefKind) -> Shape {
    let of = |ty: &Type| shape(resolve, ty);
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
            Shape::variant(cases.map(|case| (case.name.clone(), case.ty.as_ref().map(of))))
        }
        TypeDefKind::Tuple(tuple) => Shape::Tuple(tuple.types.iter().map(of).collect()),
        TypeDefKind::Option(inner) => Shape::Option(Box::new(of(inner))),
        TypeDefKind::Result(arms) => Shape::result(arms.ok.as_ref().map(of), arms.err.as_ref().map(of)),
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
