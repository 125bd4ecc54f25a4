//! Lua's patterns, matched within a bound: the matcher of lstrlib.c counts no steps and cannot be interrupted, and some
//! patterns need more of them than there is time.
//!
//! Pure Rust on bytes. One attempt at one position gets a number of steps, then the pattern is too complex; between
//! positions the caller may rest. `search` decides when this matcher is used instead of Lua's own.

/// Captures that a pattern may have.
const CAPTURES: usize = 32;

/// How deeply attempts may nest, as in Lua.
const DEPTH: u32 = 200;

/// Steps of one attempt, about ten milliseconds, and more for each byte of the subject: what is linear always ends.
const ATTEMPT: u64 = 2_000_000;
const PER_BYTE: u64 = 16;

/// Why there is no answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    Malformed(&'static str),
    TooComplex,
    BadCapture(usize),
}

impl Fault {
    pub fn text(self) -> String {
        match self {
            Fault::Malformed(text) => text.to_owned(),
            Fault::TooComplex => "pattern too complex".to_owned(),
            Fault::BadCapture(index) => format!("invalid capture index %{index}"),
        }
    }
}

/// What a capture holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Capture {
    Open,
    /// A position, from 0.
    Position,
    Length(usize),
}

/// A subject and a pattern without its anchor.
pub struct Matcher<'a> {
    subject: &'a [u8],
    pattern: &'a [u8],
    pub captures: Vec<(usize, Capture)>,
    depth: u32,
    /// Taken since the matcher was made.
    pub steps: u64,
    limit: u64,
    /// The long sets that were met, by their places.
    sets: Vec<Set>,
    /// Which of them was asked for last.
    last: usize,
}

/// Bytes of a set that may be looked through for each byte of the subject.
const SHORT: usize = 16;

/// Long sets of one pattern that are kept read; a look into any other takes a step for each of its bytes.
const SETS: usize = 64;

/// A set that is longer: looking for a byte in it takes one step, as in a short one.
struct Set {
    start: usize,
    after: usize,
    has: [bool; 256],
}

type Found = Result<Option<usize>, Fault>;

