//! The real binary on a real pseudo-terminal: what a person at a prompt sees.
//!
//! A test types and waits for what must appear; it never waits for time to pass. Escape sequences are taken out, so what is
//! looked at is text in the order in which it was drawn.

use std::fs::File;
use std::io::{Read, Write};
use std::process::Child;
use std::sync::{Arc, Condvar, Mutex};
use std::time::{Duration, Instant};

use crate::harness::Call;
use crate::terminal;

/// Long enough for the slowest machine.
const WATCHDOG: Duration = Duration::from_secs(60);

pub const CTRL_C: &str = "\x03";
pub const CTRL_D: &str = "\x04";
pub const UP: &str = "\x1b[A";

/// A program on a terminal.
pub struct Pty {
    child: Child,
    keys: File,
    screen: Arc<Screen>,
    /// How much of the screen was looked at.
    seen: usize,
}

#[derive(Default)]
struct Screen {
    drawn: Mutex<Drawn>,
    changed: Condvar,
}

#[derive(Default)]
struct Drawn {
    bytes: Vec<u8>,
    ended: bool,
}

impl Pty {
    pub fn start(call: Call) -> Pty {
        Pty::of_kind("xterm", call)
    }

    /// One that is said to be of that kind.
    pub fn of_kind(kind: &str, call: Call) -> Pty {
        let (child, keys) = terminal::spawn(call.env("TERM", kind).into_command());
        let screen = Arc::<Screen>::default();
        watch(keys.try_clone().expect("a descriptor"), screen.clone());
        Pty {
            child,
            keys,
            screen,
            seen: 0,
        }
    }

    /// Types it.
    pub fn keys(&mut self, text: &str) -> &mut Pty {
        self.bytes(text.as_bytes())
    }

    /// Types what need not be text.
    pub fn bytes(&mut self, bytes: &[u8]) -> &mut Pty {
        self.keys.write_all(bytes).expect("a terminal");
        self
    }

    /// Types a line and waits for what it shows.
    #[track_caller]
    pub fn line(&mut self, input: &str, shows: &str) -> &mut Pty {
        self.sees("> ").keys(input).keys("\r").sees(shows)
    }

    /// Waits until that text has been drawn, behind what was waited for before.
    #[track_caller]
    pub fn sees(&mut self, text: &str) -> &mut Pty {
        let end = Instant::now() + WATCHDOG;
        loop {
            let (drawn, ended) = self.drawn();
            if let Some(at) = drawn[self.seen.min(drawn.len())..].find(text) {
                self.seen += at + text.len();
                return self;
            }
            let waits = !ended && Instant::now() < end;
            let rest = &drawn[self.seen.min(drawn.len())..];
            assert!(
                waits,
                "never saw {text:?}\nbehind it: {rest:?}\nall:\n{drawn}\n{}",
                self.threads()
            );
            self.wait_for_more();
        }
    }

    fn drawn(&self) -> (String, bool) {
        let drawn = self.screen.drawn.lock().expect("no panic");
        (plain(&drawn.bytes), drawn.ended)
    }

    fn wait_for_more(&self) {
        let drawn = self.screen.drawn.lock().expect("no panic");
        let length = drawn.bytes.len();
        let more = |drawn: &mut Drawn| drawn.bytes.len() == length && !drawn.ended;
        let wait = Duration::from_millis(50);
        drop(self.screen.changed.wait_timeout_while(drawn, wait, more));
    }

    /// Waits until those bytes have been drawn.
    #[track_caller]
    pub fn draws(&mut self, bytes: &str) -> &mut Pty {
        let end = Instant::now() + WATCHDOG;
        loop {
            let drawn = String::from_utf8_lossy(&self.screen.drawn.lock().expect("no panic").bytes).into_owned();
            if drawn.contains(bytes) {
                return self;
            }
            assert!(Instant::now() < end, "never saw {bytes:?} in {drawn:?}");
            self.wait_for_more();
        }
    }

    pub fn signal(&self, signal: i32) {
        // SAFETY: the child has not been waited for, so the pid is its own.
        unsafe { libc::kill(self.child.id() as i32, signal) };
    }

    /// Waits for the end: the exit code, and everything that was drawn.
    #[track_caller]
    pub fn end(mut self) -> (i32, String) {
        let end = Instant::now() + WATCHDOG;
        loop {
            let status = self.child.try_wait().expect("a child");
            let (drawn, _) = self.drawn();
            if let Some(status) = status {
                let signal = std::os::unix::process::ExitStatusExt::signal(&status).unwrap_or(0);
                return (status.code().unwrap_or(-signal), drawn);
            }
            assert!(Instant::now() < end, "it never ended:\n{drawn}\n{}", self.threads());
            self.wait_for_more();
        }
    }

    /// What each thread of the program waits for: its name, its state, the place in the kernel and the call that led there.
    fn threads(&self) -> String {
        let tasks = format!("/proc/{}/task", self.child.id());
        let threads = std::fs::read_dir(&tasks).into_iter().flatten().flatten();
        let told = threads.map(|thread| {
            let read =
                |file| std::fs::read_to_string(thread.path().join(file)).unwrap_or_else(|error| error.to_string());
            let stat = read("stat");
            let state = stat.rsplit(") ").next().and_then(|rest| rest.chars().next());
            let [name, place, call] = ["comm", "wchan", "syscall"].map(|file| read(file).trim().to_owned());
            format!("thread {name}: {} in {place}, {call}\n", state.unwrap_or('?'))
        });
        told.collect()
    }
}

impl Drop for Pty {
    fn drop(&mut self) {
        // It may have ended, and then there is nothing to do.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn watch(mut output: File, screen: Arc<Screen>) {
    std::thread::spawn(move || {
        let mut chunk = [0; 4096];
        // When the last program has left the terminal, reading fails.
        while let Ok(length @ 1..) = output.read(&mut chunk) {
            screen
                .drawn
                .lock()
                .expect("no panic")
                .bytes
                .extend_from_slice(&chunk[..length]);
            screen.changed.notify_all();
        }
        screen.drawn.lock().expect("no panic").ended = true;
        screen.changed.notify_all();
    });
}

/// The text without escape sequences and carriage returns.
fn plain(bytes: &[u8]) -> String {
    let text = String::from_utf8_lossy(bytes);
    let mut out = String::new();
    let mut chars = text.chars().peekable();
    while let Some(c) = chars.next() {
        match c {
            '\x1b' if chars.peek() == Some(&'[') => {
                chars.next();
                while chars.next().is_some_and(|c| !('@'..='~').contains(&c)) {}
            }
            '\r' => {}
            c => out.push(c),
        }
    }
    out
}
