//! `wippy schema`: the JSON Schema of entry files. Needs no project.

use super::console::Console;
use super::failure::code;
use crate::project::json_schema;

pub fn run(console: &Console) -> u8 {
    console.answer(&format!("{:#}\n", json_schema::document()));
    code::SUCCESS
}
