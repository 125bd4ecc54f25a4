//! Reads the files of a project and makes its entries, in load order.
//!
//! Files become drafts (an id, a kind, data with its files inlined), drafts are typed one by one, those of the
//! environment first because the data of others may name variables, and then looked at together. Nothing stops at a
//! problem; where one is found it is noted with the draft it concerns, or with the project.

use std::borrow::Cow;
use std::collections::{HashMap, HashSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::config::{Config, Layout, Root};
use super::diagnostic::{self, Code, Diagnostic, Place};
use super::entry::{Command, Entry, Lifecycle, Spec};
use super::fields::{Fields, Reader, takes};
use super::kinds::{self, Reference, Surroundings};
use super::near::nearest;
use super::place::{Source, Step};
use super::registry::Registry;
use super::yaml::{Key, Map, Node};
use super::{check, files, interpolate, schema, yaml};
use crate::error::Result;
use crate::id::EntryId;

/// A loaded project.
#[derive(Debug, Default)]
pub struct Project {
    /// Absolute, without symlinks.
    pub folder: PathBuf,
    /// The folders whose entry files were read, without symlinks.
    pub roots: Vec<PathBuf>,
    pub config: Config,
    pub registry: Arc<Registry>,
    /// Everything that was found, file by file from top to bottom, problems of entries included.
    pub diagnostics: Vec<Diagnostic>,
}

impl Project {
    pub fn has_errors(&self) -> bool {
        self.diagnostics.iter().any(Diagnostic::is_error)
    }

    /// What was found about an entry and everything it refers to, directly or not.
    pub fn concerning(&self, id: &EntryId) -> Vec<&Diagnostic> {
        let mut ids = HashSet::from([id.clone()]);
        let mut next = vec![id.clone()];
        while let Some(entry) = next.pop().and_then(|id| self.registry.get(&id)) {
            next.extend(entry.references.iter().filter(|id| ids.insert((*id).clone())).cloned());
        }
        let concerns = |found: &&Diagnostic| found.entry.as_ref().is_some_and(|id| ids.contains(id));
        self.diagnostics.iter().filter(concerns).collect()
    }

    /// What was found about files rather than entries: entries of theirs may be missing.
    pub fn about_files(&self) -> impl Iterator<Item = &Diagnostic> {
        self.diagnostics.iter().filter(|found| found.entry.is_none())
    }
}

/// A field of an entry set from outside, `NS:NAME:FIELD=VALUE`.
#[derive(Clone, Debug, PartialEq)]
pub struct Override {
    pub id: EntryId,
    /// `limits.max_memory`
    pub field: String,
    /// YAML text.
    pub value: String,
}

/// Values of declared variables by public name or id, seen from a namespace.
pub type Lookup<'a> = Box<dyn Fn(&str, &str) -> Result<String> + 'a>;

/// Makes a look-up from the entries of the environment. The environment itself is a room of its own; see
/// [`system::load`](crate::system::load) for the two together.
pub type Environment<'a> = dyn Fn(&[Arc<Entry>]) -> Lookup<'a> + 'a;

/// Loads the project in a folder, with further source roots behind its own. A folder without entry files is an empty
/// project.
pub fn load(folder: &Path, more: &[PathBuf], overrides: &[Override], environment: &Environment<'_>) -> Project {
    let folder = folder.canonicalize().unwrap_or_else(|_| folder.to_owned());
    let mut found = Vec::new();
    let config = Config::read(&folder, &mut found);
    let mut layout = Layout::read(&folder, &mut found);
    more.iter().for_each(|root| layout.add_root(&folder, root));
    let mut drafts = Vec::new();
    for root in &layout.roots {
        for file in files::entry_files(root, &layout.modules, &mut found) {
            read_file(root, &file, &mut drafts, &mut found);
        }
    }
    let mut drafts = keep_last(drafts);
    apply(overrides, &mut drafts, &mut found);
    let typing = Typing {
        folder: &folder,
        config: &config,
        declared: drafts.iter().flat_map(Draft::names).collect(),
    };
    typing.all(&mut drafts, environment);
    check::together(&mut drafts);
    drafts
        .iter_mut()
        .for_each(|draft| diagnostic::sort(&mut draft.problems));
    let registry = Registry::new(drafts.into_iter().map(|draft| Arc::new(draft.finish())));
    found.extend(registry.iter().flat_map(|entry| entry.problems.iter().cloned()));
    diagnostic::sort(&mut found);
    Project {
        folder,
        roots: layout.roots.iter().map(|root| root.folder.clone()).collect(),
        config,
        registry: Arc::new(registry),
        diagnostics: found,
    }
}

/// Where an entry comes from.
#[derive(Clone, Debug)]
pub(super) struct Origin {
    pub source: Arc<Source>,
    pub document: usize,
    /// To the entry within the document: empty for an entry at top level.
    pub path: Vec<Step>,
    /// Fields that stand under `data:`.
    pub below_data: Vec<Arc<str>>,
}

impl Origin {
    /// A file as a whole.
    pub fn file(source: Arc<Source>) -> Origin {
        Origin {
            source,
            document: 0,
            path: Vec::new(),
            below_data: Vec::new(),
        }
    }

    /// The entry's name, which stands for the entry.
    pub fn place(&self) -> Place {
        self.source.value(self.document, &self.path_to(&[Step::from("name")]))
    }

    pub fn value_place(&self, field: &[&str]) -> Place {
        let step = |step: &&str| step.parse().map_or_else(|_| Step::from(*step), Step::Index);
        let steps: Vec<Step> = field.iter().map(step).collect();
        self.source.value(self.document, &self.path_to(&steps))
    }

    /// The path to a field of the entry, on the entry itself or under its `data:`.
    pub fn path_to(&self, field: &[Step]) -> Vec<Step> {
        let mut path = self.path.clone();
        if matches!(field.first(), Some(Step::Key(key)) if self.below_data.contains(key)) {
            path.push(Step::from("data"));
        }
        path.extend_from_slice(field);
        path
    }
}

/// What a draft lacks.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Need {
    Nothing,
    /// Variables for which it has defaults.
    Defaults,
    Variables,
}

