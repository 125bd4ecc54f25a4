//! `wippy run list`: the commands of the project, in load order. Starts nothing.

use serde_json::json;

use super::args::Globals;
use super::columns::columns;
use super::console::{Console, Paint};
use super::failure::{Failure, code};
use super::open;
use crate::project::Project;
use crate::system::terminal::Stream;

pub fn run(as_json: bool, globals: &Globals, console: &Console) -> Result<u8, Failure> {
    let project = open::to_show(globals, console)?;
    let text = if as_json {
        to_json(&project)
    } else {
        to_text(&project, console.paint(Stream::Out))
    };
    console.answer(&text);
    Ok(code::SUCCESS)
}

fn to_json(project: &Project) -> String {
    let commands = project.registry.commands().into_iter().map(|(command, entry)| {
        json!({
            "name": command.name,
            "short": command.short,
            "use_case": command.use_case,
            "entry": entry.id.as_str(),
            "kind": entry.kind,
        })
    });
    format!("{}\n", serde_json::Value::Array(commands.collect()))
}

fn to_text(project: &Project, paint: Paint) -> String {
    let commands = project.registry.commands();
    let rows: Vec<[&str; 3]> = commands
        .iter()
        .map(|(command, entry)| [command.name.as_str(), command.short.as_str(), entry.id.as_str()])
        .collect();
    columns(["NAME", "WHAT IT DOES", "ENTRY"], &rows, paint)
}
