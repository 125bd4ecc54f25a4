//! Reads typed fields out of an entry's tree. What does not fit is reported with its place, and reading goes on.

use std::cell::RefCell;
use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use super::diagnostic::{Code, Diagnostic, Place};
use super::load::Origin;
use super::place::Step;
use super::yaml::{Map, Node};
use crate::id::EntryId;
use crate::{duration, size};

/// Findings about one entry beyond this many are not made.
pub(super) const MOST: usize = 100;

/// Whether a finding is still made. The first error always is: the entry is broken by it.
pub(super) fn takes(known: &[Diagnostic], found: &Diagnostic) -> bool {
    known.len() < MOST || found.is_error() && !known.iter().any(Diagnostic::is_error)
}

/// Collects what is wrong with one entry (or one configuration file).
pub(super) struct Reader<'a> {
    pub origin: &'a Origin,
    /// Whom the findings concern; none for a file.
    pub id: Option<&'a EntryId>,
    found: RefCell<Vec<Diagnostic>>,
    /// Fields that were misspelt or misplaced: missing, but reported already.
    excused: RefCell<HashSet<String>>,
}

impl<'a> Reader<'a> {
    pub fn new(origin: &'a Origin, id: Option<&'a EntryId>) -> Reader<'a> {
        Reader {
            origin,
            id,
            found: RefCell::default(),
            excused: RefCell::default(),
        }
    }

    pub fn finish(self) -> Vec<Diagnostic> {
        self.found.into_inner()
    }

    /// How much was found so far.
    pub fn count(&self) -> usize {
        self.found.borrow().len()
    }

    /// Whether enough was said: a thousand more findings about one entry help nobody, and cost time.
    pub fn is_full(&self) -> bool {
        self.found.borrow().len() >= MOST
    }

    fn takes(&self, found: &Diagnostic) -> bool {
        takes(&self.found.borrow(), found)
    }

    pub fn report_at(&self, place: Place, found: Diagnostic) {
        if !self.takes(&found) {
            return;
        }
        let found = match self.id {
            Some(id) => found.about(id),
            None => found,
        };
        self.found.borrow_mut().push(found.at(place));
    }

    /// Points at the key of a field of the entry.
    pub fn report_key(&self, steps: &[Step], found: Diagnostic) {
        if !self.takes(&found) {
            return;
        }
        self.report_at(
            self.origin
                .source
                .key(self.origin.document, &self.origin.path_to(steps)),
            found,
        );
    }

    /// Points at the value of a field of the entry.
    pub fn report_value(&self, steps: &[Step], found: Diagnostic) {
        if !self.takes(&found) {
            return;
        }
        self.report_at(
            self.origin
                .source
                .value(self.origin.document, &self.origin.path_to(steps)),
            found,
        );
    }

    /// Points at the entry.
    pub fn report(&self, found: Diagnostic) {
        self.report_at(self.origin.place(), found);
    }

    pub fn second_key(&self, steps: &[Step], key: &str) -> Place {
        let map = [self.origin.path.as_slice(), steps].concat();
        self.origin.source.second_key(self.origin.document, &map, key)
    }

    pub fn expect_no_complaint(&self, path: &str) {
        self.excused.borrow_mut().insert(path.to_owned());
    }

    fn is_excused(&self, path: &str) -> bool {
        self.excused.borrow().contains(path)
    }
}

/// A map of an entry, being read.
pub(super) struct Fields<'a> {
    pub reader: &'a Reader<'a>,
    /// None where the map is not given, or is not a map, which was reported.
    map: Option<&'a Map>,
    steps: Vec<Step>,
    /// `""`, `limits.`, `wasi.env[].`
    prefix: String,
}

const OCTAL: &str = "an octal number as a string, like \"0755\"";
const NO_MAP: Option<&Map> = None;

impl<'a> Fields<'a> {
    /// The top level of an entry.
    pub fn new(reader: &'a Reader<'a>, map: &'a Map) -> Fields<'a> {
        Fields {
            reader,
            map: Some(map),
            steps: Vec::new(),
            prefix: String::new(),
        }
    }

    fn path(&self, name: &str) -> String {
        format!("{}{name}", self.prefix)
    }

    pub fn steps(&self, name: &str) -> Vec<Step> {
        let mut steps = self.steps.clone();
        steps.push(name.into());
        steps
    }

    /// The field, unless it is absent or null.
    pub fn node(&self, name: &str) -> Option<&'a Node> {
        self.map?.get(name).filter(|node| **node != Node::Null)
    }

