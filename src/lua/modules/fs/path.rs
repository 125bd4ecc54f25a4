//! Paths as programs write them, cleaned lexically before the volume's folder handle sees them.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt as _;
use std::path::PathBuf;

use crate::error::{Error, Result};

/// A place in a volume: the names from its root, none of them empty, `.` or `..`.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Place(Vec<Vec<u8>>);

impl Place {
    /// What `path` means when this is the working directory.
    ///
    /// # Errors
    /// Invalid for a path that leaves the root or holds a NUL byte.
    pub fn join(&self, path: &[u8]) -> Result<Place> {
        let shown = String::from_utf8_lossy(path);
        if path.contains(&0) {
            return Err(invalid(format!("invalid path {shown:?}: it contains a NUL byte")));
        }
        let mut names = match path.first() {
            Some(b'/') => Vec::new(),
            _ => self.0.clone(),
        };
        for name in path.split(|byte| *byte == b'/') {
            match name {
                b"" | b"." => {}
                b".." if names.pop().is_none() => {
                    return Err(invalid(format!("invalid path {shown:?}: it leaves the volume")));
                }
                b".." => {}
                name => names.push(name.to_vec()),
            }
        }
        Ok(Place(names))
    }

    /// Relative to the volume's folder.
    pub fn path(&self) -> PathBuf {
        if self.0.is_empty() {
            return PathBuf::from(".");
        }
        self.0.iter().map(|name| OsStr::from_bytes(name)).collect()
    }

    /// The last name; `.` for the root.
    pub fn name(&self) -> &[u8] {
        self.0.last().map_or(b".", Vec::as_slice)
    }

    /// `/a/b`, as programs see it.
    pub fn bytes(&self) -> Vec<u8> {
        let mut bytes = vec![b'/'];
        bytes.extend(self.0.join(&b'/'));
        bytes
    }

    /// The same as text for messages.
    pub fn shown(&self) -> String {
        String::from_utf8_lossy(&self.bytes()).into_owned()
    }
}

/// An Invalid of this module, its `retryable` unset.
pub fn invalid(message: impl Into<String>) -> Error {
    Error::invalid(message).with_retryable(None)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_cleaned_and_stay_inside() {
        let cwd = Place::default().join(b"a/b").unwrap();
        for (path, shown, relative) in [
            ("", "/a/b", "a/b"),
            (".", "/a/b", "a/b"),
            ("c", "/a/b/c", "a/b/c"),
            ("../c/./d/", "/a/c/d", "a/c/d"),
            ("///x//y/..", "/x", "x"),
            ("/", "/", "."),
            ("../..", "/", "."),
            ("c/../../../e", "/e", "e"),
        ] {
            let place = cwd.join(path.as_bytes()).unwrap();
            assert_eq!(
                (place.shown().as_str(), place.path()),
                (shown, PathBuf::from(relative)),
                "{path}"
            );
        }
        for path in ["../../..", "/..", "/a/../../b", "a\0b"] {
            let error = cwd.join(path.as_bytes()).unwrap_err();
            assert!(error.message().starts_with("invalid path"), "{path}");
            assert_eq!(error.retryable(), None);
        }
    }
}
