//! What may stand for the last word of a command line: read from the tree that reads the command line itself, and from the
//! project that the words before name.

use clap::{Arg, Command};

use crate::cli::args::Globals;
use crate::cli::{open, target};
use crate::project::{Entry, Project};

/// A word, and what it means in one line.
#[derive(Debug, PartialEq, Eq)]
pub struct Offer {
    pub word: String,
    pub about: String,
}

/// What the words before the last one come to.
struct Line<'a> {
    command: &'a Command,
    /// The option that wants the next word.
    wants: Option<&'a Arg>,
    /// What is neither an option nor a command.
    words: Vec<&'a str>,
    /// Whether a program's name was there: the rest is the program's.
    is_program: bool,
    /// `-x`.
    is_entry: bool,
    globals: Globals,
}

/// Offers for the last of the words behind `wippy`. `globals` are those of a command line without options.
pub fn find(tree: &Command, words: &[String], globals: Globals) -> Vec<Offer> {
    let Some((last, before)) = words.split_last() else {
        return Vec::new();
    };
    let mut line = Line {
        command: tree,
        wants: None,
        words: Vec::new(),
        is_program: false,
        is_entry: false,
        globals,
    };
    before.iter().for_each(|word| line.take(word));
    let mut offers = line.offers(last);
    offers.retain(|offer| offer.word.starts_with(last.as_str()));
    offers
}

impl<'a> Line<'a> {
    fn take(&mut self, word: &'a str) {
        if let Some(arg) = self.wants.take() {
            return self.set(arg, word);
        }
        if self.is_program {
            return;
        }
        if let Some(long) = word.strip_prefix("--") {
            let (name, value) = long
                .split_once('=')
                .map_or((long, None), |(name, value)| (name, Some(value)));
            let arg = self.command.get_arguments().find(|arg| arg.get_long() == Some(name));
            self.option(arg, value);
        } else if let Some(shorts) = word.strip_prefix('-').filter(|shorts| !shorts.is_empty()) {
            self.shorts(shorts);
        } else if let Some(command) = self.command.find_subcommand(word) {
            self.command = command;
        } else {
            self.is_program = self.command.is_allow_external_subcommands_set();
            self.words.push(word);
        }
    }

    /// `-vx`, `-Cdir`.
    fn shorts(&mut self, shorts: &'a str) {
        for (at, short) in shorts.char_indices() {
            let arg = self.command.get_arguments().find(|arg| arg.get_short() == Some(short));
            let rest = &shorts[at + short.len_utf8()..];
            let takes = arg.is_some_and(takes_value);
            self.option(arg, (takes && !rest.is_empty()).then_some(rest));
            if takes {
                return;
            }
        }
    }

    fn option(&mut self, arg: Option<&'a Arg>, value: Option<&str>) {
        let Some(arg) = arg else { return };
        match value {
            Some(value) => self.set(arg, value),
            None if takes_value(arg) => self.wants = Some(arg),
            None => self.is_entry |= arg.get_id() == "entry",
        }
    }

    fn set(&mut self, arg: &Arg, value: &str) {
        if arg.get_id() == "project" {
            self.globals.project = Some(value.into());
        }
    }

    fn offers(&self, last: &str) -> Vec<Offer> {
        if let Some(arg) = self.wants {
            return self.values(arg);
        }
        if self.is_program {
            return Vec::new();
        }
        match last.split_once('=') {
            Some((option, _)) if option.starts_with("--") => self.assigned(option),
            _ if last.starts_with('-') => self.options(),
            _ => self.positional(),
        }
    }

    fn options(&self) -> Vec<Offer> {
        let visible = self.command.get_arguments().filter(|arg| !arg.is_hide_set());
        visible
            .filter_map(|arg| Some(Offer::new(format!("--{}", arg.get_long()?), arg.get_help())))
            .collect()
    }

    /// `--option=value`.
    fn assigned(&self, option: &str) -> Vec<Offer> {
        let arg = self
            .command
            .get_arguments()
            .find(|arg| arg.get_long() == Some(&option[2..]));
        let mut values = arg.map(|arg| self.values(arg)).unwrap_or_default();
        for offer in &mut values {
            offer.word = format!("{option}={}", offer.word);
        }
        values
    }

    fn positional(&self) -> Vec<Offer> {
        // After a word that is no command no command follows, nor after `run -x`.
        let may_follow = self.words.is_empty() && !self.is_entry;
        let visible = self
            .command
            .get_subcommands()
            .filter(|command| may_follow && !command.is_hide_set());
        let commands = visible.map(|command| Offer::new(command.get_name().to_owned(), command.get_about()));
        let values = self.command.get_positionals().flat_map(|arg| self.values(arg));
        let mut offers: Vec<Offer> = commands.chain(values).collect();
        match self.command.get_name() {
            "run" if self.is_entry => {
                offers.extend(self.entries(|project, entry| target::entry(project, &entry.id).is_ok()))
            }
            "run" => offers.extend(self.programs()),
            "help" if self.words == ["run"] => offers.extend(self.programs()),
            _ => {}
        }
        offers
    }

