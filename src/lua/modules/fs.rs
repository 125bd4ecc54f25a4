//! The module `fs`: volumes, files and scanners over the folders that entries declare.
//!
//! Every path is cleaned by [`path`] and then resolved from the volume's handle, which nothing leaves, symlinks included.
//! Files are opened without blocking and only if they are regular: a FIFO would hold a thread for ever. Everything that
//! touches the disk runs off the workers, the calling coroutine waits. Errors show paths as programs write them.

mod file;
pub(crate) mod path;
mod scanner;

use std::io::{self, ErrorKind, Read as _, Write as _};
use std::os::unix::ffi::OsStringExt as _;
use std::sync::{Arc, Mutex};

use cap_std::fs::{DirBuilder, DirBuilderExt as _, File, Metadata, MetadataExt as _, OpenOptions, OpenOptionsExt as _};
use mlua::{
    FromLuaMulti, IntoLua, Lua, LuaString, MetaMethod, MultiValue, Table, UserData, UserDataFields, UserDataMethods,
    UserDataRef, Value,
};
use tokio::sync::Semaphore;

use self::file::FsFile;
use self::path::{Place, invalid};
use crate::error::{Error, Kind, Result};
use crate::id::EntryId;
use crate::lock::lock;
use crate::lua::LuaEngine;
use crate::lua::driver::Weight;
use crate::lua::error::bad_argument;
use crate::lua::host::{Call, context, failure, false_failure, waiting, weigh};
use crate::process::Permission;
use crate::project::Spec;
use crate::size;
use crate::system::{Volume, volume};

/// What a process may read at once if its entry names no memory limit.
const DEFAULT_LIMIT: u64 = 1 << 30;
/// Bytes for which a file is read without asking for its size first.
const SMALL: u64 = 64 << 10;

pub fn open(lua: &Lua) -> mlua::Result<Table> {
    let kinds = lua.create_table_from([("FILE", "file"), ("DIR", "directory")])?;
    let seek = lua.create_table_from([("SET", "set"), ("CUR", "cur"), ("END", "end")])?;
    let module = lua.create_table_with_capacity(0, 3)?;
    module.raw_set("type", kinds)?;
    module.raw_set("seek", seek)?;
    module.raw_set("get", lua.create_function(get)?)?;
    Ok(module)
}

fn get(lua: &Lua, id: Value) -> mlua::Result<MultiValue> {
    let id = match &id {
        Value::String(id) => id.to_string_lossy(),
        other => return Err(bad_argument(1, "get", "string", other)),
    };
    if id.is_empty() {
        return failure(lua, invalid("filesystem id required"));
    }
    let context = context(lua)?;
    let found = EntryId::resolve(&id, context.namespace())
        .map_err(|_| Error::not_found(format!("filesystem not found: {id}")))
        .and_then(|id| {
            context.authorize(Permission::FsGet, &id)?;
            note(&context.engine, &id);
            context.engine.system.volumes.get(&id)
        });
    match found {
        Ok(volume) => {
            let volume = FsVolume {
                volume,
                directory: Arc::default(),
                limit: read_limit(&context),
            };
            success(lua, volume.into_lua(lua)?)
        }
        Err(error) => failure(lua, error.with_retryable(None)),
    }
}

/// Takes down that a volume is used.
fn note(engine: &LuaEngine, id: &EntryId) {
    let Some(uses) = &engine.uses else { return };
    uses.entry(id);
    if let Some(Spec::Directory(volume)) = engine.registry().get(id).map(|entry| &entry.spec) {
        uses.folder(&volume.path);
    }
}

/// What is read for a process is held outside its own heap before it gets it: the bound is that of the heap.
fn read_limit(context: &crate::lua::host::StateContext) -> u64 {
    let registry = context.engine.registry();
    let entry = registry.get(context.entry());
    match entry.map(|entry| &entry.spec) {
        Some(Spec::Lua(spec)) if spec.limits.max_memory > 0 => spec.limits.max_memory,
        _ => DEFAULT_LIMIT,
    }
}

/// A method that waits, as a field of an object's type.
struct Waiting<A>(fn(&Lua, A) -> mlua::Result<Call>);

impl<A: FromLuaMulti + 'static> IntoLua for Waiting<A> {
    fn into_lua(self, lua: &Lua) -> mlua::Result<Value> {
        waiting(lua, self.0).map(Value::Function)
    }
}

