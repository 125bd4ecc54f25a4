//! Wrong usage, unknown names, help, lists.

use crate::harness::Folder;
use crate::projects::{lua, project, wasm};

#[test]
fn help_has_worked_calls_and_goes_to_stdout() {
    let folder = Folder::new();
    folder
        .wippy("--help")
        .run()
        .code(0)
        .quiet()
        .stdout_has("wippy run greet World");
    folder
        .wippy("run --help")
        .run()
        .code(0)
        .quiet()
        .stdout_has("wippy run list");
    folder.wippy("help check").run().code(0).quiet().stdout_has("--strict");
    folder
        .wippy("--version")
        .run()
        .code(0)
        .quiet()
        .stdout_has("wippy 0.1.0");
}

#[test]
fn wrong_usage_is_exit_2() {
    let folder = Folder::new();
    folder.wippy("").run().code(2);
    folder.wippy("chekc").run().code(2).stderr_has("'check'");
    folder.wippy("rnu").run().code(2).stderr_has("'run'");
    folder.wippy("run --jsn list").run().code(2);
    folder.wippy("check --bogus").run().code(2);
    folder.wippy("run -x").run().code(2);
    folder.wippy("run -x nocolon").run().code(2).stderr_has("nocolon");
}

#[test]
fn an_unknown_name_is_exit_4_with_the_nearest_one() {
    let folder = lua("return function() end");
    folder.wippy("run mian").run().code(4).stderr_has("`main`");
    folder.wippy("run app:main").run().code(4).stderr_has("run -x app:main");
    folder.wippy("run -x app:mian").run().code(4).stderr_has("app:main");
    folder.wippy("run nowhere.lua").run().code(4).stderr_has("nowhere.lua");
    folder.wippy("-C nowhere run main").run().code(3).stderr_has("nowhere");
}

#[test]
fn the_list_is_aligned_text_or_json() {
    let folder = lua("return function() end");
    folder
        .wippy("run list")
        .run()
        .code(0)
        .quiet()
        .stdout("NAME  WHAT IT DOES  ENTRY\nmain                app:main\n");
    let outcome = folder.wippy("run list --json").run().code(0).quiet();
    let list: serde_json::Value = serde_json::from_slice(&outcome.stdout).expect("JSON");
    assert_eq!(list[0]["name"], "main", "{outcome}");
    assert_eq!(list[0]["entry"], "app:main", "{outcome}");
}

#[test]
fn words_after_the_name_belong_to_the_program() {
    let folder = lua("return function(...) io.print(table.concat({...}, '|')) end");
    folder
        .wippy("run main -v --help list")
        .run()
        .code(0)
        .stdout("-v|--help|list\n");
    folder.wippy("run main -- -v -- x").run().code(0).stdout("-v|--|x\n");
    folder.wippy("run -x app:main a b").run().code(0).stdout("a|b\n");
}

#[test]
fn help_run_shows_the_parameters() {
    wasm("compute", "compute", "")
        .wippy("help run main")
        .run()
        .code(0)
        .stdout_has("usage: wippy run main <a: s32> <b: s32>");
    lua("return function() end")
        .wippy("help run main")
        .run()
        .code(0)
        .stdout_has("app:main");
    lua("return function() end").wippy("help run nothing").run().code(4);
}

#[test]
fn run_alone_with_nothing_to_start_shows_a_service() {
    lua("return function() end")
        .wippy("run")
        .run()
        .code(3)
        .stderr_has("kind: process.service")
        .stderr_has("process: app:main\n")
        .stderr_has("host: app:processes\n");
    let other = "namespace: shop\nentries:\n  - {name: h, kind: process.host}\n  - {name: till, kind: process.lua, source: x}\n";
    Folder::with(&[("src/_index.yaml", other)])
        .wippy("run")
        .run()
        .code(3)
        .stderr_has("process: shop:till\n")
        .stderr_has("host: shop:h\n");
}

#[test]
fn a_field_can_be_set_for_one_run() {
    let folder = lua("return function() while true do end end");
    folder
        .wippy("-o app:main:limits.max_execution_ms=200 run main")
        .run()
        .code(124);
    folder
        .wippy(&format!("-o app:main:{}=1 run main", "a.".repeat(60_000)))
        .run()
        .code(2);
    folder
        .wippy("-o app:main run main")
        .run()
        .code(2)
        .stderr_has("NS:NAME:FIELD=VALUE");
    folder
        .wippy("-o app:mian:limits.max_execution_ms=200 run main")
        .run()
        .code(4)
        .stderr_has("no entry app:mian")
        .stderr_has("did you mean app:main?");
}

#[test]
fn a_field_that_is_set_and_does_not_fit_is_told() {
    let folder = project(
        "  - name: memory\n    kind: env.storage.memory\n  - name: colour\n    kind: env.variable\n    storage: app:memory\n    \
         default: red\n  - name: main\n    kind: process.lua\n    meta: { command: { name: main } }\n    source: return \
         function() print('has run') end\n",
    );
    folder.write("main.lua", "print('has run')");
    folder.write("tests/a_test.lua", "it('a', function() print('has run') end)");
    for what in ["run main", "run main.lua", "test"] {
        folder
            .wippy(&format!("-o app:colour:defualt=blue {what}"))
            .run()
            .code(3)
            .stdout("")
            .stderr_has("error[unknown-field]: `env.variable` has no field `defualt`");
    }
    folder.wippy("-o app:colour:default=blue run main").run().code(0);
}

#[test]
fn a_field_of_no_project_cannot_be_set() {
    let folder = Folder::with(&[("ok.lua", "return 0")]);
    folder
        .wippy("-o a:b:c=d run ok.lua")
        .run()
        .code(3)
        .stderr_has("no project here or in a folder above");
}

#[test]
fn what_is_wrong_with_the_settings_is_told_by_whatever_runs() {
    let folder = lua("return function() return 7 end");
    folder.write(".wippy.yaml", "shutdown: { timeout: soon }\n");
    folder.write("ok.lua", "return 8");
    for (call, code) in [("run main", 7), ("run -x app:main", 7), ("run ok.lua", 8)] {
        folder.wippy(call).run().code(code).stderr_has(".wippy.yaml:1:22");
        folder.wippy(&format!("-s {call}")).run().code(code).quiet();
    }
    folder.wippy("check").run().code(3).stdout_has(".wippy.yaml:1:22");
}
