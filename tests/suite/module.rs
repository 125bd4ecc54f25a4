//! `wippy run FILE.wasm` and `wippy inspect`: one module, no YAML.

use crate::harness::{Folder, Outcome, guest, hash};
use crate::projects::{index, project, wasm};

/// A folder that holds a fixture guest as `guest.wasm`.
fn with(name: &str) -> Folder {
    let folder = Folder::new();
    folder.copy_in(&guest(name), "guest.wasm");
    folder
}

fn run(folder: &Folder, words: &[&str]) -> Outcome {
    folder.wippy_args(&[&["run"], words].concat()).run()
}

#[test]
fn a_function_gets_typed_arguments_and_its_result_is_printed() {
    let folder = with("compute");
    run(&folder, &["--method", "compute", "guest.wasm", "6", "-7"])
        .code(0)
        .stdout("-42\n")
        .quiet();
    run(&folder, &["--method", "compute", "guest.wasm", "6"])
        .code(2)
        .stdout("")
        .stderr_has("usage: wippy run --method compute guest.wasm <a: s32> <b: s32>");
    run(&with("types"), &["--method", "check", "guest.wasm", "false"])
        .code(1)
        .stderr_has("error[Internal]: not fine");
}

#[test]
fn a_command_gets_words_stdio_and_its_exit_code() {
    let folder = with("command");
    folder
        .wippy_args(&["run", "guest.wasm", "one", "--method", "two"])
        .stdin("from stdin\n")
        .run()
        .code(0)
        .stdout("arg 0: guest.wasm\narg 1: one\narg 2: --method\narg 3: two\nfrom stdin\n")
        .quiet();
    run(&with("p1"), &["guest.wasm", "--no-stdin", "--exit", "7"])
        .code(7)
        .quiet();
    run(&with("trapper"), &["--method", "trap-unreachable", "guest.wasm"])
        .code(134)
        .stderr_has("wasm trap: unreachable");
}

#[test]
fn a_module_with_exceptions_and_garbage_collection_runs_like_any_other() {
    let folder = with("collected");
    run(&folder, &["--method", "list", "guest.wasm", "4"])
        .code(0)
        .stdout("10\n")
        .quiet();
    run(&folder, &["--method", "uncaught", "guest.wasm", "7"])
        .code(134)
        .stderr_has("uncaught exception: fail(7, 1.5)");
    run(
        &folder,
        &["--limit", "max_memory=4MiB", "--method", "hoard", "guest.wasm"],
    )
    .code(137)
    .stderr_has("memory limit exceeded: 4MiB");
    folder
        .wippy("inspect guest.wasm")
        .run()
        .code(0)
        .stdout_has("engine   on demand, garbage-collected")
        .quiet();
    folder.write(
        "main.lua",
        r#"
        print(process.exec("./guest.wasm#list", nil, 4))
        local _, err = process.exec("./guest.wasm#uncaught", nil, 7)
        local exception = err:details().exception
        print(err, exception.tag, exception.values[1], exception.values[2])
        "#,
    );
    folder
        .wippy("run main.lua")
        .run()
        .code(0)
        .stdout_has("10\tnil\n")
        .stdout_has("uncaught exception: fail(7, 1.5)")
        .stdout_has("\tfail\t7\t1.5\n");
}

#[test]
fn a_command_of_wasi_0_3_runs_like_one_of_0_2() {
    let folder = with("command3");
    folder.write("in/a.txt", "text of a\n");
    folder
        .wippy_args(&[
            "run",
            "--dir",
            "in::/in::ro",
            "guest.wasm",
            "one",
            "--read",
            "/in/a.txt",
        ])
        .stdin("from stdin\n")
        .run()
        .code(0)
        .stdout("arg 0: guest.wasm\narg 1: one\narg 2: --read\narg 3: /in/a.txt\ncwd: /\nfrom stdin\ntext of a\n")
        .quiet();
    run(&folder, &["guest.wasm", "--no-stdin", "--exit", "7"])
        .code(7)
        .quiet();
    run(&folder, &["guest.wasm", "--no-stdin", "--read", "/etc/passwd"])
        .code(1)
        .stderr_has("error: no-entry");
    run(&with("later"), &["--method", "nap", "guest.wasm", "10"])
        .code(0)
        .stdout("10\n")
        .quiet();
    run(&with("later"), &["--method", "crash", "guest.wasm"])
        .code(134)
        .stderr_has("wasm trap: unreachable")
        .stderr_has("bottom");
}

