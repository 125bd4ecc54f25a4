//! What there is to know about a module before anybody calls it: header, hash, imports against grants, exports.
//!
//! Unlike loading, looking needs neither a method nor a hash that fits, and nothing is linked: a module that could not
//! run is shown all the same.

use super::export::{self, unversioned};
use super::grants::{Grant, Grants};
use super::linker::{self, Import, PREVIEW_0, PREVIEW_1, Provision};
use super::module::{Code, Header, Source, Stamp, sha256};
use super::program::{Settled, compiled, flavor, spec};
use super::value::Signature;
use super::{Shared, Wasm};
use crate::error::Result;
use crate::id::EntryId;
use crate::project::entry::{Entry, WasmSpec};

/// A module, looked at.
pub struct Inspection {
    pub component: bool,
    /// In bytes.
    pub size: usize,
    /// The versions of WASI that it imports or exports: `0.2.12`, `preview 1`.
    pub wasi: Vec<String>,
    /// In lower-case hex.
    pub sha256: String,
    /// `pool`, `on demand`, or what else the module needs of it.
    pub engine: String,
    pub imports: Vec<Imported>,
    pub exports: Vec<Exported>,
}

pub struct Imported {
    pub name: String,
    /// The grant that covers it.
    pub grant: Option<Grant>,
    pub standing: Standing,
}

/// What stands behind an import.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    Granted,
    /// Linked, and empty without its grant.
    Inert,
    /// A stub until its grant is given.
    Missing,
    /// A stub: no grant covers it.
    Unknown,
    /// Granted, and not provided by this version.
    Unprovided,
    /// Types alone, which are always there.
    Types,
    /// Something that cannot be a stub, so that the module cannot run: a memory, a table.
    Unsupported(&'static str),
}

pub struct Exported {
    /// As `method` writes it.
    pub method: String,
    pub command: bool,
    pub signature: Signature,
}

impl Exported {
    /// Whether all of its types have a form in Lua.
    pub fn is_callable(&self) -> bool {
        self.signature.is_callable()
    }
}

impl Inspection {
    /// The function that is meant when nobody chooses: the command, else the first that Lua can call.
    pub fn favourite(&self) -> Option<&Exported> {
        let command = self.exports.iter().find(|export| export.command);
        // It has been called by then.
        let started = |export: &Exported| !self.component && export.method == "_initialize";
        // An entry needs a method, so that nothing leads to an export without a name.
        let other = |export: &&Exported| export.is_callable() && !started(export) && !export.method.is_empty();
        command.or_else(|| self.exports.iter().find(other))
    }

    /// Whether it imports what nothing can stand for.
    pub fn cannot_run(&self) -> bool {
        let is_unsupported = |import: &Imported| matches!(import.standing, Standing::Unsupported(_));
        self.imports.iter().any(is_unsupported)
    }

    /// The grants without which imports of it would be stubs or empty.
    pub fn wanted(&self) -> Vec<Grant> {
        let mut wanted = Vec::new();
        for import in &self.imports {
            let counts = !matches!(import.standing, Standing::Types | Standing::Unsupported(_));
            // These change nothing: what they cover is always there.
            let always = |grant: &Grant| matches!(grant, Grant::Io | Grant::Poll | Grant::Clocks | Grant::Random);
            let grant = import.grant.filter(|grant| counts && !always(grant));
            wanted.extend(grant.filter(|grant| !wanted.contains(grant)));
        }
        wanted
    }
}

impl Wasm {
    /// Looks at the module of an entry. Blocks for as long as compiling takes.
    ///
    /// # Errors
    /// When its file cannot be read or compiled, or its grants are not understood.
    pub fn inspect(&self, entry: &Entry) -> Result<Inspection> {
        look(spec(entry)?, &self.source(entry)?, &self.shared)
    }

    /// Looks at a module that stands in no file.
    ///
    /// # Errors
    /// As [`Wasm::inspect`].
    pub fn inspect_bytes(&self, bytes: Vec<u8>) -> Result<Inspection> {
        let path = "module";
        let spec = WasmSpec::of_file(EntryId::new("file", "dir"), path, None);
        let source = Source {
            path: path.to_owned(),
            bytes,
            stamp: Stamp::Text,
        };
        look(&spec, &source, &self.shared)
    }
}

fn look(spec: &WasmSpec, source: &Source, shared: &Shared) -> Result<Inspection> {
    let sha256 = sha256(&source.bytes);
    let header = Header::of(&source.bytes)?;
    let component = header == Header::Component;
    let grants = Grants::parse(&spec.imports, component)?;
    let Settled { home, code, .. } = compiled(shared, source, &sha256, flavor(spec, header, source))?;
    let imports = linker::imports(&code);
    let exports = exports(spec, &export::list(&shared.engines.engine(home)?, &code))?;
    Ok(Inspection {
        component,
        size: source.bytes.len(),
        wasi: wasi(&imports, &exports, &code),
        sha256,
        engine: home.name(),
        imports: imports.into_iter().map(|import| imported(import, grants)).collect(),
        exports,
    })
}

fn exports(spec: &WasmSpec, exports: &[export::Export]) -> Result<Vec<Exported>> {
    let exported = |export: &export::Export| {
        let name = export.name.to_string();
        // `wit` may be about one function of many.
        let written = export.signature(&name, spec.wit.as_deref());
        Ok(Exported {
            signature: written.or_else(|_| export.signature(&name, None))?,
            command: export.command,
            method: name,
        })
    };
    exports.iter().map(exported).collect()
}

fn imported(import: Import, grants: Grants) -> Imported {
    Imported {
        standing: standing(&import, grants),
        grant: import.grant,
        name: import.name,
    }
}

fn standing(import: &Import, grants: Grants) -> Standing {
    use Grant::{Cli, Filesystem, Wasi1};
    if let Some(kind) = import.unsupported {
        return Standing::Unsupported(kind);
    }
    match (linker::provision(&import.name, grants), import.grant) {
        _ if !import.callable => Standing::Types,
        (_, Some(Wasi1)) if !grants.has(Cli) => Standing::Inert,
        (_, Some(Wasi1)) => Standing::Granted,
        (Provision::Linked, Some(grant @ (Cli | Filesystem))) if !grants.has(grant) => Standing::Inert,
        (Provision::Linked, _) => Standing::Granted,
        (Provision::Missing(Some(_)), _) => Standing::Missing,
        (Provision::Missing(None), _) => Standing::Unknown,
        (Provision::Unprovided(_), _) => Standing::Unprovided,
    }
}

/// The versions of the interfaces of `wasi:`, each once.
fn wasi(imports: &[Import], exports: &[Exported], code: &Code) -> Vec<String> {
    let imported = imports.iter().map(|import| import.name.as_str());
    let exported = exports.iter().filter_map(|export| export.method.split('#').next());
    let mut found = Vec::new();
    for name in imported.chain(exported.filter(|_| matches!(code, Code::Component(_)))) {
        let version = match name {
            PREVIEW_1 => "preview 1".to_owned(),
            PREVIEW_0 => "preview 0".to_owned(),
            name if name.starts_with("wasi:") => name[unversioned(name).len()..].trim_start_matches('@').to_owned(),
            _ => continue,
        };
        if !version.is_empty() && !found.contains(&version) {
            found.push(version);
        }
    }
    found
}
