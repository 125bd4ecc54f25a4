//! What a REPL asks about an input: is it whole, is it an expression, and how do its locals outlive it.
//!
//! Texts may hold annotations. Nothing is reported from here: an input with a fault is handed to the compiler as it is,
//! and the user sees the compiler's message.

use super::grammar::{Parse, Parser, blank};
use super::lexer::{Kind, Lexer, Token};

/// Whether to run what was typed, or to wait for more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Input {
    /// A program, or expressions whose values are to be shown.
    Complete,
    /// The beginning of one: more lines may complete it.
    Incomplete,
    /// No further line can mend it.
    Invalid,
}

/// Judges a whole input, which may have several lines.
pub fn classify(text: &str) -> Input {
    let program = judge(text, Parser::chunk);
    let expressions = judge(text, Parser::only_expressions);
    match [program, expressions] {
        [Input::Complete, _] | [_, Input::Complete] if in_comment(text) => Input::Incomplete,
        [Input::Complete, _] | [_, Input::Complete] => Input::Complete,
        [Input::Incomplete, _] | [_, Input::Incomplete] => Input::Incomplete,
        _ => Input::Invalid,
    }
}

/// A part of a text: a command, or a program between commands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Part<'a> {
    pub text: &'a str,
    /// How many lines of the whole are above it.
    pub above: usize,
    pub is_command: bool,
}

/// Takes a text apart. A command is a line that begins with a colon, where the lines before it are whole; a text that is a
/// program as it stands has none, for a method call may begin a line too. What is blank is left out.
pub fn parts(text: &str) -> Vec<Part<'_>> {
    let part = |start: usize, end: usize, is_command| Part {
        text: &text[start..end],
        above: text[..start].matches('\n').count(),
        is_command,
    };
    let mut parts = Vec::new();
    let (mut begun, mut at) = (0, 0);
    let lines = if classify(text) == Input::Complete { "" } else { text };
    for line in lines.split_inclusive('\n') {
        let before = &text[begun..at];
        let is_blank = before.trim().is_empty();
        if begins_command(line, is_blank) && (is_blank || classify(before) == Input::Complete) {
            if !is_blank {
                parts.push(part(begun, at, false));
            }
            begun = at + line.len();
            parts.push(part(at, begun, true));
        }
        at += line.len();
    }
    if !text[begun..].trim().is_empty() {
        parts.push(part(begun, text.len(), false));
    }
    parts
}

/// Whether a line is a command. Behind a program a name with arguments right behind it is the call of a method.
fn begins_command(line: &str, first: bool) -> bool {
    let Some(rest) = line.trim_start().strip_prefix(':') else {
        return false;
    };
    let behind = rest.trim_start_matches(|c: char| c.is_ascii_alphabetic());
    behind.len() < rest.len() && (first || behind.is_empty() || behind.starts_with(char::is_whitespace))
}

/// The program that returns the values of an input made of expressions; `None` for statements.
///
/// A call is both and counts as an expression. Columns of the first line move by the length of `return `.
pub fn as_expression(text: &str) -> Option<String> {
    let mut parser = Parser::new(text.as_bytes());
    parser.only_expressions().ok()?;
    Some(format!("return {text}"))
}

