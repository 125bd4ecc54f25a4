//! WIT types as Lua programs meet them, in the words of LuaCATS: what `inspect` shows of a function.
//!
//! The text says what comes out of a call; that more is accepted on the way in (a float that is whole, an array for
//! bytes) is left to the documentation.

use super::Signature;
use super::shape::{Arms, Names, Record, Shape, Variant};

impl Signature {
    /// `compute(a: integer, b: integer): integer`.
    pub fn lua(&self) -> String {
        let params = self.params.iter();
        let params: Vec<String> = params
            .map(|(name, shape)| format!("{}: {}", name.replace('-', "_"), text(shape)))
            .collect();
        let result = self.result.as_ref().map(|shape| format!(": {}", text(shape)));
        format!("{}({}){}", self.name, params.join(", "), result.unwrap_or_default())
    }
}

fn text(shape: &Shape) -> String {
    match shape {
        Shape::Bool => "boolean".to_owned(),
        Shape::Int(_) => "integer".to_owned(),
        Shape::F32 | Shape::F64 => "number".to_owned(),
        Shape::Char | Shape::String => "string".to_owned(),
        shape if shape.is_bytes() => "string".to_owned(),
        Shape::List(list) => format!("{}[]", single(&list.element)),
        Shape::Map(pair) => format!("table<{}, {}>", text(&pair.0), text(&pair.1)),
        Shape::Record(record) => fields(record),
        Shape::Tuple(members) => format!("[{}]", joined(members.iter().map(text), ", ")),
        Shape::Variant(variant) => cases(variant),
        Shape::Enum(names) => joined(names.iter().map(quoted), " | "),
        Shape::Option(inner) if inner.is_option() => format!("{{some: {}}}?", text(inner)),
        Shape::Option(inner) => format!("{}?", single(inner)),
        Shape::Result(arms) => self::arms(arms),
        Shape::Flags(names) => set(names),
        Shape::Refused(_) => "never".to_owned(),
    }
}

/// In parentheses where what follows would belong to its last part alone.
fn single(shape: &Shape) -> String {
    let text = text(shape);
    let several = matches!(
        shape,
        Shape::Variant(_) | Shape::Enum(_) | Shape::Result(_) | Shape::Option(_)
    );
    if several { format!("({text})") } else { text }
}

fn joined(parts: impl Iterator<Item = String>, between: &str) -> String {
    parts.collect::<Vec<_>>().join(between)
}

fn quoted(name: &str) -> String {
    format!("\"{name}\"")
}

/// As a key: kebab-case is no Lua name.
fn key(name: &str) -> String {
    match name.contains('-') {
        true => format!("[{}]", quoted(name)),
        false => name.to_owned(),
    }
}

fn fields(record: &Record) -> String {
    let fields = record.names.iter().zip(&record.fields);
    let fields = fields.map(|(name, shape)| format!("{}: {}", key(name), text(shape)));
    format!("{{{}}}", joined(fields, ", "))
}

fn set(names: &Names) -> String {
    let flags = names.iter().map(|name| format!("{}: true?", key(name)));
    format!("{{{}}}", joined(flags, ", "))
}

fn cases(variant: &Variant) -> String {
    let cases = variant.names.iter().zip(&variant.payloads);
    let cases = cases.map(|(name, payload)| match payload {
        // A payload of none leaves the bare name.
        Some(Shape::Option(inner)) => format!("{{{}: {}}} | {}", key(name), text(inner), quoted(name)),
        Some(payload) => format!("{{{}: {}}}", key(name), text(payload)),
        None => quoted(name),
    });
    joined(cases, " | ")
}

fn arms(arms: &Arms) -> String {
    let arm = |payload: &Option<Shape>| payload.as_ref().map_or_else(|| "true".to_owned(), text);
    format!("{{ok: {}}} | {{err: {}}}", arm(&arms.ok), arm(&arms.err))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wasm::value::shape::Int;

    #[test]
    fn every_type_has_its_word() {
        let int = || Shape::Int(Int::U32);
        let option = |shape| Shape::Option(Box::new(shape));
        let color = || Shape::Enum(Names::new(["red", "green"]));
        for (shape, expected) in [
            (Shape::Bool, "boolean"),
            (Shape::F32, "number"),
            (Shape::Char, "string"),
            (Shape::list(Shape::Int(Int::U8), None), "string"),
            (Shape::list(int(), None), "integer[]"),
            (Shape::list(color(), None), "(\"red\" | \"green\")[]"),
            (Shape::list(option(int()), None), "(integer?)[]"),
            (option(option(int())), "{some: integer?}?"),
            (Shape::Tuple(vec![int(), Shape::String]), "[integer, string]"),
            (
                Shape::record([("id".to_owned(), int()), ("tag-count".to_owned(), option(int()))]),
                "{id: integer, [\"tag-count\"]: integer?}",
            ),
            (
                Shape::variant([("empty".to_owned(), None), ("circle".to_owned(), Some(Shape::F64))]),
                "\"empty\" | {circle: number}",
            ),
            (Shape::result(Some(int()), None), "{ok: integer} | {err: true}"),
            (
                Shape::Flags(Names::new(["read", "long-name"])),
                "{read: true?, [\"long-name\"]: true?}",
            ),
            (Shape::Refused("own"), "never"),
        ] {
            assert_eq!(text(&shape), expected, "{shape}");
        }
    }

    #[test]
    fn a_signature_reads_as_a_call() {
        let params = vec![("tag-count".to_owned(), Shape::Int(Int::S32))];
        assert_eq!(Signature::new("put", params, None).lua(), "put(tag_count: integer)");
        let params = vec![("a".to_owned(), Shape::F64)];
        let signature = Signature::new("calc#neg", params, Some(Shape::F64));
        assert_eq!(signature.lua(), "calc#neg(a: number): number");
    }
}
