//! Queries over the entries, for `registry.find`: what is asked of an entry's id and of its `meta`.
//!
//! | key | asks that |
//! |---|---|
//! | `.kind .name .ns .id` | that part has this text; `*` stands for any text |
//! | `meta.<path>` | the value there equals this one |
//! | `~meta.<path>` | the text there has a match of this regular expression |
//! | `*meta.<path>` | the text there, or an item of the array there, contains this text |
//! | `^meta.<path>` `$meta.<path>` | the text there begins, ends with this one |
//! | `meta` | each of its fields is equal to the one of that name |
//!
//! An entry is found when all of it holds. Other keys ask nothing.

use regex::{Regex, RegexBuilder};

use super::entry::Entry;
use crate::error::{Error, Result};
use crate::value::{Table, Value};

/// Bytes that a compiled regular expression may take: compiling takes longer the larger it gets.
const REGEX_SIZE: usize = 1 << 20;

/// What is asked of each entry.
#[derive(Debug, Default)]
pub struct Query {
    demands: Vec<Demand>,
}

#[derive(Debug)]
enum Demand {
    Part(Part, String),
    Meta(String, Wanted),
}

#[derive(Clone, Copy, Debug)]
enum Part {
    Kind,
    Name,
    Namespace,
    Id,
}

/// What a value of `meta` must be.
#[derive(Debug)]
enum Wanted {
    Equal(Value),
    Match(Regex),
    Containing(Value),
    Beginning(String),
    Ending(String),
}

impl Query {
    /// Reads a table of keys and expected values.
    ///
    /// # Errors
    /// Invalid when a text is expected and something else is given, and for a malformed regular expression.
    pub fn new(table: &Table) -> Result<Query> {
        let mut query = Query::default();
        for (key, value) in &table.pairs {
            if let Some(key) = key.as_str() {
                query.demands.extend(demand(key, value)?);
            }
        }
        Ok(query)
    }

    pub fn matches(&self, entry: &Entry) -> bool {
        self.demands.iter().all(|demand| demand.holds(entry))
    }
}

fn demand(key: &str, value: &Value) -> Result<Option<Demand>> {
    let part = match key {
        ".kind" => Part::Kind,
        ".name" => Part::Name,
        ".ns" => Part::Namespace,
        ".id" => Part::Id,
        "meta" => return Ok(Some(Demand::Meta(String::new(), Wanted::Equal(value.clone())))),
        _ => return meta_demand(key, value),
    };
    Ok(Some(Demand::Part(part, text(key, value)?)))
}

fn meta_demand(key: &str, value: &Value) -> Result<Option<Demand>> {
    let plain = key.trim_start_matches(['~', '*', '^', '$']);
    let (operator, Some(path)) = (&key[..key.len() - plain.len()], plain.strip_prefix("meta.")) else {
        return Ok(None);
    };
    let wanted = match operator {
        "" => Wanted::Equal(value.clone()),
        "~" => Wanted::Match(regex(key, &text(key, value)?)?),
        "*" => Wanted::Containing(value.clone()),
        "^" => Wanted::Beginning(text(key, value)?),
        "$" => Wanted::Ending(text(key, value)?),
        _ => return Ok(None),
    };
    Ok(Some(Demand::Meta(path.to_owned(), wanted)))
}

fn text(key: &str, value: &Value) -> Result<String> {
    let text = value.as_str().map(str::to_owned);
    text.ok_or_else(|| Error::invalid(format!("`{key}` must be a text, not {}", value.type_name())))
}

fn regex(key: &str, pattern: &str) -> Result<Regex> {
    let built = RegexBuilder::new(pattern).size_limit(REGEX_SIZE).build();
    built.map_err(|fault| Error::invalid(format!("`{key}` is not a regular expression: {fault}")))
}

