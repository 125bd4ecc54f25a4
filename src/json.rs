//! Plain data as JSON for people, scripts and guests: log fields, results, lists. Lossy where JSON has no word for it.

use serde_json::{Map, Number, Value as Json};

use crate::value::{Table, Value};

/// Anything as JSON: bytes that are not UTF-8 and keys that are not strings are shown as well as can be.
pub fn from(value: &Value) -> Json {
    match value {
        Value::Nil => Json::Null,
        Value::Bool(flag) => Json::Bool(*flag),
        Value::Int(number) => Json::from(*number),
        Value::Float(number) => Number::from_f64(*number).map_or_else(|| Json::from(number.to_string()), Json::Number),
        Value::Str(bytes) => Json::String(String::from_utf8_lossy(bytes).into_owned()),
        Value::Table(table) => from_table(table),
        Value::Error(error) => Json::String(error.to_string()),
    }
}

fn from_table(table: &Table) -> Json {
    if table.pairs.is_empty() && !table.record {
        return Json::Array(table.array.iter().map(from).collect());
    }
    let numbered = table.array.iter().enumerate();
    let mut object: Map<String, Json> = numbered.map(|(at, item)| ((at + 1).to_string(), from(item))).collect();
    object.extend(table.pairs.iter().map(|(key, item)| (key_text(key), from(item))));
    Json::Object(object)
}

fn key_text(key: &Value) -> String {
    match from(key) {
        Json::String(text) => text,
        other => other.to_string(),
    }
}

/// A value in a line of text: strings as they are when they need no quotes, anything else as JSON.
pub fn compact(value: &Value) -> String {
    match from(value) {
        Json::String(text) if is_plain(&text) => text,
        other => other.to_string(),
    }
}

fn is_plain(text: &str) -> bool {
    !text.is_empty() && !text.contains(|c: char| c.is_whitespace() || c.is_control() || c == '"' || c == '=')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tables_become_arrays_or_objects() {
        let list = Value::array([Value::Int(1), Value::Nil, Value::str([0xff])]);
        assert_eq!(from(&list).to_string(), "[1,null,\"\u{fffd}\"]");
        let map = Value::map([("b", list), ("a", Value::Float(0.5))]);
        assert_eq!(from(&map).to_string(), "{\"b\":[1,null,\"\u{fffd}\"],\"a\":0.5}");
        assert_eq!(compact(&Value::str("two words")), "\"two words\"");
        assert_eq!(compact(&Value::str("one")), "one");
    }
}
