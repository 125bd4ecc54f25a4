//! Layouts: a sample time written the way other times shall be, `2006-01-02 15:04:05`.
//!
//! One table names the elements; formatting and parsing both walk a layout as a sequence of elements and literal text.

use super::moment::{Civil, Fields, Moment, Zone, month_length};
use crate::error::{Error, Result};

pub const MONTHS: [&str; 12] = [
    "January",
    "February",
    "March",
    "April",
    "May",
    "June",
    "July",
    "August",
    "September",
    "October",
    "November",
    "December",
];
pub const WEEKDAYS: [&str; 7] = [
    "Sunday",
    "Monday",
    "Tuesday",
    "Wednesday",
    "Thursday",
    "Friday",
    "Saturday",
];

#[derive(Clone, Copy, Debug, PartialEq)]
enum Element {
    Year,
    Year2,
    MonthName,
    MonthShort,
    Month(Pad),
    WeekdayName,
    WeekdayShort,
    Day(Pad),
    YearDay(Pad),
    Hour24,
    Hour12(Pad),
    Minute(Pad),
    Second(Pad),
    Half {
        upper: bool,
    },
    /// Digits after the seconds: a fixed number, or as many as matter.
    Fraction {
        digits: usize,
        trimmed: bool,
        separator: char,
    },
    ZoneName,
    Offset(Offset),
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Pad {
    None,
    Space,
    Zero,
}

/// The forms of a numeric zone.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Offset {
    /// UTC is written `Z`.
    z: bool,
    colon: bool,
    /// Parts: hours, minutes, seconds.
    parts: usize,
}

const fn offset(z: bool, colon: bool, parts: usize) -> Element {
    Element::Offset(Offset { z, colon, parts })
}

/// Every element by its text; of two that begin alike the longer one comes first.
const ELEMENTS: [(&str, Element); 33] = [
    ("January", Element::MonthName),
    ("Jan", Element::MonthShort),
    ("Monday", Element::WeekdayName),
    ("Mon", Element::WeekdayShort),
    ("MST", Element::ZoneName),
    ("2006", Element::Year),
    ("002", Element::YearDay(Pad::Zero)),
    ("01", Element::Month(Pad::Zero)),
    ("02", Element::Day(Pad::Zero)),
    ("03", Element::Hour12(Pad::Zero)),
    ("04", Element::Minute(Pad::Zero)),
    ("05", Element::Second(Pad::Zero)),
    ("06", Element::Year2),
    ("15", Element::Hour24),
    ("1", Element::Month(Pad::None)),
    ("2", Element::Day(Pad::None)),
    ("__2", Element::YearDay(Pad::Space)),
    ("_2", Element::Day(Pad::Space)),
    ("3", Element::Hour12(Pad::None)),
    ("4", Element::Minute(Pad::None)),
    ("5", Element::Second(Pad::None)),
    ("PM", Element::Half { upper: true }),
    ("pm", Element::Half { upper: false }),
    ("-070000", offset(false, false, 3)),
    ("-07:00:00", offset(false, true, 3)),
    ("-0700", offset(false, false, 2)),
    ("-07:00", offset(false, true, 2)),
    ("-07", offset(false, false, 1)),
    ("Z070000", offset(true, false, 3)),
    ("Z07:00:00", offset(true, true, 3)),
    ("Z0700", offset(true, false, 2)),
    ("Z07:00", offset(true, true, 2)),
    ("Z07", offset(true, false, 1)),
];

enum Token<'a> {
    Literal(&'a str),
    /// With its text in the layout.
    Element(Element, &'a str),
}

/// The parts of a layout, in order.
fn tokens(layout: &str) -> Vec<Token<'_>> {
    let mut tokens = Vec::new();
    let (mut start, mut at) = (0, 0);
    while at < layout.len() {
        let Some((element, len)) = layout.get(at..).and_then(element_at) else {
            at += 1;
            continue;
        };
        if start < at {
            tokens.push(Token::Literal(&layout[start..at]));
        }
        tokens.push(Token::Element(element, &layout[at..at + len]));
        at += len;
        start = at;
    }
    if start < layout.len() {
        tokens.push(Token::Literal(&layout[start..]));
    }
    tokens
}

