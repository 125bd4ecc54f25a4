//! The grammar of Lua 5.4, with type annotations where they may stand.
//!
//! A recursive descent that builds nothing: it only blanks the annotations and notes where the top-level locals are.
//! Operators need no precedence for that, so an expression is a flat loop. What a type looks like is in `types`. The
//! invariant: a program that Lua accepts is read to its end, with nothing blanked; `scope` questions (labels, constants,
//! `break`) stay with Lua.

use std::collections::HashSet;
use std::ops::Range;

use super::lexer::{Kind, Lexer, Token};

/// How deep statements, expressions and types may nest. Lua's own compiler gives up at 200, so this bound only protects us.
const DEPTH: usize = 220;

/// Why reading stopped; the place is the parser's current token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fault {
    /// Not Lua. Lua says it better.
    Plain,
    /// A fault of an annotation, in the words of Lua's own messages.
    Annotation(&'static str),
}

pub(super) type Parse<T = ()> = Result<T, Fault>;

/// A `local` statement at the top level of the text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Local {
    /// The word `local`.
    pub keyword: Range<usize>,
    /// The attributes, `<const>` and the like.
    pub attributes: Vec<Range<usize>>,
    /// Where a value is missing: the end of the last name of a declaration without one.
    pub bare: Option<usize>,
}

/// What the names of a text are, whatever their scope.
#[derive(Default)]
pub(super) struct Names<'a> {
    /// Declared with `type`.
    pub types: HashSet<&'a [u8]>,
    /// Given a value somewhere.
    pub bound: HashSet<&'a [u8]>,
    /// Where a name begins an expression.
    pub values: Vec<Token>,
}

pub(super) struct Parser<'a> {
    source: &'a [u8],
    lexer: Lexer<'a>,
    pub token: Token,
    /// The end of the last token that was consumed.
    pub before: usize,
    /// The text without the annotations found so far; made when the first one is found.
    erased: Option<Vec<u8>>,
    /// The end of the last annotation.
    erased_end: usize,
    /// The top-level locals, for who asks: a text of a gigabyte has many.
    pub locals: Option<Vec<Local>>,
    /// Who is what, for who asks.
    pub names: Option<Names<'a>>,
    depth: usize,
    /// How many blocks are open; the top level is 0.
    blocks: usize,
    /// Whether the statement may end behind the expression that is being read, so that `::` may begin a label.
    tail: bool,
    /// Whether a type is read behind `::` or `as`, where `<` may also compare.
    casting: bool,
    /// Whether that was decided already: there are no guesses within a guess, which would take exponential time.
    guessing: bool,
}

impl<'a> Parser<'a> {
    pub fn new(source: &'a [u8]) -> Parser<'a> {
        let mut lexer = Lexer::new(source);
        Parser {
            source,
            token: lexer.code(),
            lexer,
            before: 0,
            erased: None,
            erased_end: 0,
            locals: None,
            names: None,
            depth: 0,
            blocks: 0,
            tail: false,
            casting: false,
            guessing: false,
        }
    }

    /// The text without annotations; `None` when there are none.
    pub fn into_erased(self) -> Option<Vec<u8>> {
        self.erased
    }

    /// The whole text as a program.
    pub fn chunk(&mut self) -> Parse {
        self.statements()?;
        self.plain(self.token.kind == Kind::Eof)
    }

    /// The whole text as a list of expressions, with a `;` behind it perhaps.
    pub fn only_expressions(&mut self) -> Parse {
        self.expressions()?;
        self.take(Kind::Semicolon);
        self.plain(self.token.kind == Kind::Eof)
    }

    // Tokens

    pub fn at(&self, kind: Kind) -> bool {
        self.token.kind == kind
    }

    pub fn text(&self) -> &'a [u8] {
        self.text_of(self.token)
    }

