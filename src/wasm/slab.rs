//! Stacks and memories of dense guests, cut as blocks of equal size from large mappings: the kernel allows a program only so
//! many, and a guest with mappings of its own takes six.
//!
//! A stack's block is a guard page and the stack; only the stacks in use are accessible, so that a free one costs no
//! mapping. A memory's block has no guard: code for these memories checks every access.
//!
//! Invariant: a block that is handed out reads as zeros and belongs to nobody else until it is dropped.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::ops::Range;
use std::ptr::{self, NonNull};
use std::sync::{Arc, Mutex, MutexGuard};

use wasmtime::{LinearMemory, MemoryCreator, MemoryType, StackCreator, StackMemory};

use super::capacity::{Capacity, Layout, Permit};
use super::error::Stop;
use crate::lock::lock;
use crate::process::Exit;

/// Blocks of one mapping at least, so that mappings do not grow with the guests.
const BLOCKS: usize = 64;
/// Bytes of one mapping at least; nothing is taken of the machine until it is touched.
const CHUNK: usize = 64 << 20;
/// The smallest memory's block: one page of WebAssembly.
const SMALLEST: usize = 64 << 10;

/// What the blocks of a slab are for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Use {
    Stacks,
    Memories,
}

/// Blocks of several sizes.
struct Slab {
    purpose: Use,
    /// By size of their blocks.
    classes: Mutex<BTreeMap<usize, Class>>,
}

#[derive(Default)]
struct Class {
    /// By address.
    chunks: BTreeMap<usize, Chunk>,
    /// Addresses of those with a free block.
    open: BTreeSet<usize>,
}

/// One mapping.
struct Chunk {
    mapping: Mapping,
    blocks: usize,
    /// Indices of blocks that were given back.
    free: Vec<usize>,
    /// The first block that was never handed out.
    fresh: usize,
}

impl Chunk {
    fn map(purpose: Use, size: usize) -> io::Result<Chunk> {
        let many = (CHUNK / size).max(BLOCKS);
        // Where address space is short, one at a time.
        let mapping = Mapping::new(purpose, many.saturating_mul(size)).or_else(|_| Mapping::new(purpose, size))?;
        Ok(Chunk {
            blocks: mapping.length / size,
            mapping,
            free: Vec::new(),
            fresh: 0,
        })
    }

    fn take(&mut self) -> Option<usize> {
        self.free.pop().or_else(|| {
            let index = self.fresh;
            self.fresh += usize::from(index < self.blocks);
            (index < self.blocks).then_some(index)
        })
    }

    fn is_full(&self) -> bool {
        self.free.is_empty() && self.fresh == self.blocks
    }

    fn is_empty(&self) -> bool {
        self.free.len() == self.fresh
    }
}

impl Slab {
    fn new(purpose: Use) -> Arc<Slab> {
        Arc::new(Slab {
            purpose,
            classes: Mutex::default(),
        })
    }

    fn classes(&self) -> MutexGuard<'_, BTreeMap<usize, Class>> {
        lock(&self.classes)
    }

    /// A block of that many bytes, which must be whole pages.
    fn block(self: &Arc<Self>, size: usize) -> io::Result<Block> {
        let mut classes = self.classes();
        let class = classes.entry(size).or_default();
        let chunk = match class.open.first() {
            Some(chunk) => *chunk,
            None => {
                let chunk = Chunk::map(self.purpose, size)?;
                let address = chunk.mapping.address();
                class.chunks.insert(address, chunk);
                class.open.insert(address);
                address
            }
        };
        let held = class.chunks.get_mut(&chunk).ok_or(io::ErrorKind::NotFound)?;
        let index = held.take().ok_or(io::ErrorKind::NotFound)?;
        if held.is_full() {
            class.open.remove(&chunk);
        }
        let start = held.mapping.at(index * size);
        drop(classes);
        let block = Block {
            slab: self.clone(),
            chunk,
            index,
            start,
            size,
        };
        // From here on the block gives itself back if it cannot be used.
        block.open()?;
        Ok(block)
    }

    fn give_back(&self, chunk: usize, index: usize, size: usize) {
        let mut classes = self.classes();
        let Some(class) = classes.get_mut(&size) else { return };
        let Some(held) = class.chunks.get_mut(&chunk) else {
            return;
        };
        held.free.push(index);
        let empty = held.is_empty();
        class.open.insert(chunk);
        // One chunk with room is kept: the next guest needs it.
        let unmapped = if empty && class.open.len() > 1 {
            class.open.remove(&chunk);
            class.chunks.remove(&chunk)
        } else {
            None
        };
        drop(classes);
        drop(unmapped);
    }
}

