//! Bad input, in bulk: one table, a row for each case with what is done and what comes of it.
//!
//! Every row runs the real binary. It has to end by itself with that exit code, say those words, and never panic.

use std::fs;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::time::Duration;

use crate::cache::slow_module;
use crate::harness::{Call, Folder, Outcome, guest};
use crate::projects::{index, lua, project, wasm};

/// `name: what is done => exit code, words on stdout or stderr;`
macro_rules! cases {
    ($($name:ident: $outcome:expr => $code:expr, [$($words:expr),*];)*) => {
        $(#[test]
        fn $name() {
            judge($outcome, $code, &[$($words),*]);
        })*
    };
}

#[track_caller]
fn judge(outcome: Outcome, code: i32, words: &[&str]) {
    let outcome = outcome.code(code);
    let said = [&outcome.stdout[..], &outcome.stderr[..]].concat();
    let said = String::from_utf8_lossy(&said);
    for words in words {
        assert!(said.contains(words), "expected {words:?}\n{outcome}");
    }
    assert!(!said.contains("panicked"), "{outcome}");
    assert!(said.len() < 100_000, "{} bytes for an error", said.len());
}

cases! {
    // Project files.
    yaml_of_aliases_that_multiply: check(&bomb()) => 3, ["error[yaml-syntax]", "src/more.yaml"];
    yaml_nested_deeply: check(&more_entries(&format!("[{}", "[".repeat(100_000)))) => 3, ["nested deeper than 128"];
    yaml_json_nested_deeply: check(&file("src/more.json", format!("{{\"namespace\": \"a\", \"entries\": {}", "[".repeat(100_000)))) => 3,
        ["src/more.json"];
    yaml_with_keys_given_twice: check(&entry("kind: registry.entry\n    kind: process.lua")) => 3,
        ["error[duplicate-key]: `kind` is given twice", "src/_index.yaml:10:5"];
    yaml_with_ids_given_twice: check(&project(&two("name: a\n    kind: registry.entry"))) => 0,
        ["warning[duplicate-id]: `app:a` is defined twice"];
    yaml_that_is_not_utf8: check(&file("src/more.yaml", b"version: '1.0'\nnamespace: \"\xff\"")) => 3,
        ["error[yaml-syntax]: the file is not UTF-8 text", "src/more.yaml:2:13"];
    yaml_of_zeros: check(&file("src/more.yaml", [0; 4096])) => 3, ["error[yaml-syntax]"];
    yaml_with_a_byte_order_mark: check(&file("src/more.yaml", "\u{feff}version: '1.0'\nnamespace: more\nentries: []\n")) => 0,
        ["0 errors"];
    yaml_without_an_entry: check(&file("src/more.yaml", "")) => 0, ["0 errors"];
    yaml_that_is_a_list: check(&file("src/more.yaml", "[1, 2]")) => 0, [];
    yaml_that_is_a_fifo: check(&with_fifo()) => 0, ["0 errors"];
    yaml_that_is_a_folder: check(&file("src/more.yaml/other.txt", "")) => 0, ["0 errors"];
    yaml_that_links_nowhere: check(&linked("nowhere.yaml", "src/more.yaml")) => 3, ["src/more.yaml", "cannot read the file"];
    a_folder_that_links_to_itself: check(&linked(".", "src/again")) => 0, ["0 errors"];
    a_scalar_of_ten_megabytes: run(&entry(&main(&format!("--{}\n      print('ok')", "x".repeat(10_000_000))))) => 0, ["ok"];
    an_error_behind_a_hundred_warnings: check(&entry(&format!("kind: process.lua\n{}    source: 5", unknown_fields(110)))) => 3,
        ["warning[unknown-field]", "error[wrong-type]"];
    a_name_of_ten_megabytes: check(&entry(&format!("kind: registry.entry\n    meta: {{ long: {} }}", "x".repeat(10_000_000)))) => 0,
        ["0 errors"];
    a_value_of_ten_megabytes_in_a_field: check(&entry(&format!("kind: registry.{}", "x".repeat(10_000_000)))) => 0,
        ["warning[unknown-kind]: unknown kind `registry.xxx"];
    ten_thousand_entries_are_checked: check(&many()) => 0, ["10002 entries checked: 0 errors"];
    ten_thousand_entries_are_loaded: many().wippy("run c7777").run() => 0, ["number 7777"];
    a_chain_of_twenty_thousand_imports: check(&chain(20_000)) => 0, ["20003 entries checked: 0 errors"];
    a_chain_of_five_thousand_imports_runs: run(&chain(5_000)) => 0, ["the first of\t0"];
    a_lock_file_that_is_broken: check(&file("wippy.lock", "{")) => 3, ["error[yaml-syntax]", "wippy.lock"];
    a_configuration_that_is_broken: check(&file(".wippy.yaml", "a: [")) => 3, ["error[yaml-syntax]", ".wippy.yaml"];

    // Lua sources.
    lua_nested_in_parentheses: script(format!("return {}1{}", "(".repeat(100_000), ")".repeat(100_000))) => 3, ["error[lua-syntax]"];
    lua_nested_in_tables: script(format!("return {}{}", "{".repeat(100_000), "}".repeat(100_000))) => 3, ["error[lua-syntax]"];
    lua_nested_in_functions: script("return function() ".repeat(100_000)) => 3, ["error[lua-syntax]"];
    lua_nested_in_types: script(format!("local x: {}", "{".repeat(100_000))) => 3, ["type nested too deeply"];
    lua_of_many_operators: script(format!("print({}1)", "- ".repeat(100_000))) => 3, ["error[lua-syntax]"];
    lua_that_never_ends: script("--[==[ never") => 3, ["error[lua-syntax]", "script.lua:1"];
    lua_that_is_bytecode: script("\x1bLua") => 3, ["bytecode is not accepted"];
    lua_that_is_not_utf8: script(b"-- caf\xe9\nprint('bytes', #'\xff')") => 0, ["bytes\t1"];
    lua_that_is_not_utf8_and_no_lua: script(b"-- caf\xe9\nlocal '\xff'") => 3, ["error[lua-syntax]", "script.lua:2"];
    lua_of_zeros: script([0; 100]) => 3, ["error[lua-syntax]"];
    lua_that_is_a_fifo: fifos() => 0, ["spawn\tnil\tcannot read ./pipe.lua: not a regular file", "require\tfalse"];
    lua_without_anything: script("") => 0, [];
    lua_with_a_byte_order_mark: script("\u{feff}print('ok')") => 0, ["ok"];
    lua_that_overflows_its_stack: script("local function f() return 1 + f() end f()") => 1, ["stack overflow"];
    lua_that_recurses_in_c: script("local t = setmetatable({}, {}) getmetatable(t).__index = function(_, k) return t[k] end return t.x") => 1,
        ["C stack overflow"];
    lua_patterns_without_end: main_of("string.rep('a', 5000):find(string.rep('a-', 20) .. 'b')", "max_execution_ms: 60000") => 1,
        ["pattern too complex"];
    lua_that_wants_all_memory: main_of("local t = {} while true do t[#t + 1] = ('x'):rep(1 << 20) .. #t end", "max_memory: 67108864") => 137,
        ["memory limit exceeded"];

    // Values.
    values_that_nobody_should_hand_over: values() => 0, ["all settled"];

    // Modules.
    modules_cut_off_and_flipped_1: broken_modules(1) => 0, ["total"];
    modules_cut_off_and_flipped_2: broken_modules(2) => 0, ["total"];
    modules_cut_off_and_flipped_3: broken_modules(3) => 0, ["total"];
    modules_cut_off_and_flipped_4: broken_modules(4) => 0, ["total"];
    a_module_of_fifty_megabytes: big_module() => 0, ["42"];
    a_module_that_is_empty: module(b"") => 3, ["error[wasm-invalid]"];
    a_module_that_is_text: module(b"(module)") => 3, ["error[wasm-invalid]"];
    a_module_that_is_a_folder: file("x.wasm/inside", "").wippy("run x.wasm").run() => 4, ["x.wasm"];
    a_wrong_hash: wrong_hash().wippy("run main 6 7").run() => 5, ["hash mismatch"];
    a_guest_that_never_ends: wasm("spin", "spin", "    limits: { max_execution_ms: 200 }\n").wippy("run main").run() => 124,
        ["execution time limit exceeded"];
    a_guest_that_wants_all_memory: wasm("eater", "eat", "    limits: { max_memory: 1048576 }\n").wippy("run main 1000").run() => 137,
        ["memory limit exceeded"];

    // What changes while somebody looks.
    lua_that_changes_between_check_and_start: changed_source() => 0, ["after"];
    lua_that_vanishes_between_check_and_start: vanished_source() => 3, ["main.lua"];
    a_module_that_changes_between_check_and_start: changed_module() => 5, ["hash mismatch"];
    a_module_that_changes_between_two_spawns: changed_while_running() => 0, ["first\t42\tnil", "second\tnil\thash mismatch"];
    a_folder_that_vanishes_before_the_start: run(&missing_volume()) => 0, ["folder not found: ./data"];
    a_folder_that_vanishes_while_it_is_used: vanishing_volume() => 0, ["before\tkept", "after\tnil\tNotFound"];
    a_working_folder_that_is_gone: Folder::new().shell("mkdir gone && cd gone && rmdir ../gone && wippy run list") => 3, [];

    // Names and words.
    a_path_with_spaces_and_letters: foreign_path("a b ö 日本").run() => 0, ["ok\tä b"];
    a_path_that_is_not_utf8: foreign_path(std::ffi::OsStr::from_bytes(b"a\xff")).run() => 0, ["ok\tä b"];
    a_word_that_is_not_utf8: lua("return print").shell("wippy run main \"$(printf 'a\\377')\"") => 2, ["argument is not UTF-8: a"];
    a_script_name_that_is_not_utf8: Folder::new().shell("wippy run \"$(printf 'a\\377.lua')\"") => 2, ["UTF-8"];
    a_file_name_that_is_not_utf8: file_names() => 0, ["written\ttrue", "listed\ttrue", "read\tbytes"];
    a_variable_that_is_not_utf8: variable().env("COLOUR", std::ffi::OsStr::from_bytes(b"re\xffd")).run() => 0, ["re\u{fffd}d"];
    a_command_without_a_name: project("").wippy_args(&["run", ""]).run() => 4, [];

    // Surroundings.
    no_home: compute().without("HOME").without("XDG_CACHE_HOME").run() => 0, ["42"];
    a_home_that_is_nowhere: compute().without("XDG_CACHE_HOME").env("HOME", "/dev/null/nowhere").run() => 0, ["42"];
    a_session_without_a_home: Folder::new().wippy("repl").stdin("6 * 7\n").without("HOME").run() => 0, ["42"];
    a_session_whose_home_is_nowhere: Folder::new().wippy("repl").stdin("6 * 7\n").env("HOME", "/dev/null/nowhere").run() => 0, ["42"];
    a_cache_that_is_a_file: compute().env("XDG_CACHE_HOME", guest("tiny")).run() => 0, ["42"];
    a_disk_that_is_full_for_the_cache: limited("ulimit -f 0; exec wippy run main 6 7") => 0, ["42"];
    a_disk_that_is_full_for_a_program: full_disk() => 0, ["false\twritefile /big: file too large"];
    no_room_for_temporary_files: tests_without_temporary() => 1, ["no temporary folder"];
    few_open_files: compute_by("exec 3>&- 4>&- 5>&- 6>&-; ulimit -n 24; exec wippy run main 6 7") => 0, ["42"];
    few_open_files_for_a_script: lua("return function() print('ok') end").shell("exec 3>&- 4>&- 5>&- 6>&-; ulimit -n 16; exec wippy run main") => 0, ["ok"];
    little_address_space: compute_by("ulimit -v 1500000; exec wippy run main 6 7") => 0, ["42"];

    // Streams.
    stdin_is_closed: reader("<&-") => 0, ["line\tnil\tEOF"];
    stdout_is_closed: lua("return function() print('x') return 6 end").shell("wippy run main >&-") => 6, [];
    stderr_is_closed: lua("return function() io.eprint('x') print('ok') end").shell("wippy run main 2>&-") => 0, ["ok"];
    all_streams_are_closed: lua("return function() print('x') return 6 end").shell("wippy run main <&- >&- 2>&-") => 6, [];
    stdout_is_full: lua("return function() print('x') end").shell("wippy run main >/dev/full") => 1, ["cannot write to stdout"];
    stdout_is_full_for_an_answer: many().shell("wippy run list >/dev/full") => 1, ["cannot write to stdout"];
    stdout_is_full_for_help: Folder::new().shell("wippy --help >/dev/full") => 1, ["cannot write to stdout"];
    stdout_is_full_for_the_version: Folder::new().shell("wippy --version >/dev/full") => 1, ["cannot write to stdout"];
    stdout_is_full_for_a_session: Folder::new().shell("echo 1 | wippy repl >/dev/full") => 1, ["cannot write to stdout"];
    stdout_is_full_for_a_failure: lua("return function() print('x') return 6 end").shell("wippy run main >/dev/full") => 6,
        ["cannot write to stdout"];
    stdout_and_stderr_are_full: Folder::new().shell("wippy check >/dev/full 2>/dev/full") => 3, [];
    a_reader_that_leaves_an_answer: many().shell("wippy run list | head -1") => 0, ["NAME"];
    a_reader_that_leaves_a_test_run: talking_tests().shell("wippy test | head -1") => 0, ["tests/a_test.lua"];
    a_session_of_bytes: Folder::new().wippy("repl").stdin(b"print('\xff')\n").run() => 3, ["UTF-8"];
    a_session_of_zeros: Folder::new().wippy("repl").stdin([0; 10_000]).run() => 3, ["error[lua-syntax]"];
    a_session_with_a_line_of_megabytes: Folder::new().wippy("repl").stdin(format!("print(#'{}')", "x".repeat(5_000_000))).run() => 0,
        ["5000000"];
    a_session_with_deep_values: session("(function() local t = {} for _ = 1, 100000 do t = { t } end return t end)()") => 0, ["…"];
    a_session_with_a_cycle: session("(function() local t = {} t.me = t return t end)()") => 0, ["<cycle"];
    a_session_with_a_long_value: session("('x'):rep(1e7)") => 0, ["…"];

    // Violence.
    killed_while_it_compiles: killed() => 0, ["42"];
    an_endless_loop_that_is_interrupted: interrupted("while true do end") => 130, [];
    an_endless_pattern_that_is_interrupted: interrupted("while true do pcall(string.find, ('a'):rep(5000), ('a-'):rep(20) .. 'b') end") => 130, [];
}

