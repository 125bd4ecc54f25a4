//! `wippy types`: the definitions are read by a small parser of their annotations and held against the modules as they are; the
//! project's part of them against what the project has.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::path::Path;

use crate::harness::Folder;
use crate::projects::{index, project, wasm};

/// Types that LuaCATS has by itself.
const BUILT_IN: [&str; 15] = [
    "any", "nil", "boolean", "string", "number", "integer", "table", "function", "thread", "userdata", "true", "false",
    "never", "fun", "self",
];

/// Kinds of errors, with which the description of every returned Error begins.
const KINDS: [&str; 11] = [
    "NotFound",
    "AlreadyExists",
    "Invalid",
    "PermissionDenied",
    "Unavailable",
    "Internal",
    "Canceled",
    "Conflict",
    "Timeout",
    "RateLimited",
    "LimitExceeded",
];

/// What standard Lua 5.4 has of the libraries that ours adds to.
const STANDARD: [(&str, &str); 7] = [
    (
        "_G",
        "assert collectgarbage error getmetatable ipairs load next pairs pcall print rawequal rawget rawlen rawset require \
         select setmetatable tonumber tostring type xpcall",
    ),
    ("coroutine", "close create isyieldable resume running status wrap yield"),
    ("debug", "traceback"),
    (
        "math",
        "abs acos asin atan ceil cos deg exp floor fmod log max min modf rad random randomseed sin sqrt tan tointeger type ult",
    ),
    ("package", "seeall"),
    (
        "string",
        "byte char find format gmatch gsub len lower match pack packsize rep reverse sub unpack upper",
    ),
    ("table", "concat insert move pack remove sort unpack"),
];

/// What the files say, and what is wrong with how they say it.
#[derive(Default)]
struct Definitions {
    /// By name: parameters.
    functions: BTreeMap<String, Vec<String>>,
    /// Fields by class.
    classes: BTreeMap<String, Vec<String>>,
    /// The class of a global table: `process` has `processlib`.
    tables: BTreeMap<String, String>,
    /// Globals of one class: `assert`.
    variables: BTreeSet<String>,
    aliases: BTreeSet<String>,
    /// Types that are used, with their place.
    used: Vec<(String, String)>,
    wrong: Vec<String>,
}

/// The annotations above one line of Lua.
#[derive(Default)]
struct Block {
    text: bool,
    class: Option<String>,
    alias: bool,
    params: Vec<(String, String)>,
    returns: Vec<(String, String)>,
}

impl Definitions {
    fn read(folder: &Folder) -> Definitions {
        let mut all = Definitions::default();
        let files = std::fs::read_dir(folder.path().join(".wippy/types")).expect("the definitions");
        for file in files {
            let path = file.expect("a readable folder").path();
            let name = path.file_stem().expect("a file").to_string_lossy().into_owned();
            all.file(&name, &std::fs::read_to_string(&path).expect("a text"));
        }
        all.resolve();
        all
    }

    /// Looks for the types that are used among those that are defined.
    fn resolve(&mut self) {
        let all = self;
        for (ty, place) in std::mem::take(&mut all.used) {
            for word in words(&ty) {
                let known =
                    BUILT_IN.contains(&word.as_str()) || all.classes.contains_key(&word) || all.aliases.contains(&word);
                if !known {
                    all.wrong.push(format!("{place}: unknown type {word} in {ty}"));
                }
            }
            if !is_balanced(&ty) {
                all.wrong.push(format!("{place}: brackets of {ty}"));
            }
        }
    }

    fn file(&mut self, name: &str, text: &str) {
        let first = text.lines().next().unwrap_or_default();
        if !(first == "---@meta _" || first == format!("---@meta {name}")) {
            self.wrong.push(format!("{name}: begins with {first}"));
        }
        let mut block = Block::default();
        for (at, line) in text.lines().enumerate().skip(1) {
            let place = format!("{name}.lua:{}", at + 1);
            match line.strip_prefix("---") {
                Some(line) => self.annotation(line, &mut block, &place),
                None => self.code(line, std::mem::take(&mut block), &place),
            }
        }
    }

