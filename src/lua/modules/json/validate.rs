//! `json.validate` and `json.validate_string`: JSON Schema, all drafts, by the crate `jsonschema`.
//!
//! A check runs off the workers, on a thread of its own that has a large stack and a budget ([`super::guarded`]); few run at
//! once, and of one process only one, so that others come to their turn however many one of them asks for. Nothing is fetched: a schema that refers to another document is refused. An empty
//! table is an array or an object, whichever the schema asks for.

use std::collections::{BTreeSet, VecDeque};
use std::fmt::Write as _;
use std::io;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, OnceLock};
use std::time::{Duration, Instant};

use jsonschema::error::{TypeKind, ValidationErrorKind};
use jsonschema::{JsonType, PatternOptions, ValidationError};
use mlua::{IntoLuaMulti, Lua, MultiValue, Table, Value as LuaValue};
use serde_json::Value as Json;
use tokio::sync::{Semaphore, oneshot};

use super::guarded::{self, Guarded, Interrupt};
use crate::error::{Error, Kind, Result};
use crate::lock::lock;
use crate::lua::error;
use crate::lua::host::{Call, context, false_failure, waiting, weigh};
use crate::size;
use crate::value::Value;

/// Bytes of a schema and of data, as JSON.
pub const SCHEMA_SIZE: usize = 512 << 10;
const DATA_SIZE: usize = 16 << 20;
/// How long one check may take.
const TIME: Duration = Duration::from_secs(10);
/// Steps back that one match of a `pattern` may take.
const BACKTRACKS: usize = 100_000;
/// Errors that are told, and characters of each and of its place.
const TOLD: usize = 5;
const TEXT: usize = 300;
/// Characters of the value that an error is about.
const VALUE: usize = 80;
/// Compiled schemas that are kept, and bytes of text above which one is not.
const KEPT: usize = 32;
const KEPT_SIZE: usize = 64 << 10;

type Validator = jsonschema::Validator<Guarded>;

/// Adds the two functions to the module.
pub fn add(lua: &Lua, module: &Table) -> mlua::Result<()> {
    module.raw_set("validate", waiting(lua, validate)?)?;
    module.raw_set("validate_string", waiting(lua, validate_string)?)
}

/// A JSON text as it was given.
#[derive(Clone, PartialEq, Eq)]
struct Document {
    text: Vec<u8>,
    /// Whether it was a table of Lua, in which `[]` may mean `{}`.
    table: bool,
}

fn validate(lua: &Lua, (schema, data): (LuaValue, LuaValue)) -> mlua::Result<Call> {
    let data = match data {
        LuaValue::Nil => Err(Error::invalid("data is required")),
        data => of_value(lua, &data)?,
    };
    begin(lua, &schema, data)
}

fn validate_string(lua: &Lua, (schema, text): (LuaValue, LuaValue)) -> mlua::Result<Call> {
    let data = match text {
        LuaValue::Nil => Err(Error::invalid("data is required")),
        LuaValue::String(text) => Ok(of_text(&text)),
        other => Err(Error::invalid(format!(
            "data must be a string of JSON, not a {}",
            error::type_name(&other)
        ))),
    };
    begin(lua, &schema, data)
}

fn of_text(text: &mlua::LuaString) -> Document {
    Document {
        text: text.as_bytes().to_vec(),
        table: false,
    }
}

fn of_value(lua: &Lua, value: &LuaValue) -> mlua::Result<Result<Document>> {
    let text = super::write(lua, value)?.map_err(|error| error.with_kind(Kind::Invalid));
    Ok(text.map(|text| Document { text, table: true }))
}

fn of_schema(lua: &Lua, schema: &LuaValue) -> mlua::Result<Result<Document>> {
    match schema {
        LuaValue::Nil => Ok(Err(Error::invalid("schema is required"))),
        LuaValue::String(text) => Ok(Ok(of_text(text))),
        LuaValue::Table(_) | LuaValue::Boolean(_) => of_value(lua, schema),
        other => Ok(Err(Error::invalid(format!(
            "schema must be a table or JSON text, not a {}",
            error::type_name(other)
        )))),
    }
}

fn begin(lua: &Lua, schema: &LuaValue, data: Result<Document>) -> mlua::Result<Call> {
    let documents = of_schema(lua, schema)?.and_then(|schema| Ok((schema, data?)));
    match documents {
        Ok((schema, data)) => {
            let context = context(lua)?;
            let weight = weigh(lua, schema.text.len() + data.text.len());
            let check = async move {
                let _turn = context.checking.lock().await;
                let result = context.engine.schemas.clone().check(schema, data).await;
                drop(weight);
                result
            };
            Ok(Call::wait(check, finish))
        }
        Err(error) => Ok(Call::Ready(false_failure(lua, error)?)),
    }
}

