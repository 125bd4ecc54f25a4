//! Boot and shutdown: entries become hosts, volumes, variables and programs; the only room where all the others meet.
//!
//! A [`Runtime`] is a handle without globals: two of them live in one program without meeting. It owns the engines, the
//! kernel and the one tokio thread that guests' I/O runs on. What is printed about it, and which signal stops it, is the
//! command line's business. Invariant: once [`Runtime::stop`] has returned no process of it lives.

mod calls;
mod declare;
mod files;
mod findings;
mod programs;
mod reload;
mod session;
mod testing;

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use tokio::runtime::Handle;

use crate::allocator::huge_pages;
use crate::error::{Error, Result};
use crate::id::EntryId;
use crate::lines::Lines;
use crate::log::{Level, Log, Record};
use crate::lua::LuaEngine;
use crate::lua::compile::Source;
use crate::lua::uses::Uses;
use crate::process::{Clock, Host, Kernel, KernelOptions, Process, Program, Resolved, Spawn, acts};
use crate::project::entry::{Density, ProcessHostSpec};
use crate::project::{Diagnostic, Entry, Registry, Spec};
use crate::race::all;
use crate::supervisor::{Supervisor, Unstarted};
use crate::system::System;
use crate::system::terminal::Terminal;
use crate::value::Packed;
use crate::wasm::cache::Cache;
use crate::wasm::inspect::Inspection;
use crate::wasm::{Io, Settings, Wasm, WasmProgram};
pub use declare::Declarations;
use programs::Engines;

/// What a runtime is made from.
pub struct Options {
    pub registry: Arc<Registry>,
    pub system: Arc<System>,
    /// What terminal hosts lend to their process.
    pub terminal: Arc<Terminal>,
    pub log: Log,
    /// Threads that run processes; 0: one per processor.
    pub workers: usize,
    /// A single guest is expected: pools are not worth making.
    pub oneshot: bool,
    /// `shutdown.timeout`: how long a stop takes at most before everything is terminated.
    pub shutdown_timeout: Duration,
    /// The time of its processes.
    pub clock: Clock,
    /// Nothing will be started: folders are not opened, and none is made.
    pub dry: bool,
    /// Where it is taken down what programs use, if somebody wants to know.
    pub uses: Option<Arc<Uses>>,
    /// The WASM entry that is wanted first: it is loaded while the rest is made.
    pub first: Option<Arc<Entry>>,
}

impl Options {
    pub fn new(registry: Arc<Registry>, terminal: Arc<Terminal>) -> Options {
        Options {
            system: Arc::new(System::new(&registry)),
            registry,
            terminal,
            log: Log::none(),
            workers: 0,
            oneshot: false,
            shutdown_timeout: Duration::from_secs(30),
            clock: Clock::real(),
            dry: false,
            uses: None,
            first: None,
        }
    }
}

/// What services are started for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Occasion {
    /// They are what runs.
    Alone,
    /// A command or script runs, which has the terminal.
    BesideCommand,
}

/// A running system.
pub struct Runtime {
    kernel: Kernel,
    engines: Arc<Engines>,
    declarations: Arc<Declarations>,
    shutdown_timeout: Duration,
    /// Once services were started.
    supervisor: OnceLock<Supervisor>,
    io: Handle,
    /// Behind `io`; taken at the end, which does not wait for a file or a compilation that takes long.
    threads: Option<tokio::runtime::Runtime>,
}

/// Beats of work after which the program is no longer starting.
const STARTED: u64 = 20;

/// Does something once, at that beat.
fn after_beats(beats: u64, act: impl Fn() + Send + Sync) -> impl Fn() + Send + Sync {
    let passed = AtomicU64::new(0);
    move || {
        if passed.load(Ordering::Relaxed) < beats && passed.fetch_add(1, Ordering::Relaxed) + 1 == beats {
            act();
        }
    }
}

