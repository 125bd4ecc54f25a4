//! Plain data as JSON for people, scripts and guests: log fields, results, lists. Lossy where JSON has no word for it.
//!
//! People get a tree ([`from`]); what guests send and receive goes between text and packed data without one ([`write`],
//! [`read`]).

use std::fmt;

use serde::de::{DeserializeSeed, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Number, Value as Json};

use crate::error::{Error, Result};
use crate::value::{Item, Packer, Reader, Table, TableHead, TableMark, Value};

/// Tables within tables that a text may have.
const DEPTH: usize = 128;
/// A text that is longer than this repeats no shared tables any more.
const SHARED: usize = 16 << 20;

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

/// What stands for a table that is a key.
const TABLE_KEY: &str = "\"table\"";

fn key_text(key: &Value) -> String {
    if matches!(key, Value::Table(_)) {
        return TABLE_KEY.trim_matches('"').to_owned();
    }
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

/// Adds the next value of a packed sequence to a text.
///
/// As the module `json` does it, an empty table is `[]`, an Error its text, what is not UTF-8 becomes U+FFFD, NaN and the
/// infinities are null. Where that module refuses, this leaves out or makes do: null is a table in itself, what is deeper
/// than 128 tables, and a shared table where the text has grown beyond 16 MiB, because these can multiply without end; a
/// table with keys of several types, or with gaps, is an object whose keys are texts.
pub fn write(reader: &mut Reader<'_>, text: &mut String) {
    let open = Vec::new();
    Writer { text, open }.value(reader);
}

struct Writer<'a> {
    text: &'a mut String,
    /// The tables that are being written, outermost first.
    open: Vec<TableMark>,
}

impl Writer<'_> {
    fn value(&mut self, reader: &mut Reader<'_>) {
        match reader.item() {
            Item::Nil => self.add("null"),
            Item::Bool(flag) => self.add(if flag { "true" } else { "false" }),
            Item::Int(number) => self.add(&number.to_string()),
            Item::Float(number) => self.add(&float_text(number)),
            Item::Str(bytes) => self.string(&String::from_utf8_lossy(bytes)),
            Item::Error(error) => self.string(&error.to_string()),
            Item::Ref(mark) if self.text.len() > SHARED || self.open.contains(&mark) => self.add("null"),
            Item::Ref(mark) => self.value(&mut reader.goto(mark)),
            Item::Table(head) => {
                let mut content = *reader;
                reader.skip_table(head);
                self.table(head, &mut content);
            }
        }
    }

    fn add(&mut self, text: &str) {
        self.text.push_str(text);
    }

    fn string(&mut self, text: &str) {
        self.add(&Json::from(text).to_string());
    }

    fn table(&mut self, head: TableHead, content: &mut Reader<'_>) {
        if self.open.len() == DEPTH {
            return self.add("null");
        }
        self.open.push(head.mark);
        match head.pairs == 0 && !head.record {
            true => self.array(head, content),
            false => self.object(head, content),
        }
        self.open.pop();
    }

    fn array(&mut self, head: TableHead, content: &mut Reader<'_>) {
        self.add("[");
        for index in 0..head.array {
            self.add(if index == 0 { "" } else { "," });
            self.value(content);
        }
        self.add("]");
    }

    fn object(&mut self, head: TableHead, content: &mut Reader<'_>) {
        self.add("{");
        for index in 0..head.array {
            self.add(if index == 0 { "" } else { "," });
            self.add(&format!("\"{}\":", index + 1));
            self.value(content);
        }
        for index in 0..head.pairs {
            self.add(if head.array + index == 0 { "" } else { "," });
            self.key(content);
            self.add(":");
            self.value(content);
        }
        self.add("}");
    }

    /// A key is a text in JSON, whatever it is here; tables as keys have none: quoted once per level, their texts would double
    /// with each.
    fn key(&mut self, content: &mut Reader<'_>) {
        let mut ahead = *content;
        if matches!(ahead.item(), Item::Table(_) | Item::Ref(_)) {
            content.skip();
            return self.add(TABLE_KEY);
        }
        let start = self.text.len();
        self.value(content);
        if !self.text[start..].starts_with('"') {
            let key = self.text.split_off(start);
            self.string(&key);
        }
    }
}

/// Packs the value of a JSON text as one more value. Integral numbers become integers where they fit, as in Lua; null is
/// nil, also within tables.
///
/// # Errors
/// Invalid, with line and column, for what is no JSON, is nested deeper than 127 tables, or takes more than `most` bytes as
/// packed data. The packer is of no use then.
pub fn read(text: &str, most: usize, packer: &mut Packer) -> Result<()> {
    let mut source = serde_json::Deserializer::from_str(text);
    let into = Into { packer, most };
    let read = into.deserialize(&mut source).and_then(|()| source.end());
    read.map_err(|error| Error::invalid(format!("invalid JSON: {error}")))
}

