//! What stands before the cursor, as far as a completion needs to know it.

/// What is to be completed.
#[derive(Debug, PartialEq, Eq)]
pub enum Word {
    /// An id that begins there: the contents of a string literal, or the argument of a command that takes one.
    Text(usize),
    /// A path of names, the last of which begins at `start` and may be empty.
    Path {
        path: Vec<String>,
        method: bool,
        start: usize,
    },
    None,
}

pub fn before(text: &str) -> Word {
    if let Some(start) = open_string(text) {
        return Word::Text(start);
    }
    let lead = text.len() - text.trim_start().len();
    let command = &text[lead..];
    if command.starts_with(':') && command[1..].chars().all(|c| c.is_ascii_alphabetic()) {
        return Word::Path {
            path: vec![command.to_owned()],
            method: false,
            start: lead,
        };
    }
    argument(text, lead).unwrap_or_else(|| path(text))
}

/// The argument of a command that takes the id of an entry.
fn argument(text: &str, lead: usize) -> Option<Word> {
    let (name, _) = text[lead..].split_once(' ')?;
    let start = text.rfind(' ')? + 1;
    matches!(name, ":inspect" | ":entries").then_some(Word::Text(start))
}

/// Where the contents of the string literal begin that is still open at the end.
fn open_string(text: &str) -> Option<usize> {
    let mut open = None;
    let mut chars = text.char_indices();
    while let Some((at, c)) = chars.next() {
        match (open, c) {
            (Some(_), '\\') => {
                chars.next();
            }
            (Some((quote, _)), c) if c == quote || c == '\n' => open = None,
            (None, '"' | '\'') => open = Some((c, at + 1)),
            _ => {}
        }
    }
    open.map(|(_, start)| start)
}

fn path(text: &str) -> Word {
    let is_part = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '.' | ':');
    let start = text.rfind(|c| !is_part(c)).map_or(0, |at| {
        let width = text[at..].chars().next().map_or(1, char::len_utf8);
        at + width
    });
    let written = &text[start..];
    let cut = written.rfind(['.', ':']).map_or(0, |at| at + 1);
    let path: Vec<String> = written.split(['.', ':']).map(str::to_owned).collect();
    let (last, above) = path.split_last().expect("a split has at least one part");
    let is_name = |name: &String| !name.is_empty() && !name.starts_with(|c: char| c.is_ascii_digit());
    let plain = above.iter().all(is_name) && !last.starts_with(|c: char| c.is_ascii_digit());
    if !plain || written.is_empty() {
        return Word::None;
    }
    Word::Path {
        method: cut > 0 && written.as_bytes()[cut - 1] == b':',
        start: start + cut,
        path,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(text: &str) -> (Vec<String>, bool, usize) {
        match before(text) {
            Word::Path { path, method, start } => (path, method, start),
            other => panic!("{text}: {other:?}"),
        }
    }

    #[test]
    fn paths_end_at_the_cursor() {
        assert_eq!(found("process.sp"), (vec!["process".into(), "sp".into()], false, 8));
        assert_eq!(found("x = ch:re"), (vec!["ch".into(), "re".into()], true, 7));
        assert_eq!(found("f(ti"), (vec!["ti".into()], false, 2));
        assert_eq!(found("process."), (vec!["process".into(), String::new()], false, 8));
        assert_eq!(found(" :he"), (vec![":he".into()], false, 1));
    }

    #[test]
    fn an_open_string_is_text() {
        assert_eq!(before("process.spawn(\"app:w"), Word::Text(15));
        assert_eq!(before("f('a', 'b"), Word::Text(8));
        assert_eq!(before("f(\"a\\\"b"), Word::Text(3));
        assert_eq!(before(":inspect app:w"), Word::Text(9));
        assert_eq!(before(":inspect "), Word::Text(9));
    }

    #[test]
    fn nothing_is_completed_where_no_name_can_stand() {
        for text in ["", "1.", "f().", "x..", "a ", "ä"] {
            assert_eq!(before(text), Word::None, "{text}");
        }
    }
}
