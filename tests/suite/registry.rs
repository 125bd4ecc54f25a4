//! `wippy registry`: lists and single entries, as text and as data.

use crate::harness::Folder;

const ENTRIES: &str = "\
namespace: app
meta: { team: core }
entries:
  - name: vars
    kind: env.storage.memory
  - name: main
    kind: process.lua
    source: file://main.lua
    limits: { max_execution_ms: 10 }
";

fn project() -> Folder {
    Folder::with(&[
        ("src/app.yaml", ENTRIES),
        ("src/main.lua", "return function() end\n"),
        (
            "src/other.yaml",
            "namespace: other\nname: broken\nkind: function.lua\nsource: \"\"\n",
        ),
    ])
}

#[test]
fn the_list_is_in_load_order_aligned_or_json() {
    let folder = project();
    folder.wippy("registry list").run().code(0).quiet().stdout(
        "ENTRY         KIND                FILE\n\
         app:vars      env.storage.memory  src/app.yaml:4\n\
         app:main      process.lua         src/app.yaml:6\n\
         other:broken  function.lua        src/other.yaml:2\n",
    );
    let outcome = folder.wippy("registry list --json").run().code(0).quiet();
    let list: serde_json::Value = serde_json::from_slice(&outcome.stdout).expect("JSON");
    assert_eq!(
        list[1],
        serde_json::json!({ "id": "app:main", "kind": "process.lua", "file": "src/app.yaml:6", "broken": false })
    );
    assert_eq!(list[2]["broken"], true, "{outcome}");
}

#[test]
fn kind_and_namespace_choose_by_pattern() {
    let folder = project();
    let ids = |words: &str| {
        let outcome = folder.wippy(&format!("registry list --json {words}")).run().code(0);
        let list: serde_json::Value = serde_json::from_slice(&outcome.stdout).expect("JSON");
        let list = list.as_array().expect("an array");
        let ids = list.iter().map(|entry| entry["id"].as_str().expect("an id").to_owned());
        ids.collect::<Vec<_>>().join(" ")
    };
    assert_eq!(ids("--kind *.lua"), "app:main other:broken");
    assert_eq!(ids("--kind *.lua --ns app"), "app:main");
    assert_eq!(ids("--ns nobody"), "");
    folder
        .wippy("registry list --ns nobody")
        .run()
        .code(0)
        .stdout("")
        .quiet();
}

#[test]
fn an_entry_is_shown_as_it_is_written() {
    let folder = project();
    let outcome = folder.wippy("registry show app:main").run().code(0).quiet();
    let shown: serde_json::Value = serde_yaml::from_slice(&outcome.stdout).expect("YAML");
    let json = folder.wippy("registry show app:main --json").run().code(0).quiet();
    assert_eq!(
        shown,
        serde_json::from_slice::<serde_json::Value>(&json.stdout).expect("JSON")
    );
    assert_eq!(
        shown,
        serde_json::json!({
            "id": "app:main", "kind": "process.lua", "file": "src/app.yaml:6", "broken": false,
            "meta": { "team": "core" },
            "data": { "source": "return function() end\n", "limits": { "max_execution_ms": 10 } },
        })
    );
}

#[test]
fn what_is_wrong_with_an_entry_is_told_beside_it() {
    let folder = project();
    folder
        .wippy("registry show other:broken")
        .run()
        .code(0)
        .stdout_has("broken: true")
        .stderr_has("error[missing-field]: source is required");
    folder
        .wippy("registry show app:mian")
        .run()
        .code(4)
        .stdout("")
        .stderr_has("did you mean app:main?");
    folder
        .wippy("registry show nocolon")
        .run()
        .code(2)
        .stderr_has("nocolon");
    folder.wippy("registry").run().code(2);
    Folder::new()
        .wippy("registry list")
        .run()
        .code(3)
        .stderr_has("no project");
}

#[test]
fn an_entry_that_says_nothing_more_has_empty_maps() {
    let folder = Folder::with(&[("src/a.yaml", "namespace: app\nname: bare\nkind: registry.entry\n")]);
    folder
        .wippy("registry show app:bare")
        .run()
        .code(0)
        .stdout_has("\nmeta: {}\ndata: {}\n");
}