/// Where a value is packed while it is read.
struct Into<'a> {
    packer: &'a mut Packer,
    most: usize,
}

impl Into<'_> {
    fn again(&mut self) -> Into<'_> {
        Into {
            packer: self.packer,
            most: self.most,
        }
    }

    fn check<E: serde::de::Error>(&self, more: usize) -> Result<(), E> {
        if self.packer.size() + more > self.most {
            let most = crate::size::format(self.most as u64);
            return Err(E::custom(format!("it takes more than {most} as plain data")));
        }
        Ok(())
    }

    fn float(self, number: f64) {
        // The bounds are the powers of two that a float can be.
        let fits = (-9_223_372_036_854_775_808.0..9_223_372_036_854_775_808.0).contains(&number);
        match fits && number.fract() == 0.0 {
            true => self.packer.int(number as i64),
            false => self.packer.float(number),
        }
    }
}

impl<'de> DeserializeSeed<'de> for Into<'_> {
    type Value = ();

    fn deserialize<D: serde::Deserializer<'de>>(self, source: D) -> Result<(), D::Error> {
        source.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Into<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON value")
    }

    fn visit_unit<E>(self) -> Result<(), E> {
        self.packer.nil();
        Ok(())
    }

    fn visit_bool<E>(self, flag: bool) -> Result<(), E> {
        self.packer.bool(flag);
        Ok(())
    }

    fn visit_i64<E>(self, number: i64) -> Result<(), E> {
        self.packer.int(number);
        Ok(())
    }

    fn visit_u64<E>(self, number: u64) -> Result<(), E> {
        match i64::try_from(number) {
            Ok(number) => self.packer.int(number),
            Err(_) => self.packer.float(number as f64),
        }
        Ok(())
    }

    fn visit_f64<E>(self, number: f64) -> Result<(), E> {
        self.float(number);
        Ok(())
    }

    fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<(), E> {
        self.check(text.len())?;
        self.packer.str(text.as_bytes());
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'de>>(mut self, mut items: A) -> Result<(), A::Error> {
        let mark = self.packer.open(false);
        let mut count = 0;
        while items.next_element_seed(self.again())?.is_some() {
            self.check(0)?;
            count += 1;
        }
        self.packer.close(mark, count, 0);
        Ok(())
    }

    fn visit_map<A: MapAccess<'de>>(mut self, mut pairs: A) -> Result<(), A::Error> {
        let mark = self.packer.open(false);
        let mut count = 0;
        while pairs.next_key_seed(self.again())?.is_some() {
            pairs.next_value_seed(self.again())?;
            self.check(0)?;
            count += 1;
        }
        self.packer.close(mark, 0, count);
        Ok(())
    }
}

