//! Runs the real binary in a folder of its own and says everything about it when a test fails: command, folder, status,
//! both streams. Every child has a generous watchdog, so that a hang is a failure and not an hour.

#![allow(dead_code, reason = "shared by two tests, each of which uses its part")]

use std::fmt;
use std::fs;
use std::io::{PipeWriter, Read, Write};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, LazyLock, mpsc};
use std::time::{Duration, Instant};

/// Long enough for the slowest machine, short enough to be noticed.
const WATCHDOG: Duration = Duration::from_secs(120);

/// A folder that lives as long as the test.
pub struct Folder(Arc<tempfile::TempDir>);

impl Folder {
    pub fn new() -> Folder {
        Folder(Arc::new(tempfile::tempdir().expect("a temporary folder")))
    }

    /// A folder with these files in it.
    pub fn with(files: &[(&str, &str)]) -> Folder {
        let folder = Folder::new();
        for (path, text) in files {
            folder.write(path, text);
        }
        folder
    }

    pub fn copy_of(source: &Path) -> Folder {
        let folder = Folder::new();
        folder.copy_in(source, ".");
        folder
    }

    pub fn path(&self) -> &Path {
        self.0.path()
    }

    pub fn write(&self, path: &str, text: impl AsRef<[u8]>) {
        let path = self.path().join(path);
        let parent = path.parent().expect("a file in the folder");
        fs::create_dir_all(parent).expect("a writable folder");
        fs::write(path, text).expect("a writable file");
    }

    pub fn read(&self, path: &str) -> String {
        fs::read_to_string(self.path().join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
    }

    /// Waits until a program has made that file.
    pub fn wait_for(&self, path: &str) {
        let began = Instant::now();
        while !self.path().join(path).exists() {
            assert!(began.elapsed() < WATCHDOG, "{path} was never made");
            std::thread::sleep(Duration::from_millis(2));
        }
    }

    /// Copies a file or a whole folder to that place.
    pub fn copy_in(&self, source: &Path, to: &str) {
        copy(source, &self.path().join(to));
    }

    /// A call of `wippy`, the words separated by blanks.
    pub fn wippy(&self, words: &str) -> Call {
        self.wippy_args(&words.split_whitespace().collect::<Vec<_>>())
    }

    pub fn wippy_args(&self, words: &[&str]) -> Call {
        let mut command = Command::new(env!("CARGO_BIN_EXE_wippy"));
        command.args(words);
        self.call(command, format!("wippy {}", words.join(" ")))
    }

    /// A call of some other program.
    pub fn program(&self, name: &str, words: &[&str]) -> Call {
        let mut command = Command::new(name);
        command.args(words);
        self.call(command, format!("{name} {}", words.join(" ")))
    }

    /// One line for a shell, in which `wippy` and the README's `cargo run` are the built binary.
    pub fn shell(&self, line: &str) -> Outcome {
        let mut command = Command::new("sh");
        command.arg("-c").arg(
            line.replace("cargo run -q --", "wippy")
                .replace("cargo run --", "wippy"),
        );
        self.call(command, line.to_owned()).run()
    }

    fn call(&self, mut command: Command, shown: String) -> Call {
        let binary = Path::new(env!("CARGO_BIN_EXE_wippy"));
        let own = binary.parent().expect("a binary in a folder").to_path_buf();
        let path = std::env::var_os("PATH").unwrap_or_default();
        let paths = std::iter::once(own).chain(std::env::split_paths(&path));
        command
            .current_dir(self.path())
            .env_clear()
            .env("PATH", std::env::join_paths(paths).expect("a path"))
            .env("HOME", self.path())
            .env("TZ", "UTC")
            .env("XDG_CACHE_HOME", Path::new(env!("CARGO_TARGET_TMPDIR")).join("cache"));
        Call::of(command, shown, self)
    }
}

fn copy(source: &Path, to: &Path) {
    if !source.is_dir() {
        fs::copy(source, to).unwrap_or_else(|error| panic!("{}: {error}", source.display()));
        return;
    }
    fs::create_dir_all(to).expect("a writable folder");
    for entry in fs::read_dir(source).expect("a readable folder") {
        let entry = entry.expect("a readable folder");
        copy(&entry.path(), &to.join(entry.file_name()));
    }
}

/// A guest of `fixtures/wasm`.
pub fn guest(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("fixtures/wasm")
        .join(format!("{name}.wasm"))
}

/// The hash that `fixtures/SHA256SUMS` says a guest has.
pub fn hash(name: &str) -> String {
    let sums = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/SHA256SUMS");
    let sums = fs::read_to_string(sums).expect("the checksums");
    let file = format!("wasm/{name}.wasm");
    let line = sums.lines().find(|line| line.ends_with(&file));
    let line = line.unwrap_or_else(|| panic!("no checksum of {file}"));
    format!("sha256:{}", line.split_whitespace().next().expect("a checksum"))
}

/// A command about to run.
pub struct Call {
    command: Command,
    shown: String,
    /// Kept until the command has ended.
    folder: Arc<tempfile::TempDir>,
    stdin: Vec<u8>,
    is_read: bool,
}

impl Call {
    /// A call of what was made elsewhere, in surroundings of its own.
    pub fn of(command: Command, shown: String, folder: &Folder) -> Call {
        Call {
            command,
            shown,
            folder: folder.0.clone(),
            stdin: Vec::new(),
            is_read: true,
        }
    }

