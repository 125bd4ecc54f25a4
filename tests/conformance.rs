//! Runs folders of WASI programs in the form of the WebAssembly organisation's test suite: `NAME.wasm`, and beside it
//! `NAME.json`, in which everything may be left out. There are two forms of it. The first is `args`, `env`, `dirs`, `root`,
//! `exit_code`, `stdout` and `stderr`; the second lists `operations`: `run` with `args`, `env`, `dirs` and `root`, then `write`
//! to stdin, `read` from stdout or stderr, `connect` to the address that the program prints first, `send` and `recv`, and `wait`
//! for the exit code. `proposals` names what else the program may use.
//!
//! `WASI_TESTS=FOLDER[:FOLDER…] cargo test --test conformance` runs those; `fixtures/conformance` is always run. A program
//! finds each of `dirs` under its name below `/`, and `root` as `/`, in a copy of the folder. One that serves requests
//! (`world`) is ignored: there is no HTTP endpoint.

use std::collections::BTreeMap;
use std::fs;
use std::io::{self, Read, Write};
use std::net::{TcpStream, UdpSocket};
use std::path::{Path, PathBuf};
use std::time::Duration;

use libtest_mimic::{Arguments, Failed, Trial};
use serde::Deserialize;

#[path = "suite/harness.rs"]
mod harness;

use harness::{Folder, Outcome, Running};

/// How long an answer may take: for a machine that is busy with other things.
const PATIENCE: Duration = Duration::from_secs(120);

/// What is expected of a program. A field that is not known here would not be tested: it is refused.
#[derive(Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Expected {
    args: Vec<String>,
    env: BTreeMap<String, String>,
    dirs: Vec<String>,
    root: Option<String>,
    exit_code: i32,
    stdout: Option<String>,
    stderr: Option<String>,
    proposals: Vec<Proposal>,
    operations: Vec<Operation>,
}

#[derive(Clone, Copy, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "lowercase")]
enum Proposal {
    Sockets,
    Http,
}

