//! What is fuzzed: functions that take any bytes and panic when something does not hold. The targets in `fuzz/` hand them
//! what a fuzzer makes up; the tests here run them with bytes that are the same every time.

use std::os::unix::fs::symlink;
use std::path::Path;
use std::sync::{Arc, OnceLock};

use crate::id::EntryId;
use crate::lua::modules::fs::path::Place;
use crate::project::{Registry, clean_guest};
use crate::system::{System, Volume};
use crate::wasm::module::Source;
use crate::wasm::value::dice::{self, Dice};
use crate::wasm::{Settings, Wasm};

/// Loads a module: header, compilation, imports, exports and their signatures.
///
/// # Panics
/// When bytes that are no module do more than fail.
pub fn module(bytes: &[u8]) {
    static WASM: OnceLock<(tokio::runtime::Runtime, Arc<Wasm>)> = OnceLock::new();
    let (_, wasm) = WASM.get_or_init(|| {
        let io = tokio::runtime::Builder::new_current_thread()
            .build()
            .expect("a tokio runtime");
        let wasm = Wasm::new(
            Settings::default(),
            Arc::new(System::new(&Registry::default())),
            io.handle().clone(),
        );
        (io, wasm)
    });
    if let Ok(found) = wasm.inspect_bytes(bytes.to_vec()) {
        let favourite = found.favourite().map(|export| export.method.clone());
        assert!(favourite.is_none_or(|method| found.exports.iter().any(|export| export.method == method)));
        found.wanted();
    }
}

/// Takes a value of a type to a guest's form and back, and offers it to another type.
///
/// # Panics
/// When it comes back changed.
pub fn values(bytes: &[u8]) {
    let mut dice = Dice::of(bytes);
    dice::there_and_back(&mut dice);
    dice::misfit(&mut dice);
}

/// Resolves a path: as programs in Lua write it, as the place of a mount, and as a file of a volume.
///
/// # Panics
/// When it leads out.
pub fn path(bytes: &[u8]) {
    if let Ok(place) = Place::default().join(bytes) {
        assert!(place.path().is_relative(), "{place:?}");
        assert!(!place.path().iter().any(|name| name == ".."), "{place:?}");
        assert_eq!(Place::default().join(&place.bytes()).ok().as_ref(), Some(&place));
    }
    let text = String::from_utf8_lossy(bytes);
    let guest = clean_guest(&text);
    assert!(
        guest.starts_with('/') && !guest.split('/').any(|name| name == ".."),
        "{guest}"
    );
    assert_eq!(clean_guest(&guest), guest);
    let volume = &volume().1;
    if let Ok(file) = Source::read(volume, &text) {
        assert_eq!(file.bytes, INSIDE, "{text}");
    }
}

const INSIDE: &[u8] = b"inside";

/// A volume beside a file that it does not hold, with symlinks that lead there.
fn volume() -> &'static (tempfile::TempDir, Volume) {
    static VOLUME: OnceLock<(tempfile::TempDir, Volume)> = OnceLock::new();
    VOLUME.get_or_init(|| {
        let temp = tempfile::tempdir().expect("a temporary folder");
        let volume = lay_out(temp.path()).expect("a writable folder");
        (temp, volume)
    })
}

fn lay_out(folder: &Path) -> std::io::Result<Volume> {
    let inside = folder.join("volume");
    std::fs::create_dir_all(inside.join("d"))?;
    std::fs::write(folder.join("secret"), "outside")?;
    std::fs::write(inside.join("a"), INSIDE)?;
    std::fs::write(inside.join("d/b"), INSIDE)?;
    symlink("d/b", inside.join("own"))?;
    symlink("loop", inside.join("loop"))?;
    symlink("..", inside.join("up"))?;
    symlink("../secret", inside.join("out"))?;
    symlink(folder, inside.join("folder"))?;
    Volume::ambient(EntryId::new("fuzz", "volume"), &inside).map_err(std::io::Error::other)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn throw(dice: &mut Dice<'_>, count: u64) -> Vec<u8> {
        (0..count).map(|_| dice.roll(256) as u8).collect()
    }

    #[test]
    fn no_bytes_make_a_value_change_on_its_way() {
        let mut dice = Dice::new(1);
        for round in 0..3_000 {
            values(&throw(&mut dice, round % 300));
        }
    }

    #[test]
    fn no_path_leads_out_of_a_volume() {
        let names = [
            "a", "d", "b", "own", "loop", "up", "out", "folder", "secret", "volume", "..", ".", "", "\0", "\u{e4}",
            "\u{ff}",
        ];
        let mut dice = Dice::new(2);
        for _ in 0..5_000 {
            let count = 1 + dice.roll(7);
            let parts: Vec<&str> = (0..count)
                .map(|_| names[dice.roll(names.len() as u64) as usize])
                .collect();
            path(parts.join("/").as_bytes());
        }
        for round in 0..500 {
            path(&throw(&mut dice, round % 40));
        }
        assert_eq!(Source::read(&volume().1, "own").expect("it is inside").bytes, INSIDE);
        assert!(Source::read(&volume().1, "out").is_err());
    }

    #[test]
    fn no_bytes_are_more_than_a_module_that_fails_to_load() {
        let fixture = |name: &str| {
            let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/wasm");
            std::fs::read(folder.join(name)).expect("a fixture")
        };
        let mut dice = Dice::new(3);
        for name in [
            "compute.wasm",
            "wait.wasm",
            "methods.wasm",
            "core.wasm",
            "needs-resource.wasm",
        ] {
            let good = fixture(name);
            module(&good);
            for _ in 0..30 {
                let mut bytes = good.clone();
                for _ in 0..=dice.roll(3) {
                    let at = dice.roll(bytes.len() as u64) as usize;
                    bytes[at] = dice.roll(256) as u8;
                }
                module(&bytes);
                bytes.truncate(dice.roll(good.len() as u64) as usize);
                module(&bytes);
            }
        }
    }
}
