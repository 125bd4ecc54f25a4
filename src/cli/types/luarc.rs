//! `.luarc.json`, extended in place: JSON as editors take it, with comments and commas too many, is read only as far as it is
//! needed to know where something can be added. Everything that stands there stays, byte for byte.

use std::ops::Range;

/// A value and where it is.
#[derive(Debug)]
enum Node {
    Object(List<(String, Node)>),
    Array(List<Node>),
    Text(String),
    Other,
}

/// The inside of braces or brackets.
#[derive(Debug)]
struct List<T> {
    items: Vec<T>,
    /// Between the brackets, both excluded.
    inside: Range<usize>,
    /// Where the last item begins and ends.
    last: Option<Range<usize>>,
    /// Whether a comma stands behind it.
    comma: bool,
}

/// Settings that are made when nobody has chosen otherwise, by their name without `Lua.`.
const CHOICES: [(&str, &str); 2] = [
    ("runtime.version", "\"Lua 5.4\""),
    ("workspace.checkThirdParty", "false"),
];

/// Lua's own libraries whose place others have.
const REPLACED: [&str; 2] = ["io", "os"];

/// What cannot be done without.
pub fn short(folder: &str) -> String {
    format!("\"workspace.library\": [\"{folder}\"]")
}

/// The settings with what is missing; unchanged when nothing is. An empty text is a file to be made.
///
/// # Errors
/// What is wrong with the text, with its line.
pub fn extend(text: &str, folder: &str) -> Result<String, String> {
    let mut text = if text.trim().is_empty() {
        "{\n}\n".to_owned()
    } else {
        text.to_owned()
    };
    for (name, value) in CHOICES {
        let root = root(&text)?;
        if setting(&root, name).is_none() {
            let member = format!("\"{name}\": {value}");
            add(&mut text, &root.inside, root.last.as_ref(), root.comma, &member);
        }
    }
    add_item(&mut text, "workspace.library", &format!("\"{folder}\""), ['[', ']'])?;
    for library in REPLACED {
        add_item(
            &mut text,
            "runtime.builtin",
            &format!("\"{library}\": \"disable\""),
            ['{', '}'],
        )?;
    }
    Ok(text)
}

/// Adds to the list or map that a setting is; one that is neither is left alone, as somebody's choice.
fn add_item(text: &mut String, name: &str, item: &str, brackets: [char; 2]) -> Result<(), String> {
    let root = root(text)?;
    match setting(&root, name) {
        None => {
            let [open, close] = brackets;
            let member = format!("\"{name}\": {open}{item}{close}");
            add(text, &root.inside, root.last.as_ref(), root.comma, &member);
        }
        Some(Node::Array(list))
            if !list
                .items
                .iter()
                .any(|found| matches!(found, Node::Text(found) if *item == quoted(found))) =>
        {
            add(text, &list.inside, list.last.as_ref(), list.comma, item);
        }
        Some(Node::Object(map)) if !map.items.iter().any(|(key, _)| item.starts_with(&quoted(key))) => {
            add(text, &map.inside, map.last.as_ref(), map.comma, item);
        }
        Some(_) => {}
    }
    Ok(())
}

fn quoted(text: &str) -> String {
    format!("\"{text}\"")
}

/// A setting by its name: `"a.b"`, `"Lua.a.b"`, or `b` in a map `a`.
fn setting<'a>(map: &'a List<(String, Node)>, name: &str) -> Option<&'a Node> {
    map.items.iter().find_map(|(key, node)| {
        if key == name {
            return Some(node);
        }
        let rest = if key == "Lua" {
            Some(name)
        } else {
            name.strip_prefix(key.as_str()).and_then(|rest| rest.strip_prefix('.'))
        };
        let below = |rest| match node {
            Node::Object(below) => setting(below, rest),
            _ => None,
        };
        let dotted = || key.strip_prefix("Lua.").filter(|key| *key == name).map(|_| node);
        rest.and_then(below).or_else(dotted)
    })
}

/// Puts an item behind the last one, in the layout of the others.
fn add(text: &mut String, inside: &Range<usize>, last: Option<&Range<usize>>, comma: bool, item: &str) {
    let body = &text[inside.clone()];
    let is_tall = body.contains('\n');
    let end = inside.start + body.trim_end().len();
    let lead = match last {
        Some(last) if is_tall => format!("\n{}", indent(text, last.start)),
        None if is_tall => format!("\n{}  ", indent(text, inside.start)),
        Some(_) => " ".to_owned(),
        None => String::new(),
    };
    text.insert_str(end, &format!("{lead}{item}"));
    if let Some(last) = last.filter(|_| !comma) {
        text.insert(last.end, ',');
    }
}

/// The blanks at the start of the line of a place.
fn indent(text: &str, at: usize) -> String {
    let line = text[..at].rfind('\n').map_or(0, |at| at + 1);
    text[line..].chars().take_while(|c| matches!(c, ' ' | '\t')).collect()
}

fn root(text: &str) -> Result<List<(String, Node)>, String> {
    let mut reader = Reader { text, at: 0 };
    let node = reader.value(0);
    reader.blanks();
    match node {
        Some(Node::Object(root)) if reader.at == text.len() => Ok(root),
        _ => {
            let line = text[..reader.at].matches('\n').count() + 1;
            Err(format!("line {line} is not JSON, or not a map of settings"))
        }
    }
}

/// Reads JSON with comments.
struct Reader<'a> {
    text: &'a str,
    at: usize,
}

/// Nobody nests settings deeper.
const DEEPEST: usize = 100;

