#![forbid(unsafe_code)]
//! Recovery: loads the superblock and the maps, and lets an interrupted restore resume. It writes no page, and one
//! superblock only where it gives a restore up or a page is lost, so that it may be interrupted and begun again at any
//! point (R57, R58).
//!
//! What it makes of the maps: D of every Clone is G. In a restore, P counts if its page is of this restore
//! (R9), and takes its extents out of D of the Clone that is restored from (R7). A Clone that was never
//! synchronized to the end also differs from `synced_below` on (R73). A Clone that was Synchronized and
//! has a bit in D comes up Synchronizing: the Source is right (R58). A group that is prepared for a set serves nobody
//! until the set is resolved (R77).

use crate::change::Change;
use crate::clone::CloneState;
use crate::error::{self, Error};
use crate::event::{Event, EventKind};
use crate::geometry::{Extent, ExtentRange, index};
use crate::group::{Group, SOURCE};
use crate::io::{IoOperation, Purpose};
use crate::knock_out::kept;
use crate::map_page::{self, PageHeader};
use crate::metadata_writer::MetadataBuffers;
use crate::operation::Operation;
use crate::parts;
use crate::start::{LANES_MAX, Start, StartStage};
use crate::superblock::{self, Slot};
use crate::transition::SLICE_EXTENTS;

/// Sequence numbers of a page go on from here when none of its copies can be read: no earlier write got so far. And
/// each time by as much for every superblock, as this may not be the first time (N19).
const UNREAD_SEQUENCE: u64 = 1 << 48;
const UNREAD_STEP_SHIFT: u32 = 32;

/// A page that is being loaded.
#[derive(Clone, Copy, Default)]
pub struct Lane {
    page: u64,
    open: u8,
    /// Status of the read of each copy.
    statuses: [i32; 2],
}

