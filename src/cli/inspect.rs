//! `wippy inspect`: what a module is, what it wants, what it offers, and the YAML that runs it.

use std::path::Path;
use std::sync::Arc;

use serde_json::{Value as Json, json};

use super::args::{Globals, Inspect, ModuleOptions};
use super::console::{Console, PLAIN, Paint};
use super::failure::{Failure, code};
use super::log::ConsoleLog;
use super::script::{self, Surroundings, folder_of};
use super::{module, open, target};
use crate::error::Result as Outcome;
use crate::id::EntryId;
use crate::log::Log;
use crate::project::grants::Grant;
use crate::project::{Entry, Registry, Spec, WasmSource, WasmSpec};
use crate::runtime::{Options, Runtime};
use crate::system::terminal::Stream;
use crate::wasm::inspect::{Exported, Imported, Inspection, Standing};

/// What was asked about.
struct Subject {
    registry: Arc<Registry>,
    entry: Arc<Entry>,
    /// Entries that have to stand before the module's own: the folder of a file.
    before: String,
    /// How the module's entry names its volume.
    fs: String,
}

/// # Errors
/// Exit 2 for an entry of another kind, 3 for a module that cannot be read, 4 for what does not exist.
pub fn run(args: &Inspect, globals: &Globals, console: &Console) -> Result<u8, Failure> {
    let subject = match module::is_module(&args.what) && !args.what.contains("::") {
        true => file(&args.what, globals)?,
        false => declared(&args.what, globals)?,
    };
    let found = look(&subject, globals, console)?;
    let yaml = yaml(&subject, &found).unwrap_or_default();
    let text = match args.json {
        true => format!("{}\n", to_json(&subject, &found, &yaml)),
        false => to_text(&subject, &found, &yaml, console.paint(Stream::Out)),
    };
    console.answer(&text);
    Ok(code::SUCCESS)
}

fn look(subject: &Subject, globals: &Globals, console: &Console) -> Result<Inspection, Failure> {
    let runtime = Runtime::boot(Options {
        log: Log::new(ConsoleLog::new(console, globals)),
        workers: 1,
        dry: true,
        ..Options::new(subject.registry.clone(), console.terminal().clone())
    })
    .map_err(|error| Failure::new(code::FAILED, error))?;
    let found = runtime.inspect(&subject.entry);
    found.map_err(|error| Failure::entry(error, &[]))
}

/// A file, granted what `wippy run FILE.wasm` grants.
fn file(name: &str, globals: &Globals) -> Result<Subject, Failure> {
    let path = Path::new(name);
    if !path.is_file() {
        return Err(script::missing(name));
    }
    let around = Surroundings::find(folder_of(&module::target(path)), module::NAMESPACE, globals)?;
    let (registry, entry) = module::declare(&around.registry, path, &ModuleOptions::default())?;
    let directory = scalar(&directory(&around.folders));
    Ok(Subject {
        registry: Arc::new(registry),
        entry,
        before: format!("  - name: modules\n    kind: fs.directory\n    directory: {directory}\n"),
        fs: "modules".to_owned(),
    })
}

/// The folder of the file as an entry names it: seen from the project, or from here without one.
fn directory(folders: &[std::path::PathBuf]) -> String {
    let here = std::env::current_dir().and_then(|here| here.canonicalize()).ok();
    let base = folders.get(1).cloned().or(here).unwrap_or_default();
    match folders[0].strip_prefix(&base) {
        Ok(below) if below.as_os_str().is_empty() => ".".to_owned(),
        Ok(below) => format!("./{}", below.display()),
        Err(_) => folders[0].display().to_string(),
    }
}

fn declared(text: &str, globals: &Globals) -> Result<Subject, Failure> {
    let id = EntryId::parse(text).map_err(|error| Failure::usage(error.message()))?;
    let project = open::project(globals)?;
    let entry = target::any(&project, &id)?;
    if let Err(error) = project.registry.usable(&entry.id) {
        return Err(Failure::entry(error, &entry.problems));
    }
    Subject::of(&entry, &project.registry).ok_or_else(|| {
        let message = format!("{} is a {}, which is no WebAssembly", entry.id, entry.kind);
        Failure::usage(message)
    })
}

impl Subject {
    /// None for an entry that is no WebAssembly.
    fn of(entry: &Arc<Entry>, registry: &Arc<Registry>) -> Option<Subject> {
        let Spec::Wasm(spec) = &entry.spec else { return None };
        Some(Subject {
            fs: source(spec).map(|(fs, ..)| fs).unwrap_or_default(),
            before: String::new(),
            registry: registry.clone(),
            entry: entry.clone(),
        })
    }
}

