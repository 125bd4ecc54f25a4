//! Wippy: Lua and WebAssembly processes that cannot hurt each other.
//!
//! This page is the map of the house. An import goes to its own floor or to one below, never up; `lua` and `wasm`
//! stand side by side, never import each other, and meet through the traits of [`process`].
//!
//! | floor | room | what lives there |
//! |---|---|---|
//! | 0 | [`error`] [`id`] [`value`] [`json`] [`duration`] [`size`] [`lines`] [`legible`] [`log`] [`lock`] [`race`] [`backoff`] [`allocator`] | the words: one error type, names, plain data, log records; what a terminal may get to see; locks; the first of two futures; growing delays; where memory comes from |
//! | 1 | [`project`] | folders of YAML and Lua become typed entries; what is wrong with them becomes diagnostics |
//! | 1 | [`system`] | what processes share with the machine: volumes, environment variables, the terminal |
//! | 2 | [`process`] | the kernel: processes, mailboxes, hosts, scheduling; its page lists what is guaranteed |
//! | 2 | [`supervisor`] | what is kept running: services, their order, and when to start them again |
//! | 3 | [`lua`] | one Lua state per process: compile step, sandbox, coroutine driver, modules |
//! | 3 | [`wasm`] | components and core modules: engines, grants, WASI, values |
//! | 4 | [`runtime`] | boot and shutdown; the only room where all the others meet |
//! | 4 | [`fuzz`] | what a fuzzer feeds: modules, values, paths |
//! | 5 | [`cli`] | one file per command; the only room that prints |
//!
//! # The life of a spawn
//!
//! 1. `process.spawn("app:worker", "app:processes", 6, 7)` in Lua packs its arguments in one pass over the stack into a
//!    [`value::Packed`] and asks [`process::Programs`], which [`runtime`] implements, for the program of that entry. One
//!    that was used before is there at once; else it is loaded off the workers while the calling coroutine waits.
//! 2. [`process::Kernel::spawn`] has the [`process::Program`] check arguments and make a [`process::Body`], gives it a pid,
//!    installs the monitor and queues it. All refusals happen here, before anything of it has run.
//! 3. A worker takes it from its queue and calls [`process::Body::step`]: the first one makes the Lua state or the wasm
//!    instance. It goes on until it waits, ends, or its millisecond is over; then it rests until somebody wakes it, or
//!    goes to the queue of the preempted.
//! 4. At its end the body is dropped, the pid stops resolving, names are freed, and every monitor gets its EXIT.
//!
//! # The life of a message
//!
//! `process.send` packs the values, looks the pid up and appends a [`process::Message`] to the target's
//! [`process::Mailbox`], which is in the order of arrival. The target is woken and, as long as that keeps nobody waiting, goes
//! on next on the same worker; its driver hands the item to the coroutine that the mailbox rules name, and unpacks it in that
//! state. Nothing is shared: what crosses is bytes.
//!
//! # The life of a call
//!
//! `funcs.call("app:double", 21)` asks [`process::Programs`] for the [`process::Target`] behind the id and waits for a
//! [`process::Call`]. A function's call waits for a place in its [`process::Pool`], and becomes a process in the instance
//! that an earlier call left there, or in a new one; an entry of a process kind is spawned on its default host. When the
//! process has ended its instance goes back to the pool, then the caller gets the value or the error.
//!
//! # Where to add things
//!
//! A Lua module is a file in `lua/modules` and a variant of its `Module`; an entry kind is a struct in `project::entry`
//! and its arm in `runtime`; a command is a file in `cli`; what the runtime offers to guests is an interface of
//! `wasm/wit/runtime.wit` and a file of its name in `wasm/actor`.
//!
//! # Chosen differently from the first design
//!
//! Workers are OS threads of our own and not tasks on tokio's threads; the reasons stand in `process/scheduler.rs`.
//!
//! Tables are packed and filled in Lua's own structures and not by way of its API, where these are as they were when that was
//! written; what that relies on and how it is checked stands in `lua/stack/layout.rs`. A message costs a quarter less so.

pub mod allocator;
pub mod backoff;
pub mod cli;
pub mod duration;
pub mod error;
#[doc(hidden)]
pub mod fuzz;
pub mod id;
pub mod json;
pub mod legible;
pub mod lines;
pub mod lock;
pub mod log;
pub mod lua;
pub mod process;
pub mod project;
pub mod race;
pub mod runtime;
pub mod size;
pub mod supervisor;
pub mod system;
pub mod value;
pub mod wasm;
