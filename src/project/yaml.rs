//! Text to trees. `serde_yaml` (and `serde_json` for `.json`) alone decides what a document means; where things stand in
//! the file is the business of [`place`](super::place).
//!
//! A [`Node`] keeps keys in order and keeps a key that is given twice, so that one entry can be blamed for it rather than
//! the whole file. Invariant: the tree of a document is bounded by the size of its text. Aliases are expanded, and a
//! budget stops the ones that multiply.

use std::cell::Cell;
use std::collections::HashSet;
use std::fmt;
use std::sync::Arc;

use serde::de::{self, DeserializeSeed, EnumAccess, MapAccess, SeqAccess, VariantAccess, Visitor};

use super::place::{self, Step};
use crate::value::Value;

/// A value of a document. Strings are shared: copying a tree does not copy texts.
#[derive(Clone, PartialEq, Default)]
pub enum Node {
    #[default]
    Null,
    Bool(bool),
    Int(i64),
    Float(f64),
    Str(Arc<str>),
    List(Vec<Node>),
    Map(Map),
}

/// Keys with their values in the order written. [`Map::get`] sees the first of two equal keys.
#[derive(Clone, PartialEq, Default)]
pub struct Map {
    pub pairs: Vec<(Key, Node)>,
}

/// A key as text; the bare key `1` is text here and a number in [`Node::to_value`].
#[derive(Clone, PartialEq, Debug)]
pub struct Key {
    pub text: Arc<str>,
    number: Option<i64>,
}

impl Key {
    pub fn new(text: impl Into<Arc<str>>) -> Key {
        Key {
            text: text.into(),
            number: None,
        }
    }
}

impl Map {
    pub fn get(&self, key: &str) -> Option<&Node> {
        self.pairs
            .iter()
            .find(|(name, _)| &*name.text == key)
            .map(|(_, node)| node)
    }

    /// All keys.
    pub fn names(&self) -> HashSet<Arc<str>> {
        self.pairs.iter().map(|(key, _)| key.text.clone()).collect()
    }

    /// Keys that occur more than once, each named once.
    pub fn repeated(&self) -> Vec<&str> {
        let mut seen = std::collections::HashMap::new();
        for (key, _) in &self.pairs {
            *seen.entry(&*key.text).or_insert(0_usize) += 1;
        }
        let mut twice = Vec::new();
        for (key, _) in &self.pairs {
            if seen.remove(&*key.text).is_some_and(|count| count > 1) {
                twice.push(&*key.text);
            }
        }
        twice
    }
}

impl Node {
    pub fn as_str(&self) -> Option<&str> {
        match self {
            Node::Str(text) => Some(text),
            _ => None,
        }
    }

    pub fn as_map(&self) -> Option<&Map> {
        match self {
            Node::Map(map) => Some(map),
            _ => None,
        }
    }

    pub fn get(&self, key: &str) -> Option<&Node> {
        self.as_map()?.get(key)
    }

    /// With an article, for messages.
    pub fn type_name(&self) -> &'static str {
        match self {
            Node::Null => "nothing",
            Node::Bool(_) => "a boolean",
            Node::Int(_) | Node::Float(_) => "a number",
            Node::Str(_) => "a string",
            Node::List(_) => "a list",
            Node::Map(_) => "a map",
        }
    }

    /// Shows every string in it to `change`, with the path to it: `steps` and what is below.
    pub fn each_text(&mut self, steps: &mut Vec<Step>, change: &mut impl FnMut(&mut Arc<str>, &[Step])) {
        match self {
            Node::Str(text) => change(text, steps),
            Node::List(items) => {
                for (at, item) in items.iter_mut().enumerate() {
                    steps.push(Step::Index(at));
                    item.each_text(steps, change);
                    steps.pop();
                }
            }
            Node::Map(map) => {
                for (key, node) in &mut map.pairs {
                    steps.push(Step::Key(key.text.clone()));
                    node.each_text(steps, change);
                    steps.pop();
                }
            }
            Node::Null | Node::Bool(_) | Node::Int(_) | Node::Float(_) => {}
        }
    }

    /// As plain data for Lua. Nulls in maps leave no field; in a list they become nil in their place.
    pub fn to_value(&self) -> Value {
        match self {
            Node::Null => Value::Nil,
            Node::Bool(flag) => Value::Bool(*flag),
            Node::Int(number) => Value::Int(*number),
            Node::Float(number) => Value::Float(*number),
            Node::Str(text) => Value::str(&**text),
            Node::List(items) => Value::array(items.iter().map(Node::to_value)),
            Node::Map(map) => map.to_value(),
        }
    }
}

