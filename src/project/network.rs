//! `wasi.network`: what an entry may list, and what a guest may reach by it. Pure: nothing here looks a name up.
//!
//! | pattern | allows |
//! |---|---|
//! | `example.org:443` | connecting to port 443 of the addresses that `example.org` leads to |
//! | `*.example.org:443` | the same for every name below `example.org`, not for `example.org` itself |
//! | `127.0.0.1:*`, `[::1]:8080` | connecting to that address, on any port or one |
//! | `*:443` | connecting to every name and every address |
//! | `0.0.0.0:8080`, `[::]:*` | binding and listening on that port, of any address of the machine; connecting to none |
//!
//! Invariant: a name never leads to the machine itself (loopback, link-local) unless it is `localhost`, so that whoever
//! answers for an allowed name cannot send a guest there; the address itself has to be listed for that.

use std::borrow::Cow;
use std::fmt;
use std::net::{IpAddr, Ipv6Addr, SocketAddr};

use idna::AsciiDenyList;

/// The longest name, in bytes, and the longest of its labels.
const LONGEST_NAME: usize = 253;
const LONGEST_LABEL: usize = 63;

/// What can be connected to: a name in its plain form (lower case, no dot at the end), or an address that is IPv4 whenever
/// it can be.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Host {
    Name(String),
    Address(IpAddr),
}

impl Host {
    /// A host as programs write it; an IPv6 address with or without brackets. A name with other letters than ASCII's becomes
    /// what IDNA (UTS 46) makes of it. None for what is neither a name nor an address, also for the short and numeric forms of IPv4 that some resolvers take (`127.1`).
    pub fn parse(text: &str) -> Option<Host> {
        let bare = text.strip_prefix('[').and_then(|text| text.strip_suffix(']'));
        if let Some(bare) = bare {
            return bare
                .parse::<Ipv6Addr>()
                .ok()
                .map(|address| Host::address(address.into()));
        }
        match text.parse::<IpAddr>() {
            Ok(address) => Some(Host::address(address)),
            Err(_) => name(text).map(Host::Name),
        }
    }

    fn address(address: IpAddr) -> Host {
        Host::Address(address.to_canonical())
    }

    /// As a pattern lists it together with a port, `*` for any.
    pub fn with_port(&self, port: impl fmt::Display) -> String {
        match self {
            Host::Address(IpAddr::V6(address)) => format!("[{address}]:{port}"),
            Host::Address(address) => format!("{address}:{port}"),
            Host::Name(name) => format!("{name}:{port}"),
        }
    }
}

fn name(text: &str) -> Option<String> {
    let text = match text.is_ascii() {
        true => Cow::from(text),
        // Which characters a label may have is asked below.
        false => idna::domain_to_ascii_cow(text.as_bytes(), AsciiDenyList::EMPTY).ok()?,
    };
    let name = text.strip_suffix('.').unwrap_or(&text).to_ascii_lowercase();
    let labels = name.split('.').all(is_label);
    // A resolver would read it as an address.
    let last = name.rsplit('.').next().unwrap_or_default();
    let hex = last
        .strip_prefix("0x")
        .is_some_and(|rest| rest.bytes().all(|b| b.is_ascii_hexdigit()));
    let numeric = hex || last.bytes().all(|byte| byte.is_ascii_digit());
    (labels && !numeric && name.len() <= LONGEST_NAME).then_some(name)
}

fn is_label(label: &str) -> bool {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_';
    !label.is_empty() && label.len() <= LONGEST_LABEL && label.bytes().all(plain)
}

/// One line of the list.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Pattern {
    hosts: Hosts,
    /// None: any.
    port: Option<u16>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Hosts {
    Any,
    One(Host),
    /// With the dot before it: `.example.org`.
    Below(String),
    /// Own addresses of the machine, by family.
    Own(IpAddr),
}

impl Pattern {
    /// # Errors
    /// What to write instead.
    fn parse(text: &str) -> Result<Pattern, &'static str> {
        if text.contains("://") || text.contains('/') {
            return Err("host and port alone, like `example.org:443`");
        }
        let Some((host, port)) = text.rsplit_once(':').filter(|(host, _)| !host.is_empty()) else {
            return Err("like `example.org:443`, `*.example.org:443`, `127.0.0.1:*`");
        };
        if host.contains(':') && !host.starts_with('[') {
            return Err("an IPv6 address stands in brackets, like `[::1]:443`");
        }
        let port = match port {
            "*" => None,
            _ => Some(number(port).ok_or("the port is a number from 1 to 65535 or `*`")?),
        };
        Ok(Pattern {
            hosts: Hosts::parse(host)?,
            port,
        })
    }

    fn has_port(&self, port: u16) -> bool {
        self.port.is_none_or(|own| own == port)
    }
}

