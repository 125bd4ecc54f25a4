//! From a Lua entry or script to processes: [`LuaEngine`] compiles, [`LuaProgram`] starts, [`LuaBody`] is stepped.
//!
//! Everything that does not depend on the process is made once per program: bytecode of the entry and of the libraries it
//! imports, the globals that they can name, the modules they may require. A start only makes a state (in the first step).

use std::collections::{BTreeSet, HashMap, HashSet};
use std::ffi::CString;
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock, RwLock};
use std::time::Duration;

use crate::error::{Error, Kind, Result};
use crate::id::EntryId;
use crate::lines::Lines;
use crate::lock::{read, write};
use crate::lua::compile::{Cache, Chunk, Source};
use crate::lua::driver::{Boot, Driver, Image, Main, Plan, Stage, Visible};
use crate::lua::host::StateContext;
use crate::lua::modules::Module;
use crate::lua::modules::json::validate::Schemas;
use crate::lua::modules::repl::{self, Desk};
use crate::lua::modules::supervisor::{self, Calls};
use crate::lua::modules::test::Bench;
use crate::lua::uses::Uses;
use crate::process::{
    Body, Cause, Declined, Doing, Evidence, Exit, Instance, Process, Program, Progress, Start, StepContext,
};
use crate::project::{Entry, Limits, LuaKind, LuaSpec, Registry, Spec};
use crate::system::System;
use crate::value::Packed;

/// What all Lua processes of a runtime share.
pub struct LuaEngine {
    registry: RwLock<Arc<Registry>>,
    pub system: Arc<System>,
    /// The runner behind a test file, in a runtime that was made for one.
    pub bench: OnceLock<Arc<dyn Bench>>,
    /// Where it is taken down what programs use, if somebody wants to know.
    pub uses: Option<Arc<Uses>>,
    /// Who waits for a supervisor.
    pub calls: Arc<Calls>,
    /// For `json.validate`.
    pub schemas: Arc<Schemas>,
    cache: Cache,
}

impl LuaEngine {
    pub fn new(registry: Arc<Registry>, system: Arc<System>) -> Arc<LuaEngine> {
        LuaEngine::noting(registry, system, None)
    }

    /// One that takes down what programs use.
    pub fn noting(registry: Arc<Registry>, system: Arc<System>, uses: Option<Arc<Uses>>) -> Arc<LuaEngine> {
        Arc::new(LuaEngine {
            registry: RwLock::new(registry),
            system,
            bench: OnceLock::new(),
            uses,
            calls: Arc::default(),
            schemas: Arc::default(),
            cache: Cache::default(),
        })
    }

    /// The entries as they are now.
    pub fn registry(&self) -> Arc<Registry> {
        read(&self.registry).clone()
    }

    /// Adds an entry that no project holds, or replaces one.
    pub fn declare(&self, entry: Arc<Entry>) {
        let mut registry = write(&self.registry);
        *registry = Arc::new(Registry::new(registry.iter().cloned().chain([entry])));
    }

    /// Takes other entries in place of all there are.
    pub fn replace(&self, registry: Arc<Registry>) {
        *write(&self.registry) = registry;
    }

    /// Makes the program of an entry.
    ///
    /// # Errors
    /// Invalid for syntax errors, import cycles and entries that are not Lua; NotFound for missing libraries.
    pub fn program(self: &Arc<Self>, entry: &Arc<Entry>) -> Result<Arc<dyn Program>> {
        let spec = lua_spec(entry)?;
        let mut build = Build::new(self);
        build.entry(entry)?;
        // A library requires its own modules and imports, when its chunk runs and later. All code of a state shares its `_G`,
        // where they stand anyhow.
        let visible = Visible {
            modules: build.declared.clone(),
            written: spec.modules.clone(),
            imports: build.aliases.clone(),
            ..Visible::default()
        };
        let is_function = spec.kind == LuaKind::Function;
        let image = build.finish(Main::Method(spec.method.clone()), is_function);
        Ok(Arc::new(LuaProgram {
            engine: self.clone(),
            id: entry.id.clone(),
            kind: if is_function { "function.lua" } else { "process.lua" },
            image,
            visible: Arc::new(visible),
            max_memory: spec.limits.max_memory,
            max_execution: milliseconds(spec.limits.max_execution_ms),
        }))
    }