impl Map {
    fn to_value(&self) -> Value {
        let mut table = crate::value::Table::default();
        let mut seen = HashSet::new();
        for (key, node) in &self.pairs {
            if seen.insert((&*key.text, key.number)) && *node != Node::Null {
                let name = key.number.map_or_else(|| Value::str(&*key.text), Value::Int);
                table.pairs.push((name, node.to_value()));
            }
        }
        Value::Table(Box::new(table))
    }
}

impl fmt::Debug for Node {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Node::Null => f.write_str("null"),
            Node::Bool(flag) => write!(f, "{flag}"),
            Node::Int(number) => write!(f, "{number}"),
            Node::Float(number) => write!(f, "{number:?}"),
            Node::Str(text) => write!(f, "{text:?}"),
            Node::List(items) => f.debug_list().entries(items).finish(),
            Node::Map(map) => f
                .debug_map()
                .entries(map.pairs.iter().map(|(key, node)| (&key.text, node)))
                .finish(),
        }
    }
}

/// Why a text is not a document, and where, counted from 1.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SyntaxError {
    pub message: String,
    pub line: u32,
    pub column: u32,
}

/// The documents of a file, in order: one, unless a YAML text has several. An empty text is one `Null`.
///
/// # Errors
/// The first thing that is not well-formed; deeper nesting than 128 and aliases that multiply count as that.
pub fn parse(text: &str, json: bool) -> Result<Vec<Node>, SyntaxError> {
    let budget = Cell::new(text.len().saturating_mul(4).saturating_add(1 << 20));
    if json {
        parse_json(text, &budget)
    } else {
        parse_yaml(text, &budget)
    }
}

fn parse_json(text: &str, budget: &Cell<usize>) -> Result<Vec<Node>, SyntaxError> {
    let mut deserializer = serde_json::Deserializer::from_str(text);
    let node = Seed(budget).deserialize(&mut deserializer);
    let node = node.and_then(|node| deserializer.end().map(|()| vec![node]));
    node.map_err(|error| SyntaxError {
        line: number(error.line()),
        column: number(error.column()),
        message: strip_position(&error.to_string()),
    })
}

fn parse_yaml(text: &str, budget: &Cell<usize>) -> Result<Vec<Node>, SyntaxError> {
    if text.trim().is_empty() {
        return Ok(vec![Node::Null]);
    }
    if place::is_nested_deeper(text, DEEPEST) {
        return Err(too_deep());
    }
    let mut documents = Vec::new();
    for document in serde_yaml::Deserializer::from_str(text) {
        documents.push(Seed(budget).deserialize(document).map_err(|error| yaml_error(&error))?);
    }
    Ok(documents)
}

/// What `serde_yaml` itself allows. Looked at before, because its scanner takes quadratic time on deep nesting.
const DEEPEST: usize = 128;

fn too_deep() -> SyntaxError {
    SyntaxError {
        message: format!("nested deeper than {DEEPEST} lists and maps"),
        line: 1,
        column: 1,
    }
}

/// The budget of ours, and the one of `serde_yaml`.
const TOO_LARGE: &str = "aliases make the document many times larger than its text";
const TOO_LARGE_FOR_SERDE: &str = "repetition limit exceeded";

fn yaml_error(error: &serde_yaml::Error) -> SyntaxError {
    let place = error.location();
    let message = strip_position(&error.to_string());
    SyntaxError {
        message: match message == TOO_LARGE_FOR_SERDE {
            true => TOO_LARGE.to_owned(),
            false => message,
        },
        line: place.as_ref().map_or(1, |place| number(place.line())),
        column: place.as_ref().map_or(1, |place| number(place.column())),
    }
}

fn number(count: usize) -> u32 {
    u32::try_from(count).unwrap_or(u32::MAX).max(1)
}

/// The message without its ` at line …`, which the place says already.
fn strip_position(message: &str) -> String {
    message
        .find(" at line ")
        .map_or(message, |at| &message[..at])
        .to_owned()
}

/// Makes nodes, paying for each from the budget.
#[derive(Clone, Copy)]
struct Seed<'b>(&'b Cell<usize>);

impl Seed<'_> {
    fn pay<E: de::Error>(self, cost: usize) -> Result<(), E> {
        match self.0.get().checked_sub(cost) {
            Some(left) => {
                self.0.set(left);
                Ok(())
            }
            None => Err(E::custom(TOO_LARGE)),
        }
    }

    fn text<E: de::Error>(self, text: &str) -> Result<Node, E> {
        self.pay(text.len() + 1)?;
        Ok(Node::Str(text.into()))
    }
}

