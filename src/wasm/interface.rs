//! What a module imports and exports, as texts that are kept beside its compiled code: when a file no longer has the hash of
//! its entry, the interface of the module that had it tells what has changed since.
//!
//! Types are shown, not compared by name: two modules whose functions take the same values have the same interface.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use wasmtime::component::Component;
use wasmtime::component::types::ComponentItem;
use wasmtime::{Engine, ExternType, Module};

use super::export::unversioned;
use super::module::Code;
use super::value::Signature;

/// Changes that are listed; whoever changed more looks at the module itself.
const MOST: usize = 20;
/// Bytes of a type that are shown.
const LONGEST: usize = 200;

/// Imports and exports of a module.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Interface {
    imports: Groups,
    exports: Groups,
}

/// Items by the interface, or the core module, that they belong to; those that stand alone are of the group `""`.
type Groups = BTreeMap<String, Items>;
/// Types by name: `func(a: s32) -> s32`, `memory`.
type Items = BTreeMap<String, String>;

impl Interface {
    pub fn of(code: &Code) -> Interface {
        match code {
            Code::Component(component) => of_component(component),
            Code::Core(module) => of_module(module),
        }
    }

    /// What has changed since `before`, a line for each thing that is new, gone or of another type; one line too when
    /// nothing has.
    pub fn changes_since(&self, before: &Interface) -> Vec<String> {
        let exports = Side {
            word: "export",
            separator: '#',
        };
        let imports = Side {
            word: "import",
            separator: '.',
        };
        let mut lines = exports.changes(&before.exports, &self.exports);
        lines.extend(imports.changes(&before.imports, &self.imports));
        if lines.is_empty() {
            return vec!["only the code has changed: imports and exports are the same".to_owned()];
        }
        let surplus = lines.len().saturating_sub(MOST);
        if surplus > 0 {
            lines.truncate(MOST);
            lines.push(format!("and {surplus} more changes"));
        }
        lines
    }
}

/// Imports or exports.
struct Side {
    word: &'static str,
    /// What stands between a group and its item.
    separator: char,
}

impl Side {
    fn changes(&self, before: &Groups, after: &Groups) -> Vec<String> {
        let mut lines = Vec::new();
        let nothing = Items::new();
        let alone = |groups: &'_ Groups| groups.get("").unwrap_or(&nothing).clone();
        self.items("", &alone(before), &alone(after), &mut lines);
        for (group, items) in named(before) {
            match after.get_key_value(group).or_else(|| renewed(group, before, after)) {
                None => lines.push(self.line(group, "is gone")),
                Some((now, kept)) => {
                    if now != group {
                        lines.push(self.line(group, &format!("is of another version: {now}")));
                    }
                    self.items(now, items, kept, &mut lines);
                }
            }
        }
        for (group, items) in named(after) {
            if !before.contains_key(group) && renewed(group, after, before).is_none() {
                lines.push(self.line(group, &format!("is new, with {}", counted(items))));
            }
        }
        lines
    }

    fn items(&self, group: &str, before: &Items, after: &Items, lines: &mut Vec<String>) {
        let name = |item: &str| match group {
            "" => item.to_owned(),
            group => format!("{group}{}{item}", self.separator),
        };
        for (item, was) in before {
            match after.get(item) {
                Some(is) if is == was => {}
                Some(is) => lines.push(self.line(&name(item), &format!("is now {}, was {}", cut(is), cut(was)))),
                None => lines.push(self.line(&name(item), "is gone")),
            }
        }
        for (item, is) in after.iter().filter(|(item, _)| !before.contains_key(*item)) {
            lines.push(self.line(&name(item), &format!("is new: {}", cut(is))));
        }
    }

    fn line(&self, name: &str, what: &str) -> String {
        format!("{} {name} {what}", self.word)
    }
}

