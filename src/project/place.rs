//! Where in a file is this path? The one question the marking parser answers, and only when a diagnostic needs it.
//!
//! What a document means is decided in [`yaml`](super::yaml). A part that comes from an alias or a merge key is looked for where it
//! was written. Should the two parsers disagree, the answer is the nearest enclosing thing that was found: a place may be coarse,
//! never wrong.

use std::borrow::Cow;
use std::collections::HashMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};

use saphyr_parser::{Event, Parser, ScalarStyle, Span};

use super::diagnostic::Place;
use super::scalar;
use crate::lines::Lines;

/// One step from a document's root to a part of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    Key(Arc<str>),
    Index(usize),
}

impl From<&str> for Step {
    fn from(key: &str) -> Step {
        Step::Key(key.into())
    }
}

/// Texts beyond this are not marked: their diagnostics point at the file.
const LARGEST: usize = 4 << 20;

/// A file that was read: its text, and its marks once somebody asks.
pub struct Source {
    /// Relative to the project folder, with `/`.
    pub file: Arc<str>,
    pub text: Arc<str>,
    marks: OnceLock<Vec<Mark>>,
    /// Where each line starts.
    lines: OnceLock<Vec<usize>>,
    /// How many more characters may be walked to show lines: a file of one endless line with thousands of findings
    /// must not take minutes.
    walk: AtomicUsize,
}

impl std::fmt::Debug for Source {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.file)
    }
}

#[derive(Clone, Copy, Default, Debug)]
struct Stretch {
    line: u32,
    /// From 0.
    column: u32,
    length: u32,
}

/// A part of a document: where its key stands, where its value stands, and its parts.
#[derive(Default, Debug)]
struct Mark {
    key: Option<(String, Stretch)>,
    value: Stretch,
    /// The last line of a scalar.
    last_line: u32,
    style: Style,
    parts: Vec<usize>,
    /// Of an alias: what it stands for.
    target: Option<usize>,
}

/// How a scalar is written.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Style {
    /// Plain, or in these quotes.
    Flow(Option<char>),
    /// Blocks: their text starts on the line below their header.
    Literal,
    Folded,
}

impl Default for Style {
    fn default() -> Style {
        Style::Flow(None)
    }
}

impl Mark {
    fn key(&self) -> Stretch {
        self.key.as_ref().map_or(self.value, |(_, stretch)| *stretch)
    }

    /// The parser puts a block scalar at its first line that is not blank; its header is on the key's line.
    fn value(&self) -> Stretch {
        match self.style {
            Style::Flow(_) => self.value,
            Style::Literal | Style::Folded => self.key(),
        }
    }
}

impl Source {
    pub fn new(file: impl Into<Arc<str>>, text: impl Into<Arc<str>>) -> Source {
        Source {
            file: file.into(),
            text: text.into(),
            marks: OnceLock::new(),
            lines: OnceLock::new(),
            walk: AtomicUsize::new(64 << 20),
        }
    }

    /// The key at the end of the path, or for an item of a list the item.
    pub fn key(&self, document: usize, path: &[Step]) -> Place {
        self.place(document, path, |mark| {
            mark.key.as_ref().map_or(mark.value, |(_, stretch)| *stretch)
        })
    }

    /// The value at the end of the path.
    pub fn value(&self, document: usize, path: &[Step]) -> Place {
        self.place(document, path, Mark::value)
    }

    /// The second place of a key that is given twice.
    pub fn second_key(&self, document: usize, map: &[Step], key: &str) -> Place {
        let (parent, _) = self.find(document, map);
        let is_key = |at: &&usize| self.marks()[**at].key.as_ref().is_some_and(|(text, _)| text == key);
        let Some(second) = parent.and_then(|parent| self.marks()[parent].parts.iter().filter(is_key).nth(1)) else {
            return self.key(document, map);
        };
        self.stretch(
            self.marks()[*second]
                .key
                .as_ref()
                .map_or_else(Stretch::default, |(_, stretch)| *stretch),
        )
    }

