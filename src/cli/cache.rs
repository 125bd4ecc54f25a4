//! `wippy cache clear`: removes the compiled modules that are kept from one start to the next.

use std::io;

use super::console::Console;
use super::failure::{Failure, code};
use crate::error::Error;
use crate::wasm::Cache;
use crate::wasm::cache::Cleared;

/// # Errors
/// Exit 1 when the folder is not the user's alone, or something in it cannot be removed.
pub fn clear(console: &Console) -> Result<u8, Failure> {
    let text = match Cache::existing().map_err(|error| uncleared(&error))? {
        None => "no cache folder: nothing to remove\n".to_owned(),
        Some(cache) => {
            let cleared = cache.clear().map_err(|error| uncleared(&error))?;
            format!("{} from {}\n", removed(cleared), cache.folder().display())
        }
    };
    console.answer(&text);
    Ok(code::SUCCESS)
}

fn uncleared(error: &io::Error) -> Failure {
    Failure::new(
        code::FAILED,
        Error::internal(format!("cannot clear the cache: {error}")),
    )
}

fn removed(cleared: Cleared) -> String {
    let size = cleared.bytes as f64 / f64::from(1 << 20);
    match cleared.artifacts {
        1 => format!("removed 1 compiled module ({size:.1} MiB)"),
        count => format!("removed {count} compiled modules ({size:.1} MiB)"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_removed_is_counted() {
        let of = |artifacts, bytes| removed(Cleared { artifacts, bytes });
        assert_eq!(of(0, 0), "removed 0 compiled modules (0.0 MiB)");
        assert_eq!(of(1, 3 << 19), "removed 1 compiled module (1.5 MiB)");
    }
}
