//! WASM commands: words, results, exit codes, hashes, what is missing.

use crate::harness::guest;
use crate::projects::wasm;

const WASI: &str = "    imports: [wasi:io, wasi:cli, wasi:filesystem, wasi:clocks]\n";

#[test]
fn words_become_parameters_and_the_result_is_printed() {
    wasm("compute", "compute", "")
        .wippy("run main 6 -7")
        .run()
        .code(0)
        .stdout("-42\n")
        .quiet();
    wasm("greet", "greet", "")
        .wippy("run main World")
        .run()
        .code(0)
        .stdout("Hello, World!\n");
    let point = wasm("types", "echo-point", "");
    point
        .wippy_args(&["run", "main", r#"{"x": 1, "y": -2}"#])
        .run()
        .code(0)
        .stdout("{\"x\":1,\"y\":-2}\n");
    wasm("types", "echo-color", "")
        .wippy("run main green")
        .run()
        .code(0)
        .stdout("\"green\"\n");
    wasm("types", "echo-u64", "")
        .wippy("run main 18446744073709551615")
        .run()
        .code(0)
        .stdout("18446744073709551615\n");
    wasm("types", "nothing", "").wippy("run main").run().code(0).stdout("");
    let outcome = wasm("types", "make-bytes", "").wippy("run main 256").run().code(0);
    assert_eq!(outcome.stdout, (0..=255).collect::<Vec<u8>>(), "{outcome}");
}

#[test]
fn words_that_do_not_fit_show_the_usage() {
    let folder = wasm("compute", "compute", "");
    for words in [
        "run main",
        "run main 6",
        "run main 6 7 8",
        "run main 6 seven",
        "run main 6 99999999999",
    ] {
        folder
            .wippy(words)
            .run()
            .code(2)
            .stdout("")
            .stderr_has("usage: wippy run main <a: s32> <b: s32>");
    }
    wasm("types", "echo-color", "")
        .wippy("run main grey")
        .run()
        .code(2)
        .stderr_has("green");
    wasm("types", "echo-point", "").wippy("run main {").run().code(2);
}

#[test]
fn results_at_the_top_are_unwrapped() {
    wasm("types", "check", "")
        .wippy("run main true")
        .run()
        .code(0)
        .stdout("fine\n");
    wasm("types", "check", "")
        .wippy("run main false")
        .run()
        .code(1)
        .stdout("")
        .stderr_has("error[Internal]: not fine");
}

#[test]
fn guests_exit_with_their_own_code() {
    let p1 = wasm("p1", "_start", "    imports: [wasi1]\n");
    p1.wippy("run main --no-stdin --exit 7").run().code(7).quiet();
    p1.wippy("run main --no-stdin --exit 0").run().code(0).quiet();
    let component = wasm("command", "run", WASI);
    component.wippy("run main --no-stdin --exit 7").run().code(1);
    component
        .wippy("run main one two")
        .stdin("from stdin\n")
        .run()
        .code(0)
        .stdout("arg 0: main\narg 1: one\narg 2: two\nfrom stdin\n")
        .quiet();
    wasm("exit", "quit-with", "    imports: [wasi:cli]\n")
        .wippy("run main 42")
        .run()
        .code(42);
}

#[test]
fn a_trap_is_134_with_the_frames_of_the_guest() {
    wasm("trapper", "trap-unreachable", "")
        .wippy("run main")
        .run()
        .code(134)
        .stdout("")
        .stderr_has("error[Internal]: wasm trap: unreachable")
        .stderr_has("bottom")
        .stderr_has("middle");
}

#[test]
fn limits_end_busy_and_sleeping_guests() {
    let time = "    limits: { max_execution_ms: 300 }\n";
    wasm("spin", "spin", time)
        .wippy("run main")
        .run()
        .code(124)
        .stderr_has("execution time limit exceeded: 300 ms");
    let sleeper = format!("    imports: [wasi:io, wasi:clocks]\n{time}");
    wasm("sleeper", "sleep-ms", &sleeper)
        .wippy("run main 60000")
        .run()
        .code(124);
    wasm("eater", "eat-forever", "    limits: { max_memory: 16MiB }\n")
        .wippy("run main")
        .run()
        .code(137)
        .stderr_has("error[LimitExceeded]");
}

#[test]
fn a_guest_that_is_a_process_among_others_needs_its_grants() {
    let folder = wasm("actor", "wait", "");
    folder
        .wippy("run main 10")
        .run()
        .code(1)
        .stderr_has("called wippy:runtime/process.receive without a grant; add to the entry: imports: [wippy:process]");
    let missing = |name: &str| format!("imports wippy:runtime/{name}@0.1.0 without the grant wippy:{name}");
    folder
        .wippy("check")
        .run()
        .code(0)
        .stdout_has(&missing("process"))
        .stdout_has(&missing("time"))
        .stdout_has(&missing("log"))
        .stdout_has(&missing("env"));
    let folder = wasm(
        "actor",
        "wait",
        "    imports: [wippy:process, wippy:time, wippy:log, wippy:env]\n",
    );
    folder.wippy("check").run().code(0).stdout("");
    folder.wippy("run main 10").run().code(0).stdout("nothing\n");
    folder
        .wippy("inspect app:main")
        .run()
        .code(0)
        .stdout_has("granted by wippy:process");
}

#[test]
fn hashes_are_checked_before_anything_runs() {
    let folder = wasm("compute", "compute", "");
    let index = folder.read("src/_index.yaml");
    let with = |hash: &str| {
        let line = index
            .lines()
            .find(|line| line.trim().starts_with("hash:"))
            .expect("a hash");
        folder.write("src/_index.yaml", index.replace(line, &format!("    hash: {hash}")));
        folder.wippy("run main 6 7").run().stdout("")
    };
    let zeros = "0".repeat(64);
    with(&format!("sha256:{zeros}"))
        .code(5)
        .stderr_has("hash verification failed: hash mismatch");
    with("sha256:...")
        .code(5)
        .stderr_has(&format!("hash: {}", crate::harness::hash("compute")));
    with("nonsense").code(3).stderr_has("invalid hash format: nonsense");
    with("md5:00").code(3).stderr_has("unsupported hash algorithm: md5");
}

#[test]
fn a_module_that_changes_is_refused() {
    let folder = wasm("compute", "compute", "");
    folder.wippy("run main 6 7").run().code(0).stdout("42\n");
    folder.copy_in(&guest("greet"), "wasm/guest.wasm");
    folder.wippy("run main 6 7").run().code(5).stdout("");
}

#[test]
fn missing_files_folders_and_exports_are_named() {
    let folder = wasm("compute", "compute", "");
    std::fs::remove_file(folder.path().join("wasm/guest.wasm")).expect("a file");
    folder.wippy("run main 6 7").run().code(3).stderr_has("guest.wasm");
    let folder = wasm("compute", "compute", "");
    std::fs::remove_dir_all(folder.path().join("wasm")).expect("a folder");
    folder.wippy("run main 6 7").run().code(3).stderr_has("wasm");
    wasm("compute", "computer", "")
        .wippy("run main 6 7")
        .run()
        .code(3)
        .stderr_has("failed to call wasm method: computer")
        .stderr_has("compute");
}

#[test]
fn a_file_that_is_no_module_is_named() {
    let folder = wasm("compute", "compute", "");
    folder.write("wasm/guest.wasm", "no module");
    let sum = sha256(b"no module");
    let index = folder
        .read("src/_index.yaml")
        .replace(&crate::harness::hash("compute"), &sum);
    folder.write("src/_index.yaml", index);
    folder
        .wippy("run main 6 7")
        .run()
        .code(3)
        .stderr_has("failed to compile wasm module");
}

#[test]
fn a_required_variable_that_is_missing_prevents_the_start() {
    let fields = "    imports: [wasi:io, wasi:cli]\n    wasi:\n      env: [ { id: token, name: TOKEN, required: true } ]\n  - name: \
                  memory\n    kind: env.storage.memory\n  - name: token\n    kind: env.variable\n    storage: \
                  app:memory\n    variable: TOKEN\n";
    wasm("environ", "env", fields)
        .wippy("run main")
        .run()
        .code(1)
        .stdout("")
        .stderr_has("required wasi env variable not found: app:token");
}

fn sha256(bytes: &[u8]) -> String {
    use sha2::{Digest, Sha256};
    let digest = Sha256::digest(bytes);
    digest
        .iter()
        .fold("sha256:".to_owned(), |text, byte| text + &format!("{byte:02x}"))
}

/// Hosts with room for a few guests, a sleeping worker, and this Lua main.
fn sleepers(main: &str) -> crate::harness::Folder {
    let folder = wasm("sleeper", "sleep-ms", "    imports: [wasi:io, wasi:clocks]\n");
    let index = folder.read("src/_index.yaml");
    let small = index.replace(
        "kind: process.host",
        "kind: process.host\n    wasm: { max_instances: 20 }",
    );
    let lua = "  - name: lua\n    kind: process.lua\n    source: file://lua.lua\n    modules: [io, time]\n";
    folder.write("src/_index.yaml", small + lua);
    folder.write("src/lua.lua", main);
    folder
}

#[test]
fn a_full_pool_refuses_the_next_guest_and_disturbs_nobody() {
    sleepers(
        "return function()\n  local living = {}\n  while true do\n    local pid, err = \
         process.spawn_monitored('app:main', 'app:processes', 600000)\n    if not pid then print(err:kind(), err:retryable()) \
         break end\n    living[#living + 1] = pid\n  end\n  print(#living)\n  for _, pid in ipairs(living) do\n    \
         assert(process.info(pid))\n    process.terminate(pid)\n  end\n  for _ = 1, #living do\n    \
         assert(process.receive().type == 'EXIT')\n  end\n  process.spawn_monitored('app:main', 'app:processes', 1)\n  \
         print(process.receive().value >= 1)\nend",
    )
    .wippy("run -x app:lua")
    .run()
    .code(0)
    .stdout("Unavailable\ttrue\n20\ntrue\n");
}

#[test]
fn wrong_arguments_from_lua_name_their_path() {
    let folder = wasm("types", "echo-list-point", "");
    let index = folder.read("src/_index.yaml") + "  - name: lua\n    kind: process.lua\n    source: file://lua.lua\n";
    folder.write("src/_index.yaml", index);
    folder.write(
        "src/lua.lua",
        "local function try(...)\n  local pid, err = process.spawn_monitored('app:main', 'app:processes', ...)\n  \
         print(err or process.receive().error)\nend\nreturn function()\n  try({{x = 1, y = 2}, {x = 1}})\n  try({{x = 1, \
         y = 2, z = 3}})\n  try('text')\n  try()\n  try({}, 1)\nend",
    );
    let outcome = folder.wippy("run -x app:lua").run().code(0);
    let printed = String::from_utf8_lossy(&outcome.stdout).into_owned();
    let lines: Vec<&str> = printed.lines().collect();
    assert_eq!(lines.len(), 5, "{outcome}");
    assert_eq!(lines[0], "argument 1 [2].y: expected s32, got nil", "{outcome}");
    for (line, text) in lines
        .iter()
        .zip(["[2].y", "z", "got string", "expected 1 argument", "got 2"])
    {
        assert!(line.contains(text), "{line:?} lacks {text:?}\n{outcome}");
    }
}
