//! What a process inherits from whoever started it: context values, actor and scope. Nothing reads it yet but `ctx`-like
//! modules to come; every spawn carries one already, so that adding them changes no signature.

use crate::value::Value;

#[derive(Clone, Debug, Default, PartialEq)]
pub struct Context {
    /// Named values, later ones having won.
    pub values: Vec<(String, Value)>,
    /// On whose behalf it runs: id and meta.
    pub actor: Option<(String, Value)>,
    /// Ids of the policies in force.
    pub scope: Option<Vec<String>>,
}
