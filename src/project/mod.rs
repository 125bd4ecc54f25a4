//! From a folder of files to typed entries.
//!
//! [`yaml`] makes trees, [`place`] knows where in a file a path stands, [`kinds`] types what the entries hold,
//! [`check`] looks at entries together, [`load`] runs it all, [`Registry`] holds the result, [`Query`] searches it. Nothing here starts
//! anything, and nothing stops at a problem: problems are collected as [`Diagnostic`]s, and an entry with one fails only
//! itself.

mod changes;
pub mod check;
mod config;
pub mod diagnostic;
pub mod entry;
mod fields;
mod files;
pub mod grants;
mod interpolate;
pub mod json_schema;
mod kinds;
mod load;
pub mod modules;
pub mod near;
pub mod network;
pub mod place;
mod query;
mod registry;
pub mod scalar;
mod schema;
pub mod yaml;

pub use config::{Config, Logger};
pub use diagnostic::{Code, Diagnostic, Place, Severity};
pub use entry::*;
pub use files::{LARGEST_INLINE, find};
pub use kinds::{PLACEHOLDER, clean_guest};
pub use load::{Environment, Lookup, Override, Project, load};
pub use query::Query;
pub use registry::Registry;

#[cfg(test)]
mod tests;
