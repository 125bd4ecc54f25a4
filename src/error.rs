//! The one error type of the house, with the closed list of kinds that Lua sees as `errors.*`.
//!
//! An [`Error`] survives the journey through an exit event, a message or a call unchanged: kind, message, contexts,
//! `retryable`, details and frames all travel. Translation to and from Lua and wasm happens at their two border posts
//! (`lua::error`, `wasm::error`), never here. A finding about a project's files is not an error but a
//! [`Diagnostic`](crate::project::Diagnostic).

use std::fmt;
use std::sync::Arc;

use crate::value::Value;

/// What went wrong, as one of a short closed list. The words are those of `errors.*` in Lua.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Kind {
    NotFound,
    AlreadyExists,
    Invalid,
    PermissionDenied,
    Unavailable,
    Internal,
    Canceled,
    Conflict,
    Timeout,
    RateLimited,
    LimitExceeded,
    /// Nobody said; the empty string in Lua. Becomes `Internal` when it crosses a boundary.
    Unknown,
}

impl Kind {
    /// Every kind, in the order in which the documentation lists them.
    pub const ALL: [Kind; 12] = [
        Kind::NotFound,
        Kind::AlreadyExists,
        Kind::Invalid,
        Kind::PermissionDenied,
        Kind::Unavailable,
        Kind::Internal,
        Kind::Canceled,
        Kind::Conflict,
        Kind::Timeout,
        Kind::RateLimited,
        Kind::LimitExceeded,
        Kind::Unknown,
    ];

    /// The string that Lua sees: `"NotFound"`, …, and `""` for [`Kind::Unknown`].
    pub const fn as_str(self) -> &'static str {
        match self {
            Kind::NotFound => "NotFound",
            Kind::AlreadyExists => "AlreadyExists",
            Kind::Invalid => "Invalid",
            Kind::PermissionDenied => "PermissionDenied",
            Kind::Unavailable => "Unavailable",
            Kind::Internal => "Internal",
            Kind::Canceled => "Canceled",
            Kind::Conflict => "Conflict",
            Kind::Timeout => "Timeout",
            Kind::RateLimited => "RateLimited",
            Kind::LimitExceeded => "LimitExceeded",
            Kind::Unknown => "",
        }
    }

    /// The kind of that name; a name outside the list is [`Kind::Unknown`].
    pub fn parse(name: &str) -> Kind {
        Kind::ALL
            .into_iter()
            .find(|kind| kind.as_str() == name)
            .unwrap_or(Kind::Unknown)
    }
}

/// One place in a call stack: a Lua function, or a wasm function when the error came out of a guest.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct Frame {
    /// Chunk name (`src/main.lua`) or module name.
    pub source: String,
    /// Line, counted from 1; 0 when unknown.
    pub line: u32,
    /// Function name, or an empty string.
    pub name: String,
}

impl fmt::Display for Frame {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.source)?;
        if self.line > 0 {
            write!(f, ":{}", self.line)?;
        }
        if !self.name.is_empty() {
            write!(f, ": in {}", self.name)?;
        }
        Ok(())
    }
}

/// An error with a kind. Cheap to clone.
#[derive(Clone, PartialEq)]
pub struct Error(Arc<Body>);

#[derive(Clone, PartialEq)]
struct Body {
    kind: Kind,
    message: String,
    /// What was being done, innermost first.
    contexts: Vec<String>,
    retryable: Option<bool>,
    details: Option<Value>,
    /// How many errors are within each other in the details, at most [`MOST_NESTED`], and how many tables and errors, at most
    /// [`DEEPEST`]: they are dropped, compared and packed by recursion, also on the small stack of a guest.
    nested: u8,
    depth: u8,
    frames: Vec<Frame>,
}

/// Errors within the details of errors: what is further inside has no details.
const MOST_NESTED: u8 = 16;

/// Tables and errors within each other in the details of an error: an error that would reach further inside has no details, and a
/// table there is nil.
const DEEPEST: u8 = 128;

/// Contexts that an error keeps; the last one gives way to a further one.
const MOST_CONTEXTS: usize = 100;

/// `Result` with this crate's [`Error`].
pub type Result<T, E = Error> = std::result::Result<T, E>;

impl Error {
    /// An error of a host function: `retryable()` is `Some(false)`, as the contract asks of every module unless it says otherwise.
    pub fn new(kind: Kind, message: impl Into<String>) -> Error {
        Error(Arc::new(Body {
            kind,
            message: message.into(),
            contexts: Vec::new(),
            retryable: Some(false),
            details: None,
            nested: 0,
            depth: 0,
            frames: Vec::new(),
        }))
    }

    pub fn not_found(message: impl Into<String>) -> Error {
        Error::new(Kind::NotFound, message)
    }

    pub fn invalid(message: impl Into<String>) -> Error {
        Error::new(Kind::Invalid, message)
    }

    pub fn internal(message: impl Into<String>) -> Error {
        Error::new(Kind::Internal, message)
    }

    pub fn unavailable(message: impl Into<String>) -> Error {
        Error::new(Kind::Unavailable, message)
    }

    pub fn already_exists(message: impl Into<String>) -> Error {
        Error::new(Kind::AlreadyExists, message)
    }

    pub fn permission_denied(message: impl Into<String>) -> Error {
        Error::new(Kind::PermissionDenied, message)
    }

    /// The same error with `retryable()` as given; `None` is "unset".
    #[must_use]
    pub fn with_retryable(self, retryable: Option<bool>) -> Error {
        self.change(|body| body.retryable = retryable)
    }

