//! The console of a terminal host: stdin, stdout and stderr of the program, or captured bytes in a test.
//!
//! Nothing here blocks a worker thread. What is written goes into a bounded queue that one writer thread empties, in the
//! order in which it was written, so that a line on stderr never overtakes an earlier one on stdout. Who is no worker may
//! write what waits for nobody while the queue is empty. Stdin is read by a thread of its own, only when somebody wants input,
//! so that nothing is swallowed that nobody asked for; neither thread keeps the program alive. Who may use a terminal, and what
//! its text means, is the business of the rooms above.

use std::collections::VecDeque;
use std::fs::File;
use std::io::{self, ErrorKind, IsTerminal, Read, Write};
use std::mem::ManuallyDrop;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd};
use std::os::unix::fs::OpenOptionsExt;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;

use super::{caretaker, fatal};
use crate::lock::lock;

/// Bytes that may wait for the writer thread, per stream.
const QUEUE: usize = 64 << 10;
/// How much one read of stdin takes.
const CHUNK: usize = 16 << 10;
/// The longest line `read_line` collects: input is not ours to bound, but memory is.
const LONGEST_LINE: usize = 64 << 20;

/// One of the two ways out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stream {
    Out,
    Err,
}

/// Stands between the writer thread and the screen, while somebody edits a line on it for one.
pub trait Detour: Send + Sync {
    /// Takes what is to be written; `direct` writes it as if there were no detour. May block the writer thread.
    ///
    /// # Errors
    /// What writing failed with.
    fn write(&self, bytes: &[u8], direct: &mut dyn FnMut(&[u8]) -> io::Result<()>) -> io::Result<()>;
}

/// A console, shared by the process that owns it and by whatever else prints.
pub struct Terminal {
    output: Arc<Output>,
    input: Arc<Input>,
    raw: Mutex<Raw>,
}

impl Terminal {
    /// The program's own stdin, stdout and stderr.
    pub fn standard() -> Arc<Terminal> {
        Terminal::over(Sink::Standard, Source::Standard)
    }

    /// A console that reads `stdin` and keeps what is written; for tests and embedders.
    pub fn captured(stdin: Vec<u8>) -> Arc<Terminal> {
        let terminal = Terminal::over(Sink::Captured([Vec::new(), Vec::new()]), Source::Captured);
        {
            let mut input = terminal.input.lock();
            input.push(&stdin);
            input.ended = true;
        }
        terminal
    }

    fn over(sink: Sink, source: Source) -> Arc<Terminal> {
        Arc::new(Terminal {
            output: Arc::new(Output::new(sink)),
            input: Arc::new(Input::new(source)),
            raw: Mutex::default(),
        })
    }

    /// Takes as many bytes as fit into the queue now, possibly none.
    ///
    /// # Errors
    /// `BrokenPipe` when the reader has gone, or whatever the last write failed with.
    pub fn try_write(&self, stream: Stream, bytes: &[u8]) -> io::Result<usize> {
        self.output.push(stream, bytes, Taking::WhatFits)
    }

    /// The same for a thread that may do it itself: what can be written without waiting for a reader is, and not by way of the
    /// writer thread, which a program that only gives an answer never starts.
    ///
    /// # Errors
    /// As [`Terminal::try_write`].
    pub fn write_now(&self, stream: Stream, bytes: &[u8]) -> io::Result<usize> {
        match self.output.write_now(stream, bytes) {
            0 => self.try_write(stream, bytes),
            length => Ok(length),
        }
    }

    /// Takes all the bytes or none; those for which the queue is too small when it is empty.
    ///
    /// # Errors
    /// As [`Terminal::try_write`].
    pub fn try_write_whole(&self, stream: Stream, bytes: &[u8]) -> io::Result<bool> {
        let taken = self.output.push(stream, bytes, Taking::AllOrNothing)?;
        Ok(taken == bytes.len())
    }

    /// Takes all the bytes, for which there was [`Terminal::room`] when their writer asked, whoever has used it since.
    ///
    /// # Errors
    /// As [`Terminal::try_write`].
    pub fn write_permitted(&self, stream: Stream, bytes: &[u8]) -> io::Result<()> {
        self.output.push(stream, bytes, Taking::All).map(drop)
    }

    /// How many bytes [`Terminal::try_write`] would take now.
    ///
    /// # Errors
    /// As [`Terminal::try_write`].
    pub fn room(&self, stream: Stream) -> io::Result<usize> {
        self.output.lock().room(stream)
    }

