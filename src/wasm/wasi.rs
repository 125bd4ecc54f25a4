//! What a guest sees of the world: arguments, environment, working directory, mounts and standard streams.
//!
//! [`Inputs`] are captured when a process starts, so that whatever is missing refuses the start; the WASI context is
//! built from them when the guest first asks, which most guests never do. Without a grant its part is empty, not absent.
//! Which functions exist at all is left to `linker`, what opening a file means to `files`.
//!
//! Invariant: nothing of the host is visible that is not listed in the entry.

use std::collections::VecDeque;
use std::io;
use std::os::fd::AsRawFd;
use std::sync::{Arc, Mutex, OnceLock};

use bytes::Bytes;
use tokio::io::{AsyncRead, AsyncWrite};
use wasmtime_wasi::cli::{IsTerminal, StdinStream, StdoutStream};
use wasmtime_wasi::p2::{InputStream, OutputStream, Pollable, StreamError, StreamResult};
use wasmtime_wasi::{FsPerms, WasiCtx, WasiCtxBuilder};

use super::actor::Given;
use super::files::Modes;
use super::grants::Grant;
use super::limits::Gauge;
use super::network::{Network, Reach};
use super::program::WasmProgram;
use super::serving::Serving;
use super::stdio::{Reader, Writer};
use crate::error::{Error, Kind, Result};
use crate::lock::lock;
use crate::log::{Level, Log, Record};
use crate::process::Process;
use crate::project::entry::{Mount, WasiEnv, WasmSpec};
use crate::system::System;
use crate::system::terminal::{Stream, Terminal};
use crate::system::volume::Volume;
use crate::value::{Packed, Value};

/// Bytes of stderr kept for the report of a crash.
const TAIL: usize = 4 << 10;
/// A line of output that grows longer becomes several records.
const LONGEST_LINE: usize = 8 << 10;
/// What a guest may write to the log in one go.
const LOG_PERMIT: usize = 64 << 10;

/// Everything that is read when the process starts, and what the guest's body and its store have in common.
pub struct Inputs {
    program: Arc<WasmProgram>,
    gauge: Gauge,
    /// With a grant for any of it, which most guests do not have.
    granted: Option<Box<Granted>>,
    /// With a grant for the network.
    reach: Option<Arc<Reach>>,
    sockets: bool,
    /// Made when the guest first asks for it.
    network: OnceLock<Arc<Network>>,
    serving: Arc<Serving>,
    given: Given,
    /// Its output in lines, without a terminal: made when it first writes.
    lines: [OnceLock<Arc<Lines>>; 2],
    /// Made when stderr is.
    tail: OnceLock<Arc<Tail>>,
}

/// What a guest sees with `wasi:cli` and `wasi:filesystem`.
struct Granted {
    args: Vec<String>,
    env: Vec<(String, String)>,
    cwd: Option<String>,
    mounts: Vec<MountPoint>,
    terminal: Option<Arc<Terminal>>,
}

struct MountPoint {
    volume: Arc<Volume>,
    guest: String,
    perms: FsPerms,
}

impl Inputs {
    /// Whether the guest can change files.
    pub fn can_write(&self) -> bool {
        self.mounts().iter().any(MountPoint::is_writable)
    }

    /// Permissions of what the guest makes: those that all volumes allow where it can. WASI does not tell by which mount
    /// a folder was reached.
    pub fn modes(&self) -> Modes {
        let every = Modes {
            file: 0o644,
            folder: 0o755,
        };
        let writable = self.mounts().iter().filter(|mount| mount.is_writable());
        writable.fold(every, |modes, mount| Modes {
            file: modes.file & mount.volume.file_mode(),
            folder: modes.folder & mount.volume.dir_mode(),
        })
    }

    /// Reads what the entry lists; a command finds the entry's name as argument 0.
    ///
    /// # Errors
    /// NotFound for a required variable or a volume that is missing and whose grant is there.
    pub fn capture(
        program: &Arc<WasmProgram>,
        process: &Arc<Process>,
        args: Packed,
        given: Given,
    ) -> Result<Arc<Inputs>> {
        Ok(Arc::new(Inputs {
            program: program.clone(),
            gauge: Gauge::default(),
            granted: Granted::capture(program, process, &given.system)?,
            reach: program.reach().cloned(),
            sockets: program.grants().has(Grant::Sockets),
            network: OnceLock::new(),
            serving: Arc::new(Serving::new(process.clone(), args)),
            given,
            lines: Default::default(),
            tail: OnceLock::new(),
        }))
    }