#[test]
fn without_a_command_the_methods_are_named() {
    run(&with("compute"), &["guest.wasm", "6", "7"])
        .code(3)
        .stdout("")
        .stderr_has("--method")
        .stderr_has("exported functions: compute");
    run(&with("compute"), &["--method", "computer", "guest.wasm"])
        .code(3)
        .stderr_has("did you mean compute?");
    Folder::new()
        .wippy("run nowhere.wasm")
        .run()
        .code(4)
        .stderr_has("no such file: nowhere.wasm");
    Folder::new()
        .wippy("run --method add nowhere.wasm 6 7")
        .run()
        .code(4)
        .stderr_has("no such file: nowhere.wasm");
    Folder::with(&[("bad.wasm", "no module")])
        .wippy("run bad.wasm")
        .run()
        .code(3)
        .stderr_has("failed to compile wasm module");
}

#[test]
fn variables_and_folders_are_what_the_options_say() {
    let folder = with("files");
    folder.write("in/a.txt", "one\ntwo\n");
    folder.write("out/.keep", "");
    let options = ["--dir", "in::/in::ro", "--dir", "out::/out", "--env", "PREFIX=> "];
    let words = ["guest.wasm", "/in/a.txt", "/out/b.txt"];
    run(&folder, &[&options[..], &words[..]].concat())
        .code(0)
        .stdout("2 lines\n");
    assert_eq!(folder.read("out/b.txt"), "> ONE\n> TWO\n");
    run(
        &folder,
        &[&options[..], &["guest.wasm", "/in/a.txt", "/in/b.txt"]].concat(),
    )
    .code(1);
    assert!(!folder.path().join("in/b.txt").exists(), "it is read-only");
    run(&folder, &["guest.wasm", "/in/a.txt", "/out/b.txt"]).code(1);
}

#[test]
fn help_tells_the_parameters_without_a_project() {
    let folder = with("compute");
    folder
        .wippy("help run guest.wasm")
        .run()
        .code(0)
        .stdout_has("usage: wippy run --method compute guest.wasm <a: s32> <b: s32>\n")
        .quiet();
    with("command")
        .wippy("help run guest.wasm")
        .run()
        .code(0)
        .stdout_has("usage: wippy run guest.wasm [ARGS…]\n");
    folder.write("main.lua", "return 0");
    folder
        .wippy("help run main.lua")
        .run()
        .code(0)
        .stdout("usage: wippy run main.lua [ARGS…]\n");
    folder.wippy("help run nothing.wasm").run().code(3);
}

#[test]
fn the_guest_sees_each_variable_once_and_empty_ones_too() {
    let options = ["--env", "A=1", "--env", "C=", "--env", "A=2", "--method", "env"];
    run(&with("environ"), &[&options[..], &["guest.wasm"]].concat())
        .code(0)
        .stdout("[[\"C\",\"\"],[\"A\",\"2\"]]\n");
}

#[test]
fn limits_bound_it() {
    run(
        &with("spin"),
        &["--limit", "max_execution_ms=200", "--method", "spin", "guest.wasm"],
    )
    .code(124);
    run(
        &with("eater"),
        &["--limit", "max_memory=16MiB", "--method", "eat-forever", "guest.wasm"],
    )
    .code(137);
}

#[test]
fn grants_are_asked_for_by_name() {
    let folder = with("needs-sockets");
    run(&folder, &["--method", "call-it", "guest.wasm"])
        .code(1)
        .stderr_has("error[PermissionDenied]")
        .stderr_has("wasi:sockets");
    run(
        &folder,
        &[
            "--grant",
            "wasi:sockets",
            "--network",
            "127.0.0.1:*",
            "--method",
            "call-it",
            "guest.wasm",
        ],
    )
    .code(0)
    .stdout("1\n");
}

#[test]
fn wrong_options_are_wrong_usage() {
    let folder = with("compute");
    for (option, value, says) in [
        ("--grant", "wasi:sokets", "wasi:sockets"),
        ("--dir", "here", "HOST::GUEST"),
        ("--dir", "nowhere::/data", "nowhere"),
        ("--env", "NAME", "NAME=VALUE"),
        ("--network", "host", "HOST:PORT"),
        ("--limit", "memory=1", "max_memory"),
    ] {
        run(&folder, &[option, value, "--method", "compute", "guest.wasm", "6", "7"])
            .code(2)
            .stdout("")
            .stderr_has(says);
    }
    folder.write("hello.lua", "print('hello')");
    run(&folder, &["--method", "main", "hello.lua"])
        .code(2)
        .stderr_has("--method is for FILE.wasm");
}

#[test]
fn a_module_in_another_folder_with_an_odd_name_runs() {
    let folder = Folder::new();
    folder.write("späte module/.keep", "");
    folder.copy_in(&guest("greet"), "späte module/grüß: mich.wasm");
    run(&folder, &["--method", "greet", "späte module/grüß: mich.wasm", "World"])
        .code(0)
        .stdout("Hello, World!\n");
}