    /// Waits until there is room to write, or the stream is broken.
    pub async fn writable(&self, stream: Stream) {
        self.output
            .until(|state| state.room(stream).map_or(true, |room| room > 0))
            .await;
    }

    /// Queues all the bytes, waiting for room as often as necessary.
    ///
    /// # Errors
    /// As [`Terminal::try_write`].
    pub async fn write_all(&self, stream: Stream, bytes: Vec<u8>) -> io::Result<()> {
        let mut rest = &bytes[..];
        loop {
            rest = &rest[self.try_write(stream, rest)?..];
            if rest.is_empty() {
                return Ok(());
            }
            self.writable(stream).await;
        }
    }

    /// Waits until everything queued so far has been written.
    ///
    /// # Errors
    /// What writing to stdout failed with, if it did.
    pub async fn flush(&self) -> io::Result<()> {
        self.output.until(OutputState::is_idle).await;
        self.output.lock().room(Stream::Out).map(|_| ())
    }

    /// Waits, on an ordinary thread and at most that long if there is a limit, until everything queued has been written.
    pub fn drain(&self, limit: Option<Duration>) {
        self.output.drain(limit);
    }

    /// Why the stream takes nothing any more, if it does not.
    pub fn broken(&self, stream: Stream) -> Option<ErrorKind> {
        self.output.lock().broken[stream as usize]
    }

    /// Has everything that goes to a screen take this detour from now on.
    pub fn set_detour(&self, detour: Arc<dyn Detour>) {
        self.output.lock().detour = Some(detour);
    }

    /// Remembers the mode that the terminal has now as the one that [`Terminal::restore`] gives back. Whoever sits there stays the
    /// master of what runs: from now on Ctrl-C is a signal in raw mode too.
    pub fn remember(&self) {
        if self.is_tty_in() {
            lock(&self.raw).remember();
        }
    }

    /// Resolves when whoever read our stdout has gone.
    pub async fn hung_up(&self) {
        let broken = |state: &OutputState| state.broken[0] == Some(ErrorKind::BrokenPipe);
        self.output.until(broken).await;
    }

    /// Up to `max` bytes of input; empty at the end.
    ///
    /// # Errors
    /// What reading failed with.
    pub async fn read(&self, max: usize) -> io::Result<Vec<u8>> {
        self.readable().await;
        Ok(self.try_read(max)?.unwrap_or_default())
    }

    /// Input that is there already: `None` when there is none yet, empty at the end.
    ///
    /// # Errors
    /// What reading failed with.
    pub fn try_read(&self, max: usize) -> io::Result<Option<Vec<u8>>> {
        self.input.lock().take(max)
    }

    /// Waits until there is input, or its end has come.
    pub async fn readable(&self) {
        self.input.until(|state| state.ended || !state.buffer.is_empty()).await;
    }

    /// The next line without its `\n` or `\r\n`; a last line need not have one. `None` at the end.
    ///
    /// # Errors
    /// What reading failed with; `InvalidData` for a line beyond 64 MiB.
    pub async fn read_line(&self) -> io::Result<Option<Vec<u8>>> {
        self.input.until(|state| state.ended || state.has_line()).await;
        self.input.lock().take_line()
    }

    pub fn is_tty_in(&self) -> bool {
        self.input.is_tty()
    }

    pub fn is_tty(&self, stream: Stream) -> bool {
        match (&self.output.lock().sink, stream) {
            (Sink::Captured(_), _) => false,
            (Sink::Standard, Stream::Out) => io::stdout().is_terminal(),
            (Sink::Standard, Stream::Err) => io::stderr().is_terminal(),
        }
    }

    /// Switches raw mode on or off; it stays on until every `true` has met its `false`.
    ///
    /// # Errors
    /// `ENOTTY` when stdin is not a terminal.
    pub fn raw(&self, on: bool) -> io::Result<()> {
        if !self.is_tty_in() {
            return Err(io::Error::from_raw_os_error(libc::ENOTTY));
        }
        lock(&self.raw).switch(on)
    }

    /// That a line is edited on it, which [`Terminal::restore`] ends if nobody else has.
    pub fn set_editing(&self, on: bool) {
        if self.is_tty(Stream::Out) {
            fatal::set_editing(on);
        }
    }

    /// Gives the terminal the mode it had, whatever is still counted.
    pub fn restore(&self) {
        if self.is_tty(Stream::Out) {
            fatal::end_editing();
        }
        lock(&self.raw).restore();
        if self.is_tty_in() {
            caretaker::dismiss();
        }
    }

