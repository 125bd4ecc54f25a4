//! Findings about a project's files, as data, with two renderings: text for people and JSON for programs.
//!
//! A diagnostic is not an [`Error`]: it is collected, has a code that never changes its meaning and a place in a file,
//! and becomes an `Error` only when somebody uses the broken entry ([`refusal`]). Rendering is pure; the command line
//! prints. Any room may make one: the checks that need an engine (hash, compile, Lua syntax) live with the engines.

use std::fmt::Write as _;
use std::sync::Arc;

use crate::error::{Error, Kind};
use crate::id::EntryId;
use crate::legible::{printable, visible};
use crate::value::{Table, Value};

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Severity {
    Error,
    Warning,
}

impl Severity {
    pub const fn as_str(self) -> &'static str {
        match self {
            Severity::Error => "error",
            Severity::Warning => "warning",
        }
    }
}

/// Declares the codes in one table: variant, word, usual severity, and the kind of error that using the entry gives.
macro_rules! codes {
    ($($variant:ident $word:literal $severity:ident $kind:ident,)*) => {
        /// What was found. The words never change their meaning.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum Code { $($variant),* }

        impl Code {
            pub const ALL: &'static [Code] = &[$(Code::$variant),*];

            pub const fn as_str(self) -> &'static str {
                match self { $(Code::$variant => $word),* }
            }

            /// The severity a diagnostic of this code has unless it says otherwise.
            pub const fn severity(self) -> Severity {
                match self { $(Code::$variant => Severity::$severity),* }
            }

            /// The kind of the error that using the entry gives unless the diagnostic says otherwise.
            pub const fn kind(self) -> Kind {
                match self { $(Code::$variant => Kind::$kind),* }
            }
        }
    };
}

codes! {
    YamlSyntax "yaml-syntax" Error Invalid,
    DuplicateKey "duplicate-key" Error Invalid,
    MissingField "missing-field" Error Invalid,
    WrongType "wrong-type" Error Invalid,
    BadValue "bad-value" Error Invalid,
    UnknownField "unknown-field" Warning Invalid,
    UnknownKind "unknown-kind" Warning Invalid,
    BadId "bad-id" Error Invalid,
    DanglingReference "dangling-reference" Error NotFound,
    Cycle "cycle" Error Invalid,
    DuplicateId "duplicate-id" Warning Invalid,
    DuplicateCommand "duplicate-command" Warning Invalid,
    MissingFile "missing-file" Error NotFound,
    MissingFolder "missing-folder" Error NotFound,
    HashFormat "hash-format" Error Invalid,
    HashPlaceholder "hash-placeholder" Error Invalid,
    HashMismatch "hash-mismatch" Error Invalid,
    WasmInvalid "wasm-invalid" Error Internal,
    MethodNotExported "method-not-exported" Error Internal,
    UnknownImport "unknown-import" Error Invalid,
    MissingGrant "missing-grant" Warning PermissionDenied,
    UnusedGrant "unused-grant" Warning Invalid,
    WasiWithoutGrant "wasi-without-grant" Warning Invalid,
    LuaSyntax "lua-syntax" Error Invalid,
    TypeAsValue "type-as-value" Warning Invalid,
    UnknownModule "unknown-module" Error Invalid,
    ModuleNotProvided "module-not-provided" Warning NotFound,
    TransportNotProvided "transport-not-provided" Warning Unavailable,
    LimitRange "limit-range" Error Invalid,
    MountOverlap "mount-overlap" Warning Invalid,
    MissingHost "missing-host" Warning NotFound,
    NoEffect "no-effect" Warning Invalid,
}

/// Lines longer than this are shown around the column only.
const WIDEST: usize = 160;

/// A stretch of one line of a file, with the line itself, so that showing it needs no second look at the file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    /// Relative to the project folder, with `/`.
    pub file: Arc<str>,
    /// Counted from 1.
    pub line: u32,
    /// Counted in characters from 1.
    pub column: u32,
    /// Characters to underline, at least 1.
    pub length: u32,
    /// The line, without its end, or the part of a long line around the column; empty when there is nothing to show.
    pub text: String,
    /// Characters of the line that stand before `text`.
    pub skipped: u32,
}

impl Place {
    /// The place in a file whose whole text is at hand. A line beyond the text is shown without its text.
    pub fn in_text(file: impl Into<Arc<str>>, text: &str, line: u32, column: u32, length: u32) -> Place {
        let shown = text.lines().nth(line.saturating_sub(1) as usize).unwrap_or_default();
        Place::in_line(file, shown, line, column, length)
    }

