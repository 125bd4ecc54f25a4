//! The program's allocator: mimalloc, by its shortest way in.
//!
//! Every process makes and frees a Lua state or a store: 15 to 25 % cheaper to make and two to three times cheaper to free
//! than with the system's allocator. The usual binding asks for an alignment each time, which costs as much again as the
//! allocation itself; what is aligned anyway is asked for without it here.

use std::alloc::{GlobalAlloc, Layout};
use std::sync::OnceLock;

use libmimalloc_sys::{
    mi_free, mi_malloc, mi_malloc_aligned, mi_realloc, mi_realloc_aligned, mi_zalloc, mi_zalloc_aligned,
};

/// What `malloc` aligns every block of at least this size to.
const NATURAL: usize = 16;

/// To be named as the `#[global_allocator]`.
pub struct Allocator;

/// Whether the system may give this program huge pages. A start touches a little of much memory, and clearing 2 MiB for each
/// of the first blocks takes a third of the time that `wippy run` has; later huge pages make large states several times
/// faster to walk. Where the system knows no such switch nothing happens.
///
/// Who has switched them off for this program before it began keeps it so.
pub fn huge_pages(wanted: bool) {
    #[cfg(target_os = "linux")]
    {
        static OFF: OnceLock<bool> = OnceLock::new();
        // SAFETY: reads a flag of this program; the unused arguments must be zero.
        let off = || unsafe { libc::prctl(libc::PR_GET_THP_DISABLE, 0, 0, 0, 0) } == 1;
        if !OFF.get_or_init(off) {
            // SAFETY: sets the flag; the unused arguments must be zero.
            unsafe { libc::prctl(libc::PR_SET_THP_DISABLE, libc::c_ulong::from(!wanted), 0, 0, 0) };
        }
    }
    #[cfg(not(target_os = "linux"))]
    let _ = wanted;
}

/// Whether a block of that layout is aligned without asking.
const fn is_natural(size: usize, align: usize) -> bool {
    align <= NATURAL && align <= size
}

// SAFETY: mimalloc keeps the contract of malloc: blocks are aligned to their size up to 16 bytes, and to what was asked
// for by the aligned calls; it frees a block of either kind with the same call.
unsafe impl GlobalAlloc for Allocator {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        // SAFETY: any size is allowed.
        unsafe {
            match is_natural(layout.size(), layout.align()) {
                true => mi_malloc(layout.size()).cast(),
                false => mi_malloc_aligned(layout.size(), layout.align()).cast(),
            }
        }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        // SAFETY: any size is allowed.
        unsafe {
            match is_natural(layout.size(), layout.align()) {
                true => mi_zalloc(layout.size()).cast(),
                false => mi_zalloc_aligned(layout.size(), layout.align()).cast(),
            }
        }
    }

    unsafe fn dealloc(&self, block: *mut u8, _: Layout) {
        // SAFETY: the block came from here.
        unsafe { mi_free(block.cast()) };
    }

    unsafe fn realloc(&self, block: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        // SAFETY: the block came from here.
        unsafe {
            match is_natural(size, layout.align()) {
                true => mi_realloc(block.cast(), size).cast(),
                false => mi_realloc_aligned(block.cast(), size, layout.align()).cast(),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blocks_are_aligned_zeroed_and_keep_their_content() {
        for align in [1, 8, 16, 64, 4096] {
            for size in [1, 7, 8, 16, 24, 100, 4096, 100_000] {
                let layout = Layout::from_size_align(size, align).unwrap();
                // SAFETY: blocks are used within their sizes and freed once.
                unsafe {
                    let block = Allocator.alloc_zeroed(layout);
                    assert!(block.addr().is_multiple_of(align) && block.add(size - 1).read() == 0);
                    block.add(size - 1).write(7);
                    let grown = Allocator.realloc(block, layout, size * 3);
                    assert!(grown.addr().is_multiple_of(align) && grown.add(size - 1).read() == 7);
                    Allocator.dealloc(grown, Layout::from_size_align(size * 3, align).unwrap());
                    let block = Allocator.alloc(layout);
                    assert!(block.addr().is_multiple_of(align));
                    Allocator.dealloc(block, layout);
                }
            }
        }
    }
}