    /// What a captured terminal received on stdout.
    pub fn output(&self) -> Vec<u8> {
        self.output.lock().captured(Stream::Out)
    }

    /// What a captured terminal received on stderr.
    pub fn errors(&self) -> Vec<u8> {
        self.output.lock().captured(Stream::Err)
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        self.restore();
        self.output.close();
        self.input.close();
    }
}

/// How much of some bytes the queue takes.
#[derive(Clone, Copy)]
enum Taking {
    WhatFits,
    AllOrNothing,
    All,
}

enum Sink {
    Standard,
    Captured([Vec<u8>; 2]),
}

struct Output {
    state: Mutex<OutputState>,
    /// Wakes the writer thread: there is work, or the terminal is gone.
    work: Condvar,
    /// Wakes threads in [`Output::drain`].
    idle: Condvar,
    /// Wakes futures: room, idleness or breakage may have come.
    changed: Notify,
}

struct OutputState {
    sink: Sink,
    queue: VecDeque<(Stream, Vec<u8>)>,
    /// Bytes queued or being written, per stream.
    pending: [usize; 2],
    /// Why nothing can be written any more, per stream.
    broken: [Option<ErrorKind>; 2],
    /// The writer thread runs; it is started by the first byte.
    started: bool,
    closed: bool,
    detour: Option<Arc<dyn Detour>>,
}

impl OutputState {
    fn room(&self, stream: Stream) -> io::Result<usize> {
        match self.broken[stream as usize] {
            Some(kind) => Err(kind.into()),
            None => Ok(QUEUE - self.pending[stream as usize].min(QUEUE)),
        }
    }

    /// How many of that many bytes it takes.
    fn takes(&self, stream: Stream, length: usize, taking: Taking) -> io::Result<usize> {
        let room = self.room(stream)?;
        Ok(match taking {
            Taking::WhatFits => length.min(room),
            Taking::AllOrNothing if length > room && room < QUEUE => 0,
            Taking::AllOrNothing | Taking::All => length,
        })
    }

    fn is_idle(&self) -> bool {
        self.pending == [0, 0]
    }

    fn enqueue(&mut self, stream: Stream, bytes: &[u8]) {
        self.pending[stream as usize] += bytes.len();
        match self.queue.back_mut() {
            Some((last, chunk)) if *last == stream => chunk.extend_from_slice(bytes),
            _ => self.queue.push_back((stream, bytes.to_vec())),
        }
    }

    fn written(&mut self, stream: Stream, length: usize, result: io::Result<()>) {
        self.pending[stream as usize] -= length;
        if let Err(error) = result {
            self.broken[stream as usize] = Some(error.kind());
            let gone = |(of, _): &(Stream, Vec<u8>)| *of != stream;
            self.queue.retain(gone);
            self.pending[stream as usize] = 0;
        }
    }

    fn captured(&self, stream: Stream) -> Vec<u8> {
        match &self.sink {
            Sink::Captured(streams) => streams[stream as usize].clone(),
            Sink::Standard => Vec::new(),
        }
    }
}

impl Output {
    fn new(sink: Sink) -> Output {
        Output {
            state: Mutex::new(OutputState {
                sink,
                queue: VecDeque::new(),
                pending: [0, 0],
                broken: [None, None],
                started: false,
                closed: false,
                detour: None,
            }),
            work: Condvar::new(),
            idle: Condvar::new(),
            changed: Notify::new(),
        }
    }

