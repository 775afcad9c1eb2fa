#![forbid(unsafe_code)]
//! How a run of extents is copied, whichever engine asked for it: piece by piece through the private
//! buffer of its slot, or by the array itself. The run is claimed on the COD Scoreboard before its first
//! read and released after its last write, in one step with the maps (R10, R12).

use crate::clone::CloneState;
use crate::cod_scoreboard::{Copy, CopyEngine, CopyStage, RUN_EXTENTS_MAX, has_bit, run_bits};
use crate::error;
use crate::event::{Event, EventKind};
use crate::geometry::{Block, BlockRange, Extent, ExtentRange};
use crate::group::{Group, SOURCE};
use crate::io::{Buffer, Io, IoOperation, Purpose};
use crate::knock_out::kept;
use crate::request::RequestStage;
use crate::statistics::add;

impl Group<'_> {
    /// Extents that one copy may take: as many as fit its buffer, at least one.
    pub(crate) fn run_max(&self) -> u64 {
        let blocks = self.geometry().blocks_in(u64::from(self.config.copy_buffer_bytes));
        let fit = blocks >> self.config.geometry.extent_blocks().trailing_zeros();
        fit.clamp(1, RUN_EXTENTS_MAX)
    }

    /// Whether another copy can begin. There is an I/O slot for each, which hosts leave alone (R76).
    pub(crate) fn can_copy(&self) -> bool {
        self.scoreboard.active() < self.scoreboard.capacity()
    }

    /// Claims the extents and begins to copy them. Their owner saw that nobody owns them, under the same lock (R11).
    pub(crate) fn begin_copy(&mut self, wanted: Copy) {
        let Copy { to, extents, .. } = wanted;
        let blocks = self.geometry().blocks_of(extents);
        let copy = Copy {
            stage: CopyStage::Draining,
            piece: BlockRange { first: blocks.first, end: blocks.first },
            end: blocks.end,
            durable: wanted.durable || !self.lu(to).is_volatile(),
            ..wanted
        };
        let Some(number) = self.scoreboard.claim(copy) else {
            return;
        };
        if to == SOURCE && kept!(R2) {
            // The Source changes relative to every other Clone (R2).
            let mut next = 1;
            while let Some(lu) = self.next_clone(next, CloneState::is_tracked) {
                if self.clone(lu).delta.bits.set_range(extents) > 0 && kept!(R72Copies) {
                    self.save_later(extents);
                }
                next = lu.wrapping_add(1);
            }
        }
        self.begin_pieces(number);
    }

    /// Begins to read, unless host writes under way have to finish first (R46).
    pub(crate) fn begin_pieces(&mut self, number: u16) {
        let copy = self.scoreboard.copies[number];
        let also = if copy.is_verify() { copy.with } else { SOURCE };
        let under_way = self.writes_under_way(copy.extents, also);
        if self.scoreboard.copies[number].exclusive && under_way != 0 && kept!(R46Drain) {
            return;
        }
        self.scoreboard.copies[number].collided = if kept!(R44Begin) { under_way } else { 0 };
        self.next_piece(number);
    }

    /// Extents of a run that a host write to the Source, or to this LU, is changing now (R44, first half).
    fn writes_under_way(&self, run: ExtentRange, also: u32) -> u64 {
        if self.submitted == 0 {
            return 0;
        }
        let writes = self.requests.iter().filter(|(_, request)| {
            request.stage == RequestStage::Submitted
                && (request.lu == SOURCE || request.lu == also)
                && request.operation.changes_blocks()
        });
        writes.fold(0, |bits, (_, request)| bits | run_bits(run, request.extents))
    }

    /// Exclusive copies whose extents are quiet now begin.
    pub(crate) fn advance_copies(&mut self) {
        if self.scoreboard.active() == 0 {
            return;
        }
        for number in 0..crate::geometry::slot(self.scoreboard.copies.len()) {
            let copy = self.scoreboard.copies[number];
            if copy.is_verify() && !self.is_worth_waiting(number) {
                continue;
            }
            if copy.stage == CopyStage::Draining {
                self.begin_pieces(number);
            }
        }
    }

    pub(crate) fn next_piece(&mut self, number: u16) {
        let copy = self.scoreboard.copies[number];
        let offload = self.capabilities.copy && !copy.compares();
        let most = if offload {
            copy.end.0
        } else if copy.compares() {
            self.half_buffer_blocks()
        } else {
            self.geometry().blocks_in(u64::from(self.config.copy_buffer_bytes))
        };
        let end = Block(copy.piece.end.0.wrapping_add(most).min(copy.end.0));
        let piece = BlockRange { first: copy.piece.end, end };
        self.scoreboard.copies[number].piece = piece;
        self.scoreboard.copies[number].stage = CopyStage::Reading;
        if offload {
            let io = self.copy_io(number, IoOperation::Copy, copy.to);
            self.start_io(Io { source_lu: copy.from, ..io });
        } else {
            let io = self.copy_io(number, IoOperation::Read, copy.from);
            self.start_io(io);
        }
    }

    pub(crate) fn copy_io(&self, number: u16, operation: IoOperation, lu: u32) -> Io {
        let copy = &self.scoreboard.copies[number];
        let reads = operation == IoOperation::Read;
        let urgent = copy.engine == CopyEngine::Cod;
        Io {
            purpose: if reads { Purpose::CopyRead(number) } else { Purpose::CopyWrite(number) },
            operation,
            lu,
            blocks: copy.piece,
            fua: !reads && kept!(R21) && copy.durable && self.lu(lu).is_volatile(),
            urgent,
            buffer: if operation == IoOperation::Copy { Buffer::None } else { Buffer::Copy(number) },
            ..Io::default()
        }
    }

    /// A piece was read.
    pub(crate) fn copy_read_over(&mut self, number: u16, io: &Io, status: i32) {
        if status != error::OK && kept!(R61) {
            return self.copy_failed(number, io.lu, status);
        }
        if self.scoreboard.copies[number].compares() {
            return self.read_other(number);
        }
        self.write_piece(number);
    }

    pub(crate) fn write_piece(&mut self, number: u16) {
        self.scoreboard.copies[number].stage = CopyStage::Writing;
        self.scoreboard.copies[number].written = true;
        let to = self.scoreboard.copies[number].to;
        let io = self.copy_io(number, IoOperation::Write, to);
        self.start_io(io);
    }

    /// A piece was written.
    pub(crate) fn copy_write_over(&mut self, number: u16, status: i32) {
        let copy = self.scoreboard.copies[number];
        if status != error::OK && kept!(R62) {
            return self.copy_failed(number, copy.to, status);
        }
        if copy.piece.end < copy.end && kept!(R15) {
            return self.next_piece(number);
        }
        // One critical section: the maps first, then the owner, then those who wait (R12).
        if self.restoring().is_some() {
            self.source_copied(&copy);
        } else {
            self.mirror_copied(&copy);
        }
        self.scoreboard.release(number);
        self.queue.changed = true;
        self.copy_singly(&copy, copy.singly);
    }

    /// Extents of the Source hold the Clone's data now.
    fn source_copied(&mut self, copy: &Copy) {
        if copy.spoiled && kept!(N8Copies) {
            return;
        }
        if copy.durable || !kept!(R8) {
            self.clone(copy.from).delta.bits.clear_range(copy.extents);
            self.save_later(copy.extents);
            self.note_restored();
        } else {
            self.protected_restore.note_copied(copy.extents);
        }
        self.count_copied(copy, copy.from, copy.extents.count());
    }

    /// In a Synchronization, either way: the extents hold what was read; those that a host wrote meanwhile are
    /// copied again (R45).
    fn mirror_copied(&mut self, copy: &Copy) {
        let lu = copy.clone_lu();
        if copy.spoiled && kept!(N10Copies) || !self.clone(lu).state().shares_writes() {
            return;
        }
        self.note_intents(copy.extents);
        let mut copied = 0;
        for extent in copy.extents.iter() {
            if has_bit(copy.extents, copy.collided, extent) && kept!(R45) {
                self.collisions.note(lu, extent);
                add(&mut self.statistics.collisions, 1);
            } else {
                self.collisions.forget(lu, extent);
                self.clone(lu).delta.bits.clear(extent);
                copied += 1;
            }
        }
        self.count_copied(copy, lu, copied);
    }

    fn count_copied(&mut self, copy: &Copy, clone: u32, extents: u64) {
        let counted = &mut self.clone_mut(clone).copied;
        *counted = counted.wrapping_add(extents);
        if copy.compares() && !copy.written {
            self.count_skipped(clone, extents);
        }
        if copy.engine == CopyEngine::Cod {
            add(&mut self.statistics.cod_extents, extents);
        } else {
            add(&mut self.statistics.sync_extents, extents);
            add(&mut self.statistics.sync_copies, 1);
        }
        add(&mut self.statistics.exclusive_copies, u64::from(copy.exclusive));
    }

    /// The extents stay as they were: to be copied (R15, R61, R62).
    fn copy_failed(&mut self, number: u16, lu: u32, status: i32) {
        let copy = self.scoreboard.copies[number];
        if copy.is_verify() {
            return self.verify_read_failed(number, status);
        }
        self.scoreboard.release(number);
        self.queue.changed = true;
        let value = copy.extents.first.0;
        match copy.engine {
            CopyEngine::Cod => self.cod_failed(copy.extents, status),
            CopyEngine::Sync => self.sync_failed(&copy),
            CopyEngine::Verify => {}
        }
        // A run is tried again extent by extent: then the event names the one that is bad (R61).
        if copy.extents.count() == 1 {
            self.raise(Event { kind: EventKind::CopyFailed, lu: Some(lu), status, value });
        }
    }

    // --------------------------------------------------- copies in a volatile cache

    /// Asks for a flush that makes copied extents durable.
    pub(crate) fn want_copy_flush(&mut self) {
        if self.protected_restore.unflushed() > 0 && !self.lu(SOURCE).is_flushing() {
            let ticket = self.new_ticket();
            self.lu_mut(SOURCE).want_flush(ticket);
        }
    }

    /// Flushes copied extents when there are many, or when nothing else is left to do.
    pub(crate) fn advance_copy_flush(&mut self) {
        let many = self.protected_restore.unflushed() >= UNFLUSHED_MAX >> 1;
        let last = self.scoreboard.copying() == 0 && !self.has_need();
        if many || last {
            self.want_copy_flush();
        }
    }

    /// Whether any extent still has to be copied to the Source. What is copied has D = 1 until it is durable.
    pub(crate) fn has_need(&self) -> bool {
        self.restoring_delta().is_some_and(|delta| delta.count() > self.protected_restore.copied.count())
    }

    /// Whether a copy, or a write that covers it entirely, owns the extent of the Source (R10).
    pub(crate) fn source_is_owned(&self, extent: Extent) -> bool {
        let one = ExtentRange::one(extent);
        kept!(R10) && self.scoreboard.owns_any(SOURCE, one) || kept!(R17Copies) && self.is_overwritten(one)
    }

    /// The first extent from `from` on that should be copied to the Source and that nobody owns.
    pub(crate) fn next_source_extent(&self, from: Extent) -> Option<Extent> {
        let mut rest = ExtentRange::new(from, self.geometry().all_extents().end);
        while let Some(extent) = self.next_need(rest) {
            if !self.source_is_owned(extent) {
                return Some(extent);
            }
            let behind = Extent(extent.0.wrapping_add(1));
            rest.first = self.scoreboard.owned_until(SOURCE, extent).unwrap_or(behind);
        }
        None
    }
}

/// Copies that may wait for a flush.
pub const UNFLUSHED_MAX: usize = 128;