/// How often variables may need others that need others.
const MOST_ROUNDS: u32 = 1_000;

/// What those that wait for their variables may bring for others.
struct Coming<'a>(Cow<'a, HashSet<String>>);

impl<'a> Coming<'a> {
    fn from(waiting: impl Iterator<Item = &'a Draft> + Clone, declared: &'a HashSet<String>) -> Coming<'a> {
        // A storage may have a value for any variable.
        Coming(match waiting.clone().any(|draft| draft.kind != "env.variable") {
            true => Cow::Borrowed(declared),
            false => Cow::Owned(waiting.flat_map(Draft::names).collect()),
        })
    }

    fn may_bring(&self, name: &str, namespace: &str) -> bool {
        holds(&self.0, name, namespace)
    }
}

/// Whether one of the names and ids is meant by that name in the namespace.
fn holds(names: &HashSet<String>, name: &str, namespace: &str) -> bool {
    names.contains(name) || names.contains(&format!("{namespace}:{name}"))
}

/// An entry on its way.
pub(super) struct Draft {
    pub id: EntryId,
    pub kind: String,
    root: Arc<Root>,
    origin: Origin,
    meta: Node,
    /// The data with its files inlined; a map except where an entry's `data:` is something else.
    data: Node,
    /// Where text came from files, and from which.
    inlined: Vec<(Vec<Step>, String)>,
    pub spec: Spec,
    pub command: Option<Command>,
    pub lifecycle: Option<Lifecycle>,
    pub references: Vec<Reference>,
    pub problems: Vec<Diagnostic>,
}

impl Draft {
    pub fn is_broken(&self) -> bool {
        self.problems.iter().any(Diagnostic::is_error)
    }