    fn lock(&self) -> MutexGuard<'_, OutputState> {
        lock(&self.state)
    }

    fn push(self: &Arc<Self>, stream: Stream, bytes: &[u8], taking: Taking) -> io::Result<usize> {
        let mut state = self.lock();
        let length = state.takes(stream, bytes.len(), taking)?;
        if let Sink::Captured(streams) = &mut state.sink {
            streams[stream as usize].extend_from_slice(bytes);
            return Ok(bytes.len());
        }
        if length > 0 {
            state.enqueue(stream, &bytes[..length]);
            self.start(&mut state)?;
            self.work.notify_one();
        }
        Ok(length)
    }

    /// Writes what can be written this moment; 0 when all of it has to be left to the writer thread. Behind the lock, so that
    /// nothing overtakes.
    fn write_now(&self, stream: Stream, bytes: &[u8]) -> usize {
        let state = self.lock();
        let is_free = state.is_idle() && state.detour.is_none() && matches!(state.sink, Sink::Standard);
        match stream {
            _ if !is_free || state.room(stream).is_err() => 0,
            Stream::Out => write_at_once(io::stdout().as_fd(), bytes),
            Stream::Err => write_at_once(io::stderr().as_fd(), bytes),
        }
    }

    fn start(self: &Arc<Self>, state: &mut OutputState) -> io::Result<()> {
        if !state.started {
            let files = [own_file(io::stdout().as_fd()), own_file(io::stderr().as_fd())];
            let output = self.clone();
            std::thread::Builder::new()
                .name("stdout".into())
                .spawn(move || output.write_from_now_on(files))?;
            state.started = true;
        }
        Ok(())
    }

    /// The writer thread: one chunk after the other, until the terminal is gone and nothing is left.
    fn write_from_now_on(&self, mut files: [ManuallyDrop<File>; 2]) {
        while let Some((stream, bytes)) = self.next_chunk() {
            let file = &mut *files[stream as usize];
            let detour = self.lock().detour.clone().filter(|_| file.is_terminal());
            let result = match detour {
                Some(detour) => detour.write(&bytes, &mut |bytes| write_patiently(file, bytes)),
                None => write_patiently(file, &bytes),
            };
            self.lock().written(stream, bytes.len(), result);
            self.idle.notify_all();
            self.changed.notify_waiters();
        }
    }

    fn next_chunk(&self) -> Option<(Stream, Vec<u8>)> {
        let waiting = |state: &mut OutputState| state.queue.is_empty() && !state.closed;
        let guard = self.work.wait_while(self.lock(), waiting);
        guard.unwrap_or_else(PoisonError::into_inner).queue.pop_front()
    }

    fn drain(&self, limit: Option<Duration>) {
        let is_busy = |state: &mut OutputState| !state.is_idle();
        let state = self.lock();
        // What is left when the time is over is left.
        match limit {
            Some(limit) => drop(self.idle.wait_timeout_while(state, limit, is_busy)),
            None => drop(self.idle.wait_while(state, is_busy)),
        }
    }

    async fn until(&self, done: impl Fn(&OutputState) -> bool) {
        loop {
            let mut changed = std::pin::pin!(self.changed.notified());
            changed.as_mut().enable();
            if done(&self.lock()) {
                return;
            }
            changed.await;
        }
    }

    fn close(&self) {
        self.lock().closed = true;
        self.work.notify_all();
    }
}

/// The program's stdout or stderr as it is: for a copy there may be no descriptor left.
fn own_file(fd: BorrowedFd<'_>) -> ManuallyDrop<File> {
    // SAFETY: both stay open for as long as the program runs, and this file never closes them.
    ManuallyDrop::new(unsafe { File::from_raw_fd(fd.as_raw_fd()) })
}

/// Writes as much as a descriptor takes without waiting; 0 for one of a kind that cannot do so, or when anything is wrong: whoever
/// writes to it next learns what.
#[cfg(all(target_os = "linux", target_env = "gnu"))]
fn write_at_once(fd: BorrowedFd<'_>, bytes: &[u8]) -> usize {
    let part = libc::iovec {
        iov_base: bytes.as_ptr().cast_mut().cast(),
        iov_len: bytes.len(),
    };
    // SAFETY: the one part lives through the call and is only read from; -1 stands for the place where the file is.
    let written = unsafe { libc::pwritev2(fd.as_raw_fd(), &raw const part, 1, -1, libc::RWF_NOWAIT) };
    usize::try_from(written).unwrap_or(0)
}

#[cfg(not(all(target_os = "linux", target_env = "gnu")))]
fn write_at_once(_: BorrowedFd<'_>, _: &[u8]) -> usize {
    0
}

