//! Types and values thrown by dice, and what has to hold for each of them: the tests throw thousands, a fuzzer chooses.

use wasmtime::component::Val;

use super::shape::{Int, Names};
use super::{Shape, Signature, json};
use crate::error::Kind;

/// More than any thrown value takes.
const PLENTY: u64 = 128 << 20;

/// Throws as the bytes say, and when they are used up numbers that look random and are the same in every run.
pub struct Dice<'a> {
    bytes: &'a [u8],
    state: u64,
}

impl<'a> Dice<'a> {
    pub fn new(seed: u64) -> Dice<'a> {
        Dice {
            bytes: &[],
            state: seed,
        }
    }

    pub fn of(bytes: &'a [u8]) -> Dice<'a> {
        Dice { bytes, state: 0 }
    }

    /// Less than `sides`.
    pub fn roll(&mut self, sides: u64) -> u64 {
        if let Some((taken, rest)) = self.bytes.split_first_chunk() {
            self.bytes = rest;
            return u64::from(u16::from_le_bytes(*taken)) % sides;
        }
        self.state = self
            .state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (self.state >> 33) % sides
    }

    fn bits(&mut self) -> u64 {
        self.roll(1 << 31) << 33 ^ self.roll(1 << 31) << 16 ^ self.roll(1 << 31)
    }

    fn names(&mut self) -> Vec<String> {
        (0..=self.roll(5)).map(|index| format!("n{index}-name")).collect()
    }

    fn shape(&mut self, depth: u32) -> Shape {
        let sides = if depth == 0 { 9 } else { 20 };
        match self.roll(sides) {
            0 => Shape::Bool,
            1..=3 => Shape::Int(self.int()),
            4 => Shape::F32,
            5 => Shape::F64,
            6 => Shape::Char,
            7 => Shape::String,
            8 => Shape::Enum(Names::new(self.names())),
            9 => Shape::Flags(Names::new(self.names())),
            10 | 11 => Shape::list(self.shape(depth - 1), None),
            12 => Shape::Tuple((0..=self.roll(3)).map(|_| self.shape(depth - 1)).collect()),
            13 => {
                let names = self.names();
                Shape::record(names.into_iter().map(|name| (name, self.shape(depth - 1))))
            }
            14 => {
                let names = self.names();
                Shape::variant(names.into_iter().map(|name| (name, self.payload(depth))))
            }
            15 => Shape::Option(Box::new(self.shape(depth - 1))),
            16 => Shape::list(self.shape(depth - 1), Some(1 + self.roll(4) as u32)),
            17 => self.map(depth),
            _ => self.result(depth),
        }
    }

    /// A list that crosses without values in between.
    pub fn plain_list(&mut self) -> Shape {
        loop {
            let list = Shape::list(self.shape(3), None);
            if list.has_image() {
                return list;
            }
        }
    }

    fn int(&mut self) -> Int {
        use Int::*;
        [S8, U8, S16, U16, S32, U32, S64, U64][self.roll(8) as usize]
    }

    /// Keys are those that WIT allows; values that are nil would not be there.
    fn map(&mut self, depth: u32) -> Shape {
        let key = match self.roll(4) {
            0 => Shape::Bool,
            1 => Shape::Char,
            2 => Shape::String,
            _ => Shape::Int(self.int()),
        };
        let value = match self.shape(depth - 1) {
            Shape::Option(inner) => Shape::Tuple(vec![Shape::Option(inner)]),
            shape => shape,
        };
        Shape::Map(Box::new((key, value)))
    }

    /// Entries with different keys.
    fn entries(&mut self, pair: &(Shape, Shape)) -> Vec<(Val, Val)> {
        let mut entries: Vec<(Val, Val)> = Vec::new();
        for _ in 0..self.roll(5) {
            let key = self.val(&pair.0);
            if entries.iter().all(|(known, _)| *known != key) {
                entries.push((key, self.val(&pair.1)));
            }
        }
        entries
    }

    fn payload(&mut self, depth: u32) -> Option<Shape> {
        (self.roll(3) > 0).then(|| self.shape(depth - 1))
    }

    /// `err` of an option whose value may be an empty table is left out: it cannot be told from `err(none)`.
    fn result(&mut self, depth: u32) -> Shape {
        let err = self.payload(depth).filter(|shape| match shape {
            Shape::Option(inner) => matches!(**inner, Shape::Bool | Shape::Int(_) | Shape::F64 | Shape::String),
            _ => true,
        });
        Shape::result(self.payload(depth), err)
    }

    /// A value of that type.
    pub fn val(&mut self, shape: &Shape) -> Val {
        use Int::*;
        let bits = self.bits();
        match shape {
            Shape::Bool => Val::Bool(bits & 1 == 0),
            Shape::Int(S8) => Val::S8(bits as i8),
            Shape::Int(U8) => Val::U8(bits as u8),
            Shape::Int(S16) => Val::S16(bits as i16),
            Shape::Int(U16) => Val::U16(bits as u16),
            Shape::Int(S32) => Val::S32(bits as i32),
            Shape::Int(U32) => Val::U32(bits as u32),
            Shape::Int(S64) => Val::S64(bits as i64),
            Shape::Int(U64) => Val::U64(bits),
            Shape::F32 => Val::Float32(f32::from_bits(bits as u32)),
            Shape::F64 => Val::Float64(f64::from_bits(bits)),
            Shape::Char => Val::Char(char::from_u32(bits as u32 % 0x11_0000).unwrap_or('x')),
            Shape::String => Val::String("λ".repeat(self.roll(200) as usize)),
            Shape::Enum(names) => Val::Enum(names.get(self.roll(names.len() as u64) as usize).to_owned()),
            Shape::Flags(names) => {
                let set = names.iter().filter(|_| self.roll(2) == 0);
                Val::Flags(set.map(str::to_owned).collect())
            }
            Shape::List(list) => {
                let length = list.length.map_or_else(|| self.roll(5), u64::from);
                let values = (0..length).map(|_| self.val(&list.element)).collect();
                match list.length {
                    Some(_) => Val::FixedLengthList(values),
                    None => Val::List(values),
                }
            }
            Shape::Map(pair) => Val::Map(self.entries(pair)),
            Shape::Tuple(members) => Val::Tuple(members.iter().map(|member| self.val(member)).collect()),
            Shape::Record(record) => {
                let fields = record.names.iter().zip(&record.fields);
                Val::Record(fields.map(|(name, field)| (name.to_owned(), self.val(field))).collect())
            }
            Shape::Variant(variant) => {
                let case = self.roll(variant.names.len() as u64) as usize;
                Val::Variant(variant.names.get(case).to_owned(), self.boxed(&variant.payloads[case]))
            }
            Shape::Option(inner) if self.roll(2) == 0 => Val::Option(Some(Box::new(self.val(inner)))),
            Shape::Option(_) => Val::Option(None),
            Shape::Result(arms) if self.roll(2) == 0 => Val::Result(Ok(self.boxed(&arms.ok))),
            Shape::Result(arms) => Val::Result(Err(self.boxed(&arms.err))),
            Shape::Refused(_) => unreachable!("not rolled"),
        }
    }

    fn boxed(&mut self, shape: &Option<Shape>) -> Option<Box<Val>> {
        shape.as_ref().map(|shape| Box::new(self.val(shape)))
    }
}