fn element_at(rest: &str) -> Option<(Element, usize)> {
    let (text, element) = match ELEMENTS.iter().find(|(text, _)| rest.starts_with(text)) {
        Some(found) => *found,
        None => return fraction_at(rest),
    };
    let after = &rest[text.len()..];
    let is_word = matches!(element, Element::MonthShort | Element::WeekdayShort)
        && after.starts_with(|next: char| next.is_ascii_lowercase());
    // In `_2006` the underscore is literal and the year follows.
    let is_year = text == "_2" && after.starts_with("006");
    (!is_word && !is_year).then_some((element, text.len()))
}

/// `.000`, `,999`: a run of one digit that no other digit follows.
fn fraction_at(rest: &str) -> Option<(Element, usize)> {
    let separator = rest.chars().next().filter(|first| matches!(first, '.' | ','))?;
    let digit = rest[1..].chars().next().filter(|next| matches!(next, '0' | '9'))?;
    let digits = rest[1..].chars().take_while(|next| *next == digit).count();
    if rest[1 + digits..].starts_with(|next: char| next.is_ascii_digit()) {
        return None;
    }
    let trimmed = digit == '9';
    let element = Element::Fraction {
        digits,
        trimmed,
        separator,
    };
    Some((element, 1 + digits))
}

/// The moment as the layout shows it.
pub fn format(moment: &Moment, layout: &str) -> String {
    let civil = moment.civil();
    let mut out = String::with_capacity(layout.len() + 8);
    for token in tokens(layout) {
        match token {
            Token::Literal(text) => out.push_str(text),
            Token::Element(element, _) => out.push_str(&shown(element, &civil)),
        }
    }
    out
}

fn shown(element: Element, civil: &Civil) -> String {
    let hour12 = (civil.hour + 11) % 12 + 1;
    match element {
        Element::Year => match civil.year {
            year if year < 0 => format!("-{:04}", -year),
            year => format!("{year:04}"),
        },
        Element::Year2 => format!("{:02}", civil.year.rem_euclid(100)),
        Element::MonthName => MONTHS[civil.month as usize - 1].to_owned(),
        Element::MonthShort => MONTHS[civil.month as usize - 1][..3].to_owned(),
        Element::Month(pad) => padded(civil.month, 2, pad),
        Element::WeekdayName => WEEKDAYS[civil.weekday as usize].to_owned(),
        Element::WeekdayShort => WEEKDAYS[civil.weekday as usize][..3].to_owned(),
        Element::Day(pad) => padded(civil.day, 2, pad),
        Element::YearDay(pad) => padded(civil.year_day, 3, pad),
        Element::Hour24 => padded(civil.hour, 2, Pad::Zero),
        Element::Hour12(pad) => padded(hour12, 2, pad),
        Element::Minute(pad) => padded(civil.minute, 2, pad),
        Element::Second(pad) => padded(civil.second, 2, pad),
        Element::Half { upper } => half(civil.hour >= 12, upper).to_owned(),
        Element::Fraction {
            digits,
            trimmed,
            separator,
        } => fraction(civil.nanosecond, digits, trimmed, separator),
        Element::ZoneName => zone_name(civil),
        Element::Offset(form) => offset_text(civil.shift.seconds, form),
    }
}

fn padded(number: u32, width: usize, pad: Pad) -> String {
    match pad {
        Pad::None => number.to_string(),
        Pad::Space => format!("{number:width$}"),
        Pad::Zero => format!("{number:0width$}"),
    }
}

fn half(afternoon: bool, upper: bool) -> &'static str {
    match (afternoon, upper) {
        (true, true) => "PM",
        (false, true) => "AM",
        (true, false) => "pm",
        (false, false) => "am",
    }
}

