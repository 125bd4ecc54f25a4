//! Findings that need more than one entry, or a look at the disk.

use std::collections::{HashMap, HashSet, VecDeque};
use std::io;

use cap_std::ambient_authority;
use cap_std::fs::Dir;
use sha2::{Digest as _, Sha256};

use super::diagnostic::{Code, Diagnostic, Severity};
use super::entry::{DirectorySpec, Entry, Spec, VariableSpec, WasmSource, WasmSpec};
use super::kinds::{PLACEHOLDER, Reference, Role};
use super::load::Draft;
use super::near::nearest;
use super::place::Step;
use super::schema;
use crate::error::Kind;
use crate::id::{ById, EntryId};

/// Why the folder of an `fs.directory` cannot be opened.
pub fn folder_problem(entry: &Entry, spec: &DirectorySpec, error: &io::Error) -> Diagnostic {
    let written = &spec.written;
    let finding = |message: String| entry.finding(Code::MissingFolder, &["directory"], message);
    match error.kind() {
        io::ErrorKind::NotFound => {
            finding(format!("folder not found: {written}")).label("`auto_init: true` would create it")
        }
        io::ErrorKind::NotADirectory => finding(format!("not a folder: {written}")),
        _ => finding(format!("cannot open folder {written}: {error}")).kind(Kind::Internal),
    }
}

/// Looks at all entries together: references, circles, names that must be unique, hosts.
pub(super) fn together(drafts: &mut [Draft]) {
    let index: Index = drafts
        .iter()
        .enumerate()
        .map(|(at, draft)| (draft.id.clone(), at))
        .collect();
    references(drafts, &index);
    circles(drafts, &index);
    aliases(drafts, &index);
    public_names(drafts);
    commands(drafts);
    hashes(drafts, &index);
}

/// References of one entry that are looked at.
const LARGEST: usize = 10_000;

type Index = ById<usize>;

/// What a reference in that role may name.
fn fits(role: Role, kind: &str) -> bool {
    match role {
        Role::Filesystem | Role::Mount => kind == "fs.directory",
        Role::RequiredVariable | Role::OptionalVariable => kind == "env.variable",
        Role::Storage => kind.starts_with("env.storage.") && schema::fields(kind).is_some(),
        Role::Import => matches!(kind, "library.lua" | "function.lua" | "process.lua"),
        Role::Process => matches!(kind, "process.lua" | "process.wasm"),
        Role::Host | Role::DefaultHost => matches!(kind, "process.host" | "terminal.host"),
        Role::Required => true,
    }
}

fn not_there(role: Role, id: &EntryId) -> String {
    match role {
        Role::Filesystem => format!("filesystem not found: {id}"),
        Role::Mount => format!("wasi mount filesystem not found: {id}"),
        Role::RequiredVariable => format!("required wasi env variable not found: {id}"),
        Role::OptionalVariable => format!("optional wasi env variable not found: {id}"),
        Role::Storage => format!("environment storage not found: {id}"),
        Role::Import => format!("import not found: {id}"),
        Role::Process => format!("process not found: {id}"),
        Role::Host | Role::DefaultHost => format!("host not found: {id}"),
        Role::Required => format!("required service not found: {id}"),
    }
}

fn references(drafts: &mut [Draft], index: &Index) {
    let mut found = Vec::new();
    // Each one looks at every entry.
    let mut suggestions = 300_000 / drafts.len().max(1);
    for (at, draft) in drafts.iter().enumerate() {
        for reference in draft.references.iter().take(LARGEST) {
            let kind = index.get(&reference.id).map(|target| drafts[*target].kind.as_str());
            if kind.is_some_and(|kind| fits(reference.role, kind)) {
                continue;
            }
            let label = match kind {
                Some(kind) => format!("`{}` is a `{kind}`", reference.id),
                None if suggestions > 0 => {
                    suggestions -= 1;
                    similar(&reference.id, reference.role, drafts)
                }
                None => String::new(),
            };
            let problem = Diagnostic::new(Code::DanglingReference, not_there(reference.role, &reference.id));
            let is_optional = matches!(reference.role, Role::OptionalVariable | Role::DefaultHost);
            let severity = if is_optional {
                Severity::Warning
            } else {
                Severity::Error
            };
            found.push((at, reference.steps.clone(), problem.label(label).severity(severity)));
        }
    }
    for (at, steps, problem) in found {
        drafts[at].report_value(&steps, problem);
    }
}

fn similar(id: &EntryId, role: Role, drafts: &[Draft]) -> String {
    let candidates = drafts.iter().filter(|draft| fits(role, &draft.kind));
    // The same name in another namespace is the likelier mistake.
    let same_name = candidates.clone().find(|draft| draft.id.name() == id.name());
    let near = same_name.map(|draft| draft.id.as_str());
    let near = near.or_else(|| nearest(id.as_str(), candidates.map(|draft| draft.id.as_str())));
    near.map_or_else(String::new, |near| format!("did you mean `{near}`?"))
}

