//! Grants: what `imports:` of an entry allows its guest, and which imports of a module they cover.
//!
//! Here are only names and sets. Which functions stand behind a grant is `linker`'s business, what they may reach `wasi`'s.

use std::fmt;

use crate::error::{Error, Result};

/// One grant. The order is that of the documentation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Grant {
    Io,
    Poll,
    Cli,
    Filesystem,
    Clocks,
    Random,
    Sockets,
    Http,
    Funcs,
    Process,
    Time,
    Log,
    Env,
    Wasi1,
}

impl Grant {
    pub const ALL: [Grant; 14] = [
        Grant::Io,
        Grant::Poll,
        Grant::Cli,
        Grant::Filesystem,
        Grant::Clocks,
        Grant::Random,
        Grant::Sockets,
        Grant::Http,
        Grant::Funcs,
        Grant::Process,
        Grant::Time,
        Grant::Log,
        Grant::Env,
        Grant::Wasi1,
    ];

    /// As entries write it.
    pub const fn name(self) -> &'static str {
        match self {
            Grant::Io => "wasi:io",
            Grant::Poll => "wasi:poll",
            Grant::Cli => "wasi:cli",
            Grant::Filesystem => "wasi:filesystem",
            Grant::Clocks => "wasi:clocks",
            Grant::Random => "wasi:random",
            Grant::Sockets => "wasi:sockets",
            Grant::Http => "wasi:http",
            Grant::Funcs => "funcs",
            Grant::Process => "wippy:process",
            Grant::Time => "wippy:time",
            Grant::Log => "wippy:log",
            Grant::Env => "wippy:env",
            Grant::Wasi1 => "wasi1",
        }
    }

    /// The grant that `imports:` calls so: case, surrounding blanks and a version do not matter, an interface stands for
    /// its group.
    fn parse(text: &str) -> Option<Grant> {
        let text = text.trim().to_ascii_lowercase();
        let name = text.split('@').next().unwrap_or_default();
        if matches!(name, "wasi-preview1" | "preview1" | "wasi_snapshot_preview1") {
            return Some(Grant::Wasi1);
        }
        Grant::ALL
            .into_iter()
            .find(|grant| grant.name() == name)
            .or_else(|| Grant::covering(name))
    }

    /// The grant that covers an imported interface, given with or without its version.
    pub fn covering(interface: &str) -> Option<Grant> {
        let interface = interface.split('@').next().unwrap_or_default();
        let (package, name) = interface.split_once('/')?;
        let known = |names: &[&str], grant| names.contains(&name).then_some(grant);
        match package {
            "wasi:io" => known(&["error", "streams", "poll"], Grant::Io),
            "wasi:cli" if name.starts_with("terminal-") => Some(Grant::Cli),
            "wasi:cli" => known(
                &["environment", "exit", "stdin", "stdout", "stderr", "types"],
                Grant::Cli,
            ),
            "wasi:filesystem" => known(&["types", "preopens"], Grant::Filesystem),
            "wasi:clocks" => known(
                &["wall-clock", "monotonic-clock", "system-clock", "timezone", "types"],
                Grant::Clocks,
            ),
            "wasi:random" => known(&["random", "insecure", "insecure-seed"], Grant::Random),
            "wasi:sockets" => Some(Grant::Sockets),
            "wasi:http" => Some(Grant::Http),
            "wippy:runtime" => match name {
                "funcs" => Some(Grant::Funcs),
                "process" => Some(Grant::Process),
                "time" => Some(Grant::Time),
                "log" => Some(Grant::Log),
                "env" => Some(Grant::Env),
                _ => None,
            },
            _ => None,
        }
    }

    /// Whether only components can import what it covers.
    fn needs_component(self) -> bool {
        matches!(
            self,
            Grant::Funcs | Grant::Process | Grant::Time | Grant::Log | Grant::Env
        )
    }
}

impl fmt::Display for Grant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// A set of grants.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Grants(u16);

