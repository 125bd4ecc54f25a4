//! `--watch`: what a change of files starts again, what it leaves alone, and how it ends. Every step waits for the line that says
//! that the one before was seen.

use std::io::Write;

use crate::harness::{Folder, Outcome, Running};
use crate::projects::{index, lua, project};

/// A service of a process whose source is a file; it says a word of its file and waits.
fn service(name: &str) -> String {
    format!(
        "  - name: {name}_main\n    kind: process.lua\n    source: file://{name}.lua\n  - name: {name}\n    kind: \
         process.service\n    process: {name}_main\n    host: processes\n    lifecycle: {{ auto_start: true }}\n"
    )
}

fn says(word: &str) -> String {
    format!("return function()\n  print('{word}', process.pid())\n  process.events():receive()\nend")
}

/// Writes a file as editors do, whole or not at all: half of one would be a change of its own.
fn put(folder: &Folder, path: &str, text: impl AsRef<[u8]>) {
    let path = folder.path().join(path);
    std::fs::create_dir_all(path.parent().expect("a file in the folder")).expect("a writable folder");
    let mut file = tempfile::NamedTempFile::new().expect("a temporary file");
    file.write_all(text.as_ref()).expect("a writable file");
    file.persist(path).expect("a rename");
}

fn two_services() -> Folder {
    let folder = project(&(service("one") + &service("two")));
    put(&folder, "src/one.lua", says("one"));
    put(&folder, "src/two.lua", says("two"));
    folder
}

const WATCHING: &str = "running and watching for changes";
const UP_TO_DATE: &str = "up to date with the files";

fn services(folder: &Folder) -> Running {
    let mut running = folder.wippy("run --watch").start_open();
    running.until_error(WATCHING);
    running
}

fn interrupted(running: Running) -> Outcome {
    running.signal("INT");
    running.wait().code(130)
}

fn count(outcome: &Outcome, text: &str) -> usize {
    String::from_utf8_lossy(&outcome.stderr).matches(text).count()
}

#[test]
fn only_the_service_of_a_changed_file_is_started_again() {
    let folder = two_services();
    let mut running = services(&folder);
    put(&folder, "src/one.lua", says("another"));
    running.until_error("another\t{app:processes|0x00003}");
    running.until_error(UP_TO_DATE);
    let outcome = interrupted(running).stderr_has(
        "files changed; services are started again files=src/one.lua entries=app:one_main services=app:one\n",
    );
    assert_eq!(count(&outcome, "two\t{app:processes"), 1, "{outcome}");
}

#[test]
fn a_file_that_is_renamed_into_place_is_a_change() {
    let folder = two_services();
    let mut running = services(&folder);
    for (number, word) in [(1, "first"), (2, "second")] {
        folder.write("src/.one.lua.part", says(word));
        let at = |name: &str| folder.path().join("src").join(name);
        std::fs::rename(at(".one.lua.part"), at("one.lua")).expect("a rename");
        running.until_error(&format!("{word}\t{{app:processes|"));
        running.until_errors(UP_TO_DATE, number);
    }
    interrupted(running);
}

#[test]
fn what_is_broken_is_shown_and_what_runs_goes_on() {
    let folder = two_services();
    let mut running = services(&folder);
    put(&folder, "src/one.lua", "return function(");
    running.until_error("error[lua-syntax]");
    running.until_error("files changed, with errors; what runs goes on as it was");
    let index = folder.read("src/_index.yaml");
    put(
        &folder,
        "src/_index.yaml",
        index.replace("process: two_main", "process: [two_main"),
    );
    running.until_error("error[yaml-syntax]");
    running.until_errors("what runs goes on as it was", 2);
    put(&folder, "src/_index.yaml", index);
    // The first mistake is still there.
    running.until_errors("what runs goes on as it was", 3);
    put(&folder, "src/one.lua", says("mended"));
    running.until_error("mended\t{app:processes|0x00003}");
    running.until_error(UP_TO_DATE);
    let outcome = interrupted(running);
    assert_eq!(count(&outcome, "one\t{app:processes"), 1, "{outcome}");
    assert_eq!(count(&outcome, "two\t{app:processes"), 1, "{outcome}");
}