    /// The place in a line whose text is at hand.
    pub fn in_line(file: impl Into<Arc<str>>, shown: &str, line: u32, column: u32, length: u32) -> Place {
        let column = column.max(1);
        // In UTF-8 no text has more characters than bytes.
        let skipped = if shown.len() <= WIDEST {
            0
        } else {
            column.saturating_sub(41)
        };
        let text: String = shown.chars().skip(skipped as usize).take(WIDEST).collect();
        let left = (text.chars().count() + 1).saturating_sub((column - skipped) as usize);
        Place {
            file: file.into(),
            line: line.max(1),
            column,
            length: length.min(u32::try_from(left).unwrap_or(u32::MAX)).max(1),
            text,
            skipped,
        }
    }

    /// A whole line, without the space around it.
    pub fn whole_line(file: impl Into<Arc<str>>, shown: &str, line: u32) -> Place {
        let small = |count: usize| u32::try_from(count).unwrap_or(u32::MAX);
        let indent = shown.chars().take_while(|c| c.is_whitespace()).count();
        Place::in_line(
            file,
            shown,
            line,
            small(indent + 1),
            small(shown.trim().chars().count()),
        )
    }

    /// A whole file, when no line of it is to blame.
    pub fn file(file: impl Into<Arc<str>>) -> Place {
        Place {
            file: file.into(),
            line: 1,
            column: 1,
            length: 1,
            text: String::new(),
            skipped: 0,
        }
    }
}

/// One finding.
#[derive(Clone, Debug, PartialEq)]
pub struct Diagnostic {
    pub code: Code,
    pub severity: Severity,
    /// What is wrong, one line. Also the text of the error that using the entry gives.
    pub message: String,
    /// The kind of that error.
    pub kind: Kind,
    /// Whom it concerns; none for findings about a file.
    pub entry: Option<EntryId>,
    pub place: Option<Place>,
    /// Stands behind the carets; may be empty.
    pub label: String,
    /// What to do about it, below the line; may have several lines.
    pub help: Option<String>,
}

/// Characters of a message. What stands in a file may be of any length, and messages quote it.
const LONGEST: usize = 1000;

fn clipped(text: String) -> String {
    match text.char_indices().nth(LONGEST) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text,
    }
}

impl Diagnostic {
    pub fn new(code: Code, message: impl Into<String>) -> Diagnostic {
        Diagnostic {
            code,
            severity: code.severity(),
            message: clipped(message.into()),
            kind: code.kind(),
            entry: None,
            place: None,
            label: String::new(),
            help: None,
        }
    }

    #[must_use]
    pub fn about(mut self, entry: &EntryId) -> Diagnostic {
        self.entry = Some(entry.clone());
        self
    }

    #[must_use]
    pub fn at(mut self, place: Place) -> Diagnostic {
        self.place = Some(place);
        self
    }

    #[must_use]
    pub fn label(mut self, label: impl Into<String>) -> Diagnostic {
        self.label = clipped(label.into());
        self
    }

    #[must_use]
    pub fn help(mut self, help: impl Into<String>) -> Diagnostic {
        self.help = Some(help.into());
        self
    }

    #[must_use]
    pub fn severity(mut self, severity: Severity) -> Diagnostic {
        self.severity = severity;
        self
    }

    #[must_use]
    pub fn kind(mut self, kind: Kind) -> Diagnostic {
        self.kind = kind;
        self
    }

    pub fn is_error(&self) -> bool {
        self.severity == Severity::Error
    }

    /// Whether it is about the settings of a project and no entry.
    pub fn is_about_config(&self) -> bool {
        let place = self.place.as_ref();
        self.entry.is_none() && place.is_some_and(|place| *place.file == *super::config::CONFIG)
    }

    /// What to sort by so that findings come file by file, from top to bottom.
    pub fn order(&self) -> (&str, u32, u32, Code) {
        let place = self.place.as_ref();
        (
            place.map_or("", |place| &place.file),
            place.map_or(0, |place| place.line),
            place.map_or(0, |place| place.column),
            self.code,
        )
    }

    /// The table that `details.diagnostics` of a refusal holds.
    pub fn to_value(&self) -> Value {
        let text = |text: &str| Value::from(text);
        let mut pairs = vec![
            ("code", text(self.code.as_str())),
            ("severity", text(self.severity.as_str())),
            ("message", text(&self.message)),
        ];
        if let Some(entry) = &self.entry {
            pairs.push(("entry", text(entry.as_str())));
        }
        if let Some(place) = &self.place {
            pairs.push(("file", text(&place.file)));
            pairs.push(("line", i64::from(place.line).into()));
            pairs.push(("column", i64::from(place.column).into()));
        }
        if !self.label.is_empty() {
            pairs.push(("label", text(&self.label)));
        }
        if let Some(help) = &self.help {
            pairs.push(("help", text(help)));
        }
        Value::map(pairs)
    }
}