/// A value of any type comes out of the guest and goes in again as it was.
///
/// # Panics
/// When it does not.
pub fn there_and_back(dice: &mut Dice<'_>) {
    let shape = dice.shape(4);
    let signature = Signature::new("f", vec![("v".to_owned(), shape.clone())], Some(shape.clone()));
    let val = dice.val(&shape);
    let packed = signature
        .lift(std::slice::from_ref(&val))
        .expect("every thrown value has a form");
    let back = signature
        .lower(&packed, PLENTY)
        .unwrap_or_else(|error| panic!("{shape}: {error}"));
    assert!(is_same(&back, &[val]), "{shape} {packed:?}");
    let text = json::text(&shape, &packed).expect("every thrown value can be printed");
    assert!(serde_json::from_str::<serde_json::Value>(&text).is_ok(), "{text}");
}

/// A value of one type is offered to another one, which takes it or says why not.
///
/// # Panics
/// When the refusal is of another kind.
pub fn misfit(dice: &mut Dice<'_>) {
    let (one, other) = (dice.shape(3), dice.shape(3));
    let source = Signature::new("f", vec![], Some(other.clone()));
    let packed = source.lift(&[dice.val(&other)]).expect("every thrown value has a form");
    let signature = Signature::new("f", vec![("v".to_owned(), one.clone())], None);
    if let Err(error) = signature.lower(&packed, 10_000) {
        assert!(
            [Kind::Invalid, Kind::LimitExceeded].contains(&error.kind()),
            "{error:?}"
        );
    }
    // Of another type: an error or a text, but no panic.
    let _ = json::text(&one, &packed);
}

/// Equal, NaN equal to itself.
fn is_same(one: &[Val], other: &[Val]) -> bool {
    one == other || format!("{one:?}") == format!("{other:?}")
}
