//! What stands behind a module's imports: WASI where it is linked, stubs for everything else.
//!
//! WASI's functions are always linked, harmless without their grant because the context behind them is empty; sockets, HTTP
//! and the package `wippy:runtime` only with it. Every other function is a stub: the module can be instantiated, and a call of the stub ends the run
//! with a text that says what to write into the entry. Types that an import needs are made up as they are met.
//!
//! Invariant: no import reaches anything of the host unless a grant of this entry covers it.

use std::collections::HashSet;
use std::future::ready;
use std::sync::OnceLock;

use wasmtime::component::types::{ComponentFunc, ComponentInstance, ComponentItem};
use wasmtime::component::{self, Component, HasData, LinkerInstance, ResourceTable, ResourceType};
use wasmtime::{Engine, ExternType, Module};
use wasmtime_wasi::I32Exit;
use wasmtime_wasi::clocks::{WasiClocks, WasiClocksView as _};
use wasmtime_wasi::p2::bindings as wasi;

use super::actor;
use super::engine::Alloc;
use super::error::Stop;
use super::export::unversioned;
use super::grants::{Grant, Grants, imports_line};
use super::module::Code;
use super::state::State;
use super::wasi_0_3;
use crate::error::{Error, Result};
use crate::id::EntryId;
use crate::process::Exit;

/// The version of WASI 0.2 that is linked. A guest for any other 0.2 gets the same functions; 0.3 is `wasi_0_3`'s.
const LINKED: &str = "0.2.12";
/// The module name of preview 1.
pub(super) const PREVIEW_1: &str = "wasi_snapshot_preview1";
/// The module name of what came before it, which the oldest modules import.
pub(super) const PREVIEW_0: &str = "wasi_unstable";
/// `notsup` of preview 1's `errno`.
const NOTSUP: i32 = 58;

/// What becomes of an import.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Provision {
    Linked,
    /// Nothing stands behind it: the grant that would, if there is one.
    Missing(Option<Grant>),
    /// Granted, and not provided by this version.
    Unprovided(Grant),
}

/// What becomes of an import of that name under these grants.
pub fn provision(interface: &str, grants: Grants) -> Provision {
    use Grant::{Cli, Clocks, Filesystem, Http, Io, Random, Sockets};
    let linked = linked_version(interface).is_some();
    match Grant::covering(interface) {
        Some(Io | Cli | Filesystem | Clocks | Random) if linked => Provision::Linked,
        Some(Io | Cli | Filesystem | Clocks | Random) | None => Provision::Missing(None),
        Some(grant) if !grants.has(grant) => Provision::Missing(Some(grant)),
        Some(Sockets | Http) if linked => Provision::Linked,
        Some(grant) if actor::GRANTS.contains(&grant) && has_version(interface, "0.1.") => Provision::Linked,
        Some(grant) => Provision::Unprovided(grant),
    }
}

/// The version of WASI that stands behind an interface, if it is a release and has that interface.
fn linked_version(interface: &str) -> Option<&'static str> {
    if has_version(interface, "0.3.") {
        return wasi_0_3::exists(interface).then_some(wasi_0_3::LINKED);
    }
    (has_version(interface, "0.2.") && exists(interface)).then_some(LINKED)
}

/// Whether it is a release of the versions that begin so.
fn has_version(interface: &str, beginning: &str) -> bool {
    let Some((_, version)) = interface.split_once('@') else {
        return false;
    };
    version
        .strip_prefix(beginning)
        .is_some_and(|patch| !patch.is_empty() && patch.bytes().all(|byte| byte.is_ascii_digit()))
}

/// Interfaces that later versions of WASI have, or that never left their proposal, are not linked.
fn exists(interface: &str) -> bool {
    !matches!(
        unversioned(interface),
        "wasi:cli/types"
            | "wasi:clocks/system-clock"
            | "wasi:clocks/timezone"
            | "wasi:clocks/types"
            | "wasi:http/incoming-handler"
    )
}

/// Who imports, and what it was allowed: all that a stub has to say.
#[derive(Clone, Copy)]
pub struct Importer<'a> {
    pub entry: &'a EntryId,
    pub imports: &'a [String],
    pub grants: Grants,
}

