//! Text of others before a person sees it: no control character in it may do anything to a terminal.
//!
//! Two forms: [`escaped`] keeps what was there readable, [`printable`] keeps every character as wide as it was, for columns
//! and for lines with carets below them.

use std::borrow::Cow;

/// Control characters as `\u{1b}`. Lines and tabs stay; the end of a line of other systems is no more than that.
pub fn escaped(text: &str) -> Cow<'_, str> {
    let acts = |c: char| c.is_control() && !matches!(c, '\n' | '\t');
    if !text.contains(acts) {
        return Cow::Borrowed(text);
    }
    let mut shown = String::with_capacity(text.len() + 16);
    for c in text.replace("\r\n", "\n").chars() {
        match acts(c) {
            true => shown.extend(c.escape_default()),
            false => shown.push(c),
        }
    }
    Cow::Owned(shown)
}

/// The text as one line, each control character as one other.
pub fn printable(text: &str) -> String {
    text.chars().map(|c| if c == '\n' { ' ' } else { visible(c) }).collect()
}

/// A character that takes the place of this one.
pub fn visible(c: char) -> char {
    if c.is_control() && c != '\t' { '\u{fffd}' } else { c }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_in_it_acts_on_a_terminal() {
        assert_eq!(
            escaped("\x1b[2Ja\0b\r\nc\td\re\u{9b}ä"),
            "\\u{1b}[2Ja\\u{0}b\nc\td\\re\\u{9b}ä"
        );
        assert!(matches!(escaped("plain\n\ttext"), Cow::Borrowed(_)));
        assert_eq!(printable("a\nb\x1b[2J\tc"), "a b\u{fffd}[2J\tc");
    }
}
