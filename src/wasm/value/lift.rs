//! Back from the guest: the values of a call as packed plain data.
//!
//! The same walk as `lower`, the other way round: the [`Shape`] leads, and what it makes is what `lower` takes back. Nil
//! stands for `none` wherever a table can do without the value; where the count of values matters (`list<option<T>>`,
//! tuples with an option) the table gets its length as field `n`.

use wasmtime::component::Val;

use super::json;
use super::shape::{Arms, List, Record, Shape, Variant};
use super::{Signature, refused, transfer_exceeded};
use crate::error::{Error, Result};
use crate::value::{Packed, Packer, Value};

/// Packed data is addressed with 32 bits; whoever gives a guest more room than that gets an error, not a panic.
pub const LARGEST: usize = u32::MAX as usize - 1024;

impl Signature {
    /// The result of a call as one value; nil for a function without result.
    ///
    /// # Errors
    /// Invalid when the type holds a resource. LimitExceeded for results beyond 4 GiB.
    pub fn lift(&self, results: &[Val]) -> Result<Packed> {
        match (&self.result, results.first()) {
            (Some(shape), Some(val)) => lift_one(shape, val),
            _ => Ok(nothing()),
        }
    }

    /// The result as the outcome of a process: `ok(v)` at the top is v, `err(e)` is an error with `details.value = e`.
    ///
    /// # Errors
    /// The guest's `err`, kind Internal, and whatever [`lift`](Signature::lift) says.
    pub fn outcome(&self, results: &[Val]) -> Result<Packed> {
        match (&self.result, results.first()) {
            (Some(Shape::Result(arms)), Some(Val::Result(Ok(payload)))) => lift_payload(&arms.ok, payload),
            (Some(Shape::Result(arms)), Some(Val::Result(Err(payload)))) => Err(guest_error(arms, payload)?),
            _ => self.lift(results),
        }
    }

    /// The type of a process' value: what [`outcome`](Signature::outcome) makes of `result`.
    pub fn outcome_shape(&self) -> Option<&Shape> {
        match &self.result {
            Some(Shape::Result(arms)) => arms.ok.as_ref(),
            other => other.as_ref(),
        }
    }
}

fn nothing() -> Packed {
    Packed::from_value(&Value::Nil)
}

fn lift_one(shape: &Shape, val: &Val) -> Result<Packed> {
    let mut lifting = Lifting::default();
    lifting.value(shape, val)?;
    Ok(lifting.packer.finish())
}

fn lift_payload(shape: &Option<Shape>, payload: &Option<Box<Val>>) -> Result<Packed> {
    match (shape, payload) {
        (Some(shape), Some(val)) => lift_one(shape, val),
        _ => Ok(nothing()),
    }
}

/// The error that a guest's `err(e)` at the top is.
fn guest_error(arms: &Arms, payload: &Option<Box<Val>>) -> Result<Error> {
    let (Some(shape), Some(_)) = (&arms.err, payload) else {
        return Ok(Error::internal("the function returned err").with_details(details(Value::Bool(true))));
    };
    let packed = lift_payload(&arms.err, payload)?;
    let value = packed.to_value()?;
    let message = match value.as_str() {
        Some(text) => text.to_owned(),
        None => json::text(shape, &packed)?,
    };
    Ok(Error::internal(message).with_details(details(value)))
}

fn details(value: Value) -> Value {
    Value::map([("value", value)])
}

#[derive(Default)]
struct Lifting {
    packer: Packer,
    /// The bytes of one `list<u8>` on their way into the packer.
    bytes: Vec<u8>,
}

impl Lifting {
    fn value(&mut self, shape: &Shape, val: &Val) -> Result<()> {
        check_room(&self.packer, 0)?;
        match (shape, val) {
            (_, Val::Bool(flag)) => self.packer.bool(*flag),
            (_, Val::S8(number)) => self.packer.int(i64::from(*number)),
            (_, Val::U8(number)) => self.packer.int(i64::from(*number)),
            (_, Val::S16(number)) => self.packer.int(i64::from(*number)),
            (_, Val::U16(number)) => self.packer.int(i64::from(*number)),
            (_, Val::S32(number)) => self.packer.int(i64::from(*number)),
            (_, Val::U32(number)) => self.packer.int(i64::from(*number)),
            (_, Val::S64(number)) => self.packer.int(*number),
            // Bit for bit, as Lua itself treats unsigned numbers.
            (_, Val::U64(number)) => self.packer.int(*number as i64),
            (_, Val::Float32(number)) => self.packer.float(f64::from(*number)),
            (_, Val::Float64(number)) => self.packer.float(*number),
            (_, Val::Char(char)) => self.packer.str(char.encode_utf8(&mut [0; 4]).as_bytes()),
            (_, Val::String(text) | Val::Enum(text)) => return self.str(text.as_bytes()),
            (Shape::List(list), Val::List(values) | Val::FixedLengthList(values)) => {
                return self.list(shape.is_bytes(), list, values);
            }
            (Shape::Map(pair), Val::Map(entries)) => return self.map(pair, entries),
            (Shape::Record(record), Val::Record(fields)) => return self.record(record, fields),
            (Shape::Tuple(members), Val::Tuple(values)) => return self.tuple(members, values),
            (Shape::Variant(variant), Val::Variant(name, payload)) => return self.variant(variant, name, payload),
            (Shape::Option(inner), Val::Option(value)) => return self.option(inner, value.as_deref()),
            (Shape::Result(arms), Val::Result(result)) => return self.result(arms, result),
            (Shape::Flags(_), Val::Flags(names)) => self.flags(names),
            (Shape::Refused(word), _) => return Err(refused(word)),
            _ => return Err(Error::internal(format!("the guest's value is no {shape}"))),
        }
        Ok(())
    }

