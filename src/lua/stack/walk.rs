//! Packs tables where they lie: what `pack` does, without the stack.
//!
//! What is met in the same order is written in the same order. A table that cannot be read so is left to the API: one with a
//! userdata in it, one whose array goes on among its pairs, one that is very deep.

use super::layout::{Found, Slot, Table};
use super::pack::{Seen, has_room_for, passes_hole};
use super::record;
use crate::error::Result;
use crate::lua::driver::raw::*;
use crate::value::{Packer, TableMark};

/// Tables in tables. Below this the API, whose stack has an end, judges.
const DEEPEST: usize = 10_000;

/// A table that is being packed.
pub struct Level {
    table: *const Table,
    mark: TableMark,
    /// Where the array ends: items 0 .. length are packed as such, what comes behind as pairs.
    length: usize,
    size: usize,
    /// The next item.
    item: usize,
    /// How many of the items were nil.
    holes: usize,
    nodes: usize,
    /// The next node.
    node: usize,
    pairs: u32,
    /// The value of a pair whose key is a table, which is packed first.
    value: Option<Slot>,
}

/// Why a level does not go on.
enum Step {
    /// It is packed.
    Done,
    /// A table in it comes first.
    Into(*const Table),
    Unusual,
}

pub struct Walk<'a> {
    pub l: Lua,
    pub packer: &'a mut Packer,
    pub seen: &'a mut Seen,
    pub open: &'a mut Vec<Level>,
}

impl Walk<'_> {
    /// Packs the table. False when it is unusual; what was packed and seen of it is good for nothing then.
    ///
    /// # Errors
    /// Invalid for too much data.
    ///
    /// # Safety
    /// The layout is known, and something on the stack leads to the table.
    pub unsafe fn table(&mut self, table: *const Table) -> Result<bool> {
        self.open.clear();
        // SAFETY: tables that others lead to are alive; nothing of Lua's is called that could change one.
        unsafe {
            if refers(self.packer, self.seen, table) {
                return Ok(true);
            }
            if !self.enter(table, 0)? {
                return Ok(false);
            }
            while let Some(level) = self.open.last_mut() {
                match level.go_on(self.packer, self.seen)? {
                    Step::Done => {
                        self.packer.close(level.mark, level.length as u32, level.pairs);
                        self.open.pop();
                    }
                    Step::Into(table) => {
                        let around = level.length;
                        if !self.enter(table, around)? {
                            return Ok(false);
                        }
                    }
                    Step::Unusual => return Ok(false),
                }
            }
        }
        Ok(true)
    }

    /// Begins a table. False when it is unusual.
    unsafe fn enter(&mut self, table: *const Table, around: usize) -> Result<bool> {
        // SAFETY: the table is alive.
        let (size, length, nodes, meta) = unsafe {
            let table = &*table;
            (table.size(), table.border(), table.node_count(), table.meta())
        };
        // SAFETY: room for one value is asked for.
        let has_room = meta.is_null() || unsafe { lua_checkstack(self.l, 1) } != 0;
        if !has_room || self.open.len() == DEEPEST {
            return Ok(false);
        }
        has_room_for(self.packer, 0)?;
        // SAFETY: as above.
        let is_record = !meta.is_null() && unsafe { record::is_meta(self.l, meta) };
        let mark = self.packer.open(is_record);
        self.seen.insert(table.cast(), mark, around as i64);
        self.open.push(Level {
            table,
            mark,
            length,
            size,
            item: 0,
            holes: 0,
            nodes,
            node: 0,
            pairs: 0,
            value: None,
        });
        Ok(true)
    }
}

/// Writes a reference to a table that was packed before, if it was.
fn refers(packer: &mut Packer, seen: &Seen, table: *const Table) -> bool {
    let mark = seen.get(table.cast());
    if let Some(mark) = mark {
        packer.reference(mark);
    }
    mark.is_some()
}

impl Level {
    unsafe fn go_on(&mut self, packer: &mut Packer, seen: &Seen) -> Result<Step> {
        // SAFETY: the table is alive, and has these items and nodes.
        unsafe {
            let table = &*self.table;
            if let Some(value) = self.value.take()
                && let Some(step) = write(packer, seen, value)?
            {
                return Ok(step);
            }
            while self.item < self.length {
                let item = *table.item(self.item);
                self.item += 1;
                if item.is_nil() {
                    self.holes += 1;
                    if passes_hole(self.holes, self.item) {
                        self.length = self.item;
                    }
                }
                if let Some(step) = write(packer, seen, item)? {
                    return Ok(step);
                }
            }
            while self.item < self.size {
                let item = *table.item(self.item);
                self.item += 1;
                if item.crosses() {
                    self.pairs += 1;
                    packer.int(self.item as i64);
                    if let Some(step) = write(packer, seen, item)? {
                        return Ok(step);
                    }
                }
            }
            while self.node < self.nodes {
                let node = &*table.node(self.node);
                self.node += 1;
                let value = node.value();
                // Of a key without a value nothing is known.
                if !value.crosses() || !node.key().crosses() {
                    continue;
                }
                let key = node.key();
                if key.is_int(self.size as i64 + 1) && self.length == self.size {
                    return Ok(Step::Unusual);
                }
                self.pairs += 1;
                if let Some(step) = write(packer, seen, key)? {
                    self.value = Some(value);
                    return Ok(step);
                }
                if let Some(step) = write(packer, seen, value)? {
                    return Ok(step);
                }
            }
        }
        Ok(Step::Done)
    }
}

/// Writes the value, but for a table that was not packed before and what is unusual.
///
/// # Safety
/// The value is alive.
#[inline(always)]
unsafe fn write(packer: &mut Packer, seen: &Seen, value: Slot) -> Result<Option<Step>> {
    // SAFETY: as stated.
    match unsafe { value.found() } {
        Found::Nil | Found::Other => packer.nil(),
        Found::Bool(flag) => packer.bool(flag),
        Found::Int(number) => packer.int(number),
        Found::Float(number) => packer.float(number),
        Found::Text(text) => {
            has_room_for(packer, text.len())?;
            packer.str(text);
            return Ok(None);
        }
        Found::Table(table) if refers(packer, seen, table) => {}
        Found::Table(table) => return Ok(Some(Step::Into(table))),
        Found::Userdata => return Ok(Some(Step::Unusual)),
    }
    has_room_for(packer, 0)?;
    Ok(None)
}
