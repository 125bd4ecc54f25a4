//! `wippy init`: a small project that runs and whose tests pass at once, offline. The templates are the folders below
//! `templates/`, as they are.

use std::fs::{self, Permissions};
use std::io::{self, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use super::args::{Init, Template};
use super::console::Console;
use super::failure::{Failure, code};
use crate::error::Error;

/// Path below the project's folder, and content.
type File = (&'static str, &'static [u8]);

/// The rows of files of a template.
macro_rules! files {
    ($template:literal: $($path:literal),* $(,)?) => {
        &[$(($path, include_bytes!(concat!("../../templates/", $template, "/", $path)))),*]
    };
}

const HELLO: &[File] = files!("hello": "src/_index.yaml", "src/hello.lua", "tests/hello_test.lua");

const WORKERS: &[File] =
    files!("workers": "src/_index.yaml", "src/squares.lua", "src/worker.lua", "tests/worker_test.lua");

const WASM: &[File] = files!("wasm": "src/_index.yaml", "src/demo.lua", "wasm/worker.wasm", "tests/multiply_test.lua");

impl Template {
    fn files(self) -> &'static [File] {
        match self {
            Template::Hello => HELLO,
            Template::Workers => WORKERS,
            Template::Wasm => WASM,
        }
    }

    /// What runs it, after `wippy`.
    fn call(self) -> &'static str {
        match self {
            Template::Hello => "run hello World",
            Template::Workers => "run squares 5",
            Template::Wasm => "run demo",
        }
    }
}

/// Writes the project into a folder, which is made. Nothing is overwritten: one file in the way, and nothing is written. What
/// was written goes away again when the rest cannot be.
///
/// # Errors
/// Exit 1 when a file is in the way or cannot be written.
pub fn run(args: &Init, console: &Console) -> Result<u8, Failure> {
    let files = args.template.files();
    let path = |(below, _): &File| args.dir.join(below);
    if let Some(taken) = files.iter().map(path).find(|path| path.symlink_metadata().is_ok()) {
        return Err(in_the_way(&taken));
    }
    for (at, file) in files.iter().enumerate() {
        if let Err(error) = create(&path(file), file.1) {
            // What cannot be removed either is in the way of the next try, which says so.
            files[..at].iter().for_each(|made| drop(fs::remove_file(path(made))));
            return Err(unwritten(&path(file), &error));
        }
    }
    for file in files {
        console.answer(&format!("created {}\n", path(file).display()));
    }
    console.say(&next_steps(args));
    Ok(code::SUCCESS)
}

/// A new file with its folders, whole or not at all; one that appeared in the meantime is left alone.
fn create(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let folder = path.parent().unwrap_or(Path::new("."));
    fs::create_dir_all(folder)?;
    // It goes away by itself when it cannot be written. Anybody may read what it becomes, as any other new file.
    let mut file = tempfile::Builder::new()
        .prefix(".wippy-")
        .permissions(Permissions::from_mode(0o666))
        .tempfile_in(folder)?;
    file.as_file_mut().write_all(bytes)?;
    file.persist_noclobber(path)?;
    Ok(())
}

fn next_steps(args: &Init) -> String {
    let folder = match args.dir == Path::new(".") {
        true => String::new(),
        false => format!(" -C {}", quoted(&args.dir)),
    };
    let (run, test) = (args.template.call(), "test");
    format!("try it:\n  wippy{folder} {run}\n  wippy{folder} {test}\n")
}

/// As a shell takes it for one word.
fn quoted(path: &Path) -> String {
    let text = path.display().to_string();
    let is_plain = |c: char| c.is_alphanumeric() || "/._-+".contains(c);
    match text.chars().all(is_plain) {
        true => text,
        false => format!("'{}'", text.replace('\'', r"'\''")),
    }
}

fn in_the_way(path: &Path) -> Failure {
    let error = Error::already_exists(format!("{} is there already: nothing was written", path.display()));
    Failure::new(code::FAILED, error).help("wippy init DIR makes the project in another folder")
}

fn unwritten(path: &Path, error: &io::Error) -> Failure {
    Failure::new(
        code::FAILED,
        Error::internal(format!("cannot write {}: {error}", path.display())),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn folders_are_shown_as_a_shell_takes_them() {
        for (path, expected) in [("a/b-c", "a/b-c"), ("é x", "'é x'"), ("it's", r"'it'\''s'")] {
            assert_eq!(quoted(Path::new(path)), expected);
        }
    }
}
