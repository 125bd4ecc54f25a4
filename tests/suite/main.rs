//! What a user of the built program sees: exit codes, streams, signals, refusals. One folder per test, the real binary.

mod cache;
mod harness;
mod lua;
mod module;
mod projects;
mod raw_mode;
mod signals;
mod streams;
mod usage;
mod volumes;
mod wasm;