impl Runtime {
    /// Makes engines, kernel and hosts. Nothing runs yet.
    ///
    /// # Errors
    /// Internal when the operating system refuses a thread.
    pub fn boot(options: Options) -> Result<Runtime> {
        let settings = Settings {
            cache: code_cache(&options.log),
            log: options.log.clone(),
            ..settings(&options.registry, options.oneshot)
        };
        let later = Io::default();
        let wasm = Wasm::new(settings, options.system.clone(), later.clone());
        // Before all else, which is made while it loads.
        if let Some(first) = options.first {
            wasm.begin(&first);
        }
        let threads = io_thread()?;
        let io = threads.handle().clone();
        later.set(io.clone());
        let lua = LuaEngine::noting(options.registry.clone(), options.system.clone(), options.uses);
        let engines = Arc::new(Engines::new(lua, wasm.clone(), io.clone()));
        let kernel = Kernel::new(KernelOptions {
            workers: options.workers,
            log: options.log,
            io: io.clone(),
            programs: engines.clone(),
            clock: options.clock,
        });
        kernel.on_tick(move || wasm.tick());
        kernel.on_tick(after_beats(STARTED, || huge_pages(true)));
        if !options.dry {
            options.system.volumes.open_all();
        }
        let declarations = Declarations {
            kernel: kernel.clone(),
            engines: engines.clone(),
            terminal: options.terminal,
        };
        options
            .registry
            .iter()
            .try_for_each(|entry| declarations.add_host(entry))?;
        if !options.dry {
            calls::warm(&engines, &kernel);
        }
        Ok(Runtime {
            kernel,
            engines,
            declarations: Arc::new(declarations),
            shutdown_timeout: options.shutdown_timeout,
            supervisor: OnceLock::new(),
            io,
            threads: Some(threads),
        })
    }

    /// Where further entries become known.
    pub fn declarations(&self) -> &Arc<Declarations> {
        &self.declarations
    }

    pub fn kernel(&self) -> &Kernel {
        &self.kernel
    }

    /// Runs a future to its end on this thread.
    pub fn block_on<T>(&self, future: impl Future<Output = T>) -> T {
        self.io.block_on(future)
    }

    /// The program of an entry, loaded if need be.
    ///
    /// # Errors
    /// Whatever is wrong with the entry.
    pub async fn program(&self, id: &EntryId) -> Result<Arc<dyn Program>> {
        match self.kernel.programs().resolve(id) {
            Resolved::Ready(result) => result,
            Resolved::Pending(loading) => loading.await,
        }
    }

    /// The program of a WASM entry, with its signature; none for an entry of another kind.
    ///
    /// # Errors
    /// Whatever is wrong with the entry.
    pub async fn wasm_program(&self, id: &EntryId) -> Result<Option<Arc<WasmProgram>>> {
        self.engines.wasm_program(id).await
    }

    /// The program of a script, which may `require` files from these folders.
    ///
    /// # Errors
    /// Invalid for a syntax error or bytecode.
    pub fn script(&self, path: &Path, text: &[u8], folders: Vec<PathBuf>) -> Result<Arc<dyn Program>> {
        self.engines.lua.script(path, text, folders)
    }

    /// What there is to know about the module of a WASM entry. Blocks for as long as compiling takes.
    ///
    /// # Errors
    /// As [`Wasm::inspect`].
    pub fn inspect(&self, entry: &Entry) -> Result<Inspection> {
        self.declarations.inspect(entry)
    }

    /// What only the engines can find wrong with an entry. Blocks for as long as compiling takes.
    pub fn findings(&self, entry: &Arc<Entry>) -> Vec<Diagnostic> {
        self.declarations.findings(entry)
    }

    /// Why a script is no Lua, at its place.
    pub fn script_finding(error: &Error, path: &Path, text: &[u8]) -> Diagnostic {
        let chunk = path.display().to_string();
        findings::syntax(
            error,
            error,
            &Source {
                text,
                chunk: &chunk,
                lines: Lines::OWN,
            },
        )
    }

    /// Starts a process with the words of a command line.
    ///
    /// # Errors
    /// NotFound for an unknown host, that of a broken one; what the host or the program says against it.
    pub fn start(
        &self,
        program: Arc<dyn Program>,
        host: &EntryId,
        args: Packed,
        words: Vec<String>,
    ) -> Result<Arc<Process>> {
        let host = acts::host(&self.kernel, host)?;
        self.kernel.spawn(Spawn {
            args,
            words: words.into(),
            ..Spawn::new(program, host)
        })
    }