    /// On which lines of the file the lines of a scalar's text stand; all where the file has what encloses it, if it is not found.
    pub fn lines_of(&self, document: usize, path: &[Step], text: &str) -> Lines {
        let (found, is_end) = self.find(document, path);
        let Some(mark) = found.map(|at| &self.marks()[self.target(at)]) else {
            return Lines::Each([1].into());
        };
        let line = |line: u32| self.raw_line(line);
        match mark.style {
            _ if !is_end => Lines::Each([mark.key().line].into()),
            Style::Literal => Lines::From(self.header(mark) + 1),
            Style::Folded => {
                let outside = mark.key.as_ref().map(|(_, key)| key.column as usize);
                Lines::Each(scalar::folded(line, self.header(mark) + 1, mark.last_line, outside).into())
            }
            Style::Flow(_) if !text.trim_end().contains('\n') => Lines::From(mark.value.line),
            Style::Flow(_) if mark.last_line <= mark.value.line => Lines::Each([mark.value.line].into()),
            Style::Flow(quote) => {
                let (first, column) = (mark.value.line, mark.value.column);
                Lines::Each(scalar::flow(line, first, column, mark.last_line, quote).into())
            }
        }
    }

    /// The line on which a block scalar is announced: that of its key, unless comments come between.
    fn header(&self, mark: &Mark) -> u32 {
        let key = mark.key();
        let has_sign = |line: u32| {
            let text = self.raw_line(line);
            let behind = (key.column as usize).saturating_add(key.length as usize);
            let text = match text.char_indices().nth(behind).filter(|_| line == key.line) {
                Some((at, _)) => &text[at..],
                None => text,
            };
            let code = text.split(" #").next().unwrap_or_default();
            !text.trim_start().starts_with('#') && code.contains(['|', '>'])
        };
        if mark.key.is_none() {
            // An item of a list begins with its anchor or tag, if it has one, else with its text.
            let is_blank = |line: u32| self.raw_line(line).trim().is_empty();
            let above = (1..mark.value.line).rev().find(|line| !is_blank(*line));
            let below = || (mark.value.line..mark.last_line).find(|line| has_sign(*line));
            return above
                .filter(|line| has_sign(*line))
                .or_else(below)
                .unwrap_or(mark.value.line);
        }
        (key.line..=mark.value.line)
            .find(|line| has_sign(*line))
            .unwrap_or(key.line)
    }

    /// What an alias stands for, else the thing itself.
    fn target(&self, at: usize) -> usize {
        self.marks()[at].target.unwrap_or(at)
    }

    /// A place that is known as line and column, counted from 1.
    pub fn at(&self, line: u32, column: u32, length: u32) -> Place {
        Place::in_line(self.file.clone(), self.line(line, column), line, column, length)
    }

    /// The text of a line, without its end.
    fn line(&self, line: u32, column: u32) -> &str {
        let cost = (column as usize).min(self.text.len()).max(200);
        let pay = |left: usize| left.checked_sub(cost);
        if self
            .walk
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, pay)
            .is_err()
        {
            return "";
        }
        self.raw_line(line)
    }

    /// The same, whatever it costs.
    pub fn raw_line(&self, line: u32) -> &str {
        let breaks = || self.text.match_indices('\n').map(|(at, _)| at + 1);
        let lines = self.lines.get_or_init(|| std::iter::once(0).chain(breaks()).collect());
        let at = line.saturating_sub(1) as usize;
        let Some(start) = lines.get(at) else { return "" };
        let end = lines.get(at + 1).map_or(self.text.len(), |next| next - 1);
        self.text[*start..end].trim_end_matches('\r')
    }

    fn place(&self, document: usize, path: &[Step], pick: impl Fn(&Mark) -> Stretch) -> Place {
        match self.find(document, path) {
            (Some(at), true) => self.stretch(pick(&self.marks()[at])),
            // Not found to the end: the key of what encloses it.
            (Some(at), false) => self.stretch(self.marks()[at].key()),
            (None, _) => self.at(1, 1, 1),
        }
    }

    fn stretch(&self, stretch: Stretch) -> Place {
        let mut place = self.at(stretch.line, stretch.column + 1, stretch.length.max(1));
        if let Some(length) = quoted_length(&place.text, stretch.column.saturating_sub(place.skipped) as usize) {
            place.length = place.length.min(length);
        }
        place
    }

    /// The deepest mark on the path, and whether it is the path's end.
    fn find(&self, document: usize, path: &[Step]) -> (Option<usize>, bool) {
        let marks = self.marks();
        let Some(mut at) = marks.first().and_then(|root| root.parts.get(document)).copied() else {
            return (None, false);
        };
        for step in path {
            let parts = &marks[self.target(at)].parts;
            let next = match step {
                Step::Index(index) => parts.get(*index).copied().filter(|part| marks[*part].key.is_none()),
                Step::Key(key) => {
                    let mut budget = MOST_MERGED;
                    self.part(at, key, &mut budget)
                }
            };
            match next {
                Some(part) => at = part,
                None => return (Some(at), false),
            }
        }
        (Some(at), true)
    }

    /// The part of a map with that key, its own or one of a map that is merged into it.
    fn part(&self, at: usize, key: &str, budget: &mut u32) -> Option<usize> {
        let marks = self.marks();
        let parts = &marks[self.target(at)].parts;
        let own = parts.iter().copied().find(|part| has_key(&marks[*part], key));
        if own.is_some() {
            return own;
        }
        for merged in parts.iter().copied().filter(|part| has_key(&marks[*part], "<<")) {
            // One map, or a list of them.
            let list = marks[self.target(merged)].parts.iter().copied();
            let maps = list.filter(|part| marks[*part].key.is_none());
            for map in std::iter::once(merged).chain(maps) {
                *budget = budget.checked_sub(1)?;
                if let Some(found) = self.part(map, key, budget) {
                    return Some(found);
                }
            }
        }
        None
    }

    fn marks(&self) -> &[Mark] {
        self.marks.get_or_init(|| {
            if self.text.len() > LARGEST {
                return Vec::new();
            }
            Marking::default().run(&without_surrogates(&self.text))
        })
    }
}

