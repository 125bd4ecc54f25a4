//! Projects made for a test, and what `run` and `check` say about broken ones.

use std::fmt::Write as _;
use std::path::Path;

use wippy::project::diagnostic::Code;

use crate::harness::{Folder, guest, hash};

/// Hosts, and whatever else the test puts below them.
pub fn index(entries: &str) -> String {
    format!(
        "version: \"1.0\"\nnamespace: app\nentries:\n  - name: terminal\n    kind: terminal.host\n  - name: processes\n    \
         kind: process.host\n{entries}"
    )
}

/// A project with these entries.
pub fn project(entries: &str) -> Folder {
    Folder::with(&[("src/_index.yaml", &index(entries))])
}

/// A project whose command `main` is this Lua code.
pub fn lua(main: &str) -> Folder {
    let folder = project(
        "  - name: main\n    kind: process.lua\n    meta: { command: { name: main } }\n    source: file://main.lua\n    \
         modules: [io, time, fs, env, json, logger]\n",
    );
    folder.write("src/main.lua", main);
    folder
}

/// A project whose command `main` is that method of a fixture guest; `fields` go below the entry.
pub fn wasm(name: &str, method: &str, fields: &str) -> Folder {
    let entry = format!(
        "  - name: modules\n    kind: fs.directory\n    directory: ./wasm\n  - name: main\n    kind: process.wasm\n    \
         meta: {{ command: {{ name: main }} }}\n    fs: modules\n    path: guest.wasm\n    hash: {}\n    method: {method}\n{fields}",
        hash(name)
    );
    let folder = project(&entry);
    folder.write("wasm/.keep", "");
    folder.copy_in(&guest(name), "wasm/guest.wasm");
    folder
}

#[test]
fn a_broken_entry_fails_only_itself() {
    let folder = project(
        "  - name: bad\n    kind: process.lua\n    meta: { command: { name: bad } }\n    source: file://nowhere.lua\n  \
         - name: good\n    kind: process.lua\n    meta: { command: { name: good } }\n    source: |\n      return \
         function() return 7 end\n",
    );
    folder.wippy("run good").run().code(7);
    folder
        .wippy("run bad")
        .run()
        .code(3)
        .stdout("")
        .stderr_has("nowhere.lua");
    folder.wippy("check").run().code(3).stdout_has("missing-file");
}

#[test]
fn a_misspelt_field_names_its_place_and_the_right_word() {
    let folder = project("  - name: main\n    kind: process.lua\n    source: return 1\n    metod: main\n");
    folder
        .wippy("check")
        .run()
        .code(3)
        .stdout_has("error[unknown-field]")
        .stdout_has("src/_index.yaml:11:5")
        .stdout_has("did you mean `method`?");
}

#[test]
fn check_is_quiet_about_a_good_project_and_has_json() {
    let folder = lua("return { main = function() end }");
    folder.wippy("check").run().code(0);
    folder.wippy("check --json").run().code(0).stdout("[]\n");
    let outcome = project("  - name: x\n    kind: procss.lua\n")
        .wippy("check --json --strict")
        .run()
        .code(3);
    let found: serde_json::Value = serde_json::from_slice(&outcome.stdout).expect("JSON");
    assert_eq!(found[0]["code"], "unknown-kind", "{outcome}");
}

#[test]
fn check_finds_what_a_call_would_say_of_its_options() {
    let retry = "  - name: x\n    kind: function.lua\n    method: main\n    source: return function() end\n    \
                 meta:\n      options: { retry: { max_attempts: often } }\n";
    project(retry)
        .wippy("check")
        .run()
        .code(3)
        .stdout_has("error[bad-value]: option retry: option max_attempts: expected a number, got string")
        .stdout_has("src/_index.yaml:");
}

#[test]
fn yaml_that_is_empty_binary_or_has_tabs_spares_the_other_files() {
    let folder = lua("return { main = function() return 3 end }");
    folder.write("src/empty.yaml", "");
    folder.write("src/binary.yaml", [0u8, 159, 146, 150, 255]);
    folder.write("src/tabs.yaml", "namespace: other\nentries:\n\t- name: x\n");
    folder.wippy("run main").run().code(3 /* what main returned */);
    folder
        .wippy("check")
        .run()
        .code(3)
        .stdout_has("src/tabs.yaml:3")
        .stdout_has("src/binary.yaml");
}

