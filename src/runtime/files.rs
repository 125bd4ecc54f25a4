//! Files as processes, where there is no entry: `./worker.lua` and `./worker.wasm#compute` in scripts, sessions and tests.
//!
//! Files are read off the workers. One that was read a moment ago is not read again, so that thousands of spawns of it do not
//! wait for a disk each. A module becomes an entry made on the fly, without grants and mounts; whether its file has changed is
//! the engine's business, as for every entry.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use cap_std::ambient_authority;
use cap_std::fs::Dir;
use tokio::runtime::Handle;

use crate::error::{Error, Result};
use crate::id::EntryId;
use crate::lock::lock;
use crate::lua::LuaEngine;
use crate::process::{Program, Resolved};
use crate::project::{Entry, Spec, WasmSpec};
use crate::system::Volume;
use crate::system::volume::{Look, read_source, writes};
use crate::wasm::Wasm;

/// Of the entries that are made for files, and of the volumes that hold them.
const NAMESPACE: &str = "file";

pub(super) struct Files {
    lua: Arc<LuaEngine>,
    wasm: Arc<Wasm>,
    io: Handle,
    /// The entries of modules, by folder and name.
    modules: Mutex<HashMap<(PathBuf, String), Arc<Entry>>>,
    /// Lua files by name, as they were read last.
    scripts: Mutex<HashMap<String, Script>>,
}

/// A Lua file, compiled.
struct Script {
    folders: Vec<PathBuf>,
    text: Vec<u8>,
    looked: Look,
    program: Arc<dyn Program>,
}

/// Lua files that are kept.
const MOST_SCRIPTS: usize = 1_000;

/// A name as code writes it, taken apart.
struct Name<'a> {
    /// Below the folder.
    path: &'a str,
    method: Option<&'a str>,
}

impl<'a> Name<'a> {
    fn parse(text: &'a str) -> Name<'a> {
        let text = text.strip_prefix("./").unwrap_or(text);
        match text.split_once('#') {
            Some((path, method)) => Name {
                path,
                method: Some(method),
            },
            None => Name {
                path: text,
                method: None,
            },
        }
    }
}

impl Files {
    pub fn new(lua: Arc<LuaEngine>, wasm: Arc<Wasm>, io: Handle) -> Arc<Files> {
        Arc::new(Files {
            lua,
            wasm,
            io,
            modules: Mutex::default(),
            scripts: Mutex::default(),
        })
    }

    /// The program of a file below the first folder.
    pub fn resolve(self: &Arc<Self>, folders: &[PathBuf], name: &str) -> Resolved {
        if let Some(known) = self.known(folders, name) {
            return known;
        }
        let (files, folders, name) = (self.clone(), folders.to_vec(), name.to_owned());
        let loading = self.io.spawn_blocking(move || files.load(folders, &name));
        Resolved::Pending(Box::pin(async move {
            loading
                .await
                .unwrap_or_else(|failure| Err(Error::internal(failure.to_string())))
        }))
    }

    /// What was read of it a moment ago, or what the engine knows of a module.
    fn known(&self, folders: &[PathBuf], name: &str) -> Option<Resolved> {
        if self.lua.uses.is_some() {
            // It is to be noted that the file is used.
            return None;
        }
        if let Some(script) = lock(&self.scripts).get(name) {
            let holds = script.folders == folders && script.looked.holds();
            return holds.then(|| Resolved::Ready(Ok(script.program.clone())));
        }
        let key = (folders.first()?.clone(), name.to_owned());
        let entry = lock(&self.modules).get(&key).cloned()?;
        Some(self.wasm.resolve(&entry))
    }

    /// Blocks for as long as reading and compiling take.
    fn load(&self, folders: Vec<PathBuf>, written: &str) -> Result<Arc<dyn Program>> {
        let name = Name::parse(written);
        let folder = folders.first().cloned().unwrap_or_default();
        if let Some(uses) = &self.lua.uses {
            uses.file(&folder.join(name.path));
        }
        match Path::new(name.path).extension().and_then(|end| end.to_str()) {
            Some("lua") if name.method.is_none() => self.script(folders, &folder, written, &name),
            Some("lua") => Err(Error::invalid(format!(
                "{written}: a Lua file is named without a method"
            ))),
            Some("wasm") => self.module(folder, written, &name),
            _ => Err(Error::invalid(format!("{written}: neither a .lua nor a .wasm file"))),
        }
    }

    fn script(&self, folders: Vec<PathBuf>, folder: &Path, written: &str, name: &Name<'_>) -> Result<Arc<dyn Program>> {
        let writes = writes();
        let text = read(folder, name)?;
        if let Some(script) = lock(&self.scripts).get_mut(written)
            && (&script.folders, &script.text) == (&folders, &text)
        {
            script.looked = Look::after(writes);
            return Ok(script.program.clone());
        }
        let id = EntryId::new(NAMESPACE, name.path);
        let program = self.lua.file(id, Path::new(name.path), &text, folders.clone())?;
        let script = Script {
            folders,
            text,
            looked: Look::after(writes),
            program: program.clone(),
        };
        let mut scripts = lock(&self.scripts);
        if scripts.len() >= MOST_SCRIPTS {
            scripts.clear();
        }
        scripts.insert(written.to_owned(), script);
        Ok(program)
    }

