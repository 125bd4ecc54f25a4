//! Sizes in bytes as text: `"64MiB"`, `"10KB"`, `"512"`.

use crate::error::{Error, Result};

const UNITS: [(&str, u64); 8] = [
    ("KiB", 1 << 10),
    ("MiB", 1 << 20),
    ("GiB", 1 << 30),
    ("KB", 1_000),
    ("MB", 1_000_000),
    ("GB", 1_000_000_000),
    ("B", 1),
    ("", 1),
];

/// Parses a whole number of bytes with an optional unit: `KB MB GB` are powers of 1000, `KiB MiB GiB` of 1024.
///
/// # Errors
/// Invalid, naming the text.
pub fn parse(text: &str) -> Result<u64> {
    let digits = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (number, unit) = text.split_at(digits);
    let scale = UNITS.iter().find(|(name, _)| *name == unit.trim_start());
    number
        .parse::<u64>()
        .ok()
        .zip(scale)
        .and_then(|(number, (_, scale))| number.checked_mul(*scale))
        .ok_or_else(|| match scale {
            Some(_) if !number.is_empty() => Error::invalid(format!("size {text:?} is too large")),
            _ => Error::invalid(format!(
                "invalid size {text:?}: expected a number of bytes or a text like \"64MiB\" (KB MB GB KiB MiB GiB)"
            )),
        })
}

/// Prints a size in its largest whole binary unit: `64MiB`, `1GiB`, `1500B`.
pub fn format(bytes: u64) -> String {
    for (unit, scale) in [("GiB", 1 << 30), ("MiB", 1 << 20), ("KiB", 1 << 10)] {
        if bytes >= scale && bytes.is_multiple_of(scale) {
            return format!("{}{unit}", bytes / scale);
        }
    }
    format!("{bytes}B")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_parse_and_print() {
        for (text, bytes) in [
            ("512", 512),
            ("64MiB", 64 << 20),
            ("10KB", 10_000),
            ("1 GiB", 1 << 30),
            ("3B", 3),
        ] {
            assert_eq!(parse(text).unwrap(), bytes);
        }
        for bad in ["", "MiB", "1.5MiB", "-1", "1TB", "99999999999GiB"] {
            assert!(parse(bad).is_err(), "{bad}");
        }
        let error = parse("99999999999GiB").unwrap_err();
        assert_eq!(error.message(), "size \"99999999999GiB\" is too large");
        assert_eq!(format(64 << 20), "64MiB");
        assert_eq!(format(1500), "1500B");
    }
}