/// The error that using a broken entry gives: the first error among its diagnostics, with the entry's id, and all of
/// them as `details.diagnostics`. None when there is no error among them.
pub fn refusal(id: &EntryId, diagnostics: &[Diagnostic]) -> Option<Error> {
    let first = diagnostics.iter().find(|diagnostic| diagnostic.is_error())?;
    Some(explained(
        Error::new(first.kind, format!("{id}: {}", first.message)),
        diagnostics,
    ))
}

/// An error with what was found as its `details.diagnostics`, beside its other details, unless it has them or nothing was found.
pub fn explained(error: Error, diagnostics: &[Diagnostic]) -> Error {
    let mut details = match error.details() {
        None => Table::default(),
        Some(Value::Table(details)) if details.get("diagnostics").is_none() => (**details).clone(),
        Some(_) => return error,
    };
    if diagnostics.is_empty() {
        return error;
    }
    let all = Value::array(diagnostics.iter().map(Diagnostic::to_value));
    details.pairs.push((Value::from("diagnostics"), all));
    error.with_details(Value::Table(Box::new(details)))
}

/// Whether an error was [`explained`] by what was found in another entry than that one.
pub fn is_of_another(error: &Error, id: &EntryId) -> bool {
    let found = error.details().and_then(|details| details.get("diagnostics"));
    let Some(Value::Table(found)) = found else { return false };
    let first = found.array.first().and_then(|first| first.get("entry"));
    first.is_some_and(|entry| entry.as_str() != Some(id.as_str()))
}

/// Findings file by file, each file from top to bottom.
pub fn sort(diagnostics: &mut [Diagnostic]) {
    diagnostics.sort_by(|a, b| a.order().cmp(&b.order()));
}

/// How the text rendering marks its parts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Style {
    Plain,
    /// With ANSI colours.
    Colour,
}

impl Style {
    fn paint(self, ansi: &str, text: &str) -> String {
        match self {
            Style::Colour if !text.is_empty() => format!("\x1b[{ansi}m{text}\x1b[0m"),
            _ => text.to_owned(),
        }
    }
}

/// The layout of a compiler, ending in a newline.
pub fn to_text(diagnostic: &Diagnostic, style: Style) -> String {
    let ansi = if diagnostic.is_error() { "1;31" } else { "1;33" };
    let head = format!("{}[{}]", diagnostic.severity.as_str(), diagnostic.code.as_str());
    let (message, more) = diagnostic.message.split_once('\n').unwrap_or((&diagnostic.message, ""));
    let mut out = format!("{}: {}\n", style.paint(ansi, &head), printable(message));
    let mut margin = 0;
    if let Some(place) = &diagnostic.place {
        margin = place.line.to_string().len();
        write_place(&mut out, place, &diagnostic.label, margin, |text| {
            style.paint(ansi, text)
        });
    } else if !diagnostic.label.is_empty() {
        let _ = writeln!(out, "  {}", printable(&diagnostic.label));
    }
    if !more.is_empty() {
        write_aside(&mut out, "note", more, margin);
    }
    if let Some(help) = &diagnostic.help {
        write_aside(&mut out, "help", help, margin);
    }
    out
}

fn write_place(out: &mut String, place: &Place, label: &str, margin: usize, paint: impl Fn(&str) -> String) {
    let pad = " ".repeat(margin);
    // Writing to a String cannot fail.
    let _ = writeln!(
        out,
        "{pad}--> {}:{}:{}",
        printable(&place.file),
        place.line,
        place.column
    );
    if place.text.is_empty() {
        if !label.is_empty() {
            let _ = writeln!(out, "{pad} = {}", printable(label));
        }
        return;
    }
    let (line, before, carets) = window(place);
    let _ = writeln!(out, "{pad} |");
    let _ = writeln!(out, "{} | {line}", place.line);
    let under = format!("{carets} {}", printable(label));
    let _ = writeln!(out, "{pad} | {before}{}", paint(under.trim_end()));
}

/// Lines below the place, under each other.
fn write_aside(out: &mut String, what: &str, text: &str, margin: usize) {
    let pad = " ".repeat(margin);
    let first = format!("= {what}: ");
    for (index, line) in text.lines().enumerate() {
        let lead = if index == 0 { first.as_str() } else { "        " };
        let _ = writeln!(out, "{}", format!("{pad} {lead}{}", printable(line)).trim_end());
    }
}

/// The line to show, the space before the carets, and the carets.
fn window(place: &Place) -> (String, String, String) {
    let chars: Vec<char> = place.text.chars().map(visible).collect();
    let column = (place.column.saturating_sub(place.skipped + 1) as usize).min(chars.len());
    let blank = |c: &char| if *c == '\t' { '\t' } else { ' ' };
    let before: String = chars[..column].iter().map(blank).collect();
    (chars.iter().collect(), before, "^".repeat(place.length as usize))
}

