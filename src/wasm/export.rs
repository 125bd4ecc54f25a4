//! What a module exports, and which of its functions `method` means.
//!
//! Works on names and types alone; calling the function is `body`'s business. Functions of resources are never listed:
//! they cannot be methods.

use std::borrow::Cow;
use std::fmt;

use wasmtime::component::Component;
use wasmtime::component::types::{ComponentFunc, ComponentItem};
use wasmtime::{Engine, ExternType, FuncType, Module};

use super::grants::nearest;
use super::module::Code;
use super::value::Signature;
use crate::error::{Error, Result};

/// The name of an exported function: its own, and that of the exported instance it belongs to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Name {
    pub interface: Option<String>,
    pub function: String,
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.interface {
            Some(interface) => write!(f, "{interface}#{}", self.function),
            None => f.write_str(&self.function),
        }
    }
}

impl Name {
    /// Whether it is the entry point of a command: the `run` of `wasi:cli/run`.
    fn is_command(&self) -> bool {
        self.function == "run" && self.interface.as_deref().map(unversioned) == Some("wasi:cli/run")
    }
}

/// A function's types before anything about it is known to fit.
#[derive(Clone, Debug)]
pub enum Type {
    Component(ComponentFunc),
    Core(FuncType),
}

/// An exported function.
#[derive(Clone, Debug)]
pub struct Export {
    pub name: Name,
    pub ty: Type,
    /// The `run` of `wasi:cli/run` or `_start`: it gets the words of the command line as WASI arguments.
    pub command: bool,
}

/// All functions that `method` can name, in the module's order.
pub fn list(engine: &Engine, code: &Code) -> Vec<Export> {
    match code {
        Code::Component(component) => of_component(engine, component),
        Code::Core(module) => of_module(module),
    }
}

fn of_component(engine: &Engine, component: &Component) -> Vec<Export> {
    let mut found = Vec::new();
    let ty = component.component_type();
    for (name, item) in ty.exports(engine) {
        match item.ty {
            ComponentItem::ComponentFunc(ty) => found.extend(component_export(None, name, ty)),
            ComponentItem::ComponentInstance(instance) => {
                for (function, item) in instance.exports(engine) {
                    if let ComponentItem::ComponentFunc(ty) = item.ty {
                        found.extend(component_export(Some(name), function, ty));
                    }
                }
            }
            _ => {}
        }
    }
    found
}

fn component_export(interface: Option<&str>, function: &str, ty: ComponentFunc) -> Option<Export> {
    // `[method]counter.next` and the like belong to a resource.
    if function.starts_with('[') {
        return None;
    }
    let name = Name {
        interface: interface.map(str::to_owned),
        function: function.to_owned(),
    };
    Some(Export {
        command: name.is_command(),
        name,
        ty: Type::Component(ty),
    })
}

fn of_module(module: &Module) -> Vec<Export> {
    let functions = module.exports().filter_map(|export| match export.ty() {
        ExternType::Func(ty) => Some((export.name().to_owned(), ty)),
        _ => None,
    });
    let export = |(name, ty): (String, FuncType)| {
        let name = match name.rsplit_once('#') {
            Some((interface, function)) => Name {
                interface: Some(interface.to_owned()),
                function: function.to_owned(),
            },
            None => Name {
                interface: None,
                function: name,
            },
        };
        let start = name.interface.is_none() && name.function == "_start";
        Export {
            // A command takes nothing and gives nothing, whatever its name says.
            command: start && ty.params().len() == 0 && ty.results().len() == 0,
            name,
            ty: Type::Core(ty),
        }
    };
    functions.map(export).collect()
}

/// The export that `method` means.
///
/// # Errors
/// Internal, with the exported functions and the nearest of them.
pub fn find<'a>(exports: &'a [Export], method: &str) -> Result<&'a Export> {
    if method.is_empty() {
        return command(exports);
    }
    if let Some(export) = exports.iter().find(|export| export.name.to_string() == method) {
        return Ok(export);
    }
    if matches!(method, "run" | "wasi:cli/run")
        && let Some(export) = exports.iter().find(|export| export.name.is_command())
    {
        return Ok(export);
    }
    match method.rsplit_once('#') {
        Some((interface, function)) => {
            find_in(exports, interface, function).map_err(|why| missing(exports, method, why))
        }
        None => Err(missing(exports, method, "")),
    }
}