    fn annotation(&mut self, line: &str, block: &mut Block, place: &str) {
        let Some(tag) = line.strip_prefix('@') else {
            match line.strip_prefix("| ") {
                Some(case) => self
                    .used
                    .push((case.split('#').next().unwrap_or_default().to_owned(), place.to_owned())),
                None => block.text = true,
            }
            return;
        };
        let (tag, rest) = tag.split_once(' ').unwrap_or((tag, ""));
        match tag {
            "class" => {
                let (name, parent) = rest.split_once(": ").unwrap_or((rest, "any"));
                self.used.push((parent.to_owned(), place.to_owned()));
                if self.classes.insert(name.to_owned(), Vec::new()).is_some() {
                    self.wrong.push(format!("{place}: class {name} twice"));
                }
                block.class = Some(name.to_owned());
            }
            "alias" => {
                let (name, ty) = rest.split_once(' ').unwrap_or((rest, "any"));
                self.used.push((ty.to_owned(), place.to_owned()));
                if !self.aliases.insert(name.to_owned()) {
                    self.wrong.push(format!("{place}: alias {name} twice"));
                }
                block.alias = true;
            }
            "field" => {
                let (name, rest) = rest.split_once(' ').unwrap_or((rest, ""));
                let (ty, _) = split_type(rest);
                self.used.push((ty.to_owned(), place.to_owned()));
                let fields = block.class.as_ref().and_then(|class| self.classes.get_mut(class));
                match fields {
                    Some(fields) if !fields.contains(&name.to_owned()) => {
                        fields.push(name.trim_end_matches('?').to_owned())
                    }
                    Some(_) => self.wrong.push(format!("{place}: field {name} twice")),
                    None => self.wrong.push(format!("{place}: field {name} of no class")),
                }
            }
            "param" => {
                let (name, rest) = rest.split_once(' ').unwrap_or((rest, ""));
                let (ty, _) = split_type(rest);
                self.used.push((ty.to_owned(), place.to_owned()));
                block
                    .params
                    .push((name.trim_end_matches('?').to_owned(), ty.to_owned()));
            }
            "return" => {
                let (ty, rest) = split_type(rest);
                self.used.push((ty.to_owned(), place.to_owned()));
                block.returns.push((ty.to_owned(), rest.to_owned()));
            }
            "overload" | "operator" | "type" => self.used.push((rest.replace("concat(any)", ""), place.to_owned())),
            other => self.wrong.push(format!("{place}: unknown tag @{other}")),
        }
    }

    fn code(&mut self, line: &str, block: Block, place: &str) {
        if let Some(head) = line.strip_prefix("function ") {
            let (name, params) = head.split_once('(').expect("a function");
            let params: Vec<String> = params
                .trim_end_matches(") end")
                .split(", ")
                .map(str::to_owned)
                .collect();
            let params: Vec<String> = params.into_iter().filter(|param| !param.is_empty()).collect();
            self.function(name, params, &block, place);
        } else if let Some(table) = line.strip_suffix(" = {}").filter(|name| !name.starts_with("local ")) {
            match block.class {
                Some(class) => drop(self.tables.insert(table.to_owned(), class)),
                None => self.wrong.push(format!("{place}: {table} has no class")),
            }
        } else if let Some(name) = line.strip_suffix(" = nil") {
            self.variables.insert(name.to_owned());
        }
    }

    fn function(&mut self, name: &str, params: Vec<String>, block: &Block, place: &str) {
        let documented: Vec<&String> = block.params.iter().map(|(name, _)| name).collect();
        if documented != params.iter().collect::<Vec<_>>() {
            self.wrong.push(format!(
                "{place}: {name} takes {params:?}, documented are {documented:?}"
            ));
        }
        if !block.text {
            self.wrong.push(format!("{place}: {name} has no text"));
        }
        let errors = block
            .returns
            .iter()
            .filter(|(ty, _)| matches!(ty.as_str(), "Error" | "Error?"));
        for (_, about) in errors {
            let about = about.strip_prefix("err").unwrap_or(about).trim_start();
            let own = name.starts_with("errors.") || KINDS.iter().any(|kind| about.starts_with(kind));
            if !own {
                self.wrong
                    .push(format!("{place}: {name} does not say of which kind its error is"));
            }
        }
        if self.functions.insert(name.to_owned(), params).is_some() {
            self.wrong.push(format!("{place}: {name} twice"));
        }
    }
}