#[test]
fn a_file_that_is_as_it_was_names_no_entries() {
    let folder = two_services();
    let mut running = services(&folder);
    let index = folder.read("src/_index.yaml");
    put(&folder, "src/_index.yaml", format!("{index}  - [\n"));
    running.until_error("what runs goes on as it was");
    put(&folder, "src/_index.yaml", index);
    running.until_error(UP_TO_DATE);
    let outcome = interrupted(running);
    let told = String::from_utf8_lossy(&outcome.stderr);
    let told = told.lines().find(|line| line.contains("no service is concerned"));
    assert!(
        told.is_some_and(|line| line.ends_with("files=src/_index.yaml")),
        "{outcome}"
    );
}

#[test]
fn a_project_that_cannot_start_is_waited_for() {
    let folder = project("");
    let mut running = folder.wippy("run --watch").start_open();
    running.until_error("nothing to start");
    running.until_error("nothing runs; waiting for a change; stop with Ctrl-C");
    put(&folder, "src/one.lua", says("one"));
    put(&folder, "src/_index.yaml", index(&service("one")));
    running.until_error("one\t{app:processes|0x00001}");
    running.until_error(WATCHING);
    interrupted(running);
}

#[test]
fn a_service_that_could_not_start_starts_when_it_is_mended() {
    let folder = two_services();
    put(&folder, "src/one.lua", "return function(");
    let mut running = services(&folder);
    running.until_error("app:one cannot be started");
    put(&folder, "src/one.lua", says("mended"));
    running.until_error("mended\t{app:processes|");
    running.until_error(UP_TO_DATE);
    let outcome = interrupted(running);
    assert_eq!(count(&outcome, "two\t{app:processes"), 1, "{outcome}");
}

#[test]
fn services_come_and_go_with_their_entries() {
    let folder = two_services();
    let mut running = services(&folder);
    put(&folder, "src/more/three.lua", says("three"));
    let more =
        format!("namespace: more\nentries:\n{}", service("three")).replace("host: processes", "host: app:processes");
    put(&folder, "src/more/_index.yaml", more);
    running.until_error("three\t{app:processes|0x00003}");
    running.until_error(UP_TO_DATE);
    std::fs::remove_dir_all(folder.path().join("src/more")).expect("a folder");
    running.until_error("service stopped service=more:three");
    running.until_errors(UP_TO_DATE, 2);
    let outcome = interrupted(running);
    assert_eq!(count(&outcome, "one\t{app:processes"), 1, "{outcome}");
}

#[test]
fn a_library_and_a_process_below_a_service_concern_it() {
    let worker = "  - name: worker\n    kind: process.lua\n    source: file://worker.lua\n  - name: words\n    kind: \
                  library.lua\n    source: file://words.lua\n";
    let folder = project(&(service("one") + &service("two") + worker));
    let index = folder.read("src/_index.yaml");
    put(
        &folder,
        "src/_index.yaml",
        index.replace("file://two.lua", "file://two.lua\n    imports: { words: words }"),
    );
    let boss = "return function()\n  process.spawn('app:worker', 'app:processes')\n  process.events():receive()\nend";
    put(&folder, "src/one.lua", boss);
    put(
        &folder,
        "src/two.lua",
        "return function() print(require('words')) process.events():receive() end",
    );
    put(&folder, "src/worker.lua", says("worker"));
    put(&folder, "src/words.lua", "return 'hello'");
    let mut running = services(&folder);
    running.until_error("worker\t{app:processes|");
    running.until_error("hello");
    put(&folder, "src/worker.lua", says("drone"));
    running.until_error("drone\t{app:processes|");
    running.until_error(UP_TO_DATE);
    put(&folder, "src/words.lua", "return 'good morning'");
    running.until_error("good morning");
    running.until_errors(UP_TO_DATE, 2);
    interrupted(running)
        .stderr_has("entries=app:worker services=app:one\n")
        .stderr_has("entries=app:words services=app:two\n");
}

#[test]
fn a_changed_host_starts_everything_again() {
    let folder = two_services();
    let mut running = services(&folder);
    let index = folder.read("src/_index.yaml");
    let host = "kind: process.host\n    host: { mailbox_limit: 10 }";
    put(&folder, "src/_index.yaml", index.replace("kind: process.host", host));
    running.until_error("files changed; everything is started again");
    running.until_errors(WATCHING, 2);
    let outcome = interrupted(running);
    for word in ["one", "two"] {
        assert_eq!(count(&outcome, &format!("{word}\t{{app:processes|")), 2, "{outcome}");
    }
}