/// Runs `work` where it may block, then builds the results with `finish`.
fn off_worker<T: Send + 'static>(
    lua: &Lua,
    work: impl FnOnce() -> Result<T> + Send + 'static,
    finish: impl FnOnce(&Lua, Result<T>) -> mlua::Result<MultiValue> + Send + 'static,
) -> mlua::Result<Call> {
    let task = context(lua)?.process.kernel().io().spawn_blocking(work);
    let lost = |_| Err(Error::unavailable("the runtime is shutting down").with_retryable(None));
    Ok(Call::wait(async move { task.await.unwrap_or_else(lost) }, finish))
}

/// What came of a piece of work that had room for so many bytes.
enum Attempt<T> {
    Done(T),
    /// It takes more room: that many bytes, which are more than it had.
    Needs(u64),
}

/// Has `work` done off the workers, once there is room for the bytes that it reads. Nobody counts them until they are in a
/// state; so a process has no more of them on their way than its heap may hold, which is `limit`.
fn within_room<T: Send + 'static>(
    lua: &Lua,
    limit: u64,
    bytes: u64,
    mut work: impl FnMut(u64) -> Result<Attempt<T>> + Send + 'static,
    finish: impl FnOnce(&Lua, Result<T>) -> mlua::Result<MultiValue> + Send + 'static,
) -> mlua::Result<Call> {
    let context = context(lua)?;
    let all = || Arc::new(Semaphore::new(kibibytes(limit) as usize));
    let room = context.reading.get_or_init(all).clone();
    let io = context.process.kernel().io().clone();
    let reading = async move {
        let lost = || Error::unavailable("the runtime is shutting down").with_retryable(None);
        let mut bytes = bytes.min(limit);
        loop {
            let Ok(taken) = room.clone().acquire_many_owned(kibibytes(bytes)).await else {
                return (Err(lost()), None);
            };
            // The room goes along: what is read is there also when nobody waits for it any more.
            let attempt = io.spawn_blocking(move || {
                let result = work(bytes);
                (work, result, taken)
            });
            let Ok((again, result, taken)) = attempt.await else {
                return (Err(lost()), None);
            };
            match result {
                Ok(Attempt::Done(value)) => return (Ok(value), Some(taken)),
                Ok(Attempt::Needs(more)) => (work, bytes) = (again, more.min(limit)),
                Err(error) => return (Err(error), None),
            }
        }
    };
    // The room is free again when the state has what was read, or it was dropped.
    Ok(Call::wait(reading, |lua, (result, _taken)| finish(lua, result)))
}

/// In the unit in which room is counted: at least one, and few enough for a semaphore.
fn kibibytes(bytes: u64) -> u32 {
    u32::try_from(bytes.div_ceil(1 << 10)).unwrap_or(u32::MAX).max(1)
}

fn success(lua: &Lua, value: impl IntoLua) -> mlua::Result<MultiValue> {
    Ok(MultiValue::from_iter([value.into_lua(lua)?, Value::Nil]))
}

fn value_or_nil<T: IntoLua>(lua: &Lua, result: Result<T>) -> mlua::Result<MultiValue> {
    match result {
        Ok(value) => success(lua, value),
        Err(error) => failure(lua, error),
    }
}

fn true_or_false(lua: &Lua, result: Result<()>) -> mlua::Result<MultiValue> {
    match result {
        Ok(()) => success(lua, true),
        Err(error) => false_failure(lua, error),
    }
}

/// The error of an operation on a place, without anything of the host's.
fn failed(kind: Kind, operation: &str, place: &Place, reason: impl AsRef<str>) -> Error {
    let message = format!("{operation} {}: {}", place.shown(), reason.as_ref());
    Error::new(kind, message).with_retryable(None)
}

/// What went wrong in words of our own: the texts of libraries may hold host paths.
fn reason(error: &io::Error) -> String {
    let known = match error.kind() {
        ErrorKind::NotFound => "no such file or directory",
        ErrorKind::PermissionDenied => "permission denied",
        ErrorKind::AlreadyExists => "file exists",
        ErrorKind::IsADirectory => "is a directory",
        ErrorKind::NotADirectory => "not a directory",
        ErrorKind::DirectoryNotEmpty => "directory not empty",
        ErrorKind::InvalidInput => "invalid argument",
        ErrorKind::StorageFull => "no space left on the device",
        ErrorKind::ReadOnlyFilesystem => "read-only file system",
        ErrorKind::FileTooLarge => "file too large",
        ErrorKind::OutOfMemory => "out of memory",
        _ => "",
    };
    match error.raw_os_error() {
        _ if !known.is_empty() => known.to_owned(),
        Some(code) => {
            let text = io::Error::from_raw_os_error(code).to_string();
            let text = text.split(" (os error").next().unwrap_or_default();
            text.to_lowercase()
        }
        None => "input/output error".to_owned(),
    }
}