    /// What the map holds, known or not.
    pub fn names(&self) -> impl Iterator<Item = &'a str> {
        let pairs = self.map.map_or(&[][..], |map| &map.pairs);
        pairs.iter().map(|(key, _)| &*key.text)
    }

    pub fn has(&self, name: &str) -> bool {
        self.node(name).is_some()
    }

    /// A value outside its set.
    pub fn bad(&self, name: &str, found: Diagnostic) {
        self.reader.report_value(&self.steps(name), found);
    }

    pub fn bad_value(&self, name: &str, message: impl Into<String>) {
        self.bad(name, Diagnostic::new(Code::BadValue, message));
    }

    fn wrong_type(&self, steps: &[Step], path: &str, expected: &str, node: &Node) {
        let found = match node {
            Node::Float(number) if expected.starts_with("a whole number") => number.to_string(),
            _ => node.type_name().to_owned(),
        };
        let message = format!("`{path}` must be {expected}, not {found}");
        let quote =
            matches!(expected, "a string" | OCTAL) && matches!(node, Node::Bool(_) | Node::Int(_) | Node::Float(_));
        let label = if quote { "put it in quotes" } else { "" };
        self.reader
            .report_value(steps, Diagnostic::new(Code::WrongType, message).label(label));
    }

    fn expect<T>(&self, name: &str, expected: &str, read: impl FnOnce(&'a Node) -> Option<T>) -> Option<T> {
        let node = self.node(name)?;
        let value = read(node);
        if value.is_none() {
            self.wrong_type(&self.steps(name), &self.path(name), expected, node);
        }
        value
    }

    /// Reports `<path> is required` at what encloses the field.
    pub fn missing(&self, name: &str) {
        let path = self.path(name);
        if self.map.is_none() || self.reader.is_excused(&path) {
            return;
        }
        let found = Diagnostic::new(Code::MissingField, format!("{path} is required"));
        match self.steps.is_empty() {
            true => self.reader.report(found),
            false => self.reader.report_key(&self.steps, found),
        }
    }

    pub fn text(&self, name: &str) -> Option<Arc<str>> {
        self.expect(name, "a string", text_of)
    }

    /// A string that must be there and not be empty. Without one the report is made and the answer is "".
    pub fn required(&self, name: &str) -> Arc<str> {
        match self.node(name) {
            None => self.missing(name),
            Some(Node::Str(text)) if !text.is_empty() => return text.clone(),
            Some(Node::Str(_)) => {
                let message = format!("{} is required", self.path(name));
                self.bad(name, Diagnostic::new(Code::MissingField, message));
            }
            Some(_) => {
                self.text(name);
            }
        }
        "".into()
    }

    pub fn flag(&self, name: &str) -> Option<bool> {
        self.expect(name, "true or false", |node| match node {
            Node::Bool(flag) => Some(*flag),
            _ => None,
        })
    }

    pub fn float(&self, name: &str) -> Option<f64> {
        let value = self.expect(name, "a number", |node| match node {
            Node::Int(number) => Some(*number as f64),
            Node::Float(number) => Some(*number),
            _ => None,
        })?;
        if value.is_finite() && value >= 0.0 {
            return Some(value);
        }
        self.bad_value(name, format!("{} cannot be negative", self.path(name)));
        None
    }

    /// A whole number from 0 up; another one is reported under `code`.
    pub fn count(&self, name: &str, code: Code) -> Option<u64> {
        let number = self.expect(name, "a whole number", whole)?;
        self.not_negative(name, number, code)
    }

    /// A whole number of bytes or a text such as `64MiB`.
    pub fn size(&self, name: &str, code: Code) -> Option<u64> {
        let expected = "a whole number of bytes or a text like \"64MiB\"";
        if let Some(Node::Str(text)) = self.node(name) {
            match size::parse(text) {
                Ok(bytes) => return Some(bytes),
                Err(_) if text.starts_with('-') => self.negative(name, code),
                Err(error) => self.bad(name, Diagnostic::new(code, format!("{}: {error}", self.path(name)))),
            }
            return None;
        }
        let number = self.expect(name, expected, whole)?;
        self.not_negative(name, number, code)
    }

    fn not_negative(&self, name: &str, number: f64, code: Code) -> Option<u64> {
        if number < 0.0 {
            self.negative(name, code);
            return None;
        }
        // Beyond this no limit limits, and the kernel's arithmetic stays away from overflow.
        if number > (1_u64 << 53) as f64 {
            self.bad(name, Diagnostic::new(code, format!("{} is too large", self.path(name))));
            return None;
        }
        Some(number as u64)
    }

    fn negative(&self, name: &str, code: Code) {
        let message = match self.prefix.as_str() {
            "pool." => "pool values cannot be negative".to_owned(),
            _ => format!("{} cannot be negative", self.path(name)),
        };
        self.bad(name, Diagnostic::new(code, message));
    }

    pub fn duration(&self, name: &str) -> Option<Duration> {
        let text = self.expect(name, "a duration as a string, like \"10s\"", text_of)?;
        match duration::parse(&text).map(u64::try_from) {
            Ok(Ok(nanoseconds)) => return Some(Duration::from_nanos(nanoseconds)),
            Ok(Err(_)) => self.bad_value(name, format!("{} cannot be negative", self.path(name))),
            Err(error) => self.bad_value(name, format!("{}: {error}", self.path(name))),
        }
        None
    }

    /// Permission bits as octal text.
    pub fn mode(&self, name: &str) -> Option<u32> {
        let text = self.expect(name, OCTAL, text_of)?;
        let digits = text.strip_prefix("0o").unwrap_or(&text);
        let bits = u32::from_str_radix(digits, 8)
            .ok()
            .filter(|bits| *bits <= 0o777 && !digits.starts_with('+'));
        if bits.is_none() {
            self.bad_value(
                name,
                format!("{}: {text:?} is not an octal mode like \"0755\"", self.path(name)),
            );
        }
        bits
    }

    /// One of a set of words.
    pub fn word<T: Copy>(&self, name: &str, words: &[(&str, T)], otherwise: &str) -> Option<T> {
        let text = self.text(name)?;
        let known = words.iter().find(|(word, _)| *word == &*text);
        if known.is_none() {
            let names: Vec<String> = words.iter().map(|(word, _)| format!("`{word}`")).collect();
            let found = Diagnostic::new(Code::BadValue, otherwise).label(format!("expected {}", names.join(" or ")));
            self.bad(name, found);
        }
        known.map(|(_, value)| *value)
    }

    /// The items of a list, each with the steps that lead to it.
    pub fn list(&self, name: &str, expected: &str) -> Vec<(Vec<Step>, &'a Node)> {
        let items = self.expect(name, expected, |node| match node {
            Node::List(items) => Some(items),
            _ => None,
        });
        let step = |at| [self.steps(name), vec![Step::Index(at)]].concat();
        items
            .into_iter()
            .flatten()
            .enumerate()
            .map(|(at, node)| (step(at), node))
            .collect()
    }

    /// A list of strings.
    pub fn texts(&self, name: &str) -> Vec<(Vec<Step>, Arc<str>)> {
        let mut texts = Vec::new();
        for (steps, node) in self.list(name, "a list of strings") {
            match node {
                Node::Str(text) => texts.push((steps, text.clone())),
                _ => self.wrong_type(&steps, &format!("{}[]", self.path(name)), "a string", node),
            }
        }
        texts
    }

    /// A map from names to strings, in order.
    pub fn pairs(&self, name: &str, expected: &str) -> Vec<(Vec<Step>, Arc<str>, Arc<str>)> {
        let map = self.expect(name, expected, Node::as_map);
        let mut pairs = Vec::new();
        for (key, node) in map.map_or(&[][..], |map| &map.pairs) {
            let steps = [self.steps(name), vec![Step::Key(key.text.clone())]].concat();
            match node {
                Node::Str(text) => pairs.push((steps, key.text.clone(), text.clone())),
                _ => self.wrong_type(&steps, &format!("{}.{}", self.path(name), key.text), "a string", node),
            }
        }
        pairs
    }

    /// A map with known fields; without it a map in which everything is absent.
    pub fn map(&self, name: &str) -> Fields<'a> {
        Fields {
            reader: self.reader,
            map: self.expect(name, "a map", Node::as_map).or(NO_MAP),
            steps: self.steps(name),
            prefix: format!("{}{name}.", self.prefix),
        }
    }

    /// A list of maps with known fields.
    pub fn maps(&self, name: &str) -> Vec<Fields<'a>> {
        let prefix = format!("{}{name}[].", self.prefix);
        let mut maps = Vec::new();
        for (steps, node) in self.list(name, "a list of maps") {
            match node {
                Node::Map(map) => maps.push(Fields {
                    reader: self.reader,
                    map: Some(map),
                    steps,
                    prefix: prefix.clone(),
                }),
                _ => self.wrong_type(&steps, &format!("{}{name}[]", self.prefix), "a map", node),
            }
        }
        maps
    }

    /// The text as the id of an entry, seen from the entry's namespace.
    pub fn id(&self, steps: &[Step], text: &str) -> Option<EntryId> {
        let namespace = self.reader.id.map_or("", EntryId::namespace);
        match EntryId::resolve(text, namespace) {
            Ok(id) => Some(id),
            Err(error) => {
                self.reader
                    .report_value(steps, Diagnostic::new(Code::BadId, error.message()));
                None
            }
        }
    }

    /// An id that must have its namespace written out.
    pub fn full_id(&self, steps: &[Step], name: &str, text: &str) -> Option<EntryId> {
        if text.contains(':') {
            return self.id(steps, text);
        }
        let namespace = self.reader.id.map_or("namespace", EntryId::namespace);
        let found = Diagnostic::new(Code::BadId, format!("`{name}` needs a full id, namespace:name"))
            .label(format!("did you mean `{namespace}:{text}`?"));
        self.reader.report_value(steps, found);
        None
    }

    /// A required reference.
    pub fn required_id(&self, name: &str) -> Option<EntryId> {
        let text = self.required(name);
        if text.is_empty() {
            None
        } else {
            self.id(&self.steps(name), &text)
        }
    }
}

fn text_of(node: &Node) -> Option<Arc<str>> {
    match node {
        Node::Str(text) => Some(text.clone()),
        _ => None,
    }
}

/// A number without a fraction.
fn whole(node: &Node) -> Option<f64> {
    match node {
        Node::Int(number) => Some(*number as f64),
        Node::Float(number) if number.fract() == 0.0 => Some(*number),
        _ => None,
    }
}
