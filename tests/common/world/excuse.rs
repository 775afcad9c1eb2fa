//! Why a host request may fail: an I/O failed that it depends on. And when it has to: a flush failed that may have lost
//! a part of it.

use std::ops::Range;

use ::clone_group::ffi::types::*;

use super::{HostOp, Inner, Profile, World};

/// What happened to I/Os that a host request depends on.
#[derive(Clone, Default, Debug)]
pub struct Excuse {
    /// One of its own I/Os failed, on the LU whose content counts (R50, R52).
    pub(super) own: bool,
    /// While it was there, a flush of that LU failed (R24), or a copy of its extents (R61).
    pub(super) flush: bool,
    pub(super) copy: bool,
    /// A metadata write failed, and was not repaired when it came (R33).
    pub(super) metadata: bool,
    /// Its I/Os that the controller has, and the LUs in whose caches others may lie.
    legs: usize,
    cached: Vec<usize>,
    /// The LU whose content counts failed a flush while it was being written to it (N8), or before one covered it (R24).
    pub(super) lost: bool,
}

impl HostOp {
    /// Whether the I/O is a part of it. Without a payload nothing tells requests for the same blocks apart.
    fn has_leg(&self, io: &clone_group_io) -> bool {
        if !io.payload.is_null() {
            return self.payload.as_ptr().cast() == io.payload.cast_const();
        }
        let range = (self.first as u64, self.count as u64);
        let zeroes = matches!(self.operation, CLONE_GROUP_IO_WRITE_ZEROES | CLONE_GROUP_IO_DISCARD);
        zeroes && range == (io.first_block, io.block_count) && (self.lu == 0 || self.lu == io.lu as usize)
    }

    /// Whether it waits for a copy of any of these extents, perhaps.
    fn needs_any(&self, extents: &Range<usize>, profile: &Profile) -> bool {
        let mine = self.extents(profile);
        self.lu == 0 && mine.start < extents.end && extents.start < mine.end
    }
}

fn is_leg(io: &clone_group_io) -> bool {
    io.flags & CLONE_GROUP_IO_HOST != 0 && !Inner::is_metadata(io)
}

impl Inner {
    /// The LU whose content counts for hosts of this one (R41).
    pub(super) fn authority(&self, lu: usize) -> usize {
        if lu == 0 { self.reversing } else { lu }
    }

    pub(super) fn leg_submitted(&mut self, io: &clone_group_io) {
        if !is_leg(io) || io.payload.is_null() {
            return;
        }
        let fua = io.flags & CLONE_GROUP_IO_FUA != 0;
        for op in self.hosts.values_mut().filter(|op| op.has_leg(io)) {
            op.excuse.legs += 1;
            if io.operation == CLONE_GROUP_IO_WRITE && !fua {
                op.excuse.cached.push(io.lu as usize);
            }
        }
    }

    /// An I/O is over.
    pub(super) fn note_end(&mut self, io: &clone_group_io, status: i32) {
        self.urgent_ended(io, status);
        if is_leg(io) && !io.payload.is_null() {
            self.hosts.values_mut().filter(|op| op.has_leg(io)).for_each(|op| op.excuse.legs -= 1);
        }
        if status < CLONE_GROUP_OK {
            self.note_failure(io);
        }
    }

    fn note_failure(&mut self, io: &clone_group_io) {
        if Inner::is_metadata(io) {
            self.metadata_fault_seen = true;
            self.metadata_unrepaired |= io.operation != CLONE_GROUP_IO_PERSIST_READ;
            self.metadata_failed(io);
            return self.hosts.values_mut().for_each(|op| op.excuse.metadata = true);
        }
        self.fault_seen = true;
        let (lu, source) = (io.lu as usize, self.authority(0));
        if io.operation == CLONE_GROUP_IO_FLUSH {
            self.note_failed_flush(lu);
        } else if is_leg(io) {
            let counts = |op: &HostOp| !op.changes_blocks() || op.lu != 0 || lu == source;
            let concerned = self.hosts.values_mut().filter(|op| op.has_leg(io) && counts(op));
            concerned.for_each(|op| op.excuse.own = true);
        } else if self.restoring.is_some() {
            let (extents, profile) = (self.extents_of(io), self.profile);
            if extents.len() == 1 {
                self.failed_alone.insert(extents.start);
            }
            let concerned = self.hosts.values_mut().filter(|op| op.needs_any(&extents, &profile));
            concerned.for_each(|op| op.excuse.copy = true);
            self.copies_unheard.push(*io);
        }
    }

    fn note_failed_flush(&mut self, lu: usize) {
        let source = self.authority(0);
        let covered = self.flush_records[lu].told;
        for op in self.hosts.values_mut().filter(|op| lu == if op.lu == 0 { source } else { op.lu }) {
            op.excuse.flush = true;
            op.excuse.lost |= match op.operation {
                CLONE_GROUP_IO_FLUSH => covered <= op.started,
                _ => op.excuse.legs > 0 && op.excuse.cached.contains(&lu),
            };
        }
        self.flushes_failed += u64::from(lu == 0);
        self.flush_failed(lu);
        self.flush_unheard = true;
    }

    /// Copies onto the Source begin.
    pub fn copies_begin(&mut self) {
        self.flushes_failed = 0;
        self.failed_alone.clear();
        self.no_urgent_copies();
    }

    /// What a request that begins now may fail for.
    pub(super) fn excuse(&self, op: &HostOp) -> Excuse {
        let needs = |io: &clone_group_io| op.needs_any(&self.extents_of(io), &self.profile);
        Excuse {
            copy: self.copies_unheard.iter().any(needs),
            metadata: self.metadata_unrepaired,
            ..Excuse::default()
        }
    }
}

impl World {
    /// A read that lies wholly in extents that still have to be copied is served from the Clone, if no copy can be made
    /// (R61).
    pub(super) fn check_failed_read(&self, tag: u64, status: i32) {
        let op = match self.inner.borrow().hosts.get(&tag) {
            Some(op) if op.operation == CLONE_GROUP_IO_READ && op.lu == 0 && status == -5 => op.clone(),
            _ => return,
        };
        let restoring = self.info().restoring_lu as usize;
        if restoring == 0 || op.excuse.own || op.excuse.flush || op.excuse.metadata {
            return;
        }
        let delta = self.map(CLONE_GROUP_MAP_DELTA, restoring);
        let protected = self.map(CLONE_GROUP_MAP_PROTECTED_RESTORE, 0);
        let inner = self.inner.borrow();
        let extent_blocks = inner.profile.extent_blocks;
        let mut extents = op.first / extent_blocks..(op.first + op.count).div_ceil(extent_blocks);
        // A copy that is not flushed leaves the two equal.
        let needed =
            extents.all(|extent| delta[extent] && !protected[extent] && inner.differs(extent, restoring));
        assert!(!needed, "a read of what cannot be copied failed, though the Clone has it (R61)");
    }
}