    fn mounts(&self) -> &[MountPoint] {
        self.granted.as_ref().map_or(&[], |granted| &granted.mounts)
    }

    pub fn program(&self) -> &Arc<WasmProgram> {
        &self.program
    }

    pub fn gauge(&self) -> &Gauge {
        &self.gauge
    }

    /// Whom the guest runs for.
    pub fn serving(&self) -> &Serving {
        &self.serving
    }

    /// A call is over: what it wrote without ending the line is written, and what it said last forgotten.
    pub fn end_call(&self) {
        self.lines
            .iter()
            .filter_map(OnceLock::get)
            .for_each(|lines| lines.flush());
        if let Some(tail) = self.tail.get() {
            tail.clear();
        }
    }

    /// What the guest may reach; nothing without a grant.
    pub fn network(&self) -> Arc<Network> {
        let reach = || self.reach.clone().unwrap_or_default();
        let network = || Arc::new(Network::new(reach(), self.serving.clone()));
        self.network.get_or_init(network).clone()
    }

    pub fn given(&self) -> &Given {
        &self.given
    }

    /// What a report shows of what the guest was started with: the arguments of its method, or the words of a command.
    pub fn arguments(&self) -> Vec<Value> {
        let args = self.serving.args();
        if !args.is_empty() {
            return args.brief();
        }
        let words = self.granted.iter().flat_map(|granted| &granted.args);
        let words: Vec<Value> = words.map(|word| Value::from(word.as_str())).collect();
        Packed::from_values(&words).brief()
    }

    /// The last lines of stderr.
    pub fn tail(&self) -> Vec<u8> {
        self.tail.get().map(|tail| tail.text()).unwrap_or_default()
    }

    /// Whether building the context can fail, so that it is better done before the guest runs.
    pub fn can_fail(&self) -> bool {
        !self.mounts().is_empty()
    }

    /// The context as it is after the start, and while the guest runs if nothing is mounted.
    ///
    /// # Errors
    /// Internal when a volume's folder cannot be opened any more.
    pub fn builder(&self) -> Result<WasiCtxBuilder> {
        let mut builder = self.plain();
        for mount in self.mounts() {
            let path = mount.host_path();
            builder
                .preopened_dir(path, &mount.guest, mount.perms)
                .map_err(|error| {
                    Error::internal(format!(
                        "failed to mount {} at {}: {error:#}",
                        mount.volume.id(),
                        mount.guest
                    ))
                })?;
        }
        Ok(builder)
    }

    /// The context without mounts.
    pub fn plain(&self) -> WasiCtxBuilder {
        let mut builder = WasiCtx::builder();
        builder.max_random_size(super::random::PIECE);
        if let Some(granted) = &self.granted {
            granted.add_to(&mut builder);
        }
        builder
            .stdout(self.output(Stream::Out))
            .stderr(self.output(Stream::Err));
        if self.sockets {
            self.open_sockets(&mut builder);
        }
        builder
    }

    fn open_sockets(&self, builder: &mut WasiCtxBuilder) {
        let network = self.network();
        builder.allow_tcp(true).allow_udp(true);
        builder.socket_addr_check(move |address, purpose| {
            let allowed = network.may_use(address, purpose);
            Box::pin(std::future::ready(allowed))
        });
    }

    fn output(&self, stream: Stream) -> Output {
        let sink = match self.granted.as_ref().and_then(|granted| granted.terminal.as_ref()) {
            Some(terminal) => Sink::Terminal(terminal.clone(), stream),
            None => Sink::Log(
                self.lines[stream as usize]
                    .get_or_init(|| Arc::new(Lines::new(&self.serving, stream)))
                    .clone(),
            ),
        };
        Output {
            sink,
            tail: (stream == Stream::Err).then(|| self.tail.get_or_init(Arc::default).clone()),
            permit: 0,
        }
    }
}

