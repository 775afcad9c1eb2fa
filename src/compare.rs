#![forbid(unsafe_code)]
//! Copies that compare: two LUs are read, into the halves of the copy buffer, and the driver compares these
//! without the lock. Verify goes no further; a copy that compares before it writes skips a piece that is equal.
//!
//! ```text
//!   Reading --> Reading the other LU --> Comparable --> Comparing --+--> Writing --> next piece, or over
//!                                        (driver)                   '--- equal ----> next piece, or over
//! ```
//!
//! A copy that was skipped is treated like one that was written, and that is why it is safe: what the target
//! returned to the read may lie in its volatile cache only, so the copy is noted as not flushed, keeps D at 1 until
//! a flush of the target that was submitted afterwards, and P does not become durable over it before that (R5, R8).
//! A write with FUA would be durable at once; nobody who needs that skips. After a flush of the target failed, its
//! cache may return what the medium does not have and no later flush writes (R24), so nothing is skipped any more.
//! A host write that meets the copy makes it collide, equal or not (R44): what was compared may be older than the
//! write.

use crate::cod_scoreboard::{CopyEngine, CopyStage};
use crate::error;
use crate::group::Group;
use crate::io::{Buffer, Io, IoOperation, Purpose};
use crate::parts;
use crate::poll::Action;
use crate::statistics::add;

impl Group<'_> {
    /// Blocks that a half of a copy buffer holds.
    pub(crate) fn half_buffer_blocks(&self) -> u64 {
        self.geometry().blocks_in(u64::from(self.config.half_buffer_bytes()))
    }

    /// Whether background copies onto this LU skip what is equal.
    pub(crate) fn compares_before_write(&self, to: u32) -> bool {
        self.config.skip_equal() && !self.capabilities.copy && !self.lu(to).flush_failed
    }

    /// A piece was read: now the same blocks of the other LU.
    pub(crate) fn read_other(&mut self, number: u16) {
        if !parts::VERIFY {
            return;
        }
        let with = self.scoreboard.copies[number].with;
        let io = self.copy_io(number, IoOperation::Read, with);
        let (purpose, buffer) = (Purpose::CompareRead(number), Buffer::SecondHalf(number));
        self.start_io(Io { purpose, buffer, ..io });
    }

    /// The other LU was read. A target that cannot be read is written.
    pub(crate) fn compare_read_over(&mut self, number: u16, status: i32) {
        if !parts::VERIFY {
            return;
        }
        let verify = self.scoreboard.copies[number].engine == CopyEngine::Verify;
        match status {
            error::OK => self.scoreboard.let_compare(number),
            status if verify => self.verify_read_failed(number, status),
            _ => self.write_piece(number),
        }
    }

    /// A comparison for the driver.
    pub(crate) fn take_comparison(&mut self) -> Option<Action> {
        if !parts::VERIFY {
            return None;
        }
        let copy = self.scoreboard.take_comparable()?;
        let length = self.geometry().length(self.scoreboard.copies[copy].piece);
        Some(Action::Compare { copy, length })
    }

    /// The driver compared what both LUs hold.
    pub fn compared(&mut self, number: u16, equal: bool) {
        let copy = self.scoreboard.copies[number];
        if !parts::VERIFY || copy.stage != CopyStage::Comparing {
            return;
        }
        if copy.engine == CopyEngine::Verify {
            return self.verify_compared(number, equal);
        }
        let needs_fua = copy.durable && self.lu(copy.to).is_volatile();
        if equal && !needs_fua && !self.lu(copy.to).flush_failed {
            self.copy_write_over(number, error::OK);
        } else {
            self.write_piece(number);
        }
    }

    /// Extents were copied without a write.
    pub(crate) fn count_skipped(&mut self, clone: u32, extents: u64) {
        if !parts::VERIFY {
            return;
        }
        let skipped = &mut self.clone_mut(clone).skipped;
        *skipped = skipped.saturating_add(extents);
        add(&mut self.statistics.skipped_extents, extents);
    }
}
