//! Transcripts: every folder of `examples/`, `fixtures/broken/`, `fixtures/failing/` and `fixtures/testing/`, which holds an
//! `expected.txt`, the README, every page of `docs/` and every file of definitions is a test of its own by being there. `BLESS=1 cargo test --test transcripts` accepts
//! what is printed now.
//!
//! A transcript is what a person would see: `$ command`, its stdout, its stderr with `! ` before each line, and `[exit N]`
//! when N is not 0. `[..]` stands for anything within a line. Each runs in a copy of its folder, with the built `wippy`
//! first in the path.

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};

use libtest_mimic::{Arguments, Failed, Trial};

#[path = "suite/harness.rs"]
mod harness;

use harness::{Folder, Outcome};

fn main() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut trials = Vec::new();
    for (group, folder) in [
        ("example", "examples"),
        ("broken", "fixtures/broken"),
        ("failing", "fixtures/failing"),
        ("testing", "fixtures/testing"),
    ] {
        for case in cases(&root.join(folder)) {
            let name = case.file_name().unwrap_or_default().to_string_lossy().into_owned();
            trials.push(Trial::test(format!("{group}::{name}"), move || transcript_of(&case)));
        }
    }
    for file in files(&root.join("tests/lua"), "_test.lua") {
        trials.push(Trial::test(
            format!("lua::{}", file.trim_end_matches(".lua")),
            move || suite(&file),
        ));
    }
    for file in files(&root.join("docs"), ".md") {
        let name = format!("docs::{}", file.trim_end_matches(".md"));
        trials.push(Trial::test(name, move || page(&format!("docs/{file}"))));
    }
    for file in files(&root.join("lua/types"), ".lua") {
        let name = format!("definition::{}", file.trim_end_matches(".lua"));
        trials.push(Trial::test(name, move || definition(&file)));
    }
    trials.push(Trial::test("readme", || page("README.md")));
    libtest_mimic::run(&Arguments::from_args(), trials).exit();
}

/// The names in a folder that end so, sorted.
fn files(folder: &Path, end: &str) -> Vec<String> {
    let files = fs::read_dir(folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
    let names = files.map(|file| {
        file.expect("a readable folder")
            .file_name()
            .to_string_lossy()
            .into_owned()
    });
    let mut names: Vec<String> = names.filter(|name| name.ends_with(end)).collect();
    names.sort();
    names
}

/// Runs one Lua suite in a copy of the folder with all of them, which is a project.
fn suite(file: &str) -> Result<(), Failed> {
    let folder = Folder::copy_of(&Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/lua"));
    folder.wippy_args(&["test", "--timeout", "30s", file]).run().code(0);
    Ok(())
}

/// The folders with a transcript.
fn cases(folder: &Path) -> Vec<PathBuf> {
    let mut cases: Vec<PathBuf> = fs::read_dir(folder)
        .unwrap_or_else(|error| panic!("{}: {error}", folder.display()))
        .map(|entry| entry.expect("a readable folder").path())
        .filter(|path| path.is_dir())
        .collect();
    cases.sort();
    cases
}

fn transcript_of(case: &Path) -> Result<(), Failed> {
    let file = case.join("expected.txt");
    let text = fs::read_to_string(&file).map_err(|error| format!("{}: {error}", file.display()))?;
    let folder = Folder::copy_of(case);
    let transcript = Transcript::parse(&text);
    let actual = transcript.replay(&folder);
    if actual == text {
        return Ok(());
    }
    if std::env::var_os("BLESS").is_some() {
        return fs::write(&file, actual).map_err(|error| error.to_string().into());
    }
    Err(difference(&file, &text, &actual).into())
}

/// Every block of a page: files are written, commands run, what follows `$ ` must be printed. `no-run` sets one apart.
fn page(name: &str) -> Result<(), Failed> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let text = fs::read_to_string(root.join(name))?;
    let folder = Folder::new();
    folder.copy_in(&root.join("examples"), "examples");
    let mut run = 0;
    for block in blocks(&text) {
        if block.words.iter().any(|word| word == "no-run") {
            continue;
        }
        match (block.words.first().map(String::as_str), block.words.get(1)) {
            (Some("console"), None) => replay_block(name, &block, &folder)?,
            (Some("sh"), None) => run_block(&block, &folder),
            (Some(_), Some(file)) => folder.write(file, &block.text),
            _ => return Err(format!("{name}:{}: a block without a language or a file", block.line).into()),
        }
        run += 1;
    }
    if run == 0 {
        Err(format!("{name} has no block to run").into())
    } else {
        Ok(())
    }
}

/// Runs every block of Lua in a file of definitions as a script.
fn definition(name: &str) -> Result<(), Failed> {
    let text = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("lua/types").join(name))?;
    let above: String = text
        .lines()
        .map(|line| format!("{}\n", line.strip_prefix("---").unwrap_or_default()))
        .collect();
    for block in blocks(&above) {
        let folder = Folder::new();
        folder.write("example.lua", &block.text);
        folder.wippy("run example.lua").run().code(0);
    }
    Ok(())
}

