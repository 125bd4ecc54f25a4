//! `wippy schema`: what it says about the projects of this repository, asked of a JSON Schema library.

use std::path::{Path, PathBuf};

use crate::harness::Folder;
use serde_json::Value as Json;

/// The schema as printed, outside of any project.
fn schema() -> jsonschema::Validator {
    let printed = Folder::new().wippy("schema").run().code(0).quiet();
    let schema: Json = serde_json::from_slice(&printed.stdout).expect("JSON");
    jsonschema::meta::validate(&schema).expect("a schema");
    jsonschema::validator_for(&schema).expect("a schema")
}

fn repository(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(path)
}

/// The YAML files below a folder that have a namespace.
fn entry_files(folder: &Path, found: &mut Vec<(PathBuf, Json)>) {
    for item in std::fs::read_dir(folder).expect("a readable folder") {
        let path = item.expect("a readable folder").path();
        if path.is_dir() {
            entry_files(&path, found);
        } else if path.extension().is_some_and(|end| end == "yaml") {
            let text = std::fs::read_to_string(&path).expect("a text");
            let file: Json = serde_yaml::from_str(&text).expect("YAML");
            found.extend(file.get("namespace").is_some().then_some((path, file)));
        }
    }
}

#[test]
fn good_projects_are_taken() {
    let schema = schema();
    let mut files = Vec::new();
    entry_files(&repository("examples"), &mut files);
    assert!(files.len() > 10, "the examples have entry files: {files:?}");
    for (path, file) in files {
        let wrong: Vec<String> = schema.iter_errors(&file).map(|error| error.to_string()).collect();
        assert!(wrong.is_empty(), "{}: {wrong:?}", path.display());
    }
}

#[test]
fn bad_projects_are_refused() {
    let schema = schema();
    for name in ["misspelt-field", "missing-fields", "wrong-types"] {
        let mut files = Vec::new();
        entry_files(&repository("fixtures/broken").join(name), &mut files);
        assert!(files.iter().any(|(_, file)| !schema.is_valid(file)), "{name}");
    }
}