/// What a file without a method means.
fn command(exports: &[Export]) -> Result<&Export> {
    let found = exports.iter().find(|export| export.command);
    found.ok_or_else(|| {
        let functions = exported(exports);
        Error::internal(format!(
            "failed to call wasm method: the module is no command{functions}"
        ))
    })
}

/// The function of an instance whose name is given without version, or by its last part alone.
fn find_in<'a>(exports: &'a [Export], interface: &str, function: &str) -> Result<&'a Export, &'static str> {
    let spellings: [fn(&str) -> &str; 2] = [unversioned, last_part];
    for spelling in spellings {
        let mut found = exports.iter().filter(|export| {
            let name = export.name.interface.as_deref().map(spelling);
            export.name.function == function && name == Some(interface)
        });
        match (found.next(), found.next()) {
            (Some(export), None) => return Ok(export),
            (Some(_), Some(_)) => return Err(" (several interfaces have that name: write it in full)"),
            (None, _) => {}
        }
    }
    Err("")
}

/// `acme:math/calc` of `acme:math/calc@1.0.0`.
pub fn unversioned(interface: &str) -> &str {
    interface.split('@').next().unwrap_or_default()
}

/// `calc` of `acme:math/calc@1.0.0`.
fn last_part(interface: &str) -> &str {
    unversioned(interface).rsplit('/').next().unwrap_or_default()
}

fn missing(exports: &[Export], method: &str, why: &str) -> Error {
    let names: Vec<String> = exports.iter().map(|export| export.name.to_string()).collect();
    let mut message = format!("failed to call wasm method: {method}{why}");
    let functions = exports.iter().zip(&names);
    let near = nearest(method, names.iter().map(String::as_str)).or_else(|| {
        let last = method.rsplit('#').next().unwrap_or(method);
        let (_, name) = functions
            .filter(|(export, _)| export.name.function == last)
            .map(|(export, name)| (export, name.as_str()))
            .next()?;
        Some(name)
    });
    if let Some(near) = near {
        message.push_str(&format!("; did you mean {near}?"));
    }
    message.push_str(&exported(exports));
    Error::internal(message)
}

/// A name as lists show it: in quotes where it would not be seen where it begins and ends. Core modules may have any.
pub fn shown(name: &str) -> Cow<'_, str> {
    let is_odd = |c: char| c.is_whitespace() || c.is_control() || "\",()".contains(c);
    match name.is_empty() || name.contains(is_odd) {
        true => format!("{name:?}").into(),
        false => name.into(),
    }
}

fn exported(exports: &[Export]) -> String {
    let names: Vec<String> = exports
        .iter()
        .map(|export| shown(&export.name.to_string()).into_owned())
        .collect();
    match names.is_empty() {
        true => "; the module exports no functions".to_owned(),
        false => format!("; exported functions: {}", names.join(", ")),
    }
}

/// Checks what an entry's `wit` says of all the functions of a core module.
///
/// # Errors
/// Invalid when it is not WIT or does not fit the module's own types.
pub fn check_wit(exports: &[Export], wit: &str) -> Result<()> {
    let core = exports.iter().filter_map(|export| match &export.ty {
        Type::Core(ty) => Some((export.name.function.as_str(), ty)),
        Type::Component(_) => None,
    });
    match wit.trim().is_empty() {
        true => Ok(()),
        false => Signature::check_wit(wit, core),
    }
}

impl Export {
    /// What errors call it: the method as written, or its own name where none is.
    pub fn called(&self, method: &str) -> String {
        match method.is_empty() {
            true => self.name.to_string(),
            false => method.to_owned(),
        }
    }

    /// Its signature; `wit` is the entry's text for core modules, where an empty one is as none.
    ///
    /// # Errors
    /// Invalid when `wit` is not WIT or does not fit the module's own types.
    pub fn signature(&self, method: &str, wit: Option<&str>) -> Result<Signature> {
        match &self.ty {
            Type::Component(ty) => Ok(Signature::of_component(method, ty)),
            Type::Core(ty) => match wit.filter(|text| !self.command && !text.trim().is_empty()) {
                Some(text) => Signature::of_wit(text, &self.name.function, ty),
                None => Ok(Signature::of_core(method, ty)),
            },
        }
    }
}