/// Those that are an interface or a core module.
fn named(groups: &Groups) -> impl Iterator<Item = (&String, &Items)> {
    groups.iter().filter(|(group, _)| !group.is_empty())
}

/// The same interface in another version, if each side has it in one that the other has not.
fn renewed<'a>(group: &str, own: &Groups, other: &'a Groups) -> Option<(&'a String, &'a Items)> {
    let same = |name: &str| unversioned(name) == unversioned(group) && name != group;
    let alone = own.keys().filter(|name| same(name)).count() == 0;
    let mut found = named(other).filter(|(name, _)| same(name));
    match (found.next(), found.next()) {
        (Some(only), None) if alone => Some(only),
        _ => None,
    }
}

fn counted(items: &Items) -> String {
    match items.len() {
        1 => "1 function".to_owned(),
        count => format!("{count} functions"),
    }
}

fn cut(text: &str) -> String {
    match text.floor_char_boundary(LONGEST) {
        end if end < text.len() => format!("{}…", &text[..end]),
        _ => text.to_owned(),
    }
}

fn of_component(component: &Component) -> Interface {
    let (engine, ty) = (component.engine(), component.component_type());
    let mut interface = Interface::default();
    for (name, import) in ty.imports(engine) {
        add(&mut interface.imports, engine, name, import.ty);
    }
    for (name, export) in ty.exports(engine) {
        add(&mut interface.exports, engine, name, export.ty);
    }
    interface
}

fn add(groups: &mut Groups, engine: &Engine, name: &str, item: ComponentItem) {
    if let ComponentItem::ComponentInstance(instance) = &item {
        let items = instance.exports(engine).filter_map(|(name, item)| {
            // `[method]fields.append`
            let name = name.rsplit(']').next().unwrap_or(name);
            Some((name.to_owned(), shown(&item.ty)?))
        });
        let items: Items = items.collect();
        // What is left holds types alone, which other functions show.
        if !items.is_empty() {
            groups.insert(name.to_owned(), items);
        }
    } else if let Some(ty) = shown(&item) {
        groups.entry(String::new()).or_default().insert(name.to_owned(), ty);
    }
}

/// None for a type.
fn shown(item: &ComponentItem) -> Option<String> {
    Some(match item {
        ComponentItem::ComponentFunc(ty) => {
            let word = if ty.async_() { "async " } else { "" };
            format!("{word}{}", Signature::of_component("", ty).types())
        }
        ComponentItem::ComponentInstance(_) => "instance".to_owned(),
        ComponentItem::Component(_) => "component".to_owned(),
        ComponentItem::Module(_) => "module".to_owned(),
        ComponentItem::CoreFunc(_) => "core function".to_owned(),
        ComponentItem::Type(_) | ComponentItem::Resource(_) => return None,
    })
}

fn of_module(module: &Module) -> Interface {
    let mut interface = Interface::default();
    for import in module.imports() {
        let group = interface.imports.entry(import.module().to_owned()).or_default();
        group.insert(import.name().to_owned(), core(&import.ty()));
    }
    let exports = module.exports();
    let exports: Items = exports
        .map(|export| (export.name().to_owned(), core(&export.ty())))
        .collect();
    interface.exports.insert(String::new(), exports);
    interface
}