    /// Whoever is to read its stdout is gone before it begins.
    #[must_use]
    pub fn unread(mut self) -> Call {
        self.is_read = false;
        self
    }

    #[must_use]
    pub fn stdin(mut self, bytes: impl AsRef<[u8]>) -> Call {
        self.stdin = bytes.as_ref().to_vec();
        self
    }

    #[must_use]
    pub fn env(mut self, name: &str, value: impl AsRef<std::ffi::OsStr>) -> Call {
        self.command.env(name, value);
        self
    }

    #[must_use]
    pub fn without(mut self, name: &str) -> Call {
        self.command.env_remove(name);
        self
    }

    /// Runs in a folder below.
    #[must_use]
    pub fn within(mut self, folder: impl AsRef<Path>) -> Call {
        self.command.current_dir(self.folder.path().join(folder));
        self
    }

    /// The bare command, for a test that starts it in its own way.
    pub fn into_command(self) -> Command {
        self.command
    }

    pub fn run(self) -> Outcome {
        self.start().wait()
    }

    /// Starts it with its input written and closed.
    pub fn start(self) -> Running {
        let input = self.stdin.clone();
        let mut running = self.start_open();
        let mut stdin = running.child.stdin.take().expect("a piped stdin");
        std::thread::spawn(move || {
            // A program that does not read its input is free to do so.
            let _ = stdin.write_all(&input);
        });
        running
    }

    /// Without memory in pieces of 2 MiB, which count whole however little of one is used.
    #[cfg(target_os = "linux")]
    pub fn without_huge_pages(mut self) -> Call {
        // SAFETY: the call is allowed between fork and exec.
        unsafe {
            self.command.pre_exec(|| {
                libc::prctl(libc::PR_SET_THP_DISABLE, 1, 0, 0, 0);
                Ok(())
            });
        }
        self
    }

    /// Starts it with its stdin left open.
    pub fn start_open(mut self) -> Running {
        self.command
            .process_group(0)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        if !self.is_read {
            self.command.stdout(unread());
        }
        let child = self
            .command
            .spawn()
            .unwrap_or_else(|error| panic!("{}: {error}", self.shown));
        Running {
            child,
            shown: self.shown,
            folder: self.folder,
            seen: Vec::new(),
            said: Vec::new(),
        }
    }
}

/// A pipe that nobody reads. Made once: what another test forks meanwhile has its reader until it runs its own program.
fn unread() -> PipeWriter {
    static PIPE: LazyLock<PipeWriter> = LazyLock::new(|| std::io::pipe().expect("a pipe").1);
    PIPE.try_clone().expect("a descriptor")
}

/// What a command that runs holds of the machine.
#[cfg(target_os = "linux")]
#[derive(Debug)]
pub struct Resources {
    /// Resident bytes.
    pub memory: usize,
    pub files: usize,
    pub threads: usize,
}

/// A command that runs.
pub struct Running {
    pub child: Child,
    shown: String,
    folder: Arc<tempfile::TempDir>,
    /// What was read of stdout before the end.
    seen: Vec<u8>,
    /// The same of stderr.
    said: Vec<u8>,
}

impl Running {
    /// Reads stdout until that text has come.
    pub fn until(&mut self, text: &str) {
        self.until_times(text, 1);
    }