/// What a session shows of a WASM entry; none for other kinds.
pub fn text(
    entry: &Arc<Entry>,
    registry: &Arc<Registry>,
    look: impl FnOnce(&Entry) -> Outcome<Inspection>,
) -> Option<Outcome<String>> {
    let subject = Subject::of(entry, registry)?;
    Some(look(entry).map(|found| {
        let yaml = yaml(&subject, &found).unwrap_or_default();
        to_text(&subject, &found, &yaml, PLAIN)
    }))
}

/// Volume, path, and the hash as written.
fn source(spec: &WasmSpec) -> Option<(String, &str, Option<&str>)> {
    match &spec.source {
        WasmSource::File { fs, path, hash } => Some((fs.to_string(), path, Some(hash))),
        WasmSource::Given { fs, path } => Some((fs.to_string(), path, None)),
        WasmSource::Text(_) => None,
    }
}

fn spec(subject: &Subject) -> Option<(String, &str, Option<&str>)> {
    match &subject.entry.spec {
        Spec::Wasm(spec) => source(spec),
        _ => None,
    }
}

/// The smallest entries that run it; none when nothing of it can be called.
fn yaml(subject: &Subject, found: &Inspection) -> Option<String> {
    if found.cannot_run() {
        return None;
    }
    let (_, path, _) = spec(subject)?;
    let method = scalar(method(subject, found)?);
    let name = name(subject, path);
    let grants: Vec<&str> = found.wanted().iter().map(|grant| grant.name()).collect();
    let imports = match grants.is_empty() {
        true => String::new(),
        false => format!("    imports: [{}]\n", grants.join(", ")),
    };
    let outward = found.wanted().into_iter().any(Grant::is_outward);
    let network = if outward { network_line(subject) } else { String::new() };
    Some(format!(
        "{}  - name: {}\n    kind: process.wasm\n    fs: {}\n    path: {}\n    hash: sha256:{}\n    method: {method}\n{imports}{network}",
        subject.before,
        scalar(&name),
        scalar(&subject.fs),
        scalar(path),
        found.sha256,
    ))
}

/// What `wasi.network` of the entry lists, each in quotes.
fn network(subject: &Subject) -> Vec<String> {
    match &subject.entry.spec {
        Spec::Wasm(spec) => spec
            .network
            .iter()
            .map(|host| Json::from(host.as_str()).to_string())
            .collect(),
        _ => Vec::new(),
    }
}

fn network_line(subject: &Subject) -> String {
    match network(subject).join(", ") {
        none if none.is_empty() => {
            "    wasi: { network: [] } # what it may reach, like \"example.org:443\"; nothing else\n".to_owned()
        }
        hosts => format!("    wasi: {{ network: [{hosts}] }}\n"),
    }
}

/// The entry's own, else the command in its shortest form, else a function.
fn method<'a>(subject: &'a Subject, found: &'a Inspection) -> Option<&'a str> {
    match &subject.entry.spec {
        Spec::Wasm(spec) if !spec.method.is_empty() => return Some(&spec.method),
        _ => {}
    }
    let favourite = found.favourite()?;
    let short = if found.component { "run" } else { "_start" };
    Some(if favourite.command { short } else { &favourite.method })
}

/// The entry's own, or the file's without its ending.
fn name(subject: &Subject, path: &str) -> String {
    if subject.before.is_empty() {
        return subject.entry.id.name().to_owned();
    }
    let stem = path.strip_suffix(".wasm").unwrap_or(path);
    let plain = |c: char| if c.is_alphanumeric() { c } else { '_' };
    match stem.chars().map(plain).collect::<String>() {
        name if name.is_empty() => "module".to_owned(),
        name => name,
    }
}

/// A YAML scalar: in quotes unless it is plain beyond doubt.
fn scalar(text: &str) -> String {
    let safe = |c: char| c.is_ascii_alphanumeric() || "_-./@:#".contains(c);
    let plain = text.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_' || c == '.')
        && text.chars().all(safe)
        && !text.ends_with(':')
        && !matches!(
            text.to_ascii_lowercase().as_str(),
            "true" | "false" | "null" | "yes" | "no" | "on" | "off" | "y" | "n" | ".nan" | ".inf"
        );
    let number = text.trim_start_matches('.').starts_with(|c: char| c.is_ascii_digit());
    match plain && !number {
        true => text.to_owned(),
        false => Json::from(text).to_string(),
    }
}

fn to_text(subject: &Subject, found: &Inspection, yaml: &str, paint: Paint) -> String {
    let mut text = format!("{}\n", paint.bold(&title(subject, found)));
    text += &format!("sha256   {}\n", found.sha256);
    if let Some(written) = differing(subject, found) {
        text += &format!("         the entry has another hash: {written}\n");
    }
    text += &format!("engine   {}\n", found.engine);
    if found.imports.iter().any(reaches_out) {
        text += &match network(subject).join(", ") {
            none if none.is_empty() => "network  nothing: the list wasi.network is empty\n".to_owned(),
            hosts => format!("network  {hosts}\n"),
        };
    }
    let names = found.imports.iter().map(|import| import.name.chars().count());
    let width = names.max().unwrap_or_default();
    text += &section(
        "imports",
        found.imports.iter().map(|import| import_line(import, width)),
        paint,
    );
    text += &section("exports", found.exports.iter().map(export_line), paint);
    if !yaml.is_empty() {
        text += &format!("\n{}\n{yaml}", paint.bold("entries:"));
    }
    text
}

