//! Lua commands and scripts: results as exit codes, errors as text, source that is no Lua.

use crate::harness::Folder;
use crate::projects::{lua, project};

#[test]
fn what_main_returns_is_the_exit_code() {
    for (result, code) in [
        ("", 0),
        ("nil", 0),
        ("0", 0),
        ("7", 7),
        ("255", 255),
        ("256", 1),
        ("-1", 1),
        ("3.0", 3),
        ("1.5", 1),
        ("true", 0),
        ("false", 1),
        ("'7'", 0),
        ("{}", 0),
    ] {
        lua(&format!("return function() return {result} end"))
            .wippy("run main")
            .run()
            .code(code)
            .stdout("")
            .quiet();
    }
}

#[test]
fn an_error_names_kind_entry_pid_and_frames() {
    lua("local function inner() error('boom') end\nreturn { main = function() inner() end }")
        .wippy("run main")
        .run()
        .code(1)
        .stdout("")
        .stderr_has("error[Internal]:")
        .stderr_has("boom")
        .stderr_has("(app:main {app:terminal|0x00001})")
        .stderr_has("src/main.lua:1");
}

#[test]
fn a_returned_error_keeps_its_kind() {
    lua("return function() return nil, errors.new({ kind = errors.NOT_FOUND, message = 'no such thing' }) end")
        .wippy("run main")
        .run()
        .code(1)
        .stderr_has("error[NotFound]: no such thing");
}

#[test]
fn limits_have_exit_codes_of_their_own() {
    let entry = |limits: &str, code: &str| {
        project(&format!(
            "  - name: main\n    kind: process.lua\n    meta: {{ command: {{ name: main }} }}\n    limits: {limits}\n    \
             modules: [time]\n    source: |\n      return function() {code} end\n"
        ))
    };
    let busy = entry("{ max_execution_ms: 200 }", "while true do end");
    busy.wippy("run main")
        .run()
        .code(124)
        .stderr_has("error[Timeout]: execution time limit exceeded: 200 ms");
    let asleep = entry("{ max_execution_ms: 200 }", "time.sleep('1h')");
    asleep.wippy("run main").run().code(124);
    let eater = entry(
        "{ max_memory: 8MiB }",
        "local t = {} while true do pcall(function() t[#t + 1] = ('x'):rep(100000) end) end",
    );
    eater
        .wippy("run main")
        .run()
        .code(137)
        .stderr_has("error[LimitExceeded]");
}

#[test]
fn a_syntax_error_names_its_line() {
    let folder = lua("local x = 1\nlocal y = = 2\n");
    folder.wippy("run main").run().code(3).stderr_has("src/main.lua:2");
    folder
        .wippy("check")
        .run()
        .code(3)
        .stdout_has("error[lua-syntax]")
        .stdout_has("src/main.lua:2");
}

#[test]
fn a_syntax_error_of_another_language_says_what_lua_writes() {
    let folder = lua("local x: number = 1\nif x != 2 then return 3 end\n");
    folder.wippy("check").run().code(3).stdout_has(
        "error[lua-syntax]: 'then' expected near '!'\n --> src/main.lua:2:6\n  |\n2 | if x != 2 then return 3 end\n  |      ^^ \"not \
         equal\" is written `~=`\n",
    );
    folder.write("script.lua", "x = a && b\n");
    folder
        .wippy("run script.lua")
        .run()
        .code(3)
        .stderr_has("^ \"and\" is written `and`");
}

#[test]
fn a_jump_that_leads_nowhere_is_shown_where_it_stands() {
    let folder = Folder::new();
    for (text, place) in [
        ("local x = 1\ngoto nowhere\nx = 2\n", "script.lua:2:1"),
        ("local x = 1\nif x then\n  break\nend\nx = 2\n", "script.lua:3:3"),
        ("goto over\nlocal x = 1\n::over:: print(x)\n", "script.lua:1:1"),
    ] {
        folder.write("script.lua", text);
        folder.wippy("run script.lua").run().code(3).stderr_has(place);
    }
}

#[test]
fn check_finds_a_syntax_error_beside_the_other_errors_of_an_entry() {
    let folder = project("  - name: main\n    kind: process.lua\n    metod: run\n    source: |\n      local y = = 2\n");
    let checked = folder.wippy("check").run().code(3);
    checked
        .stdout_has("error[unknown-field]")
        .stdout_has("error[lua-syntax]")
        .stdout_has("_index.yaml:");
    folder.write(
        "src/_index.yaml",
        "namespace: app\nentries:\n  - { name: main, kind: process.lua, source: \"file://absent.lua\" }\n",
    );
    let checked = folder.wippy("check").run().code(3);
    checked.stdout_has("error[missing-file]").stderr_has("1 error, ");
}