impl Importer<'_> {
    /// The end of a run that called an import which nothing stands behind.
    fn refusal(&self, import: &str, provision: Provision) -> Stop {
        let entry = self.entry;
        let error = match provision {
            Provision::Missing(Some(grant)) => {
                let line = imports_line(self.imports.iter().map(|name| name.trim()).chain([grant.name()]));
                Error::permission_denied(format!(
                    "{entry} called {import} without a grant; add to the entry: {line}"
                ))
            }
            Provision::Unprovided(grant) => Error::unavailable(format!(
                "{entry} called {import}: {grant} is granted, but this version of wippy does not provide it"
            )),
            Provision::Missing(None) | Provision::Linked => {
                Error::permission_denied(format!("{entry} called {import}, which no grant provides"))
            }
        };
        Stop::new(Exit::failed(error))
    }
}

/// `wasi:http/types.fields.append` for the function `[method]fields.append` of `wasi:http/types@0.2.3`.
fn import_name(interface: Option<&str>, function: &str) -> String {
    let function = function.rsplit(']').next().unwrap_or(function);
    match interface {
        Some(interface) => format!("{}.{function}", unversioned(interface)),
        None => function.to_owned(),
    }
}

fn unsupported(name: &str, kind: &str) -> Error {
    Error::invalid(format!("unsupported import: {name} ({kind})"))
}

fn unlinked(error: wasmtime::Error) -> Error {
    Error::internal(format!("failed to instantiate wasm module: {error:#}"))
}

/// A linker for one module.
pub struct Linked<L> {
    pub linker: L,
    /// Functions that became stubs although their interface is linked: this version does not have them.
    pub unknown: Vec<String>,
}

impl<L> Linked<L> {
    /// For a module that imports nothing: making WASI ready would be a good part of the time that it takes to load.
    fn empty(linker: L) -> Linked<L> {
        Linked {
            linker,
            unknown: Vec::new(),
        }
    }
}

/// What every guest may link against, made once per engine.
#[derive(Default)]
pub struct Linkers {
    components: [[OnceLock<component::Linker<State>>; 4]; Alloc::COUNT],
    modules: [OnceLock<wasmtime::Linker<State>>; Alloc::COUNT],
}

impl Linkers {
    /// A linker for one component: WASI and its stubs.
    ///
    /// # Errors
    /// Invalid `unsupported import: …` for an import that cannot be a stub.
    pub fn component(
        &self,
        alloc: Alloc,
        component: &Component,
        importer: Importer<'_>,
    ) -> Result<Linked<component::Linker<State>>> {
        let engine = component.engine();
        if component.component_type().imports(engine).next().is_none() {
            return Ok(Linked::empty(component::Linker::new(engine)));
        }
        let (sockets, http) = (importer.grants.has(Grant::Sockets), importer.grants.has(Grant::Http));
        let base = &self.components[alloc.index()][usize::from(sockets) + 2 * usize::from(http)];
        let mut linker = match base.get() {
            Some(linker) => linker.clone(),
            None => {
                let mut made = component_linker(engine, sockets, http).map_err(unlinked)?;
                if alloc.flavor().concurrent {
                    wasi_0_3::link(&mut made, sockets, http).map_err(unlinked)?;
                }
                base.get_or_init(|| made).clone()
            }
        };
        actor::link(&mut linker, importer.grants).map_err(unlinked)?;
        let mut stubs = Stubs {
            engine,
            importer,
            resources: Vec::new(),
            unknown: Vec::new(),
        };
        stubs.add(&mut linker, component)?;
        let unknown = stubs.unknown;
        Ok(Linked { linker, unknown })
    }

    /// A linker for one core module: preview 1 and its stubs.
    ///
    /// # Errors
    /// As [`Linkers::component`].
    pub fn module(
        &self,
        alloc: Alloc,
        module: &Module,
        importer: Importer<'_>,
    ) -> Result<Linked<wasmtime::Linker<State>>> {
        if module.imports().next().is_none() {
            return Ok(Linked::empty(wasmtime::Linker::new(module.engine())));
        }
        let base = &self.modules[alloc.index()];
        let mut linker = match base.get() {
            Some(linker) => linker.clone(),
            None => {
                let made = module_linker(module.engine()).map_err(unlinked)?;
                base.get_or_init(|| made).clone()
            }
        };
        let unknown = add_module_stubs(&mut linker, module, importer)?;
        Ok(Linked { linker, unknown })
    }
}

