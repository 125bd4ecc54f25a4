//! The report for people: tests indented below their blocks, what failed in full where it happened, and its names once
//! more at the end.

use std::fmt::Write as _;
use std::time::Duration;

use super::{Reporter, listing};
use crate::cli::console::Paint;
use crate::cli::test::event::{Event, Report, Status, Summary};
use crate::legible::{escaped, printable};

/// Tests that take longer show how long.
const SLOW: Duration = Duration::from_millis(100);

pub struct Pretty {
    paint: Paint,
    file: String,
    /// The blocks whose names are printed already.
    blocks: Vec<String>,
    failed: Vec<String>,
}

impl Pretty {
    pub fn new(paint: Paint) -> Pretty {
        Pretty {
            paint,
            file: String::new(),
            blocks: Vec::new(),
            failed: Vec::new(),
        }
    }

    fn enter_file(&mut self, file: &str, out: &mut String) {
        if self.file != file {
            let _ = writeln!(out, "{}", self.paint.bold(&printable(file)));
            file.clone_into(&mut self.file);
            self.blocks.clear();
        }
    }

    fn enter_blocks(&mut self, blocks: &[String], out: &mut String) {
        let known = self.blocks.iter().zip(blocks).take_while(|(a, b)| a == b).count();
        for (depth, block) in blocks.iter().enumerate().skip(known) {
            let _ = writeln!(out, "{}{}", indent(depth + 1), printable(block));
        }
        self.blocks = blocks.to_vec();
    }

    fn test(&mut self, report: &Report, out: &mut String) {
        self.enter_file(&report.file, out);
        let (name, blocks) = match report.path.split_last() {
            Some((name, blocks)) => (printable(name), blocks),
            None => ("the file itself".to_owned(), &[][..]),
        };
        self.enter_blocks(blocks, out);
        let deep = indent(blocks.len() + 1);
        let _ = writeln!(out, "{deep}{} {name}{}", self.mark(report.status), self.aside(report));
        let deep = indent(blocks.len() + 2);
        if report.status == Status::Failed {
            let line = format!("{}  {}", report.place(), report.title());
            self.failed.push(printable(&line));
            for line in failure_lines(report, self.paint) {
                let _ = writeln!(out, "{}", format!("{deep}{line}").trim_end());
            }
        }
        for left in &report.left {
            let _ = writeln!(
                out,
                "{deep}{}",
                self.paint.yellow(&printable(&format!("left running, ended: {left}")))
            );
        }
        for line in escaped(&report.output).lines() {
            let _ = writeln!(out, "{deep}{} {line}", self.paint.dim("|"));
        }
    }

    fn mark(&self, status: Status) -> String {
        match status {
            Status::Passed => self.paint.blue("✓"),
            Status::Failed => self.paint.red("✗"),
            Status::Pending => self.paint.yellow("○"),
        }
    }

    fn aside(&self, report: &Report) -> String {
        match &report.reason {
            Some(reason) => self.paint.dim(&printable(&format!(" ({reason})"))),
            None if report.took >= SLOW => self.paint.dim(&format!(" ({} ms)", report.took.as_millis())),
            None => String::new(),
        }
    }

    fn ended(&self, summary: &Summary, out: &mut String) {
        if !self.failed.is_empty() {
            let _ = writeln!(out, "\n{}", self.paint.red("Failed:"));
            for line in &self.failed {
                let _ = writeln!(out, "  {line}");
            }
        }
        if summary.found() > summary.listed {
            let _ = writeln!(out, "\n{}", counts(summary));
        }
    }
}

impl Reporter for Pretty {
    fn event(&mut self, event: &Event, out: &mut String) {
        match event {
            Event::Test(report) => self.test(report, out),
            Event::Note { file, text } => {
                self.enter_file(file, out);
                let _ = writeln!(out, "  {}", self.paint.yellow(&printable(text)));
            }
            Event::Listed { file, path, .. } => {
                let _ = writeln!(out, "{}", listing(file, path));
            }
            Event::Ended(summary) => self.ended(summary, out),
        }
    }
}

fn indent(depth: usize) -> String {
    "  ".repeat(depth)
}

fn counts(summary: &Summary) -> String {
    let files = if summary.files == 1 { "file" } else { "files" };
    let mut parts = vec![format!("{} passed", summary.passed)];
    for (count, word) in [(summary.failed, "failed"), (summary.pending, "pending")] {
        if count > 0 {
            parts.push(format!("{count} {word}"));
        }
    }
    let took = summary.took.as_secs_f64();
    let order = summary
        .seed
        .map(|seed| format!(", --shuffle={seed}"))
        .unwrap_or_default();
    format!("{} in {} {files}, {took:.2} s{order}", parts.join(", "), summary.files)
}

/// What a person needs to find the fault.
fn failure_lines(report: &Report, paint: Paint) -> Vec<String> {
    let Some(failure) = &report.failure else {
        return Vec::new();
    };
    let hook = failure
        .hook
        .as_ref()
        .map(|hook| format!("in {hook}: "))
        .unwrap_or_default();
    let message = format!("{hook}{}", failure.message);
    let mut lines: Vec<String> = escaped(&message).lines().map(|line| paint.red(line)).collect();
    lines.extend(
        failure
            .diff
            .iter()
            .map(|line| match (line.as_bytes().first(), escaped(line)) {
                (Some(b'-'), line) => format!("  {}", paint.red(&line)),
                (Some(b'+'), line) => format!("  {}", paint.blue(&line)),
                (_, line) => format!("  {line}"),
            }),
    );
    if !failure.diff.is_empty() {
        lines.push(paint.dim("  (- expected, + found)"));
    }
    lines.extend(
        failure
            .frames
            .iter()
            .map(|frame| paint.dim(&printable(&format!("at {frame}")))),
    );
    for crash in &report.crashes {
        lines.extend(
            escaped(crash)
                .lines()
                .map(|line| paint.yellow(&format!("died: {line}"))),
        );
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::console::PLAIN;
    use crate::cli::test::event::samples;
    use crate::cli::test::report::written;

    #[test]
    fn what_tests_say_does_nothing_to_the_terminal() {
        let report = samples::unruly();
        let mut out = String::new();
        Pretty::new(PLAIN).event(&Event::Test(report), &mut out);
        assert_eq!(
            out,
            "\
tests/\u{fffd}.lua
  a b
    ✗ c\u{fffd}[2J
      one\\u{1b}[2J
      two
        - \\u{0}
        (- expected, + found)
      | \\u{1b}[31mred
"
        );
    }

    #[test]
    fn tests_stand_below_their_blocks_and_failures_are_told_in_full() {
        assert_eq!(
            written(Pretty::new(PLAIN)),
            "\
tests/sum_test.lua
  sum
    ✓ is zero
    ✗ adds & \"more\"
      in before_each: values are not equal
        - 42
        + \"<41>\"
        (- expected, + found)
      at tests/sum_test.lua:9: in check
      died: app:worker {app:processes|0x00002} failed: boom
      left running, ended: app:worker {app:processes|0x00003}
      | one
      | two
    ○ overflows (not yet)
  sum: left running, ended: app:w {h|0x1}
tests/bad_test.lua
  ✗ the file itself
    tests/bad_test.lua:1: syntax error near <eof>

Failed:
  tests/sum_test.lua:9  sum › adds & \"more\"
  tests/bad_test.lua  tests/bad_test.lua

1 passed, 2 failed, 1 pending in 2 files, 1.23 s, --shuffle=7
"
        );
    }
}