#[test]
fn a_link_to_a_module_may_lead_anywhere() {
    let folder = with("compute");
    folder.write("bin/.keep", "");
    folder.write("lib/.keep", "");
    folder.copy_in(&guest("p1"), "lib/p1-1.0.wasm");
    std::os::unix::fs::symlink("../lib/p1-1.0.wasm", folder.path().join("bin/tool.wasm")).unwrap();
    folder
        .wippy("run bin/tool.wasm --no-stdin")
        .run()
        .code(0)
        .stdout("arg 0: tool.wasm\narg 1: --no-stdin\n");
    folder
        .wippy("inspect bin/tool.wasm")
        .run()
        .code(0)
        .stdout_has("directory: ./lib\n")
        .stdout_has("path: p1-1.0.wasm\n");
    std::os::unix::fs::symlink("nowhere.wasm", folder.path().join("bin/dangling.wasm")).unwrap();
    folder
        .wippy("run bin/dangling.wasm")
        .run()
        .code(4)
        .stderr_has("dangling.wasm");
}

#[test]
fn a_script_starts_modules_by_their_files() {
    let folder = with("compute");
    folder.write("tools/.keep", "");
    folder.copy_in(&guest("p1"), "tools/p1.wasm");
    folder.write(
        "main.lua",
        r#"
        local value, err = process.exec("./guest.wasm#compute", nil, 6, 7)
        print(value, err)
        print(process.exec("./tools/p1.wasm", nil))
        print(select(2, process.exec("./guest.wasm#computer", nil)))
        print(select(2, process.exec("./guest.wasm", nil)))
        print(select(2, process.exec("./nowhere.wasm#f", nil)))
        "#,
    );
    folder
        .wippy("run main.lua")
        .run()
        .code(0)
        .stdout_has("42\tnil\nnil\tnil\n")
        .stdout_has("failed to call wasm method: computer; did you mean compute?")
        .stdout_has("the module is no command; exported functions: compute")
        .stdout_has("failed to open file: nowhere.wasm");
}

#[test]
fn a_module_that_changes_is_loaded_anew() {
    let folder = with("compute");
    folder.write("next/.keep", "");
    folder.copy_in(&guest("methods"), "next/guest.wasm");
    folder.write(
        "main.lua",
        r#"
        local fs = require("fs")
        local dir = fs.get("script:dir")
        print(process.exec("./guest.wasm#compute", nil, 6, 7))
        dir:writefile("guest.wasm", dir:readfile("next/guest.wasm"))
        print(process.exec("./guest.wasm#run", nil))
        "#,
    );
    folder.wippy("run main.lua").run().code(0).stdout("42\tnil\n7\tnil\n");
}

#[test]
fn inspect_shows_imports_exports_hash_and_yaml() {
    with("compute")
        .wippy("inspect guest.wasm")
        .run()
        .code(0)
        .stdout_has("guest.wasm: component of ")
        .stdout_has("no WASI")
        .stdout_has(hash("compute").trim_start_matches("sha256:"))
        .stdout_has("engine   pool")
        .stdout_has("imports: none")
        .stdout_has("compute(a: integer, b: integer): integer")
        .quiet();
    with("p1")
        .wippy("inspect guest.wasm")
        .run()
        .code(0)
        .stdout_has("core module of ")
        .stdout_has("WASI preview 1")
        .stdout_has("wasi_snapshot_preview1  granted by wasi1")
        .stdout_has("_start()  (command");
    with("command3")
        .wippy("inspect guest.wasm")
        .run()
        .code(0)
        .stdout_has("WASI 0.3.0")
        .stdout_has("engine   on demand, concurrent (experimental)")
        .stdout_has("wasi:filesystem/types@0.3.0        empty without wasi:filesystem")
        .stdout_has("(command")
        .stdout_has("method: run");
    with("fetch")
        .wippy("inspect guest.wasm")
        .run()
        .code(0)
        .stdout_has("missing: wasi:http")
        .stdout_has("imports: [wasi:http]\n    wasi: { network: [] } # ");
    with("needs")
        .wippy("inspect guest.wasm")
        .run()
        .code(0)
        .stdout_has("unknown: no grant provides it")
        .stdout_has("types alone");
    with("resources")
        .wippy("inspect guest.wasm")
        .run()
        .code(0)
        .stdout_has("(resources cannot cross into Lua)");
    with("types")
        .wippy("inspect guest.wasm")
        .run()
        .code(0)
        .stdout_has("echo-point(v: {x: integer, y: integer}): {x: integer, y: integer}")
        .stdout_has("check(fine: boolean): {ok: string} | {err: string}");
}

