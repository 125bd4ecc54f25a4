//! What a guest must not reach: everything outside its mounts, and every change through a read-only one. Each attempt is
//! made by a component and by a preview 1 module.

use std::ffi::CString;
use std::os::unix::fs::symlink;
use std::os::unix::net::UnixListener;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};

use super::*;

const PROBES: [(&str, &str); 2] = [("fsprobe", "run"), ("fsprobe-p1", "_start")];

/// A world, and the probes' programs: held, they are compiled once for all attempts.
fn world() -> (World, [Arc<WasmProgram>; 2]) {
    let world = World::new();
    let program = |(name, method)| world.program(probe(name, method, false, &[])).unwrap();
    let programs = PROBES.map(program);
    (world, programs)
}

/// A probe with the data folder mounted twice: at `/rw`, and read-only at `/ro`.
fn twice(name: &str, method: &str, words: &[&str]) -> Entry {
    guest_with(name, method, |spec| {
        spec.imports = owned(&["wasi:cli", "wasi:filesystem"]);
        spec.mounts = vec![mount("/rw", false), mount("/ro", true)];
        spec.args = owned(words);
    })
}

fn split(words: &str) -> Vec<&str> {
    words.split(' ').collect()
}

/// The folder beside the mounted one, with a secret.
struct Outside(tempfile::TempDir);

impl Outside {
    fn new() -> Outside {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("secret"), "secret").unwrap();
        std::fs::create_dir(folder.path().join("folder")).unwrap();
        Outside(folder)
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    #[track_caller]
    fn is_untouched(&self) {
        assert_eq!(std::fs::read_to_string(self.path("secret")).unwrap(), "secret");
        let modified = std::fs::metadata(self.path("secret")).unwrap().modified().unwrap();
        // A clock that was set back meanwhile is no time that a guest has set.
        assert!(
            modified.elapsed().unwrap_or_default() < WATCHDOG * 60,
            "its time was set"
        );
        let mut names: Vec<_> = std::fs::read_dir(self.0.path())
            .unwrap()
            .map(|entry| entry.unwrap().file_name())
            .collect();
        names.sort();
        assert_eq!(names, ["folder", "secret"]);
        assert_eq!(std::fs::read_dir(self.path("folder")).unwrap().count(), 0);
    }
}

#[test]
fn nothing_crosses_a_read_only_border() {
    let (world, _programs) = world();
    let file = world.data.path().join("a");
    std::fs::write(&file, "kept").unwrap();
    let before = std::fs::metadata(&file).unwrap().modified().unwrap();
    for words in [
        // A hard link or another name in the writable mount would make the file writable.
        "link /ro/a /rw/b",
        "link /rw/a /ro/b",
        "mv /ro/a /rw/b",
        "mv /rw/a /ro/b",
        "symlink a /ro/b",
        "rmdir /ro/.",
        "mkdir /ro/b",
        // Opened for reading, changed all the same.
        "truncate-open /ro/a",
        "ftruncate /ro/a 0",
        "futimes /ro/a",
        "utimes /ro/a",
        "utimes /ro",
        "truncate /ro/a 0",
        // A way through the writable mount does not lead into the other one.
        "write /rw/../ro/a x",
        "truncate /ro/../rw/../ro/a 0",
    ] {
        for (name, method) in PROBES {
            let (exit, out, err) = world.command(twice(name, method, &split(words)), &[]);
            assert_eq!(exit.cause, Cause::Code(1), "{name} {words}: {out}{err}");
            assert!(err.contains("error: E"), "{name} {words}: {err}");
        }
    }
    assert_eq!(std::fs::read_to_string(&file).unwrap(), "kept");
    assert_eq!(std::fs::metadata(&file).unwrap().modified().unwrap(), before);
    assert_eq!(std::fs::read_dir(world.data.path()).unwrap().count(), 1);
    let (exit, out, _) = world.command(twice("fsprobe", "run", &["mv", "/rw/a", "/rw/b"]), &[]);
    assert_eq!(
        (value(&exit), out.as_str()),
        (Value::Nil, "ok\n"),
        "the probe can do what it may"
    );
}