    pub fn report_value(&mut self, steps: &[Step], found: Diagnostic) {
        if !takes(&self.problems, &found) {
            return;
        }
        let place = self
            .origin
            .source
            .value(self.origin.document, &self.origin.path_to(steps));
        self.problems.push(found.about(&self.id).at(place));
    }

    pub fn report_key(&mut self, steps: &[Step], found: Diagnostic) {
        if !takes(&self.problems, &found) {
            return;
        }
        let place = self
            .origin
            .source
            .key(self.origin.document, &self.origin.path_to(steps));
        self.problems.push(found.about(&self.id).at(place));
    }

    pub fn place(&self) -> Place {
        self.origin.place()
    }

    fn is_environment(&self) -> bool {
        self.kind.starts_with("env.")
    }

    fn finish(self) -> Entry {
        let is_broken = self.is_broken();
        let (spec, broken_lua) = match self.spec {
            spec if !is_broken => (spec, None),
            Spec::Lua(lua) => (Spec::Broken, Some(lua).filter(|lua| !is_file_reference(&lua.source))),
            _ => (Spec::Broken, None),
        };
        Entry {
            meta: match self.meta.to_value() {
                crate::value::Value::Nil => Node::Map(Map::default()).to_value(),
                meta => meta,
            },
            spec,
            broken_lua,
            command: self.command,
            lifecycle: self.lifecycle,
            problems: self.problems,
            references: self.references.into_iter().map(|reference| reference.id).collect(),
            node: self.data,
            origin: Some(self.origin),
            id: self.id,
            kind: self.kind,
        }
    }

    /// The names of the variable or storage that it declares, if it does.
    fn names(&self) -> Vec<String> {
        if !self.is_environment() {
            return Vec::new();
        }
        let public = self.data.get("variable").and_then(Node::as_str);
        [Some(self.id.to_string()), public.map(str::to_owned)]
            .into_iter()
            .flatten()
            .collect()
    }

    /// What the draft lacks before its variables can be put in.
    fn needs(&self, lookup: &Lookup<'_>, coming: &Coming<'_>) -> Need {
        let mut need = Need::Nothing;
        let mut data = self.data.clone();
        data.each_text(&mut Vec::new(), &mut |text, steps| {
            if self.is_literal(steps) {
                return;
            }
            for (name, has_default) in interpolate::variables(text) {
                if coming.may_bring(name, self.id.namespace()) && lookup(name, self.id.namespace()).is_err() {
                    need = need.max(if has_default { Need::Defaults } else { Need::Variables });
                }
            }
        });
        need
    }

    /// Code and files are taken as they are.
    fn is_literal(&self, steps: &[Step]) -> bool {
        let is_code = matches!(steps, [Step::Key(key)] if matches!(&**key, "source" | "wit"));
        is_code || self.inlined.iter().any(|(path, _)| path == steps)
    }

    /// What an entry of the environment is so far, for reading its values while others are typed.
    fn preview(&self) -> Entry {
        let mut entry = Entry::made(self.id.clone(), &self.kind, self.spec.clone());
        entry.problems.clone_from(&self.problems);
        entry.node = self.data.clone();
        entry
    }
}

/// One file: its documents, their entries.
fn read_file(root: &Arc<Root>, file: &Path, drafts: &mut Vec<Draft>, found: &mut Vec<Diagnostic>) {
    let shown = files::shown(root, file);
    let text = match files::read_text(&root.folder.join(file), &shown) {
        Ok(text) => text,
        Err(problem) => return found.push(*problem),
    };
    let json = files::is_json(file);
    // JSON of other programs may have comments and what not.
    if json && !text.contains("namespace") {
        return;
    }
    let source = Arc::new(Source::new(shown, text));
    match files::parse(&source, json) {
        Err(problem) => found.push(*problem),
        Ok(documents) => {
            for (document, node) in documents.iter().enumerate() {
                let reading = Reading {
                    root,
                    file,
                    source: &source,
                    document,
                };
                reading.document(node, drafts, found);
            }
        }
    }
}

