//! Every command under every condition that must make no difference: stdin closed, a reader that left before it began, a folder
//! that cannot be written to, a path with spaces and letters of other alphabets, no HOME.
//!
//! A command is a row of [`COMMANDS`], or of [`LASTING`] if only Ctrl-C ends it, a condition one of [`Surroundings`]. What each
//! says and its exit code have to be the same as without the condition, or what the row says of it.

use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

use crate::harness::{Call, Folder, Outcome, guest};
use crate::projects::wasm;
use crate::pty::{CTRL_C, CTRL_D, Pty};

/// What is called, and its exit code.
const COMMANDS: &[(&str, i32)] = &[
    ("--version", 0),
    ("--help", 0),
    ("help run main", 0),
    ("run", 3),
    ("run list", 0),
    ("run main 6 7", 0),
    ("run -x app:talks", 6),
    ("run script.lua", 5),
    ("run --method compute wasm/guest.wasm 6 7", 0),
    ("repl", 0),
    ("repl -e 6*7", 0),
    ("repl script.lua", 5),
    ("test", 0),
    ("test --format tap", 0),
    ("test --format junit", 0),
    ("test --list", 0),
    ("check", 0),
    ("check --json", 0),
    ("inspect wasm/guest.wasm", 0),
    ("inspect app:main --json", 0),
    ("hash", 0),
    ("hash --write", 0),
    ("cache clear", 0),
    ("registry list", 0),
    ("registry show app:main --json", 0),
    ("init made", 0),
    ("types", 0),
    ("schema", 0),
    ("completions bash", 0),
    ("completions zsh", 0),
    ("completions fish", 0),
];

/// What cannot be done where nothing can be written, and has to say so.
const WRITES: [&str; 2] = ["init made", "types"];

/// What goes on until Ctrl-C.
struct Lasting {
    words: &'static str,
    /// What the project has besides.
    entries: &'static str,
    /// What it says when it is up and waits.
    waits: &'static str,
    /// Its exit codes when nobody reads its output; it goes on where it has none.
    unread: &'static [i32],
}

const LASTING: &[Lasting] = &[
    Lasting {
        words: "run",
        entries: SERVICE,
        waits: "running; stop with Ctrl-C\n",
        unread: &[],
    },
    Lasting {
        words: "run --watch",
        entries: SERVICE,
        waits: "running and watching for changes; stop with Ctrl-C\n",
        unread: &[],
    },
    Lasting {
        words: "run --watch",
        entries: "",
        waits: "nothing runs; waiting for a change; stop with Ctrl-C\n",
        unread: &[],
    },
    Lasting {
        words: "run --watch main 6 7",
        entries: "",
        waits: "ended; waiting for a change; stop with Ctrl-C code=0\n",
        unread: &[0],
    },
    Lasting {
        words: "run --watch script.lua",
        entries: "",
        waits: "ended; waiting for a change; stop with Ctrl-C code=5\n",
        unread: &[0, 5],
    },
    Lasting {
        words: "test --watch",
        entries: "",
        waits: "waiting for a change; stop with Ctrl-C\n",
        unread: &[0],
    },
];

const SERVICE: &str = "  - name: waits\n    kind: process.lua\n    source: return function() process.events():receive() end\n  - name: service\n    \
     kind: process.service\n    process: waits\n    host: processes\n    lifecycle: { auto_start: true }\n";

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Surroundings {
    Usual,
    StdinClosed,
    ReaderGone,
    ReadOnly,
    ForeignPath,
    NoHome,
}

const ALL: [Surroundings; 6] = [
    Surroundings::Usual,
    Surroundings::StdinClosed,
    Surroundings::ReaderGone,
    Surroundings::ReadOnly,
    Surroundings::ForeignPath,
    Surroundings::NoHome,
];

/// A project with something for each command.
struct World {
    surroundings: Surroundings,
    folder: Folder,
    project: PathBuf,
    /// Not the project's: what is kept there must not decide whether a folder can be read only.
    home: Folder,
    /// Where whoever runs it may find it.
    binary: PathBuf,
}

impl World {
    fn new(surroundings: Surroundings) -> World {
        World::with(surroundings, "")
    }