fn finish(lua: &Lua, result: Result<()>) -> mlua::Result<MultiValue> {
    match result {
        Ok(()) => (true, LuaValue::Nil).into_lua_multi(lua),
        Err(error) => false_failure(lua, error),
    }
}

/// The compiled schemas of a runtime, and whose turn it is to check.
#[derive(Default)]
pub struct Schemas {
    /// As many as there are processors; asked for when the first check is made, because a start is not to wait for it.
    turns: OnceLock<Semaphore>,
    /// The one that was used last is the first.
    compiled: Mutex<VecDeque<(Document, Arc<Validator>)>>,
}

/// Calls the check off when the future that waits for it is dropped.
struct Wanted(Arc<AtomicBool>);

impl Drop for Wanted {
    fn drop(&mut self) {
        self.0.store(false, Ordering::Relaxed);
    }
}

impl Schemas {
    /// Checks data against a schema; the error is Invalid and says what is wrong with either, or LimitExceeded.
    async fn check(self: Arc<Self>, schema: Document, data: Document) -> Result<()> {
        let lost = || Error::unavailable("the check against the schema was lost");
        let schemas = self.clone();
        let turns = || Semaphore::new(std::thread::available_parallelism().map_or(1, usize::from));
        let _turn = self.turns.get_or_init(turns).acquire().await.map_err(|_| lost())?;
        let wanted = Wanted(Arc::new(AtomicBool::new(true)));
        let flag = wanted.0.clone();
        let (done, outcome) = oneshot::channel();
        let checker = move || {
            guarded::begin(Instant::now() + TIME, flag);
            // Whoever waited may have left.
            let _ = done.send(schemas.check_here(&schema, &data));
        };
        std::thread::Builder::new()
            .name("wippy-schema".to_owned())
            .stack_size(guarded::STACK)
            .spawn(checker)
            .map_err(|error| Error::unavailable(format!("cannot start a thread to check the schema: {error}")))?;
        let outcome = outcome.await;
        drop(wanted);
        outcome.map_err(|_| lost())?
    }

    fn check_here(&self, schema: &Document, data: &Document) -> Result<()> {
        let validator = self.compiled(schema)?;
        let mut json = parse("data", data, DATA_SIZE)?;
        check(&validator, &mut json, data.table)
    }

    fn compiled(&self, schema: &Document) -> Result<Arc<Validator>> {
        if let Some(found) = self.kept(schema) {
            return Ok(found);
        }
        let mut json = parse("schema", schema, SCHEMA_SIZE)?;
        if schema.table {
            read_schema_objects(&mut json);
        }
        let validator = compile(&json).map(Arc::new)?;
        if schema.text.len() <= KEPT_SIZE {
            let mut compiled = lock(&self.compiled);
            compiled.truncate(KEPT - 1);
            compiled.push_front((schema.clone(), validator.clone()));
        }
        Ok(validator)
    }

    fn kept(&self, schema: &Document) -> Option<Arc<Validator>> {
        let mut compiled = lock(&self.compiled);
        let at = compiled.iter().position(|(kept, _)| kept == schema)?;
        let found = compiled.remove(at)?;
        let validator = found.1.clone();
        compiled.push_front(found);
        Some(validator)
    }
}

fn parse(what: &str, document: &Document, limit: usize) -> Result<Json> {
    if document.text.len() > limit {
        let limit = size::format(limit as u64);
        return Err(Error::invalid(format!("{what} is larger than {limit} of JSON")));
    }
    serde_json::from_slice(&document.text).map_err(|error| Error::invalid(format!("{what} is not JSON: {error}")))
}

fn compile(schema: &Json) -> Result<Validator> {
    let options = jsonschema::options_for::<Guarded>().offline();
    let options = options.with_pattern_options(PatternOptions::fancy_regex().backtrack_limit(BACKTRACKS));
    options.build(schema).map_err(|error| {
        let problem = Problem::of(&error);
        Error::invalid(format!("the schema is wrong: {problem}"))
    })
}

/// Checks, and reads empty arrays of a `table` as objects where the schema wants those.
fn check(validator: &Validator, data: &mut Json, table: bool) -> Result<()> {
    if guarded::run(|| validator.is_valid(data)).map_err(refusal)? {
        return Ok(());
    }
    let (problems, misread) = match guarded::run(|| problems(validator, data)) {
        Err(Interrupt::Errors) => (first_problem(validator, data)?, BTreeSet::new()),
        found => found.map_err(refusal)?,
    };
    if table && !misread.is_empty() {
        read_as_objects(data, &misread);
        return check(validator, data, false);
    }
    Err(mismatch(&problems))
}