/// Writes everything, also to a descriptor that somebody has made non-blocking.
fn write_patiently(file: &mut File, mut bytes: &[u8]) -> io::Result<()> {
    while !bytes.is_empty() {
        match file.write(bytes) {
            Ok(0) => return Err(ErrorKind::WriteZero.into()),
            Ok(length) => bytes = &bytes[length..],
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) if error.kind() == ErrorKind::WouldBlock => wait_for(file.as_fd(), libc::POLLOUT)?,
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

fn read_patiently(file: &mut File, buffer: &mut [u8]) -> io::Result<usize> {
    loop {
        match file.read(buffer) {
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) if error.kind() == ErrorKind::WouldBlock => wait_for(file.as_fd(), libc::POLLIN)?,
            result => return result,
        }
    }
}

fn wait_for(fd: BorrowedFd<'_>, events: libc::c_short) -> io::Result<()> {
    let mut poll = libc::pollfd {
        fd: fd.as_raw_fd(),
        events,
        revents: 0,
    };
    // SAFETY: `poll` points to one initialised pollfd, and the borrowed descriptor stays open for the call.
    match unsafe { libc::poll(&raw mut poll, 1, -1) } {
        -1 if io::Error::last_os_error().kind() != ErrorKind::Interrupted => Err(io::Error::last_os_error()),
        _ => Ok(()),
    }
}

enum Source {
    Standard,
    Captured,
}

/// What the reader thread reads from.
enum Keys {
    /// A terminal, opened once more for reads that never wait: they can be made while a lock is held, so that nobody else reads
    /// it between the question whether there is a wish and the answer.
    Terminal(File),
    /// Everything else, of which nobody but us reads, and terminals that cannot be opened again.
    Stream(File),
}

impl Keys {
    fn open() -> io::Result<Keys> {
        let stdin = io::stdin();
        if stdin.is_terminal()
            && let Some(file) = open_again(stdin.as_fd())
        {
            return Ok(Keys::Terminal(file));
        }
        Ok(Keys::Stream(File::from(stdin.as_fd().try_clone_to_owned()?)))
    }

    fn file(&self) -> &File {
        match self {
            Keys::Terminal(file) | Keys::Stream(file) => file,
        }
    }
}

/// The same terminal through a descriptor whose reads never wait. None where the system gives no such thing: `/dev/fd` may be
/// missing, or copy the descriptor with the flags that it has.
fn open_again(fd: BorrowedFd<'_>) -> Option<File> {
    let mut options = File::options();
    options.read(true).custom_flags(libc::O_NONBLOCK | libc::O_NOCTTY);
    let file = options.open(format!("/dev/fd/{}", fd.as_raw_fd())).ok()?;
    // SAFETY: the descriptor is open and the call changes nothing.
    let flags = unsafe { libc::fcntl(file.as_raw_fd(), libc::F_GETFL) };
    (flags != -1 && flags & libc::O_NONBLOCK != 0).then_some(file)
}

struct Input {
    source: Source,
    state: Mutex<InputState>,
    /// Wakes the reader thread: somebody wants input, or the terminal is gone.
    wanted: Condvar,
    /// Wakes futures: input or its end has come.
    arrived: Notify,
    /// Tells the reader thread, while it waits for input, that nobody wants it any more.
    bell: OnceLock<io::PipeWriter>,
}

/// Somebody who waits for input, until it is dropped.
struct Wish<'a>(&'a Input);

impl<'a> Wish<'a> {
    fn new(input: &'a Input) -> Wish<'a> {
        input.lock().wishes += 1;
        Wish(input)
    }
}

impl Drop for Wish<'_> {
    fn drop(&mut self) {
        let mut state = self.0.lock();
        state.wishes -= 1;
        if state.wishes == 0
            && std::mem::take(&mut state.wanted)
            && let Some(mut bell) = self.0.bell.get()
        {
            // Without a reader thread there is nobody to tell.
            let _ = bell.write(&[0]);
        }
    }
}

/// Waits until one of the two has something; whether the first one has.
fn is_first(first: BorrowedFd<'_>, second: BorrowedFd<'_>) -> bool {
    let mut polls = [first, second].map(|fd| libc::pollfd {
        fd: fd.as_raw_fd(),
        events: libc::POLLIN,
        revents: 0,
    });
    // SAFETY: `polls` are two initialised pollfds, and the borrowed descriptors stay open for the call.
    while unsafe { libc::poll(polls.as_mut_ptr(), 2, -1) } == -1 {
        if io::Error::last_os_error().kind() != ErrorKind::Interrupted {
            return false;
        }
    }
    polls[0].revents != 0
}

#[derive(Default)]
struct InputState {
    buffer: VecDeque<u8>,
    /// How many wait for input.
    wishes: usize,
    /// Line ends in the buffer, so that waiting for one does not read a long line again and again.
    lines: usize,
    /// No more will come: the end, or `failure`.
    ended: bool,
    failure: Option<ErrorKind>,
    /// Somebody waits for more than is here.
    wanted: bool,
    /// The reader thread runs; it is started by the first wish.
    started: bool,
    closed: bool,
}

