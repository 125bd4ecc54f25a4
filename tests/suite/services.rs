//! `wippy run`: services are started in order, started again when they fail, and stopped in reverse.

use crate::harness::{Folder, Outcome, Running};
use crate::projects::project;

/// A process entry and a service of it; `fields` go below the service.
fn service(name: &str, main: &str, fields: &str) -> String {
    let source: String = main.lines().map(|line| format!("      {line}\n")).collect();
    format!(
        "  - name: {name}_main\n    kind: process.lua\n    modules: [time, io]\n    source: |\n{source}  - name: {name}\n    \
         kind: process.service\n    process: {name}_main\n    host: processes\n{fields}"
    )
}

/// A project with these services.
fn services(services: &[(&str, &str, &str)]) -> Folder {
    let entries: Vec<String> = services
        .iter()
        .map(|(name, main, fields)| service(name, main, fields))
        .collect();
    project(&entries.concat())
}

const AUTO: &str = "    lifecycle: { auto_start: true }\n";

/// Says its pid and waits to be stopped. What a process without a terminal prints is a log record.
const POLITE: &str = "return function()\n  local events = process.events()\n  print(process.pid())\n  \
                      print(events:receive().reason)\nend";

/// The messages of the log records about a service, in order.
fn changes(outcome: &Outcome, service: &str) -> Vec<String> {
    records(outcome)
        .iter()
        .filter(|record| record["fields"]["service"] == service)
        .map(|record| record["message"].as_str().expect("a message").to_owned())
        .collect()
}

fn records(outcome: &Outcome) -> Vec<serde_json::Value> {
    let text = String::from_utf8_lossy(&outcome.stderr);
    text.lines()
        .filter_map(|line| serde_json::from_str(line).ok())
        .collect()
}

fn run(folder: &Folder) -> Running {
    folder.wippy("--log-format json run").start_open()
}

fn terminated(running: Running) -> Outcome {
    running.signal("TERM");
    running.wait().code(143)
}

#[test]
fn a_service_runs_until_the_signal_and_is_asked_to_stop() {
    let mut running = run(&services(&[("polite", POLITE, AUTO)]));
    running.until_error("\"message\":\"{app:processes|0x00001}\"");
    let outcome = terminated(running).stderr_has("\"message\":\"service stopping\",\"entry\"");
    let expected = ["starting", "running", "stopping", "stopped"].map(|status| format!("service {status}"));
    assert_eq!(changes(&outcome, "app:polite"), expected, "{outcome}");
    assert_eq!(changes(&outcome, "app:processes"), expected, "{outcome}");
}

#[test]
fn input_becomes_the_arguments_of_main_each_time() {
    let main = "return function(a, b)\n  print(a.n + b)\n  error('once more')\nend";
    let fields = "    input: [{ n: 40 }, 2]\n    lifecycle: { auto_start: true, restart: { initial_delay: 1ms } }\n";
    let mut running = run(&services(&[("adder", main, fields)]));
    running.until_errors("\"message\":\"42\"", 2);
    terminated(running);
}

#[test]
fn a_service_that_fails_is_restarted_with_a_new_pid_and_a_growing_delay() {
    let main = "return function()\n  print(process.pid())\n  error('crash')\nend";
    let lifecycle = "    lifecycle: { auto_start: true, restart: { initial_delay: 20ms, jitter: 0, max_delay: 50ms }, stable_threshold: 1h }\n";
    let mut running = run(&services(&[("crashing", main, lifecycle)]));
    for number in 1..=4 {
        running.until_error(&format!("\"message\":\"{{app:processes|0x0000{number}}}\""));
    }
    let outcome = terminated(running);
    let failed: Vec<_> = records(&outcome)
        .into_iter()
        .filter(|record| record["message"] == "service failed")
        .collect();
    for (record, delay) in failed.iter().zip(["20ms", "40ms", "50ms"]) {
        assert_eq!(record["fields"]["restart_in"], delay, "{outcome}");
        assert_eq!(record["fields"]["service"], "app:crashing", "{outcome}");
        assert_eq!(record["entry"], "app:crashing_main", "{outcome}");
        let error = record["fields"]["error"].as_str().expect("a text");
        assert!(error.contains("crash"), "{outcome}");
    }
}