/// A part of a mapping in use.
struct Block {
    slab: Arc<Slab>,
    /// Address of its chunk.
    chunk: usize,
    index: usize,
    start: NonNull<u8>,
    size: usize,
}

// SAFETY: the bytes belong to whoever holds the block; the slab behind it is shared under a lock.
unsafe impl Send for Block {}
// SAFETY: as above; nothing is changed through a shared reference.
unsafe impl Sync for Block {}

impl Block {
    /// Makes the part that is used accessible.
    fn open(&self) -> io::Result<()> {
        if self.slab.purpose == Use::Memories {
            return Ok(());
        }
        let (start, length) = self.stack();
        // SAFETY: the range lies in the chunk's mapping, in the block that is ours.
        answered(unsafe { libc::mprotect(start.cast(), length, libc::PROT_READ | libc::PROT_WRITE) })
    }

    /// Drops the contents: whoever gets the block next finds zeros.
    fn clear(&self) -> io::Result<()> {
        match self.slab.purpose {
            // A fresh mapping in its place becomes one with the inaccessible ones beside it.
            Use::Stacks => {
                let (start, length) = self.stack();
                remap(start, length, libc::PROT_NONE)
            }
            Use::Memories if cfg!(target_os = "linux") => {
                // SAFETY: the range lies in the chunk's mapping, in the block that is ours.
                answered(unsafe { libc::madvise(self.start.as_ptr().cast(), self.size, libc::MADV_DONTNEED) })
            }
            Use::Memories => remap(self.start.as_ptr(), self.size, libc::PROT_READ | libc::PROT_WRITE),
        }
    }

    /// What is above the guard page.
    fn stack(&self) -> (*mut u8, usize) {
        let guard = page();
        (self.start.as_ptr().wrapping_add(guard), self.size - guard)
    }
}

impl Drop for Block {
    fn drop(&mut self) {
        // A block that cannot be cleared is never used again.
        if self.clear().is_ok() {
            self.slab.give_back(self.chunk, self.index, self.size);
        }
    }
}

/// Anonymous memory.
struct Mapping {
    start: NonNull<u8>,
    length: usize,
}

// SAFETY: a mapping belongs to the program, not to a thread.
unsafe impl Send for Mapping {}

impl Mapping {
    fn new(purpose: Use, length: usize) -> io::Result<Mapping> {
        let access = match purpose {
            Use::Stacks => libc::PROT_NONE,
            Use::Memories => libc::PROT_READ | libc::PROT_WRITE,
        };
        // SAFETY: a new mapping where the kernel likes; nothing of ours is touched.
        let start = unsafe { libc::mmap(ptr::null_mut(), length, access, FLAGS, -1, 0) };
        if start == libc::MAP_FAILED {
            return Err(io::Error::last_os_error());
        }
        #[cfg(target_os = "linux")]
        if purpose == Use::Memories {
            // One touched page must not become two megabytes. Stacks are too small for that, and their free ones would no
            // longer be the same as what `clear` puts in their place.
            // SAFETY: the mapping was just made. A kernel without huge pages refuses, which is what is wanted.
            unsafe { libc::madvise(start, length, libc::MADV_NOHUGEPAGE) };
        }
        let start = NonNull::new(start.cast()).ok_or(io::ErrorKind::OutOfMemory)?;
        Ok(Mapping { start, length })
    }