/// A circle of more entries is told without its way.
const LONGEST_WAY: usize = 100;

/// Entries that need each other in a circle, each for itself an error.
fn circles(drafts: &mut [Draft], index: &Index) {
    for (roles, what) in [
        (&[Role::Import][..], "import cycle"),
        (&[Role::Storage], "storage cycle"),
        (
            &[Role::Required, Role::Host, Role::Process],
            "cycle of required services",
        ),
    ] {
        let mut edges: Vec<Vec<usize>> = drafts.iter().map(|draft| targets(draft, roles, index)).collect();
        let groups = mutual(&edges);
        // What leads out of a group leads into no circle.
        for (at, targets) in edges.iter_mut().enumerate() {
            targets.retain(|target| groups[*target] == groups[at]);
        }
        let mut sizes = vec![0_usize; drafts.len()];
        groups.iter().for_each(|group| sizes[*group] += 1);
        for at in 0..drafts.len() {
            let Some(next) = edges[at].first() else { continue };
            let way = match sizes[groups[at]] <= LONGEST_WAY {
                true => way_back(at, &edges),
                false => None,
            };
            match way {
                Some(path) => {
                    let names: Vec<&str> = path.iter().map(|at| drafts[*at].id.as_str()).collect();
                    let message = format!("{what}: {}", names.join(" -> "));
                    report_circle(drafts, [at, path[1]], roles, message);
                }
                None => {
                    let message = format!("{what} of {} entries: {}", sizes[groups[at]], drafts[at].id);
                    report_circle(drafts, [at, *next], roles, message);
                }
            }
        }
    }
}

/// For each node the number of its group: of those that lead to each other, which is the node alone where none does.
/// Tarjan's algorithm, with a stack of its own because chains may be long.
fn mutual(edges: &[Vec<usize>]) -> Vec<usize> {
    const NEW: usize = usize::MAX;
    let (mut order, mut low, mut group) = (vec![NEW; edges.len()], vec![0; edges.len()], vec![NEW; edges.len()]);
    let (mut seen, mut open) = (0, Vec::new());
    for root in 0..edges.len() {
        if order[root] != NEW {
            continue;
        }
        let mut path = vec![(root, 0)];
        while let Some((node, next)) = path.last_mut() {
            let (node, edge) = (*node, *next);
            *next += 1;
            if edge == 0 {
                (order[node], low[node]) = (seen, seen);
                seen += 1;
                open.push(node);
            }
            match edges[node].get(edge) {
                Some(target) if order[*target] == NEW => path.push((*target, 0)),
                Some(target) if group[*target] == NEW => low[node] = low[node].min(order[*target]),
                Some(_) => {}
                None => {
                    path.pop();
                    if let Some((above, _)) = path.last() {
                        low[*above] = low[*above].min(low[node]);
                    }
                    if low[node] == order[node] {
                        let first = open.iter().rposition(|member| *member == node).unwrap_or(0);
                        open.drain(first..).for_each(|member| group[member] = node);
                    }
                }
            }
        }
    }
    group
}

fn targets(draft: &Draft, roles: &[Role], index: &Index) -> Vec<usize> {
    let wanted = draft
        .references
        .iter()
        .filter(|reference| roles.contains(&reference.role));
    wanted
        .filter_map(|reference| index.get(&reference.id).copied())
        .collect()
}

/// The shortest way from a node back to itself.
fn way_back(start: usize, edges: &[Vec<usize>]) -> Option<Vec<usize>> {
    let mut came_from: HashMap<usize, usize> = HashMap::new();
    let mut queue = VecDeque::from([start]);
    while let Some(node) = queue.pop_front() {
        for next in &edges[node] {
            if *next == start {
                let mut path = vec![start, node];
                while let Some(before) = path.last().and_then(|node| came_from.get(node)) {
                    path.push(*before);
                }
                if path.last() != Some(&start) {
                    path.push(start);
                }
                path.reverse();
                return Some(path);
            }
            if *next != node && !came_from.contains_key(next) {
                came_from.insert(*next, node);
                queue.push_back(*next);
            }
        }
    }
    None
}

/// At the reference by which the first of the two names the second.
fn report_circle(drafts: &mut [Draft], [start, next]: [usize; 2], roles: &[Role], message: String) {
    let next = drafts[next].id.clone();
    let named = |reference: &&Reference| reference.id == next && roles.contains(&reference.role);
    let steps = drafts[start]
        .references
        .iter()
        .find(named)
        .map(|reference| reference.steps.clone());
    drafts[start].report_value(&steps.unwrap_or_default(), Diagnostic::new(Code::Cycle, message));
}

