//! Open files. One is closed by `close`, by a `<close>` variable, or with the process or call that opened it.
//!
//! Invariant: the lock around the handle is only taken off the workers, since an operation may hold it for long.

use std::io::{Read as _, Seek as _, SeekFrom, Write as _};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, Weak};

use cap_std::fs::File;
use mlua::{Lua, MetaMethod, UserData, UserDataFields, UserDataMethods, UserDataRef, Value};

use super::path::{Place, invalid};
use super::scanner::{Scanner, Split};
use super::{
    Attempt, Content, Copied, Facts, Waiting, failed, lock, off_worker, or_return, reason, true_or_false, value_or_nil,
    within_room,
};
use crate::error::{Error, Kind, Result};
use crate::lua::error::bad_argument;
use crate::lua::host::{Call, Resource, StateContext, context, failure, false_failure};
use crate::system::volume;

/// What `read` takes without a number.
const READ: u64 = 4096;

/// A file and where it was opened; no handle once it is closed.
pub struct OpenFile {
    file: Mutex<Option<File>>,
    /// It will be closed before long.
    is_over: AtomicBool,
    place: Place,
    /// The most that is read at once.
    pub(super) limit: u64,
}

impl OpenFile {
    /// Uses the handle. Blocks.
    ///
    /// # Errors
    /// Internal when the file is closed; what `work` fails with is Internal too.
    pub fn with<T>(&self, operation: &str, work: impl FnOnce(&mut File) -> std::io::Result<T>) -> Result<T> {
        let closed = || failed(Kind::Internal, operation, &self.place, "file already closed");
        let mut file = lock(&self.file);
        let usable = file.as_mut().filter(|_| !self.is_over.load(Ordering::SeqCst));
        work(usable.ok_or_else(closed)?).map_err(|error| failed(Kind::Internal, operation, &self.place, reason(&error)))
    }

    fn is_closed(&self) -> bool {
        lock(&self.file).is_none() || self.is_over.load(Ordering::SeqCst)
    }
}

impl Resource for OpenFile {
    fn forbid(&self) {
        self.is_over.store(true, Ordering::SeqCst);
    }

    fn close(&self) {
        drop(lock(&self.file).take());
    }
}

/// The File object.
pub struct FsFile(Arc<OpenFile>);

impl FsFile {
    /// A file that is closed at the latest when `opener` is.
    pub fn new(opener: &StateContext, file: File, place: Place, limit: u64) -> FsFile {
        let file = Arc::new(OpenFile {
            file: Mutex::new(Some(file)),
            is_over: AtomicBool::new(false),
            place,
            limit,
        });
        let resource: Weak<OpenFile> = Arc::downgrade(&file);
        opener.closes(resource);
        FsFile(file)
    }
}

type This = UserDataRef<FsFile>;

impl UserData for FsFile {
    fn add_fields<F: UserDataFields<Self>>(fields: &mut F) {
        fields.add_field("read", Waiting(read));
        fields.add_field("write", Waiting(write));
        fields.add_field("seek", Waiting(seek));
        fields.add_field("stat", Waiting(stat));
        fields.add_field("sync", Waiting(sync));
        fields.add_field("close", Waiting(close));
        fields.add_field("scanner", Waiting(scanner));
    }

    fn add_methods<M: UserDataMethods<Self>>(methods: &mut M) {
        methods.add_meta_method(MetaMethod::Close, |lua, this, _: Value| {
            let file = this.0.clone();
            file.forbid();
            // Nobody waits for it: a block is left at once.
            context(lua)?.process.kernel().io().spawn_blocking(move || file.close());
            Ok(())
        });
        methods.add_meta_method(MetaMethod::ToString, |_, this, ()| {
            Ok(format!("fs.File{{path={}}}", this.0.place.shown()))
        });
    }
}

fn read(lua: &Lua, (this, count): (This, Value)) -> mlua::Result<Call> {
    let count = match &count {
        Value::Nil => READ as i64,
        Value::Integer(count) => *count,
        Value::Number(count) => *count as i64,
        other => return Err(bad_argument(1, "read", "number", other)),
    };
    let count = u64::try_from(count).ok().filter(|count| *count > 0);
    let count = or_return!(lua, count.ok_or_else(|| invalid("size must be positive")), failure);
    let file = this.0.clone();
    let limit = file.limit;
    let work = move |count: u64| {
        let mut bytes = Vec::new();
        file.with("read", |file| file.take(count).read_to_end(&mut bytes))?;
        if bytes.is_empty() {
            return Err(Error::not_found("EOF").with_retryable(None));
        }
        Ok(Attempt::Done(Content(bytes)))
    };
    within_room(lua, limit, count, work, value_or_nil)
}

fn write(lua: &Lua, (this, data): (This, Value)) -> mlua::Result<Call> {
    let data = match &data {
        Value::String(data) if data.as_bytes().is_empty() => {
            return Ok(Call::Ready(false_failure(lua, invalid("data required"))?));
        }
        Value::String(data) => Copied::new(lua, data),
        other => return Err(bad_argument(1, "write", "string", other)),
    };
    let file = this.0.clone();
    let work = move || {
        let written = file.with("write", |file| file.write_all(data.bytes()));
        volume::written();
        written
    };
    off_worker(lua, work, true_or_false)
}