impl<'de> DeserializeSeed<'de> for Seed<'_> {
    type Value = Node;

    fn deserialize<D: de::Deserializer<'de>>(self, deserializer: D) -> Result<Node, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Seed<'_> {
    type Value = Node;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value")
    }

    fn visit_unit<E: de::Error>(self) -> Result<Node, E> {
        self.pay(1)?;
        Ok(Node::Null)
    }

    fn visit_none<E: de::Error>(self) -> Result<Node, E> {
        self.visit_unit()
    }

    fn visit_some<D: de::Deserializer<'de>>(self, deserializer: D) -> Result<Node, D::Error> {
        self.deserialize(deserializer)
    }

    fn visit_bool<E: de::Error>(self, flag: bool) -> Result<Node, E> {
        self.pay(1)?;
        Ok(Node::Bool(flag))
    }

    fn visit_i64<E: de::Error>(self, number: i64) -> Result<Node, E> {
        self.pay(1)?;
        Ok(Node::Int(number))
    }

    fn visit_u64<E: de::Error>(self, number: u64) -> Result<Node, E> {
        self.pay(1)?;
        Ok(i64::try_from(number).map_or(Node::Float(number as f64), Node::Int))
    }

    fn visit_u128<E: de::Error>(self, number: u128) -> Result<Node, E> {
        self.visit_f64(number as f64)
    }

    fn visit_i128<E: de::Error>(self, number: i128) -> Result<Node, E> {
        self.visit_f64(number as f64)
    }

    fn visit_f64<E: de::Error>(self, number: f64) -> Result<Node, E> {
        self.pay(1)?;
        Ok(Node::Float(number))
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<Node, E> {
        self.text(text)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Node, A::Error> {
        self.pay(1)?;
        let mut list = Vec::new();
        while let Some(item) = items.next_element_seed(self)? {
            list.push(item);
        }
        Ok(Node::List(list))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut items: A) -> Result<Node, A::Error> {
        self.pay(1)?;
        let mut map = Map::default();
        let mut merged = Vec::new();
        while let Some(key) = items.next_key_seed(self)? {
            let node = items.next_value_seed(self)?;
            match key {
                Node::Str(text) if &*text == "<<" && is_mergeable(&node) => merged.push(node),
                key => map.pairs.push((to_key(key)?, node)),
            }
        }
        if !merged.is_empty() {
            let mut own = map.names();
            merged.into_iter().for_each(|node| merge(&mut map, &mut own, node));
        }
        Ok(Node::Map(map))
    }

    /// A tagged value, `!tag value`: the tag says nothing here.
    fn visit_enum<A: EnumAccess<'de>>(self, tagged: A) -> Result<Node, A::Error> {
        let (_tag, value) = tagged.variant_seed(self)?;
        value.newtype_variant_seed(self)
    }
}

fn is_mergeable(node: &Node) -> bool {
    match node {
        Node::Map(_) => true,
        Node::List(items) => items.iter().all(|item| matches!(item, Node::Map(_))),
        _ => false,
    }
}

/// YAML's merge key: what the map does not say itself comes from the merged ones, the first of them counting.
fn merge(map: &mut Map, known: &mut HashSet<Arc<str>>, node: Node) {
    match node {
        Node::Map(more) => {
            let new = more.pairs.into_iter().filter(|(key, _)| known.insert(key.text.clone()));
            map.pairs.extend(new);
        }
        Node::List(items) => items.into_iter().for_each(|item| merge(map, known, item)),
        _ => {}
    }
}

