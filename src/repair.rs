#![forbid(unsafe_code)]
//! Repair: all metadata is written anew after a write of it failed, and the group leaves METADATA_FAILED (R33).
//!
//! ```text
//!   every page dirty --> all written --> superblock --> repaired
//!                            `-------------`--> failed: as before
//! ```

use crate::error::{self, Error};
use crate::event::{Event, EventKind};
use crate::group::Group;
use crate::metadata_writer::MetadataBuffers;
use crate::operation::Activity;
use crate::transition::Change;

/// How far a repair is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Repair {
    /// Pages are done; the superblock is written.
    committing: bool,
    /// Whom to tell.
    pub(crate) tag: u64,
}

impl Repair {
    /// The number of its stage, and how far it is in it.
    pub fn position(&self) -> (u8, u64) {
        (u8::from(self.committing), 0)
    }
}

impl Group<'_> {
    pub(crate) fn begin_repair(&mut self, tag: u64) {
        for page in 0..self.pages() {
            self.persistent.mark_page(page);
        }
        self.writer.repairing = true;
        self.repair_failed = false;
        self.activity = Activity::Repair(Repair { committing: false, tag });
    }

    pub(crate) fn advance_repair(&mut self, repair: Repair, buffers: &mut dyn MetadataBuffers) {
        let finished = if repair.committing {
            self.writer.take_commit()
        } else if self.repair_failed && !self.persistent.is_writing() {
            Some(Error::MetadataFailed.status())
        } else {
            if self.persistent.is_clean() {
                self.begin_commit(Change::Record, buffers);
                self.activity = Activity::Repair(Repair { committing: true, ..repair });
            }
            None
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
}
