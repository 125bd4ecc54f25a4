//! What Lua writes for what other languages write: a hint beside a syntax error, whose text only says where Lua was lost.

/// Signs of other languages, and what to write instead.
const SIGNS: [(&str, &str); 18] = [
    ("!=", "\"not equal\" is written `~=`"),
    ("!==", "\"not equal\" is written `~=`"),
    ("<>", "\"not equal\" is written `~=`"),
    ("===", "\"equal\" is written `==`"),
    ("!", "\"not\" is written `not`"),
    ("&&", "\"and\" is written `and`"),
    ("||", "\"or\" is written `or`"),
    ("?", "written `condition and this or that`"),
    ("=>", "a function is written `function(x) return x end`"),
    ("++", COMPOUND),
    ("+=", COMPOUND),
    ("-=", COMPOUND),
    ("*=", COMPOUND),
    ("/=", COMPOUND),
    ("%=", COMPOUND),
    ("..=", "written `x = x .. y`"),
    ("||=", "written `x = x or y`"),
    ("/*", COMMENT),
];

const COMPOUND: &str = "written in full, as `x = x + 1`";
const COMMENT: &str = "a comment begins with `--`";

/// What is meant at a column of a line where Lua stopped, if that is known. Columns are counted from 1, in characters.
pub fn hint(line: &str, column: u32) -> Option<&'static str> {
    let at = line.char_indices().nth((column as usize).checked_sub(1)?)?.0;
    let (before, rest) = line.split_at(at);
    let sign = sign_around(line, at);
    let written = before.trim();
    let known = SIGNS.iter().find(|(known, _)| *known == sign).map(|(_, hint)| *hint);
    known.or(match sign {
        "//" if written.is_empty() || written == "/" => Some(COMMENT),
        "=" if is_condition(written) => Some("\"equal\" is written `==`"),
        "" => by_place(written, rest),
        _ => None,
    })
}

/// The run of sign characters that a place is in.
fn sign_around(line: &str, at: usize) -> &str {
    let is_sign = |c: char| "!=&|?<>+-*/%.".contains(c);
    if !line[at..].starts_with(is_sign) {
        return "";
    }
    let from = line[..at].trim_end_matches(is_sign).len();
    let to = line.len() - line[at..].trim_start_matches(is_sign).len();
    &line[from..to]
}

fn is_condition(written: &str) -> bool {
    let word = written.split_whitespace().next().unwrap_or_default();
    ["if", "elseif", "while", "until"].contains(&word)
}

fn by_place(written: &str, rest: &str) -> Option<&'static str> {
    let in_table = written.rfind('{').is_some_and(|open| !written[open..].contains('}'));
    if ["let", "var", "const"].contains(&written) {
        Some("a variable is declared with `local`")
    } else if rest.starts_with('{') && written.ends_with(')') {
        Some("a block has no braces: it ends with `end`")
    } else if rest.starts_with('[') && written.ends_with(['=', '(', ',', '{']) {
        Some("a list is written `{ 1, 2 }`")
    } else if in_table && (rest.starts_with(':') || written.ends_with(':')) {
        Some("a field is written `name = value`")
    } else {
        None
    }
}

#[cfg(test)]
mod tests {
    use super::super::stop;
    use super::*;

    fn of(line: &str) -> Option<&'static str> {
        hint(line, stop(line.as_bytes())?.column)
    }

    #[test]
    fn what_other_languages_write_has_a_hint() {
        for (line, wanted) in [
            ("if x != 3 then end", "`~=`"),
            ("while a <> b do end", "`~=`"),
            ("if a === b then end", "`==`"),
            ("if x = 3 then end", "`==`"),
            ("if !done then end", "`not`"),
            ("if a && b then end", "`and`"),
            ("a || b", "`or`"),
            ("x = a || b", "`or`"),
            ("x = a ? b : c", "`condition and this or that`"),
            ("f(x => x + 1)", "`function(x) return x end`"),
            ("x += 1", "`x = x + 1`"),
            ("x['häß'] /= 2", "`x = x + 1`"),
            ("x++", "`x = x + 1`"),
            ("s ..= 't'", "`x = x .. y`"),
            ("// a comment", "`--`"),
            ("/* a comment */", "`--`"),
            ("let x = 5", "`local`"),
            ("local function f(x) { return x }", "`end`"),
            ("x = [1, 2]", "`{ 1, 2 }`"),
            ("t = { a: 1 }", "`name = value`"),
            ("t = { 'a': 1 }", "`name = value`"),
        ] {
            assert!(
                of(line).is_some_and(|hint| hint.contains(wanted)),
                "{line}: {:?}",
                of(line)
            );
        }
    }

    #[test]
    fn other_faults_have_none() {
        for line in [
            "x = = 1",
            "f(a b)",
            "return )",
            "x = 1 // ",
            "local x, = 1",
            "t = { [1] }",
            "a.b.c",
            "x = -",
            "if x then",
            "",
        ] {
            assert_eq!(of(line), None, "{line}");
        }
        assert_eq!((hint("ab", 0), hint("ab", 9)), (None, None));
    }
}
