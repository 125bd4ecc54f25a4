//! What a session can ask of the project around it: its entries as they are now, and as they are on the disk.

use std::fmt::{self, Write as _};
use std::path::Path;
use std::sync::{Arc, Weak};

use super::NAMESPACE;
use crate::cli::args::Globals;
use crate::cli::console::PLAIN;
use crate::cli::script::Surroundings;
use crate::cli::{inspect, registry};
use crate::error::{Error, Result};
use crate::id::EntryId;
use crate::project::diagnostic::to_text;
use crate::project::near::nearest;
use crate::project::{Diagnostic, Entry};
use crate::runtime::{Declarations, Runtime};

/// See the module page.
pub struct Reach {
    globals: Globals,
    /// The runtime's. Weak, because processes of it hold this.
    declarations: Weak<Declarations>,
}

impl fmt::Debug for Reach {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Reach")
    }
}

impl Reach {
    pub fn new(globals: &Globals, runtime: &Runtime) -> Reach {
        Reach {
            globals: globals.clone(),
            declarations: Arc::downgrade(runtime.declarations()),
        }
    }

    fn declarations(&self) -> Result<Arc<Declarations>> {
        let declarations = self.declarations.upgrade();
        declarations.ok_or_else(|| Error::unavailable("the session has ended"))
    }

    /// Ids of all entries, sorted.
    pub fn ids(&self) -> Vec<String> {
        let Ok(declarations) = self.declarations() else {
            return Vec::new();
        };
        let registry = declarations.registry();
        let mut ids: Vec<String> = registry.iter().map(|entry| entry.id.as_str().to_owned()).collect();
        ids.sort();
        ids
    }

    /// What there is to know about an entry, without a newline at its end.
    ///
    /// # Errors
    /// NotFound for an id that nothing has; what is wrong with its module.
    pub fn inspect(&self, id: &str) -> Result<String> {
        let declarations = self.declarations()?;
        let entries = declarations.registry();
        let id = EntryId::parse(id)?;
        let Some(entry) = entries.get(&id) else {
            let near = nearest(id.as_str(), entries.iter().map(|entry| entry.id.as_str()));
            let near = near.map(|near| format!("; did you mean {near}?")).unwrap_or_default();
            return Err(Error::not_found(format!("no entry {id}{near}")));
        };
        let module = inspect::text(entry, &entries, |entry| declarations.inspect(entry));
        let text = match module {
            Some(text) if !entry.is_broken() => text?,
            _ => registry::text(entry)? + &problems(&entry.problems),
        };
        Ok(text.trim_end().to_owned())
    }

    /// Takes over what is on the disk by now; says what has changed, and what is wrong with it.
    ///
    /// # Errors
    /// When there is no reading the project.
    pub fn reload(&self) -> Result<String> {
        let declarations = self.declarations()?;
        let around = Surroundings::find(Path::new("."), NAMESPACE, &self.globals);
        let around = around.map_err(|failure| Error::invalid(failure.to_text(PLAIN).trim_end().to_owned()))?;
        let changed = around.registry.changed_since(&declarations.registry());
        declarations.replace(around.registry.clone(), &changed)?;
        let mut text = match changed.len() {
            0 => "no entry has changed".to_owned(),
            1 => "1 entry has changed".to_owned(),
            count => format!("{count} entries have changed"),
        };
        let mut ids: Vec<&EntryId> = changed.iter().collect();
        ids.sort();
        for id in ids {
            let gone = if around.registry.get(id).is_none() {
                " (gone)"
            } else {
                ""
            };
            // Writing to a String cannot fail.
            let _ = write!(text, "\n  {id}{gone}");
        }
        let entries = changed.iter().filter_map(|id| around.registry.get(id));
        let found: Vec<Diagnostic> = entries
            .flat_map(|entry: &Arc<Entry>| declarations.findings(entry))
            .collect();
        let found = problems(&around.diagnostics) + &problems(&found);
        if !found.is_empty() {
            let _ = write!(text, "\n{}", found.trim_end());
        }
        Ok(text)
    }
}

fn problems(found: &[Diagnostic]) -> String {
    found.iter().map(|found| to_text(found, PLAIN.style())).collect()
}
