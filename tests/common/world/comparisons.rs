//! What Verify reads, as the devices see it: an extent that was written between the reads of its two LUs is compared
//! again, or not judged (R44, N14).

use std::collections::{BTreeMap, BTreeSet};

use ::clone_group::ffi::types::*;

use super::{Inner, World};

/// Of the Verify that runs.
#[derive(Default)]
pub(super) struct Comparisons {
    /// The Clone that is compared with the Source.
    clone: Option<usize>,
    /// By extent that was read from the Source: whether it was written since.
    begun: BTreeMap<usize, bool>,
    /// Read from both LUs, and written by nobody in between.
    undisturbed: BTreeSet<usize>,
    /// Extents that the ones before it counted.
    counted: u64,
}

impl Inner {
    /// The extents of an I/O.
    pub(super) fn extents_of(&self, io: &clone_group_io) -> std::ops::Range<usize> {
        let (first, end) = (io.first_block as usize, (io.first_block + io.block_count) as usize);
        first / self.profile.extent_blocks..end.div_ceil(self.profile.extent_blocks)
    }

    /// The Clone that is verified.
    pub fn verified(&self) -> Option<usize> {
        self.comparisons.clone
    }

    /// An I/O is submitted while this Clone is verified, or none.
    pub(super) fn compare_begins(&mut self, io: &clone_group_io, clone: Option<usize>) {
        self.comparisons.clone = clone;
        let Some(clone) = clone else { return };
        let of_pair = |io: &clone_group_io| io.lu == 0 || io.lu as usize == clone;
        let writes = |io: &clone_group_io| {
            !matches!(io.operation, CLONE_GROUP_IO_READ | CLONE_GROUP_IO_FLUSH) && of_pair(io)
        };
        if writes(io) {
            for extent in self.extents_of(io) {
                self.comparisons.begun.entry(extent).and_modify(|written| *written = true);
            }
        } else if is_engine_read(io) && io.lu == 0 {
            let extent_blocks = self.profile.extent_blocks as u64;
            let first = io.first_block.div_ceil(extent_blocks) as usize;
            for extent in first..self.extents_of(io).end {
                let mut others = self.held.iter().map(|held| &held.io);
                let written = others.any(|other| writes(other) && self.extents_of(other).contains(&extent));
                self.comparisons.begun.insert(extent, written);
            }
        }
    }

    /// A read is over; of the Clone it ends the comparison of the extents whose last block it read.
    pub(super) fn compare_ends(&mut self, io: &clone_group_io) {
        if !is_engine_read(io) || io.lu == 0 {
            return;
        }
        let end = (io.first_block + io.block_count) as usize;
        for extent in self.extents_of(io) {
            let last = ((extent + 1) * self.profile.extent_blocks).min(self.profile.blocks);
            if last <= end && self.comparisons.begun.get(&extent) == Some(&false) {
                self.comparisons.undisturbed.insert(extent);
            }
        }
    }
}

/// By an engine of the library, not for a host.
fn is_engine_read(io: &clone_group_io) -> bool {
    io.operation == CLONE_GROUP_IO_READ && io.flags & CLONE_GROUP_IO_HOST == 0
}

impl World {
    /// A Verify is over: it counted what it could judge, and of a point in time all that its Delta Map does not have.
    pub(super) fn check_verified(&self, clone: usize, status: i32) {
        let statistics = self.statistics();
        // One that differs need not be read to its end.
        let total = statistics.verified_extents - statistics.mismatched_extents;
        let whole = status == CLONE_GROUP_OK && self.clone_info(clone).state == CLONE_GROUP_CLONE_FRACTURED;
        let delta = if whole { self.map(CLONE_GROUP_MAP_DELTA, clone) } else { Vec::new() };
        let left = delta.iter().filter(|&&differs| !differs).count() as u64;
        let different = self.clone_info(clone).mismatched_extents;
        let comparisons = &mut self.inner.borrow_mut().comparisons;
        let equal = total - comparisons.counted;
        let undisturbed = comparisons.undisturbed.len() as u64;
        assert!(
            equal <= undisturbed,
            "Verify of LU {clone} judged {equal} extents, and read {undisturbed} that nobody wrote meanwhile (R44)"
        );
        assert!(
            equal + different >= left,
            "Verify of LU {clone} judged {equal} extents, and {left} are not in the Delta Map"
        );
        *comparisons = Comparisons { counted: total, ..Comparisons::default() };
    }
}