    /// Reads stdout until that text has come as often as that.
    pub fn until_times(&mut self, text: &str, times: usize) {
        let _watchdog = watch(self.child.id());
        let stdout = self.child.stdout.as_mut().expect("a piped stdout");
        let found = read_until(stdout, &mut self.seen, |seen| seen.matches(text).count() >= times);
        let seen = String::from_utf8_lossy(&self.seen);
        assert!(found, "{} never printed {text:?} {times} times:\n{seen}", self.shown);
    }

    /// Reads stdout until a line that begins so has come, and gives that line.
    pub fn line_with(&mut self, beginning: &str) -> String {
        let found = |seen: &str| {
            let whole = seen.split_inclusive('\n').filter(|line| line.ends_with('\n'));
            let mut found = whole.filter(|line| line.starts_with(beginning));
            found.next().map(|line| line.trim_end().to_owned())
        };
        let _watchdog = watch(self.child.id());
        let stdout = self.child.stdout.as_mut().expect("a piped stdout");
        read_until(stdout, &mut self.seen, |seen| found(seen).is_some());
        let seen = String::from_utf8_lossy(&self.seen);
        found(&seen).unwrap_or_else(|| panic!("{} never printed {beginning:?}:\n{seen}", self.shown))
    }

    /// Reads stderr until that text has come.
    pub fn until_error(&mut self, text: &str) {
        self.until_errors(text, 1);
    }

    /// Reads stderr until that text has come as often as that.
    pub fn until_errors(&mut self, text: &str, times: usize) {
        let _watchdog = watch(self.child.id());
        let stderr = self.child.stderr.as_mut().expect("a piped stderr");
        let found = read_until(stderr, &mut self.said, |said| said.matches(text).count() >= times);
        let said = String::from_utf8_lossy(&self.said);
        assert!(found, "{} never said {text:?} {times} times:\n{said}", self.shown);
    }

    /// Types a line.
    pub fn enter(&mut self, line: &str) {
        let stdin = self.child.stdin.as_mut().expect("an open stdin");
        writeln!(stdin, "{line}").expect("a program that reads");
    }

    /// What it holds of the machine now.
    #[cfg(target_os = "linux")]
    pub fn resources(&self) -> Resources {
        let folder = PathBuf::from(format!("/proc/{}", self.child.id()));
        let count = |name: &str| fs::read_dir(folder.join(name)).expect("a living child").count();
        let statm = fs::read_to_string(folder.join("statm")).expect("a living child");
        let pages = statm.split(' ').nth(1).and_then(|pages| pages.parse::<usize>().ok());
        Resources {
            memory: pages.expect("a number of pages") * 4096,
            files: count("fd"),
            threads: count("task"),
        }
    }

    pub fn signal(&self, name: &str) {
        kill(name, self.child.id());
    }

    /// Closes our end of its stdout.
    pub fn hang_up(&mut self) {
        drop(self.child.stdout.take());
    }

    /// Closes our end of its stderr.
    pub fn hang_up_errors(&mut self) {
        drop(self.child.stderr.take());
    }