fn seek(lua: &Lua, (this, whence, offset): (This, Value, Value)) -> mlua::Result<Call> {
    let offset = match &offset {
        Value::Nil => 0,
        Value::Integer(offset) => *offset,
        Value::Number(offset) => *offset as i64,
        other => return Err(bad_argument(2, "seek", "number", other)),
    };
    let Value::String(whence) = &whence else {
        return Err(bad_argument(1, "seek", "string", &whence));
    };
    let to = match &*whence.as_bytes() {
        b"set" => u64::try_from(offset)
            .map(SeekFrom::Start)
            .map_err(|_| invalid("cannot seek to before the start")),
        b"cur" => Ok(SeekFrom::Current(offset)),
        b"end" => Ok(SeekFrom::End(offset)),
        _ => Err(invalid("invalid whence: must be 'set', 'cur' or 'end'")),
    };
    let to = or_return!(lua, to, failure);
    let file = this.0.clone();
    off_worker(lua, move || file.with("seek", |file| file.seek(to)), value_or_nil)
}

fn stat(lua: &Lua, this: This) -> mlua::Result<Call> {
    let file = this.0.clone();
    let work = move || {
        let found = file.with("stat", |file| file.metadata())?;
        let name = file.place.name().to_vec();
        Ok(Facts { name, found })
    };
    off_worker(lua, work, value_or_nil)
}

fn sync(lua: &Lua, this: This) -> mlua::Result<Call> {
    let file = this.0.clone();
    off_worker(lua, move || file.with("sync", |file| file.sync_all()), true_or_false)
}

fn close(lua: &Lua, this: This) -> mlua::Result<Call> {
    let file = this.0.clone();
    let work = move || {
        file.close();
        Ok(())
    };
    off_worker(lua, work, true_or_false)
}

fn scanner(lua: &Lua, (this, split): (This, Value)) -> mlua::Result<Call> {
    let split = match &split {
        Value::Nil => Ok(Split::Lines),
        Value::String(name) => Split::parse(&name.as_bytes())
            .ok_or_else(|| invalid("invalid split: must be 'lines', 'words', 'bytes' or 'runes'")),
        other => return Err(bad_argument(1, "scanner", "string", other)),
    };
    let split = or_return!(lua, split, failure);
    let file = this.0.clone();
    let work = move || match file.is_closed() {
        true => Err(invalid("file is closed")),
        false => Ok(Scanner::new(file, split)),
    };
    off_worker(lua, work, value_or_nil)
}

#[cfg(test)]
mod tests {
    use super::super::tests::world;

    #[test]
    fn files_are_read_written_and_closed() {
        let (world, _temp) = world();
        world.run(
            r#"
            local f = vol:open("f", "w")
            assert(f:write("hello world") == true and f:seek("set", 6) == 6 and f:write("W") and f:seek(fs.seek.SET, 0) == 0)
            assert(f:read(5) == "hello" and f:read() == " World")
            fails("NotFound", "EOF", nil, f:read())
            fails("Invalid", "size must be positive", nil, f:read(0))
            fails("Invalid", "data required", false, f:write(""))
            fails("Invalid", "whence", nil, f:seek("middle", 0))
            fails("Invalid", "", nil, f:seek("set", -1))
            assert(f:seek("end", -5) == 6 and f:seek("cur", 1) == 7 and f:read(1e15) == "orld")
            assert(f:stat().size == 11 and f:stat().name == "f" and f:sync() == true)
            assert(not pcall(f.write, f) and not pcall(f.write, f, 5) and not pcall(f.read, f, "x"))
            assert(f:close() == true and f:close() == true)
            for _, method in ipairs{"read", "stat", "seek"} do
                fails("Internal", method .. " /f: file already closed", nil, f[method](f, method == "seek" and "cur" or nil))
            end
            fails("Internal", "file already closed", false, f:write("x"))
            fails("Internal", "file already closed", false, f:sync())
            fails("Invalid", "file is closed", nil, f:scanner())

            local a = vol:open("f", "a"); a:write("!"); a:close()
            assert(vol:readfile("f") == "hello World!")
            local r = vol:open("f", "r")
            fails("Internal", "write /f", false, r:write("x"))
            r:close()
            fails("NotFound", "file exists", nil, vol:open("f", "wx"))
            fails("NotFound", "no such file", nil, vol:open("g", "r"))
            fails("Invalid", "invalid mode: must be 'r', 'w', 'wx' or 'a'", nil, vol:open("f", "rw"))
            fails("NotFound", "is a directory", nil, vol:open("/", "r"))
            assert(not pcall(vol.open, vol, "f"))
            "#,
        );
    }

    #[test]
    fn files_left_open_are_closed_with_the_state() {
        let (world, temp) = world();
        std::fs::write(temp.path().join("left-open"), "x").unwrap();
        let open = || {
            let links = std::fs::read_dir("/proc/self/fd").unwrap().flatten();
            links
                .filter_map(|link| std::fs::read_link(link.path()).ok())
                .filter(|path| path.starts_with(temp.path()) && path.ends_with("left-open"))
                .count()
        };
        world.run("a = vol:open('left-open', 'r'); b = vol:open('left-open', 'r')");
        assert_eq!(open(), 2);
        drop(world);
        assert_eq!(open(), 0);
    }
}