impl Granted {
    /// # Errors
    /// As [`Inputs::capture`].
    fn capture(program: &WasmProgram, process: &Process, system: &System) -> Result<Option<Box<Granted>>> {
        let (spec, grants) = (program.spec(), program.grants());
        let cli = grants.has(Grant::Cli);
        let mounted = grants.has(Grant::Filesystem);
        if !cli && !mounted {
            return Ok(None);
        }
        // What has no effect cannot refuse the start either.
        let env = if cli { spec.env.as_slice() } else { &[] };
        let mounts = if mounted { spec.mounts.as_slice() } else { &[] };
        let granted = Granted {
            env: environment(env, system)?,
            mounts: self::mounts(mounts, system)?,
            args: if cli {
                arguments(spec, program.is_command(), process)
            } else {
                Vec::new()
            },
            cwd: cli.then(|| spec.cwd.clone()),
            terminal: process.terminal().filter(|_| cli).cloned(),
        };
        Ok(Some(Box::new(granted)))
    }

    /// Everything but the mounts, and what the guest writes.
    fn add_to(&self, builder: &mut WasiCtxBuilder) {
        builder.args(&self.args).envs(&self.env);
        if let Some(cwd) = &self.cwd {
            builder.initial_cwd(cwd);
        }
        if let Some(terminal) = &self.terminal {
            builder.stdin(Input(terminal.clone()));
        }
    }
}

fn arguments(spec: &WasmSpec, name_first: bool, process: &Process) -> Vec<String> {
    let name = name_first.then(|| process.entry().name().to_owned());
    let words: &[String] = match process.terminal() {
        Some(_) => process.words(),
        None => &[],
    };
    name.into_iter()
        .chain(spec.args.iter().cloned())
        .chain(words.iter().cloned())
        .collect()
}

fn environment(wanted: &[WasiEnv], system: &System) -> Result<Vec<(String, String)>> {
    let mut found = Vec::with_capacity(wanted.len());
    for variable in wanted {
        if let Some(value) = &variable.value {
            found.push((variable.name.clone(), value.clone()));
            continue;
        }
        match system.env().get_id(&variable.id) {
            Ok(value) => found.push((variable.name.clone(), value)),
            Err(error) if error.kind() != Kind::NotFound => return Err(error),
            Err(_) if variable.required => {
                return Err(Error::not_found(format!(
                    "required wasi env variable not found: {}",
                    variable.id
                )));
            }
            Err(_) => {}
        }
    }
    Ok(found)
}

fn mounts(wanted: &[Mount], system: &System) -> Result<Vec<MountPoint>> {
    let mount = |mount: &Mount| {
        if !system.volumes.has(&mount.fs) {
            let message = format!("wasi mount filesystem not found: {}", mount.fs);
            return Err(Error::not_found(message));
        }
        let volume = system.volumes.get(&mount.fs)?;
        // A volume without any write bit is read-only whatever the mount says.
        let read_only = mount.read_only || volume.mode() & 0o222 == 0;
        Ok(MountPoint {
            volume,
            guest: mount.guest.clone(),
            perms: if read_only {
                FsPerms::ReadOnly
            } else {
                FsPerms::ReadWrite
            },
        })
    };
    wanted.iter().map(mount).collect()
}

impl MountPoint {
    fn is_writable(&self) -> bool {
        matches!(self.perms, FsPerms::ReadWrite)
    }

    /// A path that leads to the open folder itself, whatever became of its name since boot.
    fn host_path(&self) -> String {
        let prefix = if cfg!(target_os = "linux") {
            "/proc/self/fd"
        } else {
            "/dev/fd"
        };
        format!("{prefix}/{}", self.volume.dir().as_raw_fd())
    }
}

/// The last bytes of stderr.
#[derive(Default)]
pub struct Tail(Mutex<VecDeque<u8>>);

impl Tail {
    fn push(&self, bytes: &[u8]) {
        let kept = &bytes[bytes.len().saturating_sub(TAIL)..];
        let mut tail = lock(&self.0);
        let surplus = (tail.len() + kept.len()).saturating_sub(TAIL);
        tail.drain(..surplus);
        tail.extend(kept);
    }

    fn clear(&self) {
        lock(&self.0).clear();
    }

    /// The text, from its first whole character on.
    pub fn text(&self) -> Vec<u8> {
        let mut tail = lock(&self.0);
        if tail.len() == TAIL {
            while tail.front().is_some_and(|byte| byte & 0xc0 == 0x80) {
                tail.pop_front();
            }
        }
        tail.iter().copied().collect()
    }
}