fn core(ty: &ExternType) -> String {
    match ty {
        ExternType::Func(ty) => Signature::of_core("", ty).types().to_string(),
        ExternType::Memory(_) => "memory".to_owned(),
        ExternType::Table(_) => "table".to_owned(),
        ExternType::Global(_) => "global".to_owned(),
        ExternType::Tag(_) => "tag".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn interface(text: &str) -> Interface {
        let mut config = wasmtime::Config::new();
        config.wasm_component_model_async(true);
        let engine = Engine::new(&config).unwrap();
        let bytes = wat::parse_str(text).unwrap();
        let code = match text.starts_with("(component") {
            true => Code::Component(Component::new(&engine, bytes).unwrap()),
            false => Code::Core(Module::new(&engine, bytes).unwrap()),
        };
        Interface::of(&code)
    }

    #[track_caller]
    fn changes(before: &str, after: &str) -> Vec<String> {
        let (before, after) = (interface(before), interface(after));
        let text = serde_json::to_vec(&before).unwrap();
        let kept: Interface = serde_json::from_slice(&text).unwrap();
        assert_eq!(kept, before, "it is kept as it is");
        after.changes_since(&kept)
    }

    #[test]
    fn what_is_new_gone_or_of_another_type_is_listed() {
        let before = r#"(module
            (import "env" "old" (func (param i32)))
            (import "env" "same" (func))
            (func (export "compute") (param i32 i32) (result i32) i32.const 0)
            (func (export "gone"))
            (memory (export "memory") 1))"#;
        let after = r#"(module
            (import "env" "same" (func))
            (import "other" "f" (func (result f64)))
            (import "other" "g" (func))
            (memory (export "memory") 2)
            (func (export "compute") (param i64) (result i32) i32.const 0)
            (func (export "fresh") (result i32 i64) i32.const 0 i64.const 0))"#;
        assert_eq!(
            changes(before, after),
            [
                "export compute is now func(arg1: s64) -> s32, was func(arg1: s32, arg2: s32) -> s32",
                "export gone is gone",
                "export fresh is new: func() -> tuple<s32, s64>",
                "import env.old is gone",
                "import other is new, with 2 functions",
            ]
        );
    }

    #[test]
    fn the_same_interface_means_that_only_the_code_has_changed() {
        let one = "(module (func (export \"f\") (result i32) i32.const 1))";
        let two = "(module (func (export \"f\") (result i32) i32.const 2))";
        let same = ["only the code has changed: imports and exports are the same"];
        assert_eq!(changes(one, two), same);
        assert_eq!(changes("(component)", "(component)"), same);
    }

    #[test]
    fn interfaces_of_a_component_are_compared_function_by_function() {
        let with = |imports: &str| format!("(component {imports})");
        let before = with(
            r#"(import "wasi:io/poll@0.2.3" (instance (export "poll" (func (param "in" (list u32)) (result (list u32))))))
            (import "wasi:clocks/wall-clock@0.2.3" (instance (export "now" (func (result u64)))))
            (import "acme:types/t" (instance (type (record (field "a" u8))) ))
            (import "bare" (func (param "x" (option string))))"#,
        );
        let after = with(
            r#"(import "wasi:io/poll@0.2.6" (instance (export "poll" (func (param "in" (list u64)) (result (list u32))))))
            (import "wasi:clocks/wall-clock@0.2.3" (instance (export "now" (func (result u64))) (export "zone" (func (result s32)))))
            (import "acme:db/query" (instance (export "run" (func))))"#,
        );
        assert_eq!(
            changes(&before, &after),
            [
                "import bare is gone",
                "import wasi:clocks/wall-clock@0.2.3.zone is new: func() -> s32",
                "import wasi:io/poll@0.2.3 is of another version: wasi:io/poll@0.2.6",
                "import wasi:io/poll@0.2.6.poll is now func(in: list<u64>) -> list<u32>, was func(in: list<u32>) -> list<u32>",
                "import acme:db/query is new, with 1 function",
            ]
        );
    }

    #[test]
    fn the_list_is_short_and_so_are_its_lines() {
        let functions: String = (0..30).map(|at| format!("(func (export \"f{at}\"))")).collect();
        let wide = "i32 ".repeat(300);
        let after = format!("(module (func (export \"a\") (param {wide})) {functions})");
        let lines = changes("(module)", &after);
        assert_eq!((lines.len(), lines[MOST].as_str()), (MOST + 1, "and 11 more changes"));
        assert!(lines[0].len() < 2 * LONGEST && lines[0].ends_with('…'), "{}", lines[0]);
    }
}
