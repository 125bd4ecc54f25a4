//! The names that `imports:` of a WASM entry may hold, and the interfaces they stand for. Linking them is the business of
//! the engines.

use std::fmt;

use super::near::nearest;

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
    pub fn find(text: &str) -> Option<Grant> {
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

    /// Whether having `self` means having `other` too.
    pub fn includes(self, other: Grant) -> bool {
        match self {
            Grant::Wasi1 => matches!(
                other,
                Grant::Cli | Grant::Filesystem | Grant::Clocks | Grant::Random | Grant::Wasi1
            ),
            Grant::Io => matches!(other, Grant::Io | Grant::Poll),
            _ => self == other,
        }
    }

    /// Whether it is about the network, where `wasi.network` decides what is reached.
    pub fn is_outward(self) -> bool {
        matches!(self, Grant::Sockets | Grant::Http)
    }

    /// Whether only components can import what it covers.
    pub fn needs_component(self) -> bool {
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

/// That a name is none of them, with the one that was probably meant.
pub fn unknown(name: &str) -> String {
    let name = name.trim();
    let bare = name.split(['@', '/']).next().unwrap_or_default();
    match nearest(bare, Grant::ALL.map(Grant::name)) {
        Some(near) => format!("unsupported wasm host import: {name} (did you mean `{near}`?)"),
        None => format!("unsupported wasm host import: {name}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_found_in_every_spelling() {
        for (name, grant) in [
            (" WASI:CLI ", Grant::Cli),
            ("wasi:io/poll@0.2.3", Grant::Io),
            ("wasi:poll", Grant::Poll),
            ("wippy:runtime/funcs@0.1.0", Grant::Funcs),
            ("preview1", Grant::Wasi1),
            ("wasi1", Grant::Wasi1),
        ] {
            assert_eq!(Grant::find(name), Some(grant), "{name}");
        }
        assert_eq!(Grant::find("wasi:nn"), None);
        assert_eq!(Grant::find("wasi:io/nothing"), None);
        assert_eq!(
            unknown("wasi:filesytem/types"),
            "unsupported wasm host import: wasi:filesytem/types (did you mean `wasi:filesystem`?)"
        );
    }
}
