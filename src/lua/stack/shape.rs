//! The keys that tables of a kind have in common, laid out once.
//!
//! A table with the keys of one that came before gets all of them at once, where Lua would look for the place of each. A
//! [`Shape`] is the place of each key in the nodes of its model, a table that the registry keeps.
//!
//! A program's messages are of few kinds: [`Shapes`] learns those that come again.

use std::ffi::c_int;

use super::layout::{Slot, Table};
use crate::lua::driver::raw::*;

/// The most keys of a shape.
pub const MOST: u32 = 16;

/// Bytes of the longest key that Lua has once only.
pub const LONGEST: usize = 40;

/// Shapes that are known at a time.
const KNOWN: usize = 8;

/// Tables of unknown shape that are remembered until one like them comes.
const MISSED: usize = 4;

/// See the module.
pub struct Shape {
    /// It has all of the keys, each with the value `false`, and nothing else.
    model: *const Table,
    anchor: c_int,
    count: u8,
    /// The nodes of the keys, in the order in which they came last.
    nodes: [u8; MOST as usize],
}

impl Shape {
    /// That of the table on top, which has so many pairs. None where not all keys are short strings, or Lua has made more room
    /// for them than there need be.
    ///
    /// # Safety
    /// The layout is known, the memory limit lifted, and there is room for four values.
    pub unsafe fn of_top(l: Lua, count: u32) -> Option<Shape> {
        // SAFETY: as stated. Both tables are on the stack, and only the model gets new keys.
        unsafe {
            lua_createtable(l, 0, count as c_int);
            let (table, model) = (Table::at(l, -2), Table::at(l, -1));
            let keys = (0..(*table).node_count()).map(|index| *(*table).node(index));
            let keys = keys.filter(|node| !node.value().is_nil()).map(|node| node.key());
            let mut found = 0;
            for key in keys {
                found += 1;
                if !key.is_short_text() || found > count.min(MOST) {
                    found = u32::MAX;
                    break;
                }
                push_bytes(l, key.text());
                lua_pushboolean(l, 0);
                lua_rawset(l, -3);
            }
            if found != count || (*model).node_count() != (count as usize).next_power_of_two() {
                lua_pop(l, 1);
                return None;
            }
            let mut nodes = [0; MOST as usize];
            let used = (0..(*model).node_count()).filter(|index| !(*(*model).node(*index)).value().is_nil());
            for (place, index) in nodes.iter_mut().zip(used) {
                *place = index as u8;
            }
            Some(Shape {
                model,
                anchor: luaL_ref(l, LUA_REGISTRYINDEX),
                count: count as u8,
                nodes,
            })
        }
    }

    /// That of the table on top, which has these keys, strings at these indices; its order is theirs.
    ///
    /// # Safety
    /// As for [`Shape::of_top`].
    pub unsafe fn of_fields(l: Lua, keys: &[c_int]) -> Option<Shape> {
        // SAFETY: as stated.
        unsafe {
            let mut shape = Shape::of_top(l, keys.len() as u32)?;
            for (place, key) in keys.iter().enumerate() {
                shape.node(place, bytes(l, *key)?)?;
            }
            Some(shape)
        }
    }

    /// Gives a table that was made for as many pairs, and has none yet, the keys with these values, in the order of the keys.
    /// False, and nothing is done, if it cannot have them.
    ///
    /// # Safety
    /// As for [`Shape::shape`]; the values are alive.
    #[inline]
    pub unsafe fn fill<const N: usize>(&self, table: *mut Table, values: [Slot; N]) -> bool {
        // SAFETY: the table is not black when it gets the keys, nothing allocates, and it has these nodes.
        unsafe {
            let is_shaped = self.shape(table);
            if is_shaped {
                for (node, value) in self.nodes().zip(values) {
                    value.put((*table).node(node.into()).cast());
                }
            }
            is_shaped
        }
    }

    pub fn len(&self) -> usize {
        self.count.into()
    }

    /// The nodes of all keys.
    pub fn nodes(&self) -> impl Iterator<Item = u8> {
        self.nodes[..self.len()].iter().copied()
    }

    /// The key in a node.
    ///
    /// # Safety
    /// It is one of [`Shape::nodes`], and the state lives.
    pub unsafe fn key<'a>(&self, node: u8) -> &'a [u8] {
        // SAFETY: as stated.
        unsafe { (*(*self.model).node(node.into())).key().text() }
    }

    /// Gives a table that was made for as many pairs, and has none yet, all of the keys. False if it cannot have them.
    ///
    /// # Safety
    /// The state lives, and the table in it. Before it is seen by anybody, every key gets a value or nil.
    pub unsafe fn shape(&self, table: *mut Table) -> bool {
        // SAFETY: as stated.
        unsafe { (*table).take_keys(self.model) }
    }