/// A document of an entry file, being read.
struct Reading<'a> {
    root: &'a Arc<Root>,
    file: &'a Path,
    source: &'a Arc<Source>,
    document: usize,
}

const TOP: [&str; 4] = ["version", "namespace", "meta", "entries"];

impl Reading<'_> {
    fn origin(&self, path: Vec<Step>) -> Origin {
        Origin {
            source: self.source.clone(),
            document: self.document,
            path,
            below_data: Vec::new(),
        }
    }

    fn document(&self, node: &Node, drafts: &mut Vec<Draft>, found: &mut Vec<Diagnostic>) {
        let Node::Map(top) = node else { return };
        let origin = self.origin(Vec::new());
        let reader = Reader::new(&origin, None);
        let namespace = match top.get("namespace") {
            Some(Node::Str(namespace)) => namespace.clone(),
            other => {
                self.without_namespace(&reader, top, other);
                return found.extend(reader.finish());
            }
        };
        if namespace.is_empty() || namespace.contains(':') {
            let message = format!("invalid namespace {namespace:?}: it must not be empty or contain `:`");
            reader.report_value(&["namespace".into()], Diagnostic::new(Code::BadId, message));
            return found.extend(reader.finish());
        }
        let before = drafts.len();
        self.body(&reader, &namespace, top, drafts);
        let alone = drafts.len() == before + 1 && drafts[before].origin.path.is_empty();
        if !alone {
            report_repeated(&reader, top);
        }
        found.extend(reader.finish());
    }

    /// Not an entry file, unless it looks very much like one.
    fn without_namespace(&self, reader: &Reader<'_>, top: &Map, namespace: Option<&Node>) {
        let is_entry = |node: &Node| node.get("name").is_some() && node.get("kind").is_some();
        let Some(Node::List(entries)) = top.get("entries") else {
            return;
        };
        if !entries.iter().any(is_entry) {
            return;
        }
        let skipped = "the file is skipped";
        let code = if namespace.is_some() {
            Code::WrongType
        } else {
            Code::MissingField
        };
        let found = match namespace {
            Some(other) => {
                let message = format!("`namespace` must be a string, not {}: {skipped}", other.type_name());
                Diagnostic::new(code, message)
            }
            None => Diagnostic::new(code, format!("`namespace` is missing: {skipped}")),
        };
        let keys = top
            .pairs
            .iter()
            .map(|(key, _)| &*key.text)
            .filter(|key| !TOP.contains(key));
        let meant = keys.into_iter().find(|key| nearest(key, ["namespace"]).is_some());
        let found = found.severity(diagnostic::Severity::Warning);
        match (namespace, meant) {
            (Some(_), _) => reader.report_value(&["namespace".into()], found),
            (None, Some(key)) => reader.report_key(&[key.into()], found.label("did you mean `namespace`?")),
            (None, None) => reader.report_key(&["entries".into()], found),
        }
    }

    fn body(&self, reader: &Reader<'_>, namespace: &str, top: &Map, drafts: &mut Vec<Draft>) {
        let meta = top.get("meta");
        match top.get("entries") {
            Some(Node::List(entries)) => {
                for (at, entry) in entries.iter().enumerate() {
                    let path = vec![Step::from("entries"), Step::Index(at)];
                    self.entry(reader, namespace, entry, path, meta, drafts);
                }
            }
            Some(Node::Null) => {}
            Some(other) => {
                let message = format!("`entries` must be a list, not {}", other.type_name());
                reader.report_value(&["entries".into()], Diagnostic::new(Code::WrongType, message));
            }
            None if top.get("name").is_some() && top.get("kind").is_some() => {
                let own = top
                    .pairs
                    .iter()
                    .filter(|(key, _)| !matches!(&*key.text, "namespace" | "version"));
                let own = Node::Map(Map {
                    pairs: own.cloned().collect(),
                });
                self.entry(reader, namespace, &own, Vec::new(), None, drafts);
            }
            None => {
                let keys = top
                    .pairs
                    .iter()
                    .map(|(key, _)| &*key.text)
                    .filter(|key| !TOP.contains(key));
                for key in keys.filter(|key| nearest(key, ["entries"]).is_some()) {
                    let found = Diagnostic::new(Code::UnknownField, format!("an entry file has no field `{key}`"));
                    let found = found
                        .severity(diagnostic::Severity::Error)
                        .label("did you mean `entries`?");
                    reader.report_key(&[key.into()], found);
                }
            }
        }
    }

    fn entry(
        &self,
        file: &Reader<'_>,
        namespace: &str,
        node: &Node,
        path: Vec<Step>,
        file_meta: Option<&Node>,
        drafts: &mut Vec<Draft>,
    ) {
        let Node::Map(map) = node else {
            let message = format!("an entry must be a map, not {}", node.type_name());
            return file.report_value(&path, Diagnostic::new(Code::WrongType, message));
        };
        let Some(name) = self.name(file, map, &path) else {
            return;
        };
        let mut origin = self.origin(path);
        let id = EntryId::new(namespace, &name);
        let reader = Reader::new(&origin, Some(&id));
        schema::find_repeated(&reader, node, &mut Vec::new());
        let fields = Fields::new(&reader, map);
        let kind = fields.required("kind").to_string();
        let (data, below_data) = data_of(&reader, map, &kind);
        let meta = meta_of(&fields, map, file_meta);
        let problems = reader.finish();
        origin.below_data = below_data;
        let mut draft = Draft {
            id,
            kind,
            root: self.root.clone(),
            origin,
            meta,
            data,
            inlined: Vec::new(),
            spec: Spec::Broken,
            command: None,
            lifecycle: None,
            references: Vec::new(),
            problems,
        };
        self.inline(&mut draft);
        drafts.push(draft);
    }

    /// The entry's name; without one there is no entry, and the file is to blame.
    fn name(&self, file: &Reader<'_>, map: &Map, path: &[Step]) -> Option<Arc<str>> {
        let steps = [path, &["name".into()]].concat();
        match map.get("name") {
            Some(Node::Str(name)) if !name.trim().is_empty() => return Some(name.clone()),
            Some(Node::Str(name)) => {
                let message = format!("invalid entry name {name:?}: it must not be empty");
                file.report_value(&steps, Diagnostic::new(Code::BadId, message));
            }
            None | Some(Node::Null) => {
                let found = Diagnostic::new(Code::MissingField, "name is required");
                let others = map.pairs.iter().filter(|(key, _)| &*key.text != "name");
                let meant = others
                    .into_iter()
                    .find(|(key, _)| nearest(&key.text, ["name"]).is_some());
                match meant {
                    Some((key, _)) => {
                        let steps = [path, &[Step::Key(key.text.clone())]].concat();
                        file.report_key(&steps, found.label("did you mean `name`?"));
                    }
                    None => file.report_value(path, found),
                }
            }
            Some(other) => {
                let message = format!("`name` must be a string, not {}", other.type_name());
                file.report_value(
                    &steps,
                    Diagnostic::new(Code::WrongType, message).label("put it in quotes"),
                );
            }
        }
        None
    }

    /// Replaces every `file://…` of the entry by the file's text.
    fn inline(&self, draft: &mut Draft) {
        let (mut inlined, mut problems) = (Vec::new(), Vec::new());
        let mut inline = |text: &mut Arc<str>, steps: &[Step]| {
            if !is_file_reference(text) {
                return;
            }
            match files::inline(self.root, self.file, text) {
                Ok(file) => {
                    *text = file.text.into();
                    inlined.push((steps.to_vec(), files::shown(self.root, &file.file)));
                }
                Err(problem) => problems.push((steps.to_vec(), *problem)),
            }
        };
        let mut steps = Vec::new();
        draft.data.each_text(&mut steps, &mut inline);
        steps.push("meta".into());
        draft.meta.each_text(&mut steps, &mut inline);
        draft.inlined = inlined;
        for (steps, problem) in problems {
            draft.report_value(&steps, problem);
        }
    }
}