fn fraction(nanosecond: u32, digits: usize, trimmed: bool, separator: char) -> String {
    let mut shown = format!("{nanosecond:09}");
    // A layout may ask for any number of digits, more than a formatting width can be.
    shown.extend(std::iter::repeat_n('0', digits.saturating_sub(shown.len())));
    shown.truncate(digits);
    if trimmed {
        shown.truncate(shown.trim_end_matches('0').len());
    }
    if shown.is_empty() {
        shown
    } else {
        format!("{separator}{shown}")
    }
}

/// The abbreviation; a zone without one shows its offset.
fn zone_name(civil: &Civil) -> String {
    if !civil.shift.abbreviation.is_empty() {
        return civil.shift.abbreviation.clone();
    }
    let parts = if civil.shift.seconds % 3600 == 0 { 1 } else { 2 };
    let form = Offset {
        z: false,
        colon: false,
        parts,
    };
    offset_text(civil.shift.seconds, form)
}

fn offset_text(seconds: i32, form: Offset) -> String {
    if form.z && seconds == 0 {
        return "Z".to_owned();
    }
    let sign = if seconds < 0 { '-' } else { '+' };
    let size = seconds.unsigned_abs();
    let parts = [size / 3600, size / 60 % 60, size % 60].map(|part| format!("{part:02}"));
    let separator = if form.colon { ":" } else { "" };
    format!("{sign}{}", parts[..form.parts].join(separator))
}

/// Reads a text that was written with that layout. A text without a zone is in `location`.
///
/// # Errors
/// Invalid, naming the text, the layout, and what could not be read as what.
pub fn parse(layout: &str, text: &str, location: Zone) -> Result<Moment> {
    let mut parser = Parser {
        rest: text,
        ..Parser::default()
    };
    let tokens = tokens(layout);
    for (index, token) in tokens.iter().enumerate() {
        let place = parser.rest;
        let next_is_fraction = matches!(tokens.get(index + 1), Some(Token::Element(Element::Fraction { .. }, _)));
        let (read, shown) = match token {
            Token::Literal(literal) => (parser.literal(literal), *literal),
            Token::Element(element, shown) => (parser.element(*element, next_is_fraction), *shown),
        };
        match read {
            Some(Problem::None) => {}
            Some(Problem::Range(what)) => return Err(problem(text, &format!("{what} out of range"))),
            None => {
                let detail = format!("cannot parse {place:?} as {shown:?}");
                return Err(Error::invalid(format!("parsing time {text:?} as {layout:?}: {detail}")));
            }
        }
    }
    if !parser.rest.is_empty() {
        return Err(problem(text, &format!("extra text: {:?}", parser.rest)));
    }
    parser
        .moment(location)
        .map_err(|what| problem(text, &format!("{what} out of range")))
}

fn problem(text: &str, what: &str) -> Error {
    Error::invalid(format!("parsing time {text:?}: {what}"))
}

/// What reading an element found, beside not finding it at all.
enum Problem {
    None,
    Range(&'static str),
}

/// What a value says about its zone.
enum Named {
    Utc,
    Offset(i32),
    Abbreviation(String),
}

#[derive(Default)]
struct Parser<'a> {
    rest: &'a str,
    year: i64,
    month: Option<i64>,
    day: Option<i64>,
    year_day: Option<i64>,
    hour: i64,
    minute: i64,
    second: i64,
    nanosecond: i64,
    afternoon: Option<bool>,
    offset: Option<Named>,
    abbreviation: Option<String>,
}

impl<'a> Parser<'a> {
    /// A run of spaces in the layout stands for any run of spaces, also for none at the end of the text.
    fn literal(&mut self, literal: &str) -> Option<Problem> {
        let mut expected = literal;
        while let Some(next) = expected.chars().next() {
            if next == ' ' {
                if !self.rest.is_empty() && !self.rest.starts_with(' ') {
                    return None;
                }
                expected = expected.trim_start_matches(' ');
                self.rest = self.rest.trim_start_matches(' ');
            } else {
                self.rest = self.rest.strip_prefix(next)?;
                expected = &expected[next.len_utf8()..];
            }
        }
        Some(Problem::None)
    }