/// A type and what stands behind it.
fn split_type(text: &str) -> (&str, &str) {
    let mut depth = 0;
    let mut quoted = false;
    for (at, c) in text.char_indices() {
        match c {
            '"' => quoted = !quoted,
            _ if quoted => {}
            '(' | '[' | '{' | '<' => depth += 1,
            ')' | ']' | '}' | '>' => depth -= 1,
            ' ' if depth == 0 && !text[..at].ends_with([':', ',', '|']) => return (&text[..at], &text[at + 1..]),
            _ => {}
        }
    }
    (text, "")
}

/// The names of types in a type: no literals, no labels.
fn words(ty: &str) -> Vec<String> {
    let mut found = Vec::new();
    for (at, part) in ty.split('"').enumerate() {
        if at % 2 == 1 {
            continue;
        }
        let mut rest = part;
        while let Some(start) = rest.find(|c: char| c.is_ascii_alphabetic() || c == '_') {
            rest = &rest[start..];
            let end = rest
                .find(|c: char| !(c.is_ascii_alphanumeric() || c == '_'))
                .unwrap_or(rest.len());
            let label = rest[end..].trim_start_matches('?').starts_with(':');
            found.extend((!label || &rest[..end] == "fun").then(|| rest[..end].to_owned()));
            rest = &rest[end..];
        }
    }
    found
}

fn is_balanced(ty: &str) -> bool {
    let mut open = Vec::new();
    for (at, part) in ty.split('"').enumerate() {
        for c in part.chars().filter(|_| at % 2 == 0) {
            match c {
                '(' => open.push(')'),
                '[' => open.push(']'),
                '{' => open.push('}'),
                '<' => open.push('>'),
                ')' | ']' | '}' | '>' if open.pop() != Some(c) => return false,
                _ => {}
            }
        }
    }
    open.is_empty() && ty.split('"').count() % 2 == 1
}

/// Every word in quotes of the sources below a folder: among them are the names of all methods there could be.
fn candidates(folder: &Path, found: &mut BTreeSet<String>) {
    for item in std::fs::read_dir(folder).expect("the sources") {
        let path = item.expect("a readable folder").path();
        if path.is_dir() {
            candidates(&path, found);
            continue;
        }
        let text = std::fs::read_to_string(&path).unwrap_or_default();
        let is_name = |word: &&str| {
            word.starts_with(|c: char| c.is_ascii_lowercase())
                && word
                    .chars()
                    .all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_')
        };
        found.extend(text.split('"').filter(is_name).map(str::to_owned));
    }
}

/// A folder with the definitions of an empty project, and one function to call.
fn defined() -> (Folder, Definitions) {
    let folder = project(
        "  - name: double\n    kind: function.lua\n    method: main\n    source: return { main = function(n) return 2 * n end }\n",
    );
    folder
        .wippy("types")
        .run()
        .code(0)
        .quiet()
        .stdout_has("20 files, 20 of them new");
    let definitions = Definitions::read(&folder);
    assert!(definitions.wrong.is_empty(), "{}", definitions.wrong.join("\n"));
    (folder, definitions)
}

/// One of each class that has methods.
const SAMPLES: &str = r##"
process.send(process.pid(), "t", 1)
local volume = fs.get("script:dir")
local file = volume:open("probe.lua", "r")
local samples = {
	Channel = channel.new(1), Error = errors.new("x"), Payload = payload.new(1), Time = time.now(),
	Duration = time.seconds(1), Location = time.utc, Timer = time.timer("1h"), Ticker = time.ticker("1h"),
	Volume = volume, File = file, Scanner = file:scanner(), Executor = funcs.new(), Future = assert(funcs.async("app:double", 1)),
	Spawner = process.with_context({}), Actor = security.new_actor("x"), Scope = security.new_scope(),
	Message = process.inbox():receive(), logger = logger,
}
for class, sample in pairs(samples) do
	for _, name in ipairs(candidates) do
		local ok, method = pcall(function() return sample[name] end)
		if ok and type(method) == "function" then
			io.print(class .. ":" .. name)
		end
	end
