//! What may stand on the command line, as clap reads it. What the words mean is decided by the command that gets them.

use std::ffi::OsString;
use std::path::PathBuf;

use super::test::Format;
use clap::{ArgAction, Args, Parser, Subcommand, ValueEnum};

/// The command of whoever gives a terminal its mode back.
pub const CARETAKER: &str = "__caretaker";

const EXAMPLES: &str = "\
Examples:
  wippy run list                       the commands of this project
  wippy run greet World                run one of them, with an argument
  wippy run hello.lua                  run a Lua file, no project needed
  wippy -C examples/compute run demo   run a command of the project in that folder
  wippy check                          look for mistakes, run nothing

Exit codes:
  0 success   1 the program failed   2 wrong usage   3 errors in the project
  4 no such command or entry   5 hash mismatch   124 time limit
  130 SIGINT   143 SIGTERM   134 wasm trap   137 memory or other limit";

const RUN_USAGE: &str = "wippy run [OPTIONS] NAME|FILE.lua|FILE.wasm [ARGS…]
       wippy run [OPTIONS] -x NS:NAME [ARGS…]
       wippy run [OPTIONS] list [--json]
       wippy run [OPTIONS]";

const RUN_EXAMPLES: &str = "\
Examples:
  wippy run list                     every command: name, what it does, entry
  wippy run list --json              the same as data
  wippy run greet World              the command `greet` with one argument
  wippy run greet --help             what follows the name is the program's, `--help` too
  wippy help run greet               the parameters of `greet`
  wippy run hello.lua a b            a Lua file; the words arrive as `...`
  wippy run --method add calc.wasm 6 7
                                     a function of a module; its parameters are the words
  wippy run --dir data::/data tool.wasm
                                     a WASI command, with a folder
  wippy run -x app:worker 6 7        any process entry, by its id
  wippy run                          every service and host with auto_start, until Ctrl-C
  wippy run --watch                  the same, started again where files change";

const REPL_EXAMPLES: &str = "\
Examples:
  wippy repl                         ask, run, print; :help lists the commands, Ctrl-D ends
  wippy repl setup.lua               the same, after running a file in the session
  wippy repl -e 'process.list()'     print the values of an expression
  echo 'return 3' | wippy repl       the input as one script";

const TEST_EXAMPLES: &str = "\
Examples:
  wippy test                         tests/**/*_test.lua and *_spec.lua, and entries with meta.type: test
  wippy test tests/sum_test.lua      one file
  wippy test --filter adds           only tests with `adds` in their name
  wippy test --format junit          for a build server; tap and json too
  wippy test --watch                 again whenever files change, until Ctrl-C

Exit code 1 when a test failed, and when there was none.";

const CHECK_EXAMPLES: &str = "\
Examples:
  wippy check                        exit code 3 when there is an error
  wippy check --strict               warnings count too
  wippy check --json                 one JSON array, for editors and scripts";

const REGISTRY_EXAMPLES: &str = "\
Examples:
  wippy registry list                every entry: id, kind, file
  wippy registry list --kind 'process.*' --ns app --json
                                     processes of one namespace, as one JSON array
  wippy registry show app:worker     one entry as it is written";

const INIT_EXAMPLES: &str = "\
Examples:
  wippy init                         a first command in this folder
  wippy init shop --template wasm    a WebAssembly function as a process, in a new folder
  wippy -C shop test                 run its tests";

const COMPLETIONS_EXAMPLES: &str = "\
Examples:
  eval \"$(wippy completions bash)\"   in ~/.bashrc; zsh in ~/.zshrc
  wippy completions fish | source    in ~/.config/fish/config.fish";

const TYPES_EXAMPLES: &str = "\
Example:
  wippy types                        writes .wippy/types and extends .luarc.json, which lua-language-server
                                     and EmmyLua read; again when entries or modules have changed";

const SCHEMA_EXAMPLES: &str = "\
Example:
  wippy schema > entries.schema.json
                                     for an editor, in the first line of a YAML file:
                                     # yaml-language-server: $schema=../entries.schema.json";

/// A runtime for Lua and WebAssembly processes that cannot hurt each other.
#[derive(Debug, Parser)]
#[command(name = "wippy", version, after_help = EXAMPLES, disable_help_subcommand = true)]
pub struct Cli {
    #[command(flatten)]
    pub globals: Globals,
    /// None: a session, on a terminal.
    #[command(subcommand)]
    pub command: Option<Command>,
}

