//! What lies outside a volume cannot be reached: not by `..`, not by a symlink, not from Lua, not from a guest.

use std::ffi::CString;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::harness::Folder;
use crate::projects::{lua, wasm};

fn secret(folder: &Folder) {
    folder.write("outside/secret.txt", "secret");
    folder.write("data/inside.txt", "inside");
    let outside = folder.path().join("outside");
    symlink(outside.join("secret.txt"), folder.path().join("data/link.txt")).expect("a symlink");
    symlink(&outside, folder.path().join("data/folder")).expect("a symlink");
    symlink("inside.txt", folder.path().join("data/own.txt")).expect("a symlink");
}

const ATTEMPTS: [&str; 4] = [
    "../outside/secret.txt",
    "link.txt",
    "folder/secret.txt",
    "folder/../../outside/secret.txt",
];

#[test]
fn lua_cannot_leave_its_volume() {
    let folder = lua(
        "return function(path)\n  local text, err = fs.get('app:data'):readfile(path)\n  print(text)\n  \
                      io.eprint(tostring(err))\nend",
    );
    let index = folder.read("src/_index.yaml") + "  - name: data\n    kind: fs.directory\n    directory: ./data\n";
    folder.write("src/_index.yaml", index);
    secret(&folder);
    for path in ATTEMPTS {
        folder.wippy_args(&["run", "main", path]).run().code(0).stdout("nil\n");
    }
    folder.wippy("run main inside.txt").run().code(0).stdout("inside\n");
    folder.wippy("run main own.txt").run().code(0).stdout("inside\n");
}

#[test]
fn a_guest_cannot_leave_its_mounts() {
    let folder = guest_with_mount("fs: data, guest: /data");
    secret(&folder);
    for path in ATTEMPTS {
        let path = format!("/data/{path}");
        folder
            .wippy_args(&["run", "main", "read", &path])
            .run()
            .code(1)
            .stdout("")
            .stderr_has("error: E");
    }
    folder
        .wippy("run main read /data/inside.txt")
        .run()
        .code(0)
        .stdout_has("inside");
    folder.wippy("run main read /etc/passwd").run().code(1).stdout("");
}

#[test]
fn a_read_only_mount_cannot_be_changed() {
    let folder = guest_with_mount("fs: data, guest: /data, read_only: true");
    secret(&folder);
    for attempt in [
        "write /data/inside.txt x",
        "append /data/inside.txt x",
        "create /data/new.txt x",
        "rm /data/inside.txt",
        "mkdir /data/new",
        "mv /data/inside.txt /data/moved.txt",
        "link /data/inside.txt /data/linked.txt",
        "symlink inside.txt /data/sym.txt",
        "truncate /data/inside.txt 0",
        "utimes /data/inside.txt",
    ] {
        folder
            .wippy(&format!("run main {attempt}"))
            .run()
            .code(1)
            .stderr_has("error: E");
    }
    assert_eq!(folder.read("data/inside.txt"), "inside");
    folder
        .wippy("run main read /data/inside.txt")
        .run()
        .code(0)
        .stdout_has("inside");
}

fn guest_with_mount(mount: &str) -> Folder {
    let folder = wasm(
        "fsprobe",
        "run",
        &format!(
            "    imports: [wasi:io, wasi:cli, wasi:filesystem, wasi:clocks]\n    wasi:\n      mounts: [ {{ {mount} }} ]\n  \
             - name: data\n    kind: fs.directory\n    directory: ./data\n"
        ),
    );
    folder.write("data/.keep", "");
    folder
}

/// Exchanges two names until it is told to stop; says how often.
#[cfg(target_os = "linux")]
fn swap(one: &Path, other: &Path, over: &AtomicBool) -> usize {
    let path = |path: &Path| CString::new(path.as_os_str().as_bytes()).expect("a path");
    let (one, other) = (path(one), path(other));
    let mut swaps = 0;
    loop {
        let here = libc::AT_FDCWD;
        // SAFETY: both paths are C strings that live across the call.
        let code = unsafe { libc::renameat2(here, one.as_ptr(), here, other.as_ptr(), libc::RENAME_EXCHANGE) };
        swaps += usize::from(code == 0);
        if over.load(Ordering::Relaxed) {
            return swaps;
        }
        std::thread::yield_now();
    }
}

#[test]
#[cfg(target_os = "linux")]
fn a_symlink_swapped_in_while_lua_uses_the_name_leads_nowhere() {
    let folder = lua(
        "return function()\n  local volume = fs.get('app:data')\n  for _ = 1, 2000 do\n    for _, path in \
                      ipairs({ 'file', 'sub/secret.txt', 'sub/../sub/secret.txt' }) do\n      assert(volume:readfile(path) ~= \
                      'secret', path)\n      volume:writefile(path, 'inside')\n    end\n  end\n  print('done')\nend",
    );
    let index = folder.read("src/_index.yaml") + "  - name: data\n    kind: fs.directory\n    directory: ./data\n";
    folder.write("src/_index.yaml", index);
    folder.write("outside/secret.txt", "secret");
    folder.write("data/file", "inside");
    folder.write("data/sub/secret.txt", "inside");
    let at = |name: &str| folder.path().join(name);
    symlink(at("outside/secret.txt"), at("data/file.link")).expect("a symlink");
    symlink(at("outside"), at("data/sub.link")).expect("a symlink");
    let over = AtomicBool::new(false);
    let swaps = std::thread::scope(|scope| {
        let file = scope.spawn(|| swap(&at("data/file"), &at("data/file.link"), &over));
        let sub = scope.spawn(|| swap(&at("data/sub"), &at("data/sub.link"), &over));
        let outcome = folder.wippy("run main").run();
        over.store(true, Ordering::Relaxed);
        outcome.code(0).stdout("done\n");
        [file, sub].map(|thread| thread.join().expect("no panic"))
    });
    assert!(swaps.iter().all(|count| *count > 0), "{swaps:?}");
    assert_eq!(folder.read("outside/secret.txt"), "secret");
    assert_eq!(std::fs::read_dir(at("outside")).expect("a folder").count(), 1);
}