fn number(port: &str) -> Option<u16> {
    let digits = port.bytes().all(|byte| byte.is_ascii_digit());
    port.parse().ok().filter(|port| digits && *port > 0)
}

impl Hosts {
    fn parse(text: &str) -> Result<Hosts, &'static str> {
        if text == "*" {
            return Ok(Hosts::Any);
        }
        let (wild, rest) = match text.strip_prefix("*.") {
            Some(rest) => (true, rest),
            None => (false, text),
        };
        if rest.contains('*') {
            return Err("`*` stands for whole labels at the beginning of a name, like `*.example.org:443`");
        }
        match Host::parse(rest) {
            Some(Host::Name(name)) if wild => Ok(Hosts::Below(format!(".{name}"))),
            Some(Host::Address(address)) if !wild && address.is_unspecified() => Ok(Hosts::Own(address)),
            Some(host) if !wild => Ok(Hosts::One(host)),
            _ if !rest.is_ascii() => Err(
                "the name is none that IDNA knows; its ASCII form begins with `xn--`, like `xn--bcher-kva.example:443`",
            ),
            _ => Err("the host is a name like `example.org` or an address like `127.0.0.1` or `[::1]`"),
        }
    }

    fn has_name(&self, name: &str) -> bool {
        match self {
            Hosts::Any => true,
            Hosts::One(Host::Name(own)) => own == name,
            Hosts::Below(suffix) => name.len() > suffix.len() && name.ends_with(suffix.as_str()),
            Hosts::One(Host::Address(_)) | Hosts::Own(_) => false,
        }
    }

    fn has_address(&self, address: IpAddr) -> bool {
        match self {
            Hosts::Any => true,
            Hosts::One(Host::Address(own)) => *own == address,
            Hosts::One(Host::Name(_)) | Hosts::Below(_) | Hosts::Own(_) => false,
        }
    }
}

/// What is wrong with a pattern: how to write it instead. None if it is fine.
pub fn complaint(pattern: &str) -> Option<&'static str> {
    Pattern::parse(pattern).err()
}

/// The patterns of one entry.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AllowList {
    written: Vec<String>,
    patterns: Vec<Pattern>,
}

impl AllowList {
    /// Patterns that are wrong allow nothing; [`complaint`] has refused them before.
    pub fn new(written: &[String]) -> AllowList {
        AllowList {
            written: written.to_vec(),
            patterns: written.iter().filter_map(|text| Pattern::parse(text).ok()).collect(),
        }
    }

    /// Whether a name, in its plain form, may be looked up to connect to one port of it, or to any that is allowed.
    pub fn has_name(&self, name: &str, port: Option<u16>) -> bool {
        let fits = |pattern: &Pattern| port.is_none_or(|port| pattern.has_port(port)) && pattern.hosts.has_name(name);
        self.patterns.iter().any(fits)
    }

    /// Whether the address is listed as such.
    pub fn has_address(&self, address: SocketAddr) -> bool {
        let ip = address.ip().to_canonical();
        let fits = |pattern: &Pattern| pattern.has_port(address.port()) && pattern.hosts.has_address(ip);
        !ip.is_unspecified() && self.patterns.iter().any(fits)
    }

    /// Whether the address may be connected to that a look-up of the name has given.
    pub fn leads_to(&self, name: &str, address: SocketAddr) -> bool {
        self.has_address(address)
            || (self.has_name(name, Some(address.port())) && may_lead(name, address.ip().to_canonical()))
    }

    /// Whether the list has a pattern to listen by, and whether it is about this local address.
    pub fn may_listen(&self, local: SocketAddr) -> bool {
        let family = |own: &IpAddr| own.is_ipv4() == local.ip().to_canonical().is_ipv4();
        let fits = |pattern: &Pattern| matches!(&pattern.hosts, Hosts::Own(own) if family(own));
        self.patterns
            .iter()
            .any(|pattern| fits(pattern) && pattern.has_port(local.port()))
    }

    /// `wasi: {network: [...]}` with one pattern more.
    pub fn line_with(&self, pattern: &str) -> String {
        let quoted = self.written.iter().map(String::as_str).chain([pattern]);
        let quoted: Vec<String> = quoted.map(|text| format!("\"{text}\"")).collect();
        format!("wasi: {{network: [{}]}}", quoted.join(", "))
    }
}