    pub fn wait(mut self) -> Outcome {
        let watchdog = watch(self.child.id());
        let stderr = self.child.stderr.take();
        let mut bytes = std::mem::take(&mut self.said);
        let errors = std::thread::spawn(move || match stderr {
            Some(mut pipe) => pipe.read_to_end(&mut bytes).map(|_| bytes),
            None => Ok(bytes),
        });
        let mut stdout = std::mem::take(&mut self.seen);
        if let Some(mut pipe) = self.child.stdout.take() {
            pipe.read_to_end(&mut stdout).expect("a readable stdout");
        }
        let status = self.child.wait().expect("a child that ends");
        drop(watchdog);
        Outcome {
            status: status
                .code()
                .unwrap_or_else(|| -std::os::unix::process::ExitStatusExt::signal(&status).unwrap_or(0)),
            stdout,
            stderr: errors.join().expect("no panic").expect("a readable stderr"),
            shown: self.shown.clone(),
            folder: self.folder.path().to_path_buf(),
        }
    }
}

/// A test that failed leaves nothing running.
impl Drop for Running {
    fn drop(&mut self) {
        if matches!(self.child.try_wait(), Ok(None)) {
            kill_all(self.child.id());
        }
    }
}

fn read_until(stream: &mut impl Read, seen: &mut Vec<u8>, is_enough: impl Fn(&str) -> bool) -> bool {
    let mut byte = [0];
    while !is_enough(&String::from_utf8_lossy(seen)) {
        match stream.read(&mut byte) {
            Ok(1) => seen.push(byte[0]),
            _ => return false,
        }
    }
    true
}

/// Kills the child and what it has started when it takes far too long; dropping the handle calls the dog off.
fn watch(pid: u32) -> mpsc::Sender<()> {
    let (off, called) = mpsc::channel::<()>();
    std::thread::spawn(move || {
        if called.recv_timeout(WATCHDOG) == Err(mpsc::RecvTimeoutError::Timeout) {
            kill_all(pid);
        }
    });
    off
}

/// Kills a child, which leads a process group, with all that is in it.
fn kill_all(pid: u32) {
    let status = Command::new("kill").args(["-KILL", "--", &format!("-{pid}")]).status();
    assert!(status.is_ok(), "cannot run kill: {status:?}");
}

fn kill(name: &str, pid: u32) {
    let status = Command::new("kill")
        .arg(format!("-{name}"))
        .arg(pid.to_string())
        .stderr(Stdio::null())
        .status();
    assert!(status.is_ok(), "cannot run kill: {status:?}");
}

/// What a command did.
pub struct Outcome {
    /// The exit code; a signal that ended it as a negative number.
    pub status: i32,
    pub stdout: Vec<u8>,
    pub stderr: Vec<u8>,
    shown: String,
    folder: PathBuf,
}

impl Outcome {
    #[track_caller]
    pub fn code(self, expected: i32) -> Outcome {
        assert!(self.status == expected, "expected exit code {expected}\n{self}");
        self
    }

    #[track_caller]
    pub fn stdout(self, expected: &str) -> Outcome {
        assert!(
            self.stdout == expected.as_bytes(),
            "expected stdout {expected:?}\n{self}"
        );
        self
    }

    #[track_caller]
    pub fn stdout_has(self, text: &str) -> Outcome {
        let found = String::from_utf8_lossy(&self.stdout).contains(text);
        assert!(found, "expected {text:?} on stdout\n{self}");
        self
    }

    #[track_caller]
    pub fn stderr_has(self, text: &str) -> Outcome {
        let found = String::from_utf8_lossy(&self.stderr).contains(text);
        assert!(found, "expected {text:?} on stderr\n{self}");
        self
    }

    #[track_caller]
    pub fn quiet(self) -> Outcome {
        assert!(self.stderr.is_empty(), "expected nothing on stderr\n{self}");
        self
    }
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "command: {}", self.shown)?;
        writeln!(f, "folder:  {}", self.folder.display())?;
        writeln!(f, "status:  {}", self.status)?;
        writeln!(f, "stdout:\n{}", String::from_utf8_lossy(&self.stdout))?;
        write!(f, "stderr:\n{}", String::from_utf8_lossy(&self.stderr))
    }
}
