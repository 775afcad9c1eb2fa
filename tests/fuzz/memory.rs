//! Memory for a workspace with guards on both sides. Under AddressSanitizer what lies before and behind the guards is
//! poisoned too.

use std::ffi::c_void;

const GUARD_BYTES: usize = 256;
const GUARD: u8 = 0xA7;
/// What the memory holds before it is a workspace: nobody promised zeroes.
const GARBAGE: u8 = 0xC3;

/// A workspace between two guards.
pub struct Memory {
    bytes: Vec<u8>,
    start: usize,
    length: usize,
}

impl Memory {
    /// So many bytes, aligned so.
    pub fn new(length: usize, align: usize) -> Memory {
        let mut bytes = vec![GUARD; length + 2 * GUARD_BYTES + align];
        let address = bytes.as_ptr().addr() + GUARD_BYTES;
        let start = address.next_multiple_of(align) - bytes.as_ptr().addr();
        bytes[start..start + length].fill(GARBAGE);
        Memory { bytes, start, length }
    }

    pub fn as_mut_ptr(&mut self) -> *mut c_void {
        // Of the whole block, so that looking at the guards takes nothing from the group.
        self.bytes.as_mut_ptr().wrapping_add(self.start).cast()
    }

    /// Whether the place is inside, to its end.
    pub fn holds(&self, place: *const c_void, length: u64) -> bool {
        let start = self.bytes.as_ptr().addr() + self.start;
        let (place, length) = (place.addr(), length as usize);
        place >= start && length <= self.length && place - start <= self.length - length
    }

    /// The guards are as they were.
    pub fn check(&self) {
        let (before, rest) = self.bytes.split_at(self.start);
        let behind = &rest[self.length..];
        assert!(
            before.iter().chain(behind).all(|&byte| byte == GUARD),
            "the library wrote outside the workspace"
        );
    }
}
