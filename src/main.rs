//! Arguments in, exit code out. Everything else is [`wippy::cli`].

use std::io::{self, Write as _};

#[global_allocator]
static ALLOCATOR: wippy::allocator::Allocator = wippy::allocator::Allocator;

fn main() {
    outlive_file_limits();
    one_heap();
    leave(wippy::cli::main(std::env::args_os()))
}

/// A file that may not grow any further is an error of that write and not the end of the program.
fn outlive_file_limits() {
    // SAFETY: the disposition of a signal is set before any other thread runs.
    unsafe { libc::signal(libc::SIGXFSZ, libc::SIG_IGN) };
}

/// The system's allocator, which hardly anything here uses, makes a heap for each thread that comes near it: mappings that
/// cost as much as the thread.
fn one_heap() {
    #[cfg(all(target_os = "linux", target_env = "gnu"))]
    // SAFETY: a setting of the allocator; no other thread runs yet.
    unsafe {
        libc::mallopt(libc::M_ARENA_MAX, 1);
    }
}

/// Ends the program without what `exit` does in between: mimalloc gives back its memory bit by bit there, which the system
/// does faster at once, and threads may still be at work.
fn leave(code: u8) -> ! {
    // Who cannot be written to does not want to read it.
    let _ = io::stdout().flush();
    // SAFETY: nothing is left to be done at the end but what the line above did.
    unsafe { libc::_exit(code.into()) }
}

/// No huge pages until the program has been at work for a while: `runtime` allows them then. Before `main`, which is not the
/// first to allocate.
#[cfg(target_os = "linux")]
#[used]
// SAFETY: the section holds functions of this kind; this one needs nothing that is not there before `main`.
#[unsafe(link_section = ".init_array")]
static BEFORE_MAIN: extern "C" fn() = {
    extern "C" fn before_main() {
        wippy::allocator::huge_pages(false);
    }
    before_main
};
