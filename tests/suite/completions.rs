//! `wippy completions`: each shell asked in its own way. Bash is everywhere; without zsh or fish their tests say so and pass.

use crate::harness::Folder;
use crate::projects::lua;
use crate::pty::Pty;

/// What bash offers for the last of these words.
fn offered(folder: &Folder, words: &[&str]) -> Vec<String> {
    let quoted: Vec<String> = words.iter().map(|word| format!("'{word}'")).collect();
    let (words, last) = (quoted.join(" "), words.len() - 1);
    let ask = format!(
        "eval \"$(wippy completions bash)\"\nCOMP_WORDS=({words})\nCOMP_CWORD={last}\n_wippy\nprintf '%s\\n' \"${{COMPREPLY[@]}}\"\n"
    );
    folder.write("ask.bash", ask);
    let outcome = folder.shell("bash ask.bash").code(0).quiet();
    let text = String::from_utf8(outcome.stdout).expect("a text");
    text.lines().map(str::to_owned).collect()
}

fn is_installed(folder: &Folder, shell: &str) -> bool {
    let found = folder.shell(&format!("command -v {shell}")).status == 0;
    if !found {
        eprintln!("{shell} is not installed: its completion was not tried");
    }
    found
}

#[test]
fn commands_options_and_the_projects_own_names_are_offered() {
    let folder = lua("return function() end");
    assert_eq!(offered(&folder, &["wippy", "che"]), ["check"]);
    assert_eq!(offered(&folder, &["wippy", "--silent", "check", "--st"]), ["--strict"]);
    assert_eq!(offered(&folder, &["wippy", "registry", ""]), ["list", "show"]);
    assert_eq!(offered(&folder, &["wippy", "run", "ma"]), ["main"]);
    assert_eq!(offered(&folder, &["wippy", "-C", ".", "run", "ma"]), ["main"]);
    assert_eq!(offered(&folder, &["wippy", "completions", "z"]), ["zsh"]);
    assert_eq!(offered(&folder, &["wippy", "-C", "check", "che"]), ["check"]);
    assert_eq!(offered(&folder, &["wippy", "run", "-x", "app", ":", "m"]), ["main"]);
    assert_eq!(offered(&folder, &["wippy", "run", "-x", "app:m"]), ["app:main"]);
    assert_eq!(offered(&folder, &["wippy", "run", "-x", ""]), ["app:main"]);
    assert_eq!(offered(&folder, &["wippy", "--host", ""]), ["app:terminal"]);
}

#[test]
fn the_name_of_a_command_is_never_run() {
    let folder = lua("return function() end");
    let index = folder.read("src/_index.yaml");
    assert!(index.contains("name: main }"), "{index}");
    folder.write(
        "src/_index.yaml",
        index.replace("name: main }", "name: 'main$(touch${IFS}hurt)' }"),
    );
    assert_eq!(
        offered(&folder, &["wippy", "run", "ma"]),
        [r"main\$\(touch\$\{IFS\}hurt\)"]
    );
    assert!(!folder.path().join("hurt").exists());
}

#[test]
fn a_shell_is_never_told_of_errors() {
    let folder = Folder::with(&[("src/_index.yaml", "entries: [")]);
    for words in ["", "run ", "--project", "-C nowhere run ", "inspect "] {
        let words: Vec<&str> = words.split(' ').collect();
        let call = [&["__complete", "fish", "--"], words.as_slice()].concat();
        folder.wippy_args(&call).run().code(0).quiet();
    }
    folder
        .wippy("completions tcsh")
        .run()
        .code(2)
        .stderr_has("bash, zsh, fish");
}

/// What fish offers behind a line, each with what it says about it.
fn fish(folder: &Folder, line: &str) -> Vec<String> {
    let ask = format!("wippy completions fish | source; complete -C '{line}'");
    let outcome = folder
        .program("fish", &["--no-config", "-c", &ask])
        .run()
        .code(0)
        .quiet();
    let text = String::from_utf8(outcome.stdout).expect("a text");
    text.lines().map(str::to_owned).collect()
}

#[test]
fn fish_offers_the_same() {
    let folder = lua("return function() end");
    if !is_installed(&folder, "fish") {
        return;
    }
    assert_eq!(
        fish(&folder, "wippy che"),
        ["check\tLoad the project and report every problem; run nothing"]
    );
    assert_eq!(fish(&folder, "wippy -C . run ma"), ["main"]);
    assert_eq!(fish(&folder, "wippy run -x app:m"), ["app:main\tprocess.lua"]);
    assert_eq!(
        fish(&folder, "wippy registry list --k"),
        ["--kind\tOnly entries of this kind; `*` stands for any text"]
    );
    // Where wippy has nothing to offer the files are.
    assert_eq!(fish(&folder, "wippy test src/m"), ["src/main.lua"]);
}

#[test]
fn zsh_offers_the_same() {
    let folder = lua("return function() io.print('ran', process.id()) end");
    if !is_installed(&folder, "zsh") {
        return;
    }
    let mut pty = Pty::start(folder.program("zsh", &["-f", "-i"]).env("PS1", "> "));
    pty.line("eval \"$(wippy completions zsh)\"; print read''y", "ready");
    pty.line("wippy run ma\t", "ran\tapp:main");
    pty.line("wippy -C . run -x app:m\t", "ran\tapp:main");
    pty.sees("> ")
        .keys("wippy registry \t")
        .sees("Id, kind and file of every entry")
        // The line again, below the list: from now on keys are read.
        .sees("wippy registry")
        .keys("list\r")
        .sees("app:main");
    // Where wippy has nothing to offer the files are.
    folder.write("src/other.lua", "print('a file')");
    pty.line("wippy run src/oth\t", "\na file");
}
