//! Whole projects in temporary folders: what loads, and what is said about what does not.

use std::path::Path;

use tempfile::TempDir;

use super::diagnostic::{Style, to_text};
use super::*;
use crate::error::Kind;
use crate::id::EntryId;
use crate::log::Level;
use crate::system;
use crate::value::Value;

fn folder(files: &[(&str, &str)]) -> TempDir {
    let temp = tempfile::tempdir().unwrap();
    for (name, text) in files {
        write(temp.path(), name, text.as_bytes());
    }
    temp
}

fn write(folder: &Path, name: &str, bytes: &[u8]) {
    let path = folder.join(name);
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    std::fs::write(path, bytes).unwrap();
}

fn project(files: &[(&str, &str)]) -> (TempDir, Project) {
    let temp = folder(files);
    let project = system::load(temp.path(), &[]);
    (temp, project)
}

fn id(text: &str) -> EntryId {
    EntryId::parse(text).unwrap()
}

fn brief(found: &Diagnostic) -> String {
    let place = found.place.as_ref().map_or("-".to_owned(), |place| {
        format!("{}:{}:{}", place.file, place.line, place.column)
    });
    let label = if found.label.is_empty() {
        String::new()
    } else {
        format!(" ({})", found.label)
    };
    format!(
        "{} {} {place} {}{label}",
        found.severity.as_str(),
        found.code.as_str(),
        found.message
    )
}

fn findings(project: &Project) -> Vec<String> {
    project.diagnostics.iter().map(brief).collect()
}

/// The findings about a `src/a.yaml` with these entries (from line 3, indented by two) in the namespace `app`, where
/// the folder `wasm` and the volume `app:v` exist.
fn about(entries: &str) -> Vec<String> {
    let text = format!("namespace: app\nentries:\n{entries}\n  - {{name: v, kind: fs.directory, directory: ./wasm}}\n");
    let (_temp, project) = project(&[
        ("src/a.yaml", &text),
        ("wasm/m.wasm", "bytes"),
        ("src/main.lua", "return 1"),
    ]);
    findings(&project)
}

const WASM: &str = "  - name: w\n    kind: process.wasm\n    fs: v\n    path: /m.wasm\n    hash: sha256:277089d91c0bdf4f2e6862ba7e4a07605119431f5d13f726dd352b06f1b206a9\n    method: run\n";

#[test]
fn the_project_on_the_page_loads_without_a_word() {
    let yaml = r#"version: "1.0"
namespace: myns
entries:
  - name: terminal
    kind: terminal.host
  - name: processes
    kind: process.host
    lifecycle: { auto_start: true }
  - name: wasm_binaries
    kind: fs.directory
    directory: ./wasm
  - name: compute_worker
    kind: process.wasm
    meta: { command: { name: compute, short: Multiply two numbers } }
    fs: myns:wasm_binaries
    path: /worker.wasm
    hash: sha256:292b796376f8b4cc360acf2ea6b82d1084871c3607a079f30b446da8e5c984a4
    method: compute
  - name: main
    kind: process.lua
    meta: { command: { name: demo, short: Run the worker and show its result } }
    source: file://main.lua
    method: main
    modules: [time, io]
"#;
    let (_temp, project) = project(&[("src/_index.yaml", yaml), ("src/main.lua", "return 1\n")]);
    assert_eq!(findings(&project), Vec::<String>::new());
    let names: Vec<&str> = project
        .registry
        .commands()
        .iter()
        .map(|(command, _)| command.name.as_str())
        .collect();
    assert_eq!(names, ["compute", "demo"]);
    let entry = project.registry.usable(&id("myns:main")).unwrap();
    let Spec::Lua(main) = &entry.spec else { panic!() };
    assert_eq!(
        (&*main.source, main.chunk.as_str(), entry.lines().of(1)),
        ("return 1\n", "src/main.lua", 1)
    );
    assert_eq!((main.limits.max_memory, main.modules.len()), (1 << 30, 2));
    let Spec::Wasm(wasm) = &project.registry.get(&id("myns:compute_worker")).unwrap().spec else {
        panic!()
    };
    assert_eq!(wasm.cwd, "/");
    assert!(matches!(&wasm.source, WasmSource::File { fs, .. } if *fs == id("myns:wasm_binaries")));
    let processes = project.registry.get(&id("myns:processes")).unwrap();
    assert!(processes.lifecycle.as_ref().unwrap().auto_start);
    let Spec::ProcessHost(host) = &processes.spec else {
        panic!()
    };
    assert_eq!(host.mailbox_bytes, 64 << 20);
}

