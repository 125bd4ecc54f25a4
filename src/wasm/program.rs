//! A WASM entry, loaded: its code in the engines that need it, the function that `method` means, its grants.
//!
//! Made once per content of the file by [`load`], on the blocking pool; processes are started from it on workers. What a
//! process does with it is `body`'s business.

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use tokio::sync::OnceCell;
use wasmtime::component::{self, Component, ComponentExportIndex};
use wasmtime::{Engine, Module};

use super::actor::Given;
use super::body::{Call, WasmBody};
use super::engine::{Alloc, Flavor, Seat};
use super::error::Bounds;
use super::export::{self, Export, Name};
use super::grants::{Grant, Grants};
use super::interface::Interface;
use super::linker::{self, Import, Importer, Linked};
use super::module::{Artifact, Code, Header, Kept, Source, Stamp, sha256, verify};
use super::network::Reach;
use super::sections;
use super::state::State;
use super::value::{LARGEST, Signature};
use super::wasi::Inputs;
use super::{Shared, linker::Provision};
use crate::error::{Error, Kind, Result};
use crate::id::EntryId;
use crate::process::{Body, Process, Program, Start};
use crate::project::check;
use crate::project::entry::{Entry, Limits, Spec, Transport, WasmSource, WasmSpec};
use crate::project::network::AllowList;
use crate::size;
use crate::value::{Packed, Value};

/// A loaded entry.
pub struct WasmProgram {
    pub(super) entry: Arc<Entry>,
    pub(super) shared: Arc<Shared>,
    pub(super) signature: Signature,
    grants: Grants,
    /// What its processes may reach of the network, with a grant for that.
    reach: Option<Arc<Reach>>,
    header: Header,
    /// The engine whose slots it fits.
    home: Alloc,
    memories: usize,
    command: bool,
    /// Whether it reads its mailbox.
    actor: bool,
    name: Name,
    exports: Vec<Export>,
    imports: Vec<Import>,
    /// Known when it is linked.
    unknown: OnceLock<Vec<String>>,
    sha256: String,
    /// Keeps the compiled code known to other entries that use the same file.
    kept: Kept,
    prepared: [OnceLock<Result<Arc<Prepared>>>; Alloc::COUNT],
    /// The code for dense hosts, which is compiled when the first of them starts it.
    later: OnceCell<Later>,
}

/// Code of another flavor than the entry was loaded with.
struct Later {
    prepared: Arc<Prepared>,
    _kept: Kept,
}

/// The code in one engine, linked and ready to be instantiated.
pub(super) enum Prepared {
    Component {
        pre: component::InstancePre<State>,
        function: ComponentExportIndex,
    },
    Core {
        pre: wasmtime::InstancePre<State>,
        function: String,
        /// Whether `_initialize` is exported.
        initialize: bool,
    },
}

/// The entry's data, which must be that of a WASM kind.
pub(super) fn spec(entry: &Entry) -> Result<&WasmSpec> {
    match &entry.spec {
        Spec::Wasm(spec) => Ok(spec),
        _ => Err(Error::invalid(format!(
            "{} is not a WebAssembly entry: {}",
            entry.id, entry.kind
        ))),
    }
}

/// Loads an entry from the bytes of its file. Blocks for as long as compiling takes.
///
/// # Errors
/// The hash errors, a mismatch with the detail `changes`; Internal when it does not compile or `method` is not exported; Invalid for grants, signatures and
/// imports that do not fit.
pub(super) fn load(entry: &Arc<Entry>, source: &Source, shared: &Arc<Shared>) -> Result<WasmProgram> {
    let spec = spec(entry)?;
    let sha256 = sha256(&source.bytes);
    if let WasmSource::File { hash, .. } = &spec.source {
        verify(hash, &sha256).map_err(|error| with_changes(error, hash, spec, source, &sha256, shared))?;
    }
    let header = Header::of(&source.bytes)?;
    let grants = Grants::parse(&spec.imports, header == Header::Component)?;
    let Settled { kept, home, code } = compiled(shared, source, &sha256, flavor(spec, header, source))?;
    let exports = export::list(&shared.engines.engine(home)?, &code);
    let chosen = export::find(&exports, &spec.method)?.clone();
    let signature = chosen.signature(&chosen.called(&spec.method), spec.wit.as_deref())?;
    if let (Header::Core, Some(text)) = (header, &spec.wit) {
        export::check_wit(&exports, text)?;
    }
    let imports = linker::imports(&code);
    let is_process = |import: &Import| import.callable && import.grant == Some(Grant::Process);
    let program = WasmProgram {
        actor: grants.has(Grant::Process) && imports.iter().any(is_process),
        signature,
        command: chosen.command,
        name: chosen.name,
        entry: entry.clone(),
        shared: shared.clone(),
        imports,
        unknown: OnceLock::new(),
        prepared: Default::default(),
        reach: reach(spec, grants, shared),
        later: Default::default(),
        grants,
        header,
        home,
        memories: code.memories(),
        exports,
        sha256,
        kept,
    };
    program.settled(home, &code)
}