/// Options of every command. They stand before the NAME or FILE of a program; what follows belongs to the program.
#[derive(Args, Clone, Debug)]
pub struct Globals {
    /// Project folder [default: the nearest parent with wippy.lock, .wippy.yaml or an entry file]
    #[arg(short = 'C', long, value_name = "DIR", global = true)]
    pub project: Option<PathBuf>,
    /// More log records: -v with debug
    #[arg(short, long, action = ArgAction::Count, global = true)]
    pub verbose: u8,
    /// No log records but errors
    #[arg(short, long, global = true, conflicts_with = "verbose")]
    pub silent: bool,
    /// How log records look on stderr [default: text]
    #[arg(long, value_enum, value_name = "FORMAT", global = true)]
    pub log_format: Option<LogFormat>,
    /// Colours
    #[arg(long, value_enum, default_value_t = Color::Auto, value_name = "WHEN", global = true)]
    pub color: Color,
    /// Sets a field of an entry for this run
    #[arg(short = 'o', long = "override", value_name = "NS:NAME:FIELD=VALUE", global = true)]
    pub overrides: Vec<String>,
    /// The terminal host to run on, when a project has several
    #[arg(long, value_name = "ID", global = true)]
    pub host: Option<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum LogFormat {
    Text,
    Json,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Color {
    Auto,
    Always,
    Never,
}

#[derive(Debug, Subcommand)]
pub enum Command {
    /// Run a command of the project, a Lua file, a module, an entry, or every service
    Run(Run),
    /// An interactive session; `wippy` alone on a terminal is the same
    #[command(after_help = REPL_EXAMPLES)]
    Repl(Repl),
    /// Load the project and report every problem; run nothing
    #[command(after_help = CHECK_EXAMPLES)]
    Check(Check),
    /// Run the project's Lua tests
    #[command(after_help = TEST_EXAMPLES)]
    Test(Test),
    /// What a module is, imports and exports, and the YAML that runs it
    Inspect(Inspect),
    /// Compare the hashes in the YAML with the files
    Hash(Hash),
    /// The compiled modules that are kept from one start to the next
    Cache {
        #[command(subcommand)]
        what: CacheCommand,
    },
    /// The loaded entries
    #[command(after_help = REGISTRY_EXAMPLES)]
    Registry {
        #[command(subcommand)]
        what: RegistryCommand,
    },
    /// Make a small project that runs at once, with tests
    #[command(after_help = INIT_EXAMPLES)]
    Init(Init),
    /// What a shell needs to complete wippy's command lines
    #[command(after_help = COMPLETIONS_EXAMPLES)]
    Completions {
        #[arg(value_enum)]
        shell: Shell,
    },
    /// What may stand for the last of the words, for the shells
    #[command(name = "__complete", hide = true)]
    Offer {
        #[arg(value_enum)]
        shell: Shell,
        #[arg(last = true)]
        words: Vec<OsString>,
    },
    /// Looks after the terminal of another wippy
    #[command(name = CARETAKER, hide = true)]
    Caretaker { mode: Vec<u64> },
    /// Definitions of the Lua API for editors, with this project's ids, and their settings
    #[command(after_help = TYPES_EXAMPLES)]
    Types,
    /// JSON Schema of entry files, for editors
    #[command(after_help = SCHEMA_EXAMPLES)]
    Schema,
    /// Help for a command; `help run NAME` shows what NAME takes
    Help(Help),
}

#[derive(Args, Debug)]
#[command(after_help = RUN_EXAMPLES, override_usage = RUN_USAGE, disable_help_subcommand = true,
    subcommand_help_heading = "Instead of a NAME")]
pub struct Run {
    /// NAME is the id of a process entry, declared as a command or not
    #[arg(short = 'x', long = "entry")]
    pub entry: bool,
    /// Start again what a changed file concerns, until Ctrl-C
    #[arg(long)]
    pub watch: bool,
    #[command(flatten)]
    pub module: ModuleOptions,
    #[command(subcommand)]
    pub what: Option<What>,
}

/// What a module gets that is run by its file. They stand before the FILE, as all options of wippy do.
#[derive(Args, Debug, Default, PartialEq, Eq)]
#[command(next_help_heading = "Options for FILE.wasm")]
pub struct ModuleOptions {
    /// The function to call [default: the command's `run` or `_start`]
    #[arg(long, value_name = "EXPORT")]
    pub method: Option<String>,
    /// A folder that it may reach; may be repeated, as all of these
    #[arg(long, value_name = "HOST::GUEST[::ro]")]
    pub dir: Vec<String>,
    /// An environment variable
    #[arg(long, value_name = "NAME=VALUE")]
    pub env: Vec<String>,
    /// A grant beside wasi:io, wasi:cli, wasi:clocks, wasi:random, and wasi:filesystem with --dir
    #[arg(long, value_name = "GRANT")]
    pub grant: Vec<String>,
    /// What wasi:sockets and wasi:http may reach
    #[arg(long, value_name = "HOST:PORT")]
    pub network: Vec<String>,
    /// max_execution_ms, max_memory, max_fuel, max_transfer, max_handles
    #[arg(long, value_name = "NAME=VALUE")]
    pub limit: Vec<String>,
}

#[derive(Clone, Debug, Subcommand)]
pub enum What {
    /// The commands that the project declares
    List {
        /// As one JSON array
        #[arg(long)]
        json: bool,
    },
    /// A program and everything that belongs to it.
    #[command(external_subcommand)]
    Program(Vec<OsString>),
}

#[derive(Args, Debug)]
pub struct Repl {
    /// Run this instead of asking; may be given more than once
    #[arg(short = 'e', long = "eval", value_name = "CODE")]
    pub eval: Vec<String>,
    /// A Lua file to run first
    #[arg(value_name = "FILE")]
    pub file: Option<PathBuf>,
}

