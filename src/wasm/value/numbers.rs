//! Calls of core modules: their parameters and results are numbers.
//!
//! A core signature is a [`Signature`] like any other; its values take the ordinary way through `lower` and `lift`, and
//! here only the last step is done: flattening a value to core numbers and back, as the canonical ABI of the component
//! model does it. Types that the canonical ABI puts into linear memory, or overlays on each other, do not occur:
//! `wit` refuses them.

use wasmtime::component::Val as Wit;
use wasmtime::{FuncType, Val, ValType};

use super::Signature;
use super::shape::{Int, Names, Shape};
use crate::error::{Error, Result};
use crate::value::Packed;

/// A core number type.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Number {
    I32,
    I64,
    F32,
    F64,
}

impl Signature {
    /// A core function's own signature: i32 is `s32`, i64 `s64`; several results are a tuple.
    pub fn of_core(name: &str, ty: &FuncType) -> Signature {
        let params = ty
            .params()
            .enumerate()
            .map(|(index, ty)| (format!("arg{}", index + 1), core_shape(&ty)));
        let mut results: Vec<Shape> = ty.results().map(|ty| core_shape(&ty)).collect();
        let result = match results.len() {
            0 | 1 => results.pop(),
            _ => Some(Shape::Tuple(results)),
        };
        Signature::new(name, params.collect(), result)
    }

    /// The core numbers of a call; see [`lower`](Signature::lower).
    ///
    /// # Errors
    /// As [`lower`](Signature::lower).
    pub fn lower_core(&self, args: &Packed, max_transfer: u64) -> Result<Vec<Val>> {
        let values = self.lower(args, max_transfer)?;
        let mut numbers = Vec::with_capacity(values.len());
        for ((_, shape), value) in self.params.iter().zip(&values) {
            flatten(shape, value, &mut numbers)?;
        }
        Ok(numbers)
    }

    /// The result of a core call; see [`lift`](Signature::lift).
    ///
    /// # Errors
    /// As [`lift`](Signature::lift), and Internal for a number that is no value of its type.
    pub fn lift_core(&self, results: &[Val]) -> Result<Packed> {
        self.lift(&self.values(results)?)
    }

    /// The outcome of a core process; see [`outcome`](Signature::outcome).
    ///
    /// # Errors
    /// As [`outcome`](Signature::outcome), and Internal for a number that is no value of its type.
    pub fn outcome_core(&self, results: &[Val]) -> Result<Packed> {
        self.outcome(&self.values(results)?)
    }

    fn values(&self, results: &[Val]) -> Result<Vec<Wit>> {
        let mut results = results.iter();
        self.result.iter().map(|shape| gather(shape, &mut results)).collect()
    }
}

fn core_shape(ty: &ValType) -> Shape {
    match ty {
        ValType::I32 => Shape::Int(Int::S32),
        ValType::I64 => Shape::Int(Int::S64),
        ValType::F32 => Shape::F32,
        ValType::F64 => Shape::F64,
        ValType::V128 => Shape::Refused("v128"),
        ValType::Ref(_) => Shape::Refused("reference"),
    }
}

/// The core numbers that a type is passed as.
///
/// # Errors
/// The type that is not passed as numbers alone.
pub(super) fn flat(shape: &Shape, out: &mut Vec<Number>) -> Result<(), Shape> {
    match shape {
        Shape::Int(Int::S64 | Int::U64) => out.push(Number::I64),
        Shape::Bool | Shape::Int(_) | Shape::Char | Shape::Enum(_) => out.push(Number::I32),
        Shape::F32 => out.push(Number::F32),
        Shape::F64 => out.push(Number::F64),
        Shape::Flags(names) => out.extend((0..names.len().div_ceil(32)).map(|_| Number::I32)),
        Shape::Result(arms) if arms.ok.is_none() && arms.err.is_none() => out.push(Number::I32),
        Shape::Tuple(members) => return members.iter().try_for_each(|member| flat(member, out)),
        Shape::Record(record) => return record.fields.iter().try_for_each(|field| flat(field, out)),
        other => return Err(other.clone()),
    }
    Ok(())
}