/// `worker.wasm: component of 1234 bytes, WASI 0.2.0`; a module that is text in an entry has the entry's name.
fn title(subject: &Subject, found: &Inspection) -> String {
    let path = spec(subject).map_or(subject.entry.id.as_str(), |(_, path, _)| path);
    let kind = if found.component { "component" } else { "core module" };
    let wasi = match found.wasi.is_empty() {
        true => "no WASI".to_owned(),
        false => format!("WASI {}", found.wasi.join(" and ")),
    };
    format!("{path}: {kind} of {} bytes, {wasi}", found.size)
}

/// The entry's hash when it is not that of the file.
fn differing<'a>(subject: &'a Subject, found: &Inspection) -> Option<&'a str> {
    let (_, _, written) = spec(subject)?;
    written.filter(|written| written.strip_prefix("sha256:") != Some(&found.sha256))
}

/// Whether it is granted, and the list says where to.
fn reaches_out(import: &Imported) -> bool {
    import.standing == Standing::Granted && import.grant.is_some_and(Grant::is_outward)
}

fn section(title: &str, lines: impl Iterator<Item = String>, paint: Paint) -> String {
    let lines: String = lines.map(|line| format!("  {line}\n")).collect();
    match lines.is_empty() {
        true => format!("\n{} none\n", paint.bold(&format!("{title}:"))),
        false => format!("\n{}\n{lines}", paint.bold(&format!("{title}:"))),
    }
}

fn import_line(import: &Imported, width: usize) -> String {
    let grant = import.grant.map(|grant| grant.name()).unwrap_or_default();
    let standing = match import.standing {
        Standing::Granted => format!("granted by {grant}"),
        Standing::Inert => format!("empty without {grant}"),
        Standing::Missing => format!("missing: {grant}"),
        Standing::Unknown => "unknown: no grant provides it".to_owned(),
        Standing::Unprovided => format!("{grant} is not provided by this version of wippy"),
        Standing::Types => "types alone".to_owned(),
        Standing::Unsupported(kind) => format!("unsupported: a {kind} cannot be provided"),
    };
    format!("{:width$}  {standing}", import.name)
}

fn export_line(export: &Exported) -> String {
    let note = match (export.command, export.signature.check_all()) {
        (true, _) => "  (command: takes the words of the command line)".to_owned(),
        (false, Err(refusal)) => format!("  ({})", refusal.message()),
        (false, Ok(())) => String::new(),
    };
    format!("{}{note}", export.signature.lua())
}

fn to_json(subject: &Subject, found: &Inspection, yaml: &str) -> Json {
    let source = spec(subject);
    json!({
        "entry": (subject.before.is_empty()).then(|| subject.entry.id.as_str()),
        "path": source.as_ref().map(|(_, path, _)| *path),
        "kind": if found.component { "component" } else { "core module" },
        "bytes": found.size,
        "wasi": found.wasi,
        "hash": format!("sha256:{}", found.sha256),
        "hash_matches": source.and_then(|(_, _, written)| written).map(|_| differing(subject, found).is_none()),
        "engine": found.engine,
        "network": match &subject.entry.spec {
            Spec::Wasm(spec) => &spec.network[..],
            _ => &[],
        },
        "imports": found.imports.iter().map(import_json).collect::<Vec<_>>(),
        "exports": found.exports.iter().map(export_json).collect::<Vec<_>>(),
        "yaml": yaml,
    })
}

fn import_json(import: &Imported) -> Json {
    let standing = match import.standing {
        Standing::Granted => "granted",
        Standing::Inert => "inert",
        Standing::Missing => "missing",
        Standing::Unknown => "unknown",
        Standing::Unprovided => "unprovided",
        Standing::Types => "types",
        Standing::Unsupported(_) => "unsupported",
    };
    let grant = import.grant.map(|grant| grant.name());
    json!({ "name": import.name, "grant": grant, "standing": standing })
}

fn export_json(export: &Exported) -> Json {
    json!({
        "method": export.method,
        "command": export.command,
        "callable": export.is_callable(),
        "lua": export.signature.lua(),
        "wit": export.signature.to_string(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scalars_are_quoted_when_in_doubt() {
        for plain in ["compute", "_start", "acme:math/calc@1.2.3#op", "./wasm", "."] {
            assert_eq!(scalar(plain), plain);
        }
        for odd in ["", "no", "True", "7up", ".5", "a b", "a: b", "a:", "grüß", "-x", "*"] {
            assert_eq!(scalar(odd), format!("\"{odd}\""));
        }
    }
}