/// The refusal of a file that is not the one of its hash, with what has changed in its interface since that one was loaded
/// here. The new one is compiled for it: so it will be anyway once the hash is mended.
fn with_changes(error: Error, hash: &str, spec: &WasmSpec, source: &Source, sha256: &str, shared: &Shared) -> Error {
    let Some(before) = check::digits_of(hash).and_then(|known| shared.artifacts.interface(known)) else {
        return error;
    };
    let flavor = |header| flavor(spec, header, source);
    let now = Header::of(&source.bytes).and_then(|header| compiled(shared, source, sha256, flavor(header)));
    let changes = match now {
        Ok(now) => Interface::of(&now.code).changes_since(&before),
        Err(why) => vec![why.to_string()],
    };
    error.with_details(Value::map([(
        CHANGES,
        Value::array(changes.into_iter().map(Value::from)),
    )]))
}

/// The detail of a hash mismatch that lists what has changed.
pub(super) const CHANGES: &str = "changes";

fn reach(spec: &WasmSpec, grants: Grants, shared: &Shared) -> Option<Arc<Reach>> {
    let granted = grants.has(Grant::Sockets) || grants.has(Grant::Http);
    let reach = || Reach {
        list: AllowList::new(&spec.network),
        outside: shared.outside.clone(),
        given: matches!(spec.source, WasmSource::Given { .. }),
    };
    granted.then(|| Arc::new(reach()))
}

/// Compiled code in the engine that it fits.
pub(super) struct Settled {
    kept: Kept,
    pub home: Alloc,
    pub code: Code,
}

/// The flavor of an entry's code on a host that wants nothing special.
pub(super) fn flavor(spec: &WasmSpec, header: Header, source: &Source) -> Flavor {
    Flavor {
        fuel: spec.limits.max_fuel > 0,
        dense: false,
        concurrent: header == Header::Component && sections::is_concurrent(&source.bytes),
        collected: false,
    }
}

/// The code of a module, compiled or from the cache, in the first engine whose slots it fits. What the cache holds but no
/// engine loads is compiled again. What the other engines refuse is left to the ones that know exceptions and references to
/// collect: they say best what is wrong with it, if anything is.
///
/// # Errors
/// As [`Artifact::compile`](super::module::Artifact::compile).
pub(super) fn compiled(shared: &Shared, source: &Source, sha256: &str, flavor: Flavor) -> Result<Settled> {
    let get_as = |flavor| shared.artifacts.get(&shared.engines, source, sha256, flavor);
    let (flavor, mut kept) = match get_as(flavor) {
        Err(_) if !flavor.collected => {
            let collected = Flavor {
                collected: true,
                ..flavor
            };
            (collected, get_as(collected)?)
        }
        kept => (flavor, kept?),
    };
    let get = || get_as(flavor);
    let settled = match settle(shared, &*kept.artifact()?, flavor) {
        Err(_) if shared.artifacts.discard(&kept) => {
            kept = get()?;
            settle(shared, &*kept.artifact()?, flavor)
        }
        settled => settled,
    };
    let (home, code) = settled?;
    // Text in the YAML has no hash that could differ.
    if source.stamp != Stamp::Text {
        shared.artifacts.keep_interface(sha256, &code);
    }
    Ok(Settled { kept, home, code })
}