fn check(folder: &Folder) -> Outcome {
    folder.wippy("check").run()
}

fn run(folder: &Folder) -> Outcome {
    folder.wippy("run main").run()
}

/// A project of hosts alone, and one more file.
fn file(path: &str, text: impl AsRef<[u8]>) -> Folder {
    let folder = project("");
    folder.write(path, text);
    folder
}

/// A project with an entry `main` of these fields.
fn entry(fields: &str) -> Folder {
    project(&format!("  - name: main\n    {fields}\n"))
}

fn more_entries(data: &str) -> Folder {
    entry(&format!("kind: registry.entry\n    data: {data}"))
}

/// The fields of a command with this code.
fn main(code: &str) -> String {
    format!(
        "kind: process.lua\n    meta: {{ command: {{ name: main }} }}\n    source: |\n      {code}\n      return function() end"
    )
}

fn two(entry: &str) -> String {
    format!("  - {entry}\n  - {entry}\n")
}

fn bomb() -> Folder {
    let mut text = "version: '1.0'\nnamespace: more\na0: &a0 [x, x, x, x, x, x, x, x, x, x]\n".to_owned();
    for level in 1..20 {
        let aliases = vec![format!("*a{}", level - 1); 10].join(", ");
        text += &format!("a{level}: &a{level} [{aliases}]\n");
    }
    text += "entries: [{ name: a, kind: registry.entry, data: *a19 }]\n";
    file("src/more.yaml", text)
}