/// Collects output into lines, each a log record about its process.
struct Lines {
    log: Log,
    serving: Arc<Serving>,
    stream: Stream,
    rest: Mutex<Vec<u8>>,
}

impl Lines {
    fn new(serving: &Arc<Serving>, stream: Stream) -> Lines {
        Lines {
            log: serving.process().kernel().log().clone(),
            serving: serving.clone(),
            stream,
            rest: Mutex::default(),
        }
    }

    fn push(&self, bytes: &[u8]) {
        let mut rest = lock(&self.rest);
        for piece in bytes.split_inclusive(|byte| *byte == b'\n') {
            rest.extend_from_slice(piece);
            if rest.last() == Some(&b'\n') {
                rest.pop();
                self.record(&std::mem::take(&mut *rest));
            }
            while rest.len() >= LONGEST_LINE {
                let end = whole_characters(&rest[..LONGEST_LINE]);
                let tail = rest.split_off(end);
                self.record(&std::mem::replace(&mut *rest, tail));
            }
        }
    }

    /// Records what did not end in a newline.
    fn flush(&self) {
        let rest = std::mem::take(&mut *lock(&self.rest));
        if !rest.is_empty() {
            self.record(&rest);
        }
    }

    fn record(&self, line: &[u8]) {
        let (level, stream) = match self.stream {
            Stream::Out => (Level::Info, "stdout"),
            Stream::Err => (Level::Warn, "stderr"),
        };
        if self.log.enabled(level) {
            let text = String::from_utf8_lossy(line.strip_suffix(b"\r").unwrap_or(line));
            let process = self.serving.process();
            let record = Record::new(level, text).about(process.pid(), &process.entry());
            self.log.record(record.field("stream", stream));
        }
    }
}

impl Drop for Lines {
    fn drop(&mut self) {
        self.flush();
    }
}

/// Where the last character that ends within `bytes` ends; all of them when they are not UTF-8.
fn whole_characters(bytes: &[u8]) -> usize {
    let start = (1..=3.min(bytes.len()))
        .map(|back| bytes.len() - back)
        .find(|at| bytes[*at] & 0xc0 != 0x80);
    match start {
        Some(at) if at > 0 && std::str::from_utf8(&bytes[at..]).is_err() => at,
        _ => bytes.len(),
    }
}

/// Stdin of the terminal.
struct Input(Arc<Terminal>);

impl IsTerminal for Input {
    fn is_terminal(&self) -> bool {
        self.0.is_tty_in()
    }
}

impl StdinStream for Input {
    fn async_stream(&self) -> Box<dyn AsyncRead + Send + Sync> {
        Box::new(Reader::new(self.0.clone()))
    }

    fn p2_stream(&self) -> Box<dyn InputStream> {
        Box::new(Input(self.0.clone()))
    }
}

#[wasmtime_wasi::async_trait]
impl Pollable for Input {
    async fn ready(&mut self) {
        self.0.readable().await;
    }
}

impl InputStream for Input {
    fn read(&mut self, size: usize) -> StreamResult<Bytes> {
        match self.0.try_read(size) {
            Ok(None) => Ok(Bytes::new()),
            Ok(Some(bytes)) if bytes.is_empty() && size > 0 => Err(StreamError::Closed),
            Ok(Some(bytes)) => Ok(Bytes::from(bytes)),
            Err(error) => Err(failed(error)),
        }
    }
}

/// Stdout or stderr.
#[derive(Clone)]
pub struct Output {
    sink: Sink,
    tail: Option<Arc<Tail>>,
    /// How much its stream may write without asking again.
    permit: usize,
}

#[derive(Clone)]
enum Sink {
    Terminal(Arc<Terminal>, Stream),
    Log(Arc<Lines>),
}

impl Output {
    /// Takes as many bytes as there is room for.
    ///
    /// # Errors
    /// As [`Terminal::try_write`].
    pub fn take(&self, bytes: &[u8]) -> io::Result<usize> {
        let taken = match &self.sink {
            // WASI 0.3 hands over all that the guest has, however much it is.
            Sink::Log(lines) => {
                let piece = &bytes[..bytes.len().min(LOG_PERMIT)];
                lines.push(piece);
                Ok(piece.len())
            }
            Sink::Terminal(terminal, stream) => terminal.try_write(*stream, bytes),
        };
        // What could not be written any more may be what explains the end.
        let kept = taken.as_ref().map_or(bytes.len(), |count| *count);
        self.remember(&bytes[..kept]);
        taken
    }