#[test]
fn no_operation_leaves_its_mount() {
    let (world, _programs) = world();
    let outside = Outside::new();
    let inside = |name: &str| world.data.path().join(name);
    std::fs::write(inside("a"), "inside").unwrap();
    symlink(outside.path("secret"), inside("out")).unwrap();
    symlink(outside.path("folder"), inside("dir")).unwrap();
    // The same by a relative way, from a folder that stands beside.
    let name = outside.0.path().file_name().unwrap().to_str().unwrap();
    let up = format!("../{name}");
    symlink(format!("{up}/secret"), inside("up")).unwrap();
    let secret = outside.path("secret");
    let secret = secret.to_str().unwrap();
    let attempts = [
        "read /data/out".to_owned(),
        "read /data/up".to_owned(),
        format!("read {secret}"),
        format!("read /data/{up}/secret"),
        format!("read /data//{secret}"),
        format!("read /data/dir/../{name}/secret"),
        "write /data/out x".to_owned(),
        "append /data/up x".to_owned(),
        "create /data/dir/new x".to_owned(),
        format!("create /data/{up}/new x"),
        "truncate /data/out 0".to_owned(),
        "truncate-open /data/up".to_owned(),
        "utimes /data/out".to_owned(),
        "stat /data/out".to_owned(),
        "ls /data/dir".to_owned(),
        format!("ls /data/{up}"),
        "mkdir /data/dir/new".to_owned(),
        format!("rmdir /data/{up}/folder"),
        format!("rm /data/{up}/secret"),
        format!("mv /data/a /data/{up}/a"),
        format!("mv /data/{up}/secret /data/b"),
        format!("link /data/{up}/secret /data/b"),
        format!("link /data/a /data/{up}/a"),
        "link /data/dir/../secret /data/b".to_owned(),
        format!("symlink a /data/{up}/new"),
        format!("symlink {secret} /data/new"),
    ];
    for words in attempts {
        for (name, method) in PROBES {
            let (exit, out, err) = world.command(probe(name, method, false, &split(&words)), &[]);
            assert_eq!(exit.cause, Cause::Code(1), "{name} {words}: {out}{err}");
            assert!(!out.contains("secret"), "{name} {words}: {out}");
        }
    }
    // A link that the guest makes itself leads nowhere either.
    for (name, method) in PROBES {
        let link = format!("/data/{name}");
        let target = format!("{up}/secret");
        world.command(probe(name, method, false, &["symlink", &target, &link]), &[]);
        let (exit, out, _) = world.command(probe(name, method, false, &["read", &link]), &[]);
        assert!(exit.cause == Cause::Code(1) && !out.contains("secret"), "{out}");
    }
    outside.is_untouched();
    assert_eq!(std::fs::read_to_string(inside("a")).unwrap(), "inside");
}

/// Exchanges two names for as long as it lives.
#[cfg(target_os = "linux")]
struct Swapping {
    over: Arc<AtomicBool>,
    thread: Option<std::thread::JoinHandle<usize>>,
}

#[cfg(target_os = "linux")]
impl Swapping {
    fn of(one: PathBuf, other: PathBuf) -> Swapping {
        let path = |path: PathBuf| CString::new(path.into_os_string().into_encoded_bytes()).unwrap();
        let (one, other, over) = (path(one), path(other), Arc::new(AtomicBool::new(false)));
        let told = over.clone();
        let exchange = move || {
            let mut swaps = 0;
            loop {
                let cwd = libc::AT_FDCWD;
                // SAFETY: both paths are C strings that live across the call.
                let code = unsafe { libc::renameat2(cwd, one.as_ptr(), cwd, other.as_ptr(), libc::RENAME_EXCHANGE) };
                swaps += usize::from(code == 0);
                if told.load(Ordering::Relaxed) {
                    return swaps;
                }
                std::thread::yield_now();
            }
        };
        Swapping {
            thread: Some(std::thread::spawn(exchange)),
            over,
        }
    }

