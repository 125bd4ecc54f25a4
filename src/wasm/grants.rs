//! Grants: what `imports:` of an entry allows its guest, and which imports of a module they cover.
//!
//! The names are [`project`](crate::project::grants)'s, here are sets of them. Which functions stand behind a grant is `linker`'s business, what they may reach `wasi`'s.

use crate::error::{Error, Result};
pub use crate::project::grants::Grant;
use crate::project::grants::unknown;

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
            let grant = Grant::find(text).ok_or_else(|| Error::invalid(unknown(text)))?;
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
    Grant::find(text)
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
            "unsupported wasm host import: wasi:filesytem (did you mean `wasi:filesystem`?)"
        );
        let error = parse(&["q"], true).unwrap_err();
        assert_eq!(error.message(), "unsupported wasm host import: q");
    }

    #[test]
    fn what_the_runtime_offers_needs_a_component() {
        for grant in ["wippy:process", "wippy:time", "wippy:log", "wippy:runtime/env@0.1.3"] {
            assert_eq!(parse(&[grant], false).unwrap_err().kind(), Kind::Invalid, "{grant}");
            assert!(parse(&[grant], true).is_ok(), "{grant}");
        }
        let error = parse(&["funcs"], false).unwrap_err();
        assert_eq!(error.message(), "wasm host import requires component module: funcs");
        assert!(parse(&["funcs"], true).unwrap().has(Grant::Funcs));
    }
}