fn with_fifo() -> Folder {
    let folder = project("");
    folder.shell("mkfifo src/more.yaml").code(0);
    folder
}

fn unknown_fields(count: usize) -> String {
    (0..count).map(|number| format!("    field{number}: 1\n")).collect()
}

fn fifos() -> Outcome {
    let folder = Folder::new();
    folder.write(
        "main.lua",
        "print('spawn', process.spawn('./pipe.lua'))\nprint('require', pcall(require, 'pipe'))",
    );
    folder.shell("mkfifo pipe.lua && wippy run main.lua")
}

fn linked(to: &str, path: &str) -> Folder {
    let folder = project("");
    symlink(to, folder.path().join(path)).expect("a symlink");
    folder
}

/// A command, and that many libraries, each of which imports the next one.
fn chain(count: u32) -> Folder {
    let library = |number: u32| {
        let next = number + 1;
        let imports = match next < count {
            true => format!("    imports: {{ next{number}: l{next} }}\n"),
            false => String::new(),
        };
        format!("  - name: l{number}\n    kind: library.lua\n    source: return {number}\n{imports}")
    };
    let main = "  - name: main\n    kind: process.lua\n    meta: { command: { name: main } }\n    imports: { first: l0 }\n    \
                source: return function() print('the first of', require('first')) end\n";
    project(&((0..count).map(library).collect::<String>() + main))
}

