#![forbid(unsafe_code)]
//! The flushes of LUs and of the persistent area: who waits for one has a ticket, the next flush serves all that wait,
//! and what a flush that failed may have lost is told to everything that counts on it (R24).

use crate::clone::CloneState;
use crate::error;
use crate::geometry::index;
use crate::group::{Group, SOURCE};
use crate::io::{Io, IoOperation, Purpose};
use crate::knock_out::kept;
use crate::lu::Ticket;
use crate::request::{HostOperation, RequestStage};
use crate::statistics::add;

impl Group<'_> {
    /// The area behind the LUs in the table of LUs.
    pub(crate) fn area(&self) -> u32 {
        self.config.lus()
    }

    #[cfg_attr(not(feature = "std"), inline(never))]
    pub(crate) fn new_ticket(&mut self) -> Ticket {
        self.next_ticket = self.next_ticket.wrapping_add(1);
        self.next_ticket
    }

    pub(crate) fn start_flushes(&mut self) {
        for lu in 0..self.area().wrapping_add(1) {
            if !self.lu(lu).should_flush() || self.free_ios == 0 {
                continue;
            }
            self.lu_mut(lu).flush_submitted();
            if lu == SOURCE {
                self.protected_restore.seal();
            }
            let operation = if lu == self.area() { IoOperation::PersistFlush } else { IoOperation::Flush };
            add(&mut self.statistics.engine_flushes, u64::from(operation == IoOperation::Flush));
            let purpose = Purpose::Flush(crate::geometry::slot(index(u64::from(lu))));
            self.start_io(Io { purpose, operation, lu, ..Io::default() });
        }
    }

    pub(crate) fn flush_over(&mut self, lu: u32, status: i32) {
        self.lu_mut(lu).flush_over(status);
        self.queue.changed = true;
        if lu == SOURCE {
            self.source_flushed(status);
        }
        if status == error::OK {
            return;
        }
        if lu == self.area() {
            return self.spoil_metadata_writes(status);
        }
        self.spoil_writes(lu, status);
        let unheard = lu != SOURCE || self.reversing().is_none();
        if unheard && kept!(R24Owed) && !self.flush_waited_for(lu) {
            self.lu_mut(lu).owed_status = status;
        }
        if let Some(clone) = self.reversing().filter(|&clone| clone == lu || lu == SOURCE) {
            self.scoreboard.spoil(lu);
            self.reverse_flush_failed(clone, status);
        } else if lu == SOURCE {
            // What the Source lost, its mirrors may still have (docs/protocol.md, N3).
            while let Some(clone) = self.next_clone(1, CloneState::is_mirrored).filter(|_| kept!(N3)) {
                self.fail_mirror(clone, status, None);
            }
        } else if kept!(R52Flush) {
            self.fail_mirror(lu, status, None);
        }
    }

    /// Writes under way may have reached the cache before the flush failed, and be lost with it: a later flush that
    /// works would seem to cover them (R24).
    fn spoil_writes(&mut self, lu: u32, status: i32) {
        let of_source = self.authority(SOURCE) == lu;
        for (_, request) in self.requests.iter_mut() {
            let its = if request.lu == SOURCE { of_source } else { request.lu == lu };
            let submitted = request.stage == RequestStage::Submitted && its && kept!(N8Writes);
            if submitted && request.operation.changes_blocks() && request.status == error::OK {
                request.status = status;
            }
        }
    }

    /// A read that went to the Source because its extents were copied may find what was there before the restore, if
    /// the cache dropped the copies with the flush.
    fn spoil_reads_of_copies(&mut self, status: i32) {
        let copied = &self.protected_restore.copied;
        for (_, request) in self.requests.iter_mut() {
            let of_source = request.stage == RequestStage::Submitted && request.lu == SOURCE;
            let reads = request.operation == HostOperation::Read && !request.redirected;
            if of_source && reads && request.status == error::OK && copied.any_set(request.extents) {
                request.status = status;
            }
        }
    }

    /// Copies that the flush covered are durable, or as if never made. They are not made again and again: the
    /// engine waits for a resume (R24).
    fn source_flushed(&mut self, status: i32) {
        let failed = status != error::OK;
        if failed && kept!(R24Reads) {
            self.spoil_reads_of_copies(status);
        }
        let spoiled = failed && self.scoreboard.spoil(SOURCE);
        let dropped = spoiled || failed && self.protected_restore.unflushed() > 0;
        let restoring = self.restoring();
        let delta = restoring.map(|lu| &self.clones[u64::from(lu.wrapping_sub(1))].delta.bits);
        let per_clone = self.config.map_per_clone();
        let persistent = &mut self.persistent;
        self.protected_restore.unseal(status == error::OK || !kept!(R24Copies), delta, |extents| {
            if per_clone {
                persistent.mark_later(extents);
            }
        });
        match restoring {
            Some(lu) if dropped && kept!(R24Stall) => self.stall(lu, status),
            _ if status == error::OK => self.note_restored(),
            _ => {}
        }
    }
}