/// Adds the interfaces that WASI 0.2 and 0.3 have in common, from the bindings of either.
macro_rules! link_common {
    ($linker:expr, $bindings:ident) => {{
        use wasmtime_wasi::cli::{WasiCli, WasiCliView as _};
        use wasmtime_wasi::clocks::{WasiClocks, WasiClocksView as _};
        use wasmtime_wasi::filesystem::{WasiFilesystem, WasiFilesystemView as _};
        use wasmtime_wasi::random::{WasiRandom, WasiRandomView as _};
        use $bindings::{cli, clocks, filesystem, random};
        let l = $linker;
        clocks::monotonic_clock::add_to_linker::<State, WasiClocks>(l, State::clocks)?;
        random::random::add_to_linker::<State, WasiRandom>(l, State::random)?;
        random::insecure::add_to_linker::<State, WasiRandom>(l, State::random)?;
        random::insecure_seed::add_to_linker::<State, WasiRandom>(l, State::random)?;
        filesystem::preopens::add_to_linker::<State, WasiFilesystem>(l, State::filesystem)?;
        filesystem::types::add_to_linker::<State, WasiFilesystem>(l, State::filesystem)?;
        cli::environment::add_to_linker::<State, WasiCli>(l, State::cli)?;
        cli::exit::add_to_linker::<State, WasiCli>(l, State::cli)?;
        cli::stdin::add_to_linker::<State, WasiCli>(l, State::cli)?;
        cli::stdout::add_to_linker::<State, WasiCli>(l, State::cli)?;
        cli::stderr::add_to_linker::<State, WasiCli>(l, State::cli)?;
        cli::terminal_input::add_to_linker::<State, WasiCli>(l, State::cli)?;
        cli::terminal_output::add_to_linker::<State, WasiCli>(l, State::cli)?;
        cli::terminal_stdin::add_to_linker::<State, WasiCli>(l, State::cli)?;
        cli::terminal_stdout::add_to_linker::<State, WasiCli>(l, State::cli)?;
        cli::terminal_stderr::add_to_linker::<State, WasiCli>(l, State::cli)?;
    }};
}
pub(super) use link_common;

struct Io;

impl HasData for Io {
    type Data<'a> = &'a mut ResourceTable;
}

fn component_linker(engine: &Engine, sockets: bool, http: bool) -> wasmtime::Result<component::Linker<State>> {
    let mut linker = component::Linker::new(engine);
    let l = &mut linker;
    wasi::io::error::add_to_linker::<State, Io>(l, |state| &mut state.table)?;
    wasi::io::poll::add_to_linker::<State, Io>(l, |state| &mut state.table)?;
    wasi::io::streams::add_to_linker::<State, Io>(l, |state| &mut state.table)?;
    wasi::clocks::wall_clock::add_to_linker::<State, WasiClocks>(l, State::clocks)?;
    link_common!(&mut *l, wasi);
    super::files::guard(l, LINKED)?;
    super::listing::guard(l, LINKED)?;
    super::random::guard(l, LINKED)?;
    super::timers::guard(l, LINKED)?;
    if sockets {
        super::sockets::link(l)?;
    }
    if http {
        wasmtime_wasi_http::p2::add_only_http_to_linker_async(l)?;
    }
    Ok(linker)
}

fn module_linker(engine: &Engine) -> wasmtime::Result<wasmtime::Linker<State>> {
    let mut linker = wasmtime::Linker::new(engine);
    wasmtime_wasi::p1::add_to_linker_async(&mut linker, State::preview_1)?;
    wasmtime_wasi::p0::add_to_linker_async(&mut linker, State::preview_1)?;
    linker.allow_shadowing(true);
    linker.func_wrap(PREVIEW_1, "sock_accept", |_: i32, _: i32, _: i32| NOTSUP)?;
    for module in [PREVIEW_1, PREVIEW_0] {
        super::files::guard_core(&mut linker, module)?;
        super::listing::guard_core(&mut linker, module)?;
        super::random::guard_core(&mut linker, module)?;
        // WASI's own refuses what a shell uses for other things, from 126 on.
        linker.func_wrap(module, "proc_exit", |code: i32| -> wasmtime::Result<()> {
            Err(I32Exit(code).into())
        })?;
        linker.func_wrap(module, "sock_recv", |_: i32, _: i32, _: i32, _: i32, _: i32, _: i32| {
            NOTSUP
        })?;
        linker.func_wrap(module, "sock_send", |_: i32, _: i32, _: i32, _: i32, _: i32| NOTSUP)?;
        linker.func_wrap(module, "sock_shutdown", |_: i32, _: i32| NOTSUP)?;
    }
    linker.allow_shadowing(false);
    Ok(linker)
}