/// A volume as `fs.get` hands it out, with a working directory of its own.
struct FsVolume {
    volume: Arc<Volume>,
    directory: Arc<Mutex<Place>>,
    limit: u64,
}

type This = UserDataRef<FsVolume>;

impl UserData for FsVolume {
    fn add_fields<F: UserDataFields<Self>>(fields: &mut F) {
        fields.add_field("chdir", Waiting(change_directory));
        fields.add_field("open", Waiting(open_file));
        fields.add_field("stat", Waiting(stat));
        fields.add_field("mkdir", Waiting(make_directory));
        fields.add_field("remove", Waiting(remove));
        fields.add_field("readdir", Waiting(read_directory));
        fields.add_field("exists", Waiting(exists));
        fields.add_field("isdir", Waiting(is_directory));
        for name in ["readfile", "read_file"] {
            fields.add_field(name, Waiting(read_file));
        }
        for name in ["writefile", "write_file"] {
            fields.add_field(name, Waiting(write_file));
        }
    }

    fn add_methods<M: UserDataMethods<Self>>(methods: &mut M) {
        methods.add_method("pwd", |lua, this, ()| lua.create_string(lock(&this.directory).bytes()));
        methods.add_meta_method(MetaMethod::ToString, |_, this, ()| {
            Ok(format!("fs.FS{{cwd={}}}", lock(&this.directory).shown()))
        });
    }
}

impl FsVolume {
    /// The place that a path argument means; the inner error is Invalid. An empty path is the working directory.
    fn place(&self, method: &str, path: &Value) -> mlua::Result<Result<Place>> {
        match path {
            Value::String(path) => Ok(lock(&self.directory).join(&path.as_bytes())),
            other => Err(bad_argument(1, method, "string", other)),
        }
    }

    /// The same where an empty path is refused.
    fn named_place(&self, method: &str, path: &Value) -> mlua::Result<Result<Place>> {
        match path {
            Value::String(path) if path.as_bytes().is_empty() => Ok(Err(invalid("path required"))),
            path => self.place(method, path),
        }
    }
}

/// Why a method ends before it touches the disk.
macro_rules! or_return {
    ($lua:expr, $result:expr, $failure:ident) => {
        match $result {
            Ok(value) => value,
            Err(error) => return Ok(Call::Ready($failure($lua, error)?)),
        }
    };
}
use or_return;

fn change_directory(lua: &Lua, (this, path): (This, Value)) -> mlua::Result<Call> {
    let place = or_return!(lua, this.named_place("chdir", &path)?, false_failure);
    let (volume, directory) = (this.volume.clone(), this.directory.clone());
    let look = move || match volume.dir().metadata(place.path()) {
        Ok(found) if found.is_dir() => Ok(place),
        Ok(_) => Err(failed(Kind::Invalid, "chdir", &place, "not a directory")),
        Err(error) => Err(failed(Kind::NotFound, "chdir", &place, reason(&error))),
    };
    off_worker(lua, look, move |lua, result| {
        true_or_false(lua, result.map(|place| *lock(&directory) = place))
    })
}

/// How a file is opened, by its name in Lua.
#[derive(Clone, Copy, PartialEq)]
enum Mode {
    Read,
    Write,
    WriteNew,
    Append,
}

impl Mode {
    fn parse(name: &[u8]) -> Option<Mode> {
        match name {
            b"r" => Some(Mode::Read),
            b"w" => Some(Mode::Write),
            b"wx" => Some(Mode::WriteNew),
            b"a" => Some(Mode::Append),
            _ => None,
        }
    }

    fn options(self, volume: &Volume) -> OpenOptions {
        let mut options = OpenOptions::new();
        match self {
            Mode::Read => options.read(true),
            Mode::Write => options.read(true).write(true).create(true).truncate(true),
            Mode::WriteNew => options.read(true).write(true).create_new(true),
            Mode::Append => options.append(true).create(true),
        };
        options.mode(volume.file_mode()).custom_flags(libc::O_NONBLOCK);
        options
    }
}

