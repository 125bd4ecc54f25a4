//! One JSON object a line, as it happens: `test`, `note`, `listed`, `ended`.

use serde_json::{Value, json};

use super::Reporter;
use crate::cli::test::event::{Event, Failure, Report, Status};

pub struct Json;

impl Reporter for Json {
    fn event(&mut self, event: &Event, out: &mut String) {
        out.push_str(&line(event).to_string());
        out.push('\n');
    }
}

fn line(event: &Event) -> Value {
    match event {
        Event::Test(report) => test(report),
        Event::Note { file, text } => json!({"type": "note", "file": file, "text": text}),
        Event::Listed { file, path, line } => json!({"type": "listed", "file": file, "path": path, "line": line}),
        Event::Ended(summary) => json!({
            "type": "ended",
            "files": summary.files,
            "passed": summary.passed,
            "failed": summary.failed,
            "pending": summary.pending,
            "seed": summary.seed,
            "seconds": summary.took.as_secs_f64(),
        }),
    }
}

fn test(report: &Report) -> Value {
    let status = match report.status {
        Status::Passed => "passed",
        Status::Failed => "failed",
        Status::Pending => "pending",
    };
    json!({
        "type": "test",
        "file": report.file,
        "path": report.path,
        "line": report.line,
        "status": status,
        "seconds": report.took.as_secs_f64(),
        "reason": report.reason,
        "failure": report.failure.as_ref().map(failure),
        "left": report.left,
        "output": report.output,
        "crashes": report.crashes,
    })
}

fn failure(failure: &Failure) -> Value {
    let frames: Vec<Value> = failure
        .frames
        .iter()
        .map(|frame| json!({"source": frame.source, "line": frame.line, "name": frame.name}))
        .collect();
    json!({"message": failure.message, "hook": failure.hook, "diff": failure.diff, "frames": frames})
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::test::report::written;

    #[test]
    fn every_line_is_an_object() {
        let text = written(Json);
        let lines: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        assert_eq!(lines.len(), 6);
        assert_eq!(lines[0]["status"], "passed");
        assert_eq!(lines[1]["failure"]["frames"][0]["line"], 9);
        assert_eq!(lines[3]["type"], "note");
        assert_eq!(lines[5]["failed"], 2);
        assert_eq!(lines[5]["seed"], 7);
    }
}