end
for _, name in ipairs(modules) do
	for key, value in pairs(require(name)) do
		io.print(name .. (type(value) == "function" and "." or "#") .. key)
	end
end
for key, value in pairs(process.registry) do
	io.print("process.registry" .. (type(value) == "function" and "." or "#") .. key)
end
for _, name in ipairs({ "_G", "coroutine", "debug", "math", "package", "string", "table" }) do
	for key, value in pairs(_G[name]) do
		if type(value) == "function" then
			io.print((name == "_G" and "" or name .. ".") .. key)
		end
	end
end
"##;

/// What the runtime has, as the definitions name it; `#` before what is no function.
fn real(folder: &Folder) -> BTreeSet<String> {
    let mut names = BTreeSet::new();
    candidates(&Path::new(env!("CARGO_MANIFEST_DIR")).join("src/lua"), &mut names);
    let mut script = String::from("local candidates, modules = {}, {}\n");
    for name in names {
        let _ = writeln!(script, "candidates[#candidates + 1] = \"{name}\"");
    }
    let modules =
        "process channel payload errors os ctx env fs funcs io json registry security supervisor test time uuid";
    for name in modules.split(' ') {
        let _ = writeln!(script, "modules[#modules + 1] = \"{name}\"");
    }
    folder.write("probe.lua", script + SAMPLES);
    let outcome = folder.wippy("run probe.lua").run().code(0);
    let text = String::from_utf8(outcome.stdout).expect("a text");
    let standard: BTreeSet<String> = STANDARD
        .iter()
        .flat_map(|(library, names)| {
            names.split(' ').map(move |name| match *library {
                "_G" => name.to_owned(),
                library => format!("{library}.{name}"),
            })
        })
        .collect();
    text.lines()
        .filter(|line| !standard.contains(*line))
        .map(str::to_owned)
        .collect()
}

#[test]
fn wrong_definitions_are_noticed() {
    for (text, expected) in [
        ("---@class A\n---@field b Missing\n", "unknown type Missing"),
        (
            "---@class A\n---@field b integer\n---@field b integer\n",
            "field b twice",
        ),
        ("---@field b integer\n", "of no class"),
        ("---@alias a fun(x: integer\n", "brackets"),
        ("---@class A\n\n---@class A\n", "class A twice"),
        ("---Text.\n---@param b any\nfunction f(a) end\n", "takes [\"a\"]"),
        (
            "---Text.\n---@param a any\n---@param a any\nfunction f(a) end\n",
            "documented are [\"a\", \"a\"]",
        ),
        ("---Text.\nfunction f() end\n\n---Text.\nfunction f() end\n", "f twice"),
        ("---@return integer n\nfunction f() end\n", "no text"),
        (
            "---Text.\n---@return Error? err it failed\nfunction f() end\n",
            "of which kind",
        ),
        ("---@retrun integer\n", "unknown tag @retrun"),
        ("x = {}\n", "x has no class"),
    ] {
        let mut definitions = Definitions::default();
        definitions.classes.insert("Error".to_owned(), Vec::new());
        definitions.file("x", &format!("---@meta x\n\n{text}"));
        definitions.resolve();
        let wrong = definitions.wrong.join("\n");
        assert!(wrong.contains(expected), "{text}: {wrong}");
    }
}

