#![forbid(unsafe_code)]
//! Repair: all metadata is written anew after a write of it failed, and the group leaves METADATA_FAILED (R33).
//!
//! ```text
//!   Marking --> Writing --> Committing --> repaired
//!    pages       `-----------`--> failed: as before
//!    dirty
//! ```

use crate::change::Change;
use crate::error::{self, Error};
use crate::event::{Event, EventKind};
use crate::group::Group;
use crate::knock_out::kept;
use crate::metadata_writer::MetadataBuffers;
use crate::operation::Activity;
use crate::persistent_delta_map::SLICE_PAGES;

/// How far a repair is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum RepairStage {
    /// Pages are marked to be written, from this one on.
    Marking(u64),
    /// They are written.
    Writing,
    /// The superblock is written.
    Committing,
}

/// A repair under way.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Repair {
    stage: RepairStage,
    /// Whom to tell.
    pub(crate) tag: u64,
}

impl Repair {
    /// The number of its stage, and how far it is in it.
    pub fn position(&self) -> (u8, u64) {
        match self.stage {
            RepairStage::Marking(page) => (0, page),
            RepairStage::Writing => (1, 0),
            RepairStage::Committing => (2, 0),
        }
    }
}

impl Group<'_> {
    pub(crate) fn begin_repair(&mut self, tag: u64) {
        self.writer.repairing = true;
        self.repair_failed = false;
        self.activity = Activity::Repair(Repair { stage: RepairStage::Marking(0), tag });
    }

    pub(crate) fn advance_repair(&mut self, repair: Repair, buffers: &mut dyn MetadataBuffers) {
        let finished = match repair.stage {
            RepairStage::Committing => self.writer.take_commit(),
            _ if self.repair_failed && !self.persistent.is_writing() => Some(Error::MetadataFailed.status()),
            RepairStage::Marking(page) => {
                let stage = self.mark_pages(page);
                self.activity = Activity::Repair(Repair { stage, ..repair });
                None
            }
            RepairStage::Writing => {
                if self.persistent.is_clean() {
                    self.begin_commit(Change::Record, buffers);
                    self.activity = Activity::Repair(Repair { stage: RepairStage::Committing, ..repair });
                }
                None
            }
        };
        let Some(status) = finished else { return };
        self.activity = Activity::None;
        self.writer.repairing = false;
        let repaired = status == error::OK && !self.repair_failed;
        if repaired {
            self.metadata_failed = false;
            self.raise(Event { kind: EventKind::MetadataRepaired, ..Event::default() });
        }
        self.queue.changed = true;
        self.finish_operation(repair.tag, if repaired { error::OK } else { Error::MetadataFailed.status() });
    }
    /// Every page must be written. A slice of them; meanwhile the first ones are being written already.
    fn mark_pages(&mut self, from: u64) -> RepairStage {
        if from >= self.pages() {
            return RepairStage::Writing;
        }
        if !self.may_walk(1) {
            return RepairStage::Marking(from);
        }
        let end = from.wrapping_add(SLICE_PAGES).min(self.pages());
        for page in (from..end).filter(|_| kept!(R33Repair)) {
            self.persistent.mark_page(page);
        }
        RepairStage::Marking(end)
    }
}
