//! The allocator of a state: counts what is held and refuses to go beyond the limit.
//!
//! Lua answers a refusal with a full collection and asks once more; only a second refusal means that the limit is
//! exceeded. Then the process is over: the hook is struck, so that nothing of it runs while the error unwinds. For a stack
//! that grows Lua neither collects nor asks again, and some callers make an error of the refusal that code can catch: so a
//! block that may be a stack is granted beyond the limit, and the hook, before the next instruction, finds out what a
//! collection leaves of it. While host code pushes data the limit is lifted ([`raw::host`](super::raw::host)), because a push outside of a protected call
//! would end the program; what it took beyond the limit is found afterwards.

use std::alloc::{GlobalAlloc, Layout};
use std::ffi::c_void;
use std::marker::PhantomPinned;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use super::preempt;
use super::slab::{self, Slab};
use crate::allocator::Allocator;

/// What Lua's values need (`LUAI_MAXALIGN`), and what a userdata can count on.
pub const ALIGN: usize = 8;

/// Bytes of a slot of a stack.
const SLOT: usize = 16;

/// Slots that a stack has beyond its size (`EXTRA_STACK`).
const EXTRA: usize = 5;

/// Slots of a new stack, and of the largest one, which has room for the handling of its overflow.
const SLOTS: std::ops::RangeInclusive<usize> = 40 + EXTRA..=1_000_200 + EXTRA;

/// The count of one state. Its address is known to Lua: it must not move while the state lives.
pub struct Memory {
    used: usize,
    /// Bytes; 0: none.
    limit: usize,
    lifted: u32,
    /// What may be used now: the limit, where there is one and it is not lifted.
    ceiling: usize,
    /// The last request was refused.
    refused: bool,
    exceeded: bool,
    /// Bytes that the kernel keeps for the process.
    kept: usize,
    /// Bytes that objects of the state hold outside of it; none until one does.
    outside: Option<Arc<AtomicUsize>>,
    slab: Slab,
    /// The state is being closed: the slab goes as a whole.
    closing: bool,
    /// As in the driver: [`allocate`] has a pointer of its own.
    _pinned: PhantomPinned,
}

/// What an object of the state holds outside of it: counts like the state's own memory until it is dropped.
#[derive(Debug)]
pub struct Weight {
    outside: Arc<AtomicUsize>,
    bytes: usize,
}

impl Drop for Weight {
    fn drop(&mut self) {
        self.outside.fetch_sub(self.bytes, Ordering::Relaxed);
    }
}

impl Memory {
    pub fn new(limit: u64) -> Memory {
        let limit = usize::try_from(limit).unwrap_or(usize::MAX);
        Memory {
            used: 0,
            limit,
            lifted: 0,
            ceiling: if limit == 0 { usize::MAX } else { limit },
            refused: false,
            exceeded: false,
            kept: 0,
            outside: None,
            slab: Slab::default(),
            closing: false,
            _pinned: PhantomPinned,
        }
    }

    /// Bytes that the state and its objects hold, and what is kept for it.
    pub fn used(&self) -> usize {
        self.used + self.kept + self.outside()
    }

    /// Bytes that the state holds.
    pub fn held(&self) -> usize {
        self.used
    }

    /// Counts what the kernel keeps for the process, in place of what it kept before.
    pub fn set_kept(&mut self, bytes: usize) {
        self.kept = bytes;
    }

    fn outside(&self) -> usize {
        let outside = self.outside.as_ref();
        outside.map_or(0, |outside| outside.load(Ordering::Relaxed))
    }

    /// Counts what an object holds outside of the state. Not in [`allocate`], whose collections run no finalizers and so
    /// would not find what can be freed: whoever adds to it asks [`Memory::is_over`].
    pub fn weigh(&mut self, bytes: usize) -> Weight {
        let outside = self.outside.get_or_insert_default().clone();
        outside.fetch_add(bytes, Ordering::Relaxed);
        Weight { outside, bytes }
    }

    pub fn limit(&self) -> usize {
        self.limit
    }

    /// Host code begins.
    pub fn lift(&mut self) {
        self.lifted += 1;
        self.ceiling = usize::MAX;
    }

    /// Host code ends.
    pub fn lower(&mut self) {
        self.lifted -= 1;
        if self.lifted == 0 && self.limit != 0 {
            self.ceiling = self.limit;
        }
    }

    /// Whether host code took more than the limit leaves.
    pub fn is_over(&self) -> bool {
        self.limit != 0 && self.lifted == 0 && self.used() > self.limit
    }

    /// Nothing more was to be freed: the process is over.
    pub fn exceed(&mut self) {
        self.exceeded = true;
        preempt::strike_current();
    }

    /// Whether the process went beyond its limit, and is over.
    pub fn is_exceeded(&self) -> bool {
        self.exceeded
    }

    /// The state is about to be closed.
    pub fn close(&mut self) {
        self.closing = true;
    }