#[derive(Deserialize)]
#[serde(tag = "type", rename_all = "lowercase", deny_unknown_fields)]
enum Operation {
    Run {
        #[serde(default)]
        args: Vec<String>,
        #[serde(default)]
        env: BTreeMap<String, String>,
        #[serde(default)]
        dirs: Vec<String>,
        root: Option<String>,
    },
    Write {
        #[serde(default)]
        id: Input,
        payload: String,
    },
    Read {
        #[serde(default)]
        id: Output,
        payload: String,
    },
    Connect {
        id: String,
        #[serde(default)]
        protocol_type: Protocol,
    },
    Send {
        id: String,
        payload: String,
    },
    Recv {
        id: String,
        payload: String,
    },
    Wait {
        #[serde(default)]
        exit_code: i32,
    },
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Input {
    #[default]
    Stdin,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Output {
    #[default]
    Stdout,
    Stderr,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Protocol {
    #[default]
    Tcp,
    Udp,
}

/// A connection to a program.
enum Socket {
    Tcp(TcpStream),
    Udp(UdpSocket),
}

impl Socket {
    fn connect(protocol: &Protocol, address: &str) -> io::Result<Socket> {
        match protocol {
            Protocol::Tcp => {
                let stream = TcpStream::connect(address)?;
                stream.set_read_timeout(Some(PATIENCE))?;
                Ok(Socket::Tcp(stream))
            }
            Protocol::Udp => {
                let socket = UdpSocket::bind("127.0.0.1:0")?;
                socket.connect(address)?;
                socket.set_read_timeout(Some(PATIENCE))?;
                Ok(Socket::Udp(socket))
            }
        }
    }

    fn send(&mut self, bytes: &[u8]) -> io::Result<()> {
        match self {
            Socket::Tcp(stream) => stream.write_all(bytes),
            Socket::Udp(socket) => socket.send(bytes).map(drop),
        }
    }

    /// That many bytes, or a datagram.
    fn receive(&mut self, length: usize) -> io::Result<Vec<u8>> {
        let mut bytes = vec![0; length];
        match self {
            Socket::Tcp(stream) => stream.read_exact(&mut bytes)?,
            Socket::Udp(socket) => {
                let received = socket.recv(&mut bytes)?;
                bytes.truncate(received);
            }
        }
        Ok(bytes)
    }
}

fn main() {
    let own = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/conformance");
    let named = std::env::var_os("WASI_TESTS").unwrap_or_default();
    let folders = std::iter::once(own).chain(std::env::split_paths(&named).filter(|path| !path.as_os_str().is_empty()));
    let trials = folders.flat_map(|folder| trials(&folder)).collect();
    libtest_mimic::run(&Arguments::from_args(), trials).exit();
}

fn trials(folder: &Path) -> Vec<Trial> {
    let entries = fs::read_dir(folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
    let mut modules: Vec<PathBuf> = entries
        .map(|entry| entry.expect("a readable folder").path())
        .filter(|path| path.extension().is_some_and(|kind| kind == "wasm"))
        .collect();
    modules.sort();
    assert!(!modules.is_empty(), "{}: no NAME.wasm", folder.display());
    let group = folder.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let trial = |module: PathBuf| {
        let name = module.file_stem().unwrap_or_default().to_string_lossy().into_owned();
        let serves = serves(&module.with_extension("json"));
        Trial::test(format!("{group}::{name}"), move || run(&module)).with_ignored_flag(serves)
    };
    modules.into_iter().map(trial).collect()
}

/// Whether it names a world, that is, exports something else than a command.
fn serves(file: &Path) -> bool {
    let text = fs::read_to_string(file).unwrap_or_default();
    serde_json::from_str::<serde_json::Value>(&text).is_ok_and(|json| json.get("world").is_some())
}

fn run(module: &Path) -> Result<(), Failed> {
    let mut expected = expected(&module.with_extension("json"))?;
    let operations = std::mem::take(&mut expected.operations);
    let mut operations = operations.into_iter().peekable();
    let talks = operations.peek().is_some();
    if let Some(Operation::Run { args, env, dirs, root }) = operations.next_if(|it| matches!(it, Operation::Run { .. }))
    {
        (expected.args, expected.env, expected.dirs, expected.root) = (args, env, dirs, root);
    }
    let folder = Folder::new();
    let name = module.file_name().unwrap_or_default().to_string_lossy().into_owned();
    folder.copy_in(module, &name);
    let beside = module.parent().ok_or("a module in a folder")?;
    for dir in expected.dirs.iter().chain(&expected.root) {
        folder.copy_in(&beside.join(dir), dir);
    }
    let words = words(&expected, &name);
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    let call = folder.wippy_args(&words);
    match talks {
        true => talk(call.start_open(), operations),
        false => check(&expected, &call.run()),
    }
}

/// Does one after the other what is to be done with a program that runs. It ends well unless `wait` says otherwise.
fn talk(mut program: Running, operations: impl Iterator<Item = Operation>) -> Result<(), Failed> {
    let mut expected = Expected::default();
    let (mut stdout, mut stderr) = (String::new(), String::new());
    let mut sockets = BTreeMap::new();
    let unknown = |id: &str| format!("{id}: not connected");
    for operation in operations {
        match operation {
            Operation::Run { .. } => return Err("a program is run once, and first".into()),
            Operation::Write {
                id: Input::Stdin,
                payload,
            } => {
                let stdin = program.child.stdin.as_mut().ok_or("an open stdin")?;
                stdin.write_all(payload.as_bytes())?;
            }
            Operation::Read { id, payload } => match id {
                Output::Stdout => {
                    stdout.push_str(&payload);
                    program.until(&stdout);
                }
                Output::Stderr => {
                    stderr.push_str(&payload);
                    program.until_error(&stderr);
                }
            },
            Operation::Connect { id, protocol_type } => {
                let address = program.line_with("");
                sockets.insert(id, Socket::connect(&protocol_type, &address)?);
                stdout = format!("{address}\n");
            }
            Operation::Send { id, payload } => {
                let socket = sockets.get_mut(&id).ok_or_else(|| unknown(&id))?;
                socket.send(payload.as_bytes())?;
            }
            Operation::Recv { id, payload } => {
                let socket = sockets.get_mut(&id).ok_or_else(|| unknown(&id))?;
                let received = socket.receive(payload.len())?;
                if received != payload.as_bytes() {
                    return Err(format!("received {:?}", String::from_utf8_lossy(&received)).into());
                }
            }
            Operation::Wait { exit_code } => {
                expected.exit_code = exit_code;
                break;
            }
        }
    }
    drop(program.child.stdin.take());
    let outcome = program.wait();
    check(&expected, &outcome)?;
    let begins = |bytes: &[u8], text: &str| bytes.starts_with(text.as_bytes());
    match begins(&outcome.stdout, &stdout) && begins(&outcome.stderr, &stderr) {
        true => Ok(()),
        false => Err(format!("it printed something else before\n{outcome}").into()),
    }
}

fn expected(file: &Path) -> Result<Expected, Failed> {
    if !file.exists() {
        return Ok(Expected::default());
    }
    let text = fs::read_to_string(file)?;
    serde_json::from_str(&text).map_err(|error| format!("{}: {error}", file.display()).into())
}

/// The command line. Folders are mounted at absolute paths, so that arguments which name one become absolute too.
fn words(expected: &Expected, module: &str) -> Vec<String> {
    let mounted = |arg: &String| {
        let below = |dir: &String| {
            arg.strip_prefix(dir.as_str())
                .is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
        };
        match expected.dirs.iter().any(below) {
            true => format!("/{arg}"),
            false => arg.clone(),
        }
    };
    let root = expected.root.iter().map(|dir| format!("{dir}::/"));
    let dirs = expected.dirs.iter().map(|dir| format!("{dir}::/{dir}"));
    let dirs = root.chain(dirs).flat_map(|dir| ["--dir".to_owned(), dir]);
    let env = expected
        .env
        .iter()
        .flat_map(|(name, value)| ["--env".to_owned(), format!("{name}={value}")]);
    let grants = expected.proposals.iter().flat_map(|proposal| {
        let (grant, reach): (&str, &[&str]) = match proposal {
            Proposal::Sockets => ("wasi:sockets", &["127.0.0.1:*", "[::1]:*", "0.0.0.0:*", "[::]:*"]),
            Proposal::Http => ("wasi:http", &["127.0.0.1:*"]),
        };
        ["--grant", grant]
            .into_iter()
            .chain(reach.iter().flat_map(|host| ["--network", *host]))
    });
    ["run", "--silent"]
        .into_iter()
        .chain(grants)
        .map(str::to_owned)
        .chain(dirs)
        .chain(env)
        .chain([module.to_owned()])
        .chain(expected.args.iter().map(mounted))
        .collect()
}

fn check(expected: &Expected, outcome: &Outcome) -> Result<(), Failed> {
    let differs = |what: &str| Err(format!("{what} differs\n{outcome}").into());
    if outcome.status != expected.exit_code {
        return Err(format!("expected exit code {}\n{outcome}", expected.exit_code).into());
    }
    let is_other = |text: &Option<String>, bytes: &[u8]| text.as_ref().is_some_and(|text| text.as_bytes() != bytes);
    if is_other(&expected.stdout, &outcome.stdout) {
        return differs("stdout");
    }
    if is_other(&expected.stderr, &outcome.stderr) {
        return differs("stderr");
    }
    Ok(())
}