impl<'a> Matcher<'a> {
    pub fn new(subject: &'a [u8], pattern: &'a [u8]) -> Matcher<'a> {
        Matcher {
            subject,
            pattern,
            captures: Vec::with_capacity(CAPTURES),
            depth: 0,
            steps: 0,
            limit: 0,
            sets: Vec::new(),
            last: 0,
        }
    }

    /// The end of a match that begins at `start`.
    ///
    /// # Errors
    /// For a malformed pattern, and one that takes too many steps.
    pub fn at(&mut self, start: usize) -> Found {
        self.captures.clear();
        self.depth = 0;
        self.limit = self.steps + ATTEMPT + PER_BYTE * self.subject.len() as u64;
        self.run(start, 0)
    }

    fn step(&mut self) -> Result<(), Fault> {
        self.steps += 1;
        if self.steps > self.limit {
            Err(Fault::TooComplex)
        } else {
            Ok(())
        }
    }

    fn run(&mut self, s: usize, p: usize) -> Found {
        if self.depth >= DEPTH {
            return Err(Fault::TooComplex);
        }
        self.depth += 1;
        let found = self.walk(s, p);
        self.depth -= 1;
        found
    }

    fn walk(&mut self, mut s: usize, mut p: usize) -> Found {
        while p < self.pattern.len() {
            self.step()?;
            match self.pattern[p] {
                b'(' if self.pattern.get(p + 1) == Some(&b')') => return self.open(s, p + 2, Capture::Position),
                b'(' => return self.open(s, p + 1, Capture::Open),
                b')' => return self.close(s, p + 1),
                b'$' if p + 1 == self.pattern.len() => return Ok((s == self.subject.len()).then_some(s)),
                b'%' if self.pattern.get(p + 1) == Some(&b'b') => match self.balance(s, p + 2)? {
                    Some(end) => (s, p) = (end, p + 4),
                    None => return Ok(None),
                },
                b'%' if self.pattern.get(p + 1) == Some(&b'f') => match self.frontier(s, p + 2)? {
                    Some(next) => p = next,
                    None => return Ok(None),
                },
                b'%' if self.pattern.get(p + 1).is_some_and(u8::is_ascii_digit) => {
                    match self.again(s, self.pattern[p + 1])? {
                        Some(end) => (s, p) = (end, p + 2),
                        None => return Ok(None),
                    }
                }
                _ => {
                    let after = self.class_end(p)?;
                    match self.pattern.get(after) {
                        Some(b'?') => {
                            if self.single(s, p, after)
                                && let Some(end) = self.run(s + 1, after + 1)?
                            {
                                return Ok(Some(end));
                            }
                            p = after + 1;
                        }
                        Some(b'+') if !self.single(s, p, after) => return Ok(None),
                        Some(b'+') => return self.most(s + 1, p, after),
                        Some(b'*') => return self.most(s, p, after),
                        Some(b'-') => return self.least(s, p, after),
                        _ if self.single(s, p, after) => (s, p) = (s + 1, after),
                        _ => return Ok(None),
                    }
                }
            }
        }
        Ok(Some(s))
    }

    /// As many as possible, then fewer.
    fn most(&mut self, s: usize, p: usize, after: usize) -> Found {
        let mut count = 0;
        while self.single(s + count, p, after) {
            self.step()?;
            count += 1;
        }
        loop {
            if let Some(end) = self.run(s + count, after + 1)? {
                return Ok(Some(end));
            }
            if count == 0 {
                return Ok(None);
            }
            count -= 1;
        }
    }

    /// As few as possible, then more.
    fn least(&mut self, mut s: usize, p: usize, after: usize) -> Found {
        loop {
            if let Some(end) = self.run(s, after + 1)? {
                return Ok(Some(end));
            }
            if !self.single(s, p, after) {
                return Ok(None);
            }
            s += 1;
        }
    }

    fn open(&mut self, s: usize, p: usize, capture: Capture) -> Found {
        if self.captures.len() >= CAPTURES {
            return Err(Fault::Malformed("too many captures"));
        }
        self.captures.push((s, capture));
        let found = self.run(s, p)?;
        if found.is_none() {
            self.captures.pop();
        }
        Ok(found)
    }

    fn close(&mut self, s: usize, p: usize) -> Found {
        let open = self.captures.iter().rposition(|(_, capture)| *capture == Capture::Open);
        let index = open.ok_or(Fault::Malformed("invalid pattern capture"))?;
        self.captures[index].1 = Capture::Length(s - self.captures[index].0);
        let found = self.run(s, p)?;
        if found.is_none() {
            self.captures[index].1 = Capture::Open;
        }
        Ok(found)
    }

    /// `%bxy`
    fn balance(&mut self, s: usize, p: usize) -> Found {
        let &[open, close] = self
            .pattern
            .get(p..p + 2)
            .and_then(|pair| pair.first_chunk())
            .ok_or(Fault::Malformed("malformed pattern (missing arguments to '%b')"))?;
        if self.subject.get(s) != Some(&open) {
            return Ok(None);
        }
        let mut nesting = 1;
        for at in s + 1..self.subject.len() {
            self.step()?;
            let byte = self.subject[at];
            if byte == close {
                nesting -= 1;
                if nesting == 0 {
                    return Ok(Some(at + 1));
                }
            } else if byte == open {
                nesting += 1;
            }
        }
        Ok(None)
    }

    /// `%f[set]`: the place in the pattern behind it.
    fn frontier(&mut self, s: usize, p: usize) -> Found {
        if self.pattern.get(p) != Some(&b'[') {
            return Err(Fault::Malformed("missing '[' after '%f' in pattern"));
        }
        let after = self.class_end(p)?;
        let before = if s == 0 { 0 } else { self.subject[s - 1] };
        let here = self.subject.get(s).copied().unwrap_or(0);
        Ok((!self.in_set(before, p, after - 1) && self.in_set(here, p, after - 1)).then_some(after))
    }

    /// `%1`: the same text once more.
    fn again(&mut self, s: usize, digit: u8) -> Found {
        let number = usize::from(digit - b'0');
        let capture = number.checked_sub(1).and_then(|index| self.captures.get(index));
        let (start, length) = match capture.copied() {
            Some((start, Capture::Length(length))) => (start, length),
            // A position is no text, and nothing matches it.
            Some((_, Capture::Position)) => return Ok(None),
            Some((_, Capture::Open)) | None => return Err(Fault::BadCapture(number)),
        };
        self.steps += length as u64;
        let text = &self.subject[start..start + length];
        Ok(self.subject[s..].starts_with(text).then_some(s + length))
    }

    /// The place behind the single-character class at `p`.
    fn class_end(&mut self, p: usize) -> Result<usize, Fault> {
        let byte = self.pattern[p];
        if byte == b'['
            && let Some(set) = self.known(p)
        {
            return Ok(set.after);
        }
        let mut at = p + 1;
        if byte == b'%' {
            return match at < self.pattern.len() {
                true => Ok(at + 1),
                false => Err(Fault::Malformed("malformed pattern (ends with '%')")),
            };
        }
        if byte != b'[' {
            return Ok(at);
        }
        if self.pattern.get(at) == Some(&b'^') {
            at += 1;
        }
        // A bracket that comes first stands for itself.
        loop {
            let byte = self
                .pattern
                .get(at)
                .ok_or(Fault::Malformed("malformed pattern (missing ']')"))?;
            at += if *byte == b'%' { 2 } else { 1 };
            if self.pattern.get(at) == Some(&b']') {
                self.learn(p, at + 1);
                return Ok(at + 1);
            }
        }
    }

    fn single(&mut self, s: usize, p: usize, after: usize) -> bool {
        let Some(byte) = self.subject.get(s).copied() else {
            return false;
        };
        match self.pattern[p] {
            b'.' => true,
            b'%' => class(byte, self.pattern[p + 1]),
            b'[' => self.in_set(byte, p, after - 1),
            own => own == byte,
        }
    }

    /// The long set that begins there, if it was met before.
    fn known(&mut self, p: usize) -> Option<&Set> {
        if self.sets.get(self.last).is_none_or(|set| set.start != p) {
            self.last = self.sets.binary_search_by_key(&p, |set| set.start).ok()?;
        }
        self.sets.get(self.last)
    }

    /// Reads a long set once, and the steps for that are not an attempt's; without room for another one it stays unread.
    fn learn(&mut self, start: usize, after: usize) {
        if after - start <= SHORT {
            return;
        }
        self.steps += (after - start) as u64;
        if self.sets.len() >= SETS {
            return;
        }
        self.limit += (after - start) as u64;
        let has = self.members(start, after - 1);
        let place = self.sets.partition_point(|set| set.start < start);
        self.sets.insert(place, Set { start, after, has });
    }

    /// The bytes of the set from the bracket at `p` to the one at `end`.
    fn members(&self, p: usize, end: usize) -> [bool; 256] {
        let negated = self.pattern[p + 1] == b'^';
        let mut has = [negated; 256];
        let mut classes = [false; 256];
        let mut at = if negated { p + 2 } else { p + 1 };
        while at < end {
            let own = self.pattern[at];
            if own == b'%' {
                let letter = self.pattern[at + 1];
                if !std::mem::replace(&mut classes[usize::from(letter)], true) {
                    let of_class = (0..=u8::MAX).filter(|byte| class(*byte, letter));
                    of_class.for_each(|byte| has[usize::from(byte)] = !negated);
                }
                at += 2;
            } else if self.pattern[at + 1] == b'-' && at + 2 < end {
                let last = self.pattern[at + 2];
                if own <= last {
                    has[usize::from(own)..=usize::from(last)].fill(!negated);
                }
                at += 3;
            } else {
                has[usize::from(own)] = !negated;
                at += 1;
            }
        }
        has
    }

    /// Whether the set from the bracket at `p` to the one at `end` has the byte.
    fn in_set(&mut self, byte: u8, p: usize, end: usize) -> bool {
        if end - p >= SHORT {
            if let Some(set) = self.known(p) {
                return set.has[usize::from(byte)];
            }
            self.steps += (end - p) as u64;
        }
        let negated = self.pattern[p + 1] == b'^';
        let mut at = if negated { p + 2 } else { p + 1 };
        while at < end {
            let own = self.pattern[at];
            if own == b'%' {
                if class(byte, self.pattern[at + 1]) {
                    return !negated;
                }
                at += 2;
            } else if self.pattern[at + 1] == b'-' && at + 2 < end {
                if (own..=self.pattern[at + 2]).contains(&byte) {
                    return !negated;
                }
                at += 3;
            } else {
                if own == byte {
                    return !negated;
                }
                at += 1;
            }
        }
        negated
    }
}

