//! Pages and superblocks have two copies, and the newest one that is durable is never written over (R30, R31): if power is
//! lost then, what the older one says is all that is left.

use std::collections::BTreeMap;

use ::clone_group::ffi::types::*;

use super::{Inner, World};

/// The copy of a page, or of the superblock, that was written last.
#[derive(Clone, Copy, Debug)]
pub struct LastCopy {
    /// Where it begins.
    offset: usize,
    /// Its write failed, or a flush since then: nobody can know what it holds, and it is written again (R33).
    unsure: bool,
}

/// By the offset of the first of the two copies.
pub type LastCopies = BTreeMap<usize, LastCopy>;

impl Inner {
    /// A metadata read, write or flush failed.
    pub(super) fn metadata_failed(&mut self, io: &clone_group_io) {
        if io.operation == CLONE_GROUP_IO_PERSIST_READ {
            self.unread.insert(io.offset_bytes as usize);
        }
        let flush = io.operation == CLONE_GROUP_IO_PERSIST_FLUSH;
        let failed = self.last_copies.values_mut();
        failed
            .filter(|copy| flush || copy.offset == io.offset_bytes as usize)
            .for_each(|copy| copy.unsure = true);
    }

    /// A copy of a page or of the superblock is about to be written.
    pub(super) fn check_target(&mut self, io: &clone_group_io) {
        let (offset, length) = (io.offset_bytes as usize, io.length_bytes as usize);
        // SAFETY: the library's buffer of this length.
        let image = unsafe { std::slice::from_raw_parts(io.buffer.cast::<u8>(), length) };
        let sequence = |area: &[u8], at: usize| self.format.sequence(&area[at..at + length]);
        let (durable, beside) = (self.area.durable(), self.format.other_copy(offset));
        let (copy, other) = (sequence(durable, offset), sequence(durable, beside));
        // A format gives up what there was.
        let formats = self.format.sequence(image).is_none() || self.format.superblock(durable).is_none();
        let unread = self.unread.remove(&offset);
        let last = self.last_copies.get(&offset.min(beside)).filter(|last| last.offset == offset);
        let unsure = last.is_some_and(|last| last.unsure);
        assert!(
            copy <= other || formats || unread || unsure || self.damage.suffered,
            "the newest durable copy of metadata at {offset} is written over (R30, R31)"
        );
        // Before a repair it may have been under way already when another one failed (N8).
        let unsure = unsure || self.metadata_unrepaired;
        self.last_copies.insert(offset.min(beside), LastCopy { offset, unsure });
        self.written.insert(offset.min(beside));
    }

    /// A repair is asked for.
    pub fn repair_begins(&mut self) {
        self.written.clear();
    }
}

impl World {
    /// A repair worked: all metadata was written anew (R33). The next failure may have come before the word of it.
    pub(super) fn repaired(&self) {
        let failed = self.info().conditions & CLONE_GROUP_CONDITION_METADATA_FAILED != 0;
        let inner = &mut *self.inner.borrow_mut();
        inner.metadata_unrepaired = failed;
        let copies = inner.format.page_copies();
        let firsts = copies.iter().step_by(2).map(|copy| copy.start).chain([0]);
        let left: Vec<usize> = firsts.filter(|at| !inner.written.contains(at)).collect();
        assert!(left.is_empty(), "metadata is repaired, and what lies at {left:?} was not written (R33)");
    }
}
