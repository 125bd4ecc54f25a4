//! `wippy completions SHELL`: what a shell offers after `wippy`, made from the same tree that reads the command line. The
//! commands of the project are asked for when they are needed.

use clap::{Command, CommandFactory};

use super::args::{Cli, Shell};
use super::console::Console;
use super::failure::code;

/// A function that puts what may stand at the cursor into COMPREPLY; zsh runs it by its own bashcompinit. Not `compgen -W`,
/// which would run what a project writes into the name of a command.
const BASH: &str = r#"_wippy() {
  local word=${COMP_WORDS[COMP_CWORD]} command= offers= offer at
  for ((at = 1; at < COMP_CWORD; at++)); do
    case ${COMP_WORDS[at]} in
      -C | --project | -o | --override | --host | --log-format | --color) ((at++)) ;;
      -*) ;;
      *) command=${COMP_WORDS[at]}; break ;;
    esac
  done
  case $command in
@CASES@  esac
  if [[ $command == run ]]; then
    offers+=" $(wippy "${COMP_WORDS[@]:1:at-1}" run list 2>/dev/null | tail -n +2 | cut -d ' ' -f 1)"
  fi
  COMPREPLY=()
  for offer in $offers; do
    if [[ $offer == "$word"* ]]; then COMPREPLY+=("$offer"); fi
  done
}
complete -o default -F _wippy wippy
"#;

const ZSH: &str = "autoload -U +X compinit bashcompinit && compinit && bashcompinit\n";

/// Of fish, which asks for the command names itself.
const FISH_NAMES: &str = "complete -c wippy -n '__fish_seen_subcommand_from run' -a \"(wippy run list 2>/dev/null | tail -n +2 | string replace -r ' .*' '')\"\n";

pub fn run(shell: Shell, console: &Console) -> u8 {
    let mut tree = Cli::command();
    tree.build();
    console.answer(&match shell {
        Shell::Bash => bash(&tree),
        Shell::Zsh => format!("{ZSH}{}", bash(&tree)),
        Shell::Fish => fish(&tree),
    });
    code::SUCCESS
}

fn bash(tree: &Command) -> String {
    let own = tree
        .get_subcommands()
        .map(|command| (command.get_name(), words(command)));
    let cases = std::iter::once(("''", words(tree))).chain(own);
    let cases: String = cases
        .map(|(name, words)| format!("    {name}) offers='{words}' ;;\n"))
        .collect();
    BASH.replace("@CASES@", &cases)
}

fn fish(tree: &Command) -> String {
    let line = |condition: &str, words: &str| format!("complete -c wippy -n '{condition}' -a '{words}'\n");
    let mut text = line("__fish_use_subcommand", &words(tree));
    for command in tree.get_subcommands() {
        let condition = format!("__fish_seen_subcommand_from {}", command.get_name());
        text += &line(&condition, &words(command));
    }
    text + FISH_NAMES
}

/// The commands below, the options, and the values of what has a fixed set of them.
fn words(command: &Command) -> String {
    let below = command.get_subcommands().map(|command| command.get_name().to_owned());
    let visible = || command.get_arguments().filter(|argument| !argument.is_hide_set());
    let options = visible().filter_map(|argument| Some(format!("--{}", argument.get_long()?)));
    let values = visible()
        .filter(|argument| argument.is_positional())
        .flat_map(clap::Arg::get_possible_values)
        .map(|value| value.get_name().to_owned());
    below.chain(options).chain(values).collect::<Vec<_>>().join(" ")
}