    /// The same error with structured details, a table.
    #[must_use]
    pub fn with_details(self, mut details: Value) -> Error {
        let (nested, depth) = bound_nesting(&mut details, DEEPEST);
        self.change(|body| {
            body.details = Some(details);
            body.nested = nested;
            body.depth = depth;
        })
    }

    fn without_details(self) -> Error {
        self.change(|body| {
            body.details = None;
            body.nested = 0;
            body.depth = 0;
        })
    }

    /// The same error with the places it came through, innermost first.
    #[must_use]
    pub fn with_frames(self, frames: Vec<Frame>) -> Error {
        self.change(|body| body.frames = frames)
    }

    /// The same error with another kind.
    #[must_use]
    pub fn with_kind(self, kind: Kind) -> Error {
        self.change(|body| body.kind = kind)
    }

    /// The same error, saying also what was being done: `message()` stays, the display form becomes `context: message`.
    #[must_use]
    pub fn context(self, context: impl Into<String>) -> Error {
        self.change(|body| {
            body.contexts.truncate(MOST_CONTEXTS - 1);
            body.contexts.push(context.into());
        })
    }

    /// The form in which an error leaves its process: an unknown kind becomes `Internal`.
    #[must_use]
    pub fn crossing(self) -> Error {
        if self.kind() == Kind::Unknown {
            self.with_kind(Kind::Internal)
        } else {
            self
        }
    }

    pub fn kind(&self) -> Kind {
        self.0.kind
    }

    /// The innermost message, without contexts.
    pub fn message(&self) -> &str {
        &self.0.message
    }

    /// What was being done, innermost first.
    pub fn contexts(&self) -> &[String] {
        &self.0.contexts
    }

    pub fn retryable(&self) -> Option<bool> {
        self.0.retryable
    }

    pub fn details(&self) -> Option<&Value> {
        self.0.details.as_ref()
    }

    /// About how many bytes it holds.
    pub fn weight(&self) -> usize {
        let contexts: usize = self.0.contexts.iter().map(String::len).sum();
        let details = self.details().map_or(0, Value::weight);
        size_of::<Body>() + size_of_val(self.frames()) + self.0.message.len() + contexts + details
    }

    pub fn frames(&self) -> &[Frame] {
        &self.0.frames
    }

    fn change(mut self, edit: impl FnOnce(&mut Body)) -> Error {
        edit(Arc::make_mut(&mut self.0));
        self
    }
}

/// Takes the details off the errors that are too far inside, and gives how many errors, and how many levels in all, are within
/// each other then; `room`: how many levels there may be.
fn bound_nesting(value: &mut Value, room: u8) -> (u8, u8) {
    match value {
        Value::Error(error) => {
            if error.0.nested + 1 >= MOST_NESTED || error.0.depth >= room {
                *error = error.clone().without_details();
            }
            (error.0.nested + 1, error.0.depth + 1)
        }
        Value::Table(_) if room == 0 => {
            *value = Value::Nil;
            (0, 0)
        }
        Value::Table(table) => {
            let pairs = table.pairs.iter_mut().flat_map(|(key, value)| [key, value]);
            let values = table.array.iter_mut().chain(pairs);
            values
                .map(|value| bound_nesting(value, room - 1))
                .fold((0, 1), |(nested, depth), (inner, below)| {
                    (nested.max(inner), depth.max(below + 1))
                })
        }
        _ => (0, 0),
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for context in self.0.contexts.iter().rev() {
            write!(f, "{context}: ")?;
        }
        f.write_str(&self.0.message)
    }
}

impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Error[{}]: {self}", self.kind().as_str())?;
        match self.details() {
            Some(details) => write!(f, " {details:?}"),
            None => Ok(()),
        }
    }
}

impl std::error::Error for Error {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn contexts_prefix_the_display_but_not_the_message() {
        let error = Error::not_found("no such pid")
            .context("monitor failed")
            .context("watch");
        assert_eq!(error.to_string(), "watch: monitor failed: no such pid");
        assert_eq!(error.message(), "no such pid");
        assert_eq!(error.retryable(), Some(false));
    }

    #[test]
    fn errors_within_errors_and_contexts_have_a_bound() {
        let mut error = Error::invalid("x");
        for _ in 0..100_000 {
            error = Error::invalid("x")
                .with_details(Value::map([("inner", Value::Error(error))]))
                .context("c");
        }
        let mut depth = 0;
        let mut at = &error;
        while let Some(Value::Error(inner)) = at.details().and_then(|details| details.get("inner")) {
            (depth, at) = (depth + 1, inner);
        }
        assert!((1..=usize::from(MOST_NESTED)).contains(&depth), "{depth}");
        let table = |value, depth| (0..depth).fold(value, |inner, _| Value::array([inner]));
        let deep = (0..100).fold(Error::invalid("x"), |inner, _| {
            Error::invalid("x").with_details(table(Value::Error(inner), 50))
        });
        assert!(deep.0.depth <= DEEPEST, "{}", deep.0.depth);
        assert_eq!((deep.0.nested, deep.0.depth), (2, 102));
        let plain = Error::invalid("x").with_details(table(Value::Int(1), 1000));
        assert_eq!(plain.0.depth, DEEPEST);
        let wrapped = (0..1000).fold(error, |error, _| error.context("c"));
        assert_eq!(wrapped.contexts().len(), MOST_CONTEXTS);
    }

    #[test]
    fn kinds_round_trip_through_their_names() {
        for kind in Kind::ALL {
            assert_eq!(Kind::parse(kind.as_str()), kind);
        }
        assert_eq!(Error::new(Kind::Unknown, "x").crossing().kind(), Kind::Internal);
    }
}
