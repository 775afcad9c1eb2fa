//! Memory for a workspace with guards on both sides. Under AddressSanitizer what lies before and behind the guards is
//! poisoned too.

use std::ffi::c_void;

const GUARD_BYTES: usize = 256;
const GUARD: u8 = 0xA7;
/// What the memory holds before it is a workspace: nobody promised zeroes.
const GARBAGE: u8 = 0xC3;

/// A workspace between two guards.
pub struct Memory {
    /// A block of its own; looked at through this pointer only, as the group has parts of it.
    first: *mut u8,
    before: usize,
    length: usize,
    behind: usize,
}

impl Memory {
    /// So many bytes, aligned so.
    pub fn new(length: usize, align: usize) -> Memory {
        let whole = length + 2 * GUARD_BYTES + align;
        let first = Box::into_raw(vec![GUARD; whole].into_boxed_slice()).cast::<u8>();
        let before = (first.addr() + GUARD_BYTES).next_multiple_of(align) - first.addr();
        let behind = whole - before - length;
        // SAFETY: inside the block.
        unsafe { first.wrapping_add(before).write_bytes(GARBAGE, length) };
        Memory { first, before, length, behind }
    }

    pub fn as_mut_ptr(&mut self) -> *mut c_void {
        self.first.wrapping_add(self.before).cast()
    }

    /// Whether the place is inside, to its end.
    pub fn holds(&self, place: *const c_void, length: u64) -> bool {
        let start = self.first.addr() + self.before;
        let (place, length) = (place.addr(), length as usize);
        place >= start && length <= self.length && place - start <= self.length - length
    }

    /// The guards are as they were.
    pub fn check(&self) {
        let behind = self.first.wrapping_add(self.before + self.length);
        for (first, length) in [(self.first, self.before), (behind, self.behind)] {
            // SAFETY: a guard, which only this looks at.
            let guard = unsafe { std::slice::from_raw_parts(first, length) };
            assert!(guard.iter().all(|&byte| byte == GUARD), "the library wrote outside the workspace");
        }
    }
}

impl Drop for Memory {
    fn drop(&mut self) {
        let whole = std::ptr::slice_from_raw_parts_mut(self.first, self.before + self.length + self.behind);
        // SAFETY: made from a box in `new`, and the group is not used any more.
        drop(unsafe { Box::from_raw(whole) });
    }
}
