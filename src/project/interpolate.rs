//! `${env:NAME}` and `${env:NAME|default}` in the strings of an entry.

use super::yaml::Node;

/// A placeholder that has neither a value nor a default.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Unset {
    pub name: String,
}

/// Whether anything in the string is replaced.
pub(super) fn concerns(text: &str) -> bool {
    text.contains("${env:") || text.contains("$${")
}

/// Whether anything in the tree is replaced.
pub(super) fn concerns_node(node: &Node) -> bool {
    match node {
        Node::Str(text) => concerns(text),
        Node::List(items) => items.iter().any(concerns_node),
        Node::Map(map) => map.pairs.iter().any(|(_, node)| concerns_node(node)),
        _ => false,
    }
}

/// The string with every placeholder replaced; what was put in is not looked at again. `$${` becomes `${`; any other `$`
/// stays.
pub(super) fn replace(text: &str, value: &mut dyn FnMut(&str) -> Option<String>) -> Result<String, Unset> {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find('$') {
        out.push_str(&rest[..at]);
        rest = &rest[at..];
        if let Some(tail) = rest.strip_prefix("$${") {
            out.push_str("${");
            rest = tail;
        } else if let Some((inner, tail)) = rest.strip_prefix("${env:").and_then(|tail| tail.split_once('}')) {
            out.push_str(&resolve(inner, value)?);
            rest = tail;
        } else {
            out.push('$');
            rest = &rest[1..];
        }
    }
    out.push_str(rest);
    Ok(out)
}

fn resolve(inner: &str, value: &mut dyn FnMut(&str) -> Option<String>) -> Result<String, Unset> {
    let (name, default) = match inner.split_once('|') {
        Some((name, default)) => (name, Some(default)),
        None => (inner, None),
    };
    let name = name.trim();
    let found = value(name).or_else(|| default.map(str::to_owned));
    found.ok_or_else(|| Unset { name: name.to_owned() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn placeholders_become_values() {
        let mut value = |name: &str| (name == "A").then(|| "${env:B}".to_owned());
        for (text, expected) in [
            ("plain $5 ${x} $", "plain $5 ${x} $"),
            ("<${env:A}>", "<${env:B}>"),
            ("${env:B|x y}${env:A|z}", "x y${env:B}"),
            ("${env:B|}", ""),
            ("$${env:A} $${x}", "${env:A} ${x}"),
            ("${env:A", "${env:A"),
            ("${env:app:b|é}", "é"),
        ] {
            assert_eq!(replace(text, &mut value).unwrap(), expected, "{text}");
        }
        assert_eq!(replace("x${env:B}", &mut value).unwrap_err().name, "B");
    }
}
