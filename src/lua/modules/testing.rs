//! A world for the unit tests of modules that ask where they run: a kernel with one idle process, and a plain Lua state
//! that stands in for the process's own.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use mlua::Lua;

use crate::error::{Error, Result};
use crate::id::EntryId;
use crate::log::{Level, Log, Record, Sink};
use crate::lua::LuaEngine;
use crate::lua::host::StateContext;
use crate::process::{
    Body, Clock, HostSpec, Kernel, KernelOptions, Program, Programs, Progress, Resolved, Spawn, Start, StepContext,
    Wait,
};
use crate::project::Registry;
use crate::system::System;
use crate::system::terminal::Terminal;

/// The state, and what the tests look at from outside.
pub(super) struct World {
    pub lua: Lua,
    pub context: Arc<StateContext>,
    pub records: Arc<Mutex<Vec<Record>>>,
    _io: tokio::runtime::Runtime,
}

struct Kept(Arc<Mutex<Vec<Record>>>);

impl Sink for Kept {
    fn record(&self, record: Record) {
        self.0.lock().unwrap().push(record);
    }

    fn enabled(&self, level: Level) -> bool {
        level > Level::Debug
    }
}

struct Nothing;

impl Programs for Nothing {
    fn resolve(&self, id: &EntryId) -> Resolved {
        Resolved::Ready(Err(Error::not_found(id.as_str())))
    }
}

struct Idle(EntryId);

impl Program for Idle {
    fn entry(&self) -> &EntryId {
        &self.0
    }

    fn kind(&self) -> &'static str {
        "process.lua"
    }

    fn max_execution(&self) -> Option<Duration> {
        None
    }

    fn start(&self, _: Start) -> Result<Box<dyn Body>> {
        Ok(Box::new(IdleBody))
    }
}

struct IdleBody;

impl Body for IdleBody {
    fn step(&mut self, _: &mut StepContext<'_>) -> Progress {
        Progress::Waiting(Wait::Other)
    }

    fn memory(&self) -> u64 {
        0
    }
}

impl World {
    /// A process `app:main` over these entries, on a terminal host if there is a terminal.
    pub fn new(registry: Registry, terminal: Option<Arc<Terminal>>) -> World {
        let io = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .unwrap();
        let records = Arc::new(Mutex::new(Vec::new()));
        let kernel = Kernel::new(KernelOptions {
            workers: 1,
            log: Log::new(Kept(records.clone())),
            io: io.handle().clone(),
            programs: Arc::new(Nothing),
            clock: Clock::real(),
        });
        let mut host = HostSpec::new(EntryId::new("app", "host"));
        host.terminal = terminal;
        let program = Arc::new(Idle(EntryId::new("app", "main")));
        let process = kernel.spawn(Spawn {
            words: Arc::from(["one".to_owned(), "two words".to_owned()]),
            ..Spawn::new(program, kernel.add_host(host).unwrap())
        });
        let system = Arc::new(System::new(&registry));
        let context = Arc::new(StateContext::new(
            process.unwrap(),
            LuaEngine::new(Arc::new(registry), system),
            Arc::default(),
        ));
        let lua = Lua::new();
        lua.set_app_data(context.clone());
        World {
            lua,
            context,
            records,
            _io: io,
        }
    }

    /// Runs code that asserts by itself, its chunk named `case.lua`.
    pub fn run(&self, code: &str) {
        if let Err(error) = self.lua.load(code).set_name("=case.lua").exec() {
            panic!("{}", crate::lua::error::from_mlua(&error));
        }
    }
}