#[test]
fn odd_names_and_types_of_core_modules_are_shown_as_what_they_are() {
    let source = r#"(module (func (export "")) (func (export "a b") (result i32) i32.const 2)
      (func (export "new\nline")) (func (export "wide") (result v128) (v128.const i64x2 1 2))
      (func (export "kept") (param externref)))"#;
    let odd = |method: &str| {
        project(&format!(
            "  - name: odd\n    kind: function.wat\n    method: {method}\n    source: |\n      {source}\n"
        ))
    };
    odd("a b")
        .wippy("inspect app:odd")
        .run()
        .code(0)
        .stdout_has("\n  \"\"()\n  \"a b\"(): integer\n  \"new\\nline\"()\n")
        .stdout_has("wide(): never  (v128 values cannot cross into Lua)")
        .stdout_has("kept(arg1: never)  (reference values cannot cross into Lua)");
    odd("ab")
        .wippy("check")
        .run()
        .code(3)
        .stdout_has("ab; exported functions: \"\", \"a b\", \"new\\nline\", wide, kept");
}

#[test]
fn a_module_that_cannot_run_is_inspected_all_the_same() {
    for (name, kind) in [
        ("needs-memory", "memory"),
        ("needs-table", "table"),
        ("needs-module", "module"),
    ] {
        let shown = with(name)
            .wippy("inspect guest.wasm")
            .run()
            .code(0)
            .stdout_has(&format!("unsupported: a {kind} cannot be provided"));
        assert!(!String::from_utf8_lossy(&shown.stdout).contains("entries:"), "{shown}");
    }
    Folder::with(&[("bad.wasm", "no module")])
        .wippy("inspect bad.wasm")
        .run()
        .code(3)
        .stdout("")
        .stderr_has("failed to compile wasm module");
    Folder::new().wippy("inspect nowhere.wasm").run().code(4).stdout("");
}

#[test]
fn the_yaml_of_inspect_runs() {
    for (name, stem, id, words, expected) in [
        ("compute", "compute", "compute", "6 7", "42\n"),
        ("p1", "p1", "p1", "--no-stdin", "arg 0: p1\narg 1: --no-stdin\n"),
        (
            "command",
            "command",
            "command",
            "--no-stdin",
            "arg 0: command\narg 1: --no-stdin\n",
        ),
        ("methods", "no", "no", "3 4", "7\n"),
        ("core", "+core-1.0", "_core_1_0", "", "1\n"),
    ] {
        let folder = Folder::new();
        let file = format!("some where/{stem}.wasm");
        folder.write("some where/.keep", "");
        folder.copy_in(&guest(name), &file);
        let outcome = folder.wippy_args(&["inspect", &file, "--json"]).run().code(0).quiet();
        let found: serde_json::Value = serde_json::from_slice(&outcome.stdout).expect("JSON");
        assert_eq!(found["hash"], hash(name));
        let yaml = found["yaml"].as_str().expect("a text");
        folder.write("src/_index.yaml", index(yaml));
        folder.wippy("check --strict").run().code(0);
        let words = format!("run -x app:{id} {words}");
        folder.wippy(words.trim()).run().code(0).stdout(expected);
        folder
            .wippy(&format!("inspect app:{id} --json"))
            .run()
            .code(0)
            .stdout_has("\"hash_matches\":true");
    }
}

#[test]
fn inspect_of_a_text_in_an_entry_begins_with_the_entry() {
    let text = "(module (func (export \"f\") (result i32) (i32.const 1)))";
    let folder = project(&format!(
        "  - name: text\n    kind: function.wat\n    source: '{text}'\n    method: f\n"
    ));
    let shown = folder.wippy("inspect app:text").run().code(0);
    let shown = String::from_utf8_lossy(&shown.stdout).into_owned();
    assert!(shown.starts_with("app:text: core module of "), "{shown}");
}

#[test]
fn inspect_of_an_entry_compares_its_grants_and_hash() {
    let folder = wasm("fetch", "get", "    imports: [wasi:io, wasi:http]\n");
    folder
        .wippy("inspect app:main")
        .run()
        .code(0)
        .stdout_has("granted by wasi:http")
        .stdout_has("network  nothing")
        .stdout_has("wasi: { network: [] }")
        .stdout_has("method: get");
    folder.copy_in(&guest("compute"), "wasm/guest.wasm");
    folder
        .wippy("inspect app:main")
        .run()
        .code(0)
        .stdout_has(&format!("the entry has another hash: {}", hash("fetch")));
    folder
        .wippy("inspect app:terminal")
        .run()
        .code(2)
        .stderr_has("terminal.host");
    folder
        .wippy("inspect app:mian")
        .run()
        .code(4)
        .stderr_has("did you mean app:main?");
}