/// Whether lists and maps in brackets are nested deeper than that. Cheap for texts with few brackets; a text with many
/// open ones that the marking parser does not understand counts as deep.
pub(super) fn is_nested_deeper(text: &str, limit: usize) -> bool {
    let (mut open, mut most) = (0_usize, 0);
    for byte in text.bytes() {
        match byte {
            b'[' | b'{' => open += 1,
            b']' | b'}' => open = open.saturating_sub(1),
            _ => {}
        }
        most = most.max(open);
    }
    most > limit && is_really_deeper(text, limit).unwrap_or(most > 5_000)
}

/// None when the text has an error before it gets that deep.
fn is_really_deeper(text: &str, limit: usize) -> Option<bool> {
    let mut depth = 0_usize;
    for event in Parser::new_from_str(text) {
        match event.ok()?.0 {
            Event::SequenceStart(..) | Event::MappingStart(..) => depth += 1,
            Event::SequenceEnd | Event::MappingEnd => depth = depth.saturating_sub(1),
            _ => {}
        }
        if depth > limit {
            return Some(true);
        }
    }
    Some(false)
}

/// Maps that are looked at because they are merged into one, or into one of those: what refers to itself ends here.
const MOST_MERGED: u32 = 200;

fn has_key(mark: &Mark, key: &str) -> bool {
    mark.key.as_ref().is_some_and(|(text, _)| text == key)
}

/// The text with other characters in place of surrogates, which JSON writes one behind the other and YAML does not know.
fn without_surrogates(text: &str) -> Cow<'_, str> {
    let is_surrogate = |at: usize| {
        let digits = text.as_bytes().get(at + 2..at + 6);
        digits.is_some_and(|digits| matches!(digits, [b'd' | b'D', b'8'..=b'9' | b'a'..=b'f' | b'A'..=b'F', ..]))
    };
    let mut found = text
        .match_indices("\\u")
        .map(|(at, _)| at)
        .filter(|at| is_surrogate(*at))
        .peekable();
    if found.peek().is_none() {
        return Cow::Borrowed(text);
    }
    let mut bytes = text.as_bytes().to_vec();
    for at in found {
        if bytes[at + 2..at + 6].is_ascii() {
            bytes[at + 2..at + 6].copy_from_slice(b"0020");
        }
    }
    Cow::Owned(String::from_utf8(bytes).unwrap_or_else(|_| text.to_owned()))
}

/// Builds the marks from the parser's events; the first mark is the file, its parts are the documents.
#[derive(Default)]
struct Marking {
    marks: Vec<Mark>,
    /// Open lists and maps, with the key that waits for its value.
    open: Vec<Open>,
    /// What has an anchor, by its number.
    anchors: HashMap<usize, usize>,
}

#[derive(Default)]
struct Open {
    mark: usize,
    is_map: bool,
    key: Option<(String, Stretch)>,
}

impl Marking {
    fn run(mut self, text: &str) -> Vec<Mark> {
        let text = text.strip_prefix('\u{feff}').unwrap_or(text);
        self.marks.push(Mark::default());
        self.open.push(Open::default());
        // What was understood before an error is kept.
        for (event, span) in Parser::new_from_str(text).map_while(Result::ok) {
            self.event(event, span);
        }
        self.marks
    }

