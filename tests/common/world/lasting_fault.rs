//! Faults that last: from some moment on until another the same goes wrong again and again, so that errors come in rows
//! and meet everything that the library does about the first of them.

use ::clone_group::ffi::types::*;

use super::Inner;

/// What fails.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Failing {
    Reads,
    Writes,
    Flushes,
}

/// An LU, or the persistent area, on which something fails for a time.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct LastingFault {
    /// `None`: the persistent area.
    pub lu: Option<usize>,
    pub failing: Failing,
    /// Blocks whose reads and writes fail, from the first to behind the last.
    pub blocks: (usize, usize),
    /// Of 256: I/Os that fail.
    pub of_256: u32,
}

impl LastingFault {
    fn concerns(&self, io: &clone_group_io) -> bool {
        let lu = (!Inner::is_metadata(io)).then_some(io.lu as usize);
        let (first, end) = (io.first_block as usize, (io.first_block + io.block_count) as usize);
        let touched = first < self.blocks.1 && self.blocks.0 < end;
        let same = match io.operation {
            CLONE_GROUP_IO_READ => self.failing == Failing::Reads && touched,
            CLONE_GROUP_IO_FLUSH | CLONE_GROUP_IO_PERSIST_FLUSH => self.failing == Failing::Flushes,
            CLONE_GROUP_IO_PERSIST_READ => self.failing == Failing::Reads,
            CLONE_GROUP_IO_PERSIST_WRITE => self.failing == Failing::Writes,
            _ => self.failing == Failing::Writes && touched,
        };
        same && self.lu == lu
    }
}

impl Inner {
    /// Whether the I/O fails by a fault that lasts.
    pub(super) fn fails_lastingly(&mut self, io: &clone_group_io) -> bool {
        let of_256 = self.lasting.iter().filter(|fault| fault.concerns(io)).map(|fault| fault.of_256).max();
        of_256.is_some_and(|of_256| self.rng.u32(..256) < of_256)
    }

    /// Whether a block that the I/O reads cannot be read.
    pub(super) fn reads_bad_block(&self, io: &clone_group_io) -> bool {
        let lu = match io.operation {
            CLONE_GROUP_IO_READ => io.lu as usize,
            CLONE_GROUP_IO_COPY => io.source_lu as usize,
            _ => return false,
        };
        let blocks = io.first_block as usize..(io.first_block + io.block_count) as usize;
        self.bad_blocks.iter().any(|&(bad_lu, block)| bad_lu == lu && blocks.contains(&block))
    }

    /// Blocks that cannot be read can be, once they are written.
    pub(super) fn heal_blocks(&mut self, lu: usize, written: std::ops::Range<usize>) {
        self.bad_blocks.retain(|&(bad_lu, block)| bad_lu != lu || !written.contains(&block));
    }
}