    fn element(&mut self, element: Element, next_is_fraction: bool) -> Option<Problem> {
        match element {
            Element::Year => self.year = self.digits(4, 4)?,
            Element::Year2 => {
                let year = self.digits(2, 2)?;
                self.year = year + if year >= 69 { 1900 } else { 2000 };
            }
            Element::MonthName => self.month = Some(self.name(&MONTHS, None)? + 1),
            Element::MonthShort => self.month = Some(self.name(&MONTHS, Some(3))? + 1),
            Element::WeekdayName => drop(self.name(&WEEKDAYS, None)?),
            Element::WeekdayShort => drop(self.name(&WEEKDAYS, Some(3))?),
            Element::Month(pad) => {
                let month = self.number(pad, 2)?;
                self.month = Some(month);
                return in_range(month, 1, 12, "month");
            }
            Element::Day(pad) => self.day = Some(self.number(pad, 2)?),
            Element::YearDay(pad) => self.year_day = Some(self.number(pad, 3)?),
            Element::Hour24 => {
                self.hour = self.digits(1, 2)?;
                return in_range(self.hour, 0, 23, "hour");
            }
            Element::Hour12(pad) => {
                self.hour = self.number(pad, 2)?;
                return in_range(self.hour, 0, 12, "hour");
            }
            Element::Minute(pad) => {
                self.minute = self.number(pad, 2)?;
                return in_range(self.minute, 0, 59, "minute");
            }
            Element::Second(pad) => return self.seconds(pad, next_is_fraction),
            Element::Half { upper } => self.afternoon = Some(self.half(upper)?),
            Element::Fraction { digits, trimmed, .. } => self.fraction((!trimmed).then_some(digits))?,
            Element::ZoneName => self.zone_name()?,
            Element::Offset(form) => return self.numeric_zone(form),
        }
        Some(Problem::None)
    }

    /// A number of `min` to `max` digits.
    fn digits(&mut self, min: usize, max: usize) -> Option<i64> {
        let count = self.rest.bytes().take(max).take_while(u8::is_ascii_digit).count();
        if count < min {
            return None;
        }
        let (digits, rest) = self.rest.split_at(count);
        self.rest = rest;
        digits.parse().ok()
    }

    fn number(&mut self, pad: Pad, width: usize) -> Option<i64> {
        match pad {
            Pad::Zero => self.digits(width, width),
            Pad::None => self.digits(1, width),
            Pad::Space => {
                for _ in 1..width {
                    self.rest = self.rest.strip_prefix(' ').unwrap_or(self.rest);
                }
                self.digits(1, width)
            }
        }
    }

    /// The index of the name that the text starts with, in any case, cut to `short` letters.
    fn name(&mut self, names: &[&str], short: Option<usize>) -> Option<i64> {
        let index = names.iter().position(|name| {
            let name = &name[..short.unwrap_or(name.len())];
            self.rest
                .get(..name.len())
                .is_some_and(|head| head.eq_ignore_ascii_case(name))
        })?;
        self.rest = &self.rest[short.unwrap_or(names[index].len())..];
        Some(index as i64)
    }

    /// Seconds; a fraction after them is read even if the layout has none.
    fn seconds(&mut self, pad: Pad, next_is_fraction: bool) -> Option<Problem> {
        self.second = self.number(pad, 2)?;
        if !next_is_fraction {
            self.fraction(None)?;
        }
        in_range(self.second, 0, 59, "second")
    }

    /// A separator and exactly that many digits; without a number any digits, or nothing at all.
    fn fraction(&mut self, digits: Option<usize>) -> Option<()> {
        let count = self
            .rest
            .strip_prefix(['.', ','])
            .map_or(0, |rest| rest.bytes().take_while(u8::is_ascii_digit).count());
        if digits.is_none() && count == 0 {
            return Some(());
        }
        if digits.is_some_and(|digits| digits != count) {
            return None;
        }
        let text = &self.rest[1..=count];
        self.nanosecond = format!("{text:0<9}")[..9].parse().ok()?;
        self.rest = &self.rest[1 + count..];
        Some(())
    }