/// The first engine whose slots the code fits, and the code in it.
fn settle(shared: &Shared, artifact: &Artifact, flavor: Flavor) -> Result<(Alloc, Code)> {
    let first = shared.engines.preferred(flavor);
    if first == Alloc::SmallPool
        && let Ok(code) = shared.engines.engine(first).and_then(|engine| artifact.load(&engine))
    {
        return Ok((first, code));
    }
    let home = flavor.engine();
    let code = artifact.load(&shared.engines.engine(home)?)?;
    Ok((home, code))
}

impl WasmProgram {
    /// The program with its code linked in the engine where it was loaded.
    fn settled(self, home: Alloc, code: &Code) -> Result<WasmProgram> {
        let prepared = self.link(home, code)?;
        let fresh = self.prepared[home.index()].set(Ok(prepared));
        debug_assert!(fresh.is_ok(), "nobody else has seen the program yet");
        Ok(self)
    }

    /// The function's parameters and result.
    pub fn signature(&self) -> &Signature {
        &self.signature
    }

    /// Whether it gets the words of the command line as WASI arguments.
    pub fn is_command(&self) -> bool {
        self.command
    }

    /// The arguments of a start from the command line: none for a command, whose words are WASI arguments; for any
    /// other method the words by their WIT types.
    ///
    /// # Errors
    /// Invalid for too few, too many and unparsable words; [`Signature::usage`] gives the line to show.
    pub fn arguments(&self, words: &[String]) -> Result<Packed> {
        match self.command {
            true => Ok(Packed::empty()),
            false => self.signature.parse_words(words, self.max_transfer()),
        }
    }

    /// What prints the value it ended with; see [`Signature::print`].
    ///
    /// # Errors
    /// As [`Signature::print`].
    pub fn print(&self, value: &Packed) -> Result<Vec<u8>> {
        self.signature.print(value)
    }

    pub fn sha256(&self) -> &str {
        &self.sha256
    }

    pub fn is_component(&self) -> bool {
        self.header == Header::Component
    }

    /// As [`Alloc::name`].
    #[cfg(test)]
    pub fn engine_name(&self) -> String {
        self.home.name()
    }

    pub fn exports(&self) -> &[Export] {
        &self.exports
    }

    pub fn imports(&self) -> &[Import] {
        &self.imports
    }

    /// Functions of interfaces that are linked, which this version does not have.
    pub(super) fn unknown_functions(&self) -> &[String] {
        self.unknown.get().map_or(&[], Vec::as_slice)
    }

    /// What becomes of one of its imports.
    pub fn provision(&self, import: &Import) -> Provision {
        linker::provision(&import.name, self.grants)
    }

    /// The arguments of its method. One without parameters that reads its mailbox finds there what it was started with.
    ///
    /// # Errors
    /// As [`Call::lower`].
    fn lower(&self, args: &Packed) -> Result<Call> {
        match self.actor && self.signature.params().is_empty() {
            true => Call::lower(self, &Packed::empty()),
            false => Call::lower(self, args),
        }
    }

    /// A call with these arguments.
    ///
    /// # Errors
    /// As [`Program::start`].
    pub(super) fn call(&self, args: &Packed) -> Result<Call> {
        if self.spec().transport == Transport::WasiHttp {
            return Err(Error::unavailable(format!(
                "{}: transport wasi-http needs an HTTP endpoint, which this version of wippy does not have",
                self.entry.id
            )));
        }
        self.lower(args)
    }

    /// What of the arguments of a call is kept: nobody but an actor asks for them again, and they may be large. The report
    /// of a failure shows as much of them as is left then.
    pub(super) fn kept(&self, args: Packed) -> Packed {
        match self.actor || args.size() <= KEPT {
            true => args,
            false => Packed::from_values(&args.brief()),
        }
    }

    /// The body of a new instance, and of a call in it if there is one.
    fn make(self: &Arc<Self>, call: Option<Call>, process: Arc<Process>, args: Packed) -> Result<Box<dyn Body>> {
        let limits = &self.spec().limits;
        let given = Given {
            system: self.shared.system.clone(),
            reads_mail: self.actor,
            max_transfer: self.max_transfer(),
            max_memory: limits.max_memory,
        };
        let inputs = Inputs::capture(self, &process, args, given)?;
        let seat = self.seat(process.host().is_dense())?;
        process.set_hears_cancel(self.actor);
        Ok(Box::new(WasmBody::new(call, inputs, seat)))
    }