#[test]
fn every_finding_about_an_entry_has_its_text_and_place() {
    let lua = "  - name: m\n    kind: process.lua\n    source: return 1\n";
    let with = |line: &str| format!("{WASM}    {line}");
    let lua_with = |line: &str| format!("{lua}    {line}");
    let cases: &[(String, &[&str])] = &[
        (
            WASM.replace("method: run", "metod: run"),
            &["error unknown-field src/a.yaml:8:5 `process.wasm` has no field `metod` (did you mean `method`?)"],
        ),
        (with("method: again"), &["error duplicate-key src/a.yaml:9:5 `method` is given twice"]),
        (with("colour: red"), &["warning unknown-field src/a.yaml:9:5 `process.wasm` has no field `colour`"]),
        (
            with("meta: {options: 3}"),
            &["error wrong-type src/a.yaml:9:21 `meta.options` must be a map, not a number"],
        ),
        (
            lua_with("meta: {options: {default_host: [h]}}"),
            &["error wrong-type src/a.yaml:6:36 `meta.options.default_host` must be a string, not a list"],
        ),
        (
            "  - {name: r, kind: env.storage.router, storages: app:s}".to_owned(),
            &["error wrong-type src/a.yaml:3:51 `storages` must be a list of strings, not a string"],
        ),
        (
            with("max_memory: 64MiB"),
            &["error unknown-field src/a.yaml:9:5 `process.wasm` has no field `max_memory` (on the wrong level: did you mean `limits.max_memory`?)"],
        ),
        (
            with("default_host: h"),
            &["error unknown-field src/a.yaml:9:5 `process.wasm` has no field `default_host` (on the wrong level: did you mean `meta.default_host`?)"],
        ),
        (
            with("metod: x"),
            &["error unknown-field src/a.yaml:9:5 `process.wasm` has no field `metod` (`method` is there already: a second spelling of it?)"],
        ),
        (
            with("mounts: []"),
            &["error unknown-field src/a.yaml:9:5 `process.wasm` has no field `mounts` (on the wrong level: did you mean `wasi.mounts`?)"],
        ),
        (
            with("limits: {hash: x}"),
            &["error unknown-field src/a.yaml:9:14 `process.wasm` has no field `limits.hash` (on the wrong level: did you mean `hash`?)"],
        ),
        (
            with("wasi:\n      env: [{id: e, nam: X}]\n    imports: [wasi:cli]\n  - {name: s, kind: env.storage.memory}\n  - {name: e, kind: env.variable, storage: app:s}"),
            &["error unknown-field src/a.yaml:10:21 `process.wasm` has no field `wasi.env[].nam` (did you mean `name`?)"],
        ),
        (WASM.replace("method: run", ""), &["error missing-field src/a.yaml:3:11 method is required"]),
        (WASM.replace("method: run", "method: ''"), &["error missing-field src/a.yaml:8:13 method is required"]),
        (
            "  - {name: w, kind: process.wasm}".to_owned(),
            &[
                "error missing-field src/a.yaml:3:12 fs is required",
                "error missing-field src/a.yaml:3:12 path is required",
                "error missing-field src/a.yaml:3:12 hash is required",
                "error missing-field src/a.yaml:3:12 method is required",
            ],
        ),
        (
            "  - {name: f, kind: function.wat}".to_owned(),
            &[
                "error missing-field src/a.yaml:3:12 source is required",
                "error missing-field src/a.yaml:3:12 method is required",
            ],
        ),
        (
            "  - {name: f, kind: function.lua}".to_owned(),
            &[
                "error missing-field src/a.yaml:3:12 source is required",
                "error missing-field src/a.yaml:3:12 method is required",
            ],
        ),
        ("  - {name: d, kind: fs.directory}".to_owned(), &["error missing-field src/a.yaml:3:12 directory is required"]),
        (
            with("wit: [1]"),
            &["error wrong-type src/a.yaml:9:10 `wit` must be a string, not a list"],
        ),
        (
            with("wit: 5"),
            &["error wrong-type src/a.yaml:9:10 `wit` must be a string, not a number (put it in quotes)"],
        ),
        (
            with("imports: wasi:io"),
            &["error wrong-type src/a.yaml:9:14 `imports` must be a list of strings, not a string"],
        ),
        (
            with("limits: []"),
            &["error wrong-type src/a.yaml:9:13 `limits` must be a map, not a list"],
        ),
        (
            with("transport: http"),
            &["error bad-value src/a.yaml:9:16 invalid transport type (expected `payload` or `wasi-http`)"],
        ),
        (
            with("transport: wasi-http"),
            &["warning transport-not-provided src/a.yaml:9:16 `transport: wasi-http` is not provided: there is no HTTP endpoint, calls return Unavailable"],
        ),
        (
            with("pool: {type: big}"),
            &["error bad-value src/a.yaml:9:18 invalid pool type (expected `inline` or `lazy` or `static` or `adaptive`)"],
        ),
        (with("pool: {size: -1}"), &["error bad-value src/a.yaml:9:18 pool values cannot be negative"]),
        (
            with("pool: {workers: 2, size: 0}"),
            &["error bad-value src/a.yaml:9:30 pool.size cannot be 0 when pool.workers is set"],
        ),
        (
            with("limits: {max_execution_ms: -1}"),
            &["error limit-range src/a.yaml:9:32 limits.max_execution_ms cannot be negative"],
        ),
        (
            with("limits: {max_memory: -5}"),
            &["error limit-range src/a.yaml:9:26 limits.max_memory cannot be negative"],
        ),
        (
            with("limits: {max_memory: 64 potatoes}"),
            &["error limit-range src/a.yaml:9:26 limits.max_memory: invalid size \"64 potatoes\": expected a number of bytes or a text like \"64MiB\" (KB MB GB KiB MiB GiB)"],
        ),
        (
            with("limits: {max_memory: 1.5}"),
            &["error wrong-type src/a.yaml:9:26 `limits.max_memory` must be a whole number of bytes or a text like \"64MiB\", not 1.5"],
        ),
        (with("limits: {max_fuel: 1e300}"), &["error limit-range src/a.yaml:9:24 limits.max_fuel is too large"]),
        (
            with("imports: [wasi:cli]\n    wasi: {cwd: tmp}"),
            &["error bad-value src/a.yaml:10:17 wasi.cwd must be absolute"],
        ),
        (
            with("imports: [wasi:cli]\n    wasi: {env: [{name: X}, {id: e}, {id: e, name: A}, {id: e, name: A}]}\n  - {name: s, kind: env.storage.memory}\n  - {name: e, kind: env.variable, storage: app:s}"),
            &[
                "error missing-field src/a.yaml:10:18 wasi.env[].id is required",
                "error missing-field src/a.yaml:10:29 wasi.env[].name is required",
                "error bad-value src/a.yaml:10:70 wasi.env[].name must be unique",
            ],
        ),
        (
            with("imports: [wasi:filesystem]\n    wasi: {mounts: [{guest: /a}, {fs: v}, {fs: v, guest: b}, {fs: v, guest: /a/}]}"),
            &[
                "error missing-field src/a.yaml:10:21 wasi.mounts[].fs is required",
                "error missing-field src/a.yaml:10:34 wasi.mounts[].guest is required",
                "error bad-value src/a.yaml:10:58 wasi.mounts[].guest must be absolute",
                "error bad-value src/a.yaml:10:77 wasi.mounts[].guest must be unique",
            ],
        ),
        (
            with("imports: [wasi:filesystem]\n    wasi: {mounts: [{fs: v, guest: /a}, {fs: v, guest: /a/b}]}"),
            &["warning mount-overlap src/a.yaml:10:56 the mounts `/a` and `/a/b` overlap: the longer guest path wins"],
        ),
        (
            with("wasi: {args: [x]}"),
            &["warning wasi-without-grant src/a.yaml:9:12 `wasi.args` has no effect without the grant `wasi:cli`"],
        ),
        (
            with("wasi: {network: ['a:1', b]}\n    imports: [wasi:http]"),
            &["error bad-value src/a.yaml:9:29 wasi.network[]: \"b\" is not `host:port` (like `example.org:443`, `*.example.org:443`, `127.0.0.1:*`)"],
        ),
        (
            with("imports: [wasi:clii]"),
            &["error unknown-import src/a.yaml:9:15 unsupported wasm host import: wasi:clii (did you mean `wasi:cli`?)"],
        ),
        (
            WASM.replace("sha256:27", "sha256:XX"),
            &["error hash-format src/a.yaml:7:11 invalid hash format: sha256:XX7089d91c0bdf4f2e6862ba7e4a07605119431f5d13f726dd352b06f1b206a9 (expected `sha256:` and 64 lower-case hex digits)"],
        ),
        (
            WASM.replace("sha256:27", "md5:27"),
            &["error hash-format src/a.yaml:7:11 unsupported hash algorithm: md5 (expected `sha256:` and 64 lower-case hex digits)"],
        ),
        (
            WASM.replace("sha256:277089d91c0bdf4f2e6862ba7e4a07605119431f5d13f726dd352b06f1b206a9", "sha256:..."),
            &["error hash-placeholder src/a.yaml:7:11 hash is a placeholder, replace it: hash: sha256:277089d91c0bdf4f2e6862ba7e4a07605119431f5d13f726dd352b06f1b206a9 (replace this by the line above)"],
        ),
        (
            WASM.replace("sha256:27", "sha256:28").replace("method:", "metod:"),
            &[
                "error hash-mismatch src/a.yaml:7:11 hash verification failed: hash mismatch: expected \
                 287089d91c0bdf4f2e6862ba7e4a07605119431f5d13f726dd352b06f1b206a9, got \
                 277089d91c0bdf4f2e6862ba7e4a07605119431f5d13f726dd352b06f1b206a9",
                "error unknown-field src/a.yaml:8:5 `process.wasm` has no field `metod` (did you mean `method`?)",
            ],
        ),
        (
            WASM.replace("fs: v", "fs: vv"),
            &["error dangling-reference src/a.yaml:5:9 filesystem not found: app:vv (did you mean `app:v`?)"],
        ),
        (
            WASM.replace("fs: v", "fs: w"),
            &["error dangling-reference src/a.yaml:5:9 filesystem not found: app:w (`app:w` is a `process.wasm`)"],
        ),
        (
            with("imports: [wasi:filesystem, wasi:cli]\n    wasi: {mounts: [{fs: other:x, guest: /}], env: [{id: e, name: E}, {id: r, name: R, required: true}]}"),
            &[
                "error dangling-reference src/a.yaml:10:26 wasi mount filesystem not found: other:x",
                "warning dangling-reference src/a.yaml:10:58 optional wasi env variable not found: app:e",
                "error dangling-reference src/a.yaml:10:76 required wasi env variable not found: app:r",
            ],
        ),
        (WASM.replace("fs: v", "fs: ':v'"), &["error bad-id src/a.yaml:5:9 invalid entry id \":v\": expected namespace:name"]),
        (
            lua_with("modules: [time, tim, sql, '', a:b]"),
            &[
                "error unknown-module src/a.yaml:6:21 unknown module `tim` (did you mean `time`?)",
                "warning module-not-provided src/a.yaml:6:26 module `sql` is not provided by this runtime: `require` of it fails",
                "error bad-value src/a.yaml:6:31 a module name cannot be empty",
                "error bad-value src/a.yaml:6:35 a module name has no namespace: `a:b` (an entry is made available under `imports:`)",
            ],
        ),
        (
            lua_with("imports: {x: '', y: nobody}"),
            &[
                "error bad-value src/a.yaml:6:18 an import needs an entry id",
                "error dangling-reference src/a.yaml:6:25 import not found: app:nobody",
            ],
        ),
        (
            "  - {name: a, kind: library.lua, source: x, imports: {b: b}}\n  - {name: b, kind: library.lua, source: x, imports: {a: a}}\n  - {name: c, kind: library.lua, source: x, imports: {a: a}}".to_owned(),
            &[
                "error cycle src/a.yaml:3:58 import cycle: app:a -> app:b -> app:a",
                "error cycle src/a.yaml:4:58 import cycle: app:b -> app:a -> app:b",
            ],
        ),
        (
            "  - {name: a, kind: library.lua, source: x, imports: {a: a}}".to_owned(),
            &["error cycle src/a.yaml:3:58 import cycle: app:a -> app:a"],
        ),
        (
            "  - {name: a, kind: library.lua, source: x, imports: {l: b}}\n  - {name: b, kind: library.lua, source: x, imports: {l: c}}\n  - {name: c, kind: library.lua, source: x}".to_owned(),
            &["error bad-value src/a.yaml:3:45 the alias `l` means both `app:b` and `app:c` within one state"],
        ),
        (
            lua_with("  \n    limits: {max_memroy: 1}"),
            &["error unknown-field src/a.yaml:7:14 `process.lua` has no field `limits.max_memroy` (did you mean `max_memory`?)"],
        ),
        (
            lua.replace("return 1", "file://gone.lua"),
            &["error missing-file src/a.yaml:5:13 cannot read `file://gone.lua`: there is no such file (looked for src/gone.lua)"],
        ),
        (
            lua.replace("return 1", "file://../../x.lua"),
            &["error bad-value src/a.yaml:5:13 path traversal: `file://../../x.lua` leaves the source root"],
        ),
        (lua.replace("return 1", "'file://'"), &["error bad-value src/a.yaml:5:13 `file://` needs a path"]),
        (
            "  - {name: x, kind: http.router}\n  - {name: y, kind: proces.lua}".to_owned(),
            &[
                "warning unknown-kind src/a.yaml:3:21 unknown kind `http.router`: the entry is inert",
                "warning unknown-kind src/a.yaml:4:21 unknown kind `proces.lua`: the entry is inert (did you mean `process.lua`?)",
            ],
        ),
        (
            "  - {name: x}\n  - {kind: process.lua}\n  - {nmae: x, kind: process.lua}\n  - {name: '', kind: a}\n  - {name: 5, kind: a}\n  - text\n  - {name: null, kind: a}".to_owned(),
            &[
                "error missing-field src/a.yaml:3:12 kind is required",
                "error missing-field src/a.yaml:4:5 name is required",
                "error missing-field src/a.yaml:5:6 name is required (did you mean `name`?)",
                "error bad-id src/a.yaml:6:12 invalid entry name \"\": it must not be empty",
                "error wrong-type src/a.yaml:7:12 `name` must be a string, not a number (put it in quotes)",
                "error wrong-type src/a.yaml:8:5 an entry must be a map, not a string",
                "error missing-field src/a.yaml:9:5 name is required",
            ],
        ),
        (
            "  - {name: x, kind: registry.entry}\n  - {name: x, kind: registry.entry}".to_owned(),
            &["warning duplicate-id src/a.yaml:4:12 `app:x` is defined twice: also at src/a.yaml:3:12 (this definition counts)"],
        ),
        (
            "  - {name: x, kind: registry.entry}\n  - {name: x, kind: registry.entry}\n  - {name: x, kind: registry.entry}".to_owned(),
            &[
                "warning duplicate-id src/a.yaml:5:12 `app:x` is defined twice: also at src/a.yaml:3:12 (this definition counts)",
                "warning duplicate-id src/a.yaml:5:12 `app:x` is defined twice: also at src/a.yaml:4:12 (this definition counts)",
            ],
        ),
        (
            "  - {name: 'h|1', kind: process.host}\n  - {name: 't}', kind: terminal.host}".to_owned(),
            &[
                "error bad-id src/a.yaml:3:12 invalid id of a host \"app:h|1\": it must not contain `|`, with which pids are written",
                "error bad-id src/a.yaml:4:12 invalid id of a host \"app:t}\": it must not contain `}`, with which pids are written",
            ],
        ),
        (
            // A circle, what lies behind it, and what has no value.
            "  - {name: s, kind: env.storage.memory}\n  - {name: a, kind: env.variable, storage: app:s, variable: A, default: '${env:B}'}\n  - {name: b, kind: env.variable, storage: app:s, variable: B, default: '${env:A}'}\n  - {name: c, kind: env.variable, storage: app:s, variable: C, default: '${env:A}'}\n  - {name: m, kind: process.wasm, fs: app:f, path: m, hash: '${env:C}', method: run}\n  - {name: f, kind: fs.directory, directory: .}".to_owned(),
            &[
                "error dangling-reference src/a.yaml:4:73 environment variable B has no value here (it is declared, but its entry is broken, needs this one or has no value)",
                "error dangling-reference src/a.yaml:5:73 environment variable A has no value here (it is declared, but its entry is broken, needs this one or has no value)",
                "error dangling-reference src/a.yaml:6:73 environment variable A has no value here (it is declared, but its entry is broken, needs this one or has no value)",
                "error dangling-reference src/a.yaml:7:61 app:c: environment variable A has no value here",
            ],
        ),
        (
            "  - {name: s, kind: env.storage.static, values: {A: 1}}\n  - {name: v1, kind: env.variable, storage: s, variable: a-b}\n  - {name: r, kind: env.storage.router}".to_owned(),
            &[
                "error wrong-type src/a.yaml:3:53 `values.A` must be a string, not a number (put it in quotes)",
                "error bad-id src/a.yaml:4:45 `storage` needs a full id, namespace:name (did you mean `app:s`?)",
                "error bad-value src/a.yaml:4:58 `variable` may only have letters, digits and underscores",
                "error missing-field src/a.yaml:5:12 storages is required",
            ],
        ),
        (
            "  - {name: s, kind: env.storage.memory}\n  - {name: v1, kind: env.variable, storage: app:s, variable: A}\n  - {name: v2, kind: env.variable, storage: app:s, variable: A}\n  - {name: r, kind: env.storage.router, storages: ['app:r']}".to_owned(),
            &[
                "error bad-value src/a.yaml:5:62 the variable name `A` is taken by `app:v1`",
                "error cycle src/a.yaml:6:52 storage cycle: app:r -> app:r",
            ],
        ),
        (
            "  - {name: s, kind: process.service, process: m, host: v, lifecycle: {requires: [t], stop_timeout: 5, startup: maybe}}\n  - {name: t, kind: process.host, lifecycle: {depends_on: ['app:s'], restart: {jitter: 2, max_delay: -1s}}}".to_owned(),
            &[
                "error dangling-reference src/a.yaml:3:47 process not found: app:m",
                "error dangling-reference src/a.yaml:3:56 host not found: app:v (`app:v` is a `fs.directory`)",
                "error cycle src/a.yaml:3:82 cycle of required services: app:s -> app:t -> app:s",
                "error wrong-type src/a.yaml:3:100 `lifecycle.stop_timeout` must be a duration as a string, like \"10s\", not a number",
                "error bad-value src/a.yaml:3:112 invalid lifecycle.startup (expected `required` or `optional`)",
                "error cycle src/a.yaml:4:60 cycle of required services: app:t -> app:s -> app:t",
                "error bad-value src/a.yaml:4:88 lifecycle.restart.jitter must be between 0 and 1",
                "error bad-value src/a.yaml:4:102 lifecycle.restart.max_delay cannot be negative",
            ],
        ),
        (
            lua_with("meta: {command: {name: go, shrt: x}}\n  - {name: n, kind: process.lua, source: x, meta: {command: {name: go}}}\n  - {name: o, kind: process.lua, source: x, meta: {command: {short: x}}}"),
            &[
                "warning missing-host src/a.yaml:6:28 the command `go` has no host to run on: no `terminal.host` and no `process.host` is declared",
                "error unknown-field src/a.yaml:6:32 `process.lua` has no field `meta.command.shrt` (did you mean `short`?)",
                "warning duplicate-command src/a.yaml:7:68 the command `go` is declared twice: `app:m` counts",
                "error missing-field src/a.yaml:8:52 meta.command.name is required",
            ],
        ),
        (
            lua_with("meta: {command: {name: list}}\n  - {name: t, kind: terminal.host}\n  - {name: p, kind: process.host}"),
            &["warning no-effect src/a.yaml:6:28 the command `list` cannot be run by its name: `wippy run list` shows the commands"],
        ),
        (
            "  - {name: d, kind: fs.directory, directory: '${env:NOPE}/x', mode: '0999', base: there}".to_owned(),
            &[
                "error dangling-reference src/a.yaml:3:46 environment variable not found: NOPE (only variables declared by an `env.variable` entry are seen)",
                "error bad-value src/a.yaml:3:69 mode: \"0999\" is not an octal mode like \"0755\"",
                "error bad-value src/a.yaml:3:83 invalid base (expected `project` or `module`)",
            ],
        ),
        (
            "  - name: d\n    kind: fs.directory\n    directory: ./x\n    data: {directory: ./y, mod: '0700'}".to_owned(),
            &[
                "error duplicate-key src/a.yaml:6:12 `directory` is given twice: on the entry and under `data`",
                "error unknown-field src/a.yaml:6:28 `fs.directory` has no field `mod` (did you mean `mode`?)",
            ],
        ),
    ];
    let mut wrong = Vec::new();
    for (entries, expected) in cases {
        let found = about(entries);
        if found != *expected {
            wrong.push(format!("{entries}\n  found    {found:#?}\n  expected {expected:#?}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n\n"));
}

#[test]
fn a_misspelt_field_is_shown_as_a_compiler_would() {
    let text = format!(
        "namespace: app\nentries:\n{}",
        WASM.replace("method", "metod").replace("fs: v", "fs: w")
    );
    let (_temp, project) = project(&[("src/_index.yaml", &text)]);
    let expected = "\
error[unknown-field]: `process.wasm` has no field `metod`
 --> src/_index.yaml:8:5
  |
8 |     metod: run
  |     ^^^^^ did you mean `method`?
";
    assert_eq!(to_text(&project.diagnostics[1], Style::Plain), expected);
}

#[test]
fn files_that_are_no_projects_files() {
    for (name, bytes, expected) in [
        ("src/a.yaml", &b""[..], &[][..]),
        ("src/a.yaml", b"# nothing\n", &[]),
        ("src/a.yaml", b"a: 1\n", &[]),
        ("src/a.yaml", b"- 1\n", &[]),
        ("src/package.json", b"{ // comments\n}", &[]),
        ("src/node_modules/a.yaml", b"\t\x00", &[]),
        ("src/a.txt", b"\t\x00", &[]),
        (
            "src/a.yaml",
            b"namespace: app\n\tentries: []\n",
            &[
                "error yaml-syntax src/a.yaml:2:1 found a tab character that violates indentation (YAML is indented with spaces, not tabs)",
            ],
        ),
        (
            "src/a.yaml",
            b"namespace: app\nx: \xff\n",
            &["error yaml-syntax src/a.yaml:2:4 the file is not UTF-8 text"],
        ),
        (
            "src/a.yaml",
            b"\x00\x01\x02",
            &["error yaml-syntax src/a.yaml:1:1 control characters are not allowed"],
        ),
        (
            "src/a.json",
            b"{\"namespace\": \"app\",}",
            &["error yaml-syntax src/a.json:1:21 trailing comma"],
        ),
        (
            "src/a.yaml",
            b"namespace: 5\nentries: [{name: a, kind: b}]\n",
            &["warning wrong-type src/a.yaml:1:12 `namespace` must be a string, not a number: the file is skipped"],
        ),
        (
            "src/a.yaml",
            b"namspace: x\nentries: [{name: a, kind: b}]\n",
            &[
                "warning missing-field src/a.yaml:1:1 `namespace` is missing: the file is skipped (did you mean `namespace`?)",
            ],
        ),
        (
            "src/a.yaml",
            b"namespace: a:b\nentries: []\n",
            &["error bad-id src/a.yaml:1:12 invalid namespace \"a:b\": it must not be empty or contain `:`"],
        ),
        (
            "src/a.yaml",
            b"namespace: a\nentrys: []\n",
            &["error unknown-field src/a.yaml:2:1 an entry file has no field `entrys` (did you mean `entries`?)"],
        ),
        (
            "src/a.yaml",
            b"namespace: a\nentries: 5\n",
            &["error wrong-type src/a.yaml:2:10 `entries` must be a list, not a number"],
        ),
        (
            "src/a.yaml",
            b"namespace: a\nnamespace: b\n",
            &["error duplicate-key src/a.yaml:2:1 `namespace` is given twice"],
        ),
        (
            "wippy.lock",
            b"directories: {src: ./code}\n",
            &["error missing-folder wippy.lock:1:20 folder not found: ./code"],
        ),
        (
            ".wippy.yaml",
            b"shutdown: {timeout: 5}\nother: 1\n",
            &[
                "error wrong-type .wippy.yaml:1:21 `shutdown.timeout` must be a duration as a string, like \"10s\", not a number",
            ],
        ),
        (
            ".wippy.yaml",
            b"loger: {}\nlogger: {levl: debug, mode: x}\nlimits: {max_memry: 1MB}\n",
            &[
                "warning unknown-field .wippy.yaml:1:1 `.wippy.yaml` has no setting `loger` (did you mean `logger`?)",
                "warning unknown-field .wippy.yaml:2:10 `.wippy.yaml` has no setting `logger.levl` (did you mean `level`?)",
                "warning unknown-field .wippy.yaml:3:10 `.wippy.yaml` has no setting `limits.max_memry` (did you mean `max_memory`?)",
            ],
        ),
    ] {
        let temp = folder(&[("src/ok.yaml", "namespace: ok\nname: fine\nkind: registry.entry\n")]);
        write(temp.path(), name, bytes);
        if name == "wippy.lock" {
            std::fs::remove_dir_all(temp.path().join("src")).unwrap();
        }
        let project = system::load(temp.path(), &[]);
        assert_eq!(
            findings(&project),
            expected,
            "{name}: {}",
            String::from_utf8_lossy(bytes)
        );
        // The other file loads all the same.
        assert!(name == "wippy.lock" || project.registry.get(&id("ok:fine")).is_some());
    }
}

#[test]
fn hostile_yaml_is_reported_and_the_rest_loads() {
    let mut bomb = "namespace: app\nentries:\n- &a [x,x,x,x,x,x,x,x,x,x]\n".to_owned();
    for level in 0..12 {
        let anchor = |level: u8| char::from(b'a' + level);
        let row = vec![format!("*{}", anchor(level)); 10].join(",");
        bomb.push_str(&format!("- &{} [{row}]\n", anchor(level + 1)));
    }
    let deep = format!("namespace: app\nentries: {}", "[".repeat(100_000));
    let long = format!(
        "namespace: app\nentries:\n- {{name: x, kind: odd.kind, text: {}}}\n",
        "x".repeat(10 << 20)
    );
    let (_temp, project) = project(&[
        ("src/bomb.yaml", &bomb),
        ("src/deep.yaml", &deep),
        ("src/long.yaml", &long),
        ("src/ok.yaml", "namespace: ok\nname: fine\nkind: registry.entry\n"),
    ]);
    let codes: Vec<&str> = project.diagnostics.iter().map(|found| found.code.as_str()).collect();
    assert_eq!(codes, ["yaml-syntax", "yaml-syntax", "unknown-kind"]);
    assert_eq!(project.registry.len(), 2);
}

#[test]
fn a_broken_entry_fails_only_itself() {
    let text = format!(
        "namespace: app\nentries:\n  - {{name: bad, kind: process.wasm, fs: gone}}\n{WASM}  - {{name: v, kind: fs.directory, directory: .}}\n"
    );
    let (_temp, project) = project(&[("src/a.yaml", &text)]);
    project.registry.usable(&id("app:w")).unwrap();
    let error = project.registry.usable(&id("app:bad")).unwrap_err();
    assert_eq!(
        (error.kind(), error.message()),
        (Kind::Invalid, "app:bad: path is required")
    );
    let Some(Value::Table(list)) = error.details().and_then(|details| details.get("diagnostics")) else {
        panic!()
    };
    let codes: Vec<_> = list
        .array
        .iter()
        .map(|item| item.get("code").and_then(Value::as_str).unwrap())
        .collect();
    assert_eq!(
        codes,
        ["missing-field", "missing-field", "missing-field", "dangling-reference"]
    );
    assert_eq!(list.array[3].get("line"), Some(&Value::Int(3)));
    let error = project.registry.usable(&id("app:nobody")).unwrap_err();
    assert_eq!(
        (error.kind(), error.message()),
        (Kind::NotFound, "entry not found: app:nobody")
    );
    assert_eq!(project.registry.get(&id("app:bad")).unwrap().spec, Spec::Broken);
}

#[test]
fn folders_without_yaml_are_empty_projects() {
    let temp = folder(&[("main.lua", "")]);
    let project = system::load(temp.path(), &[]);
    assert!(project.registry.is_empty() && project.diagnostics.is_empty());
    let gone = system::load(&temp.path().join("gone"), &[]);
    assert!(gone.registry.is_empty());
}

#[test]
fn roots_load_in_order_and_the_last_definition_wins() {
    let entry = |value: &str| format!("namespace: app\nname: x\nkind: registry.entry\nvalue: {value}\n");
    let own = |name: &str| format!("namespace: {name}\nname: d\nkind: fs.directory\ndirectory: data\n");
    let (temp, project) = project(&[
        (
            "wippy.lock",
            "directories: {src: ./code}\nreplacements: [{from: org/a, to: ./repl/src}]\nmodules: [{name: org/a}, {name: org/b}, {name: org/c}]\n",
        ),
        ("code/b/z.yml", &entry("two")),
        (
            "code/a.json",
            "{\"namespace\": \"app\", \"name\": \"x\", \"kind\": \"registry.entry\", \"value\": \"one\"}",
        ),
        ("code/own.yaml", &own("own")),
        ("repl/src/a.yaml", &entry("three")),
        ("repl/src/own.yaml", &own("repl")),
        (".wippy/org/b/own.yaml", &own("b")),
        (".wippy/org/a/own.yaml", &own("never")),
    ]);
    assert_eq!(
        findings(&project),
        [
            "warning duplicate-id repl/src/a.yaml:2:7 `app:x` is defined twice: also at code/a.json:1:30 (this definition counts)",
            "warning duplicate-id repl/src/a.yaml:2:7 `app:x` is defined twice: also at code/b/z.yml:2:7 (this definition counts)",
            "error missing-folder wippy.lock:3:48 package `org/c` is not installed: folder not found: .wippy/org/c",
        ]
    );
    let ids: Vec<&str> = project.registry.iter().map(|entry| entry.id.as_str()).collect();
    assert_eq!(ids, ["own:d", "app:x", "repl:d", "b:d"]);
    assert_eq!(
        project.registry.get(&id("app:x")).unwrap().data().get("value"),
        Some(&Value::from("three"))
    );
    let folder = temp.path().canonicalize().unwrap();
    for (name, expected) in [("own:d", "data"), ("repl:d", "repl/data"), ("b:d", ".wippy/org/b/data")] {
        let Spec::Directory(spec) = &project.registry.get(&id(name)).unwrap().spec else {
            panic!()
        };
        assert_eq!(spec.path, folder.join(expected), "{name}");
    }
}

#[test]
fn data_may_stand_on_the_entry_or_below_data() {
    let (_temp, project) = project(&[(
        "src/a.yaml",
        "namespace: app\nmeta: {team: x, tags: [a]}\nentries:\n- name: d\n  kind: fs.directory\n  mode: \"0444\"\n  meta: {tags: [b]}\n  data:\n    directory: /abs\n- {name: r, kind: registry.entry, data: [1, 2], }\n",
    )]);
    assert_eq!(findings(&project), Vec::<String>::new());
    let entry = project.registry.get(&id("app:d")).unwrap();
    let Spec::Directory(spec) = &entry.spec else { panic!() };
    assert_eq!((spec.path.to_str(), spec.mode), (Some("/abs"), 0o555));
    assert_eq!(entry.meta.get("team"), Some(&Value::from("x")));
    assert_eq!(entry.meta.get("tags"), Some(&Value::array(["b".into()])));
    assert_eq!(entry.data().get("directory"), Some(&Value::from("/abs")));
    assert_eq!(
        entry.place_of(&["directory"]).map(|place| (place.line, place.column)),
        Some((9, 16))
    );
    assert_eq!(
        project.registry.get(&id("app:r")).unwrap().data(),
        Value::array([1.into(), 2.into()])
    );
}

#[test]
fn files_are_inlined_anywhere_and_variables_only_in_the_yamls_own_strings() {
    let (_temp, project) = project(&[
        (
            "src/sub/a.yaml",
            "namespace: app
entries:
  - {name: os, kind: env.storage.static, values: {WHERE: 'file:here', DEEP: 'x'}}
  - {name: where, kind: env.variable, storage: 'app:os', variable: WHERE}
  - {name: second, kind: env.storage.static, values: {B: '<${env:WHERE}>'}}
  - {name: b, kind: env.variable, storage: 'app:second', variable: B}
  - name: r
    kind: registry.entry
    meta: {text: '${env:WHERE}'}
    a: file://a.txt
    deep: [{b: 'file:///root.txt'}]
  - {name: d, kind: fs.directory, directory: '${env:B}/${env:app:where}/${env:NO|d}/$${env:B}'}
  - {name: m, kind: process.lua, source: 'return \"${env:NO}\"'}
  - {name: n, kind: process.lua, source: 'file:///lib/n.lua'}
",
        ),
        ("src/sub/a.txt", "raw ${env:NO}"),
        ("src/root.txt", "file://not/again"),
        ("src/lib/n.lua", "return '${env:NO}'"),
    ]);
    assert_eq!(findings(&project), Vec::<String>::new());
    let entry = |name: &str| project.registry.get(&id(name)).unwrap().clone();
    assert_eq!(entry("app:r").data().get("a"), Some(&Value::from("raw ${env:NO}")));
    let Some(Value::Table(deep)) = entry("app:r").data().get("deep").cloned() else {
        panic!()
    };
    assert_eq!(deep.array[0].get("b"), Some(&Value::from("file://not/again")));
    assert_eq!(entry("app:r").meta.get("text"), Some(&Value::from("${env:WHERE}")));
    let Spec::Directory(spec) = &entry("app:d").spec else {
        panic!()
    };
    assert_eq!(spec.written, "<file:here>/file:here/d/${env:B}");
    let shown = "${env:B}/${env:app:where}/${env:NO|d}/$${env:B}";
    assert_eq!(entry("app:d").data().get("directory"), Some(&Value::from(shown)));
    let Spec::Lua(spec) = &entry("app:n").spec else {
        panic!()
    };
    assert_eq!(
        (&*spec.source, spec.chunk.as_str()),
        ("return '${env:NO}'", "src/lib/n.lua")
    );
    let Spec::Lua(spec) = &entry("app:m").spec else {
        panic!()
    };
    assert_eq!(
        (spec.chunk.as_str(), entry("app:m").lines().of(1)),
        ("src/sub/a.yaml", 13)
    );
}

#[test]
fn a_symlink_does_not_lead_out_of_the_source_root() {
    let temp = folder(&[
        ("secret.lua", "x"),
        ("src/in.lua", "x"),
        (
            "src/a.yaml",
            "namespace: app\nentries:\n- {name: a, kind: process.lua, source: 'file://out.lua'}\n- {name: b, kind: process.lua, source: 'file://link.lua'}\n- {name: c, kind: process.lua, source: 'file://.'}\n",
        ),
    ]);
    std::os::unix::fs::symlink(temp.path().join("secret.lua"), temp.path().join("src/out.lua")).unwrap();
    std::os::unix::fs::symlink("in.lua", temp.path().join("src/link.lua")).unwrap();
    std::os::unix::fs::symlink(temp.path(), temp.path().join("src/loop")).unwrap();
    let project = system::load(temp.path(), &[]);
    assert_eq!(
        findings(&project),
        [
            "error bad-value src/a.yaml:3:40 path traversal: `file://out.lua` leaves the source root",
            "error missing-file src/a.yaml:5:40 cannot read `file://.`: not a regular file",
        ]
    );
}

#[test]
fn inline_source_points_into_the_yaml() {
    let (_temp, project) = project(&[(
        "src/a.yaml",
        "namespace: app\nentries:\n  - name: m\n    kind: process.lua\n    source: |\n\n      local x = 1\n      return x\n",
    )]);
    let entry = project.registry.get(&id("app:m")).unwrap();
    let Spec::Lua(spec) = &entry.spec else { panic!() };
    assert_eq!(
        (&*spec.source, spec.chunk.as_str(), entry.lines().of(1)),
        ("\nlocal x = 1\nreturn x\n", "src/a.yaml", 6)
    );
    let found = Place::in_line("src/a.yaml", "return x", 8, 8, 1);
    let place = entry.place_in_source(&found).unwrap();
    assert_eq!(
        (place.column, place.length, place.text.as_str()),
        (14, 1, "      return x")
    );
    let place = entry
        .place_in_source(&Place::in_line("src/a.yaml", "return 'x'", 8, 8, 1))
        .unwrap();
    assert_eq!(
        (place.column, place.length),
        (7, 8),
        "written differently: the whole line"
    );
}

#[test]
fn configuration_sets_defaults_of_entries() {
    let (_temp, project) = project(&[
        (
            ".wippy.yaml",
            "limits: {max_memory: 64MiB}\nshutdown: {timeout: 5s}\nlogger: {level: debug, encoding: json}\nother: {strict: true}\n",
        ),
        (
            "src/a.yaml",
            "namespace: app\nentries:\n- {name: m, kind: process.lua, source: x}\n- {name: n, kind: process.lua, source: x, limits: {max_memory: 0}}\n",
        ),
    ]);
    assert_eq!(findings(&project), Vec::<String>::new());
    assert_eq!(project.config.shutdown_timeout.as_secs(), 5);
    let logger = Logger {
        level: Some(Level::Debug),
        json: Some(true),
    };
    assert_eq!((project.config.logger, Logger::of(&project.folder)), (logger, logger));
    for (name, expected) in [("app:m", 64 << 20), ("app:n", 0)] {
        let Spec::Lua(spec) = &project.registry.get(&id(name)).unwrap().spec else {
            panic!()
        };
        assert_eq!(spec.limits.max_memory, expected, "{name}");
    }
}

#[test]
fn fields_set_from_outside() {
    let temp = folder(&[("src/a.yaml", "namespace: app\nname: m\nkind: process.lua\nsource: x\n")]);
    let change = |name: &str, field: &str, value: &str| Override {
        id: id(name),
        field: field.to_owned(),
        value: value.to_owned(),
    };
    let changes = [
        change("app:m", "limits.max_memory", "1MiB"),
        change("app:m", "meta.command.name", "go"),
        change("app:x", "a", "1"),
    ];
    let project = system::load(temp.path(), &changes);
    let entry = project.registry.command("go").unwrap();
    let Spec::Lua(spec) = &entry.spec else { panic!() };
    assert_eq!(spec.limits.max_memory, 1 << 20);
    assert_eq!(
        findings(&project),
        [
            "error dangling-reference - cannot set `a` of `app:x`: entry not found",
            "warning missing-host src/a.yaml:1:1 the command `go` has no host to run on: no `terminal.host` and no `process.host` is declared",
        ]
    );
}

#[test]
fn pools_mean_what_their_fields_say() {
    for (pool, expected) in [
        ("{type: inline}", PoolSpec::Inline),
        (
            "{type: lazy, warm_start: true}",
            PoolSpec::Lazy {
                max_size: 16,
                warm_start: true,
            },
        ),
        ("{}", PoolSpec::default()),
        (
            "{max_size: 3}",
            PoolSpec::Adaptive {
                max_size: 3,
                warm_start: false,
            },
        ),
        (
            "{size: 2, warm_start: true}",
            PoolSpec::Static {
                workers: 2,
                buffer: 128,
                warm_start: true,
            },
        ),
        (
            "{workers: 3, size: 2, buffer: 1}",
            PoolSpec::Static {
                workers: 3,
                buffer: 1,
                warm_start: false,
            },
        ),
        (
            "{type: static}",
            PoolSpec::Static {
                workers: 8,
                buffer: 512,
                warm_start: false,
            },
        ),
    ] {
        let text = format!("namespace: app\nname: f\nkind: function.lua\nsource: x\nmethod: f\npool: {pool}\n");
        let (_temp, project) = project(&[("src/a.yaml", &text)]);
        let Spec::Lua(spec) = &project.registry.get(&id("app:f")).unwrap().spec else {
            panic!("{pool}")
        };
        assert_eq!(spec.pool, Some(expected), "{pool}");
    }
}

#[test]
fn several_documents_in_a_file_each_bring_entries() {
    let (_temp, project) = project(&[(
        "src/a.yaml",
        "namespace: a\nname: x\nkind: registry.entry\n---\nnamespace: b\nname: y\nkind: odd\n",
    )]);
    assert_eq!(
        findings(&project),
        ["warning unknown-kind src/a.yaml:7:7 unknown kind `odd`: the entry is inert"]
    );
    assert_eq!(project.registry.len(), 2);
}

#[test]
fn what_is_asked_for_brings_its_references_findings() {
    let text = "namespace: app\nentries:\n- {name: m, kind: process.lua, source: x, imports: {l: l}}\n- {name: l, kind: library.lua, sorce: x}\n- {name: other, kind: library.lua}\n";
    let (_temp, project) = project(&[("src/a.yaml", text)]);
    let found: Vec<&str> = project
        .concerning(&id("app:m"))
        .iter()
        .map(|found| found.message.as_str())
        .collect();
    assert_eq!(found, ["`library.lua` has no field `sorce`"]);
    assert_eq!(project.about_files().count(), 0);
}

#[test]
fn folders_that_entries_name() {
    let text = "namespace: app\nentries:\n  - {name: v, kind: fs.directory, directory: ./there}\n  - {name: gone, kind: fs.directory, directory: ./gone}\n  - {name: made, kind: fs.directory, directory: ./made, auto_init: true}\n  - {name: file, kind: fs.directory, directory: ./there/x}\n";
    let (_temp, project) = project(&[("src/a.yaml", text), ("there/x", "")]);
    let folder = |entry: &std::sync::Arc<Entry>| match &entry.spec {
        Spec::Directory(spec) => check::folder(entry, spec),
        _ => None,
    };
    let found: Vec<String> = project
        .registry
        .iter()
        .filter_map(folder)
        .map(|found| brief(&found))
        .collect();
    assert_eq!(
        found,
        [
            "error missing-folder src/a.yaml:4:49 folder not found: ./gone (`auto_init: true` would create it)",
            "error missing-folder src/a.yaml:6:49 not a folder: ./there/x",
        ]
    );
}

#[test]
fn a_lock_file_is_told_of_its_mistakes_and_a_root_is_read_once() {
    let (_temp, project) = project(&[
        (
            "wippy.lock",
            "directorys: {}\ndirectories: {src: ./app, modlues: x, color: red}\noptions: {}\nreplacements: [{from: a, to: ./app}]\n",
        ),
        ("app/a.yaml", "namespace: app\nname: x\nkind: registry.entry\n"),
    ]);
    assert_eq!(
        findings(&project),
        [
            "warning unknown-field wippy.lock:1:1 `wippy.lock` has no field `directorys` (did you mean `directories`?)",
            "warning unknown-field wippy.lock:2:27 `wippy.lock` has no field `modlues` (did you mean `modules`?)",
        ]
    );
    assert_eq!(project.registry.iter().count(), 1);
}

#[test]
fn a_mount_is_where_its_path_leads() {
    let (_temp, project) = project(&[(
        "src/a.yaml",
        "namespace: app
entries:
  - {name: f, kind: fs.directory, directory: .}
  - name: m
    kind: process.wasm
    fs: app:f
    path: m.wasm
    hash: sha256:0000000000000000000000000000000000000000000000000000000000000000
    method: run
    imports: [wasi:filesystem]
    wasi: {mounts: [{fs: 'app:f', guest: /v/}, {fs: 'app:f', guest: /./w//x/../y}]}
",
    )]);
    let Spec::Wasm(spec) = &project.registry.get(&id("app:m")).unwrap().spec else {
        panic!()
    };
    let guests: Vec<&str> = spec.mounts.iter().map(|mount| &*mount.guest).collect();
    assert_eq!(guests, ["/v", "/w/y"]);
}

#[test]
fn variables_may_need_others_that_need_others() {
    let (_temp, project) = project(&[(
        "src/a.yaml",
        "namespace: app
entries:
  - {name: v4, kind: env.variable, storage: 'app:other', variable: V4, default: '${env:PRICE|none}'}
  - {name: v3, kind: env.variable, storage: 'app:mem', variable: V3, default: '${env:V2}3'}
  - {name: v2, kind: env.variable, storage: 'app:mem', variable: V2, default: '${env:V1}2'}
  - {name: mem, kind: env.storage.memory}
  - {name: v1, kind: env.variable, storage: 'app:mem', variable: V1, default: one}
  - {name: other, kind: env.storage.static, values: {BASE: 'http://${env:V3}', PRICE: '$${x}'}}
  - {name: base, kind: env.variable, storage: 'app:other', variable: BASE}
  - {name: price, kind: env.variable, storage: 'app:other', variable: PRICE}
  - {name: api, kind: env.variable, storage: 'app:mem', variable: API, default: '${env:BASE}/api'}
  - {name: d, kind: fs.directory, directory: '${env:API} ${env:V4} ${env:C2}'}
  - {name: c1, kind: env.variable, storage: 'app:mem', variable: C1, default: '${env:C2|one}'}
  - {name: c2, kind: env.variable, storage: 'app:mem', variable: C2, default: '${env:C1|two} and more'}
",
    )]);
    assert_eq!(findings(&project), Vec::<String>::new());
    let Spec::Directory(spec) = &project.registry.get(&id("app:d")).unwrap().spec else {
        panic!()
    };
    assert_eq!(spec.written, "http://one23/api ${x} one and more");
}

#[test]
fn the_project_of_a_folder_is_the_nearest_above() {
    let entry = "namespace: app\nname: x\nkind: registry.entry\n";
    let temp = folder(&[
        ("locked/wippy.lock", ""),
        ("locked/src/deep/a.yaml", entry),
        ("plain/src/a.yaml", entry),
        ("deep/src/one/two/a.yaml", entry),
        ("home/src/a/src/x.yaml", entry),
        ("home/src/b/src/y.yaml", entry),
        ("home/docs/a.txt", ""),
        (
            "home/src/chart/templates/deploy.yaml",
            "{{- if x }}\nmetadata:\n  namespace: {{ y }}\n",
        ),
        ("marked/src/a.yaml", "\u{feff}namespace: app\nentries: []\n"),
        (
            "json/src/a.json",
            "{\"namespace\": \"app\", \"entries\": [{\"name\": \"x\" \"kind\": \"y\"}]}",
        ),
        ("plain/src/deep/b.yaml", entry),
        ("flat/a.json", "{\"namespace\": \"x\"}"),
        ("flat/below/main.lua", ""),
        ("wrong/a.yaml", "namespace: app\n\tentries: []\n"),
        ("none/package.json", "{}"),
        ("none/main.lua", ""),
    ]);
    let at = temp.path().canonicalize().unwrap();
    for (start, expected) in [
        ("locked", Some("locked")),
        ("locked/src/deep", Some("locked")),
        ("plain", Some("plain")),
        ("deep", Some("deep")),
        ("deep/src/one/two", Some("deep/src/one/two")),
        // Projects below somebody's `src`, which is no project.
        ("home/src/a", Some("home/src/a")),
        ("home/src/b/src", Some("home/src/b")),
        ("home", None),
        ("home/docs", None),
        ("marked", Some("marked")),
        ("json", Some("json")),
        ("plain/src", Some("plain")),
        ("plain/src/deep", Some("plain")),
        ("flat/below", Some("flat")),
        ("wrong", Some("wrong")),
        ("none", None),
        ("gone", None),
    ] {
        // Above the temporary folder there may be anything; only what is within counts.
        let found = find(&at.join(start)).filter(|folder| folder.starts_with(&at) && *folder != at);
        assert_eq!(found, expected.map(|name| at.join(name)), "{start}");
    }
}

#[test]
fn default_hosts_and_made_entries() {
    let (_temp, project) = project(&[(
        "src/a.yaml",
        "namespace: app\nentries:\n- {name: a, kind: process.lua, source: x, meta: {default_host: h, options: {default_host: 'o:h'}}}\n- {name: b, kind: process.lua, source: x, meta: {default_host: h}}\n- {name: h, kind: process.host}\n",
    )]);
    let host = |name: &str| project.registry.get(&id(name)).unwrap().default_host();
    assert_eq!(
        (host("app:a"), host("app:b"), host("app:h")),
        (Some(id("o:h")), Some(id("app:h")), None)
    );
    assert_eq!(
        findings(&project),
        ["warning dangling-reference src/a.yaml:3:91 host not found: o:h (did you mean `app:h`?)"]
    );
    let more = project
        .registry
        .with([Entry::made(id("script:x"), "process.lua", Spec::Registry)]);
    assert!(more.usable(&id("script:x")).is_ok() && more.len() == 4);
    assert_eq!(more.get(&id("script:x")).unwrap().data(), Value::map::<&str>([]));
}

#[test]
fn large_and_wrong_files_take_no_quadratic_time() {
    let keys = |count: usize| (0..count).map(|at| format!("k{at}: 1, ")).collect::<String>();
    let refs = (0..15_000).map(|at| format!("a{at}: nobody{at}, ")).collect::<String>();
    let mounts = (0..5_000)
        .map(|at| format!("{{fs: v, guest: /m{at}}}, "))
        .collect::<String>();
    let entries = (0..5_000)
        .map(|at| format!("- {{name: e{at}, kind: fs.directory}}\n"))
        .collect::<String>();
    let files = (0..5_000).map(|at| format!("'file://{at}', ")).collect::<String>();
    let text = format!(
        "namespace: app
entries:
- {{name: a, kind: registry.entry, data: {{{}}}}}
- {{name: b, kind: process.host, {}}}
- {{name: c, kind: library.lua, source: x, imports: {{{refs}}}}}
- {{name: d, kind: process.wasm, wasi: {{mounts: [{mounts}]}}}}
- {{name: f, kind: registry.entry, files: [{files}]}}
{entries}",
        keys(30_000),
        keys(20_000)
    );
    let (_temp, project) = project(&[("src/a.yaml", &text)]);
    let about = |name: &str| project.concerning(&id(name)).len();
    assert_eq!(project.registry.len(), 5_005);
    assert_eq!(
        (about("app:a"), about("app:b"), about("app:c"), about("app:f")),
        (0, 100, 100, 100)
    );
    assert_eq!(about("app:e1"), 1);
    assert!(
        project
            .registry
            .get(&id("app:a"))
            .unwrap()
            .data()
            .get("k29999")
            .is_some()
    );
}

#[test]
fn every_entry_of_a_large_ring_is_an_error_and_what_leads_into_it_is_not() {
    let library = |number: u32, next: u32| {
        format!("- {{name: l{number}, kind: library.lua, source: x, imports: {{n{number}: l{next}}}}}\n")
    };
    let ring: String = (0..150).map(|number| library(number, (number + 1) % 150)).collect();
    let text = format!("namespace: app\nentries:\n{ring}{}", library(150, 0));
    let (_temp, project) = project(&[("src/a.yaml", &text)]);
    let found = findings(&project);
    assert_eq!(found.len(), 150);
    assert_eq!(
        found[149],
        "error cycle src/a.yaml:152:62 import cycle of 150 entries: app:l149"
    );
}

#[test]
fn a_file_is_known_for_an_entry_file_by_its_namespace() {
    for (text, expected) in [
        ("namespace: app\nentries: []\n", true),
        ("# first\nnamespace: 'my app'\n", true),
        ("namespace: true\n", false),
        ("namespace: 1\n", false),
        ("other:\n  namespace: app\n", false),
    ] {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("some.yaml"), text).unwrap();
        let found = super::find(folder.path()) == folder.path().canonicalize().ok();
        assert_eq!(found, expected, "{text}");
    }
}