    fn address(&self) -> usize {
        self.start.as_ptr().addr()
    }

    fn at(&self, offset: usize) -> NonNull<u8> {
        debug_assert!(offset < self.length);
        // SAFETY: the offset lies in the mapping.
        unsafe { self.start.add(offset) }
    }
}

impl Drop for Mapping {
    fn drop(&mut self) {
        // SAFETY: nobody holds a block of it any more. A failure would only leave it mapped.
        unsafe { libc::munmap(self.start.as_ptr().cast(), self.length) };
    }
}

const FLAGS: i32 = libc::MAP_PRIVATE | libc::MAP_ANON | libc::MAP_NORESERVE;

fn remap(start: *mut u8, length: usize, access: i32) -> io::Result<()> {
    // SAFETY: the callers' blocks are theirs, so nobody uses what is replaced.
    let mapped = unsafe { libc::mmap(start.cast(), length, access, FLAGS | libc::MAP_FIXED, -1, 0) };
    match mapped == libc::MAP_FAILED {
        true => Err(io::Error::last_os_error()),
        false => Ok(()),
    }
}

fn answered(code: i32) -> io::Result<()> {
    match code {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}

/// Bytes of a page of this machine.
fn page() -> usize {
    // SAFETY: no preconditions.
    let bytes = unsafe { libc::sysconf(libc::_SC_PAGESIZE) };
    usize::try_from(bytes).unwrap_or(4096)
}

/// Stacks with a guard page each.
pub struct Stacks {
    slab: Arc<Slab>,
    /// Where their mappings are taken from, unless the guests' seats hold them.
    capacity: Option<Arc<Capacity>>,
}

impl Stacks {
    /// One stack for each guest.
    pub fn new() -> Stacks {
        Stacks {
            slab: Slab::new(Use::Stacks),
            capacity: None,
        }
    }

    /// For guests with tasks, which may have any number of stacks.
    pub fn counted(capacity: Arc<Capacity>) -> Stacks {
        Stacks {
            capacity: Some(capacity),
            ..Stacks::new()
        }
    }

    fn mappings(&self) -> wasmtime::Result<Option<Permit>> {
        let permit = self.capacity.as_ref().map(|capacity| capacity.mappings(Layout::Dense));
        permit
            .transpose()
            .map_err(|error| wasmtime::Error::new(Stop::new(Exit::failed(error))))
    }
}

// SAFETY: a stack is a block of its own, page-aligned, zeroed, with an inaccessible page below it.
unsafe impl StackCreator for Stacks {
    fn new_stack(&self, size: usize, _zeroed: bool) -> wasmtime::Result<Box<dyn StackMemory>> {
        let mappings = self.mappings()?;
        let size = size.next_multiple_of(page()) + page();
        Ok(Box::new(Stack {
            block: self.slab.block(size)?,
            _mappings: mappings,
        }))
    }
}

struct Stack {
    block: Block,
    /// Given back after the block.
    _mappings: Option<Permit>,
}

// SAFETY: as of `Stacks`.
unsafe impl StackMemory for Stack {
    fn top(&self) -> *mut u8 {
        let (start, length) = self.block.stack();
        start.wrapping_add(length)
    }

    fn range(&self) -> Range<usize> {
        let (start, length) = self.block.stack();
        start.addr()..start.addr() + length
    }

    fn guard_range(&self) -> Range<*mut u8> {
        self.block.start.as_ptr()..self.block.stack().0
    }
}

/// Memories without guard pages, for code that checks every access.
pub struct Memories(Arc<Slab>);

impl Memories {
    pub fn new() -> Memories {
        Memories(Slab::new(Use::Memories))
    }
}

// SAFETY: a memory is a block of its own, page-aligned and zeroed; a guard or a reservation is refused.
unsafe impl MemoryCreator for Memories {
    fn new_memory(
        &self,
        _: MemoryType,
        minimum: usize,
        _: Option<usize>,
        reserved: Option<usize>,
        guard: usize,
    ) -> Result<Box<dyn LinearMemory>, String> {
        if guard > 0 || reserved.is_some_and(|reserved| reserved > 0) {
            return Err("memories in slabs have neither guard nor reservation".to_owned());
        }
        let mut memory = Memory {
            slab: self.0.clone(),
            block: None,
            size: 0,
        };
        match memory.grow_to(minimum) {
            Ok(()) => Ok(Box::new(memory)),
            Err(error) => Err(format!("{error:#}")),
        }
    }
}

struct Memory {
    slab: Arc<Slab>,
    /// None as long as it is empty.
    block: Option<Block>,
    size: usize,
}

// SAFETY: as of `Memories`; growth within the block does not move it.
unsafe impl LinearMemory for Memory {
    fn byte_size(&self) -> usize {
        self.size
    }

    fn byte_capacity(&self) -> usize {
        self.block.as_ref().map_or(0, |block| block.size)
    }

    fn grow_to(&mut self, size: usize) -> wasmtime::Result<()> {
        if size > self.byte_capacity() {
            let too_much = || io::Error::from(io::ErrorKind::OutOfMemory);
            let wanted = size.checked_next_power_of_two().ok_or_else(too_much)?;
            let block = self.slab.block(wanted.max(SMALLEST))?;
            // SAFETY: both blocks are ours and at least `self.size` long.
            unsafe { ptr::copy_nonoverlapping(self.as_ptr(), block.start.as_ptr(), self.size) };
            self.block = Some(block);
        }
        self.size = size;
        Ok(())
    }

    fn as_ptr(&self) -> *mut u8 {
        let start = self.block.as_ref().map_or(NonNull::dangling(), |block| block.start);
        start.as_ptr()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::Kind;

    const STACK: usize = 256 << 10;

    fn memory(memories: &Memories, minimum: usize) -> Box<dyn LinearMemory> {
        let ty = MemoryType::new(0, None);
        memories.new_memory(ty, minimum, None, None, 0).unwrap()
    }

    fn bytes<'a>(memory: &dyn LinearMemory) -> &'a mut [u8] {
        // SAFETY: that many bytes are accessible, and nobody else looks at them.
        unsafe { std::slice::from_raw_parts_mut(memory.as_ptr(), memory.byte_size()) }
    }

    #[test]
    fn memories_are_zeroed_and_keep_their_contents_as_they_grow() {
        let memories = Memories::new();
        let mut one = memory(&memories, 1 << 16);
        bytes(&*one).fill(7);
        one.grow_to(3 << 16).unwrap();
        let grown = bytes(&*one);
        assert!(grown[..1 << 16].iter().all(|byte| *byte == 7));
        assert!(grown[1 << 16..].iter().all(|byte| *byte == 0));
        let capacity = one.byte_capacity();
        assert_eq!(capacity, 4 << 16);
        let before = one.as_ptr();
        one.grow_to(capacity).unwrap();
        assert_eq!(one.as_ptr(), before);
        bytes(&*one).fill(9);
        drop(one);
        let again = memory(&memories, 4 << 16);
        assert_eq!(again.as_ptr(), before, "the free block is used first");
        assert!(bytes(&*again).iter().all(|byte| *byte == 0));
    }

    #[test]
    fn an_empty_memory_takes_no_block() {
        let memories = Memories::new();
        let mut empty = memory(&memories, 0);
        assert_eq!((empty.byte_size(), empty.byte_capacity()), (0, 0));
        assert!(!empty.as_ptr().is_null());
        empty.grow_to(1 << 16).unwrap();
        assert_eq!(bytes(&*empty)[0], 0);
        assert!(empty.grow_to(usize::MAX - 4096).is_err());
        assert_eq!(empty.byte_size(), 1 << 16);
    }

    #[test]
    fn a_guard_or_a_reservation_is_refused() {
        let ty = || MemoryType::new(0, None);
        let memories = Memories::new();
        assert!(memories.new_memory(ty(), 0, None, Some(4096), 0).is_err());
        assert!(memories.new_memory(ty(), 0, None, Some(0), 4096).is_err());
    }

    #[test]
    fn stacks_are_apart_zeroed_and_above_their_guard() {
        let stacks = Stacks::new();
        let one = stacks.new_stack(STACK - 1, false).unwrap();
        let two = stacks.new_stack(STACK, false).unwrap();
        for stack in [&one, &two] {
            let (range, guard) = (stack.range(), stack.guard_range());
            assert_eq!((range.len(), stack.top().addr()), (STACK, range.end));
            assert_eq!(
                (guard.end.addr(), guard.end.addr() - guard.start.addr()),
                (range.start, page())
            );
            // SAFETY: the stack is ours.
            unsafe { stack.top().sub(1).write(1) };
        }
        assert!(two.range().start >= one.range().end + page());
        let top = two.top();
        drop(two);
        let again = stacks.new_stack(STACK, false).unwrap();
        assert_eq!(again.top(), top);
        // SAFETY: the stack is ours.
        assert_eq!(unsafe { again.top().sub(1).read() }, 0);
    }

    #[test]
    fn counted_stacks_end_with_the_mappings() {
        let stacks = Stacks::counted(Capacity::under(0, None));
        let mut held = Vec::new();
        let refused = loop {
            match stacks.new_stack(STACK, false) {
                Ok(stack) => held.push(stack),
                Err(error) => break error,
            }
        };
        let stop = refused.downcast_ref::<Stop>().expect("the end of a run");
        let error = stop.exit().error().unwrap();
        assert_eq!((error.kind(), error.retryable()), (Kind::Unavailable, Some(true)));
        assert_eq!(held.len(), 48);
        held.pop();
        stacks.new_stack(STACK, false).unwrap();
    }

    /// Mappings of this program below an address and above another.
    #[cfg(target_os = "linux")]
    fn mappings(within: &Range<usize>) -> Vec<String> {
        let maps = std::fs::read_to_string("/proc/self/maps").unwrap();
        let place = |line: &str| usize::from_str_radix(line.split('-').next()?, 16).ok();
        maps.lines()
            .filter(|line| place(line).is_some_and(|start| within.contains(&start)))
            .map(str::to_owned)
            .collect()
    }

    #[test]
    #[cfg(target_os = "linux")]
    fn a_stack_in_use_takes_two_mappings_and_a_free_one_none() {
        let stacks = Stacks::new();
        let held: Vec<_> = (0..BLOCKS).map(|_| stacks.new_stack(STACK, false).unwrap()).collect();
        // Not the first guard: the system may join it with what somebody else has reserved before it.
        let within = held[0].range().start..held[BLOCKS - 1].range().end;
        for stack in &held {
            // SAFETY: the stack is ours. Touched pages must not keep mappings apart later.
            unsafe { stack.top().sub(1).write(1) };
        }
        let maps = mappings(&within);
        assert_eq!(maps.len(), 2 * BLOCKS - 1, "{maps:#?}");
        assert!(
            maps.iter().skip(1).step_by(2).all(|line| line.contains("---p")),
            "{maps:#?}"
        );
        drop(held);
        assert!(mappings(&within).len() <= 1, "{:#?}", mappings(&within));
    }

    #[test]
    fn a_chunk_that_is_not_needed_is_unmapped() {
        let memories = Memories::new();
        let count = CHUNK / SMALLEST;
        let chunks = || memories.0.classes()[&SMALLEST].chunks.len();
        let held: Vec<_> = (0..3 * count).map(|_| memory(&memories, SMALLEST)).collect();
        assert_eq!(chunks(), 3);
        drop(held);
        assert_eq!(chunks(), 1);
        let _next = memory(&memories, SMALLEST);
        assert_eq!(chunks(), 1);
    }
}