/// A made-up resource: nobody can make one, so nothing is ever behind it.
struct Phantom;

/// Adds stubs for one component.
struct Stubs<'a> {
    engine: &'a Engine,
    importer: Importer<'a>,
    /// Resource types met so far; a type is defined where it is met first, later mentions are the same one.
    resources: Vec<ResourceType>,
    unknown: Vec<String>,
}

impl Stubs<'_> {
    fn add(&mut self, linker: &mut component::Linker<State>, component: &Component) -> Result<()> {
        let engine = self.engine;
        for (name, import) in component.component_type().imports(engine) {
            let provision = provision(name, self.importer.grants);
            match import.ty {
                ComponentItem::ComponentInstance(instance) => {
                    let known = provision == Provision::Linked;
                    let place = if known { linked_name(name) } else { name.to_owned() };
                    let mut at = linker.instance(&place).map_err(unlinked)?;
                    self.instance(&mut at, name, &instance, provision)?;
                }
                item => self.item(&mut linker.root(), None, name, item, provision)?,
            }
        }
        Ok(())
    }

    fn instance(
        &mut self,
        at: &mut LinkerInstance<'_, State>,
        interface: &str,
        instance: &ComponentInstance,
        provision: Provision,
    ) -> Result<()> {
        for (name, export) in instance.exports(self.engine) {
            self.item(at, Some(interface), name, export.ty, provision)?;
        }
        Ok(())
    }

    fn item(
        &mut self,
        at: &mut LinkerInstance<'_, State>,
        interface: Option<&str>,
        name: &str,
        item: ComponentItem,
        provision: Provision,
    ) -> Result<()> {
        match item {
            ComponentItem::ComponentFunc(ty) => self.function(at, interface, name, &ty, provision),
            ComponentItem::Resource(resource) => self.resource(at, name, resource, provision),
            ComponentItem::ComponentInstance(inner) => {
                let mut at = at.instance(name).map_err(unlinked)?;
                self.instance(&mut at, &import_name(interface, name), &inner, provision)
            }
            ComponentItem::Type(_) => Ok(()),
            ComponentItem::Module(_) => Err(unsupported(&import_name(interface, name), "module")),
            ComponentItem::Component(_) => Err(unsupported(&import_name(interface, name), "component")),
            ComponentItem::CoreFunc(_) => Err(unsupported(&import_name(interface, name), "core function")),
        }
    }

    fn function(
        &mut self,
        at: &mut LinkerInstance<'_, State>,
        interface: Option<&str>,
        name: &str,
        ty: &ComponentFunc,
        provision: Provision,
    ) -> Result<()> {
        let import = import_name(interface, name);
        let stop = self.importer.refusal(&import, provision);
        let refuse = move || Err(wasmtime::Error::new(stop.clone()));
        let added = match ty.async_() {
            true => at.func_new_concurrent(name, move |_, _, _, _| Box::pin(ready(refuse()))),
            false => at.func_new(name, move |_, _, _, _| refuse()),
        };
        match added {
            // What is linked refuses to be defined twice; a function that a later 0.2 added becomes a stub.
            Err(_) if provision == Provision::Linked => return Ok(()),
            added => added.map_err(unlinked)?,
        }
        if provision == Provision::Linked {
            self.unknown.push(import);
        }
        Ok(())
    }

    fn resource(
        &mut self,
        at: &mut LinkerInstance<'_, State>,
        name: &str,
        resource: ResourceType,
        provision: Provision,
    ) -> Result<()> {
        if self.resources.contains(&resource) {
            return Ok(());
        }
        self.resources.push(resource);
        if provision == Provision::Linked {
            return Ok(());
        }
        let phantom = ResourceType::host::<Phantom>();
        at.resource(name, phantom, |_, _| Ok(())).map_err(unlinked)
    }
}