    fn half(&mut self, upper: bool) -> Option<bool> {
        let afternoon = self.rest.starts_with(half(true, upper));
        if !afternoon && !self.rest.starts_with(half(false, upper)) {
            return None;
        }
        self.rest = &self.rest[2..];
        Some(afternoon)
    }

    fn numeric_zone(&mut self, form: Offset) -> Option<Problem> {
        if form.z
            && let Some(rest) = self.rest.strip_prefix('Z')
        {
            self.rest = rest;
            self.offset = Some(Named::Utc);
            return Some(Problem::None);
        }
        let sign = match self.rest.chars().next()? {
            '+' => 1,
            '-' => -1,
            _ => return None,
        };
        self.rest = &self.rest[1..];
        let mut parts = [0; 3];
        for (index, part) in parts.iter_mut().take(form.parts).enumerate() {
            if form.colon && index > 0 {
                self.rest = self.rest.strip_prefix(':')?;
            }
            *part = self.digits(2, 2)?;
        }
        let [hours, minutes, seconds] = parts;
        self.offset = Some(Named::Offset((sign * (hours * 3600 + minutes * 60 + seconds)) as i32));
        let in_time = hours <= 24 && minutes < 60 && seconds < 60;
        in_range(i64::from(!in_time), 0, 0, "time zone offset")
    }

    /// `UTC`, `CET`, `CEST`, `GMT+3`, or an offset like `+03` where a zone has no abbreviation.
    fn zone_name(&mut self) -> Option<()> {
        let letters = self.rest.bytes().take_while(u8::is_ascii_uppercase).count();
        let length = match letters {
            0 if self.rest.starts_with(['+', '-']) => signed_hours(self.rest)?,
            1 if self.rest.starts_with("ChST") || self.rest.starts_with("MeST") => 4,
            3 if self.rest.starts_with("GMT") => 3 + signed_hours(&self.rest[3..]).unwrap_or(0),
            3 => 3,
            4 | 5 => letters,
            _ => return None,
        };
        let (name, rest) = self.rest.split_at(length);
        self.abbreviation = Some(name.to_owned());
        self.rest = rest;
        Some(())
    }

    /// The moment that was read, or what of it is out of range.
    fn moment(self, location: Zone) -> Result<Moment, &'static str> {
        let fields = self.fields()?;
        let named = match (self.offset, self.abbreviation) {
            (Some(Named::Offset(offset)), Some(name)) => {
                let zone = fixed(name, offset);
                return Ok(Moment::civil_at_offset(fields, offset, zone));
            }
            (Some(named), _) => named,
            (None, Some(name)) if name == "UTC" => Named::Utc,
            (None, Some(name)) => Named::Abbreviation(name),
            (None, None) => return Ok(Moment::civil_in(fields, location)),
        };
        Ok(match named {
            Named::Utc => Moment::civil_in(fields, Zone::Utc),
            Named::Offset(offset) => at_offset(fields, offset, location),
            Named::Abbreviation(name) => at_abbreviation(fields, name, location),
        })
    }

    fn fields(&self) -> Result<Fields, &'static str> {
        let hour = match (self.afternoon, self.hour) {
            (Some(true), hour) if hour < 12 => hour + 12,
            (Some(false), 12) => 0,
            (_, hour) => hour,
        };
        let (month, day) = self.date()?;
        Ok(Fields {
            year: self.year,
            month,
            day,
            hour,
            minute: self.minute,
            second: self.second,
            nanosecond: self.nanosecond,
        })
    }

    fn date(&self) -> Result<(i64, i64), &'static str> {
        if let Some(day) = self.year_day {
            let leap = month_length(self.year, 2) - 28;
            let known = (1..=365 + leap).contains(&day);
            return known.then_some((1, day)).ok_or("day of year");
        }
        let (month, day) = (self.month.unwrap_or(1), self.day.unwrap_or(1));
        let known = (1..=month_length(self.year, month)).contains(&day);
        known.then_some((month, day)).ok_or("day")
    }
}