#[test]
fn what_ends_as_it_meant_to_is_not_restarted() {
    let ends = [
        ("value", "return function() return false end"),
        ("error", "return function() return nil, 'no' end"),
        (
            "final",
            "return function() return nil, errors.new({ message = 'no', retryable = false }) end",
        ),
    ];
    let lifecycle = "    lifecycle: { auto_start: true, restart: { initial_delay: 1ms } }\n";
    let mut all: Vec<_> = ends.iter().map(|(name, main)| (*name, *main, lifecycle)).collect();
    // One that is restarted with the same delay: the others would have been by then.
    let crashing = "return function()\n  print(process.pid())\n  error('crash')\nend";
    all.push(("crashing", crashing, lifecycle));
    let mut running = run(&services(&all));
    running.until_errors("service exited", ends.len());
    running.until_error("\"message\":\"{app:processes|0x00008}\"");
    let outcome = terminated(running);
    for (name, _) in ends {
        let changes = changes(&outcome, &format!("app:{name}"));
        assert_eq!(
            changes,
            ["service starting", "service running", "service exited"],
            "{outcome}"
        );
    }
}

#[test]
fn an_accident_is_restarted_whatever_its_error_says() {
    let accidents = [
        (
            "raised",
            "return function() error(errors.new({ message = 'no', retryable = false })) end",
        ),
        ("killed", "return function() process.terminate(process.pid()) end"),
        (
            "retryable",
            "return function() return nil, errors.new({ message = 'no', retryable = true }) end",
        ),
        ("unset", "return function() return nil, errors.new('no') end"),
    ];
    let lifecycle =
        "    lifecycle: { auto_start: true, restart: { initial_delay: 1ms, max_attempts: 2 }, stable_threshold: 1h }\n";
    let all: Vec<_> = accidents.iter().map(|(name, main)| (*name, *main, lifecycle)).collect();
    let mut running = run(&services(&all));
    running.until_errors("all 2 starts are used up", accidents.len());
    let outcome = terminated(running);
    for (name, _) in accidents {
        let once = ["service starting", "service running", "service failed"];
        let expected = [once, once].concat();
        assert_eq!(changes(&outcome, &format!("app:{name}"))[..6], expected, "{outcome}");
    }
}

#[test]
fn starts_that_are_used_up_say_so() {
    let lifecycle =
        "    lifecycle: { auto_start: true, restart: { initial_delay: 1ms, max_attempts: 3 }, stable_threshold: 1h }\n";
    let mut running = run(&services(&[(
        "crashing",
        "return function() error('crash') end",
        lifecycle,
    )]));
    running.until_error("all 3 starts are used up");
    let changes = changes(&terminated(running), "app:crashing");
    let starts = changes.iter().filter(|change| *change == "service starting");
    assert_eq!(starts.count(), 3, "{changes:?}");
}

#[test]
fn a_stable_run_resets_the_attempts() {
    let lifecycle = "    lifecycle: { auto_start: true, stable_threshold: 1ms, restart: { initial_delay: 1ms, max_attempts: \
                     1 } }\n";
    let main = "return function()\n  time.sleep('20ms')\n  print(process.pid())\n  error('crash')\nend";
    let mut running = run(&services(&[("crashing", main, lifecycle)]));
    running.until_error("\"message\":\"{app:processes|0x00004}\"");
    terminated(running);
}

#[test]
fn services_start_after_what_they_require_and_stop_before_it() {
    let requires = |name: &str| format!("    lifecycle: {{ auto_start: true, requires: [{name}] }}\n");
    let older = requires("middle").replace("requires", "depends_on");
    // In the file the last one comes first; `first` has no `auto_start` and is started all the same.
    let folder = services(&[
        ("last", POLITE, &older),
        ("middle", POLITE, &requires("first")),
        ("first", POLITE, ""),
    ]);
    let mut running = run(&folder);
    running.until_error("running; stop with Ctrl-C");
    let outcome = terminated(running);
    let order = |message: &str| -> Vec<String> {
        let records = records(&outcome);
        let is_of = |record: &&serde_json::Value| record["message"] == message && record["fields"].is_object();
        let of = records.iter().filter(is_of);
        of.map(|record| record["fields"]["service"].as_str().expect("a service").to_owned())
            .collect()
    };
    let up = ["app:processes", "app:first", "app:middle", "app:last"];
    let down: Vec<_> = up.into_iter().rev().collect();
    assert_eq!(order("service running"), up, "{outcome}");
    assert_eq!(order("service stopping"), down, "{outcome}");
    assert_eq!(order("service stopped"), down, "{outcome}");
}

