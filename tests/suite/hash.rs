//! `wippy hash`: what it reports, and that writing changes nothing but the hash.

use crate::harness::{Folder, guest, hash};
use crate::projects::wasm;

/// A project whose entry `app:main` has that hash in its YAML.
fn with(written: &str) -> Folder {
    let folder = wasm("compute", "compute", "    # a comment\n");
    let index = folder.read("src/_index.yaml");
    folder.write("src/_index.yaml", index.replace(&hash("compute"), written));
    folder
}

#[test]
fn hashes_that_are_right_are_a_success() {
    with(&hash("compute"))
        .wippy("hash")
        .run()
        .code(0)
        .stdout("ok       app:main\n")
        .quiet();
}

#[test]
fn wrong_ones_are_shown_and_written() {
    let zeros = format!("sha256:{}", "0".repeat(64));
    let right = hash("compute");
    for written in [
        "sha256:...",
        "nonsense",
        &zeros,
        "\"sha256:...\" # to do",
        "'sha256:...'",
    ] {
        let folder = with(written);
        let before = folder.read("src/_index.yaml");
        folder
            .wippy("hash app:main")
            .run()
            .code(5)
            .stdout(&format!("differs  app:main  hash: {right}\n"));
        assert_eq!(folder.read("src/_index.yaml"), before, "it was only asked");
        folder
            .wippy("hash --write")
            .run()
            .code(0)
            .stdout(&format!("updated  app:main  hash: {right}\n"));
        let old = written.trim_end_matches(" # to do").trim_matches(['"', '\'']);
        assert_eq!(folder.read("src/_index.yaml"), before.replace(old, &right));
        folder.wippy("run main 6 7").run().code(0).stdout("42\n");
        folder.wippy("hash").run().code(0);
    }
}

#[test]
fn a_missing_one_is_added() {
    let right = hash("compute");
    let line = format!("    hash: {right}\n");
    let folder = with(&right);
    let whole = folder.read("src/_index.yaml");
    assert!(whole.contains(&line), "{whole}");
    folder.write("src/_index.yaml", whole.replace(&line, ""));
    folder
        .wippy("hash")
        .run()
        .code(5)
        .stdout(&format!("missing  app:main  hash: {right}\n"));
    folder
        .wippy("hash --write")
        .run()
        .code(0)
        .stdout(&format!("updated  app:main  hash: {right}\n"));
    folder.wippy("hash").run().code(0);
    folder.wippy("run main 6 7").run().code(0).stdout("42\n");
    // Beside other fields there is no line for it.
    let flow = "  - {name: flow, kind: process.wasm, method: compute, fs: modules, path: guest.wasm}\n";
    folder.write("src/_index.yaml", folder.read("src/_index.yaml") + flow);
    folder
        .wippy("hash --write app:flow")
        .run()
        .code(5)
        .stdout_has("missing  app:flow  hash: ")
        .stderr_has("app:flow: not written: the hash has no line of its own");
}

#[test]
fn what_cannot_be_written_stays_and_is_told() {
    let folder = with("&right sha256:...");
    let index = folder.read("src/_index.yaml");
    let other = "  - name: other\n    kind: process.wasm\n    fs: modules\n    path: guest.wasm\n    hash: *right\n    method: compute\n";
    folder.write("src/_index.yaml", index + other);
    folder
        .wippy("hash --write app:other")
        .run()
        .code(5)
        .stdout_has("differs  app:other")
        .stderr_has("app:other: not written: the hash has no line of its own");
    let folder = with("sha256:...");
    std::fs::remove_file(folder.path().join("wasm/guest.wasm")).expect("a file");
    folder
        .wippy("hash --write")
        .run()
        .code(5)
        .stdout_has("unknown  app:main  failed to open file: guest.wasm");
    folder.copy_in(&guest("greet"), "wasm/guest.wasm");
    folder
        .wippy("hash app:terminal")
        .run()
        .code(2)
        .stderr_has("has no hash");
    folder.wippy("hash app:nobody").run().code(4);
}

#[test]
fn a_wrong_hash_counts_before_whatever_else_is_wrong_with_the_entry() {
    let folder = with(&format!("sha256:{}", "0".repeat(64)));
    let index = folder.read("src/_index.yaml");
    folder.write(
        "src/_index.yaml",
        index.replace("    # a comment", "    limits: { max_memory: -1 }"),
    );
    for words in ["run main 6 7", "run -x app:main 6 7"] {
        folder
            .wippy(words)
            .run()
            .code(5)
            .stderr_has("error[limit-range]")
            .stderr_has("error[hash-mismatch]: hash verification failed: hash mismatch: expected 0000");
    }
    folder.write(
        "src/_index.yaml",
        folder
            .read("src/_index.yaml")
            .replace(&"0".repeat(64), &hash("compute")[7..]),
    );
    folder.wippy("run main 6 7").run().code(3);
}
