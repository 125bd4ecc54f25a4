//! What a user of the built program sees: exit codes, streams, signals, refusals. One folder per test, the real binary.

mod bad_input;
mod cache;
mod completions;
mod floors;
mod harness;
mod hash;
mod init;
mod lua;
mod module;
mod projects;
mod pty;
mod raw_mode;
mod registry;
mod repl;
mod schema;
mod services;
mod signals;
mod soak;
mod streams;
mod terminal;
mod testing;
mod types;
mod usage;
mod volumes;
mod wasm;
mod watch;
