//! `wippy completions SHELL`: what a shell offers after `wippy`. The scripts only ask: `wippy __complete SHELL -- WORDS…` answers
//! with what may stand for the last word, one offer a line, so that all shells offer the same.

mod offers;

use std::ffi::OsString;

use clap::{CommandFactory, Parser};

use super::args::{Cli, Globals, Shell};
use super::console::Console;
use super::failure::code;
use offers::Offer;

/// Offers are quoted before they reach the line: what a project writes into the name of a command must not run. Bash 3.2,
/// which macOS has, knows no `mapfile`.
const BASH: &str = r#"_wippy() {
  local offer quoted
  COMPREPLY=()
  while IFS= read -r offer; do
    printf -v quoted %q "$offer"
    COMPREPLY+=("$quoted")
  done < <(wippy __complete bash -- "${COMP_WORDS[@]:1:COMP_CWORD}" 2>/dev/null)
}
complete -o default -F _wippy wippy
"#;

const ZSH: &str = r#"(( $+functions[compdef] )) || { autoload -Uz compinit && compinit -i }
_wippy() {
  local -a offers
  offers=("${(@f)$(wippy __complete zsh -- "${(@Q)words[2,CURRENT]}" 2>/dev/null)}")
  offers=("${(@)offers:#}")
  if (( $#offers )); then _describe -V wippy offers; else _files; fi
}
compdef _wippy wippy
"#;

const FISH: &str = r#"function __wippy_offers
  set -l words (commandline -opc) (commandline -ct)
  wippy __complete fish -- $words[2..-1] 2>/dev/null
end
complete -c wippy -f -a '(__wippy_offers)'
complete -c wippy -n 'test (count (__wippy_offers)) -eq 0' -F
"#;

pub fn run(shell: Shell, console: &Console) -> u8 {
    console.answer(match shell {
        Shell::Bash => BASH,
        Shell::Zsh => ZSH,
        Shell::Fish => FISH,
    });
    code::SUCCESS
}

/// Answers a shell. What cannot be found out is not offered: a shell that completes has no place for errors.
pub fn offer(shell: Shell, words: &[OsString], console: &Console) -> u8 {
    let words: Vec<String> = words.iter().map(|word| word.to_string_lossy().into_owned()).collect();
    let (words, glued) = match shell {
        Shell::Bash => joined(words),
        _ => (words, 0),
    };
    let mut tree = Cli::command();
    tree.build();
    // No command line of ours is behind these; it is one without options.
    let globals = Cli::try_parse_from(["wippy"]).map(|cli| cli.globals);
    let found = globals
        .map(|globals: Globals| offers::find(&tree, &words, globals))
        .unwrap_or_default();
    found
        .iter()
        .for_each(|offer| console.answer(&line(shell, offer, glued)));
    code::SUCCESS
}

/// Bash takes words apart at `:` and `=`. The words as they were typed, and how many bytes of the last one bash has behind it.
fn joined(parts: Vec<String>) -> (Vec<String>, usize) {
    let mut words: Vec<String> = Vec::new();
    let (mut glue, mut glued) = (false, 0);
    for part in parts {
        let is_break = !part.is_empty() && part.chars().all(|c| matches!(c, ':' | '='));
        match words.last_mut().filter(|_| is_break || glue) {
            Some(word) => {
                glued = word.len() + if is_break { part.len() } else { 0 };
                word.push_str(&part);
            }
            None => {
                glued = 0;
                words.push(part);
            }
        }
        glue = is_break;
    }
    (words, glued)
}

fn line(shell: Shell, Offer { word, about }: &Offer, glued: usize) -> String {
    match shell {
        Shell::Bash => format!("{}\n", word.get(glued..).unwrap_or_default()),
        Shell::Zsh => format!("{}:{about}\n", word.replace('\\', "\\\\").replace(':', "\\:")),
        Shell::Fish => format!("{word}\t{about}\n"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_that_bash_took_apart_are_whole_again() {
        let parts = |text: &str| text.split(' ').map(str::to_owned).collect();
        for (text, words, glued) in [
            ("run -x app : w", vec!["run", "-x", "app:w"], 4),
            ("run -x app :", vec!["run", "-x", "app:"], 4),
            ("--color = au", vec!["--color=au"], 8),
            ("run ", vec!["run", ""], 0),
            ("run -x app:w", vec!["run", "-x", "app:w"], 0),
            ("run -x a : b x", vec!["run", "-x", "a:b", "x"], 0),
        ] {
            assert_eq!(
                joined(parts(text)),
                (words.into_iter().map(str::to_owned).collect(), glued),
                "{text}"
            );
        }
    }
}
