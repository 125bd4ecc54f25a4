//! The grammar of a type.
//!
//! Whoever calls notes the span; here it is only read. A fault is always one of the annotation, so it is worded here. The
//! sign `<` behind a type name opens generic arguments, unless it is an attribute (`<const>`), or the type is that of a
//! cast and the tokens turn out to compare: then the type ends before it.

use super::grammar::{Fault, Parse, Parser};
use super::lexer::Kind;

const TOO_DEEP: Fault = Fault::Annotation("type nested too deeply");

/// What stands between parentheses.
struct Group {
    count: usize,
    /// Whether it can only be the parameters of a function type.
    named: bool,
}

impl Parser<'_> {
    pub fn type_expression(&mut self) -> Parse {
        self.deeper(TOO_DEEP, |parser| parser.union(false))
    }

    /// A type, or several in parentheses.
    pub fn result_type(&mut self) -> Parse {
        self.take(Kind::Ellipsis);
        self.deeper(TOO_DEEP, |parser| parser.union(true))
    }

    /// `<T, U: C>`.
    pub fn generic_parameters(&mut self) -> Parse {
        self.advance();
        loop {
            self.annotated(Kind::Name, "name of a type parameter expected")?;
            self.take(Kind::Ellipsis);
            if self.take(Kind::Colon) {
                self.type_expression()?;
            }
            if !self.take(Kind::Comma) {
                return self.close_angle();
            }
        }
    }

    /// Consumes a token that the annotation cannot do without.
    pub fn annotated(&mut self, kind: Kind, message: &'static str) -> Parse {
        if self.take(kind) {
            return Ok(());
        }
        Err(Fault::Annotation(message))
    }

    /// Members joined by `|` and `&`, which may also lead.
    fn union(&mut self, several: bool) -> Parse {
        self.take_joint();
        loop {
            self.member(several)?;
            if !self.take_joint() {
                return Ok(());
            }
        }
    }

    fn take_joint(&mut self) -> bool {
        self.take(Kind::Pipe) || self.take(Kind::Ampersand)
    }

    /// A type with `?`, `[]` and refinements behind it.
    fn member(&mut self, several: bool) -> Parse {
        self.primary(several)?;
        loop {
            match self.token.kind {
                Kind::Question => self.advance(),
                Kind::LeftBracket if self.next_kind() == Kind::RightBracket => {
                    self.advance();
                    self.advance();
                }
                Kind::At => self.refinement()?,
                _ => return Ok(()),
            }
        }
    }

    fn primary(&mut self, several: bool) -> Parse {
        self.take_modifiers();
        match self.token.kind {
            Kind::Nil | Kind::True | Kind::False => self.advance(),
            Kind::Str | Kind::Number => self.literal_type()?,
            Kind::Minus => {
                self.advance();
                self.annotated(Kind::Number, "number expected")?;
            }
            Kind::LeftBrace => self.record()?,
            Kind::LeftParen => self.group_or_arrow(several)?,
            Kind::Less => self.generic_arrow()?,
            Kind::Function => self.function_type()?,
            Kind::Name => self.named_type()?,
            _ => return Err(Fault::Annotation("type expected")),
        }
        Ok(())
    }

    /// `readonly` and `keyof`, which are also names of types.
    fn take_modifiers(&mut self) {
        while (self.at_word(b"readonly") || self.at_word(b"keyof")) && begins_type(self.next_kind()) {
            self.advance();
        }
    }

    fn literal_type(&mut self) -> Parse {
        if !self.token.whole {
            let string = self.at(Kind::Str);
            return Err(Fault::Annotation(if string {
                "unfinished string"
            } else {
                "malformed number"
            }));
        }
        self.advance();
        Ok(())
    }

    fn named_type(&mut self) -> Parse {
        if self.at_word(b"fun") && matches!(self.next_kind(), Kind::LeftParen | Kind::Less) {
            return self.function_type();
        }
        if self.at_word(b"typeof") && self.next_kind() == Kind::LeftParen {
            return self.type_of();
        }
        self.advance();
        while self.take(Kind::Dot) {
            self.annotated(Kind::Name, "name of a type expected")?;
        }
        self.generic_arguments()
    }

    /// `typeof(x)`.
    fn type_of(&mut self) -> Parse {
        self.advance();
        self.advance();
        self.expression().map_err(|fault| match fault {
            Fault::Plain => Fault::Annotation("expression expected"),
            annotation => annotation,
        })?;
        self.annotated(Kind::RightParen, "')' expected")
    }

    /// `@min(1)`; the arguments are not looked into.
    fn refinement(&mut self) -> Parse {
        self.advance();
        self.annotated(Kind::Name, "name of a refinement expected")?;
        if !self.at(Kind::LeftParen) || self.on_new_line() {
            return Ok(());
        }
        self.skip_balanced()
    }

    fn skip_balanced(&mut self) -> Parse {
        let mut open = 0usize;
        loop {
            match self.token.kind {
                Kind::LeftParen => open += 1,
                Kind::RightParen => open -= 1,
                Kind::Eof => return Err(Fault::Annotation("')' expected")),
                Kind::Str => {
                    self.literal_type()?;
                    continue;
                }
                _ => {}
            }
            self.advance();
            if open == 0 {
                return Ok(());
            }
        }
    }

    // Tables

    fn record(&mut self) -> Parse {
        self.advance();
        while !self.at(Kind::RightBrace) {
            self.record_field()?;
            if !self.take(Kind::Comma) && !self.take(Kind::Semicolon) {
                break;
            }
        }
        self.annotated(Kind::RightBrace, "'}' expected")
    }

    fn record_field(&mut self) -> Parse {
        if self.at_word(b"readonly") && !matches!(self.next_kind(), Kind::Colon | Kind::Question) {
            self.advance();
        }
        if self.take(Kind::LeftBracket) {
            self.type_expression()?;
            self.annotated(Kind::RightBracket, "']' expected")?;
            self.take(Kind::Question);
            self.annotated(Kind::Colon, "':' expected")?;
        } else if self.at_key() {
            self.take_key();
        } else {
            self.take(Kind::Ellipsis);
        }
        self.type_expression()
    }

    /// Whether `name:` or `name?:` stands here; reserved words and strings are names of fields too.
    fn at_key(&self) -> bool {
        let key = matches!(self.token.kind, Kind::Name | Kind::Str) || self.token.kind.is_keyword();
        let mut ahead = self.ahead();
        key && match ahead.code().kind {
            Kind::Colon => true,
            Kind::Question => ahead.code().kind == Kind::Colon,
            _ => false,
        }
    }

    fn take_key(&mut self) {
        self.advance();
        self.take(Kind::Question);
        self.advance();
    }

    // Functions

    /// `fun(a: T): R`, `fun(a: T) -> R`, and plain `function`.
    fn function_type(&mut self) -> Parse {
        self.advance();
        if self.at(Kind::Less) && !self.at_attribute() {
            self.generic_parameters()?;
        }
        if !self.at(Kind::LeftParen) || self.on_new_line() {
            return Ok(());
        }
        self.group()?;
        if self.take(Kind::Colon) || self.take_arrow() {
            return self.result_type();
        }
        Ok(())
    }

    /// `<T>(a: T) -> R`.
    fn generic_arrow(&mut self) -> Parse {
        self.generic_parameters()?;
        if !self.at(Kind::LeftParen) {
            return Err(Fault::Annotation("'(' expected"));
        }
        self.group()?;
        self.arrow_result()
    }

    /// `(T)`, `(a: T) -> R`, and where several types may stand `(T1, T2)`.
    fn group_or_arrow(&mut self, several: bool) -> Parse {
        let group = self.group()?;
        if self.at_arrow() {
            return self.arrow_result();
        }
        if group.named || (group.count != 1 && !several) {
            return Err(Fault::Annotation("'->' expected"));
        }
        Ok(())
    }

    fn group(&mut self) -> Parse<Group> {
        self.advance();
        let mut group = Group { count: 0, named: false };
        while !self.at(Kind::RightParen) {
            group.named |= self.group_item()?;
            group.count += 1;
            if !self.take(Kind::Comma) {
                break;
            }
        }
        self.annotated(Kind::RightParen, "')' expected")?;
        Ok(group)
    }

    /// `T`, `name: T`, `name?: T`, `...`, `...T`, `...: T`; says whether it has a name.
    fn group_item(&mut self) -> Parse<bool> {
        if self.take(Kind::Ellipsis) {
            let named = self.take(Kind::Colon);
            if !named && !begins_type(self.token.kind) {
                return Ok(true);
            }
            self.type_expression()?;
            return Ok(named);
        }
        let named = self.at_key();
        if named {
            self.take_key();
        }
        self.type_expression()?;
        self.take(Kind::Ellipsis);
        Ok(named)
    }

    fn arrow_result(&mut self) -> Parse {
        if self.take_arrow() {
            return self.result_type();
        }
        Err(Fault::Annotation("'->' expected"))
    }

    fn at_arrow(&self) -> bool {
        self.at(Kind::Minus) && self.byte_behind() == b'>'
    }

    fn take_arrow(&mut self) -> bool {
        let found = self.at_arrow();
        if found {
            self.advance_to(self.token.end + 1);
        }
        found
    }

    // Generics

    /// `<A, B>` behind the name of a type, if there is one.
    fn generic_arguments(&mut self) -> Parse {
        if !self.at(Kind::Less) || self.at_attribute() {
            return Ok(());
        }
        if !self.must_guess() {
            return self.angle_list();
        }
        self.guess(|parser| parser.angle_list().is_ok() && !parser.at_operand());
        Ok(())
    }

    fn angle_list(&mut self) -> Parse {
        self.advance();
        loop {
            self.take(Kind::Ellipsis);
            self.result_type()?;
            self.take(Kind::Ellipsis);
            if !self.take(Kind::Comma) {
                return self.close_angle();
            }
        }
    }

    /// `>`, also as the first half of `>>` and `>=`.
    fn close_angle(&mut self) -> Parse {
        match self.token.kind {
            Kind::Greater | Kind::ShiftRight | Kind::GreaterEqual => {
                self.advance_to(self.token.start + 1);
                Ok(())
            }
            _ => Err(Fault::Annotation("'>' expected")),
        }
    }

    /// Whether `<const>` or `<close>` stands here.
    fn at_attribute(&self) -> bool {
        let mut ahead = self.ahead();
        let name = ahead.code();
        matches!(self.text_of(name), b"const" | b"close") && ahead.code().kind == Kind::Greater
    }

    /// Whether the right side of a comparison stands on this line: then `a as T < b > c` compared.
    fn at_operand(&self) -> bool {
        let operand = match self.token.kind {
            Kind::Name => self.text() != b"as",
            Kind::Number | Kind::Str | Kind::LeftParen | Kind::LeftBrace => true,
            Kind::Not | Kind::Hash | Kind::Nil | Kind::True | Kind::False => true,
            _ => false,
        };
        operand && !self.on_new_line()
    }
}

fn begins_type(kind: Kind) -> bool {
    matches!(
        kind,
        Kind::Name
            | Kind::Str
            | Kind::Number
            | Kind::Nil
            | Kind::True
            | Kind::False
            | Kind::Function
            | Kind::LeftBrace
            | Kind::LeftParen
    )
}