fn many() -> Folder {
    let entry = |number| {
        format!(
            "  - name: e{number}\n    kind: process.lua\n    meta: {{ command: {{ name: c{number} }} }}\n    source: return \
             function() print('number {number}') end\n"
        )
    };
    project(&(0..10_000).map(entry).collect::<String>())
}

fn script(text: impl AsRef<[u8]>) -> Outcome {
    let folder = Folder::new();
    folder.write("script.lua", text);
    folder.wippy("run script.lua").run()
}

/// A command that runs this code within limits.
fn main_of(code: &str, limits: &str) -> Outcome {
    run(&entry(&format!(
        "kind: process.lua\n    meta: {{ command: {{ name: main }} }}\n    limits: {{ {limits} }}\n    source: |\n      return \
         function() {code} end"
    )))
}

fn values() -> Outcome {
    let folder = Folder::new();
    for name in ["greet", "compute", "types"] {
        folder.copy_in(&guest(name), &format!("{name}.wasm"));
    }
    folder.write("idle.lua", "return nil");
    folder.write("values.lua", include_str!("bad_input/values.lua"));
    folder.wippy("run values.lua").run()
}

/// One of four shares: all of them at once would take longer on a slow machine than a call may.
fn broken_modules(share: usize) -> Outcome {
    let folder = Folder::copy_of(guest("compute").parent().expect("the folder of the guests"));
    folder.write("modules.lua", include_str!("bad_input/modules.lua"));
    let call = folder.wippy(&format!("-s run modules.lua {share} 4"));
    // Not into the cache that other tests share.
    call.env("XDG_CACHE_HOME", folder.path().join("cache")).run()
}