/// One alias may mean only one thing within a state, over all the libraries it loads.
fn aliases(drafts: &mut [Draft], index: &Index) {
    let suspects = ambiguous(drafts, index);
    for at in (0..drafts.len()).filter(|at| suspects[*at]) {
        // In a circle every alias leads everywhere; that was said.
        let is_in_circle = drafts[at].problems.iter().any(|found| found.code == Code::Cycle);
        if is_in_circle {
            continue;
        }
        if let Some(message) = alias_conflict(at, drafts, index) {
            drafts[at].report_key(&["imports".into()], Diagnostic::new(Code::BadValue, message));
        }
    }
}

fn imports(draft: &Draft) -> &[(String, EntryId)] {
    match &draft.spec {
        Spec::Lua(spec) => &spec.imports,
        _ => &[],
    }
}

/// Which entries reach an alias that means different things in the project: no other one can be in conflict.
fn ambiguous(drafts: &[Draft], index: &Index) -> Vec<bool> {
    let mut meanings: HashMap<&str, &EntryId> = HashMap::new();
    let mut unclear: HashSet<&str> = HashSet::new();
    for (alias, id) in drafts.iter().flat_map(imports) {
        if *meanings.entry(alias).or_insert(id) != id {
            unclear.insert(alias);
        }
    }
    let mut importers: Vec<Vec<usize>> = vec![Vec::new(); drafts.len()];
    let (mut reached, mut open) = (vec![false; drafts.len()], Vec::new());
    for (at, draft) in drafts.iter().enumerate() {
        for (alias, id) in imports(draft) {
            if let Some(target) = index.get(id) {
                importers[*target].push(at);
            }
            if unclear.contains(alias.as_str()) && !std::mem::replace(&mut reached[at], true) {
                open.push(at);
            }
        }
    }
    while let Some(at) = open.pop() {
        for importer in &importers[at] {
            if !std::mem::replace(&mut reached[*importer], true) {
                open.push(*importer);
            }
        }
    }
    reached
}

fn alias_conflict(start: usize, drafts: &[Draft], index: &Index) -> Option<String> {
    let mut meanings: HashMap<&str, &EntryId> = HashMap::new();
    let mut seen = HashSet::from([start]);
    let mut queue = VecDeque::from([start]);
    while let Some(at) = queue.pop_front() {
        for (alias, id) in imports(&drafts[at]) {
            match meanings.insert(alias, id) {
                Some(other) if other != id => {
                    return Some(format!(
                        "the alias `{alias}` means both `{other}` and `{id}` within one state"
                    ));
                }
                _ => {}
            }
            queue.extend(index.get(id).copied().filter(|target| seen.insert(*target)));
        }
    }
    None
}

fn public_names(drafts: &mut [Draft]) {
    let mut owners: HashMap<String, EntryId> = HashMap::new();
    for draft in drafts {
        let Spec::Variable(VariableSpec { name: Some(name), .. }) = &draft.spec else {
            continue;
        };
        match owners.get(name) {
            Some(owner) => {
                let message = format!("the variable name `{name}` is taken by `{owner}`");
                draft.report_value(&["variable".into()], Diagnostic::new(Code::BadValue, message));
            }
            None => {
                owners.insert(name.clone(), draft.id.clone());
            }
        }
    }
}

fn commands(drafts: &mut [Draft]) {
    let mut owners: HashMap<String, EntryId> = HashMap::new();
    let missing = missing_kinds(drafts.iter().map(|draft| draft.kind.as_str()));
    let steps: [Step; 3] = ["meta".into(), "command".into(), "name".into()];
    for draft in drafts {
        let Some(command) = draft.command.clone() else { continue };
        if owners.is_empty() && !missing.is_empty() {
            draft.report_value(&steps, missing_host(&command.name, &missing));
        }
        if command.name == LISTED_BY {
            draft.report_value(&steps, listing_command(&draft.id));
        }
        match owners.get(&command.name) {
            Some(owner) => {
                let message = format!("the command `{}` is declared twice: `{owner}` counts", command.name);
                draft.report_value(&steps, Diagnostic::new(Code::DuplicateCommand, message));
            }
            None => {
                owners.insert(command.name, draft.id.clone());
            }
        }
    }
}

/// The word behind `wippy run` that shows the commands.
const LISTED_BY: &str = "list";

fn listing_command(id: &EntryId) -> Diagnostic {
    let message =
        format!("the command `{LISTED_BY}` cannot be run by its name: `wippy run {LISTED_BY}` shows the commands");
    Diagnostic::new(Code::NoEffect, message).help(format!("give it another name, or run it with `wippy run -x {id}`"))
}

