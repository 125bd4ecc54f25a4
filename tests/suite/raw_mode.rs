//! The terminal gets its mode back, however the program ends.

use std::fs::File;
use std::io::{Read, Write};
use std::os::fd::{AsRawFd, FromRawFd};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use crate::harness::Folder;
use crate::projects::lua;

/// Both ends of a terminal of our own.
fn terminal() -> (File, File) {
    let (mut master, mut slave) = (-1, -1);
    let nothing = std::ptr::null_mut();
    // SAFETY: the two descriptors are valid places; name, mode and size may be null.
    let result = unsafe { libc::openpty(&raw mut master, &raw mut slave, nothing, nothing.cast(), nothing.cast()) };
    assert_eq!(result, 0, "{}", std::io::Error::last_os_error());
    // SAFETY: openpty gave us two open descriptors that nobody else owns.
    unsafe {
        for fd in [master, slave] {
            libc::fcntl(fd, libc::F_SETFD, libc::FD_CLOEXEC);
        }
        (File::from_raw_fd(master), File::from_raw_fd(slave))
    }
}

/// Whether input comes line by line, as it does unless a program asked for raw mode.
fn is_cooked(terminal: &File) -> bool {
    // SAFETY: termios is plain data for which all zeroes is a valid value.
    let mut mode: libc::termios = unsafe { std::mem::zeroed() };
    // SAFETY: `mode` is a valid place and the descriptor is open.
    let result = unsafe { libc::tcgetattr(terminal.as_raw_fd(), &raw mut mode) };
    assert_eq!(result, 0, "{}", std::io::Error::last_os_error());
    mode.c_lflag & libc::ICANON != 0
}

/// Runs it until `end` has ended it, and looks at the terminal then.
fn run_in_raw_mode(folder: &Folder, end: impl FnOnce(&mut File, u32), look: impl FnOnce(&File)) {
    let (mut master, slave) = terminal();
    assert!(is_cooked(&slave));
    let mut child = Command::new(env!("CARGO_BIN_EXE_wippy"))
        .args(["run", "main"])
        .current_dir(folder.path())
        .stdin(slave.try_clone().expect("a descriptor"))
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .expect("a child");
    let mut stdout = child.stdout.take().expect("a pipe");
    let mut ready = [0; 5];
    stdout.read_exact(&mut ready).expect("the word");
    assert_eq!(&ready, b"ready");
    assert!(!is_cooked(&slave), "the program is in raw mode");
    end(&mut master, child.id());
    child.wait().expect("an end");
    look(&slave);
}

fn leaves_it_cooked(folder: &Folder, end: impl FnOnce(&mut File, u32)) {
    run_in_raw_mode(folder, end, |slave| {
        assert!(is_cooked(slave), "the mode is restored");
    });
}

fn signal(name: &str, pid: u32) {
    let status = Command::new("kill").args([name, &pid.to_string()]).status();
    assert!(status.expect("kill").success());
}

const MAIN: &str = "return function()\n  assert(io.raw())\n  io.write('ready')\n  local byte = io.read(1)\n  if byte == \
                    'e' then error('on purpose') end\n  if byte == 'l' then while true do end end\nend";

#[test]
fn a_normal_end_and_an_error_restore_the_mode() {
    for byte in [b"x", b"e"] {
        leaves_it_cooked(&lua(MAIN), |terminal, _| terminal.write_all(byte).expect("a key"));
    }
}

#[test]
fn a_signal_restores_the_mode() {
    for name in ["-TERM", "-HUP", "-QUIT", "-ABRT"] {
        leaves_it_cooked(&lua(MAIN), |_, pid| signal(name, pid));
    }
    leaves_it_cooked(&lua(MAIN), |terminal, pid| {
        terminal.write_all(b"l").expect("a key");
        signal("-TERM", pid);
    });
}

#[test]
fn a_signal_that_nobody_handles_restores_the_mode_too() {
    let watchdog = Duration::from_secs(60);
    for name in ["-KILL", "-USR1", "-ALRM"] {
        let kill = |_: &mut File, pid| signal(name, pid);
        run_in_raw_mode(&lua(MAIN), kill, |slave| {
            let ended = Instant::now();
            while !is_cooked(slave) {
                assert!(ended.elapsed() < watchdog, "{name}: the mode was never restored");
                std::thread::sleep(Duration::from_millis(2));
            }
        });
    }
}

#[test]
fn raw_mode_needs_a_terminal() {
    lua("return function() local ok, err = io.raw() print(ok, err:kind()) end")
        .wippy("run main")
        .run()
        .code(0)
        .stdout("nil\tUnavailable\n");
}