impl InputState {
    fn take(&mut self, max: usize) -> io::Result<Option<Vec<u8>>> {
        if self.buffer.is_empty() {
            return self.end().map(|end| end.then(Vec::new));
        }
        Ok(Some(self.pull(max.min(self.buffer.len()))))
    }

    fn push(&mut self, bytes: &[u8]) {
        self.lines += line_ends(bytes);
        self.buffer.extend(bytes);
    }

    fn pull(&mut self, length: usize) -> Vec<u8> {
        let bytes: Vec<u8> = self.buffer.drain(..length).collect();
        self.lines -= line_ends(&bytes);
        bytes
    }

    /// Whether the end has come, or the failure that came instead.
    fn end(&self) -> io::Result<bool> {
        match self.failure {
            Some(kind) => Err(kind.into()),
            None => Ok(self.ended),
        }
    }

    fn has_line(&self) -> bool {
        self.lines > 0 || self.buffer.len() >= LONGEST_LINE
    }

    fn take_line(&mut self) -> io::Result<Option<Vec<u8>>> {
        if let Some(end) = self.buffer.iter().position(|byte| *byte == b'\n') {
            let mut line = self.pull(end + 1);
            line.pop();
            if line.last() == Some(&b'\r') {
                line.pop();
            }
            return Ok(Some(line));
        }
        if self.buffer.len() >= LONGEST_LINE {
            return Err(io::Error::new(ErrorKind::InvalidData, "line longer than 64MiB"));
        }
        if self.buffer.is_empty() {
            return self.end().map(|_| None);
        }
        Ok(Some(self.pull(self.buffer.len())))
    }

    fn arrive(&mut self, result: io::Result<usize>, chunk: &[u8]) {
        self.wanted = false;
        match result {
            Ok(0) => self.ended = true,
            Ok(length) => self.push(&chunk[..length]),
            Err(error) => {
                self.ended = true;
                self.failure = Some(error.kind());
            }
        }
    }
}

fn line_ends(bytes: &[u8]) -> usize {
    bytes.iter().filter(|byte| **byte == b'\n').count()
}

impl Input {
    fn new(source: Source) -> Input {
        Input {
            source,
            state: Mutex::default(),
            wanted: Condvar::new(),
            arrived: Notify::new(),
            bell: OnceLock::new(),
        }
    }

    fn lock(&self) -> MutexGuard<'_, InputState> {
        lock(&self.state)
    }

    fn is_tty(&self) -> bool {
        matches!(self.source, Source::Standard) && io::stdin().is_terminal()
    }

    async fn until(self: &Arc<Self>, done: impl Fn(&InputState) -> bool) {
        let _wish = Wish::new(self);
        loop {
            let mut arrived = std::pin::pin!(self.arrived.notified());
            arrived.as_mut().enable();
            {
                let mut state = self.lock();
                if done(&state) {
                    return;
                }
                self.want(&mut state);
            }
            arrived.await;
        }
    }

    fn want(self: &Arc<Self>, state: &mut InputState) {
        state.wanted = true;
        if !state.started {
            state.started = true;
            if let Err(error) = self.start() {
                state.arrive(Err(error), &[]);
                self.arrived.notify_waiters();
            }
        }
        self.wanted.notify_one();
    }

    fn start(self: &Arc<Self>) -> io::Result<()> {
        let keys = Keys::open()?;
        let (called_off, bell) = io::pipe()?;
        let input = self.clone();
        std::thread::Builder::new()
            .name("stdin".into())
            .spawn(move || input.read_when_wanted(keys, called_off))?;
        // It is started once.
        let _ = self.bell.set(bell);
        Ok(())
    }

    /// The reader thread: one read per wish, until the end of the input or of the terminal. A wish that is called off before
    /// anything has come takes nothing.
    fn read_when_wanted(&self, mut keys: Keys, mut called_off: io::PipeReader) {
        let mut chunk = vec![0; CHUNK];
        while self.is_wanted() {
            if is_first(called_off.as_fd(), keys.file().as_fd()) {
                // The byte says no more than that.
                let _ = called_off.read(&mut [0]);
                continue;
            }
            self.take(&mut keys, &mut chunk);
            self.arrived.notify_waiters();
        }
    }

    /// Reads once. Who sits at a terminal may have called the wish off since something was there, and what is there now is meant
    /// for somebody else.
    fn take(&self, keys: &mut Keys, chunk: &mut [u8]) {
        match keys {
            Keys::Terminal(file) => {
                let mut state = self.lock();
                if state.wanted {
                    match file.read(chunk) {
                        Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted) => {}
                        result => state.arrive(result, chunk),
                    }
                }
            }
            Keys::Stream(file) => {
                let result = read_patiently(file, chunk);
                self.lock().arrive(result, chunk);
            }
        }
    }

    fn is_wanted(&self) -> bool {
        let waiting = |state: &mut InputState| !state.wanted && !state.closed && !state.ended;
        let guard = self.wanted.wait_while(self.lock(), waiting);
        let state = guard.unwrap_or_else(PoisonError::into_inner);
        !state.closed && !state.ended
    }

    fn close(&self) {
        self.lock().closed = true;
        self.wanted.notify_all();
    }
}