#[test]
fn the_definitions_and_the_modules_have_the_same_functions_and_fields() {
    let (folder, definitions) = defined();
    let real = real(&folder);
    assert!(
        real.len() > 300 && real.contains("Future:is_canceled") && real.contains("time#utc"),
        "{real:?}"
    );
    // The globals of test files are not there in a script.
    let of_tests: BTreeSet<&str> = test_globals(&definitions);
    let mut said: BTreeSet<String> = definitions
        .functions
        .keys()
        .filter(|name| !of_tests.contains(name.as_str()))
        .cloned()
        .collect();
    for (table, class) in &definitions.tables {
        let is_function = |field: &String| real.contains(&format!("{table}.{field}"));
        let own = definitions.classes[class].iter();
        // The checks of `test` are fields of what it inherits.
        let inherited = (table == "test")
            .then(|| &definitions.classes["TestChecks"])
            .into_iter()
            .flatten();
        said.extend(own.chain(inherited).map(|field| match is_function(field) {
            true => format!("{table}.{field}"),
            false => format!("{table}#{field}"),
        }));
    }
    // A part of `process` with a definition of its own.
    said.insert("process#registry".to_owned());
    let undocumented: Vec<_> = real.difference(&said).collect();
    let unreal: Vec<_> = said.difference(&real).collect();
    assert!(
        undocumented.is_empty() && unreal.is_empty(),
        "not defined: {undocumented:?}\nnot there: {unreal:?}"
    );
}

/// The names that only test files see.
fn test_globals(definitions: &Definitions) -> BTreeSet<&str> {
    let plain = ["subscribe", "unsubscribe", "unpack", "integer", "number", "boolean"];
    let functions = definitions.functions.keys().map(String::as_str);
    let variables = definitions.variables.iter().map(String::as_str);
    functions
        .filter(|name| !name.contains(['.', ':']) && !plain.contains(name))
        .chain(variables)
        .collect()
}

#[test]
fn the_globals_of_test_files_and_luasserts_names_are_defined() {
    let (folder, definitions) = defined();
    let names: Vec<String> = test_globals(&definitions)
        .iter()
        .map(|name| format!("{name} = true"))
        .collect();
    let checks: Vec<String> = definitions.classes["luassert"]
        .iter()
        .map(|name| format!("\"{name}\""))
        .collect();
    folder.write(
        "tests/globals_test.lua",
        format!(
            "local defined = {{ {}, test = true }}\nlocal plain = {{}}\nlocal checks = {{ {} }}\n\
             for name in (\"_G _VERSION boolean channel collectgarbage coroutine ctx debug env error errors fs funcs getmetatable \
             integer io ipairs json load logger math next number os package pairs payload pcall print process rawequal rawget \
             rawlen rawset registry require security select setmetatable string subscribe supervisor table time tonumber \
             tostring type unpack unsubscribe utf8 uuid xpcall\"):gmatch(\"%S+\") do plain[name] = true end\n\
             it(\"has these globals and no others\", function()\n\
             \tfor name in pairs(defined) do assert(_G[name] ~= nil, name) end\n\
             \tfor name in pairs(_G) do assert(defined[name] or plain[name], name) end\n\
             \tfor _, name in ipairs(checks) do assert(assert[name] ~= nil, name) end\n\
             end)\n",
            names.join(", "),
            checks.join(", ")
        ),
    );
    folder.wippy("test").run().code(0);
}

#[test]
fn ids_of_the_project_are_types() {
    let folder = project(
        "  - name: main\n    kind: process.lua\n    meta: { command: { name: main, short: Says \"hi\" } }\n    source: return 1\n  - name: modules\n    kind: fs.directory\n    directory: .\n",
    );
    folder.wippy("types").run().code(0).quiet();
    let text = folder.read(".wippy/types/project.lua");
    for expected in [
        "---@alias SpawnId\n---| \"app:main\" # process.lua Says \"hi\"\n\n",
        "---@alias HostId\n---| \"app:terminal\" # terminal.host\n---| \"app:processes\" # process.host\n\n",
        "---@alias VolumeId\n---| \"app:modules\" # fs.directory\n",
        "---@alias CallId string\n",
    ] {
        assert!(text.contains(expected), "{expected}\nis not in\n{text}");
    }
    let definitions = Definitions::read(&folder);
    assert!(definitions.wrong.is_empty(), "{}", definitions.wrong.join("\n"));
    folder
        .wippy("types")
        .run()
        .code(0)
        .stdout_has("0 of them new or changed");
}