#[test]
fn a_missing_host_is_shown_as_yaml_to_add() {
    let folder = Folder::with(&[(
        "src/_index.yaml",
        "namespace: app\nentries:\n  - name: main\n    kind: process.lua\n    meta: { command: { name: main } }\n    \
         source: return function() end\n",
    )]);
    folder
        .wippy("run main")
        .run()
        .code(3)
        .stderr_has("kind: terminal.host")
        .stderr_has("kind: process.host");
}

#[test]
fn hosts_can_be_chosen() {
    let folder = lua("return function() io.print(process.pid()) end");
    let index = folder.read("src/_index.yaml") + "  - name: second\n    kind: terminal.host\n";
    folder.write("src/_index.yaml", index);
    folder
        .wippy("--host app:second run main")
        .run()
        .code(0)
        .stdout_has("{app:second|");
    folder.wippy("run main").run().code(0).stdout_has("{app:terminal|");
    folder
        .wippy("--host app:nowhere run main")
        .run()
        .code(4)
        .stderr_has("app:nowhere");
}

#[test]
fn the_project_is_found_from_a_folder_below_it() {
    let folder = lua("return function() return 5 end");
    folder.write("src/deep/er/note.txt", "");
    folder.wippy("run main").within("src/deep/er").run().code(5);
    folder.wippy("-C ../../.. run main").within("src/deep/er").run().code(5);
}

/// The broken projects of the fixtures, by name.
fn broken() -> Vec<std::path::PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/broken");
    let items = std::fs::read_dir(folder).expect("the fixtures");
    items.map(|item| item.expect("a readable folder").path()).collect()
}

#[test]
fn every_code_has_a_golden_file() {
    let golden: String = broken()
        .iter()
        .map(|project| std::fs::read_to_string(project.join("expected.txt")).expect("a transcript"))
        .collect();
    let missing: Vec<&str> = Code::ALL
        .iter()
        .map(|code| code.as_str())
        .filter(|code| !golden.contains(&format!("error[{code}]: ")) && !golden.contains(&format!("warning[{code}]: ")))
        .collect();
    assert!(missing.is_empty(), "no project in fixtures/broken shows {missing:?}");
}

#[test]
fn findings_come_file_by_file_and_json_has_them_all() {
    for project in broken() {
        let folder = Folder::copy_of(&project);
        let found = folder.wippy("check --json").run();
        if found.stdout.is_empty() {
            continue;
        }
        let found: Vec<serde_json::Value> = serde_json::from_slice(&found.stdout).expect("JSON");
        let places: Vec<(&str, Option<u64>, Option<u64>)> = found
            .iter()
            .map(|found| {
                (
                    found["file"].as_str().unwrap_or_default(),
                    found["line"].as_u64(),
                    found["column"].as_u64(),
                )
            })
            .collect();
        assert!(places.is_sorted(), "{}: {places:?}", project.display());
        let text = folder.wippy("check").run();
        let text = String::from_utf8_lossy(&text.stdout).into_owned();
        let heads = text
            .lines()
            .filter(|line| line.starts_with("error[") || line.starts_with("warning["));
        let said: Vec<String> = found
            .iter()
            .map(|found| {
                let [severity, code, message] =
                    ["severity", "code", "message"].map(|key| found[key].as_str().expect("a text"));
                format!("{severity}[{code}]: {}", message.replace('\n', " "))
            })
            .collect();
        assert_eq!(heads.collect::<Vec<_>>(), said, "{}", project.display());
    }
}

#[test]
fn ten_thousand_entries_are_checked() {
    let mut entries = String::new();
    for number in 0..9_997 {
        let _ = writeln!(
            entries,
            "  - name: p{number}\n    kind: process.lua\n    source: |\n      return function() return {number} end"
        );
    }
    entries.push_str("  - name: last\n    kind: process.lua\n    source: |\n      return = 1\n");
    let outcome = project(&entries).wippy("check").run().code(3);
    let outcome = outcome.stderr_has("10000 entries checked: 1 error, 0 warnings");
    outcome.stdout_has("src/_index.yaml:39999:14");
}

#[test]
fn what_could_not_be_read_is_told_beside_what_is_shown() {
    let folder = lua("return function() end");
    folder.write("src/broken.yaml", "namespace: more\nentries: [\n");
    folder.write("tests/a_test.lua", "it('passes', function() end)");
    for words in ["run list", "registry list", "hash", "test", "types"] {
        folder
            .wippy(words)
            .run()
            .code(0)
            .stderr_has("error[yaml-syntax]")
            .stderr_has("src/broken.yaml:");
    }
    folder.wippy("-s run list").run().code(0).quiet();
}