fn report_repeated(reader: &Reader<'_>, top: &Map) {
    for key in top.repeated() {
        let found = Diagnostic::new(Code::DuplicateKey, format!("`{key}` is given twice"));
        reader.report_at(reader.second_key(&[], key), found);
    }
    if let Some(meta) = top.get("meta") {
        schema::find_repeated(reader, meta, &mut vec!["meta".into()]);
    }
}

/// The entry's data, and which of it stands under `data:`.
fn data_of(reader: &Reader<'_>, map: &Map, kind: &str) -> (Node, Vec<Arc<str>>) {
    let common = |key: &Key| matches!(&*key.text, "name" | "kind" | "meta" | "data");
    let own = map.pairs.iter().filter(|(key, _)| !common(key)).cloned();
    let mut data = Map { pairs: own.collect() };
    let mut below = Vec::new();
    match map.get("data") {
        None | Some(Node::Null) => {}
        Some(Node::Map(more)) => {
            let own = data.names();
            for (key, node) in &more.pairs {
                if own.contains(&key.text) {
                    let message = format!("`{}` is given twice: on the entry and under `data`", key.text);
                    reader.report_key(
                        &["data".into(), Step::Key(key.text.clone())],
                        Diagnostic::new(Code::DuplicateKey, message),
                    );
                    continue;
                }
                below.push(key.text.clone());
                data.pairs.push((key.clone(), node.clone()));
            }
        }
        // An inert entry may hold anything.
        Some(other) if data.pairs.is_empty() && schema::fields(kind).is_none_or(|_| kind == "registry.entry") => {
            return (other.clone(), below);
        }
        Some(other) => {
            let message = format!("`data` must be a map, not {}", other.type_name());
            reader.report_value(&["data".into()], Diagnostic::new(Code::WrongType, message));
        }
    }
    (Node::Map(data), below)
}