    /// Takes all the bytes, which were permitted: others may write to the same terminal meanwhile.
    fn put(&self, bytes: &[u8]) -> io::Result<()> {
        self.remember(bytes);
        match &self.sink {
            Sink::Log(lines) => {
                lines.push(bytes);
                Ok(())
            }
            Sink::Terminal(terminal, stream) => terminal.write_permitted(*stream, bytes),
        }
    }

    fn remember(&self, bytes: &[u8]) {
        if let Some(tail) = &self.tail {
            tail.push(bytes);
        }
    }

    /// Waits until there is room, or no more will be written.
    pub async fn writable(&self) {
        if let Sink::Terminal(terminal, stream) = &self.sink {
            terminal.writable(*stream).await;
        }
    }
}

impl IsTerminal for Output {
    fn is_terminal(&self) -> bool {
        matches!(&self.sink, Sink::Terminal(terminal, stream) if terminal.is_tty(*stream))
    }
}

impl StdoutStream for Output {
    fn async_stream(&self) -> Box<dyn AsyncWrite + Send + Sync> {
        Box::new(Writer::new(self.clone()))
    }

    fn p2_stream(&self) -> Box<dyn OutputStream> {
        Box::new(self.clone())
    }
}

#[wasmtime_wasi::async_trait]
impl Pollable for Output {
    async fn ready(&mut self) {
        self.writable().await;
    }
}

impl OutputStream for Output {
    fn write(&mut self, bytes: Bytes) -> StreamResult<()> {
        let Some(permit) = self.permit.checked_sub(bytes.len()) else {
            return Err(StreamError::trap("wrote more than was permitted"));
        };
        self.permit = permit;
        self.put(&bytes).map_err(failed)
    }

    /// The terminal's queue is emptied by a thread of its own, in order and before the program ends: nothing to wait for.
    fn flush(&mut self) -> StreamResult<()> {
        Ok(())
    }

    fn check_write(&mut self) -> StreamResult<usize> {
        self.permit = match &self.sink {
            Sink::Log(_) => LOG_PERMIT,
            Sink::Terminal(terminal, stream) => terminal.room(*stream).map_err(failed)?,
        };
        Ok(self.permit)
    }
}

fn failed(error: io::Error) -> StreamError {
    match error.kind() {
        io::ErrorKind::BrokenPipe => StreamError::Closed,
        _ => StreamError::LastOperationFailed(error.into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stream_writes_what_it_was_permitted_and_no_more() {
        let terminal = Terminal::captured(Vec::new());
        let mut output = Output {
            sink: Sink::Terminal(terminal.clone(), Stream::Err),
            tail: None,
            permit: 0,
        };
        let bytes = |length: usize| Bytes::from(vec![b'x'; length]);
        assert!(
            matches!(output.write(bytes(1)), Err(StreamError::Trap(_))),
            "it did not ask"
        );
        let permit = output.check_write().unwrap();
        output.write(bytes(permit - 1)).unwrap();
        assert!(matches!(output.write(bytes(2)), Err(StreamError::Trap(_))));
        output.write(bytes(1)).unwrap();
        assert_eq!(terminal.errors().len(), permit);
    }

    #[test]
    fn the_tail_keeps_the_last_bytes_from_a_whole_character_on() {
        let tail = Tail::default();
        tail.push(b"begin");
        tail.push("ä".repeat(TAIL).as_bytes());
        tail.push(b"!");
        let text = String::from_utf8(tail.text()).unwrap();
        assert!(
            text.len() < TAIL && text.len() > TAIL - 3 && text.ends_with("ä!"),
            "{}",
            text.len()
        );
    }

    #[test]
    fn long_lines_are_cut_between_characters() {
        assert_eq!(whole_characters("aä".as_bytes()), 3);
        assert_eq!(whole_characters(&"aä".as_bytes()[..2]), 1);
        assert_eq!(whole_characters(&[0xff, 0xff, 0xff]), 2);
        assert_eq!(whole_characters(b"abc"), 3);
    }
}
