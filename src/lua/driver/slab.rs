//! The small blocks of one Lua state, side by side in memory of its own.
//!
//! The blocks that a message or a call makes and drops are found again by the next one of the same state: last freed,
//! first used, in cache lines that the state has just touched. From the program's allocator they would come from wherever
//! some other state freed one. The first 62 KiB of a state's small blocks live here; what is larger or comes later is the
//! business of that allocator. The memory is given back as a whole.
//!
//! Invariant: a block lies in one of the chunks, is handed out once until it is freed, and its place has room for its size
//! rounded up to a whole number of [`STEP`]s.

use std::alloc::{GlobalAlloc, Layout};
use std::ptr::{NonNull, null_mut};

use crate::allocator::Allocator;

/// Sizes are rounded up to this, which is also how blocks are aligned.
const STEP: usize = 16;

/// The largest block.
pub const LARGEST: usize = 256;

/// What the chunks measure, in the order in which they are needed: little for a process that is idle.
const CHUNKS: [usize; 5] = [2 << 10, 4 << 10, 8 << 10, 16 << 10, 32 << 10];

/// See the module.
pub struct Slab {
    chunks: [*mut u8; CHUNKS.len()],
    count: usize,
    /// What is left of the newest chunk.
    rest: *mut u8,
    left: usize,
    /// The chunks were used up once: small blocks may lie elsewhere since.
    spilled: bool,
    /// Freed blocks by their size.
    free: [*mut Free; LARGEST / STEP],
}

/// What stands in a freed block.
struct Free {
    next: *mut Free,
}

// SAFETY: the chunks belong to the slab alone, which is used by one thread at a time.
unsafe impl Send for Slab {}

impl Default for Slab {
    fn default() -> Slab {
        Slab {
            chunks: [null_mut(); CHUNKS.len()],
            count: 0,
            rest: null_mut(),
            left: 0,
            spilled: false,
            free: [null_mut(); LARGEST / STEP],
        }
    }
}

impl Slab {
    /// A block of that size, 1 ..= [`LARGEST`]; none when the chunks are used up.
    pub fn take(&mut self, size: usize) -> Option<NonNull<u8>> {
        self.take_freed(size).or_else(|| self.carve(class(size)))
    }

    /// A block of that size which was in use before.
    #[inline]
    pub fn take_freed(&mut self, size: usize) -> Option<NonNull<u8>> {
        let class = class(size);
        let first = NonNull::new(self.free[class])?;
        // SAFETY: what is in the list was freed and is large enough to hold the link.
        self.free[class] = unsafe { first.as_ref().next };
        Some(first.cast())
    }

    /// Whether a small block was made here, rather than by the program's allocator: all of them were, as long as the chunks
    /// sufficed.
    #[inline]
    pub fn owns(&self, block: *const u8) -> bool {
        self.owns_all() || self.holds(block)
    }

    /// Whether every small block was made here.
    #[inline]
    pub fn owns_all(&self) -> bool {
        !self.spilled
    }

    fn holds(&self, block: *const u8) -> bool {
        let within = |(chunk, size): (&*mut u8, &usize)| block.addr().wrapping_sub(chunk.addr()) < *size;
        // The newest is the largest.
        self.chunks.iter().zip(&CHUNKS).take(self.count).rev().any(within)
    }

    /// Whether a block has room for the other size too.
    pub fn fits(old: usize, new: usize) -> bool {
        old != 0 && new <= LARGEST && class(old) == class(new)
    }

    /// Takes a block back.
    ///
    /// # Safety
    /// It was made here with that size, and is not used any more.
    #[inline]
    pub unsafe fn give(&mut self, block: *mut u8, size: usize) {
        // SAFETY: as stated; every place holds at least a link and is aligned for it.
        unsafe { self.list(block, class(size)) };
    }

    #[inline]
    unsafe fn list(&mut self, block: *mut u8, class: usize) {
        let block = block.cast::<Free>();
        // SAFETY: as `give`.
        unsafe { (*block).next = self.free[class] };
        self.free[class] = block;
    }