/// The entry's `meta` over the file's.
fn meta_of(fields: &Fields<'_>, map: &Map, file_meta: Option<&Node>) -> Node {
    // Says so when it is not a map.
    fields.map("meta");
    let own = map.get("meta").and_then(Node::as_map).cloned().unwrap_or_default();
    let names = own.names();
    let mut meta = own;
    let more = file_meta.and_then(Node::as_map).map_or(&[][..], |map| &map.pairs);
    meta.pairs
        .extend(more.iter().filter(|(key, _)| !names.contains(&key.text)).cloned());
    Node::Map(meta)
}

/// Of several definitions of one id the last one stays, with a warning for each of the others that names both places.
fn keep_last(drafts: Vec<Draft>) -> Vec<Draft> {
    let mut all: HashMap<EntryId, Vec<usize>> = HashMap::new();
    for (at, draft) in drafts.iter().enumerate() {
        all.entry(draft.id.clone()).or_default().push(at);
    }
    all.retain(|_, places| places.len() > 1);
    let place = |at: &usize| (*at, drafts[*at].place());
    let places: HashMap<usize, Place> = all.values().flatten().map(place).collect();
    let mut kept = Vec::new();
    for (at, mut draft) in drafts.into_iter().enumerate() {
        let others = match all.get(&draft.id).map_or(&[][..], Vec::as_slice).split_last() {
            Some((last, _)) if *last != at => continue,
            Some((_, others)) => others,
            None => &[],
        };
        for other in others.iter().filter_map(|other| places.get(other)) {
            let other = format!("{}:{}:{}", other.file, other.line, other.column);
            let found = Diagnostic::new(
                Code::DuplicateId,
                format!("`{}` is defined twice: also at {other}", draft.id),
            );
            draft.report_value(&["name".into()], found.label("this definition counts"));
        }
        kept.push(draft);
    }
    kept
}

