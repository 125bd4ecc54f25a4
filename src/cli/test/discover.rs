//! What is a test: files by their names, in a folder or as they were given.

use std::path::{Path, PathBuf};

/// A test file, and the name under which reports show it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct File {
    pub name: String,
    pub path: PathBuf,
}

/// The folder of a project that is searched when no path is given.
pub const FOLDER: &str = "tests";

const SUFFIXES: [&str; 2] = ["_test.lua", "_spec.lua"];

/// All test files below a folder, sorted; folders that are hidden are left out. Links to folders are not followed.
///
/// # Errors
/// When a folder cannot be read.
pub fn below(folder: &Path) -> std::io::Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    let mut open = vec![folder.to_path_buf()];
    while let Some(folder) = open.pop() {
        for entry in std::fs::read_dir(&folder)? {
            let entry = entry?;
            let name = entry.file_name().to_string_lossy().into_owned();
            if name.starts_with('.') {
                continue;
            }
            if entry.file_type()?.is_dir() {
                open.push(entry.path());
            } else if is_test_name(Path::new(&name)) && entry.path().is_file() {
                found.push(entry.path());
            }
        }
    }
    found.sort();
    Ok(found)
}

/// Whether a file is a test by its name.
pub fn is_test_name(path: &Path) -> bool {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    SUFFIXES.iter().any(|suffix| name.ends_with(suffix))
}

/// The files that the given paths mean, each once, named as seen from `base`. A file counts whatever its name.
///
/// # Errors
/// For a path that does not exist or cannot be read: the path and why.
pub fn given(paths: &[PathBuf], base: &Path) -> Result<Vec<File>, (PathBuf, std::io::Error)> {
    let mut files = Vec::new();
    for path in paths {
        let failed = |error| (path.clone(), error);
        let full = path.canonicalize().map_err(failed)?;
        let found = if full.is_dir() {
            below(&full).map_err(failed)?
        } else {
            vec![full]
        };
        for path in found {
            let file = named(path, base);
            if !files.contains(&file) {
                files.push(file);
            }
        }
    }
    Ok(files)
}

/// The test files of a project.
///
/// # Errors
/// As [`given`].
pub fn of_project(root: &Path) -> Result<Vec<File>, (PathBuf, std::io::Error)> {
    let folder = root.join(FOLDER);
    match folder.is_dir() {
        true => given(&[folder], root),
        false => Ok(Vec::new()),
    }
}

fn named(path: PathBuf, base: &Path) -> File {
    let name = path.strip_prefix(base).unwrap_or(&path).display().to_string();
    File { name, path }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn folder(files: &[&str]) -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        for file in files {
            let path = folder.path().join(file);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, "").unwrap();
        }
        folder
    }

    #[test]
    fn test_files_are_found_at_any_depth() {
        let folder = folder(&[
            "tests/b_test.lua",
            "tests/deep/er/a_spec.lua",
            "tests/helper.lua",
            "tests/.git/x_test.lua",
            "src/not_here_test.lua",
        ]);
        let root = folder.path().canonicalize().unwrap();
        let files = of_project(&root).unwrap();
        let names: Vec<_> = files.iter().map(|file| file.name.as_str()).collect();
        assert_eq!(names, ["tests/b_test.lua", "tests/deep/er/a_spec.lua"]);
    }

    #[test]
    fn a_file_that_is_given_counts_whatever_its_name_and_once() {
        let folder = folder(&["one.lua", "sub/x_test.lua"]);
        let root = folder.path().canonicalize().unwrap();
        let paths = [root.join("one.lua"), root.join("sub"), root.join("sub/x_test.lua")];
        let files = given(&paths, &root).unwrap();
        let names: Vec<_> = files.iter().map(|file| file.name.as_str()).collect();
        assert_eq!(names, ["one.lua", "sub/x_test.lua"]);
        assert!(given(&[root.join("gone")], &root).is_err());
    }
}
