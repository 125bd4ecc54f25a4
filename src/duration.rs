//! Durations as text: the one syntax of YAML fields, Lua arguments and printed values, in nanoseconds as `i64`.

use crate::error::{Error, Result};

pub const MICROSECOND: i64 = 1_000;
pub const MILLISECOND: i64 = 1_000_000;
pub const SECOND: i64 = 1_000_000_000;
pub const MINUTE: i64 = 60 * SECOND;
pub const HOUR: i64 = 60 * MINUTE;

const UNITS: [(&str, i64); 8] = [
    ("ns", 1),
    ("us", MICROSECOND),
    ("µs", MICROSECOND),
    ("μs", MICROSECOND),
    ("ms", MILLISECOND),
    ("s", SECOND),
    ("m", MINUTE),
    ("h", HOUR),
];

/// Parses an optional sign and one or more `<decimal><unit>`, without spaces: `"1h30m"`, `"1.5s"`, `"-2m"`, `"0"`.
///
/// # Errors
/// Invalid, naming the text.
pub fn parse(text: &str) -> Result<i64> {
    parse_units(text).ok_or_else(|| {
        Error::invalid(format!(
            "invalid duration {text:?}: expected a number with a unit (ns, us, ms, s, m, h), like \"1h30m\" or \"1.5s\""
        ))
    })
}

fn parse_units(text: &str) -> Option<i64> {
    let (negative, mut rest) = match text.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, text.strip_prefix('+').unwrap_or(text)),
    };
    if rest == "0" {
        return Some(0);
    }
    if rest.is_empty() {
        return None;
    }
    let mut total: i128 = 0;
    while !rest.is_empty() {
        let end = rest.find(|c: char| !c.is_ascii_digit() && c != '.')?;
        let (number, tail) = rest.split_at(end);
        let unit_end = tail
            .find(|c: char| c.is_ascii_digit() || c == '.')
            .unwrap_or(tail.len());
        let (unit, tail) = tail.split_at(unit_end);
        let scale = UNITS.iter().find(|(name, _)| *name == unit)?.1;
        total += decimal(number, scale)?;
        rest = tail;
    }
    let total = if negative { -total } else { total };
    i64::try_from(total).ok()
}

/// `number` times `scale`, exact as far as nanoseconds go.
fn decimal(number: &str, scale: i64) -> Option<i128> {
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    if whole.is_empty() && fraction.is_empty() || fraction.contains('.') {
        return None;
    }
    let whole: i128 = if whole.is_empty() { 0 } else { whole.parse().ok()? };
    let digits = &fraction[..fraction.len().min(18)];
    let part: i128 = if digits.is_empty() { 0 } else { digits.parse().ok()? };
    let scale = i128::from(scale);
    whole
        .checked_mul(scale)?
        .checked_add(part * scale / 10_i128.pow(digits.len() as u32))
}

/// Prints the shortest form that [`parse`] reads back: `1h30m0s`, `1.5s`, `2ms`, `0s`.
pub fn format(nanoseconds: i64) -> String {
    let sign = if nanoseconds < 0 { "-" } else { "" };
    let total = nanoseconds.unsigned_abs();
    let (micro, milli, second) = (MICROSECOND as u64, MILLISECOND as u64, SECOND as u64);
    match total {
        0 => "0s".to_owned(),
        n if n < micro => format!("{sign}{n}ns"),
        n if n < milli => format!("{sign}{}µs", fraction(n, micro)),
        n if n < second => format!("{sign}{}ms", fraction(n, milli)),
        n => {
            let (hours, minutes) = (n / HOUR as u64, n / MINUTE as u64 % 60);
            let seconds = fraction(n % MINUTE as u64, second);
            match (hours, minutes) {
                (0, 0) => format!("{sign}{seconds}s"),
                (0, m) => format!("{sign}{m}m{seconds}s"),
                (h, m) => format!("{sign}{h}h{m}m{seconds}s"),
            }
        }
    }
}

fn fraction(number: u64, unit: u64) -> String {
    let (whole, rest) = (number / unit, number % unit);
    if rest == 0 {
        return whole.to_string();
    }
    let width = unit.ilog10() as usize;
    let digits = format!("{rest:0width$}");
    format!("{whole}.{}", digits.trim_end_matches('0'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_parse_exactly() {
        for (text, expected) in [
            ("0", 0),
            ("0s", 0),
            ("1h30m", HOUR + 30 * MINUTE),
            ("1.5s", 1_500_000_000),
            ("-2m", -2 * MINUTE),
            ("+.5us", 500),
            ("1µs", 1000),
            ("1.s", SECOND),
        ] {
            assert_eq!(parse(text).unwrap(), expected, "{text}");
        }
        for bad in [
            "",
            "-",
            "1",
            "s",
            "1x",
            "1 s",
            "1h-2m",
            ".",
            "..1s",
            "1..2s",
            "99999999999h",
            "1s ",
        ] {
            assert!(parse(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn numbers_print_short_and_read_back() {
        for (number, text) in [
            (0, "0s"),
            (1, "1ns"),
            (1_500, "1.5µs"),
            (2 * MILLISECOND, "2ms"),
            (1_500 * MILLISECOND, "1.5s"),
            (HOUR + 30 * MINUTE + 45 * SECOND, "1h30m45s"),
            (HOUR, "1h0m0s"),
            (-90 * SECOND, "-1m30s"),
        ] {
            assert_eq!(format(number), text);
            assert_eq!(parse(text).unwrap(), number);
        }
    }
}
