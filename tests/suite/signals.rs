//! SIGINT and SIGTERM: an orderly stop, and what a second one does.

use std::time::{Duration, Instant};

use crate::harness::Folder;
use crate::projects::{lua, wasm};

const POLITE: &str = "return function()\n  local events = process.events()\n  print('ready')\n  local event = \
                      events:receive()\n  print(event.type, event.reason)\n  return 7\nend";

#[test]
fn the_first_signal_cancels_and_sets_the_exit_code() {
    for (signal, code) in [("INT", 130), ("TERM", 143), ("HUP", 143)] {
        let mut running = lua(POLITE).wippy("run main").start_open();
        running.until("ready");
        running.signal(signal);
        running
            .wait()
            .code(code)
            .stdout("ready\nCANCEL\tscheduler shutdown\n")
            .quiet();
    }
}

#[test]
fn a_hang_up_that_is_ignored_stops_nothing() {
    let folder = lua("return function()\n  print('ready')\n  io.readline()\n  return 7\nend");
    let mut running = folder.program("nohup", &["wippy", "run", "main"]).start_open();
    running.until("ready");
    running.signal("HUP");
    drop(running.child.stdin.take());
    running.wait().code(7);
}

#[test]
fn a_program_that_cannot_hear_is_ended() {
    let mut running = lua("return function() print('ready') while true do end end")
        .wippy("run main")
        .start_open();
    running.until("ready");
    running.signal("TERM");
    running.wait().code(143);

    let blocked = wasm(
        "command",
        "run",
        "    imports: [wasi:io, wasi:cli, wasi:filesystem, wasi:clocks]\n",
    );
    let mut running = blocked.wippy("run main").start_open();
    running.until("arg 0");
    running.signal("INT");
    running.wait().code(130);
}

#[test]
fn endless_guests_end_with_the_command() {
    let folder = wasm("spin", "spin", "");
    let lua = "  - name: lua\n    kind: process.lua\n    modules: [time]\n    source: |\n      return function()\n        for _ = \
               1, 5 do assert(process.spawn('app:main', 'app:processes')) end\n        print('ready')\n        \
               time.sleep('1h')\n      end\n";
    folder.write("src/_index.yaml", folder.read("src/_index.yaml") + lua);
    let mut running = folder.wippy("run -x app:lua").start_open();
    running.until("ready");
    running.signal("TERM");
    running.wait().code(143);
}

#[test]
fn the_second_signal_ends_what_ignores_the_first() {
    let stubborn = "return function()\n  local events = process.events()\n  print('ready')\n  events:receive()\n  \
                    print('asked')\n  while true do time.sleep('1s') end\nend";
    let mut running = lua(stubborn).wippy("run main").start_open();
    running.until("ready");
    running.signal("INT");
    running.until("asked");
    running.signal("INT");
    running.wait().code(130);
}

#[test]
fn the_second_signal_ends_what_nobody_reads() {
    let text = "io.eprint('begun') for _ = 1, 10000 do io.write(('x'):rep(99), '\\n') end";
    let folder = Folder::with(&[("main.lua", text)]);
    for signal in ["INT", "TERM"] {
        let mut running = folder.wippy("run main.lua").start_open();
        running.until_error("begun");
        let began = Instant::now();
        // However far the first one has brought it, the next one counts.
        let status = loop {
            running.signal(signal);
            std::thread::sleep(Duration::from_millis(20));
            if let Some(status) = running.child.try_wait().expect("a child") {
                break status;
            }
        };
        // Either the system has ended it, or it was quicker than its patience with a reader after one signal.
        let took = began.elapsed();
        assert!(
            status.code().is_none() || took < Duration::from_secs(5),
            "{took:?}, {status}"
        );
    }
}

#[test]
fn a_stop_has_a_deadline() {
    let stubborn = "return function()\n  local events = process.events()\n  print('ready')\n  while true do \
                    events:receive() end\nend";
    let folder = lua(stubborn);
    let index = folder.read("src/_index.yaml");
    let short = index.replace(
        "kind: terminal.host",
        "kind: terminal.host\n    lifecycle: { stop_timeout: 300ms }",
    );
    folder.write("src/_index.yaml", short);
    let mut running = folder.wippy("run main").start_open();
    running.until("ready");
    running.signal("TERM");
    running.wait().code(143);
}

#[test]
fn hosts_alone_run_until_a_signal() {
    let folder = lua("return function() end");
    let index = folder.read("src/_index.yaml");
    let started = index.replace(
        "kind: process.host",
        "kind: process.host\n    lifecycle: { auto_start: true }",
    );
    folder.write("src/_index.yaml", started);
    let mut running = folder.wippy("run").start_open();
    running.until_error("running; stop with Ctrl-C");
    running.signal("TERM");
    running.wait().code(143);
}