    /// A block of at least one byte; null when there is none.
    unsafe fn take(&mut self, size: usize) -> *mut u8 {
        if size <= slab::LARGEST
            && let Some(block) = self.slab.take(size)
        {
            return block.as_ptr();
        }
        // SAFETY: the size is neither zero nor too large.
        unsafe { Allocator.alloc(layout(size)) }
    }

    /// Frees a block of that size, which was made here.
    unsafe fn give(&mut self, block: *mut u8, size: usize) {
        // SAFETY: as stated.
        unsafe {
            if !self.is_small(block, size) {
                Allocator.dealloc(block, layout(size));
            } else if !self.closing {
                self.slab.give(block, size);
            }
        }
    }

    /// Whether the block lies in the slab.
    fn is_small(&self, block: *mut u8, size: usize) -> bool {
        size <= slab::LARGEST && self.slab.owns(block)
    }

    /// The block with another size; null when there is none, and then the old one stays.
    unsafe fn resize(&mut self, block: *mut u8, old: usize, new: usize) -> *mut u8 {
        // SAFETY: as for `give` and `take`; what both have room for is copied.
        unsafe {
            let is_small = self.is_small(block, old);
            if !is_small && new > slab::LARGEST {
                return Allocator.realloc(block, layout(old), new);
            }
            if is_small && Slab::fits(old, new) {
                return block;
            }
            let place = self.take(new);
            if !place.is_null() {
                std::ptr::copy_nonoverlapping(block, place, old.min(new));
                self.give(block, old);
            }
            place
        }
    }

    /// Whether a stack may grow beyond the limit until the hook has looked, which it is asked to do. No more than the
    /// largest stack in all.
    fn overdraws(&self, old: usize, new: usize, used: usize) -> bool {
        let is_stack = old.is_multiple_of(SLOT)
            && new.is_multiple_of(SLOT)
            && SLOTS.contains(&(old / SLOT))
            && SLOTS.contains(&(new / SLOT));
        let granted = is_stack && !self.exceeded && used <= self.limit.saturating_add(SLOTS.end() * SLOT);
        if granted {
            preempt::strike_current();
        }
        granted
    }

    /// A block with another size than before, or a new one.
    ///
    /// # Safety
    /// As for [`allocate`], with 0 as the old size of a null block.
    unsafe fn obtain(&mut self, block: *mut u8, old: usize, new: usize) -> *mut c_void {
        if new > old {
            let used = self.used - old + new;
            let granted = used <= self.ceiling || !block.is_null() && self.overdraws(old, new, used);
            if new > isize::MAX as usize - ALIGN || !granted {
                return self.refuse();
            }
        }
        // SAFETY: as stated; the size is neither zero nor too large.
        let place = unsafe {
            match block.is_null() {
                true => self.take(new),
                false => self.resize(block, old, new),
            }
        };
        if !place.is_null() {
            self.used = self.used - old + new;
            self.refused &= new <= old;
        }
        place.cast()
    }

    /// Any request.
    ///
    /// # Safety
    /// As for [`allocate`].
    #[inline(never)]
    unsafe fn reallocate(&mut self, block: *mut u8, old: usize, new: usize) -> *mut c_void {
        // SAFETY: as stated.
        unsafe {
            match (block.is_null(), new) {
                (true, 0) => std::ptr::null_mut(),
                (false, 0) => {
                    self.give(block, old);
                    self.used -= old;
                    std::ptr::null_mut()
                }
                (true, _) => self.obtain(block, 0, new),
                (false, _) => self.obtain(block, old, new),
            }
        }
    }

    fn refuse(&mut self) -> *mut c_void {
        if std::mem::replace(&mut self.refused, true) {
            self.exceed();
        }
        std::ptr::null_mut()
    }
}

/// # Safety
/// The size is at most `isize::MAX` rounded down to [`ALIGN`].
unsafe fn layout(size: usize) -> Layout {
    // SAFETY: as stated.
    unsafe { Layout::from_size_align_unchecked(size, ALIGN) }
}

/// What Lua calls for every block. `data` is the state's [`Memory`].
///
/// # Safety
/// Called by Lua alone, with the promises of `lua_Alloc`.
pub unsafe extern "C" fn allocate(data: *mut c_void, block: *mut c_void, old: usize, new: usize) -> *mut c_void {
    // SAFETY: `data` is the Memory given to lua_newstate and outlives the state. Blocks come from here, with `old` as
    // their size (Lua keeps it); for a null block `old` is a type and means nothing.
    unsafe {
        let memory = &mut *data.cast::<Memory>();
        // Most requests by far: a small block, and there is one that was freed; or it is freed.
        if block.is_null() {
            if (1..=slab::LARGEST).contains(&new)
                && memory.used + new <= memory.ceiling
                && let Some(place) = memory.slab.take_freed(new)
            {
                memory.used += new;
                memory.refused = false;
                return place.as_ptr().cast();
            }
        } else if new == 0 && old <= slab::LARGEST && memory.slab.owns_all() && !memory.closing {
            memory.slab.give(block.cast(), old);
            memory.used -= old;
            return std::ptr::null_mut();
        }
        memory.reallocate(block.cast(), old, new)
    }
}
