//! Text whose tokens stand on other lines: Lua counts those of what it reads.

use super::lexer::{Kind, Lexer};

/// The text with each token on the line that `line` gives for its own, which never goes up; behind a string with line ends in it,
/// as soon as that is possible. Comments are left out.
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
            _ => {
                out.extend(written);
                made += ends(written);
            }
        }
        own += ends(written);
    }
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
        assert_eq!(laid(&[1]), " a = 1   b = [[x\n\ny]] c = \"d\\\n\" e ");
        assert_eq!(
            laid(&[2, 3, 4, 5, 6, 7, 9]),
            "\na = 1 \n\n\nb = [[x\n\ny]] c\n\n= \"d\\\n\" e "
        );
    }
}
