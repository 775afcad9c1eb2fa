#![forbid(unsafe_code)]
//! The COD Scoreboard: the extents that are being copied, by either engine, so that neither copies what
//! the other is copying (R10). Whole extents that a host write is replacing in a restore stand in its
//! request, and count as owned too.
//!
//! ```text
//!   copy:  claim --> Draining --> Reading <--> Writing --> over
//!             |       (exclusive)    ^  piece by piece
//!             `----------------------'
//! ```
//!
//! A copy that compares before it writes, and a run of Verify, which never writes, read a second LU and wait for
//! the comparison between Reading and Writing.

use crate::geometry::{Block, BlockRange, Extent, ExtentRange};
use crate::knock_out::kept;
use crate::parts;
use crate::table::Table;

/// Extents of a run: one bit each in `collided`.
pub const RUN_EXTENTS_MAX: u64 = 64;

/// How far a copy is.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum CopyStage {
    /// The slot is free.
    #[default]
    Free,
    /// Host writes to the extent are held, and those under way finish (R46).
    Draining,
    /// A piece is read, or copied by the array itself.
    Reading,
    /// A piece is written.
    Writing,
    /// Both LUs were read; the driver is to compare what they hold.
    Comparable,
    /// The driver compares.
    Comparing,
}

/// Which engine copies.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum CopyEngine {
    /// The Sync Engine.
    #[default]
    Sync,
    /// The COD Engine.
    Cod,
    /// Verify: two LUs are read and compared, none is written.
    Verify,
}

/// No LU: what a run of Verify writes.
pub const NO_LU: u32 = u32::MAX;

/// A run of extents that is being copied.
#[derive(Clone, Copy, Default)]
pub struct Copy {
    /// How far it is.
    pub stage: CopyStage,
    /// For whom.
    pub engine: CopyEngine,
    /// The LU that is read.
    pub from: u32,
    /// The LU that is written.
    pub to: u32,
    /// The extents.
    pub extents: ExtentRange,
    /// The blocks of the piece under way.
    pub piece: BlockRange,
    /// The block behind the last one.
    pub end: Block,
    /// Extents of the run in which a host write was under way at any time since the first read was
    /// submitted: bit 0 is the first extent (R44).
    pub collided: u64,
    /// Host writes to it are held (R46).
    pub exclusive: bool,
    /// What is written is durable when it is complete.
    pub durable: bool,
    /// What is left of a run that failed: copied extent by extent after this one (R61).
    pub singly: ExtentRange,
    /// A flush of its target failed meanwhile, so pieces of it may be lost; or one of what it reads, so that it may
    /// have read what is lost now. It counts as not made (R24).
    pub spoiled: bool,
    /// A second LU is read, into the second half of the buffer, and compared before anything is written.
    pub compare: bool,
    /// That LU.
    pub with: u32,
    /// Some piece was not equal, and was written.
    pub written: bool,
    /// Verify: the run as it was claimed; `extents` is the part of it that is being compared.
    pub run: ExtentRange,
    /// Verify: extents of the run that are compared alone: bit 0 is the first one.
    pub alone: u64,
    /// Verify: how often the extent that is compared alone collided.
    pub collisions: u32,
}

impl Copy {
    /// Whether it only compares.
    pub fn is_verify(&self) -> bool {
        parts::VERIFY && self.engine == CopyEngine::Verify
    }

    /// Whether a second LU is read.
    pub fn compares(&self) -> bool {
        parts::VERIFY && self.compare
    }

    /// The Clone that is copied from or to.
    pub fn clone_lu(&self) -> u32 {
        if self.to == crate::group::SOURCE { self.from } else { self.to }
    }
}

/// The table of copies.
pub struct CodScoreboard<'a> {
    /// The copies.
    pub copies: Table<'a, Copy>,
    active: u32,
    /// Those of them that only compare.
    verifying: u32,
    /// Copies in the stage Comparable.
    comparable: u32,
}

