//! Results as JSON text, one line, for whoever prints them.
//!
//! The text is the mapping to Lua once more, with what the [`Shape`] knows and a Lua value does not: an empty table is a
//! list or an object, and `u64` is unsigned. Bytes that are not UTF-8 become an array of numbers, infinities and NaN
//! null.

use super::Signature;
use super::shape::{Arms, Int, Shape};
use crate::error::{Error, Result};
use crate::value::{Item, Packed, Reader, TableHead};

impl Signature {
    /// What a command prints for the value it ended with: nothing for nil, text with a newline, bytes unchanged,
    /// otherwise a line of JSON.
    ///
    /// # Errors
    /// Internal when the value is not one of this signature's [`outcome`](Signature::outcome).
    pub fn print(&self, value: &Packed) -> Result<Vec<u8>> {
        let Some(shape) = self.outcome_shape().filter(|_| !value.is_empty()) else {
            return Ok(Vec::new());
        };
        let mut bytes = match value.reader().item() {
            Item::Nil => return Ok(Vec::new()),
            Item::Str(bytes) if shape.is_bytes() => return Ok(bytes.to_vec()),
            Item::Str(text) if is_text(shape) => text.to_vec(),
            _ => text(shape, value)?.into_bytes(),
        };
        if bytes.last() != Some(&b'\n') {
            bytes.push(b'\n');
        }
        Ok(bytes)
    }
}

/// `string`, or an option of one that is there.
fn is_text(shape: &Shape) -> bool {
    match shape {
        Shape::String => true,
        Shape::Option(inner) => is_text(inner),
        _ => false,
    }
}

/// The first value of a sequence as JSON.
///
/// # Errors
/// Internal when the value is not of that shape.
pub fn text(shape: &Shape, packed: &Packed) -> Result<String> {
    let mut out = String::new();
    if packed.is_empty() {
        return Ok("null".to_owned());
    }
    value(shape, &mut packed.reader(), &mut out)?;
    Ok(out)
}

fn value(shape: &Shape, reader: &mut Reader<'_>, out: &mut String) -> Result<()> {
    let item = reader.item();
    self::item(shape, item, reader, out)
}

/// The value that starts with `item`; `reader` stands behind it.
fn item(shape: &Shape, item: Item<'_>, reader: &mut Reader<'_>, out: &mut String) -> Result<()> {
    match (shape, item) {
        (Shape::Option(inner), Item::Table(head)) if inner.is_option() => {
            return object(head, reader, out, |_| Some(inner));
        }
        (Shape::Option(inner), item) if item != Item::Nil => return self::item(inner, item, reader, out),
        (_, Item::Nil) => out.push_str("null"),
        (_, Item::Bool(flag)) => out.push_str(if flag { "true" } else { "false" }),
        (Shape::Int(Int::U64), Item::Int(number)) => out.push_str(&(number as u64).to_string()),
        (_, Item::Int(number)) => out.push_str(&number.to_string()),
        (Shape::F32, Item::Float(number)) => out.push_str(&encode(&(number as f32))?),
        (_, Item::Float(number)) => out.push_str(&encode(&number)?),
        (_, Item::Str(bytes)) => string(bytes, out)?,
        (shape, Item::Table(head)) => return table(shape, head, reader, out),
        (shape, Item::Ref(mark)) => return value(shape, &mut reader.goto(mark), out),
        (shape, Item::Error(_)) => return Err(unfit(shape)),
    }
    Ok(())
}

fn table(shape: &Shape, head: TableHead, reader: &mut Reader<'_>, out: &mut String) -> Result<()> {
    match shape {
        Shape::List(list) => array(head, reader, out, |_| Some(&list.element)),
        Shape::Tuple(members) => array(head, reader, out, |index| members.get(index)),
        Shape::Map(pair) => object(head, reader, out, |_| Some(&pair.1)),
        Shape::Record(record) => object(head, reader, out, |key| record.fields.get(record.names.find(key)?)),
        Shape::Variant(variant) => object(head, reader, out, |key| {
            variant.payloads.get(variant.names.find(key)?)?.as_ref()
        }),
        Shape::Result(arms) => object(head, reader, out, |key| arm(arms, key)),
        Shape::Flags(_) => object(head, reader, out, |_| Some(&Shape::Bool)),
        // The `{}` of `err(none)`.
        _ if (head.array, head.pairs) == (0, 0) => object(head, reader, out, |_| None),
        shape => Err(unfit(shape)),
    }
}

/// The type of an arm; the `true` of one without payload is a bool.
fn arm<'a>(arms: &'a Arms, key: &[u8]) -> Option<&'a Shape> {
    let payload = if key == b"ok" { &arms.ok } else { &arms.err };
    Some(payload.as_ref().unwrap_or(&Shape::Bool))
}

fn array<'a>(
    head: TableHead,
    reader: &mut Reader<'_>,
    out: &mut String,
    shape_of: impl Fn(usize) -> Option<&'a Shape>,
) -> Result<()> {
    let mut content = *reader;
    reader.skip_table(head);
    out.push('[');
    for index in 0..head.array as usize {
        out.push_str(if index == 0 { "" } else { "," });
        let shape = shape_of(index).ok_or_else(unknown_field)?;
        value(shape, &mut content, out)?;
    }
    out.push(']');
    Ok(())
}

fn object<'a>(
    head: TableHead,
    reader: &mut Reader<'_>,
    out: &mut String,
    shape_of: impl Fn(&[u8]) -> Option<&'a Shape>,
) -> Result<()> {
    let mut content = *reader;
    reader.skip_table(head);
    out.push('{');
    for index in 0..head.pairs {
        out.push_str(if index == 0 { "" } else { "," });
        let key = key(content.item())?;
        out.push_str(&encode(&key)?);
        out.push(':');
        let shape = shape_of(key.as_bytes()).ok_or_else(unknown_field)?;
        value(shape, &mut content, out)?;
    }
    out.push('}');
    Ok(())
}

/// A key as text; those of a map may be numbers.
fn key(item: Item<'_>) -> Result<String> {
    match item {
        Item::Str(text) => Ok(String::from_utf8_lossy(text).into_owned()),
        Item::Int(number) => Ok(number.to_string()),
        Item::Bool(flag) => Ok(flag.to_string()),
        _ => Err(unknown_field()),
    }
}

fn string(bytes: &[u8], out: &mut String) -> Result<()> {
    match std::str::from_utf8(bytes) {
        Ok(text) => out.push_str(&encode(text)?),
        Err(_) => out.push_str(&encode(bytes)?),
    }
    Ok(())
}

fn encode<T: serde::Serialize + ?Sized>(value: &T) -> Result<String> {
    serde_json::to_string(value).map_err(|error| Error::internal(format!("failed to write JSON: {error}")))
}

fn unfit(shape: &Shape) -> Error {
    Error::internal(format!("the value is no {shape}"))
}

fn unknown_field() -> Error {
    Error::internal("the value has a field that its type does not know")
}