fn replay_block(name: &str, block: &Block, folder: &Folder) -> Result<(), Failed> {
    let transcript = Transcript::parse(&block.text);
    let actual = transcript.replay(folder);
    if actual == block.text {
        return Ok(());
    }
    let place = PathBuf::from(format!("{name}:{}", block.line));
    Err(difference(&place, &block.text, &actual).into())
}

fn run_block(block: &Block, folder: &Folder) {
    for line in block.text.lines().filter(|line| !line.trim().is_empty()) {
        folder.shell(line).code(0);
    }
}

/// The lines between what both have in common at the start and at the end.
fn difference(place: &Path, expected: &str, actual: &str) -> String {
    let (expected, actual): (Vec<_>, Vec<_>) = (expected.lines().collect(), actual.lines().collect());
    let same = |pairs: &mut dyn Iterator<Item = (&&str, &&str)>| pairs.take_while(|(a, b)| a == b).count();
    let head = same(&mut expected.iter().zip(&actual));
    let most = expected.len().min(actual.len()) - head;
    let tail = same(&mut expected.iter().rev().zip(actual.iter().rev())).min(most);
    let mut text = format!("{} differs; BLESS=1 accepts what is printed now\n", place.display());
    for line in &expected[head.saturating_sub(3)..head] {
        let _ = writeln!(text, "  {line}");
    }
    for line in &expected[head..expected.len() - tail] {
        let _ = writeln!(text, "- {line}");
    }
    for line in &actual[head..actual.len() - tail] {
        let _ = writeln!(text, "+ {line}");
    }
    text
}

/// A fenced block of Markdown.
struct Block {
    /// What stands behind the fence: language, then a file name or `no-run`.
    words: Vec<String>,
    text: String,
    line: usize,
}

fn blocks(markdown: &str) -> Vec<Block> {
    let mut blocks = Vec::new();
    let mut open: Option<Block> = None;
    for (at, line) in markdown.lines().enumerate() {
        match (&mut open, line.strip_prefix("```")) {
            (None, Some(info)) => {
                open = Some(Block {
                    words: info.split_whitespace().map(str::to_owned).collect(),
                    text: String::new(),
                    line: at + 1,
                });
            }
            (Some(_), Some(_)) => blocks.extend(open.take()),
            (Some(block), None) => {
                let _ = writeln!(block.text, "{line}");
            }
            (None, None) => {}
        }
    }
    blocks
}

/// Commands and what they print.
struct Transcript {
    /// Text before the first command.
    preamble: String,
    steps: Vec<(String, String)>,
}

impl Transcript {
    fn parse(text: &str) -> Transcript {
        let mut transcript = Transcript {
            preamble: String::new(),
            steps: Vec::new(),
        };
        for line in text.lines() {
            if let Some(command) = line.strip_prefix("$ ") {
                transcript.steps.push((command.to_owned(), String::new()));
            } else {
                let target = match transcript.steps.last_mut() {
                    Some((_, expected)) => expected,
                    None => &mut transcript.preamble,
                };
                let _ = writeln!(target, "{line}");
            }
        }
        transcript
    }

    /// The transcript as it is now: where a step matches, its text stays as it was written.
    fn replay(&self, folder: &Folder) -> String {
        let mut text = self.preamble.clone();
        for (command, expected) in &self.steps {
            let printed = printed(&folder.shell(command));
            let kept = if matches_text(expected, &printed) {
                expected
            } else {
                &printed
            };
            let _ = write!(text, "$ {command}\n{kept}");
        }
        text
    }
}

fn printed(outcome: &Outcome) -> String {
    let mut text = String::from_utf8_lossy(&outcome.stdout).into_owned();
    if !text.is_empty() && !text.ends_with('\n') {
        text.push_str("[no newline]\n");
    }
    for line in String::from_utf8_lossy(&outcome.stderr).lines() {
        let _ = writeln!(text, "{}", format!("! {line}").trim_end());
    }
    if outcome.status != 0 {
        let _ = writeln!(text, "[exit {}]", outcome.status);
    }
    text
}

fn matches_text(expected: &str, printed: &str) -> bool {
    let (expected, printed): (Vec<_>, Vec<_>) = (expected.lines().collect(), printed.lines().collect());
    expected.len() == printed.len()
        && expected
            .iter()
            .zip(&printed)
            .all(|(pattern, line)| matches_line(pattern, line))
}

/// `[..]` stands for any text within a line.
fn matches_line(pattern: &str, line: &str) -> bool {
    let Some((head, rest)) = pattern.split_once("[..]") else {
        return pattern == line;
    };
    let Some(tail) = line.strip_prefix(head) else {
        return false;
    };
    (0..=tail.len())
        .filter(|at| tail.is_char_boundary(*at))
        .any(|at| matches_line(rest, &tail[at..]))
}