fn refusal(interrupt: Interrupt) -> Error {
    let reason = match interrupt {
        Interrupt::Late => format!("takes longer than {}s", TIME.as_secs()),
        Interrupt::Deep => "goes too deep".to_owned(),
        Interrupt::Errors => "finds too many errors".to_owned(),
        Interrupt::Unwanted => return Error::new(Kind::Canceled, "nobody waits for this check"),
    };
    let message =
        format!("the check against the schema {reason}: simplify the schema or check smaller parts of the data");
    Error::new(Kind::LimitExceeded, message)
}

/// All that is wrong, and the places of empty arrays that had to be objects.
fn problems(validator: &Validator, data: &Json) -> (Vec<Problem>, BTreeSet<String>) {
    let mut misread = BTreeSet::new();
    let mut problems = Vec::new();
    for error in validator.iter_errors(data) {
        find_misread(&error, &mut misread);
        problems.push(Problem::of(&error));
    }
    (problems, misread)
}

/// The first problem alone, for data that has more of them than anybody could read.
fn first_problem(validator: &Validator, data: &Json) -> Result<Vec<Problem>> {
    let first = guarded::run(|| validator.validate(data).err().map(|error| Problem::of(&error)));
    Ok(first.map_err(refusal)?.into_iter().collect())
}

/// One thing that is wrong.
struct Problem {
    /// JSON pointer into the data; empty for the whole.
    path: String,
    message: String,
}

impl Problem {
    fn of(error: &ValidationError<'_>) -> Problem {
        let message = error.masked_with(shown(error.instance())).to_string();
        Problem {
            path: clipped(error.instance_path().as_str(), TEXT),
            message: clipped(&message, TEXT),
        }
    }

    fn details(&self) -> Value {
        Value::map([
            ("path", Value::from(self.path.as_str())),
            ("message", Value::from(self.message.as_str())),
        ])
    }
}

impl std::fmt::Display for Problem {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        if !self.path.is_empty() {
            write!(f, "at {}: ", self.path)?;
        }
        f.write_str(&self.message)
    }
}

fn mismatch(problems: &[Problem]) -> Error {
    let told = &problems[..problems.len().min(TOLD)];
    let texts: Vec<String> = told.iter().map(Problem::to_string).collect();
    let mut message = format!("data does not match the schema: {}", texts.join("; "));
    if problems.len() > TOLD {
        let _ = write!(message, "; and {} more", problems.len() - TOLD);
    }
    let details = Value::map([("errors", Value::array(told.iter().map(Problem::details)))]);
    Error::invalid(message).with_details(details)
}

fn clipped(text: &str, length: usize) -> String {
    match text.char_indices().nth(length) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_owned(),
    }
}

/// The beginning of a value as JSON, without writing all of it.
fn shown(value: &Json) -> String {
    struct Room(Vec<u8>);
    impl io::Write for Room {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            // Four bytes hold any character.
            if self.0.len() > VALUE * 4 {
                return Err(io::ErrorKind::StorageFull.into());
            }
            self.0.extend_from_slice(&bytes[..bytes.len().min(VALUE * 8)]);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }
    let mut room = Room(Vec::new());
    // It fails when the room is full, and what fits is all that is wanted.
    let _ = serde_json::to_writer(&mut room, value);
    clipped(&String::from_utf8_lossy(&room.0), VALUE)
}

/// Adds the places at which an empty array was found and an object was wanted.
fn find_misread(error: &ValidationError<'_>, places: &mut BTreeSet<String>) {
    match error.kind() {
        ValidationErrorKind::Type { kind } if wants_object(kind) && is_empty_array(error.instance()) => {
            places.insert(error.instance_path().as_str().to_owned());
        }
        ValidationErrorKind::AnyOf { context } | ValidationErrorKind::OneOfNotValid { context } => {
            for error in context.iter().flatten() {
                find_misread(error, places);
            }
        }
        _ => {}
    }
}

fn wants_object(kind: &TypeKind) -> bool {
    match kind {
        TypeKind::Single(kind) => *kind == JsonType::Object,
        TypeKind::Multiple(kinds) => kinds.contains(JsonType::Object),
    }
}

fn is_empty_array(value: &Json) -> bool {
    value.as_array().is_some_and(Vec::is_empty)
}

fn read_as_objects(data: &mut Json, places: &BTreeSet<String>) {
    for place in places {
        if let Some(value) = data.pointer_mut(place) {
            *value = Json::Object(serde_json::Map::new());
        }
    }
}

/// In a schema that was a table: its empty arrays become objects where its draft wants objects.
fn read_schema_objects(schema: &mut Json) {
    let mut misread = BTreeSet::new();
    // Of a draft that nobody knows the compilation tells.
    if let Ok(validator) = jsonschema::meta::validator_for(schema) {
        for error in validator.iter_errors(schema) {
            find_misread(&error, &mut misread);
        }
    }
    read_as_objects(schema, &misread);
}