const BAD_MODE: &str = "invalid mode: must be 'r', 'w', 'wx' or 'a'";

/// Any failure to open is NotFound.
fn open_regular(volume: &Volume, place: &Place, mode: Mode) -> Result<(File, Metadata)> {
    let not_found = |reason: &str| failed(Kind::NotFound, "open", place, reason);
    let file = volume.dir().open_with(place.path(), &mode.options(volume));
    let file = file.map_err(|error| not_found(&reason(&error)))?;
    let found = file.metadata().map_err(|error| not_found(&reason(&error)))?;
    if mode != Mode::Read {
        volume::written();
    }
    match found.file_type() {
        kind if kind.is_file() => Ok((file, found)),
        kind if kind.is_dir() => Err(not_found("is a directory")),
        _ => Err(not_found("not a regular file")),
    }
}

fn open_file(lua: &Lua, (this, path, mode): (This, Value, Value)) -> mlua::Result<Call> {
    let Value::String(mode) = &mode else {
        return Err(bad_argument(2, "open", "string", &mode));
    };
    let place = or_return!(lua, this.named_place("open", &path)?, failure);
    let mode = Mode::parse(&mode.as_bytes()).ok_or_else(|| invalid(BAD_MODE));
    let mode = or_return!(lua, mode, failure);
    let (volume, limit, opener) = (this.volume.clone(), this.limit, context(lua)?);
    let open = move || {
        let (file, _) = open_regular(&volume, &place, mode)?;
        Ok(FsFile::new(&opener, file, place, limit))
    };
    off_worker(lua, open, value_or_nil)
}

/// What `stat` tells.
struct Facts {
    name: Vec<u8>,
    found: Metadata,
}

impl IntoLua for Facts {
    fn into_lua(self, lua: &Lua) -> mlua::Result<Value> {
        let is_dir = self.found.is_dir();
        let facts = lua.create_table_with_capacity(0, 6)?;
        facts.raw_set("name", lua.create_string(self.name)?)?;
        facts.raw_set("size", self.found.len())?;
        facts.raw_set("mode", self.found.mode() & 0o7777)?;
        facts.raw_set("modified", self.found.mtime())?;
        facts.raw_set("is_dir", is_dir)?;
        facts.raw_set("type", kind_name(is_dir))?;
        Ok(Value::Table(facts))
    }
}

fn kind_name(is_dir: bool) -> &'static str {
    if is_dir { "directory" } else { "file" }
}

fn stat(lua: &Lua, (this, path): (This, Value)) -> mlua::Result<Call> {
    let place = or_return!(lua, this.named_place("stat", &path)?, failure);
    let volume = this.volume.clone();
    let look = move || match volume.dir().metadata(place.path()) {
        Ok(found) => Ok(Facts {
            name: place.name().to_vec(),
            found,
        }),
        Err(error) => Err(failed(Kind::NotFound, "stat", &place, reason(&error))),
    };
    off_worker(lua, look, value_or_nil)
}

fn make_directory(lua: &Lua, (this, path): (This, Value)) -> mlua::Result<Call> {
    let place = or_return!(lua, this.named_place("mkdir", &path)?, false_failure);
    let volume = this.volume.clone();
    let make = move || {
        let mut builder = DirBuilder::new();
        builder.mode(volume.dir_mode());
        volume.dir().create_dir_with(place.path(), &builder).map_err(|error| {
            let kind = match error.kind() {
                ErrorKind::AlreadyExists => Kind::AlreadyExists,
                _ => Kind::Internal,
            };
            failed(kind, "mkdir", &place, reason(&error))
        })
    };
    off_worker(lua, make, true_or_false)
}

fn remove(lua: &Lua, (this, path): (This, Value)) -> mlua::Result<Call> {
    let place = or_return!(lua, this.named_place("remove", &path)?, false_failure);
    let volume = this.volume.clone();
    let work = move || {
        let (dir, path) = (volume.dir(), place.path());
        let removed = dir.symlink_metadata(&path).and_then(|found| match found.is_dir() {
            true => dir.remove_dir(&path),
            false => dir.remove_file(&path),
        });
        volume::written();
        removed.map_err(|error| {
            let kind = match error.kind() {
                ErrorKind::DirectoryNotEmpty => Kind::Invalid,
                _ => Kind::Internal,
            };
            failed(kind, "remove", &place, reason(&error))
        })
    };
    off_worker(lua, work, true_or_false)
}