/// Raw mode of stdin, counted; `saved` is the mode to go back to.
#[derive(Default)]
struct Raw {
    depth: usize,
    saved: Option<libc::termios>,
    /// Keys that are signals stay so.
    keeps_signals: bool,
}

impl Raw {
    fn switch(&mut self, on: bool) -> io::Result<()> {
        if on {
            if self.depth == 0 {
                self.enter()?;
            }
            self.depth += 1;
        } else if self.depth > 0 {
            self.depth -= 1;
            if self.depth == 0 {
                self.restore();
            }
        }
        Ok(())
    }

    fn enter(&mut self) -> io::Result<()> {
        // SAFETY: termios is plain data for which all zeroes is a valid value; tcgetattr fills it.
        let mut mode: libc::termios = unsafe { std::mem::zeroed() };
        // SAFETY: `mode` is a valid place for one termios.
        if unsafe { libc::tcgetattr(libc::STDIN_FILENO, &raw mut mode) } == -1 {
            return Err(io::Error::last_os_error());
        }
        let saved = mode;
        fatal::keep(&saved);
        // SAFETY: `mode` was initialised by tcgetattr.
        unsafe { libc::cfmakeraw(&raw mut mode) };
        if self.keeps_signals {
            mode.c_lflag |= libc::ISIG;
        }
        set_mode(&mode)?;
        self.saved = Some(saved);
        Ok(())
    }

    fn remember(&mut self) {
        self.keeps_signals = true;
        // SAFETY: termios is plain data for which all zeroes is a valid value; tcgetattr fills it.
        let mut mode: libc::termios = unsafe { std::mem::zeroed() };
        // SAFETY: `mode` is a valid place for one termios.
        if self.depth == 0 && unsafe { libc::tcgetattr(libc::STDIN_FILENO, &raw mut mode) } == 0 {
            fatal::keep(&mode);
            self.saved = Some(mode);
        }
    }

    fn restore(&mut self) {
        self.depth = 0;
        if let Some(mode) = self.saved.take() {
            // Fails only when the terminal itself has gone, and then there is nothing to restore.
            let _ = set_mode(&mode);
        }
    }
}