#[test]
fn a_circle_of_requirements_is_an_error_of_its_members() {
    let requires =
        |name: &str| format!("    lifecycle: {{ auto_start: true, startup: optional, requires: [{name}] }}\n");
    let folder = services(&[
        ("a", POLITE, &requires("b")),
        ("b", POLITE, &requires("a")),
        ("bystander", POLITE, AUTO),
    ]);
    folder.wippy("check").run().code(3).stdout_has("error[cycle]");
    let mut running = run(&folder);
    running.until_error("running; stop with Ctrl-C");
    let outcome = terminated(running).stderr_has("cycle of required services: app:a -> app:b -> app:a");
    for name in ["app:a", "app:b"] {
        assert_eq!(
            changes(&outcome, name),
            ["service starting", "service exited"],
            "{outcome}"
        );
    }
}

#[test]
fn an_optional_service_that_cannot_start_stops_nobody_but_those_who_require_it() {
    let optional = "    lifecycle: { auto_start: true, startup: optional }\n";
    let requiring = "    lifecycle: { auto_start: true, requires: [broken] }\n";
    let folder = services(&[
        ("broken", "return function(", optional),
        ("blocked", POLITE, requiring),
        ("good", POLITE, AUTO),
    ]);
    let mut running = run(&folder);
    running.until_error("running; stop with Ctrl-C");
    let outcome = terminated(running);
    assert_eq!(
        changes(&outcome, "app:broken"),
        ["service starting", "service exited"],
        "{outcome}"
    );
    assert_eq!(
        changes(&outcome, "app:blocked"),
        ["service waits for what it requires"],
        "{outcome}"
    );
    assert!(
        changes(&outcome, "app:good").contains(&"service stopped".to_owned()),
        "{outcome}"
    );
}

#[test]
fn a_service_with_the_screen_for_itself_sees_no_log_records() {
    let folder = services(&[("polite", POLITE, AUTO)]);
    let index = folder
        .read("src/_index.yaml")
        .replace("    host: processes\n", "    host: terminal\n");
    folder.write(
        "src/_index.yaml",
        index.replace("kind: terminal.host", "kind: terminal.host\n    hide_logs: true"),
    );
    let mut running = run(&folder);
    running.until("{app:terminal|0x00001}");
    let outcome = terminated(running).stdout_has("{app:terminal|0x00001}");
    assert_eq!(changes(&outcome, "app:polite"), [""; 0], "{outcome}");
}

#[test]
fn what_is_required_has_run_even_if_it_is_over_by_now() {
    let requiring = "    lifecycle: { auto_start: true, requires: [quick] }\n";
    let folder = services(&[("quick", "return function() end", AUTO), ("patient", POLITE, requiring)]);
    let mut running = run(&folder);
    running.until_error("running; stop with Ctrl-C");
    let outcome = terminated(running);
    let expected = ["starting", "running", "stopping", "stopped"].map(|status| format!("service {status}"));
    assert_eq!(changes(&outcome, "app:patient"), expected, "{outcome}");
}

#[test]
fn a_required_service_that_cannot_start_fails_the_boot() {
    let folder = services(&[("broken", "return function(", AUTO), ("good", POLITE, AUTO)]);
    let outcome = run(&folder)
        .wait()
        .code(3)
        .stderr_has("the required service app:broken cannot be started")
        .stderr_has("startup: optional");
    assert_eq!(
        changes(&outcome, "app:good").last().map(String::as_str),
        Some("service stopped"),
        "{outcome}"
    );

    let missing = project(
        "  - name: s\n    kind: process.service\n    process: nowhere\n    host: processes\n    lifecycle: { auto_start: true }\n",
    );
    missing
        .wippy("run")
        .run()
        .code(3)
        .stderr_has("process not found: app:nowhere");
}