/// The overloads of a function.
fn overloads(folder: &Folder, file: &str, function: &str) -> Vec<String> {
    let text = folder.read(&format!(".wippy/types/{file}.lua"));
    let above = text
        .split(&format!("\nfunction {function}("))
        .next()
        .expect("the function");
    let lines = above.lines().rev().take_while(|line| line.starts_with("---"));
    lines
        .filter_map(|line| line.strip_prefix("---@overload ").map(str::to_owned))
        .collect()
}

#[test]
fn wasm_entries_have_overloads_of_their_wit_types() {
    let folder = wasm("compute", "compute", "");
    folder.wippy("types").run().code(0).quiet();
    let start = "id: \"app:main\", host: HostId|string|nil, a: integer, b: integer)";
    for name in ["spawn", "spawn_monitored", "spawn_linked", "spawn_linked_monitored"] {
        let own = format!("fun({start}: Pid?, Error?");
        assert_eq!(overloads(&folder, "process", &format!("process.{name}")), [own]);
        let built = format!("fun(self: Spawner, {start}: Pid?, Error?");
        assert_eq!(overloads(&folder, "process", &format!("Spawner:{name}")), [built]);
    }
    assert_eq!(
        overloads(&folder, "process", "process.exec"),
        [format!("fun({start}: integer?, Error?")]
    );
    assert!(
        overloads(&folder, "funcs", "funcs.call").is_empty(),
        "it has no default host"
    );
}

#[test]
fn functions_and_every_type_have_overloads_that_parse() {
    let methods = ["echo-item", "echo-list-bytes", "echo-shape", "echo-perms", "compute"];
    let mut entries = String::from("  - name: modules\n    kind: fs.directory\n    directory: ./wasm\n");
    for method in methods {
        let _ = write!(
            entries,
            "  - name: {method}\n    kind: function.wasm\n    fs: modules\n    path: types.wasm\n    hash: {}\n    method: {method}\n",
            crate::harness::hash("types")
        );
    }
    let folder = Folder::with(&[("src/_index.yaml", &index(&entries))]);
    folder.write("wasm/.keep", "");
    folder.copy_in(&crate::harness::guest("types"), "wasm/types.wasm");
    // `compute` is not exported.
    let outcome = folder.wippy("types").run().code(0);
    let outcome = outcome.stderr_has("no types for app:compute: ");
    assert_eq!(String::from_utf8_lossy(&outcome.stderr).lines().count(), 1, "{outcome}");
    let calls = overloads(&folder, "funcs", "funcs.call");
    assert_eq!(calls.len(), methods.len() - 1, "{calls:?}");
    assert!(calls.iter().all(|call| call.contains("id: \"app:echo-")), "{calls:?}");
    let item = "{id: integer, [\"display-name\"]: string, display_name: string, ";
    assert!(calls.iter().any(|call| call.contains(item)), "{calls:?}");
    let definitions = Definitions::read(&folder);
    assert!(definitions.wrong.is_empty(), "{}", definitions.wrong.join("\n"));
}

#[test]
fn settings_are_extended_and_never_destroyed() {
    let folder = Folder::with(&[(".luarc.json", "{\n  // mine\n  \"diagnostics.globals\": [\"x\"],\n}\n")]);
    folder.wippy("types").run().code(0).stdout_has(".luarc.json: extended");
    let text = folder.read(".luarc.json");
    assert!(
        text.starts_with("{\n  // mine\n  \"diagnostics.globals\": [\"x\"],\n  \"runtime.version\""),
        "{text}"
    );
    assert!(text.contains("\"workspace.library\": [\".wippy/types\"]"), "{text}");
    folder.wippy("types").run().code(0).stdout_has(".luarc.json: has all");
    assert_eq!(folder.read(".luarc.json"), text);

    let broken = "{ \"a\": }";
    folder.write(".luarc.json", broken);
    folder
        .wippy("types")
        .run()
        .code(3)
        .stderr_has("line 1 is not JSON")
        .stderr_has("\"workspace.library\"");
    assert_eq!(folder.read(".luarc.json"), broken);
}

#[test]
fn a_place_that_cannot_be_written_is_named() {
    let folder = Folder::with(&[(".wippy/types", "a file")]);
    folder
        .wippy("types")
        .run()
        .code(1)
        .stderr_has(".wippy/types")
        .stderr_has("cannot write");
}
