//! What the devices check when an I/O is submitted, and what must hold of LUs and maps.

use ::clone_group::ffi::types::*;

use super::hosts::HostOp;
use super::{Inner, World};

impl World {
    /// Wherever Source and Clone differ on the media, the Delta Map says so, or the extent still has to be
    /// copied, or hosts wrote it during the restore (I2).
    pub fn check_delta_maps(&self) {
        let members = self.inner.borrow().members.clone();
        let restored = self.map(CLONE_GROUP_MAP_PROTECTED_RESTORE, 0);
        // While metadata cannot be written, a Clone does not take over the intents: G has them still (R33, R52).
        let failed = self.info().conditions & CLONE_GROUP_CONDITION_METADATA_FAILED != 0;
        let intents = self.map(CLONE_GROUP_MAP_PERSISTENT_DELTA, 0);
        for lu in members {
            let info = self.clone_info(lu);
            let delta = self.map(CLONE_GROUP_MAP_DELTA, lu);
            let inner = self.inner.borrow();
            let extent_blocks = inner.profile.extent_blocks;
            for block in 0..inner.profile.blocks {
                let extent = block / extent_blocks;
                let differs = inner.devices[0].now[block] != inner.devices[lu].now[block];
                let protected = info.state == CLONE_GROUP_CLONE_RESTORING && restored[extent];
                assert!(
                    !differs || delta[extent] || protected || failed && intents[extent],
                    "block {block} of LU {lu} differs from the Source, and extent {extent} is not in its Delta Map (I2)"
                );
            }
        }
    }

    /// Every block of the LU is one that a host may read now.
    pub fn check_lu_now(&self, lu: usize) {
        let blocks = self.inner.borrow().profile.blocks;
        for first in (0..blocks).step_by(7) {
            let count = 7.min(blocks - first);
            let values = self.read_now(lu, first, count).expect("a read");
            let inner = self.inner.borrow();
            for (number, value) in values.iter().enumerate() {
                let legal = inner.models[lu][first + number].readable();
                assert!(
                    legal.contains(value),
                    "LU {lu} block {} reads {value:#x}, legal {legal:x?}",
                    first + number
                );
            }
        }
    }
}

impl World {
    /// A host write that is over is on every LU that it must be on: on the one that hosts read, and on every Clone that
    /// is mirrored.
    pub(super) fn check_completed_write(&self, tag: u64, status: i32) {
        let (op, clones) = {
            let inner = self.inner.borrow();
            let Some(op) = inner.hosts.get(&tag) else { return };
            let written = op.operation == CLONE_GROUP_IO_WRITE && status == CLONE_GROUP_OK && op.lu == 0;
            if !written || inner.fault_seen || op.view != inner.view {
                return;
            }
            (op.clone(), inner.profile.clones)
        };
        let info = self.info();
        if info.restore_generation != self.inner.borrow().generation {
            return;
        }
        self.check_written(info.reversing_lu as usize, &op);
        for lu in (1..=clones).filter(|&lu| self.clone_info(lu).state == CLONE_GROUP_CLONE_SYNCHRONIZED) {
            self.check_written(lu, &op);
        }
    }

    fn check_written(&self, lu: usize, op: &HostOp) {
        let inner = self.inner.borrow();
        for block in op.first..op.first + op.count {
            let (model, value) = (&inner.models[0][block], op.value_at(block));
            let there = inner.devices[lu].now[block];
            // Writes that overlap this one may be there instead.
            assert!(
                there == value || model.is_overlapped(value),
                "a write to block {block} is over, and LU {lu} holds {there:#x} instead of {value:#x}"
            );
        }
    }
}

impl Inner {
    /// Whether the Source and the Clone differ in the extent now.
    pub fn differs(&self, extent: usize, lu: usize) -> bool {
        let first = extent * self.profile.extent_blocks;
        let end = (first + self.profile.extent_blocks).min(self.profile.blocks);
        self.devices[0].now[first..end] != self.devices[lu].now[first..end]
    }

    /// The device sees an I/O: may it be submitted at all?
    pub(super) fn check_submission(&mut self, io: &clone_group_io, restoring: bool, states: &[u32]) {
        let writes = matches!(
            io.operation,
            CLONE_GROUP_IO_WRITE | CLONE_GROUP_IO_WRITE_ZEROES | CLONE_GROUP_IO_DISCARD | CLONE_GROUP_IO_COPY
        );
        if io.operation == CLONE_GROUP_IO_PERSIST_WRITE {
            self.check_target(io);
            self.check_promises(io);
            if restoring {
                self.check_protected(io);
            }
        }
        let host = io.flags & CLONE_GROUP_IO_HOST != 0;
        if host {
            self.check_gate();
        }
        if !writes {
            return;
        }
        if host {
            self.note_leg(io, states);
        }
        let lu = io.lu as usize;
        if let (Some((clone, _, _)), true) = (&self.restoring, restoring) {
            assert_ne!(lu, *clone, "the Clone that is restored from is written (I1)");
        }
        if restoring && !host {
            self.check_slot_left(io);
        }
        let (first, count) = (io.first_block as usize, io.block_count as usize);
        let extents = first / self.profile.extent_blocks..=(first + count - 1) / self.profile.extent_blocks;
        for extent in extents {
            self.check_extent(io, extent, host, restoring, states);
        }
        if lu == 0 && restoring {
            self.check_alone(io, host);
        }
    }