#[test]
fn a_start_has_a_deadline() {
    let folder = crate::projects::wasm("command", "run", "");
    let service = "  - name: slow\n    kind: process.service\n    process: main\n    host: processes\n    lifecycle: { auto_start: \
                   true, start_timeout: 0s, startup: optional, restart: { max_attempts: 1 } }\n";
    folder.write("src/_index.yaml", folder.read("src/_index.yaml") + service);
    let mut running = run(&folder);
    running.until_error("its only start is used up");
    let outcome = terminated(running).stderr_has("start timeout after 0s");
    let expected = ["service starting", "service failed"];
    assert_eq!(changes(&outcome, "app:slow"), expected, "{outcome}");
    let required = folder.read("src/_index.yaml").replace("startup: optional, ", "");
    folder.write("src/_index.yaml", required);
    run(&folder)
        .wait()
        .code(1)
        .stderr_has("app:slow cannot be started: start timeout");
}

#[test]
fn a_child_that_fails_leaves_a_record() {
    let folder = Folder::with(&[
        ("worker.lua", "error('a loose screw')"),
        (
            "boss.lua",
            "process.set_options({ trap_links = true })\nassert(supervisor.start_link({ intensity = 1, period = '1h', children = { { id = \
             'worker', entry = './worker.lua' } } }))\nprint(process.receive().error:kind())",
        ),
    ]);
    let outcome = folder
        .wippy("--log-format json run boss.lua")
        .run()
        .code(0)
        .stdout("LimitExceeded\n");
    let failed: Vec<_> = records(&outcome)
        .into_iter()
        .filter(|record| record["message"] == "child failed" && record["fields"]["child"] == "worker")
        .collect();
    assert_eq!(failed.len(), 2, "{outcome}");
    let error = failed[0]["fields"]["error"].as_str().expect("a text");
    assert!(error.contains("a loose screw"), "{outcome}");
}

#[test]
fn a_service_that_does_not_answer_is_ended() {
    let stubborn = "return function()\n  local events = process.events()\n  print('ready')\n  while true do events:receive() \
                    end\nend";
    let lifecycle = "    lifecycle: { auto_start: true, stop_timeout: 50ms }\n";
    let mut running = run(&services(&[("stubborn", stubborn, lifecycle)]));
    running.until_error("ready");
    let outcome = terminated(running).stderr_has("stop timeout after 50ms");
    assert_eq!(
        changes(&outcome, "app:stubborn").last().map(String::as_str),
        Some("service failed"),
        "{outcome}"
    );
}

#[test]
fn a_second_signal_ends_a_service_that_does_not_answer() {
    let stubborn = "return function()\n  local events = process.events()\n  print('ready')\n  events:receive()\n  \
                    print('asked')\n  time.sleep('1h')\nend";
    let lifecycle = "    lifecycle: { auto_start: true, stop_timeout: 1h }\n";
    let mut running = run(&services(&[("stubborn", stubborn, lifecycle)]));
    running.until_error("ready");
    running.signal("TERM");
    running.until_error("asked");
    running.signal("INT");
    running.wait().code(143);
}

#[test]
fn a_shutdown_has_a_deadline_for_all() {
    let stubborn = "return function()\n  local events = process.events()\n  print('ready')\n  while true do events:receive() \
                    end\nend";
    let lifecycle = "    lifecycle: { auto_start: true, stop_timeout: 1h }\n";
    let folder = services(&[("stubborn", stubborn, lifecycle)]);
    folder.write(".wippy.yaml", "shutdown: { timeout: 100ms }\n");
    let mut running = run(&folder);
    running.until_error("ready");
    terminated(running);
}

#[test]
fn a_restart_that_is_waited_for_does_not_delay_the_stop() {
    let lifecycle = "    lifecycle: { auto_start: true, restart: { initial_delay: 1h } }\n";
    let mut running = run(&services(&[(
        "crashing",
        "return function() error('crash') end",
        lifecycle,
    )]));
    running.until_error("restart_in");
    terminated(running);
}