    fn event(&mut self, event: Event<'_>, span: Span) {
        match event {
            Event::Scalar(text, style, anchor, _) => {
                let Some(mark) = self.value(Some(&text), stretch(span)) else {
                    return;
                };
                self.marks[mark].last_line = u32::try_from(span.end.line()).unwrap_or(u32::MAX);
                self.marks[mark].style = match style {
                    ScalarStyle::Plain => Style::Flow(None),
                    ScalarStyle::SingleQuoted => Style::Flow(Some('\'')),
                    ScalarStyle::DoubleQuoted => Style::Flow(Some('"')),
                    ScalarStyle::Literal => Style::Literal,
                    ScalarStyle::Folded => Style::Folded,
                };
                self.anchors.insert(anchor, mark);
            }
            Event::Alias(anchor) => {
                if let Some(mark) = self.value(None, stretch(span)) {
                    self.marks[mark].target = self.anchors.get(&anchor).copied();
                }
            }
            Event::SequenceStart(anchor, _) => self.enter(span, anchor, false),
            Event::MappingStart(anchor, _) => self.enter(span, anchor, true),
            Event::SequenceEnd | Event::MappingEnd if self.open.len() > 1 => {
                self.open.pop();
            }
            _ => {}
        }
    }

    fn enter(&mut self, span: Span, anchor: usize, is_map: bool) {
        let mut start = stretch(span);
        start.length = 1;
        let mark = self.value(None, start).unwrap_or_default();
        self.anchors.insert(anchor, mark);
        self.open.push(Open {
            mark,
            is_map,
            key: None,
        });
    }

    /// A key if one is due, else a value under the key that waits for it: then its mark.
    fn value(&mut self, text: Option<&str>, at: Stretch) -> Option<usize> {
        let open = self.open.last_mut()?;
        if open.is_map && open.key.is_none() {
            open.key = Some((text.unwrap_or_default().to_owned(), at));
            return None;
        }
        let mark = self.marks.len();
        self.marks.push(Mark {
            key: open.key.take(),
            value: at,
            last_line: at.line,
            ..Mark::default()
        });
        self.marks[open.mark].parts.push(mark);
        Some(mark)
    }
}

/// The parser's span of a quoted scalar runs on to the next token: its own end is the closing quote.
fn quoted_length(line: &str, column: usize) -> Option<u32> {
    let mut chars = line.chars().skip(column);
    let quote = chars.next().filter(|c| matches!(c, '"' | '\''))?;
    let mut escaped = false;
    for (at, c) in chars.enumerate() {
        if c == quote && !escaped {
            return u32::try_from(at + 2).ok();
        }
        escaped = quote == '"' && c == '\\' && !escaped;
    }
    None
}