impl Demand {
    fn holds(&self, entry: &Entry) -> bool {
        match self {
            Demand::Part(part, pattern) => fits(pattern, part.of(entry)),
            Demand::Meta(path, wanted) => at(&entry.meta, path).is_some_and(|value| wanted.accepts(value)),
        }
    }
}

impl Part {
    fn of(self, entry: &Entry) -> &str {
        match self {
            Part::Kind => &entry.kind,
            Part::Name => entry.id.name(),
            Part::Namespace => entry.id.namespace(),
            Part::Id => entry.id.as_str(),
        }
    }
}

impl Wanted {
    fn accepts(&self, value: &Value) -> bool {
        let shown = || value.as_str().unwrap_or_default();
        match self {
            Wanted::Equal(wanted) => equal(value, wanted),
            Wanted::Match(regex) => value.as_str().is_some_and(|text| regex.is_match(text)),
            Wanted::Containing(wanted) => contains(value, wanted),
            Wanted::Beginning(wanted) => shown().starts_with(wanted.as_str()),
            Wanted::Ending(wanted) => shown().ends_with(wanted.as_str()),
        }
    }
}

/// Whether a text has this shape, `*` standing for any text.
fn fits(pattern: &str, text: &str) -> bool {
    let Some((first, rest)) = pattern.split_once('*') else {
        return pattern == text;
    };
    let (middle, last) = rest.rsplit_once('*').unwrap_or(("", rest));
    let Some(text) = text.strip_prefix(first).and_then(|text| text.strip_suffix(last)) else {
        return false;
    };
    // The leftmost place of each piece leaves the most room for the next.
    let after = |left: &'_ str, piece: &str| left.find(piece).map(|at| at + piece.len());
    let mut left = text;
    for piece in middle.split('*') {
        match after(left, piece) {
            Some(end) => left = &left[end..],
            None => return false,
        }
    }
    true
}

/// The value at a dotted path. A key that has dots itself goes before a path.
fn at<'a>(value: &'a Value, path: &str) -> Option<&'a Value> {
    if path.is_empty() {
        return Some(value);
    }
    value.get(path).or_else(|| {
        let (first, rest) = path.split_once('.')?;
        at(value.get(first)?, rest)
    })
}

/// Whether the value is what was expected: all items of an expected array are in it, all fields of an expected table are
/// equal to its own.
fn equal(value: &Value, wanted: &Value) -> bool {
    match (value, wanted) {
        (Value::Int(whole), Value::Float(number)) | (Value::Float(number), Value::Int(whole)) => {
            *number == *whole as f64
        }
        (Value::Table(own), Value::Table(wanted)) => {
            let has_item = |item: &Value| own.array.iter().any(|own| equal(own, item));
            let has_field = |(key, field): &(Value, Value)| {
                let own = key.as_str().and_then(|key| own.get(key));
                own.is_some_and(|own| equal(own, field))
            };
            wanted.array.iter().all(has_item) && wanted.pairs.iter().all(has_field)
        }
        _ => value == wanted,
    }
}

