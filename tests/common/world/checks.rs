//! What the devices check when an I/O is submitted, and what must hold of LUs and maps.

use ::clone_group::ffi::types::*;

use super::{Inner, World};

impl World {
    /// Wherever Source and Clone differ on the media, the Delta Map says so, or the extent still has to be
    /// copied, or hosts wrote it during the restore (I2).
    pub fn check_delta_maps(&self) {
        let members = self.inner.borrow().members.clone();
        let restored = self.map(CLONE_GROUP_MAP_PROTECTED_RESTORE, 0);
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
                    !differs || delta[extent] || protected,
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

impl Inner {
    /// The device sees an I/O: may it be submitted at all?
    pub(super) fn check_submission(&self, io: &clone_group_io, restoring: bool, states: &[u32]) {
        let writes = matches!(
            io.operation,
            CLONE_GROUP_IO_WRITE | CLONE_GROUP_IO_WRITE_ZEROES | CLONE_GROUP_IO_DISCARD | CLONE_GROUP_IO_COPY
        );
        if !writes {
            return;
        }
        let host = io.flags & CLONE_GROUP_IO_HOST != 0;
        let lu = io.lu as usize;
        if let (Some((clone, _, _)), true) = (&self.restoring, restoring) {
            assert_ne!(lu, *clone, "the Clone that is restored from is written (I1)");
        }
        let (first, count) = (io.first_block as usize, io.block_count as usize);
        let extents = first / self.profile.extent_blocks..=(first + count - 1) / self.profile.extent_blocks;
        for extent in extents {
            self.check_extent(io, extent, host, restoring, states);
        }
        if lu == 0 && !host && restoring {
            let overlap = self.held.iter().any(|other| {
                let host_write =
                    other.io.flags & CLONE_GROUP_IO_HOST != 0 && other.io.operation != CLONE_GROUP_IO_READ;
                let end = other.io.first_block + other.io.block_count;
                other.io.lu == 0
                    && host_write
                    && other.io.first_block < io.first_block + io.block_count
                    && io.first_block < end
            });
            assert!(!overlap, "a copy and a host write of the same blocks are under way together (I6)");
        }
    }

    /// The bits of R1 and R6 are durable before a write goes out (I11).
    fn check_extent(&self, io: &clone_group_io, extent: usize, host: bool, restoring: bool, states: &[u32]) {
        let (lu, first, count) = (io.lu as usize, io.first_block as usize, io.block_count as usize);
        let area = self.area.durable();
        if self.members.is_empty() || !host && lu != 0 {
            return;
        }
        // One that is OutOfSync may count as different as a whole, without a bit (R73).
        let marked = |clone: usize| match states[clone] {
            CLONE_GROUP_CLONE_ABSENT | CLONE_GROUP_CLONE_OUT_OF_SYNC if self.profile.map_per_clone => true,
            _ => self.format.delta(area, extent, clone),
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
