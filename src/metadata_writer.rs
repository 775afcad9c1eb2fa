#![forbid(unsafe_code)]
//! Writes map pages and superblocks.
//!
//! Pages: group commit. Each of a few writers takes a dirty page, composes its image, and holds the image
//! unchanged until it is durable (R28); bits that are set meanwhile go with the next write.
//!
//! ```text
//!   page writer:   Free --> Writing --> Flushing --> Free
//!   superblock:    Idle --> First --> FirstFlush --> Second --> SecondFlush --> Over
//! ```
//!
//! The first write of a superblock goes to the older slot and commits the change; the second one brings
//! the other slot up to date, so that one damaged slot cannot take the group back in time (R31).

use crate::change::Change;
use crate::clone::CloneRecord;
use crate::error;
use crate::event::{Event, EventKind};
use crate::geometry::count;
use crate::group::{Group, GroupState};
use crate::io::{IoOperation, Purpose};
use crate::knock_out::kept;
use crate::lu::{Flushed, Ticket};
use crate::map_page::{self, PageHeader};
use crate::recovery::Lane;
use crate::statistics::add;
use crate::superblock;
use crate::table::Table;

/// The metadata buffers of the workspace. Buffer 0 is for superblocks, the others for map pages.
pub trait MetadataBuffers {
    /// A buffer that no I/O is using.
    fn get(&mut self, buffer: u16) -> &mut [u8];
}

/// Buffer of the superblock.
pub const SUPERBLOCK_BUFFER: u16 = 0;

/// How far a page writer is.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
enum WriterStage {
    #[default]
    Free,
    Writing,
    Flushing(Ticket),
}

/// One of the writers of map pages.
#[derive(Clone, Copy, Default)]
pub struct PageWriter {
    stage: WriterStage,
    page: u64,
    /// How a flush failed while the page was being written: what was written may be lost with it.
    spoiled: i32,
}

/// How far the superblock is.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum CommitStage {
    /// Nothing to write.
    #[default]
    Idle,
    /// The older slot is written.
    First,
    /// It is flushed: then the change is committed.
    FirstFlush(Ticket),
    /// The other slot is written.
    Second,
    /// It is flushed.
    SecondFlush(Ticket),
    /// Over: committed, or failed with an unknown result.
    Over(i32),
}

/// See the module.
pub struct MetadataWriter<'a> {
    writers: Table<'a, PageWriter>,
    commit: CommitStage,
    /// The same for the superblock.
    commit_spoiled: i32,
    change: Change,
    /// Sequence number of the last superblock write, whether it worked or not.
    pub sequence: u64,
    /// The slot with the newest durable superblock.
    pub newest: u8,
    /// The metadata is being repaired: writes go on although one failed earlier.
    pub repairing: bool,
    /// Pages that Recovery is loading.
    pub lanes: &'a mut [Lane],
}

impl<'a> MetadataWriter<'a> {
    /// A writer with so many page writers, and lanes for Recovery.
    pub fn new(writers: &'a mut [PageWriter], lanes: &'a mut [Lane]) -> MetadataWriter<'a> {
        MetadataWriter {
            writers: Table::new(writers),
            commit: CommitStage::Idle,
            commit_spoiled: error::OK,
            change: Change::Record,
            sequence: 0,
            newest: 0,
            repairing: false,
            lanes,
        }
    }

    /// How far the superblock is: to see whether it moves.
    pub fn position(&self) -> u8 {
        match self.commit {
            CommitStage::Idle => 0,
            CommitStage::First => 1,
            CommitStage::FirstFlush(_) => 2,
            CommitStage::Second => 3,
            CommitStage::SecondFlush(_) => 4,
            CommitStage::Over(_) => 5,
        }
    }

    /// Whether a superblock with this change is being written.
    pub fn is_committing(&self, change: Change) -> bool {
        self.commit != CommitStage::Idle && self.change == change
    }

    /// Takes the result of a commit that is over.
    pub fn take_commit(&mut self) -> Option<i32> {
        let CommitStage::Over(status) = self.commit else {
            return None;
        };
        self.commit = CommitStage::Idle;
        Some(status)
    }
}