impl Grants {
    /// Reads `imports:` of an entry whose module is a component or a core module.
    ///
    /// # Errors
    /// Invalid for an unknown name, with the nearest one, and for a grant that needs a component.
    pub fn parse(imports: &[String], component: bool) -> Result<Grants> {
        let mut grants = Grants::default();
        for text in imports {
            let grant = Grant::parse(text).ok_or_else(|| unknown(text))?;
            if grant.needs_component() && !component {
                return Err(Error::invalid(format!(
                    "wasm host import requires component module: {grant}"
                )));
            }
            grants.insert(grant);
        }
        Ok(grants)
    }

    pub fn has(self, grant: Grant) -> bool {
        self.0 & (1 << grant as u16) != 0
    }

    fn insert(&mut self, grant: Grant) {
        self.0 |= 1 << grant as u16;
        if grant == Grant::Wasi1 {
            for topic in [Grant::Cli, Grant::Filesystem, Grant::Clocks, Grant::Random] {
                self.insert(topic);
            }
        }
    }
}

fn unknown(text: &str) -> Error {
    let names = Grant::ALL.map(Grant::name);
    let hint = match nearest(text.trim(), names) {
        Some(name) => format!(" (did you mean {name}?)"),
        None => String::new(),
    };
    Error::invalid(format!("unsupported wasm host import: {}{hint}", text.trim()))
}

/// The name that was probably meant, if one is near.
pub fn nearest<'a>(text: &str, names: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let text = text.to_ascii_lowercase();
    names
        .into_iter()
        .map(|name| (strsim::jaro_winkler(&text, &name.to_ascii_lowercase()), name))
        .filter(|(likeness, _)| *likeness > 0.75)
        .max_by(|a, b| a.0.total_cmp(&b.0))
        .map(|(_, name)| name)
}

/// The `imports:` line of an entry with one more grant, or without some.
pub fn imports_line<S: AsRef<str>>(imports: impl IntoIterator<Item = S>) -> String {
    let names: Vec<String> = imports.into_iter().map(|name| name.as_ref().to_owned()).collect();
    format!("imports: [{}]", names.join(", "))
}

/// The grant that a line of `imports:` stands for.
pub fn meaning(text: &str) -> Option<Grant> {
    Grant::parse(text)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::Kind;

    fn parse(names: &[&str], component: bool) -> Result<Grants> {
        let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
        Grants::parse(&names, component)
    }

    #[test]
    fn names_are_trimmed_caseless_without_version_and_interfaces_stand_for_their_group() {
        let grants = parse(
            &[" WASI:CLI ", "wasi:io/poll@0.2.3", "wasi:http/outgoing-handler"],
            true,
        )
        .unwrap();
        for (grant, given) in [
            (Grant::Cli, true),
            (Grant::Io, true),
            (Grant::Http, true),
            (Grant::Poll, false),
            (Grant::Filesystem, false),
        ] {
            assert_eq!(grants.has(grant), given, "{grant}");
        }
    }

    #[test]
    fn preview_1_is_four_topics_under_any_of_its_names() {
        for name in ["wasi1", "wasi-preview1", "preview1", "wasi_snapshot_preview1"] {
            let grants = parse(&[name], false).unwrap();
            for grant in [Grant::Cli, Grant::Filesystem, Grant::Clocks, Grant::Random] {
                assert!(grants.has(grant), "{name}: {grant}");
            }
            assert!(!grants.has(Grant::Sockets));
        }
    }

    #[test]
    fn unknown_names_get_a_suggestion() {
        let error = parse(&["wasi:filesytem"], true).unwrap_err();
        assert_eq!(error.kind(), Kind::Invalid);
        assert_eq!(
            error.message(),
            "unsupported wasm host import: wasi:filesytem (did you mean wasi:filesystem?)"
        );
        let error = parse(&["q"], true).unwrap_err();
        assert_eq!(error.message(), "unsupported wasm host import: q");
    }

    #[test]
    fn funcs_needs_a_component() {
        let error = parse(&["funcs"], false).unwrap_err();
        assert_eq!(error.message(), "wasm host import requires component module: funcs");
        assert!(parse(&["funcs"], true).unwrap().has(Grant::Funcs));
    }
}