fn flatten(shape: &Shape, value: &Wit, out: &mut Vec<Val>) -> Result<()> {
    out.push(match (shape, value) {
        (_, Wit::Bool(flag)) => Val::I32(i32::from(*flag)),
        (_, Wit::S8(number)) => Val::I32(i32::from(*number)),
        (_, Wit::U8(number)) => Val::I32(i32::from(*number)),
        (_, Wit::S16(number)) => Val::I32(i32::from(*number)),
        (_, Wit::U16(number)) => Val::I32(i32::from(*number)),
        (_, Wit::S32(number)) => Val::I32(*number),
        (_, Wit::U32(number)) => Val::I32(*number as i32),
        (_, Wit::S64(number)) => Val::I64(*number),
        (_, Wit::U64(number)) => Val::I64(*number as i64),
        (_, Wit::Float32(number)) => Val::F32(number.to_bits()),
        (_, Wit::Float64(number)) => Val::F64(number.to_bits()),
        (_, Wit::Char(char)) => Val::I32(u32::from(*char) as i32),
        (Shape::Enum(names), Wit::Enum(name)) => Val::I32(place(names, name) as i32),
        (_, Wit::Result(result)) => Val::I32(i32::from(result.is_err())),
        (Shape::Flags(names), Wit::Flags(set)) => {
            out.extend(words(names, set).into_iter().map(|word| Val::I32(word as i32)));
            return Ok(());
        }
        (Shape::Tuple(members), Wit::Tuple(values)) => {
            let mut pairs = members.iter().zip(values);
            return pairs.try_for_each(|(member, value)| flatten(member, value, out));
        }
        (Shape::Record(record), Wit::Record(fields)) => {
            let mut pairs = record.fields.iter().zip(fields);
            return pairs.try_for_each(|(field, (_, value))| flatten(field, value, out));
        }
        _ => return Err(no_number(shape)),
    });
    Ok(())
}

fn place(names: &Names, name: &str) -> usize {
    names.find(name.as_bytes()).unwrap_or_default()
}

/// Flags as 32-bit words, the first name in the lowest bit.
fn words(names: &Names, set: &[String]) -> Vec<u32> {
    let mut words = vec![0; names.len().div_ceil(32)];
    for name in set {
        let place = place(names, name);
        words[place / 32] |= 1 << (place % 32);
    }
    words
}

/// Takes as many numbers as the type is made of. Narrow integers come in wider numbers, whose upper bits do not count.
fn gather<'a>(shape: &Shape, numbers: &mut impl Iterator<Item = &'a Val>) -> Result<Wit> {
    match shape {
        Shape::Tuple(members) => {
            let members = members.iter().map(|member| gather(member, numbers));
            members.collect::<Result<_>>().map(Wit::Tuple)
        }
        Shape::Record(record) => {
            let names = record.names.iter().map(str::to_owned);
            let fields = names.zip(&record.fields);
            let fields = fields.map(|(name, field)| Ok((name, gather(field, numbers)?)));
            fields.collect::<Result<_>>().map(Wit::Record)
        }
        Shape::Flags(names) => gather_flags(names, numbers),
        shape => numbers
            .next()
            .and_then(|number| scalar(shape, number))
            .ok_or_else(|| no_number(shape)),
    }
}

fn gather_flags<'a>(names: &Names, numbers: &mut impl Iterator<Item = &'a Val>) -> Result<Wit> {
    let words: Vec<u32> = numbers
        .take(names.len().div_ceil(32))
        .map(|number| number.i32().unwrap_or_default() as u32)
        .collect();
    let is_set = |place: usize| words.get(place / 32).is_some_and(|word| word >> (place % 32) & 1 == 1);
    let set = names.iter().enumerate().filter(|(place, _)| is_set(*place));
    Ok(Wit::Flags(set.map(|(_, name)| name.to_owned()).collect()))
}

fn scalar(shape: &Shape, number: &Val) -> Option<Wit> {
    Some(match (shape, *number) {
        (Shape::Bool, Val::I32(number)) => Wit::Bool(number != 0),
        (Shape::Int(Int::S8), Val::I32(number)) => Wit::S8(number as i8),
        (Shape::Int(Int::U8), Val::I32(number)) => Wit::U8(number as u8),
        (Shape::Int(Int::S16), Val::I32(number)) => Wit::S16(number as i16),
        (Shape::Int(Int::U16), Val::I32(number)) => Wit::U16(number as u16),
        (Shape::Int(Int::S32), Val::I32(number)) => Wit::S32(number),
        (Shape::Int(Int::U32), Val::I32(number)) => Wit::U32(number as u32),
        (Shape::Int(Int::S64), Val::I64(number)) => Wit::S64(number),
        (Shape::Int(Int::U64), Val::I64(number)) => Wit::U64(number as u64),
        (Shape::F32, Val::F32(bits)) => Wit::Float32(f32::from_bits(bits)),
        (Shape::F64, Val::F64(bits)) => Wit::Float64(f64::from_bits(bits)),
        (Shape::Char, Val::I32(number)) => Wit::Char(char::from_u32(number as u32)?),
        (Shape::Enum(names), Val::I32(number)) => {
            let name = names.iter().nth(usize::try_from(number).ok()?)?;
            Wit::Enum(name.to_owned())
        }
        (Shape::Result(_), Val::I32(0)) => Wit::Result(Ok(None)),
        (Shape::Result(_), Val::I32(1)) => Wit::Result(Err(None)),
        _ => return None,
    })
}