    /// Starts every `auto_start` service and host, and what they require. Beside a command those that want the terminal for
    /// themselves are left out, and only what goes wrong leaves a record of more than debug level.
    ///
    /// # Errors
    /// The services with `startup: required` that could not be started; the others run.
    pub async fn start_services(&self, occasion: Occasion) -> Result<(), Vec<Unstarted>> {
        let usual = match occasion {
            Occasion::Alone => Level::Info,
            Occasion::BesideCommand => Level::Debug,
        };
        let registry = self.registry();
        let made = || Supervisor::new(&self.kernel, &registry, usual, |entry| self.is_wanted(entry, occasion));
        self.supervisor.get_or_init(made).start().await
    }

    fn is_wanted(&self, entry: &Entry, occasion: Occasion) -> bool {
        let auto_start = entry.lifecycle.as_ref().is_some_and(|lifecycle| lifecycle.auto_start);
        auto_start && (occasion == Occasion::Alone || self.terminal_of(entry).is_none())
    }

    /// The entries as they are now.
    pub fn registry(&self) -> Arc<Registry> {
        self.engines.lua.registry()
    }

    /// Waits until a service that runs on a terminal is over, which is the end of everything; gives its error, if it ended
    /// with one.
    pub async fn terminal_over(&self) -> Option<Error> {
        let registry = self.registry();
        let on_terminal = |id: &EntryId| {
            let entry = registry.get(id);
            entry.is_some_and(|entry| matches!(entry.spec, Spec::Service(_)) && self.terminal_of(entry).is_some())
        };
        match self.supervisor.get() {
            Some(services) => services.first_over(on_terminal).await,
            None => std::future::pending().await,
        }
    }

    /// The terminal host on which a service runs, or that the entry is.
    fn terminal_of(&self, entry: &Entry) -> Option<Arc<Host>> {
        let host = match &entry.spec {
            Spec::Service(spec) => self.kernel.host(&spec.host),
            _ => self.kernel.host(&entry.id),
        };
        host.filter(|host| host.terminal().is_some())
    }

    /// The orderly stop: the command first, then services in the reverse order of their start, then hosts, each with its
    /// own deadline, all of them within the shutdown timeout; then whatever is left is terminated.
    pub async fn stop(&self) {
        let in_order = tokio::time::timeout(self.shutdown_timeout, self.stop_in_order()).await;
        if in_order.is_err() || !self.kernel.processes().is_empty() {
            return self.terminate().await;
        }
        self.abandon_services();
    }

    async fn stop_in_order(&self) {
        let services = self.supervisor.get();
        let is_command = |host: &Arc<Host>| {
            let serves = services.is_some_and(|services| services.has(host.id()));
            host.terminal().is_some() && !serves
        };
        self.stop_together(self.kernel.hosts().into_iter().filter(is_command))
            .await;
        if let Some(services) = services {
            services.stop().await;
        }
        self.stop_together(self.kernel.hosts()).await;
        // Functions last: whoever stops may still call them.
        self.stop_together([self.kernel.functions().clone()]).await;
    }

    async fn stop_together(&self, hosts: impl IntoIterator<Item = Arc<Host>>) {
        let stop = |host| async move { self.kernel.stop_host(&host).await };
        all(hosts.into_iter().map(stop)).await;
    }

    /// For a program that ends at once: what outlives it is written, and threads and memory are left to the system, which
    /// takes them back faster than they can be given. Whatever still lives is ended first.
    pub fn leave(self) {
        self.engines.wasm.write_back();
        if self.kernel.processes().is_empty() {
            std::mem::forget(self);
        }
    }

    /// Ends everything at once, and waits until it has.
    pub async fn terminate(&self) {
        self.abandon_services();
        let kernel = self.kernel.clone();
        let closing = self.io.spawn_blocking(move || kernel.close());
        if let Err(panic) = closing.await {
            std::panic::resume_unwind(panic.into_panic());
        }
    }
}

impl Runtime {
    /// Or they would be started again while everything ends.
    fn abandon_services(&self) {
        if let Some(services) = self.supervisor.get() {
            services.abandon();
        }
    }
}