fn stretch(span: Span) -> Stretch {
    let small = |number: usize| u32::try_from(number).unwrap_or(u32::MAX);
    let same_line = span.start.line() == span.end.line();
    let length = if same_line {
        span.end.index().saturating_sub(span.start.index())
    } else {
        usize::MAX
    };
    Stretch {
        line: small(span.start.line()),
        column: small(span.start.col()),
        length: small(length),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "\
namespace: app
entries:
  - name: \"worker\" # the one
    metod: compute
    source: |

      print(1)
    list: [a, {b: c}]
    same: 1
    same: 2
---
other: true
";

    fn path(steps: &[&str]) -> Vec<Step> {
        let step = |step: &&str| step.parse().map_or_else(|_| Step::from(*step), Step::Index);
        steps.iter().map(step).collect()
    }

    #[test]
    fn keys_and_values_are_found() {
        let source = Source::new("a.yaml", TEXT);
        let spot = |place: Place| (place.line, place.column, place.length);
        for (steps, key, value) in [
            (&["namespace"][..], (1, 1, 9), (1, 12, 3)),
            (&["entries", "0", "name"], (3, 5, 4), (3, 11, 8)),
            (&["entries", "0", "metod"], (4, 5, 5), (4, 12, 7)),
            (&["entries", "0", "list", "1", "b"], (8, 16, 1), (8, 19, 1)),
            // Not there: the key of what encloses it.
            (&["entries", "0", "list", "1", "x"], (8, 15, 1), (8, 15, 1)),
            (&["entries", "7"], (2, 1, 7), (2, 1, 7)),
        ] {
            assert_eq!(spot(source.key(0, &path(steps))), key, "{steps:?}");
            assert_eq!(spot(source.value(0, &path(steps))), value, "{steps:?}");
        }
        assert_eq!(spot(source.second_key(0, &path(&["entries", "0"]), "same")), (10, 5, 4));
        assert_eq!(spot(source.key(1, &path(&["other"]))), (12, 1, 5));
        assert_eq!(
            source.key(0, &path(&["entries", "0", "metod"])).text,
            "    metod: compute"
        );
    }

    #[test]
    fn inline_text_knows_its_first_line() {
        let source = Source::new("a.yaml", TEXT);
        let lines = |steps: &[&str], text: &str| source.lines_of(0, &path(steps), text);
        assert_eq!(lines(&["entries", "0", "source"], "\nprint(1)\n"), Lines::From(6));
        assert_eq!(lines(&["entries", "0", "name"], "worker"), Lines::From(3));
        assert_eq!(lines(&["entries", "0", "none"], "a\nb").of(2), 3);
    }

    #[test]
    fn text_that_is_written_in_other_lines_knows_them() {
        let yaml = "\
base: &base
  source: &code |-
    one
    two
list:
- source: *code
- <<: *base
- <<: [{other: x}, *base]
- source: # a | b

    # c
    !!str |
    one
    two
- source: >
    one
    one still

    two

      more
- source: \"one\\ntwo\\n
    three\\n

    four \\\"x\\\"
    end\"
- source: 'one

    two''s

    three'
- {source: \"one\\ntwo\", <<: *base}
- &own
  <<: *own
- source: >
    local a = 1
    local b = 2

    local b = 2 = 3
- source: \"if a then\\n
    print(1)\\nend\\n
    end\\n\\
    \\treturn x.y\\n\"
- source: &quoted
    !!str \"a\\n
    b = = 2\\n
    return\"
- source: >
    a
        \x20
    b
    c

- source: >2
      a
    b
    c

    d
- source: \"a\\x0A
    b\\u000a
    c\"
- &item # x
  |
  one
  two
- {source: *item}
";
        let source = Source::new("a.yaml", yaml);
        let lines = |at: usize, text: &str| {
            let lines = source.lines_of(0, &path(&["list", &at.to_string(), "source"]), text);
            let count = u32::try_from(text.lines().count()).unwrap();
            (1..=count).map(|line| lines.of(line)).collect::<Vec<_>>()
        };
        assert_eq!(lines(0, "one\ntwo"), [3, 4]);
        assert_eq!(lines(1, "one\ntwo"), [3, 4]);
        assert_eq!(lines(2, "one\ntwo"), [3, 4]);
        assert_eq!(lines(3, "one\ntwo\n"), [13, 14]);
        assert_eq!(lines(4, "one one still\ntwo\n\n  more\n"), [16, 19, 19, 21]);
        assert_eq!(lines(5, "one\ntwo\nthree\n\nfour \"x\" end"), [22, 22, 23, 23, 25]);
        assert_eq!(lines(6, "one\ntwo's\nthree"), [27, 29, 31]);
        assert_eq!(lines(7, "one\ntwo"), [32, 32]);
        assert_eq!(lines(8, "x"), [33]);
        assert_eq!(lines(9, "local a = 1 local b = 2\nlocal b = 2 = 3"), [36, 39]);
        assert_eq!(
            lines(10, "if a then\nprint(1)\nend\nend\n\treturn"),
            [40, 41, 41, 42, 43]
        );
        assert_eq!(lines(11, "a\nb = = 2\nreturn"), [45, 46, 47]);
        assert_eq!(lines(12, "a\n    \nb c"), [49, 50, 51]);
        assert_eq!(lines(13, "  a\nb c\nd"), [55, 56, 59]);
        assert_eq!(lines(14, "a\nb\nc"), [60, 61, 62]);
        assert_eq!(lines(16, "one\ntwo"), [65, 66]);
        let json = "{\"a\": \"\\ud83d\\ude00\",\n\"source\": \"x\\ny\"}";
        assert_eq!(
            Source::new("a.json", json)
                .lines_of(0, &path(&["source"]), "x\ny")
                .of(2),
            2
        );
    }

    #[test]
    fn texts_that_do_not_parse_give_coarse_places() {
        for text in [
            "",
            "a: [1",
            "\t\u{0}",
            "{[a]: b, ? {c: d} : e}",
            "&a [*a]",
            "- - - - x",
            "{{{{",
        ] {
            let source = Source::new("a.yaml", text);
            for document in 0..2 {
                source.key(document, &path(&["a", "0", "b"]));
                source.value(document, &path(&["a", "0"]));
            }
        }
    }

    #[test]
    fn deep_nesting_does_not_overflow() {
        let source = Source::new("a.yaml", "[".repeat(50_000));
        source.key(0, &path(&["0", "0"]));
    }
}
