//! The lines of a file on which the lines of a scalar's text stand, by the rules of YAML 1.2 for folding (§6.5, §7.3, §8.1.3).

/// Lines of a text with the lines of the file on which their first characters stand.
#[derive(Default)]
struct Places(Vec<Option<u32>>);

impl Places {
    /// Something of that line of the text, from 0, stands there.
    fn note(&mut self, text: usize, at: u32) {
        if self.0.len() <= text {
            self.0.resize(text + 1, None);
        }
        self.0[text].get_or_insert(at);
    }

    /// An empty line stands with the one before it.
    fn finish(self, first: u32) -> Vec<u32> {
        let mut last = first;
        let places = self.0.into_iter().map(|place| {
            last = place.unwrap_or(last);
            last
        });
        places.collect()
    }
}

/// For a scalar that is plain or in quotes. `column`, in characters from 0, is where it begins on its first line, with its anchor and
/// tag; `line` shows a line of the file.
pub fn flow<'a>(line: impl Fn(u32) -> &'a str, first: u32, column: u32, last: u32, quote: Option<char>) -> Vec<u32> {
    let (mut places, mut text, mut blanks) = (Places::default(), 0, 0);
    let mut is_open = quote.is_none();
    for at in first..=last {
        let shown = line(at);
        let skipped = if at == first { column as usize } else { 0 };
        let start = shown.char_indices().nth(skipped).map_or(shown.len(), |(at, _)| at);
        let mut content = shown[start..].trim();
        if !is_open {
            // Behind an anchor and a tag, on this line or on one below.
            let Some((_, behind)) = quote.and_then(|quote| content.split_once(quote)) else {
                continue;
            };
            (content, is_open) = (behind, true);
        } else if content.is_empty() {
            blanks += 1;
            continue;
        }
        // One line end is a space, each empty line behind it a line end.
        text += std::mem::take(&mut blanks);
        let mut chars = content.chars().peekable();
        while let Some(c) = chars.next() {
            match (c, quote) {
                ('\\', Some('"')) => match chars.next() {
                    Some('n') => text += 1,
                    Some('t') | None => {}
                    Some(kind @ ('x' | 'u' | 'U')) => {
                        let digits = [2, 4, 8]["xuU".find(kind).unwrap_or_default()];
                        let digits: String = chars.by_ref().take(digits).collect();
                        match u32::from_str_radix(&digits, 16) {
                            Ok(10) => text += 1,
                            _ => places.note(text, at),
                        }
                    }
                    Some(_) => places.note(text, at),
                },
                ('\'', Some('\'')) if chars.peek() == Some(&'\'') => {
                    chars.next();
                    places.note(text, at);
                }
                (end, Some(quote)) if end == quote => return places.finish(first),
                (c, _) if c.is_whitespace() => {}
                _ => places.note(text, at),
            }
        }
    }
    places.finish(first)
}

/// For a folded block, whose header stands on the line above `first`. What is indented no further than `outside` is not of it.
pub fn folded<'a>(line: impl Fn(u32) -> &'a str, first: u32, last: u32, outside: Option<usize>) -> Vec<u32> {
    let indent = |text: &str| text.len() - text.trim_start_matches(' ').len();
    let is_outside = |text: &str| !text.trim().is_empty() && outside.is_some_and(|outside| indent(text) <= outside);
    let lines: Vec<&str> = (first..=last).map(line).take_while(|text| !is_outside(text)).collect();
    // An indicator in the header may make the first line one with more than the others.
    let full = lines.iter().filter(|text| !text.trim().is_empty());
    let base = full.map(|text| indent(text)).min().unwrap_or_default();
    let (mut places, mut text, mut blanks) = (Places::default(), 0, 0);
    // Whether the line before had more indentation.
    let mut before: Option<bool> = None;
    for (at, shown) in (first..).zip(lines) {
        if shown.trim().is_empty() && shown.len() <= base {
            blanks += 1;
            continue;
        }
        let has_more = shown[base..].starts_with([' ', '\t']);
        // Line ends beside a line with more of it stay.
        text += blanks + usize::from(before.is_some_and(|had_more| had_more || has_more));
        places.note(text, at);
        (before, blanks) = (Some(has_more), 0);
    }
    places.finish(first)
}