    /// Makes the program of a script: its id is `script:<name>`, its chunk is main. Files can be required from `folders`, the
    /// script's own first.
    ///
    /// # Errors
    /// Invalid for a syntax error or bytecode.
    pub fn script(
        self: &Arc<Self>,
        path: &Path,
        text: impl AsRef<[u8]>,
        folders: Vec<PathBuf>,
    ) -> Result<Arc<dyn Program>> {
        self.script_within(path, text, folders, crate::project::Limits::default())
    }

    /// The same with limits of its own.
    ///
    /// # Errors
    /// As [`LuaEngine::script`].
    pub fn script_within(
        self: &Arc<Self>,
        path: &Path,
        text: impl AsRef<[u8]>,
        folders: Vec<PathBuf>,
        limits: Limits,
    ) -> Result<Arc<dyn Program>> {
        let name = path.file_stem().map_or("script".into(), |stem| stem.to_string_lossy());
        self.script_as(EntryId::new("script", &name), path, text, folders, limits)
    }

    /// The same under an id of its own.
    ///
    /// # Errors
    /// As [`LuaEngine::script`].
    pub fn script_as(
        self: &Arc<Self>,
        id: EntryId,
        path: &Path,
        text: impl AsRef<[u8]>,
        folders: Vec<PathBuf>,
        limits: Limits,
    ) -> Result<Arc<dyn Program>> {
        self.of_file(id, Main::Chunk, path, text, folders, limits)
    }

    /// Makes the program of a file that is spawned by its name: its chunk is main, or returns it.
    ///
    /// # Errors
    /// As [`LuaEngine::script`].
    pub fn file(
        self: &Arc<Self>,
        id: EntryId,
        path: &Path,
        text: impl AsRef<[u8]>,
        folders: Vec<PathBuf>,
    ) -> Result<Arc<dyn Program>> {
        self.of_file(id, Main::File, path, text, folders, Limits::default())
    }

    fn of_file(
        self: &Arc<Self>,
        id: EntryId,
        main: Main,
        path: &Path,
        text: impl AsRef<[u8]>,
        folders: Vec<PathBuf>,
        limits: Limits,
    ) -> Result<Arc<dyn Program>> {
        let chunk = path.display().to_string();
        let mut build = Build::new(self);
        // A script has the modules at hand, as a session has; the test framework is for test files, which ask for it.
        build.declared = Module::PROVIDED
            .iter()
            .copied()
            .filter(|module| *module != Module::Test)
            .collect();
        build.script(&Source {
            text: text.as_ref(),
            chunk: &chunk,
            lines: Lines::OWN,
        })?;
        let visible = Visible {
            modules: Module::PROVIDED.to_vec(),
            files: Some(folders),
            ..Visible::default()
        };
        Ok(Arc::new(LuaProgram {
            engine: self.clone(),
            id,
            kind: "script",
            image: build.finish(main, false),
            visible: Arc::new(visible),
            max_memory: limits.max_memory,
            max_execution: milliseconds(limits.max_execution_ms),
        }))
    }

    /// Makes the program of a session, whose id is `repl:session`. It may do what a script may; every module is a global.
    ///
    /// # Errors
    /// None that a user could cause.
    pub fn session(self: &Arc<Self>, desk: Arc<dyn Desk>, folders: Vec<PathBuf>) -> Result<Arc<dyn Program>> {
        let mut build = Build::new(self);
        build.declared = Module::PROVIDED.to_vec();
        build.script(&Source {
            text: repl::MAIN.as_bytes(),
            chunk: "[repl]/main",
            lines: Lines::OWN,
        })?;
        let limits = Limits::default();
        let visible = Visible {
            modules: Module::PROVIDED.to_vec(),
            files: Some(folders),
            desk: Some(desk),
            ..Visible::default()
        };
        Ok(Arc::new(LuaProgram {
            engine: self.clone(),
            id: EntryId::new("repl", "session"),
            kind: "repl",
            image: build.finish(Main::Chunk, false),
            visible: Arc::new(visible),
            max_memory: limits.max_memory,
            max_execution: None,
        }))
    }

