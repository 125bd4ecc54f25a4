//! Command-line words as arguments of a wasm function, and the usage line for when they do not fit.
//!
//! Numbers, booleans, strings, chars and enum cases are written as they stand, every other type as JSON in the mapping
//! to Lua. A word is turned into plain data here and then goes through the same door as any argument: what comes out has
//! been lowered once, so that a wrong word is reported before anything starts.

use serde_json::Value as Json;

use super::Signature;
use super::shape::{Int, Shape};
use crate::error::{Error, Result};
use crate::value::{Packed, Value};

impl Signature {
    /// The arguments that the words stand for.
    ///
    /// # Errors
    /// Invalid for too few, too many and unparsable words, LimitExceeded as in [`lower`](Signature::lower).
    pub fn parse_words(&self, words: &[String], max_transfer: u64) -> Result<Packed> {
        let shapes = self.params.iter().map(|(_, shape)| shape);
        let mut values = Vec::with_capacity(words.len());
        for (index, (word, shape)) in words.iter().zip(shapes).enumerate() {
            let value = parse(word, shape);
            values.push(value.map_err(|text| Error::invalid(format!("argument {}: {text}", index + 1)))?);
        }
        // Words beyond the parameters: `lower` counts and refuses.
        values.extend(words.iter().skip(self.params.len()).map(Value::str));
        let args = Packed::from_values(&values);
        self.lower(&args, max_transfer)?;
        Ok(args)
    }

    /// `usage: wippy run add <a: s32> <b: s32>`; parameters that may be left out stand in brackets.
    pub fn usage(&self, command: &str) -> String {
        let required = self.required();
        let mut line = format!("usage: wippy run {command}");
        for (index, (name, shape)) in self.params.iter().enumerate() {
            line += &if index < required {
                format!(" <{name}: {shape}>")
            } else {
                format!(" [{name}: {shape}]")
            };
        }
        line
    }
}

fn parse(word: &str, shape: &Shape) -> Result<Value, String> {
    let wrong = || format!("expected {shape}, got {word:?}");
    match shape {
        Shape::Bool => word.parse().map(Value::Bool).map_err(|_| wrong()),
        Shape::Int(Int::U64) => word.parse().map(unsigned).map_err(|_| wrong()),
        // Out of a type's range but a number: `lower` says what the range is.
        Shape::Int(_) => word.parse().map(Value::Int).map_err(|_| wrong()),
        Shape::F32 | Shape::F64 => word.parse().map(Value::Float).map_err(|_| wrong()),
        Shape::String | Shape::Char | Shape::Enum(_) => Ok(Value::str(word)),
        shape => {
            let json = serde_json::from_str(word).map_err(|error| format!("expected {shape} as JSON: {error}"))?;
            from_json(json, Some(shape))
        }
    }
}

/// Bit for bit, as everywhere.
fn unsigned(number: u64) -> Value {
    Value::Int(number as i64)
}

/// JSON as plain data. The type is needed for what JSON writes differently: `u64` is unsigned, keys are strings.
/// Whether the value fits is not asked here.
pub fn from_json(json: Json, shape: Option<&Shape>) -> Result<Value, String> {
    Ok(match json {
        Json::Null => Value::Nil,
        Json::Bool(flag) => Value::Bool(flag),
        Json::Number(number) => from_number(&number, shape)?,
        Json::String(text) => Value::from(text),
        Json::Array(items) => {
            let items = items.into_iter().enumerate();
            let items = items.map(|(index, item)| from_json(item, member(shape, index)));
            Value::array(items.collect::<Result<Vec<_>, _>>()?)
        }
        Json::Object(fields) => {
            let fields = fields.into_iter().map(|(key, item)| {
                let value = from_json(item, field(shape, &key))?;
                Ok((from_key(key, shape), value))
            });
            table(fields.collect::<Result<_, String>>()?)
        }
    })
}

fn table(pairs: Vec<(Value, Value)>) -> Value {
    Value::Table(Box::new(crate::value::Table {
        pairs,
        ..Default::default()
    }))
}

fn from_number(number: &serde_json::Number, shape: Option<&Shape>) -> Result<Value, String> {
    if matches!(shape.map(present), Some(Shape::Int(Int::U64))) {
        let wrong = || format!("expected u64 (0..{}), got {number}", u64::MAX);
        let whole = number.as_u64().or_else(|| number.as_f64().and_then(whole));
        return whole.map(unsigned).ok_or_else(wrong);
    }
    let float = || number.as_f64().map(Value::Float);
    let value = number.as_i64().map(Value::Int).or_else(float);
    value.ok_or_else(|| format!("expected a number, got {number}"))
}

/// A float that is an integer of 64 bits without a sign.
fn whole(number: f64) -> Option<u64> {
    const BEYOND: f64 = 18_446_744_073_709_551_616.0;
    ((0.0..BEYOND).contains(&number) && number.fract() == 0.0).then_some(number as u64)
}

/// The type that a value other than null has.
fn present(shape: &Shape) -> &Shape {
    match shape {
        Shape::Option(inner) => present(inner),
        shape => shape,
    }
}

/// The type of a position in a JSON array.
fn member(shape: Option<&Shape>, index: usize) -> Option<&Shape> {
    match shape? {
        Shape::List(list) => Some(&list.element),
        Shape::Tuple(members) => members.get(index),
        Shape::Option(inner) => member(Some(inner), index),
        _ => None,
    }
}

/// The type under a key of a JSON object.
fn field<'a>(shape: Option<&'a Shape>, key: &str) -> Option<&'a Shape> {
    match shape? {
        Shape::Record(record) => record.fields.get(record.names.find_either(key.as_bytes(), 0)?),
        Shape::Variant(variant) => variant.payloads.get(variant.names.find(key.as_bytes())?)?.as_ref(),
        Shape::Map(pair) => Some(&pair.1),
        Shape::Result(arms) if key == "ok" => arms.ok.as_ref(),
        Shape::Result(arms) => arms.err.as_ref(),
        Shape::Option(inner) if inner.is_option() => Some(inner),
        Shape::Option(inner) => field(Some(inner), key),
        _ => None,
    }
}

/// A key of a map, which is a string in JSON whatever its type.
fn from_key(key: String, shape: Option<&Shape>) -> Value {
    match shape {
        Some(Shape::Option(inner)) => from_key(key, Some(inner)),
        Some(Shape::Map(pair)) if !matches!(pair.0, Shape::String | Shape::Char) => {
            parse(&key, &pair.0).unwrap_or_else(|_| Value::from(key))
        }
        _ => Value::from(key),
    }
}