fn apply(overrides: &[Override], drafts: &mut [Draft], found: &mut Vec<Diagnostic>) {
    for change in overrides {
        let Some(draft) = drafts.iter_mut().find(|draft| draft.id == change.id) else {
            let message = format!("cannot set `{}` of `{}`: entry not found", change.field, change.id);
            found.push(Diagnostic::new(Code::DanglingReference, message));
            continue;
        };
        let mut value = yaml::parse(&change.value, false).unwrap_or_default();
        let value = if value.len() == 1 {
            value.remove(0)
        } else {
            Node::Str(change.value.as_str().into())
        };
        let names: Vec<&str> = change.field.split('.').collect();
        match names.split_first() {
            Some((&"meta", rest)) if !rest.is_empty() => set(&mut draft.meta, rest, value),
            _ => set(&mut draft.data, &names, value),
        }
    }
}

fn set(node: &mut Node, names: &[&str], value: Node) {
    let Some((name, rest)) = names.split_first() else {
        *node = value;
        return;
    };
    if !matches!(node, Node::Map(_)) {
        *node = Node::Map(Map::default());
    }
    let Node::Map(map) = node else { return };
    let at = map
        .pairs
        .iter()
        .position(|(key, _)| &*key.text == *name)
        .unwrap_or_else(|| {
            map.pairs.push((Key::new(*name), Node::Null));
            map.pairs.len() - 1
        });
    set(&mut map.pairs[at].1, rest, value);
}

/// Types drafts.
struct Typing<'a> {
    folder: &'a Path,
    config: &'a Config,
    /// Ids and public names of variables, and ids of storages, whether they can be read or not.
    declared: HashSet<String>,
}

impl Typing<'_> {
    /// The environment first: what needs no variables, then what needs those that are known by then, as long as there is such;
    /// then everything else.
    fn all(&self, drafts: &mut [Draft], environment: &Environment<'_>) {
        let concerns: Vec<bool> = drafts
            .iter()
            .map(|draft| interpolate::concerns_node(&draft.data))
            .collect();
        let needs_lookup = concerns.contains(&true);
        let lookup_now = |drafts: &[Draft]| {
            let entries = drafts.iter().filter(|draft| needs_lookup && draft.is_environment());
            environment(&entries.map(|draft| Arc::new(draft.preview())).collect::<Vec<_>>())
        };
        let mut waiting = Vec::new();
        let nothing = lookup_now(&[]);
        for (at, draft) in drafts.iter_mut().enumerate() {
            if draft.is_environment() && concerns[at] {
                waiting.push(at);
            } else if draft.is_environment() {
                self.one(draft, false, &nothing);
            }
        }
        for round in 1.. {
            if waiting.is_empty() {
                break;
            }
            let lookup = lookup_now(drafts);
            let coming = Coming::from(waiting.iter().map(|at| &drafts[*at]), &self.declared);
            let needs: Vec<Need> = waiting.iter().map(|at| drafts[*at].needs(&lookup, &coming)).collect();
            let least = needs.iter().copied().min();
            // A circle is cut at one of its defaults; the next one may see what comes of it.
            let mut room = if least == Some(Need::Defaults) { 1 } else { usize::MAX };
            let mut later = Vec::new();
            for (at, need) in waiting.into_iter().zip(needs) {
                if round == MOST_ROUNDS || Some(need) == least && room > 0 {
                    room = room.saturating_sub(1);
                    self.one(&mut drafts[at], true, &lookup);
                } else {
                    later.push(at);
                }
            }
            waiting = later;
        }
        let lookup = lookup_now(drafts);
        for (draft, concerns) in drafts.iter_mut().zip(&concerns) {
            if !draft.is_environment() {
                self.one(draft, *concerns, &lookup);
            }
        }
    }

    fn one(&self, draft: &mut Draft, concerns: bool, lookup: &Lookup<'_>) {
        let reader = Reader::new(&draft.origin, Some(&draft.id));
        let mut data = draft.data.clone();
        if concerns {
            let filling = Filling {
                reader: &reader,
                draft,
                lookup,
                declared: &self.declared,
            };
            data.each_text(&mut Vec::new(), &mut |text, steps| filling.fill(text, steps));
        }
        let unset = reader.count();
        let map = with_common(draft, data);
        schema::find_unknown(&reader, &draft.kind, &map);
        let source = [Step::from("source")];
        let around = Surroundings {
            project: self.folder,
            module: &draft.root.module,
            is_package: draft.root.is_package,
            limits: self.config.limits(),
            source_file: draft
                .inlined
                .iter()
                .find(|(steps, _)| *steps == source)
                .map(|(_, file)| file.clone()),
        };
        let decoded = if draft.kind.is_empty() {
            // Without a kind nothing more can be said; that was.
            None
        } else {
            Some(kinds::decode(&Fields::new(&reader, &map), &draft.kind, &around))
        };
        let mut found = reader.finish();
        // What is wrong with a text that could not be filled in was said.
        let more = found.split_off(unset);
        let is_new = |other: &Diagnostic| !found.iter().any(|unset| unset.place == other.place);
        let more: Vec<_> = more.into_iter().filter(is_new).collect();
        draft.problems.extend(found.into_iter().chain(more));
        if let Some(decoded) = decoded {
            draft.spec = decoded.spec;
            draft.command = decoded.command;
            draft.lifecycle = decoded.lifecycle;
            draft.references = decoded.references;
        }
    }
}

