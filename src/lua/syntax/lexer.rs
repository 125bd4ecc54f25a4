//! Bytes to tokens: all of Lua 5.4 and the three signs that only annotations use.
//!
//! A token is a kind and a span; nothing is decoded and nothing is allocated. Every input is accepted: what is no token of
//! the language becomes [`Kind::Unknown`], and a string, comment or number that is not well formed is a token with `whole`
//! unset. The invariant: spans are in order, do not overlap, and only whitespace lies between them.

/// What a token is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Kind {
    Name,
    Number,
    /// A short or a long string.
    Str,
    /// A short or a long comment, and a first line that starts with `#!`.
    Comment,
    And,
    Break,
    Do,
    Else,
    Elseif,
    End,
    False,
    For,
    Function,
    Goto,
    If,
    In,
    Local,
    Nil,
    Not,
    Or,
    Repeat,
    Return,
    Then,
    True,
    Until,
    While,
    Plus,
    Minus,
    Star,
    Slash,
    DoubleSlash,
    Percent,
    Caret,
    Hash,
    Ampersand,
    Tilde,
    Pipe,
    ShiftLeft,
    ShiftRight,
    Equal,
    NotEqual,
    LessEqual,
    GreaterEqual,
    Less,
    Greater,
    Assign,
    LeftParen,
    RightParen,
    LeftBrace,
    RightBrace,
    LeftBracket,
    RightBracket,
    DoubleColon,
    Semicolon,
    Colon,
    Comma,
    Dot,
    Concat,
    Ellipsis,
    /// `?`, `@` and `!` stand in annotations only.
    Question,
    At,
    Bang,
    /// A run of bytes that belongs to no token.
    Unknown,
    /// The end of the text, again and again.
    Eof,
}

impl Kind {
    /// Whether this is a reserved word.
    pub fn is_keyword(self) -> bool {
        (Kind::And as u8..=Kind::While as u8).contains(&(self as u8))
    }
}

/// A piece of the text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Token {
    pub kind: Kind,
    /// Byte offsets, the end exclusive.
    pub start: usize,
    pub end: usize,
    /// False for a string or comment that does not end, and for a malformed number.
    pub whole: bool,
}

/// Reads tokens one after the other. A copy reads ahead.
#[derive(Clone, Copy, Debug)]
pub struct Lexer<'a> {
    source: &'a [u8],
    position: usize,
}

const NAME_START: u8 = 1;
const NAME: u8 = 2;
const DIGIT: u8 = 4;
const HEX: u8 = 8;
const SPACE: u8 = 16;

/// The classes of every byte, so that the inner loops are one load and one test.
const CLASS: [u8; 256] = classes();

const fn classes() -> [u8; 256] {
    let mut table = [0; 256];
    let mut byte = 0;
    while byte < 256 {
        let b = byte as u8;
        let mut class = 0;
        if b.is_ascii_alphabetic() || b == b'_' {
            class |= NAME_START | NAME;
        }
        if b.is_ascii_digit() {
            class |= NAME | DIGIT;
        }
        if b.is_ascii_hexdigit() {
            class |= HEX;
        }
        if matches!(b, b' ' | b'\t' | b'\n' | b'\r' | 11 | 12) {
            class |= SPACE;
        }
        table[byte] = class;
        byte += 1;
    }
    table
}

fn is(byte: u8, class: u8) -> bool {
    CLASS[byte as usize] & class != 0
}