impl Group<'_> {
    /// Both slots were read: which one counts, and does it describe this group?
    #[cfg_attr(not(feature = "std"), inline(never))]
    pub(crate) fn recover_superblock(&mut self, start: &mut Start, buffers: &mut dyn MetadataBuffers) {
        let result = newest_slot(&start.slots).and_then(|(slot, sequence)| {
            let length = index(self.persistent.layout().superblock_bytes());
            let image = buffers.get(u16::from(slot)).get(..length).unwrap_or_default();
            self.load_superblock(image)?;
            self.writer.newest = slot;
            self.writer.sequence = sequence;
            // A power loss between the two writes of a change left one slot behind: bring it up to date soon, or
            // damage of the newest one would take the group back in time (R31).
            let other = start.slots.get(usize::from(slot ^ 1)).copied().unwrap_or_default();
            self.record_due = kept!(N5) && (!matches!(other, Slot::Valid(_)) || self.slots_differ(buffers))
                || kept!(N18Left) && self.record.pages_distrusted;
            Ok(())
        });
        match result {
            Ok(()) => {
                start.next = 0;
                start.stage = StartStage::Pages;
            }
            Err(error) => self.end_start(start.tag, Err(error)),
        }
    }

    fn slots_differ(&self, buffers: &mut dyn MetadataBuffers) -> bool {
        let length = index(self.persistent.layout().superblock_bytes());
        let mut crc = [0; 2];
        for (number, crc) in crc.iter_mut().enumerate() {
            let image = buffers.get(crate::geometry::slot(number)).get(..length).unwrap_or_default();
            *crc = superblock::content_crc(image);
        }
        crc[0] != crc[1]
    }

    fn load_superblock(&mut self, image: &[u8]) -> Result<(), Error> {
        let record = superblock::decode(image, &self.config)?;
        if record.source_identity != self.lu(SOURCE).identity && kept!(R79Source) {
            return Err(Error::Identity);
        }
        for lu in 1..self.config.lus() {
            let number = index(u64::from(lu.wrapping_sub(1)));
            let clone = superblock::decode_clone(image, number).ok_or(Error::MetadataDamaged)?;
            match clone.state {
                CloneState::Absent => {}
                _ if self.lu(lu).flags.is_none() => return Err(Error::NoLu),
                _ if self.lu(lu).identity != clone.identity && kept!(R79Clone) => {
                    return Err(Error::Identity);
                }
                _ => {}
            }
            let restoring = clone.state == CloneState::Restoring;
            let reversing = clone.state == CloneState::ReverseSynchronizing;
            if reversing && !parts::REVERSE {
                // Nobody here could finish it, and hosts would find the mixture on the Source.
                return Err(Error::MetadataVersion);
            }
            if restoring != (record.restoring == lu) || reversing != (record.reversing == lu) {
                return Err(Error::MetadataDamaged);
            }
            self.clone_mut(lu).record = clone;
            self.clone_mut(lu).delta.inherits_intent = false;
            self.clone_mut(lu).restart_pass();
        }
        if record.restoring.max(record.reversing) > self.config.clones_max
            || record.restoring != 0 && record.reversing != 0
        {
            return Err(Error::MetadataDamaged);
        }
        self.record = record;
        self.check_prepared()
    }

    #[cfg_attr(not(feature = "std"), inline(never))]
    pub(crate) fn advance_recovery(&mut self, start: &mut Start, buffers: &mut dyn MetadataBuffers) {
        match start.stage {
            StartStage::Pages => self.load_pages(start),
            StartStage::Filling(from) => self.fill_deltas(start, from, buffers),
            StartStage::Committing => {
                if let Some(status) = self.writer.take_commit() {
                    self.end_start(start.tag, error::check(status));
                }
            }
            _ => {}
        }
    }

    // ----------------------------------------------------------------- pages

    fn load_pages(&mut self, start: &mut Start) {
        if start.error.is_some() {
            return;
        }
        for lane in 0..self.lanes() {
            if start.next == self.pages() {
                break;
            }
            if self.writer.lanes.get(lane).is_some_and(|lane| lane.open == 0) && self.free_ios() >= 2 {
                self.load_page(lane, start.next);
                start.next = start.next.wrapping_add(1);
                start.open = start.open.wrapping_add(2);
            }
        }
        if start.open == 0 && start.next == self.pages() {
            start.stage = StartStage::Filling(Extent(0));
        }
    }

    fn lanes(&self) -> usize {
        index(u64::from(self.config.page_writes_max >> 1)).clamp(1, LANES_MAX)
    }

    fn load_page(&mut self, number: usize, page: u64) {
        let layout = *self.persistent.layout();
        let extents = self.clipped(layout.extents_of(page));
        self.clear_maps(extents);
        if let Some(lane) = self.writer.lanes.get_mut(number) {
            *lane = Lane { page, open: 2, statuses: [0; 2] };
        }
        for copy in 0..2_u8 {
            let buffer = lane_buffer(number, copy);
            let offset = layout.page_at(page, copy);
            let purpose = Purpose::Start(buffer);
            self.start_io(self.persist_io(
                purpose,
                IoOperation::PersistRead,
                offset,
                layout.page_bytes(),
                buffer,
            ));
        }
    }

    fn clipped(&self, extents: ExtentRange) -> ExtentRange {
        extents.intersection(self.geometry().all_extents())
    }

    /// An earlier attempt may have left something.
    pub(crate) fn clear_maps(&self, extents: ExtentRange) {
        self.persistent.bits.clear_range(extents);
        self.protected_restore.bits.clear_range(extents);
        for (_, clone) in self.clones.iter() {
            clone.delta.bits.clear_range(extents);
        }
    }

    /// One copy of a page was read, or could not be.
    #[cfg_attr(not(feature = "std"), inline(never))]
    pub(crate) fn page_copy_read(
        &mut self,
        start: &mut Start,
        buffer: u16,
        status: i32,
        buffers: &mut dyn MetadataBuffers,
    ) {
        let number = usize::from(buffer.wrapping_sub(1) >> 1);
        let copy = usize::from(buffer.wrapping_sub(1) & 1);
        let Some(lane) = self.writer.lanes.get_mut(number) else {
            return;
        };
        if let Some(place) = lane.statuses.get_mut(copy) {
            *place = status;
        }
        lane.open = lane.open.saturating_sub(1);
        let lane = *lane;
        if lane.open > 0 || start.error.is_some() {
            return;
        }
        if let Err(error) = self.load_copies(number, &lane, buffers) {
            self.page_lost(start, error);
        }
    }

    /// Takes the newer valid copy of a page into the maps.
    fn load_copies(
        &mut self,
        number: usize,
        lane: &Lane,
        buffers: &mut dyn MetadataBuffers,
    ) -> Result<(), Error> {
        let layout = *self.persistent.layout();
        let page_bytes = index(layout.page_bytes());
        let mut newest: Option<(u8, PageHeader)> = None;
        let mut whole = true;
        for copy in 0..2_u8 {
            let image = buffers.get(lane_buffer(number, copy)).get(..page_bytes).unwrap_or_default();
            let readable = lane.statuses.get(usize::from(copy)) == Some(&error::OK);
            let header =
                map_page::decode(image, self.config.columns(), layout.page_extents()).filter(|header| {
                    readable && header.group_id == self.config.group_id && header.page == lane.page
                });
            whole &= header.is_some();
            if let Some(header) = header
                && newest.is_none_or(|(_, newer)| (header.sequence > newer.sequence) == kept!(R30Newest))
            {
                newest = Some((copy, header));
            }
        }
        let unreadable = lane.statuses.iter().any(|&status| status != error::OK);
        let trusted = !unreadable && (whole || !self.record.pages_distrusted || !kept!(N18Heed));
        let Some((copy, header)) = newest.filter(|_| trusted || !kept!(R30Unreadable)) else {
            // A copy that cannot be read may be the newer one, with bits that the other one lacks. One that is damaged may
            // have been, where the write tore that was to replace it (N18).
            return self.page_damaged(lane.page, newest);
        };
        if header.restore_generation > self.record.restore_generation && kept!(R30Generation) {
            return Err(Error::MetadataDamaged);
        }
        let image = buffers.get(lane_buffer(number, copy)).get(..page_bytes).unwrap_or_default();
        let extents = layout.extents_of(lane.page);
        // Before the columns, which may say that the page is to be written again.
        self.persistent.set_page(lane.page, copy, header.sequence);
        if kept!(R57) {
            self.load_columns(image, extents);
        }
        let same = header.restore_generation == self.record.restore_generation || !kept!(R9Load);
        if self.restoring().is_some() && same {
            let column = self.protected_restore_column();
            map_page::load_column(image, column, extents, &self.protected_restore.bits);
            if !self.subtract_protected(self.clipped(extents)) {
                // P without the base that it stands on: this library wrote no such page (R4), and at the end of the
                // restore G would lack what hosts wrote.
                return Err(Error::MetadataDamaged);
            }
        }
        Ok(())
    }

    /// D of the Clone that is restored from loses what hosts wrote (R7). Whether all of that was there.
    fn subtract_protected(&self, extents: ExtentRange) -> bool {
        let mut all = true;
        if let Some(delta) = self.restoring_delta().filter(|_| kept!(R7)) {
            let mut rest = extents;
            while let Some(extent) = self.protected_restore.bits.next_set_in(rest) {
                all &= delta.clear(extent);
                rest.first = Extent(extent.0.wrapping_add(1));
            }
        }
        all
    }

    /// No copy of a page can be trusted. Delta bits have a safe default, the Protected Restore Map has
    /// none (R30).
    fn page_damaged(&mut self, page: u64, older: Option<(u8, PageHeader)>) -> Result<(), Error> {
        if self.restoring().is_some() && kept!(R60) {
            return Err(Error::RestoreMapLost);
        }
        let lost = self.clipped(self.persistent.layout().extents_of(page));
        let extents = if kept!(R30Ones) { lost } else { ExtentRange::default() };
        self.persistent.bits.set_range(extents);
        for (_, clone) in self.clones.iter().filter(|(_, clone)| clone.state() != CloneState::Absent) {
            clone.delta.bits.set_range(extents);
        }
        // What memory says must be written, or the next Recovery could take the bits back. That write must be newer
        // than whatever lies there unread, and spare the copy that can be read.
        let steps = if kept!(N19) { self.writer.sequence } else { 0 };
        let unread = UNREAD_SEQUENCE.wrapping_add(steps << UNREAD_STEP_SHIFT);
        let (copy, sequence) = older.map_or((0, unread), |(copy, header)| (copy, header.sequence));
        self.persistent.set_page(page, copy, sequence.saturating_add(1));
        if kept!(N6) {
            self.persistent.distrust_page(page);
        }
        self.raise(Event { kind: EventKind::PageDamaged, value: page, ..Event::default() });
        Ok(())
    }

    fn page_lost(&mut self, start: &mut Start, error: Error) {
        let abandon = start.operation == Operation::Recover { abandon_restore: true };
        if error != Error::RestoreMapLost || !abandon {
            start.error = start.error.or(Some(error));
            return;
        }
        // Give the restore up, and load all pages again without it (R60).
        if let Some(lu) = self.restoring() {
            self.clone_mut(lu).record.state = CloneState::Fractured;
            self.distrust_others(lu);
        }
        self.record.restoring = 0;
        self.record.source_invalid = kept!(R60Invalid);
        start.abandoning = true;
        start.next = 0;
    }

    /// What the restore copied differs from every other Clone; the column of the one that was restored from says what,
    /// but not once the superblock says that the restore is over (R72). So that superblock says of the others that
    /// everything differs.
    fn distrust_others(&mut self, from: u32) {
        for lu in 1..=self.config.clones_max {
            let present = self.clone(lu).state() != CloneState::Absent;
            if self.config.map_per_clone() && present && lu != from && kept!(N16) {
                self.clone_mut(lu).record.full = true;
                self.clone_mut(lu).record.synced_below = 0;
            }
        }
    }

    // ---------------------------------------------------------------- Clones

    /// Adds what a Clone that was never synchronized to the end still lacks, a slice at a time (R73).
    fn fill_deltas(&mut self, start: &mut Start, from: Extent, buffers: &mut dyn MetadataBuffers) {
        if !self.may_walk(1) {
            return;
        }
        let end = Extent(from.0.wrapping_add(SLICE_EXTENTS).min(self.geometry().extents()));
        let slice = ExtentRange::new(from, end);
        for (_, clone) in self.clones.iter() {
            if let Some(unproven) = clone.unproven(self.geometry().all_extents()).filter(|_| kept!(R73)) {
                clone.delta.bits.set_range(slice.intersection(unproven));
            }
        }
        self.forget_stale_intents(slice);
        let _ = self.subtract_protected(slice);
        if end.0 < self.geometry().extents() {
            start.stage = StartStage::Filling(end);
            return;
        }
        for (_, clone) in self.clones.iter_mut() {
            if clone.state() == CloneState::Synchronized && !clone.delta.bits.is_empty() && kept!(R58) {
                clone.record.state = CloneState::Synchronizing;
            }
        }
        self.persistent.next_epoch();
        for lu in 1..self.config.lus() {
            self.restart_copy(lu);
        }
        if let Some(lu) = self.onto_source() {
            self.begin_copy_progress(lu);
        }
        self.tell_prepared();
        // Before a lost page is written (N18): a write that tears takes the copy that could not be read, and leaves one that
        // may be older.
        if start.abandoning || self.persistent.distrusted > 0 && kept!(N18Before) {
            self.record_due = false;
            start.stage = StartStage::Committing;
            self.begin_commit(Change::Record, buffers);
        } else {
            self.end_start(start.tag, Ok(()));
        }
    }
}