/// Whether a name may stand for an address: everything but the machine itself and what is next to it.
fn may_lead(name: &str, address: IpAddr) -> bool {
    let own_name = name == "localhost" || name.ends_with(".localhost");
    let link_local = match address {
        IpAddr::V4(address) => address.is_link_local() || address.is_broadcast(),
        IpAddr::V6(address) => address.is_unicast_link_local(),
    };
    let never = address.is_unspecified() || address.is_multicast() || link_local;
    !never && (own_name || !address.is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn list(patterns: &[&str]) -> AllowList {
        let patterns: Vec<String> = patterns.iter().map(|text| (*text).to_owned()).collect();
        for pattern in &patterns {
            assert_eq!(complaint(pattern), None, "{pattern}");
        }
        AllowList::new(&patterns)
    }

    fn address(text: &str) -> SocketAddr {
        text.parse().unwrap()
    }

    #[test]
    fn patterns_that_are_wrong_say_how_to_write_them() {
        for (pattern, part) in [
            ("b", "like `example.org:443`"),
            (":443", "like `example.org:443`"),
            ("", "like `example.org:443`"),
            ("https://example.org", "host and port alone"),
            ("https://example.org:443", "host and port alone"),
            ("10.0.0.0/8:443", "host and port alone"),
            ("example.org:", "the port is"),
            ("example.org:0", "the port is"),
            ("example.org:65536", "the port is"),
            ("example.org:+80", "the port is"),
            ("example.org:http", "the port is"),
            ("::1:443", "stands in brackets"),
            ("::1", "stands in brackets"),
            ("[::1]", "the port is"),
            ("a.*.org:443", "`*` stands for"),
            ("*a.org:443", "`*` stands for"),
            ("*.*.org:443", "`*` stands for"),
            ("*.127.0.0.1:443", "the host is"),
            ("*.[::1]:443", "stands in brackets"),
            ("127.1:80", "the host is"),
            ("2130706433:80", "the host is"),
            ("0x7f.0x1:80", "the host is"),
            ("256.0.0.1:80", "the host is"),
            ("a..b:80", "the host is"),
            ("a b:80", "the host is"),
            ("user@example.org:80", "the host is"),
            ("[127.0.0.1]:80", "the host is"),
            ("[fe80::1%eth0]:80", "the host is"),
            ("bü cher.example:443", "ASCII form"),
            ("bü.*.example:443", "`*` stands for"),
            ("１２７.０.０.１:80", "ASCII form"),
            ("a.０x7f:80", "ASCII form"),
            ("ü\u{378}.example:80", "ASCII form"),
        ] {
            let said = complaint(pattern).unwrap_or_default();
            assert!(said.contains(part), "{pattern}: {said}");
        }
    }

    #[test]
    fn names_are_found_whatever_their_case_and_final_dot() {
        for (pattern, name, port, allowed) in [
            ("example.org:443", "example.org", Some(443), true),
            ("example.org:443", "EXAMPLE.org.", Some(443), true),
            ("Example.ORG.:443", "example.org", Some(443), true),
            ("example.org:443", "example.org", Some(80), false),
            ("example.org:443", "example.org", None, true),
            ("example.org:*", "example.org", Some(1), true),
            ("example.org:443", "www.example.org", Some(443), false),
            ("example.org:443", "example.org.evil.net", Some(443), false),
            ("example.org:443", "anexample.org", Some(443), false),
            ("*.example.org:443", "www.example.org", Some(443), true),
            ("*.example.org:443", "a.b.example.org", Some(443), true),
            ("*.example.org:443", "A.B.Example.Org.", Some(443), true),
            ("*.example.org:443", "example.org", Some(443), false),
            ("*.example.org:443", "badexample.org", Some(443), false),
            ("*.example.org:443", "www.example.org", Some(444), false),
            ("*:443", "anything.at.all", Some(443), true),
            ("*:443", "anything.at.all", Some(80), false),
            ("127.0.0.1:80", "localhost", Some(80), false),
            ("0.0.0.0:80", "localhost", None, false),
            ("localhost:80", "localhost", Some(80), true),
            ("bücher.example:443", "xn--bcher-kva.example", Some(443), true),
            ("BÜCHER。example:443", "bücher.example", Some(443), true),
            ("*.bücher.example:443", "www.xn--bcher-kva.example", Some(443), true),
            ("xn--bcher-kva.example:443", "Bücher.Example.", Some(443), true),
            ("bücher.example:443", "bucher.example", Some(443), false),
        ] {
            let Some(Host::Name(name)) = Host::parse(name) else {
                panic!("{name} is a name");
            };
            assert_eq!(
                list(&[pattern]).has_name(&name, port),
                allowed,
                "{pattern} {name} {port:?}"
            );
        }
    }

    #[test]
    fn addresses_are_compared_as_addresses() {
        for (pattern, to, allowed) in [
            ("127.0.0.1:80", "127.0.0.1:80", true),
            ("127.0.0.1:*", "127.0.0.1:9", true),
            ("127.0.0.1:80", "127.0.0.1:81", false),
            ("127.0.0.1:80", "127.0.0.2:80", false),
            ("127.0.0.1:80", "[::ffff:127.0.0.1]:80", true),
            ("[::ffff:127.0.0.1]:80", "127.0.0.1:80", true),
            ("[::1]:80", "[::1]:80", true),
            ("[0:0:0:0:0:0:0:1]:80", "[::1]:80", true),
            ("[::1]:80", "127.0.0.1:80", false),
            ("localhost:80", "127.0.0.1:80", false),
            ("*.example.org:80", "127.0.0.1:80", false),
            ("*:80", "127.0.0.1:80", true),
            ("*:80", "0.0.0.0:80", false),
            ("*:*", "[::]:80", false),
            ("0.0.0.0:80", "0.0.0.0:80", false),
            ("0.0.0.0:80", "127.0.0.1:80", false),
        ] {
            assert_eq!(list(&[pattern]).has_address(address(to)), allowed, "{pattern} {to}");
        }
    }

    #[test]
    fn a_name_leads_anywhere_but_to_the_machine_itself() {
        for (pattern, name, to, allowed) in [
            ("example.org:443", "example.org", "93.184.216.34:443", true),
            ("example.org:443", "example.org", "10.1.2.3:443", true),
            ("example.org:443", "example.org", "93.184.216.34:80", false),
            ("example.org:443", "example.net", "93.184.216.34:443", false),
            ("example.org:443", "example.org", "127.0.0.1:443", false),
            ("example.org:443", "example.org", "[::1]:443", false),
            ("example.org:443", "example.org", "[::ffff:127.0.0.1]:443", false),
            ("example.org:80", "example.org", "169.254.169.254:80", false),
            ("example.org:80", "example.org", "[fe80::1]:80", false),
            ("example.org:80", "example.org", "0.0.0.0:80", false),
            ("example.org:80", "example.org", "224.0.0.1:80", false),
            ("localhost:80", "localhost", "127.0.0.1:80", true),
            ("localhost:80", "localhost", "[::1]:80", true),
            ("*.localhost:80", "a.localhost", "127.0.0.1:80", true),
            ("localhost:80", "localhost", "0.0.0.0:80", false),
            ("*:80", "example.org", "127.0.0.1:80", true),
        ] {
            let list = list(&[pattern]);
            assert_eq!(list.leads_to(name, address(to)), allowed, "{pattern} {name} {to}");
        }
        let both = list(&["example.org:443", "127.0.0.1:443"]);
        assert!(both.leads_to("example.org", address("127.0.0.1:443")));
    }

    #[test]
    fn listening_has_patterns_of_its_own() {
        for (pattern, local, allowed) in [
            ("0.0.0.0:8080", "0.0.0.0:8080", true),
            ("0.0.0.0:8080", "127.0.0.1:8080", true),
            ("0.0.0.0:8080", "127.0.0.1:8081", false),
            ("0.0.0.0:8080", "0.0.0.0:0", false),
            ("0.0.0.0:*", "0.0.0.0:0", true),
            ("0.0.0.0:8080", "[::]:8080", false),
            ("[::]:*", "[::1]:8080", true),
            ("[::]:*", "127.0.0.1:8080", false),
            ("127.0.0.1:*", "127.0.0.1:8080", false),
            ("*:*", "127.0.0.1:8080", false),
        ] {
            assert_eq!(
                list(&[pattern]).may_listen(address(local)),
                allowed,
                "{pattern} {local}"
            );
        }
    }

    #[test]
    fn hosts_are_written_as_patterns_list_them() {
        for (text, written) in [
            ("Example.org.", Some("example.org:80")),
            ("127.0.0.1", Some("127.0.0.1:80")),
            ("::1", Some("[::1]:80")),
            ("[::ffff:10.0.0.1]", Some("10.0.0.1:80")),
            ("", None),
            ("127.1", None),
            ("a_b-c", Some("a_b-c:80")),
        ] {
            assert_eq!(
                Host::parse(text).map(|host| host.with_port(80)).as_deref(),
                written,
                "{text}"
            );
        }
        assert_eq!(
            list(&["*.a:1"]).line_with("[::1]:2"),
            "wasi: {network: [\"*.a:1\", \"[::1]:2\"]}"
        );
    }
}