fn to_key<E: de::Error>(node: Node) -> Result<Key, E> {
    let text: Arc<str> = match node {
        Node::Str(text) => return Ok(Key::new(text)),
        Node::Int(number) => {
            return Ok(Key {
                text: number.to_string().into(),
                number: Some(number),
            });
        }
        Node::Bool(flag) => flag.to_string().into(),
        Node::Float(number) => number.to_string().into(),
        Node::Null => "null".into(),
        Node::List(_) | Node::Map(_) => return Err(E::custom("a key must be a plain value, not a list or a map")),
    };
    Ok(Key::new(text))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn one(text: &str) -> Node {
        parse(text, false).unwrap().remove(0)
    }

    #[test]
    fn documents_mean_what_serde_yaml_says() {
        let node = one("a: 1\nb: [x, 1.5, true, null, ~]\nc: |\n  two\n  lines\n1: one\n'2': two\n");
        assert_eq!(node.get("a"), Some(&Node::Int(1)));
        assert_eq!(
            format!("{:?}", node.get("b").unwrap()),
            r#"["x", 1.5, true, null, null]"#
        );
        assert_eq!(node.get("c").and_then(Node::as_str), Some("two\nlines\n"));
        let Value::Table(table) = node.to_value() else { panic!() };
        assert!(table.pairs.contains(&(Value::Int(1), "one".into())));
        assert!(table.pairs.contains(&("2".into(), "two".into())));
        assert_eq!(one(""), Node::Null);
        assert_eq!(one("# only a comment\n"), Node::Null);
        assert_eq!(one("\u{feff}a: 1").get("a"), Some(&Node::Int(1)));
    }

    #[test]
    fn keys_given_twice_are_kept_and_named_once() {
        let node = one("a: 1\nb: 2\na: 3\na: 4\n");
        assert_eq!(node.get("a"), Some(&Node::Int(1)));
        assert_eq!(node.as_map().unwrap().repeated(), ["a"]);
    }

    #[test]
    fn merge_keys_aliases_and_tags() {
        let node = one("base: &b {x: 1, y: 2}\nuse: {<<: *b, y: 3}\nmany: {<<: [*b, {z: 4}]}\ntag: !foo {a: !bar 1}\n");
        assert_eq!(format!("{:?}", node.get("use").unwrap()), r#"{"y": 3, "x": 1}"#);
        assert_eq!(
            format!("{:?}", node.get("many").unwrap()),
            r#"{"x": 1, "y": 2, "z": 4}"#
        );
        assert_eq!(node.get("tag").unwrap().get("a"), Some(&Node::Int(1)));
    }

    #[test]
    fn several_documents_in_one_file() {
        let documents = parse("a: 1\n---\nb: 2\n", false).unwrap();
        assert_eq!(documents.len(), 2);
        assert_eq!(documents[1].get("b"), Some(&Node::Int(2)));
    }

    #[test]
    fn json_is_json() {
        let node = parse("{\n\t\"a\": \"\\ud83d\\ude00\\/\",\n\t\"a\": 2}", true)
            .unwrap()
            .remove(0);
        assert_eq!(node.get("a").and_then(Node::as_str), Some("😀/"));
        let error = parse("{\n \"a\": 1,}", true).unwrap_err();
        assert_eq!((error.line, error.message.as_str()), (2, "trailing comma"));
        assert!(parse("{} {}", true).is_err());
    }

    #[test]
    fn errors_name_line_and_column() {
        for (text, line, column) in [
            ("a: 1\n\tb: 2\n", 2, 1),
            ("a: [1, 2\nb: 3\n", 2, 2),
            ("a: 'x\n", 2, 1),
            ("a: *nobody\n", 1, 4),
            ("\u{0}\u{1}\u{2}", 1, 1),
            ("{[1]: 2}", 1, 1),
        ] {
            let error = parse(text, false).unwrap_err();
            assert_eq!((error.line, error.column), (line, column), "{text:?}: {error:?}");
            assert!(!error.message.contains(" at line "), "{error:?}");
        }
    }

    #[test]
    fn alias_bombs_are_refused_quickly() {
        let mut billion = "a0: &a0 [x,x,x,x,x,x,x,x,x,x]\n".to_owned();
        for level in 1..12 {
            let row = vec![format!("*a{}", level - 1); 10].join(",");
            billion.push_str(&format!("a{level}: &a{level} [{row}]\n"));
        }
        assert!(parse(&billion, false).unwrap_err().message.contains("aliases"));
        let long = format!("a: &a {}\nb: [{}]\n", "x".repeat(1 << 20), vec!["*a"; 5000].join(","));
        assert!(parse(&long, false).unwrap_err().message.contains("aliases"));
        assert!(parse("a: &a [*a]\n", false).is_err());
    }

    #[test]
    fn deep_nesting_and_long_scalars_neither_hang_nor_overflow() {
        for (open, close) in [("[", "]"), ("{a: ", "}"), ("- ", "")] {
            let deep = format!("{}1{}", open.repeat(200_000), close.repeat(200_000));
            assert!(parse(&deep, false).is_err(), "{open}");
        }
        assert!(parse(&"[".repeat(100_000), true).is_err());
        let long = "x".repeat(10 << 20);
        assert_eq!(one(&format!("a: {long}")).get("a").and_then(Node::as_str), Some(&*long));
    }
}
