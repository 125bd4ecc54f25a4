//! Text whose tokens stand on other lines: Lua counts those of what it reads.

use super::lexer::{Kind, Lexer};

/// The text with each token on the line that `line` gives for its own, which never goes up. Comments are left out, and a string with
/// line ends for which there is no room is written on one line.
pub fn laid_out(text: &[u8], line: impl Fn(u32) -> u32) -> Vec<u8> {
    let ends = |bytes: &[u8]| bytes.iter().filter(|byte| **byte == b'\n').count() as u32;
    let mut out = Vec::with_capacity(text.len());
    let mut lexer = Lexer::new(text);
    // The line here, and the one that has been written.
    let (mut own, mut made, mut at) = (1, 1, 0);
    loop {
        let token = lexer.token();
        own += ends(&text[at..token.start]);
        let between = match line(own).checked_sub(made) {
            None | Some(0) => b" ".to_vec(),
            Some(more) => vec![b'\n'; more as usize],
        };
        made += ends(&between);
        out.extend(between);
        let written = &text[token.start..token.end];
        at = token.end;
        match token.kind {
            Kind::Eof => return out,
            // A long one that does not end has its message.
            Kind::Comment if token.whole => {}
            // A string or comment that does not end is a fault, and nothing behind it may end it.
            Kind::Str | Kind::Comment if !token.whole => {
                out.extend(written.split(|byte| *byte == b'\n').next().unwrap_or_default());
                out.push(b'\n');
                return out;
            }
            Kind::Str if has_no_room(written, line(own + ends(written)).saturating_sub(made)) => {
                out.extend(on_one_line(written))
            }
            _ => {
                out.extend(written);
                made += ends(written);
            }
        }
        own += ends(written);
    }
}

/// Whether a string has more line ends than that, or one that Lua counts otherwise than we do.
fn has_no_room(string: &[u8], lines: u32) -> bool {
    string.contains(&b'\r') || string.iter().filter(|byte| **byte == b'\n').count() > lines as usize
}

/// A string that is whole, without line ends.
fn on_one_line(string: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(string.len() + 2);
    if let [b'[', ..] = string {
        let bracket = string.iter().skip(1).position(|byte| *byte == b'[').unwrap_or_default() + 2;
        let body = &string[bracket..string.len() - bracket];
        out.push(b'"');
        let mut bytes = body.iter().copied().peekable();
        let mut is_first = true;
        while let Some(byte) = bytes.next() {
            match byte {
                b'\n' | b'\r' => {
                    // Two different ones are one line end; the first of all does not count.
                    bytes.next_if(|next| matches!(next, b'\n' | b'\r') && *next != byte);
                    out.extend(if is_first { &b""[..] } else { b"\\n" });
                }
                b'"' | b'\\' => out.extend([b'\\', byte]),
                0 => out.extend(b"\\x00"),
                byte => out.push(byte),
            }
            is_first = false;
        }
        out.push(b'"');
        return out;
    }
    let mut bytes = string.iter().copied().peekable();
    while let Some(byte) = bytes.next() {
        match (byte, bytes.peek().copied()) {
            (b'\\', Some(end @ (b'\n' | b'\r'))) => {
                bytes.next();
                bytes.next_if(|next| matches!(next, b'\n' | b'\r') && *next != end);
                out.extend(b"\\n");
            }
            (b'\\', Some(b'z')) => {
                bytes.next();
                out.extend(b"\\z");
                while bytes.next_if(|next| matches!(next, b' ' | 9..=13)).is_some() {}
            }
            (b'\\', Some(escaped)) => {
                bytes.next();
                out.extend([byte, escaped]);
            }
            (byte, _) => out.push(byte),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_go_to_their_lines() {
        let text = b"a = 1 -- one\n--[[ two\n\n]] b = [[x\n\ny]] c\n=\"d\\\n\" e";
        let laid = |lines: &[u32]| {
            let lines = lines.to_vec();
            let at = move |line: u32| lines[(line as usize).min(lines.len()) - 1];
            String::from_utf8(laid_out(text, at)).unwrap()
        };
        assert_eq!(laid(&[1]), " a = 1   b = \"x\\n\\ny\" c = \"d\\n\" e ");
        assert_eq!(
            laid(&[2, 3, 4, 5, 6, 7, 9]),
            "\na = 1 \n\n\nb = [[x\n\ny]] c\n\n= \"d\\n\" e "
        );
    }

    #[test]
    fn a_string_on_one_line_is_the_same_string() {
        let one = |text: &str| String::from_utf8(on_one_line(text.as_bytes())).unwrap();
        assert_eq!(
            one("[==[\r\na\"]]\\\n\n\rb\x00001]==]"),
            "\"a\\\"]]\\\\\\n\\nb\\x00001\""
        );
        assert_eq!(one("[[\n\n]]"), "\"\\n\"");
        assert_eq!(one("'a\\\r\nb\\z \n\t c\\\\\\'d\\65'"), "'a\\nb\\zc\\\\\\'d\\65'");
    }
}
