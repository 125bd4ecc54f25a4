//! The Test Anything Protocol, version 14. The plan comes last, because the number of tests is known only then.

use std::fmt::Write as _;

use super::{Reporter, listing};
use crate::cli::test::event::{Event, Report, Status};
use crate::legible::{escaped, printable};

#[derive(Default)]
pub struct Tap {
    count: usize,
    has_begun: bool,
}

impl Reporter for Tap {
    fn event(&mut self, event: &Event, out: &mut String) {
        match event {
            Event::Test(report) => {
                self.start(out);
                self.count += 1;
                test(self.count, report, out);
            }
            Event::Note { file, text } => {
                self.start(out);
                comment(&format!("{file}: {text}"), out);
            }
            Event::Listed { file, path, .. } => {
                let _ = writeln!(out, "{}", listing(file, path));
            }
            Event::Ended(summary) if summary.listed > 0 => {}
            Event::Ended(summary) => {
                self.start(out);
                if let Some(seed) = summary.seed {
                    comment(&format!("--shuffle={seed}"), out);
                }
                let _ = writeln!(out, "1..{}", self.count);
            }
        }
    }
}

impl Tap {
    fn start(&mut self, out: &mut String) {
        if !std::mem::replace(&mut self.has_begun, true) {
            out.push_str("TAP version 14\n");
        }
    }
}

fn test(number: usize, report: &Report, out: &mut String) {
    let ok = if report.status == Status::Failed {
        "not ok"
    } else {
        "ok"
    };
    let name = match report.path.is_empty() {
        true => printable(&report.file),
        false => listing(&report.file, &report.path),
    };
    let _ = write!(out, "{ok} {number} - {}", escape(&name));
    if report.status == Status::Pending {
        let _ = write!(
            out,
            " # SKIP {}",
            escape(&printable(report.reason.as_deref().unwrap_or("")))
        );
    }
    out.push('\n');
    if let Some(failure) = &report.failure {
        let hook = failure
            .hook
            .as_ref()
            .map(|hook| format!("in {hook}: "))
            .unwrap_or_default();
        out.push_str("  ---\n");
        block("message", (hook + &failure.message).lines(), out);
        let _ = writeln!(out, "  at: {}", quote(&printable(&report.place())));
        block("diff", failure.diff.iter().map(String::as_str), out);
        let frames: Vec<String> = failure.frames.iter().map(ToString::to_string).collect();
        block("stack", frames.iter().map(String::as_str), out);
        block("crashes", report.crashes.iter().flat_map(|crash| crash.lines()), out);
        out.push_str("  ...\n");
    }
    for left in &report.left {
        comment(&format!("left running, ended: {left}"), out);
    }
    escaped(&report.output).lines().for_each(|line| comment(line, out));
}

/// Lines as a YAML block.
fn block<'a>(name: &str, lines: impl Iterator<Item = &'a str>, out: &mut String) {
    let mut lines = lines.peekable();
    if lines.peek().is_none() {
        return;
    }
    // The number says how far the block is indented: a first line may begin with blanks of its own.
    let _ = writeln!(out, "  {name}: |2");
    for line in lines {
        let _ = writeln!(out, "{}", format!("    {}", escaped(line)).trim_end());
    }
}

fn comment(text: &str, out: &mut String) {
    let _ = writeln!(out, "# {}", printable(text));
}

/// `#` begins a directive.
fn escape(text: &str) -> String {
    text.replace('\\', "\\\\").replace('#', "\\#")
}

fn quote(text: &str) -> String {
    format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\""))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::test::event::samples;
    use crate::cli::test::report::written;

    #[test]
    fn the_protocol_is_kept() {
        assert_eq!(
            written(Tap::default()),
            "\
TAP version 14
ok 1 - tests/sum_test.lua: sum › is zero
not ok 2 - tests/sum_test.lua: sum › adds & \"more\"
  ---
  message: |2
    in before_each: values are not equal
  at: \"tests/sum_test.lua:9\"
  diff: |2
    - 42
    + \"<41>\"
  stack: |2
    tests/sum_test.lua:9: in check
  crashes: |2
    app:worker {app:processes|0x00002} failed: boom
  ...
# left running, ended: app:worker {app:processes|0x00003}
# one
# two
ok 3 - tests/sum_test.lua: sum › overflows # SKIP not yet
# tests/sum_test.lua: sum: left running, ended: app:w {h|0x1}
not ok 4 - tests/bad_test.lua
  ---
  message: |2
    tests/bad_test.lua:1: syntax error near <eof>
  at: \"tests/bad_test.lua\"
  ...
# --shuffle=7
1..4
"
        );
    }

    #[test]
    fn the_version_is_said_once() {
        let mut out = String::new();
        let mut tap = Tap::default();
        for text in ["stopped", "before its end"] {
            // The text of each event is written out at once.
            let mut written = String::new();
            let file = "tests/a_test.lua".to_owned();
            tap.event(
                &Event::Note {
                    file,
                    text: text.to_owned(),
                },
                &mut written,
            );
            out += &written;
        }
        assert_eq!(out.matches("TAP version").count(), 1, "{out}");
    }

    #[test]
    fn a_name_cannot_become_a_directive() {
        assert_eq!(escape("a # SKIP b\\"), "a \\# SKIP b\\\\");
    }

    #[test]
    fn every_line_is_of_the_protocol_and_every_block_is_yaml() {
        let report = samples::unruly();
        let mut out = String::new();
        Tap::default().event(&Event::Test(report), &mut out);
        let expected = "\
TAP version 14
not ok 1 - tests/\u{fffd}.lua: a b › c\u{fffd}[2J
  ---
  message: |2
    one\\u{1b}[2J
    two
  at: \"tests/\u{fffd}.lua:3\"
  diff: |2
    - \\u{0}
  ...
# \\u{1b}[31mred
";
        assert_eq!(out, expected);
        let block = out.split("---\n").nth(1).and_then(|rest| rest.split("  ...").next());
        let yaml: serde_yaml::Value = serde_yaml::from_str(block.unwrap()).unwrap();
        assert_eq!(yaml["message"], "one\\u{1b}[2J\ntwo\n");
    }
}