    fn end(mut self) -> usize {
        self.over.store(true, Ordering::Relaxed);
        self.thread.take().unwrap().join().unwrap()
    }
}

#[test]
#[cfg(target_os = "linux")]
fn a_symlink_swapped_in_during_use_leads_nowhere() {
    let (world, _programs) = world();
    let outside = Outside::new();
    let inside = |name: &str| world.data.path().join(name);
    std::fs::write(inside("file"), "inside").unwrap();
    symlink(outside.path("secret"), inside("file.link")).unwrap();
    std::fs::create_dir_all(inside("sub/folder")).unwrap();
    std::fs::write(inside("sub/secret"), "inside").unwrap();
    symlink(outside.0.path(), inside("sub.link")).unwrap();
    let file = Swapping::of(inside("file"), inside("file.link"));
    let folder = Swapping::of(inside("sub"), inside("sub.link"));
    for words in [
        "read /data/file",
        "read /data/sub/secret",
        "read /data/sub/folder/../secret",
        "append /data/file !",
        "truncate /data/sub/secret 3",
        "utimes /data/sub/secret",
        "create /data/sub/new x",
        "mkdir /data/sub/folder/new",
        "rmdir /data/sub/folder/new",
        "mv /data/sub/secret /data/sub/other",
        "mv /data/sub/other /data/sub/secret",
        "link /data/sub/secret /data/sub/other",
        "rm /data/sub/other",
    ] {
        for (name, method) in PROBES {
            let words = format!("again 200 {words}");
            let (exit, out, _) = world.command(probe(name, method, false, &split(&words)), &[]);
            assert_eq!(value(&exit), Value::Nil, "{words}");
            // Contents of the inside never have the word whole.
            assert!(!out.contains("secret"), "{name} {words}: {out}");
        }
    }
    assert!(file.end() > 0 && folder.end() > 0);
    outside.is_untouched();
}

#[test]
fn neither_fifos_nor_sockets_nor_devices_are_opened() {
    let (world, _programs) = world();
    let inside = |name: &str| world.data.path().join(name);
    let path = |name: &str| CString::new(inside(name).into_os_string().into_encoded_bytes()).unwrap();
    // SAFETY: the path is a C string that lives across the call.
    assert_eq!(unsafe { libc::mkfifo(path("fifo").as_ptr(), 0o600) }, 0);
    let _socket = UnixListener::bind(inside("socket")).unwrap();
    symlink("fifo", inside("link")).unwrap();
    let mut names = vec!["fifo", "link", "socket"];
    // The device of `/dev/zero`; only the superuser may make one.
    // SAFETY: as above.
    match unsafe { libc::mknod(path("zero").as_ptr(), libc::S_IFCHR | 0o600, libc::makedev(1, 5)) } {
        0 => names.push("zero"),
        _ => println!("no device can be made here: {}", std::io::Error::last_os_error()),
    }
    // With somebody at the other end nothing would block; without, an open that waits would wait for ever.
    let other_end = std::fs::OpenOptions::new()
        .read(true)
        .write(true)
        .open(inside("fifo"))
        .unwrap();
    every_open_is_refused(&world, &names);
    drop(other_end);
    every_open_is_refused(&world, &names);
}

fn every_open_is_refused(world: &World, names: &[&str]) {
    for file in names {
        for words in ["read", "append", "write", "truncate", "truncate-open", "ftruncate"] {
            for (name, method) in PROBES {
                let path = format!("/data/{file}");
                let (exit, out, err) = world.command(probe(name, method, false, &[words, &path, "0"]), &[]);
                assert_eq!(exit.cause, Cause::Code(1), "{name} {words} {file}: {out}{err}");
            }
        }
    }
}
