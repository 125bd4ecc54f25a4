//! `wippy test` as its users call it. What the reports look like is in `fixtures/testing/`; the project's own Lua suites are
//! run by `tests/transcripts.rs`, each as a test of its own.

use crate::harness::{Folder, guest};

fn suite(text: &str) -> Folder {
    Folder::with(&[("tests/one_test.lua", text)])
}

#[test]
fn a_filter_chooses_by_text_and_by_pattern() {
    let folder = suite("it('adds (twice)', function() end) it('takes', function() error('no') end)");
    folder
        .wippy_args(&["test", "--filter", "adds (twice)"])
        .run()
        .code(0)
        .stdout_has("1 passed in");
    folder
        .wippy_args(&["test", "--filter", "^t.kes$"])
        .run()
        .code(1)
        .stdout_has("0 passed, 1 failed in");
    folder
        .wippy("test --filter zzz")
        .run()
        .code(1)
        .stderr_has("no test fits the filter \"zzz\"");
}

#[test]
fn a_path_that_is_not_there_is_wrong_usage() {
    suite("")
        .wippy("test tests/gone.lua")
        .run()
        .code(2)
        .stderr_has("tests/gone.lua");
    suite("")
        .wippy("test --timeout soon")
        .run()
        .code(2)
        .stderr_has("--timeout soon: expected a duration, like 500ms or 5s");
}

#[test]
fn an_empty_file_has_no_tests() {
    suite("local x = 1")
        .wippy("test")
        .run()
        .code(1)
        .stderr_has("no tests found");
}

#[test]
fn only_leaves_out_the_others() {
    let folder = suite("it('a', function() error('a') end) only('b', function() end)");
    folder.wippy("test").run().code(0).stdout_has("1 passed in");
}

#[test]
fn the_first_failure_can_be_the_last_test() {
    let folder = suite("it('a', function() error('a') end) it('b', function() end)");
    folder.write("tests/two_test.lua", "it('c', function() end)");
    folder
        .wippy("test --fail-fast -j 1")
        .run()
        .code(1)
        .stdout_has("0 passed, 1 failed in");
}

#[test]
fn a_shuffled_order_is_repeated_by_its_seed() {
    let folder = suite("for i = 1, 20 do it('t' .. i, function() end) end");
    let list = |seed: &str| {
        folder
            .wippy_args(&["test", "--format", "tap", seed])
            .run()
            .code(0)
            .stdout
    };
    assert_eq!(list("--shuffle=7"), list("--shuffle=7"));
    assert_ne!(list("--shuffle=7"), list("--shuffle=8"));
}

#[test]
fn a_failure_after_the_failure_is_told_too() {
    let text = "after_each(function() error('late', 0) end) it('fails', function() error('first', 0) end)";
    suite(text)
        .wippy("test")
        .run()
        .code(1)
        .stdout_has("first\n")
        .stdout_has("then in after_each: late");
}

#[test]
fn before_all_fails_no_test_that_would_not_run() {
    let text = "describe('all', function()
        before_all(function() error('no', 0) end)
        it('runs', function() end)
        pending('comes later')
        describe.skip('not now', function() it('waits', function() end) end)
    end)";
    suite(text)
        .wippy("test")
        .run()
        .code(1)
        .stdout_has("0 passed, 1 failed, 2 pending");
}

#[test]
fn files_do_not_see_each_other() {
    let text = "it('is alone', function()
        assert.is_nil(shared) shared = true
        assert.is_true(process.registry.register('name'))
        assert.equal(1, #process.list())
    end)";
    let folder = suite(text);
    folder.write("tests/two_test.lua", text);
    folder
        .wippy("test -j 2")
        .run()
        .code(0)
        .stdout_has("2 passed in 2 files");
}

#[test]
fn what_a_test_writes_stands_below_it() {
    let folder = suite("it('talks', function() require('io').print('hello from it') end)");
    folder.wippy("test").run().code(0).stdout_has("    | hello from it\n");
    folder
        .wippy("test --format tap")
        .run()
        .code(0)
        .stdout_has("\n# hello from it\n");
}

#[test]
fn a_crash_is_told_with_the_test_that_failed() {
    let folder = suite(
        "it('fails', function()
            local id = test.entry{kind = 'process.lua', name = 'bad', source = 'return function() error(\"crashed\") end'}
            local pid = process.spawn(id, nil)
            while process.info(pid) do require('time').sleep('1ms') end
            error('and so do I')
        end)",
    );
    folder
        .wippy("test")
        .run()
        .code(1)
        .stdout_has("died: test:bad")
        .stdout_has("crashed");
}