/// The name under which the functions for a guest's `wasi:io/streams@0.2.3` are linked.
fn linked_name(interface: &str) -> String {
    match Grant::covering(interface) {
        Some(grant) if actor::GRANTS.contains(&grant) => actor::linked_name(interface),
        _ => match linked_version(interface) {
            Some(version) => format!("{}@{version}", unversioned(interface)),
            None => interface.to_owned(),
        },
    }
}

/// Whether functions of that module are those of WASI.
fn is_wasi(module: &str) -> bool {
    matches!(module, PREVIEW_1 | PREVIEW_0)
}

/// Stubs for one core module; gives the functions that preview 1 does not have.
fn add_module_stubs(
    linker: &mut wasmtime::Linker<State>,
    module: &Module,
    importer: Importer<'_>,
) -> Result<Vec<String>> {
    let mut unknown = Vec::new();
    for import in module.imports() {
        let name = import_name(Some(import.module()), import.name());
        if let Some(kind) = not_a_function(&import.ty()) {
            return Err(unsupported(&name, kind));
        }
        let ExternType::Func(ty) = import.ty() else { continue };
        let stop = importer.refusal(&name, Provision::Missing(None));
        let added = linker.func_new(import.module(), import.name(), ty, move |_, _, _| {
            Err(wasmtime::Error::new(stop.clone()))
        });
        // WASI is defined already, and so is an import that stands there twice.
        if added.is_ok() && is_wasi(import.module()) {
            unknown.push(name);
        }
    }
    Ok(unknown)
}

/// What an import of a core module is, if it cannot be a stub.
fn not_a_function(ty: &ExternType) -> Option<&'static str> {
    match ty {
        ExternType::Func(_) => None,
        ExternType::Memory(_) => Some("memory"),
        ExternType::Table(_) => Some("table"),
        ExternType::Global(_) => Some("global"),
        ExternType::Tag(_) => Some("tag"),
    }
}

/// An import as far as grants are concerned.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Import {
    /// Interface with its version, module of a core import, or the name of a bare function.
    pub name: String,
    pub grant: Option<Grant>,
    /// Whether it has functions or resources; an import of types alone is always satisfied.
    pub callable: bool,
    /// What it is, when it is something that cannot be a stub: `memory`, `table`.
    pub unsupported: Option<&'static str>,
}

/// What a module imports, in its order, each interface once.
pub fn imports(code: &Code) -> Vec<Import> {
    match code {
        Code::Component(component) => component_imports(component),
        Code::Core(module) => module_imports(module),
    }
}

fn component_imports(component: &Component) -> Vec<Import> {
    let engine = component.engine();
    let ty = component.component_type();
    let import = |(name, item): (&str, component::types::ComponentExtern<'_>)| {
        let callable = match &item.ty {
            ComponentItem::ComponentFunc(_) => true,
            ComponentItem::ComponentInstance(instance) => has_functions(engine, instance),
            ComponentItem::Type(_) => return None,
            _ => false,
        };
        let unsupported = match &item.ty {
            ComponentItem::Module(_) => Some("module"),
            ComponentItem::Component(_) => Some("component"),
            _ => None,
        };
        Some(Import {
            name: name.to_owned(),
            grant: Grant::covering(name),
            callable,
            unsupported,
        })
    };
    ty.imports(engine).filter_map(import).collect()
}

/// Whether it, or an instance in it, has functions.
fn has_functions(engine: &Engine, instance: &ComponentInstance) -> bool {
    instance.exports(engine).any(|(_, item)| match item.ty {
        ComponentItem::ComponentFunc(_) => true,
        ComponentItem::ComponentInstance(inner) => has_functions(engine, &inner),
        _ => false,
    })
}

fn module_imports(module: &Module) -> Vec<Import> {
    let mut found: Vec<Import> = Vec::new();
    let mut known = HashSet::new();
    for import in module.imports() {
        let wasi = is_wasi(import.module());
        let name = match wasi {
            true => import.module().to_owned(),
            false => import_name(Some(import.module()), import.name()),
        };
        if known.insert(name.clone()) {
            found.push(Import {
                name,
                grant: wasi.then_some(Grant::Wasi1),
                callable: matches!(import.ty(), ExternType::Func(_)),
                unsupported: not_a_function(&import.ty()),
            });
        }
    }
    found
}