    /// Makes the program of a supervisor process, whose id is `supervisor:main`. Its children may be `files`.
    ///
    /// # Errors
    /// None that a user could cause.
    pub fn supervisor(self: &Arc<Self>, files: Option<Vec<PathBuf>>) -> Result<Arc<dyn Program>> {
        let mut build = Build::new(self);
        build.script(&Source {
            text: supervisor::MAIN.as_bytes(),
            chunk: "[supervisor]/main",
            lines: Lines::OWN,
        })?;
        let limits = Limits::default();
        let visible = Visible {
            modules: vec![Module::Supervisor],
            files,
            ..Visible::default()
        };
        Ok(Arc::new(LuaProgram {
            engine: self.clone(),
            id: EntryId::new("supervisor", "main"),
            kind: supervisor::KIND,
            image: build.finish(Main::Chunk, false),
            visible: Arc::new(visible),
            max_memory: limits.max_memory,
            max_execution: None,
        }))
    }

    fn compile(&self, entry: &Entry, spec: &LuaSpec) -> Result<Chunk> {
        self.cache.compile(&Source {
            text: spec.source.as_bytes(),
            chunk: &spec.chunk,
            lines: entry.lines(),
        })
    }
}

fn lua_spec(entry: &Entry) -> Result<&LuaSpec> {
    match &entry.spec {
        Spec::Lua(spec) => Ok(spec),
        _ => Err(Error::invalid(format!(
            "{} is not a Lua entry but {}",
            entry.id, entry.kind
        ))),
    }
}

fn declared(spec: &LuaSpec) -> impl Iterator<Item = Module> {
    spec.modules.iter().filter_map(|name| Module::find(name))
}

fn milliseconds(count: u64) -> Option<Duration> {
    (count > 0).then(|| Duration::from_millis(count))
}

/// An image in the making: libraries come before those who import them.
struct Build<'a> {
    engine: &'a LuaEngine,
    stages: Vec<Stage>,
    done: HashMap<EntryId, usize>,
    words: BTreeSet<String>,
    all: bool,
    /// What all of them declare.
    declared: Vec<Module>,
    /// The aliases of all of them: one names one stage, see `Visible::imports`.
    aliases: Vec<(String, usize)>,
}

/// An entry whose imports are being looked at.
struct Pending {
    entry: Arc<Entry>,
    /// Those that were, with their stages.
    imports: Vec<(String, usize)>,
}

impl Pending {
    fn of(entry: Arc<Entry>) -> Pending {
        Pending {
            entry,
            imports: Vec::new(),
        }
    }
}

fn cycle(open: &[Pending], id: &EntryId) -> Error {
    let path: Vec<&str> = open.iter().map(|pending| pending.entry.id.as_str()).collect();
    Error::invalid(format!("import cycle: {} -> {id}", path.join(" -> ")))
}

impl<'a> Build<'a> {
    fn new(engine: &'a LuaEngine) -> Build<'a> {
        Build {
            engine,
            stages: Vec::new(),
            done: HashMap::new(),
            words: BTreeSet::new(),
            all: false,
            declared: Vec::new(),
            aliases: Vec::new(),
        }
    }

    /// Adds an entry behind everything that it imports. Without recursion: a chain of imports may be longer than a stack is
    /// deep.
    fn entry(&mut self, entry: &Arc<Entry>) -> Result<()> {
        let mut open = vec![Pending::of(entry.clone())];
        let mut ids = HashSet::from([entry.id.clone()]);
        loop {
            let Some(mut top) = open.pop() else {
                return Ok(());
            };
            let entry = top.entry.clone();
            let spec = lua_spec(&entry)?;
            if let Some((alias, id)) = spec.imports.get(top.imports.len()) {
                if let Some(stage) = self.done.get(id) {
                    top.imports.push((alias.clone(), *stage));
                    open.push(top);
                } else if ids.insert(id.clone()) {
                    let library = self.engine.registry().usable(id)?;
                    open.extend([top, Pending::of(library)]);
                } else {
                    open.push(top);
                    return Err(cycle(&open, id));
                }
                continue;
            }
            let chunk = self.engine.compile(&entry, spec)?;
            self.declared.extend(declared(spec));
            self.add(&chunk, &top.imports);
            self.aliases.extend(top.imports);
            if open.is_empty() {
                return Ok(());
            }
            self.done.insert(entry.id.clone(), self.stages.len() - 1);
        }
    }

    fn script(&mut self, source: &Source<'_>) -> Result<()> {
        let chunk = self.engine.cache.compile(source)?;
        // A file that it requires may name what it does not.
        self.all |= chunk.words.contains("require");
        self.add(&chunk, &[]);
        Ok(())
    }

    fn add(&mut self, chunk: &Chunk, imports: &[(String, usize)]) {
        self.all |= chunk.opens_all();
        self.words.extend(chunk.words.iter().cloned());
        let alias = |(alias, stage): &(String, usize)| Some((CString::new(alias.as_str()).ok()?, *stage));
        self.stages.push(Stage {
            code: chunk.code.clone(),
            aliases: imports.iter().filter_map(alias).collect(),
        });
    }

    fn finish(self, main: Main, reused: bool) -> Arc<Image> {
        Arc::new(Image {
            plan: Plan::new(&self.words, &self.declared, self.all),
            stages: self.stages,
            main,
            reused,
        })
    }
}

/// A compiled entry or script.
struct LuaProgram {
    engine: Arc<LuaEngine>,
    id: EntryId,
    kind: &'static str,
    image: Arc<Image>,
    visible: Arc<Visible>,
    max_memory: u64,
    max_execution: Option<Duration>,
}

impl Program for LuaProgram {
    fn entry(&self) -> &EntryId {
        &self.id
    }

