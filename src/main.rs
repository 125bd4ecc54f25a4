//! Arguments in, exit code out. Everything else is [`wippy::cli`].

use std::process::ExitCode;

#[global_allocator]
static ALLOCATOR: wippy::allocator::Allocator = wippy::allocator::Allocator;

fn main() -> ExitCode {
    wippy::cli::main(std::env::args_os())
}
