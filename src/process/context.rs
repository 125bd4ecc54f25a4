//! What a process inherits from whoever started it: context values, actor and scope.
//!
//! A context is immutable; who starts a process or calls a function with more lays that over its own. Every spawn and
//! every call carries one, so it is inherited along chains of any length.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::value::{Packed, Value};

#[derive(Clone, Debug, Default, PartialEq)]
pub struct Context {
    values: BTreeMap<String, Packed>,
    actor: Option<Arc<Actor>>,
    scope: Option<Arc<Scope>>,
}

/// On whose behalf something runs.
#[derive(Clone, Debug, PartialEq)]
pub struct Actor {
    pub id: String,
    /// A table, or nil.
    pub meta: Value,
}

impl Actor {
    /// About how many bytes it holds.
    pub fn weight(&self) -> usize {
        self.id.len() + self.meta.weight()
    }
}

/// The policies in force.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Scope {
    /// Ids of policies. There are no policy kinds yet, so it is empty.
    pub policies: Vec<String>,
}

impl Context {
    /// A value by its name, packed as one value.
    pub fn get(&self, name: &str) -> Option<&Packed> {
        self.values.get(name)
    }

    /// All values, sorted by name.
    pub fn values(&self) -> impl Iterator<Item = (&str, &Packed)> {
        self.values.iter().map(|(name, value)| (name.as_str(), value))
    }

    pub fn actor(&self) -> Option<&Arc<Actor>> {
        self.actor.as_ref()
    }

    pub fn scope(&self) -> Option<&Arc<Scope>> {
        self.scope.as_ref()
    }

    /// About how many bytes it holds.
    pub fn weight(&self) -> usize {
        let values = self
            .values
            .iter()
            .map(|(name, value)| name.len() + value.size() + size_of::<Packed>());
        let actor = self.actor.as_ref().map_or(0, |actor| actor.weight());
        let policies = self.scope.iter().flat_map(|scope| &scope.policies);
        values.sum::<usize>() + actor + policies.map(String::len).sum::<usize>()
    }

    /// The same with more values; each is one packed value, and replaces one of its name.
    #[must_use]
    pub fn with_values(mut self, more: impl IntoIterator<Item = (String, Packed)>) -> Context {
        self.values.extend(more);
        self
    }

    #[must_use]
    pub fn with_actor(mut self, actor: Arc<Actor>) -> Context {
        self.actor = Some(actor);
        self
    }

    #[must_use]
    pub fn with_scope(mut self, scope: Arc<Scope>) -> Context {
        self.scope = Some(scope);
        self
    }

    /// This context with `over` laid on it: what `over` has counts.
    #[must_use]
    pub fn under(&self, over: &Context) -> Context {
        let more = over.values.iter().map(|(name, value)| (name.clone(), value.clone()));
        let values = self.values.clone().into_iter().chain(more).collect();
        Context {
            values,
            actor: over.actor.clone().or_else(|| self.actor.clone()),
            scope: over.scope.clone().or_else(|| self.scope.clone()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn int(number: i64) -> Packed {
        Packed::from_value(&Value::Int(number))
    }

    #[test]
    fn what_is_laid_over_counts_and_the_rest_stays() {
        let actor = |id: &str| {
            Arc::new(Actor {
                id: id.to_owned(),
                meta: Value::Nil,
            })
        };
        let base = Context::default()
            .with_values([("a".to_owned(), int(1)), ("b".to_owned(), int(2))])
            .with_actor(actor("first"))
            .with_scope(Arc::default());
        let over = Context::default().with_values([("b".to_owned(), int(3))]);
        let both = base.under(&over);
        let values: Vec<_> = both.values().map(|(name, value)| (name, value.clone())).collect();
        assert_eq!(values, [("a", int(1)), ("b", int(3))]);
        assert_eq!((both.actor(), both.scope()), (base.actor(), base.scope()));
        let over = over.with_actor(actor("second"));
        assert_eq!(base.under(&over).actor(), over.actor());
        assert_eq!(base.get("b"), Some(&int(2)), "the one below is as it was");
    }
}