    fn with(surroundings: Surroundings, entries: &str) -> World {
        let made = wasm("compute", "compute", "");
        let index = made.read("src/_index.yaml");
        let talks =
            "  - name: talks\n    kind: process.lua\n    source: return function() print('said') return 6 end\n";
        made.write("src/_index.yaml", index + talks + entries);
        made.write("script.lua", "print('script') return 5");
        made.write("tests/a_test.lua", "it('is a test', function() end)");
        made.copy_in(&guest("compute"), "wasm/guest.wasm");
        let folder = Folder::new();
        let name = match surroundings {
            Surroundings::ForeignPath => "a b ö 日本",
            _ => "plain",
        };
        folder.copy_in(made.path(), name);
        let mut world = World {
            surroundings,
            project: folder.path().join(name),
            folder,
            home: Folder::new(),
            binary: PathBuf::from(env!("CARGO_BIN_EXE_wippy")),
        };
        if surroundings == Surroundings::ReadOnly {
            world.binary = world.own_binary();
            world.permit(0o555, 0o444);
        }
        world
    }

    fn own_binary(&self) -> PathBuf {
        let own = self.folder.path().join("wippy");
        std::fs::hard_link(&self.binary, &own)
            .or_else(|_| {
                // Written by somebody else: what another test has just forked still has our own open files, and a program
                // that is open for writing cannot be run.
                let copied = Command::new("cp").args([&self.binary, &own]).status()?;
                copied.success().then_some(()).ok_or(std::io::Error::other("cp failed"))
            })
            .expect("a writable folder");
        own
    }

    fn permit(&self, folders: u32, files: u32) {
        permit(&self.project, folders, files);
        permit(self.home.path(), folders, files);
    }

    fn call(&self, words: &str) -> Call {
        let mut command = Command::new(&self.binary);
        if self.surroundings == Surroundings::StdinClosed {
            command = Command::new("sh");
            command.args(["-c", "exec \"$0\" \"$@\" <&-"]).arg(&self.binary);
        }
        command.args(words.split(' ')).current_dir(&self.project).env_clear();
        if self.surroundings != Surroundings::NoHome {
            command.env("HOME", self.home.path());
        }
        // For root nothing is read only.
        // SAFETY: it only asks.
        if self.surroundings == Surroundings::ReadOnly && unsafe { libc::geteuid() } == 0 {
            command.uid(65534).gid(65534);
        }
        let call = Call::of(
            command,
            format!("wippy {words} ({:?})", self.surroundings),
            &self.folder,
        );
        match self.surroundings {
            Surroundings::ReaderGone => call.unread(),
            _ => call,
        }
    }

    /// Waits until it is up and sends it what Ctrl-C does.
    fn interrupt(&self, lasting: &Lasting) {
        let mut running = self.call(lasting.words).start();
        if self.surroundings == Surroundings::ReaderGone && !lasting.unread.is_empty() {
            let outcome = running.wait();
            assert!(lasting.unread.contains(&outcome.status), "{outcome}");
            return;
        }
        running.until_error(lasting.waits);
        running.signal("INT");
        running.wait().code(130);
    }
}

impl Drop for World {
    fn drop(&mut self) {
        if self.surroundings == Surroundings::ReadOnly {
            // So that it can be removed.
            self.permit(0o755, 0o644);
        }
    }
}

/// Sets the permissions of a folder, of what is in it, and of the temporary folder around it, which is its owner's alone.
fn permit(folder: &Path, folders: u32, files: u32) {
    let set = |path: &Path, mode: u32| {
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).expect("a file of ours");
    };
    let mut open = vec![folder.to_path_buf()];
    while let Some(folder) = open.pop() {
        for item in std::fs::read_dir(&folder).expect("a readable folder") {
            let path = item.expect("a readable folder").path();
            match path.is_dir() {
                true => open.push(path),
                false => set(&path, files),
            }
        }
        set(&folder, folders);
    }
    if let Some(above) = folder.parent().filter(|above| *above != std::env::temp_dir()) {
        set(above, folders);
    }
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// Both streams without what differs from run to run in any surroundings.
fn steady(output: &Outcome, world: &World) -> [String; 2] {
    [&output.stdout, &output.stderr].map(|bytes| {
        let text = text(bytes).replace(&world.project.display().to_string(), "PROJECT");
        let is_timed = |line: &&str| line.contains(" in 1 file, ") || line.contains("time=\"");
        text.lines()
            .filter(|line| !is_timed(line))
            .map(|line| match line.rsplit_once(" (") {
                Some((test, time)) if time.ends_with(" ms)") => test,
                _ => line,
            })
            .collect::<Vec<_>>()
            .join("\n")
    })
}

