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

/// A stretch of a string.
enum Piece<'a> {
    /// Stays, or stands for itself: `$${` is `${`.
    Text(&'a str),
    Variable {
        name: &'a str,
        default: Option<&'a str>,
    },
}

fn pieces(text: &str) -> impl Iterator<Item = Piece<'_>> {
    let mut rest = text;
    std::iter::from_fn(move || {
        if rest.is_empty() {
            return None;
        }
        if let Some(tail) = rest.strip_prefix("$${") {
            rest = tail;
            return Some(Piece::Text("${"));
        }
        if let Some((inner, tail)) = rest.strip_prefix("${env:").and_then(|tail| tail.split_once('}')) {
            rest = tail;
            let (name, default) = match inner.split_once('|') {
                Some((name, default)) => (name, Some(default)),
                None => (inner, None),
            };
            let name = name.trim();
            return Some(Piece::Variable { name, default });
        }
        let next = rest.char_indices().skip(1).find(|(_, c)| *c == '$');
        let (text, tail) = rest.split_at(next.map_or(rest.len(), |(at, _)| at));
        rest = tail;
        Some(Piece::Text(text))
    })
}

/// The variables in the string, and whether each has a default.
pub(super) fn variables(text: &str) -> impl Iterator<Item = (&str, bool)> {
    pieces(text).filter_map(|piece| match piece {
        Piece::Text(_) => None,
        Piece::Variable { name, default } => Some((name, default.is_some())),
    })
}

/// The string with every placeholder replaced; what was put in is not looked at again. `$${` becomes `${`; any other `$`
/// stays.
pub(super) fn replace(text: &str, value: &mut dyn FnMut(&str) -> Option<String>) -> Result<String, Unset> {
    let mut out = String::with_capacity(text.len());
    for piece in pieces(text) {
        match piece {
            Piece::Text(text) => out.push_str(text),
            Piece::Variable { name, default } => match value(name).or_else(|| default.map(str::to_owned)) {
                Some(value) => out.push_str(&value),
                None => return Err(Unset { name: name.to_owned() }),
            },
        }
    }
    Ok(out)
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