#[test]
fn a_crash_that_somebody_waited_for_is_told_too() {
    let folder = suite(
        "local bad = test.entry{kind = 'process.lua', name = 'bad', source = 'return function() error(\"crashed\") end'}
        it('passes', function() process.exec(bad, nil) end)
        it('monitors', function()
            process.spawn_monitored(bad, nil)
            local event = process.receive('20s')
            assert.equal(42, event.value)
        end)
        it('waits for a guest', function()
            local id = test.wat('(module (func (export \"traps\") unreachable))', 'traps')
            local _, err = process.exec(id, nil)
            error('because: ' .. tostring(err))
        end)",
    );
    let found = folder.wippy("test --format json").run().code(1);
    let tests: Vec<serde_json::Value> = String::from_utf8_lossy(&found.stdout)
        .lines()
        .map(|line| serde_json::from_str(line).expect("JSON"))
        .collect();
    let crash = |name: &str| {
        let test = tests.iter().find(|test| test["path"][0] == name).expect("the test");
        test["crashes"].as_array().expect("a list").clone()
    };
    assert_eq!(crash("passes").len(), 0, "{tests:?}");
    for (name, entry, why) in [
        ("monitors", "test:bad", "crashed"),
        ("waits for a guest", "test:entry-", "unreachable"),
    ] {
        let crashes = crash(name);
        let text = crashes.first().and_then(serde_json::Value::as_str).unwrap_or_default();
        assert!(
            crashes.len() == 1 && text.contains(entry) && text.contains(why),
            "{name}: {crashes:?}"
        );
    }
}

#[test]
fn modules_come_from_files_beside_the_test() {
    let folder = suite(
        "it('computes', function()
            local id = test.wasm('compute.wasm', 'compute')
            assert.equal(42, (process.exec(id, nil, 6, 7)))
        end)",
    );
    folder.copy_in(&guest("compute"), "tests/compute.wasm");
    folder.wippy("test").run().code(0);
}

#[test]
fn a_test_that_hangs_below_a_c_function_ends_too() {
    let folder = suite(
        "local endless = setmetatable({}, {__tostring = function() while true do end end})
        it('hangs', function() pcall(string.format, '%s', endless) end, '50ms')
        it('goes on', function() end)",
    );
    folder
        .wippy("test")
        .run()
        .code(1)
        .stdout_has("timed out after 50ms")
        .stdout_has("1 passed, 1 failed");
}

#[test]
fn a_signal_ends_what_runs_and_what_is_known_is_told() {
    for (signal, code, body) in [
        ("INT", 130, "require('time').sleep('1h')"),
        ("TERM", 143, "while true do end"),
    ] {
        let folder = suite(&format!(
            "it('is done', function() end)
            it('runs', function() require('fs').get('script:dir'):writefile('runs', '') {body} end, '1h')"
        ));
        folder.write(
            "tests/two_test.lua",
            "it('never begins', function() error('begun') end)",
        );
        let mut running = folder
            .wippy("test -j 1 tests/one_test.lua tests/two_test.lua")
            .start_open();
        running.until("is done");
        folder.wait_for("tests/runs");
        running.signal(signal);
        running
            .wait()
            .code(code)
            .quiet()
            .stdout_has("  stopped before its end\n")
            .stdout_has("1 passed in 2 files");
    }
}

#[test]
fn an_entry_that_is_a_test_hears_the_signal_too() {
    let folder = crate::projects::project(
        "  - name: slow\n    kind: process.lua\n    meta: { type: test }\n    modules: [fs]\n    source: |\n      return \
         function()\n        fs.get('script:dir'):writefile('runs', '')\n        process.receive()\n      end\n",
    );
    let running = folder.wippy("test --timeout 1h").start_open();
    folder.wait_for("runs");
    running.signal("INT");
    running.wait().code(130).stdout_has("stopped before its end");
}

#[test]
fn a_list_runs_nothing() {
    let folder = crate::projects::project(
        "  - name: all\n    kind: process.lua\n    meta: { command: { name: everything, use_case: test } }\n    source: return \
         function() print('has run') return 7 end\n",
    );
    folder.wippy("test").run().code(7).stdout("has run\n");
    let listed = folder.wippy("test --list").run().code(0).stdout_has("app:all");
    assert!(!String::from_utf8_lossy(&listed.stdout).contains("has run"), "{listed}");
}