impl<'a> Lexer<'a> {
    pub fn new(source: &'a [u8]) -> Lexer<'a> {
        Lexer { source, position: 0 }
    }

    /// A lexer that goes on at that offset.
    pub fn at(source: &'a [u8], position: usize) -> Lexer<'a> {
        Lexer { source, position }
    }

    /// The next token, comments included.
    pub fn token(&mut self) -> Token {
        self.skip_space();
        let start = self.position;
        let Some(&byte) = self.source.get(start) else {
            return self.finish(start, Kind::Eof);
        };
        if is(byte, NAME_START) {
            self.skip(NAME);
            return self.finish(start, keyword(&self.source[start..self.position]));
        }
        match byte {
            b'0'..=b'9' => self.number(start),
            b'.' if self.byte(1).is_ascii_digit() => self.number(start),
            b'"' | b'\'' => self.short_string(start, byte),
            b'-' if self.byte(1) == b'-' => self.comment(start),
            b'[' if matches!(self.byte(1), b'[' | b'=') => self.long_string(start),
            b'#' if start == 0 && self.byte(1) == b'!' => self.first_line(start),
            _ => self.symbol(start, byte),
        }
    }

    /// The next token that is no comment.
    pub fn code(&mut self) -> Token {
        loop {
            let token = self.token();
            if token.kind != Kind::Comment {
                return token;
            }
        }
    }

    /// The byte so many places ahead; 0 past the end.
    fn byte(&self, ahead: usize) -> u8 {
        self.source.get(self.position + ahead).copied().unwrap_or(0)
    }

    fn skip(&mut self, class: u8) {
        let rest = &self.source[self.position.min(self.source.len())..];
        self.position += rest.iter().position(|&b| !is(b, class)).unwrap_or(rest.len());
    }

    fn skip_space(&mut self) {
        if self.position == 0 && self.source.starts_with(b"\xEF\xBB\xBF") {
            self.position = 3;
        }
        self.skip(SPACE);
    }

    fn finish(&self, start: usize, kind: Kind) -> Token {
        self.finish_as(start, kind, true)
    }

    fn finish_as(&self, start: usize, kind: Kind, whole: bool) -> Token {
        Token {
            kind,
            start,
            end: self.position,
            whole,
        }
    }

    /// As Lua reads it: everything that could belong to a number, judged afterwards.
    fn number(&mut self, start: usize) -> Token {
        let hex = self.byte(0) == b'0' && matches!(self.byte(1), b'x' | b'X');
        let exponent = if hex { [b'p', b'P'] } else { [b'e', b'E'] };
        if hex {
            self.position += 2;
        }
        loop {
            let byte = self.byte(0);
            if exponent.contains(&byte) {
                self.position += 1 + usize::from(matches!(self.byte(1), b'+' | b'-'));
            } else if is(byte, HEX) || byte == b'.' {
                self.position += 1;
            } else {
                break;
            }
        }
        self.skip(NAME);
        let text = &self.source[start..self.position];
        self.finish_as(start, Kind::Number, is_number(text, hex))
    }

    fn short_string(&mut self, start: usize, quote: u8) -> Token {
        self.position += 1;
        loop {
            let rest = &self.source[self.position..];
            let stop = |&b: &u8| b == quote || matches!(b, b'\\' | b'\n' | b'\r');
            let Some(found) = rest.iter().position(stop) else {
                self.position = self.source.len();
                return self.finish_as(start, Kind::Str, false);
            };
            self.position += found;
            match self.byte(0) {
                b'\\' => self.escape(),
                byte => {
                    self.position += usize::from(byte == quote);
                    return self.finish_as(start, Kind::Str, byte == quote);
                }
            }
        }
    }

    /// Steps over a backslash and what it takes from being the end of the string.
    fn escape(&mut self) {
        match (self.byte(1), self.byte(2)) {
            (b'\r', b'\n') | (b'\n', b'\r') => self.position += 3,
            (b'z', _) => {
                self.position += 2;
                self.skip(SPACE);
            }
            _ => self.position += 2,
        }
        self.position = self.position.min(self.source.len());
    }

    fn comment(&mut self, start: usize) -> Token {
        self.position += 2;
        if let Some(level) = self.long_level() {
            let whole = self.long_body(level);
            return self.finish_as(start, Kind::Comment, whole);
        }
        self.skip_line();
        self.finish(start, Kind::Comment)
    }

    fn first_line(&mut self, start: usize) -> Token {
        self.skip_line();
        self.finish(start, Kind::Comment)
    }

    fn skip_line(&mut self) {
        let rest = &self.source[self.position..];
        let end = rest.iter().position(|b| matches!(b, b'\n' | b'\r'));
        self.position += end.unwrap_or(rest.len());
    }

    fn long_string(&mut self, start: usize) -> Token {
        let Some(level) = self.long_level() else {
            self.position += 1;
            while self.byte(0) == b'=' {
                self.position += 1;
            }
            return self.finish(start, Kind::Unknown);
        };
        let whole = self.long_body(level);
        self.finish_as(start, Kind::Str, whole)
    }

    /// The number of `=` of a long bracket that opens here.
    fn long_level(&self) -> Option<usize> {
        let rest = self.source[self.position..].strip_prefix(b"[")?;
        let level = rest.iter().take_while(|&&b| b == b'=').count();
        (rest.get(level) == Some(&b'[')).then_some(level)
    }

    /// Steps over a long bracket; false when it does not close.
    fn long_body(&mut self, level: usize) -> bool {
        self.position += level + 2;
        while let Some(found) = self.source[self.position..].iter().position(|&b| b == b']') {
            self.position += found + 1;
            let rest = &self.source[self.position..];
            let closes = rest.len() > level && rest[level] == b']' && rest[..level].iter().all(|&b| b == b'=');
            if closes {
                self.position += level + 1;
                return true;
            }
        }
        self.position = self.source.len();
        false
    }

    fn symbol(&mut self, start: usize, byte: u8) -> Token {
        let (kind, length) = symbol_of([byte, self.byte(1), self.byte(2)]);
        self.position += length;
        if kind == Kind::Unknown {
            self.skip_unknown();
        }
        self.finish(start, kind)
    }

    /// One token for all the bytes of, say, a word in another alphabet.
    fn skip_unknown(&mut self) {
        while self.byte(0) >= 0x80 {
            self.position += 1;
        }
    }
}

fn symbol_of(bytes: [u8; 3]) -> (Kind, usize) {
    match bytes {
        [b'.', b'.', b'.'] => (Kind::Ellipsis, 3),
        [b'.', b'.', _] => (Kind::Concat, 2),
        [b'=', b'=', _] => (Kind::Equal, 2),
        [b'~', b'=', _] => (Kind::NotEqual, 2),
        [b'<', b'=', _] => (Kind::LessEqual, 2),
        [b'>', b'=', _] => (Kind::GreaterEqual, 2),
        [b'<', b'<', _] => (Kind::ShiftLeft, 2),
        [b'>', b'>', _] => (Kind::ShiftRight, 2),
        [b'/', b'/', _] => (Kind::DoubleSlash, 2),
        [b':', b':', _] => (Kind::DoubleColon, 2),
        // `x != y` is somebody's habit from another language, `x! == y` is an assertion.
        [b'!', b'=', third] if third != b'=' => (Kind::Unknown, 2),
        [byte, ..] => (single(byte), 1),
    }
}

fn single(byte: u8) -> Kind {
    match byte {
        b'+' => Kind::Plus,
        b'-' => Kind::Minus,
        b'*' => Kind::Star,
        b'/' => Kind::Slash,
        b'%' => Kind::Percent,
        b'^' => Kind::Caret,
        b'#' => Kind::Hash,
        b'&' => Kind::Ampersand,
        b'~' => Kind::Tilde,
        b'|' => Kind::Pipe,
        b'<' => Kind::Less,
        b'>' => Kind::Greater,
        b'=' => Kind::Assign,
        b'(' => Kind::LeftParen,
        b')' => Kind::RightParen,
        b'{' => Kind::LeftBrace,
        b'}' => Kind::RightBrace,
        b'[' => Kind::LeftBracket,
        b']' => Kind::RightBracket,
        b';' => Kind::Semicolon,
        b':' => Kind::Colon,
        b',' => Kind::Comma,
        b'.' => Kind::Dot,
        b'?' => Kind::Question,
        b'@' => Kind::At,
        b'!' => Kind::Bang,
        _ => Kind::Unknown,
    }
}

/// By the first letter, because most words are no keywords.
fn keyword(word: &[u8]) -> Kind {
    let keywords: &[(&[u8], Kind)] = match word[0] {
        b'a' => &[(b"and", Kind::And)],
        b'b' => &[(b"break", Kind::Break)],
        b'd' => &[(b"do", Kind::Do)],
        b'e' => &[(b"end", Kind::End), (b"else", Kind::Else), (b"elseif", Kind::Elseif)],
        b'f' => &[
            (b"function", Kind::Function),
            (b"for", Kind::For),
            (b"false", Kind::False),
        ],
        b'g' => &[(b"goto", Kind::Goto)],
        b'i' => &[(b"if", Kind::If), (b"in", Kind::In)],
        b'l' => &[(b"local", Kind::Local)],
        b'n' => &[(b"nil", Kind::Nil), (b"not", Kind::Not)],
        b'o' => &[(b"or", Kind::Or)],
        b'r' => &[(b"return", Kind::Return), (b"repeat", Kind::Repeat)],
        b't' => &[(b"then", Kind::Then), (b"true", Kind::True)],
        b'u' => &[(b"until", Kind::Until)],
        b'w' => &[(b"while", Kind::While)],
        _ => &[],
    };
    let found = keywords.iter().find(|(text, _)| *text == word);
    found.map_or(Kind::Name, |&(_, kind)| kind)
}

/// Whether Lua takes this for a number: digits with at most one dot, and an exponent.
fn is_number(text: &[u8], hex: bool) -> bool {
    let (digits, class, marks) = match hex {
        true => (&text[2..], HEX, *b"pP"),
        false => (text, DIGIT, *b"eE"),
    };
    let mark = digits.iter().position(|b| marks.contains(b));
    let (mantissa, exponent) = digits.split_at(mark.unwrap_or(digits.len()));
    let dots = mantissa.iter().filter(|&&b| b == b'.').count();
    let plain = mantissa.iter().all(|&b| is(b, class) || b == b'.');
    plain && dots <= 1 && mantissa.len() > dots && (exponent.is_empty() || is_exponent(&exponent[1..]))
}

fn is_exponent(text: &[u8]) -> bool {
    let digits = text.strip_prefix(b"+").or(text.strip_prefix(b"-")).unwrap_or(text);
    !digits.is_empty() && digits.iter().all(|&b| is(b, DIGIT))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tokens(source: &[u8]) -> Vec<Token> {
        let mut lexer = Lexer::new(source);
        let mut found = Vec::new();
        loop {
            let token = lexer.token();
            if token.kind == Kind::Eof {
                return found;
            }
            found.push(token);
        }
    }

    fn texts(source: &str) -> Vec<&str> {
        let spans = tokens(source.as_bytes());
        spans.iter().map(|token| &source[token.start..token.end]).collect()
    }

    #[test]
    fn every_token_of_the_language() {
        let table = [
            ("+ - * / // % ^ #a & ~ | << >>", 14),
            ("== ~= <= >= < > =", 7),
            ("( ) { } [ ] :: ; : , . .. ...", 13),
            ("and break do else elseif end false for function goto if in", 12),
            ("local nil not or repeat return then true until while", 10),
            ("? @ !", 3),
        ];
        for (source, count) in table {
            let found = tokens(source.as_bytes());
            assert_eq!(found.len(), count, "{source}");
            assert!(found.iter().all(|t| t.kind != Kind::Unknown), "{source}");
        }
    }

    #[test]
    fn longest_token_first() {
        let table: [(&str, &[&str]); 14] = [
            ("a...b", &["a", "...", "b"]),
            ("a..b", &["a", "..", "b"]),
            ("a.b.c", &["a", ".", "b", ".", "c"]),
            ("a..1", &["a", "..", "1"]),
            ("a .1", &["a", ".1"]),
            ("::x::", &["::", "x", "::"]),
            ("a:b", &["a", ":", "b"]),
            ("a~=b", &["a", "~=", "b"]),
            ("a//b", &["a", "//", "b"]),
            ("a!==b", &["a", "!", "==", "b"]),
            ("a!=b", &["a", "!=", "b"]),
            ("t[i]", &["t", "[", "i", "]"]),
            ("t[[i]]", &["t", "[[i]]"]),
            ("ende end_ _end", &["ende", "end_", "_end"]),
        ];
        for (source, expected) in table {
            assert_eq!(texts(source), expected, "{source}");
        }
    }

    #[test]
    fn numbers() {
        let good = "0 12 3.5 .5 5. 1e10 1E+5 1e-5 3.1e2 0xff 0XA 0x.8 0xA.8p1 0x1p-4 0xep1 9007199254740993";
        for token in tokens(good.as_bytes()) {
            assert_eq!((token.kind, token.whole), (Kind::Number, true), "{token:?}");
        }
        for bad in [
            "3x", "1e", "1e+", "0x", "0xg", "1..2", "1.2.3", "0x1p", "12abc", "0x1pa", "3in",
        ] {
            let found = tokens(bad.as_bytes());
            assert_eq!(found.len(), 1, "{bad}");
            assert_eq!((found[0].kind, found[0].whole), (Kind::Number, false), "{bad}");
        }
    }

    #[test]
    fn strings_and_comments_are_one_token() {
        let table = [
            (r#""a\"b""#, Kind::Str),
            (r"'\'\\'", Kind::Str),
            ("\"a\\\nb\"", Kind::Str),
            ("\"a\\\r\nb\"", Kind::Str),
            ("\"a\\z  \n  b\"", Kind::Str),
            (r#""\x41\u{20AC}\065""#, Kind::Str),
            ("[[a\nb]]", Kind::Str),
            ("[==[a]]]=]b]==]", Kind::Str),
            ("[[]]", Kind::Str),
            ("[=[]]=]", Kind::Str),
            ("-- a ' \" [[", Kind::Comment),
            ("--[[a\nb]]", Kind::Comment),
            ("--[==[a]]\n]==]", Kind::Comment),
            ("--[=a", Kind::Comment),
            ("#!/usr/bin/env wippy", Kind::Comment),
        ];
        for (source, kind) in table {
            let found = tokens(source.as_bytes());
            assert_eq!(found.len(), 1, "{source}");
            assert_eq!((found[0].kind, found[0].whole), (kind, true), "{source}");
            assert_eq!((found[0].start, found[0].end), (0, source.len()), "{source}");
        }
    }

    #[test]
    fn unfinished_strings_and_comments_say_so() {
        let open = [
            "\"abc",
            "'a\\",
            "'a\\z  ",
            "\"a\\\n",
            "[[abc",
            "[==[a]=]",
            "--[[a",
            "--[==[a]]",
            "\"a\nb",
        ];
        for source in open {
            assert!(!tokens(source.as_bytes())[0].whole, "{source}");
        }
        assert_eq!(texts("\"a\nb"), ["\"a", "b"]);
        assert_eq!(tokens(b"[==x")[0].kind, Kind::Unknown);
    }

    #[test]
    fn any_bytes_give_ordered_spans() {
        let mut state = 7u32;
        let alphabet = b"ab1x.=[]-\"'\\z\n\r :!<>\xff\xc3#0ep+";
        for _ in 0..4000 {
            let mut bytes = Vec::new();
            for _ in 0..(state % 24) {
                state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                bytes.push(alphabet[(state >> 16) as usize % alphabet.len()]);
            }
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            let mut end = 0;
            for token in tokens(&bytes) {
                assert!(token.start >= end && token.end > token.start && token.end <= bytes.len());
                assert!(bytes[end..token.start].iter().all(|&b| is(b, SPACE)));
                end = token.end;
            }
        }
    }
}