    /// The node of a key, which is looked for from that place in the order on, and stands there afterwards.
    ///
    /// # Safety
    /// The state lives.
    #[inline]
    pub unsafe fn node(&mut self, place: usize, key: &[u8]) -> Option<u8> {
        // SAFETY: as stated.
        unsafe {
            match self.has(place, key) {
                true => Some(self.nodes[place]),
                false => self.search(place, key),
            }
        }
    }

    /// Whether the key at that place in the order is this one.
    #[inline]
    unsafe fn has(&self, place: usize, key: &[u8]) -> bool {
        // SAFETY: the model has these nodes; its keys are as they were.
        place < self.len() && unsafe { (*(*self.model).node(self.nodes[place].into())).key().is_short(key) }
    }

    /// Whether it has all keys of that table.
    unsafe fn is_of(&mut self, table: *const Table) -> bool {
        // SAFETY: both are alive; a key with a value is.
        unsafe {
            let nodes = (0..(*table).node_count()).map(|index| *(*table).node(index));
            let mut keys = nodes
                .filter(|node| !node.value().is_nil())
                .map(|node| node.key().text());
            keys.all(|key| self.search(0, key).is_some())
        }
    }

    unsafe fn search(&mut self, place: usize, key: &[u8]) -> Option<u8> {
        let count = self.len();
        let mut places = (place..count).chain(0..place.min(count));
        // SAFETY: as for `node`.
        let at = places.find(|at| unsafe { self.has(*at, key) })?;
        let node = self.nodes[at];
        if place < count {
            self.nodes.swap(place, at);
        }
        Some(node)
    }
}

/// See the module.
#[derive(Default)]
pub struct Shapes {
    known: Vec<Shape>,
    /// What the keys of tables sum up to that no shape was known for.
    missed: [u64; MISSED],
    /// The next of these to be forgotten, and of the known.
    oldest: (usize, usize),
}

impl Shapes {
    /// One with so many keys, this among them. Many messages begin with the same one: if there are several, the one that has the
    /// second key too.
    ///
    /// # Safety
    /// The state lives.
    #[inline]
    pub unsafe fn find<'a>(
        &mut self,
        count: u32,
        first: &[u8],
        second: impl FnOnce() -> Option<&'a [u8]>,
    ) -> Option<u8> {
        // SAFETY: as stated.
        let has = |shape: &mut Shape| u32::from(shape.count) == count && unsafe { shape.node(0, first) }.is_some();
        let one = self.known.iter_mut().position(has)?;
        if !self.known[one + 1..].iter_mut().any(has) {
            return Some(one as u8);
        }
        let second = second()?;
        // SAFETY: as stated.
        let has_both = |shape: &mut Shape| has(shape) && unsafe { shape.node(1, second) }.is_some();
        self.known.iter_mut().position(has_both).map(|index| index as u8)
    }

    pub fn get(&mut self, index: u8) -> &mut Shape {
        &mut self.known[usize::from(index)]
    }

    /// The table on top has so many pairs, whose keys, all of them strings, sum up to that. When the like of it has come before
    /// its shape is learnt, in the place of one that is not in use.
    ///
    /// # Safety
    /// As for [`Shape::of_top`].
    pub unsafe fn miss(&mut self, l: Lua, count: u32, sum: u64, is_in_use: impl Fn(u8) -> bool) {
        if !self.missed.contains(&sum) {
            self.missed[self.oldest.0] = sum;
            self.oldest.0 = (self.oldest.0 + 1) % MISSED;
            return;
        }
        // Found too late: another one begins like it.
        // SAFETY: the table is on top.
        if unsafe {
            self.known
                .iter_mut()
                .any(|shape| shape.len() == count as usize && shape.is_of(Table::at(l, -1)))
        } {
            return;
        }
        let mut places = (0..KNOWN).map(|next| (self.oldest.1 + next) % KNOWN);
        let Some(place) = places.find(|place| !is_in_use(*place as u8)) else {
            return;
        };
        let place = place.min(self.known.len());
        // SAFETY: as stated; what is replaced is nobody's.
        unsafe {
            let Some(shape) = Shape::of_top(l, count) else { return };
            match self.known.get_mut(place) {
                None => self.known.push(shape),
                Some(known) => luaL_unref(l, LUA_REGISTRYINDEX, std::mem::replace(known, shape).anchor),
            }
        }
        self.oldest.1 = (place + 1) % KNOWN;
    }
}