    /// What an option or a place takes, as far as it can be listed.
    fn values(&self, arg: &Arg) -> Vec<Offer> {
        let possible = arg.get_possible_values();
        if !possible.is_empty() {
            let visible = possible.iter().filter(|value| !value.is_hide_set());
            return visible
                .map(|value| Offer::new(value.get_name().to_owned(), value.get_help()))
                .collect();
        }
        match (self.command.get_name(), arg.get_id().as_str()) {
            (_, "host") => self.entries(|_, entry| entry.kind == "terminal.host"),
            ("inspect", "what") | ("hash", "ids") => self.entries(|_, entry| entry.kind.ends_with(".wasm")),
            ("show", "id") => self.entries(|_, _| true),
            ("help", "words") if self.words.is_empty() => top(),
            _ => Vec::new(),
        }
    }

    fn project(&self) -> Option<Project> {
        open::find(&self.globals).ok().flatten()
    }

    fn entries(&self, fits: impl Fn(&Project, &Entry) -> bool) -> Vec<Offer> {
        let Some(project) = self.project() else {
            return Vec::new();
        };
        let entries = project.registry.iter().filter(|entry| fits(&project, entry));
        entries
            .filter_map(|entry| Offer::of_project(entry.id.as_str(), &entry.kind))
            .collect()
    }

    /// The commands of the project.
    fn programs(&self) -> Vec<Offer> {
        let Some(project) = self.project() else {
            return Vec::new();
        };
        let commands = project.registry.commands();
        commands
            .iter()
            .filter_map(|(command, _)| Offer::of_project(&command.name, &command.short))
            .collect()
    }
}

/// The commands of wippy itself.
fn top() -> Vec<Offer> {
    let tree = <crate::cli::args::Cli as clap::CommandFactory>::command();
    let visible = tree.get_subcommands().filter(|command| !command.is_hide_set());
    visible
        .map(|command| Offer::new(command.get_name().to_owned(), command.get_about()))
        .collect()
}

fn takes_value(arg: &Arg) -> bool {
    arg.get_action().takes_values() && !arg.is_require_equals_set() && !arg.is_positional()
}

impl Offer {
    fn new(word: String, about: Option<&clap::builder::StyledStr>) -> Offer {
        let about = about.map(ToString::to_string).unwrap_or_default();
        Offer {
            word,
            about: single_line(&about),
        }
    }

    /// What a project calls something; nothing that would be several offers.
    fn of_project(word: &str, about: &str) -> Option<Offer> {
        (!word.contains(char::is_control)).then(|| Offer {
            word: word.to_owned(),
            about: single_line(about),
        })
    }
}

fn single_line(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::args::Cli;
    use clap::{CommandFactory, Parser};

    /// Offers for a line, in a folder without a project.
    fn offered(line: &str) -> Vec<String> {
        let mut tree = Cli::command();
        tree.build();
        let words: Vec<String> = line.split(' ').map(str::to_owned).collect();
        let mut globals = Cli::try_parse_from(["wippy"]).unwrap().globals;
        globals.project = Some("/".into());
        find(&tree, &words, globals)
            .into_iter()
            .map(|offer| offer.word)
            .collect()
    }

    #[test]
    fn commands_options_and_values_are_offered_where_they_may_stand() {
        for (line, expected) in [
            ("che", vec!["check"]),
            ("__", vec![]),
            ("-v che", vec!["check"]),
            ("--silent check --st", vec!["--strict"]),
            ("registry ", vec!["list", "show"]),
            ("registry list --k", vec!["--kind"]),
            ("--log-format ", vec!["text", "json"]),
            ("--log-format=j", vec!["--log-format=json"]),
            (
                "test --format=",
                vec!["--format=pretty", "--format=tap", "--format=junit", "--format=json"],
            ),
            ("test --shuffle --fa", vec!["--fail-fast"]),
            ("completions z", vec!["zsh"]),
            ("-C check che", vec!["check"]),
            ("-vC check che", vec!["check"]),
            ("help che", vec!["check"]),
            ("init --template w", vec!["workers", "wasm"]),
            ("run hello.lua --st", vec![]),
            ("nonsense x --y ", vec![]),
        ] {
            assert_eq!(offered(line), expected, "{line}");
        }
    }
}