/// The entry as one map: its data with name, kind and meta.
fn with_common(draft: &Draft, data: Node) -> Map {
    let mut map = Map {
        pairs: vec![
            (Key::new("name"), Node::Str(draft.id.name().into())),
            (Key::new("kind"), Node::Str(draft.kind.as_str().into())),
            (Key::new("meta"), draft.meta.clone()),
        ],
    };
    if let Node::Map(data) = data {
        map.pairs.extend(data.pairs);
    }
    map
}

/// Puts variables into the strings of one entry.
struct Filling<'a> {
    reader: &'a Reader<'a>,
    draft: &'a Draft,
    lookup: &'a Lookup<'a>,
    declared: &'a HashSet<String>,
}

impl Filling<'_> {
    fn fill(&self, text: &mut Arc<str>, steps: &[Step]) {
        if !interpolate::concerns(text) || self.draft.is_literal(steps) {
            return;
        }
        let namespace = self.draft.id.namespace();
        let mut value = |name: &str| (self.lookup)(name, namespace).ok();
        match interpolate::replace(text, &mut value) {
            Ok(filled) => *text = filled.into(),
            Err(unset) => self.report(&unset.name, steps),
        }
    }

    fn report(&self, name: &str, steps: &[Step]) {
        let message = match (self.lookup)(name, self.draft.id.namespace()) {
            Err(error) => error.to_string(),
            Ok(_) => format!("environment variable not found: {name}"),
        };
        let namespace = self.draft.id.namespace();
        let is_declared = holds(self.declared, name, namespace);
        let storage = message.strip_prefix("environment storage not found: ");
        let is_unset = message == format!("environment variable not found: {name}")
            || storage.is_some_and(|id| self.declared.contains(id));
        if is_declared && !is_unset {
            let found = Diagnostic::new(Code::DanglingReference, message);
            return self.reader.report_value(steps, found);
        }
        if is_declared {
            let message = format!("environment variable {name} has no value here");
            let found = Diagnostic::new(Code::DanglingReference, message);
            let found = found.label("it is declared, but its entry is broken, needs this one or has no value");
            return self.reader.report_value(steps, found);
        }
        let found = Diagnostic::new(Code::DanglingReference, message);
        let found = found.label("only variables declared by an `env.variable` entry are seen");
        let help = format!("declare it and give it a value, or write a default: ${{env:{name}|default}}");
        self.reader.report_value(steps, found.help(help));
    }
}

/// Whether a string of an entry stands for the text of a file.
fn is_file_reference(text: &str) -> bool {
    text.starts_with("file://")
}