fn module(bytes: &[u8]) -> Outcome {
    let folder = Folder::new();
    folder.write("x.wasm", bytes);
    folder.wippy("run x.wasm").run()
}

fn big_module() -> Outcome {
    let data = "x".repeat(50 << 20);
    let text = format!(
        "(module (memory (export \"memory\") 801) (data (i32.const 0) \"{data}\") (func (export \"f\") (result i32) i32.const 42))"
    );
    let folder = Folder::new();
    folder.write("big.wasm", wat::parse_str(text).expect("a module"));
    let call = folder.wippy("run --method f big.wasm");
    call.env("XDG_CACHE_HOME", folder.path().join("cache")).run()
}

fn wrong_hash() -> Folder {
    let folder = wasm("compute", "compute", "");
    folder.copy_in(&guest("tiny"), "wasm/guest.wasm");
    folder
}

fn changed_source() -> Outcome {
    let folder = lua("return function() print('before') end");
    check(&folder).code(0);
    folder.write("src/main.lua", "return function() print('after') end");
    run(&folder)
}

fn vanished_source() -> Outcome {
    let folder = lua("return function() end");
    check(&folder).code(0);
    fs::remove_file(folder.path().join("src/main.lua")).expect("a file of ours");
    run(&folder)
}

fn changed_module() -> Outcome {
    let folder = wasm("compute", "compute", "");
    check(&folder).code(0);
    folder.copy_in(&guest("tiny"), "wasm/guest.wasm");
    folder.wippy("run main 6 7").run()
}

fn changed_while_running() -> Outcome {
    let folder = wasm("compute", "compute", "");
    let driver = "  - name: driver\n    kind: process.lua\n    modules: [fs]\n    source: |\n      return function()\n        \
                  local wasm = fs.get('app:modules')\n        print('first', process.exec('app:main', nil, 6, 7))\n        \
                  wasm:writefile('guest.wasm', wasm:readfile('other.wasm'))\n        local value, err = \
                  process.exec('app:main', nil, 6, 7)\n        print('second', value, (tostring(err):match('hash mismatch')))\n      end\n";
    let driver = driver.replace("nil, 6", "'app:processes', 6");
    folder.write("src/_index.yaml", folder.read("src/_index.yaml") + &driver);
    folder.copy_in(&guest("tiny"), "wasm/other.wasm");
    folder.wippy("run -x app:driver").run()
}

const DATA: &str = "  - name: data\n    kind: fs.directory\n    directory: ./data\n";

fn missing_volume() -> Folder {
    let folder = lua("return function() print(fs.get('app:data')) end");
    folder.write("src/data.yaml", more(DATA));
    folder
}

/// A file of further entries.
fn more(entries: &str) -> String {
    let hosts = index("");
    let head = hosts.split("entries:\n").next().unwrap_or_default();
    format!("{head}entries:\n{entries}")
}

