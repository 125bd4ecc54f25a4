//! Where the inputs of earlier sessions are kept: `wippy/history` in the XDG state folder, for the user's eyes only.

use std::fs::{DirBuilder, OpenOptions, Permissions, set_permissions};
use std::io;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

/// The file, made if need be, readable and writable for its owner alone.
///
/// # Errors
/// NotFound without a home folder; what the operating system says against the file.
pub fn file() -> io::Result<PathBuf> {
    let folder = folder(|name| std::env::var_os(name).map(PathBuf::from));
    prepare(&folder.ok_or(io::ErrorKind::NotFound)?)
}

/// `$XDG_STATE_HOME/wippy`, or what the XDG specification has in its place. A relative path counts as none.
fn folder(variable: impl Fn(&str) -> Option<PathBuf>) -> Option<PathBuf> {
    let absolute = |name: &str| variable(name).filter(|path| path.is_absolute());
    let state = absolute("XDG_STATE_HOME").or_else(|| absolute("HOME").map(|home| home.join(".local/state")));
    state.map(|state| state.join("wippy"))
}

fn prepare(folder: &Path) -> io::Result<PathBuf> {
    DirBuilder::new().recursive(true).mode(0o700).create(folder)?;
    let path = folder.join("history");
    let file = OpenOptions::new().append(true).create(true).mode(0o600).open(&path)?;
    drop(file);
    set_permissions(&path, Permissions::from_mode(0o600))?;
    Ok(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_folder_follows_the_xdg_specification() {
        let with = |state: &str, home: &str| {
            folder(|name| match name {
                "XDG_STATE_HOME" if !state.is_empty() => Some(state.into()),
                "HOME" if !home.is_empty() => Some(home.into()),
                _ => None,
            })
        };
        assert_eq!(with("/state", "/home"), Some("/state/wippy".into()));
        assert_eq!(with("", "/home"), Some("/home/.local/state/wippy".into()));
        assert_eq!(with("relative", "/home"), Some("/home/.local/state/wippy".into()));
        assert_eq!(with("", ""), None);
    }

    #[test]
    fn the_file_is_for_its_owner_alone() {
        let state = tempfile::tempdir().unwrap();
        let path = prepare(&state.path().join("wippy")).unwrap();
        set_permissions(&path, Permissions::from_mode(0o644)).unwrap();
        prepare(&state.path().join("wippy")).unwrap();
        assert_eq!(path.metadata().unwrap().permissions().mode() & 0o777, 0o600);
    }
}
