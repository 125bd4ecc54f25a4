//! Names of things: [`EntryId`] for entries, [`Pid`] for processes. Both are text to programs and cheap to clone here.

use std::collections::{HashMap, HashSet};
use std::fmt;
use std::hash::{Hash, Hasher};
use std::sync::{Arc, Mutex};

use rustc_hash::FxBuildHasher;

use crate::error::{Error, Result};
use crate::lock::lock;

/// `namespace:name`, split at the first `:`. Both parts are non-empty; both may contain dots.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct EntryId {
    text: Arc<str>,
    colon: usize,
}

impl EntryId {
    /// Parses a full id.
    ///
    /// # Errors
    /// Invalid when a part is missing.
    pub fn parse(text: &str) -> Result<EntryId> {
        match text.find(':') {
            Some(colon) if colon > 0 && colon + 1 < text.len() => Ok(EntryId {
                text: text.into(),
                colon,
            }),
            _ => Err(Error::invalid(format!(
                "invalid entry id {text:?}: expected namespace:name"
            ))),
        }
    }

    /// Resolves a reference as entries write it: without `:` it names an entry of `namespace`.
    ///
    /// # Errors
    /// Invalid when the resulting id has an empty part.
    pub fn resolve(reference: &str, namespace: &str) -> Result<EntryId> {
        if reference.contains(':') {
            EntryId::parse(reference)
        } else {
            EntryId::parse(&format!("{namespace}:{reference}"))
        }
    }

    pub fn new(namespace: &str, name: &str) -> EntryId {
        EntryId {
            text: format!("{namespace}:{name}").into(),
            colon: namespace.len(),
        }
    }

    pub fn namespace(&self) -> &str {
        &self.text[..self.colon]
    }

    pub fn name(&self) -> &str {
        &self.text[self.colon + 1..]
    }

    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// The text as a shared string, without a copy.
    pub fn shared(&self) -> Arc<str> {
        self.text.clone()
    }
}

impl fmt::Display for EntryId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl fmt::Debug for EntryId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

/// What is looked up by entry id. Ids come from the project's own files, so a quick hash will do.
pub type ById<T> = HashMap<EntryId, T, FxBuildHasher>;

/// The host part of a pid. A pid goes with every message, and all of a host's have the same one: were it counted, workers
/// would wait for each other's counting. So the names of hosts that there are stay for good; there are as many as hosts
/// were ever declared.
#[derive(Clone)]
pub enum HostName {
    Kept(&'static str),
    /// Of a pid that was read from a text.
    Read(Arc<str>),
}

impl HostName {
    /// The name of a host that there is.
    pub fn keep(name: &str) -> HostName {
        static KEPT: Mutex<Option<HashSet<&'static str>>> = Mutex::new(None);
        let mut kept = lock(&KEPT);
        let kept = kept.get_or_insert_default();
        if let Some(name) = kept.get(name) {
            return HostName::Kept(name);
        }
        let name: &'static str = String::leak(name.to_owned());
        kept.insert(name);
        HostName::Kept(name)
    }

    pub fn as_str(&self) -> &str {
        match self {
            HostName::Kept(name) => name,
            HostName::Read(name) => name,
        }
    }
}

impl PartialEq for HostName {
    fn eq(&self, other: &HostName) -> bool {
        let (one, other) = (self.as_str(), other.as_str());
        std::ptr::eq(one, other) || one == other
    }
}

impl Eq for HostName {}

impl Hash for HostName {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.as_str().hash(state);
    }
}

/// A process id, `{host|0x00001}`: the host's id and a counter that is never reused while the runtime lives.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Pid {
    host: HostName,
    number: u64,
}

impl Pid {
    pub fn new(host: HostName, number: u64) -> Pid {
        Pid { host, number }
    }

    /// Parses the text form. A node part (`node@host`) stays in the host text; of three segments the last one counts.
    ///
    /// # Errors
    /// Invalid `invalid pid format: missing braces` or `… missing pipe`; NotFound for a text that has the form of a pid and
    /// whose number no process can have.
    pub fn parse(text: &str) -> Result<Pid> {
        let (front, number) = Pid::parts(text)?;
        let host = front.split_once('|').map_or(front, |(host, _name)| host);
        let number = number
            .strip_prefix("0x")
            .and_then(|hex| u64::from_str_radix(hex, 16).ok())
            .ok_or_else(|| Error::not_found(format!("process not found: {text}")))?;
        Ok(Pid {
            host: HostName::Read(host.into()),
            number,
        })
    }

