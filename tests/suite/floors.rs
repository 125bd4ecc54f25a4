//! The map in `src/lib.rs` is true: no room names one on a floor above, and those that stand side by side do not meet.

use std::collections::HashMap;
use std::fs;
use std::path::{Path, PathBuf};

/// Rooms of one floor that must not know each other.
const APART: [[&str; 2]; 1] = [["lua", "wasm"]];

#[test]
fn no_room_imports_upward() {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let map = read(&source.join("lib.rs"));
    let floors = floors(&map);
    let mut wrong = Vec::new();
    for file in rust_files(&source) {
        let below = file.strip_prefix(&source).expect("a file of the tree");
        let room = below.iter().next().expect("a name").to_string_lossy();
        let room = room.trim_end_matches(".rs");
        let Some(floor) = floors.get(room) else {
            assert!(matches!(room, "lib" | "main"), "`{room}` is not on the map in lib.rs");
            continue;
        };
        for (at, line) in read(&file).lines().enumerate() {
            for other in rooms_named(line) {
                let is_above = floors.get(other).is_some_and(|other| other > floor);
                let is_apart = APART
                    .iter()
                    .any(|pair| room != other && pair.contains(&room) && pair.contains(&other));
                if is_above || is_apart {
                    wrong.push(format!("{}:{}: {}", below.display(), at + 1, line.trim()));
                }
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

/// Rooms by floor, from rows like ``//! | 2 | [`process`] [`supervisor`] | what lives there |``.
fn floors(map: &str) -> HashMap<&str, u32> {
    let mut floors = HashMap::new();
    for row in map.lines().filter_map(|line| line.strip_prefix("//! | ")) {
        let mut cells = row.split(" | ");
        let (Some(Ok(floor)), Some(rooms)) = (cells.next().map(str::parse), cells.next()) else {
            continue;
        };
        let names = rooms
            .split_whitespace()
            .filter_map(|room| room.strip_prefix("[`")?.strip_suffix("`]"));
        floors.extend(names.map(|name| (name, floor)));
    }
    assert!(floors.len() > 6, "the map in lib.rs has rooms: {floors:?}");
    floors
}

/// What a line of code takes from the crate, `crate::room` and `crate::{room, room}`; comments may point anywhere.
fn rooms_named(line: &str) -> impl Iterator<Item = &str> {
    let code = line.split("//").next().unwrap_or_default();
    let after = code.split("crate::").skip(1);
    after.flat_map(|rest| {
        let names = match rest.strip_prefix('{') {
            Some(list) => list.split('}').next().unwrap_or_default(),
            None => rest
                .split(|c: char| !(c.is_alphanumeric() || c == '_'))
                .next()
                .unwrap_or_default(),
        };
        names
            .split(',')
            .map(|name| name.trim().split("::").next().unwrap_or_default())
    })
}

fn rust_files(folder: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    for entry in fs::read_dir(folder).expect("a readable folder") {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            files.extend(rust_files(&path));
        } else if path.extension().is_some_and(|kind| kind == "rs") {
            files.push(path);
        }
    }
    files
}

fn read(file: &Path) -> String {
    fs::read_to_string(file).unwrap_or_else(|error| panic!("{}: {error}", file.display()))
}