#[test]
fn a_command_has_the_services_beside_it_and_stops_before_them() {
    let server = "return function()\n  process.registry.register('server')\n  local events = process.events()\n  while true do\n    \
                  local message = process.receive()\n    if message.type == 'CANCEL' then break end\n    \
                  process.send(message.from, 'answer', message.value * 2)\n  end\n  end";
    let broken = service("broken", "return function(", AUTO);
    let client = "  - name: client\n    kind: process.lua\n    meta: { command: { name: client } }\n    modules: [time]\n    \
                  source: |\n      return function()\n        while not process.registry.lookup('server') do time.sleep('1ms') \
                  end\n        process.send('server', 'question', 21)\n        print(process.receive().value)\n      end\n";
    let folder = project(&(service("server", server, AUTO) + client));
    folder.wippy("run client").run().code(0).stdout("42\n").quiet();
    folder
        .wippy("-v run client")
        .run()
        .code(0)
        .stderr_has("service stopped");
    let index = folder.read("src/_index.yaml") + &broken;
    folder.write("src/_index.yaml", index);
    folder
        .wippy("run client")
        .run()
        .code(0)
        .stdout_has("42")
        .stderr_has("app:broken");
}

#[test]
fn the_end_of_a_service_on_the_terminal_is_the_end_of_all() {
    let on_terminal = |main: &str| {
        let folder = services(&[("shell", main, AUTO), ("server", POLITE, AUTO)]);
        let index = folder.read("src/_index.yaml");
        let index = index.replace(
            "process: shell_main\n    host: processes",
            "process: shell_main\n    host: terminal",
        );
        folder.write("src/_index.yaml", index);
        folder.wippy("--log-format json run").stdin("a line\n").run()
    };
    let outcome = on_terminal("return function() io.print(io.readline()) end")
        .code(0)
        .stdout("a line\n");
    let server = changes(&outcome, "app:server");
    assert_eq!(server.last().map(String::as_str), Some("service stopped"), "{outcome}");
    on_terminal("return function() return nil, 'no line' end")
        .code(1)
        .stderr_has("no line");
}

#[test]
fn nothing_to_start_shows_the_service_to_add() {
    project("")
        .wippy("run")
        .run()
        .code(3)
        .stderr_has("kind: process.service");
}

#[test]
fn a_session_has_the_services_beside_it_and_stops_them() {
    let server = "return function()\n  process.registry.register('server')\n  local events = process.events()\n  while true do\n    \
                  local message = process.receive()\n    if message.type == 'CANCEL' then break end\n    \
                  process.send(message.from, 'answer', message.value * 2)\n  end\n  end";
    let folder = services(&[("server", server, AUTO)]);
    let ask = "while not process.registry.lookup('server') do time.sleep('1ms') end process.send('server', 'question', \
               21)";
    folder
        .wippy_args(&["-v", "repl", "-e", ask, "-e", "process.receive().value"])
        .run()
        .code(0)
        .stdout("42\n")
        .stderr_has("service stopped");
    let mut pty = crate::pty::Pty::start(folder.wippy("repl"));
    pty.sees("> ").keys(&format!("{ask}\r"));
    pty.line("process.receive().value + 4200", "4242");
    pty.sees("> ").keys(crate::pty::CTRL_D);
    assert_eq!(pty.end().0, 0);
}

#[test]
fn tests_have_no_services_but_those_that_they_start() {
    let folder = services(&[("polite", POLITE, AUTO)]);
    let test = "it('is alone', function() assert.equal(1, #process.list()) end)";
    folder.write("tests/one_test.lua", test);
    folder.wippy("test").run().code(0);
}

#[test]
fn what_is_wrong_with_a_required_service_is_told_once() {
    let folder = services(&[("polite", POLITE, AUTO)]);
    let index = folder.read("src/_index.yaml");
    folder.write(
        "src/_index.yaml",
        index
            .replace(
                "    kind: process.service\n",
                "    kind: process.service\n    bogs: 1\n    hosts: x\n",
            )
            .replace("    host: processes\n", ""),
    );
    let outcome = folder
        .wippy("run")
        .run()
        .code(3)
        .stderr_has("the required service app:polite cannot be started");
    let text = String::from_utf8_lossy(&outcome.stderr);
    assert_eq!(text.matches("error[unknown-field]").count(), 1, "{outcome}");
    folder.wippy("-s run").run().code(3).stderr_has("has no field `hosts`");
}
