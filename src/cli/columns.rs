//! Lists of rows, under a head, every column as wide as its widest cell.

use super::console::Paint;
use crate::legible::printable;

/// The rows under their head; nothing at all without rows. What stands in a cell can neither end its line nor reach the
/// terminal as a control character.
pub fn columns<const N: usize>(head: [&str; N], rows: &[[&str; N]], paint: Paint) -> String {
    if rows.is_empty() {
        return String::new();
    }
    let head = head.map(str::to_owned);
    let rows: Vec<[String; N]> = rows.iter().map(|row| row.map(printable)).collect();
    let widths: [usize; N] = std::array::from_fn(|at| {
        let cells = rows.iter().chain([&head]).map(|row| row[at].chars().count());
        cells.max().unwrap_or(0)
    });
    let line = |row: &[String; N]| {
        let cells: Vec<String> = row
            .iter()
            .zip(widths)
            .map(|(cell, width)| format!("{cell:width$}"))
            .collect();
        cells.join("  ").trim_end().to_owned()
    };
    let body: String = rows.iter().map(|row| line(row) + "\n").collect();
    format!("{}\n{body}", paint.bold(&line(&head)))
}

#[cfg(test)]
mod tests {
    use super::super::console::PLAIN;
    use super::*;

    #[test]
    fn cells_stand_below_each_other() {
        let text = columns(["A", "LONG", "C"], &[["é", "", "x"], ["bcd", "y", ""]], PLAIN);
        assert_eq!(text, "A    LONG  C\né          x\nbcd  y\n");
        assert_eq!(columns(["A"], &[], PLAIN), "");
        assert_eq!(columns(["A"], &[["x\ny\x1b[2J"]], PLAIN), "A\nx y\u{fffd}[2J\n");
    }
}