impl Group<'_> {
    /// Begins to write the superblock with the change in it.
    pub(crate) fn begin_commit(&mut self, change: Change, buffers: &mut dyn MetadataBuffers) {
        self.writer.change = change;
        self.writer.commit = CommitStage::First;
        self.write_superblock(buffers);
    }

    /// A flush of the area failed: what is being written may have reached its cache before and be lost with it
    /// (R24).
    pub(crate) fn spoil_metadata_writes(&mut self, status: i32) {
        self.writer.commit_spoiled = if kept!(N8Superblock) { status } else { error::OK };
        for (_, writer) in self.writer.writers.iter_mut() {
            if writer.stage == WriterStage::Writing && kept!(N8Pages) {
                writer.spoiled = status;
            }
        }
    }

    fn write_superblock(&mut self, buffers: &mut dyn MetadataBuffers) {
        self.writer.sequence = self.writer.sequence.saturating_add(1);
        self.writer.commit_spoiled = error::OK;
        let change = self.writer.change;
        let group = self.group_after(change);
        let clones = (1..self.config.lus()).map(|lu| -> CloneRecord { self.clone_after(change, lu) });
        let image = buffers.get(SUPERBLOCK_BUFFER);
        let length = self.persistent.layout().superblock_bytes();
        let length_in_memory = crate::geometry::index(length);
        if let Some(image) = image.get_mut(..length_in_memory) {
            superblock::encode(image, &self.config, self.writer.sequence, &group, clones);
        }
        let offset = self.persistent.layout().superblock_at(self.writer.newest ^ u8::from(kept!(R31Slot)));
        let io = self.persist_io(
            Purpose::SuperblockWrite,
            IoOperation::PersistWrite,
            offset,
            length,
            SUPERBLOCK_BUFFER,
        );
        add(&mut self.statistics.superblock_writes, 1);
        self.start_io(io);
    }

    /// The write of a superblock slot is over.
    pub(crate) fn superblock_write_over(&mut self, status: i32) {
        let status = if status == error::OK { self.writer.commit_spoiled } else { status };
        let ticket = self.new_ticket();
        let area = self.area();
        self.writer.commit = match (self.writer.commit, status) {
            (CommitStage::First, error::OK) => CommitStage::FirstFlush(ticket),
            (CommitStage::Second, error::OK) => CommitStage::SecondFlush(ticket),
            (CommitStage::First, status) => self.commit_failed(status),
            (_, status) => self.second_failed(status),
        };
        if status == error::OK {
            self.lu_mut(area).want_flush(ticket);
        }
    }

    /// The result of the first write is unknown: host writes fail until a later one is durable (R33).
    fn commit_failed(&mut self, status: i32) -> CommitStage {
        self.superblock_unknown = kept!(R33Superblock);
        self.fail_metadata(status);
        CommitStage::Over(status)
    }

    /// The change is committed, but the other slot is not up to date.
    fn second_failed(&mut self, status: i32) -> CommitStage {
        self.fail_metadata(status);
        CommitStage::Over(error::OK)
    }

    fn advance_commit(&mut self, buffers: &mut dyn MetadataBuffers) {
        let (CommitStage::FirstFlush(ticket) | CommitStage::SecondFlush(ticket)) = self.writer.commit else {
            return;
        };
        let first = matches!(self.writer.commit, CommitStage::FirstFlush(_));
        match self.lu(self.area()).flushed(ticket) {
            Flushed::Waiting if kept!(R31Flush) => {}
            Flushed::Failed(status) if first => self.writer.commit = self.commit_failed(status),
            Flushed::Failed(status) => self.writer.commit = self.second_failed(status),
            Flushed::Waiting | Flushed::Done => {
                self.writer.newest ^= 1;
                self.superblock_unknown = false;
                if first && kept!(R31Second) {
                    self.writer.commit = CommitStage::Second;
                    self.write_superblock(buffers);
                } else {
                    self.writer.commit = CommitStage::Over(error::OK);
                }
            }
        }
    }

    #[cfg_attr(not(feature = "std"), inline(never))]
    pub(crate) fn advance_writer(&mut self, buffers: &mut dyn MetadataBuffers) {
        self.advance_commit(buffers);
        for number in 0..crate::geometry::slot(self.writer.writers.len()) {
            let PageWriter { stage, page, .. } = self.writer.writers[number];
            match stage {
                WriterStage::Free => self.begin_page_write(number, buffers),
                WriterStage::Writing => {}
                WriterStage::Flushing(ticket) => match self.lu(self.area()).flushed(ticket) {
                    Flushed::Waiting => {}
                    Flushed::Done => self.page_over(number, page, error::OK),
                    Flushed::Failed(status) => self.page_over(number, page, status),
                },
            }
        }
    }

    #[cfg_attr(not(feature = "std"), inline(never))]
    fn begin_page_write(&mut self, number: u16, buffers: &mut dyn MetadataBuffers) {
        // Recovery uses the buffers of the page writers, and one that was refused changes nothing (R60).
        let serving = matches!(self.state, GroupState::Ready | GroupState::Closing);
        let stopped = !serving
            || self.metadata_failed && kept!(R33Stop) && (!self.writer.repairing || self.repair_failed);
        if self.free_ios() == 0 || stopped {
            return;
        }
        let Some(page) = self.persistent.begin_write() else {
            return;
        };
        self.writer.writers[number] = PageWriter { stage: WriterStage::Writing, page, spoiled: error::OK };
        let buffer = number.wrapping_add(1);
        let header = PageHeader {
            group_id: self.config.group_id,
            page,
            sequence: self.persistent.page(page).sequence,
            restore_generation: self.record.restore_generation,
        };
        let layout = *self.persistent.layout();
        if let Some(image) = buffers.get(buffer).get_mut(..crate::geometry::index(layout.page_bytes())) {
            let extents = layout.extents_of(page);
            map_page::begin(image, &header, self.config.columns(), extents);
            self.add_columns(image, extents);
            map_page::seal(image);
        }
        let offset = layout.page_at(page, self.persistent.target(page));
        let purpose = Purpose::PageWrite(number);
        let io = self.persist_io(purpose, IoOperation::PersistWrite, offset, layout.page_bytes(), buffer);
        add(&mut self.statistics.page_writes, 1);
        self.start_io(io);
    }

    /// The write of a page is over; durable it is when it is flushed, too.
    pub(crate) fn page_write_over(&mut self, number: u16, status: i32) {
        let PageWriter { page, spoiled, .. } = self.writer.writers[number];
        let status = if status == error::OK { spoiled } else { status };
        if status != error::OK {
            self.page_over(number, page, status);
            return;
        }
        let ticket = self.new_ticket();
        let area = self.area();
        self.lu_mut(area).want_flush(ticket);
        self.writer.writers[number].stage = WriterStage::Flushing(ticket);
        if self.lu(area).flushed(ticket) == Flushed::Done || !kept!(R26) {
            self.page_over(number, page, error::OK);
        }
    }

    fn page_over(&mut self, number: u16, page: u64, status: i32) {
        self.writer.writers[number] = PageWriter::default();
        self.record_due |= self.persistent.end_write(page, status == error::OK) && kept!(N18Last);
        self.queue.changed = true;
        if status != error::OK {
            self.fail_metadata(status);
        }
    }

    /// Metadata cannot be written: what needs it is refused until it is repaired (R33).
    pub(crate) fn fail_metadata(&mut self, status: i32) {
        add(&mut self.statistics.metadata_errors, 1);
        self.repair_failed = true;
        if !self.metadata_failed && kept!(R33Failed) {
            self.metadata_failed = true;
            self.queue.changed = true;
            self.raise(Event { kind: EventKind::MetadataFailed, lu: None, status, value: 0 });
        }
        self.metadata_status = status;
    }

    /// Pages of the group, for loops over all of them.
    pub(crate) fn pages(&self) -> u64 {
        count(crate::geometry::index(self.persistent.layout().pages()))
    }
}
