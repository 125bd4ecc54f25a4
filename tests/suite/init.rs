//! `wippy init`: every template checks, runs and tests green at once.

use crate::harness::Folder;

const TEMPLATES: [(&str, &str, &str); 3] = [
    ("hello", "run hello World", "Hello, World!\n"),
    ("workers", "run squares 4", "1 4 9 16\n"),
    ("wasm", "run demo", "6 * 7 = 42\n"),
];

#[test]
fn every_template_runs_and_its_tests_pass() {
    for (template, call, printed) in TEMPLATES {
        let folder = Folder::new();
        let made = ["init", "my präject", "--template", template];
        folder
            .wippy_args(&made)
            .run()
            .code(0)
            .stdout_has("created my präject/src/_index.yaml")
            .stderr_has("wippy -C 'my präject' test");
        let within = |words: &str| folder.wippy(words).within("my präject").run();
        within("check --strict").code(0);
        within(call).code(0).stdout(printed).quiet();
        within("test").code(0);
    }
}

#[test]
fn the_tests_of_a_template_say_what_is_broken_in_it() {
    for (template, broken, told) in [
        ("workers", "src/worker.lua", "src/worker.lua:1"),
        ("wasm", "wasm/worker.wasm", "hash mismatch"),
    ] {
        let folder = Folder::new();
        folder.wippy_args(&["init", "--template", template]).run().code(0);
        folder.write(broken, "return function(");
        let outcome = folder.wippy("test").run().code(1).stdout_has(told);
        assert!(
            !String::from_utf8_lossy(&outcome.stdout).contains("timed out"),
            "{outcome}"
        );
    }
}

#[test]
fn without_arguments_it_is_hello_in_this_folder() {
    let folder = Folder::new();
    folder
        .wippy("init")
        .run()
        .code(0)
        .stderr_has("  wippy run hello World\n");
    folder.wippy("run hello").run().code(0).stdout("Hello, World!\n");
}

#[test]
fn nothing_is_overwritten_and_nothing_half_made() {
    let folder = Folder::with(&[("src/hello.lua", "mine")]);
    folder
        .wippy("init")
        .run()
        .code(1)
        .stdout("")
        .stderr_has("src/hello.lua is there already: nothing was written");
    assert_eq!(folder.read("src/hello.lua"), "mine");
    assert!(!folder.path().join("src/_index.yaml").exists());
    folder
        .wippy("init --template nothing")
        .run()
        .code(2)
        .stderr_has("hello, workers, wasm");
    folder
        .wippy("init src/hello.lua/below")
        .run()
        .code(1)
        .stderr_has("cannot write");
}

#[test]
fn what_could_not_be_written_is_not_in_the_way() {
    // No file may have more than that many blocks: none, and fewer than the second file needs.
    for (template, blocks) in [("hello", 0), ("workers", 1)] {
        let folder = Folder::new();
        let full = format!("trap '' XFSZ; ulimit -f {blocks}; wippy init --template {template}");
        folder.shell(&full).code(1).stdout("").stderr_has("cannot write");
        folder.wippy_args(&["init", "--template", template]).run().code(0);
        folder.wippy("check --strict").run().code(0);
    }
}