    fn str(&mut self, bytes: &[u8]) -> Result<()> {
        check_room(&self.packer, bytes.len())?;
        self.packer.str(bytes);
        Ok(())
    }

    fn list(&mut self, is_bytes: bool, list: &List, values: &[Val]) -> Result<()> {
        if is_bytes {
            return self.byte_string(values);
        }
        self.array(list.element.is_option(), values.iter().map(|val| (&list.element, val)))
    }

    fn byte_string(&mut self, values: &[Val]) -> Result<()> {
        check_room(&self.packer, values.len())?;
        self.bytes.clear();
        self.bytes.extend(values.iter().map(|val| match val {
            Val::U8(byte) => *byte,
            _ => 0,
        }));
        self.packer.str(&self.bytes);
        Ok(())
    }

    fn tuple(&mut self, members: &[Shape], values: &[Val]) -> Result<()> {
        self.array(members.iter().any(Shape::is_option), members.iter().zip(values))
    }

    fn array<'a>(&mut self, with_n: bool, values: impl ExactSizeIterator<Item = (&'a Shape, &'a Val)>) -> Result<()> {
        let mark = self.packer.open(false);
        let count = values.len() as u32;
        for (shape, val) in values {
            self.value(shape, val)?;
        }
        if with_n {
            self.packer.str(b"n");
            self.packer.int(i64::from(count));
        }
        self.packer.close(mark, count, u32::from(with_n));
        Ok(())
    }

    fn map(&mut self, types: &(Shape, Shape), entries: &[(Val, Val)]) -> Result<()> {
        let mark = self.packer.open(false);
        let mut pairs = 0;
        for (key, value) in entries.iter().filter(|(_, value)| !is_none(value)) {
            self.value(&types.0, key)?;
            self.value(&types.1, value)?;
            pairs += 1;
        }
        self.packer.close(mark, 0, pairs);
        Ok(())
    }

    fn record(&mut self, record: &Record, fields: &[(String, Val)]) -> Result<()> {
        let mark = self.packer.open(true);
        let mut pairs = 0;
        for ((name, val), shape) in fields.iter().zip(&record.fields) {
            if !is_none(val) {
                self.str(name.as_bytes())?;
                self.value(shape, val)?;
                pairs += 1;
            }
        }
        self.packer.close(mark, 0, pairs);
        Ok(())
    }

    fn variant(&mut self, variant: &Variant, name: &str, payload: &Option<Box<Val>>) -> Result<()> {
        let place = variant.names.find(name.as_bytes());
        let shape = place.and_then(|place| variant.payloads[place].as_ref());
        match (shape, payload) {
            (Some(shape), Some(val)) if !is_none(val) => self.single(name, shape, val),
            _ => self.str(name.as_bytes()),
        }
    }

    /// `{name = value}`.
    fn single(&mut self, name: &str, shape: &Shape, val: &Val) -> Result<()> {
        let mark = self.packer.open(false);
        self.str(name.as_bytes())?;
        self.value(shape, val)?;
        self.packer.close(mark, 0, 1);
        Ok(())
    }

    fn empty(&mut self) {
        let mark = self.packer.open(false);
        self.packer.close(mark, 0, 0);
    }

    fn option(&mut self, inner: &Shape, value: Option<&Val>) -> Result<()> {
        match value {
            None => self.packer.nil(),
            Some(val) if !inner.is_option() => return self.value(inner, val),
            Some(val) if is_none(val) => self.empty(),
            Some(val) => return self.single("some", inner, val),
        }
        Ok(())
    }

    fn result(&mut self, arms: &Arms, result: &std::result::Result<Option<Box<Val>>, Option<Box<Val>>>) -> Result<()> {
        let (name, shape, payload) = match result {
            Ok(payload) => ("ok", &arms.ok, payload),
            Err(payload) => ("err", &arms.err, payload),
        };
        match (shape, payload) {
            (Some(_), Some(val)) if is_none(val) && result.is_ok() => self.empty(),
            (Some(shape), Some(val)) if !is_none(val) => return self.single(name, shape, val),
            (shape, _) => self.bare_arm(name, shape.is_some()),
        }
        Ok(())
    }

    /// `{ok = true}` for an arm without payload, `{err = {}}` for one that is none.
    fn bare_arm(&mut self, name: &str, is_none: bool) {
        let mark = self.packer.open(false);
        self.packer.str(name.as_bytes());
        if is_none {
            self.empty();
        } else {
            self.packer.bool(true);
        }
        self.packer.close(mark, 0, 1);
    }

    fn flags(&mut self, names: &[String]) {
        let mark = self.packer.open(false);
        for name in names {
            self.packer.str(name.as_bytes());
            self.packer.bool(true);
        }
        self.packer.close(mark, 0, names.len() as u32);
    }
}

/// Makes sure that `bytes` more, and a few words around them, can be addressed.
pub fn check_room(packer: &Packer, bytes: usize) -> Result<()> {
    match packer.size().checked_add(bytes) {
        Some(size) if size < LARGEST => Ok(()),
        _ => Err(transfer_exceeded(LARGEST as u64)),
    }
}

fn is_none(val: &Val) -> bool {
    matches!(val, Val::Option(None))
}
