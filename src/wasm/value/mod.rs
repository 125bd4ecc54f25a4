//! Values in and out of a guest: between the packed plain data that crosses processes and the values of a wasm call.
//!
//! [`Shape`] is a WIT type, [`Signature`] a function's types, both made once per loaded module. `lower` goes towards
//! the guest, `lift` comes back; `numbers` does both for core modules, whose signatures `wit` reads from WIT text;
//! [`words`] turns command-line words into arguments and [`json`] a result into text. Lists have a way of their own, without
//! a value for each part of them: `lists` says which calls can take it, `image` goes there and `view` comes back, both by
//! the `layout` of the guest's memory. Which function is called, and when, is left to the engine.
//!
//! Invariant: what `lift` makes, `lower` takes back unchanged. Nothing here panics on a value, however wrong or large.

pub mod dice;
mod image;
pub mod json;
mod layout;
mod lift;
mod lists;
mod lower;
pub mod lua;
mod numbers;
pub mod shape;
mod view;
mod wit;
pub mod words;

use std::fmt;

use wasmtime::component::types::ComponentFunc;

pub use lift::{LARGEST, check_room};
pub use lists::{Arguments, Returned};
pub use shape::Shape;

use crate::error::{Error, Kind, Result};
use crate::size;
use crate::value::Value;
use lists::Form;
use shape::{Labelled, TOO_LARGE, separated};

/// A function's name and types.
#[derive(Clone, Debug, PartialEq)]
pub struct Signature {
    name: String,
    params: Vec<(String, Shape)>,
    result: Option<Shape>,
    /// The name of a type in the result that cannot cross, found once.
    refused: Option<&'static str>,
    /// How a call whose lists travel as such returns, if there can be one.
    form: Option<Form>,
}

impl Signature {
    /// `name` is what errors call the function: the `method` of the entry.
    pub fn new(name: &str, params: Vec<(String, Shape)>, result: Option<Shape>) -> Signature {
        Signature {
            name: name.to_owned(),
            refused: result.as_ref().and_then(Shape::refused),
            form: Form::of(&params, result.as_ref()),
            params,
            result,
        }
    }

    /// The signature of a component's function.
    pub fn of_component(name: &str, ty: &ComponentFunc) -> Signature {
        let params = ty.params().map(|(name, ty)| (name.to_owned(), Shape::of(&ty)));
        Signature::new(name, params.collect(), ty.results().next().map(|ty| Shape::of(&ty)))
    }

    pub fn name(&self) -> &str {
        &self.name
    }

    pub fn params(&self) -> &[(String, Shape)] {
        &self.params
    }

    pub fn result(&self) -> Option<&Shape> {
        self.result.as_ref()
    }

    /// Its types without its name: `func(a: s32, b: s32) -> s32`.
    pub fn types(&self) -> impl fmt::Display + '_ {
        Types(self)
    }

    /// A result that cannot cross is refused before the guest runs, not after it has done its work.
    fn check_result(&self) -> Result<()> {
        self.refused.map_or(Ok(()), |word| Err(refused(word)))
    }

    /// Refuses a type anywhere that cannot cross, where none has any use.
    ///
    /// # Errors
    /// Invalid, with the kind of type.
    pub fn check_all(&self) -> Result<()> {
        self.check_result()?;
        let word = self.params.iter().find_map(|(_, shape)| shape.refused());
        word.map_or(Ok(()), |word| Err(refused(word)))
    }

    /// `2 arguments (a: s32, b: s32)`.
    fn expected_arguments(&self) -> String {
        match self.params.len() {
            0 => "0 arguments".to_owned(),
            1 => format!("1 argument ({})", Params(&self.params)),
            count => format!("{count} arguments ({})", Params(&self.params)),
        }
    }
}

/// The signature as WIT writes it: `compute: func(a: s32, b: s32) -> s32`.
impl fmt::Display for Signature {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.name, self.types())
    }
}

struct Types<'a>(&'a Signature);

impl fmt::Display for Types<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "func({})", Params(&self.0.params))?;
        match &self.0.result {
            Some(result) => write!(f, " -> {result}"),
            None => Ok(()),
        }
    }
}

struct Params<'a>(&'a [(String, Shape)]);

impl fmt::Display for Params<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let param = |(name, shape): &'_ (String, Shape)| Labelled((name.as_str(), shape)).to_string();
        separated(f, self.0.iter().map(param))
    }
}

/// A type that has no form in Lua.
fn refused(word: &str) -> Error {
    match word {
        "v128" | "reference" => Error::invalid(format!("{word} values cannot cross into Lua")),
        TOO_LARGE => Error::invalid(format!("a {word} cannot cross into Lua")),
        _ => Error::invalid("resources cannot cross into Lua"),
    }
}

/// The end of a call whose values take too much memory. Like every limit it leaves `retryable` unset.
fn transfer_exceeded(allowed: u64) -> Error {
    let details = Value::map([
        ("limit", Value::from("max_transfer")),
        ("allowed", Value::Int(i64::try_from(allowed).unwrap_or(i64::MAX))),
    ]);
    Error::new(
        Kind::LimitExceeded,
        format!("transfer limit exceeded: {}", size::format(allowed)),
    )
    .with_details(details)
    .with_retryable(None)
}

#[cfg(test)]
mod tests;