fn in_range(number: i64, min: i64, max: i64, what: &'static str) -> Option<Problem> {
    Some(if (min..=max).contains(&number) {
        Problem::None
    } else {
        Problem::Range(what)
    })
}

/// The length of a sign and one or two digits (or four) up to 23 hours.
fn signed_hours(text: &str) -> Option<usize> {
    let digits = text.strip_prefix(['+', '-'])?;
    let count = digits.bytes().take_while(u8::is_ascii_digit).count();
    let hours: u32 = digits[..count.min(2)].parse().ok()?;
    (hours < 24 && matches!(count, 1 | 2 | 4)).then_some(1 + count)
}

fn fixed(name: String, offset: i32) -> Zone {
    Zone::Fixed {
        name: name.into(),
        offset,
        // A few letters.
        _weight: None,
    }
}

/// In `location` if its clocks have that offset then, else in a nameless zone.
fn at_offset(fields: Fields, offset: i32, location: Zone) -> Moment {
    let moment = Moment::civil_at_offset(fields, offset, location);
    if moment.zone.at(moment.unix_seconds()).seconds == offset {
        moment
    } else {
        moment.in_zone(fixed(String::new(), offset))
    }
}

/// In `location` if its clocks use that abbreviation in that year, else in a zone of that name whose offset is unknown: 0, or
/// what a `GMT+3` says.
fn at_abbreviation(fields: Fields, name: String, location: Zone) -> Moment {
    let seasons = [fields.month, 1, 7].map(|month| Moment::civil_in(Fields { month, ..fields }, location.clone()));
    let known = seasons
        .iter()
        .map(|moment| location.at(moment.unix_seconds()))
        .find(|shift| shift.abbreviation == name);
    if let Some(shift) = known {
        return Moment::civil_at_offset(fields, shift.seconds, location);
    }
    let hours: i32 = name
        .strip_prefix("GMT")
        .and_then(|hours| hours.parse().ok())
        .unwrap_or(0);
    Moment::civil_at_offset(fields, hours * 3600, fixed(name, hours * 3600))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn berlin() -> Zone {
        Zone::load("Europe/Berlin").unwrap()
    }

    /// 2024-07-05 09:03:04.120 in Berlin.
    fn sample() -> Moment {
        let fields = Fields {
            year: 2024,
            month: 7,
            day: 5,
            hour: 9,
            minute: 3,
            second: 4,
            nanosecond: 120_000_000,
        };
        Moment::civil_in(fields, berlin())
    }

    #[test]
    fn layouts_show_a_moment() {
        for (layout, text) in [
            ("2006-01-02T15:04:05Z07:00", "2024-07-05T09:03:04+02:00"),
            ("2006-01-02T15:04:05.999999999Z07:00", "2024-07-05T09:03:04.12+02:00"),
            ("02 Jan 06 15:04 MST", "05 Jul 24 09:03 CEST"),
            ("Monday, 02-Jan-06 15:04:05 MST", "Friday, 05-Jul-24 09:03:04 CEST"),
            ("Mon, 02 Jan 2006 15:04:05 -0700", "Fri, 05 Jul 2024 09:03:04 +0200"),
            ("3:04PM 03:4pm", "9:03AM 09:3am"),
            ("Jan _2 15:04:05.000", "Jul  5 09:03:04.120"),
            ("January 2 1 002 __2", "July 5 7 187 187"),
            ("05,000000 .99 .9 5", "04,120000 .12 .1 4"),
            ("_2006 Janet Month Monkey Z", "_2024 Janet Month Monkey Z"),
            ("-07 -07:00 Z0700 Z07 -07:00:00", "+02 +02:00 +0200 +02 +02:00:00"),
            ("ünïcode 15h", "ünïcode 09h"),
        ] {
            assert_eq!(format(&sample(), layout), text, "{layout}");
        }
        let utc = sample().in_zone(Zone::Utc);
        assert_eq!(format(&utc, "15:04 Z07:00 Z0700 -0700 MST"), "07:03 Z Z +0000 UTC");
        assert_eq!(format(&utc, &format!(".{}", "0".repeat(70_000))).len(), 70_001);
        let nameless = sample().in_zone(fixed(String::new(), -5400));
        assert_eq!(format(&nameless, "MST Z07:00"), "-0130 -01:30");
    }

    #[test]
    fn texts_are_read_back() {
        for (layout, text, unix, zone) in [
            (
                "2006-01-02T15:04:05Z07:00",
                "2024-07-05T07:03:04Z",
                1_720_162_984,
                "UTC",
            ),
            (
                "2006-01-02T15:04:05Z07:00",
                "2024-07-05T07:03:04.5Z",
                1_720_162_984,
                "UTC",
            ),
            (
                "2006-01-02T15:04:05Z07:00",
                "2024-07-05T09:03:04+02:00",
                1_720_162_984,
                "Europe/Berlin",
            ),
            (
                "2006-01-02T15:04:05Z07:00",
                "2024-07-05T08:03:04+01:00",
                1_720_162_984,
                "",
            ),
            (
                "2006-01-02 15:04:05",
                "2024-07-05 09:03:04",
                1_720_162_984,
                "Europe/Berlin",
            ),
            (
                "02 Jan 06 15:04 MST",
                "05 jul 24 09:03 CEST",
                1_720_162_980,
                "Europe/Berlin",
            ),
            ("02 Jan 06 15:04 MST", "05 Jul 24 07:03 PDT", 1_720_162_980, "PDT"),
            ("02 Jan 06 15:04 MST", "05 Jul 24 10:03 GMT+3", 1_720_162_980, "GMT+3"),
            (
                "Monday, Jan _2 3:04PM 2006 MST",
                "Friday,  Jul  5 7:03AM  2024 UTC",
                1_720_162_980,
                "UTC",
            ),
            ("2006 002", "2024 187", 1_720_130_400, "Europe/Berlin"),
            ("2006-1-2 3:4:5pm", "2024-7-5 12:0:0am", 1_720_130_400, "Europe/Berlin"),
            (
                "2006-01-02 15:04:05.000",
                "2024-07-05 09:03:04.120",
                1_720_162_984,
                "Europe/Berlin",
            ),
        ] {
            let moment = parse(layout, text, berlin()).unwrap_or_else(|error| panic!("{text}: {error}"));
            assert_eq!((moment.unix_seconds(), moment.zone.name()), (unix, zone), "{text}");
        }
        assert_eq!(
            parse("15:04:05", "01:02:03.25", Zone::Utc).unwrap().instant().1,
            250_000_000
        );
    }

    #[test]
    fn bad_texts_say_what_was_expected() {
        for (layout, text, expected) in [
            (
                "2006-01-02",
                "2024-x",
                r#"parsing time "2024-x" as "2006-01-02": cannot parse "x" as "01""#,
            ),
            (
                "2006-01-02",
                "2024-13-01",
                r#"parsing time "2024-13-01": month out of range"#,
            ),
            (
                "2006-01-02",
                "2023-02-29",
                r#"parsing time "2023-02-29": day out of range"#,
            ),
            (
                "2006 002",
                "2023 366",
                r#"parsing time "2023 366": day of year out of range"#,
            ),
            ("15:04", "24:00", r#"parsing time "24:00": hour out of range"#),
            ("2006", "2024 ", r#"parsing time "2024 ": extra text: " ""#),
            ("15:04:05.000", "01:02:03.1", r#"cannot parse ".1" as ".000""#),
            ("-0700", "+0190", "time zone offset out of range"),
            ("Jan", "Foo", r#"cannot parse "Foo" as "Jan""#),
            ("é2006", "e2024", r#"cannot parse "e2024" as "é""#),
            ("2006", "é", "cannot parse"),
        ] {
            let error = parse(layout, text, Zone::Utc).unwrap_err().to_string();
            assert!(error.contains(expected), "{error}");
        }
    }
}
