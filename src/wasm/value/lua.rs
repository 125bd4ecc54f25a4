//! WIT types as Lua programs meet them, in the words of LuaCATS: what `inspect` shows of a function, and what editors get
//! to know about it (`wippy types`).

use super::Signature;
use super::shape::{Arms, Names, Record, Shape, Variant};
use crate::wasm::export::shown;

/// Whose words: the same type accepts more than it gives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Way {
    /// For people: what comes out of a call. That more is accepted on the way in is left to the documentation.
    Shown,
    /// An argument.
    Given,
    /// A result.
    Got,
}

/// Words of Lua, which cannot be the names of fields and parameters.
const KEYWORDS: [&str; 22] = [
    "and", "break", "do", "else", "elseif", "end", "false", "for", "function", "goto", "if", "in", "local", "nil",
    "not", "or", "repeat", "return", "then", "true", "until", "while",
];

impl Signature {
    /// `compute(a: integer, b: integer): integer`.
    pub fn lua(&self) -> String {
        let params = self.params.iter();
        let params: Vec<String> = params
            .map(|(name, shape)| format!("{}: {}", name.replace('-', "_"), Way::Shown.text(shape)))
            .collect();
        let result = self
            .result
            .as_ref()
            .map(|shape| format!(": {}", Way::Shown.text(shape)));
        format!(
            "{}({}){}",
            shown(&self.name),
            params.join(", "),
            result.unwrap_or_default()
        )
    }

    /// Names and types of the parameters, as annotations write them. No name is one of `taken`, and none comes twice.
    pub fn lua_params(&self, taken: &[&str]) -> Vec<(String, String)> {
        let mut named: Vec<(String, String)> = Vec::new();
        for (name, shape) in &self.params {
            let mut name = identifier(name);
            while taken.contains(&name.as_str()) || named.iter().any(|(other, _)| *other == name) {
                name.push('_');
            }
            named.push((name, Way::Given.text(shape)));
        }
        named
    }

    /// The type of a call's result, and nil for none. The end of a process (`unwrapped`) has the payload of `ok` alone.
    pub fn lua_result(&self, unwrapped: bool) -> String {
        let result = match &self.result {
            Some(Shape::Result(arms)) if unwrapped => arms.ok.as_ref(),
            result => result.as_ref(),
        };
        result.map_or_else(|| "nil".to_owned(), |shape| Way::Got.text(shape))
    }

    /// Whether all of its types have a form in Lua.
    pub fn is_callable(&self) -> bool {
        self.check_all().is_ok()
    }
}

fn identifier(name: &str) -> String {
    let plain = |c: char| if c.is_ascii_alphanumeric() { c } else { '_' };
    let name: String = name.chars().map(plain).collect();
    match KEYWORDS.contains(&name.as_str()) || !name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_') {
        true => format!("_{name}"),
        false => name,
    }
}

impl Way {
    fn text(self, shape: &Shape) -> String {
        match shape {
            Shape::Bool => "boolean".to_owned(),
            Shape::Int(_) => "integer".to_owned(),
            Shape::F32 | Shape::F64 => "number".to_owned(),
            Shape::Char | Shape::String => "string".to_owned(),
            shape if shape.is_bytes() && self == Way::Given => "string | integer[]".to_owned(),
            shape if shape.is_bytes() => "string".to_owned(),
            Shape::List(list) => format!("{}[]", self.single(&list.element)),
            Shape::Map(pair) => format!("table<{}, {}>", self.text(&pair.0), self.text(&pair.1)),
            Shape::Record(record) => self.fields(record),
            Shape::Tuple(members) => format!("[{}]", joined(members.iter().map(|member| self.text(member)), ", ")),
            Shape::Variant(variant) => self.cases(variant),
            Shape::Enum(names) => joined(names.iter().map(quoted), " | "),
            Shape::Option(inner) if inner.is_option() => format!("{{some: {}}}?", self.text(inner)),
            Shape::Option(inner) => format!("{}?", self.single(inner)),
            Shape::Result(arms) => self.arms(arms),
            Shape::Flags(names) => self.set(names),
            Shape::Refused(_) => "never".to_owned(),
        }
    }

    /// In parentheses where what follows would belong to its last part alone.
    fn single(self, shape: &Shape) -> String {
        let text = self.text(shape);
        let several = matches!(shape, Shape::Option(_)) || is_union(&text);
        if several { format!("({text})") } else { text }
    }

    fn fields(self, record: &Record) -> String {
        let fields = record.names.iter().zip(&record.fields);
        let fields = fields.flat_map(|(name, shape)| {
            let text = self.text(shape);
            self.keys(name).into_iter().map(move |key| format!("{key}: {text}"))
        });
        format!("{{{}}}", joined(fields, ", "))
    }

