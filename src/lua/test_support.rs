//! A kernel with a host and Lua texts as programs, for the unit tests of this room.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, OnceLock};
use std::time::Duration;

use crate::error::{Error, Result};
use crate::id::EntryId;
use crate::log::Log;
use crate::lua::LuaEngine;
use crate::process::{Clock, Exit, Host, HostSpec, Kernel, KernelOptions, Process, Program, Programs, Resolved, Spawn};
use crate::project::{Limits, Registry};
use crate::system::System;
use crate::system::terminal::Terminal;
use crate::value::{Packed, Value};

/// Programs by id.
#[derive(Clone, Default)]
struct Table(Arc<Mutex<HashMap<EntryId, Arc<dyn Program>>>>);

impl Programs for Table {
    fn resolve(&self, id: &EntryId) -> Resolved {
        let program = self.0.lock().unwrap().get(id).cloned();
        Resolved::Ready(program.ok_or_else(|| Error::not_found(format!("entry not found: {id}"))))
    }
}

/// See the module page.
pub struct World {
    pub kernel: Kernel,
    pub host: Arc<Host>,
    pub engine: Arc<LuaEngine>,
    programs: Table,
}

fn io() -> &'static tokio::runtime::Handle {
    static RUNTIME: OnceLock<tokio::runtime::Runtime> = OnceLock::new();
    let runtime = RUNTIME.get_or_init(|| {
        let mut builder = tokio::runtime::Builder::new_multi_thread();
        builder.worker_threads(1).enable_all().build().unwrap()
    });
    runtime.handle()
}

impl World {
    pub fn new() -> World {
        World::over(Arc::new(Registry::default()), None)
    }

    /// Its host has that terminal.
    pub fn on_terminal(terminal: Arc<Terminal>) -> World {
        World::over(Arc::new(Registry::default()), Some(terminal))
    }

    /// Waits until everything written has come out.
    pub fn flush(&self, terminal: &Terminal) {
        io().block_on(terminal.flush()).unwrap();
    }

    /// Over a project of these files, every Lua process of it spawnable.
    pub fn of(files: &[(&str, &str)]) -> World {
        let folder = tempfile::tempdir().unwrap();
        for (name, text) in files {
            let path = folder.path().join(name);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, text).unwrap();
        }
        let project = crate::system::load(folder.path(), &[]);
        assert!(!project.has_errors(), "{:?}", project.diagnostics);
        let world = World::over(project.registry, None);
        for entry in world.engine.registry().of_kind("process.lua") {
            if let Ok(program) = world.engine.program(entry) {
                world.programs.0.lock().unwrap().insert(entry.id.clone(), program);
            }
        }
        world
    }

    fn over(registry: Arc<Registry>, terminal: Option<Arc<Terminal>>) -> World {
        let programs = Table::default();
        let kernel = Kernel::new(KernelOptions {
            workers: 2,
            log: Log::none(),
            io: io().clone(),
            programs: Arc::new(programs.clone()),
            clock: Clock::real(),
        });
        let mut host = HostSpec::new(EntryId::new("app", "processes"));
        host.terminal = terminal;
        let host = kernel.add_host(host).unwrap();
        let system = Arc::new(System::new(&registry));
        World {
            kernel,
            host,
            engine: LuaEngine::new(registry, system),
            programs,
        }
    }

    /// Makes `app:<name>` spawnable: a script with that text.
    pub fn program(&self, name: &str, text: &str) -> Arc<dyn Program> {
        let path = format!("{name}.lua");
        let program = self.engine.script(path.as_ref(), text, Vec::new()).unwrap();
        let id = EntryId::new("app", name);
        self.programs.0.lock().unwrap().insert(id, program.clone());
        program
    }

    /// A script that may take that many bytes.
    pub fn limited(&self, text: &str, max_memory: u64) -> Arc<dyn Program> {
        let limits = Limits {
            max_memory,
            ..Limits::default()
        };
        self.engine
            .script_within("main.lua".as_ref(), text, Vec::new(), limits)
            .unwrap()
    }

    pub fn spawn(&self, program: Arc<dyn Program>, args: &[Value]) -> Result<Arc<Process>> {
        self.kernel.spawn(Spawn {
            args: Packed::from_values(args),
            ..Spawn::new(program, self.host.clone())
        })
    }

    /// Runs an entry to its end.
    pub fn run_entry(&self, id: &str, args: &[Value]) -> Arc<Exit> {
        let program = self.programs.0.lock().unwrap()[&EntryId::parse(id).unwrap()].clone();
        self.end(&self.spawn(program, args).unwrap())
    }

    /// Runs a text to its end, a minute at most.
    pub fn run(&self, text: &str) -> Arc<Exit> {
        let process = self.spawn(self.program("main", text), &[]).unwrap();
        self.end(&process)
    }

    pub fn end(&self, process: &Arc<Process>) -> Arc<Exit> {
        let exit = self.ends_within(process, Duration::from_secs(60));
        exit.expect("the process ends")
    }

    /// Its end, if it comes within that time.
    pub fn ends_within(&self, process: &Arc<Process>, time: Duration) -> Option<Arc<Exit>> {
        let exited = process.exited();
        io().block_on(async { tokio::time::timeout(time, exited).await.ok() })
    }
}

impl Drop for World {
    fn drop(&mut self) {
        self.kernel.close();
    }
}

/// Runs a text in a world of its own and gives main's value.
pub fn value(text: &str) -> Value {
    let exit = World::new().run(text);
    match &exit.result {
        Ok(values) => values.to_value().unwrap(),
        Err(error) => panic!("{error:?}\n{:?}", error.frames()),
    }
}

/// Runs a text in a world of its own and gives the error with which it ends.
pub fn failure(text: &str) -> Error {
    let exit = World::new().run(text);
    exit.error()
        .cloned()
        .unwrap_or_else(|| panic!("it returned {:?}", exit.result))
}

/// Runs a text whose assertions are the test.
pub fn passes(text: &str) {
    value(text);
}