/// What each command says in the usual surroundings.
fn usual() -> &'static [[String; 2]] {
    static SAID: OnceLock<Vec<[String; 2]>> = OnceLock::new();
    SAID.get_or_init(|| {
        let said = COMMANDS.iter().map(|(words, code)| {
            let world = World::new(Surroundings::Usual);
            steady(&world.call(words).run().code(*code), &world)
        });
        said.collect()
    })
}

/// Runs every command in these surroundings; all that is wrong at once.
fn judge(surroundings: Surroundings) {
    let mut wrong = Vec::new();
    for ((words, code), [usual_out, usual_err]) in COMMANDS.iter().zip(usual()) {
        let world = World::new(surroundings);
        let output = world.call(words).run();
        let [out, err] = steady(&output, &world);
        let status = output.status;
        let cannot = surroundings == Surroundings::ReadOnly && WRITES.contains(words);
        let is_well = match surroundings {
            _ if err.contains("panicked") => false,
            _ if cannot => status == 1 && err.contains("cannot write "),
            // Nobody reads what it says; it ends well, or as the program does.
            Surroundings::ReaderGone => [0, *code].contains(&status) && err == *usual_err,
            _ => status == *code && out == *usual_out && err == *usual_err,
        };
        if !is_well {
            wrong.push(format!(
                "wippy {words}: {status}, usually {code}\n{out}{err}\nusually\n{usual_out}{usual_err}"
            ));
        }
    }
    assert!(wrong.is_empty(), "{surroundings:?}:\n{}", wrong.join("\n"));
}

#[test]
fn stdin_may_be_closed() {
    judge(Surroundings::StdinClosed);
}

#[test]
fn a_reader_may_be_gone() {
    judge(Surroundings::ReaderGone);
}

#[test]
fn a_folder_may_be_read_only() {
    judge(Surroundings::ReadOnly);
}

#[test]
fn a_path_may_have_spaces_and_foreign_letters() {
    judge(Surroundings::ForeignPath);
}

#[test]
fn there_may_be_no_home() {
    judge(Surroundings::NoHome);
}

#[test]
fn what_goes_on_until_ctrl_c_does_so_in_any_surroundings() {
    for surroundings in ALL {
        for lasting in LASTING {
            World::with(surroundings, lasting.entries).interrupt(lasting);
        }
    }
}

#[test]
fn a_session_is_one_wherever_there_is_a_terminal() {
    for surroundings in [
        Surroundings::Usual,
        Surroundings::ReadOnly,
        Surroundings::ForeignPath,
        Surroundings::NoHome,
    ] {
        let world = World::new(surroundings);
        let mut pty = Pty::start(world.call("repl"));
        pty.line("6 * 7", "42\n")
            .line("process.exec('app:talks', nil)", "6\tnil\n");
        pty.line("io.print('o' .. 'n') process.receive()", "on\n").keys(CTRL_C);
        pty.line("'still ' .. 'here'", "still here").sees("> ").keys(CTRL_D);
        let (code, drawn) = pty.end();
        assert_eq!(code, 0, "{surroundings:?}\n{drawn}");
    }
}

#[test]
fn every_command_has_a_row() {
    let folder = Folder::new();
    let help = folder.wippy("--help").run().code(0);
    let help = text(&help.stdout);
    let listed = help.lines().skip_while(|line| *line != "Commands:").skip(1);
    let names: Vec<&str> = listed
        .take_while(|line| !line.is_empty())
        .filter(|line| line.starts_with("  ") && !line.starts_with("   "))
        .filter_map(|line| line.split_whitespace().next())
        .collect();
    assert!(names.len() > 10, "{help}");
    let is_missing = |name: &&str| !COMMANDS.iter().any(|(words, _)| words.split(' ').next() == Some(name));
    let missing: Vec<&str> = names.into_iter().filter(is_missing).collect();
    assert!(missing.is_empty(), "no row in COMMANDS for {missing:?}");
}
