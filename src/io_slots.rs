#![forbid(unsafe_code)]
//! The I/Os under way: each has a slot from the moment that it is to be offered until it is over.
//!
//! ```text
//!   Free --> Ready --> Offered --(callback: PENDING)--> Pending --(completion)--> Free
//!              ^          |  `---(completion)--> Early --(callback)-------------> Free
//!              `--(RETRY)-'   (callback: done, and a completion as well)--> Discarding --> Free
//! ```

use crate::error::{self, Error};
use crate::event::{Event, EventKind};
use crate::geometry::Bytes;
use crate::group::Group;
use crate::io::{Io, IoOffer, IoOperation, IoStage, Purpose};
use crate::knock_out::kept;
use crate::metadata_writer::MetadataBuffers;
use crate::statistics::add;

impl Group<'_> {
    pub(crate) fn free_ios(&self) -> u32 {
        self.free_ios
    }

    /// Takes a slot for an I/O. Its owner saw that there is one.
    pub(crate) fn new_io(&mut self, io: Io) -> u16 {
        let free = self.ios.iter().find(|(_, slot)| slot.stage == IoStage::Free).map(|(number, _)| number);
        let slot = free.unwrap_or(u16::MAX);
        self.ios[slot] = Io { stage: IoStage::Ready, ..io };
        self.free_ios = self.free_ios.saturating_sub(1);
        slot
    }

    /// Takes a slot for an I/O and puts it in line for the next poll.
    pub(crate) fn start_io(&mut self, io: Io) {
        let slot = self.new_io(io);
        // What a host waits for comes before background copies that were ready before it (R69).
        if io.urgent && kept!(R69Urgent) {
            self.ready.push_front(slot);
        } else {
            self.ready.push(slot);
        }
    }

    /// Puts an I/O that has its slot in line for the next poll.
    pub(crate) fn line_up(&mut self, slot: u16) {
        self.ready.push(slot);
    }

    pub(crate) fn io_mut(&mut self, slot: u16) -> &mut Io {
        &mut self.ios[slot]
    }

    /// The I/O as it is offered to the controller, under a fresh id.
    pub(crate) fn offer(&mut self, slot: u16) -> IoOffer {
        self.ios[slot].stage = IoStage::Offered;
        let io = self.ios[slot];
        let of_lu =
            !matches!(io.purpose, Purpose::PageWrite(_) | Purpose::SuperblockWrite | Purpose::Start(_));
        let (offset, length) = if of_lu {
            (self.geometry().offset(io.blocks.first), self.geometry().length(io.blocks))
        } else {
            (io.offset, io.length)
        };
        IoOffer { slot, id: self.completions.arm(slot), io, offset, length }
    }

    /// What the callback of an offered I/O returned.
    pub fn returned(&mut self, slot: u16, result: i32, buffers: &mut dyn MetadataBuffers) {
        let early = self.ios[slot].stage == IoStage::Early;
        let over = match result {
            error::PENDING if early => self.take_completion(slot),
            error::PENDING => {
                self.ios[slot].stage = IoStage::Pending;
                None
            }
            error::RETRY if !early && self.completions.retire(slot) => {
                self.ios[slot].stage = IoStage::Ready;
                self.retry.push(slot);
                None
            }
            result => Some(self.ended_by_callback(slot, result)),
        };
        if let Some((io, status)) = over {
            self.io_over(io, status, buffers);
        }
    }

    fn ended_by_callback(&mut self, slot: u16, result: i32) -> (Io, i32) {
        let status = self.checked(slot, result);
        let io = self.ios[slot];
        let early = io.stage == IoStage::Early;
        if early || !self.completions.retire(slot) {
            // Ended twice: by its callback and by a completion. The callback counts.
            self.ios[slot].stage = IoStage::Discarding;
            if early {
                self.discard(slot);
            }
        } else {
            self.free_io(slot);
        }
        (io, status)
    }

    /// Takes in everything that was completed so far.
    pub(crate) fn drain_completions(&mut self, buffers: &mut dyn MetadataBuffers) {
        let mut from = 0;
        while let Some(slot) = self.completions.next_arrived(from) {
            from = slot;
            match self.ios[slot].stage {
                IoStage::Pending => {
                    if let Some((io, status)) = self.take_completion(slot) {
                        self.io_over(io, status, buffers);
                    }
                }
                IoStage::Discarding => self.discard(slot),
                _ => self.ios[slot].stage = IoStage::Early,
            }
        }
    }

    fn take_completion(&mut self, slot: u16) -> Option<(Io, i32)> {
        let result = self.completions.take(slot)?;
        let status = self.checked(slot, result);
        let io = self.ios[slot];
        self.free_io(slot);
        Some((io, status))
    }

    fn discard(&mut self, slot: u16) {
        if self.completions.take(slot).is_some() {
            self.free_io(slot);
        }
    }

    fn free_io(&mut self, slot: u16) {
        self.ios[slot] = Io::default();
        self.free_ios = self.free_ios.wrapping_add(1);
        self.queue.changed = true;
    }

    /// A positive number is no status of an I/O (R81).
    fn checked(&mut self, slot: u16, result: i32) -> i32 {
        if result <= error::OK || !kept!(R81) {
            return result;
        }
        let io = &self.ios[slot];
        let lu = (io.lu < self.config.lus()).then_some(io.lu);
        let value = u64::from(result.unsigned_abs());
        let status = Error::CallbackResult.status();
        self.raise(Event { kind: EventKind::CallbackResult, lu, status, value });
        status
    }

    /// An I/O is over: the one place that tells its owner.
    fn io_over(&mut self, io: Io, status: i32, buffers: &mut dyn MetadataBuffers) {
        if status != error::OK {
            add(&mut self.statistics.io_errors, 1);
        }
        if io.lu < self.config.lus() {
            self.lu_mut(io.lu).counters.count(io.operation, status != error::OK);
        }
        match io.purpose {
            Purpose::None => {}
            Purpose::Leg(request) => self.leg_over(request, &io, status),
            Purpose::CopyRead(copy) => self.copy_read_over(copy, &io, status),
            Purpose::CopyWrite(copy) => self.copy_write_over(copy, status),
            Purpose::CompareRead(copy) => self.compare_read_over(copy, status),
            Purpose::Flush(lu) => self.flush_over(u32::from(lu), status),
            Purpose::PageWrite(page_writer) => self.page_write_over(page_writer, status),
            Purpose::SuperblockWrite => self.superblock_write_over(status),
            Purpose::Start(step) => self.start_io_over(step, status, buffers),
        }
    }

    /// The range of a persistent I/O.
    pub(crate) fn persist_io(
        &self,
        purpose: Purpose,
        operation: IoOperation,
        offset: Bytes,
        length: u64,
        buffer: u16,
    ) -> Io {
        Io {
            purpose,
            operation,
            lu: u32::MAX,
            offset,
            length: Bytes(length),
            buffer: crate::io::Buffer::Metadata(buffer),
            ..Io::default()
        }
    }
}