    /// A place for a new instance. Idle ones make room for it.
    fn seat(&self, dense: bool) -> Result<Seat> {
        loop {
            match self.shared.engines.admit(self.home, self.memories, dense) {
                Err(error) if error.kind() == Kind::Unavailable && self.shared.shelf.make_room() => {}
                seat => return seat,
            }
        }
    }

    /// Whether an instance can serve another call. That of a command has ended with its call; tasks of the component
    /// model's concurrency may outlive a call, and must not run in the next one's name.
    pub(super) fn keeps_instances(&self) -> bool {
        !self.is_process() && !self.command && !self.home.flavor().concurrent
    }

    /// Whether it reads its mailbox.
    pub(super) fn is_actor(&self) -> bool {
        self.actor
    }

    pub(super) fn grants(&self) -> Grants {
        self.grants
    }

    pub(super) fn reach(&self) -> Option<&Arc<Reach>> {
        self.reach.as_ref()
    }

    pub(super) fn spec(&self) -> &WasmSpec {
        spec(&self.entry).expect("a program is only made from a WASM entry")
    }

    /// Whether its end is that of a process: a `result` at the top is unwrapped.
    pub(super) fn is_process(&self) -> bool {
        self.entry.kind == "process.wasm"
    }

    pub(super) fn bounds(&self) -> Bounds {
        let limits = &self.spec().limits;
        Bounds {
            max_fuel: limits.max_fuel,
            max_stack: self.shared.engines.settings().max_stack as u64,
            max_transfer: self.max_transfer(),
            max_handles: limits.max_handles,
        }
    }

    /// Bytes of host memory that the values of one call may take.
    pub(super) fn max_transfer(&self) -> u64 {
        match self.spec().limits.max_transfer {
            // Data that crosses is addressed with 32 bits.
            0 => LARGEST as u64,
            bytes => bytes,
        }
    }

    /// The limits that its runs are under, as the entry writes them; those that are off are left out.
    pub(super) fn limits_in_force(&self) -> Value {
        let Limits {
            max_execution_ms,
            max_memory,
            max_fuel,
            max_transfer,
            max_handles,
        } = self.spec().limits;
        let count = |amount: u64| Value::Int(i64::try_from(amount).unwrap_or(i64::MAX));
        let bytes = |amount: u64| Value::from(size::format(amount));
        let limits = [
            ("max_execution_ms", max_execution_ms, count(max_execution_ms)),
            ("max_memory", max_memory, bytes(max_memory)),
            ("max_fuel", max_fuel, count(max_fuel)),
            ("max_stack", self.bounds().max_stack, bytes(self.bounds().max_stack)),
            ("max_transfer", max_transfer, bytes(max_transfer)),
            ("max_handles", max_handles, count(max_handles)),
        ];
        let set = limits.into_iter().filter(|(_, amount, _)| *amount > 0);
        Value::map(set.map(|(name, _, shown)| (name, shown)))
    }

    /// The code in an engine, linked at the first call; none when it has to be compiled first.
    pub(super) fn prepared(&self, alloc: Alloc) -> Option<Result<Arc<Prepared>>> {
        if alloc.flavor() != self.home.flavor() {
            return self.later.get().map(|later| Ok(later.prepared.clone()));
        }
        let prepare = || {
            let engine = self.shared.engines.engine(alloc)?;
            self.link(alloc, &self.kept.artifact()?.load(&engine)?)
        };
        Some(self.prepared[alloc.index()].get_or_init(prepare).clone())
    }

    /// The code in an engine of a flavor that it was not loaded with. Compiled once, off the workers; whoever asks
    /// meanwhile waits without holding a thread.
    ///
    /// # Errors
    /// As [`load`]; the next one who asks tries again.
    pub(super) async fn compiled_later(self: &Arc<Self>, alloc: Alloc) -> Result<Arc<Prepared>> {
        let compile = || async {
            let program = self.clone();
            let compiling = self.shared.io.spawn_blocking(move || program.compile(alloc));
            compiling
                .await
                .unwrap_or_else(|error| Err(Error::internal(format!("failed to compile wasm module: {error}"))))
        };
        let later = self.later.get_or_try_init(compile).await?;
        Ok(later.prepared.clone())
    }

