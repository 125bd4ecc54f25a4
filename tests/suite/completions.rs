//! `wippy completions`: the script for bash, asked as bash asks it.

use crate::harness::Folder;
use crate::projects::lua;

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

#[test]
fn commands_options_and_the_projects_own_names_are_offered() {
    let folder = lua("return function() end");
    assert_eq!(offered(&folder, &["wippy", "che"]), ["check"]);
    assert_eq!(offered(&folder, &["wippy", "--silent", "check", "--st"]), ["--strict"]);
    assert_eq!(offered(&folder, &["wippy", "registry", ""])[..2], ["list", "show"]);
    assert_eq!(offered(&folder, &["wippy", "run", "ma"]), ["main"]);
    assert_eq!(offered(&folder, &["wippy", "-C", ".", "run", "ma"]), ["main"]);
    assert_eq!(offered(&folder, &["wippy", "completions", "z"]), ["zsh"]);
    assert_eq!(offered(&folder, &["wippy", "-C", "check", "che"]), ["check"]);
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
    assert_eq!(offered(&folder, &["wippy", "run", "ma"]), ["main$(touch${IFS}hurt)"]);
    assert!(!folder.path().join("hurt").exists());
}

#[test]
fn every_shell_has_its_script_and_others_are_wrong_usage() {
    let folder = Folder::new();
    folder
        .wippy("completions zsh")
        .run()
        .code(0)
        .stdout_has("bashcompinit\n_wippy() {");
    folder
        .wippy("completions fish")
        .run()
        .code(0)
        .stdout_has("complete -c wippy -n '__fish_seen_subcommand_from check' -a '--json --strict");
    folder
        .wippy("completions tcsh")
        .run()
        .code(2)
        .stderr_has("bash, zsh, fish");
}