fn set_mode(mode: &libc::termios) -> io::Result<()> {
    // SAFETY: `mode` is an initialised termios that lives through the call.
    match unsafe { libc::tcsetattr(libc::STDIN_FILENO, libc::TCSAFLUSH, mode) } {
        -1 => Err(io::Error::last_os_error()),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run<T>(future: impl Future<Output = T>) -> T {
        tokio::runtime::Builder::new_current_thread()
            .build()
            .unwrap()
            .block_on(future)
    }

    #[test]
    fn lines_and_reads_share_one_buffer() {
        let terminal = Terminal::captured(b"one\r\ntwo\n\nlast".to_vec());
        run(async {
            assert_eq!(terminal.read_line().await.unwrap().unwrap(), b"one");
            assert_eq!(terminal.read(2).await.unwrap(), b"tw");
            assert_eq!(terminal.read_line().await.unwrap().unwrap(), b"o");
            assert_eq!(terminal.read_line().await.unwrap().unwrap(), b"");
            assert_eq!(terminal.read_line().await.unwrap().unwrap(), b"last");
            assert_eq!(terminal.read_line().await.unwrap(), None);
            assert_eq!(terminal.read(10).await.unwrap(), b"");
        });
    }

    #[test]
    fn captured_output_is_kept_apart_by_stream() {
        let terminal = Terminal::captured(Vec::new());
        run(async {
            terminal.write_all(Stream::Out, vec![b'x'; 3 * QUEUE]).await.unwrap();
            terminal.write_all(Stream::Err, b"oops".to_vec()).await.unwrap();
            terminal.flush().await.unwrap();
        });
        assert_eq!(terminal.output().len(), 3 * QUEUE);
        assert_eq!(terminal.errors(), b"oops");
    }

    #[test]
    fn a_wish_that_is_called_off_when_keys_are_there_already_leaves_them() {
        let (mut typed, keys) = pseudo_terminal();
        let mut keys = Keys::Terminal(open_again(keys.as_fd()).unwrap());
        let input = Input::new(Source::Standard);
        let mut chunk = [0; 16];
        typed.write_all(b"for another\n").unwrap();
        wait_for(keys.file().as_fd(), libc::POLLIN).unwrap();
        input.take(&mut keys, &mut chunk);
        assert!(input.lock().buffer.is_empty());

        input.lock().wanted = true;
        input.take(&mut keys, &mut chunk);
        assert_eq!(input.lock().take_line().unwrap().unwrap(), b"for another");

        // Somebody else has read it, or Ctrl-C has thrown it away.
        input.lock().wanted = true;
        input.take(&mut keys, &mut chunk);
        assert!(input.lock().wanted && !input.lock().ended);
    }

    fn pseudo_terminal() -> (File, File) {
        let (mut master, mut slave) = (-1, -1);
        let none = std::ptr::null_mut();
        // SAFETY: the two places are valid; name, mode and size may be null.
        let opened = unsafe { libc::openpty(&raw mut master, &raw mut slave, none, none.cast(), none.cast()) };
        assert_eq!(opened, 0);
        // SAFETY: both are open and belong to nobody else.
        unsafe { (File::from_raw_fd(master), File::from_raw_fd(slave)) }
    }

    #[test]
    fn a_captured_terminal_has_no_raw_mode() {
        let terminal = Terminal::captured(Vec::new());
        assert_eq!(terminal.raw(true).unwrap_err().raw_os_error(), Some(libc::ENOTTY));
        assert!(!terminal.is_tty(Stream::Out) && !terminal.is_tty_in());
    }

    #[test]
    fn a_queue_takes_what_fits_or_all_or_what_was_permitted() {
        let mut state = Output::new(Sink::Standard).state.into_inner().unwrap();
        let large = vec![b'x'; QUEUE + 1];
        let taken = |state: &OutputState, length| {
            [Taking::WhatFits, Taking::AllOrNothing, Taking::All]
                .map(|taking| state.takes(Stream::Err, length, taking).unwrap())
        };
        assert_eq!(
            taken(&state, large.len()),
            [QUEUE, QUEUE + 1, QUEUE + 1],
            "it would never fit better"
        );
        state.enqueue(Stream::Err, &large[..QUEUE - 3]);
        assert_eq!(taken(&state, 3), [3, 3, 3]);
        assert_eq!(taken(&state, 4), [3, 0, 4]);
        state.enqueue(Stream::Err, &large);
        assert_eq!(taken(&state, 4), [0, 0, 4]);
    }

    #[test]
    fn what_would_have_to_wait_for_a_reader_is_not_written_at_once() {
        let (mut reader, writer) = io::pipe().unwrap();
        let chunk = [7; 4096];
        let lengths = std::iter::repeat_with(|| write_at_once(writer.as_fd(), &chunk));
        let written: usize = lengths.take_while(|length| *length > 0).sum();
        drop(writer);
        let mut read = Vec::new();
        reader.read_to_end(&mut read).unwrap();
        assert_eq!(read, vec![7; written]);
    }

    #[test]
    fn what_nobody_reads_is_left_to_who_can_say_so() {
        let (reader, writer) = io::pipe().unwrap();
        drop(reader);
        assert_eq!(write_at_once(writer.as_fd(), b"lost"), 0);
    }

    #[test]
    fn the_queue_is_bounded_and_a_broken_stream_says_so() {
        let mut state = Output::new(Sink::Standard).state.into_inner().unwrap();
        state.enqueue(Stream::Out, &[0; QUEUE]);
        assert_eq!(state.room(Stream::Out).unwrap(), 0);
        assert_eq!(state.room(Stream::Err).unwrap(), QUEUE);
        state.enqueue(Stream::Err, b"later");
        let (stream, bytes) = state.queue.pop_front().unwrap();
        state.written(stream, bytes.len(), Err(ErrorKind::BrokenPipe.into()));
        assert_eq!(state.room(Stream::Out).unwrap_err().kind(), ErrorKind::BrokenPipe);
        assert_eq!(state.queue.len(), 1, "the other stream is not concerned");
    }
}