/// Names and whether each is a folder.
type Listing = Vec<(Vec<u8>, bool)>;

fn read_directory(lua: &Lua, (this, path): (This, Value)) -> mlua::Result<Call> {
    let place = or_return!(lua, this.named_place("readdir", &path)?, failure);
    let volume = this.volume.clone();
    let list = move || {
        list(&volume, &place).map_err(|error| {
            // It may be a file, or lie below one.
            let is_file = error.kind() == ErrorKind::NotADirectory && volume.dir().metadata(place.path()).is_ok();
            let kind = if is_file { Kind::Invalid } else { Kind::NotFound };
            failed(kind, "readdir", &place, reason(&error))
        })
    };
    off_worker(lua, list, |lua, listing| match listing {
        Ok(listing) => success(lua, iterator(lua, listing)?),
        Err(error) => failure(lua, error),
    })
}

fn list(volume: &Volume, place: &Place) -> io::Result<Listing> {
    let entries = volume.dir().read_dir(place.path())?;
    let listed = entries.map(|entry| {
        let entry = entry?;
        Ok((entry.file_name().into_vec(), entry.file_type()?.is_dir()))
    });
    listed.collect()
}

fn iterator(lua: &Lua, listing: Listing) -> mlua::Result<mlua::Function> {
    let held = listing.iter().map(|(name, _)| name.len() + size_of_val(name));
    let weight = weigh(lua, held.sum());
    let mut rest = listing.into_iter();
    lua.create_function_mut(move |lua, _: MultiValue| match rest.next() {
        None => {
            let _held = &weight;
            Ok(Value::Nil)
        }
        Some((name, is_dir)) => {
            let entry = lua.create_table_with_capacity(0, 2)?;
            entry.raw_set("name", lua.create_string(name)?)?;
            entry.raw_set("type", kind_name(is_dir))?;
            Ok(Value::Table(entry))
        }
    })
}

fn exists(lua: &Lua, (this, path): (This, Value)) -> mlua::Result<Call> {
    let place = or_return!(lua, this.place("exists", &path)?, false_failure);
    let volume = this.volume.clone();
    let look = move || Ok(volume.dir().metadata(place.path()).is_ok());
    off_worker(lua, look, value_or_nil)
}

fn is_directory(lua: &Lua, (this, path): (This, Value)) -> mlua::Result<Call> {
    let place = or_return!(lua, this.place("isdir", &path)?, false_failure);
    let volume = this.volume.clone();
    let look = move || match volume.dir().metadata(place.path()) {
        Ok(found) => Ok(found.is_dir()),
        Err(error) => Err(failed(Kind::NotFound, "isdir", &place, reason(&error))),
    };
    off_worker(lua, look, |lua, found| match found {
        Ok(is_dir) => success(lua, is_dir),
        Err(error) => false_failure(lua, error),
    })
}

/// Bytes of a Lua string on their way to a file. Its fields are nobody's: a closure would take the bytes and leave the weight.
struct Copied {
    bytes: Vec<u8>,
    _weight: Option<Weight>,
}

impl Copied {
    fn new(lua: &Lua, data: &LuaString) -> Copied {
        let data = data.as_bytes();
        Copied {
            _weight: weigh(lua, data.len()),
            bytes: data.to_vec(),
        }
    }

    fn bytes(&self) -> &[u8] {
        &self.bytes
    }
}

/// Bytes on their way to a Lua string.
struct Content(Vec<u8>);

impl IntoLua for Content {
    fn into_lua(self, lua: &Lua) -> mlua::Result<Value> {
        lua.create_string(self.0).map(Value::String)
    }
}

fn read_file(lua: &Lua, (this, path): (This, Value)) -> mlua::Result<Call> {
    let place = or_return!(lua, this.named_place("readfile", &path)?, failure);
    let (volume, limit) = (this.volume.clone(), this.limit);
    let read = move |room: u64| {
        let (file, found) = open_regular(&volume, &place, Mode::Read)?;
        let too_large = || {
            let reason = format!("larger than the memory limit of {}", size::format(limit));
            failed(Kind::LimitExceeded, "readfile", &place, reason)
        };
        if found.len() > limit {
            return Err(too_large());
        }
        if found.len() > room {
            return Ok(Attempt::Needs(found.len()));
        }
        let mut content = Vec::with_capacity(found.len() as usize);
        // The file may grow while it is read.
        match file.take(room + 1).read_to_end(&mut content) {
            Ok(count) if count as u64 <= room => Ok(Attempt::Done(Content(content))),
            Ok(_) if room < limit => Ok(Attempt::Needs(room.saturating_mul(2))),
            Ok(_) => Err(too_large()),
            Err(error) => Err(failed(Kind::NotFound, "readfile", &place, reason(&error))),
        }
    };
    within_room(lua, limit, SMALL, read, value_or_nil)
}

