//! On which lines of a file the lines of a text in it stand.

use std::sync::Arc;

/// Lines are counted from 1.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Lines {
    /// One below the other, the first one here.
    From(u32),
    /// Each somewhere; none above the one before it. What is missing stands with the last one.
    Each(Arc<[u32]>),
}

impl Lines {
    /// Those of a text that is the whole file.
    pub const OWN: Lines = Lines::From(1);

    /// Where a line of the text stands.
    pub fn of(&self, line: u32) -> u32 {
        match self {
            Lines::From(first) => first.saturating_add(line.saturating_sub(1)),
            Lines::Each(lines) => {
                let at = (line.saturating_sub(1) as usize).min(lines.len().saturating_sub(1));
                lines.get(at).copied().unwrap_or(1)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_has_its_place() {
        assert_eq!([1, 2, 9].map(|line| Lines::OWN.of(line)), [1, 2, 9]);
        assert_eq!([0, 1, 3].map(|line| Lines::From(17).of(line)), [17, 17, 19]);
        let each = Lines::Each([4, 4, 7].into());
        assert_eq!([1, 2, 3, 4].map(|line| each.of(line)), [4, 4, 7, 7]);
        assert_eq!(Lines::Each([].into()).of(3), 1);
    }
}