#[test]
fn what_concerns_nothing_and_what_lies_outside_starts_nothing() {
    let outside = Folder::new();
    let folder = two_services();
    let mut running = services(&folder);
    put(&outside, "one.lua", "return function(");
    put(&folder, "README.md", "news");
    put(&folder, ".git/one.lua", "return function(");
    put(&folder, "src/one.lua", says("one"));
    // The first change that counts is the last one.
    put(&folder, "src/two.lua", says("another"));
    running.until_error("another\t");
    running.until_error(UP_TO_DATE);
    let outcome = interrupted(running);
    assert_eq!(count(&outcome, "files changed"), 1, "{outcome}");
}

#[test]
fn a_program_is_started_again_while_it_runs_and_after_its_end() {
    let folder = lua("return function() print('first') process.events():receive() end");
    let mut running = folder.wippy("run --watch main").start_open();
    running.until("first\n");
    put(
        &folder,
        "src/main.lua",
        "return function() print('second') return 7 end",
    );
    running.until("second\n");
    running.until_error("ended; waiting for a change; stop with Ctrl-C code=7");
    put(&folder, "src/main.lua", "return function() print('third' end");
    running.until_error("error[lua-syntax]");
    running.until_errors("waiting for a change", 2);
    put(
        &folder,
        "src/main.lua",
        "return function() print('third') process.events():receive() end",
    );
    running.until("third\n");
    interrupted(running).stdout("first\nsecond\nthird\n");
    folder
        .wippy("run --watch mian")
        .run()
        .code(4)
        .stderr_has("did you mean `main`?");
    folder.wippy("run --watch list").run().code(2);
}

#[test]
fn a_program_with_a_field_set_survives_yaml_that_is_broken_for_a_moment() {
    let folder = lua("return function() print('first') end");
    let mut running = folder
        .wippy("-o app:main:limits.max_memory=64MiB run --watch main")
        .start_open();
    running.until("first\n");
    running.until_error("waiting for a change");
    let index = folder.read("src/_index.yaml");
    put(&folder, "src/_index.yaml", format!("{index}  - name: [\n"));
    running.until_error("error[yaml-syntax]");
    running.until_errors("waiting for a change", 2);
    put(&folder, "src/main.lua", "return function() print('second') end");
    put(&folder, "src/_index.yaml", index);
    running.until("second\n");
    interrupted(running);
}

#[test]
fn a_script_is_watched_with_what_lies_beside_it() {
    let folder = Folder::with(&[("main.lua", "print(require('words'))"), ("words.lua", "return 'hello'")]);
    let mut running = folder.wippy("run --watch main.lua").start_open();
    running.until("hello\n");
    running.until_error("waiting for a change");
    put(&folder, "words.lua", "return 'good morning'");
    running.until("good morning\n");
    running.until_errors("waiting for a change", 2);
    interrupted(running);
}

/// A run of tests in a folder that is no project.
fn tests(folder: &Folder, words: &str) -> Running {
    folder.wippy(&format!("test --watch {words}")).start_open()
}

const WAITING: &str = "waiting for a change; stop with Ctrl-C";

#[test]
fn only_the_changed_test_file_runs_again() {
    let folder = Folder::with(&[
        ("tests/one_test.lua", "it('one', function() end)"),
        (
            "tests/two_test.lua",
            "it('two', function() assert.equal(2, require('words').two) end)",
        ),
        ("tests/words.lua", "return { two = 2 }"),
    ]);
    let mut running = tests(&folder, "");
    running.until("2 passed in 2 files");
    running.until_error(WAITING);
    put(&folder, "tests/one_test.lua", "it('uno', function() end)");
    running.until("✓ uno");
    running.until("1 passed in 1 file,");
    running.until_errors(WAITING, 2);
    // Only one of them requires it.
    put(&folder, "tests/words.lua", "return { two = 'zwei' }");
    running.until("0 passed, 1 failed in 1 file,");
    running.until_errors(WAITING, 3);
    put(&folder, "tests/words.lua", "return { two = 2 }");
    running.until_times("1 passed in 1 file,", 2);
    running.until_errors(WAITING, 4);
    interrupted(running)
        .stderr_has("\nchanged: tests/one_test.lua\nagain: tests/one_test.lua (it has changed)\n")
        .stderr_has("\nchanged: tests/words.lua\nagain: tests/two_test.lua (uses tests/words.lua)\n");
}

