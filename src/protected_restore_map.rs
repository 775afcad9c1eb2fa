#![forbid(unsafe_code)]
//! The Protected Restore Map: the extents of the Source that host writes changed during a restore.
//! Beside it, the extents that were copied but may still lie in a volatile cache.
//!
//! For an extent, with D the Delta Map of the Clone that is restored from and P this map:
//!
//! ```text
//!   base      D copied P   host reads from
//!   OLD       1   0    0   the Clone (copy first, or redirect)
//!   VOLATILE  1   1    0   the Source
//!   DURABLE   0   0    0   the Source: equal to the Clone
//!   DURABLE   0   0    1   the Source: hosts wrote it
//!   OLD       1   0    1   a whole-extent overwrite is about to become durable; it owns the extent (R17)
//! ```
//!
//! D goes to 0 only when the copy is durable (R8), and P to 1 only then (R5), but for the last row, whose
//! data was durable before.

use crate::extent_map::ExtentMap;
use crate::geometry::{Extent, ExtentRange};
use crate::knock_out::kept;
use crate::table::Ring;

/// See the module.
pub struct ProtectedRestoreMap<'a> {
    /// The Protected Restore Map itself.
    pub bits: ExtentMap<'a>,
    /// Copied, not flushed.
    pub copied: ExtentMap<'a>,
    /// The same as a list, in the order of the copies: a flush covers a head of it (R20).
    unflushed: Ring<'a, ExtentRange>,
    /// How long the head is that the flush under way covers.
    sealed: usize,
}

impl<'a> ProtectedRestoreMap<'a> {
    /// Maps of no extents, with this list: whoever makes it lays the maps.
    pub fn new(unflushed: &'a mut [ExtentRange]) -> ProtectedRestoreMap<'a> {
        let (bits, copied) = (ExtentMap::default(), ExtentMap::default());
        ProtectedRestoreMap { bits, copied, unflushed: Ring::new(unflushed), sealed: 0 }
    }

    /// Whether the extent still has to be copied, D being the Delta Map of the Clone that is restored from (R7).
    pub fn need(&self, delta: &ExtentMap<'_>, extent: Extent) -> bool {
        delta.get(extent) && !self.bits.get(extent) && !self.copied.get(extent)
    }

    /// Notes a copy that may lie in a volatile cache.
    pub fn note_copied(&mut self, extents: ExtentRange) {
        self.copied.set_range(extents);
        self.unflushed.push(extents);
    }

    /// How many more copies can be noted.
    pub fn unflushed_free(&self) -> usize {
        self.unflushed.free()
    }

    /// How many copies wait for a flush.
    pub fn unflushed(&self) -> usize {
        self.unflushed.len()
    }

    /// The restore is left: copies that are not flushed count as never made. A flush under way covers nothing of
    /// what comes after.
    pub fn forget_copies(&mut self) {
        self.unseal(false, None, |_| {});
    }

    /// A flush of the Source is being submitted: it covers what is noted now, not what completes meanwhile.
    pub fn seal(&mut self) {
        self.sealed = self.unflushed.len();
    }

    /// The flush is over. If it worked, the copies it covered are durable, and leave the Delta Map. If not, every
    /// copy that is noted may be lost from the cache, also one that came after the flush was submitted. They are as
    /// if never made: the Clone is as it was, so they are simply made again (R24). `durable` learns of those that count.
    pub fn unseal(
        &mut self,
        flushed: bool,
        delta: Option<&ExtentMap<'_>>,
        mut durable: impl FnMut(ExtentRange),
    ) {
        let sealed = core::mem::take(&mut self.sealed);
        let over = if flushed && kept!(R20) { sealed } else { self.unflushed.len() };
        for _ in 0..over {
            let Some(extents) = self.unflushed.pop() else {
                return;
            };
            self.copied.clear_range(extents);
            if let (true, Some(delta)) = (flushed, delta) {
                delta.clear_range(extents);
                durable(extents);
            }
        }
    }
}
