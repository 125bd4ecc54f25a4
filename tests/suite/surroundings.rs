//! Every command under every condition that must make no difference: stdin closed, a reader that left before it began, a folder
//! that cannot be written to, a path with spaces and letters of other alphabets, no HOME.
//!
//! A command is a row of [`COMMANDS`], a condition one of [`Surroundings`]. What each says and its exit code have to be
//! the same as without the condition, or what the row says of it.

use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::OnceLock;

use crate::harness::{Folder, guest};
use crate::projects::wasm;

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

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Surroundings {
    Usual,
    StdinClosed,
    ReaderGone,
    ReadOnly,
    ForeignPath,
    NoHome,
}

/// A project with something for each command.
struct World {
    _folder: Folder,
    project: PathBuf,
    /// Not the project's: what is kept there must not decide whether a folder can be read only.
    home: Folder,
}

impl World {
    fn new(surroundings: Surroundings) -> World {
        let made = wasm("compute", "compute", "");
        let index = made.read("src/_index.yaml");
        let talks =
            "  - name: talks\n    kind: process.lua\n    source: return function() print('said') return 6 end\n";
        made.write("src/_index.yaml", index + talks);
        made.write("script.lua", "print('script') return 5");
        made.write("tests/a_test.lua", "it('is a test', function() end)");
        made.copy_in(&guest("compute"), "wasm/guest.wasm");
        let folder = Folder::new();
        let name = match surroundings {
            Surroundings::ForeignPath => "a b ö 日本",
            _ => "plain",
        };
        folder.copy_in(made.path(), name);
        World {
            project: folder.path().join(name),
            _folder: folder,
            home: Folder::new(),
        }
    }

    /// The built binary, where whoever runs it may find it.
    fn binary(&self, surroundings: Surroundings) -> PathBuf {
        let built = PathBuf::from(env!("CARGO_BIN_EXE_wippy"));
        if surroundings != Surroundings::ReadOnly {
            return built;
        }
        let found = self.project.with_file_name("wippy");
        std::fs::hard_link(&built, &found)
            .or_else(|_| std::fs::copy(&built, &found).map(drop))
            .expect("a writable folder");
        found
    }

    fn run(&self, words: &str, surroundings: Surroundings) -> Output {
        let binary = self.binary(surroundings);
        let mut command = Command::new(&binary);
        if surroundings == Surroundings::StdinClosed {
            command = Command::new("sh");
            command.args(["-c", "exec \"$0\" \"$@\" <&-"]).arg(&binary);
        }
        command
            .args(words.split(' '))
            .current_dir(&self.project)
            .env_clear()
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        if surroundings != Surroundings::NoHome {
            command.env("HOME", self.home.path());
        }
        match surroundings {
            Surroundings::ReaderGone => {
                let (reader, writer) = std::io::pipe().expect("a pipe");
                drop(reader);
                command.stdout(writer);
            }
            Surroundings::ReadOnly => {
                permit(&self.project, 0o555, 0o444);
                permit(self.home.path(), 0o555, 0o444);
                // For root nothing is read only.
                // SAFETY: it only asks.
                if unsafe { libc::geteuid() } == 0 {
                    command.uid(65534).gid(65534);
                }
            }
            _ => {}
        }
        let output = command.output().expect("the built binary");
        if surroundings == Surroundings::ReadOnly {
            // So that it can be removed.
            permit(&self.project, 0o755, 0o644);
            permit(self.home.path(), 0o755, 0o644);
        }
        output
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
fn steady(output: &Output, world: &World) -> [String; 2] {
    [&output.stdout, &output.stderr].map(|bytes| {
        let text = text(bytes).replace(&world.project.display().to_string(), "PROJECT");
        let is_timed = |line: &&str| line.contains(" in 1 file, ") || line.contains("time=\"");
        text.lines()
            .filter(|line| !is_timed(line))
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
            let output = world.run(words, Surroundings::Usual);
            let said = steady(&output, &world);
            assert_eq!(output.status.code(), Some(*code), "wippy {words}\n{said:#?}");
            said
        });
        said.collect()
    })
}

/// Runs every command in these surroundings; all that is wrong at once.
fn judge(surroundings: Surroundings) {
    let mut wrong = Vec::new();
    for ((words, code), [usual_out, usual_err]) in COMMANDS.iter().zip(usual()) {
        let world = World::new(surroundings);
        let output = world.run(words, surroundings);
        let [out, err] = steady(&output, &world);
        let status = output.status.code();
        let cannot = surroundings == Surroundings::ReadOnly && WRITES.contains(words);
        let is_well = match surroundings {
            _ if err.contains("panicked") => false,
            _ if cannot => status == Some(1) && err.contains("cannot write "),
            // Nobody reads what it says; it ends well, or as the program does.
            Surroundings::ReaderGone => [Some(0), Some(*code)].contains(&status) && err == *usual_err,
            _ => status == Some(*code) && out == *usual_out && err == *usual_err,
        };
        if !is_well {
            let ended = output.status;
            wrong.push(format!(
                "wippy {words}: {ended}, usually {code}\n{out}{err}\nusually\n{usual_out}{usual_err}"
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