impl<'a> CodScoreboard<'a> {
    /// An empty one.
    pub fn new(copies: &'a mut [Copy]) -> CodScoreboard<'a> {
        CodScoreboard { copies: Table::new(copies), active: 0, verifying: 0, comparable: 0 }
    }

    /// Number of copies under way.
    pub fn active(&self) -> u32 {
        self.active
    }

    /// Number of runs under way that are only compared.
    pub fn verifying(&self) -> u32 {
        if parts::VERIFY { self.verifying } else { 0 }
    }

    /// Number of copies under way that write.
    pub fn copying(&self) -> u32 {
        self.active.saturating_sub(self.verifying())
    }

    /// Number of copies that may be under way.
    pub fn capacity(&self) -> u32 {
        u32::from(crate::geometry::slot(self.copies.len()))
    }

    /// The copies under way.
    pub fn iter(&self) -> impl Iterator<Item = (u16, &Copy)> {
        self.copies.iter().filter(|(_, copy)| copy.stage != CopyStage::Free)
    }

    /// Whether any of these extents is being copied onto this LU.
    pub fn owns_any(&self, to: u32, extents: ExtentRange) -> bool {
        self.active > 0 && self.iter().any(|(_, copy)| copy.to == to && copy.extents.overlaps(extents))
    }

    /// The extent behind the copy onto this LU that owns the extent.
    pub fn owned_until(&self, to: u32, extent: Extent) -> Option<Extent> {
        let owner = self.iter().find(|(_, copy)| copy.to == to && copy.extents.contains(extent));
        owner.map(|(_, copy)| copy.extents.end)
    }

    /// Whether any of these extents is copied with host writes held.
    pub fn holds_writes(&self, extents: ExtentRange) -> bool {
        self.active > 0 && self.iter().any(|(_, copy)| copy.exclusive && copy.extents.overlaps(extents))
    }

    /// Claims extents: owner first, then the read (R10).
    #[cfg_attr(not(feature = "std"), inline(never))]
    pub fn claim(&mut self, copy: Copy) -> Option<u16> {
        let (number, slot) = self.copies.iter_mut().find(|(_, slot)| slot.stage == CopyStage::Free)?;
        *slot = copy;
        self.active = self.active.wrapping_add(1);
        if copy.is_verify() {
            self.verifying = self.verifying.saturating_add(1);
        } else if kept!(N14) {
            // What is copied now cannot be compared now, though the Delta Map may say so again when both are over.
            self.collide_verify(copy.extents, |_| true);
        }
        Some(number)
    }

    /// Releases the extents of a copy that is over.
    pub fn release(&mut self, copy: u16) {
        let verify = self.copies[copy].is_verify();
        self.verifying = self.verifying.saturating_sub(u32::from(verify));
        self.copies[copy] = Copy::default();
        self.active = self.active.saturating_sub(1);
    }

    /// A flush of this LU failed. Returns whether a copy onto it, or from it, may have lost something.
    pub fn spoil(&mut self, lu: u32) -> bool {
        let mut any = false;
        for (_, copy) in self.copies.iter_mut() {
            let concerned = copy.from == lu && kept!(N10From) || copy.to == lu && !copy.durable;
            if copy.stage != CopyStage::Free && concerned {
                copy.spoiled = true;
                any = true;
            }
        }
        any
    }

    /// A host write to these extents is being submitted: copies of them have to be made again (R44).
    pub fn collide(&mut self, extents: ExtentRange) {
        if self.active == 0 || !kept!(R44Later) {
            return;
        }
        for (_, copy) in self.copies.iter_mut() {
            if copy.stage != CopyStage::Free {
                copy.collided |= run_bits(copy.extents, extents);
            }
        }
    }

    /// A host write to these extents of a Clone is being submitted: who compares them has to do it again. No copy
    /// reads or writes a Clone that hosts write.
    pub fn collide_clone(&mut self, clone: u32, extents: ExtentRange) {
        self.collide_verify(extents, |with| with == clone && kept!(R44Clone));
    }

    fn collide_verify(&mut self, extents: ExtentRange, of: impl Fn(u32) -> bool) {
        if self.verifying() == 0 {
            return;
        }
        for (_, copy) in self.copies.iter_mut() {
            if copy.is_verify() && copy.stage != CopyStage::Free && of(copy.with) {
                copy.collided |= run_bits(copy.extents, extents);
            }
        }
    }

    /// Both LUs were read: the copy waits for the comparison.
    pub fn let_compare(&mut self, copy: u16) {
        self.copies[copy].stage = CopyStage::Comparable;
        self.comparable = self.comparable.saturating_add(1);
    }

    /// Takes a copy that waits for the comparison.
    pub fn take_comparable(&mut self) -> Option<u16> {
        if !parts::VERIFY || self.comparable == 0 {
            return None;
        }
        let (number, copy) = self.copies.iter_mut().find(|(_, copy)| copy.stage == CopyStage::Comparable)?;
        copy.stage = CopyStage::Comparing;
        self.comparable = self.comparable.saturating_sub(1);
        Some(number)
    }
}

/// The bits of a run that stand for these extents.
pub fn run_bits(run: ExtentRange, extents: ExtentRange) -> u64 {
    let both = run.intersection(extents);
    if both.is_empty() {
        return 0;
    }
    let ones =
        u64::MAX.checked_shr(64_u32.saturating_sub(crate::geometry::count32(both.count()))).unwrap_or(0);
    let first = crate::geometry::count32(both.first.0.saturating_sub(run.first.0));
    ones.checked_shl(first).unwrap_or(0)
}

/// Whether the extent of a run has its bit set.
pub fn has_bit(run: ExtentRange, bits: u64, extent: Extent) -> bool {
    bits & run_bits(run, ExtentRange::one(extent)) != 0
}
