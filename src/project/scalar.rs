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

/// For a scalar that is plain or in quotes. `column`, in characters from 0, is where it begins on its first line, `line` shows a line
/// of the file.
pub fn flow<'a>(line: impl Fn(u32) -> &'a str, first: u32, column: u32, last: u32, quote: Option<char>) -> Vec<u32> {
    let (mut places, mut text, mut blanks) = (Places::default(), 0, 0);
    for at in first..=last {
        let shown = line(at);
        let skipped = match at == first {
            true => column as usize + usize::from(quote.is_some()),
            false => 0,
        };
        let start = shown.char_indices().nth(skipped).map_or(shown.len(), |(at, _)| at);
        let content = shown[start..].trim();
        if content.is_empty() && at > first {
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

/// For a folded block, whose header stands on the line above `first`.
pub fn folded<'a>(line: impl Fn(u32) -> &'a str, first: u32, last: u32) -> Vec<u32> {
    let (mut places, mut text, mut blanks) = (Places::default(), 0, 0);
    // The indentation, and whether the line before had more of it.
    let mut before: Option<(usize, bool)> = None;
    for at in first..=last {
        let shown = line(at);
        if shown.trim().is_empty() {
            blanks += 1;
            continue;
        }
        let indent = shown.len() - shown.trim_start_matches(' ').len();
        let base = before.map_or(indent, |(base, _)| base);
        if indent < base {
            break;
        }
        let has_more = indent > base || shown[base..].starts_with('\t');
        // Line ends beside a line with more of it stay.
        text += blanks + usize::from(before.is_some_and(|(_, had_more)| had_more || has_more));
        places.note(text, at);
        (before, blanks) = (Some((base, has_more)), 0);
    }
    places.finish(first)
}