/// Which kinds of host a command needs and the entries lack.
pub fn missing_kinds<'a>(kinds: impl IntoIterator<Item = &'a str>) -> Vec<&'static str> {
    let mut missing = vec!["terminal.host", "process.host"];
    kinds
        .into_iter()
        .for_each(|kind| missing.retain(|needed| *needed != kind));
    missing
}

/// That a command cannot run for want of hosts, with the lines of YAML to add.
pub fn missing_host(command: &str, missing: &[&str]) -> Diagnostic {
    let kinds: Vec<String> = missing.iter().map(|kind| format!("`{kind}`")).collect();
    let message = format!(
        "the command `{command}` has no host to run on: no {} is declared",
        kinds.join(" and no ")
    );
    let lines = missing.iter().map(|kind| match *kind {
        "terminal.host" => "  - name: terminal\n    kind: terminal.host",
        _ => "  - name: processes\n    kind: process.host\n    lifecycle: { auto_start: true }",
    });
    let lines: Vec<&str> = lines.collect();
    Diagnostic::new(Code::MissingHost, message).help(format!("add under `entries:`\n{}", lines.join("\n")))
}

/// Hashes that were never filled in, with the real one where the file is there, and wrong ones of entries that are broken
/// otherwise too: no engine gets as far as to compare them, and a wrong hash is what is told first.
fn hashes(drafts: &mut [Draft], index: &Index) {
    for at in 0..drafts.len() {
        let Spec::Wasm(WasmSpec {
            source: WasmSource::File { fs, path, hash },
            ..
        }) = &drafts[at].spec
        else {
            continue;
        };
        if hash != PLACEHOLDER && !drafts[at].is_broken() {
            continue;
        }
        let directory = index.get(fs).map(|target| &drafts[*target].spec);
        let real = match directory {
            Some(Spec::Directory(directory)) => hash_of(directory, path).ok(),
            _ => None,
        };
        let found = match (hash.as_str(), real) {
            (PLACEHOLDER, real) => hash_placeholder(real.as_deref()),
            (hash, Some(real)) => match (digits_of(hash), digits_of(&real)) {
                (Some(expected), Some(actual)) if expected != actual => {
                    Diagnostic::new(Code::HashMismatch, hash_mismatch(expected, actual))
                }
                _ => continue,
            },
            _ => continue,
        };
        drafts[at].report_value(&["hash".into()], found);
    }
}

/// The hex digits of a well-formed `hash`.
pub fn digits_of(hash: &str) -> Option<&str> {
    let is_hex = |c: char| matches!(c, '0'..='9' | 'a'..='f');
    let digits = hash.strip_prefix("sha256:")?;
    (digits.len() == 64 && digits.chars().all(is_hex)).then_some(digits)
}

/// What is said of a file whose digest, in hex, is not the one that was expected.
pub fn hash_mismatch(expected: &str, actual: &str) -> String {
    format!("hash verification failed: hash mismatch: expected {expected}, got {actual}")
}

/// That `hash` is the literal placeholder, with the line to paste when the real one is known.
pub fn hash_placeholder(real: Option<&str>) -> Diagnostic {
    match real {
        Some(real) => {
            let message = format!("hash is a placeholder, replace it: hash: {real}");
            Diagnostic::new(Code::HashPlaceholder, message).label("replace this by the line above")
        }
        None => Diagnostic::new(Code::HashPlaceholder, "hash is a placeholder")
            .label("`sha256:` and the 64 hex digits of the file's SHA-256 belong here"),
    }
}

/// `sha256:…` of a file in a volume, as `hash` wants it.
///
/// # Errors
/// Of opening and reading; a path that leaves the folder is one.
pub fn hash_of(directory: &DirectorySpec, path: &str) -> io::Result<String> {
    let folder = Dir::open_ambient_dir(&directory.path, ambient_authority())?;
    let path = path.trim_start_matches('/');
    // Asked before opening: opening a FIFO would wait for its other end.
    if !folder.metadata(path)?.is_file() {
        return Err(io::Error::other("not a regular file"));
    }
    let mut hasher = Sha256::new();
    io::copy(&mut folder.open(path)?, &mut hasher)?;
    let digits: String = hasher.finalize().iter().map(|byte| format!("{byte:02x}")).collect();
    Ok(format!("sha256:{digits}"))
}

/// Why the folder of an `fs.directory` cannot be opened now, if so. A look at the disk, which loading does not take: the
/// folder may still be made before somebody needs it.
pub fn folder(entry: &Entry, spec: &DirectorySpec) -> Option<Diagnostic> {
    let error = Dir::open_ambient_dir(&spec.path, ambient_authority()).err()?;
    let will_be_made = spec.auto_init && error.kind() == io::ErrorKind::NotFound;
    (!will_be_made).then(|| folder_problem(entry, spec, &error))
}