/// The same as data: `code severity message` and, where known, `entry file line column length label help`.
pub fn to_json(diagnostic: &Diagnostic) -> serde_json::Value {
    let mut object = serde_json::Map::new();
    let mut put = |key: &str, value: serde_json::Value| object.insert(key.to_owned(), value);
    put("code", diagnostic.code.as_str().into());
    put("severity", diagnostic.severity.as_str().into());
    put("message", diagnostic.message.as_str().into());
    if let Some(entry) = &diagnostic.entry {
        put("entry", entry.as_str().into());
    }
    if let Some(place) = &diagnostic.place {
        put("file", (*place.file).into());
        put("line", place.line.into());
        put("column", place.column.into());
        put("length", place.length.into());
    }
    if !diagnostic.label.is_empty() {
        put("label", diagnostic.label.as_str().into());
    }
    if let Some(help) = &diagnostic.help {
        put("help", help.as_str().into());
    }
    object.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn misspelt() -> Diagnostic {
        let text = "entries:\n  - name: worker\n    metod: compute\n";
        Diagnostic::new(Code::UnknownField, "`process.wasm` has no field `metod`")
            .severity(Severity::Error)
            .at(Place::in_text("src/_index.yaml", text, 3, 5, 5))
            .label("did you mean `method`?")
    }

    #[test]
    fn text_has_the_layout_of_a_compiler() {
        let expected = "\
error[unknown-field]: `process.wasm` has no field `metod`
 --> src/_index.yaml:3:5
  |
3 |     metod: compute
  |     ^^^^^ did you mean `method`?
";
        assert_eq!(to_text(&misspelt(), Style::Plain), expected);
    }

    #[test]
    fn help_lines_up_below_the_line() {
        let text = "a: 1\n".repeat(12);
        let diagnostic = Diagnostic::new(Code::MissingHost, "no host")
            .at(Place::in_text("a.yaml", &text, 12, 1, 1))
            .help("add:\n  - name: terminal");
        let expected = "\
warning[missing-host]: no host
  --> a.yaml:12:1
   |
12 | a: 1
   | ^
   = help: add:
             - name: terminal
";
        assert_eq!(to_text(&diagnostic, Style::Plain), expected);
    }

    #[test]
    fn a_message_of_several_lines_keeps_them() {
        let message = "wit: expected ':'\n --> wit:1:4\n  |\n1 | f: fun();\n  |    ^";
        let place = Place::in_text("a.yaml", "wit: 'f: fun();'", 1, 6, 1);
        let shown = to_text(
            &Diagnostic::new(Code::BadValue, message).at(place).help("mend it"),
            Style::Plain,
        );
        let expected = "\
error[bad-value]: wit: expected ':'
 --> a.yaml:1:6
  |
1 | wit: 'f: fun();'
  |      ^
  = note:  --> wit:1:4
            |
          1 | f: fun();
            |    ^
  = help: mend it
";
        assert_eq!(shown, expected);
    }

    #[test]
    fn long_lines_and_control_characters_stay_off_the_terminal() {
        let text = format!("{}x\x1b[31mred", "y".repeat(10_000));
        let place = Place::in_text("a.yaml", &text, 1, 10_001, 50);
        let shown = to_text(&Diagnostic::new(Code::BadValue, "bad\x07").at(place), Style::Plain);
        assert!(!shown.contains('\x1b') && !shown.contains('\x07'), "{shown}");
        assert!(shown.lines().all(|line| line.len() < 300), "{shown}");
        assert!(shown.contains('^'));
    }

    #[test]
    fn places_beyond_the_text_do_not_panic() {
        for (line, column) in [(0, 0), (9, 9), (1, 400)] {
            let diagnostic = Diagnostic::new(Code::BadValue, "x").at(Place::in_text("a", "b", line, column, 9));
            assert!(to_text(&diagnostic, Style::Colour).contains("-->"));
        }
    }

    #[test]
    fn a_refusal_is_the_first_error_with_all_findings() {
        let id = EntryId::new("a", "b");
        let warning = Diagnostic::new(Code::UnknownKind, "odd");
        assert!(refusal(&id, std::slice::from_ref(&warning)).is_none());
        let error = refusal(&id, &[warning, Diagnostic::new(Code::MissingFile, "gone")]).unwrap();
        assert_eq!((error.kind(), error.message()), (Kind::NotFound, "a:b: gone"));
        let Some(Value::Table(list)) = error.details().and_then(|details| details.get("diagnostics")) else {
            panic!("no diagnostics in {error:?}");
        };
        assert_eq!(list.array.len(), 2);
    }

    #[test]
    fn json_is_the_same_as_data() {
        assert_eq!(
            to_json(&misspelt()),
            serde_json::json!({
                "code": "unknown-field", "severity": "error", "message": "`process.wasm` has no field `metod`",
                "file": "src/_index.yaml", "line": 3, "column": 5, "length": 5, "label": "did you mean `method`?",
            })
        );
    }
}
