//! A superblock whose write failed, and by which hosts would be served otherwise: it is there or not, and nobody knows (R33).

use ::clone_group::ffi::types::*;

use super::super::pages::Format;
use super::super::superblock::Superblock;
use super::controller::{Choice, Held};
use super::hosts::HostOp;
use super::{Inner, World};

/// Whether the I/O writes a superblock.
pub(super) fn is_superblock(format: &Format, io: &clone_group_io) -> bool {
    io.operation == CLONE_GROUP_IO_PERSIST_WRITE && format.is_slot(io.offset_bytes as usize)
}

impl World {
    /// The sequence number of the superblock of which the library knows that its write failed, if no later one is durable.
    pub(super) fn unknown_superblock(&self) -> Option<u64> {
        let unknown = self.inner.borrow().unknown_superblock()?;
        let failed = self.info().conditions & CLONE_GROUP_CONDITION_METADATA_FAILED != 0;
        failed.then_some(unknown)
    }
}

impl World {
    /// From now on superblocks fail, and are there nevertheless or not.
    pub fn fail_superblocks(&self, are_there: bool) {
        let format = self.inner.borrow().format;
        self.choose(move |io| match is_superblock(&format, io) {
            true if are_there => Choice::FailDone(-5),
            true => Choice::Fail(-5),
            false => Choice::AsProfile,
        });
    }

    /// Nothing that a host writes is done while nobody knows what the superblock says.
    pub(super) fn check_known(&self, tag: u64, status: i32) {
        let written = |op: &&HostOp| op.operation == CLONE_GROUP_IO_WRITE && status == CLONE_GROUP_OK;
        let unknown = self.inner.borrow().hosts.get(&tag).filter(written).and_then(|op| op.unknown);
        let still = unknown.is_some() && unknown == self.unknown_superblock();
        assert!(!still, "a host write is done, and superblock {unknown:?} may be there or not (R33)");
    }
}

impl Inner {
    /// A write of metadata failed.
    pub(super) fn write_failed(&mut self, held: &Held) {
        let slots = self.format.slots();
        let Some(slot) = slots.iter().position(|slot| slot.start as u64 == held.io.offset_bytes) else {
            return;
        };
        let Some(written) = Superblock::in_slot(&held.bytes) else { return };
        // The second write of a change fails: the first one has committed it. Of the states of Clones the second one may say
        // more: a leg failed in between.
        let other = self.format.superblocks(self.area.durable())[1 - slot];
        if other.is_none_or(|other| !other.serves_the_same_as(&written)) {
            self.unknown = Some(written.sequence());
        }
    }

    fn unknown_superblock(&self) -> Option<u64> {
        let unknown = self.unknown?;
        let durable =
            self.format.superblock(self.area.durable()).map_or(0, |superblock| superblock.sequence());
        (durable <= unknown).then_some(unknown)
    }
}
