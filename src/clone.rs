#![forbid(unsafe_code)]
//! A Clone: another LU that holds, or held at a point in time, the content of the Source.
//!
//! ```text
//!              add                 synchronize              D empty, F(C)
//!   (absent) -------> OutOfSync ---------------> Synchronizing ---------> Synchronized
//!                        ^  ^                      |   ^                    |     |
//!                        |  `----------------------'   |                    |     | fracture
//!                        |    a leg failed, or         |  synchronize       |     v
//!                        |    canceled                 `----------------- Fractured <---.
//!                        |                                                  |           |
//!                        `--- a leg failed (R52) ---------------------------'  restore  | restored, canceled,
//!                             (from Synchronized)                           v           | re-targeted (R38)
//!                                                                        Restoring -----'
//!
//!   Fractured --> ReverseSynchronizing --> Synchronized
//! ```

use crate::delta_map::DeltaMap;
use crate::geometry::{Extent, ExtentRange};
use crate::parts;
use crate::set::Prepared;

/// State of a Clone. The numbers are those of the C ABI and of the superblock.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum CloneState {
    /// No Clone has this LU number.
    #[default]
    Absent,
    /// Its content is not a point in time.
    OutOfSync,
    /// The Source is being copied to it.
    Synchronizing,
    /// Equal to the Source, and mirrored.
    Synchronized,
    /// A point in time.
    Fractured,
    /// Copied to the Source without protection.
    ReverseSynchronizing,
    /// Copied to the Source by a Protected Restore.
    Restoring,
}

impl CloneState {
    /// The number in the C ABI and in the superblock.
    pub fn number(self) -> u32 {
        match self {
            CloneState::Absent => 0,
            CloneState::OutOfSync => 1,
            CloneState::Synchronizing => 2,
            CloneState::Synchronized => 3,
            CloneState::Fractured => 4,
            CloneState::ReverseSynchronizing => 5,
            CloneState::Restoring => 6,
        }
    }

    /// The state with this number.
    pub fn from_number(number: u32) -> Option<CloneState> {
        [
            CloneState::Absent,
            CloneState::OutOfSync,
            CloneState::Synchronizing,
            CloneState::Synchronized,
            CloneState::Fractured,
            CloneState::ReverseSynchronizing,
            CloneState::Restoring,
        ]
        .into_iter()
        .find(|state| state.number() == number)
    }

    /// Whether host writes to the Source go to the Clone too.
    pub fn is_mirrored(self) -> bool {
        matches!(self, CloneState::Synchronizing | CloneState::Synchronized)
    }

    /// Whether host writes to the Source go to the Clone too, or to the Clone first.
    pub fn shares_writes(self) -> bool {
        self.is_mirrored() || parts::REVERSE && self == CloneState::ReverseSynchronizing
    }

    /// Whether host writes to the Source are only noted in the Delta Map.
    pub fn is_tracked(self) -> bool {
        matches!(self, CloneState::OutOfSync | CloneState::Fractured)
    }
}

/// What the superblock holds of a Clone.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct CloneRecord {
    /// Its state.
    pub state: CloneState,
    /// It was never synchronized to the end: everything from `synced_below` on counts as different (R73).
    pub full: bool,
    /// A mirrored write or a flush of it failed (R52).
    pub failed: bool,
    /// See `full`.
    pub synced_below: u64,
    /// Identity of its LU.
    pub identity: [u8; 16],
    /// What the fracture was given.
    pub label: [u8; 64],
    /// What becomes of it if the set commits (R77).
    pub prepared: Option<Prepared>,
}

impl CloneRecord {
    /// Whether a Clone in this state can be prepared for what it says.
    pub fn may_be_prepared(&self) -> bool {
        match self.prepared {
            None => true,
            Some(Prepared::Fracture) => self.state == CloneState::Synchronized,
            Some(Prepared::Restore) => self.state == CloneState::Fractured,
        }
    }
}

impl Default for CloneRecord {
    fn default() -> CloneRecord {
        CloneRecord {
            state: CloneState::Absent,
            full: false,
            failed: false,
            synced_below: 0,
            identity: [0; 16],
            label: [0; 64],
            prepared: None,
        }
    }
}

/// A Clone in memory.
#[derive(Default)]
pub struct Clone<'a> {
    /// What the next superblock will say of it.
    pub record: CloneRecord,
    /// The extents in which it and the Source may differ.
    pub delta: DeltaMap<'a>,
    /// The extents left that could not be copied wait for a resume (R61).
    pub stalled: bool,
    /// Where the Sync Engine goes on.
    pub cursor: u64,
    /// Extents copied since the copy began or was resumed.
    pub copied: u64,
    /// Extents that were to be copied when the copy began or was resumed.
    pub copy_total: u64,
    /// When it began.
    pub copy_began_ns: u64,
    /// How long the last one that was finished took.
    pub copy_took_ns: u64,
    /// Those of them that were equal already, and were not written.
    pub skipped: u64,
    /// Extents that failed in this pass.
    pub failed_extents: u64,
    /// The lowest of them.
    pub first_failed: u64,
}

impl Clone<'_> {
    /// Its state.
    pub fn state(&self) -> CloneState {
        self.record.state
    }

    /// If it was never synchronized to the end: the extents whose copies were not written down as flushed (R73).
    pub fn unproven(&self, all: ExtentRange) -> Option<ExtentRange> {
        self.record
            .full
            .then(|| all.intersection(ExtentRange::new(Extent(self.record.synced_below), all.end)))
    }

    /// Begins a new pass of the Sync Engine.
    pub fn restart_pass(&mut self) {
        self.stalled = false;
        self.cursor = 0;
        self.failed_extents = 0;
        self.first_failed = 0;
    }
}