fn write_file(lua: &Lua, (this, path, data, mode): (This, Value, Value, Value)) -> mlua::Result<Call> {
    let place = or_return!(lua, this.named_place("writefile", &path)?, false_failure);
    let data = match &data {
        Value::String(data) => Ok(Copied::new(lua, data)),
        Value::Nil => Err(invalid("data argument required")),
        _ => Err(invalid("data must be a string")),
    };
    let data = or_return!(lua, data, false_failure);
    let mode = match &mode {
        Value::Nil => Some(Mode::Write),
        Value::String(name) => Mode::parse(&name.as_bytes()).filter(|mode| *mode != Mode::Read),
        _ => None,
    };
    let mode = mode.ok_or_else(|| invalid("invalid mode: must be 'w', 'wx' or 'a'"));
    let mode = or_return!(lua, mode, false_failure);
    let volume = this.volume.clone();
    let write = move || {
        let (mut file, _) = open_regular(&volume, &place, mode)?;
        let written = file.write_all(data.bytes());
        volume::written();
        written.map_err(|error| failed(Kind::Internal, "writefile", &place, reason(&error)))
    };
    off_worker(lua, write, true_or_false)
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU64, Ordering};

    use super::super::testing::World;
    use super::*;
    use crate::project::Registry;

    /// A state with `vol`, the volume `app:data`, and `fails`, which checks a failure.
    pub(super) fn world() -> (World, tempfile::TempDir) {
        let temp = tempfile::tempdir().unwrap();
        let world = World::new(Registry::default(), None);
        let volume = Volume::ambient(EntryId::new("app", "data"), temp.path()).unwrap();
        world.context.engine.system.volumes.add(volume);
        world.lua.globals().set("fs", open(&world.lua).unwrap()).unwrap();
        world.run(
            r#"
            vol = assert(fs.get("app:data"))
            function fails(kind, text, first, value, err)
                assert(rawequal(value, first) and type(err) == "userdata", tostring(value) .. " " .. tostring(err))
                assert(err:kind() == kind and err:retryable() == nil, tostring(err) .. " is " .. err:kind())
                assert(tostring(err):find(text, 1, true), tostring(err))
            end
            "#,
        );
        (world, temp)
    }

    #[test]
    fn volumes_are_found_and_walked() {
        let (world, temp) = world();
        std::fs::create_dir_all(temp.path().join("a/b")).unwrap();
        std::fs::write(temp.path().join("a/file"), "x").unwrap();
        world.run(
            r#"
            assert(fs.type.FILE == "file" and fs.type.DIR == "directory" and fs.seek.CUR == "cur")
            assert(fs.get("data"):pwd() == "/" and not pcall(fs.get))
            fails("NotFound", "filesystem not found: app:nobody", nil, fs.get("app:nobody"))
            fails("Invalid", "", nil, fs.get(""))
            assert(vol:pwd() == "/" and tostring(vol) == "fs.FS{cwd=/}")
            assert(vol:chdir("a/./b") == true and vol:pwd() == "/a/b" and tostring(vol) == "fs.FS{cwd=/a/b}")
            assert(fs.get("app:data"):pwd() == "/")
            assert(vol:exists("") and vol:isdir("") and vol:exists("../file") and vol:isdir("../file") == false)
            fails("NotFound", "chdir /a/b/x: no such file", false, vol:chdir("x"))
            fails("Invalid", "not a directory", false, vol:chdir("../file"))
            fails("Invalid", "invalid path", false, vol:chdir("../../.."))
            fails("Invalid", "invalid path", false, vol:exists("/.."))
            fails("Invalid", "NUL", nil, vol:stat("a\0b"))
            assert(vol:chdir("/") and vol:pwd() == "/")
            local ok, err = vol:exists("nope"); assert(ok == false and err == nil)
            fails("NotFound", "isdir /nope", false, vol:isdir("nope"))
            for _, method in ipairs{"chdir", "mkdir", "remove"} do fails("Invalid", "path required", false, vol[method](vol, "")) end
            for _, method in ipairs{"stat", "readdir", "readfile"} do fails("Invalid", "path required", nil, vol[method](vol, "")) end
            fails("Invalid", "path required", nil, vol:open("", "r"))
            fails("Invalid", "path required", false, vol:writefile("", "x"))
            for _, method in ipairs{"chdir", "stat", "exists", "readfile"} do assert(not pcall(vol[method], vol, {})) end
            "#,
        );
    }

    /// What was read and is not in a state yet.
    struct Flying(Arc<AtomicU64>, u64);

    impl Drop for Flying {
        fn drop(&mut self) {
            self.0.fetch_sub(self.1, Ordering::SeqCst);
        }
    }

    #[test]
    fn no_more_is_on_its_way_from_files_than_the_heap_may_hold() {
        const LIMIT: u64 = 100 << 10;
        let (world, _temp) = world();
        let (flying, most) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicU64::new(0)));
        let io = world.context.process.kernel().io().clone();
        let mut reads = tokio::task::JoinSet::new();
        for _ in 0..40 {
            let (flying, most) = (flying.clone(), most.clone());
            let read = move |room: u64| {
                if room == SMALL {
                    return Ok(Attempt::Needs(room + 1));
                }
                let now = flying.fetch_add(room, Ordering::SeqCst) + room;
                most.fetch_max(now, Ordering::SeqCst);
                Ok(Attempt::Done(Flying(flying.clone(), room)))
            };
            let call = within_room(&world.lua, LIMIT, SMALL, read, |lua, read| {
                true_or_false(lua, read.map(drop))
            });
            let Ok(Call::Wait(read)) = call else {
                panic!("it does not wait");
            };
            reads.spawn_on(read, &io);
        }
        io.block_on(async { while reads.join_next().await.is_some() {} });
        assert_eq!(flying.load(Ordering::SeqCst), 0);
        assert!((SMALL + 1..=LIMIT).contains(&most.load(Ordering::SeqCst)), "{most:?}");
    }

    #[test]
    fn files_and_folders_come_and_go() {
        let (world, temp) = world();
        world.run(
            r#"
            local before = os.time()
            assert(vol:mkdir("d") == true)
            fails("AlreadyExists", "mkdir /d: file exists", false, vol:mkdir("d"))
            fails("Internal", "mkdir /x/y", false, vol:mkdir("x/y"))
            assert(vol:writefile("d/f", "one\0\xff") and vol:readfile("d/f") == "one\0\xff")
            assert(vol:write_file("d/f", "two", "a") and vol:read_file("/d/f") == "one\0\xfftwo")
            fails("NotFound", "open /d/f: file exists", false, vol:writefile("d/f", "x", "wx"))
            fails("NotFound", "is a directory", false, vol:writefile("d", "x"))
            fails("Invalid", "data argument required", false, vol:writefile("d/f"))
            fails("Invalid", "", false, vol:writefile("d/f", 5))
            fails("Invalid", "invalid mode", false, vol:writefile("d/f", "x", "r"))
            fails("Invalid", "invalid mode", false, vol:writefile("d/f", "x", 1))
            fails("NotFound", "open /no: no such file or directory", nil, vol:readfile("no"))
            fails("NotFound", "is a directory", nil, vol:readfile("d"))
            assert(vol:writefile("d/new", "", "wx") and vol:readfile("d/new") == "")
            local s = vol:stat("d/f")
            assert(s.name == "f" and s.size == 8 and s.is_dir == false and s.type == fs.type.FILE)
            -- The clock of files is read at every tick of the machine's, and may be one behind.
            assert(s.modified >= before - 1 and s.modified <= os.time() and math.type(s.mode) == "integer" and s.mode & 0x100 ~= 0)
            assert(vol:stat("d").type == fs.type.DIR and vol:stat("d").is_dir and vol:stat("/").is_dir)
            fails("NotFound", "stat /no", nil, vol:stat("no"))
            vol:mkdir("d/sub")
            local seen = {}
            for e in vol:readdir("d") do seen[e.name] = e.type end
            assert(seen.f == "file" and seen.new == "file" and seen.sub == "directory")
            fails("NotFound", "readdir /no", nil, vol:readdir("no"))
            fails("Invalid", "not a directory", nil, vol:readdir("d/f"))
            fails("NotFound", "readdir /d/f/x", nil, vol:readdir("d/f/x"))
            fails("Invalid", "directory not empty", false, vol:remove("d"))
            fails("Internal", "no such file", false, vol:remove("no"))
            fails("Internal", "", false, vol:remove("/"))
            assert(vol:remove("d/f") and vol:remove("d/new") and vol:remove("d/sub") and vol:remove("d") and not vol:exists("d"))
            "#,
        );
        assert_eq!(std::fs::read_dir(temp.path()).unwrap().count(), 0);
    }

    #[test]
    fn files_are_waited_for_at_any_depth_of_a_process() {
        let temp = tempfile::tempdir().unwrap();
        let world = crate::lua::test_support::World::new();
        let volume = Volume::ambient(EntryId::new("app", "data"), temp.path()).unwrap();
        world.engine.system.volumes.add(volume);
        let exit = world.run(
            r#"
            local fs = require("fs")
            local vol = assert(fs.get("app:data"))
            local ok, written = pcall(vol.writefile, vol, "a", "one\ntwo\n")
            assert(ok and written == true)
            local lines = coroutine.wrap(function()
                local f <close> = vol:open("a", "r")
                local s = f:scanner()
                while s:scan() do coroutine.yield(s:text()) end
            end)
            assert(lines() == "one" and lines() == "two" and lines() == nil)
            local done = channel.new(8)
            for i = 1, 8 do
                coroutine.spawn(function()
                    vol:writefile("f" .. i, string.rep("x", i))
                    done:send(#vol:readfile("f" .. i))
                end)
            end
            local sum = 0
            for _ = 1, 8 do sum = sum + done:receive() end
            assert(sum == 36)
            local names = {}
            for e in vol:readdir("/") do names[#names + 1] = e.name end
            table.sort(names, function(l, r) return vol:stat(l).size == vol:stat(r).size and l < r or vol:stat(l).size < vol:stat(r).size end)
            assert(table.concat(names, " ") == "f1 f2 f3 f4 f5 f6 f7 a f8", table.concat(names, " "))
            local v, err = vol:readfile("gone")
            assert(v == nil and err:kind() == "NotFound" and err:stack():find("main.lua:", 1, true), err:stack())
            local ok, text = pcall(vol.stat, vol, {})
            assert(not ok and type(text) == "string" and text:find("bad argument #1 to 'stat'", 1, true), text)
            kept = vol:open("a", "r")
            return names
            "#,
        );
        assert!(exit.result.is_ok(), "{:?}", exit.result);
    }

    #[test]
    fn nothing_leads_out_of_a_volume_and_nothing_hangs() {
        let (world, temp) = world();
        let outside = tempfile::tempdir().unwrap();
        std::fs::write(outside.path().join("secret"), "s").unwrap();
        let link = |to: &std::path::Path, name: &str| std::os::unix::fs::symlink(to, temp.path().join(name)).unwrap();
        link(outside.path(), "out");
        link(&outside.path().join("secret"), "secret");
        link(std::path::Path::new("../x"), "up");
        std::fs::write(temp.path().join("inside"), "i").unwrap();
        link(std::path::Path::new("inside"), "near");
        let fifo = std::ffi::CString::new(temp.path().join("fifo").to_str().unwrap()).unwrap();
        // SAFETY: the string is NUL-terminated and outlives the call.
        assert_eq!(unsafe { libc::mkfifo(fifo.as_ptr(), 0o600) }, 0);
        let host = outside.path().to_str().unwrap().to_owned();
        world.lua.globals().set("host", host).unwrap();
        world.run(
            r#"
            assert(vol:readfile("near") == "i")
            for _, path in ipairs{"out/secret", "secret", "up"} do
                local v, err = vol:readfile(path)
                assert(v == nil and err:kind() == "NotFound" and not tostring(err):find(host, 1, true), tostring(err))
                assert(vol:exists(path) == false and vol:stat(path) == nil)
            end
            assert(vol:writefile("out/new", "x") == false and vol:writefile("secret", "x") == false and vol:mkdir("out/d") == false)
            assert(vol:readdir("out") == nil and vol:chdir("out") == false)
            fails("NotFound", "not a regular file", nil, vol:open("fifo", "r"))
            fails("NotFound", "", nil, vol:open("fifo", "w"))
            fails("NotFound", "", nil, vol:readfile("fifo"))
            "#,
        );
        assert_eq!(std::fs::read_to_string(outside.path().join("secret")).unwrap(), "s");
        assert_eq!(std::fs::read_dir(outside.path()).unwrap().count(), 1);
    }
}