    /// Whether a text reads as a pid, of a process that there may be or not.
    pub fn has_form(text: &str) -> bool {
        Pid::parts(text).is_ok()
    }

    /// What stands before the last pipe and behind it.
    fn parts(text: &str) -> Result<(&str, &str)> {
        let inner = text
            .strip_prefix('{')
            .and_then(|rest| rest.strip_suffix('}'))
            .filter(|_| text.len() >= 3)
            .ok_or_else(|| Error::invalid("invalid pid format: missing braces"))?;
        inner
            .rsplit_once('|')
            .ok_or_else(|| Error::invalid("invalid pid format: missing pipe"))
    }

    pub fn host(&self) -> &str {
        self.host.as_str()
    }

    /// The node-wide counter value; unique by itself.
    pub fn number(&self) -> u64 {
        self.number
    }

    /// Appends its text, several times quicker than formatting does: each spawn and each event shows a pid.
    pub fn write_to(&self, text: &mut Vec<u8>) {
        text.push(b'{');
        text.extend_from_slice(self.host().as_bytes());
        text.extend_from_slice(b"|0x");
        for digit in (0..self.width()).rev() {
            text.push(b"0123456789abcdef"[(self.number >> (digit * 4) & 0xf) as usize]);
        }
        text.push(b'}');
    }

    /// Digits that are shown.
    fn width(&self) -> usize {
        match self.number {
            n if n <= 0xf_ffff => 5,
            n if n <= 0xff_ffff => 6,
            n if n <= 0xffff_ffff => 8,
            _ => 16,
        }
    }
}

impl fmt::Display for Pid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{{{}|0x{:0width$x}}}",
            self.host(),
            self.number,
            width = self.width()
        )
    }
}

impl fmt::Debug for Pid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::Kind;

    #[test]
    fn pids_print_padded_and_parse_back() {
        for (number, text) in [
            (1, "{app:p|0x00001}"),
            (0x2a, "{app:p|0x0002a}"),
            (0x10_0000, "{app:p|0x100000}"),
            (0x100_0000, "{app:p|0x01000000}"),
            (0x1_0000_0000, "{app:p|0x0000000100000000}"),
        ] {
            let pid = Pid::new(HostName::keep("app:p"), number);
            assert_eq!(pid.to_string(), text);
            let mut written = Vec::new();
            pid.write_to(&mut written);
            assert_eq!(written, text.as_bytes());
            assert_eq!(Pid::parse(text).unwrap(), pid);
        }
        assert_eq!(
            Pid::parse("{h|some.name|0x00007}").unwrap(),
            Pid::new(HostName::keep("h"), 7)
        );
        assert_eq!(Pid::parse("{n@h|0x00007}").unwrap().host(), "n@h");
    }

    #[test]
    fn bad_pids_say_what_is_missing() {
        for (text, message) in [
            ("", "invalid pid format: missing braces"),
            ("{}", "invalid pid format: missing braces"),
            ("app:p|0x1", "invalid pid format: missing braces"),
            ("{app}", "invalid pid format: missing pipe"),
        ] {
            assert_eq!(Pid::parse(text).unwrap_err().message(), message, "{text}");
            assert!(!Pid::has_form(text), "{text}");
        }
    }

    #[test]
    fn a_pid_without_a_number_is_of_no_process() {
        for text in ["{|}", "{a|b}", "{n@a|b|c}", "{app:p|1}", "{app:p|0x}", "{app:p|0X1}"] {
            let error = Pid::parse(text).unwrap_err();
            assert_eq!(
                (error.kind(), error.message()),
                (Kind::NotFound, format!("process not found: {text}").as_str())
            );
            assert!(Pid::has_form(text), "{text}");
        }
    }

    #[test]
    fn ids_split_at_the_first_colon() {
        let id = EntryId::parse("a.b:c:d").unwrap();
        assert_eq!((id.namespace(), id.name()), ("a.b", "c:d"));
        assert_eq!(EntryId::resolve("w", "app").unwrap().as_str(), "app:w");
        for bad in ["", ":", "a:", ":b", "ab"] {
            assert!(EntryId::parse(bad).is_err(), "{bad}");
        }
    }
}