/// The shortest text that reads back as the same number; NaN and the infinities have none and are null.
pub fn float_text(number: f64) -> String {
    match number.abs() {
        size if !size.is_finite() => "null".to_owned(),
        size if size != 0.0 && !(1e-6..1e21).contains(&size) => format!("{number:e}"),
        _ => format!("{number}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::value::Packed;

    #[test]
    fn tables_become_arrays_or_objects() {
        let list = Value::array([Value::Int(1), Value::Nil, Value::str([0xff])]);
        assert_eq!(from(&list).to_string(), "[1,null,\"\u{fffd}\"]");
        let map = Value::map([("b", list), ("a", Value::Float(0.5))]);
        assert_eq!(from(&map).to_string(), "{\"b\":[1,null,\"\u{fffd}\"],\"a\":0.5}");
        assert_eq!(compact(&Value::str("two words")), "\"two words\"");
        assert_eq!(compact(&Value::str("one")), "one");
    }

    #[test]
    fn tables_as_keys_do_not_double_the_text_with_each_level() {
        let nested = (0..60).fold(Value::Int(1), |inner, _| {
            Value::Table(Box::new(Table {
                pairs: vec![(inner, Value::Int(1))],
                ..Table::default()
            }))
        });
        assert_eq!(from(&nested).to_string(), "{\"table\":1}");
        assert_eq!(written(&nested), "{\"table\":1}");
    }

    fn text_of(packed: Packed) -> String {
        let mut text = String::new();
        write(&mut packed.reader(), &mut text);
        text
    }

    fn written(value: &Value) -> String {
        text_of(Packed::from_value(value))
    }

    fn parsed(text: &str) -> Result<Value> {
        let mut packer = Packer::new();
        read(text, 1_000, &mut packer)?;
        packer.finish().to_value()
    }

    #[test]
    fn packed_values_are_written_as_trees_are() {
        let list = Value::array([Value::Int(-1), Value::Nil, Value::str("a\"\n\u{1}é")]);
        let mixed = Value::Table(Box::new(Table {
            array: vec![Value::Bool(true)],
            pairs: vec![
                (Value::Int(5), Value::Float(0.5)),
                (Value::Float(1.5), Value::array([])),
                (Value::str("k"), Value::Int(i64::MIN)),
            ],
            record: false,
        }));
        for value in [
            Value::Nil,
            list,
            mixed,
            Value::str([0xff]),
            Value::map([("a", Value::map([("b", Value::Nil)]))]),
        ] {
            assert_eq!(written(&value), from(&value).to_string());
        }
        assert_eq!(written(&Value::Float(f64::NAN)), "null");
        assert_eq!(written(&Value::Float(2.0)), "2");
        assert_eq!(written(&Value::Error(Error::not_found("gone"))), "\"gone\"");
        let record = Value::Table(Box::new(Table {
            record: true,
            ..Table::default()
        }));
        assert_eq!(written(&record), "{}");
    }

    #[test]
    fn a_table_in_itself_and_one_too_deep_are_null_and_a_shared_one_is_there_twice() {
        let mut packer = Packer::new();
        let outer = packer.open(false);
        let inner = packer.open(false);
        packer.reference(outer);
        packer.close(inner, 1, 0);
        packer.reference(inner);
        packer.close(outer, 2, 0);
        assert_eq!(text_of(packer.finish()), "[[null],[null]]");
        let mut packer = Packer::new();
        let marks: Vec<TableMark> = (0..100_000).map(|_| packer.open(false)).collect();
        for (index, mark) in marks.into_iter().rev().enumerate() {
            packer.close(mark, u32::from(index > 0), 0);
        }
        assert_eq!(
            text_of(packer.finish()),
            format!("{}null{}", "[".repeat(DEPTH), "]".repeat(DEPTH))
        );
    }

    #[test]
    fn shared_tables_do_not_multiply_without_end() {
        let mut packer = Packer::new();
        let outermost = packer.open(false);
        let mut shared = packer.open(false);
        packer.close(shared, 0, 0);
        for _ in 0..100 {
            let wide = packer.open(false);
            packer.reference(shared);
            packer.reference(shared);
            packer.close(wide, 2, 0);
            shared = wide;
        }
        packer.close(outermost, 101, 0);
        let text = text_of(packer.finish());
        assert!((SHARED..SHARED + 10_000).contains(&text.len()), "{}", text.len());
        assert!(text.starts_with("[[],[[],[]],[[[],[]],[[],[]]],") && text.ends_with("[null,null]]"));
    }

    #[test]
    fn texts_become_the_values_that_lua_reads_from_them() {
        for (text, value) in [
            ("null", Value::Nil),
            (" true ", Value::Bool(true)),
            ("-0", Value::Int(0)),
            ("1e3", Value::Int(1_000)),
            ("1.25", Value::Float(1.25)),
            ("-9223372036854775808", Value::Int(i64::MIN)),
            ("9223372036854775808", Value::Float(9_223_372_036_854_775_808.0)),
            ("1e300", Value::Float(1e300)),
            (r#""a\n\u00e9\ud83d\ude00""#, Value::str("a\né😀")),
            (
                "[1,null,[]]",
                Value::array([Value::Int(1), Value::Nil, Value::array([])]),
            ),
            (
                r#"{"a":{"b":null},"c":"d"}"#,
                Value::map([("a", Value::map([("b", Value::Nil)])), ("c", Value::str("d"))]),
            ),
        ] {
            assert_eq!(parsed(text).unwrap(), value, "{text}");
        }
    }

    #[test]
    fn what_is_no_json_is_refused_with_its_place() {
        for (text, problem) in [
            ("", "invalid JSON: EOF while parsing a value at line 1 column 0"),
            ("[1,]", "invalid JSON: trailing comma at line 1 column 4"),
            ("1 2", "invalid JSON: trailing characters at line 1 column 3"),
            ("1e999", "invalid JSON: number out of range at line 1 column 5"),
        ] {
            assert_eq!(parsed(text).unwrap_err().message(), problem, "{text}");
        }
        let deep = "[".repeat(100_000);
        assert!(parsed(&deep).unwrap_err().message().contains("recursion limit"));
        let long = format!("[{}]", vec!["[]"; 100].join(","));
        assert!(
            parsed(&long)
                .unwrap_err()
                .message()
                .contains("more than 1000B as plain data")
        );
        let long = format!("\"{}\"", "x".repeat(2_000));
        assert!(parsed(&long).unwrap_err().message().contains("more than 1000B"));
    }
}
