//! The names that `imports:` of a WASM entry may hold, and what they stand for. Linking them is the engines' business.

use super::near::nearest;

/// Declares grants in one table: variant, canonical name, interfaces (without version).
macro_rules! grants {
    ($($variant:ident $name:literal [$($interface:literal),*],)*) => {
        /// A capability that an entry can grant to its guest.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum Grant { $($variant),* }

        impl Grant {
            pub const ALL: &'static [Grant] = &[$(Grant::$variant),*];

            /// As it is written in `imports:`.
            pub const fn name(self) -> &'static str {
                match self { $(Grant::$variant => $name),* }
            }

            /// The interfaces it stands for, without version.
            pub const fn interfaces(self) -> &'static [&'static str] {
                match self { $(Grant::$variant => &[$($interface),*]),* }
            }
        }
    };
}

grants! {
    Io "wasi:io" ["wasi:io/error", "wasi:io/streams", "wasi:io/poll"],
    Poll "wasi:poll" ["wasi:io/poll"],
    Cli "wasi:cli" [
        "wasi:cli/environment", "wasi:cli/exit", "wasi:cli/stdin", "wasi:cli/stdout", "wasi:cli/stderr",
        "wasi:cli/terminal-input", "wasi:cli/terminal-output", "wasi:cli/terminal-stdin", "wasi:cli/terminal-stdout",
        "wasi:cli/terminal-stderr", "wasi:cli/types"
    ],
    Filesystem "wasi:filesystem" ["wasi:filesystem/types", "wasi:filesystem/preopens"],
    Clocks "wasi:clocks" [
        "wasi:clocks/wall-clock", "wasi:clocks/monotonic-clock", "wasi:clocks/system-clock", "wasi:clocks/types",
        "wasi:clocks/timezone"
    ],
    Random "wasi:random" ["wasi:random/random", "wasi:random/insecure", "wasi:random/insecure-seed"],
    Sockets "wasi:sockets" [
        "wasi:sockets/tcp", "wasi:sockets/tcp-create-socket", "wasi:sockets/udp", "wasi:sockets/udp-create-socket",
        "wasi:sockets/network", "wasi:sockets/instance-network", "wasi:sockets/ip-name-lookup", "wasi:sockets/types"
    ],
    Http "wasi:http" ["wasi:http/types", "wasi:http/outgoing-handler", "wasi:http/client"],
    Funcs "funcs" ["wippy:runtime/funcs"],
    Process "wippy:process" ["wippy:runtime/process"],
    Time "wippy:time" ["wippy:runtime/time"],
    Log "wippy:log" ["wippy:runtime/log"],
    Env "wippy:env" ["wippy:runtime/env"],
    Wasi1 "wasi1" [],
}

/// Other spellings of [`Grant::Wasi1`].
const WASI1: [&str; 3] = ["wasi-preview1", "preview1", "wasi_snapshot_preview1"];

impl Grant {
    /// The grant of that name: case and surrounding space do not count, a version is ignored, and an interface
    /// (`wasi:io/poll`) stands for its group. None for an unknown name.
    pub fn find(name: &str) -> Option<Grant> {
        let name = name.trim().to_ascii_lowercase();
        let name = name.split('@').next().unwrap_or_default();
        if WASI1.contains(&name) {
            return Some(Grant::Wasi1);
        }
        let named = |grant: &&Grant| grant.name() == name || grant.interfaces().contains(&name);
        Grant::ALL.iter().find(named).copied()
    }

    /// The known name that was probably meant.
    pub fn nearest(name: &str) -> Option<&'static str> {
        let bare = name.split(['@', '/']).next().unwrap_or_default().trim();
        nearest(bare, Grant::ALL.iter().map(|grant| grant.name()))
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
        assert_eq!(Grant::nearest("wasi:filesytem/types"), Some("wasi:filesystem"));
    }
}
