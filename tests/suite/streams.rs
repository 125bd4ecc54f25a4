//! Stdin, stdout and stderr: order, ends, readers that leave, log records.

use crate::harness::Folder;
use crate::projects::{lua, project};

#[test]
fn a_reader_that_leaves_ends_the_program_quietly() {
    let mut running = lua("return function() while true do print(('x'):rep(1000)) end end")
        .wippy("run main")
        .start_open();
    running.until("x");
    running.hang_up();
    running.wait().code(0).quiet();
}

#[test]
fn a_reader_that_leaves_early_changes_no_exit_code() {
    let mut running = lua("return function() io.readline() print('late') return 6 end")
        .wippy("run main")
        .start_open();
    running.hang_up();
    drop(running.child.stdin.take());
    let outcome = running.wait().quiet();
    assert!([0, 6].contains(&outcome.status), "{outcome}");
}

#[test]
fn lines_and_bytes_share_one_buffer() {
    lua(
        "return function()\n  print(io.readline())\n  print(io.read(3))\n  print(io.readline())\n  \
         print(io.readline())\n  local line, err = io.readline()\n  print(line, tostring(err))\nend",
    )
    .wippy("run main")
    .stdin("one\r\ntwothree\nlast")
    .run()
    .code(0)
    .stdout("one\ntwo\nthree\nlast\nnil\tEOF\n");
}

#[test]
fn output_is_complete_and_in_order() {
    let outcome = lua("return function()\n  for i = 1, 20000 do print(i) end\n  io.eprint('done')\nend")
        .wippy("run main")
        .run()
        .code(0);
    let text = String::from_utf8(outcome.stdout.clone()).expect("text");
    let expected: Vec<String> = (1..=20000).map(|i: u32| i.to_string()).collect();
    assert!(text.lines().eq(expected.iter().map(String::as_str)), "{outcome}");
    outcome.stderr_has("done");
}

#[test]
fn bytes_that_are_no_text_pass_unchanged() {
    let outcome = lua("return function() io.write('a\\xff\\0b') end")
        .wippy("run main")
        .run()
        .code(0);
    assert_eq!(outcome.stdout, b"a\xff\0b", "{outcome}");
}

#[test]
fn log_records_go_to_stderr_as_asked() {
    let folder = lua(
        "local logger = require('logger')\nreturn function() logger:info('hello', { n = 1 }) logger:debug('more') end",
    );
    folder
        .wippy("run main")
        .run()
        .code(0)
        .stdout("")
        .stderr_has("info")
        .stderr_has("hello");
    folder.wippy("-v run main").run().code(0).stderr_has("more");
    folder.wippy("-s run main").run().code(0).quiet();
    let outcome = folder.wippy("--log-format json run main").run().code(0);
    let record: serde_json::Value = serde_json::from_slice(&outcome.stderr).expect("one JSON record");
    assert_eq!(record["message"], "hello", "{outcome}");
    assert_eq!(record["entry"], "app:main", "{outcome}");
}

#[test]
fn hide_logs_keeps_the_screen_clean() {
    let folder = lua("local logger = require('logger')\nreturn function() logger:error('hidden') end");
    let index = folder.read("src/_index.yaml");
    folder.write(
        "src/_index.yaml",
        index.replace("kind: terminal.host", "kind: terminal.host\n    hide_logs: true"),
    );
    folder.wippy("run main").run().code(0).quiet();
}

