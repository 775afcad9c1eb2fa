//! What a host waits for comes first (R69): where a request needs a copy on demand, and nothing else, that copy is
//! submitted before whatever the library does in the background.

use std::collections::BTreeSet;

use ::clone_group::ffi::types::*;

use super::{HostOp, Inner, World};

/// Polls after which one that failed, or was put off, is over for good.
const QUIET_POLLS: u64 = 20;

#[derive(Default)]
pub(super) struct Urgent {
    /// Extents that an engine touched since copies onto the Source began: one of them may be owned.
    touched: BTreeSet<usize>,
    /// Extents of copies on demand: the slot that is left to them is taken.
    busy: BTreeSet<usize>,
    /// The last poll before which one of them failed, or an I/O was put off.
    failed: u64,
    /// The extent that the host waits for in this poll.
    expected: Option<usize>,
    polling: bool,
}

/// By an engine of the library, on an LU.
fn is_engine_io(io: &clone_group_io) -> bool {
    let moves = matches!(io.operation, CLONE_GROUP_IO_READ | CLONE_GROUP_IO_WRITE | CLONE_GROUP_IO_COPY);
    moves && io.flags & CLONE_GROUP_IO_HOST == 0 && !Inner::is_metadata(io)
}

impl World {
    /// A poll begins.
    pub(super) fn expect_urgent(&self) {
        let extent = self.waited_for();
        let urgent = &mut self.inner.borrow_mut().urgent;
        (urgent.expected, urgent.polling) = (extent, true);
    }

    /// An extent that has to be copied for a request that came since the last poll.
    fn waited_for(&self) -> Option<usize> {
        let extents = self.inner.borrow().waited_for();
        if extents.is_empty() {
            return None;
        }
        let info = self.info();
        let failed = info.conditions & CLONE_GROUP_CONDITION_METADATA_FAILED != 0;
        if info.restoring_lu == 0 || failed || info.state != CLONE_GROUP_STATE_READY {
            return None;
        }
        let left = self.map(CLONE_GROUP_MAP_DELTA, info.restoring_lu as usize);
        let protected = self.map(CLONE_GROUP_MAP_PROTECTED_RESTORE, 0);
        extents.into_iter().find(|&extent| left[extent] && !protected[extent])
    }
}

impl Inner {
    /// Extents of requests that came since the last poll, and that wait for nothing but a copy, if they are to be copied.
    fn waited_for(&self) -> Vec<usize> {
        let free = self.profile.copies > 1 && self.profile.retry == 0 && self.operations_open == 0;
        let Urgent { busy, failed, .. } = &self.urgent;
        let quiet = busy.is_empty() && failed + QUIET_POLLS < self.polls && self.hung.is_none();
        if !free || !quiet {
            return Vec::new();
        }
        let touch = |extent: usize| {
            self.hosts.values().filter(|op| op.extents(&self.profile).contains(&extent)).count()
        };
        let waits = |extent: &usize| touch(*extent) == 1 && !self.urgent.touched.contains(extent);
        self.hosts.values().filter_map(|op| self.copied_for(op)).filter(waits).collect()
    }

    /// The extent that is copied for the request, if it is one.
    fn copied_for(&self, op: &HostOp) -> Option<usize> {
        let extents = op.extents(&self.profile);
        let length = self.profile.blocks.min(extents.end * self.profile.extent_blocks)
            - extents.start * self.profile.extent_blocks;
        let copies = match op.operation {
            CLONE_GROUP_IO_READ => !self.profile.redirect,
            CLONE_GROUP_IO_WRITE => op.count < length,
            _ => false,
        };
        let fresh = op.lu == 0 && op.behind_poll == self.polls.checked_sub(1);
        (copies && fresh && extents.len() == 1).then_some(extents.start)
    }

    /// An I/O is submitted.
    pub(super) fn check_urgent(&mut self, io: &clone_group_io, verifying: bool) {
        let extents = self.extents_of(io);
        if io.flags & CLONE_GROUP_IO_URGENT != 0 {
            self.urgent.expected = None;
            self.urgent.busy.extend(extents.clone());
        }
        if is_engine_io(io) {
            let expected = self.urgent.expected.filter(|_| !verifying);
            assert_eq!(
                expected, None,
                "a copy in the background goes before the one of an extent that a host waits for (R69)"
            );
            self.urgent.touched.extend(extents);
        }
    }

    /// An I/O is over: with the last block of its extent a copy on demand is.
    pub(super) fn urgent_ended(&mut self, io: &clone_group_io, status: i32) {
        if io.flags & CLONE_GROUP_IO_URGENT == 0 {
            return;
        }
        let extents = self.extents_of(io);
        let last = self.profile.blocks.min(extents.end * self.profile.extent_blocks) as u64;
        let whole = io.operation != CLONE_GROUP_IO_READ && io.first_block + io.block_count == last;
        if whole || status < CLONE_GROUP_OK {
            self.urgent.busy.retain(|extent| !extents.contains(extent));
        }
        if status < CLONE_GROUP_OK {
            self.urgent.failed = self.polls;
        }
    }

    /// An I/O is to be offered again, whatever came since.
    pub(super) fn put_off(&mut self) {
        self.urgent.failed = self.polls;
        self.urgent.expected = None;
    }

    /// A request is over: one that was aborted needs no copy any more.
    pub(super) fn waits_no_more(&mut self, op: &HostOp) {
        let extents = op.extents(&self.profile);
        self.urgent.expected.take_if(|extent| extents.contains(extent));
    }

    /// The poll is over.
    pub(super) fn urgent_is_over(&mut self) {
        (self.urgent.expected, self.urgent.polling) = (None, false);
    }

    /// The last poll, if none is under way.
    pub(super) fn behind_poll(&self) -> Option<u64> {
        (!self.urgent.polling).then_some(self.polls)
    }

    /// Copies onto the Source begin.
    pub(super) fn no_urgent_copies(&mut self) {
        self.urgent.touched.clear();
        self.urgent.busy.clear();
    }
}