/// `%a` and its kind, in the C locale; an upper-case letter is the opposite.
fn class(byte: u8, letter: u8) -> bool {
    let is = match letter.to_ascii_lowercase() {
        b'a' => byte.is_ascii_alphabetic(),
        b'c' => byte.is_ascii_control(),
        b'd' => byte.is_ascii_digit(),
        b'g' => byte.is_ascii_graphic(),
        b'l' => byte.is_ascii_lowercase(),
        b'p' => byte.is_ascii_punctuation(),
        b's' => byte.is_ascii_whitespace() || byte == 0x0b,
        b'u' => byte.is_ascii_uppercase(),
        b'w' => byte.is_ascii_alphanumeric(),
        b'x' => byte.is_ascii_hexdigit(),
        b'z' => byte == 0,
        _ => return letter == byte,
    };
    is != letter.is_ascii_uppercase()
}

/// Whether Lua's own matcher answers quickly whatever the subject holds. Without quantifiers it may still compare the
/// whole pattern at each place; each quantifier multiplies the worst case by the subject's length.
pub fn is_cheap(subject: usize, pattern: &[u8]) -> bool {
    const BOUND: usize = 1 << 22;
    // Lua looks through a set for each byte of the subject.
    let sets = match pattern.contains(&b'[') {
        true => 1 + pattern.len() / SHORT,
        false => 1,
    };
    let quantifiers = pattern.iter().filter(|byte| b"*+-?".contains(byte)).count();
    let balances = pattern.windows(2).filter(|pair| *pair == b"%b").count();
    if quantifiers + balances == 0 {
        return is_cheap_plain(subject, pattern.len());
    }
    let mut cost = (subject + pattern.len()).saturating_mul(sets);
    for _ in 0..quantifiers + balances {
        cost = cost.saturating_mul(subject + 1);
        if cost > BOUND {
            return false;
        }
    }
    cost <= BOUND
}

/// The same for a text of that length without pattern.
pub fn is_cheap_plain(subject: usize, text: usize) -> bool {
    const BOUND: usize = 1 << 24;
    subject.saturating_mul(text) <= BOUND
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_many_long_sets_few_are_kept() {
        let (subject, pattern) = ("a".repeat(100_000), "[aaaaaaaaaaaaaaaaa]".repeat(100_000));
        let mut matcher = Matcher::new(subject.as_bytes(), pattern.as_bytes());
        let found = matcher.at(0);
        assert_eq!(matcher.sets.len(), SETS);
        assert!(
            matches!(found, Ok(Some(100_000)) | Err(_)),
            "it is found, or takes too many steps"
        );
    }
}