#[test]
fn a_failure_that_somebody_waits_for_leaves_no_record() {
    let folder = lua("return function()
           for _ = 1, 200 do
             local _, err = process.exec('app:child', 'app:processes')
             assert(tostring(err):find('told'))
           end
         end");
    folder.write(
        "src/child.yaml",
        "version: '1.0'\nnamespace: app\nentries:\n  - name: child\n    kind: process.lua\n    source: return function() error('told') end\n",
    );
    folder.wippy("run main").run().code(0).quiet();
}

#[test]
fn a_process_that_fails_unobserved_leaves_a_record() {
    let folder = project(
        "  - name: child\n    kind: process.lua\n    source: return function() error('lost') end\n  - name: main\n    \
         kind: process.lua\n    meta: { command: { name: main } }\n    modules: [time]\n    source: |\n      return \
         function()\n        local pid = process.spawn('app:child', 'app:processes')\n        while process.info(pid) do \
         time.sleep('1ms') end\n      end\n",
    );
    folder
        .wippy("run main")
        .run()
        .code(0)
        .stderr_has("process failed")
        .stderr_has("lost")
        .stderr_has("app:child");
}

#[test]
fn the_record_of_a_failure_says_what_came_before_and_who_was_told() {
    let folder = project(
        "  - name: child\n    kind: process.lua\n    modules: [time]\n    source: |\n      local time = require('time')\n      \
         return function()\n        process.listen('unread')\n        for _ = 1, 7 do process.receive() end\n        while \
         process.info().mailbox < 1 do time.sleep('1ms') end\n        error('lost')\n      end\n  - name: main\n    kind: \
         process.lua\n    meta: { command: { name: main } }\n    source: |\n      return function(how)\n        local pid = \
         process[how]('app:child', 'app:processes')\n        for i = 1, 7 do process.send(pid, 't' .. i) end\n        \
         process.send(pid, 'unread', 1)\n        if how == 'spawn' then while process.info(pid) do end else \
         process.receive() end\n      end\n",
    );
    let outcome = folder.wippy("--log-format json run main spawn").run().code(0);
    let record: serde_json::Value = serde_json::from_slice(&outcome.stderr).expect("one JSON record");
    assert_eq!(record["entry"], "app:child", "{outcome}");
    assert_eq!(record["level"], "error", "{outcome}");
    let fields = &record["fields"];
    assert_eq!(fields["unread"], 1, "{outcome}");
    assert!(
        fields["frames"][0]
            .as_str()
            .is_some_and(|frame| frame.contains("_index.yaml")),
        "{outcome}"
    );
    let received = fields["received"].as_array().expect("the last messages");
    let topics: Vec<&str> = received
        .iter()
        .filter_map(|text| text.as_str()?.split(' ').next())
        .collect();
    assert_eq!(topics, ["t3", "t4", "t5", "t6", "t7"], "{outcome}");
    assert!(
        received[0].as_str().is_some_and(|text| text.contains(" from {")),
        "{outcome}"
    );
    // Whoever is told makes it a matter of curiosity.
    folder.wippy("run main spawn_monitored").run().code(0).quiet();
    let outcome = folder.wippy("-v run main spawn_monitored").run().code(0);
    outcome
        .stderr_has("process failed")
        .stderr_has("told=[\"{")
        .stderr_has("t7 from {");
}

#[test]
fn the_configuration_says_how_records_look_unless_an_option_does() {
    let folder = lua("return function() logger:debug('one') logger:info('two') logger:warn('three') end");
    let messages = |words: &str| {
        let outcome = folder.wippy(words).run().code(0);
        let text = String::from_utf8(outcome.stderr).expect("text");
        let lines = text.lines().map(|line| (line.starts_with('{'), line.contains("three")));
        lines.collect::<Vec<_>>()
    };
    assert_eq!(messages("run main"), [(false, false), (false, true)]);
    folder.write(".wippy.yaml", "logger: { level: warn, encoding: json }\n");
    assert_eq!(messages("run main"), [(true, true)]);
    assert_eq!(messages("-v --log-format text run main").len(), 3);
    assert_eq!(messages("--log-format text run main"), [(false, true)]);
    assert!(messages("-s run main").is_empty());
    folder.write(".wippy.yaml", "logger: { level: loud }\n");
    folder
        .wippy("check")
        .run()
        .code(3)
        .stdout_has("invalid log level")
        .stdout_has(".wippy.yaml:1:");
}

#[test]
fn colour_only_where_it_is_welcome() {
    let folder = Folder::new();
    let escape = "\x1b[";
    let plain = folder.wippy("run nothing").run();
    assert!(!String::from_utf8_lossy(&plain.stderr).contains(escape), "{plain}");
    folder.wippy("--color always run nothing").run().stderr_has(escape);
}