    pub fn text_of(&self, token: Token) -> &'a [u8] {
        &self.source[token.start..token.end]
    }

    pub fn at_word(&self, word: &[u8]) -> bool {
        self.at(Kind::Name) && self.text() == word
    }

    pub fn advance(&mut self) {
        self.before = self.token.end;
        self.token = self.lexer.code();
    }

    /// Consumes up to a byte in the middle of a token, for `>>` and `->`.
    pub fn advance_to(&mut self, end: usize) {
        self.before = end;
        self.lexer = Lexer::at(self.source, end);
        self.token = self.lexer.code();
    }

    pub fn take(&mut self, kind: Kind) -> bool {
        let found = self.at(kind);
        if found {
            self.advance();
        }
        found
    }

    fn expect(&mut self, kind: Kind) -> Parse {
        let found = self.take(kind);
        self.plain(found)
    }

    fn plain(&self, good: bool) -> Parse {
        if good { Ok(()) } else { Err(Fault::Plain) }
    }

    /// The tokens behind the current one.
    pub fn ahead(&self) -> Lexer<'a> {
        self.lexer
    }

    /// The kind of the next token.
    pub fn next_kind(&self) -> Kind {
        self.ahead().code().kind
    }

    /// The byte directly behind the current token.
    pub fn byte_behind(&self) -> u8 {
        self.source.get(self.token.end).copied().unwrap_or(0)
    }

    /// Whether the current token is the first on its line.
    pub fn on_new_line(&self) -> bool {
        let gap = &self.source[self.before..self.token.start];
        gap.iter().any(|b| matches!(b, b'\n' | b'\r'))
    }

    /// Whether the sign `<` behind a type name may turn out to compare.
    pub fn must_guess(&self) -> bool {
        self.casting && !self.guessing
    }

    /// Reads something that may turn out not to stand here; then nothing has been read.
    pub fn guess(&mut self, read: impl FnOnce(&mut Self) -> bool) {
        let (lexer, token, before, erased_end) = (self.lexer, self.token, self.before, self.erased_end);
        self.guessing = true;
        let right = read(self);
        self.guessing = false;
        if !right {
            self.restore(before..self.token.start);
            (self.lexer, self.token, self.before, self.erased_end) = (lexer, token, before, erased_end);
        }
    }

    /// Blanks everything consumed since `start`: an annotation.
    fn erase_from(&mut self, start: usize) {
        let text = self.erased.get_or_insert_with(|| self.source.to_vec());
        blank(&mut text[start..self.before]);
        self.erased_end = self.before;
        if let Some(names) = &mut self.names {
            // A `typeof(x)` evaluates nothing.
            while names.values.pop_if(|value| value.start >= start).is_some() {}
        }
    }

    fn restore(&mut self, span: Range<usize>) {
        if let Some(text) = &mut self.erased {
            text[span.clone()].copy_from_slice(&self.source[span]);
        }
    }

    /// One level deeper.
    pub fn deeper<T>(&mut self, fault: Fault, read: impl FnOnce(&mut Self) -> Parse<T>) -> Parse<T> {
        if self.depth == DEPTH {
            return Err(fault);
        }
        self.depth += 1;
        let result = read(self);
        self.depth -= 1;
        result
    }

    /// The name at hand, or that one, has a value.
    fn bind(&mut self, name: Token) {
        let text = self.text_of(name);
        if let Some(names) = &mut self.names
            && name.kind == Kind::Name
        {
            names.bound.insert(text);
        }
    }

    /// The name is read for its value.
    fn evaluate(&mut self, name: Token) {
        if let Some(names) = &mut self.names {
            names.values.push(name);
        }
    }

    // Statements

    fn statements(&mut self) -> Parse {
        loop {
            match self.token.kind {
                Kind::Eof | Kind::End | Kind::Else | Kind::Elseif | Kind::Until => return Ok(()),
                Kind::Return => return self.return_statement(),
                _ => self.deeper(Fault::Plain, Self::statement)?,
            }
        }
    }

    fn block(&mut self) -> Parse {
        self.blocks += 1;
        let result = self.statements();
        self.blocks -= 1;
        result
    }

    fn block_and(&mut self, end: Kind) -> Parse {
        self.block()?;
        self.expect(end)
    }

    fn statement(&mut self) -> Parse {
        match self.token.kind {
            Kind::Semicolon | Kind::Break => {
                self.advance();
                Ok(())
            }
            Kind::If => self.if_statement(),
            Kind::While => self.while_statement(),
            Kind::Do => self.do_block(),
            Kind::For => self.for_statement(),
            Kind::Repeat => self.repeat_statement(),
            Kind::Function => self.function_statement(),
            Kind::Local => self.local_statement(),
            Kind::DoubleColon => self.label(),
            Kind::Goto => self.goto_statement(),
            Kind::Name if self.text() == b"type" && self.next_kind() == Kind::Name => self.type_statement(),
            _ => self.expression_statement(),
        }
    }

    fn return_statement(&mut self) -> Parse {
        self.advance();
        let empty = matches!(
            self.token.kind,
            Kind::Semicolon | Kind::Eof | Kind::End | Kind::Else | Kind::Elseif | Kind::Until
        );
        if !empty {
            self.expressions()?;
        }
        self.take(Kind::Semicolon);
        let last = matches!(
            self.token.kind,
            Kind::Eof | Kind::End | Kind::Else | Kind::Elseif | Kind::Until
        );
        self.plain(last)
    }

    fn if_statement(&mut self) -> Parse {
        loop {
            self.advance();
            self.expression()?;
            self.expect(Kind::Then)?;
            self.block()?;
            if !self.at(Kind::Elseif) {
                break;
            }
        }
        if self.take(Kind::Else) {
            self.block()?;
        }
        self.expect(Kind::End)
    }

    fn while_statement(&mut self) -> Parse {
        self.advance();
        self.expression()?;
        self.do_block()
    }

    fn do_block(&mut self) -> Parse {
        self.expect(Kind::Do)?;
        self.block_and(Kind::End)
    }

    fn for_statement(&mut self) -> Parse {
        self.advance();
        self.typed_name()?;
        if self.take(Kind::Assign) {
            self.expressions()?;
            return self.do_block();
        }
        while self.take(Kind::Comma) {
            self.typed_name()?;
        }
        self.expect(Kind::In)?;
        self.expressions()?;
        self.do_block()
    }

    fn typed_name(&mut self) -> Parse {
        self.bind(self.token);
        self.expect(Kind::Name)?;
        self.annotation()
    }

    fn repeat_statement(&mut self) -> Parse {
        self.advance();
        self.block_and(Kind::Until)?;
        self.in_tail(true, Self::expression)
    }

    fn function_statement(&mut self) -> Parse {
        self.advance();
        let name = self.token;
        self.expect(Kind::Name)?;
        match self.token.kind {
            Kind::Dot | Kind::Colon => self.evaluate(name),
            _ => self.bind(name),
        }
        while self.take(Kind::Dot) {
            self.expect(Kind::Name)?;
        }
        if self.take(Kind::Colon) {
            self.expect(Kind::Name)?;
        }
        self.function_body()
    }

    fn local_statement(&mut self) -> Parse {
        let keyword = self.token.start..self.token.end;
        self.advance();
        let mut local = Local {
            keyword,
            attributes: Vec::new(),
            bare: None,
        };
        if self.take(Kind::Function) {
            self.note(local);
            self.bind(self.token);
            self.expect(Kind::Name)?;
            return self.function_body();
        }
        let end = self.local_names(&mut local.attributes)?;
        let valued = self.take(Kind::Assign);
        local.bare = (!valued).then_some(end);
        self.note(local);
        if valued {
            self.in_tail(true, Self::expressions)?;
        }
        Ok(())
    }

    fn note(&mut self, local: Local) {
        if let Some(locals) = &mut self.locals
            && self.blocks == 0
        {
            locals.push(local);
        }
    }

    /// Names with attributes and types; gives the end of the last name.
    fn local_names(&mut self, attributes: &mut Vec<Range<usize>>) -> Parse<usize> {
        loop {
            self.bind(self.token);
            self.expect(Kind::Name)?;
            let end = self.before;
            self.attribute(attributes)?;
            self.annotation()?;
            self.attribute(attributes)?;
            if !self.take(Kind::Comma) {
                return Ok(end);
            }
        }
    }

    fn attribute(&mut self, attributes: &mut Vec<Range<usize>>) -> Parse {
        let start = self.token.start;
        if self.take(Kind::Less) {
            self.expect(Kind::Name)?;
            self.expect(Kind::Greater)?;
            attributes.push(start..self.before);
        }
        Ok(())
    }

    fn label(&mut self) -> Parse {
        self.advance();
        self.expect(Kind::Name)?;
        self.expect(Kind::DoubleColon)
    }

    fn goto_statement(&mut self) -> Parse {
        self.advance();
        self.expect(Kind::Name)
    }

    /// `type X = …`. Two names in a row begin no other statement.
    fn type_statement(&mut self) -> Parse {
        let start = self.token.start;
        self.advance();
        let name = self.text();
        if let Some(names) = &mut self.names {
            names.types.insert(name);
        }
        self.advance();
        self.type_parameters()?;
        self.annotated(Kind::Assign, "'=' expected")?;
        self.type_expression()?;
        self.erase_from(start);
        Ok(())
    }

    fn expression_statement(&mut self) -> Parse {
        self.keep_apart();
        let called = self.target()?;
        if !self.at(Kind::Assign) && !self.at(Kind::Comma) {
            return self.plain(called);
        }
        while self.take(Kind::Comma) {
            self.target()?;
        }
        self.expect(Kind::Assign)?;
        self.in_tail(true, Self::expressions)
    }

    /// What is called or assigned to.
    fn target(&mut self) -> Parse<bool> {
        let first = self.token;
        let called = self.suffixed()?;
        if self.before == first.end && matches!(self.token.kind, Kind::Assign | Kind::Comma) {
            self.bind(first);
        }
        Ok(called)
    }

    /// A statement that begins with `(` would become a call of what stands before the erased text.
    fn keep_apart(&mut self) {
        let follows = self.before > 0 && self.erased_end == self.before;
        if let Some(text) = &mut self.erased
            && self.token.kind == Kind::LeftParen
            && follows
        {
            text[self.before - 1] = b';';
        }
    }

    // Functions

    fn function_body(&mut self) -> Parse {
        self.type_parameters()?;
        self.expect(Kind::LeftParen)?;
        if !self.at(Kind::RightParen) {
            self.parameters()?;
        }
        self.expect(Kind::RightParen)?;
        self.function_result()?;
        self.block_and(Kind::End)
    }

    fn parameters(&mut self) -> Parse {
        loop {
            if self.take(Kind::Ellipsis) {
                return self.annotation();
            }
            self.bind(self.token);
            self.expect(Kind::Name)?;
            self.optional_mark();
            self.annotation()?;
            if !self.take(Kind::Comma) {
                return Ok(());
            }
        }
    }

    /// The `?` of `name?: T`.
    fn optional_mark(&mut self) {
        if self.at(Kind::Question) && self.next_kind() == Kind::Colon {
            let start = self.token.start;
            self.advance();
            self.erase_from(start);
        }
    }

    /// `: T`, if there is one.
    fn annotation(&mut self) -> Parse {
        let start = self.token.start;
        if self.take(Kind::Colon) {
            self.type_expression()?;
            self.erase_from(start);
        }
        Ok(())
    }

    fn function_result(&mut self) -> Parse {
        let start = self.token.start;
        if !self.take(Kind::Colon) {
            return Ok(());
        }
        self.result_type()?;
        self.erase_from(start);
        if self.at(Kind::Comma) {
            return Err(Fault::Annotation("parentheses expected around several results"));
        }
        Ok(())
    }

    /// `<T, U: C>`, if there is one.
    fn type_parameters(&mut self) -> Parse {
        let start = self.token.start;
        if self.at(Kind::Less) {
            self.generic_parameters()?;
            self.erase_from(start);
        }
        Ok(())
    }

    // Expressions

    fn in_tail<T>(&mut self, tail: bool, read: impl FnOnce(&mut Self) -> Parse<T>) -> Parse<T> {
        let outer = std::mem::replace(&mut self.tail, tail);
        let result = read(self);
        self.tail = outer;
        result
    }

    fn expressions(&mut self) -> Parse {
        self.expression()?;
        while self.take(Kind::Comma) {
            self.expression()?;
        }
        Ok(())
    }

    pub fn expression(&mut self) -> Parse {
        self.deeper(Fault::Plain, Self::operation)
    }

    fn operation(&mut self) -> Parse {
        loop {
            while matches!(self.token.kind, Kind::Not | Kind::Minus | Kind::Hash | Kind::Tilde) {
                self.advance();
            }
            self.operand()?;
            if !is_binary(self.token.kind) {
                return Ok(());
            }
            self.advance();
        }
    }

    fn operand(&mut self) -> Parse {
        match self.token.kind {
            Kind::Number | Kind::Str => self.literal()?,
            Kind::Nil | Kind::True | Kind::False | Kind::Ellipsis => self.advance(),
            Kind::LeftBrace => self.table()?,
            Kind::Function => {
                self.advance();
                self.in_tail(false, Self::function_body)?;
            }
            _ => {
                self.suffixed()?;
            }
        }
        self.casts()
    }

    fn literal(&mut self) -> Parse {
        self.plain(self.token.whole)?;
        self.advance();
        Ok(())
    }

    fn table(&mut self) -> Parse {
        self.in_tail(false, |parser| {
            parser.advance();
            while !parser.at(Kind::RightBrace) {
                parser.field()?;
                if !parser.take(Kind::Comma) && !parser.take(Kind::Semicolon) {
                    break;
                }
            }
            parser.expect(Kind::RightBrace)
        })
    }

    fn field(&mut self) -> Parse {
        if self.take(Kind::LeftBracket) {
            self.expression()?;
            self.expect(Kind::RightBracket)?;
            self.expect(Kind::Assign)?;
        } else if self.at(Kind::Name) && self.next_kind() == Kind::Assign {
            self.advance();
            self.advance();
        }
        self.expression()
    }

    /// A name or `(…)` with everything that may follow it; says whether it ends in a call.
    fn suffixed(&mut self) -> Parse<bool> {
        match self.token.kind {
            Kind::Name => {
                self.evaluate(self.token);
                self.advance();
            }
            Kind::LeftParen => self.enclosed(Kind::RightParen)?,
            _ => return Err(Fault::Plain),
        }
        let mut called = false;
        loop {
            match self.token.kind {
                Kind::Bang => self.assertion(),
                Kind::Dot | Kind::LeftBracket => {
                    self.access()?;
                    called = false;
                }
                Kind::Colon | Kind::LeftParen | Kind::Str | Kind::LeftBrace => {
                    self.call()?;
                    called = true;
                }
                _ => return Ok(called),
            }
        }
    }

    fn access(&mut self) -> Parse {
        if self.take(Kind::Dot) {
            return self.expect(Kind::Name);
        }
        self.enclosed(Kind::RightBracket)
    }

    fn call(&mut self) -> Parse {
        if self.take(Kind::Colon) {
            self.expect(Kind::Name)?;
        }
        self.arguments()
    }

    fn enclosed(&mut self, end: Kind) -> Parse {
        self.advance();
        self.in_tail(false, Self::expression)?;
        self.expect(end)
    }

    fn arguments(&mut self) -> Parse {
        match self.token.kind {
            Kind::Str => self.literal(),
            Kind::LeftBrace => self.table(),
            Kind::LeftParen => {
                self.advance();
                if !self.at(Kind::RightParen) {
                    self.in_tail(false, Self::expressions)?;
                }
                self.expect(Kind::RightParen)
            }
            _ => Err(Fault::Plain),
        }
    }

    fn assertion(&mut self) {
        let start = self.token.start;
        self.advance();
        self.erase_from(start);
    }

    // Casts

    fn casts(&mut self) -> Parse {
        loop {
            match self.token.kind {
                Kind::Bang => self.assertion(),
                Kind::DoubleColon if !self.begins_label() => self.cast()?,
                Kind::Name if self.text() == b"as" && !self.begins_with_as() => self.cast()?,
                _ => return Ok(()),
            }
        }
    }

    fn cast(&mut self) -> Parse {
        let start = self.token.start;
        self.advance();
        let outer = std::mem::replace(&mut self.casting, true);
        let result = self.type_expression();
        self.casting = outer;
        result?;
        self.erase_from(start);
        self.nothing_on_the_cast()
    }

    /// `x as T (y)` would be a call of `x` once the type is gone.
    fn nothing_on_the_cast(&self) -> Parse {
        let wrong = match self.token.kind {
            Kind::Dot | Kind::Colon | Kind::LeftBracket | Kind::Str | Kind::LeftBrace => true,
            Kind::LeftParen => !self.tail || !self.on_new_line(),
            _ => false,
        };
        if wrong {
            return Err(Fault::Annotation("parentheses expected around the cast"));
        }
        Ok(())
    }

    /// Whether the `::` here begins a label, the next statement, rather than a cast.
    ///
    /// `::A::` is a label when a statement can go on behind it. `x :: A :: B` looks alike as far as `B`, and then it
    /// counts whether the line or the spelling is that of a label.
    fn begins_label(&self) -> bool {
        let mut ahead = self.ahead();
        let (name, close) = (ahead.code(), ahead.code());
        if !self.tail || name.kind != Kind::Name || close.kind != Kind::DoubleColon {
            return false;
        }
        let follower = ahead.code();
        let like_label = self.on_new_line() || (name.start == self.token.end && name.end == close.start);
        match follower.kind {
            Kind::Name => match ahead.code().kind {
                Kind::Assign | Kind::LeftParen | Kind::Str | Kind::LeftBrace | Kind::Colon => true,
                Kind::Dot | Kind::LeftBracket | Kind::Comma | Kind::Bang | Kind::Name => like_label,
                _ => false,
            },
            Kind::Str | Kind::Number | Kind::LeftBrace | Kind::Nil | Kind::True | Kind::False => false,
            _ => true,
        }
    }

    /// Whether the name `as` here begins the next statement rather than a cast.
    fn begins_with_as(&self) -> bool {
        self.tail
            && match self.next_kind() {
                Kind::Assign | Kind::Dot | Kind::Colon | Kind::LeftBracket | Kind::Comma | Kind::Bang => true,
                Kind::LeftParen | Kind::Str | Kind::LeftBrace => self.on_new_line(),
                _ => false,
            }
    }
}

/// Spaces instead of everything but the ends of lines.
pub(super) fn blank(text: &mut [u8]) {
    for byte in text {
        if !matches!(byte, b'\n' | b'\r') {
            *byte = b' ';
        }
    }
}

fn is_binary(kind: Kind) -> bool {
    matches!(
        kind,
        Kind::And
            | Kind::Or
            | Kind::Plus
            | Kind::Minus
            | Kind::Star
            | Kind::Slash
            | Kind::DoubleSlash
            | Kind::Percent
            | Kind::Caret
            | Kind::Ampersand
            | Kind::Tilde
            | Kind::Pipe
            | Kind::ShiftLeft
            | Kind::ShiftRight
            | Kind::Equal
            | Kind::NotEqual
            | Kind::LessEqual
            | Kind::GreaterEqual
            | Kind::Less
            | Kind::Greater
            | Kind::Concat
    )
}