    fn compile(&self, alloc: Alloc) -> Result<Later> {
        let spec = self.spec();
        let source = Source::of(&self.entry.id, &spec.source, &self.shared.system.volumes)?;
        verify(&format!("sha256:{}", self.sha256), &sha256(&source.bytes))?;
        let Settled { kept, home, code } = compiled(&self.shared, &source, &self.sha256, alloc.flavor())?;
        Ok(Later {
            prepared: self.link(home, &code)?,
            _kept: kept,
        })
    }

    fn link(&self, alloc: Alloc, code: &Code) -> Result<Arc<Prepared>> {
        let importer = Importer {
            entry: &self.entry.id,
            imports: &self.spec().imports,
            grants: self.grants,
        };
        let linkers = &self.shared.linkers;
        let prepared = match code {
            Code::Component(component) => {
                let Linked { linker, unknown } = linkers.component(alloc, component, importer)?;
                self.unknown.get_or_init(|| unknown);
                Prepared::Component {
                    pre: linker.instantiate_pre(component).map_err(unlinked)?,
                    function: self.index(component)?,
                }
            }
            Code::Core(module) => {
                let Linked { linker, unknown } = linkers.module(alloc, module, importer)?;
                self.unknown.get_or_init(|| unknown);
                Prepared::Core {
                    pre: linker.instantiate_pre(module).map_err(unlinked)?,
                    function: self.name.to_string(),
                    initialize: initializes(module),
                }
            }
        };
        Ok(Arc::new(prepared))
    }

    fn index(&self, component: &Component) -> Result<ComponentExportIndex> {
        let missing = || Error::internal(format!("failed to call wasm method: {}", self.spec().method));
        let instance = match &self.name.interface {
            Some(interface) => Some(
                component
                    .get_export_index(None, interface.as_str())
                    .ok_or_else(missing)?,
            ),
            None => None,
        };
        component
            .get_export_index(instance.as_ref(), self.name.function.as_str())
            .ok_or_else(missing)
    }
}

/// Whether a reactor wants to be initialized before its first call.
fn initializes(module: &Module) -> bool {
    module
        .get_export("_initialize")
        .and_then(|export| export.func().map(|ty| ty.params().len() + ty.results().len() == 0))
        .unwrap_or(false)
}

fn unlinked(error: wasmtime::Error) -> Error {
    Error::internal(format!("failed to instantiate wasm module: {error:#}"))
}

impl Prepared {
    pub(super) fn engine(&self) -> &Engine {
        match self {
            Prepared::Component { pre, .. } => pre.engine(),
            Prepared::Core { pre, .. } => pre.module().engine(),
        }
    }
}

/// Bytes of arguments that are kept as they are.
const KEPT: usize = 1 << 10;

/// Handed to the kernel: a program that keeps itself alive for its bodies.
pub struct Handle(pub Arc<WasmProgram>);

impl Handle {
    pub fn of(program: WasmProgram) -> Arc<Handle> {
        Arc::new(Handle(Arc::new(program)))
    }
}

impl Program for Handle {
    fn entry(&self) -> &EntryId {
        &self.0.entry.id
    }

    fn kind(&self) -> &'static str {
        match self.0.entry.kind.as_str() {
            "function.wasm" => "function.wasm",
            "function.wat" => "function.wat",
            _ => "process.wasm",
        }
    }

    fn max_execution(&self) -> Option<Duration> {
        self.0.spec().limits.max_execution()
    }

    fn identity(&self) -> usize {
        Arc::as_ptr(&self.0).addr()
    }

    fn warm(&self, process: Arc<Process>) -> Result<Box<dyn Body>> {
        if !self.0.keeps_instances() {
            return Err(Error::unavailable(format!("{} keeps no instances", self.0.entry.id)));
        }
        self.0.make(None, process, Packed::empty())
    }

    fn start(&self, start: Start) -> Result<Box<dyn Body>> {
        let call = self.0.call(&start.args)?;
        self.0.make(Some(call), start.process, self.0.kept(start.args))
    }
}