impl Reader<'_> {
    fn rest(&self) -> &str {
        &self.text[self.at..]
    }

    /// Blanks and comments.
    fn blanks(&mut self) {
        loop {
            let rest = self.rest();
            let trimmed = rest.trim_start_matches(|c: char| c.is_whitespace() || c == '\u{feff}');
            let skipped = rest.len() - trimmed.len();
            let comment = match () {
                () if trimmed.starts_with("//") => trimmed.find('\n').unwrap_or(trimmed.len()),
                () if trimmed.starts_with("/*") => trimmed.find("*/").map_or(trimmed.len(), |at| at + 2),
                () => 0,
            };
            self.at += skipped + comment;
            if comment == 0 {
                return;
            }
        }
    }

    fn takes(&mut self, c: char) -> bool {
        self.blanks();
        let found = self.rest().starts_with(c);
        self.at += usize::from(found);
        found
    }

    fn value(&mut self, depth: usize) -> Option<Node> {
        self.blanks();
        match self.rest().chars().next()? {
            _ if depth > DEEPEST => None,
            '{' => self.list('}', |reader| reader.member(depth + 1)).map(Node::Object),
            '[' => self.list(']', |reader| reader.value(depth + 1)).map(Node::Array),
            '"' => self.string().map(Node::Text),
            _ => {
                let word = |c: char| c.is_ascii_alphanumeric() || "+-.".contains(c);
                let length = self.rest().find(|c| !word(c)).unwrap_or(self.rest().len());
                self.at += length;
                (length > 0).then_some(Node::Other)
            }
        }
    }

    fn member(&mut self, depth: usize) -> Option<(String, Node)> {
        self.blanks();
        let key = self.string()?;
        self.takes(':')
            .then(|| self.value(depth))
            .flatten()
            .map(|node| (key, node))
    }

    fn list<T>(&mut self, close: char, mut item: impl FnMut(&mut Self) -> Option<T>) -> Option<List<T>> {
        self.at += 1;
        let start = self.at;
        let (mut items, mut last, mut comma) = (Vec::new(), None, false);
        loop {
            self.blanks();
            let end = self.at;
            if self.takes(close) {
                let inside = start..end;
                return Some(List {
                    items,
                    inside,
                    last,
                    comma,
                });
            }
            if !items.is_empty() && !comma {
                return None;
            }
            let begin = self.at;
            items.push(item(self)?);
            last = Some(begin..self.at);
            comma = self.takes(',');
        }
    }

    fn string(&mut self) -> Option<String> {
        let rest = self.rest().strip_prefix('"')?;
        let mut escaped = false;
        let end = rest.find(|c| {
            let ends = c == '"' && !escaped;
            escaped = c == '\\' && !escaped;
            ends
        })?;
        let text = serde_json::from_str(&self.rest()[..end + 2]).ok()?;
        self.at += end + 2;
        Some(text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn extended(text: &str) -> String {
        let once = extend(text, ".wippy/types").unwrap();
        assert_eq!(extend(&once, ".wippy/types").unwrap(), once, "twice is once");
        once
    }

    #[test]
    fn a_new_file_has_all_settings_and_is_json() {
        let text = extended("");
        let json: serde_json::Value = serde_json::from_str(&text).unwrap();
        assert_eq!(json["workspace.library"][0], ".wippy/types");
        assert_eq!(json["runtime.builtin"]["io"], "disable");
        assert_eq!(text.lines().nth(1).unwrap(), "  \"runtime.version\": \"Lua 5.4\",");
    }

    #[test]
    fn what_stands_there_stays() {
        let text = "\
// mine
{
    /* old */ \"runtime.version\": \"LuaJIT\",
    \"Lua.workspace.library\": [
        \"/usr/share/lua\" // of the system
    ],
    \"workspace\": { \"checkThirdParty\": \"Apply\" },
    \"runtime\": { \"builtin\": { \"io\": \"enable\" } } // builtins
}
";
        let expected = "\
// mine
{
    /* old */ \"runtime.version\": \"LuaJIT\",
    \"Lua.workspace.library\": [
        \"/usr/share/lua\", // of the system
        \".wippy/types\"
    ],
    \"workspace\": { \"checkThirdParty\": \"Apply\" },
    \"runtime\": { \"builtin\": { \"io\": \"enable\", \"os\": \"disable\" } } // builtins
}
";
        assert_eq!(extended(text), expected);
    }

    #[test]
    fn every_layout_is_kept() {
        for (text, expected) in [
            (
                "{}",
                "{\"runtime.version\": \"Lua 5.4\", \"workspace.checkThirdParty\": false, ",
            ),
            ("{ \"a\": 1 }", "{ \"a\": 1, \"runtime.version\": "),
            (
                "{\n\t\"a\": 1,\n}\n",
                "{\n\t\"a\": 1,\n\t\"runtime.version\": \"Lua 5.4\",",
            ),
            (
                "{\n  \"a\": [\"}\", \"\\\"\"]\n}",
                "{\n  \"a\": [\"}\", \"\\\"\"],\n  \"runtime.version\"",
            ),
            (
                "{\n  \"Lua\": { \"runtime.version\": \"5.3\" }\n}",
                "{\n  \"Lua\": { \"runtime.version\": \"5.3\" },\n  \"workspace.checkThird",
            ),
        ] {
            let found = extended(text);
            assert!(found.starts_with(expected), "{found}");
        }
    }

    #[test]
    fn what_is_no_map_is_refused_with_its_line() {
        for (text, line) in [
            ("[1]", 1),
            ("{\n\"a\" 1\n}", 2),
            ("{\n\n\"a\": \"", 3),
            ("{} x", 1),
            ("{\"a\": 1 \"b\": 2}", 1),
        ] {
            let error = extend(text, "x").unwrap_err();
            assert!(error.starts_with(&format!("line {line} ")), "{text}: {error}");
        }
        assert!(extend(&"[".repeat(100_000), "x").is_err());
    }
}