impl Drop for Runtime {
    fn drop(&mut self) {
        self.abandon_services();
        self.kernel.close();
        self.engines.wasm.write_back();
        if let Some(threads) = self.threads.take() {
            threads.shutdown_background();
        }
    }
}

/// One thread for timers and I/O. Its driver is polled often, or a guest's timer would wait behind other futures.
fn io_thread() -> Result<tokio::runtime::Runtime> {
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .thread_name("io")
        .event_interval(4)
        .enable_all()
        .build()
        .map_err(|error| Error::internal(format!("cannot start the I/O thread: {error}")))
}

/// The user's cache of compiled code, if there is one.
fn code_cache(log: &Log) -> Option<Cache> {
    let unusable = |error| {
        let record = Record::new(Level::Debug, "compiled code is not cached").field("error", format!("{error}"));
        log.record(record);
    };
    Cache::of_user().map_err(unusable).ok()
}

/// Engine-wide settings: of all hosts, the largest wish counts, and the default where none has one.
fn settings(registry: &Registry, oneshot: bool) -> Settings {
    let hosts = || {
        registry.iter().filter_map(|entry| match &entry.spec {
            Spec::ProcessHost(spec) => Some(spec),
            _ => None,
        })
    };
    let largest = |wish: fn(&ProcessHostSpec) -> Option<u64>| {
        let largest = hosts().filter_map(wish).max();
        largest.map(|wish| usize::try_from(wish).unwrap_or(usize::MAX))
    };
    let defaults = Settings::default();
    Settings {
        max_instances: largest(|host| host.max_instances),
        dense: hosts().any(|host| host.density == Some(Density::Dense)),
        max_stack: largest(|host| host.max_stack).unwrap_or(defaults.max_stack),
        oneshot,
        ..defaults
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;
    use std::time::Instant;

    use super::*;
    use crate::project::LuaKind;
    use crate::project::{LuaSpec, ProcessHostSpec, TerminalHostSpec};

    pub(super) fn lua(name: &str, kind: LuaKind, source: &str) -> Entry {
        let spec = LuaSpec {
            modules: vec!["funcs".into()],
            ..LuaSpec::of_source(kind, source)
        };
        let of = match kind {
            LuaKind::Function => "function.lua",
            _ => "process.lua",
        };
        Entry::made(EntryId::new("app", name), of, Spec::Lua(spec))
    }

    /// These entries beside a terminal host.
    pub(super) fn registry_of(entries: impl IntoIterator<Item = Entry>) -> Arc<Registry> {
        let spec = Spec::TerminalHost(TerminalHostSpec::default());
        let host = Entry::made(EntryId::new("app", "terminal"), "terminal.host", spec);
        Arc::new(Registry::default().with(entries.into_iter().chain([host])))
    }

    fn registry(source: &str) -> Arc<Registry> {
        registry_of([lua("main", LuaKind::Process, source)])
    }

    fn boot(source: &str) -> (Runtime, Arc<Terminal>) {
        boot_with(registry(source))
    }

    pub(super) fn boot_with(registry: Arc<Registry>) -> (Runtime, Arc<Terminal>) {
        let terminal = Terminal::captured(Vec::new());
        let options = Options {
            workers: 1,
            ..Options::new(registry, terminal.clone())
        };
        (Runtime::boot(options).unwrap(), terminal)
    }

    #[test]
    fn the_largest_wish_of_the_hosts_counts_even_below_the_default() {
        let of = |hosts: &[(Option<u64>, Option<u64>)]| {
            let host = |(at, (max_stack, max_instances)): (usize, &(Option<u64>, Option<u64>))| {
                let spec = ProcessHostSpec {
                    max_stack: *max_stack,
                    max_instances: *max_instances,
                    ..ProcessHostSpec::default()
                };
                let id = EntryId::new("app", &format!("host{at}"));
                Entry::made(id, "process.host", Spec::ProcessHost(spec))
            };
            let settings = settings(&Registry::default().with(hosts.iter().enumerate().map(host)), false);
            (settings.max_stack, settings.max_instances)
        };
        assert_eq!(of(&[]), (128 << 10, None));
        assert_eq!(of(&[(Some(64 << 10), Some(5))]), (64 << 10, Some(5)));
        assert_eq!(of(&[(None, None), (Some(64 << 10), None)]), (64 << 10, None));
        assert_eq!(
            of(&[(Some(1 << 20), Some(3)), (Some(64 << 10), Some(5))]),
            (1 << 20, Some(5))
        );
    }

    fn start(runtime: &Runtime) -> Arc<Process> {
        start_on(runtime, "terminal")
    }

    fn start_on(runtime: &Runtime, host: &str) -> Arc<Process> {
        let program = runtime.block_on(runtime.program(&EntryId::new("app", "main"))).unwrap();
        let host = EntryId::new("app", host);
        runtime.start(program, &host, Packed::empty(), Vec::new()).unwrap()
    }

    #[test]
    fn two_runtimes_live_side_by_side_without_meeting() {
        let source = "return function() print(process.pid(), process.registry.register('me')) return process.receive().value end";
        let (one, first) = boot(source);
        let (two, second) = boot(source);
        let (left, right) = (start(&one), start(&two));
        assert_eq!(left.pid(), right.pid(), "each counts for itself");
        let value = |text: &str| Packed::from_value(&text.into());
        one.kernel().send(None, left.pid(), "t".into(), value("left")).unwrap();
        two.kernel()
            .send(None, right.pid(), "t".into(), value("right"))
            .unwrap();
        let ends = (one.block_on(left.exited()), two.block_on(right.exited()));
        assert_eq!(ends.0.result.as_ref().unwrap().to_value().unwrap(), "left".into());
        assert_eq!(ends.1.result.as_ref().unwrap().to_value().unwrap(), "right".into());
        one.block_on(one.stop());
        drop(one);
        two.block_on(two.stop());
        assert_eq!(first.output(), second.output());
        assert!(!first.output().is_empty());
    }

    #[test]
    fn what_starts_after_a_reload_is_not_what_was_looked_up_before_it() {
        let (runtime, _) = boot("return function() return 'old' end");
        let main = EntryId::new("app", "main");
        let before = runtime.registry().usable(&main).unwrap();
        let new = registry("return function() return 'new' end");
        runtime.replace(new, &HashSet::from([main])).unwrap();
        // A spawn that had found its entry before goes on with it; the next one does not.
        runtime.engines.lua_program(&before).unwrap();
        let exit = runtime.block_on(start(&runtime).exited());
        assert_eq!(exit.result.as_ref().unwrap().to_value().unwrap(), "new".into());
    }

    #[test]
    fn calls_that_a_returned_process_leaves_behind_go_on_as_far_as_there_is_room() {
        let source = "return function() for _ = 1, 3 do require('funcs').async('app:f') end end";
        let spec = ProcessHostSpec {
            mailbox_limit: 1,
            ..ProcessHostSpec::default()
        };
        let entries = [
            lua("main", LuaKind::Process, source),
            lua("f", LuaKind::Function, "return function() process.receive() end"),
            Entry::made(EntryId::new("app", "small"), "process.host", Spec::ProcessHost(spec)),
        ];
        let (runtime, _) = boot_with(registry_of(entries));
        let exit = runtime.block_on(start_on(&runtime, "small").exited());
        assert!(exit.error().is_none(), "{exit:?}");
        let patience = Instant::now() + Duration::from_secs(60);
        while runtime.kernel().processes().len() != 1 {
            assert!(Instant::now() < patience, "more calls than there is room for");
            std::thread::sleep(Duration::from_millis(1));
        }
    }

    #[test]
    fn after_a_stop_no_process_lives() {
        let (runtime, _) = boot("return function() while true do end end");
        let process = start(&runtime);
        runtime.block_on(runtime.stop());
        assert!(process.exit().is_some());
        assert!(runtime.kernel().processes().is_empty());
    }

    #[test]
    fn what_is_no_process_is_refused() {
        let (runtime, _) = boot("return 1");
        let terminal = EntryId::new("app", "terminal");
        let error = runtime.block_on(runtime.program(&terminal)).err().unwrap();
        assert_eq!(error.message(), "app:terminal is a terminal.host, which is no process");
        let nowhere = EntryId::new("app", "nowhere");
        let error = runtime.block_on(runtime.program(&nowhere)).err().unwrap();
        assert_eq!(error.message(), "entry not found: app:nowhere");
    }
}