fn no_number(shape: &Shape) -> Error {
    Error::internal(format!("the guest's number is no {shape}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::value::Value;

    /// Calls `name` of a module with the signature that `wit` gives it, or its own.
    fn call(wasm: impl AsRef<[u8]>, name: &str, wit: Option<&str>, args: &[Value]) -> Result<Value> {
        let engine = wasmtime::Engine::default();
        let module = wasmtime::Module::new(&engine, wasm).unwrap();
        let mut store = wasmtime::Store::new(&engine, ());
        let instance = wasmtime::Instance::new(&mut store, &module, &[]).unwrap();
        let func = instance.get_func(&mut store, name).expect(name);
        let ty = func.ty(&store);
        let signature = match wit {
            Some(text) => Signature::of_wit(text, name, &ty)?,
            None => Signature::of_core(name, &ty),
        };
        let params = signature.lower_core(&Packed::from_values(args), 1 << 20)?;
        let mut results = vec![Val::I32(0); ty.results().len()];
        func.call(&mut store, &params, &mut results).unwrap();
        signature.lift_core(&results)?.to_value()
    }

    fn fixture(name: &str, args: &[Value]) -> Result<Value> {
        let path = format!("{}/fixtures/wasm/core.wasm", env!("CARGO_MANIFEST_DIR"));
        call(std::fs::read(path).unwrap(), name, None, args)
    }

    #[test]
    fn a_module_without_wit_has_its_own_types() {
        let (int, float) = (Value::Int, Value::Float);
        let back = |name: &str, args: &[Value]| format!("{:?}", fixture(name, args).unwrap());
        assert_eq!(back("answer", &[]), "42");
        assert_eq!(back("add", &[int(40), int(2)]), "42");
        assert_eq!(back("add64", &[int(i64::MAX), float(0.0)]), i64::MAX.to_string());
        assert_eq!(back("addf", &[int(1), float(0.5)]), "1.5");
        assert_eq!(back("addd", &[int(1), float(0.5)]), "1.5");
        assert_eq!(back("pair", &[]), "{1: 7, 2: 8589934592}");
        assert_eq!(back("nothing", &[]), "nil");
        let error = fixture("add", &[int(1)]).unwrap_err();
        assert_eq!(
            error.message(),
            "add: expected 2 arguments (arg1: s32, arg2: s32), got 1"
        );
        let error = fixture("vector", &[]).unwrap_err();
        assert_eq!(error.message(), "v128 values cannot cross into Lua");
    }

    /// Every type that is one number, through a module that gives back its argument.
    #[test]
    fn wit_types_are_flattened_and_gathered() {
        let wide: Vec<String> = (0..40).map(|flag| format!("flag-{flag}")).collect();
        let flags = wide.join(", ");
        let names = Value::array(["flag-0", "flag-31", "flag-39"].map(Value::from));
        let table = [
            ("", "bool", "i32", Value::Bool(true), "true"),
            ("", "s8", "i32", Value::Int(-128), "-128"),
            ("", "u8", "i32", Value::Int(255), "255"),
            ("", "s16", "i32", Value::Int(-5), "-5"),
            ("", "u16", "i32", Value::Int(65535), "65535"),
            ("", "s32", "i32", Value::Int(-5), "-5"),
            ("", "u32", "i32", Value::Int(4_294_967_295), "4294967295"),
            ("", "s64", "i64", Value::Int(i64::MIN), "-9223372036854775808"),
            ("", "u64", "i64", Value::Int(-1), "-1"),
            ("", "f32", "f32", Value::Float(0.5), "0.5"),
            ("", "f64", "f64", Value::Float(0.1), "0.1"),
            ("", "char", "i32", Value::from("λ"), "\"λ\""),
            (
                "",
                "result",
                "i32",
                Value::map([("err", Value::Bool(true))]),
                "{\"err\": true}",
            ),
            ("enum e { a, b }", "e", "i32", Value::from("b"), "\"b\""),
            (
                "",
                "tuple<u8, s8>",
                "i32 i32",
                Value::array([Value::Int(200), Value::Int(-1)]),
                "{1: 200, 2: -1}",
            ),
            (
                "record r { a-b: bool }",
                "r",
                "i32",
                Value::map([("a_b", Value::Bool(true))]),
                "{\"a-b\": true}",
            ),
            (
                &format!("flags e {{ {flags} }}"),
                "e",
                "i32 i32",
                names,
                "{\"flag-0\": true, \"flag-31\": true, \"flag-39\": true}",
            ),
        ];
        for (types, ty, core, given, expected) in table {
            let gets: String = (0..core.split(' ').count())
                .map(|index| format!("local.get {index} "))
                .collect();
            let wat = format!("(module (func (export \"f\") (param {core}) (result {core}) {gets}))");
            let text = format!("{types} f: func(v: {ty}) -> {ty};");
            let back = call(wat::parse_str(wat).unwrap(), "f", Some(&text), &[given]);
            assert_eq!(format!("{:?}", back.unwrap()), expected, "{ty}");
        }
    }

    #[test]
    fn numbers_outside_of_their_type_are_errors() {
        for (types, ty) in [("", "char"), ("enum e { a, b }", "e"), ("", "result")] {
            let wat = "(module (func (export \"f\") (result i32) (i32.const -1)))";
            let text = format!("{types} f: func() -> {ty};");
            let error = call(wat::parse_str(wat).unwrap(), "f", Some(&text), &[]).unwrap_err();
            assert_eq!(error.kind(), crate::error::Kind::Internal, "{error}");
        }
    }
}