fn contains(value: &Value, wanted: &Value) -> bool {
    match (value, wanted) {
        (Value::Table(own), _) => own.array.iter().any(|item| contains(item, wanted)),
        (Value::Str(text), Value::Str(part)) => {
            part.is_empty() || text.windows(part.len()).any(|window| window == part.as_slice())
        }
        _ => equal(value, wanted),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::id::EntryId;
    use crate::project::Spec;

    fn entry() -> Entry {
        let mut entry = Entry::made(EntryId::new("app.api", "get_user"), "function.lua", Spec::Unknown);
        entry.meta = Value::map([
            ("title", Value::from("Users")),
            ("level", Value::Int(5)),
            ("tags", Value::array([Value::from("public"), Value::from("v1")])),
            (
                "owner",
                Value::map([("team", Value::from("core")), ("a.b", Value::Bool(true))]),
            ),
            ("dotted.key", Value::from("x")),
        ]);
        entry
    }

    fn found(pairs: &[(&str, Value)]) -> bool {
        let table = Table {
            pairs: pairs
                .iter()
                .map(|(key, value)| (Value::from(*key), value.clone()))
                .collect(),
            ..Table::default()
        };
        Query::new(&table).unwrap().matches(&entry())
    }

    #[test]
    fn parts_of_the_id_are_matched_with_stars() {
        let yes = [
            (".kind", "function.lua"),
            (".kind", "function.*"),
            (".kind", "*"),
            (".name", "get_*"),
            (".name", "*user"),
            (".name", "g*t*r"),
            (".ns", "app.api"),
            (".ns", "app.*"),
            (".id", "app*:*user"),
            (".id", "app.api:get_user"),
        ];
        for (key, pattern) in yes {
            assert!(found(&[(key, pattern.into())]), "{key} {pattern}");
        }
        let no = [
            (".kind", "function"),
            (".kind", "*.wasm"),
            (".name", "user"),
            (".name", "get_user*r"),
            (".name", "g*x*r"),
            (".ns", "app"),
            (".id", "get_user"),
        ];
        for (key, pattern) in no {
            assert!(!found(&[(key, pattern.into())]), "{key} {pattern}");
        }
        assert!(!found(&[(".kind", "function.*".into()), (".name", "other".into())]));
    }

    #[test]
    fn values_of_meta_are_compared() {
        let tags = |items: &[&str]| Value::array(items.iter().map(|item| Value::from(*item)));
        let yes = [
            ("meta.title", "Users".into()),
            ("meta.level", Value::Float(5.0)),
            ("meta.owner.team", "core".into()),
            ("meta.owner.a.b", true.into()),
            ("meta.dotted.key", "x".into()),
            ("meta.tags", tags(&["v1"])),
            ("meta.tags", tags(&["v1", "public"])),
            ("~meta.title", "^U.*s$".into()),
            ("*meta.title", "ser".into()),
            ("*meta.tags", "public".into()),
            ("^meta.title", "Us".into()),
            ("$meta.title", "ers".into()),
            ("meta", Value::map([("owner", Value::map([("team", "core".into())]))])),
            ("meta", Value::map([("level", 5.into()), ("tags", tags(&["v1"]))])),
            ("nonsense", "x".into()),
            ("!meta.title", "x".into()),
        ];
        for (key, value) in yes {
            assert!(found(&[(key, value.clone())]), "{key} {value:?}");
        }
        let no = [
            ("meta.title", "users".into()),
            ("meta.level", 6.into()),
            ("meta.missing", Value::Nil),
            ("meta.title.x", "Users".into()),
            ("meta.tags", tags(&["v1", "private"])),
            ("meta.title", tags(&["Users"])),
            ("~meta.title", "^s".into()),
            ("~meta.level", "5".into()),
            ("*meta.tags", "private".into()),
            ("^meta.title", "ers".into()),
            ("$meta.title", "Us".into()),
            ("meta", Value::map([("owner", Value::map([("team", "edge".into())]))])),
        ];
        for (key, value) in no {
            assert!(!found(&[(key, value.clone())]), "{key} {value:?}");
        }
    }

    #[test]
    fn wrong_expectations_say_which_key() {
        for (key, value, text) in [
            (".kind", Value::Int(1), "`.kind` must be a text, not number"),
            ("^meta.x", Value::Bool(true), "`^meta.x` must be a text, not boolean"),
            ("~meta.x", "(".into(), "`~meta.x` is not a regular expression"),
            (
                "~meta.x",
                "(\\w{500}){500}".into(),
                "`~meta.x` is not a regular expression",
            ),
        ] {
            let table = Table {
                pairs: vec![(key.into(), value)],
                ..Table::default()
            };
            let error = Query::new(&table).unwrap_err();
            assert!(error.message().starts_with(text), "{error}");
        }
    }
}