fn vanishing_volume() -> Outcome {
    let folder = lua("return function()
           local data = fs.get('app:data')
           print('before', data:readfile('kept'))
           io.readline()
           local text, err = data:readfile('kept')
           print('after', text, err:kind())
           print('write', data:writefile('new', 'x'))
           for _ in (data:readdir('/') or function() end) do end
         end");
    folder.write("src/data.yaml", more(DATA));
    folder.write("data/kept", "kept");
    let mut running = folder.wippy("run main").start_open();
    running.until("before\tkept");
    fs::remove_dir_all(folder.path().join("data")).expect("a folder of ours");
    drop(running.child.stdin.take());
    running.wait()
}

/// A project in a folder of that name.
fn foreign_path(name: impl AsRef<Path>) -> Call {
    let folder = Folder::new();
    let place = folder.path().join(&name);
    fs::create_dir_all(place.join("src")).expect("a folder of any name");
    let fields = "  - name: main\n    kind: process.lua\n    meta: { command: { name: main } }\n    source: \"file://mäin x.lua\"\n";
    fs::write(place.join("src/_index.yaml"), index(fields)).expect("a file");
    fs::write(
        place.join("src/mäin x.lua"),
        "return function(...) print('ok', ...) end",
    )
    .expect("a file");
    let call = folder.wippy_args(&["run", "main", "ä b"]);
    call.within(name)
}

fn file_names() -> Outcome {
    let folder = lua("return function()
           local data, name = fs.get('app:data'), 'a\\xff'
           print('written', data:writefile(name, 'bytes'))
           for found in data:readdir('/') do print('listed', found.name == name) end
           print('read', data:readfile(name))
         end");
    folder.write("src/data.yaml", more(DATA));
    fs::create_dir(folder.path().join("data")).expect("a folder");
    run(&folder)
}

fn variable() -> Call {
    let folder = lua("return function() print(env.get('COLOUR')) end");
    let entries = "  - name: os\n    kind: env.storage.os\n  - name: colour\n    kind: env.variable\n    variable: COLOUR\n    storage: app:os\n";
    folder.write("src/env.yaml", more(entries));
    folder.wippy("run main")
}

fn compute() -> Call {
    wasm("compute", "compute", "").wippy("run main 6 7")
}

fn compute_by(line: &str) -> Outcome {
    wasm("compute", "compute", "").shell(line)
}

/// The same with a cache of its own, so that something has to be written.
fn limited(line: &str) -> Outcome {
    compute_by(&format!("export XDG_CACHE_HOME=$PWD/cache; {line}"))
}

fn full_disk() -> Outcome {
    let folder = Folder::new();
    folder.write(
        "script.lua",
        "print(require('fs').get('script:dir'):writefile('big', ('x'):rep(100000)))",
    );
    folder.shell("ulimit -f 1; exec wippy run script.lua")
}

fn tests_without_temporary() -> Outcome {
    let folder = talking_tests();
    folder.wippy("test").env("TMPDIR", "/dev/null/nowhere").run()
}

fn talking_tests() -> Folder {
    Folder::with(&[(
        "tests/a_test.lua",
        "for i = 1, 2000 do it('is ' .. i, function() end) end",
    )])
}

/// An expression whose value a session shows.
fn session(code: &str) -> Outcome {
    Folder::new().wippy_args(&["repl", "-e", code]).run()
}

fn reader(redirection: &str) -> Outcome {
    lua("return function() print('line', io.readline()) end").shell(&format!("wippy run main {redirection}"))
}

/// Killed at several moments of its first compilation; then the same module is run.
fn killed() -> Outcome {
    let folder = Folder::new();
    folder.write("slow.wasm", slow_module(20_000));
    let call = || {
        let call = folder.wippy("run --method f slow.wasm");
        call.env("XDG_CACHE_HOME", folder.path().join("cache"))
    };
    for milliseconds in [1, 30, 100, 200, 400, 800] {
        let running = call().start_open();
        std::thread::sleep(Duration::from_millis(milliseconds));
        running.signal("KILL");
        running.wait();
    }
    let first = call().run().code(0);
    call().run().code(0).stdout("42\n").quiet();
    first
}

fn interrupted(code: &str) -> Outcome {
    let folder = lua(&format!("return function() print('ready') io.flush() {code} end"));
    let mut running = folder.wippy("run main").start_open();
    running.until("ready");
    running.signal("INT");
    running.wait()
}