/// The buffer of one copy of the page in a lane. Buffer 0 is for superblocks.
fn lane_buffer(lane: usize, copy: u8) -> u16 {
    crate::geometry::slot(lane.wrapping_mul(2)).wrapping_add(1).wrapping_add(u16::from(copy))
}

/// The slot that counts: of two valid ones the newer.
fn newest_slot(slots: &[Slot; 2]) -> Result<(u8, u64), Error> {
    let valid = |slot: u8| match slots.get(usize::from(slot)) {
        Some(Slot::Valid(sequence)) => Some((slot, *sequence)),
        _ => None,
    };
    if slots.contains(&Slot::Unknown) {
        return Err(Error::MetadataVersion);
    }
    match (valid(0), valid(1)) {
        (Some(first), Some(second)) => {
            Ok(if (second.1 > first.1) == kept!(R31Newest) { second } else { first })
        }
        (Some(only), None) | (None, Some(only)) => Ok(only),
        (None, None) => Err(slots.iter().find_map(unusable).unwrap_or(Error::MetadataMissing)),
    }
}

fn unusable(slot: &Slot) -> Option<Error> {
    match slot {
        Slot::Unreadable(status) => Some(Error::from_status(*status)),
        Slot::Damaged => Some(Error::MetadataDamaged),
        Slot::Longer => Some(Error::MetadataGeometry),
        _ => None,
    }
}
