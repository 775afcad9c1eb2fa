#![forbid(unsafe_code)]
//! Format: an empty group. First both superblocks are made invalid, then both copies of every page are
//! written, then the superblock: a power loss leaves the old group, none, or the new one (R74).

use crate::change::Change;
use crate::error::Error;
use crate::geometry::index;
use crate::group::{Group, SOURCE};
use crate::io::{IoOperation, Purpose};
use crate::knock_out::kept;
use crate::lu::Flushed;
use crate::map_page::{self, PageHeader};
use crate::metadata_writer::{MetadataBuffers, SUPERBLOCK_BUFFER};
use crate::operation::Operation;
use crate::start::{Start, StartStage};
use crate::superblock::{GroupRecord, Slot};

impl Group<'_> {
    /// Both slots were read: is there a group that would be lost?
    #[cfg_attr(not(feature = "std"), inline(never))]
    pub(crate) fn format_checked(&mut self, start: &mut Start, buffers: &mut dyn MetadataBuffers) {
        let force = start.operation == Operation::Format { force: true };
        let refusal = start.slots.iter().find_map(|slot| match slot {
            Slot::Valid(_) | Slot::Unknown | Slot::Longer => Some(Error::MetadataExists),
            Slot::Unreadable(status) => Some(Error::from_status(*status)),
            Slot::Unread | Slot::Empty | Slot::Damaged => None,
        });
        if let Some(error) = refusal.filter(|_| !force && kept!(R74Exists)) {
            self.end_start(start.tag, Err(error));
            return;
        }
        // Sequence numbers go on, so that no stale slot can win.
        self.writer.sequence = start
            .slots
            .iter()
            .map(|slot| if let Slot::Valid(n) = slot { *n } else { 0 })
            .max()
            .filter(|_| kept!(R74Sequence))
            .unwrap_or(0);
        self.writer.newest = 0;
        self.record = GroupRecord { source_identity: self.lu(SOURCE).identity, ..GroupRecord::default() };
        buffers.get(SUPERBLOCK_BUFFER).fill(0);
        let layout = *self.persistent.layout();
        for slot in 0..2 {
            let offset = layout.superblock_at(slot);
            let purpose = Purpose::Start(SUPERBLOCK_BUFFER);
            let length = layout.superblock_bytes();
            self.start_io(self.persist_io(
                purpose,
                IoOperation::PersistWrite,
                offset,
                length,
                SUPERBLOCK_BUFFER,
            ));
        }
        start.open = 2;
        start.stage = StartStage::Invalidating;
    }

    #[cfg_attr(not(feature = "std"), inline(never))]
    pub(crate) fn advance_format(&mut self, start: &mut Start, buffers: &mut dyn MetadataBuffers) {
        let stage = start.stage;
        match stage {
            StartStage::Invalidating if start.open == 0 => {
                start.stage = StartStage::InvalidFlush(self.flush_area());
            }
            StartStage::InvalidFlush(ticket) if self.area_flushed(start, ticket) || !kept!(R74Flush) => {
                start.next = 0;
                start.stage = StartStage::Pages;
            }
            StartStage::Pages => self.format_pages(start, buffers),
            StartStage::PageFlush(ticket) if self.area_flushed(start, ticket) || !kept!(R74Pages) => {
                start.stage = StartStage::Committing;
                self.begin_commit(Change::Record, buffers);
            }
            StartStage::Committing => {
                if let Some(status) = self.writer.take_commit() {
                    self.end_start(start.tag, crate::error::check(status));
                }
            }
            _ => {}
        }
    }

    fn flush_area(&mut self) -> u64 {
        let ticket = self.new_ticket();
        let area = self.area();
        self.lu_mut(area).want_flush(ticket);
        ticket
    }

    fn area_flushed(&self, start: &mut Start, ticket: u64) -> bool {
        match self.lu(self.area()).flushed(ticket) {
            Flushed::Waiting => false,
            Flushed::Done => true,
            Flushed::Failed(status) => {
                start.error = Some(Error::from_status(status));
                false
            }
        }
    }

    /// Writes both copies of every page. One buffer serves copy after copy: a few at once would gain
    /// little for something that is done once.
    fn format_pages(&mut self, start: &mut Start, buffers: &mut dyn MetadataBuffers) {
        if start.open > 0 {
            return;
        }
        let page = start.next >> 1;
        if page == self.pages() {
            start.stage = StartStage::PageFlush(self.flush_area());
            return;
        }
        let layout = *self.persistent.layout();
        let extents = layout.extents_of(page);
        let header = PageHeader { group_id: self.config.group_id, page, sequence: 1, restore_generation: 0 };
        if let Some(image) = buffers.get(1).get_mut(..index(layout.page_bytes())) {
            self.clear_maps(extents.intersection(self.geometry().all_extents()));
            map_page::begin(image, &header, self.config.columns(), extents);
            map_page::seal(image);
        }
        let slot = u8::from(start.next & 1 == 1);
        self.persistent.set_page(page, slot, 1);
        let offset = layout.page_at(page, slot);
        self.start_io(self.persist_io(
            Purpose::Start(1),
            IoOperation::PersistWrite,
            offset,
            layout.page_bytes(),
            1,
        ));
        start.open = 1;
        start.next = start.next.wrapping_add(1);
    }
}