    /// How a record's field is written: kebab-case is no Lua name, so a record reads and takes snake_case too.
    fn keys(self, name: &str) -> Vec<String> {
        let snake = || key(&name.replace('-', "_"));
        match self {
            Way::Given => vec![snake()],
            Way::Got if name.contains('-') => vec![key(name), snake()],
            _ => vec![key(name)],
        }
    }

    fn set(self, names: &Names) -> String {
        let flags = names.iter().map(|name| format!("{}: true?", key(name)));
        let set = format!("{{{}}}", joined(flags, ", "));
        match self {
            Way::Given => format!("{set} | ({})[]", joined(names.iter().map(quoted), " | ")),
            _ => set,
        }
    }

    fn cases(self, variant: &Variant) -> String {
        let cases = variant.names.iter().zip(&variant.payloads);
        let cases = cases.map(|(name, payload)| match payload {
            // A payload of none leaves the bare name.
            Some(Shape::Option(inner)) => format!("{{{}: {}}} | {}", key(name), self.text(inner), quoted(name)),
            Some(payload) => format!("{{{}: {}}}", key(name), self.text(payload)),
            None => quoted(name),
        });
        joined(cases, " | ")
    }

    fn arms(self, arms: &Arms) -> String {
        let arm = |payload: &Option<Shape>| {
            payload
                .as_ref()
                .map_or_else(|| "true".to_owned(), |shape| self.text(shape))
        };
        format!("{{ok: {}}} | {{err: {}}}", arm(&arms.ok), arm(&arms.err))
    }
}

/// Whether a type has several alternatives at its top, so that what stands behind it would belong to the last alone.
pub fn is_union(text: &str) -> bool {
    let mut depth = 0;
    text.chars().any(|c| {
        depth += match c {
            '(' | '[' | '{' | '<' => 1,
            ')' | ']' | '}' | '>' => -1,
            _ => 0,
        };
        c == '|' && depth == 0
    })
}

fn joined(parts: impl Iterator<Item = String>, between: &str) -> String {
    parts.collect::<Vec<_>>().join(between)
}

fn quoted(name: &str) -> String {
    format!("\"{name}\"")
}

/// As a key: kebab-case is no Lua name.
fn key(name: &str) -> String {
    match name.contains('-') || KEYWORDS.contains(&name) {
        true => format!("[{}]", quoted(name)),
        false => name.to_owned(),
    }
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
            assert_eq!(Way::Shown.text(&shape), expected, "{shape}");
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

    #[test]
    fn arguments_say_all_that_is_accepted_and_results_all_that_can_be_read() {
        let record = || {
            let field = |name: &str, shape| (name.to_owned(), shape);
            Shape::record([field("tag-count", Shape::Int(Int::U8)), field("end", Shape::Bool)])
        };
        let flags = || Shape::Flags(Names::new(["read", "write"]));
        let bytes = || Shape::list(Shape::Int(Int::U8), None);
        for (shape, given, got) in [
            (
                record(),
                "{tag_count: integer, [\"end\"]: boolean}",
                "{[\"tag-count\"]: integer, tag_count: integer, [\"end\"]: boolean}",
            ),
            (
                flags(),
                "{read: true?, write: true?} | (\"read\" | \"write\")[]",
                "{read: true?, write: true?}",
            ),
            (Shape::list(bytes(), None), "(string | integer[])[]", "string[]"),
            (Shape::Option(Box::new(bytes())), "(string | integer[])?", "string?"),
        ] {
            assert_eq!(
                (Way::Given.text(&shape).as_str(), Way::Got.text(&shape).as_str()),
                (given, got)
            );
        }
    }

    #[test]
    fn parameters_have_names_of_their_own_and_a_process_unwraps_its_result() {
        let number = || Shape::Int(Int::S32);
        let params = ["id", "a-b", "a_b", "end", "2nd"].map(|name| (name.to_owned(), number()));
        let result = Shape::result(Some(number()), Some(Shape::String));
        let signature = Signature::new("f", params.to_vec(), Some(result));
        let named = signature.lua_params(&["id", "host"]);
        let names: Vec<&str> = named.iter().map(|(name, _)| name.as_str()).collect();
        assert_eq!(names, ["id_", "a_b", "a_b_", "_end", "_2nd"]);
        assert_eq!(signature.lua_result(true), "integer");
        assert_eq!(signature.lua_result(false), "{ok: integer} | {err: string}");
        assert_eq!(Signature::new("f", Vec::new(), None).lua_result(true), "nil");
    }
}