    fn module(&self, folder: PathBuf, written: &str, name: &Name<'_>) -> Result<Arc<dyn Program>> {
        let entry = self.entry(&folder, written, name)?;
        if let Err(error) = self.wasm.program_blocking(&entry) {
            // Whoever asks for ever new names that do not exist leaves nothing behind.
            lock(&self.modules).remove(&(folder, written.to_owned()));
            self.wasm.forget(&entry);
            return Err(error);
        }
        match self.wasm.resolve(&entry) {
            Resolved::Ready(program) => program,
            Resolved::Pending(loading) => self.io.block_on(loading),
        }
    }

    /// The entry of a module, made the first time.
    fn entry(&self, folder: &Path, written: &str, name: &Name<'_>) -> Result<Arc<Entry>> {
        let key = (folder.to_owned(), written.to_owned());
        let mut modules = lock(&self.modules);
        if let Some(known) = modules.get(&key) {
            return Ok(known.clone());
        }
        let spec = WasmSpec::of_file(self.volume(&key.0)?, name.path, name.method);
        let id = EntryId::new(NAMESPACE, written.strip_prefix("./").unwrap_or(written));
        let entry = Arc::new(Entry::made(id, "process.wasm", Spec::Wasm(spec)));
        modules.insert(key, entry.clone());
        Ok(entry)
    }

    /// The folder as a volume, opened the first time.
    fn volume(&self, folder: &Path) -> Result<EntryId> {
        let id = EntryId::new(NAMESPACE, &folder.display().to_string());
        let volumes = &self.lua.system.volumes;
        if volumes.get(&id).is_err() {
            volumes.add(Volume::ambient(id.clone(), folder)?);
        }
        Ok(id)
    }
}

fn read(folder: &Path, name: &Name<'_>) -> Result<Vec<u8>> {
    let dir = Dir::open_ambient_dir(folder, ambient_authority());
    let bytes = dir.and_then(|dir| read_source(&dir, name.path));
    bytes.map_err(|error| match error.kind() {
        std::io::ErrorKind::NotFound => Error::not_found(format!("no such file: ./{}", name.path)),
        _ => Error::not_found(format!("cannot read ./{}: {error}", name.path)),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::Kind;
    use crate::runtime::tests::{boot_with, registry_of};
    use crate::system::volume::written;

    #[test]
    fn names_that_do_not_exist_leave_nothing_behind() {
        let (runtime, _) = boot_with(registry_of([]));
        let (files, folder) = (&runtime.engines.files, tempfile::tempdir().unwrap());
        for number in 0..3 {
            let Resolved::Pending(loading) = files.resolve(&[folder.path().to_owned()], &format!("./{number}.wasm"))
            else {
                panic!("a file is read elsewhere");
            };
            let error = runtime.block_on(loading).err().unwrap();
            assert_eq!(error.kind(), Kind::NotFound, "{error}");
        }
        assert!(lock(&files.modules).is_empty());
    }

    #[test]
    fn a_file_that_was_read_a_moment_ago_is_not_read_again_unless_somebody_wrote() {
        let (runtime, _) = boot_with(registry_of([]));
        let (files, folder) = (&runtime.engines.files, tempfile::tempdir().unwrap());
        let path = folder.path().join("a.lua");
        let resolve = || files.resolve(&[folder.path().to_owned()], "./a.lua");
        let read = || match resolve() {
            Resolved::Ready(program) => program.unwrap(),
            Resolved::Pending(loading) => runtime.block_on(loading).unwrap(),
        };
        std::fs::write(&path, "return 1").unwrap();
        let first = read();
        // A slow machine may take longer than a moment from one to the next.
        while !matches!(resolve(), Resolved::Ready(_)) {
            assert!(Arc::ptr_eq(&read(), &first), "nor is it compiled again");
        }
        std::fs::write(&path, "return 2").unwrap();
        written();
        assert!(matches!(resolve(), Resolved::Pending(_)));
        assert!(!Arc::ptr_eq(&read(), &first));
    }

    #[test]
    fn a_name_may_have_a_method() {
        for (text, path, method) in [
            ("./a.lua", "a.lua", None),
            ("./dir/a.wasm#compute", "dir/a.wasm", Some("compute")),
            ("./a.wasm#ns:pkg/face#run", "a.wasm", Some("ns:pkg/face#run")),
        ] {
            let name = Name::parse(text);
            assert_eq!((name.path, name.method), (path, method), "{text}");
        }
    }
}