#[test]
fn what_a_test_uses_through_others_concerns_it_and_what_nobody_is_known_to_use_all() {
    let entries = "  - name: words\n    kind: library.lua\n    source: file://words.lua\n  - name: talks\n    kind: \
                   function.lua\n    method: main\n    imports: { words: words }\n    source: return function() return \
                   require('words') end\n  - name: alone\n    kind: library.lua\n    source: file://alone.lua\n";
    let folder = project(entries);
    put(&folder, "src/words.lua", "return 'hello'");
    put(&folder, "src/alone.lua", "return 'alone'");
    put(&folder, "tests/lib/outer.lua", "return require('lib.inner')");
    put(&folder, "tests/lib/inner.lua", "return 1");
    put(&folder, "tests/lib/worker.lua", "return function() return 2 end");
    for (name, body) in [
        ("calls", "assert.is_string((require('funcs').call('app:talks')))"),
        ("requires", "assert.equal(1, require('lib.outer'))"),
        ("spawns", "assert.equal(2, (process.exec('./lib/worker.lua', nil)))"),
        (
            "looks",
            "assert.equal('app:words', require('registry').get('app:words').id)",
        ),
    ] {
        let text = format!("it('{name}', function() {body} end)");
        put(&folder, &format!("tests/{name}_test.lua"), text);
    }
    let mut running = tests(&folder, "");
    running.until("4 passed in 4 files");
    running.until_error(WAITING);
    for (at, (path, text, again)) in [
        (
            "src/words.lua",
            "return 'good morning'",
            "tests/calls_test.lua (uses app:words), tests/looks_test.lua (looks at the entries)",
        ),
        (
            "tests/lib/inner.lua",
            "return 1 -- still",
            "tests/requires_test.lua (uses tests/lib/inner.lua)",
        ),
        (
            "tests/lib/worker.lua",
            "return function() return 1 + 1 end",
            "tests/spawns_test.lua (uses tests/lib/worker.lua)",
        ),
        (
            "src/alone.lua",
            "return 'still alone'",
            "tests/looks_test.lua (looks at the entries)",
        ),
        (
            "more.lua",
            "return {}",
            "everything (no test is known to use more.lua, and no entry)",
        ),
        (
            ".wippy.yaml",
            "limits: { max_memory: 100MiB }",
            "everything (the configuration is another one)",
        ),
    ]
    .into_iter()
    .enumerate()
    {
        put(&folder, path, text);
        running.until_error(&format!("\nchanged: {path}\nagain: {again}\n"));
        running.until_errors(WAITING, at + 2);
    }
    let outcome = interrupted(running);
    assert!(
        !String::from_utf8_lossy(&outcome.stdout).contains("failed"),
        "{outcome}"
    );
}

#[test]
fn a_test_file_may_be_broken_come_and_go() {
    let folder = Folder::with(&[("tests/one_test.lua", "it('one', function()")]);
    let mut running = tests(&folder, "");
    running.until("✗ the file itself");
    running.until_error(WAITING);
    put(&folder, "tests/one_test.lua", "it('one', function() end)");
    running.until("✓ one");
    running.until_errors(WAITING, 2);
    put(&folder, "tests/new/er/two_test.lua", "it('two', function() end)");
    running.until("✓ two");
    running.until_errors(WAITING, 3);
    std::fs::remove_dir_all(folder.path().join("tests/new")).expect("a folder");
    // A burst, of which the last one counts.
    for word in ["a", "b", "c", "last"] {
        folder.write("tests/one_test.lua", format!("it('{word}', function() end)"));
    }
    running.until("✓ last");
    interrupted(running);
}

#[test]
fn a_run_that_is_outdated_ends_and_begins_anew() {
    let folder = Folder::with(&[(
        "tests/one_test.lua",
        "it('begins', function() end) it('waits', function() process.receive() end, '1h')",
    )]);
    let mut running = tests(&folder, "");
    running.until("✓ begins");
    put(&folder, "tests/one_test.lua", "it('ends', function() end)");
    running.until("stopped before its end");
    running.until("✓ ends");
    running.until_error(WAITING);
    interrupted(running);
}

