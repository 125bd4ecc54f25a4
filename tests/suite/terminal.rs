//! Pseudo-terminals, for the tests and for the bench of the prompt.

use std::fs::File;
use std::os::fd::{FromRawFd, OwnedFd};
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, Stdio};

/// Starts the program on a terminal of its own; what it draws and what is typed go through the file.
pub fn spawn(mut command: Command) -> (Child, File) {
    let (keys, program) = open();
    let ends = [program.try_clone(), program.try_clone(), Ok(program)];
    let [stdin, stdout, stderr] = ends.map(|end| Stdio::from(end.expect("a descriptor")));
    command.stdin(stdin).stdout(stdout).stderr(stderr);
    // SAFETY: both calls are allowed between fork and exec.
    unsafe {
        command.pre_exec(|| {
            libc::setsid();
            libc::ioctl(0, libc::TIOCSCTTY, 0);
            Ok(())
        });
    }
    (command.spawn().expect("the built binary"), keys)
}

/// Both ends of a new terminal of 24 by 100.
fn open() -> (File, OwnedFd) {
    let (mut master, mut slave) = (-1, -1);
    let size = libc::winsize {
        ws_row: 24,
        ws_col: 100,
        ws_xpixel: 0,
        ws_ypixel: 0,
    };
    // SAFETY: the two places are valid, name and mode may be null, the size lives through the call.
    let opened = unsafe {
        libc::openpty(
            &raw mut master,
            &raw mut slave,
            std::ptr::null_mut(),
            std::ptr::null(),
            &raw const size,
        )
    };
    assert_eq!(opened, 0, "a pseudo-terminal");
    // SAFETY: both are open and belong to nobody else.
    unsafe {
        for fd in [master, slave] {
            libc::fcntl(fd, libc::F_SETFD, libc::FD_CLOEXEC);
        }
        (File::from_raw_fd(master), OwnedFd::from_raw_fd(slave))
    }
}
