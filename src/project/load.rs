//! Reads the files of a project and makes its entries, in load order.

use std::sync::Arc;

use super::diagnostic::Place;
use super::place::{Source, Step};

/// Where an entry comes from.
#[derive(Clone, Debug)]
pub(super) struct Origin {
    pub source: Arc<Source>,
    pub document: usize,
    /// To the entry within the document: empty for an entry at top level.
    pub path: Vec<Step>,
    /// Fields that stand under `data:`.
    pub below_data: Vec<Arc<str>>,
}

impl Origin {
    /// The entry's name, which stands for the entry.
    pub fn place(&self) -> Place {
        self.source.value(self.document, &self.path_to(&[Step::from("name")]))
    }

    pub fn value_place(&self, field: &[&str]) -> Place {
        let steps: Vec<Step> = field
            .iter()
            .map(|step| step.parse().map_or_else(|_| Step::from(*step), Step::Index))
            .collect();
        self.source.value(self.document, &self.path_to(&steps))
    }

    /// The path to a field of the entry, on the entry itself or under its `data:`.
    pub fn path_to(&self, field: &[Step]) -> Vec<Step> {
        let mut path = self.path.clone();
        if matches!(field.first(), Some(Step::Key(key)) if self.below_data.contains(key)) {
            path.push(Step::from("data"));
        }
        path.extend_from_slice(field);
        path
    }
}
