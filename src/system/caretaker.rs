//! Who gives the terminal its mode back when the program cannot do so any more: after SIGKILL, a fault, any signal that nobody
//! handles.
//!
//! It is a process of its own, the same program called with a word that only it has. It waits for the end of ours, which closes
//! its pipe whatever brought it about, and then looks at the terminal: a mode that is still raw is replaced by the one that was
//! there before. At an orderly end there is no such mode, and the caretaker is waited for, so that it never meddles with whoever
//! comes next.
//!
//! Invariant: it is started by a program that knows the word, and by no other that this crate is a part of.

use std::io::{self, Read, Write};
use std::os::fd::AsFd;
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, Stdio};
use std::sync::{Mutex, OnceLock};

use crate::lock::lock;

/// Ends bracketed paste.
pub const PASTE_OFF: &[u8] = b"\x1b[?2004l";

/// The first argument that makes this program a caretaker.
static WORD: OnceLock<&str> = OnceLock::new();
static HIRED: Mutex<Option<Child>> = Mutex::new(None);

/// Says that this program, called with that word and numbers behind it, calls [`serve`] with them.
pub fn enable(word: &'static str) {
    // The first word is as good as any.
    let _ = WORD.set(word);
}

/// Has the terminal looked after from now on, for whose sake `mode` is remembered. Does nothing where no caretaker is known.
///
/// # Errors
/// What keeps it from starting; the program can do without.
pub fn hire(mode: &libc::termios) -> io::Result<()> {
    let Some(word) = WORD.get() else { return Ok(()) };
    let terminal = io::stdin().as_fd().try_clone_to_owned()?;
    let child = Command::new(std::env::current_exe()?)
        .arg(word)
        .args(numbers(mode).iter().map(u64::to_string))
        .stdin(Stdio::piped())
        .stdout(terminal)
        .stderr(Stdio::null())
        // Neither a folder nor a key at the terminal is its business.
        .current_dir("/")
        .process_group(0)
        .spawn()?;
    *lock(&HIRED) = Some(child);
    Ok(())
}

/// The terminal has its mode back: the caretaker looks once more, and ends.
pub fn dismiss() {
    if let Some(mut child) = lock(&HIRED).take() {
        // It fails when somebody else has waited for it, and then it has ended too.
        let _ = child.wait();
    }
}

/// What a caretaker does: waits for the end of its stdin, then gives the terminal on its stdout the mode of these numbers, if it is
/// still raw.
pub fn serve(numbers: &[u64]) {
    for signal in [libc::SIGTTOU, libc::SIGHUP, libc::SIGINT, libc::SIGQUIT, libc::SIGTERM] {
        // SAFETY: ignoring a signal needs no handler.
        unsafe { libc::signal(signal, libc::SIG_IGN) };
    }
    // Whatever ends the reading, nobody is there any more.
    let _ = io::stdin().read(&mut [0]);
    // SAFETY: termios is plain data for which all zeroes is a valid value; tcgetattr fills it.
    let mut mode: libc::termios = unsafe { std::mem::zeroed() };
    // SAFETY: `mode` is a valid place for one termios.
    if unsafe { libc::tcgetattr(libc::STDOUT_FILENO, &raw mut mode) } == -1 || !is_raw(&mode) {
        return;
    }
    if replace(&mut mode, numbers).is_some() {
        // SAFETY: `mode` is an initialised termios that lives through the call.
        unsafe { libc::tcsetattr(libc::STDOUT_FILENO, libc::TCSANOW, &raw const mode) };
        // It fails when the terminal has gone, and then nobody misses it.
        let _ = io::stdout().write_all(PASTE_OFF).and_then(|()| io::stdout().flush());
    }
}

/// Whether it is a mode of ours: the line editors of shells leave signals and the ends of lines on.
fn is_raw(mode: &libc::termios) -> bool {
    let is_line = mode.c_lflag & (libc::ICANON | libc::ECHO) != 0;
    let is_shell = mode.c_lflag & libc::ISIG != 0 && mode.c_oflag & libc::OPOST != 0;
    !is_line && !is_shell
}

/// A mode as arguments: four sets of flags, then the characters. The speed of a line is never changed.
fn numbers(mode: &libc::termios) -> Vec<u64> {
    let flags = [mode.c_iflag, mode.c_oflag, mode.c_cflag, mode.c_lflag];
    let characters = mode.c_cc.iter().map(|character| u64::from(*character));
    flags.into_iter().map(u64::from).chain(characters).collect()
}

/// None when the numbers are no mode.
fn replace(mode: &mut libc::termios, numbers: &[u64]) -> Option<()> {
    let (flags, characters) = numbers.split_first_chunk::<4>()?;
    for (place, flags) in [
        &mut mode.c_iflag,
        &mut mode.c_oflag,
        &mut mode.c_cflag,
        &mut mode.c_lflag,
    ]
    .into_iter()
    .zip(flags)
    {
        *place = (*flags).try_into().ok()?;
    }
    for (place, character) in mode.c_cc.iter_mut().zip(characters) {
        *place = (*character).try_into().ok()?;
    }
    Some(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mode_survives_the_way_through_numbers() {
        // SAFETY: termios is plain data for which all zeroes is a valid value.
        let (mut mode, mut copy): (libc::termios, libc::termios) = unsafe { std::mem::zeroed() };
        mode.c_iflag = libc::ICRNL;
        mode.c_lflag = libc::ICANON | libc::ISIG;
        mode.c_cc[libc::VEOF] = 4;
        assert!(is_raw(&copy));
        assert_eq!(replace(&mut copy, &numbers(&mode)), Some(()));
        assert_eq!(numbers(&copy), numbers(&mode));
        assert!(!is_raw(&copy));
        assert_eq!(replace(&mut copy, &[1, 2, 3]), None);
    }

    #[test]
    fn a_line_editor_of_a_shell_is_left_alone() {
        // SAFETY: termios is plain data for which all zeroes is a valid value.
        let mut mode: libc::termios = unsafe { std::mem::zeroed() };
        assert!(is_raw(&mode));
        mode.c_lflag = libc::ISIG;
        assert!(is_raw(&mode));
        mode.c_oflag = libc::OPOST;
        assert!(!is_raw(&mode));
        mode.c_lflag = 0;
        assert!(is_raw(&mode));
    }

    #[test]
    fn a_program_that_knows_no_word_has_no_caretaker() {
        // SAFETY: termios is plain data for which all zeroes is a valid value.
        hire(&unsafe { std::mem::zeroed() }).unwrap();
        assert!(lock(&HIRED).is_none());
    }
}