#[test]
fn bytecode_is_refused() {
    let folder = lua("return function() end");
    folder.write("src/main.lua", b"\x1bLua\x54\x00\x19\x93\r\n\x1a\n");
    folder.wippy("run main").run().code(3).stdout("");
    folder.write("script.lua", b"\x1bLua\x54\x00\x19\x93\r\n\x1a\n");
    folder.wippy("run script.lua").run().code(3).stdout("");
}

#[test]
fn a_script_needs_no_project() {
    let folder = Folder::with(&[(
        "scripts/hello.lua",
        "#!/usr/bin/env wippy\nlocal fs = require('fs')\nlocal a, b = ...\nprint(process.id(), a, b)\n\
         print((fs.get('script:dir'):readfile('note.txt')))\nreturn 4\n",
    )]);
    folder.write("scripts/note.txt", "beside the script");
    folder
        .wippy("run scripts/hello.lua one --two")
        .run()
        .code(4)
        .quiet()
        .stdout("script:hello\tone\t--two\nbeside the script\n");
}

#[test]
fn an_entry_has_only_the_modules_it_declares() {
    let text = "return function() return json ~= nil and io == nil and time == nil and _G.fs == nil end";
    let folder = project(
        "  - name: main\n    kind: process.lua\n    meta: { command: { name: main } }\n    source: file://main.lua\n    \
         modules: [json]\n",
    );
    folder.write("src/main.lua", text);
    folder.wippy("run main").run().code(0).quiet();
}

#[test]
fn a_script_has_the_modules_at_hand() {
    let text = "time.sleep(time.milliseconds(1))\nio.print((json.encode({fs.get('script:dir'):exists('a.lua')})))";
    let folder = Folder::with(&[("a.lua", text)]);
    folder.wippy("run a.lua").run().code(0).stdout("[true]\n").quiet();
}

#[test]
fn a_script_sees_the_project() {
    let folder = lua("return { main = function(a, b) return a * b end }");
    folder.write(
        "try.lua",
        "local time = require('time')\nlocal pid = assert(process.spawn_monitored('app:main', 'app:processes', 6, 7))\n\
         local event = process.receive(time.seconds(10))\nprint(event.type, event.value)\n",
    );
    folder.wippy("run try.lua").run().code(0).stdout("EXIT\t42\n");
}

#[test]
fn a_script_error_names_the_script() {
    let folder = Folder::with(&[("bad.lua", "\nerror('no good')\n")]);
    folder
        .wippy("run bad.lua")
        .run()
        .code(1)
        .stderr_has("no good")
        .stderr_has("bad.lua:2");
}

#[test]
fn orphans_do_not_outlive_the_command() {
    let folder = project(
        "  - name: orphan\n    kind: process.lua\n    modules: [time]\n    source: |\n      return function() \
         process.receive() end\n  - name: main\n    kind: process.lua\n    meta: { command: { name: main } }\n    \
         source: |\n      return function()\n        for _ = 1, 50 do assert(process.spawn('app:orphan', \
         'app:processes')) end\n        return 9\n      end\n",
    );
    folder.wippy("run main").run().code(9).quiet();
}

const IN_JSON: &str = r#"{
  "namespace": "app",
  "entries": [
    {"name": "t", "kind": "terminal.host"},
    {"name": "p", "kind": "process.host"},
    {"name": "run", "kind": "process.lua", "meta": {"command": {"name": "go"}},
      "source": "local a = 1 -- one\nlocal b = 2\nerror('boom')",
      "modules": []},
    {"name": "bad", "kind": "process.lua",
      "source": "local a = 1\nx = = 2",
      "modules": []}
  ]
}
"#;

const IN_QUOTES: &str = r#"namespace: b
base: &base
  kind: process.lua
  source: |
    local a = 1

    error("merged")
entries:
  - {name: m, <<: *base}
  - name: q
    kind: process.lua
    source: "if a then\n
      x = 1\n

      y = (2"
"#;

#[test]
fn errors_in_inline_lua_point_into_the_file_however_it_is_written() {
    let folder = Folder::with(&[("src/a.json", IN_JSON), ("src/b.yaml", IN_QUOTES)]);
    folder
        .wippy("check")
        .run()
        .code(3)
        .stdout_has("--> src/a.json:10:35\n")
        .stdout_has("--> src/b.yaml:15:13\n");
    folder.wippy("run go").run().code(1).stderr_has("src/a.json:7: boom");
    folder
        .wippy("run -x b:m")
        .run()
        .code(1)
        .stderr_has("src/b.yaml:7: merged");
}