    fn kind(&self) -> &'static str {
        self.kind
    }

    fn max_execution(&self) -> Option<Duration> {
        self.max_execution
    }

    fn start(&self, start: Start) -> Result<Box<dyn Body>> {
        Ok(self.body(start.process, Some(start.args)))
    }

    fn warm(&self, process: Arc<Process>) -> Result<Box<dyn Body>> {
        Ok(self.body(process, None))
    }
}

impl LuaProgram {
    fn body(&self, process: Arc<Process>, args: Option<Packed>) -> Box<dyn Body> {
        let context = StateContext::new(process, self.engine.clone(), self.visible.clone());
        Box::new(LuaBody::Starting {
            context: Arc::new(context),
            boot: Boot {
                image: self.image.clone(),
                args,
            },
            max_memory: self.max_memory,
        })
    }
}

/// A Lua process, before and after its state was made.
enum LuaBody {
    Starting {
        context: Arc<StateContext>,
        boot: Boot,
        max_memory: u64,
    },
    Running(Box<Driver>),
    /// No state could be made.
    Failed,
}

impl LuaBody {
    fn init(&mut self) -> Result<&mut Driver> {
        if let LuaBody::Starting { .. } = self
            && let LuaBody::Starting {
                context,
                boot,
                max_memory,
            } = std::mem::replace(self, LuaBody::Failed)
        {
            *self = LuaBody::Running(Driver::new(context, boot, max_memory)?);
        }
        match self {
            LuaBody::Running(driver) => Ok(driver),
            _ => Err(Error::new(Kind::Internal, "a process without a state cannot run")),
        }
    }
}

impl Body for LuaBody {
    fn step(&mut self, _: &mut StepContext<'_>) -> Progress {
        match self.init() {
            Ok(driver) => driver.step(),
            Err(error) => Progress::Ended(Exit::failed(error)),
        }
    }

    fn evidence(&self, _: Cause) -> Evidence {
        let received = match self {
            LuaBody::Running(driver) => driver.last_received(),
            _ => Vec::new(),
        };
        Evidence {
            received,
            ..Evidence::default()
        }
    }

    fn explain(&self) -> Vec<Doing> {
        match self {
            LuaBody::Running(driver) => driver.explain(),
            _ => Vec::new(),
        }
    }

    fn memory(&self) -> u64 {
        match self {
            LuaBody::Running(driver) => driver.used_memory(),
            _ => 0,
        }
    }

    fn recycle(self: Box<Self>) -> Option<Box<dyn Instance>> {
        let LuaBody::Running(mut driver) = *self else {
            return None;
        };
        driver
            .reset()
            .then(|| Box::new(LuaInstance(driver)) as Box<dyn Instance>)
    }
}

/// The state of a function between two calls.
struct LuaInstance(Box<Driver>);

impl Instance for LuaInstance {
    fn start(self: Box<Self>, _: &dyn Program, start: Start) -> std::result::Result<Box<dyn Body>, Declined> {
        let mut driver = self.0;
        driver.begin(start.process, start.args);
        Ok(Box::new(LuaBody::Running(driver)))
    }
}
