//! The text of a Lua program before Lua sees it: type annotations are erased here, and lines of a session are understood.
//!
//! | file | what it does |
//! |---|---|
//! | `lexer` | bytes become tokens with spans; every input is accepted |
//! | `grammar` | the whole grammar of Lua 5.4, with annotations where they may stand |
//! | `types` | the grammar of a type |
//! | `erase` | the text with its annotations blanked out |
//! | `layout` | the text with its tokens on other lines |
//! | `hint` | what Lua writes for what other languages write |
//! | `input` | what a REPL asks about an input: is it whole, is it an expression, which locals does it declare |
//!
//! Everything is a pure function on text. Lua's own compiler stays the judge of Lua: a fault outside an annotation is left
//! in the text for it to report, so its well known messages reach the user with the right line.

pub mod erase;
mod grammar;
mod hint;
pub mod input;
mod layout;
pub mod lexer;
mod types;

pub use erase::{Stop, SyntaxError, erase, stop, types_as_values};
pub use hint::hint;
pub use input::{Input, as_expression, classify, keep_locals};
pub use layout::laid_out;
pub use lexer::{Kind, Lexer, Token};
