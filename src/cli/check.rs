//! `wippy check`: loads the project, reports every problem, runs nothing.

use super::args::{Check, Globals};
use super::console::Console;
use super::failure::{Failure, code};
use super::log::ConsoleLog;
use super::open;
use crate::log::Log;
use crate::project::diagnostic::{sort, to_json, to_text};
use crate::project::{Diagnostic, Project};
use crate::runtime::{Options, Runtime};
use crate::system::terminal::Stream;

pub fn run(args: &Check, globals: &Globals, console: &Console) -> Result<u8, Failure> {
    let project = open::project(globals)?;
    let found = findings(&project, globals, console)?;
    if args.json {
        let all = serde_json::Value::Array(found.iter().map(to_json).collect());
        console.answer(&format!("{all}\n"));
    } else {
        let style = console.paint(Stream::Out).style();
        found.iter().for_each(|found| console.answer(&to_text(found, style)));
        console.say(&summary(&project, &found));
    }
    let bad = found.iter().any(|found| args.strict || found.is_error());
    Ok(if bad { code::PROJECT } else { code::SUCCESS })
}

/// What loading found, and what the engines find in its entries.
fn findings(project: &Project, globals: &Globals, console: &Console) -> Result<Vec<Diagnostic>, Failure> {
    let mut found = project.diagnostics.clone();
    let runtime = Runtime::boot(Options {
        log: Log::new(ConsoleLog::new(console, globals)),
        workers: 1,
        oneshot: true,
        dry: true,
        ..Options::new(project.registry.clone(), console.terminal().clone())
    })
    .map_err(|error| Failure::new(code::FAILED, error))?;
    let entries = project.registry.iter();
    found.extend(entries.flat_map(|entry| runtime.findings(entry)));
    sort(&mut found);
    Ok(found)
}

fn summary(project: &Project, found: &[Diagnostic]) -> String {
    let errors = found.iter().filter(|found| found.is_error()).count();
    let warnings = found.len() - errors;
    format!(
        "{} checked: {}, {}\n",
        count(project.registry.len(), "entry", "entries"),
        count(errors, "error", "errors"),
        count(warnings, "warning", "warnings")
    )
}

fn count(number: usize, one: &str, many: &str) -> String {
    format!("{number} {}", if number == 1 { one } else { many })
}