#[derive(Args, Debug)]
pub struct Test {
    /// Test files, or folders with `*_test.lua` and `*_spec.lua`; else the project's `tests`
    #[arg(value_name = "PATH")]
    pub paths: Vec<PathBuf>,
    /// Only tests whose full name has this text, or fits this Lua pattern
    #[arg(long, value_name = "PATTERN")]
    pub filter: Option<String>,
    /// What the report looks like
    #[arg(long, value_enum, default_value_t = Format::Pretty)]
    pub format: Format,
    /// Stop at the first failure
    #[arg(long)]
    pub fail_fast: bool,
    /// Name the tests, run none
    #[arg(long)]
    pub list: bool,
    /// Files at once; else one per processor
    #[arg(short = 'j', long, value_name = "N")]
    pub jobs: Option<std::num::NonZeroUsize>,
    /// How long a test may take, unless it says so itself
    #[arg(long, value_name = "DURATION", default_value = "5s")]
    pub timeout: String,
    /// In a random order, which the seed repeats
    #[arg(long, value_name = "SEED", num_args = 0..=1, require_equals = true)]
    pub shuffle: Option<Option<u32>>,
    /// Run again what a changed file concerns, until Ctrl-C
    #[arg(long, conflicts_with = "list")]
    pub watch: bool,
}

#[derive(Args, Debug)]
pub struct Check {
    /// As one JSON array
    #[arg(long)]
    pub json: bool,
    /// Warnings count as errors
    #[arg(long)]
    pub strict: bool,
}

#[derive(Args, Debug)]
pub struct Inspect {
    /// A file, or the id of an entry
    #[arg(value_name = "FILE.wasm|NS:NAME")]
    pub what: String,
    /// As a JSON object
    #[arg(long)]
    pub json: bool,
}

#[derive(Args, Debug)]
pub struct Hash {
    /// Entries [default: all that have a hash]
    #[arg(value_name = "NS:NAME")]
    pub ids: Vec<String>,
    /// Put the right ones into the YAML; comments and layout stay
    #[arg(long)]
    pub write: bool,
}

#[derive(Clone, Copy, Debug, Subcommand)]
pub enum CacheCommand {
    /// Remove them all; each is compiled again when it is needed
    Clear,
}

#[derive(Args, Debug)]
pub struct Init {
    /// Its folder, which is made
    #[arg(value_name = "DIR", default_value = ".")]
    pub dir: PathBuf,
    /// What it shows
    #[arg(long, value_enum, default_value_t = Template::Hello, value_name = "TEMPLATE")]
    pub template: Template,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Template {
    /// A command in Lua
    Hello,
    /// A process that starts others and collects what they find
    Workers,
    /// A WebAssembly function as a process
    Wasm,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Shell {
    Bash,
    Zsh,
    Fish,
}

#[derive(Debug, Subcommand)]
pub enum RegistryCommand {
    /// Id, kind and file of every entry, in load order
    List {
        /// Only entries of this kind; `*` stands for any text
        #[arg(long, value_name = "KIND")]
        kind: Option<String>,
        /// Only entries of this namespace; `*` stands for any text
        #[arg(long, value_name = "NAMESPACE")]
        ns: Option<String>,
        /// As one JSON array
        #[arg(long)]
        json: bool,
    },
    /// One entry as it is written, with `meta` and `data`
    Show {
        /// Its id
        #[arg(value_name = "NS:NAME")]
        id: String,
        /// As a JSON object
        #[arg(long)]
        json: bool,
    },
}

#[derive(Args, Debug)]
pub struct Help {
    /// A command, or `run` and the NAME of a program
    #[arg(value_name = "COMMAND")]
    pub words: Vec<String>,
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    fn program(line: &str) -> (Cli, Vec<String>) {
        let mut cli = Cli::try_parse_from(line.split(' ')).unwrap();
        let words = match &mut cli.command {
            Some(Command::Run(Run {
                what: Some(What::Program(words)),
                ..
            })) => words.drain(..).map(|word| word.into_string().unwrap()).collect(),
            _ => Vec::new(),
        };
        (cli, words)
    }

    #[test]
    fn the_whole_tree_is_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn what_follows_the_name_belongs_to_the_program() {
        let (cli, words) = program("wippy -C dir run greet --help -C x list");
        assert_eq!(cli.globals.project.unwrap(), PathBuf::from("dir"));
        assert_eq!(words, ["greet", "--help", "-C", "x", "list"]);
        let (cli, words) = program("wippy run -x -C dir app:main -- -x");
        assert_eq!(cli.globals.project.unwrap(), PathBuf::from("dir"));
        assert_eq!(words, ["app:main", "--", "-x"]);
    }

    #[test]
    fn an_unknown_option_before_the_name_is_wrong_usage() {
        let error = Cli::try_parse_from(["wippy", "run", "--jsn", "list"]).unwrap_err();
        assert_eq!(error.exit_code(), 2);
    }
}