/// The program with its top-level `local` declarations turned into assignments, so that the next input still sees them.
///
/// The names become globals of whatever environment the input runs in. Annotations and attributes go, so a `<const>` may be
/// assigned later and a `<close>` is not closed at the end of the input. Lines stay, and so do columns except behind a
/// declaration without a value, which is given ` = nil;`. A text with a fault comes back as it is.
pub fn keep_locals(text: &str) -> String {
    let mut parser = Parser::new(text.as_bytes());
    parser.locals = Some(Vec::new());
    if parser.chunk().is_err() {
        return text.to_owned();
    }
    let locals = parser.locals.take().unwrap_or_default();
    let mut bytes = parser.into_erased().unwrap_or_else(|| text.as_bytes().to_vec());
    for local in locals.into_iter().rev() {
        let unwanted = local.attributes.into_iter().chain([local.keyword]);
        unwanted.for_each(|span| blank(&mut bytes[span]));
        if let Some(end) = local.bare {
            bytes.splice(end..end, *b" = nil;");
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

fn judge<'a>(text: &'a str, read: impl FnOnce(&mut Parser<'a>) -> Parse) -> Input {
    let mut parser = Parser::new(text.as_bytes());
    match read(&mut parser) {
        Ok(()) => Input::Complete,
        Err(_) if awaits_more(text, parser.token) => Input::Incomplete,
        Err(_) => Input::Invalid,
    }
}

/// Whether the token at which reading stopped is the end of the input.
fn awaits_more(text: &str, token: Token) -> bool {
    let written = &text[token.start..token.end];
    match token.kind {
        Kind::Eof => true,
        Kind::Str if !token.whole && token.end == text.len() => written.starts_with('[') || ends_escaped(written),
        _ => false,
    }
}

/// Whether the line break that follows would belong to this short string: behind a backslash, or behind `\z`.
fn ends_escaped(string: &str) -> bool {
    let trimmed = string.trim_end_matches([' ', '\t']);
    let backslashes = |text: &str| text.len() - text.trim_end_matches('\\').len();
    let skips = trimmed.strip_suffix('z').is_some_and(|rest| backslashes(rest) % 2 == 1);
    skips || backslashes(string) % 2 == 1
}

/// Whether the input ends inside a long comment.
fn in_comment(text: &str) -> bool {
    let mut lexer = Lexer::new(text.as_bytes());
    loop {
        match lexer.token() {
            Token { kind: Kind::Eof, .. } => return false,
            Token {
                kind: Kind::Comment,
                whole: false,
                ..
            } => return true,
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lua::syntax::erase;
    use mlua::Lua;

    #[test]
    fn inputs_are_whole_or_wait_or_are_wrong() {
        let complete = [
            "",
            "  -- just a comment",
            "--[[ one ]]",
            "x = 1",
            "x",
            "1 + 1",
            "1, 2",
            "f()",
            "process.list()",
            "#t",
            "local x",
            "local x: T = 1",
            "x as T",
            "user!.name",
            "type(x)",
            "type X = {a: T}",
            "if x then y() end",
            "for i = 1, 2 do\nf(i)\nend",
            "function f() return 1 end",
            "return 1",
            "break",
            "'a\\\nb'",
            "[[a\nb]]",
            "f 'x'; g {}",
            "x;",
            "t.a.b['c']:d(1).e",
            "function() end",
        ];
        let incomplete = [
            "x =",
            "x = 1 +",
            "1 +",
            "local",
            "local x =",
            "local x:",
            "local x: {a: T,",
            "type X =",
            "type X = A |",
            "x as",
            "f(",
            "f(1,",
            "{1, 2",
            "t[",
            "a.",
            "a:b",
            "if x",
            "if x then",
            "if x then y() else",
            "while true do",
            "for i = 1, 2",
            "for k, v in",
            "repeat x()",
            "repeat x() until",
            "function",
            "function f",
            "function f(",
            "function f(a, b)",
            "local function f(a: T): R",
            "f(function() g()",
            "do local x = 1",
            "return 1,",
            "[[abc",
            "x = [==[ ]]",
            "--[[ open",
            "x = 1 --[=[ open ]]",
            "print('abc\\",
            "print('abc\\z  ",
            "not",
            "x = -",
            "goto",
            "::a",
        ];
        let invalid = [
            ")",
            "x = )",
            "x y",
            "end",
            "if x then end end",
            "'abc",
            "\"abc\\\\",
            "'abc\n'",
            "f(1))",
            "return 1 2",
            "1 = x",
            "local 1",
            "x = 3x",
            "x != y",
            "local x: ) = 1",
            "for in x do",
            "@",
        ];
        for (inputs, verdict) in [
            (&complete[..], Input::Complete),
            (&incomplete[..], Input::Incomplete),
            (&invalid[..], Input::Invalid),
        ] {
            for input in inputs {
                assert_eq!(classify(input), verdict, "{input}");
            }
        }
    }

    #[test]
    fn lua_agrees_about_the_end_of_an_input() {
        let lua = Lua::new();
        for input in [
            "x = 1 +",
            "f(",
            "if x then",
            "[[abc",
            "--[[ open",
            "print('abc\\",
            "function f(",
        ] {
            let message = lua.load(input).into_function().unwrap_err().to_string();
            assert!(message.contains("<eof>"), "{input}: {message}");
        }
    }

    #[test]
    fn expressions_give_their_values() {
        let table = [
            ("1 + 1", Some("return 1 + 1")),
            ("process.list()", Some("return process.list()")),
            ("a, b", Some("return a, b")),
            ("x;", Some("return x;")),
            ("#t -- length", Some("return #t -- length")),
            ("x as T", Some("return x as T")),
            ("function() end", Some("return function() end")),
            ("...", Some("return ...")),
            ("x = 1", None),
            ("local x", None),
            ("f() g()", None),
            ("return 1", None),
            ("", None),
            ("-- x", None),
            ("if x then end", None),
            ("type X = T", None),
            ("1 +", None),
        ];
        for (input, expected) in table {
            assert_eq!(as_expression(input).as_deref(), expected, "{input}");
        }
    }

    #[test]
    fn commands_are_lines_between_whole_programs() {
        type Expected = &'static [(&'static str, usize, bool)];
        let table: &[(&str, Expected)] = &[
            ("", &[]),
            ("x = 1\ny = 2", &[("x = 1\ny = 2", 0, false)]),
            (":ps\nprint(1)\n", &[(":ps\n", 0, true), ("print(1)\n", 1, false)]),
            ("\n x\n  :load a b", &[("\n x\n", 0, false), ("  :load a b", 2, true)]),
            (":time(1)", &[(":time(1)", 0, true)]),
            ("x = f\n:ps()", &[("x = f\n:ps()", 0, false)]),
            ("x = f\n:ps 'a'", &[("x = f\n:ps 'a'", 0, false)]),
            ("f(\n:ps\n)", &[("f(\n:ps\n)", 0, false)]),
            ("x = [[\n:ps\n]]", &[("x = [[\n:ps\n]]", 0, false)]),
            ("::here::", &[("::here::", 0, false)]),
            ("x = = 1\n:ps", &[("x = = 1\n:ps", 0, false)]),
            (
                ":ps\n:ps\n\nx",
                &[(":ps\n", 0, true), (":ps\n", 1, true), ("\nx", 2, false)],
            ),
        ];
        for (text, expected) in table {
            let found: Vec<_> = parts(text)
                .iter()
                .map(|part| (part.text, part.above, part.is_command))
                .collect();
            assert_eq!(found, *expected, "{text}");
        }
    }

    #[test]
    fn top_level_locals_become_assignments() {
        let table = [
            ("local x = 1", "      x = 1"),
            ("local x <const> = 1", "      x         = 1"),
            ("local a, b = f()", "      a, b = f()"),
            (
                "local a <const>, b <close> = 1, nil",
                "      a        , b         = 1, nil",
            ),
            ("local x", "      x = nil;"),
            ("local a, b", "      a, b = nil;"),
            ("local x <const>", "      x = nil;        "),
            ("local x: number", "      x = nil;        "),
            ("local x: number = 1", "      x         = 1"),
            ("local x: T <const> = y as T", "      x            = y     "),
            ("local function f() end", "      function f() end"),
            ("local function f(a: T): R end", "      function f(a   )    end"),
            ("local x = 1 local y = x", "      x = 1       y = x"),
            ("local x\nlocal y", "      x = nil;\n      y = nil;"),
            ("local\n  x = 1", "     \n  x = 1"),
            ("local x\n(f or g)()", "      x = nil;\n(f or g)()"),
            ("local x: T\n(f or g)()", "      x = nil;  ;\n(f or g)()"),
            ("do local x = 1 end", "do local x = 1 end"),
            ("if a then local x = 1 end", "if a then local x = 1 end"),
            ("for i = 1, 2 do local x = i end", "for i = 1, 2 do local x = i end"),
            ("function f() local x = 1 end", "function f() local x = 1 end"),
            ("f(function() local x = 1 end)", "f(function() local x = 1 end)"),
            ("local f = function() local x end", "      f = function() local x end"),
            ("repeat local x = 1 until x", "repeat local x = 1 until x"),
            ("x = 1", "x = 1"),
            ("local ü = 1", "local ü = 1"),
            ("local x = 'ü' local y", "      x = 'ü'       y = nil;"),
            ("local x = = 1", "local x = = 1"),
            ("local as = 1", "      as = 1"),
            ("x = y local as = 1", "x = y       as = 1"),
            ("x = y\nlocal type = 1", "x = y\n      type = 1"),
        ];
        for (input, expected) in table {
            assert_eq!(keep_locals(input), expected, "{input}");
            assert_eq!(input.lines().count(), expected.lines().count());
            assert_eq!(erase(expected.as_bytes()).unwrap().as_ref(), expected.as_bytes());
        }
    }

    #[test]
    fn the_next_input_sees_the_locals() {
        let session = [
            "local x <const>, y: number = 1, 2",
            "local function twice(n: number): number return n * 2 end",
            "local z",
            "local f = function() local x = 10; return x end",
            "x = twice(x + y)",
            "local t: {number} = {x, f()}",
        ];
        let lua = Lua::new();
        for input in session {
            lua.load(keep_locals(input)).exec().unwrap();
        }
        let shown = as_expression("x, y, z, #t, t[2]").unwrap();
        let values: (i64, i64, Option<i64>, i64, i64) = lua.load(shown).eval().unwrap();
        assert_eq!(values, (6, 2, None, 2, 10));
    }

    #[test]
    fn every_prefix_of_a_program_is_survived() {
        let program = include_str!("corpus/typed.lua");
        for end in (0..program.len())
            .filter(|&end| program.is_char_boundary(end))
            .step_by(3)
        {
            let text = &program[..end];
            if classify(text) == Input::Complete {
                continue;
            }
            assert_eq!(keep_locals(text), text);
        }
    }
}