#[test]
fn tests_that_were_stopped_before_their_first_result_are_not_called_missing() {
    let outside = Folder::new();
    let volume = outside.path().display();
    let folder = project(&format!(
        "  - name: out\n    kind: fs.directory\n    directory: {volume}\n"
    ));
    let waits = "require('fs').get('app:out'):writefile('begun', '') process.receive()";
    let file = "tests/one_test.lua";
    put(&folder, file, format!("it('waits', function() {waits} end, '1h')"));
    let mut running = tests(&folder, "");
    outside.wait_for("begun");
    put(&folder, file, "it('ends', function() end)");
    running.until("✓ ends");
    running.until_error(WAITING);
    let outcome = interrupted(running);
    assert_eq!(count(&outcome, "no tests found"), 0, "{outcome}");
}

#[test]
fn tests_of_a_project_run_again_when_its_entries_change() {
    let folder = project("  - name: sum\n    kind: function.lua\n    source: file://sum.lua\n    method: main\n");
    put(&folder, "src/sum.lua", "return function(a, b) return a * b end");
    put(
        &folder,
        "tests/sum_test.lua",
        "it('adds', function() assert.equal(5, (require('funcs').call('app:sum', 2, 3))) end)",
    );
    let mut running = folder.wippy("test --watch --format json").start_open();
    running.until("\"failed\":1");
    running.until_error(WAITING);
    put(&folder, "src/sum.lua", "return function(a, b) return a + b end");
    running.until("\"passed\":1");
    running.until_errors(WAITING, 2);
    let index = folder.read("src/_index.yaml");
    put(&folder, "src/_index.yaml", format!("{index}  - name: [\n"));
    running.until_errors(WAITING, 3);
    put(&folder, "src/_index.yaml", index);
    running.until_times("\"passed\":1", 2);
    running.until_errors(WAITING, 4);
    let outcome = interrupted(running);
    let lines = String::from_utf8_lossy(&outcome.stdout).into_owned();
    for line in lines.lines() {
        serde_json::from_str::<serde_json::Value>(line).unwrap_or_else(|error| panic!("{error}: {line}\n{outcome}"));
    }
}

#[test]
fn tests_end_when_nobody_reads_them() {
    let folder = Folder::with(&[("tests/one_test.lua", "it('one', function() end)")]);
    let mut running = tests(&folder, "");
    running.until_error(WAITING);
    running.hang_up();
    put(&folder, "tests/one_test.lua", "it('two', function() end)");
    running.wait().code(0);
}

#[test]
fn a_program_ends_when_nobody_reads_it() {
    let folder = lua("return function() print('first') end");
    let mut running = folder.wippy("run --watch main").start_open();
    running.until("first\n");
    running.until_error(WAITING);
    running.hang_up();
    put(&folder, "src/main.lua", "return function() print('second') end");
    running.wait().code(0);
}

#[test]
fn tests_go_on_when_nobody_reads_what_is_said_beside_them() {
    let folder = Folder::with(&[("tests/one_test.lua", "it('one', function() end)")]);
    let mut running = tests(&folder, "");
    running.until_error(WAITING);
    running.hang_up_errors();
    put(&folder, "tests/one_test.lua", "it('two', function() end)");
    running.until("✓ two");
    put(&folder, "tests/one_test.lua", "it('three', function() end)");
    running.until("✓ three");
    interrupted(running);
}

#[test]
fn services_go_on_when_nobody_reads_what_they_say() {
    let folder = two_services();
    let index = folder.read("src/_index.yaml") + "  - name: here\n    kind: fs.directory\n    directory: .\n";
    let files = "source: file://one.lua\n    modules: [fs]";
    put(
        &folder,
        "src/_index.yaml",
        index.replace("source: file://one.lua", files),
    );
    let mut running = services(&folder);
    running.hang_up();
    running.hang_up_errors();
    for made in ["first", "second"] {
        let writes = format!("assert(fs.get('app:here'):writefile('{made}', ''))");
        put(&folder, "src/one.lua", format!("{writes}\n{}", says(made)));
        folder.wait_for(made);
    }
    interrupted(running);
}