    /// Whether both I/Os touch one extent.
    fn share_extents(&self, one: &clone_group_io, other: &clone_group_io) -> bool {
        let (one, other) = (self.extents_of(one), self.extents_of(other));
        one.start < other.end && other.start < one.end
    }

    /// A write to the Source reaches each Clone to which its extents are being copied, too (R49).
    fn note_leg(&mut self, io: &clone_group_io, states: &[u32]) {
        let is_copied_to = |&lu: &usize| {
            states[lu] == CLONE_GROUP_CLONE_SYNCHRONIZING
                && self.held.iter().any(|held| {
                    let copy = held.io.flags & CLONE_GROUP_IO_HOST == 0 && !held.values.is_empty();
                    copy && held.io.lu as usize == lu && self.share_extents(io, &held.io)
                })
        };
        // One that is offered again may go out beside a copy that began later.
        let needed: Vec<usize> = if io.lu == 0 && self.profile.retry == 0 {
            (1..states.len()).filter(is_copied_to).collect()
        } else {
            Vec::new()
        };
        let payload = io.payload.cast_const().cast();
        if let Some(op) = self.hosts.values_mut().find(|op| op.payload.as_ptr() == payload) {
            op.legs.push(io.lu as usize);
            op.legs_needed.extend(needed);
        }
    }

    /// Copies in the background leave one copy slot to copies on demand (R69).
    fn check_slot_left(&self, io: &clone_group_io) {
        let background = |io: &clone_group_io| io.flags & (CLONE_GROUP_IO_HOST | CLONE_GROUP_IO_URGENT) == 0;
        let others = self
            .held
            .iter()
            .filter(|held| held.io.lu == 0 && background(&held.io) && !held.values.is_empty());
        let most = self.profile.copies.max(2) as usize - 1;
        assert!(!background(io) || others.count() < most, "no copy slot is left to copies on demand (R69)");
    }

    /// No copy and no host write of the same extent of the Source are under way together (I6, R13).
    fn check_alone(&self, io: &clone_group_io, host: bool) {
        let overlap = self.held.iter().any(|other| {
            let other_host = other.io.flags & CLONE_GROUP_IO_HOST != 0;
            other.io.lu == 0
                && !matches!(other.io.operation, CLONE_GROUP_IO_READ | CLONE_GROUP_IO_FLUSH)
                && other_host != host
                && self.share_extents(io, &other.io)
        });
        assert!(!overlap, "a copy and a host write of the same extent are under way together (I6)");
    }

    /// A bit of the Protected Restore Map goes out only over a durable base: whatever the Source may hold after a power
    /// loss, hosts may see (I5, R5).
    fn check_protected(&mut self, io: &clone_group_io) {
        let Some((_, _, generation)) = self.restoring else { return };
        // SAFETY: the library's buffer of this length.
        let image = unsafe { std::slice::from_raw_parts(io.buffer.cast::<u8>(), io.length_bytes as usize) };
        if self.protected.0 != generation {
            self.protected.0 = generation;
            self.protected.1.fill(false);
        }
        for extent in self.format.protected_by(image, generation) {
            if std::mem::replace(&mut self.protected.1[extent], true) {
                continue;
            }
            let start = extent * self.profile.extent_blocks;
            for block in start..(start + self.profile.extent_blocks).min(self.profile.blocks) {
                let legal = self.models[0][block].legal_after_loss();
                for value in self.devices[0].after_loss(block) {
                    assert!(
                        legal.contains(&value),
                        "extent {extent} is protected, and block {block} may hold {value:#x}, legal {legal:x?} (I5)"
                    );
                }
            }
        }
    }

    /// The bits of R1 and R6 are durable before a write goes out (I11).
    fn check_extent(&self, io: &clone_group_io, extent: usize, host: bool, restoring: bool, states: &[u32]) {
        let (lu, first, count) = (io.lu as usize, io.first_block as usize, io.block_count as usize);
        let area = self.area.durable();
        if self.members.is_empty() || !host && lu != 0 {
            return;
        }
        // One that was never synchronized to the end counts as different without a bit (R73).
        let marked = |clone: usize| match states[clone] {
            CLONE_GROUP_CLONE_ABSENT => true,
            _ => self.format.delta(area, extent, clone) || self.format.is_full(area, extent, clone),
        };
        if host && (lu == 0 || self.members.contains(&lu)) {
            let concerned = |clone: &&usize| lu == 0 || **clone == lu;
            assert!(
                self.members.iter().filter(concerned).all(|&clone| marked(clone)),
                "a host write to extent {extent} of LU {lu} goes out before its bit is durable (R1), operation {}",
                io.operation
            );
        }
        if let (Some((_, _, generation)), true, 0, true) = (&self.restoring, host, lu, restoring) {
            let start = extent * self.profile.extent_blocks;
            let end = (start + self.profile.extent_blocks).min(self.profile.blocks);
            let covered = first <= start && end <= first + count;
            assert!(
                covered || self.format.protected_restore(area, extent, *generation),
                "a host write to a part of extent {extent} goes out before P is durable (R6)"
            );
        }
    }
}
