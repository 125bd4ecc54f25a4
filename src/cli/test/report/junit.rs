//! JUnit's XML: one `testsuite` a file. All of it is written at the end, because a suite's counts stand in front of it.

use std::fmt::Write as _;

use super::{Reporter, listing};
use crate::cli::test::event::{Event, Report, Status, Summary};

#[derive(Default)]
pub struct Junit {
    suites: Vec<Suite>,
}

/// What is known of a file.
#[derive(Default)]
struct Suite {
    file: String,
    reports: Vec<Report>,
    notes: Vec<String>,
}

impl Junit {
    fn suite(&mut self, file: &str) -> &mut Suite {
        let at = match self.suites.iter().position(|suite| suite.file == file) {
            Some(at) => at,
            None => {
                self.suites.push(Suite {
                    file: file.to_owned(),
                    ..Suite::default()
                });
                self.suites.len() - 1
            }
        };
        &mut self.suites[at]
    }
}

impl Reporter for Junit {
    fn event(&mut self, event: &Event, out: &mut String) {
        match event {
            Event::Test(report) => self.suite(&report.file).reports.push(report.clone()),
            Event::Note { file, text } => self.suite(file).notes.push(text.clone()),
            Event::Listed { file, path, .. } => {
                let _ = writeln!(out, "{}", listing(file, path));
            }
            Event::Ended(summary) if summary.listed > 0 => {}
            Event::Ended(summary) => document(&self.suites, summary, out),
        }
    }
}

fn document(suites: &[Suite], summary: &Summary, out: &mut String) {
    let total = summary.passed + summary.failed + summary.pending;
    let _ = writeln!(
        out,
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<testsuites tests=\"{total}\" failures=\"{}\" skipped=\"{}\" time=\"{:.3}\">",
        summary.failed,
        summary.pending,
        summary.took.as_secs_f64()
    );
    suites.iter().for_each(|of_file| suite(of_file, summary.seed, out));
    out.push_str("</testsuites>\n");
}

fn suite(Suite { file, reports, notes }: &Suite, seed: Option<u32>, out: &mut String) {
    let count = |status| reports.iter().filter(|report| report.status == status).count();
    let took: f64 = reports.iter().map(|report| report.took.as_secs_f64()).sum();
    let _ = writeln!(
        out,
        "  <testsuite name=\"{}\" tests=\"{}\" failures=\"{}\" skipped=\"{}\" time=\"{took:.3}\">",
        escape(file),
        reports.len(),
        count(Status::Failed),
        count(Status::Pending),
    );
    if let Some(seed) = seed {
        let property = format!("<property name=\"seed\" value=\"{seed}\"/>");
        let _ = writeln!(out, "    <properties>{property}</properties>");
    }
    reports.iter().for_each(|report| case(report, out));
    if !notes.is_empty() {
        let _ = writeln!(out, "    <system-err>{}</system-err>", escape(&notes.join("\n")));
    }
    out.push_str("  </testsuite>\n");
}

fn case(report: &Report, out: &mut String) {
    let (name, blocks) = match report.path.split_last() {
        Some((name, blocks)) => (name.clone(), blocks),
        None => (report.file.clone(), &[][..]),
    };
    let mut class = vec![report.file.clone()];
    class.extend_from_slice(blocks);
    let _ = write!(
        out,
        "    <testcase name=\"{}\" classname=\"{}\" time=\"{:.3}\"",
        escape(&name),
        escape(&class.join(" › ")),
        report.took.as_secs_f64()
    );
    let inner = inner(report);
    match inner.is_empty() {
        true => out.push_str("/>\n"),
        false => {
            let _ = writeln!(out, ">\n{inner}    </testcase>");
        }
    }
}

fn inner(report: &Report) -> String {
    let mut out = String::new();
    if let Some(failure) = &report.failure {
        let mut lines: Vec<String> = failure.diff.clone();
        lines.extend(failure.frames.iter().map(|frame| format!("at {frame}")));
        lines.extend(report.crashes.iter().map(|crash| format!("died: {crash}")));
        let hook = failure
            .hook
            .as_ref()
            .map(|hook| format!("in {hook}: "))
            .unwrap_or_default();
        let message = escape(&(hook + &failure.message));
        let _ = writeln!(
            out,
            "      <failure message=\"{message}\">{}</failure>",
            escape(&lines.join("\n"))
        );
    }
    if report.status == Status::Pending {
        let reason = escape(report.reason.as_deref().unwrap_or(""));
        let _ = writeln!(out, "      <skipped message=\"{reason}\"/>");
    }
    if !report.output.is_empty() {
        let _ = writeln!(out, "      <system-out>{}</system-out>", escape(&report.output));
    }
    if !report.left.is_empty() {
        let left = format!("left running, ended: {}", report.left.join(", "));
        let _ = writeln!(out, "      <system-err>{}</system-err>", escape(&left));
    }
    out
}

/// Text for elements and attributes. XML has no way to write most control characters.
fn escape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for char in text.chars() {
        match char {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\n' | '\t' | '\r' => {
                let _ = write!(out, "&#{};", char as u32);
            }
            char if char.is_control() || matches!(char, '\u{fffe}' | '\u{ffff}') => out.push('\u{fffd}'),
            char => out.push(char),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::test::report::written;

    #[test]
    fn the_document_has_a_suite_for_each_file() {
        assert_eq!(
            written(Junit::default()),
            r#"<?xml version="1.0" encoding="UTF-8"?>
<testsuites tests="4" failures="2" skipped="1" time="1.234">
  <testsuite name="tests/sum_test.lua" tests="3" failures="1" skipped="1" time="0.006">
    <properties><property name="seed" value="7"/></properties>
    <testcase name="is zero" classname="tests/sum_test.lua › sum" time="0.003"/>
    <testcase name="adds &amp; &quot;more&quot;" classname="tests/sum_test.lua › sum" time="0.003">
      <failure message="in before_each: values are not equal">- 42&#10;+ &quot;&lt;41&gt;&quot;&#10;at tests/sum_test.lua:9: in check&#10;died: app:worker {app:processes|0x00002} failed: boom</failure>
      <system-out>one&#10;two</system-out>
      <system-err>left running, ended: app:worker {app:processes|0x00003}</system-err>
    </testcase>
    <testcase name="overflows" classname="tests/sum_test.lua › sum" time="0.000">
      <skipped message="not yet"/>
    </testcase>
    <system-err>sum: left running, ended: app:w {h|0x1}</system-err>
  </testsuite>
  <testsuite name="tests/bad_test.lua" tests="1" failures="1" skipped="0" time="0.000">
    <properties><property name="seed" value="7"/></properties>
    <testcase name="tests/bad_test.lua" classname="tests/bad_test.lua" time="0.000">
      <failure message="tests/bad_test.lua:1: syntax error near &lt;eof&gt;"></failure>
    </testcase>
  </testsuite>
</testsuites>
"#
        );
    }

    #[test]
    fn control_characters_do_not_break_the_document() {
        assert_eq!(escape("a\u{1b}[1m\0<\r\n"), "a\u{fffd}[1m\u{fffd}&lt;&#13;&#10;");
    }
}
