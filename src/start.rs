#![forbid(unsafe_code)]
//! How a group becomes ready: Format or Recovery. Both begin with the two superblock slots.
//!
//! ```text
//!   Slots --+-- format:   Invalidating --> InvalidFlush --> Pages --> PageFlush --> Committing --> Ready
//!           `-- recovery: Pages --> Filling ------------------------(--> Committing)-----------> Ready
//! ```

use crate::error::{self, Error};
use crate::geometry::{Extent, index};
use crate::group::{Group, GroupState, SOURCE};
use crate::io::{IoOperation, Purpose};
use crate::lu::Ticket;
use crate::metadata_writer::MetadataBuffers;
use crate::operation::{Activity, Operation};
use crate::superblock::{self, Slot};

/// Pages that are loaded at once; each takes two buffers, one for each copy.
pub const LANES_MAX: usize = 8;

/// How far a start is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum StartStage {
    /// Both superblock slots are read.
    Slots,
    /// Format: both slots are overwritten with zeroes.
    Invalidating,
    /// Format: that is flushed.
    InvalidFlush(Ticket),
    /// Both copies of every page are written or read.
    Pages,
    /// Format: that is flushed.
    PageFlush(Ticket),
    /// Recovery: the Delta Maps of Clones that were never synchronized are filled, from this extent on.
    Filling(Extent),
    /// The superblock is written.
    Committing,
}

/// A start under way.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Start {
    /// Format or recover.
    pub operation: Operation,
    /// How far it is.
    pub stage: StartStage,
    /// Whom to tell.
    pub tag: u64,
    /// I/Os under way.
    pub open: u16,
    /// Page I/Os begun so far: format counts copies, Recovery counts pages.
    pub next: u64,
    /// What went wrong first.
    pub error: Option<Error>,
    /// The two superblock slots.
    pub slots: [Slot; 2],
    /// Recovery gives an active restore up (R60).
    pub abandoning: bool,
}

impl Start {
    /// The number of its stage, and how far it is in it. What went wrong is a stage of its own: the next step ends it.
    pub fn position(&self) -> (u8, u64) {
        let (stage, at) = match self.stage {
            StartStage::Slots => (0, self.next),
            StartStage::Invalidating => (1, 0),
            StartStage::InvalidFlush(_) => (2, 0),
            StartStage::Pages => (3, self.next),
            StartStage::PageFlush(_) => (4, 0),
            StartStage::Filling(from) => (5, from.0),
            StartStage::Committing => (6, 0),
        };
        (if self.error.is_some() { 7 } else { stage }, at)
    }
}

impl Group<'_> {
    pub(crate) fn begin_start(&mut self, operation: Operation, tag: u64) -> Result<(), Error> {
        match self.state {
            GroupState::New => {}
            GroupState::Closing | GroupState::Closed => return Err(Error::Closed),
            GroupState::Starting | GroupState::Ready => return Err(Error::State),
        }
        if self.lu(SOURCE).flags.is_none() {
            return Err(Error::NoLu);
        }
        self.enter(GroupState::Starting);
        // An earlier attempt may have failed.
        self.metadata_failed = false;
        self.superblock_unknown = false;
        self.activity = Activity::Start(Start {
            operation,
            stage: StartStage::Slots,
            tag,
            open: 0,
            next: 0,
            error: None,
            slots: [Slot::Unread; 2],
            abandoning: false,
        });
        Ok(())
    }

    #[cfg_attr(not(feature = "std"), inline(never))]
    pub(crate) fn advance_start(&mut self, buffers: &mut dyn MetadataBuffers) {
        let Activity::Start(mut start) = self.activity else {
            return;
        };
        if let (0, Some(error)) = (start.open, start.error) {
            self.end_start(start.tag, Err(error));
            return;
        }
        let formatting = matches!(start.operation, Operation::Format { .. });
        match start.stage {
            StartStage::Slots if start.next < 2 => self.read_slots(&mut start),
            StartStage::Slots if start.open > 0 => {}
            StartStage::Slots if formatting => self.format_checked(&mut start, buffers),
            StartStage::Slots => self.recover_superblock(&mut start, buffers),
            _ if formatting => self.advance_format(&mut start, buffers),
            _ => self.advance_recovery(&mut start, buffers),
        }
        // The start may be over; then the activity is another one.
        if let Activity::Start(_) = self.activity {
            self.activity = Activity::Start(start);
        }
    }

    fn read_slots(&mut self, start: &mut Start) {
        let layout = *self.persistent.layout();
        for slot in 0..2_u8 {
            let step = u16::from(slot);
            let offset = layout.superblock_at(slot);
            let length = layout.superblock_bytes();
            self.start_io(self.persist_io(
                Purpose::Start(step),
                IoOperation::PersistRead,
                offset,
                length,
                step,
            ));
        }
        start.open = 2;
        start.next = 2;
    }

    /// An I/O of the start is over. `step` is the buffer it used.
    #[cfg_attr(not(feature = "std"), inline(never))]
    pub(crate) fn start_io_over(&mut self, step: u16, status: i32, buffers: &mut dyn MetadataBuffers) {
        let Activity::Start(mut start) = self.activity else {
            return;
        };
        start.open = start.open.saturating_sub(1);
        let reading_pages =
            start.stage == StartStage::Pages && matches!(start.operation, Operation::Recover { .. });
        if start.stage == StartStage::Slots {
            let length = index(self.persistent.layout().superblock_bytes());
            let image = buffers.get(step).get(..length).unwrap_or_default();
            let found =
                if status == error::OK { superblock::inspect(image) } else { Slot::Unreadable(status) };
            if let Some(slot) = start.slots.get_mut(usize::from(step)) {
                *slot = found;
            }
        } else if reading_pages {
            self.page_copy_read(&mut start, step, status, buffers);
        } else if status != error::OK {
            start.error = start.error.or(Some(Error::from_status(status)));
        }
        self.activity = Activity::Start(start);
    }

    /// The group is ready, or as it was before.
    pub(crate) fn end_start(&mut self, tag: u64, result: Result<(), Error>) {
        self.activity = Activity::None;
        self.enter(if result.is_ok() { GroupState::Ready } else { GroupState::New });
        self.queue.changed = true;
        if result.is_err() {
            self.forget_members();
        }
        self.finish_operation(tag, result.map_or_else(Error::status, |()| error::OK));
    }

    /// A start that failed leaves no trace.
    fn forget_members(&mut self) {
        self.record = superblock::GroupRecord::default();
        for lu in 1..self.config.lus() {
            self.clone_mut(lu).record = crate::clone::CloneRecord::default();
        }
    }
}