/// A command that shows kind, message and the codes of the diagnostics of an error.
const SHOWS: &str = "local function show(_, err)\n  local codes = {}\n  for _, found in ipairs((err:details() or {}).diagnostics or {}) do \
                     codes[#codes + 1] = found.code end\n  io.print(err:kind(), err:message(), table.concat(codes, ' \
                     '))\nend\n";

fn shown(entries: &str, calls: &str) -> crate::harness::Outcome {
    let folder = project(&format!(
        "{entries}  - name: main\n    kind: process.lua\n    meta: {{ command: {{ name: main }} }}\n    source: \
         file://main.lua\n    modules: [io, funcs]\n"
    ));
    folder.write("src/main.lua", format!("{SHOWS}return function()\n{calls}\nend"));
    folder.write("wasm/bad.wasm", "no module");
    folder.copy_in(&guest("compute"), "wasm/compute.wasm");
    folder.wippy("run main").run()
}

#[test]
fn a_broken_host_says_what_is_wrong_with_it() {
    let host = "  - name: broken\n    kind: process.host\n    host: { workers: -1 }\n  - name: worker\n    kind: \
                process.lua\n    source: return function() end\n    meta: { default_host: app:broken }\n";
    let calls = "show(process.spawn('app:worker', 'app:broken'))\nshow(funcs.call('app:worker'))";
    let line = "Invalid\tapp:broken: host.workers cannot be negative\tbad-value\n";
    shown(host, calls).code(0).stdout(&line.repeat(2));
}

#[test]
fn a_mount_on_a_broken_volume_gives_the_error_of_the_volume() {
    let folder = wasm(
        "compute",
        "compute",
        "    imports: [wasi:filesystem]\n    wasi: { mounts: [ { fs: nodir, guest: /data } ] }\n  - name: nodir\n    kind: \
         fs.directory\n    directory: ./nodir\n",
    );
    folder
        .wippy("run main 6 7")
        .run()
        .code(3)
        .stderr_has("app:nodir: folder not found: ./nodir");
}

#[test]
fn what_is_found_when_a_program_is_loaded_has_its_diagnostics() {
    let module = |name: &str, file: &str, hash: &str, more: &str| {
        format!("  - name: {name}\n    kind: process.wasm\n    fs: modules\n    path: {file}\n    hash: {hash}\n{more}")
    };
    let zeros = format!("sha256:{}", "0".repeat(64));
    let bad = format!("sha256:{}", sha256(b"no module"));
    let right = hash("compute");
    let entries = [
        "  - name: modules\n    kind: fs.directory\n    directory: ./wasm\n".to_owned(),
        module("differs", "compute.wasm", &zeros, "    method: compute\n"),
        module("gone", "gone.wasm", &zeros, "    method: compute\n"),
        module("invalid", "bad.wasm", &bad, "    method: compute\n"),
        module("unknown", "compute.wasm", &right, "    method: compote\n"),
        "  - name: lua\n    kind: process.lua\n    source: |\n      return function(\n".to_owned(),
        "  - name: library\n    kind: library.lua\n    source: return )\n  - name: user\n    kind: process.lua\n    imports: \
         { l: library }\n    source: return function() end\n"
            .to_owned(),
        "  - name: fn\n    kind: function.lua\n    method: main\n    source: return )\n".to_owned(),
    ];
    let spawn = |name: &str| format!("show(process.spawn('app:{name}', 'app:processes'))\n");
    let calls: String = ["differs", "gone", "invalid", "unknown", "lua", "user"]
        .map(spawn)
        .concat();
    let outcome = shown(&entries.concat(), &(calls + "show(funcs.call('app:fn'))")).code(0);
    let text = String::from_utf8_lossy(&outcome.stdout);
    let codes: Vec<&str> = text
        .lines()
        .map(|line| line.rsplit('\t').next().unwrap_or_default())
        .collect();
    let expected = [
        "hash-mismatch",
        "missing-file",
        "wasm-invalid",
        "method-not-exported",
        "lua-syntax",
        "lua-syntax",
        "lua-syntax",
    ];
    assert_eq!(codes, expected, "{outcome}");
}

fn sha256(bytes: &[u8]) -> String {
    use sha2::{Digest, Sha256};
    Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect()
}