    /// A block from what was never used.
    #[cold]
    fn carve(&mut self, class: usize) -> Option<NonNull<u8>> {
        let size = (class + 1) * STEP;
        if self.left < size && self.grow().is_none() {
            self.spilled = true;
            return None;
        }
        let block = self.rest;
        self.left -= size;
        // SAFETY: there were `size` bytes left.
        self.rest = unsafe { block.add(size) };
        NonNull::new(block)
    }

    fn grow(&mut self) -> Option<()> {
        let size = *CHUNKS.get(self.count)?;
        // SAFETY: the layout is not empty.
        let chunk = NonNull::new(unsafe { Allocator.alloc(layout(size)) })?;
        if self.left > 0 {
            // SAFETY: what is left is smaller than the largest block, a whole number of steps, and nobody's.
            unsafe { self.list(self.rest, self.left / STEP - 1) };
        }
        self.chunks[self.count] = chunk.as_ptr();
        self.count += 1;
        (self.rest, self.left) = (chunk.as_ptr(), size);
        Some(())
    }
}

impl Drop for Slab {
    fn drop(&mut self) {
        for (chunk, size) in self.chunks[..self.count].iter().zip(CHUNKS) {
            // SAFETY: it was allocated with this layout, and its blocks are gone with the state.
            unsafe { Allocator.dealloc(*chunk, layout(size)) };
        }
    }
}

fn class(size: usize) -> usize {
    (size - 1) / STEP
}

fn layout(size: usize) -> Layout {
    // SAFETY: the alignment is a power of two, the sizes are small.
    unsafe { Layout::from_size_align_unchecked(size, STEP) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashMap;

    #[test]
    fn blocks_do_not_overlap_and_are_used_again() {
        let mut slab = Slab::default();
        let mut random = 7_u64;
        let mut held: HashMap<usize, usize> = HashMap::new();
        for round in 0..20_000 {
            random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            let size = 1 + (random >> 33) as usize % LARGEST;
            let oldest = held.keys().min().copied();
            if let Some(block) = oldest.filter(|_| random >> 60 < 8) {
                let size = held.remove(&block).unwrap();
                // SAFETY: made below with this size.
                unsafe { slab.give(block as *mut u8, size) };
            } else if let Some(block) = slab.take(size) {
                let start = block.as_ptr().addr();
                assert_eq!(start % STEP, 0);
                assert!(
                    slab.owns(block.as_ptr()) && slab.owns((start + size - 1) as *const u8),
                    "round {round}"
                );
                let overlap = held
                    .iter()
                    .find(|(at, length)| **at < start + size && start < **at + **length);
                assert_eq!(overlap, None, "round {round}: {size} bytes at {start}");
                held.insert(start, size);
            }
        }
        assert!(slab.owns((&raw const slab).cast()), "nothing small lies elsewhere yet");
        while slab.take(LARGEST).is_some() {}
        assert!(!slab.owns((&raw const slab).cast()), "now something may");
    }

    #[test]
    fn the_block_freed_last_is_taken_first() {
        let mut slab = Slab::default();
        let (first, second) = (slab.take(40).unwrap(), slab.take(48).unwrap());
        // SAFETY: both were made here.
        unsafe {
            slab.give(first.as_ptr(), 40);
            slab.give(second.as_ptr(), 48);
        }
        assert_eq!((slab.take(33), slab.take(48)), (Some(second), Some(first)));
        assert!(Slab::fits(33, 48) && !Slab::fits(48, 49) && !Slab::fits(0, 1) && !Slab::fits(256, 257));
    }

    #[test]
    fn what_is_left_of_a_chunk_is_used() {
        let mut slab = Slab::default();
        let taken: usize = std::iter::from_fn(|| slab.take(240)).count();
        let rest: usize = std::iter::from_fn(|| slab.take(16)).count();
        assert!(taken * 240 + rest * 16 > CHUNKS.iter().sum::<usize>() - LARGEST * CHUNKS.len());
        assert!(rest > 0);
    }
}
