//! Arguments in, exit code out. Everything else is [`wippy::cli`].

use std::process::ExitCode;

#[global_allocator]
static ALLOCATOR: wippy::allocator::Allocator = wippy::allocator::Allocator;

fn main() -> ExitCode {
    // Until it has been at work for a while: `runtime` allows them then.
    wippy::allocator::huge_pages(false);
    outlive_file_limits();
    wippy::cli::main(std::env::args_os())
}

/// A file that may not grow any further is an error of that write and not the end of the program.
fn outlive_file_limits() {
    // SAFETY: the disposition of a signal is set before any other thread runs.
    unsafe { libc::signal(libc::SIGXFSZ, libc::SIG_IGN) };
}
